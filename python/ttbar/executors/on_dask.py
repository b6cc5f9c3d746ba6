"""The workers of a Dask cluster."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import dask
from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, get_worker
from distributed.cfexecutor import ClientExecutor
from distributed.versions import VersionMismatchWarning

from ttbar.errors import AnalysisError, UsageError
from ttbar.executors import engine
from ttbar.executors.engine import Asked, EngineExecutor, travelling
from ttbar.executors.remote import Slots
from ttbar.progress import say
from ttbar.reading import require_file
from ttbar.worker import WorkerDied

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


CONFIGURATION = {
    "distributed.worker.daemon": False,  # those on this machine have processes of their own
    "distributed.admin.low-level-log-length": 20,  # of messages, with the tasks in them, in our memory
}
"""What we want of Dask in our process."""


class DaskExecutor(EngineExecutor):
    """The workers of a Dask cluster.

    The scheduler is an address, its file, or `jobqueue:` and a batch system.
    """

    name = "Dask"
    _client: Any = None
    _cluster: Any = None
    _executor: Any = None
    _bundle = ""
    _in_queue = False
    _addresses: Set[str] = frozenset()
    _threads = 0
    _counted = 0

    @property
    def slots(self) -> int:
        """Threads of all workers: each has a process."""
        return max(1, self._threads)

    def counted(self) -> int:
        """What the workers said last that they have counted."""
        return self._counted

    def _connect(self) -> None:
        with dask.config.set(CONFIGURATION):
            self._connect_configured()

    def _connect_configured(self) -> None:
        wanted = self._scheduler
        if wanted is None:
            self._cluster = LocalCluster(
                n_workers=self._workers or len(os.sched_getaffinity(0)),
                threads_per_worker=1,
                memory_limit=0,  # what takes memory is not in its processes
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
        elif wanted.startswith(JOBQUEUE):
            self._cluster = _jobqueue(wanted.removeprefix(JOBQUEUE))
            self._cluster.scale(self._workers or 1)
        warnings.simplefilter("ignore", VersionMismatchWarning)  # what has to fit is looked at below
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
        self._address = self._client.scheduler.address
        for handler in logging.getLogger("distributed").handlers:  # of its client; errors reach the user as ours
            handler.setLevel(logging.CRITICAL)
        say(f"Dask's dashboard: {self._client.dashboard_link}")
        self._in_queue = self._cluster is not None and wanted is not None
        try:
            self._client.wait_for_workers(self._workers or 1, timeout=None if self._in_queue else engine.WAIT_S)
        except TimeoutError:
            raise AnalysisError(
                f"the scheduler at {self._address} has fewer than {self._workers or 1} workers after"
                f" {engine.WAIT_S:.0f} s: start some, or give a smaller --workers"
            ) from None
        _require_same_python(self._client)

    def _ship(self, slots: Slots) -> Sequence[tuple[str, Callable[[bytes], Asked]]]:
        self._bundle = slots.name
        for module in travelling(sys.modules[__name__]):
            cloudpickle.register_pickle_by_value(module)
        self._client.register_plugin(Plugin(slots), name=slots.name)
        self._executor = ClientExecutor(self._client, pure=False)
        workers = self._workers_now()
        return [(address, partial(self._ask_one_of, [address])) for address in workers]

    def _ask(self, question: bytes, failed: Set[str], unfit: Set[str]) -> Asked:
        fit = self._addresses - unfit
        return self._ask_one_of(sorted(fit - failed or fit) if failed else [], question)

    def _others(self, unfit: Set[str]) -> int:
        return len(self._addresses - unfit)

    def _ask_one_of(self, workers: Sequence[str], question: bytes) -> Asked:
        """Ask one of some workers as long as they live, or else any."""
        # A function with a name would be looked up by it, on the scheduler as well.
        asked: Asked = self._executor.submit(
            lambda name, question: (get_worker().address, *get_worker().plugins[name].slots.ask(question)),
            self._bundle,
            question,
            workers=workers or None,
            allow_other_workers=bool(workers),
        )
        return asked

    def _explained(self, error: BaseException) -> Exception:
        if isinstance(error, KilledWorker):
            return WorkerDied(f"the workers of Dask that had it died: {error}")
        if isinstance(error, CancelledError):  # by none of us
            return self._lost or self._give_up(self._gone)
        return super()._explained(error)

    def _disconnect(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                if self._executor and not self._lost:  # else it would be waited for
                    self._executor.shutdown(wait=False)
                    self._client.unregister_worker_plugin(self._bundle)
            with suppress(Exception):
                self._client.close(timeout=1)
        if self._cluster is not None:
            self._cluster.close(timeout=2)

    def _look(self) -> bool:
        return bool(self._workers_now()) or self._in_queue

    def _workers_now(self) -> Mapping[str, Any]:
        """What the scheduler knows of the workers, by their addresses."""
        identity = self._client.scheduler.identity
        workers: Mapping[str, Any] = self._client.sync(identity, n_workers=-1, callback_timeout=engine.WAIT_S)[
            "workers"
        ]
        self._addresses = workers.keys()
        self._threads = sum(worker["nthreads"] for worker in workers.values())
        self._counted = sum(worker["metrics"].get(self._bundle, 0) for worker in workers.values())
        return workers


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
