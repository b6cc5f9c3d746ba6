"""The analysis agc-v2 a second time, in numpy, for tests to compare with.

It shares no code with the package, as `reference` does not. Every value that a histogram or the model gets has
bounds within which another correct implementation may have it; where the bounds are in different bins, or another
permutation may win, the histograms know the bins in question.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import xgboost
from numpy.typing import NDArray
from reference_common import (
    EVENT_COLUMNS,
    N_BINS,
    PT_THRESHOLD,
    REGIONS,
    ROUNDING,
    Reference,
    Sample,
    UniverseResult,
    bin_index,
    histogram_name,
    rectangle,
    scale_factors,
    scores,
    trijet,
    variations,
)
from reference_common import run as run_analysis

CUTS = ("all", "one_lepton", "four_jets", *REGIONS)
OBSERVABLE_RANGE = (50.0, 550.0)
FEATURES = {
    "deltar_leptonbtoplep": (0.0, 6.0),
    "deltar_w1w2": (0.0, 6.0),
    "deltar_w1btophad": (0.0, 6.0),
    "deltar_w2btophad": (0.0, 6.0),
    "mass_leptonbtoplep": (50.0, 300.0),
    "mass_w1w2": (50.0, 300.0),
    "mass_w1w2btophad": (50.0, 550.0),
    "pt_w1w2btophad": (50.0, 550.0),
    "pt_w1": (25.0, 300.0),
    "pt_w2": (25.0, 300.0),
    "pt_btophad": (25.0, 300.0),
    "pt_btoplep": (25.0, 300.0),
    "btag_w1": (0.0, 1.0),
    "btag_w2": (0.0, 1.0),
    "btag_btophad": (0.0, 1.0),
    "btag_btoplep": (0.0, 1.0),
    "qgl_w1": (-1.0, 1.0),
    "qgl_w2": (-1.0, 1.0),
    "qgl_btophad": (-1.0, 1.0),
    "qgl_btoplep": (-1.0, 1.0),
}
"""The features in the model's order, and the ranges of their histograms."""
FEATURE_ROUNDING = 1e-13
"""What `ROUNDING` is, for features: of distances and momenta; of masses squared, relative to the energy squared."""

LEPTON_KINEMATICS = ("pt", "eta", "phi", "mass")
ELECTRON_COLUMNS = (*LEPTON_KINEMATICS, "sip3d", "cutBased")
MUON_COLUMNS = (*LEPTON_KINEMATICS, "sip3d", "pfRelIso04_all", "tightId")
JET_COLUMNS = ("pt", "eta", "phi", "mass", "btagCSVV2", "qgl", "jetId")
COLUMNS = (
    *EVENT_COLUMNS,
    *(f"Electron_{column}" for column in ELECTRON_COLUMNS),
    *(f"Muon_{column}" for column in MUON_COLUMNS),
    *(f"Jet_{column}" for column in JET_COLUMNS),
)

SELECTED_EVENT = np.dtype(
    [
        ("file", "i4"),  # index in the sample's list of files
        ("entry", "i8"),
        ("run", "u4"),
        ("luminosityBlock", "u4"),
        ("event", "u8"),
        ("region", "U4"),
        ("n_jets", "i4"),
        ("jet_pt", "f8", (4,)),  # stored, of the first four selected jets
        ("observable", "f8"),
        ("observable_bounds", "f8", (2,)),
        # the rest in 4j2b only
        ("permutation", "i4", (4,)),  # the winner (a, b, c, d), indices of selected jets
        ("score", "f4"),
        ("score_gap", "f4"),  # to the second-best permutation
        ("trijet_gap", "f8"),  # relative, to the second-largest trijet pt; infinite in 4j1b
        ("features", "f8", (len(FEATURES),)),  # of the winner
        ("feature_bounds", "f8", (len(FEATURES), 2)),
        ("ambiguous", "?"),  # another correct implementation may put it in other bins
    ]
)

ANYWHERE = (-np.inf, np.inf)


