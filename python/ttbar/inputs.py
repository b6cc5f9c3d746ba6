"""Check input files before an event loop, in which many a bad file goes unnoticed or takes the process down."""

import signal
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from .dataset import InputFile, Sample
from .errors import InputError
from .library import load_root

Format = Literal["TTree", "RNTuple"]

# In a local path, ROOT takes these for wildcards, options, variables and commands.
_SPECIAL = "*?[]#$|"

# Longest time in seconds for one file: damage can send ROOT around in circles, but servers can be slow.
_TIMEOUT = 300

# RDataFrame names the same type by different names, depending on the format and on who wrote the file.
_TYPES = {
    "bool": "Bool_t",
    "char": "Char_t",
    "std::int8_t": "Char_t",
    "std::uint8_t": "UChar_t",
    "unsigned char": "UChar_t",
    "std::int16_t": "Short_t",
    "short": "Short_t",
    "std::uint16_t": "UShort_t",
    "unsigned short": "UShort_t",
    "std::int32_t": "Int_t",
    "int": "Int_t",
    "std::uint32_t": "UInt_t",
    "unsigned int": "UInt_t",
    "std::int64_t": "Long64_t",
    "Long_t": "Long64_t",
    "std::uint64_t": "ULong64_t",
    "ULong_t": "ULong64_t",
    "float": "Float_t",
    "double": "Double_t",
}


class BadFile(InputError):  # noqa: N818 (it is a state of the file)
    """An input file that cannot be used."""


@dataclass(frozen=True)
class CheckedFile:
    """A file that can be used.

    Attributes
    ----------
    path
        Absolute local path, or URL.
    nevts
        Number of generated events: what the data set says, or else the number of stored events.
    entries
        Number of stored events.
    format
        How the events are stored.
    uuid
        What ROOT identifies the file by; a copy has the same.
    size
        Size in bytes.
    """

    path: str
    nevts: int
    entries: int
    format: Format
    uuid: str
    size: int


@dataclass(frozen=True)
class FileRecord:
    """What became of a file of the data set.

    Attributes
    ----------
    path
        Absolute local path, or URL.
    sample
        Name of the sample.
    nevts
        Number of generated events; None if nobody knows.
    entries
        Number of stored events: of a good file those really there, else those that the data set claims.
    status
        Whether it is used.
    reason
        Why it is not used, or where its number of events comes from if not from the data set; else empty.
    """

    path: str
    sample: str
    nevts: int | None
    entries: int | None
    status: Literal["ok", "skipped"]
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """Outcome of a check of samples.

    Attributes
    ----------
    records
        One for each file, in the order of the samples.
    good
        The usable files of each sample, by its name.
    """

    records: tuple[FileRecord, ...]
    good: dict[str, tuple[CheckedFile, ...]]


def check_file(file: InputFile, tree: str, columns: Mapping[str, str | None]) -> CheckedFile:
    """Check all of a file that can be checked without reading events.

    Damage inside of the stored columns is not seen: only reading them brings it to light.

    Parameters
    ----------
    file
        The file.
    tree
        Name of its TTree or RNTuple.
    columns
        The columns that it must have, with their types such as `UInt_t` or `RVec<Float_t>`; None for any type.

    Returns
    -------
    CheckedFile
        What is known of the file now.

    Raises
    ------
    BadFile
        If it cannot be used. Damage to what a TTree tells about itself may end the process instead, which
        `check_samples` survives.
    """
    try:
        if "://" not in file.path:
            _check_local(Path(file.path))
        return _check_content(file, tree, columns)
    except _Unusable as error:
        raise _bad_file(file, str(error)) from error


