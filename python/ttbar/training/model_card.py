"""The model card: what a model of the jet assignment was trained on, how, and how good it is."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import mplhep
import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from ttbar.training import boosting, evaluation
from ttbar.training.boosting import Outcome
from ttbar.training.evaluation import Evaluation, Scores
from ttbar.training.matched_events import MatchedEvents

OUTCOME = "boosted decision trees"
"""What the trained models are called, in the table and in the plots."""

STYLE: list[Any] = [mplhep.style.CMS, {"font.size": 20, "legend.fontsize": 16, "figure.constrained_layout.use": True}]
SIZE = (8.0, 7.0)
CALIBRATION_BINS = 20


def text(
    model: str,
    sha256: str,
    command: str,
    versions: Mapping[str, str],
    events: MatchedEvents,
    outcome: Outcome,
    evaluations: Mapping[str, Evaluation],
) -> str:
    """Write the card.

    Parameters
    ----------
    model : str
        Name of the model's file.
    sha256 : str
        Hash of the model.
    command : str
        What it was made with.
    versions : mapping of str to str
        Versions of the software that was used.
    events : MatchedEvents
        All matched events.
    outcome : Outcome
        The training.
    evaluations : mapping of str to Evaluation
        How good it is on the unseen events, beside other ways, by name.

    Returns
    -------
    str
        In Markdown.
    """
    shipped = outcome.shipped
    fixed = {**boosting.FIXED, "seed": outcome.seed, **shipped.parameters}
    names = list(shipped.parameters)
    judged = (
        ", each scored by a model with these hyperparameters that was trained on the other\nfold"
        if outcome.folds == boosting.BOTH
        else " of the other fold, none of which the model has learnt\nfrom"
    )
    folder = Path(model).stem
    return f"""# Model card: {model}

Boosted decision trees that score the ways to assign the first four jets of an event with one lepton to the quarks of a
top pair. Made by

    {command}

| file | {model} |
|---|---|
| SHA-256 | `{sha256}` |
| trees | {shipped.model.num_boosted_rounds()} |
| features | {", ".join(f"`{name}`" for name in events.feature_names)} |
| versions | {", ".join(f"{name} {version}" for name, version in versions.items())} |

## Events

Samples {", ".join(f"`{name}`" for name in events.samples)}, of a data set file with the SHA-256
`{events.dataset_sha256}`. An event is matched if its first four selected jets, in stored order, are
within 0.4 in (eta, phi) of four different quarks: two of a W, the b of its top, and the b of the other top, whose W
decays to a lepton.

| cut | events |
|---|---|
{_rows(events.cutflow)}

{len(events.records) / events.selected:.1%} of the selected events are matched. SHA-256 of the matched events:
`{events.sha256}`.

## Training

The permutation that agrees with the generator is a signal row, all others of its event are background. Folds are
made of even and of odd event numbers. One event in {boosting.STOPPING} of each fold is left out of training and
evaluation: there, the log loss decides on the hyperparameters, and on the number of trees up to the largest one
allowed. Trained on: {outcome.folds}.

| parameter | value |
|---|---|
{_rows(fixed)}

Log loss of the events left out, mean of both folds, of each combination that was tried:

| {" | ".join(names)} | trees | log loss |
|{"---|" * (len(names) + 2)}
{_tried(outcome)}

## Evaluation

On {len(outcome.unseen)} matched events{judged}. \
*Correct* is the fraction of events in which the permutation of the highest score is the true one, *AUC* the area
under the ROC curve of true and wrong permutations.

{evaluation.table(evaluations)}

Peaks and widths of the chi-square are those of the evaluated events themselves. The b of the trijet is its jet with the
highest b-tag.

