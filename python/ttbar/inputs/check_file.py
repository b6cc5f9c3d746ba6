"""Check input files before the event loop, where bad ones go unnoticed or take the process down."""

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from resource import RLIMIT_AS, getrlimit, setrlimit
from textwrap import shorten
from typing import Any

from ttbar import worker
from ttbar.inputs.checksum import checksum_of
from ttbar.inputs.files import BadFile, CheckedFile, Format, InputFile, is_remote, needs_cache
from ttbar.library import load_root

# Largest address space of the process that checks: damage can send ROOT for all the memory of a machine.
_MAX_MEMORY = 4 * 2**30

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
_INTEGERS = frozenset(_SAME_TYPE.values()) - {"bool", "float", "double"}

MAX_PARTS = 250
"""Into so many parts a file can be divided at most."""

# What RDataFrame calls the length of an array in an RNTuple; it reads nothing else.
_SIZE = "R_rdf_sizeof_"


def check_file(
    file: InputFile,
    tree: str,
    columns: Mapping[str, str | None],
    source: str | None = None,
    reserved: frozenset[str] = frozenset(),
) -> CheckedFile:
    """Check all of a file that can be checked without reading events.

    Damage inside of the stored columns is only seen if the data set has a checksum of the file, and the file
    is local. The arrays of a collection (`Jet_pt`, `Jet_eta`, ...) have one length in each event; where the
    structure of the file does not see to it, as that of NanoAOD does, lengths are read and compared.

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
    reserved : frozenset of str
        Names that none of its columns may have.

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
        return _check_content(file, source, tree, columns, reserved)
    except _Unusable as error:
        raise BadFile(file.path, worker.with_machine(error)) from error
    except _Unavailable as error:  # a machine of a cluster may have what another one lacks
        transient = is_remote(source) or bool(worker.machine)
        raise BadFile(file.path, worker.with_machine(error), transient) from error


def check_with_memory_limit(
    file: InputFile, tree: str, columns: Mapping[str, str | None], source: str, reserved: frozenset[str]
) -> CheckedFile:
    """Check a file as `check_file` does, and fail or die where ROOT takes too much memory."""
    with _limited_memory():
        return check_file(file, tree, columns, source, reserved)


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Give this process less memory than there is."""
    soft, hard = getrlimit(RLIMIT_AS)
    with suppress(ValueError):  # the limit of the user is lower still
        setrlimit(RLIMIT_AS, (_MAX_MEMORY, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_AS, (soft, hard))


class _Unusable(Exception):
    """Why a file is bad, without its name."""


class _Unavailable(Exception):
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
        raise _Unavailable(f"cannot be read ({error.strerror})") from error


def _check_content(
    file: InputFile, source: str, tree: str, columns: Mapping[str, str | None], reserved: frozenset[str]
) -> CheckedFile:
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
        format_, entries, clusters = _check_tree(root, opened, source, tree, columns, reserved)
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
            clusters=clusters,
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
    """Whether a file has changed since it was checked, or is another one where it is read from now.

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
        with _opened(file) as opened:
            found = (str(opened.GetUUID().AsString()), int(opened.GetSize()), _last_written(file.path))
    except OSError:
        return True
    return found != (file.uuid, file.size, file.version)


def name_in_root(file: CheckedFile) -> str:
    """What ROOT calls a file when it has opened it: not always what it was asked for.

    Parameters
    ----------
    file : CheckedFile
        The file.

    Returns
    -------
    str
        The name; the address that was asked for if the file cannot be opened.
    """
    try:
        with _opened(file) as opened:
            return str(opened.GetName())
    except OSError:
        return file.source


@contextmanager
def _opened(file: CheckedFile) -> Iterator[Any]:
    """Open a file that was checked once more."""
    opened = load_root().TFile.Open(file.source)
    try:
        yield opened
    finally:
        opened.Close()


def _last_written(path: str) -> str:
    """When a local file was last written, as exactly as it is known; empty for one on a server."""
    return "" if is_remote(path) else str(Path(path).stat().st_mtime_ns)


def _check_tree(
    root: Any, opened: Any, source: str, tree: str, columns: Mapping[str, str | None], reserved: frozenset[str]
) -> tuple[Format, int, tuple[int, ...]]:
    """Check the tree of an open file; its format, number of entries, and where it can be divided come back."""
    events = opened.Get(tree)
    if not events:
        names = ", ".join(sorted({str(key.GetName()) for key in opened.GetListOfKeys()})) or "nothing"
        raise _Unusable(f"has no '{tree}' (--tree), but {shorten(names, 200)}")
    if isinstance(events, root.RNTuple):
        if ";" in tree:
            raise _Unusable(f"has an RNTuple, which has no cycles: leave out what follows the ';' in '{tree}' (--tree)")
        format_: Format = "RNTuple"
        reader = root.RNTupleReader.Open(events)
        entries = int(reader.GetNEntries())
        clusters = (int(cluster.GetFirstEntryIndex()) for cluster in reader.GetDescriptor().GetClusterIterable())
        begins = _thinned(sorted(clusters), entries)
        frame = root.RDataFrame(tree, source)
        length = _lengths_in_rntuple(frame, reader.GetDescriptor())
    elif isinstance(events, root.TTree):
        format_ = "TTree"
        entries = int(events.GetEntries())
        _check_friends(events)
        begins = _thinned(_clusters_in_ttree(events), entries)
        frame = root.RDataFrame(events)
        length = _lengths_in_ttree(events)
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
    for name in sorted(reserved):
        if frame.HasColumn(name):
            raise _Unusable(f"has a column '{name}' in '{tree}', a name that expressions need, rename it")
    if entries:
        _check_lengths(root, frame, length, columns, entries)
    return format_, entries, begins


def _clusters_in_ttree(events: Any) -> Iterator[int]:
    """The first entries of the clusters of a TTree."""
    clusters = events.GetClusterIterator(0)
    begin = -1
    while begin < (begin := int(clusters.Next())) < events.GetEntries():
        yield begin


def _thinned(begins: Iterable[int], entries: int) -> tuple[int, ...]:
    """Those of the first entries of clusters that are apart enough to divide a file; it can have many thousands."""
    kept = [0]
    for begin in begins:
        if begin - kept[-1] >= max(1, entries / MAX_PARTS) and begin < entries:
            kept.append(begin)
    return tuple(kept[1:])


def _check_friends(events: Any) -> None:
    """Check that the friends of a TTree are there: ROOT looks at them for any column, and crashes without."""
    for friend in events.GetListOfFriends() or ():
        # Without its file, ROOT takes any tree of that name for it.
        tree = friend.GetFile() and friend.GetTree()
        if not tree:
            where = f"'{friend.GetTreeName()}' in {friend.GetTitle()}"
            raise _Unusable(f"has a friend tree {where}, which cannot be opened, bring it back or remove the friend")
        _check_friends(tree)


def _check_branch(events: Any, name: str, entries: int) -> None:
    """Check that a branch, and the one with the lengths of its arrays, are what the event loop can read."""
    leaf = events.GetLeaf(name)
    if not leaf:
        return
    if leaf.GetBranch().GetTree() != events:
        raise _Unusable(f"has the column '{name}' only in a friend tree, write it into the same tree as the others")
    counter = leaf.GetLeafCount()
    for part in (leaf, counter):
        if part and part.GetBranch().GetEntries() != entries:
            branch = part.GetBranch().GetName()
            raise _Unusable(f"has {entries} entries, but {part.GetBranch().GetEntries()} in '{branch}'")
    if counter and counter.GetLenType() == 1:
        raise _Unusable(
            f"has the lengths of '{name}' in '{counter.GetName()}' of type {counter.GetTypeName()},"
            " ROOT needs an integer of at least 16 bits"
        )


def _check_lengths(
    root: Any, frame: Any, length: Callable[[str], str], columns: Mapping[str, str | None], entries: int
) -> None:
    """Check that the arrays of each collection, and its counter if there is one, have one length in each event."""
    collections: dict[str, list[str]] = {}
    for name, type_ in columns.items():
        if type_ and type_.startswith("RVec<"):
            collections.setdefault(name.partition("_")[0], []).append(name)
    pairs = {}
    for collection, (first, *others) in collections.items():
        counter = f"n{collection}"
        if frame.HasColumn(counter) and _canonical(str(frame.GetColumnType(counter))) in _INTEGERS:
            others.append(counter)
        one = length(first)
        pairs.update({(first, name): (one, other) for name in others if (other := length(name)) != one})
    if not pairs:
        return
    columns_of = {}
    for expression in dict.fromkeys(expression for pair in pairs.values() for expression in pair):
        columns_of[expression] = expression
        if not expression.startswith(_SIZE):
            columns_of[expression] = f"ttbar_length_{len(columns_of)}"
            frame = frame.Define(columns_of[expression], f"static_cast<std::uint64_t>({expression})")
    node = root.RDF.AsRNode(frame)
    root.ttbar.report_progress(root.ttbar.count(node), worker.counter_address())
    counts = {
        names: root.ttbar.count_different(node, columns_of[one], columns_of[other])
        for names, (one, other) in pairs.items()
    }
    for (first, name), count in counts.items():
        if number := int(count.GetValue()):
            raise _Unusable(
                f"has '{first}' and '{name}' for different numbers of objects in {number} of {entries} events"
            )


def _lengths_in_ttree(events: Any) -> Callable[[str], str]:
    """C++ expression of the length of an array, or the value of a counter, in a TTree.

    If two are equal, they are stored in one place. Each reads as little as possible.
    """

    def length(name: str) -> str:
        leaf = events.GetLeaf(name)
        if not leaf or leaf.InheritsFrom("TLeafElement"):
            return f"{name}.size()"  # an object with a length of its own
        counter = leaf.GetLeafCount()
        if not counter:
            return str(leaf.GetLenStatic()) if "[" in leaf.GetTitle() else name
        is_column = counter.GetName() == counter.GetBranch().GetName()
        return str(counter.GetName()) if is_column else f"{name}.size()"

    return length


def _lengths_in_rntuple(frame: Any, descriptor: Any) -> Callable[[str], str]:
    """As `_lengths_in_ttree`, in an RNTuple: fields that project from one collection share its offsets."""
    known: dict[int, str] = {}

    def length(name: str) -> str:
        stored = [int(c.GetPhysicalId()) for c in descriptor.GetColumnIterable(descriptor.FindFieldId(name))]
        size = f"{_SIZE}{name}"
        expression = size if frame.HasColumn(size) else name
        return known.setdefault(stored[0], expression) if stored else expression

    return length


def _canonical(name: str) -> str:
    """One name for each type, in plain C++, e.g. `RVec<float>`."""
    name = name.removeprefix("ROOT::VecOps::")
    element = name.removeprefix("RVec<").removesuffix(">")
    return name.replace(element, _SAME_TYPE.get(element, element))