def check_samples(
    samples: Sequence[Sample],
    tree: str,
    columns: Mapping[str, str | None],
    skip_bad: bool,
    on_progress: Callable[[FileRecord], object] = lambda record: None,
) -> CheckReport:
    """Check all files of samples, in a process of its own that a damaged file may crash.

    Parameters
    ----------
    samples
        What to check.
    tree, columns
        As in `check_file`.
    skip_bad
        Whether to leave unusable files out instead of raising.
    on_progress
        Called after each file.

    Returns
    -------
    CheckReport
        What is there to be used.

    Raises
    ------
    InputError
        If a file is unusable and not to be left out, or if the usable ones of a sample make no sample: none, the
        same one twice, of different formats, or without a single event.
    """
    records: list[FileRecord] = []
    good: dict[str, tuple[CheckedFile, ...]] = {}
    with _worker(tree, columns) as check:
        for sample in samples:
            usable = []
            for file in sample.files:
                record = (file.path, sample.name)
                try:
                    checked = check(file)
                except BadFile as error:
                    if not skip_bad:
                        raise
                    records.append(FileRecord(*record, file.nevts, file.entries, "skipped", str(error)))
                else:
                    usable.append(checked)
                    note = "" if file.nevts is not None else "nevts is the number of entries in the file"
                    records.append(FileRecord(*record, checked.nevts, checked.entries, "ok", note))
                on_progress(records[-1])
            _check_together(sample.name, usable)
            good[sample.name] = tuple(usable)
    return CheckReport(tuple(records), good)


class _Unusable(Exception):  # noqa: N818 (as BadFile)
    """Why a file is bad, without its name."""


def _bad_file(file: InputFile, reason: str) -> BadFile:
    """Say that a file is bad, why, and what to do."""
    return BadFile(f"{file.path}: {reason}; replace the file, or leave it out with --bad-files skip")


def _check_local(path: Path) -> None:
    """Find what is wrong with a local file from the outside, in better words than ROOT's."""
    special = sorted(set(str(path)) & set(_SPECIAL))
    if special:
        raise _Unusable(f"ROOT cannot open a path with {' '.join(special)} in it, rename it")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _Unusable("is not a file")
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise _Unusable(f"cannot be read ({error.strerror})") from error
    if not magic:
        raise _Unusable("is empty")
    if magic != b"root":
        raise _Unusable("is not a ROOT file")


def _check_content(file: InputFile, tree: str, columns: Mapping[str, str | None]) -> CheckedFile:
    """Open a file and look at everything but the events."""
    root = load_root()
    errors = root.ttbar.ErrorCollector()
    opened = None
    try:
        opened = root.TFile.Open(file.path)
        if opened.TestBit(root.TFile.kRecovered):
            raise _Unusable("was never closed by its writer, or has been cut off or damaged since")
        if opened.GetSize() < opened.GetEND():
            raise _Unusable(f"has {opened.GetSize()} of {opened.GetEND()} bytes")
        format_, entries = _check_tree(root, opened, tree, columns)
        if errors.count():
            raise _Unusable(f"is damaged ({errors.first()})")
        if file.entries not in (None, entries):
            raise _Unusable(f"holds {entries} entries where the data set says {file.entries}")
        nevts = entries if file.nevts is None else file.nevts
        uuid = str(opened.GetUUID().AsString())
        return CheckedFile(file.path, nevts, entries, format_, uuid, opened.GetSize())
    except _Unusable:
        raise
    except Exception as error:  # what reaches Python from ROOT is of any type
        reason = str(errors.first()) or shorten(str(error), 200)
        raise _Unusable(f"cannot be opened ({reason})") from error
    finally:
        errors.stop()
        if opened:
            opened.Close()


