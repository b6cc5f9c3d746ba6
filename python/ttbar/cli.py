"""The command line."""

import dataclasses
import functools
import signal
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import click

from ttbar import __version__
from ttbar.analyses.agc_v1.io_levels import IO_LEVELS
from ttbar.errors import AnalysisError, InputError, TtbarError
from ttbar.library import resource

if TYPE_CHECKING:
    from ttbar.analyses.analysis import Analysis
    from ttbar.inputs.files import Format
    from ttbar.inputs.source import Source

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


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


Command = TypeVar("Command", bound=Callable[..., Any])


def samples_option(default: str) -> Callable[[Command], Command]:
    """The option that chooses samples by name."""
    return click.option(
        "--samples",
        default=default,
        show_default=True,
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


def inputs(samples: str) -> Callable[[Command], Command]:
    """The options that say which events a command reads, given the default of `--samples`.

    The command gets them as one argument, `source`.
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
            "--tree", default="Events", show_default=True, metavar="NAME", help="Name of the tree or RNTuple."
        ),
        click.option(
            "--bad-files",
            type=click.Choice(["stop", "skip"]),
            default="stop",
            show_default=True,
            help="What an unusable input file does.",
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

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_source(**arguments: Any) -> Any:
            from ttbar.inputs.source import Source
            from ttbar.library import limit_waiting

            source = Source(**{field.name: arguments.pop(field.name) for field in dataclasses.fields(Source)})
            limit_waiting(source.timeout)
            return command(source=source, **arguments)

        return reduce(lambda decorated, option: option(decorated), reversed(options), cast(Command, with_source))

    return decorate


def _load_analysis(context: click.Context, option: click.Parameter, name: str) -> "Analysis":
    """Load an analysis."""
    from ttbar.analyses.catalogue import load

    return load(name)


ANALYSIS = click.option(
    "--analysis",
    default="agc-v1",
    show_default=True,
    metavar="NAME or FILE",
    callback=_load_analysis,
    help="'agc-v1', or a Python file that defines an analysis of your own.",
)
MODELS = click.option(
    "--model",
    "models",
    type=click.Path(path_type=Path),
    multiple=True,
    show_default="those that come with the program",
    help="xgboost model, JSON or UBJSON; repeatable, in the order in which the analysis names its models.",
)
THREADS = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", show_default="all cores", help="Number of threads."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Top-quark pairs in CMS Open Data: from NanoAOD files to a fitted cross-section."""


@cli.command(
    epilog="""\b
Examples:
  ttbar run                                          the demo data set
  ttbar run --dataset my.json --samples nominal      your own files
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
    type=click.Choice(list(IO_LEVELS)),
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
@click.option("--resume", is_flag=True, help="Go on from what an interrupted run with the same options finished.")
@click.option("--no-plots", is_flag=True, help="Leave the plots out.")
@click.option("--no-fit", is_flag=True, help="Leave the fit out.")
def run(no_plots: bool, no_fit: bool, **options: Any) -> None:
    """From a data set to histograms, plots, the fitted cross-section and a report."""
    if options["skim"] and options["io_only"]:
        raise click.UsageError("--skim and --io-only do not go together, skim first and read the skims then")
    from ttbar.jobs.run import Options
    from ttbar.jobs.run import run as run_analysis

    run_analysis(Options(plots=not no_plots, fit=not no_fit, **options))


@cli.command(
    epilog="""\b
Examples:
  ttbar check --dataset my.json
  ttbar check --dataset agc2015 --files 1"""
)
@inputs(samples="all")
@ANALYSIS
@MODELS
def check(source: "Source", analysis: "Analysis", models: tuple[Path, ...]) -> None:
    """Check all that a run would check, without running: a line for each file, and a summary.

    Ends with exit code 3 if a file is bad, unless it may be left out.
    """
    from ttbar.jobs.check import check as check_inputs

    check_inputs(source, analysis, models)


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
    "format_",
    type=click.Choice(["TTree", "RNTuple"]),
    default="TTree",
    show_default=True,
    help="How to store the events.",
)
def skim(source: "Source", analysis: "Analysis", threads: int | None, output: Path, format_: "Format") -> None:
    """Write a small copy of each file, with all that the analysis reads and can select, and their dataset.json.

    A run on the copies gives the same histograms. Copies that are there already are kept if they are still those of
    their file, of the same cuts and of the same program.
    """
    from ttbar.execution.skim import skim as skim_files

    skim_files(source, analysis, output, format_, threads)


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
    from ttbar.inputs.dataset import select_names
    from ttbar.simulate import simulate as simulate_samples
    from ttbar.simulate import simulated_samples
    from ttbar.worker import Worker

    with Worker() as worker:
        names = select_names(worker.call(simulated_samples), samples)
        worker.call(simulate_samples, output, events, names, seed, ballast)


@cli.command(
    epilog="""\b
Examples:
  ttbar train --dataset toy/dataset.json --output models/mine.json
  ttbar train --dataset toy/dataset.json --output models/mine.ubj --search wider.json
where wider.json replaces lists of values, all combinations of which are tried, out of
  {"max_depth": [6], "learning_rate": [0.2, 0.3], "min_child_weight": [1, 50]}
or adds lists for other hyperparameters of xgboost."""
)
@inputs(samples="ttbar__nominal")
@ANALYSIS
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The model, .json or .ubj; card and plots beside it.",
)
@click.option(
    "--folds",
    type=click.Choice(["both", "even", "odd"]),
    default="both",
    show_default=True,
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
@seed_option("training", bits=31)
def train(**options: Any) -> None:
    """Train a model of the jet assignment on simulated top pairs, and evaluate it."""
    from ttbar.training.jobs import Options, train_model

    train_model(Options(**options))


@cli.command(
    epilog="""\b
Example:
  ttbar validate-model --dataset toy/dataset.json --model models/mine.json"""
)
@inputs(samples="ttbar__nominal")
@ANALYSIS
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=lambda: resource("models", "jet_assignment.json"),
    show_default="the one that comes with the program",
    help="xgboost model, JSON or UBJSON.",
)
@THREADS
def validate_model(source: "Source", analysis: "Analysis", model: Path, threads: int | None) -> None:
    """Evaluate a model of the jet assignment on simulated top pairs, which it should not have been trained on."""
    from ttbar.training import jobs
    from ttbar.training.evaluation import table

    click.echo(table(jobs.validate_model(source, analysis, model, threads)))


HISTOGRAMS = click.option(
    "--histograms", type=click.Path(path_type=Path), required=True, metavar="FILE", help="ROOT file of histograms."
)
OUTPUT = click.option("--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Results folder.")


@cli.command(
    epilog="""\b
Example:
  ttbar fit --histograms output/histograms.root --output output --ranking"""
)
@HISTOGRAMS
@OUTPUT
@click.option(
    "--fit-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="the one that comes with the program",
    help="Configuration in cabinetry's layout.",
)
@click.option(
    "--variable",
    type=click.Choice(["observable", "deltaR"]),
    default="observable",
    show_default=True,
    help="What to fit.",
)
@click.option("--ranking", is_flag=True, help="Also compute the impact of each nuisance parameter.")
@click.option("--scan", is_flag=True, help="Also scan the likelihood of the cross-section.")
def fit(histograms: Path, output: Path, fit_config: Path | None, **options: Any) -> None:
    """Fit the ttbar cross-section to histograms."""
    from ttbar.results.fit import fit as fit_histograms

    fit_histograms(histograms, output, config=fit_config, **options)


@cli.command(
    epilog="""\b
Example:
  ttbar plot --histograms output/histograms.root --output output"""
)
@HISTOGRAMS
@OUTPUT
def plot(histograms: Path, output: Path) -> None:
    """Plot histograms."""
    from ttbar.results.plot import plot as plot_histograms

    plot_histograms(histograms, output)


@cli.command(
    epilog="""\b
Example:
  ttbar report --output output"""
)
@OUTPUT
def report(output: Path) -> None:
    """Write the page that shows a results folder."""
    from ttbar.results.report import report as write_report

    write_report(output)


@cli.command(
    epilog="""\b
Example:
  ttbar validate output/histograms.root reference.json"""
)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
def validate(a: Path, b: Path) -> None:
    """Compare two sets of histograms: ROOT files, or one and a JSON reference.

    Ends with exit code 1 if they differ.
    """
    from rich.console import Console

    from ttbar.results.validate import validate as compare

    comparison = compare(a, b)
    Console().print(comparison)
    if not comparison.equal:
        sys.exit(1)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and end with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands on the command line after the name of the program; by default what really does.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's way to interrupt
    try:
        cli.main(args=arguments, prog_name="ttbar", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        _fail(EXIT_USAGE, "a command is missing, choose one of the above")
    except click.ClickException as error:
        _fail(EXIT_USAGE, error.format_message())
    except TtbarError as error:
        _fail(error.exit_code, str(error))
    except (KeyboardInterrupt, click.Abort):
        _fail(EXIT_INTERRUPTED, "interrupted")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(InputError.exit_code, f"{place}{error.strerror or error}; check the path, its permissions and the disk")
    except ModuleNotFoundError as error:
        _fail(AnalysisError.exit_code, f"{error}: install it, or all that training needs: pip install 'ttbar[train]'")
    except Exception as error:
        _fail(AnalysisError.exit_code, f"a defect of this program, please report it: {type(error).__name__}: {error}")
    sys.exit(0)


def _fail(code: int, reason: str) -> NoReturn:
    """End with one line on standard error."""
    click.echo("error: " + " ".join(reason.split()), err=True)
    sys.exit(code)
