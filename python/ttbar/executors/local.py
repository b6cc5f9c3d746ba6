"""Worker processes on this machine."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from ttbar.errors import AnalysisError
from ttbar.executors.executor import Executor
from ttbar.worker import CHANGED, Worker, no_setup

P = ParamSpec("P")
T = TypeVar("T")


class LocalExecutor(Executor):
    """Some workers, and as many threads that talk to them.

    Parameters
    ----------
    setup : callable, optional
        What each process runs first.
    patience : float, optional
        Seconds without a sign of life after which a process is taken for dead.
    workers : int, optional
        Number of processes.
    """

    def __init__(self, setup: Callable[[], Any] = no_setup, patience: float = float("inf"), workers: int = 1) -> None:
        self._workers = [Worker(setup, patience) for _ in range(workers)]
        self._threads = ThreadPoolExecutor(workers)
        self._ready_with: list[Any] = []
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)

    @property
    def slots(self) -> int:
        """Number of processes."""
        return len(self._workers)

    def ready(self) -> Any:
        """Start the first process unless it is there; what its setup returned comes back."""
        return self._start(self._workers[0])

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in the next process that is free."""
        return self._threads.submit(partial(self._call, function, *args, **kwargs))

    def call_here(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in one of the processes, which are all here."""
        self.ready()
        return self.call(function, *args, **kwargs)

    def counted(self) -> int:
        """What all processes have counted of what they do."""
        return sum(worker.counted for worker in self._workers)

    def close(self) -> None:
        """Kill the processes and wait for the threads."""
        for worker in self._workers:
            worker.end()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _start(self, worker: Worker) -> Any:
        """Start a process unless it is there, and make sure that its setup returned the same as those of others."""
        found = worker.ready()
        self._ready_with.append(found)
        if found != self._ready_with[0]:
            raise AnalysisError(CHANGED)
        del self._ready_with[1:]
        return found

    def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a process that is free."""
        worker = self._free.get()
        try:
            worker.count_from(0)
            self._start(worker)
            return worker.call(function, *args, **kwargs)
        finally:
            worker.count_from(0)
            self._free.put(worker)
