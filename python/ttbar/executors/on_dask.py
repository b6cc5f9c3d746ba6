"""The workers of a Dask cluster."""

import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import cloudpickle
import dask
from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, get_worker
from distributed.cfexecutor import ClientExecutor

from ttbar import child
from ttbar.errors import AnalysisError, UsageError
from ttbar.executors import remote
from ttbar.executors.bundle import bundle
from ttbar.executors.executor import Executor
from ttbar.executors.remote import ANSWER, DIED, NOT_READY, Slots
from ttbar.process import FROM_A_TERMINAL
from ttbar.progress import say
from ttbar.reading import require_file
from ttbar.worker import Worker, WorkerDied, WorkerNotStarted, no_setup

P = ParamSpec("P")
T = TypeVar("T")

JOBQUEUE = "jobqueue:"
"""Address of a scheduler that dask-jobqueue is to start, with the name of a batch system behind."""

CLUSTERS = {
    name.removesuffix("Cluster").lower(): name
    for name in (
        "HTCondorCluster",
        "LocalCluster",
        "LSFCluster",
        "MoabCluster",
        "OARCluster",
        "PBSCluster",
        "SGECluster",
        "SLURMCluster",
    )
}
"""Those that dask-jobqueue knows."""

REFRESH_S = 2.0
"""Time between two looks at the workers."""

WAIT_S = 60.0
"""A cluster that is there has a worker after so long; one whose jobs wait in a queue may take what it takes."""


class DaskExecutor(Executor):
    """Functions as tasks of Dask, each in a process of its own on a worker.

    Parameters
    ----------
    setup : callable
        What each process runs first, and the files that it needs.
    patience : float
        Seconds without a sign of life after which a process is taken for dead.
    scheduler : str or None
        Address of a scheduler, its file, or `jobqueue:` and a batch system; None to start workers on this machine.
    workers : int or None
        How many to start, or to wait for.
    """

    remote = True

    def __init__(self, setup: Callable[[], Any], patience: float, scheduler: str | None, workers: int | None) -> None:
        self._setup, self._patience, self._scheduler, self._workers = setup, patience, scheduler, workers
        self._here = Worker(setup, patience)
        self._ready: Any = None
        self._cluster: Any = None
        self._client: Any = None
        self._name = ""
        self._looked = 0.0
        self._counts = (0, 0)

    @property
    def slots(self) -> int:
        """Threads of all workers: each has a process."""
        return max(1, self._look()[0])

    def counted(self) -> int:
        """What the workers said last that they have counted."""
        return self._look()[1]

    def ready(self) -> Any:
        """Start all that there is to start, and make sure that what is on the workers fits."""
        if self._client is None:
            with ThreadPoolExecutor(1) as pool:
                expected = pool.submit(self._here.ready)  # while a cluster starts
                try:
                    self._connect()
                    self._ready = expected.result()
                except BaseException:
                    self._here.end()
                    raise
            self._here.__exit__(None, None, None)
            self._ship()
        return self._ready

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function on a worker."""
        self.ready()
        return self._submit(ForkingPickler.dumps((function, args, kwargs)))

    def call_here(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a process of this machine."""
        return self._here.call(function, *args, **kwargs)

    def close(self) -> None:
        """Cancel the tasks, and remove what was brought to the workers."""
        self._here.end()
        self._here.__exit__(None, None, None)
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # a scheduler that is gone has nothing to be removed
                self._executor.shutdown(wait=False)
                client.unregister_worker_plugin(self._name)
            with suppress(Exception):
                client.close(timeout=1)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=2)

    def _connect(self) -> None:
        """Start a cluster, or find the one that there is."""
        wanted = self._scheduler
        with _quietly():
            if wanted is None:
                self._cluster = LocalCluster(
                    n_workers=self._workers or len(os.sched_getaffinity(0)),
                    threads_per_worker=1,
                    memory_limit=0,  # what takes memory is not in its processes
                    dashboard_address=":0",
                    silence_logs=50,
                )
            elif wanted.startswith(JOBQUEUE):
                self._cluster = _jobqueue(wanted.removeprefix(JOBQUEUE))
                self._cluster.scale(self._workers or 1)
            try:
                if self._cluster is not None:
                    self._client = Client(self._cluster)
                elif "://" not in str(wanted):
                    require_file(Path(str(wanted)))
                    self._client = Client(scheduler_file=wanted)
                else:
                    self._client = Client(wanted)
            except (OSError, ValueError, TimeoutError) as error:
                raise UsageError("--scheduler", f"no scheduler of Dask answers at {wanted} ({error})") from None
        say(f"Dask's dashboard: {self._client.dashboard_link}")
        in_queue = self._cluster is not None and wanted is not None
        try:
            self._client.wait_for_workers(self._workers or 1, timeout=None if in_queue else WAIT_S)
        except TimeoutError:
            raise AnalysisError(
                f"the scheduler at {self._client.scheduler.address} has fewer than {self._workers or 1} workers after"
                f" {WAIT_S:.0f} s: start some, or give a smaller --workers"
            ) from None

    def _ship(self) -> None:
        """Bring the package to the workers, and start a process on each."""
        _require_same_python(self._client)
        shipped = bundle(self._setup, self._ready)
        self._name = shipped.name
        for module in (child, remote, sys.modules[__name__]):
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
        slots = Slots(shipped.name, shipped.content, shipped.setup, self._patience)
        self._client.register_plugin(Plugin(slots), name=shipped.name)
        self._executor = ClientExecutor(self._client, pure=False)
        workers = list(self._client.scheduler_info(n_workers=-1)["workers"])
        first = bytes(ForkingPickler.dumps((no_setup, (), {})))
        futures = {address: self._submit(first, workers=[address]) for address in workers}
        failed = {address: error for address, future in futures.items() if (error := future.exception())}
        if failed:
            reasons = "; ".join(f"{address}: {error}" for address, error in failed.items())
            raise AnalysisError(f"{len(failed)} of {len(workers)} workers cannot be used: {reasons}")

    def _submit(self, question: Any, **options: Any) -> Future[Any]:
        """Ask a worker."""
        # A function with a name would be looked up by it, on the scheduler as well.
        asked = self._executor.submit(
            lambda name, question: get_worker().plugins[name].slots.ask(question),
            self._name,
            bytes(question),
            **options,
        )
        result: Future[Any] = Future()

        def answered(asked: Future[Any]) -> None:
            if result.cancelled() or not result.set_running_or_notify_cancel():
                return
            try:
                kind, answer = asked.result()
            except BaseException as error:
                result.set_exception(_explained(error))
                return
            try:
                result.set_result(_value(kind, answer))
            except Exception as error:
                result.set_exception(error)

        asked.add_done_callback(answered)
        result.add_done_callback(lambda result: result.cancelled() and asked.cancel())
        return result

    def _look(self) -> tuple[int, int]:
        """Number of slots, and what they have counted, as the scheduler has heard it last."""
        if self._client is not None and time.monotonic() - self._looked > REFRESH_S:
            self._looked = time.monotonic()
            with suppress(Exception):  # what has become of the tasks, they say
                workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
                counted = sum(worker["metrics"].get(self._name, 0) for worker in workers)
                self._counts = (sum(worker["nthreads"] for worker in workers), counted)
        return self._counts


