"""The main job: from a data set to the results folder."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ttbar import output, progress
from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError, InputError, Interrupted, TtbarError, UsageError
from ttbar.execution import loop, units
from ttbar.execution.analyse import analyse, read_columns
from ttbar.execution.loop import Ready
from ttbar.execution.models import model_files
from ttbar.execution.skim import Skimmed, make_skims
from ttbar.execution.unit import Cost, Partial, Unit
from ttbar.execution.write_skim import TREE
from ttbar.executors import Executor, Where
from ttbar.inputs import source
from ttbar.inputs.dataset import Sample, load_dataset
from ttbar.inputs.files import CheckedSample
from ttbar.inputs.source import Source
from ttbar.jobs.provenance import accounts, measured, provenance
from ttbar.progress import say
from ttbar.results.pictures import Drawing
from ttbar.timeline import Timeline, trace

UNITS = "units"
"""Where in the results folder the results of units are kept until the run is complete."""

KEPT = (units.RESULT_FILES, f".{units.RESULT_FILES}.part")
"""Patterns of the files there, whole ones and those that were begun."""


@dataclass(frozen=True)
class Options:
    """What a user can choose for a run; see `ttbar run --help`."""

    source: Source
    analysis: Analysis
    skim: Path | None
    models: tuple[Path, ...]
    """As many as the analysis has; none for those that come with the program."""
    threads: int | None
    output: Path
    seed: int
    resume: bool
    io_only: str | None
    where: Where
    unit_events: int | None
    """About the largest number of events of a unit; None to leave files whole."""
    plots: bool
    fit: bool
    profile: bool = False


def run(options: Options) -> None:
    """Process a data set and fill the results folder.

    Parameters
    ----------
    options : Options
        What the user chose.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for, there is another number of models than the analysis
        has, or skims and results would share a folder.
    InputError
        If a file is missing or wrong.
    AnalysisError
        If the event loop or the fit fails, or a process that draws dies. What there is of the results then stays, and
        so does the page.
    Interrupted
        If the user interrupts it, with what is finished kept.
    """
    timeline = Timeline("start")
    _require_consistent(options)
    outdated = ("metrics.json",) if options.io_only else output.OF_A_RUN
    models = () if options.io_only else model_files(options.analysis, options.models)
    setup = loop.Setup(options.where.threads(options.threads), options.analysis, models)
    with options.where.start(setup, options.source.patience) as executor, ThreadPoolExecutor(1) as pool:
        progress.now("Starting ROOT")
        timeline.step("start_root")
        fit_check = None
        if options.fit and not options.io_only:  # its libraries take seconds to import, meanwhile
            fit_check = pool.submit(timeline.meanwhile("check_fit")(check_fit), options.analysis)
        dataset = source.dataset_file(options.source, executor)
        timeline.step("list_files")
        try:
            listed = source.list_samples(options.source, dataset, options.analysis)
        except InputError:
            with output.reserved(options.output):  # old results would be taken for those of this run
                output.prepare(options.output, outdated)
            raise
        with ExitStack() as folders:
            folders.enter_context(output.reserved(options.output))
            output.prepare(options.output, outdated)
            if options.skim:
                folders.enter_context(output.reserved(options.skim))
            with _telling_what_is_kept(options.output / UNITS):
                analysis = source.adapted(options.analysis, listed)
                _run(replace(options, analysis=analysis, models=models), dataset, listed, executor, fit_check, timeline)


def _require_consistent(options: Options) -> None:
    """Refuse options that do not go together."""
    if options.io_only and options.skim:
        raise UsageError("--skim", "does not go together with --io-only, skim first and read the skims then")
    if options.io_only and options.io_only not in options.analysis.io_levels:
        levels = ", ".join(options.analysis.io_levels) or "none"
        raise UsageError("--io-only", f"{options.io_only!r} is no share that {options.analysis.name} knows: {levels}")
    if options.io_only and any(any(options.output.glob(file)) for file in output.OF_A_RUN if file != "metrics.json"):
        raise UsageError("--output", "has the results of a full run, choose another folder")
    if options.skim and options.skim.resolve() in (options.output.resolve(), (options.output / UNITS).resolve()):
        raise UsageError("--skim", "is a folder of results (--output), choose another one")


@contextmanager
def _telling_what_is_kept(folder: Path) -> Iterator[None]:
    """Say how to go on if what follows fails or is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; go on with --resume" if any(folder.glob(units.RESULT_FILES)) else "interrupted"
        ) from None
    except TtbarError:
        if any(folder.glob(units.RESULT_FILES)):
            say(f"What is finished is kept in {folder}: the same command with --resume goes on from there")
        raise


def check_fit(analysis: Analysis) -> InputError | None:
    """Find out whether the histograms of an analysis can be fitted.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    InputError or None
        Why they cannot; None if nothing speaks against it.
    """
    from ttbar.results.fit import check_configuration

    try:
        check_configuration(None, analysis)
    except InputError as error:
        return error
    return None


