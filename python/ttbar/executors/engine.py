"""What executors of engines have in common: the package is brought to the workers, which see nothing but bytes."""

import signal
import time
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.reduction import ForkingPickler
from secrets import token_hex
from threading import Event, Thread, Timer
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from ttbar import child
from ttbar.errors import AnalysisError
from ttbar.executors import remote
from ttbar.executors.bundle import bundle
from ttbar.executors.executor import Executor
from ttbar.executors.remote import ANSWER, DIED, NOT_BEGUN, NOT_STARTED, NOT_UNPACKED, Slots
from ttbar.process import FROM_A_TERMINAL
from ttbar.worker import Worker, WorkerDied, WorkerNotStarted, no_setup

P = ParamSpec("P")
T = TypeVar("T")

Asked = Future[tuple[str, int, Any]]
"""Which worker was asked a question, and what became of that, as `ttbar.executors.remote` says."""

REFRESH_S = 2.0
"""Time between two looks at the workers."""

WAIT_S = 60.0
"""An engine that is there answers after so long, and has a worker."""

AGAIN_S, AGAIN_AT_MOST = 1.0, 300
"""How soon, and how often, others are asked again from whom an idle worker has taken what it cannot do."""


class EngineExecutor(Executor):
    """Functions as tasks of an engine, each in a process of its own on a worker.

    Parameters
    ----------
    setup : callable
        What each process runs first, and the files that it needs.
    patience : float
        Seconds without a sign of life after which a process is taken for dead.
    scheduler : str or None
        Where the engine is; None to start it on this machine.
    workers : int or None
        How many workers are wanted.
    """

    remote = True
    name = ""
    """That of the engine."""
    _address = ""
    """Where it is, for messages."""

    def __init__(self, setup: Callable[[], Any], patience: float, scheduler: str | None, workers: int | None) -> None:
        self._setup, self._patience, self._scheduler, self._workers = setup, patience, scheduler, workers
        self._here = Worker(setup, patience)
        self._ready: Any = None
        self._awaited: set[Future[Any]] = set()
        self._failed: dict[bytes, set[str]] = {}
        self._lost: Exception | None = None
        self._closed = Event()

    @abstractmethod
    def _connect(self) -> None:
        """Start the engine, or find the one that there is."""

    @abstractmethod
    def _ship(self, slots: Slots) -> Sequence[tuple[str, Callable[[bytes], Asked]]]:
        """Bring the package to the workers; names of workers, and functions that ask them, come back."""

    @abstractmethod
    def _ask(self, question: bytes, failed: Set[str], unfit: Set[str]) -> Asked:
        """Ask any worker, but rather not those where the same has failed, least of all those that are unfit for it."""

    @abstractmethod
    def _others(self, unfit: Set[str]) -> int:
        """How many workers there are besides those that are unfit."""

    @abstractmethod
    def _look(self) -> bool:
        """Look whether there are workers, or will be; fail if the engine does not answer."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Cancel the tasks, remove what was brought to the workers, and end what was started."""

    def _explained(self, error: BaseException) -> Exception:
        """What an error of the engine means for us."""
        return AnalysisError(f"{self.name} could not run a task ({type(error).__name__}: {error})")

    def _watch(self) -> None:
        """Look at the workers now and then; give up when there has been none for long, or no answer.

        The first one may wait in a queue for as long as it takes, and while nothing is awaited, an engine needs none.
        """
        seen: float | None = None
        while not self._closed.is_set():
            try:
                if self._look() or (seen is not None and not self._awaited):
                    seen = time.monotonic()
            except Exception:
                self._give_up(self._gone)
                return
            if seen is not None and time.monotonic() - seen > WAIT_S:
                no_workers = f"has had no worker for {WAIT_S:.0f} s: look at their logs, start some"
                self._give_up(f"the {self.name} scheduler at {self._address} {no_workers}")
                return
            self._closed.wait(REFRESH_S)

    @property
    def _gone(self) -> str:
        """What there is to say when it does not answer."""
        return f"the {self.name} scheduler at {self._address} is gone: look at its log, start it again"

    def _give_up(self, reason: str) -> AnalysisError:
        """Make all fail that is awaited, and all that comes later: the engine will not answer any more."""
        error = AnalysisError(f"{reason}, and repeat the command: with --resume, a run goes on from what is finished")
        self._lost = error
        for result in tuple(self._awaited):
            with suppress(InvalidStateError):  # it has just come
                result.set_exception(error)
        return error

    def ready(self) -> Any:
        """Start all that there is to start, and make sure that what is on the workers fits."""
        if self._ready is None:
            with ThreadPoolExecutor(1) as pool:
                expected = pool.submit(self._here.ready)  # while a cluster starts
                try:
                    with _quietly():
                        self._connect()
                    ready = expected.result()
                except BaseException:
                    self._here.end()
                    raise
            self._here.close()
            shipped = bundle(self._setup, ready)
            name = f"{shipped.name}-{token_hex(4)}"  # another client may bring the same, and remove it at its end
            workers = self._ship(Slots(name, shipped.content, shipped.setup, self._patience))
            Thread(target=self._watch, daemon=True).start()
            question = _question(no_setup)
            asked = [(name, self._answer(question, ask(question))) for name, ask in workers]
            failed = {name: error for name, future in asked if (error := future.exception())}
            if failed:
                reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
                raise AnalysisError(f"{len(failed)} of {len(workers)} workers cannot be used: {reasons}")
            self._ready = ready
        return self._ready

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function on a worker."""
        self.ready()
        if self._lost:
            raise self._lost
        question = _question(function, *args, **kwargs)
        failed = self._failed.get(question, set())
        if not self._others(failed):  # then it is nobody's turn, or everybody's
            failed.clear()
        return self._answer(question, self._ask(question, failed, set()), elsewhere=True)

    def call_here(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a process of this machine."""
        return self._here.call(function, *args, **kwargs)

    def close(self) -> None:
        """Leave nothing behind."""
        self._here.end()
        self._here.close()
        self._closed.set()
        with suppress(Exception):  # what is gone cannot be tidied up
            self._disconnect()

    def _answer(self, question: bytes, asked: Asked, elsewhere: bool = False) -> Future[Any]:
        """What a function returns whose outcome is awaited; perhaps others are asked if a worker could not begin."""
        result: Future[Any] = Future()
        self._awaited.add(result)
        result.add_done_callback(self._awaited.discard)
        unfit: list[str] = []
        taken: list[str] = []

        def follow(asked: Asked) -> None:
            asked.add_done_callback(answered)
            result.add_done_callback(lambda result: result.cancelled() and asked.cancel())

        def ask_others() -> None:
            try:
                follow(self._ask(question, self._failed[question], set()))
            except BaseException as error:
                with suppress(InvalidStateError):  # it was cancelled, or given up
                    result.set_exception(self._explained(error))

        def answered(asked: Asked) -> None:
            if result.done():  # it was cancelled, or given up
                return
            with suppress(InvalidStateError):  # that happens now
                try:
                    worker, kind, answer = asked.result()
                    if elsewhere and kind in NOT_BEGUN:
                        self._failed.setdefault(question, set()).add(worker)
                        unfit.append(worker)
                        others = self._others({*unfit})
                        # One may have been asked twice: where the engine chooses, or where others have just gone.
                        if others and len(unfit) < len({*unfit}) + others:
                            follow(self._ask(question, self._failed[question], {*unfit}))
                            return
                except BaseException as error:
                    result.set_exception(self._explained(error))
                    return
                try:
                    found = value(kind, answer)
                except Exception as error:
                    failed = self._failed.setdefault(question, set())
                    begun = elsewhere and kind not in NOT_BEGUN
                    if begun and worker in failed and self._others(failed) and len(taken) < AGAIN_AT_MOST:
                        taken.append(worker)
                        again = Timer(AGAIN_S, ask_others)
                        again.daemon = True
                        again.start()
                        return
                    failed.add(worker)
                    result.set_exception(error)
                else:
                    result.set_result(found)

        follow(asked)
        if self._lost:  # since it was asked
            with suppress(InvalidStateError):
                result.set_exception(self._lost)
        return result


def _question(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bytes:
    """A function and its arguments, as a child takes them."""
    return bytes(ForkingPickler.dumps((function, args, kwargs)))


def travelling(module: ModuleType) -> tuple[ModuleType, ...]:
    """Modules that the engine takes along by value.

    Parameters
    ----------
    module : module
        That of an executor.

    Returns
    -------
    tuple of module
        The module and those that it uses on the other side.
    """
    return (child, remote, module)


def value(kind: int, answer: Any) -> Any:
    """What a function returned on the other side; what became of it otherwise is raised.

    Parameters
    ----------
    kind : int
        What became of it.
    answer
        The answer, or a reason.

    Returns
    -------
    object
        What it returned.
    """
    if kind == DIED:
        raise WorkerDied(answer)
    if kind == NOT_UNPACKED:
        raise AnalysisError(answer)
    if kind == NOT_STARTED:
        raise WorkerNotStarted(answer)
    succeeded, result = ForkingPickler.loads(zlib.decompress(answer) if kind == ANSWER else answer)
    if not succeeded:
        raise result
    return result


@contextmanager
def _quietly() -> Iterator[None]:
    """Start processes that a key on this terminal does not end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_A_TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
