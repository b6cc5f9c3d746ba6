"""A process of its own for ROOT, so that its crash is an error of ours and not our end."""

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

_progress: Any = None


def progress_address() -> int:
    """Address of the counter that this process shares with the one that started it."""
    return ctypes.addressof(_progress)


def _share(progress: Any) -> None:
    global _progress
    _progress = progress
    # An interrupt goes to the whole group; the process that started us decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Worker:
    """One other process, which runs one function at a time.

    Attributes
    ----------
    on_progress
        Called now and then, while a function runs, with what the other process has counted in its life.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._progress = context.Value(ctypes.c_uint64, lock=False)
        self.on_progress: Callable[[int], None] = lambda processed: None
        self._pool = ProcessPoolExecutor(1, context, initializer=_share, initargs=(self._progress,))

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, at once if there was an error."""
        if error is not None:
            for process in multiprocessing.active_children():
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def call(self, purpose: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function there and wait for it.

        Parameters
        ----------
        purpose : str
            What it is for, in case of a crash.
        function : callable
            A function of a module.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        object
            What the function returned.

        Raises
        ------
        AnalysisError
            If the process died.
        """
        try:
            future: Future[T] = self._pool.submit(function, *args, **kwargs)
            while not future.done():
                wait([future], timeout=REFRESH_S)
                self.on_progress(self._progress.value)
            return future.result()
        except BrokenProcessPool:
            raise AnalysisError(
                f"{purpose}: the process crashed; see above for what ROOT said, and check the files"
            ) from None
