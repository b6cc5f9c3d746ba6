"""Trying again what a server refused, a little later each time, and then elsewhere."""

from collections.abc import Callable, Iterable
from threading import Event
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential
from tenacity.nap import sleep_using_event

from ttbar.inputs.files import BadFile

ATTEMPTS = 4
"""How often an address is tried."""

T = TypeVar("T")


def first_success(addresses: Iterable[str], read: Callable[[str], T], ended: Event) -> T:
    """Read a file from the first of its addresses that gives it.

    Parameters
    ----------
    addresses : iterable of str
        Where the file can be read; at least one.
    read : callable
        Reads it from one of them. After a transient `BadFile` it is called again, with a pause before that doubles
        each time.
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
    errors = []
    for address in addresses:
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(max=30),
            retry=retry_if_exception(lambda error: isinstance(error, BadFile) and error.transient),
            sleep=sleep_using_event(ended),
            reraise=True,
        )
        try:
            return retrying(read, address)
        except BadFile as error:
            errors.append(error)
    raise errors[0]
