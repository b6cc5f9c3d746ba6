"""Drawing takes longest of all that comes after the event loop: it happens in other processes, on all cores."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError
from ttbar.process import end_with
from ttbar.progress import Display
from ttbar.worker import Worker, count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """What becomes files, and what is to be said about it."""

    name: str
    """Name of its files, without extension."""
    title: str
    description: str
    """What it shows, also for people who cannot see it."""
    draw: Callable[[], "Figure | None"]
    """Gives None if there is nothing to draw it from."""


def save_all(
    pictures: Sequence[Picture], folder: Path, style: Sequence[Any], drawn: Callable[[], object] = lambda: None
) -> list[str]:
    """Draw pictures and write them, several at a time if this process has no other threads.

    Parameters
    ----------
    pictures : sequence of Picture
        The pictures, in the order in which they are wanted.
    folder : pathlib.Path
        Where to write them, as PNG and PDF.
    style : sequence
        Style of matplotlib.
    drawn : callable, optional
        Called after each picture.

    Returns
    -------
    list of str
        Names of those that there is nothing to draw from.

    Raises
    ------
    AnalysisError
        If a process that draws is killed.
    """
    left_out = []
    for picture, is_there in zip(pictures, _each(_Saving(pictures, folder, style), len(pictures)), strict=True):
        if not is_there:
            left_out.append(picture.name)
        drawn()
    return left_out


@dataclass(frozen=True)
class _Saving:
    """Draws one of several pictures, and writes it, if there is something to draw."""

    pictures: Sequence[Picture]
    folder: Path
    style: Sequence[Any]

    def __call__(self, number: int) -> bool:
        import matplotlib.style

        from ttbar.results.style import save

        picture = self.pictures[number]
        with matplotlib.style.context(list(self.style)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of glyphs that a font lacks
            figure = picture.draw()
            if figure is not None:
                save(figure, self.folder, picture.name, picture.title, picture.description)
        return figure is not None


_forked: _Saving | None = None


def _each(saving: _Saving, number: int) -> Iterator[bool]:
    """Draw all pictures, in forks of this process where that is safe and of use."""
    global _forked
    processes = min(number, len(os.sched_getaffinity(0)))
    if processes < 2 or threading.active_count() > 1:
        yield from map(saving, range(number))
        return
    # Forks know all that is imported and read already.
    _forked = saving
    try:
        with ProcessPoolExecutor(processes, get_context("fork"), end_with, (os.getpid(),)) as pool:
            yield from pool.map(_save_forked, range(number))
    except BrokenProcessPool:
        raise AnalysisError(
            "a process that draws plots was killed, as the system does where memory runs out: plot again"
        ) from None
    finally:
        _forked = None


def _save_forked(number: int) -> bool:
    assert _forked is not None
    return _forked(number)


class Drawing:
    """A process for functions that draw, one after the other, while this one does something else."""

    def __init__(self) -> None:
        self._worker = Worker()
        self._thread = ThreadPoolExecutor(1)
        self._futures: list[Future[Any]] = []
        self._number = 0

    def __enter__(self) -> Self:
        """Import meanwhile what takes longest."""
        self._thread.submit(self._worker.call, _load)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Give up what is not finished."""
        self._worker.end()
        self._thread.shutdown(cancel_futures=True)
        self._worker.close()

    def draw_histograms(self, histograms: Path, output: Path, analysis: Analysis) -> Future[list[str]]:
        """Draw as `plot.draw_all` does, after what was wanted before; what it returns comes later."""
        # What knows the plots imports what draws them, which this process can do without.
        number = self._thread.submit(self._worker.call, _number_of_plots, analysis).result()
        return self._draw(number, _draw_histograms, histograms, output, analysis)

    def draw_fit(self, fit: Mapping[str, Any], output: Path) -> Future[None]:
        """Draw as `fit_plots.draw` does, after what was wanted before."""
        from ttbar.results import fit_plots

        return self._draw(len([*fit_plots.pictures(fit)]), fit_plots.draw, fit, output)

    def _draw(self, number: int, function: Callable[..., T], *args: Any) -> Future[T]:
        """Call a function, which draws so many plots, there, with what it is to call after each of them."""
        self._number += number
        future = self._thread.submit(partial(self._worker.call, function, *args, partial(count, 1)))
        self._futures.append(future)
        return future

    def wait(self) -> None:
        """Show how far it is until all is drawn; raise what the first function raises that fails."""
        with Display("Plotting", self._number, "plots") as display:
            display.update(self._worker.counted)
            self._worker.on_progress(display.update)
            wait(self._futures)
            display.update(self._worker.counted)
        for future in self._futures:
            future.result()


def _load() -> None:
    """Import what draws."""
    import ttbar.results.fit_plots
    import ttbar.results.plot  # noqa: F401


def _number_of_plots(analysis: Analysis) -> int:
    from ttbar.results.plot import plots

    return len(plots(analysis))


def _draw_histograms(*args: Any) -> list[str]:
    from ttbar.results.plot import draw_all

    return draw_all(*args)
