"""The command line."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import reduce
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ttbar import process, progress
from ttbar.errors import AnalysisError, InputError, Interrupted, TtbarError
from ttbar.terminal import one_line

if TYPE_CHECKING:
    from ttbar.analyses import Analysis
    from ttbar.executors import Kind

EXIT_USAGE = 2


def _split_prefixes(
    context: click.Context, option: click.Parameter, values: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Split each `OLD=NEW` at its first equals sign."""
    for value in values:
        if value.find("=") < 1:
            raise click.BadParameter(f"{value!r} is not of the form OLD=NEW", context, option)
    return tuple((old, new) for old, _, new in (value.partition("=") for value in values))


def _finite(context: click.Context, option: click.Parameter, value: float) -> float:
    """Refuse what is no number."""
    if not isfinite(value):
        raise click.BadParameter(f"{value} is not a number", context, option)
    return value


def _show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Say what the program is made of, and end."""
    if not wanted or context.resilient_parsing:
        return
    from ttbar.jobs.provenance import about

    for line in about():
        click.echo(line)
    context.exit()


Command = TypeVar("Command", bound=Callable[..., Any])


def samples_option(default: str | None) -> Callable[[Command], Command]:
    """The option that chooses samples by name; None stands for those of the signal."""
    return click.option(
        "--samples",
        default=default,
        show_default=True if default else "nominal ones of the signal",
        metavar="LIST",
        help="'all', 'nominal', or names such as ttbar__nominal,wjets__nominal.",
    )


def seed_option(purpose: str, bits: int) -> Callable[[Command], Command]:
    """The option of a seed, given what is drawn from it and how large it may be."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0, max=2**bits - 1),
        default=1,
        show_default=True,
        metavar="N",
        help=f"Seed of the {purpose}.",
    )


def inputs(samples: str | None) -> Callable[[Command], Command]:
    """The options that say which events a command reads, given the default of `--samples`.

    They are arguments of `ttbar.interface.wanted`.
    """
    options = (
        click.option(
            "--dataset",
            default="demo",
            show_default=True,
            metavar="NAME or FILE",
            help="'demo', 'agc2015' or a JSON file.",
        ),
        samples_option(samples),
        click.option("--files", type=click.IntRange(min=1), metavar="N", help="At most N files a sample."),
        click.option(
            "--prefix",
            "prefixes",
            callback=_split_prefixes,
            metavar="OLD=NEW",
            multiple=True,
            help="Replace the beginning of file paths as the data set file writes them; repeatable.",
        ),
        click.option(
            "--tree",
            default="Events",
            show_default=True,
            callback=lambda context, option, value: "/".join(filter(None, value.split("/"))),
            metavar="NAME",
            help="Name of the tree or RNTuple, after its folder and a slash if it is in one.",
        ),
        click.option(
            "--bad-files",
            type=click.Choice(["stop", "skip"]),
            default="stop",
            show_default=True,
            help="What to do with an unusable input file.",
        ),
        click.option(
            "--cache",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Download remote files to this folder, once, and read them there; https:// needs it.",
        ),
        click.option(
            "--cache-limit",
            type=click.FloatRange(min=0, min_open=True, max=10**6),
            callback=lambda context, option, value: value and round(_finite(context, option, value) * 1e9),
            metavar="GB",
            help="Largest size of that folder; what was not used for longest makes room.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=1, max=86_400),
            callback=_finite,
            default=60,
            show_default=True,
            metavar="SECONDS",
            help="How long a server may be silent before it is tried again or given up.",
        ),
    )

    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


ANALYSIS = click.option(
    "--analysis",
    default="agc-v1",
    show_default=True,
    metavar="NAME or FILE",
    help="'agc-v1', 'agc-v2', or a Python file that defines an analysis of your own.",
)
MODELS = click.option(
    "--model",
    type=click.Path(path_type=Path),
    multiple=True,
    show_default="those that come with the program",
    help="xgboost model, JSON or UBJSON; repeatable, in the order in which the analysis names its models.",
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="its share of the cores; 1 on an engine",
    help="Number of threads of each process.",
)


