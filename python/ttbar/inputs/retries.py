"""Trying again what a server refused, a little later each time, and then elsewhere."""

from collections.abc import Callable, Generator, Iterable
from threading import Event
from typing import Never, TypeVar

from ttbar.inputs.files import BadFile

ATTEMPTS = 4
"""How often an address is tried."""

LONGEST_PAUSE_S = 30.0

T = TypeVar("T")


def attempts(addresses: Iterable[str]) -> Generator[tuple[str, float], BadFile, Never]:
    """Say where to read a file, again and again, until it has been read.

    Parameters
    ----------
    addresses : iterable of str
        Where the file can be read; at least one.

    Yields
    ------
    address : str
        Where to read it. What became of that is to be sent; after a transient `BadFile` the address comes again.
    pause : float
        Seconds to wait before; they double each time.

    Raises
    ------
    BadFile
        What is wrong with the file at the first address, if none gives it.
    """
    errors = []
    for address in addresses:
        for attempt in range(ATTEMPTS):
            error = yield address, min(2.0 ** (attempt - 1), LONGEST_PAUSE_S) if attempt else 0.0
            if not error.transient:
                break
        errors.append(error)
    raise errors[0]


def first_success(addresses: Iterable[str], read: Callable[[str], T], ended: Event) -> T:
    """Read a file from the first of its addresses that gives it.

    Parameters
    ----------
    addresses : iterable of str
        Where the file can be read; at least one.
    read : callable
        Reads it from one of them, as often as `attempts` says.
    ended : threading.Event
        When it is set, a pause ends at once.

    Returns
    -------
    object
        What `read` gave.

    Raises
    ------
    BadFile
        What is wrong with the file at the first address, if none gives it.
    """
    plan = attempts(addresses)
    address, pause = next(plan)
    while True:
        ended.wait(pause)
        try:
            return read(address)
        except BadFile as error:
            address, pause = plan.send(error)
