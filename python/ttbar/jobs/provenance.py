"""What a result is made of, and what it cost."""

import hashlib
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError
from ttbar.execution.loop import Ready, peak_memory
from ttbar.execution.unit import Cost, Partial
from ttbar.inputs.files import CheckedSample
from ttbar.library import root_version, shipped
from ttbar.worker import Worker

PACKAGES = ("ttbar", "cabinetry", "hist", "iminuit", "matplotlib", "mplhep", "numpy", "pyhf", "scipy", "uproot")


class Stopwatch:
    """When a run began, and how long its steps take."""

    def __init__(self) -> None:
        self.date = datetime.now(UTC)
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Time a step.

        Parameters
        ----------
        step : str
            What it is called; the time of a step that comes again is added.
        """
        started = time.perf_counter()
        yield
        self.seconds[f"{step}_s"] = self.seconds.get(f"{step}_s", 0) + time.perf_counter() - started

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._start


def measured(
    ready: Ready, workers: int, samples: Sequence[CheckedSample], partials: Mapping[str, Partial], stopwatch: Stopwatch
) -> dict[str, float]:
    """What a run cost.

    Parameters
    ----------
    ready : Ready
        What the event loop worked with.
    workers : int
        Number of processes that it ran in.
    samples : sequence of CheckedSample
        The samples, with what became of their files.
    partials : mapping of str to Partial
        Results by name of the sample.
    stopwatch : Stopwatch
        How long the steps took.

    Returns
    -------
    dict of str to float
        Times, rates and bytes, by their names in `metrics.json`.
    """
    cost = sum((partial.cost for partial in partials.values()), Cost(peak_rss_mb=peak_memory() / 1e6))
    if workers > 1:  # their times overlap
        cost = replace(cost, loop_wall_s=stopwatch.seconds["process_s"])
    events = sum(partial.events for partial in partials.values())
    return {
        "events": events,
        "threads": ready.threads,
        "workers": workers,
        **stopwatch.seconds,
        **asdict(cost),
        "total_wall_s": stopwatch.elapsed,
        "events_per_s": events / cost.loop_wall_s,
        "events_per_thread_s": events / cost.loop_wall_s / ready.threads / workers,
        "events_per_core_s": events / cost.loop_cpu_s,
        "percent_read": 100 * cost.bytes_read / sum(file.size for sample in samples for file in sample.good),
    }


def provenance(
    analysis: Analysis,
    options: Mapping[str, Any],
    ready: Ready,
    samples: Sequence[CheckedSample],
    partials: Mapping[str, Partial],
    started: datetime,
) -> dict[str, Any]:
    """What a result is made of.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    options : mapping
        What the user chose, those of the source by themselves.
    ready : Ready
        What the event loop worked with.
    samples : sequence of CheckedSample
        The samples, with what became of their files.
    partials : mapping of str to Partial
        Results by name of the sample.
    started : datetime.datetime
        When the run began.

    Returns
    -------
    dict
        The content of `run.json`.
    """
    chosen = {name: value for name, value in options.items() if name not in ("source", "analysis", "models")}
    chosen["models"] = [str(path) for path in options["models"]]
    chosen |= chosen.pop("where")
    return {
        "status": "complete",
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "ROOT": ready.root_version,
            **{package: version(package) for package in PACKAGES},
        },
        "commit": commit(),
        "code": ready.code,
        "options": {**options["source"], **chosen},
        "analysis": {
            "name": analysis.name,
            "sha256": analysis.sha256,
            "luminosity_per_pb": analysis.luminosity,
            "cross_sections_pb": {process.name: process.cross_section for process in analysis.simulated},
            "cuts": analysis.cuts,
            "definition": asdict(analysis),
        },
        "models": [
            {"name": model.name, "path": str(path), "sha256": sha256}
            for model, path, sha256 in zip(analysis.models, options["models"], ready.models, strict=True)
        ],
        "samples": {
            sample.name: {
                "nevts": sample.nevts,
                "expected": sample.entries,
                "processed": partials[sample.name].events,
            }
            | ({"anomalies": dict(found)} if (found := partials[sample.name].anomalies) else {})
            for sample in samples
        },
        "files": accounts(samples),
    }


def about() -> Iterator[str]:
    """What the program is made of.

    Yields
    ------
    str
        A line for the program, its commit if that is known, ROOT, and each of the models that come with it.
    """
    yield f"ttbar {version('ttbar')}"
    if found := commit():
        yield f"commit {found}"
    try:
        with Worker() as worker:
            yield f"ROOT {worker.call(root_version)}"
    except AnalysisError as error:
        yield str(error)
    for model in sorted(shipped("models").glob("*.json")):
        yield f"model {model.stem} {hashlib.sha256(model.read_bytes()).hexdigest()[:8]}"


def commit() -> str | None:
    """The commit that the program was made of.

    Returns
    -------
    str or None
        That of the checkout that the package is in, or else of the one that it was built in, `-dirty` behind it if that
        was changed; None if nobody knows.
    """
    here = Path(__file__)
    git = ("git", "-C", str(here.parent))
    try:
        # The package can be installed in a folder of somebody else's repository.
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], capture_output=True, timeout=10, check=True)
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        built = shipped("commit")
        return built.read_text().strip() if built.exists() else None


def accounts(samples: Sequence[CheckedSample]) -> list[dict[str, Any]]:
    """What became of each file.

    Parameters
    ----------
    samples : sequence of CheckedSample
        The samples.

    Returns
    -------
    list of dict
        One for each file, in the order of the data set.
    """
    found = []
    for record in (record for sample in samples for record in sample.records):
        account = asdict(replace(record, checked=None)) | {"source": record.checked and record.checked.source}
        del account["checked"]
        found.append(account)
    return found
