"""Files of events: what is known of them, before and after they have been checked."""

from dataclasses import dataclass
from typing import Literal

from ttbar.errors import InputError

Format = Literal["TTree", "RNTuple"]


class BadFile(InputError):
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
class InputFile:
    """A file of events."""

    path: str
    """Absolute local path, or URL."""
    nevts: int | None
    """Number of generated events; None if the data set does not say."""
    entries: int | None
    """Number of stored events; None if the data set does not say."""
    mirrors: tuple[str, ...] = ()
    """Where else it can be read."""
    checksum: str | None = None
    """Checksum of the whole file, e.g. `adler32:0123abcd`; None if the data set does not say."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it can be read, in the order in which to try."""
        return (self.path, *self.mirrors)


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
    clusters: tuple[int, ...] = ()
    """Entries at which it can be divided, in their order: there, some of its clusters begin."""

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
    """Number of generated events; None if it is not known."""
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

    @property
    def line(self) -> str:
        """All that there is to say about it, for people."""
        events = "?" if self.entries is None else f"{self.entries:,}"
        status = "ok " if self.checked else "bad"
        return f"{status} {self.sample}  {events} events  {self.path}  {self.reason}".rstrip()


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