def _explained(error: BaseException) -> Exception:
    """What an error of the engine means for us."""
    if isinstance(error, KilledWorker):
        return WorkerDied(f"the workers of Dask that had it died: {error}")
    if isinstance(error, CancelledError):
        return AnalysisError("Dask has lost a task: look at the log of its scheduler, which may be gone")
    return AnalysisError(f"Dask could not run a task ({type(error).__name__}: {error})")


class Plugin(WorkerPlugin):  # type: ignore[misc]
    """Brings the package to each worker, also to those that join later, and removes it at the end."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    def setup(self, worker: Any) -> None:
        """Unpack it, and let the worker tell the scheduler how far it is."""
        self.slots.open(worker.local_directory)
        worker.metrics[self.slots.name] = lambda worker: self.slots.counted()

    def teardown(self, worker: Any) -> None:
        """Leave nothing behind."""
        worker.metrics.pop(self.slots.name, None)
        self.slots.close()


def _value(kind: int, answer: Any) -> Any:
    """What a function returned on the other side; what became of it otherwise is raised."""
    if kind == DIED:
        raise WorkerDied(answer)
    if kind not in (ANSWER, NOT_READY):
        raise WorkerNotStarted(answer)
    succeeded, value = ForkingPickler.loads(zlib.decompress(answer) if kind == ANSWER else answer)
    if not succeeded:
        raise value
    return value


@contextmanager
def _quietly() -> Iterator[None]:
    """Start processes that a key on this terminal does not end, and that keep their logs to themselves."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_A_TERMINAL)
    try:
        with dask.config.set({"distributed.worker.daemon": False}):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _jobqueue(system: str) -> Any:
    """A cluster of jobs of a batch system, as dask-jobqueue's own configuration says."""
    if system not in CLUSTERS:
        raise UsageError("--scheduler", f"{JOBQUEUE}{system} is none of {', '.join(map(JOBQUEUE.__add__, CLUSTERS))}")
    import dask_jobqueue
    from dask_jobqueue.local import LocalCluster as Jobs

    cluster = Jobs if system == "local" else getattr(dask_jobqueue, CLUSTERS[system])
    try:
        return cluster()
    except (TypeError, ValueError) as error:
        raise UsageError(
            "--scheduler", f"dask-jobqueue's configuration of {system} does not suffice: {error}"
        ) from None


def _require_same_python(client: Any) -> None:
    """Find workers with another Python: they could not read what is sent to them."""
    versions = client.get_versions()
    mine = versions["client"]["host"]
    wrong = []
    for address, each in versions["workers"].items():
        for what, name in (("python", "Python"), ("machine", "processor"), ("OS", "system")):
            ours, theirs = (_short(host[what]) for host in (mine, each["host"]))
            if ours != theirs:
                wrong.append(f"{address} has {name} {theirs}, not {ours}")
    if wrong:
        raise AnalysisError(f"{len(wrong)} of {len(versions['workers'])} workers cannot be used: {'; '.join(wrong)}")


def _short(version: str) -> str:
    """A version as far as it matters: 3.11 of 3.11.7.final.0."""
    return ".".join(version.split(".")[:2])
