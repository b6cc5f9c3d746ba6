"""The main job: from a data set to the results folder."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial, reduce
from importlib import import_module
from importlib.metadata import version
from operator import add
from pathlib import Path
from typing import Any

import click
import hist

from ttbar import output
from ttbar.analyses.agc_v1 import analysis, definition, io_levels
from ttbar.errors import InputError, Interrupted, TtbarError
from ttbar.execution import loop, skim, units
from ttbar.execution.loop import Partial, Ready
from ttbar.execution.skim import make_skims
from ttbar.inputs import source
from ttbar.inputs.dataset import Sample, load_dataset
from ttbar.inputs.files import CheckedSample
from ttbar.inputs.source import Source
from ttbar.progress import say
from ttbar.results import histograms
from ttbar.worker import Worker

UNITS = "units"
"""Where in the results folder the results of units are kept until the run is complete."""


@dataclass(frozen=True)
class Options:
    """What a user can choose for a run; see `ttbar run --help`."""

    source: Source
    skim: Path | None
    model: Path
    threads: int | None
    output: Path
    seed: int
    resume: bool
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
        If the data set does not have a sample that was asked for, or skims and results would share a folder.
    InputError
        If a file is missing or wrong.
    AnalysisError
        If the event loop fails.
    Interrupted
        If the user interrupts it, with what is finished kept.
    """
    begun = _Begun()
    if options.skim and options.skim.resolve() in (options.output.resolve(), (options.output / UNITS).resolve()):
        raise click.BadParameter("is a folder of results (--output), choose another one", param_hint="--skim")
    outdated = ("metrics.json",) if options.io_only else output.OF_A_RUN
    model = None if options.io_only else str(options.model)
    with Worker(partial(loop.initialise, options.threads, model), options.source.patience) as worker:
        say("Starting ROOT")
        dataset = source.dataset_file(options.source, worker)
        mistake = None
        try:
            listed = source.list_samples(options.source, dataset)
        except InputError as error:
            mistake = error
        with ExitStack() as folders:
            folders.enter_context(output.reserved(options.output))
            output.prepare(options.output, outdated)
            if mistake:
                raise mistake
            if options.skim:
                folders.enter_context(output.reserved(options.skim))
            with _telling_what_is_kept(options.output / UNITS):
                _run(options, dataset, listed, worker, begun)


@contextmanager
def _telling_what_is_kept(folder: Path) -> Iterator[None]:
    """Say how to go on if what follows fails or is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted; go on with --resume" if any(folder.glob("*")) else "interrupted") from None
    except TtbarError:
        if any(folder.glob("*")):
            say(f"What is finished is kept in {folder}: the same command with --resume goes on from there")
        raise


class _Begun:
    """When a run began, and how long its steps take."""

    def __init__(self) -> None:
        self.date = datetime.now(UTC)
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Time a step."""
        started = time.perf_counter()
        yield
        self.seconds[f"{step}_s"] = self.seconds.get(f"{step}_s", 0) + time.perf_counter() - started

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._start


