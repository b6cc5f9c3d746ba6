"""Finding an analysis: one of those that come with the program, or a file of the user's own."""

import runpy
import traceback
from importlib import import_module
from pathlib import Path

from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError
from ttbar.reading import require_file

NAMES = {"agc-v1": "ttbar.analyses.agc_v1", "agc-v2": "ttbar.analyses.agc_v2"}
"""Modules of the analyses that come with the program, by name."""

DEFAULT = "agc-v1"


def load(name: str) -> Analysis:
    """Load an analysis.

    Parameters
    ----------
    name : str
        One of `NAMES`, or a Python file that defines `analysis`.

    Returns
    -------
    Analysis
        The analysis.

    Raises
    ------
    InputError
        If there is none of this name, or the file does not define one.
    """
    analysis = import_module(NAMES[name]).analysis if name in NAMES else _run(Path(name)).get("analysis")
    if not isinstance(analysis, Analysis):
        raise InputError(f"{name}: it does not define 'analysis', a ttbar.analyses.Analysis")
    return analysis


def _run(path: Path) -> dict[str, object]:
    """Run a Python file, and give what it defines."""
    if not path.exists():
        known = ", ".join(NAMES)
        raise InputError(f"{path}: there is no such analysis; give one of {known}, or a Python file of your own")
    require_file(path)
    try:
        return runpy.run_path(str(path.absolute()))
    except (Exception, SystemExit) as error:  # a user's file can raise anything
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path.absolute())
        ]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
        place = f"line {line}: " if line else ""
        raise InputError(f"{path}: {place}{type(error).__name__}: {error}") from None