UNIT_EVENTS = click.option(
    "--unit-events",
    type=click.IntRange(min=1),
    metavar="N",
    help="Divide files, so that no process gets many more events than N at a time; by default files are left whole.",
)


def where(command: Command) -> Command:
    """The options that say where the event loop runs."""
    options = (
        click.option(
            "--executor",
            type=click.Choice(["local", "dask", "spark"]),
            default="local",
            show_default=True,
            help="Processes of this machine, or the workers of an engine.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Of the engine's scheduler; by default the engine starts on this machine.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1, max=100_000),
            metavar="N",
            help="Number of processes, which share the cores of this machine if they are on it.",
        ),
    )
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of program and ROOT, the commit and the models, and exit.",
)
@click.option(
    "--debug", is_flag=True, help=f"Show the traceback of an error; {process.DEBUG}=1 in the environment does too."
)
def cli(debug: bool) -> None:
    """Top-quark pairs in CMS Open Data: from NanoAOD files to a fitted cross-section."""
    if debug:
        os.environ[process.DEBUG] = "1"


@cli.command(
    epilog="""\b
Examples:
  ttbar run                                          the demo data set
  ttbar run --dataset my.json --samples nominal      your own files
  ttbar run --analysis agc-v2                        the task of today: six jets, twenty features, two models
  ttbar run --dataset agc2015 --files 1 --resume     far away, as often as it takes
  ttbar run --threads 1 --output output/one-thread"""
)
@inputs(samples="all")
@ANALYSIS
@MODELS
@THREADS
@click.option("--output", type=click.Path(path_type=Path), default="output", show_default=True, help="Results folder.")
@seed_option("jet-energy smearing", bits=64)
@click.option(
    "--io-only",
    metavar="[PERCENT]",
    is_flag=False,
    flag_value="2.7",
    help="Read columns that are this share of a NanoAOD file (2.7 unless said; more needs wider files than the "
    "demo's), compute nothing and write metrics.json only.",
)
@click.option(
    "--skim",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a small copy of each file to this folder, once, with what can be selected, and run on these.",
)
@where
@UNIT_EVENTS
@click.option("--resume", is_flag=True, help="Go on from what an interrupted run with the same options finished.")
@click.option("--no-plots", is_flag=True, help="Leave the plots out.")
@click.option("--no-fit", is_flag=True, help="Leave the fit out.")
@click.option(
    "--profile", is_flag=True, help="Write profile.json as well: what was done when, for https://ui.perfetto.dev."
)
def run(no_plots: bool, no_fit: bool, **options: Any) -> None:
    """From a data set to histograms, plots, the fitted cross-section and a report."""
    from ttbar import interface

    interface.run(plots=not no_plots, fit=not no_fit, **options)


@cli.command(
    epilog="""\b
Examples:
  ttbar check --dataset my.json
  ttbar check --dataset agc2015 --files 1"""
)
@inputs(samples="all")
@ANALYSIS
@MODELS
@where
def check(**options: Any) -> None:
    """Check all that a run would check, without running: a line for each file, and a summary.

    Ends with exit code 3 if a file is bad, unless it may be left out.
    """
    from ttbar import interface

    checked = interface.check(on_record=lambda record: click.echo(one_line(record.line)), **options)
    progress.show(checked)
    checked.require_usable()


@cli.command(
    epilog="""\b
Examples:
  ttbar skim --dataset agc2015 --files 1 --output skim
  ttbar run --dataset skim/dataset.json"""
)
@inputs(samples="all")
@ANALYSIS
@THREADS
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder for the skims.")
@click.option(
    "--format",
    type=click.Choice(["TTree", "RNTuple"]),
    default="TTree",
    show_default=True,
    help="How to store the events.",
)
@where
def skim(**options: Any) -> None:
    """Write a small copy of each file, with all that the analysis reads and can select, and their dataset.json.

    A run on the copies gives the same histograms. Copies that are there already are kept if they are still those of
    their file, of the same cuts and of the same program.
    """
    from ttbar import interface

    interface.skim(**options)


