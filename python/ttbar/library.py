"""Bring ROOT and the C++ library together in this process."""

import functools
import hashlib
import importlib.resources
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from ttbar.errors import AnalysisError

HEADERS = (
    "actions.hpp",
    "jet_assignment.hpp",
    "jet_energy.hpp",
    "models.hpp",
    "observables.hpp",
    "reading.hpp",
    "root_errors.hpp",
    "selection.hpp",
    "simulation.hpp",
    "truth.hpp",
    "weights.hpp",
)


def resource(*parts: str) -> Path:
    """Path of a file or folder that is installed with the package.

    Parameters
    ----------
    *parts
        Path below the package's folder.

    Returns
    -------
    pathlib.Path
        Absolute path.
    """
    return Path(str(importlib.resources.files("ttbar").joinpath(*parts)))


def code_id(*parts: str) -> str:
    """Identify the code that results depend on.

    Parameters
    ----------
    *parts
        Modules and folders of the package, e.g. `results/fit.py`. The library and its headers count in any case.

    Returns
    -------
    str
        Text that changes whenever the code does.
    """
    files = [resource("lib", "libttbar.so"), *sorted(resource("include").rglob("*.hpp"))]
    for part in map(resource, parts):
        files += sorted(part.rglob("*.py")) if part.is_dir() else [part]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def limit_waiting(seconds: float) -> None:
    """Say how long XRootD's client may wait for a server, in all processes that are started from now on.

    Parameters
    ----------
    seconds : float
        How long a server may be silent. What the user's environment says comes first.
    """
    limits = {
        "XRD_CONNECTIONWINDOW": seconds / 6,
        "XRD_CONNECTIONRETRY": 6,
        "XRD_STREAMTIMEOUT": seconds,
        "XRD_STREAMERRORWINDOW": seconds,
        "XRD_REQUESTTIMEOUT": 5 * seconds,
        "XRD_TIMEOUTRESOLUTION": 1,
    }
    for name, value in limits.items():
        os.environ.setdefault(name, str(max(1, round(value))))


@functools.cache
def load_root() -> Any:
    """Import ROOT, load `libttbar` and declare its headers to the interpreter.

    The interpreter's optimisation is set here, which only works before ROOT is imported for the first time.

    Returns
    -------
    module
        ROOT, with the helpers in `ROOT.ttbar`.

    Raises
    ------
    AnalysisError
        If there is no ROOT, or the library or its headers cannot be loaded.
    """
    if "ROOT" not in sys.modules:
        os.environ.setdefault("EXTRA_CLING_ARGS", "-O2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            import ROOT
        except ImportError as error:
            raise AnalysisError(
                f"ROOT cannot be imported ({error}): pip install 'ttbar[root]', or use a Python that has ROOT"
            ) from None

    ROOT.gROOT.SetBatch(True)
    ROOT.gEnv.SetValue("TFile.ForceRemote", 1)  # what is asked of a server on this machine, the server shall answer
    ROOT.PyConfig.IgnoreCommandLineOptions = True
    library = resource("lib", "libttbar.so")
    if ROOT.gSystem.Load(str(library)) < 0:
        raise AnalysisError(f"{library} cannot be loaded: build and install the package again")
    ROOT.gInterpreter.AddIncludePath(str(resource("include")))
    if not ROOT.gInterpreter.Declare("".join(f'#include "ttbar/{header}"\n' for header in HEADERS)):
        raise AnalysisError(f"the headers in {resource('include')} do not compile: install the package again")
    ROOT.gSystem.ResetSignals()  # a crash is to end a process at once, not after minutes in a debugger
    return ROOT
