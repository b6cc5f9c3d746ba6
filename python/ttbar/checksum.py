"""Checksums of files, as data set files and XRootD servers give them."""

import zlib
from pathlib import Path

_BLOCK = 2**22


def adler32(path: Path) -> str:
    """Checksum of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    str
        `adler32:` and eight hexadecimal digits.
    """
    value = 1
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            value = zlib.adler32(block, value)
    return f"adler32:{value:08x}"
