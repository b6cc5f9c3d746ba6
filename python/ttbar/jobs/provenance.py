"""What a result is made of, and what it cost."""

import hashlib
import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError
from ttbar.execution.loop import Ready, peak_memory
from ttbar.execution.unit import Cost, Partial, added_costs
from ttbar.inputs.files import CheckedSample
from ttbar.library import root_version, shipped
from ttbar.timeline import Span, Timeline
from ttbar.worker import Worker

PACKAGES = ("ttbar", "cabinetry", "hist", "iminuit", "matplotlib", "mplhep", "numpy", "pyhf", "scipy", "uproot")


def measured(
    ready: Ready, workers: int, samples: Sequence[CheckedSample], partials: Mapping[str, Partial], timeline: Timeline
) -> dict[str, Any]:
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
    timeline : Timeline
        What was done when.

    Returns
    -------
    dict
        Times, rates and bytes, by their names in `metrics.json`; times of all steps, what went on meanwhile, cost by
        sample and by process, and the machine.
    """
    steps, others = timeline.steps, timeline.others
    seconds = Counter[str]()
    for span in (*steps, *others):
        seconds[f"{span.name}_s"] += span.wall_s  # type: ignore[assignment]
    processes = added_costs(partial.costs for partial in partials.values())
    cost = sum(processes.values(), Cost(peak_rss_mb=peak_memory() / 1e6))
    if workers > 1:  # their times overlap
        # Results that an earlier run has kept took their time in that one.
        cost = replace(cost, loop_wall_s=max(seconds["process_s"], cost.loop_wall_s / workers))
    events = sum(partial.events for partial in partials.values())
    return {
        "events": events,
        "threads": ready.threads,
        "workers": workers,
        **seconds,
        **asdict(cost),
        "total_wall_s": steps[-1].end_s,
        "events_per_s": events / cost.loop_wall_s,
        "events_per_thread_s": events / cost.loop_wall_s / ready.threads / workers,
        "events_per_core_s": events / cost.loop_cpu_s,
        "percent_read": 100 * cost.bytes_read / sum(file.size for sample in samples for file in sample.good),
        "steps": [_when(step) for step in steps],
        "meanwhile": [_when(other) for other in others],
        "samples": {name: {"events": partial.events, **asdict(partial.cost)} for name, partial in partials.items()},
        "processes": {process: asdict(cost) for process, cost in processes.items()},
        "machine": machine(),
    }


def _when(span: Span) -> dict[str, Any]:
    """What something is called, when it began and how long it took."""
    return {"name": span.name, "start_s": span.start_s, "wall_s": span.wall_s}


def machine() -> dict[str, Any]:
    """Describe the machine that this program runs on; the workers of an engine may be on others.

    Returns
    -------
    dict
        Its processor, cores, memory and system, as in `metrics.json`.
    """
    models = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "processor": models[1] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "system": platform.platform(),
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
