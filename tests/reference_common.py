"""What the references of all analyses share: samples, universes, smearing, trijet, weights, names.

It shares no code with the package.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
N_BINS = 25
OBSERVABLE_EDGES = np.linspace(50.0, 550.0, N_BINS + 1)
PT_THRESHOLD = 30.0
ROUNDING = 1e-10
"""Relative distance up to which two correct double-precision implementations may decide differently."""

EVENT_COLUMNS = ("run", "luminosityBlock", "event")


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
        Number of events that pass each of the analysis's cuts.
    selected
        One record, a `SELECTED_EVENT` of the analysis, for each event in a region, in the order of the files.
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

    histograms: dict[str, Any]
    cutflow: dict[str, dict[str, list[dict[str, Any]]]]
    universes: dict[str, dict[str, UniverseResult]]

    def ambiguous(self) -> list[str]:
        """Return a line for each event that another correct implementation may put elsewhere."""
        lines = []
        for sample, universes in self.universes.items():
            for universe, result in universes.items():
                columns = result.selected.dtype.names or ()
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


def rectangle(events: ak.Array, collection: str, columns: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return columns of a collection in double precision, shape (events, largest number); what is missing is 0."""
    largest = int(np.max(ak.to_numpy(ak.num(events[f"{collection}_{columns[0]}"])), initial=0))

    def padded(column: str) -> NDArray[np.float64]:
        values = ak.values_astype(events[f"{collection}_{column}"], np.float64)
        return ak.to_numpy(ak.fill_none(ak.pad_none(values, largest), 0.0)).reshape(len(events), largest)

    return {column: padded(column) for column in columns}


def scale_factors(
    ids: Mapping[str, NDArray[Any]], shape: tuple[int, int], universe: str, seed: int
) -> NDArray[np.float64]:
    """Return the jet-energy scale factor of each stored jet, shape (events, jets)."""
    if universe == "pt_res_up":
        run, luminosity_block, event = (ids[column][:, np.newaxis] for column in EVENT_COLUMNS)
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


def scores(rows: NDArray[np.float64], booster: xgboost.Booster) -> NDArray[np.float32]:
    """Return xgboost's float32 probabilities of all permutations, shape (events, 12), with all trees."""
    matrix = xgboost.DMatrix(rows.reshape(-1, rows.shape[-1]).astype(np.float32), nthread=1)
    # A model may carry feature names; the order is what the definition fixes.
    return booster.predict(matrix, validate_features=False).reshape(rows.shape[:-1])


def edge_distance(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the relative distance of values to the closest edge."""
    return np.min(np.abs(values[:, np.newaxis] / edges - 1), axis=1)


def read(path: str | Path, columns: Sequence[str], chunk: int = 50_000) -> Iterator[tuple[int, ak.Array]]:
    """Yield the first entry and some columns of each chunk of a TTree or RNTuple."""
    with uproot.open(path) as file:
        events = file["Events"]
        # An empty file has its one, empty, chunk.
        for start in range(0, max(events.num_entries, 1), chunk):
            stop = min(start + chunk, events.num_entries)
            yield start, events.arrays(list(columns), entry_start=start, entry_stop=stop)


def histogram_name(region: str, process: str, variation: str) -> str:
    return f"{region}_{process}" if variation == "nominal" else f"{region}_{process}_{variation}"


def variations(sample: Sample, jet_pt: NDArray[np.float64]) -> dict[str, tuple[str, float | NDArray[np.float64]]]:
    """Return the universe and the weight, of all events or of each, of all variations of a sample.

    Parameters
    ----------
    sample
        The sample.
    jet_pt
        Stored pt of the first four selected jets of each event in the nominal universe.
    """
    weight = sample.weight
    if not sample.simulated_nominal:
        return {sample.variation: ("nominal", weight)}
    filled: dict[str, tuple[str, float | NDArray[np.float64]]] = {
        universe: (universe, weight) for universe in UNIVERSES
    }
    for i in range(4):
        shift = 0.075 * jet_pt[:, i] / 50
        filled[f"btag_var_{i}_up"] = "nominal", weight * (1 + shift)
        filled[f"btag_var_{i}_down"] = "nominal", weight * (1 - shift)
    if sample.process == "wjets":
        filled["scale_var_up"] = "nominal", weight * 1.025
        filled["scale_var_down"] = "nominal", weight * 0.975
    return filled


def run(
    samples: Iterable[Sample],
    columns: Sequence[str],
    cuts: Sequence[str],
    select: Callable[[ak.Array, int], Any],
    analyse: Callable[[Any, int, str, int], UniverseResult],
    histograms: Callable[[Sample, dict[str, UniverseResult]], dict[str, Any]],
) -> Reference:
    """Run the whole analysis.

    Parameters
    ----------
    samples
        The samples, each process and variation once.
    columns
        The columns to read.
    cuts
        Names of the cuts.
    select
        Makes of a chunk and its first entry what does not depend on the universe.
    analyse
        Gives the result of what was selected, the number of events in the chunk, the universe, the index of the file.
    histograms
        Fills the histograms of a sample from its results by universe.
    """
    reference = Reference({}, {}, {})
    for sample in samples:
        parts: dict[str, list[UniverseResult]] = {universe: [] for universe in sample.universes}
        for index, (path, _) in enumerate(sample.files):
            for start, events in read(path, columns):
                selected = select(events, start)
                for universe, results in parts.items():
                    results.append(analyse(selected, len(events), universe, index))
        universes = {universe: UniverseResult.sum(results) for universe, results in parts.items()}
        reference.universes[sample.name] = universes
        reference.histograms |= histograms(sample, universes)
        reference.cutflow[sample.name] = {
            universe: [
                {"cut": cut, "events": int(events), "weighted": float(events * sample.weight)}
                for cut, events in zip(cuts, result.cutflow, strict=True)
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
