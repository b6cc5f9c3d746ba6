"""The whole analysis a second time, in numpy, for tests to compare with.

It shares no code with the package: uproot reads the files, xgboost itself scores, everything in between
follows the written definition of the analysis in double precision. Beside the histograms it keeps what
happened to each selected event, so that a difference can be traced to the events behind it.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import uproot
import xgboost
from numpy.typing import ArrayLike, NDArray

LUMINOSITY = 3378.0  # /pb
CROSS_SECTIONS = {  # pb
    "ttbar": 396.87 + 332.97,
    "single_top_s_chan": 2.0268 + 1.2676,
    "single_top_t_chan": (36.993 + 22.175) / 0.252,
    "single_top_tW": 37.936 + 37.906,
    "wjets": 61457 * 0.252,
}
UNIVERSES = ("nominal", "pt_scale_up", "pt_res_up")
REGIONS = ("4j1b", "4j2b")
CUTS = ("all", "one_lepton", "four_jets", "one_btag", *REGIONS)
PERMUTATIONS = tuple(p for p in itertools.permutations(range(4)) if p[0] > p[1])
N_BINS = 25
OBSERVABLE_EDGES = np.linspace(50.0, 550.0, N_BINS + 1)
DELTA_R_EDGES = np.linspace(0.0, 2 * np.pi, N_BINS + 1)

PT_THRESHOLD = 30.0
ROUNDING = 1e-10
"""Relative distance up to which two correct double-precision implementations may decide differently."""

JET_COLUMNS = ("pt", "eta", "phi", "mass", "btagCSVV2")
LEPTON_COLUMNS = ("pt", "eta", "phi", "mass")
EVENT_COLUMNS = ("run", "luminosityBlock", "event")
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


class Sample(NamedTuple):
    """A process and variation, and its files with their numbers of generated events."""

    process: str
    variation: str
    files: Sequence[tuple[str | Path, int]]

    @property
    def name(self) -> str:
        return f"{self.process}__{self.variation}"

    @property
    def simulated_nominal(self) -> bool:
        return self.process != "data" and self.variation == "nominal"

    @property
    def universes(self) -> tuple[str, ...]:
        return UNIVERSES if self.simulated_nominal else UNIVERSES[:1]

    @property
    def weight(self) -> float:
        if self.process == "data":
            return 1.0
        return CROSS_SECTIONS[self.process] * LUMINOSITY / sum(nevts for _, nevts in self.files)


@dataclass
class UniverseResult:
    """What one universe of a sample, or of a part of it, gives.

    Attributes
    ----------
    cutflow
        Number of events that pass each of `CUTS`.
    selected
        One `SELECTED_EVENT` for each event in a region, in the order of the files.
    near_threshold
        Identifiers (run, luminosityBlock, event) of events with one lepton, selected or not, that have a jet
        whose smeared pt is within rounding of the threshold.
    """

    cutflow: NDArray[np.int64]
    selected: NDArray[np.void]
    near_threshold: NDArray[np.uint64]

    @classmethod
    def sum(cls, parts: Sequence["UniverseResult"]) -> "UniverseResult":
        return cls(
            cutflow=np.sum([part.cutflow for part in parts], axis=0),
            selected=np.concatenate([part.selected for part in parts]),
            near_threshold=np.concatenate([part.near_threshold for part in parts]),
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
class Reference:
    """Everything a run is compared with.

    Attributes
    ----------
    histograms
        By their names in the ROOT file.
    cutflow
        As in ``cutflow.json``.
    universes
        The results by sample name and universe, for the search after a difference.
    """

    histograms: dict[str, Histogram]
    cutflow: dict[str, dict[str, list[dict[str, Any]]]]
    universes: dict[str, dict[str, UniverseResult]]

    def ambiguous(self) -> list[str]:
        """Return a line for each event that another correct implementation may put elsewhere."""
        lines = []
        columns = SELECTED_EVENT.names or ()
        for sample, universes in self.universes.items():
            for universe, result in universes.items():
                lines += [
                    f"{sample} {universe} near the pt threshold: {tuple(event.tolist())}"
                    for event in result.near_threshold
                ]
                lines += [
                    f"{sample} {universe} {dict(zip(columns, event.tolist(), strict=True))}"
                    for event in result.selected[result.selected["ambiguous"]]
                ]
        return lines


def bin_index(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.int64]:
    """Return the index of the bin of a uniform axis, -1 and less below it, `N_BINS` and more above."""
    return np.floor(N_BINS * (values - low) / (high - low)).astype(np.int64)


def philox(counter: Sequence[ArrayLike], key: Sequence[ArrayLike]) -> list[NDArray[np.uint64]]:
    """Philox4x32-10 of Salmon et al., SC11, on arrays of 32-bit words.

    Parameters
    ----------
    counter
        Four words, arrays that broadcast against each other and the key.
    key
        Two words.

    Returns
    -------
    list of numpy.ndarray
        The four output words, each below 2^32.
    """
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in counter))
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    for _ in range(10):
        product0, product1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (product1 >> shift) ^ c1 ^ k0,
            product1 & mask,
            (product0 >> shift) ^ c3 ^ k1,
            product0 & mask,
        )
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return [c0, c1, c2, c3]


def smearing(
    run: NDArray[Any], luminosity_block: NDArray[Any], event: NDArray[Any], jet: ArrayLike, seed: int
) -> NDArray[np.float64]:
    """Return the jet-energy scale factor of the universe ``pt_res_up``: one draw of N(1, 0.05) a jet."""
    event = np.asarray(event, np.uint64)
    words = philox((event & np.uint64(0xFFFFFFFF), event >> np.uint64(32), run, luminosity_block), (seed % 2**32, jet))
    u, v = ((word.astype(np.float64) + 0.5) / 2**32 for word in words[:2])
    return 1 + 0.05 * np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)


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
        n_jets = int(np.max(ak.to_numpy(ak.num(events["Jet_pt"])), initial=0))

        def rectangle(column: str) -> NDArray[np.float64]:
            padded = ak.pad_none(events[f"Jet_{column}"], n_jets)
            return ak.to_numpy(ak.fill_none(padded, 0.0)).astype(np.float64).reshape(len(events), n_jets)

        return cls(
            entry=first_entry + entry,
            ids={column: ak.to_numpy(events[column]) for column in EVENT_COLUMNS},
            lepton={
                column: ak.to_numpy(ak.flatten(values[selected][one])).astype(np.float64)
                for column, values in leptons.items()
            },
            jets={column: rectangle(column) for column in JET_COLUMNS},
        )

    def scale_factors(self, universe: str, seed: int) -> NDArray[np.float64]:
        """Return the jet-energy scale factor of each jet, of the shape of the jet arrays."""
        shape = self.jets["pt"].shape
        if universe == "pt_res_up":
            run, luminosity_block, event = (self.ids[column][:, np.newaxis] for column in EVENT_COLUMNS)
            return smearing(run, luminosity_block, event, np.arange(shape[1])[np.newaxis], seed)
        return np.full(shape, {"nominal": 1.0, "pt_scale_up": 1.03}[universe])


def trijet(
    jets: dict[str, NDArray[np.float64]], n_jets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mass of the three jets, one of them b-tagged, whose summed four-momentum has the largest pt.

    Parameters
    ----------
    jets
        Selected jets first, shape (events, jets).
    n_jets
        Number of selected jets, at least four, two of them b-tagged.

    Returns
    -------
    mass, gap : numpy.ndarray
        The mass in GeV and how much smaller, relatively, the second-largest pt is.
    """
    px, py = jets["pt"] * np.cos(jets["phi"]), jets["pt"] * np.sin(jets["phi"])
    pz = jets["pt"] * np.sinh(jets["eta"])
    energy = np.sqrt(px**2 + py**2 + pz**2 + jets["mass"] ** 2)
    momenta = np.stack([px, py, pz, energy], axis=-1)
    mass, gap = np.empty(len(n_jets)), np.empty(len(n_jets))
    for n in np.unique(n_jets):
        rows = np.flatnonzero(n_jets == n)
        triples = np.array(list(itertools.combinations(range(n), 3)))
        sums = momenta[rows][:, triples].sum(axis=2)
        tagged = (jets["btagCSVV2"][rows][:, triples] > 0.5).any(axis=2)
        pt = np.where(tagged, np.sqrt(sums[..., 0] ** 2 + sums[..., 1] ** 2), -1.0)
        best = sums[np.arange(len(rows)), np.argmax(pt, axis=1)]
        mass[rows] = np.sqrt(np.maximum(best[:, 3] ** 2 - (best[:, :3] ** 2).sum(axis=1), 0.0))
        second, first = np.sort(pt, axis=1)[:, -2:].T
        gap[rows] = 1 - second / first
    return mass, gap


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


