"""The program as functions: what the command line calls, for notebooks and scripts.

What goes wrong is one of the exceptions of `ttbar.errors`, with the sentence that the command line prints.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from ttbar import progress
from ttbar.analyses.analysis import Analysis
from ttbar.analyses.catalogue import DEFAULT, load
from ttbar.errors import AnalysisError, Interrupted

if TYPE_CHECKING:
    from ttbar.executors import Kind
    from ttbar.inputs.files import FileRecord, Format
    from ttbar.inputs.source import Source
    from ttbar.jobs.check import Checked
    from ttbar.results.cost import CostComparison
    from ttbar.results.folder import FitResult, Results
    from ttbar.results.validate import Comparison

PathLike = str | Path
AnalysisLike = str | Path | Analysis
"""An analysis, its name, or a Python file that defines one."""

P = ParamSpec("P")
T = TypeVar("T")


def job(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function show what goes on, and end with an exception of ours when the user interrupts it."""

    @functools.wraps(function)
    def shown(*args: P.args, **kwargs: P.kwargs) -> T:
        progress.now("Loading libraries")
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None
        finally:
            progress.done()

    return shown


@job
def run(
    dataset: PathLike = "demo",
    *,
    analysis: AnalysisLike = DEFAULT,
    model: PathLike | Sequence[PathLike] = (),
    threads: int | None = None,
    output: PathLike = "output",
    skim: PathLike | None = None,
    seed: int = 1,
    resume: bool = False,
    io_only: str | None = None,
    executor: "Kind" = "local",
    scheduler: str | None = None,
    workers: int | None = None,
    unit_events: int | None = None,
    plots: bool = True,
    fit: bool = True,
    profile: bool = False,
    **inputs: Any,
) -> "Results":
    """Go from a data set to histograms, plots, the fitted cross-section and a page.

    Parameters
    ----------
    dataset : path-like
        `demo`, `agc2015`, or a JSON file.
    analysis : str, path-like or Analysis
        What to measure.
    model : path-like or sequence of path-like, optional
        Models in the order of the analysis; by default those that come with the program.
    threads : int, optional
        Number of threads of each process; by default its share of the cores, and one on the workers of an engine.
    output : path-like
        Results folder.
    skim : path-like, optional
        Folder for small copies of the files, which are made once and then used.
    seed : int
        Seed of the jet-energy smearing.
    resume : bool
        Whether to go on from what an interrupted run with the same options finished.
    io_only : str, optional
        Read this share of a NanoAOD file, in percent, and compute nothing.
    executor : {"local", "dask", "spark"}
        Where the event loop runs: in processes of this machine, or on the workers of an engine.
    scheduler : str, optional
        Address of the engine's scheduler; by default the engine starts on this machine.
    workers : int, optional
        Number of processes.
    unit_events : int, optional
        Divide files so that no process gets many more events than this at a time.
    plots, fit : bool
        Whether to plot and to fit.
    profile : bool
        Whether to write `profile.json` as well: what was done when, for Perfetto and other viewers of traces.
    **inputs
        Which events, as `wanted` takes them.

    Returns
    -------
    Results
        What is in the results folder.

    Raises
    ------
    UsageError
        If the arguments are wrong by themselves.
    InputError
        If a file is missing or wrong.
    AnalysisError
        If the event loop or the fit fails.
    Interrupted
        If the user interrupts it.
    """
    from ttbar.executors import Where
    from ttbar.jobs.run import Options
    from ttbar.jobs.run import run as run_job
    from ttbar.results.folder import Results

    run_job(
        Options(
            source=wanted(dataset, **inputs),
            analysis=loaded(analysis),
            skim=Path(skim) if skim else None,
            models=_paths(model),
            threads=threads,
            output=Path(output),
            seed=seed,
            resume=resume,
            io_only=io_only,
            where=Where(executor, scheduler, workers),
            unit_events=unit_events,
            plots=plots,
            fit=fit,
            profile=profile,
        )
    )
    return Results(output)