def _run(options: Options, dataset: Path, listed: list[Sample], worker: Worker, begun: _Begun) -> None:
    """Process samples of a data set in a folder of our own."""
    ready: Ready = worker.ready()
    wanted, skimmed = options.source, None
    columns = dict.fromkeys(io_levels.IO_LEVELS[options.io_only]) if options.io_only else definition.COLUMNS
    with begun.time("check"):
        checked = source.get(wanted, listed, definition.COLUMNS if options.skim else columns)
    if options.skim:
        with begun.time("skim"):
            skimmed = make_skims(dataset, checked, options.skim, wanted.tree, wanted.skip_bad, "TTree", worker)
        wanted = replace(wanted, tree=skim.TREE)
        with begun.time("check"):
            checked = source.get(wanted, load_dataset(skimmed.dataset, definition.PROCESSES), columns)
    samples, partials = _process(checked, options, wanted.tree, ready, worker)
    peak_memory = max(worker.call(loop.peak_memory), loop.peak_memory())

    if not options.io_only:
        with begun.time("merge"):
            histograms.write(options.output / "histograms.root", dict(_final_histograms(samples, partials)))
            output.write_json(options.output / "cutflow.json", _final_cutflow(samples, partials))
        _present(options, begun)

    cost = reduce(add, (partial.cost for partial in partials.values()))
    events = sum(partial.events for partial in partials.values())
    metrics = {
        "events": events,
        "threads": ready.threads,
        **begun.seconds,
        **asdict(cost),
        "total_wall_s": begun.elapsed,
        "events_per_s": events / cost.loop_wall_s,
        "events_per_thread_s": events / cost.loop_wall_s / ready.threads,
        "events_per_core_s": events / cost.loop_cpu_s,
        "percent_read": 100 * cost.bytes_read / sum(file.size for sample in samples for file in sample.good),
        "peak_rss_mb": peak_memory / 1e6,
    }
    if skimmed:
        metrics["skim_bytes_read"] = skimmed.cost.bytes_read
    output.write_json(options.output / "metrics.json", metrics)
    if not options.io_only:
        from ttbar.results.report import write_page

        provenance = _provenance(options, ready, samples, partials, begun.date)
        if skimmed:
            provenance["skimmed"] = _accounts(skimmed.samples)
        write_page(options.output, provenance)
        output.write_json(options.output / "run.json", provenance)
        output.prepare(options.output, (f"{UNITS}/*",))
        (options.output / UNITS).rmdir()
    say(f"{events:,} events in {cost.loop_wall_s:.1f} s; the results are in {options.output}")


def _process(
    samples: list[CheckedSample], options: Options, tree: str, ready: Ready, worker: Worker
) -> tuple[list[CheckedSample], dict[str, Partial]]:
    """Run the event loop on all samples."""
    if options.io_only:
        columns = io_levels.IO_LEVELS[options.io_only]
        return units.process(
            "Reading",
            samples,
            lambda unit: worker.call(loop.read_columns, unit, tree, columns),
            worker,
            options.source.skip_bad,
        )
    depends_on = {
        "tree": tree,
        "seed": options.seed,
        "model": ready.model_sha256,
        "ROOT": ready.root_version,
        "code": ready.code,
    }
    kept = options.output / UNITS
    if not options.resume and any(kept.glob("*.unit")):
        say(f"What an earlier run has left in {kept} is removed; --resume would have used it")
    output.prepare(kept, () if options.resume else ("*",))
    return units.process(
        "Processing",
        samples,
        lambda unit: worker.call(loop.analyse, unit, tree, options.seed),
        worker,
        options.source.skip_bad,
        units.Results(kept, depends_on),
    )


def _present(options: Options, begun: _Begun) -> None:
    """Plot and fit the histograms, as far as there is something to plot and to fit."""
    fitted: dict[str, Any] = {"analysis": analysis}
    for step, module, wanted, arguments in (("plots", "plot", options.plots, {}), ("fit", "fit", options.fit, fitted)):
        if not wanted:
            continue
        # Imported here, since this takes seconds that a run without it should not spend.
        present = getattr(import_module(f"ttbar.results.{module}"), module)
        try:
            with begun.time(step):
                present(options.output / "histograms.root", options.output, **arguments)
        except InputError as error:
            say(f"Left out: {error}")


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
        "options": asdict(options.source)
        | {name: value for name, value in asdict(options).items() if name != "source"},
        "model": {"path": str(options.model), "sha256": ready.model_sha256},
        "samples": {
            sample.name: {
                "nevts": sample.nevts,
                "expected": sample.entries,
                "processed": partials[sample.name].events,
            }
            for sample in samples
        },
        "files": _accounts(samples),
    }


def _accounts(samples: Sequence[CheckedSample]) -> list[dict[str, Any]]:
    """What became of each file."""
    accounts = []
    for record in (record for sample in samples for record in sample.records):
        account = asdict(replace(record, checked=None)) | {"source": record.checked and record.checked.source}
        del account["checked"]
        accounts.append(account)
    return accounts
