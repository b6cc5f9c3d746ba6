"""The files of the benchmark: events as wide as real ones, simulated on first use, and copies of them."""

import shutil
from pathlib import Path

import platformdirs
from figures import Tell

from ttbar import output, simulate
from ttbar.analyses.analysis import Analysis
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import Request, deliver
from ttbar.inputs.files import CheckedSample
from ttbar.library import load_root
from ttbar.worker import Worker

SAMPLE = "ttbar__nominal"

SIMULATED = "TTree, ZLIB"
"""How the simulation writes."""

COMPRESSIONS = {"TTree, ZSTD": 505, "TTree, LZMA": 209}
"""Of copies, as ROOT numbers them; the public files have LZMA."""

RNTUPLE = "RNTuple, ZSTD"


def wide(events: int, analysis: Analysis, kind: str, tell: Tell) -> CheckedSample:
    """Give a sample, simulated or copied on first use."""
    with Worker() as worker:
        identity = worker.call(simulate.simulation_id)[:12]
        folder = platformdirs.user_cache_path("ttbar") / f"benchmark-{events}-{identity}"
        original, dataset = (folder / name / output.DATASET for name in (SIMULATED, kind))
        if not original.exists():
            tell(f"simulating {events:,} wide events, once")
            worker.call(simulate.simulate, original.parent, events, [SAMPLE], 1, True)
        if not dataset.exists():
            tell(f"copying them to {kind}, once")
            worker.call(copy, original.parent, dataset.parent, kind)
    samples = load_dataset(dataset, analysis.variations)
    [sample] = deliver(samples, Request("Events", analysis.columns, patience=600))
    tell(
        f"{sum(file.size for file in sample.good) / 1e6:,.0f} MB on disk in {dataset.parent}, which stay for next time"
    )
    return sample


def copy(original: Path, folder: Path, kind: str) -> None:
    """Copy a data set in another format, or with another compression; needs ROOT in this process."""
    root = load_root()
    folder.mkdir(parents=True, exist_ok=True)
    for path in original.glob("*.root"):
        target = folder / path.name
        target.unlink(missing_ok=True)
        if kind == RNTUPLE:
            importer = root.Experimental.RNTupleImporter.Create(str(path), "Events", str(target))
            importer.SetIsQuiet(True)
            importer.Import()
        else:
            merger = root.TFileMerger(False, False)
            merger.OutputFile(str(target), "RECREATE", COMPRESSIONS[kind])
            merger.AddFile(str(path), False)
            if not merger.Merge():
                raise OSError(f"{target} cannot be written")
    shutil.copy(original / output.DATASET, folder)
