"""The results folder: its files appear whole or not at all."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ttbar.errors import InputError
from ttbar.masking import masked_everywhere

OF_A_RUN = (
    "run.json",
    "report.html",
    "metrics.json",
    "profile.json",
    "fit.json",
    "fit.yml",
    "workspace.json",
    "yields.txt",
    "plots/*.png",
    "plots/*.pdf",
    "cutflow.json",
    "histograms.root",
)
"""The files that a run writes, the last one first."""

FULL_RUN = "analysis"
"""The `mode` in `metrics.json` of a run that writes all of them."""

DATASET = "dataset.json"
"""The data set file in a folder of files that are made."""


def part(path: Path) -> Path:
    """Where a file is written, before it is whole and takes its name.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    pathlib.Path
        A file beside it.
    """
    return path.with_name(f".{path.name}.part")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file beside the one to write, which takes its place when all went well.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.

    Yields
    ------
    pathlib.Path
        Where to write it.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    beside = part(path)
    try:
        beside.unlink(missing_ok=True)  # what is left of another run, or a link that leads elsewhere
        yield beside
        with beside.open("rb") as stream:
            os.fsync(stream)  # a file of this name has its content even after a power cut
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; check the folder and disk") from None
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder at the same time.

    Parameters
    ----------
    folder : pathlib.Path
        The folder; made if it does not exist.

    Raises
    ------
    InputError
        If another process writes there.
    """
    prepare(folder, ())
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # where the file system has no locks, we do without
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{folder}: another run writes there, wait for it or choose another folder") from None
        yield
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all, without passwords and tokens in its texts.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    content
        What `json` can write.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with written_whole(path) as beside:
        beside.write_text(json.dumps(masked_everywhere(content), indent=2, default=str) + "\n")


def prepare(folder: Path, outdated: Iterable[str]) -> None:
    """Make a results folder, without the files that are going to be replaced.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    outdated : iterable of str
        Patterns of the files to remove.

    Raises
    ------
    InputError
        If the folder cannot be made, or a file not removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in outdated:
            for file in folder.glob(pattern):
                file.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; choose another folder") from None