@cli.command(
    epilog="""\b
Example:
  ttbar split --dataset my.json --output pieces --unit-events 500000
  for n in 0 1 2; do ttbar run-unit pieces $n; done      in any order, anywhere
  ttbar merge pieces"""
)
@inputs(samples="all")
@ANALYSIS
@MODELS
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder that the units share.")
@seed_option("jet-energy smearing", bits=64)
@where
@UNIT_EVENTS
def split(**options: Any) -> None:
    """Check a data set and divide it into units, for batch systems; their number is printed.

    A manifest in the folder says what there is to do. Each unit needs the folder, the files and this program.
    """
    from ttbar import interface

    click.echo(interface.split(**options))


FOLDER = click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")


@cli.command(
    epilog="""\b
Examples:
  ttbar run-unit pieces 0
  ttbar run-unit pieces 0 1 2 3                      in one process, which starts and compiles once"""
)
@FOLDER
@click.argument("numbers", type=click.IntRange(min=0), metavar="N...", nargs=-1, required=True)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", default=1, show_default=True, help="Number of threads."
)
def run_unit(folder: Path, numbers: tuple[int, ...], threads: int) -> None:
    """Process units N, counted from 0, of a folder that `ttbar split` has made; finished ones are left as they are."""
    from ttbar import interface

    interface.run_unit(folder, *numbers, threads=threads)


@cli.command(
    epilog="""\b
Example:
  ttbar merge pieces"""
)
@FOLDER
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="DIR", show_default="the same", help="Results folder."
)
@click.option("--no-plots", is_flag=True, help="Leave the plots out.")
@click.option("--no-fit", is_flag=True, help="Leave the fit out.")
def merge(folder: Path, output: Path | None, no_plots: bool, no_fit: bool) -> None:
    """Make of the results of all units what a run makes; says which are missing."""
    from ttbar import interface

    interface.merge(folder, output=output, plots=not no_plots, fit=not no_fit)


@cli.command(
    epilog="""\b
Example:
  ttbar simulate --output toy --events 100000 --samples ttbar__nominal,wjets__nominal"""
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder for the files.")
@click.option(
    "--events",
    type=click.IntRange(min=1, max=2**53),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Stored events of each sample.",
)
@samples_option("all")
@seed_option("events", bits=64)
@click.option("--ballast", is_flag=True, help="Also write unused columns, to make files as wide as real ones.")
def simulate(output: Path, events: int, samples: str, seed: int, ballast: bool) -> None:
    """Write NanoAOD-like files of a toy simulation, and their dataset.json."""
    progress.now("Starting ROOT")
    from ttbar.inputs.dataset import select_names
    from ttbar.simulate import simulate as simulate_samples
    from ttbar.simulate import simulated_samples
    from ttbar.worker import Worker

    with Worker() as worker:
        names = select_names(worker.call(simulated_samples), samples)
        progress.done()  # the worker shows how far it is
        worker.call(simulate_samples, output, events, names, seed, ballast)


@cli.command(
    epilog="""\b
Examples:
  ttbar train --dataset toy/dataset.json --output models/mine.json
  ttbar train --analysis agc-v2 --dataset toy/dataset.json --output models/mine.json
  ttbar train --dataset toy/dataset.json --output models/mine.ubj --search wider.json
where wider.json replaces lists of values, all combinations of which are tried, out of
  {"max_depth": [6], "learning_rate": [0.2, 0.3], "min_child_weight": [1, 50]}
or adds lists for other hyperparameters of xgboost. agc-v2 has two models:
models/mine_even.json and models/mine_odd.json."""
)
@inputs(samples=None)
@ANALYSIS
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The model, .json or .ubj; card and plots beside it. If the analysis has two, their names are added: "
    "NAME_even.json, NAME_odd.json.",
)
@click.option(
    "--folds",
    type=click.Choice(["both", "even", "odd"]),
    show_default="what the analysis says, or else both",
    help="Train the model on all events, or on those of even or odd numbers.",
)
@click.option(
    "--search", type=click.Path(path_type=Path), metavar="FILE", help="Values of hyperparameters to try, JSON."
)
@click.option(
    "--max-trees",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Largest number of trees.",
)
@THREADS
@where
@seed_option("training", bits=31)
def train(
    analysis: str,
    output: Path,
    folds: str | None,
    search: Path | None,
    max_trees: int,
    threads: int | None,
    seed: int,
    executor: "Kind",
    scheduler: str | None,
    workers: int | None,
    **wanted: Any,
) -> None:
    """Train the models of the jet assignment on simulated top pairs, and evaluate them."""
    from ttbar import interface
    from ttbar.executors import Where
    from ttbar.training.jobs import Options, train_model

    measured = interface.loaded(analysis)
    source = interface.wanted(**_of_signal(measured, wanted))
    where = Where(executor, scheduler, workers)
    train_model(Options(source, measured, output, folds, search, max_trees, threads, seed, where))


