"""Writing a skim: what runs in the process that has ROOT."""

from pathlib import Path
from typing import Any

from ttbar import worker
from ttbar.analyses.analysis import Analysis
from ttbar.execution import loop
from ttbar.execution.graph import book_skim
from ttbar.execution.loop import Collect, Compile
from ttbar.execution.unit import Partial, Unit
from ttbar.inputs.files import Format
from ttbar.library import load_root

TREE = "Events"
"""Name of the TTree or RNTuple in a skim, whatever it is in the input."""


def write(unit: Unit, tree: str, analysis: Analysis, path: Path, format_: Format) -> Partial:
    """Write the events of a unit that the analysis can select; needs ROOT in this process.

    Parameters
    ----------
    unit : Unit
        What to skim.
    tree : str
        Name of the TTree or RNTuple.
    analysis : Analysis
        What the skim is for.
    path : pathlib.Path
        The file to write.
    format_ : {"TTree", "RNTuple"}
        How to store the events.

    Returns
    -------
    Partial
        Selected are the written events.
    """

    def book(events: Any) -> Compile:
        root = load_root()
        options = root.RDF.RSnapshotOptions()
        options.fMode = "RECREATE"
        options.fLazy = True
        options.fOutputFormat = getattr(root.RDF.ESnapshotOutputFormat, f"k{format_}")
        selected = book_skim(events, analysis)
        by_file = root.ttbar.count_by_file(root.RDF.AsRNode(selected))
        written = selected.Snapshot(TREE, str(path), list(analysis.columns), options)
        root.ttbar.report_progress(root.ttbar.count(root.RDF.AsRNode(events)), worker.counter_address())

        def collect() -> dict[str, Any]:
            written.GetValue()
            return {"cutflow": {}, "selected": loop.by_file(unit, [by_file])}

        def compile_() -> Collect:
            return collect  # what is not varied is compiled as the loop begins

        return compile_

    return loop.run_unit(unit, tree, analysis.columns, book)
