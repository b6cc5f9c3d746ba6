"""Engines on this machine: what they make of a sample, and a cluster whose workers have ROOT and Dask alone."""

import importlib.metadata
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

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
    folder.mkdir()
    for distribution in closure("root", "distributed").values():
        for file in distribution.files or ():
            top = file.parts[0]
            place = Path(str(distribution.locate_file(top)))
            if top not in ("..", "__pycache__") and not (folder / top).exists() and place.exists():
                (folder / top).symlink_to(place)
    assert not (folder / "ttbar").exists()
    assert not (folder / "hist").exists()
    return folder


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Path]:
    """Start a scheduler and workers, each in a folder of its own; the scheduler's file comes back."""
    packages = bare_environment(folder / "packages")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(packages), "DASK_LOGGING__DISTRIBUTED": "critical"}
    file = folder / "scheduler.json"
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> None:
            (folder / name).mkdir()
            with (folder / name / "log").open("w") as log:
                command = [sys.executable, "-S", "-P", "-m", *arguments, "--scheduler-file", str(file)]
                process = subprocess.Popen(command, cwd=folder / name, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start("scheduler", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")
        for number in range(workers):
            options = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--local-directory", ".")
            start(f"worker{number}", "distributed.cli.dask_worker", *options)
        until = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        yield file


def processed(executor: Executor, toy: Path, setup: loop.Setup, unit_events: int | None) -> Partial:
    """Results of the sample, checked and processed by an executor."""
    wanted_ = wanted(toy)
    listed = load_dataset(toy, setup.analysis.variations)
    checked = source.get(wanted_, listed, setup.analysis.columns, setup.analysis.reserved, executor)
    function = partial(analyse, tree="Events", analysis=setup.analysis, seed=1)
    division = partial(units.divide, unit_events=unit_events)
    samples, partials = units.process("Processing", checked, function, executor, False, division=division)
    assert [record.processed for record in samples[0].records] == [8000, 8000]
    return partials["ttbar__nominal"]
