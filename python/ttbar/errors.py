"""Errors that a user can do something about, each with the exit code of the command that meets it."""


class TtbarError(Exception):
    """An expected failure. Its text is one line that names the culprit and says what to do."""

    exit_code = 4


class InputError(TtbarError):
    """Something about the existence or content of a file."""

    exit_code = 3


class AnalysisError(TtbarError):
    """The analysis itself failed: a crash in the event loop, a fit that does not converge."""

    exit_code = 4


class Interrupted(TtbarError):  # noqa: N818 (nothing is wrong)
    """The user has had enough."""

    exit_code = 130
