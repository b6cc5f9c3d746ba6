"""Local copies of files on servers: each is downloaded once, whatever happens meanwhile."""

import errno
import hashlib
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

import cattrs
from filelock import FileLock, Timeout

from ttbar.errors import InputError
from ttbar.inputs import checksum as checksums
from ttbar.inputs.download import Content, DownloadFailed, RemoteFile, open_remote
from ttbar.masking import masked
from ttbar.output import write_json
from ttbar.reading import read_json

# What is set aside at a time for a file of unknown size.
_PORTION = 16 * 2**20

# A ROOT file of at least this version writes where it ends with 8 bytes instead of 4.
_LARGE_FILE = 1_000_000

# How often to look how far another process is that downloads the same file.
_LOOK_S = 0.5

OnBytes = Callable[[int], object]


class CacheFull(InputError):
    """There is no room for a file under the size limit."""


@dataclass(frozen=True)
class Cache:
    """A folder of copies, which several processes can use at once.

    A copy stays what it is, whatever becomes of the file on the server, until it makes room for another one, is
    removed by hand, or the data set says another checksum. A download that was interrupted goes on where it was.
    """

    folder: Path
    """Where the copies are, each with a record (`.json`) of what it is, and a lock."""
    limit: int | None
    """Largest size of all copies together, in bytes, from the next download on; None for any."""
    since: float
    """Start of this run, in seconds since the epoch; what has been used after it does not make room."""
    timeout: float
    """Seconds after which a silent server counts as dead."""

    def fetch(
        self,
        address: str,
        checksum: str | None = None,
        on_bytes: OnBytes = lambda number: None,
        source: str | None = None,
    ) -> Path:
        """Get a copy of a file, in a process that does not load ROOT (see `ttbar.inputs.download`).

        Parameters
        ----------
        address : str
            The file, as the data set names it.
        checksum : str, optional
            What the data set says of it, e.g. `adler32:0123abcd`.
        on_bytes : callable
            Called with the number of bytes whenever some have been downloaded, here or by another process that this
            one waits for, or have been read to compute a checksum.
        source : str, optional
            Where to download it from, by default its address.

        Returns
        -------
        pathlib.Path
            The copy.

        Raises
        ------
        DownloadFailed
            If the server does not give it, or gives something else.
        CacheFull
            If there is no room for it under the limit.
        InputError
            If the folder cannot be used, or its disk is full.
        """
        copy = _Copy(self.folder / _name(address))
        with self._local_failures():
            self.folder.mkdir(parents=True, exist_ok=True)
            with copy.locked(on_bytes):
                if not copy.is_good(checksum, on_bytes):
                    copy.path.unlink(missing_ok=True)
                    self._download(copy, address, checksum, on_bytes, source or address)
                copy.mark_used()
        return copy.path

    def forget(self, address: str) -> None:
        """Remove the copy of a file, which has turned out to be bad.

        Parameters
        ----------
        address : str
            The file, as the data set names it.
        """
        copy = _Copy(self.folder / _name(address))
        with copy.locked(lambda number: None):
            copy.remove()

    def _download(self, copy: "_Copy", address: str, checksum: str | None, on_bytes: OnBytes, source: str) -> None:
        """Download a file, or the rest of it."""
        started = copy.record()
        server = hashlib.sha256(source.encode()).hexdigest()  # another one has marks of its own
        known = Content(started.size, started.version) if started and started.source == server else None
        with closing(open_remote(source, self.timeout, _size(copy.part), known, checksum)) as remote:
            size = remote.content.size
            record = _Record(masked(address), size or 0, remote.content.version, source=server)
            try:
                with copy.part.open("a+b") as stream:
                    stream.truncate(remote.start)  # before there is a record of what the rest is going to be
                    self._make_room(copy, record)
                    stream.seek(0)
                    found = checksums.checksum(stream, on_bytes)
                    for block in remote.blocks():
                        end = stream.tell() + len(block)
                        if size is None and end > record.size:
                            record = replace(record, size=end + _PORTION)
                            self._make_room(copy, record)
                        stream.write(block)
                        found = zlib.adler32(block, found)
                        on_bytes(len(block))
                    stream.flush()
                    os.fsync(stream)
            except (OSError, CacheFull):
                copy.remove()
                raise
            if fault := _fault(copy.part, checksums.text(found), checksum, remote):
                copy.remove()
                raise DownloadFailed(source, fault, transient=True)
        copy.part.replace(copy.path)
        # The checksum makes the record that of a copy that can be trusted, so it comes last.
        copy.write(replace(record, size=_size(copy.path), checksum=checksums.text(found), signature=copy.signature()))

    def _make_room(self, copy: "_Copy", record: "_Record") -> None:
        """Set aside the size in a record, for which copies that were not used for longest may have to go."""
        with FileLock(self.folder / "lock"):
            if self.limit is not None:
                others = [other for other in _copies(self.folder) if other != copy]
                idle = sorted((other for other in others if other.used() < self.since), key=_Copy.used)
                excess = record.size + sum(map(_Copy.size, others)) - self.limit
                if excess <= sum(map(_Copy.size, idle)):  # else none of them has to go in vain
                    for other in idle:
                        if excess > 0:
                            excess -= other.evict(self.since)
                if excess > 0:
                    raise CacheFull(
                        f"{self.folder}: no room for the {record.size} bytes of {record.address} among what is in use;"
                        " raise --cache-limit"
                    )
            copy.write(record)
            copy.mark_used()

    @contextmanager
    def _local_failures(self) -> Iterator[None]:
        """Say what is wrong with the folder."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                reason, remedy = "the disk is full", "make room there, lower --cache-limit, or"
            else:
                reason, remedy = error.strerror or str(error), "make it a folder to write to, or"
            raise InputError(f"{self.folder}: {reason}; {remedy} choose another folder with --cache") from None


def keep(copy: Path) -> None:
    """Keep a copy from making room for another one, until this process ends.

    Parameters
    ----------
    copy : pathlib.Path
        What `Cache.fetch` gave.
    """
    _, most = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (most, most))  # there can be more copies than files that one may usually open
    flock(os.open(copy, os.O_RDONLY), LOCK_SH)


@dataclass(frozen=True)
class _Record:
    """What a copy is, or is going to be."""

    address: str
    """As it may be shown."""
    size: int
    version: str
    checksum: str | None = None
    signature: list[int] | None = None
    source: str = ""
    """Hash of the address that it comes from."""


@dataclass(frozen=True)
class _Copy:
    """A copy and what is beside it, which only the holder of its lock changes."""

    path: Path

    @property
    def part(self) -> Path:
        """What is there of it during a download."""
        return self._beside("part")

    @contextmanager
    def locked(self, on_bytes: OnBytes) -> Iterator[None]:
        """Keep other processes away, after having waited for one that may be downloading it."""
        lock, seen = FileLock(self._beside("lock")), 0
        while True:
            try:
                lock.acquire(timeout=_LOOK_S)
                break
            except Timeout:
                size = _size(self.part)
                on_bytes(max(size - seen, 0))
                seen = size
        try:
            yield
        finally:
            lock.release()

    def is_good(self, checksum: str | None, on_bytes: OnBytes) -> bool:
        """Whether it is there, whole, unchanged, and what the data set says."""
        record = self.record()
        if record is None or checksum not in (None, record.checksum) or not self.path.is_file():
            return False
        if self.signature() != record.signature:
            with self.path.open("rb") as stream:
                if checksums.text(checksums.checksum(stream, on_bytes)) != record.checksum:
                    return False
            self.write(replace(record, signature=self.signature()))
        return True

    def signature(self) -> list[int]:
        """What changes whenever the content does."""
        status = self.path.stat()
        return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]

    def record(self) -> _Record | None:
        """What was written down; None if nothing was, or if it cannot be understood."""
        try:
            return cattrs.structure(read_json(self._beside("json")), _Record)
        except Exception:  # what is not like a record makes cattrs raise anything
            return None

    def write(self, record: _Record) -> None:
        """Write down what it is."""
        write_json(self._beside("json"), asdict(record))

    def size(self) -> int:
        """Bytes that it takes, or is going to take."""
        record = self.record()
        return record.size if record else 0

    def used(self) -> float:
        """When it was last used, in seconds since the epoch; 0 if it is not there any more."""
        try:
            return self._beside("json").stat().st_mtime
        except FileNotFoundError:
            return 0

    def mark_used(self) -> None:
        """Write down that it is used now."""
        # A change of the copy's own times would change its signature. The kernel's clock lags behind this one.
        now = time.time()
        os.utime(self._beside("json"), (now, now))

    def evict(self, since: float) -> int:
        """Remove it unless it is in use, and say how many bytes that gives."""
        with suppress(Timeout), FileLock(self._beside("lock"), timeout=0):
            if self.used() < since and not self._is_kept():
                size = self.size()
                self.remove()
                return size
        return 0

    def _is_kept(self) -> bool:
        """Whether a process uses it."""
        try:
            with self.path.open("rb") as stream:
                flock(stream, LOCK_EX | LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def remove(self) -> None:
        """Remove all of it, the record last because it says that there is something."""
        for file in (self.path, self.part, self._beside("json")):
            file.unlink(missing_ok=True)

    def _beside(self, kind: str) -> Path:
        """A file that belongs to it."""
        return self.path.with_name(f"{self.path.name}.{kind}")


def _name(address: str) -> str:
    """A name of its own for the copy of a file, without what ROOT does not take for a part of a name."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]", "_", masked(address).partition("?")[0].rpartition("/")[2], flags=re.ASCII)
    # All names end in the same way, so that none looks like that of what is beside a copy.
    return f"{digest}-{name.removesuffix('.root')[-100:]}.root"