@cli.command(
    epilog="""\b
Example:
  ttbar validate-model --dataset toy/dataset.json --model models/mine.json
  ttbar validate-model --analysis agc-v2 --dataset toy/dataset.json --model even.json --model odd.json"""
)
@inputs(samples=None)
@ANALYSIS
@MODELS
@THREADS
def validate_model(analysis: str, model: tuple[Path, ...], threads: int | None, **wanted: Any) -> None:
    """Evaluate models of the jet assignment on simulated top pairs, which they should not have been trained on.

    Of two models, each is evaluated on the half of the events that it has not learnt from.
    """
    from rich.text import Text

    from ttbar import interface
    from ttbar.training import jobs
    from ttbar.training.evaluation import table

    measured = interface.loaded(analysis)
    evaluated = jobs.validate_model(interface.wanted(**_of_signal(measured, wanted)), measured, model, threads)
    progress.show(Text(table(evaluated)))


def _of_signal(analysis: "Analysis", wanted: dict[str, Any]) -> dict[str, Any]:
    """What is wanted: samples of the signal, unless the user has said which."""
    signal = [f"{name}__nominal" for name in analysis.fit.signal]
    return wanted | ({"samples": signal} if wanted["samples"] is None else {})


HISTOGRAMS = click.option(
    "--histograms", type=click.Path(path_type=Path), required=True, metavar="FILE", help="ROOT file of histograms."
)
OUTPUT = click.option("--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Results folder.")
MEASURED = click.option(
    "--analysis",
    metavar="NAME or FILE",
    show_default="that of the run.json beside the histograms, or else agc-v1",
    help="What was measured.",
)


@cli.command(
    epilog="""\b
Example:
  ttbar fit --histograms output/histograms.root --output output --ranking"""
)
@HISTOGRAMS
@OUTPUT
@MEASURED
@click.option(
    "--fit-config",
    "config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="that of the analysis",
    help="Configuration in cabinetry's layout.",
)
@click.option(
    "--variable",
    metavar="NAME",
    show_default="that of the configuration",
    help="What to fit, e.g. observable or deltaR.",
)
@click.option("--ranking", is_flag=True, help="Also compute the impact of each nuisance parameter.")
@click.option("--scan", is_flag=True, help="Also scan the likelihood of the cross-section.")
def fit(**options: Any) -> None:
    """Fit the ttbar cross-section to histograms: a ROOT file, or JSON as they are published."""
    from ttbar import interface

    interface.fit(**options)


@cli.command(
    epilog="""\b
Example:
  ttbar plot --histograms output/histograms.root --output output"""
)
@HISTOGRAMS
@OUTPUT
@MEASURED
def plot(**options: Any) -> None:
    """Plot histograms."""
    from ttbar import interface

    interface.plot(**options)


@cli.command(
    epilog="""\b
Example:
  ttbar report --output output"""
)
@OUTPUT
@MEASURED
def report(output: Path, analysis: str | None) -> None:
    """Write the page that shows a results folder."""
    from ttbar import interface

    progress.now("Writing the page")
    from ttbar.results.report import report as write_report

    write_report(output, interface.of_histograms(output / "histograms.root", analysis))


