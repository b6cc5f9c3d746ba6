"""Entry point of `ttbar` and `python -m ttbar`."""

import gc
from collections.abc import Sequence
from typing import NoReturn

from ttbar import process


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and end with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands on the command line after the name of the program; by default what really does.
    """
    process.begin()
    from ttbar.cli import main as run_command

    try:
        run_command(arguments)
    finally:
        gc.freeze()  # looking for garbage at the exit takes a third of a second


if __name__ == "__main__":
    main()
