"""Drawing takes longest of all that comes after the event loop: it happens in other processes, on all cores."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError
from ttbar.process import end_with
from ttbar.progress import Display
from ttbar.worker import Worker, WorkerDied, count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")

During = Callable[[], AbstractContextManager[Any]]
"""What is to be entered when drawing begins, and left when it ends."""


@dataclass(frozen=True)
class Picture(Generic[T]):
    """What becomes files, and what is to be said about it."""

    name: str
    """Name of its files, without extension."""
    title: str
    description: str
    """What it shows, also for people who cannot see it."""
    draw: Callable[[T], "Figure | None"]
    """Draws it from what there is; gives None if that has nothing of it."""


def save_all(
    pictures: Sequence[Picture[T]],
    content: T,
    folder: Path,
    style: Sequence[Any],
    drawn: Callable[[], object] = lambda: None,
) -> list[str]:
    """Draw pictures and write them, several at a time if this process has no other threads.

    Parameters
    ----------
    pictures : sequence of Picture
        The pictures, in the order in which they are wanted.
    content : object
        What they are drawn from.
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
    saving = _Saving(pictures, content, folder, style)
    for picture, is_there in zip(pictures, _each(saving, len(pictures)), strict=True):
        if not is_there:
            left_out.append(picture.name)
        drawn()
    return left_out


@dataclass(frozen=True)
class _Saving(Generic[T]):
    """Draws one of several pictures, and writes it, if there is something to draw."""

    pictures: Sequence[Picture[T]]
    content: T
    folder: Path
    style: Sequence[Any]

    def __call__(self, number: int) -> bool:
        import matplotlib.style

        from ttbar.results.style import save

        picture = self.pictures[number]
        with matplotlib.style.context(list(self.style)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of glyphs that a font lacks
            figure = picture.draw(self.content)
            if figure is not None:
                save(figure, self.folder, picture.name, picture.title, picture.description)
        return figure is not None


def _each(saving: Callable[[int], bool], number: int) -> Iterator[bool]:
    """Draw all pictures, in forks of this process where that is safe and of use."""
    processes = min(number, len(os.sched_getaffinity(0)))
    if processes < 2 or threading.active_count() > 1:
        yield from map(saving, range(number))
        return
    try:  # forks know all that is imported and read already: what they begin with is not sent to them
        with ProcessPoolExecutor(processes, get_context("fork"), _begin, (os.getpid(), saving)) as pool:
            yield from pool.map(_save_forked, range(number))
    except BrokenProcessPool:
        raise AnalysisError(
            "a process that draws plots was killed, as the system does where memory runs out: plot again"
        ) from None


_saving: Callable[[int], bool]
"""What this process draws, if it is a fork."""


def _save_forked(number: int) -> bool:
    return _saving(number)


def _begin(parent: int, saving: Callable[[int], bool]) -> None:
    """Know what to draw, and end when the process that forked this one ends."""
    global _saving
    _saving = saving
    end_with(parent)


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

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Give up what is not finished."""
        self._worker.end()
        self._thread.shutdown(cancel_futures=True)
        self._worker.close()

    def draw_histograms(
        self, histograms: Path, output: Path, analysis: Analysis, during: During = nullcontext
    ) -> Future[list[str]]:
        """Draw as `plot.draw_all` does, after what was wanted before, in a context; what it returns comes later."""
        # What knows the plots imports what draws them, which this process can do without.
        number = self._thread.submit(self._call, _number_of_plots, analysis).result()
        return self._draw(during, number, _draw_histograms, histograms, output, analysis)

    def draw_fit(
        self,
        fit: Mapping[str, Any],
        output: Path,
        before: Mapping[str, Any] | None = None,
        during: During = nullcontext,
    ) -> Future[None]:
        """Draw as `fit_plots.draw` does, after what was wanted before, in a context."""
        from ttbar.results import fit_plots

        return self._draw(during, len(fit_plots.new_pictures(fit, before)), fit_plots.draw, fit, output, before)

    def _draw(self, during: During, number: int, function: Callable[..., T], *args: Any) -> Future[T]:
        """Call a function, which draws so many plots, there, with what it is to call after each of them."""

        def draw() -> T:
            with during():
                return self._call(function, *args, partial(count, 1))

        self._number += number
        future = self._thread.submit(draw)
        self._futures.append(future)
        return future

    def _call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function there; where the process dies, say what it was for."""
        try:
            return self._worker.call(function, *args)
        except WorkerDied as error:
            raise AnalysisError(f"drawing plots failed, {error}: plot again") from None

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