def open(folder: PathLike = "output") -> "Results":
    """Open a results folder.

    Parameters
    ----------
    folder : path-like
        The folder of a run.

    Returns
    -------
    Results
        What is in it.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    from ttbar.results.folder import Results

    return Results(folder)


@job
def check(
    dataset: PathLike = "demo",
    *,
    analysis: AnalysisLike = DEFAULT,
    model: PathLike | Sequence[PathLike] = (),
    on_record: "Callable[[FileRecord], object]" = lambda record: None,
    executor: "Kind" = "local",
    scheduler: str | None = None,
    workers: int | None = None,
    **inputs: Any,
) -> "Checked":
    """Check all that a run would check, without running.

    Parameters
    ----------
    dataset, analysis, model
        As in `run`.
    on_record : callable, optional
        Called after each file, in their order, with what became of it.
    executor, scheduler, workers
        As in `run`; the files are opened there.
    **inputs
        Which events, as `wanted` takes them.

    Returns
    -------
    Checked
        What became of each file, bad ones included.

    Raises
    ------
    UsageError
        If the arguments are wrong by themselves.
    InputError
        If the data set, the analysis or a model cannot be used.
    """
    from ttbar.executors import Where
    from ttbar.jobs.check import check as check_job

    where = Where(executor, scheduler, workers)
    return check_job(wanted(dataset, **inputs), loaded(analysis), _paths(model), on_record, where)


@job
def skim(
    dataset: PathLike = "demo",
    *,
    output: PathLike,
    analysis: AnalysisLike = DEFAULT,
    threads: int | None = None,
    format: "Format" = "TTree",
    executor: "Kind" = "local",
    scheduler: str | None = None,
    workers: int | None = None,
    **inputs: Any,
) -> Path:
    """Write a small copy of each file, with all that an analysis reads and can select.

    Parameters
    ----------
    dataset, analysis, threads
        As in `run`.
    output : path-like
        Folder for the copies.
    format : {"TTree", "RNTuple"}
        How to store the events.
    executor, scheduler, workers
        As in `run`; the workers of an engine need the folder of the copies on a shared disk.
    **inputs
        Which events, as `wanted` takes them.

    Returns
    -------
    pathlib.Path
        The data set file of the copies, for `run`.

    Raises
    ------
    UsageError
        If the arguments are wrong by themselves.
    InputError
        If a file is missing or wrong.
    """
    from ttbar.execution.skim import skim as skim_files
    from ttbar.executors import Where

    where = Where(executor, scheduler, workers)
    return skim_files(wanted(dataset, **inputs), loaded(analysis), Path(output), format, threads, where).dataset


@job
def split(
    dataset: PathLike = "demo",
    *,
    output: PathLike,
    analysis: AnalysisLike = DEFAULT,
    model: PathLike | Sequence[PathLike] = (),
    seed: int = 1,
    unit_events: int | None = None,
    executor: "Kind" = "local",
    scheduler: str | None = None,
    workers: int | None = None,
    **inputs: Any,
) -> int:
    """Check a data set and divide it into units, which `run_unit` processes anywhere, and `merge` brings together.

    Parameters
    ----------
    dataset, analysis, model, seed, unit_events
        As in `run`.
    output : path-like
        Folder that the units share.
    executor, scheduler, workers
        As in `run`; the files are opened there.
    **inputs
        Which events, as `wanted` takes them.

    Returns
    -------
    int
        The number of units.

    Raises
    ------
    UsageError
        If the arguments are wrong by themselves.
    InputError
        If a file is missing or wrong.
    """
    from ttbar.executors import Where
    from ttbar.jobs.batch import split as split_job
    from ttbar.jobs.run import Options

    return split_job(
        Options(
            source=wanted(dataset, **inputs),
            analysis=loaded(analysis),
            skim=None,
            models=_paths(model),
            threads=1,
            output=Path(output),
            seed=seed,
            resume=True,
            io_only=None,
            where=Where(executor, scheduler, workers),
            unit_events=unit_events,
            plots=True,
            fit=True,
        )
    )


@job
def run_unit(folder: PathLike, *numbers: int, threads: int = 1) -> None:
    """Process units, those that are not done, one after the other.

    Parameters
    ----------
    folder : path-like
        What `split` made.
    *numbers : int
        Numbers of the units, from 0; one that is given twice is done once.
    threads : int
        Number of threads.

    Raises
    ------
    UsageError
        If there is no such unit, or none is given.
    InputError
        If a file is missing or wrong.
    AnalysisError
        If the event loop fails, or this is another version of the program, its model or ROOT.
    """
    from ttbar.jobs.batch import run_unit as run_unit_job

    run_unit_job(Path(folder), numbers, threads)


@job
def merge(folder: PathLike, *, output: PathLike | None = None, plots: bool = True, fit: bool = True) -> "Results":
    """Bring the results of all units together, as a run does.

    Parameters
    ----------
    folder : path-like
        What `split` made.
    output : path-like, optional
        Results folder; by default the same.
    plots, fit : bool
        Whether to plot and to fit.

    Returns
    -------
    Results
        What is in the results folder.

    Raises
    ------
    InputError
        If units are missing.
    AnalysisError
        If the fit fails.
    """
    from ttbar.jobs.batch import merge as merge_job
    from ttbar.results.folder import Results

    results = Path(output or folder)
    merge_job(Path(folder), results, plots, fit)
    return Results(results)


@job
def fit(
    histograms: PathLike,
    output: PathLike,
    *,
    analysis: AnalysisLike | None = None,
    config: PathLike | None = None,
    variable: str | None = None,
    ranking: bool = False,
    scan: bool = False,
) -> "FitResult":
    """Fit the strength of the signal to histograms.

    Parameters
    ----------
    histograms : path-like
        ROOT file of histograms; a fit also takes JSON as they are published.
    output : path-like
        Results folder.
    analysis : str, path-like or Analysis, optional
        What was measured; by default what the `run.json` beside the histograms says, or else `agc-v1`.
    config : path-like, optional
        Configuration in cabinetry's layout; by default it is made from the analysis.
    variable : str, optional
        What to fit; by default what the configuration says.
    ranking, scan : bool
        Whether to compute the impacts of the nuisance parameters, and to scan the likelihood.

    Returns
    -------
    FitResult
        The fit.

    Raises
    ------
    InputError
        If the histograms or the configuration cannot be used.
    AnalysisError
        If the fit does not converge.
    """
    from ttbar.results.pictures import Drawing

    with Drawing() as drawing:
        from ttbar.results.fit import fit as fit_histograms
        from ttbar.results.folder import FitResult

        progress.now("Fitting")
        try:
            content = fit_histograms(
                Path(histograms),
                Path(output),
                analysis=of_histograms(histograms, analysis),
                config=Path(config) if config else None,
                variable=variable,
                ranking=ranking,
                scan=scan,
                draw=drawing.draw_fit,
            )
        except AnalysisError:  # there are plots of what was to be fitted
            drawing.wait()
            raise
        drawing.wait()
    return FitResult(content)


@job
def plot(histograms: PathLike, output: PathLike, *, analysis: AnalysisLike | None = None) -> None:
    """Plot histograms.

    Parameters
    ----------
    histograms, output, analysis
        As in `fit`.

    Raises
    ------
    InputError
        If the histograms cannot be used.
    """
    from ttbar.results.pictures import Drawing

    progress.now("Reading histograms")
    with Drawing() as drawing:
        notes = drawing.draw_histograms(Path(histograms), Path(output), of_histograms(histograms, analysis))
        drawing.wait()
    for note in notes.result():
        progress.say(note)


@job
def validate(a: PathLike, b: PathLike, *, ignore: str | Sequence[str] = ()) -> "Comparison | CostComparison":
    """Compare two sets of histograms, bin by bin, or what two runs cost.

    Parameters
    ----------
    a, b : path-like
        ROOT files, or one and a JSON reference; or two files `metrics.json`.
    ignore : str or sequence of str
        Patterns of names of histograms that are left out, e.g. `*_pt_res_up`.

    Returns
    -------
    Comparison or CostComparison
        What differs.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    from ttbar.results.cost import compare_costs, is_metrics

    progress.now("Comparing")
    a, b = Path(a), Path(b)
    if is_metrics(a) or is_metrics(b):
        return compare_costs(a, b)

    from ttbar.results.reference import is_reference
    from ttbar.results.validate import validate as compare

    # What cannot be compared with a reference depends on what was measured.
    random = of_histograms(b if is_reference(a) else a).random if is_reference(a) != is_reference(b) else ()
    return compare(a, b, ignore=(ignore,) if isinstance(ignore, str) else ignore, random=random)


