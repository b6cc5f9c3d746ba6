"""What a user sees on standard error while something takes long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 10.0
"""Where there is no terminal to draw a bar on, a line appears this often."""

console = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print a line.

    Parameters
    ----------
    text : str
        The line, without markup.
    """
    console.print(text, markup=False, soft_wrap=True)


@contextmanager
def phase(description: str) -> Iterator[None]:
    """Show what goes on for as long as the context lasts: a line that moves on a terminal, else a line at its start.

    Parameters
    ----------
    description : str
        What goes on, e.g. `Starting ROOT`.
    """
    if console.is_terminal:
        with console.status(escape(description)):
            yield
    else:
        say(description)
        yield


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

    Attributes
    ----------
    detail
        A word on what is at work.
    """

    def __init__(self, description: str, total: int, unit: str) -> None:
        self.detail = ""
        self._text = f"{description}: {{:,}} of {total:,} {unit} {{}}"
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
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(description, total=total, detail="")

    def __enter__(self) -> Self:
        """Begin."""
        if self._bar.disable:
            say(self._text.format(0, ""))
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
                say(self._text.format(self._reached, self.detail))
