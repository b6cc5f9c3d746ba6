"""Processes of their own for ROOT, so that a crash becomes an error message."""

import ctypes
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from threading import Event
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ttbar import process as this_process
from ttbar.child import START_PATIENCE_S, Child, Died, shared_counter
from ttbar.errors import AnalysisError

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

CHANGED = "the program or its model has changed during the run; run it again"

machine = ""
"""Name of the host that this process runs on, if that is one of a cluster; else empty."""

_counter: Any = ctypes.c_uint64()  # not shared, unless `serve` has started


class WorkerDied(AnalysisError):
    """The process crashed, was killed, or gave no sign of life and was ended.

    Parameters
    ----------
    how : str
        What happened to it.
    """


class WorkerNotStarted(AnalysisError):
    """The process did not live to its first function, so that no input can be to blame.

    Parameters
    ----------
    how : str
        What happened to it.
    """

    def __init__(self, how: str) -> None:
        super().__init__(
            f"ROOT could not be started ({how}), before any file was opened: check that there is enough memory, and"
            " run it again"
        )


def with_machine(reason: object) -> str:
    """Say where this process runs, if that is on a cluster.

    Parameters
    ----------
    reason
        What there is to say.

    Returns
    -------
    str
        The same, with the host.
    """
    return f"{reason}, on {machine}" if machine else str(reason)


def no_setup() -> None:
    """Prepare nothing."""


class Worker:
    """One other process, which runs one function at a time; after a crash a new one takes its place.

    Parameters
    ----------
    setup : callable, optional
        A function of a module, or a `functools.partial` of one, that each new process runs first.
    patience : float, optional
        Seconds without a result and without progress after which the process is taken for dead, and ended.
    """

    def __init__(self, setup: Callable[[], Any] = no_setup, patience: float = float("inf")) -> None:
        # These signals go to the whole group; this process decides what they mean.
        self._child = Child(blocked=this_process.FROM_A_TERMINAL)
        self._setup = setup
        self._patience = patience
        self._setup_result: tuple[bool, Any] | None = None

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the process at once: what was to be kept of it has been handed over."""
        self._child.stop()

    @property
    def ended(self) -> Event:
        """Set when there will be no process any more."""
        return self._child.ended

    def end(self) -> None:
        """Make a function that runs, and all that come after it, fail; to be called from another thread."""
        self._child.end()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function there.

        Parameters
        ----------
        function : callable
            A function of a module.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        object
            What the function returned. What it raised is raised here.

        Raises
        ------
        WorkerDied
            If the process did not live to the end of the function.
        WorkerNotStarted
            If it did not even live to its beginning.
        """
        self.start()
        return _value(self._ask(function, args, kwargs, self._patience))  # type: ignore[no-any-return]

    def ready(self) -> Any:
        """Start a process unless there is one; what its setup returned comes back."""
        self.start()
        return _value(self._setup_result)

    def on_progress(self, call: Callable[[int], object]) -> None:
        """Say what to call now and then, while a function runs, with what the other process has counted."""
        self._child.on_progress = call

    @property
    def counted(self) -> int:
        """What the other process has counted since it was last told where to begin."""
        return int(self._child.counter.value)

    def count_from(self, counted: int) -> None:
        """Set what the other process counts on from."""
        self._child.counter.value = counted

    def start(self) -> None:
        """Start a process that has run its setup, unless there is one."""
        try:
            with this_process.deferring():  # half a start leaves a process that fails with a traceback
                is_new = self._child.start()
        except Died as error:
            raise WorkerDied(str(error)) from None
        if not is_new:
            return
        try:
            result = self._ask(self._setup, (), {}, max(self._patience, START_PATIENCE_S))
        except WorkerDied as error:
            raise WorkerNotStarted(str(error)) from None
        self._setup_result = self._setup_result or result
        if result != self._setup_result:
            raise AnalysisError(CHANGED)

    def _ask(self, function: Callable[..., Any], args: Any, kwargs: Any, patience: float) -> tuple[bool, Any]:
        """Let the process call a function: whether that succeeded, and what it returned or raised."""
        try:
            answer = self._child.ask(bytes(ForkingPickler.dumps((function, args, kwargs))), patience)
        except Died as error:
            raise WorkerDied(str(error)) from None
        return ForkingPickler.loads(answer)  # type: ignore[no-any-return]


def _value(result: Any) -> Any:
    """What a function returned; what it raised is raised."""
    succeeded, value = result
    if not succeeded:
        raise value
    return value


@contextmanager
def spread(
    function: Callable[Concatenate[Item, ...], T],
    items: Sequence[Item],
    threads: int,
    setups: Sequence[Callable[[], Any]],
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
    setups : sequence of callable
        The setup of each worker that a thread has.
    patience : float
        That of the workers.

    Yields
    ------
    iterator
        What the function returned for each item, in their order, as soon as it did. What it raises is raised here.
        At the end of the context the rest is given up.
    """
    with ExitStack() as stack:
        teams = [[stack.enter_context(Worker(setup, patience)) for setup in setups] for _ in range(threads)]
        free: SimpleQueue[list[Worker]] = SimpleQueue()
        for team in teams:
            free.put(team)

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
                for worker in chain.from_iterable(teams):
                    worker.end()


def counter_address() -> int:
    """Address of the 64-bit counter that this process shares with the one that started it."""
    return ctypes.addressof(_counter)


def count(number: int) -> None:
    """Count on, as a sign of life to the process that started this one."""
    _counter.value += number


def serve(parent: str, socket_descriptor: str, memory_descriptor: str) -> None:
    """Run what the process that started this one asks for, until it is gone.

    Parameters
    ----------
    parent : str
        Number of that process.
    socket_descriptor, memory_descriptor : str
        Numbers of file descriptors: of the socket to that process, and of the counter that both share.
    """
    global _counter
    this_process.end_with(int(parent))
    for descriptor in (int(socket_descriptor), int(memory_descriptor)):
        os.set_inheritable(descriptor, False)
    connection: Connection[Any, Any] = Connection(int(socket_descriptor))
    _counter = shared_counter(int(memory_descriptor))
    this_process.guard_streams()
    while True:
        try:
            question = connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)
        try:
            function, args, kwargs = ForkingPickler.loads(question)
            result = (True, function(*args, **kwargs))
        except MemoryError:  # end as the system would end it; another attempt gets a fresh process
            os.kill(os.getpid(), signal.SIGKILL)
        except Exception as error:
            if os.environ.get(this_process.DEBUG):
                traceback.print_exc()
            result = (False, error)
        try:
            connection.send(result)
        except OSError:
            os._exit(0)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            connection.send((False, AnalysisError(f"{error}: {result[1]!r}")))
