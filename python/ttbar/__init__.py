"""Top-quark pairs in CMS Open Data: from NanoAOD files to a fitted cross-section.

What is public is in `__all__`; it is imported when it is first used, so that the package itself is light.
"""

import sys
from typing import TYPE_CHECKING, Any

if sys.argv and sys.argv[0] == "-m" and not sys.flags.safe_path and "ttbar" in sys.orig_argv[-len(sys.argv) :]:
    del sys.path[0]  # with `python -m ttbar`, the working folder: what is there is no module of ours

if TYPE_CHECKING:
    from ttbar import analyses
    from ttbar.errors import AnalysisError, InputError, Interrupted, TtbarError, UsageError
    from ttbar.interface import check, fit, merge, open, plot, run, run_unit, skim, split, validate

__all__ = [
    "AnalysisError",
    "InputError",
    "Interrupted",
    "TtbarError",
    "UsageError",
    "analyses",
    "check",
    "fit",
    "merge",
    "open",
    "plot",
    "run",
    "run_unit",
    "skim",
    "split",
    "validate",
]


def __getattr__(name: str) -> Any:
    """What is public, and the version."""
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "analyses":
        return import_module("ttbar.analyses")
    return getattr(import_module("ttbar.errors" if name[0].isupper() else "ttbar.interface"), name)


def __dir__() -> list[str]:
    """What is public."""
    return [*__all__, "__version__"]
