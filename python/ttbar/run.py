"""The main job: from a data set to the results folder."""

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

from ttbar import definition, histograms, io_only, loop, results, simulate
from ttbar.dataset import Sample, limit_files, load_dataset, select_samples
from ttbar.errors import AnalysisError, InputError
from ttbar.inputs import CheckedSample, check_samples
from ttbar.library import resource
from ttbar.loop import Partial, Ready, Unit
from ttbar.progress import Display, say
from ttbar.worker import Worker, WorkerDied

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
    bad_files: str
    io_only: str | None
    plots: bool
    fit: bool


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
    outdated = ("metrics.json",) if options.io_only else results.OF_A_RUN
    with Worker() as worker:
        say("Starting ROOT")
        model = None if options.io_only else str(options.model)
        starting = worker.start(loop.initialise, options.threads, model)
        try:
            listed = _samples(options, worker)
        except InputError:
            results.prepare(options.output, outdated)
            raise
        results.prepare(options.output, outdated)
        ready = worker.finish(starting)
        columns = dict.fromkeys(io_only.COLUMNS[options.io_only]) if options.io_only else definition.COLUMNS
        samples = check(listed, options.tree, columns, options.bad_files == "skip")
        partials = _process(samples, options, worker)
        peak_memory = max(worker.call(loop.peak_memory), loop.peak_memory())

    if not options.io_only:
        histograms.write(options.output / "histograms.root", dict(_final_histograms(samples, partials)))
        results.write_json(options.output / "cutflow.json", _final_cutflow(samples, partials))
        _present(options)

    cost = reduce(add, (partial.cost for partial in partials.values()))
    events = sum(partial.events for partial in partials.values())
    metrics = {
        "events": events,
        "threads": ready.threads,
        **asdict(cost),
        "total_wall_s": time.perf_counter() - started,
        "events_per_s": events / cost.loop_wall_s,
        "percent_read": 100 * cost.bytes_read / sum(file.size for sample in samples for file in sample.good),
        "peak_rss_mb": peak_memory / 1e6,
    }
    results.write_json(options.output / "metrics.json", metrics)
    if not options.io_only:
        from ttbar.report import write_page

        provenance = _provenance(options, ready, samples, partials, start_date)
        write_page(options.output, provenance)
        results.write_json(options.output / "run.json", provenance)
    say(f"{events:,} events in {cost.loop_wall_s:.1f} s; the results are in {options.output}")


def _present(options: Options) -> None:
    """Plot and fit the histograms, as far as there is something to plot and to fit."""
    # Imported here, since this takes seconds that a run without it should not spend.
    from ttbar.fit import fit
    from ttbar.plot import plot

    for wanted, present in ((options.plots, plot), (options.fit, fit)):
        try:
            if wanted:
                present(options.output / "histograms.root", options.output)
        except InputError as error:
            say(f"Left out: {error}")


def dataset_file(dataset: str, worker: Worker) -> Path:
    """Find the file of a data set.

    Parameters
    ----------
    dataset : str
        `demo`, which is simulated on first use, the name of a data set that comes with the program, or a file.
    worker : Worker
        Where to simulate.

    Returns
    -------
    pathlib.Path
        The data set file.
    """
    if dataset == DEMO:
        return worker.call(simulate.demo)
    shipped = resource("datasets", f"{dataset}.json")
    return shipped if shipped.exists() else Path(dataset)


def _samples(options: Options, worker: Worker) -> list[Sample]:
    """The samples that the user asked for."""
    path = dataset_file(options.dataset, worker)
    samples = select_samples(load_dataset(path, definition.PROCESSES, options.prefixes), options.samples)
    return samples if options.files is None else limit_files(samples, options.files)


def check(
    samples: list[Sample], tree: str, columns: Mapping[str, str | None], skip_bad_files: bool
) -> list[CheckedSample]:
    """Check the files of samples before anything else happens, and show how far it is.

    Parameters
    ----------
    samples : list of Sample
        What to check.
    tree, columns, skip_bad_files
        As in `ttbar.inputs.check_samples`.

    Returns
    -------
    list of CheckedSample
        What is there to be used.
    """
    with Display("Checking", sum(len(sample.files) for sample in samples), "files") as display:
        checked = check_samples(samples, tree, columns, skip_bad_files, lambda done, file: display.update(done))
    for record in (record for sample in checked for record in sample.records if record.reason):
        say(f"{record.path}: {record.status}: {record.reason}")
    return checked


def _units(sample: CheckedSample) -> Iterator[Unit]:
    """Divide a sample into units."""
    paths: list[str] = []
    entries = 0
    for file in sample.good:
        if paths and entries + file.entries > UNIT_ENTRIES:
            yield Unit(sample.process, sample.variation, tuple(paths), entries)
            paths, entries = [], 0
        paths.append(file.path)
        entries += file.entries
    yield Unit(sample.process, sample.variation, tuple(paths), entries)


def _process(samples: list[CheckedSample], options: Options, worker: Worker) -> dict[str, Partial]:
    """Process all units and merge them by sample."""
    units = [unit for sample in samples for unit in _units(sample)]
    partials: dict[str, Partial] = {}
    with Display("Processing", sum(unit.entries for unit in units), "events") as display:
        worker.on_progress = display.update
        for unit in units:
            display.detail = unit.sample
            try:
                if options.io_only:
                    columns = io_only.COLUMNS[options.io_only]
                    result = worker.call(loop.read_columns, unit, options.tree, columns)
                else:
                    result = worker.call(loop.analyse, unit, options.tree, options.seed)
            except WorkerDied as error:
                raise AnalysisError(f"{unit.sample}: {error}; check its files: {', '.join(unit.paths)}") from None
            merged = partials.get(unit.sample)
            partials[unit.sample] = merged + result if merged else result
    return partials


def _final_histograms(
    samples: list[CheckedSample], partials: Mapping[str, Partial]
) -> Iterator[tuple[str, hist.Hist[Any]]]:
    """Normalise the histograms of all samples, and give them their names."""
    for sample in samples:
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


def _final_cutflow(samples: list[CheckedSample], partials: Mapping[str, Partial]) -> dict[str, Any]:
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
        for sample in samples
    }


def _provenance(
    options: Options,
    ready: Ready,
    samples: list[CheckedSample],
    partials: Mapping[str, Partial],
    start_date: datetime,
) -> dict[str, Any]:
    """What a result is made of."""
    packages = ("ttbar", "cabinetry", "hist", "iminuit", "matplotlib", "mplhep", "numpy", "pyhf", "scipy", "uproot")
    return {
        "status": "complete",
        "started": start_date.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "ROOT": ready.root_version,
            **{package: version(package) for package in packages},
        },
        "options": asdict(options) | {"model": str(options.model), "output": str(options.output)},
        "model": {"path": str(options.model), "sha256": ready.model_sha256},
        "samples": {
            sample.name: {
                "nevts": sample.nevts,
                "expected": sample.entries,
                "processed": partials[sample.name].events,
            }
            for sample in samples
        },
        "files": [asdict(record) for sample in samples for record in sample.records],
    }
