"""Another Python process, which answers bytes with bytes.

The engines of other machines take this module along by value, to where the package is not installed, so it imports
nothing of it.
"""

import ctypes
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Event
from typing import Any

REFRESH_S = 0.1
START_PATIENCE_S = 120.0
"""A process that starts may take so long: it reads hundreds of megabytes, perhaps from a shared disk."""

# A script that starts a process is not run again there, as `multiprocessing` would do, and no module of the working
# folder is imported; all others are found where this process finds them.
_MAIN = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from ttbar.worker import serve; serve(*sys.argv[2:])"


class Died(Exception):
    """The process crashed, was killed, or gave no sign of life and was ended.

    Parameters
    ----------
    how : str
        What happened to it.
    """


class Child:
    """One other process at a time, that runs `ttbar.worker.serve`; it has to be started again when it has died.

    Parameters
    ----------
    options : sequence of str, optional
        Options of the interpreter.
    path : sequence of str, optional
        Where it looks for modules first.
    blocked : sequence of int, optional
        Signals that it never gets.

    Attributes
    ----------
    on_progress
        Called now and then, while it works on an answer, with what it has counted.
    ended : threading.Event
        Set when there will be no process any more.
    """

    def __init__(self, options: Sequence[str] = (), path: Sequence[str] = (), blocked: Sequence[int] = ()) -> None:
        self._options, self._path, self._blocked = options, path, blocked
        self._memory = os.fdopen(os.memfd_create("progress"), "r+b")  # closed when it is forgotten
        os.ftruncate(self._memory.fileno(), ctypes.sizeof(ctypes.c_uint64))
        self.counter = shared_counter(self._memory.fileno())
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self.on_progress: Callable[[int], object] = lambda counted: None
        self.ended = Event()

    @property
    def started(self) -> bool:
        """Whether there is a process, dead or alive."""
        return self._process is not None

    def end(self) -> None:
        """Make an answer that is awaited, and all that come after it, fail; to be called from another thread."""
        self.ended.set()
        if (process := self._process) is not None:
            process.kill()

    def start(self) -> bool:
        """Start a process, unless there is one that lives; whether there was none."""
        if self.ended.is_set():
            raise Died("it was ended")
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # it died between two questions, so the next one is not to blame
        if self._process is not None:
            return False
        ours, theirs = socket.socketpair()
        shared = (theirs.fileno(), self._memory.fileno())
        path = json.dumps([*self._path, *sys.path])
        command = [sys.executable, "-P", *self._options, "-c", _MAIN, path, *map(str, (os.getpid(), *shared))]
        with theirs:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, self._blocked)
            try:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=shared)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._connection = Connection(ours.detach())
        if self.ended.is_set():
            self._process.kill()
        return True

    def stop(self) -> None:
        """End the process."""
        if self._process is None or self._connection is None:
            return
        self._process.kill()
        self._process.wait()
        self._connection.close()
        self._process, self._connection = None, None

    def ask(self, question: bytes, patience: float) -> bytes:
        """Ask a process that has been started.

        Parameters
        ----------
        question : bytes
            A function and its arguments, pickled.
        patience : float
            Seconds without an answer and without progress after which the process is taken for dead, and ended.

        Returns
        -------
        bytes
            Whether the function succeeded, and what it returned or raised, pickled.

        Raises
        ------
        Died
            If the process did not live to the end of the function.
        """
        assert self._process is not None
        assert self._connection is not None
        with suppress(OSError):  # that the process is gone is noticed below
            self._connection.send_bytes(question)
        counted, alive = self.counter.value, time.monotonic()
        while not self._polled():
            self.on_progress(self.counter.value)
            if self.counter.value != counted:
                counted, alive = self.counter.value, time.monotonic()
            elif time.monotonic() - alive > patience:
                self.stop()
                raise Died(f"no sign of life for {patience:.0f} s")
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=REFRESH_S)
            how = _how_it_ended(self._process.poll())
            self.stop()
            raise Died(how) from None

    def _polled(self) -> bool:
        """Wait a moment for an answer, or for the end of the process."""
        assert self._connection is not None
        try:
            return self._connection.poll(REFRESH_S)
        except OSError:
            return True


def _how_it_ended(status: int | None) -> str:
    """Say how a process ended, given its exit status, or minus the number of the signal."""
    if status is None or status >= 0:
        return f"its process crashed, exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    if -status in (signal.SIGKILL, signal.SIGTERM):
        return f"its process was killed by {name}, as the system does where memory runs out"
    return f"its process crashed with {name}"


def shared_counter(memory: int) -> ctypes.c_uint64:
    """A counter in memory that processes share.

    Parameters
    ----------
    memory : int
        Its file descriptor.

    Returns
    -------
    ctypes.c_uint64
        The counter.
    """
    return ctypes.c_uint64.from_buffer(mmap.mmap(memory, ctypes.sizeof(ctypes.c_uint64)))
