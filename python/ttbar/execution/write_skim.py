"""Writing a skim: what runs in the process that has ROOT."""

import hashlib
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
from ttbar.output import written_whole

TREE = "Events"
"""Name of the TTree or RNTuple in a skim, whatever it is in the input."""


def skim_path(folder: Path, unit: Unit) -> Path:
    """Where the skim of a unit of one file is.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the skims.
    unit : Unit
        The unit.

    Returns
    -------
    pathlib.Path
        The file.
    """
    (file,) = unit.files
    place = hashlib.sha256(file.path.encode()).hexdigest()[:8]
    return folder / f"{unit.sample}-{place}.root"


def write(unit: Unit, folder: Path, tree: str, analysis: Analysis, format_: Format) -> Partial:
    """Write the events of a unit of one file that the analysis can select; needs ROOT in this process.

    Parameters
    ----------
    unit : Unit
        What to skim.
    folder : pathlib.Path
        Where its skim goes.
    tree : str
        Name of the TTree or RNTuple.
    analysis : Analysis
        What the skim is for.
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
        written = selected.Snapshot(TREE, str(beside), list(analysis.columns), options)
        root.ttbar.report_progress(root.ttbar.count(root.RDF.AsRNode(events)), worker.counter_address())

        def collect() -> dict[str, Any]:
            written.GetValue()
            return {"cutflow": {}, "selected": loop.by_file(unit, [by_file])}

        def compile_() -> Collect:
            return collect  # what is not varied is compiled as the loop begins

        return compile_

    with written_whole(skim_path(folder, unit)) as beside:
        return loop.run_unit(unit, tree, analysis.columns, book)
