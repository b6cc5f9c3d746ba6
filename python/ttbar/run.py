"""The main job: from a data set to the results folder."""

import hashlib
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import reduce
from importlib.metadata import version
from operator import add
from pathlib import Path
from typing import Any

import hist

from ttbar import definition, histograms, inputs, io_only, loop, results, simulate
from ttbar.dataset import Sample, limit_files, load_dataset, select_samples
from ttbar.inputs import CheckedSample, CheckReport
from ttbar.loop import Partial, Unit
from ttbar.progress import progress, say
from ttbar.worker import Worker

UNIT_ENTRIES = 10_000_000
"""A unit takes files until it has this many events: few enough to repeat, enough to keep many cores busy."""

DEMO = "demo"


@dataclass(frozen=True)
class Options:
    """What a user can choose for a run; see `ttbar run --help`."""

    dataset: str
    samples: str
    files: int | None
    prefixes: tuple[tuple[str, str], ...]
    tree: str
    model: Path
    threads: int | None
    output: Path
    seed: int
    skip_bad_files: bool
    io_only: str | None


def run(options: Options) -> None:
    """Process a data set and fill the results folder.

    Parameters
    ----------
    options : Options
        What the user chose.

    Raises
    ------
    click.BadParameter
        If the data set does not have a sample that was asked for.
    InputError
        If a file is missing or wrong.
    AnalysisError
        If the event loop fails.
    """
    started, start_date = time.perf_counter(), datetime.now(UTC)
    results.prepare(options.output, ("metrics.json",) if options.io_only else results.OF_A_RUN)
    with Worker() as worker:
        say("Starting ROOT")
        threads = worker.call(
            "start", loop.initialise, options.threads, None if options.io_only else str(options.model)
        )
        report = _check(_samples(options, worker), options, worker)
        partials = _process(report, options, worker)
        peak_memory = max(worker.call("end", loop.peak_memory), loop.peak_memory())

    cost = reduce(add, (partial.cost for partial in partials.values()))
    events = sum(partial.events for partial in partials.values())
    file_bytes = sum(file.size for sample in report.samples for file in sample.files)
    metrics = {
        "events": events,
        "threads": threads,
        **asdict(cost),
        "events_per_s": events / cost.loop_wall_s,
        "percent_read": 100 * cost.bytes_read / file_bytes,
        "peak_rss_mb": peak_memory / 1e6,
    }
    if not options.io_only:
        histograms.write(options.output / "histograms.root", dict(_final_histograms(report, partials)))
        results.write_json(options.output / "cutflow.json", _final_cutflow(report, partials))
    results.write_json(
        options.output / "metrics.json", metrics | {"total_wall_s": time.perf_counter() - started}
    )
    if not options.io_only:
        results.write_json(
            options.output / "run.json", _provenance(options, report, partials, start_date)
        )
    say(f"{events:,} events in {cost.loop_wall_s:.1f} s; results are in {options.output}")


def _samples(options: Options, worker: Worker) -> list[Sample]:
    """The samples that the user asked for."""
    if options.dataset == DEMO:
        path = worker.call("simulation of the demo data set", simulate.demo)
    else:
        path = Path(options.dataset)
    samples = select_samples(
        load_dataset(path, definition.PROCESSES, options.prefixes), options.samples
    )
    return samples if options.files is None else limit_files(samples, options.files)


def _check(samples: list[Sample], options: Options, worker: Worker) -> CheckReport:
    """Check the files of samples before anything else happens."""
    columns: Mapping[str, str | None] = definition.COLUMNS
    if options.io_only:
        columns = dict.fromkeys(io_only.COLUMNS[options.io_only])
    with progress("Checking", sum(len(sample.files) for sample in samples), "files") as show:
        worker.on_progress = lambda checked: show(checked, "")
        report = worker.call(
            "check of the input files",
            inputs.check_samples,
            samples,
            options.tree,
            columns,
            options.skip_bad_files,
        )
    for file in report.files:
        if file.reason:
            say(f"{file.path}: {file.status}: {file.reason}")
    return report


def _units(sample: CheckedSample) -> Iterator[Unit]:
    """Divide a sample into units."""
    paths: list[str] = []
    entries = 0
    for file in sample.files:
        if paths and entries + file.entries > UNIT_ENTRIES:
            yield Unit(sample.process, sample.variation, tuple(paths), entries)
            paths, entries = [], 0
        paths.append(file.path)
        entries += file.entries
    yield Unit(sample.process, sample.variation, tuple(paths), entries)


def _process(report: CheckReport, options: Options, worker: Worker) -> dict[str, Partial]:
    """Process all units and merge them by sample."""
    units = [unit for sample in report.samples for unit in _units(sample)]
    partials: dict[str, Partial] = {}
    with progress("Processing", sum(unit.entries for unit in units), "events") as show:
        before = worker.progress
        for unit in units:
            worker.on_progress = lambda processed, sample=unit.sample: show(processed - before, sample)
            if options.io_only:
                columns = io_only.COLUMNS[options.io_only]
                partial = worker.call(unit.sample, loop.read_columns, unit, options.tree, columns)
            else:
                partial = worker.call(unit.sample, loop.analyse, unit, options.tree, options.seed)
            merged = partials.get(unit.sample)
            partials[unit.sample] = merged + partial if merged else partial
    return partials


def _final_histograms(
    report: CheckReport, partials: Mapping[str, Partial]
) -> Iterator[tuple[str, hist.Hist]]:
    """Normalise the histograms of all samples, and give them their names."""
    for sample in report.samples:
        weight = definition.event_weight(sample.process, sample.nevts)
        for (region, variation), histogram in partials[sample.name].histograms.items():
            final = histogram * weight
            if variation != definition.NOMINAL:
                yield histograms.name_of(region, sample.process, variation), final
                continue
            yield histograms.name_of(region, sample.process, sample.variation), final
            if sample.variation == definition.NOMINAL:
                for name, factor in definition.CONSTANT_WEIGHTS.get(sample.process, {}).items():
                    yield histograms.name_of(region, sample.process, name), final * factor


def _final_cutflow(report: CheckReport, partials: Mapping[str, Partial]) -> dict[str, Any]:
    """Events and normalised events by sample, universe and cut."""
    return {
        sample.name: {
            universe: [
                {
                    "cut": cut,
                    "events": events,
                    "weighted": events * definition.event_weight(sample.process, sample.nevts),
                }
                for cut, events in cuts.items()
            ]
            for universe, cuts in partials[sample.name].cutflow.items()
        }
        for sample in report.samples
    }


def _provenance(
    options: Options, report: CheckReport, partials: Mapping[str, Partial], start_date: datetime
) -> dict[str, Any]:
    """What a result is made of."""
    return {
        "status": "complete",
        "started": start_date.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "ROOT": report.root_version,
            **{package: version(package) for package in ("ttbar", "numpy", "hist", "uproot")},
        },
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()},
        "model": {
            "path": str(options.model),
            "sha256": hashlib.sha256(options.model.read_bytes()).hexdigest(),
        },
        "samples": {
            sample.name: {
                "nevts": sample.nevts,
                "expected": sample.entries,
                "processed": partials[sample.name].events,
            }
            for sample in report.samples
        },
        "files": [asdict(file) for file in report.files],
    }
