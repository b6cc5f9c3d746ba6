"""Simulated top pairs of which the generator knows which jet is which: what a jet assignment learns from."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbar import definition, loop, worker
from ttbar.library import load_root
from ttbar.loop import Partial, Unit

COLUMNS = definition.COLUMNS | {
    "GenPart_eta": "RVec<float>",
    "GenPart_phi": "RVec<float>",
    "GenPart_pdgId": "RVec<int>",
    "GenPart_genPartIdxMother": "RVec<int>",
    "GenPart_statusFlags": "RVec<int>",
}
"""The columns that are read, and their types."""

N_PERMUTATIONS, N_FEATURES, N_JETS = 12, 19, 4

MATCHED_EVENT = np.dtype(
    [
        ("number", np.uint64),
        ("true_permutation", np.int64),
        ("features", np.float32, (N_PERMUTATIONS, N_FEATURES)),
        *((quantity, np.float32, (N_JETS,)) for quantity in ("pt", "eta", "phi", "mass", "btag")),
    ]
)
"""What is known of an event: `ttbar::MatchedEvent` as numpy sees it."""


def extract(unit: Unit, tree: str) -> tuple[Partial, NDArray[Any]]:
    """Find the events of a unit whose four jets match.

    Parameters
    ----------
    unit : Unit
        What to process.
    tree : str
        Name of the TTree or RNTuple.

    Returns
    -------
    partial : Partial
        Without histograms; the cutflow goes on to the cut `matched`.
    events : numpy.ndarray
        Of type `MATCHED_EVENT`, in an order that depends on nothing but the events.
    """
    found: list[NDArray[Any]] = []

    def book(events: Any) -> Callable[[], dict[str, Any]]:
        root = load_root()
        cuts = definition.select(events, varied=False, seed=0)
        cuts["matched"] = (
            cuts["one_btag"]
            .Define("labels", "ttbar::quark_labels(GenPart_pdgId, GenPart_genPartIdxMother, GenPart_statusFlags)")
            .Define("quarks", "ttbar::matched_quarks(GenPart_eta, GenPart_phi, labels, Jet_eta, Jet_phi, jets)")
            .Define("true_permutation", "ttbar::true_permutation(labels, quarks)")
            .Filter("true_permutation >= 0")
            .Define(
                "matched_event",
                "ttbar::matched_event(event, true_permutation, features, "
                "Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets)",
            )
        )
        counts = {cut: root.ttbar.count(root.RDF.AsRNode(node)) for cut, node in cuts.items()}
        taken = root.ttbar.take(root.RDF.AsRNode(cuts["matched"]), "matched_event")
        root.ttbar.report_progress(counts["all"], worker.counter_address())

        def collect() -> dict[str, Any]:
            found.append(_as_array(taken.GetValue()))
            return {"cutflow": {definition.NOMINAL: {cut: int(count.GetValue()) for cut, count in counts.items()}}}

        return collect

    partial = loop.run_unit(unit, tree, book)
    return partial, _ordered(found[0])


def _as_array(events: Any) -> NDArray[Any]:
    """Copy a std::vector of ttbar::MatchedEvent."""
    if events.empty():
        return np.empty(0, MATCHED_EVENT)
    content = (ctypes.c_char * (events.size() * MATCHED_EVENT.itemsize)).from_address(load_root().addressof(events[0]))
    return np.frombuffer(content, MATCHED_EVENT).copy()


def _ordered(events: NDArray[Any]) -> NDArray[Any]:
    """Sort events by number, and those of the same number, which different files may have, by their features."""
    return events[np.lexsort((*events["features"][:, 0].T, events["number"]))]