@dataclass
class Histogram:
    """A histogram of 25 bins, with under- and overflow.

    Attributes
    ----------
    limits
        Lower and upper edge.
    counts
        Events in each bin.
    values, variances
        Sums of weights and of squared weights.
    weight
        The weight of every event, or None when it is not the same for all.
    slack
        How far a correct implementation may be from each of the three above, shape (3, 27): the events that may
        be in a bin or not, for they are within rounding of an edge, a threshold or a tie.
    """

    limits: tuple[float, float]
    counts: NDArray[np.int64]
    values: NDArray[np.float64]
    variances: NDArray[np.float64]
    weight: float | None
    slack: NDArray[np.float64]

    @property
    def edges(self) -> NDArray[np.float64]:
        return np.linspace(*self.limits, N_BINS + 1)

    @classmethod
    def fill(
        cls,
        limits: tuple[float, float],
        values: NDArray[np.float64],
        bounds: NDArray[np.float64],
        weight: float | NDArray[np.float64],
        strays: int = 0,
    ) -> "Histogram":
        """Fill events.

        Parameters
        ----------
        limits
            Lower and upper edge.
        values
            What is filled, shape (events,).
        bounds
            The least and the largest that another correct implementation may fill, shape (events, 2).
        weight
            The weight of all events or of each.
        strays
            Number of events, of one weight, that may or may not be in any bin.
        """
        bins = flow_bin(values, limits)
        weights = np.broadcast_to(weight, bins.shape)

        def total(weights: NDArray[np.float64] | None) -> NDArray[Any]:
            return np.bincount(bins, weights, minlength=N_BINS + 2)

        slack = np.zeros((3, N_BINS + 2))
        first, last = (flow_bin(bound, limits) for bound in bounds.T)
        for event in np.flatnonzero(first != last):
            w = weights[event]
            slack[:, first[event] : last[event] + 1] += [[1.0], [abs(w)], [w**2]]
        counts = total(None)
        if isinstance(weight, float):
            slack += strays * np.array([[1.0], [weight], [weight**2]])
            return cls(limits, counts, counts * weight, counts * weight**2, weight, slack)
        return cls(limits, counts, total(weights), total(weights**2), None, slack)


def flow_bin(values: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.int64]:
    """Return the index of the bin of a uniform axis, 0 for the underflow."""
    low, high = limits
    # far outside is as good as infinitely far
    return np.clip(bin_index(np.clip(values, low - 1e6, high + 1e6), low, high), -1, N_BINS) + 1


def pseudodata(me: Histogram, ps: Histogram, wjets: Histogram) -> Histogram:
    """Return half the sum of two simulations of ttbar, and W + jets."""
    return Histogram(
        limits=me.limits,
        counts=me.counts + ps.counts + wjets.counts,
        values=(me.values + ps.values) / 2 + wjets.values,
        variances=(me.variances + ps.variances) / 4 + wjets.variances,
        weight=None,
        slack=(me.slack + ps.slack) / np.array([[1.0], [2.0], [4.0]]) + wjets.slack,
    )


@cache
def permutations(n: int) -> NDArray[np.int64]:
    """Return the assignments (a, b, c, d) of n jets in their order, shape (permutations, 4)."""
    return np.array([p for p in itertools.permutations(range(n), 4) if p[0] > p[1]])


@dataclass
class OneLeptonEvents:
    """The events of a chunk with exactly one selected lepton, in double precision.

    Attributes
    ----------
    entry
        Index in the file.
    ids
        Arrays of shape (events,) by the names in `EVENT_COLUMNS`.
    lepton
        Arrays of shape (events,): the kinematics of the selected lepton.
    jets
        Arrays of shape (events, largest number of jets) by the names in `JET_COLUMNS`; a jet that does not
        exist has pt 0.
    """

    entry: NDArray[np.int64]
    ids: dict[str, NDArray[Any]]
    lepton: dict[str, NDArray[np.float64]]
    jets: dict[str, NDArray[np.float64]]

    @classmethod
    def select(cls, events: ak.Array, first_entry: int = 0) -> "OneLeptonEvents":
        electrons = rectangle(events, "Electron", ELECTRON_COLUMNS)
        muons = rectangle(events, "Muon", MUON_COLUMNS)
        identified = (
            electrons["cutBased"] == 4,
            (muons["tightId"] == 1) & (muons["pfRelIso04_all"] < 0.15),
        )
        selected = np.concatenate(
            [
                (each["pt"] > PT_THRESHOLD) & (np.abs(each["eta"]) < 2.1) & (each["sip3d"] < 4) & good
                for each, good in zip((electrons, muons), identified, strict=True)
            ],
            axis=1,
        )
        one = selected.sum(axis=1) == 1
        events = events[one]
        return cls(
            entry=first_entry + np.flatnonzero(one),
            ids={column: ak.to_numpy(events[column]) for column in EVENT_COLUMNS},
            lepton={
                column: np.concatenate([electrons[column], muons[column]], axis=1)[one][selected[one]]
                for column in LEPTON_KINEMATICS
            },
            jets=rectangle(events, "Jet", JET_COLUMNS),
        )


