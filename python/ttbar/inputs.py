"""Check input files before the event loop, where bad ones go unnoticed or take the process down."""

import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from resource import RLIMIT_AS, getrlimit, setrlimit
from textwrap import shorten
from typing import Any, Literal

from ttbar.dataset import InputFile, Sample
from ttbar.errors import InputError
from ttbar.library import load_root
from ttbar.worker import Worker, WorkerDied

Format = Literal["TTree", "RNTuple"]

# In a local path, ROOT takes these for wildcards, options, variables and commands.
_SPECIAL = "*?[]#$|"

# Longest time for one file: damage can send ROOT around in circles, but servers can be slow.
_TIMEOUT_S = 300

# Largest address space of the process that checks: damage can send ROOT for all the memory of a machine.
_MAX_MEMORY = 4 * 2**30

# RDataFrame has several names for a type, depending on the format and on who wrote the file.
_SAME_TYPE = {
    "Bool_t": "bool",
    "Char_t": "char",
    "std::int8_t": "char",
    "UChar_t": "unsigned char",
    "std::uint8_t": "unsigned char",
    "Short_t": "short",
    "std::int16_t": "short",
    "UShort_t": "unsigned short",
    "std::uint16_t": "unsigned short",
    "Int_t": "int",
    "std::int32_t": "int",
    "UInt_t": "unsigned int",
    "std::uint32_t": "unsigned int",
    "Long64_t": "long",
    "std::int64_t": "long",
    "ULong64_t": "unsigned long",
    "std::uint64_t": "unsigned long",
    "Float_t": "float",
    "Double_t": "double",
}


class BadFile(InputError):  # noqa: N818 (it is the state of a file)
    """An input file that cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.reason = reason

    def __str__(self) -> str:
        """One line that names the file, says why and what to do."""
        path, reason = self.args
        return f"{path}: {reason}; replace the file, or leave it out with --bad-files skip"


@dataclass(frozen=True)
class CheckedFile:
    """A file that can be used."""

    path: str
    """Absolute local path, or URL."""
    nevts: int
    """Number of generated events: what the data set says, or else the number of stored events."""
    entries: int
    """Number of stored events."""
    format: Format
    """How the events are stored."""
    uuid: str
    """What ROOT identifies the file by; a copy has the same."""
    size: int
    """Size in bytes."""


@dataclass(frozen=True)
class FileRecord:
    """What became of a file of the data set."""

    path: str
    """Absolute local path, or URL."""
    sample: str
    """Name of the sample."""
    nevts: int | None
    """Number of generated events; None if nobody knows."""
    entries: int | None
    """Number of stored events: of a good file those really there, else those that the data set claims."""
    status: Literal["ok", "skipped"]
    """Whether it is used."""
    reason: str
    """Why it is not used, or where its number of events comes from if not from the data set; else empty."""


@dataclass(frozen=True)
class CheckedSample:
    """A sample of which all files have been checked."""

    process: str
    """Name of the process, e.g. `ttbar`."""
    variation: str
    """Name of the alternative simulation, or `nominal`."""
    good: tuple[CheckedFile, ...]
    """The usable files, in the order of the data set; at least one."""
    records: tuple[FileRecord, ...]
    """One for each file of the data set, in its order."""

    @property
    def name(self) -> str:
        """Name of the sample, e.g. `ttbar__nominal`."""
        return f"{self.process}__{self.variation}"

    @property
    def nevts(self) -> int:
        """Number of generated events of the usable files."""
        return sum(file.nevts for file in self.good)

    @property
    def entries(self) -> int:
        """Number of stored events of the usable files."""
        return sum(file.entries for file in self.good)


def check_file(file: InputFile, tree: str, columns: Mapping[str, str | None]) -> CheckedFile:
    """Check all of a file that can be checked without reading events.

    Damage inside of the stored columns is not seen: only reading them brings it to light.

    Parameters
    ----------
    file : InputFile
        The file.
    tree : str
        Name of its TTree or RNTuple.
    columns : mapping of str to str or None
        The columns that it must have, with their types, e.g. `unsigned int` or `RVec<float>`; None for any.

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
        raise BadFile(file.path, str(error)) from error