def wanted(
    dataset: PathLike = "demo",
    *,
    samples: str | Sequence[str] = "all",
    files: int | None = None,
    prefixes: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    tree: str = "Events",
    bad_files: Literal["stop", "skip"] = "stop",
    cache: PathLike | None = None,
    cache_limit: int | None = None,
    timeout: float = 60.0,
) -> "Source":
    """Say which events are wanted.

    Parameters
    ----------
    dataset : path-like
        `demo`, `agc2015`, or a JSON file.
    samples : str or sequence of str
        `all`, `nominal`, or names such as `ttbar__nominal`.
    files : int, optional
        At most so many files of each sample.
    prefixes : mapping or sequence of pairs of str
        New beginnings of file paths by old ones, as the data set file writes them.
    tree : str
        Name of the TTree or RNTuple.
    bad_files : {"stop", "skip"}
        What to do with an unusable input file.
    cache : path-like, optional
        Folder to download remote files to.
    cache_limit : int, optional
        Largest size of that folder, in bytes.
    timeout : float
        Seconds that a server may be silent before it is tried again or given up.

    Returns
    -------
    Source
        What is wanted.
    """
    from ttbar.inputs.source import Source
    from ttbar.library import limit_waiting

    limit_waiting(timeout)
    return Source(
        dataset=str(dataset),
        samples=samples if isinstance(samples, str) else ",".join(samples),
        files=files,
        prefixes=tuple(prefixes.items() if isinstance(prefixes, Mapping) else prefixes),
        tree=tree,
        bad_files=bad_files,
        cache=Path(cache) if cache else None,
        cache_limit=cache_limit,
        timeout=timeout,
    )


