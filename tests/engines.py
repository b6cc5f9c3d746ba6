"""Engines on this machine: what they make of a sample, and a cluster whose workers have ROOT and Dask alone."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self

import psutil
from packaging.requirements import Requirement

from ttbar.execution import loop, units
from ttbar.execution.analyse import analyse
from ttbar.execution.unit import Partial
from ttbar.executors import Executor
from ttbar.inputs import source
from ttbar.inputs.dataset import load_dataset
from ttbar.interface import wanted


def closure(*names: str) -> dict[str, importlib.metadata.Distribution]:
    """Packages and all that they need."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [*names]
    while waiting:
        name = re.sub("[-_.]+", "-", waiting.pop().lower())
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        for requirement in map(Requirement, found[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def bare_environment(folder: Path) -> Path:
    """A folder with ROOT, Dask and what they need."""
    folder.mkdir(parents=True)
    for distribution in closure("root", "distributed").values():
        for file in distribution.files or ():
            top = file.parts[0]
            place = Path(str(distribution.locate_file(top)))
            if top not in ("..", "__pycache__") and not (folder / top).exists() and place.exists():
                (folder / top).symlink_to(place)
    assert not (folder / "ttbar").exists()
    assert not (folder / "hist").exists()
    return folder


class Cluster:
    """A scheduler of Dask and workers, each in a folder of its own; they end with the context.

    Parameters
    ----------
    folder : pathlib.Path
        Where all that they write goes.
    host, protocol : str, optional
        The address that the scheduler listens at.
    **environment : str
        More variables of the environment of all processes.

    Attributes
    ----------
    file : pathlib.Path
        The scheduler's file.
    processes
        All processes by name.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", protocol: str = "tcp", **environment: str) -> None:
        self.folder, self._place = folder, ("--protocol", protocol, "--host", host)
        self.file = folder / "scheduler.json"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._environment |= {
            "PYTHONPATH": str(bare_environment(folder / "packages")),
            "DASK_LOGGING__DISTRIBUTED": "critical",
            **environment,
        }

    def __enter__(self) -> Self:
        options = ("--port", "0", "--no-dashboard", *self._place, "--scheduler-file", str(self.file))
        self._start("scheduler", "distributed.cli.dask_scheduler", *options)
        until = time.monotonic() + 60
        while not self.file.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        return self

    def __exit__(self, *error: object) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            process.wait()

    @property
    def address(self) -> str:
        """Where the scheduler is."""
        return str(json.loads(self.file.read_text())["address"])

    def add(self, name: str, *options: str, prefix: Sequence[object] = (), **environment: str) -> None:
        """Start a worker, perhaps by another command."""
        options = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--local-directory", ".", *options)
        self._start(name, "distributed.cli.dask_worker", self.address, *options, prefix=prefix, **environment)

    def remove(self, name: str) -> None:
        """End a worker."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait()

    def kill(self, name: str) -> None:
        """Kill a scheduler, or a worker with what would start it again."""
        process = self.processes.pop(name)
        for each in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()

    def _start(self, name: str, *arguments: str, prefix: Sequence[object] = (), **environment: str) -> None:
        place = self.folder / name
        place.mkdir(exist_ok=True)
        with (self.folder / f"{name}.log").open("w") as log:
            command = [*map(str, prefix), sys.executable, "-S", "-P", "-m", *arguments]
            self.processes[name] = subprocess.Popen(
                command, cwd=place, env=self._environment | environment, stdout=log, stderr=log
            )


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Path]:
    """Start a scheduler and workers, each in a folder of its own; the scheduler's file comes back."""
    with Cluster(folder) as started:
        for number in range(workers):
            started.add(f"worker{number}")
        yield started.file


def processed(executor: Executor, toy: Path, setup: loop.Setup, unit_events: int | None) -> Partial:
    """Results of the sample, checked and processed by an executor."""
    wanted_ = wanted(toy)
    listed = load_dataset(toy, setup.analysis.variations)
    checked = source.get(wanted_, listed, setup.analysis.columns, setup.analysis.reserved, executor)
    function = partial(analyse, tree="Events", analysis=setup.analysis, seed=1)
    division = partial(units.divide, unit_events=unit_events)
    samples, partials = units.process("Processing", checked, function, executor, False, division=division)
    assert [record.processed for record in samples[0].records] == [file.entries for file in checked[0].good]
    return partials["ttbar__nominal"]
