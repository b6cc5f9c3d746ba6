"""Processes of their own for ROOT, so that its crash is an error of ours and not our end."""

import ctypes
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Event
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from ttbar.errors import AnalysisError

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

REFRESH_S = 0.1
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

_counter: Any = ctypes.c_uint64()  # in a process that nobody has started, it counts for nobody


class WorkerDied(AnalysisError):  # noqa: N818 (it is an event)
    """The process crashed, was killed, or gave no sign of life and was ended.

    Parameters
    ----------
    how : str
        What happened to it.
    """


class Task(Generic[T]):
    """A function that was started, to be given to `Worker.finish`."""


class Worker:
    """One other process, which runs one function at a time; after a crash a new one takes its place.

    Parameters
    ----------
    setup : callable, optional
        A function of a module, or a `functools.partial` of one, that each new process runs first.
    patience : float, optional
        Seconds without a result and without progress after which the process is taken for dead, and ended.

    Attributes
    ----------
    on_progress
        Called now and then, while a function runs, with what the other process has counted.
    ended : threading.Event
        Set when there will be no process any more.
    """

    def __init__(self, setup: Callable[[], Any] | None = None, patience: float = float("inf")) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._counter: Any = self._context.Value(ctypes.c_uint64, lock=False)
        self._setup = setup
        self._patience = patience
        self._process: BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._ready: Task[Any] | None = None
        self._setup_result: tuple[bool, Any] | None = None
        self._waiting: list[Task[Any]] = []
        self._results: dict[Task[Any], tuple[bool, Any]] = {}
        self.on_progress: Callable[[int], object] = lambda counted: None
        self.ended = Event()

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop at once: what was to be kept of the process has been handed over."""
        self._stop()

    def end(self) -> None:
        """Make a function that runs, and all that come after it, fail; to be called from another thread."""
        self.ended.set()
        if (process := self._process) is not None:
            process.kill()

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Let a function run there, after those that were started before, while this process goes on.

        Parameters
        ----------
        function : callable
            A function of a module.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        Task
            To be given to `finish`.
        """
        if self.ended.is_set():
            raise WorkerDied("it was ended")
        if self._process is not None and not self._waiting and not self._process.is_alive():
            self._stop()  # it died while nobody looked, which is no fault of this function
        if self._process is None:
            self._connection, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(theirs, self._counter), daemon=True)
            # An interrupt goes to the whole group; this process decides what it means, the new one never gets it.
            resource_tracker.ensure_running()  # which lets interrupts in again
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            self._process = process  # not earlier: `end` kills what is here
            if self.ended.is_set():
                process.kill()
            if self._setup is not None:
                self._ready = self._send(self._setup)
        return self._send(function, *args, **kwargs)

    def ready(self) -> Any:
        """Start a process unless there is one, and wait for its setup; what that returned comes back."""
        if self._process is None:
            self.start(_nothing)
        assert self._ready is not None
        return self.finish(self._ready)

    def finish(self, task: Task[T]) -> T:
        """Wait for a function that was started.

        Parameters
        ----------
        task : Task
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
        while task not in self._results:
            self._receive()
        succeeded, result = self._results[task] if task is self._ready else self._results.pop(task)
        if not succeeded:
            raise result
        return result  # type: ignore[no-any-return]

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Start a function and wait for it; see `start` and `finish`."""
        return self.finish(self.start(function, *args, **kwargs))

    def count_from(self, counted: int) -> None:
        """Set what the other process counts on from."""
        self._counter.value = counted

    def _send(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Ask the process for something."""
        assert self._connection is not None
        task = Task[T]()
        self._waiting.append(task)
        with suppress(OSError):  # `finish` notices that the process is gone
            self._connection.send((function, args, kwargs))
        return task

    def _stop(self) -> None:
        """End the process; the next function gets a new one."""
        if self._process is None or self._connection is None:
            return
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._process, self._connection = None, None
        self._waiting.clear()
        self._results.clear()

    def _receive(self) -> None:
        """Wait for the next result."""
        assert self._process is not None
        assert self._connection is not None
        counted, alive = self._counter.value, time.monotonic()
        while not wait([self._connection, self._process.sentinel], timeout=REFRESH_S):
            self.on_progress(self._counter.value)
            if self._counter.value != counted:
                counted, alive = self._counter.value, time.monotonic()
            elif time.monotonic() - alive > self._patience:
                self._stop()
                raise WorkerDied(f"no sign of life for {self._patience:.0f} s")
        try:
            result = self._connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._process.join(timeout=REFRESH_S)
            status = self._process.exitcode
            self._stop()
            raise WorkerDied(f"its process crashed, exit status {status}") from None
        task = self._waiting.pop(0)
        self._results[task] = result
        if task is self._ready:
            self._setup_result = self._setup_result or result
            if result != self._setup_result:
                raise AnalysisError("the program or its model has changed meanwhile, run it again")


@contextmanager
def spread(
    function: Callable[Concatenate[Item, ...], T],
    items: Sequence[Item],
    threads: int,
    workers_each: int,
    patience: float,
) -> Iterator[Iterator[T]]:
    """Call a function for each of many items, in threads that have workers of their own.

    Parameters
    ----------
    function : callable
        Is given an item and the workers.
    items : sequence
        The items.
    threads : int
        Number of threads.
    workers_each : int
        Number of workers of each thread.
    patience : float
        That of the workers.

    Yields
    ------
    iterator
        What the function returned for each item, in their order, as soon as it did. What it raises is raised here.
        At the end of the context the rest is given up.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(patience=patience)) for _ in range(threads * workers_each)]
        free: SimpleQueue[list[Worker]] = SimpleQueue()
        for thread in range(threads):
            free.put(workers[thread::threads])

        def call(item: Item) -> T:
            team = free.get()
            try:
                return function(item, *team)
            finally:
                free.put(team)

        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(call, item) for item in items]
            try:
                yield (future.result() for future in futures)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in workers:
                    worker.end()


def counter_address() -> int:
    """Address of the 64-bit counter that this process shares with the one that started it."""
    return ctypes.addressof(_counter)


def count(number: int) -> None:
    """Count on, as a sign of life to the process that started this one."""
    _counter.value += number


def _nothing() -> None:
    """Do nothing."""


def _serve(connection: "Connection[Any, Any]", counter: Any) -> None:
    """Run what the process that started this one asks for, until it is gone."""
    global _counter
    _counter = counter
    # If that process dies, however suddenly, nobody waits for this one.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    while True:
        try:
            function, args, kwargs = connection.recv()
        except EOFError:
            os._exit(0)
        try:
            result = (True, function(*args, **kwargs))
        except Exception as error:
            result = (False, error)
        try:
            connection.send(result)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            connection.send((False, AnalysisError(f"{error}: {result[1]!r}")))
