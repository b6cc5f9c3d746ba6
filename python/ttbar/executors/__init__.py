"""Where functions run that need ROOT: processes on this machine, or on the workers of Dask or Spark."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ttbar.errors import UsageError
from ttbar.executors.executor import Executor
from ttbar.executors.local import LocalExecutor

__all__ = ["HERE", "Executor", "Kind", "LocalExecutor", "Where"]

Kind = Literal["local", "dask", "spark"]


@dataclass(frozen=True)
class Where:
    """Where a user wants the event loop to run; see `ttbar run --help`."""

    executor: Kind = "local"
    scheduler: str | None = None
    workers: int | None = None

    def threads(self, wanted: int | None) -> int | None:
        """Number of threads of each process, given what the user wants; None for all cores."""
        if wanted is not None or (self.executor == "local" and self.workers in (None, 1)):
            return wanted
        if self.executor != "local":
            return 1
        return max(1, len(os.sched_getaffinity(0)) // (self.workers or 1))

    def start(self, setup: Callable[[], Any], patience: float) -> Executor:
        """Make an executor.

        Parameters
        ----------
        setup : callable
            What each process runs first; if it has `files`, they are there.
        patience : float
            Seconds without a sign of life after which a process is taken for dead.

        Returns
        -------
        Executor
            One that has started no process yet.

        Raises
        ------
        UsageError
            If the engine is not installed, or there is no such address.
        """
        if self.scheduler and self.executor == "local":
            raise UsageError("--scheduler", "needs an engine: give --executor dask or spark as well")
        if self.executor == "local":
            return LocalExecutor(setup, patience, self.workers or 1)
        try:
            if self.executor == "dask":
                from ttbar.executors.on_dask import DaskExecutor

                return DaskExecutor(setup, patience, self.scheduler, self.workers)
            from ttbar.executors.on_spark import SparkExecutor

            return SparkExecutor(setup, patience, self.scheduler, self.workers)
        except ModuleNotFoundError as error:
            extra = f"pip install 'ttbar[{self.executor}]'"
            raise UsageError("--executor", f"{error.name} is not installed: {extra}") from None


HERE = Where()
"""One process on this machine."""