def _run(
    options: Options,
    dataset: Path,
    listed: list[Sample],
    executor: Executor,
    fit_check: "Future[InputError | None] | None",
    timeline: Timeline,
) -> None:
    """Process samples of a data set, with the results folder locked."""
    timeline.step("start_root")
    ready: Ready = executor.ready()
    no_fit = fit_check.result() if fit_check else None
    if no_fit:
        say(f"The fit cannot be made, all else can: {no_fit}")
    checked, tree, skimmed = _check(options, dataset, listed, executor, timeline)
    with drawing_process(options) as drawing:
        timeline.step("process")
        samples, partials = _process(checked, options, tree, ready, executor, timeline)
        workers = executor.slots
        executor.close()
        failure = finish(options, ready, workers, samples, partials, skimmed, no_fit, drawing, timeline)
    if not options.io_only:
        output.prepare(options.output / UNITS, KEPT)
        with suppress(OSError):  # what somebody else has put there stays
            (options.output / UNITS).rmdir()
    if failure:
        raise failure


def finish(
    options: Options,
    ready: Ready,
    workers: int,
    samples: Sequence[CheckedSample],
    partials: Mapping[str, Partial],
    skimmed: Skimmed | None,
    no_fit: InputError | None,
    drawing: Drawing | None,
    timeline: Timeline,
) -> AnalysisError | None:
    """Make of the results of the event loop what a run writes.

    Parameters
    ----------
    options : Options
        What the user chose.
    ready : Ready
        What the event loop worked with.
    workers : int
        Number of processes that it ran in.
    samples : sequence of CheckedSample
        The samples, with what became of their files.
    partials : mapping of str to Partial
        Results by name of the sample.
    skimmed : Skimmed or None
        The skims that were made for it.
    no_fit : InputError or None
        Why there can be no fit, if that is known.
    drawing : Drawing or None
        What draws the plots, if there are to be any.
    timeline : Timeline
        What was done when.

    Returns
    -------
    AnalysisError or None
        Why the fit or what draws failed, if one did: that is for the end.
    """
    failure = None
    if not options.io_only:
        progress.now("Writing histograms")
        timeline.step("merge")
        from ttbar.jobs.normalise import final_cutflow, final_histograms, pseudodata
        from ttbar.results import histograms

        final = dict(final_histograms(options.analysis, samples, partials))
        final |= dict(pseudodata(options.analysis, final))
        histograms.write(options.output / "histograms.root", final)
        output.write_json(options.output / "cutflow.json", final_cutflow(options.analysis, samples, partials))
    if drawing:
        failure = _fit_and_plot(options, no_fit, drawing, timeline)

    def write_metrics() -> dict[str, Any]:
        metrics = {
            "mode": "io-only" if options.io_only else output.FULL_RUN,
            **measured(ready, workers, samples, partials, timeline),
        }
        if skimmed:
            metrics["skim_bytes_read"] = skimmed.cost.bytes_read
        output.write_json(options.output / "metrics.json", metrics)
        return metrics

    metrics = write_metrics()
    if not options.io_only:
        progress.now("Writing the page")
        timeline.step("write_page")
        from ttbar.results.report import write_page

        content = provenance(options.analysis, asdict(options), ready, samples, partials, timeline.date)
        if skimmed:
            content["skimmed"] = accounts(skimmed.samples)
        write_page(options.output, content, options.analysis)
        metrics = write_metrics()  # again, with the time of the page
    if options.profile:
        output.write_json(options.output / "profile.json", trace([*timeline.steps, *timeline.others, *timeline.work]))
    if not options.io_only:
        output.write_json(options.output / "run.json", content)
    say(
        f"{metrics['events']:,} events: {metrics['loop_wall_s']:.1f} s in the event loop,"
        f" {timeline.elapsed:.1f} s in all; the results are in {options.output}"
    )
    return failure


def _check(
    options: Options, dataset: Path, listed: list[Sample], executor: Executor, timeline: Timeline
) -> tuple[list[CheckedSample], str, Skimmed | None]:
    """Check files, and skim them if the user wants that; samples to process, their tree and the skims come back."""
    analysis, wanted = options.analysis, options.source
    if options.io_only:
        columns, reserved = dict.fromkeys(analysis.io_levels[options.io_only]), frozenset[str]()
    else:
        columns, reserved = dict(analysis.columns), analysis.reserved
    timeline.step("check")
    checked = source.get(wanted, listed, columns, reserved, executor)
    if not options.skim:
        return checked, wanted.tree, None
    timeline.step("skim")
    skimmed = make_skims(
        dataset,
        checked,
        analysis,
        options.skim,
        wanted.tree,
        wanted.skip_bad,
        "TTree",
        executor,
        partial(_ran, timeline),
    )
    wanted = replace(wanted, tree=TREE)
    timeline.step("check")
    made = load_dataset(skimmed.dataset, analysis.variations)
    checked = source.get(wanted, made, columns, reserved, executor)
    return checked, wanted.tree, skimmed