def check_samples(
    samples: Sequence[Sample],
    tree: str,
    columns: Mapping[str, str | None],
    skip_bad: bool,
    on_progress: Callable[[int, InputFile], object] = lambda done, file: None,
) -> list[CheckedSample]:
    """Check all files of samples, in a process of its own that a damaged file may crash.

    Parameters
    ----------
    samples : sequence of Sample
        What to check.
    tree, columns
        As in `check_file`.
    skip_bad : bool
        Whether to leave unusable files out instead of raising.
    on_progress : callable
        Called after each file with the number of files checked so far and the file.

    Returns
    -------
    list of CheckedSample
        What is there to be used, in the order of the samples.

    Raises
    ------
    InputError
        If a file is unusable and not to be left out, or if the usable ones of a sample make no sample: none,
        the same one twice, of different formats, or without a single event.
    """
    result = []
    done = 0
    with Worker() as worker:
        for sample in samples:
            good: list[CheckedFile] = []
            records: list[FileRecord] = []
            for file in sample.files:
                try:
                    good.append(_check_apart(worker, file, tree, columns))
                except BadFile as error:
                    if not skip_bad:
                        raise
                    numbers = (file.nevts, file.entries)
                    records.append(FileRecord(file.path, sample.name, *numbers, "skipped", error.reason))
                else:
                    numbers = (good[-1].nevts, good[-1].entries)
                    note = "" if file.nevts is not None else "nevts is the number of entries in the file"
                    records.append(FileRecord(file.path, sample.name, *numbers, "ok", note))
                done += 1
                on_progress(done, file)
            checked = CheckedSample(sample.process, sample.variation, tuple(good), tuple(records))
            _check_together(checked)
            result.append(checked)
    return result


class _Unusable(Exception):  # noqa: N818 (as BadFile)
    """Why a file is bad, without its name."""


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
        records = (
            (opened.GetSeekFree(), opened.GetNbytesFree()),
            (opened.GetSeekInfo(), opened.GetNbytesInfo()),
        )
        if any(start + length > opened.GetEND() for start, length in records):
            raise _Unusable("is damaged (its header points behind its end)")
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
    if not events:
        names = ", ".join(sorted({str(key.GetName()) for key in opened.GetListOfKeys()})) or "nothing"
        raise _Unusable(f"has no '{tree}' (--tree), but {shorten(names, 200)}")
    if isinstance(events, root.RNTuple):
        format_: Format = "RNTuple"
        entries = int(root.RNTupleReader.Open(events).GetNEntries())
        frame = root.RDataFrame(tree, opened.GetName())
    elif isinstance(events, root.TTree):
        format_ = "TTree"
        entries = int(events.GetEntries())
        frame = root.RDataFrame(events)
    else:
        kind = type(events).__cpp_name__
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
    """Check that a branch, and the one with the lengths of its arrays, reach to the end of their TTree."""
    leaf = events.GetLeaf(name)
    for part in (leaf, leaf and leaf.GetLeafCount()):
        if part and part.GetBranch().GetEntries() != entries:
            branch = part.GetBranch().GetName()
            raise _Unusable(f"has {entries} entries, but {part.GetBranch().GetEntries()} in '{branch}'")


def _canonical(name: str) -> str:
    """One name for each type, in plain C++, e.g. `RVec<float>`."""
    name = name.removeprefix("ROOT::VecOps::")
    element = name.removeprefix("RVec<").removesuffix(">")
    return name.replace(element, _SAME_TYPE.get(element, element))


def _check_together(sample: CheckedSample) -> None:
    """Check that usable files make a sample."""
    if not sample.good:
        first_bad = sample.records[0]
        raise InputError(
            f"{sample.name}: no usable file, leave the sample out with --samples ({first_bad.path}: {first_bad.reason})"
        )
    first_of: dict[str, CheckedFile] = {}
    for file in sample.good:
        first = first_of.setdefault(file.uuid, file)
        if first is not file:
            raise InputError(f"{sample.name}: {file.path} is a copy of {first.path} (same UUID), keep one of them")
        if file.format != sample.good[0].format:
            raise InputError(
                f"{sample.name}: {sample.good[0].path} is a {sample.good[0].format} and {file.path} is a"
                f" {file.format}, a sample needs files of one format"
            )
    if sample.nevts == 0:
        raise InputError(
            f"{sample.name}: no events in {sample.good[0].path} or any other file, leave the sample out with --samples"
        )


def _check_apart(worker: Worker, file: InputFile, tree: str, columns: Mapping[str, str | None]) -> CheckedFile:
    """Check a file in a worker, whose death is the fault of the file."""
    try:
        return worker.call(_check_mortally, file, tree, columns)
    except WorkerDied as error:
        if error.exit_status == -signal.SIGALRM:
            raise BadFile(file.path, f"did not open within {_TIMEOUT_S} s") from None
        raise BadFile(file.path, "is damaged (ROOT crashed on opening it)") from None


def _check_mortally(file: InputFile, tree: str, columns: Mapping[str, str | None]) -> CheckedFile:
    """Check a file, and die without much ado where ROOT crashes, takes forever or takes too much memory."""
    load_root().gSystem.ResetSignals()
    with suppress(ValueError):  # the limit of the user is lower still
        setrlimit(RLIMIT_AS, (_MAX_MEMORY, getrlimit(RLIMIT_AS)[1]))
    signal.alarm(_TIMEOUT_S)
    try:
        return check_file(file, tree, columns)
    finally:
        signal.alarm(0)
