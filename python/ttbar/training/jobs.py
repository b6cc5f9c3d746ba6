"""The jobs that train and evaluate models of the jet assignment."""

import hashlib
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xgboost
from rich.text import Text

from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError, UsageError
from ttbar.execution import loop
from ttbar.execution.loop import Ready
from ttbar.execution.models import model_files
from ttbar.executors import HERE, Where
from ttbar.inputs.source import Source
from ttbar.masking import masked
from ttbar.output import written_whole
from ttbar.progress import console, now, say
from ttbar.training import boosting, evaluation, matched_events, model_card
from ttbar.training.boosting import Outcome
from ttbar.training.evaluation import Evaluation
from ttbar.training.matched_events import MatchedEvents

FORMATS = {".json": "json", ".ubj": "ubj"}
"""xgboost's formats by the end of a file's name."""


@dataclass(frozen=True)
class Options:
    """What a user can choose for a training; see `ttbar train --help`."""

    source: Source
    analysis: Analysis
    output: Path
    folds: str | None
    """None for what the analysis says, or else both."""
    search: Path | None
    max_trees: int
    threads: int | None
    seed: int
    where: Where = HERE


def train_model(options: Options) -> None:
    """Train the models of an analysis; write them, their cards and plots.

    Parameters
    ----------
    options : Options
        What the user chose.

    Raises
    ------
    UsageError
        If the name of the model does not tell its format, the analysis says that its models learn from other events
        than the user wants, or the data set lacks a sample that was asked for.
    InputError
        If a file is missing or wrong, the analysis and its header contradict each other, or there are too few events to
        learn from.
    AnalysisError
        If the event loop fails.
    """
    if options.output.suffix not in FORMATS:
        raise UsageError("--output", f"{options.output} must end in {' or '.join(FORMATS)}")
    models = matched_events.models_of(options.analysis)
    folds = [model.trained_on or options.folds or boosting.BOTH for model in models]
    if options.folds and {*folds} != {options.folds}:
        raise UsageError("--folds", f"{options.analysis.name} trains on {' and '.join(folds)} events: leave it out")
    search = {**boosting.SEARCH, **(boosting.read_search(options.search) if options.search else {})}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    setup = loop.Setup(options.where.threads(options.threads), options.analysis)
    with options.where.start(setup, options.source.patience) as executor:
        now("Starting ROOT")
        ready = executor.ready()
        events = matched_events.read(options.source, options.analysis, executor)
    outcomes = boosting.train(events, search, folds, options.max_trees, options.seed, ready.threads)
    stem = options.output.stem
    names = [f"{stem}_{model.name}" for model in models] if len(models) > 1 else [stem]
    outputs = [options.output.with_stem(name) for name in names]
    now("Evaluating the models")
    evaluated = [_evaluated(outcome, events) for outcome in outcomes]
    contents = [
        _files(output, options, ready, events, outcome, evaluations)
        for output, outcome, evaluations in zip(outputs, outcomes, evaluated, strict=True)
    ]
    for path, content in (file for files in contents for file in files.items()):
        path.parent.mkdir(exist_ok=True)
        with written_whole(path) as beside:
            beside.write_bytes(content)
    for output, evaluations in zip(outputs, evaluated, strict=True):
        console.print(Text(evaluation.table(evaluations)), soft_wrap=True)
        for name, each in evaluations.items():
            if each.correct.value > evaluations[model_card.OUTCOME].correct.value:
                say(f"the {name} is better than this model: train on more events, or search shallower trees (--search)")
        say(f"the model is {output}, its card {output.with_suffix('.md')}")


def _evaluated(outcome: Outcome, events: MatchedEvents) -> dict[str, Evaluation]:
    """Evaluate a training on the events that it has not seen, beside what needs none."""
    return {
        model_card.OUTCOME: evaluation.evaluate(outcome.scores, outcome.unseen["true_permutation"]),
        **evaluation.evaluate_baselines(outcome.unseen, events.permutations),
    }


def _files(
    output: Path,
    options: Options,
    ready: Ready,
    events: MatchedEvents,
    outcome: Outcome,
    evaluations: dict[str, Evaluation],
) -> dict[Path, bytes]:
    """Contents of the files of a model: its plots, its card, and last the model itself."""
    model = bytes(outcome.shipped.model.save_raw(FORMATS[output.suffix]))
    card = model_card.text(
        output.name,
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
    files = {output.with_suffix("") / name: plot for name, plot in plots.items()}
    return files | {output.with_suffix(".md"): card.encode(), output: model}


def validate_model(
    source: Source, analysis: Analysis, models: Sequence[Path], threads: int | None
) -> dict[str, Evaluation]:
    """Evaluate the models of an analysis on the matched events of a data set.

    Parameters
    ----------
    source : Source
        The events. They flatter a model that was trained on them.
    analysis : Analysis
        What they are for.
    models : sequence of pathlib.Path
        The models, in the order of the analysis; none for those that come with the program.
    threads : int or None
        Number of threads, None for all cores.

    Returns
    -------
    dict of str to Evaluation
        The models, each event scored by the one that is not trained on its half, and ways to do without them, by name.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for, or the number of models is wrong, or both are the
        same.
    InputError
        If a file is missing or wrong, too few events match, or a model has other features than the analysis.
    AnalysisError
        If the event loop fails.
    """
    trained_on = [model.trained_on or boosting.BOTH for model in matched_events.models_of(analysis)]
    files = model_files(analysis, models)
    with HERE.start(loop.Setup(threads, analysis, files), source.patience) as executor:
        now("Starting ROOT")
        ready = executor.ready()
        # Through memory, where xgboost goes by the content of a file and not by its name, as the C++ code does.
        boosters = [
            xgboost.Booster({"nthread": ready.threads}, model_file=bytearray(file.read_bytes())) for file in files
        ]
        events = matched_events.read(source, analysis, executor)
    now("Evaluating the models")
    unseen = [events.records[boosting.judged(events.records["number"], each)] for each in trained_on]
    records = np.concatenate(unseen)
    if len(records) < 2:
        raise InputError(
            f"{len(records)} matched events are too few to evaluate {', '.join(map(str, files))}: give a data set "
            "with more events (--dataset)"
        )
    scores = np.concatenate([boosting.predict(*each) for each in zip(boosters, unseen, strict=True)])
    return {
        ", ".join(file.name for file in files): evaluation.evaluate(scores, records["true_permutation"]),
        **evaluation.evaluate_baselines(records, events.permutations),
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
    if not any(model.trained_on for model in options.analysis.models):
        words += ["--folds", options.folds or boosting.BOTH]
    words += ["--max-trees", options.max_trees, "--seed", options.seed]
    return shlex.join(map(str, [*words, "--output", options.output]))
