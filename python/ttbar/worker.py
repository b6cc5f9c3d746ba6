"""Processes of their own for ROOT, so that its crash is an error of ours and not our end."""

import ctypes
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ttbar.errors import AnalysisError

P = ParamSpec("P")
T = TypeVar("T")

REFRESH_S = 0.1
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

_counter: Any = None


class WorkerDied(AnalysisError):  # noqa: N818 (it is an event)
    """The process crashed, or was killed.

    Parameters
    ----------
    exit_status : int or None
        Its exit status: negative numbers are those of signals.
    """

    def __init__(self, exit_status: int | None) -> None:
        super().__init__(f"the process that ran ROOT crashed (exit status {exit_status})")
        self.exit_status = exit_status


def counter_address() -> int:
    """Address of the 64-bit counter that this process shares with the one that started it."""
    return ctypes.addressof(_counter)


def _share(counter: Any) -> None:
    global _counter
    _counter = counter
    # An interrupt goes to the whole group; the process that started us decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If that process dies, however suddenly, nobody waits for this one.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """One other process, which runs one function at a time; after a crash a new one takes its place.

    Attributes
    ----------
    on_progress
        Called now and then, while a function runs, with what the other process has counted.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._counter: Any = self._context.Value(ctypes.c_uint64, lock=False)
        self._pool: ProcessPoolExecutor | None = None
        self._process: BaseProcess | None = None
        self.on_progress: Callable[[int], None] = lambda counted: None

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, at once if there was an error."""
        if self._pool is None or self._process is None:
            return
        if error is not None:
            self._process.kill()
        self._pool.shutdown(cancel_futures=True)

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Let a function run there while this process goes on.

        Parameters
        ----------
        function : callable
            A function of a module.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        Future
            To be given to `finish`.
        """
        if self._pool is not None:
            return self._pool.submit(function, *args, **kwargs)
        others = multiprocessing.active_children()
        self._pool = ProcessPoolExecutor(1, self._context, initializer=_share, initargs=(self._counter,))
        future = self._pool.submit(function, *args, **kwargs)
        (self._process,) = (child for child in multiprocessing.active_children() if child not in others)
        return future

    def finish(self, future: Future[T]) -> T:
        """Wait for a function that was started.

        Parameters
        ----------
        future : Future
            What `start` gave.

        Returns
        -------
        object
            What the function returned.

        Raises
        ------
        WorkerDied
            If the process did not live to the end of the function.
        """
        try:
            while not future.done():
                wait([future], timeout=REFRESH_S)
                self.on_progress(self._counter.value)
            return future.result()
        except BrokenProcessPool:
            self._pool = None
            raise WorkerDied(self._process.exitcode if self._process else None) from None

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Start a function and wait for it; see `start` and `finish`."""
        return self.finish(self.start(function, *args, **kwargs))
