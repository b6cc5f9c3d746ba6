"""What a user sees on standard error while something takes long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
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
def progress(description: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
    """Show how far a loop is: a bar on a terminal, elsewhere a line now and then.

    Parameters
    ----------
    description : str
        What is going on.
    total : int
        Where it ends.
    unit : str
        What is counted.

    Yields
    ------
    callable
        To be called with the number reached and a word on what is at work.
    """
    if console.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(description, total=total, detail="")
            yield lambda reached, detail: bar.update(task, completed=reached, detail=detail)
        return

    say(f"{description}: {total:,} {unit}")
    last = time.monotonic()

    def line(reached: int, detail: str) -> None:
        nonlocal last
        if time.monotonic() - last > LINE_EVERY_S:
            last = time.monotonic()
            say(f"{description}: {reached:,} of {total:,} {unit} {detail}")

    yield line
