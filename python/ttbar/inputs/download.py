"""Files on servers, read from any byte on, over XRootD and HTTP alike.

The libraries for it are loaded when a file is opened: ROOT brings an XRootD client of its own along, so a process opens
files here or loads ROOT, but not both.
"""

import base64
import hashlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ttbar.errors import InputError

_LARGEST_BLOCK = 4 * 2**20
_SMALLEST_BLOCK = 16 * 2**10

# XRootD errors that another attempt does not help: not authorized, not found, not a file, is a directory.
_FINAL_XROOTD_ERROR = re.compile(r"\[(3010|3011|3015|3016)\]")

# What hash functions are called in the headers of HTTP.
_HASHES = {"md5": "md5", "sha": "sha1", "sha-256": "sha256", "sha-512": "sha512"}

_WEAK = "W/"  # what a mark begins with, as in HTTP, that two contents can have in common

# HTTP errors below 500 that another attempt may help all the same: time-out, too early, too many requests.
_TRANSIENT_HTTP_ERRORS = (408, 425, 429)


class DownloadFailed(InputError):
    """A server did not give a file.

    Parameters
    ----------
    address : str
        The file.
    reason : str
        What happened.
    transient : bool
        Whether trying again may help.
    """

    def __init__(self, address: str, reason: str, transient: bool) -> None:
        super().__init__(address, reason, transient)
        self.reason = reason
        self.transient = transient

    def __str__(self) -> str:
        """One line that names the file, says why and what to do."""
        address, reason, transient = self.args
        remedy = "try again later" if transient else "correct the address"
        return f"{address}: {reason}; {remedy}, or read it from elsewhere with --prefix"


@dataclass(frozen=True)
class Content:
    """What a server says about the content of a file, to tell whether it has changed."""

    size: int | None
    """Bytes; None if the server does not say."""
    version: str
    """A mark of the content; it begins with `W/` if another content can have the same, as the time of the last change
    can be of one second; empty if the server does not say."""

    @property
    def is_exact(self) -> bool:
        """Whether no other content has the same mark."""
        return self.version != "" and not self.version.startswith(_WEAK)