def _check_tree(root: Any, opened: Any, tree: str, columns: Mapping[str, str | None]) -> tuple[Format, int]:
    """Check the tree of an open file; its format and number of entries come back."""
    events = opened.Get(tree)
    kind = type(events).__cpp_name__
    if not events:
        names = ", ".join(sorted({str(key.GetName()) for key in opened.GetListOfKeys()})) or "nothing"
        raise _Unusable(f"has no '{tree}' (--tree), but {names}")
    if kind == "ROOT::RNTuple":
        format_: Format = "RNTuple"
        entries = int(root.RNTupleReader.Open(events).GetNEntries())
        frame = root.RDataFrame(tree, opened.GetName())
    elif events.InheritsFrom("TTree"):
        format_ = "TTree"
        entries = int(events.GetEntries())
        frame = root.RDataFrame(events)
    else:
        raise _Unusable(f"has a {kind} named '{tree}' (--tree), not a TTree or RNTuple")
    for name, expected in columns.items():
        if not frame.HasColumn(name):
            raise _Unusable(f"has no column '{name}' in '{tree}'")
        found = _canonical(str(frame.GetColumnType(name)))
        if expected not in (None, found):
            raise _Unusable(f"has a column '{name}' of type {found}, not {expected}")
        if format_ == "TTree":
            _check_branch(events, name, entries)
    return format_, entries


def _check_branch(events: Any, name: str, entries: int) -> None:
    """Check that a branch, and the one that holds the lengths of its arrays, reach to the end of their TTree."""
    leaf = events.GetLeaf(name)
    for part in (leaf, leaf and leaf.GetLeafCount()):
        if part and part.GetBranch().GetEntries() != entries:
            branch = part.GetBranch()
            raise _Unusable(f"has {entries} entries, but {branch.GetEntries()} of '{branch.GetName()}'")


def _canonical(name: str) -> str:
    """Name of a type that is the same for both formats, e.g. `RVec<Float_t>`."""
    name = name.removeprefix("ROOT::VecOps::")
    element = name.removeprefix("RVec<").removesuffix(">")
    return name.replace(element, _TYPES.get(element, element))


def _check_together(sample: str, files: Sequence[CheckedFile]) -> None:
    """Check that usable files make a sample."""
    if not files:
        raise InputError(
            f"{sample}: no usable file, leave the sample out with --samples or replace its files"
        )
    first_of: dict[str, CheckedFile] = {}
    for file in files:
        first = first_of.setdefault(file.uuid, file)
        if first is not file:
            raise InputError(f"{sample}: {file.path} is a copy of {first.path} (same UUID), keep one of them")
        if file.format != files[0].format:
            raise InputError(
                f"{sample}: {files[0].path} is a {files[0].format} and {file.path} a {file.format},"
                " a sample needs files of one format"
            )
    if sum(file.nevts for file in files) == 0:
        raise InputError(
            f"{sample}: {files[0].path} and all its other files have no events, leave the sample out"
        )


@contextmanager
def _worker(tree: str, columns: Mapping[str, str | None]) -> Iterator[Callable[[InputFile], CheckedFile]]:
    """Give a `check_file` that runs in another process, and in a new one after a crash."""
    context = get_context("spawn")  # a fork would inherit ROOT's threads' locks, but not the threads
    process: Any = None
    pipe: Any = None

    def check(file: InputFile) -> CheckedFile:
        nonlocal process, pipe
        if process is None:
            pipe, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, tree, dict(columns)), daemon=True)
            process.start()
            theirs.close()
        pipe.send(file)
        try:
            if not pipe.poll(_TIMEOUT):
                process.kill()
            result = pipe.recv()
        except EOFError:
            process.join()
            code, process = process.exitcode, None
            raise _bad_file(file, f"cannot be opened (ROOT crashed or hung, exit code {code})") from None
        if isinstance(result, Exception):
            raise result
        checked: CheckedFile = result
        return checked

    try:
        yield check
    finally:
        if process is not None:
            process.kill()
            process.join()


def _serve(pipe: Connection, tree: str, columns: Mapping[str, str | None]) -> None:
    """Check the files that come through a pipe, and answer with what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the other process's to handle
    try:
        load_root().gSystem.ResetSignals()  # a crash is expected here, and no news
    except ImportError as error:
        pipe.send(error)
        return
    while True:
        file = pipe.recv()
        try:
            pipe.send(check_file(file, tree, columns))
        except BadFile as error:
            pipe.send(error)