def signed_root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values) * np.sqrt(np.abs(values))


def momenta(particles: Mapping[str, NDArray[np.float64]], mass_squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return px, py, pz and the energy, in a last axis."""
    px, py = particles["pt"] * np.cos(particles["phi"]), particles["pt"] * np.sin(particles["phi"])
    pz = particles["pt"] * np.sinh(particles["eta"])
    energy = np.sqrt(np.maximum(px**2 + py**2 + pz**2 + mass_squared, 0.0))
    return np.stack([px, py, pz, energy], axis=-1)


def delta_r(i: Mapping[str, NDArray[np.float64]], j: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.sqrt((i["eta"] - j["eta"]) ** 2 + (i["phi"] - j["phi"]) ** 2)


def features(
    lepton: dict[str, NDArray[np.float64]], jets: dict[str, NDArray[np.float64]], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features of each permutation of the first n jets, and their bounds.

    Parameters
    ----------
    lepton
        Shape (events,).
    jets
        Selected jets first, with the pt of the universe, shape (events, jets).
    n
        Number of jets to assign, 4 to 6.

    Returns
    -------
    values, bounds : numpy.ndarray
        Shape (events, permutations, 20), and once more with 2 as last axis.
    """
    single = {column: values[:, np.newaxis] for column, values in lepton.items()}
    a, b, c, d = assigned = [{column: values[:, jet] for column, values in jets.items()} for jet in permutations(n).T]
    distances = [delta_r(single, d), delta_r(a, b), delta_r(a, c), delta_r(b, c)]
    pa, pb, pc = (momenta(jet, jet["mass"] ** 2) for jet in (a, b, c))
    signed = [momenta(particle, particle["mass"] * np.abs(particle["mass"])) for particle in (single, d)]
    sums = [signed[0] + signed[1], pa + pb, pa + pb + pc]
    squares = [p[..., 3] ** 2 - (p[..., :3] ** 2).sum(axis=-1) for p in sums]
    errors = [FEATURE_ROUNDING * p[..., 3] ** 2 for p in sums]

    def mass(number: int, shift: int) -> NDArray[np.float64]:
        square = squares[number] + shift * errors[number]
        # Only the first may be negative for another reason than rounding.
        return signed_root(square if number == 0 else np.maximum(square, 0.0))

    pt = np.hypot(sums[2][..., 0], sums[2][..., 1])
    pt_error = FEATURE_ROUNDING * (a["pt"] + b["pt"] + c["pt"])
    pts = [jet["pt"] for jet in assigned]
    as_stored = [jet[column] for column in ("btagCSVV2", "qgl") for jet in assigned]

    def row(shift: int) -> NDArray[np.float64]:
        relative = 1 + shift * FEATURE_ROUNDING
        return np.stack(
            [
                *(distance * relative for distance in distances),
                *(mass(number, shift) for number in range(3)),
                pt + shift * pt_error,
                *(value * relative for value in pts),
                *as_stored,
            ],
            axis=-1,
        )

    return row(0), np.stack([row(-1), row(1)], axis=-1)


def assign(
    events: np.ndarray[Any, Any],
    lepton: dict[str, NDArray[np.float64]],
    jets: dict[str, NDArray[np.float64]],
    booster: xgboost.Booster,
    exact_pt: bool,
) -> None:
    """Fill in winner, score and features of events with the same number of jets to assign, 4 to 6.

    Parameters
    ----------
    events
        Array of `SELECTED_EVENT`.
    lepton, jets
        As in `features`.
    booster
        The model for these events.
    exact_pt
        Whether all implementations have the same pt: a stored one, or one that is multiplied by a constant.
    """
    choices = permutations(min(6, int(events["n_jets"][0])))
    values, bounds = features(lepton, jets, int(choices.max()) + 1)
    if exact_pt:
        bounds[:, :, 8:12] = values[:, :, 8:12, np.newaxis]
    probabilities = scores(values, booster)
    # Where the bounds of a feature are different floats for the model, the score has bounds as well.
    lowest, highest = probabilities.copy(), probabilities.copy()
    rounded = bounds.astype(np.float32)
    doubtful = (rounded[..., 0] != rounded[..., 1]).any(axis=-1)
    if doubtful.any():
        for side in range(2):
            other = scores(bounds[doubtful][..., side], booster)
            lowest[doubtful] = np.minimum(lowest[doubtful], other)
            highest[doubtful] = np.maximum(highest[doubtful], other)
    rows = np.arange(len(events))
    winner = np.argmax(probabilities, axis=1)
    before = np.arange(len(choices)) < winner[:, np.newaxis]
    at_least = lowest[rows, winner][:, np.newaxis]
    rivals = (highest > at_least) | ((highest == at_least) & before)
    rivals[rows, winner] = False

    events["permutation"] = choices[winner]
    events["score"] = probabilities[rows, winner]
    events["score_gap"] = events["score"] - np.sort(probabilities, axis=1)[:, -2]
    events["features"] = values[rows, winner]
    events["feature_bounds"] = bounds[rows, winner]
    events["feature_bounds"][rivals.any(axis=1)] = ANYWHERE


def analyse(
    events: OneLeptonEvents,
    n_all: int,
    universe: str,
    models: tuple[xgboost.Booster, xgboost.Booster],
    seed: int,
    file: int = 0,
    block: int = 2000,
) -> UniverseResult:
    """Apply selection, observables and jet assignment in one universe.

    Parameters
    ----------
    events
        The events with one lepton.
    n_all
        Number of events before that cut.
    universe
        One of the sample's.
    models
        Trained on events with even and with odd number.
    seed
        Seed of the smearing.
    file
        Index of the file, for the record.
    block
        Number of events to assign jets in at once.
    """
    stored = events.jets["pt"]
    scaled = stored * scale_factors(events.ids, stored.shape, universe, seed)
    good = (np.abs(events.jets["eta"]) < 2.4) & (events.jets["jetId"].astype(np.int64) & 4 != 0)
    selected = good & (scaled > PT_THRESHOLD)
    n_jets = selected.sum(axis=1)
    n_tagged = (selected & (events.jets["btagCSVV2"] > 0.5)).sum(axis=1)
    four_jets = n_jets >= 4
    in_4j1b, in_4j2b = four_jets & (n_tagged == 1), four_jets & (n_tagged >= 2)

    # Without smearing the product is a single, correctly rounded operation: there is nothing to argue about.
    exact_pt = universe != "pt_res_up"
    near_threshold = (good & (np.abs(scaled / PT_THRESHOLD - 1) < ROUNDING)).any(axis=1) & (not exact_pt)

    keep = np.flatnonzero(in_4j1b | in_4j2b)
    order = np.argsort(~selected[keep], axis=1, kind="stable")
    jets = {
        column: np.take_along_axis(values[keep], order, axis=1)
        for column, values in (events.jets | {"pt": scaled, "stored_pt": stored}).items()
    }
    lepton = {column: values[keep] for column, values in events.lepton.items()}
    table = np.zeros(len(keep), SELECTED_EVENT)
    table["file"], table["entry"] = file, events.entry[keep]
    for column in EVENT_COLUMNS:
        table[column] = events.ids[column][keep]
    table["region"] = np.where(in_4j1b[keep], *REGIONS)
    table["n_jets"] = n_jets[keep]
    table["trijet_gap"] = np.inf
    table["permutation"] = -1
    if len(keep):
        table["jet_pt"] = jets["stored_pt"][:, :4]
        # cumsum adds one jet after the other, in stored order
        table["observable"] = np.cumsum(np.where(selected, scaled, 0.0)[keep], axis=1)[:, -1]
        is_4j2b = in_4j2b[keep]
        table["observable"][is_4j2b], table["trijet_gap"][is_4j2b] = trijet(
            {column: values[is_4j2b] for column, values in jets.items()}, table["n_jets"][is_4j2b]
        )
        # An unscaled H_T is a sum of a few float32, exact in double precision: it may well lie on an edge.
        exact = ~is_4j2b & (universe == "nominal")
        for side, shift in enumerate((-ROUNDING, ROUNDING)):
            table["observable_bounds"][:, side] = table["observable"] * (1 + np.where(exact, 0.0, shift))
        table["observable_bounds"][table["trijet_gap"] < ROUNDING] = ANYWHERE

        even = table["event"] % 2 == 0
        for n, is_even in itertools.product((4, 5, 6), (False, True)):
            same = np.flatnonzero(is_4j2b & (np.minimum(table["n_jets"], 6) == n) & (even == is_even))
            for start in range(0, len(same), block):
                rows = same[start : start + block]
                part = table[rows]
                assign(
                    part,
                    {column: values[rows] for column, values in lepton.items()},
                    {column: values[rows] for column, values in jets.items()},
                    models[1 if is_even else 0],  # an event is scored by the model that has not seen it
                    exact_pt,
                )
                table[rows] = part
        first, last = (flow_bin(table["observable_bounds"][:, side], OBSERVABLE_RANGE) for side in range(2))
        table["ambiguous"] = near_threshold[keep] | (first != last)
        for number, limits in enumerate(FEATURES.values()):
            first, last = (flow_bin(table["feature_bounds"][:, number, side], limits) for side in range(2))
            table["ambiguous"] |= first != last

    ids = np.stack([events.ids[column].astype(np.uint64) for column in EVENT_COLUMNS], axis=-1)
    return UniverseResult(
        cutflow=np.array([n_all, len(selected), *(np.count_nonzero(cut) for cut in (four_jets, in_4j1b, in_4j2b))]),
        selected=table,
        near_threshold=ids[near_threshold],
    )


def histograms(sample: Sample, universes: dict[str, UniverseResult]) -> dict[str, Histogram]:
    """Fill all histograms of a sample."""
    filled = {}
    for region in REGIONS:
        in_region = {
            universe: result.selected[result.selected["region"] == region] for universe, result in universes.items()
        }
        for variation, (universe, weights) in variations(sample, in_region["nominal"]["jet_pt"]).items():
            events = in_region[universe]
            filled_here = [(region, OBSERVABLE_RANGE, events["observable"], events["observable_bounds"])]
            if region == "4j2b":
                filled_here += [
                    (name, limits, events["features"][:, number], events["feature_bounds"][:, number])
                    for number, (name, limits) in enumerate(FEATURES.items())
                ]
            for name, limits, values, bounds in filled_here:
                filled[histogram_name(name, sample.process, variation)] = Histogram.fill(
                    limits, values, bounds, weights, len(universes[universe].near_threshold)
                )
    return filled


def run(samples: Iterable[Sample], models: tuple[str | Path, str | Path], seed: int = 1) -> Reference:
    """Run the whole analysis.

    Parameters
    ----------
    samples
        The samples, each process and variation once.
    models
        xgboost models, JSON or UBJSON: the one trained on even events, then the one trained on odd events.
    seed
        Seed of the smearing.
    """
    even, odd = (xgboost.Booster({"nthread": 1}, model_file=str(model)) for model in models)

    def analyse_chunk(events: OneLeptonEvents, n_all: int, universe: str, file: int) -> UniverseResult:
        return analyse(events, n_all, universe, (even, odd), seed, file)

    reference = run_analysis(samples, COLUMNS, CUTS, OneLeptonEvents.select, analyse_chunk, histograms)
    for name in (*REGIONS, *FEATURES):
        sources = [f"{name}_{each}" for each in ("ttbar_ME_var", "ttbar_PS_var", "wjets")]
        if all(source in reference.histograms for source in sources):
            made = pseudodata(*(reference.histograms[source] for source in sources))
            reference.histograms[f"{name}_pseudodata"] = made
    return reference
