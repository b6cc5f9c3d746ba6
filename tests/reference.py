"""The whole analysis a second time, in numpy, for tests to compare with.

It shares no code with the package: uproot reads the files, xgboost itself scores, everything in between
follows the written definition of the analysis in double precision. Beside the histograms it keeps what
happened to each selected event, so that a difference can be traced to the events behind it.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import xgboost
from numpy.typing import NDArray
from reference_common import (
    EVENT_COLUMNS,
    N_BINS,
    OBSERVABLE_EDGES,
    PT_THRESHOLD,
    REGIONS,
    ROUNDING,
    Reference,
    Sample,
    UniverseResult,
    bin_index,
    edge_distance,
    histogram_name,
    rectangle,
    scale_factors,
    scores,
    trijet,
    variations,
)
from reference_common import run as run_analysis

CUTS = ("all", "one_lepton", "four_jets", "one_btag", *REGIONS)
PERMUTATIONS = tuple(p for p in itertools.permutations(range(4)) if p[0] > p[1])
DELTA_R_EDGES = np.linspace(0.0, 2 * np.pi, N_BINS + 1)

JET_COLUMNS = ("pt", "eta", "phi", "mass", "btagCSVV2")
LEPTON_COLUMNS = ("pt", "eta", "phi", "mass")
COLUMNS = (
    *EVENT_COLUMNS,
    *(f"{lepton}_{column}" for lepton in ("Electron", "Muon") for column in LEPTON_COLUMNS),
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
        ("jet_pt", "f8", (4,)),  # unscaled, of the first four selected jets
        ("observable", "f8"),
        ("delta_r", "f8"),
        ("permutation", "i4"),  # index in PERMUTATIONS
        ("score", "f4"),
        ("score_gap", "f4"),  # to the second-best permutation
        ("trijet_gap", "f8"),  # relative, to the second-largest trijet pt; infinite in 4j1b
        ("threshold_distance", "f8"),  # relative, of the stored jet that is closest to the pt threshold
        ("edge_distance", "f8"),  # relative, to the closest edge of either axis
        ("ambiguous", "?"),  # another correct implementation may put it elsewhere
    ]
)


@dataclass
class Histogram:
    """A 2D histogram, shape (27, 25): the observable with under- and overflow, deltaR without.

    Attributes
    ----------
    counts
        Events in each bin.
    values, variances
        Sums of weights and of squared weights.
    weight
        The weight of every event, or None when it is not the same for all.
    """

    counts: NDArray[np.int64]
    values: NDArray[np.float64]
    variances: NDArray[np.float64]
    weight: float | None

    @classmethod
    def fill(
        cls,
        observable: NDArray[np.float64],
        delta_r: NDArray[np.float64],
        weight: float | NDArray[np.float64],
    ) -> "Histogram":
        x = np.clip(bin_index(observable, 50.0, 550.0), -1, N_BINS) + 1
        y = bin_index(delta_r, 0.0, 2 * np.pi)
        inside = (y >= 0) & (y < N_BINS)
        shape = (N_BINS + 2, N_BINS)
        bins = np.ravel_multi_index((x[inside], y[inside]), shape)

        def total(weights: NDArray[np.float64] | None) -> NDArray[Any]:
            return np.bincount(bins, weights, minlength=shape[0] * shape[1]).reshape(shape)

        counts = total(None)
        if isinstance(weight, float):
            return cls(counts, counts * weight, counts * weight**2, weight)
        return cls(counts, total(weight[inside]), total(weight[inside] ** 2), None)


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
        Arrays of shape (events,): eta, phi and mass of the selected lepton.
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
        leptons = {
            column: ak.concatenate([events[f"Electron_{column}"], events[f"Muon_{column}"]], axis=1)
            for column in LEPTON_COLUMNS
        }
        selected = leptons.pop("pt") > PT_THRESHOLD
        one = ak.sum(selected, axis=1) == 1
        entry = np.flatnonzero(ak.to_numpy(one))
        events = events[one]

        return cls(
            entry=first_entry + entry,
            ids={column: ak.to_numpy(events[column]) for column in EVENT_COLUMNS},
            lepton={
                column: ak.to_numpy(ak.flatten(values[selected][one])).astype(np.float64)
                for column, values in leptons.items()
            },
            jets=rectangle(events, "Jet", JET_COLUMNS),
        )


def features(lepton: dict[str, NDArray[np.float64]], jets: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the 19 features of each permutation of the first four jets, shape (events, 12, 19)."""
    eta, phi, mass = (lepton[column][:, np.newaxis] for column in ("eta", "phi", "mass"))
    a, b, c, d = ({k: jets[k][:, p] for k in JET_COLUMNS} for p in np.array(PERMUTATIONS).T)
    pairs = (({"eta": eta, "phi": phi}, d), (a, b), (a, c), (b, c))
    return np.stack(
        [
            *(np.sqrt((i["eta"] - j["eta"]) ** 2 + (i["phi"] - j["phi"]) ** 2) for i, j in pairs),
            *(np.abs(i["phi"] - j["phi"]) for i, j in pairs),
            mass + d["mass"],
            a["mass"] + b["mass"],
            a["mass"] + b["mass"] + c["mass"],
            *(jet["pt"] for jet in (a, b, c, d)),
            *(jet["mass"] for jet in (a, b, c, d)),
        ],
        axis=-1,
    )


