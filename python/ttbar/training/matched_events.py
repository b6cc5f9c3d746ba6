"""Simulated top pairs of which the generator knows which jet is which: what a jet assignment learns from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbar.analyses.analysis import NOMINAL, PARITIES, Analysis, Define, Model
from ttbar.errors import InputError
from ttbar.execution import loop, units
from ttbar.executors import Executor
from ttbar.inputs.source import Source, dataset_file, get, list_samples
from ttbar.training.match import assignments, columns_of, match


@dataclass(frozen=True)
class MatchedEvents:
    """Events whose first four selected jets are those of the four quarks, and where they come from."""

    records: NDArray[Any]
    """A structured array of `ttbar::MatchedEvents`, sorted by event number: `number`, `true_permutation`, `features` of
    shape (permutations, features), and `pt`, `eta`, `phi`, `mass` and `btag` of the four jets."""
    permutations: NDArray[np.int64]
    """Positions of the jets a, b, c and d in each permutation, shape (permutations, 4)."""
    feature_names: tuple[str, ...]
    """Names of the features of a permutation."""
    cutflow: Mapping[str, int]
    """Events after each cut; the last is `matched`, those before it are the analysis' own."""
    samples: tuple[str, ...]
    """Names of the samples."""
    dataset_sha256: str
    """Hash of the data set file."""

    @property
    def selected(self) -> int:
        """Number of events that the model has to do with."""
        return [*self.cutflow.values()][-2]

    @property
    def sha256(self) -> str:
        """Hash of the events, equal for equal events in other files."""
        return hashlib.sha256(self.records.tobytes()).hexdigest()


def models_of(analysis: Analysis) -> tuple[Model, ...]:
    """Find the models of an analysis that are trained or evaluated.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    tuple of Model
        All it has: one, or one for each half of the events, of the same rows.

    Raises
    ------
    InputError
        If it has none, others, or does not select jets before their rows.
    """
    if not analysis.models:
        raise InputError(f"the analysis {analysis.name} has no model to train: name one in its 'models'")
    model, *others = analysis.models
    rows = {(each.features, each.column, each.jets) for each in analysis.models}
    if others and (len(rows) > 1 or sorted(each.trained_on for each in analysis.models) != sorted(PARITIES)):
        names = ", ".join(each.name for each in analysis.models)
        raise InputError(
            f"the analysis {analysis.name} has models ({names}) that are not a pair of the same features, rows and "
            "jets, 'trained_on' even and odd events: train and evaluate them one by one, each alone in 'models'"
        )
    if model.jets not in [step.column for step in analysis.steps_to(model.column) if isinstance(step, Define)]:
        raise InputError(
            f"the analysis {analysis.name} defines no column {model.jets!r} before {model.column!r}: say in the "
            f"'jets' of its model {model.name!r} which one has the indices of the selected jets"
        )
    return analysis.models


def read(source: Source, analysis: Analysis, executor: Executor) -> MatchedEvents:
    """Find the events of a data set that match.

    Parameters
    ----------
    source : Source
        Which events to look at.
    analysis : Analysis
        The analysis whose jet assignment it is.
    executor : Executor
        Processes that `loop.Setup` makes ready.

    Returns
    -------
    MatchedEvents
        At least one event.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for.
    InputError
        If a file is missing or wrong or knows nothing of the generator, if no event matches, or if the analysis
        contradicts itself: about its models, their features, or their names.
    AnalysisError
        If the event loop fails.
    """
    model, *_ = models_of(analysis)
    names = executor.call(loop.feature_names, model.features)
    permutations = executor.call(assignments)
    dataset = dataset_file(source, executor)
    listed = list_samples(source, dataset, analysis)
    checked = get(source, listed, columns_of(analysis), analysis.reserved, executor)
    samples, partials = units.process(
        "Matching",
        checked,
        partial(match, tree=source.tree, analysis=analysis, model=model),
        executor,
        source.skip_bad,
    )
    cutflow = reduce(add, partials.values()).cutflow[NOMINAL]
    *_, selected, matched = cutflow.values()
    if not matched:
        raise InputError(
            f"{dataset}: in none of {selected} selected events the first four jets are those of the quarks "
            "of a top pair with one lepton; give samples that have such events (--samples)"
        )
    return MatchedEvents(
        ordered(np.concatenate([array for result in partials.values() for array in result.records])),
        np.array(permutations),
        names,
        cutflow,
        tuple(sample.name for sample in samples),
        hashlib.sha256(dataset.read_bytes()).hexdigest(),
    )


def ordered(records: NDArray[Any]) -> NDArray[Any]:
    """Sort events so that neither threads nor files matter.

    Parameters
    ----------
    records : numpy.ndarray
        As in `MatchedEvents`.

    Returns
    -------
    numpy.ndarray
        The same, sorted by number, and those of one number, as different files may have, by their features.
    """
    return records[np.lexsort((*records["features"][:, 0].T, records["number"]))]
