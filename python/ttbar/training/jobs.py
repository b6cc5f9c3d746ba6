"""The jobs that train and evaluate models of the jet assignment."""

import hashlib
import platform
import shlex
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import xgboost
from rich.text import Text

from ttbar.analyses.analysis import Analysis
from ttbar.errors import UsageError
from ttbar.execution import loop
from ttbar.inputs.source import Source
from ttbar.library import shipped
from ttbar.masking import masked
from ttbar.output import written_whole
from ttbar.progress import console, now, say
from ttbar.training import boosting, evaluation, matched_events, model_card
from ttbar.training.evaluation import Evaluation
from ttbar.worker import Worker

FORMATS = {".json": "json", ".ubj": "ubj"}
"""xgboost's formats by the end of a file's name."""


@dataclass(frozen=True)
class Options:
    """What a user can choose for a training; see `ttbar train --help`."""

    source: Source
    analysis: Analysis
    output: Path
    folds: str
    search: Path | None
    max_trees: int
    threads: int | None
    seed: int


def train_model(options: Options) -> None:
    """Train a model; write it, its card and plots.

    Parameters
    ----------
    options : Options
        What the user chose.

    Raises
    ------
    UsageError
        If the name of the model does not tell its format, or the data set lacks a sample that was asked for.
    InputError
        If a file is missing or wrong, the analysis and its header contradict each other, or there are too few events to
        learn from.
    AnalysisError
        If the event loop fails.
    """
    if options.output.suffix not in FORMATS:
        raise UsageError("--output", f"{options.output} must end in {' or '.join(FORMATS)}")
    search = {**boosting.SEARCH, **(boosting.read_search(options.search) if options.search else {})}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with Worker(partial(loop.initialise, options.threads, options.analysis), options.source.patience) as worker:
        now("Starting ROOT")
        ready = worker.ready()
        events = matched_events.read(options.source, options.analysis, worker)
    outcome = boosting.train(events, search, options.folds, options.max_trees, options.seed, ready.threads)
    now("Evaluating the model")
    evaluations = {
        model_card.OUTCOME: evaluation.evaluate(outcome.scores, outcome.unseen["true_permutation"]),
        **evaluation.evaluate_baselines(outcome.unseen, events.permutations),
    }
    model = bytes(outcome.shipped.model.save_raw(FORMATS[options.output.suffix]))
    card = model_card.text(
        options.output.name,
        hashlib.sha256(model).hexdigest(),
        _command(options),
        {
            "Python": platform.python_version(),
            "ROOT": ready.root_version,
            **{package: version(package) for package in ("ttbar", "numpy", "scikit-learn")},
            "xgboost": xgboost.__version__,
        },
        events,
        outcome,
        evaluations,
    )
    plots = model_card.plots(events, outcome)

    folder = options.output.with_suffix("")
    folder.mkdir(exist_ok=True)
    files = {folder / name: plot for name, plot in plots.items()}
    files |= {options.output.with_suffix(".md"): card.encode(), options.output: model}
    for path, content in files.items():
        with written_whole(path) as beside:
            beside.write_bytes(content)
    console.print(Text(evaluation.table(evaluations)), soft_wrap=True)
    for name, each in evaluations.items():
        if each.correct.value > evaluations[model_card.OUTCOME].correct.value:
            say(f"the {name} is better than this model: train on more events, or search shallower trees (--search)")
    say(f"the model is {options.output}, its card {options.output.with_suffix('.md')}")


def validate_model(
    source: Source, analysis: Analysis, model: Path | None, threads: int | None
) -> dict[str, Evaluation]:
    """Evaluate a model on all matched events of a data set.

    Parameters
    ----------
    source : Source
        The events. They flatter a model that was trained on them.
    analysis : Analysis
        What it is for.
    model : pathlib.Path or None
        The model; None for the one that comes with the program.
    threads : int or None
        Number of threads, None for all cores.

    Returns
    -------
    dict of str to Evaluation
        The model and ways to do without it, by name.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for.
    InputError
        If a file is missing or wrong, no event matches, or the model has other features than the analysis.
    AnalysisError
        If the event loop fails.
    """
    analysis = replace(analysis, models=(matched_events.model_of(analysis),))
    model = model or shipped(analysis.models[0].file)
    with Worker(partial(loop.initialise, threads, analysis, (str(model),)), source.patience) as worker:
        now("Starting ROOT")
        ready = worker.ready()
        # Through memory, where xgboost goes by the content of a file and not by its name, as the C++ code does.
        booster = xgboost.Booster({"nthread": ready.threads}, model_file=bytearray(model.read_bytes()))
        events = matched_events.read(source, analysis, worker)
    now("Evaluating the model")
    scores = boosting.predict(booster, events.records)
    return {
        model.name: evaluation.evaluate(scores, events.records["true_permutation"]),
        **evaluation.evaluate_baselines(events.records, events.permutations),
    }


def _command(options: Options) -> str:
    """A command line for the options that matter."""
    source = options.source
    words: list[object] = ["ttbar", "train", "--dataset", masked(source.dataset), "--samples", source.samples]
    words += ["--analysis", options.analysis.name]
    words += [word for old, new in source.prefixes for word in ("--prefix", f"{masked(old)}={masked(new)}")]
    words += ["--tree", source.tree, "--bad-files", source.bad_files]
    words += ["--files", source.files] if source.files else []
    words += ["--search", options.search] if options.search else []
    words += ["--folds", options.folds, "--max-trees", options.max_trees, "--seed", options.seed]
    return shlex.join(map(str, [*words, "--output", options.output]))