def _process(
    samples: list[CheckedSample], options: Options, tree: str, ready: Ready, executor: Executor, timeline: Timeline
) -> tuple[list[CheckedSample], dict[str, Partial]]:
    """Run the event loop on all samples."""
    analysis = options.analysis
    division = partial(units.divide, unit_events=options.unit_events)
    ran = partial(_ran, timeline)
    if options.io_only:
        columns = analysis.io_levels[options.io_only]
        return units.process(
            "Reading",
            samples,
            partial(read_columns, tree=tree, columns=columns),
            executor,
            options.source.skip_bad,
            division=division,
            ran=ran,
        )
    kept = options.output / UNITS
    if not options.resume and any(kept.glob(units.RESULT_FILES)):
        say(f"What an earlier run has left in {kept} is removed; --resume would have used it")
    prepare_kept(kept, () if options.resume else KEPT)
    return units.process(
        "Processing",
        samples,
        partial(analyse, tree=tree, analysis=analysis, seed=options.seed),
        executor,
        options.source.skip_bad,
        store(kept, analysis, tree, options.seed, ready),
        division,
        ran,
    )


def _ran(timeline: Timeline, unit: Unit, costs: Mapping[str, Cost]) -> None:
    """Note what a unit that has just run has cost."""
    for process, cost in costs.items():
        phases = {"booking": cost.booking_s - cost.jit_s, "compilation": cost.jit_s, "loop": cost.loop_wall_s}
        files = [file.source for file in unit.files]
        timeline.worked(unit.sample, process, phases, files=files, entries=unit.entry_range)


def prepare_kept(folder: Path, outdated: Sequence[str] = ()) -> None:
    """Make a folder for results of units, for this user alone: they know the passwords and tokens in addresses.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    outdated : sequence of str, optional
        Patterns of files to remove.
    """
    output.prepare(folder, outdated)
    folder.chmod(0o700)


def store(folder: Path, analysis: Analysis, tree: str, seed: int, ready: Ready) -> units.Results:
    """Where the results of units are kept.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    analysis : Analysis
        The analysis.
    tree : str
        Name of the TTree or RNTuple.
    seed : int
        Seed of the jet-energy smearing.
    ready : Ready
        What the event loop works with.

    Returns
    -------
    Results
        Results that depend on all of it.
    """
    depends_on = {
        "tree": tree,
        "seed": seed,
        "analysis": analysis.sha256,
        "models": ready.models,
        "ROOT": ready.root_version,
        "code": ready.code,
    }
    return units.Results(folder, analysis, depends_on)


def drawing_process(options: Options) -> AbstractContextManager[Drawing | None]:
    """Begin with what draws the plots, before it is needed.

    Parameters
    ----------
    options : Options
        What the user chose.

    Returns
    -------
    context manager
        Gives a process that draws, or None if there are to be no plots.
    """
    wanted = (options.plots or options.fit) and not options.io_only
    return Drawing() if wanted else nullcontext()


def _fit_and_plot(
    options: Options, no_fit: InputError | None, drawing: Drawing, timeline: Timeline
) -> AnalysisError | None:
    """Fit the histograms, while they are plotted; a failure comes back, which is for the end, that of the fit first."""
    of_fit: list[AnalysisError] = []
    of_plots: list[AnalysisError] = []
    histograms, notes = options.output / "histograms.root", None
    if options.plots:
        during = partial(timeline.meanwhile, "plots")
        with _for_the_end(of_plots):
            notes = drawing.draw_histograms(histograms, options.output, options.analysis, during)
    if options.fit:
        timeline.step("fit")
        with _for_the_end(of_fit):
            _fit(options, no_fit, drawing, timeline)
    timeline.step("wait_for_plots")
    with _for_the_end(of_plots):
        drawing.wait()
        for note in notes.result() if notes else ():
            say(note)
    drawing.close()
    failures = [*of_fit, *of_plots]
    for other in failures[1:]:
        say(str(other))
    return failures[0] if failures else None


@contextmanager
def _for_the_end(failures: list[AnalysisError]) -> Iterator[None]:
    """Go on after a failure: the results so far are to be written, and what cannot be made of them is left out."""
    try:
        yield
    except InputError as error:
        say(f"Left out: {error}")
    except AnalysisError as error:
        failures.append(error)


def _fit(options: Options, no_fit: InputError | None, drawing: Drawing, timeline: Timeline) -> None:
    """Fit the histograms; plots of the fit come later."""
    from ttbar.results.fit import fit, write_failure

    if no_fit:
        write_failure(options.output, str(no_fit))
        raise AnalysisError(f"the fit cannot be made: {no_fit}")
    progress.now("Fitting")
    draw = partial(drawing.draw_fit, during=partial(timeline.meanwhile, "fit_plots"))
    try:
        fit(options.output / "histograms.root", options.output, analysis=options.analysis, draw=draw)
    except InputError as error:
        write_failure(options.output, str(error))
        raise
