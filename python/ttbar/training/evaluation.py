"""How good an assignment of jets is: a model's, and those of simple rules to compare it with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

N_PARTS = 20
"""Parts of the events whose spread gives the uncertainty of the area under the ROC curve."""

Scores = NDArray[np.floating]
"""A number for each event and permutation, the larger the likelier."""


@dataclass(frozen=True)
class Estimate:
    """A number and its standard deviation."""

    value: float
    uncertainty: float

    def __str__(self) -> str:
        """Value and uncertainty, which is zero for a number that is known."""
        return f"{self.value:.4f} ± {self.uncertainty:.4f}" if self.uncertainty else f"{self.value:.4f}"


@dataclass(frozen=True)
class Evaluation:
    """How good a way to score permutations is."""

    correct: Estimate
    """Fraction of events in which the permutation of the largest score is the true one, the first of equal scores."""
    auc: Estimate
    """Area under the ROC curve that true and wrong permutations make."""


def evaluate(scores: Scores, true_permutation: NDArray[np.int64]) -> Evaluation:
    """Compare scores with the truth.

    Parameters
    ----------
    scores : numpy.ndarray
        Shape (events, permutations).
    true_permutation : numpy.ndarray
        Index of the true permutation of each event; at least two events.

    Returns
    -------
    Evaluation
        The uncertainty of the fraction is that of a binomial distribution. The permutations of an event are correlated,
        so that of the area is taken from its spread among parts of the events.
    """
    n_events = len(scores)
    correct = float(np.mean(scores.argmax(axis=1) == true_permutation))
    is_true = truth(true_permutation, scores.shape[1])
    n_parts = min(N_PARTS, n_events)
    parts = [roc_auc_score(is_true[part::n_parts].ravel(), scores[part::n_parts].ravel()) for part in range(n_parts)]
    return Evaluation(
        Estimate(correct, sqrt(correct * (1 - correct) / n_events)),
        Estimate(float(roc_auc_score(is_true.ravel(), scores.ravel())), float(np.std(parts, ddof=1) / sqrt(n_parts))),
    )


def truth(true_permutation: NDArray[np.int64], n_permutations: int) -> NDArray[np.bool_]:
    """Whether each permutation is the true one, shape (events, permutations)."""
    is_true: NDArray[np.bool_] = np.arange(n_permutations) == true_permutation[:, np.newaxis]
    return is_true


def chi_square(events: NDArray[Any], permutations: NDArray[np.int64]) -> Scores:
    """Score by the masses of W and top, each relative to its peak and width among the true permutations.

    Parameters
    ----------
    events : numpy.ndarray
        As in `ttbar.training.matched_events.MatchedEvents`. Peaks and widths are the median and half of the central
        68 % of their own masses, which flatters this rule a little.
    permutations : numpy.ndarray
        Positions of the jets a, b, c and d in each permutation, shape (permutations, 4).

    Returns
    -------
    numpy.ndarray
        Minus the chi-square, shape (events, permutations).
    """
    a, b, c = _momenta_of_hadronic_top(events, permutations)
    chi_square = np.zeros(a.shape[:2])
    for momentum in (a + b, a + b + c):
        mass = np.sqrt(np.maximum(0, momentum[..., 3] ** 2 - (momentum[..., :3] ** 2).sum(axis=-1)))
        true_mass = mass[truth(events["true_permutation"], mass.shape[1])]
        low, peak, high = np.quantile(true_mass, [0.16, 0.5, 0.84])
        chi_square += ((mass - peak) / ((high - low) / 2)) ** 2
    return -chi_square


def trijet(events: NDArray[Any], permutations: NDArray[np.int64]) -> Scores:
    """Score by the transverse momentum of the hadronic top; its b must have the highest b-tag of the three jets.

    Parameters
    ----------
    events, permutations
        As in `chi_square`.

    Returns
    -------
    numpy.ndarray
        Transverse momenta in GeV, shape (events, permutations); -1 where another jet has a higher b-tag.
    """
    a, b, c = _momenta_of_hadronic_top(events, permutations)
    tags = events["btag"][:, permutations[:, :3]]
    pt = np.hypot(*np.moveaxis((a + b + c)[..., :2], -1, 0))
    return np.where(tags[..., 2] == tags.max(axis=-1), pt, -1.0)


BASELINES: Mapping[str, Callable[[NDArray[Any], NDArray[np.int64]], Scores]] = MappingProxyType(
    {"chi-square of the W and top masses": chi_square, "trijet of the largest transverse momentum": trijet}
)
"""Rules that need no training."""


def evaluate_baselines(events: NDArray[Any], permutations: NDArray[np.int64]) -> dict[str, Evaluation]:
    """Evaluate what needs no training.

    Parameters
    ----------
    events, permutations
        As in `chi_square`.

    Returns
    -------
    dict of str to Evaluation
        By name: a permutation at random, and `BASELINES`.
    """
    at_random = Evaluation(Estimate(1 / len(permutations), 0.0), Estimate(0.5, 0.0))
    evaluations = {
        name: evaluate(score(events, permutations), events["true_permutation"]) for name, score in BASELINES.items()
    }
    return {"random permutation": at_random, **evaluations}


def table(evaluations: Mapping[str, Evaluation]) -> str:
    """Lay out evaluations as a table.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By name.

    Returns
    -------
    str
        In Markdown.
    """
    width = max(map(len, evaluations))
    rows = [f"| {name:{width}} | {each.correct!s:15} | {each.auc!s:15} |" for name, each in evaluations.items()]
    head = [f"| {'':{width}} | {'correct':15} | {'AUC':15} |", f"|{'-' * (width + 2)}|{'-' * 17}|{'-' * 17}|"]
    return "\n".join(head + rows)


def _momenta_of_hadronic_top(events: NDArray[Any], permutations: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Four-momenta of the jets a, b and c, each of shape (events, permutations, 4)."""
    pt, eta, phi, mass = (events[quantity].astype(np.float64) for quantity in ("pt", "eta", "phi", "mass"))
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.hypot(pt * np.cosh(eta), mass)], -1)
    return [momenta[:, permutations[:, jet]] for jet in range(3)]