def _copies(folder: Path) -> list[_Copy]:
    """All copies in a folder, also those that are being downloaded."""
    return [_Copy(path.with_suffix("")) for path in folder.glob("*.root.json")]


def _size(path: Path) -> int:
    """Size of a file, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _fault(part: Path, found: str, checksum: str | None, remote: RemoteFile) -> str | None:
    """What is wrong with what was downloaded; None if nothing is known to be."""
    expected = checksum or remote.checksum()
    if expected not in (None, found):
        return f"its checksum is {found}, the {'data set' if checksum else 'server'} says {expected}"
    for algorithm, said in remote.hashes.items():
        with part.open("rb") as stream:
            if said != (hash_ := hashlib.file_digest(stream, algorithm).hexdigest()):
                return f"its {algorithm} is {hash_}, the server says {said}"
    with part.open("rb") as stream:
        header = stream.read(20)
    # Portals and proxies answer with pages of theirs, which must not stay here in place of the file.
    if header[:4] != b"root":
        return "the server gave something else than a ROOT file"
    is_large = int.from_bytes(header[4:8]) >= _LARGE_FILE
    end, size = int.from_bytes(header[12 : 20 if is_large else 16]), _size(part)
    return f"the server gave {size} of {end} bytes, as the file itself says" if end > size else None
