"""Reading files that others wrote: regular files of a sensible size only, text in UTF-8, JSON without liberties."""

import json
import stat
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any

from ttbar.errors import InputError

MAX_BYTES = 64 * 2**20
"""Largest size of a text file: what Python makes of it takes some ten times as much memory."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_file(path: Path) -> None:
    """Refuse what is no regular file, without opening it: a named pipe waits forever, a device may do anything.

    Parameters
    ----------
    path : pathlib.Path
        The file, or a symbolic link to it.

    Raises
    ------
    InputError
        If there is no such file, or it is something else.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise InputError(f"{path} is {kind}, not a file: give the path of a regular file")


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    limit : int
        Largest number of bytes.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    InputError
        If it cannot be read, is no regular file, or is larger.
    """
    require_file(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise InputError(f"{path} is larger than {limit / 2**20:.0f} MiB, which no such file is: check the path")
    return content


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    str
        Its content.

    Raises
    ------
    InputError
        If it cannot be read, or is not text in UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 (byte {error.start}): save it as UTF-8") from None


def read_json(path: Path, any_number: bool = False) -> Any:
    """Read a JSON file, without the liberties that Python's parser takes.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    any_number : bool
        Whether NaN and Infinity are numbers, which is Python's dialect of JSON. Integers beyond all that is counted
        are then floats, so that they can be computed with.

    Returns
    -------
    object
        Its content.

    Raises
    ------
    InputError
        If it cannot be read, or is not JSON, or a key occurs twice in one object.
    """
    content = read_bytes(path)
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=float if any_number else _refuse,
            parse_int=_integer if any_number else int,
        )
    except RecursionError:
        raise InputError(f"{path}: not a JSON file of this program: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, of which each key occurs once."""
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {short_repr(key)} occurs twice in one object")
            seen.add(key)
    return result


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no number {constant}")