@cli.command(
    epilog="""\b
Examples:
  ttbar validate output/histograms.root reference.json --ignore '*_scale_var_*'
  ttbar validate before/metrics.json output/metrics.json"""
)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--ignore",
    multiple=True,
    metavar="GLOB",
    help="Leave out the histograms with names like this, as a shell takes it; repeatable.",
)
def validate(a: Path, b: Path, ignore: tuple[str, ...]) -> None:
    """Compare two sets of histograms: ROOT files, or one and a JSON reference. Or what two runs cost: metrics.json.

    Not compared is what a reference lacks, and what it has of variations with random numbers. Ends with exit code 1 if
    they differ; of costs, if B needs more of anything, by a quarter and half a second at least, or did other work.
    """
    from ttbar import interface

    comparison = interface.validate(a, b, ignore=ignore)
    progress.show(comparison)
    if not comparison.equal:
        click.get_current_context().exit(1)


PLACES = {
    "include": ("folder of the C++ headers", ("include",)),
    "libdir": ("folder of the C++ library", ("lib",)),
    "cmake": ("folder for CMake's ttbar_DIR", ("lib", "cmake", "ttbar")),
    "macros": ("folder of the ROOT macros", ("share", "ttbar", "macros")),
    "model": ("file of the model of agc-v1", ("share", "ttbar", "models", "jet_assignment.json")),
}
"""What `ttbar config` can tell, and where it is in the package."""


def _each_place(command: Command) -> Command:
    """An option for each place, of which those given are known in their order."""
    for name, (meaning, _) in reversed(PLACES.items()):
        option = click.option(f"--{name}", "names", flag_value=name, multiple=True, help=f"The {meaning}.")
        command = option(command)
    return command


@cli.command(
    epilog="""\b
Examples:
  root -l -b -q "$(ttbar config --macros)/trijet_mass.C"
  cmake -B build -Dttbar_DIR="$(ttbar config --cmake)"
Without an option it tells all, in the order of this list."""
)
@_each_place
def config(names: Sequence[str]) -> None:
    """Tell where things are installed, a line for each option, in their order."""
    from ttbar.library import resource

    for name in names or PLACES:
        click.echo(resource(*PLACES[name][1]).resolve())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and end with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands on the command line after the name of the program; by default what really does.
    """
    try:
        Path.cwd()
    except OSError as error:
        _fail(InputError.exit_code, f"the working folder is gone or closed ({error.strerror}): change to another one")
    try:
        with process.tidying():
            try:
                code = cli.main(args=arguments, prog_name="ttbar", standalone_mode=False)
            finally:
                progress.done()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        _fail(EXIT_USAGE, "a command is missing, choose one of the above")
    except click.ClickException as error:
        _fail(EXIT_USAGE, error.format_message())
    except TtbarError as error:
        _fail(error.exit_code, str(error))
    except (KeyboardInterrupt, click.Abort):
        _fail(Interrupted.exit_code, "interrupted")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(InputError.exit_code, f"{place}{error.strerror or error}; check the path, its permissions and the disk")
    except ModuleNotFoundError as error:
        _fail(AnalysisError.exit_code, f"{error}: install it, or all that training needs: pip install 'ttbar[train]'")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        _fail(
            AnalysisError.exit_code,
            f"a defect of this program, please report it: {reason} ({process.DEBUG}=1 shows where)",
        )
    if process.interrupted():
        _fail(Interrupted.exit_code, "interrupted")
    sys.exit(code or 0)


def _fail(code: int, reason: str) -> NoReturn:
    """End with one line on standard error."""
    if process.interrupted() and code != Interrupted.exit_code:  # which can look like an error of anything
        code, reason = Interrupted.exit_code, "interrupted"
    with process.last_line() as may_write:
        if may_write:
            if os.environ.get(process.DEBUG) and sys.exc_info()[0]:
                traceback.print_exc()
            click.echo(f"error: {one_line(reason)}", err=True)
    sys.exit(code)
