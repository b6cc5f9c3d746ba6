"""Processes of their own for ROOT, so that its crash is an error of ours and not our end."""

import ctypes
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ttbar.errors import AnalysisError

P = ParamSpec("P")
T = TypeVar("T")

REFRESH_S = 0.1

_counter: Any = None


class WorkerDied(AnalysisError):  # noqa: N818 (it is an event)
    """The process crashed, or was killed."""


def counter_address() -> int:
    """Address of the 64-bit counter that this process shares with the one that started it."""
    return ctypes.addressof(_counter)


def _share(counter: Any) -> None:
    global _counter
    _counter = counter
    # An interrupt goes to the whole group; the process that started us decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
        self.on_progress: Callable[[int], None] = lambda counted: None

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, at once if there was an error."""
        if self._pool is None:
            return
        if error is not None:
            for process in multiprocessing.active_children():
                process.kill()
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
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, self._context, initializer=_share, initargs=(self._counter,))
        return self._pool.submit(function, *args, **kwargs)

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
            raise WorkerDied("the process that ran ROOT crashed") from None

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Start a function and wait for it; see `start` and `finish`."""
        return self.finish(self.start(function, *args, **kwargs))