class RemoteFile(ABC):
    """A file on a server, open for reading.

    Attributes
    ----------
    content
        What the server says about it.
    start
        The byte from which on it is read.
    hashes
        Hashes of the whole content as the server says, hexadecimal, by their name in `hashlib`.
    """

    content: Content
    start: int
    hashes: Mapping[str, str]

    def __init__(self, address: str, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._checksum: str | None = None
        self.hashes = {}

    def blocks(self) -> Iterator[bytes]:
        """Give what is in the file, from `start` to the end.

        Yields
        ------
        bytes
            The next block.

        Raises
        ------
        DownloadFailed
            If the server does not give all of it.
        """
        size = self.content.size
        position = self.start
        while position != size:
            with self._failures():
                block = self._read()
            if not block:
                break
            position += len(block)
            yield block
        if size not in (None, position):
            raise DownloadFailed(self._address, f"the server gave {position} of {size} bytes", transient=True)

    def checksum(self) -> str | None:
        """Ask the server for the checksum of the whole content, e.g. `adler32:0123abcd`; None if it does not say."""
        with suppress(DownloadFailed), self._failures():
            if self._checksum is None and (value := self._ask_adler32()):
                self._checksum = f"adler32:{value.lower():0>8}"
        return self._checksum

    @abstractmethod
    def close(self) -> None:
        """Let go of the server."""

    @abstractmethod
    def _read(self) -> bytes:
        """Read the next block, empty at the end."""

    @abstractmethod
    def _ask_adler32(self) -> str | None:
        """Ask the server for the adler32 of the whole content, hexadecimal."""

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Translate what the libraries raise into DownloadFailed."""
        try:
            yield
        except TimeoutError:
            raise DownloadFailed(
                self._address, f"nothing came from the server for {self._timeout:g} s", transient=True
            ) from None
        except FileNotFoundError:
            raise DownloadFailed(self._address, "the server does not have it", transient=False) from None
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            transient = isinstance(error, OSError) and not _FINAL_XROOTD_ERROR.search(reason)
            raise DownloadFailed(self._address, reason, transient) from None


def open_remote(
    address: str, timeout: float, start: int = 0, known: Content | None = None, checksum: str | None = None
) -> RemoteFile:
    """Open a file on a server.

    Parameters
    ----------
    address : str
        Its address: `root://`, `http://` or `https://`.
    timeout : float
        Seconds without a byte after which the server counts as dead.
    start : int
        The byte to read from if the content is sure to be the known one: the server gives an exact mark of it, or else
        there is a checksum, with which the caller compares the whole. If it is not, or if the server cannot begin
        there, the file is read from another byte, as a rule the first: see `RemoteFile.start`.
    known : Content or None
        The content of which the bytes before `start` are.
    checksum : str or None
        What the whole is to be compared with, in place of `RemoteFile.checksum`.

    Returns
    -------
    RemoteFile
        The file, to be closed by the caller.

    Raises
    ------
    DownloadFailed
        If the server does not give it.
    """
    # The last byte is asked for even if it is there, because HTTP has no empty ranges.
    start = min(start, known.size - 1) if known and known.size and known.version else 0
    kind = _HTTPFile if address.startswith(("http://", "https://")) else _XRootDFile
    remote = kind(address, timeout, start, known)
    if remote.start and not remote.content.is_exact and not (checksum or remote.checksum()):
        remote.close()
        remote = kind(address, timeout, 0, None)
    return remote


class _XRootDFile(RemoteFile):
    """A file on an XRootD server."""

    def __init__(self, address: str, timeout: float, start: int, known: Content | None) -> None:
        super().__init__(address, timeout)
        from fsspec_xrootd import XRootDFileSystem
        from XRootD.client import URL

        seconds = max(1, round(timeout))
        _set_xrootd_time_limits(seconds)
        with self._failures():
            # Finding other sources is left to redirectors: the library loses the ports of those that it finds.
            self._system = XRootDFileSystem(URL(address).hostid, timeout=seconds, locate_all_sources=False)
            self._file: Any = self._system.open(address, cache_type="none")
        self.content = Content(self._file.size, f"{_WEAK}{self._file.details['mtime']}")
        self.start = start if self.content == known else 0
        self._file.seek(self.start)
        self._block = 4 * _SMALLEST_BLOCK

    def close(self) -> None:
        self._file.timeout = 1  # a dead server is not worth waiting for
        with suppress(OSError):
            self._file.close()
        self._file.closed = True

    def _read(self) -> bytes:
        # The time limit is one for a whole block, so a slow server is asked for small ones.
        begin = time.monotonic()
        block: bytes = self._file.read(self._block)
        quick = time.monotonic() - begin < self._timeout / 16
        self._block = min(2 * self._block, _LARGEST_BLOCK) if quick else max(self._block // 2, _SMALLEST_BLOCK)
        return block

    def _ask_adler32(self) -> str | None:
        # Servers choose the algorithm themselves.
        algorithm, value = self._system.checksum(self._file.path)
        return str(value) if algorithm == "adler32" else None


def _set_xrootd_time_limits(seconds: int) -> None:
    """Have the XRootD client fail in time and forgive; variables of the environment (XRD_...) take precedence."""
    from XRootD.client import env

    env.EnvPutInt("TimeoutResolution", 1)
    env.EnvPutInt("ConnectionWindow", seconds)
    env.EnvPutInt("ConnectionRetry", 1)
    env.EnvPutInt("StreamErrorWindow", 0)  # otherwise a server that was down once counts as dead for half an hour


class _HTTPFile(RemoteFile):
    """A file on an HTTP server."""

    def __init__(self, address: str, timeout: float, start: int, known: Content | None) -> None:
        super().__init__(address, timeout)
        from aiohttp import ClientTimeout
        from fsspec.implementations.http import HTTPFileSystem

        limits = ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        self._system = HTTPFileSystem(client_kwargs={"timeout": limits})
        with self._failures():
            if known and start and self._open_rest(start, known):
                self.content, self.start = known, start
            else:
                headers = self._open()
                length = headers.get("Content-Length") if _is_plain(headers) else None
                self.content = Content(None if length is None else int(length), _version(headers))
                self.start = 0
            self.hashes = _hashes(self._file.r.headers, whole=not self.start)

    def close(self) -> None:
        self._file.close()

    def _open(self, **headers: str) -> Any:
        """Ask for the file; the headers of the answer come back."""
        headers["Accept-Encoding"] = "identity"
        # Given any size, the library does not ask for it beforehand; the answer brings the real one.
        self._file: Any = self._system.open(self._address, block_size=0, size=1, headers=headers)
        return self._file.r.headers

    def _open_rest(self, start: int, known: Content) -> bool:
        """Ask for the rest of a known content, and say whether it is that what the server gives."""
        from aiohttp import ClientResponseError

        assert known.size is not None
        # Some XRootD servers give nothing when asked for a range without an end.
        wanted = f"{start}-{known.size - 1}"
        try:
            headers = self._open(Range=f"bytes={wanted}")
        except ClientResponseError as error:
            if error.status == 416:  # the file ends before the range
                return False
            raise
        if (
            headers.get("Content-Range") == f"bytes {wanted}/{known.size}"
            and _is_plain(headers)
            and _version(headers) == known.version
        ):
            return True
        self.close()
        return False

    def _read(self) -> bytes:
        block: bytes = self._file.read(_LARGEST_BLOCK)
        return block

    def _ask_adler32(self) -> str | None:
        headers = {"Want-Digest": "adler32", "Accept-Encoding": "identity"}
        digests = self._system.info(self._address, headers=headers).get("Digest") or ""
        found = re.search(r"(?:^|,)\s*adler32=([0-9a-f]{1,8})\s*(?:,|$)", digests, re.IGNORECASE)
        return found and found[1]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        from aiohttp import ClientError, ClientResponseError

        with super()._failures():
            try:
                yield
            except ClientResponseError as error:
                transient = error.status >= 500 or error.status in _TRANSIENT_HTTP_ERRORS
                reason = f"the server answered {error.status} {error.message}".strip()
                raise DownloadFailed(self._address, reason, transient) from None
            except ClientError as error:
                if isinstance(error, OSError | ValueError):
                    raise
                raise OSError(str(error) or type(error).__name__) from error


def _is_plain(headers: Mapping[str, str]) -> bool:
    """Whether an answer is the file itself, instead of a compressed form that the library unpacks."""
    return headers.get("Content-Encoding", "identity") == "identity"


def _version(headers: Mapping[str, str]) -> str:
    """What an answer says to mark the content."""
    tag, changed = headers.get("ETag", ""), headers.get("Last-Modified", "")
    if not tag:
        return changed and _WEAK + changed
    with suppress(ValueError):  # some servers make a tag of nothing but the second and the size
        if tag.startswith(f'"{int(parsedate_to_datetime(changed).timestamp()):x}-'):
            return _WEAK + tag
    return tag


def _hashes(headers: Mapping[str, str], whole: bool) -> dict[str, str]:
    """Hashes that an answer, with the whole content or a part of it, says that the whole has."""
    said = [headers.get(name, "") for name in ("Digest", "Repr-Digest")]
    if whole:
        said += [headers.get("Content-Digest", ""), f"md5={headers.get('Content-MD5', '')}"]
    hashes = {}
    if _is_plain(headers):
        for name, value in re.findall(r"([\w-]+)=:?([A-Za-z0-9+/]+=*)", ",".join(said)):
            algorithm = _HASHES.get(name.lower())
            with suppress(ValueError):
                digest = base64.b64decode(value, validate=True)
                if algorithm and len(digest) == hashlib.new(algorithm).digest_size:
                    hashes[algorithm] = digest.hex()
    return hashes
