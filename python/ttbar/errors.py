"""Errors that a user can do something about, each with the exit code of the command that meets it."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Say what somebody may have meant.

    Parameters
    ----------
    written : str
        What was written.
    known : iterable of str
        What would have been right.

    Returns
    -------
    str
        The end of a message; empty if nothing is like it.
    """
    exactly = {name.lower(): name for name in known}
    alike = get_close_matches(written.lower(), exactly) or [
        name for name in exactly if name.startswith(written.lower())
    ]
    return f" (did you mean {exactly[alike[0]]!r}?)" if alike and written else ""


class TtbarError(Exception):
    """An expected failure. Its text is one line that names the culprit and says what to do."""

    exit_code = 4


class UsageError(TtbarError):
    """An option is wrong by itself, whatever is in the files.

    Parameters
    ----------
    option : str
        The option of the command line, e.g. `--samples`; in Python it is an argument of about the same name.
    reason : str
        What is wrong with it, and what would be right.
    """

    exit_code = 2

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(option, reason)
        self.option, self.reason = option, reason

    def __str__(self) -> str:
        """One line."""
        return f"Invalid value for {self.option}: {self.reason}"


class InputError(TtbarError):
    """Something about the existence or content of a file."""

    exit_code = 3


class AnalysisError(TtbarError):
    """The analysis itself failed: a crash in the event loop, a fit that does not converge."""

    exit_code = 4


class Interrupted(TtbarError):
    """The user interrupted the command."""

    exit_code = 130
