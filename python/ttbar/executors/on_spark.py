"""The workers of a Spark cluster."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from pyspark import SparkConf, SparkContext, SparkFiles, cloudpickle
from pyspark.errors import PySparkException

from ttbar.errors import UsageError
from ttbar.executors.engine import Asked, EngineExecutor, travelling
from ttbar.executors.remote import Slots, kept
from ttbar.progress import say

JOBS = 256
"""As many functions are handed over at a time at most: each has a thread here, which waits for a job of Spark."""


class SparkExecutor(EngineExecutor):
    """Functions as jobs of one task each, on an RDD of one question."""

    name = "Spark"
    _context: Any = None
    _slots: Any = None
    _threads: ThreadPoolExecutor | None = None

    @property
    def slots(self) -> int:
        """Cores of all executors: each has a process."""
        return int(self._context.defaultParallelism) if self._context else 1

    def counted(self) -> int:
        """Nothing is known of a task before its end."""
        return 0

    def _connect(self) -> None:
        master = self._address = self._scheduler or f"local[{self._workers or len(os.sched_getaffinity(0))}]"
        if self._scheduler is None:
            os.environ["PYSPARK_PYTHON"] = sys.executable
        settings = {
            "spark.log.level": "OFF",
            "spark.python.worker.reuse": "true",
            "spark.ui.showConsoleProgress": "false",
        }
        if self._workers and self._scheduler:
            settings["spark.cores.max"] = str(self._workers)
        configuration = SparkConf().setMaster(master).setAppName("ttbar").setAll(list(settings.items()))
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
        interrupt = signal.getsignal(signal.SIGINT)
        try:
            self._context = SparkContext(conf=configuration)
            with suppress(ValueError):  # in the main thread, Spark has put its own in place of it
                signal.signal(signal.SIGINT, interrupt)
        except (PySparkException, OSError, ValueError) as error:
            raise UsageError(
                "--scheduler", f"Spark does not start with {master}: is Java 17 or later there? ({error})"
            ) from None
        except Exception as error:  # what Java has to say
            raise UsageError("--scheduler", f"Spark does not start with {master} ({_first_line(error)})") from None
        if self._context.uiWebUrl:
            say(f"Spark's page: {self._context.uiWebUrl}")

    def _ship(self, slots: Slots) -> Sequence[tuple[str, Callable[[bytes], Asked]]]:
        for module in travelling(sys.modules[__name__]):
            cloudpickle.register_pickle_by_value(module)
        self._slots = self._context.broadcast(slots)
        self._threads = ThreadPoolExecutor(JOBS)
        return [("the first executor", self._ask)]

    def _ask(self, question: bytes, failed: Set[str] = frozenset(), unfit: Set[str] = frozenset()) -> Asked:
        assert self._threads is not None
        return self._threads.submit(self._run, question)  # Spark alone chooses

    def _others(self, unfit: Set[str]) -> int:
        return self._number_of_executors() - len(unfit)

    def _run(self, question: bytes) -> tuple[str, int, Any]:
        """Let Spark ask, and wait for it."""
        task = partial(_answers, self._slots)
        [answer] = self._context.parallelize([question], 1).mapPartitions(task).collect()
        return answer  # type: ignore[no-any-return]

    def _look(self) -> bool:
        return self._number_of_executors() > 0

    def _number_of_executors(self) -> int:
        if self._address.startswith("local"):
            return 1
        here = 1  # which is no executor, but the process that asks
        return int(self._context._jsc.sc().getExecutorMemoryStatus().size()) - here

    def _explained(self, error: BaseException) -> Exception:
        return super()._explained(RuntimeError(_first_line(error)))

    def _disconnect(self) -> None:
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._context:
            self._context.cancelAllJobs()
            self._context.stop()


def _answers(slots: Any, questions: Iterator[bytes]) -> Iterator[tuple[str, int, Any]]:
    """Ask a slot of the process that this runs in; the children live as long as that, which Spark uses again."""
    there = kept(slots.value, SparkFiles.getRootDirectory())
    for question in questions:
        yield (f"{socket.gethostname()}:{SparkFiles.getRootDirectory()}", *there.ask(question))


def _first_line(error: BaseException) -> str:
    """What an error says, without the stack of Java."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Exception" in line or "Error" in line]
    return (told or lines or [type(error).__name__])[0]
