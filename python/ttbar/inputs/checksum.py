"""Checksums of files, as data set files and XRootD servers give them."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_BLOCK = 2**22


def text(value: int) -> str:
    """A checksum as data set files write it: `adler32:` and eight hexadecimal digits."""
    return f"adler32:{value:08x}"


def checksum(stream: BinaryIO, on_bytes: Callable[[int], object] = lambda number: None) -> int:
    """Compute the checksum of what is left of a stream.

    Parameters
    ----------
    stream : binary file
        What to read.
    on_bytes : callable
        Called with the number of bytes whenever some have been read.

    Returns
    -------
    int
        The checksum, to be continued with `zlib.adler32`.
    """
    value = 1
    while block := stream.read(_BLOCK):
        value = zlib.adler32(block, value)
        on_bytes(len(block))
    return value


def checksum_of(path: Path) -> str:
    """Compute the checksum of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    str
        As `text` writes it.
    """
    with path.open("rb") as stream:
        return text(checksum(stream))
