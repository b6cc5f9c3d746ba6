"""Simulated top pairs of which the generator knows which jet is which: what a jet assignment learns from."""

import ctypes
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbar import worker
from ttbar.analyses.analysis import NOMINAL, Analysis
from ttbar.errors import InputError
from ttbar.execution import loop, units
from ttbar.execution.graph import book_until
from ttbar.execution.loop import Collect, Compile, feature_names
from ttbar.execution.unit import Partial, Unit
from ttbar.inputs.source import Source, dataset_file, get, list_samples
from ttbar.library import load_root
from ttbar.worker import Worker

GENERATOR_COLUMNS = {
    "GenPart_eta": "RVec<float>",
    "GenPart_phi": "RVec<float>",
    "GenPart_pdgId": "RVec<int>",
    "GenPart_genPartIdxMother": "RVec<int>",
    "GenPart_statusFlags": "RVec<int>",
}
"""The columns that are read beside those of the analysis, and their types."""

MATCHED_EVENT = np.dtype(
    [
        ("number", np.uint64),
        ("true_permutation", np.int64),
        ("features", np.float32, (12, 19)),
        *((quantity, np.float32, (4,)) for quantity in ("pt", "eta", "phi", "mass", "btag")),
    ]
)
"""`ttbar::MatchedEvent` as numpy sees it."""


@dataclass(frozen=True)
class MatchedEvents:
    """Events whose first four selected jets are those of the four quarks, and where they come from."""

    records: NDArray[Any]
    """Of type `MATCHED_EVENT`, sorted by event number."""
    permutations: NDArray[np.int64]
    """Positions of the jets a, b, c and d in each permutation, shape (12, 4)."""
    feature_names: tuple[str, ...]
    """Names of the features of a permutation."""
    cutflow: Mapping[str, int]
    """Events after each cut; the last is `matched`."""
    samples: tuple[str, ...]
    """Names of the samples."""
    dataset_sha256: str
    """Hash of the data set file."""

    @property
    def sha256(self) -> str:
        """Hash of the events, equal for equal events in other files."""
        return hashlib.sha256(self.records.tobytes()).hexdigest()


def read(source: Source, analysis: Analysis, worker: Worker) -> MatchedEvents:
    """Find the events of a data set that match.

    Parameters
    ----------
    source : Source
        Which events to look at.
    analysis : Analysis
        What the jet assignment is for.
    worker : Worker
        A process that `loop.initialise` makes ready.

    Returns
    -------
    MatchedEvents
        At least one event.

    Raises
    ------
    click.BadParameter
        If the data set does not have a sample that was asked for.
    InputError
        If a file is missing or wrong, knows nothing of the generator, or if no event matches.
    AnalysisError
        If the event loop fails.
    """
    dataset = dataset_file(source, worker)
    columns = {**analysis.columns, **GENERATOR_COLUMNS}
    checked = get(source, list_samples(source, dataset, analysis), columns, analysis.reserved)
    samples, partials = units.process(
        "Matching", checked, lambda unit: worker.call(extract, unit, source.tree, analysis), worker, source.skip_bad
    )
    cutflow = reduce(add, partials.values()).cutflow[NOMINAL]
    *_, selected, matched = cutflow.values()
    if not matched:
        raise InputError(
            f"{dataset}: in none of {selected} selected events the first four jets are those of the quarks "
            "of a top pair with one lepton; give samples that have such events (--samples)"
        )
    permutations = worker.call(assignments)
    names = worker.call(feature_names, analysis.models[0].features)
    return MatchedEvents(
        ordered(np.concatenate([array for result in partials.values() for array in result.records])),
        np.array(permutations),
        names,
        cutflow,
        tuple(sample.name for sample in samples),
        hashlib.sha256(dataset.read_bytes()).hexdigest(),
    )


def assignments() -> tuple[tuple[int, ...], ...]:
    """Positions of the jets in each permutation, as the C++ code numbers them; needs ROOT in this process."""
    return tuple(tuple(int(jet) for jet in permutation) for permutation in load_root().ttbar.permutations)


def extract(unit: Unit, tree: str, analysis: Analysis) -> Partial:
    """Find the events of a unit that match; needs ROOT in this process.

    Parameters
    ----------
    unit : Unit
        What to process.
    tree : str
        Name of the TTree or RNTuple.
    analysis : Analysis
        What the jet assignment is for.

    Returns
    -------
    Partial
        The cutflow goes on to the cut `matched`, the records are of type `MATCHED_EVENT`.
    """

    def book(events: Any) -> Compile:
        root = load_root()
        model = analysis.models[0]
        cuts, selected = book_until(events, analysis, model.column)
        cuts["matched"] = (
            selected.Define(
                "labels", "ttbar::quark_labels(GenPart_pdgId, GenPart_genPartIdxMother, GenPart_statusFlags)"
            )
            .Define("quarks", "ttbar::matched_quarks(GenPart_eta, GenPart_phi, labels, Jet_eta, Jet_phi, jets)")
            .Define("true_permutation", "ttbar::true_permutation(labels, quarks)")
            .Filter("true_permutation >= 0")
            .Define(
                "matched_event",
                f"ttbar::matched_event(event, true_permutation, {model.column}, "
                "Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets)",
            )
        )
        counts = {cut: root.ttbar.count(root.RDF.AsRNode(node)) for cut, node in cuts.items()}
        taken = root.ttbar.take(root.RDF.AsRNode(cuts["matched"]), "matched_event")
        root.ttbar.report_progress(counts["all"], worker.counter_address())

        def collect() -> dict[str, Any]:
            cutflow = {NOMINAL: {cut: int(count.GetValue()) for cut, count in counts.items()}}
            return {"cutflow": cutflow, "records": (_as_array(taken.GetValue()),)}

        def compile_() -> Collect:
            return collect  # what is not varied is compiled as the loop begins

        return compile_

    return loop.run_unit(unit, tree, {**analysis.columns, **GENERATOR_COLUMNS}, book)


def ordered(records: NDArray[Any]) -> NDArray[Any]:
    """Sort events so that neither threads nor files matter.

    Parameters
    ----------
    records : numpy.ndarray
        Of type `MATCHED_EVENT`.

    Returns
    -------
    numpy.ndarray
        The same, sorted by number, and those of one number, as different files may have, by their features.
    """
    return records[np.lexsort((*records["features"][:, 0].T, records["number"]))]


def _as_array(events: Any) -> NDArray[Any]:
    """Copy a std::vector of ttbar::MatchedEvent."""
    if events.empty():
        return np.empty(0, MATCHED_EVENT)
    content = (ctypes.c_char * (events.size() * MATCHED_EVENT.itemsize)).from_address(load_root().addressof(events[0]))
    return np.frombuffer(content, MATCHED_EVENT).copy()
