"""What travels to workers that have not installed this package: the package as it runs here, and files of the user."""

import hashlib
import io
import socket
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import ttbar
from ttbar import worker
from ttbar.errors import AnalysisError
from ttbar.library import import_root

HEADERS = (".h", ".hh", ".hpp", ".hxx", ".icc", ".inc", ".inl", ".ipp", ".tpp")
"""Beside a header of the user's travel those that it may include."""

FILES = "files"
"""The folder of files of the user."""

_LEFT_OUT = ("__pycache__", "results", "datasets")


@dataclass(frozen=True)
class Bundle:
    """A package to unpack and import, and the function that makes a process ready that has imported it."""

    name: str
    """Says what is in it: it has a hash of all."""
    content: bytes
    """A zip file."""
    setup: bytes
    """A function without arguments, pickled as `ttbar.child` takes it."""


def bundle(setup: Any, expected: Any) -> Bundle:
    """Pack all that a process needs.

    Parameters
    ----------
    setup : callable
        What makes a process ready. Its `files` are files of the user, its method `moved` gives one that knows where
        they are on the other side.
    expected
        What it returns here, and has to return there; its `root_version` is that of ROOT.

    Returns
    -------
    Bundle
        The package.
    """
    files = dict(_package())
    places = {}
    for number, path in enumerate(setup.files):
        beside = {path}
        if path.suffix in HEADERS:
            beside |= {each for each in path.parent.iterdir() if each.suffix in HEADERS}
        files |= {f"{FILES}/{number}/{each.name}": each for each in beside}
        places[path] = f"{FILES}/{number}/{path.name}"
    archive = io.BytesIO()
    digest = hashlib.sha256()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, path in sorted(files.items()):
            content = path.read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
            packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    question = bytes(ForkingPickler.dumps((partial(prepare, setup, places, expected), (), {})))
    digest.update(question)
    return Bundle(f"ttbar-{digest.hexdigest()[:16]}", archive.getvalue(), question)


def _package() -> Iterator[tuple[str, Path]]:
    """Files of the package by name; an editable installation has them in several folders."""
    for folder in map(Path, ttbar.__path__):
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            if path.is_file() and not set(_LEFT_OUT) & set(inside.parts) and "cmake" not in inside.parts:
                yield f"ttbar/{inside}", path


def prepare(setup: Any, places: Mapping[Path, str], expected: Any) -> None:
    """Make this process ready, from the files that came with the package.

    Parameters
    ----------
    setup : callable
        What makes a process ready.
    places : mapping of pathlib.Path to str
        Where its files are, in the folder that the package is in.
    expected
        What it returned where it came from.

    Raises
    ------
    AnalysisError
        If something is not as it was there.
    """
    worker.machine = socket.gethostname()
    version = str(import_root().gROOT.GetVersion())
    if version != expected.root_version:
        raise AnalysisError(f"it has ROOT {version}, not {expected.root_version}")
    folder = Path(ttbar.__path__[0]).parent
    ready = setup.moved({path: folder / place for path, place in places.items()})()
    if ready.identity != expected.identity:
        raise AnalysisError(f"it works with {ready.identity}, not {expected.identity}")
