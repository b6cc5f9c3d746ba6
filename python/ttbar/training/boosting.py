"""Boosted decision trees that are trained on matched events, with xgboost.

Events are divided by their numbers. The parity tells the two folds: a model that is trained on one is evaluated on the
other. One event in `STOPPING` serves neither: these decide when a training stops, and which hyperparameters win.
"""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from ttbar.analyses.analysis import PARITIES
from ttbar.errors import InputError
from ttbar.lean_jsonschema import jsonschema
from ttbar.progress import Display
from ttbar.reading import read_json
from ttbar.training import evaluation
from ttbar.training.evaluation import Scores
from ttbar.training.matched_events import MatchedEvents

BOTH = "both"
"""What a model is trained on that learns from the events of both folds; else it is one of `PARITIES`."""

STOPPING = 5
MIN_EVENTS = evaluation.N_PARTS
"""Events that each fold needs, of those to train on as well as of those that stop the training."""

PATIENCE = 20
"""Training stops when the loss has not become smaller for this many trees."""

Parameters = Mapping[str, float]
"""Hyperparameters by xgboost's names."""

SEARCH: Mapping[str, Sequence[float]] = {"max_depth": [6], "learning_rate": [0.2, 0.3], "min_child_weight": [1, 50]}
"""Values of hyperparameters, of which all combinations are tried."""

HYPERPARAMETERS = (
    *("max_depth", "max_leaves", "max_bin", "learning_rate", "min_child_weight", "max_delta_step"),
    *("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode", "gamma", "reg_lambda", "reg_alpha"),
)
"""xgboost's names of what can be searched."""

# One thread for each training, so that their number cannot matter; trainings run side by side instead.
FIXED: Mapping[str, Any] = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "nthread": 1,
}
"""Parameters that are not searched."""

_SEARCH_SCHEMA = {
    "description": "an object of lists of numbers",
    "type": "object",
    "propertyNames": {"enum": HYPERPARAMETERS, "description": f"made of {', '.join(HYPERPARAMETERS)}"},
    "additionalProperties": {
        "description": "a list of at least one number",
        "type": "array",
        "minItems": 1,
        "items": {"description": "a number", "type": "number"},
    },
}


@dataclass(frozen=True)
class Training:
    """A trained model."""

    model: xgboost.Booster
    """Cut to the tree with which the loss of the stopping events was smallest."""
    parameters: Parameters
    """What it was trained with, beside `FIXED`."""
    losses: Mapping[str, Sequence[float]]
    """Log loss after each tree, those cut off included, of the `training` and the `stopping` events."""

    @property
    def loss(self) -> float:
        """Log loss of the stopping events."""
        return min(self.losses["stopping"])


@dataclass(frozen=True)
class Outcome:
    """What a search for a model has found."""

    shipped: Training
    """The model."""
    folds: str
    """What it was trained on: one of `PARITIES`, or `BOTH`."""
    seed: int
    """Seed of the trainings."""
    tried: Sequence[tuple[Training, Training]]
    """For each combination of hyperparameters the models trained on even and on odd events."""
    unseen: NDArray[Any]
    """The events for the evaluation, as in `MatchedEvents`: those of the other fold, or of both."""
    scores: Scores
    """Their scores, by models of the same hyperparameters that have not seen them."""


def read_search(path: Path) -> dict[str, Sequence[float]]:
    """Read which hyperparameters to try.

    Parameters
    ----------
    path : pathlib.Path
        JSON file: an object of lists of values, by names out of `HYPERPARAMETERS`.

    Returns
    -------
    dict of str to sequence of float
        Its content.

    Raises
    ------
    InputError
        If the file cannot be read or is not as described.
    """
    search: dict[str, Sequence[float]] = read_json(path)
    wrong = next(jsonschema.Draft202012Validator(_SEARCH_SCHEMA).iter_errors(search), None)
    if wrong is not None:
        place = wrong.json_path.removeprefix("$").removeprefix(".") or "the top level"
        raise InputError(f"{path}: {place} must be {wrong.schema['description']}, not {wrong.instance!r}")
    return search


