"""Check input files before the event loop, where bad ones go unnoticed or take the process down."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from ttbar.errors import InputError
from ttbar.inputs.checksum import checksum_of
from ttbar.inputs.dataset import InputFile
from ttbar.library import load_root

Format = Literal["TTree", "RNTuple"]

# In a local path, ROOT takes these for wildcards, options, variables and commands.
_SPECIAL = "*?[]#$|"

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
    "Long_t": "long",
    "ULong64_t": "unsigned long",
    "ULong_t": "unsigned long",
    "std::uint64_t": "unsigned long",
    "Float_t": "float",
    "Double_t": "double",
}


class BadFile(InputError):  # noqa: N818 (it is the state of a file)
    """An input file that cannot be used.

    Parameters
    ----------
    path : str
        The file, as the data set names it.
    reason : str
        What is wrong with it.
    transient : bool
        Whether it may be better the next time: a server did not give it.
    """

    def __init__(self, path: str, reason: str, transient: bool = False) -> None:
        super().__init__(path, reason, transient)
        self.path = path
        self.reason = reason
        self.transient = transient

    def __str__(self) -> str:
        """One line that names the file, says why and what to do."""
        return f"{self.path}: {self.reason}; replace the file, or leave it out with --bad-files skip"


@dataclass(frozen=True)
class CheckedFile:
    """A file that can be used."""

    path: str
    """Absolute local path, or URL, as the data set names it."""
    source: str
    """Where it is read from: the same, a mirror, or a local copy."""
    others: tuple[str, ...]
    """Where else it can be read."""
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
    version: str
    """When it was last written, if it is a local file: it may have been changed and still be the same to ROOT."""
    checksum: str | None = None
    """What the data set says it must be."""

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What results depend on, wherever it is read from; two files with the same one have the same events."""
        return (self.path, self.uuid, self.size, self.entries, self.version)


@dataclass(frozen=True)
class FileRecord:
    """What became of a file of the data set."""

    path: str
    """Absolute local path, or URL, as the data set names it."""
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
    attempts: int
    """How often it was tried to open it or to read it."""
    checked: CheckedFile | None = None
    """What is used; None if it is not."""
    processed: int = 0
    """Number of stored events that went through the event loop."""
    selected: int = 0
    """Number of those that are in a region, as they were measured."""


@dataclass(frozen=True)
class CheckedSample:
    """A sample of which all files have been checked."""

    process: str
    """Name of the process, e.g. `ttbar`."""
    variation: str
    """Name of the alternative simulation, or `nominal`."""
    records: tuple[FileRecord, ...]
    """One for each file of the data set, in its order."""

    @property
    def name(self) -> str:
        """Name of the sample, e.g. `ttbar__nominal`."""
        return f"{self.process}__{self.variation}"

    @property
    def good(self) -> tuple[CheckedFile, ...]:
        """The usable files, in the order of the data set."""
        return tuple(record.checked for record in self.records if record.checked)

    @property
    def nevts(self) -> int:
        """Number of generated events of the usable files."""
        return sum(file.nevts for file in self.good)

    @property
    def entries(self) -> int:
        """Number of stored events of the usable files."""
        return sum(file.entries for file in self.good)


def is_remote(address: str) -> bool:
    """Whether a file is read from a server."""
    return "://" in address


def needs_cache(address: str) -> bool:
    """Whether ROOT can only read a local copy of a file."""
    return address.startswith(("http://", "https://"))


def check_file(file: InputFile, tree: str, columns: Mapping[str, str | None], source: str | None = None) -> CheckedFile:
    """Check all of a file that can be checked without reading events.

    Damage inside of the stored columns is only seen if the data set has a checksum of the file, and the file
    is local.

    Parameters
    ----------
    file : InputFile
        The file.
    tree : str
        Name of its TTree or RNTuple.
    columns : mapping of str to str or None
        The columns that it must have, with their types, e.g. `unsigned int` or `RVec<float>`; None for any.
    source : str, optional
        Where to read it from, by default its path.

    Returns
    -------
    CheckedFile
        What is known of the file now.

    Raises
    ------
    BadFile
        If it cannot be used. Damage to what a TTree tells about itself may end the process instead, which
        `ttbar.inputs.delivery` survives.
    """
    source = source or file.path
    try:
        if not is_remote(source):
            _check_local(Path(source), file.checksum)
        return _check_content(file, source, tree, columns)
    except _Unusable as error:
        raise BadFile(file.path, str(error)) from error
    except _Unavailable as error:
        raise BadFile(file.path, str(error), transient=is_remote(source)) from error


class _Unusable(Exception):  # noqa: N818 (as BadFile)
    """Why a file is bad, without its name."""


class _Unavailable(Exception):  # noqa: N818 (as BadFile)
    """Why a file cannot be looked at."""


def _check_local(path: Path, checksum: str | None) -> None:
    """Find what is wrong with a local file from the outside, in better words than ROOT's."""
    special = sorted(set(str(path)) & set(_SPECIAL))
    if special:
        raise _Unusable(f"ROOT cannot open a path with {' '.join(special)} in it, rename it")
    if ".root/" in str(path) and ".root" not in path.name:
        raise _Unusable(
            "ROOT takes a folder of its path for the file, rename that folder, or end its own name in .root"
        )
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _Unusable("is not a file")
        with path.open("rb") as stream:
            magic = stream.read(4)
        if not magic:
            raise _Unusable("is empty")
        if magic != b"root":
            raise _Unusable("is not a ROOT file")
        if checksum is not None and checksum != (found := checksum_of(path)):
            raise _Unusable(f"is damaged (its checksum is {found}, the data set says {checksum})")
    except OSError as error:
        raise _Unusable(f"cannot be read ({error.strerror})") from error


def _check_content(file: InputFile, source: str, tree: str, columns: Mapping[str, str | None]) -> CheckedFile:
    """Open a file and look at everything but the events."""
    root = load_root()
    errors = root.ttbar.ErrorCollector()
    opened = None
    try:
        opened = root.TFile.Open(source)
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
            raise _Unavailable(f"is damaged ({errors.first()})")
        if file.entries not in (None, entries):
            raise _Unusable(f"holds {entries} entries where the data set says {file.entries}")
        return CheckedFile(
            path=file.path,
            source=source,
            others=tuple(a for a in file.addresses if a != source and is_remote(a) and not needs_cache(a)),
            nevts=entries if file.nevts is None else file.nevts,
            entries=entries,
            format=format_,
            uuid=str(opened.GetUUID().AsString()),
            size=int(opened.GetSize()),
            version=_last_written(file.path),
        )
    except (_Unusable, _Unavailable):
        raise
    except Exception as error:  # what reaches Python from ROOT is of any type
        reason = str(errors.first()) or shorten(str(error), 200)
        raise _Unavailable(f"cannot be opened ({reason})") from error
    finally:
        errors.stop()
        if opened:
            opened.Close()


def has_changed(file: CheckedFile) -> bool:
    """Whether a file is not the one any more that was checked, or another one where it is read from now.

    Parameters
    ----------
    file : CheckedFile
        The file.

    Returns
    -------
    bool
        Whether it has another identity, or cannot be opened.
    """
    try:
        opened = load_root().TFile.Open(file.source)
    except OSError:
        return True
    try:
        found = (str(opened.GetUUID().AsString()), int(opened.GetSize()), _last_written(file.path))
        return found != (file.uuid, file.size, file.version)
    finally:
        opened.Close()


def _last_written(path: str) -> str:
    """When a local file was last written, as exactly as it is known; empty for one on a server."""
    return "" if is_remote(path) else str(Path(path).stat().st_mtime_ns)


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