![ROC curves]({folder}/roc.png)
![Scores]({folder}/scores.png)
![Importance of features]({folder}/importance.png)
![Learning curve]({folder}/learning.png)
![Calibration]({folder}/calibration.png)
"""


def plots(events: MatchedEvents, outcome: Outcome) -> dict[str, bytes]:
    """Draw the plots of a card.

    Parameters
    ----------
    events : MatchedEvents
        All matched events.
    outcome : Outcome
        The training.

    Returns
    -------
    dict of str to bytes
        PNG files by name; the same for the same training.
    """
    is_true = evaluation.truth(outcome.unseen["true_permutation"], outcome.scores.shape[1])
    scored = {OUTCOME: outcome.scores} | {
        name: score(outcome.unseen, events.permutations) for name, score in evaluation.BASELINES.items()
    }
    with matplotlib.style.context(STYLE):
        figures = {
            "roc": _roc(is_true, scored),
            "scores": _scores(is_true, outcome.scores),
            "importance": _importance(outcome, events.feature_names),
            "learning": _learning(outcome),
            "calibration": _calibration(is_true, outcome.scores),
        }
        return {f"{name}.png": _png(figure) for name, figure in figures.items()}


def _rows(content: Mapping[str, Any]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in content.items())


def _tried(outcome: Outcome) -> str:
    return "\n".join(
        f"| {' | '.join(str(value) for value in pair[0].parameters.values())} "
        f"| {', '.join(str(training.model.num_boosted_rounds()) for training in pair)} "
        f"| {sum(training.loss for training in pair) / 2:.5f} |"
        for pair in outcome.tried
    )


def _axes() -> tuple[Figure, Any]:
    figure = Figure(SIZE)
    return figure, figure.subplots()


def _roc(is_true: Any, scored: Mapping[str, Scores]) -> Figure:
    figure, axes = _axes()
    for name, scores in scored.items():
        axes.plot(*roc_curve(is_true.ravel(), scores.ravel())[:2], label=name)
    axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", label="random permutation")
    axes.set(xlabel="Wrong permutations accepted", ylabel="True permutations accepted", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="lower right")
    return figure


def _scores(is_true: Any, scores: Scores) -> Figure:
    figure, axes = _axes()
    for name, rows in (("true permutations", is_true), ("wrong permutations", ~is_true)):
        axes.hist(scores[rows], bins=50, range=(0, 1), density=True, histtype="step", linewidth=2, label=name)
    axes.set(xlabel="Score", ylabel="Density", xlim=(0, 1), yscale="log")
    axes.legend()
    return figure


def _importance(outcome: Outcome, feature_names: Sequence[str]) -> Figure:
    gains: Mapping[str, Any] = outcome.shipped.model.get_score(importance_type="total_gain")
    shares = {name: 100 * gains.get(name, 0.0) / sum(gains.values()) for name in feature_names}
    ranked = sorted(shares, key=lambda name: shares[name])
    figure, axes = _axes()
    axes.barh(ranked, [shares[name] for name in ranked])
    axes.tick_params(axis="y", which="both", labelsize=14, right=False)
    axes.minorticks_off()
    axes.set_xlabel("Share of the gain of all splits [%]")
    return figure


def _learning(outcome: Outcome) -> Figure:
    figure, axes = _axes()
    for name, losses in outcome.shipped.losses.items():
        axes.plot(np.arange(1, len(losses) + 1), losses, label=f"{name} events")
    axes.axvline(outcome.shipped.model.num_boosted_rounds(), color="0.5", linestyle="--", label="kept")
    axes.set(xlabel="Trees", ylabel="Log loss")
    axes.legend()
    return figure


def _calibration(is_true: Any, scores: Scores) -> Figure:
    figure, axes = _axes()
    observed, predicted = calibration_curve(is_true.ravel(), scores.ravel(), n_bins=CALIBRATION_BINS)
    axes.plot(predicted, observed, marker="o", label=OUTCOME)
    axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", label="perfect")
    axes.set(xlabel="Score", ylabel="Fraction of true permutations", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return figure


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    # Without the name of the software, which would tell versions of equal pictures apart.
    figure.savefig(content, format="png", dpi=80, metadata={"Software": None})
    return content.getvalue()