def train(
    events: MatchedEvents,
    search: Mapping[str, Sequence[float]],
    folds: Sequence[str],
    max_trees: int,
    seed: int,
    threads: int,
) -> list[Outcome]:
    """Try combinations of hyperparameters on two folds, and train with the best.

    Parameters
    ----------
    events : MatchedEvents
        What to learn from.
    search : mapping of str to sequence of float
        Values of each hyperparameter.
    folds : sequence of str
        What each of the resulting models is trained on: one of `PARITIES`, or `BOTH`.
    max_trees : int
        Largest number of trees.
    seed : int
        Seed of everything random, which is something only with hyperparameters such as `subsample`.
    threads : int
        How many trainings run side by side. The result does not depend on it.

    Returns
    -------
    list of Outcome
        The models and how they came about.

    Raises
    ------
    InputError
        If there are too few events, or if xgboost refuses a hyperparameter.
    """
    numbers = events.records["number"]
    parity, stopping = numbers % 2, numbers // 2 % STOPPING == 0
    fewest = min(np.count_nonzero((parity == fold) & (stopping == stops)) for fold in (0, 1) for stops in (False, True))
    if fewest < MIN_EVENTS:
        raise InputError(
            f"{len(numbers)} matched events are too few to learn from, or their numbers too much alike: the smallest "
            f"of four parts has {fewest} where {MIN_EVENTS} are needed; give a data set with more events (--dataset)"
        )

    def train_all(description: str, jobs: Sequence[tuple[NDArray[np.bool_], Parameters]]) -> list[Training]:
        with (
            Display(description, len(jobs) * max_trees, "trees") as display,
            ThreadPoolExecutor(min(threads, len(jobs))) as pool,
        ):
            watch = _Watch(display)
            futures = [
                pool.submit(_train_one, events, selected, stopping, parameters, max_trees, seed, watch)
                for selected, parameters in jobs
            ]
            try:
                return [future.result() for future in futures]
            except BaseException:
                watch.cancelled = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    combinations = [dict(zip(search, values, strict=True)) for values in product(*search.values())]
    trained = train_all("Searching", [(parity == fold, chosen) for chosen in combinations for fold in (0, 1)])
    tried = list(zip(trained[::2], trained[1::2], strict=True))
    best = min(tried, key=lambda pair: pair[0].loss + pair[1].loss)
    shipped = dict(zip(PARITIES, best, strict=True))
    if BOTH in folds:
        [shipped[BOTH]] = train_all("Training", [(np.full(len(numbers), True), best[0].parameters)])

    scores = np.empty((len(numbers), len(events.permutations)), np.float32)
    for fold in (0, 1):
        scores[parity == fold] = predict(best[1 - fold].model, events.records[parity == fold])

    def outcome(trained_on: str) -> Outcome:
        chosen = judged(numbers, trained_on) & ~stopping
        return Outcome(shipped[trained_on], trained_on, seed, tried, events.records[chosen], scores[chosen])

    return [outcome(trained_on) for trained_on in folds]


def judged(numbers: NDArray[np.integer], trained_on: str) -> NDArray[np.bool_]:
    """Choose the events that tell how good a model is.

    Parameters
    ----------
    numbers : numpy.ndarray
        Event numbers.
    trained_on : str
        What the model is trained on: one of `PARITIES`, or `BOTH`.

    Returns
    -------
    numpy.ndarray
        Whether each event is chosen: those of the other fold are, or all if it learns from both.
    """
    is_judged: NDArray[np.bool_] = np.array([trained_on != parity for parity in PARITIES])[numbers % 2]
    return is_judged


def predict(model: xgboost.Booster, records: NDArray[Any]) -> Scores:
    """Score the permutations of events.

    Parameters
    ----------
    model : xgboost.Booster
        A model, of which all trees are used.
    records : numpy.ndarray
        As in `MatchedEvents`.

    Returns
    -------
    numpy.ndarray
        Probabilities, shape (events, permutations).
    """
    features = records["features"]
    matrix = xgboost.DMatrix(features.reshape(-1, features.shape[-1]), nthread=1)
    scores: Scores = model.predict(matrix, validate_features=False).reshape(features.shape[:-1])
    return scores


class _Watch(xgboost.callback.TrainingCallback):
    """Count the trees of trainings that run side by side, and stop them when told to."""

    def __init__(self, display: Display) -> None:
        self.cancelled = False
        self._display = display
        self._lock = threading.Lock()
        self._trees = 0

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        with self._lock:
            self._trees += 1
            self._display.update(self._trees)
        return self.cancelled


def _matrix(events: MatchedEvents, selected: NDArray[np.bool_]) -> xgboost.DMatrix:
    """Rows and labels of all permutations of events."""
    records = events.records[selected]
    return xgboost.DMatrix(
        records["features"].reshape(-1, len(events.feature_names)),
        evaluation.truth(records["true_permutation"], len(events.permutations)).ravel(),
        feature_names=list(events.feature_names),
        nthread=1,
    )


def _train_one(
    events: MatchedEvents,
    selected: NDArray[np.bool_],
    stopping: NDArray[np.bool_],
    parameters: Parameters,
    max_trees: int,
    seed: int,
    watch: _Watch,
) -> Training:
    """Train a model until its loss on the stopping events no longer becomes smaller."""
    training = _matrix(events, selected & ~stopping)
    losses: dict[str, dict[str, list[float]]] = {}
    try:
        model = xgboost.train(
            {**FIXED, "seed": seed, **parameters},
            training,
            max_trees,
            evals=[(training, "training"), (_matrix(events, selected & stopping), "stopping")],
            evals_result=losses,
            callbacks=[watch, xgboost.callback.EarlyStopping(rounds=PATIENCE, save_best=True)],
            verbose_eval=False,
        )
    except xgboost.core.XGBoostError as error:
        reason = str(error).splitlines()[0].rpartition(": ")[2]
        raise InputError(f"xgboost refuses {dict(parameters)} (--search): {reason}") from error
    return Training(model, parameters, {name: loss["logloss"] for name, loss in losses.items()})
