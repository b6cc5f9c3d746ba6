"""Which files the models of an analysis are in."""

from collections.abc import Sequence
from pathlib import Path

from ttbar.analyses.analysis import Analysis
from ttbar.errors import UsageError
from ttbar.library import shipped


def model_files(analysis: Analysis, given: Sequence[Path]) -> tuple[Path, ...]:
    """The files of the models of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    given : sequence of pathlib.Path
        What the user gave.

    Returns
    -------
    tuple of pathlib.Path
        What the user gave, or else the files that come with the program.

    Raises
    ------
    UsageError
        If the user gave another number of models than the analysis has, or one twice.
    """
    if not given:
        return tuple(shipped(model.file) for model in analysis.models)
    names = ", ".join(model.name for model in analysis.models)
    if len(given) != len(analysis.models):
        wanted = f"{analysis.name} takes {len(analysis.models)} ({names}), in this order, not {len(given)}"
        raise UsageError("--model", wanted)
    if len({path.resolve() for path in given}) < len(given):
        raise UsageError("--model", f"the same file is given twice, {analysis.name} takes {names}")
    return tuple(given)