def analyse(
    events: OneLeptonEvents, n_all: int, universe: str, booster: xgboost.Booster, seed: int, file: int = 0
) -> UniverseResult:
    """Apply selection, observables and jet assignment in one universe.

    Parameters
    ----------
    events
        The events with one lepton.
    n_all
        Number of events before that cut.
    universe
        One of `UNIVERSES`.
    booster
        The jet-assignment model.
    seed
        Seed of the smearing.
    file
        Index of the file, for the record.
    """
    scaled = events.jets["pt"] * scale_factors(events.ids, events.jets["pt"].shape, universe, seed)
    selected = scaled > PT_THRESHOLD
    n_jets = selected.sum(axis=1)
    loose = (selected & (events.jets["btagCSVV2"] >= 0.5)).sum(axis=1)
    tight = (selected & (events.jets["btagCSVV2"] > 0.5)).sum(axis=1)
    four_jets = n_jets >= 4
    one_btag = four_jets & (loose >= 1)
    in_4j1b, in_4j2b = one_btag & (loose == 1), one_btag & (tight >= 2)

    threshold_distance = np.min(np.abs(scaled / PT_THRESHOLD - 1), axis=1, initial=np.inf)
    # Without smearing the product is a single, correctly rounded operation: there is nothing to argue about.
    near_threshold = (threshold_distance < ROUNDING) & (universe == "pt_res_up")
    ids = np.stack([events.ids[column].astype(np.uint64) for column in EVENT_COLUMNS], axis=-1)

    keep = np.flatnonzero(in_4j1b | in_4j2b)
    order = np.argsort(~selected[keep], axis=1, kind="stable")
    jets = {k: np.take_along_axis(values[keep], order, axis=1) for k, values in events.jets.items()}
    table = np.zeros(len(keep), SELECTED_EVENT)
    table["file"], table["entry"] = file, events.entry[keep]
    for column in EVENT_COLUMNS:
        table[column] = events.ids[column][keep]
    table["region"] = np.where(in_4j1b[keep], *REGIONS)
    table["n_jets"] = n_jets[keep]
    table["threshold_distance"] = threshold_distance[keep]
    table["trijet_gap"] = np.inf
    if len(keep):
        table["jet_pt"] = jets["pt"][:, :4]
        is_4j2b = in_4j2b[keep]
        # cumsum adds one jet after the other, in stored order
        table["observable"] = np.cumsum(np.where(selected, scaled, 0.0)[keep], axis=1)[:, -1]
        table["observable"][is_4j2b], table["trijet_gap"][is_4j2b] = trijet(
            {k: values[is_4j2b] for k, values in jets.items()}, table["n_jets"][is_4j2b]
        )
        rows = features({k: values[keep] for k, values in events.lepton.items()}, jets)
        probabilities = scores(rows, booster)
        table["permutation"] = np.argmax(probabilities, axis=1)
        table["delta_r"] = rows[np.arange(len(keep)), table["permutation"], 5]
        second, table["score"] = np.sort(probabilities, axis=1)[:, -2:].T
        table["score_gap"] = table["score"] - second

        observable_distance = edge_distance(table["observable"], OBSERVABLE_EDGES)
        # A difference of two float32 is never that close to an edge other than 0, where it is exact.
        delta_r_distance = edge_distance(table["delta_r"], DELTA_R_EDGES[1:])
        table["edge_distance"] = np.minimum(observable_distance, delta_r_distance)
        # An unscaled H_T is a sum of a few float32, exact in double precision: it may well lie on an edge.
        exact = ~is_4j2b & (universe == "nominal")
        table["ambiguous"] = (
            near_threshold[keep]
            | (~exact & (observable_distance < ROUNDING))
            | (delta_r_distance < ROUNDING)
            | (table["trijet_gap"] < ROUNDING)
        )

    passed = (four_jets, one_btag, in_4j1b, in_4j2b)
    return UniverseResult(
        cutflow=np.array([n_all, len(selected), *(np.count_nonzero(cut) for cut in passed)]),
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
            name = histogram_name(region, sample.process, variation)
            filled[name] = Histogram.fill(events["observable"], events["delta_r"], weights)
    return filled


def run(samples: Iterable[Sample], model: str | Path, seed: int = 1) -> Reference:
    """Run the whole analysis.

    Parameters
    ----------
    samples
        The samples, each process and variation once.
    model
        An xgboost model, JSON or UBJSON.
    seed
        Seed of the smearing.
    """
    booster = xgboost.Booster({"nthread": 1}, model_file=str(model))

    def analyse_chunk(events: OneLeptonEvents, n_all: int, universe: str, file: int) -> UniverseResult:
        return analyse(events, n_all, universe, booster, seed, file)

    return run_analysis(samples, COLUMNS, CUTS, OneLeptonEvents.select, analyse_chunk, histograms)