def loaded(analysis: AnalysisLike) -> Analysis:
    """Load an analysis.

    Parameters
    ----------
    analysis : str, path-like or Analysis
        An analysis, its name, or a Python file that defines one.

    Returns
    -------
    Analysis
        The analysis.

    Raises
    ------
    InputError
        If there is none of this name, or the file does not define one.
    """
    return analysis if isinstance(analysis, Analysis) else load(str(analysis))


def of_histograms(histograms: PathLike, analysis: AnalysisLike | None = None) -> Analysis:
    """The analysis that histograms are of.

    Parameters
    ----------
    histograms : path-like
        ROOT file of histograms, or another file of a results folder.
    analysis : str, path-like or Analysis, optional
        What the user says.

    Returns
    -------
    Analysis
        What the user says, what the `run.json` beside the file says, or else the default one.

    Raises
    ------
    InputError
        If the analysis cannot be loaded.
    """
    from ttbar.results.folder import Results

    if analysis is not None:
        return loaded(analysis)
    folder = Path(histograms).parent
    return Results(folder).analysis if (folder / "run.json").exists() else load(DEFAULT)


def _paths(model: PathLike | Sequence[PathLike]) -> tuple[Path, ...]:
    """One file or several."""
    return (Path(model),) if isinstance(model, str | Path) else tuple(map(Path, model))