def scores(rows: NDArray[np.float64], booster: xgboost.Booster) -> NDArray[np.float32]:
    """Return xgboost's float32 probabilities of all permutations, shape (events, 12), with all trees."""
    matrix = xgboost.DMatrix(rows.reshape(-1, rows.shape[-1]).astype(np.float32), nthread=1)
    # A model may carry feature names; the order is what the definition fixes.
    return booster.predict(matrix, validate_features=False).reshape(rows.shape[:-1])


def edge_distance(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the relative distance of values to the closest edge."""
    return np.min(np.abs(values[:, np.newaxis] / edges - 1), axis=1)


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
    factors = events.scale_factors(universe, seed)
    scaled = events.jets["pt"] * factors
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


def read(path: str | Path, tree: str = "Events", chunk: int = 50_000) -> Iterator[tuple[int, ak.Array]]:
    """Yield the first entry and the needed columns of each chunk of a TTree or RNTuple."""
    with uproot.open(path) as file:
        events = file[tree]
        # An empty file has its one, empty, chunk.
        for start in range(0, max(events.num_entries, 1), chunk):
            stop = min(start + chunk, events.num_entries)
            yield start, events.arrays(list(COLUMNS), entry_start=start, entry_stop=stop)


def analyse_sample(sample: Sample, booster: xgboost.Booster, seed: int) -> dict[str, UniverseResult]:
    """Analyse the files of a sample in all of its universes."""
    parts: dict[str, list[UniverseResult]] = {universe: [] for universe in sample.universes}
    for index, (path, _) in enumerate(sample.files):
        for start, events in read(path):
            one_lepton = OneLeptonEvents.select(events, start)
            for universe, results in parts.items():
                results.append(analyse(one_lepton, len(events), universe, booster, seed, index))
    return {universe: UniverseResult.sum(results) for universe, results in parts.items()}


def histogram_name(region: str, process: str, variation: str) -> str:
    return f"{region}_{process}" if variation == "nominal" else f"{region}_{process}_{variation}"


def histograms(sample: Sample, universes: dict[str, UniverseResult]) -> dict[str, Histogram]:
    """Fill all histograms of a sample."""
    weight = sample.weight
    filled = {}
    for region in REGIONS:
        in_region = {
            universe: result.selected[result.selected["region"] == region] for universe, result in universes.items()
        }
        fills: dict[str, tuple[str, float | NDArray[np.float64]]]  # universe and weight of a variation
        if sample.simulated_nominal:
            fills = {universe: (universe, weight) for universe in UNIVERSES}
            for i in range(4):
                shift = 0.075 * in_region["nominal"]["jet_pt"][:, i] / 50
                fills[f"btag_var_{i}_up"] = "nominal", weight * (1 + shift)
                fills[f"btag_var_{i}_down"] = "nominal", weight * (1 - shift)
            if sample.process == "wjets":
                fills["scale_var_up"] = "nominal", weight * 1.025
                fills["scale_var_down"] = "nominal", weight * 0.975
        else:
            fills = {sample.variation: ("nominal", weight)}
        for variation, (universe, weights) in fills.items():
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
    reference = Reference({}, {}, {})
    for sample in samples:
        universes = analyse_sample(sample, booster, seed)
        reference.universes[sample.name] = universes
        reference.histograms |= histograms(sample, universes)
        reference.cutflow[sample.name] = {
            universe: [
                {"cut": cut, "events": int(events), "weighted": float(events * sample.weight)}
                for cut, events in zip(CUTS, result.cutflow, strict=True)
            ]
            for universe, result in universes.items()
        }
    return reference


def read_dataset(path: Path) -> list[Sample]:
    """Read the samples of a data set file whose file entries give path and nevts."""
    return [
        Sample(process, variation, [(path.parent / file["path"], file["nevts"]) for file in content["files"]])
        for process, variations in json.loads(path.read_text()).items()
        for variation, content in variations.items()
    ]
