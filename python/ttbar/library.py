"""Bring ROOT and the C++ library together in this process."""

import functools
import hashlib
import importlib.resources
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ttbar.errors import AnalysisError, InputError
from ttbar.reading import require_file

NEEDED = ("libROOTDataFrame", "libROOTVecOps", "libGenVector", "libTree")
"""Libraries of ROOT that ours needs."""


def resource(*parts: str) -> Path:
    """Path of a file or folder that is installed with the package.

    Parameters
    ----------
    *parts
        Path below the package's folder, or an absolute one.

    Returns
    -------
    pathlib.Path
        Absolute path.
    """
    if Path(*parts).is_absolute():  # not every loader of packages joins these as paths are joined
        return Path(*parts)
    return Path(str(importlib.resources.files("ttbar").joinpath(*parts)))


def shipped(*parts: str) -> Path:
    """Path of data that come with the program: models and macros.

    Parameters
    ----------
    *parts
        Path below `share/ttbar`, or an absolute one.

    Returns
    -------
    pathlib.Path
        Absolute path.
    """
    return resource("share", "ttbar", *parts)


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


_limits: dict[str, str] = {}
"""What `limit_waiting` has said last."""


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
        if os.environ.get(name) == _limits.get(name):  # nobody has said it, or this function has
            os.environ[name] = _limits[name] = str(max(1, round(value)))


def declare(header: Path) -> None:
    """Declare a header of the user's own to the interpreter of this process.

    Parameters
    ----------
    header : pathlib.Path
        The header; it finds its siblings, and those of the library as `ttbar/*.hpp`.

    Raises
    ------
    InputError
        If it is not there or does not compile.
    """
    require_file(header)
    load_root().gInterpreter.AddIncludePath(str(resource("include")))
    if not load_root().gInterpreter.Declare(f'#include "{header.absolute()}"'):
        raise InputError(f"{header}: the compiler refuses it, for the reasons above")


@functools.cache
def load_root() -> Any:
    """Import ROOT and declare the headers to its interpreter, which loads `libttbar` with them.

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
    with _apart() as working_folder, _pipes_end_silently():
        root = import_root()
        root.gROOT.SetBatch(True)
        root.gEnv.SetValue("TFile.ForceRemote", 1)  # also what a server on this machine has goes through it
        root.PyConfig.IgnoreCommandLineOptions = True
        root.PyConfig.DisableRootLogon = True  # it would run when ROOT is used for the first time, anywhere
        # Libraries, macros and plugins come from where ROOT is, not from wherever the program was started.
        root.gSystem.SetDynamicPath(_absolute(root.gSystem.GetDynamicPath()))
        root.gROOT.SetMacroPath(_absolute(root.gROOT.GetMacroPath()))
        # Those of this ROOT, not of the one that the library was built with, which may be there as well.
        for needed in NEEDED:
            root.gSystem.Load(needed)
        # By its whole path: a folder of the environment or the working folder can have another header of its name.
        header = resource("include", "ttbar", "ttbar.hpp")
        if not root.gInterpreter.Declare(f'#include "{header}"'):
            raise AnalysisError(f"{header} or the library that it loads is broken: build and install the package again")
    root.gSystem.ChangeDirectory(working_folder)  # ROOT remembers where it was started
    root.gSystem.ResetSignals()  # a crash is to end a process at once, not after minutes in a debugger
    return root


def import_root() -> Any:
    """Import ROOT, without its warning that it is the alpha version of a package.

    Returns
    -------
    module
        ROOT, without our library.

    Raises
    ------
    AnalysisError
        If there is none.
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
    return ROOT


def root_version() -> str:
    """The version of ROOT, e.g. `6.40.00`; imports it, so call it in a worker."""
    return str(import_root().gROOT.GetVersion())


def start_root() -> None:
    """Load ROOT, as the setup of a worker, which cannot hand ROOT back as `load_root` does."""
    load_root()


@contextmanager
def _apart() -> Iterator[str]:
    """Work in a folder of the package, in which there is no `.rootrc` and no library of ROOT's name.

    Yields
    ------
    str
        The working folder, to which the process comes back.
    """
    before = str(Path.cwd())
    os.chdir(resource("include"))
    try:
        yield before
    finally:
        os.chdir(before)


@contextmanager
def _pipes_end_silently() -> Iterator[None]:
    """Let the commands end without a word that ROOT asks for the compiler's folders, should this process be killed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and they would inherit that
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)


def _absolute(path: str) -> str:
    """The folders of a search path that are not relative to the working folder."""
    return ":".join(folder for folder in str(path).split(":") if Path(folder).is_absolute())
