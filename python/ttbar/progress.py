"""What a user sees on standard error while something takes long."""

import sys
import time
from collections.abc import Iterable
from threading import Lock
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from ttbar.terminal import one_line, printable

LINE_EVERY_S = 10.0
"""Where there is no terminal to draw a bar on, a line appears this often."""


class SafeConsole(Console):
    """A console on which all texts are printable."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        """Render as usual; what moves the cursor of a terminal comes from the console itself."""
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


console = SafeConsole(stderr=True, highlight=False)

_phase: Progress | None = None


def say(text: str) -> None:
    """Print a line.

    Parameters
    ----------
    text : str
        The line, without markup; what makes several lines of it does not.
    """
    console.print(one_line(text), markup=False, soft_wrap=True)


def show(renderable: RenderableType) -> None:
    """Print a result on standard output.

    Parameters
    ----------
    renderable
        What rich can print; a text is laid out already, so its lines stay whole.
    """
    done()
    SafeConsole().print(renderable, soft_wrap=isinstance(renderable, Text))


def now(description: str) -> None:
    """Show what goes on, until the next call, a `Display`, or the end of the command.

    Parameters
    ----------
    description : str
        What goes on, e.g. `Starting ROOT`.
    """
    global _phase
    done()
    if not console.is_terminal:
        say(description)
        return
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    _phase = Progress(*columns, console=console, transient=True, redirect_stdout=_shares_terminal())
    _phase.add_task(description)
    _phase.start()


def done() -> None:
    """Stop showing what goes on."""
    global _phase
    if _phase:
        _phase.stop()
        _phase = None


def _shares_terminal() -> bool:
    """Whether standard output is a terminal as well: lines that are printed there have to make room for a bar."""
    return sys.stdout is not None and sys.stdout.isatty()


class Display:
    """How far a loop is: a bar on a terminal, elsewhere a line now and then.

    Parameters
    ----------
    description : str
        What is going on.
    total : int
        Where it ends.
    unit : str
        What is counted.
    detail : str, optional
        A word on what is at work.

    Attributes
    ----------
    detail
        The same, as it is now.
    """

    def __init__(self, description: str, total: int, unit: str, detail: str = "") -> None:
        self.detail = detail
        self._text = f"{description}: {{:,}} of {total:,} {unit}{{}}"
        self._reached = 0
        self._lock = Lock()
        self._last_line = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
            disable=not (console.is_terminal or console.is_jupyter),
            redirect_stdout=_shares_terminal(),
        )
        self._task = self._bar.add_task(description, total=total, detail=detail)

    def __enter__(self) -> Self:
        """Begin."""
        done()
        if self._bar.disable:
            self._say()
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def advance(self) -> None:
        """Show that one more is done."""
        self.update(self._reached + 1)

    def note(self, detail: str) -> None:
        """Show a word on what is at work; from any thread."""
        self.detail = detail
        self._show()

    def update(self, reached: int) -> None:
        """Show how far it is.

        Parameters
        ----------
        reached : int
            Number of units that are done.
        """
        self._reached = reached
        self._show()

    def _show(self) -> None:
        with self._lock:
            self._bar.update(self._task, completed=self._reached, detail=self.detail)
            if self._bar.disable and time.monotonic() - self._last_line > LINE_EVERY_S:
                self._last_line = time.monotonic()
                self._say()

    def _say(self) -> None:
        """Print how far it is."""
        say(self._text.format(self._reached, self.detail and f" ({self.detail})"))
