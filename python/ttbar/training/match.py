"""Finding matched events: what runs in the process that has ROOT."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbar import worker
from ttbar.analyses.analysis import NOMINAL, Analysis, Model
from ttbar.errors import InputError
from ttbar.execution import loop
from ttbar.execution.graph import book_until, define
from ttbar.execution.loop import Collect, Compile
from ttbar.execution.unit import Partial, Unit
from ttbar.library import load_root

COLUMNS = {
    "event": "unsigned long",
    **{f"Jet_{quantity}": "RVec<float>" for quantity in ("pt", "eta", "phi", "mass", "btagCSVV2")},
    "GenPart_eta": "RVec<float>",
    "GenPart_phi": "RVec<float>",
    "GenPart_pdgId": "RVec<int>",
    "GenPart_genPartIdxMother": "RVec<int>",
    "GenPart_statusFlags": "RVec<int>",
}
"""The columns that are read whether or not the analysis reads them, and their types."""


def columns_of(analysis: Analysis) -> dict[str, str]:
    """Columns of a file that are read, and their types.

    Parameters
    ----------
    analysis : Analysis
        The analysis, which has the last word on the type of a column.

    Returns
    -------
    dict of str to str
        Types by name.
    """
    return {**COLUMNS, **analysis.columns}


def assignments() -> tuple[tuple[int, ...], ...]:
    """Positions of the jets in each permutation, as the C++ code numbers them; needs ROOT in this process."""
    permutations = load_root().ttbar.make_permutations[4]()  # Python cannot see the table that this makes in C++
    return tuple(tuple(int(jet) for jet in permutation) for permutation in permutations)


def match(unit: Unit, tree: str, analysis: Analysis, model: Model) -> Partial:
    """Find the events of a unit that match; needs ROOT in this process.

    Parameters
    ----------
    unit : Unit
        What to process.
    tree : str
        Name of the TTree or RNTuple.
    analysis : Analysis
        The analysis.
    model : Model
        One of its models.

    Returns
    -------
    Partial
        The cutflow ends with `matched`, the record is as in `MatchedEvents`.

    Raises
    ------
    LoopFailed
        If the loop fails.
    InputError
        If the rows of the model are not of as many values as it has features.
    """
    taken: Any = None

    def book(events: Any) -> Compile:
        nonlocal taken
        root = load_root()
        cuts, node = book_until(events, analysis, model.column)
        for column, expression in (
            ("labels", "ttbar::quark_labels(GenPart_pdgId, GenPart_genPartIdxMother, GenPart_statusFlags)"),
            ("quarks", f"ttbar::matched_quarks(GenPart_eta, GenPart_phi, labels, Jet_eta, Jet_phi, {model.jets})"),
            ("true_permutation", "ttbar::true_permutation(labels, quarks)"),
        ):
            node = define(node, column, expression)
        cuts["matched"] = node.Filter("true_permutation >= 0")
        # What the analysis gives as an array becomes a vector as well.
        rows = f"ROOT::RVecF({model.column}.begin(), {model.column}.end())"
        rows = f"ttbar::rows_of_four_jets({rows}, {len(loop.feature_names(model.features))})"
        matched = define(
            cuts["matched"],
            "matched_event",
            f"ttbar::matched_event(event, true_permutation, {rows}, "
            f"Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, {model.jets})",
        )
        counts = {cut: root.ttbar.count(root.RDF.AsRNode(node)) for cut, node in cuts.items()}
        taken = root.ttbar.take(root.RDF.AsRNode(matched), "matched_event")
        root.ttbar.report_progress(counts["all"], worker.counter_address())

        def collect() -> dict[str, Any]:
            return {"cutflow": {NOMINAL: {cut: int(count.GetValue()) for cut, count in counts.items()}}}

        def compile_() -> Collect:
            return collect  # what is not varied is compiled as the loop begins

        return compile_

    result = loop.run_unit(unit, tree, columns_of(analysis), book)
    return replace(result, records=(_as_records(taken.GetValue(), model),))


def _as_records(events: Any, model: Model) -> NDArray[Any]:
    """Copy `ttbar::MatchedEvents`; the types are those of C++."""
    permutations = assignments()
    jets = (len(permutations[0]),)
    shapes: dict[str, tuple[int, ...]] = {
        "number": (),
        "true_permutation": (),
        "features": (len(permutations), len(loop.feature_names(model.features))),
        **dict.fromkeys(("pt", "eta", "phi", "mass", "btag"), jets),
    }
    arrays = {name: np.asarray(getattr(events, name)) for name in shapes}
    records = np.empty(len(arrays["number"]), [(name, arrays[name].dtype, shape) for name, shape in shapes.items()])
    for name, array in arrays.items():
        if array.size != records[name].size:
            raise InputError(
                f"the column {model.column} has {array.size / len(records):g} values in an event, where "
                f"{' times '.join(map(str, shapes[name]))} are needed: {len(permutations)} permutations with the "
                f"features of {model.features}"
            )
        records[name] = array.reshape(records[name].shape)
    return records
