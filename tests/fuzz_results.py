"""Targets of the fuzzer among the files of a results folder."""

import json
import tempfile
from pathlib import Path

import synthetic
import uproot

from ttbar.analyses.agc_v1 import analysis


def histogram_files() -> list[bytes]:
    """Good files of histograms: compressed as they are written, and not at all, so that a change gets through."""
    from ttbar.results.histograms import write

    wanted = ("4j1b_ttbar", "4j1b_wjets", "4j1b_ttbar_ME_var", "4j1b_wjets_pt_scale_up")
    made = {name: each for name, each in synthetic.histograms().items() if name in wanted}
    with tempfile.TemporaryDirectory() as folder:
        written, plain = Path(folder, "a.root"), Path(folder, "b.root")
        write(written, made)
        with uproot.recreate(plain, compression=None) as file:
            file.update(made)
        return [written.read_bytes(), plain.read_bytes()]


def read_histograms(file: Path) -> None:
    """Read histograms in all ways in which the program does."""
    import numpy as np

    from ttbar.results.histograms import load
    from ttbar.results.plot import draw
    from ttbar.results.validate import validate

    validate(file, file)
    for histogram in load(file, analysis).values():
        assert np.isfinite(histogram.values(flow=True)).all()
        assert (histogram.variances(flow=True) >= 0).all()
    draw(file, analysis, "4j1b_observable")


def result_files(name: str) -> list[bytes]:
    """A good file of results, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        synthetic.results(Path(folder))
        return [Path(folder, name).read_bytes()]


def read_results(file: Path) -> None:
    """Make the page of a results folder that has this file and good others."""
    from ttbar.results.report import report

    changed = file.read_bytes()
    synthetic.results(file.parent)
    file.write_bytes(changed)
    report(file.parent, analysis)
    page = (file.parent / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert "<script" not in page


def reference_files() -> list[bytes]:
    """A good JSON reference."""
    projection = synthetic.histogram("4j1b", "ttbar").project("observable")
    content = {"edges": projection.axes[0].edges.tolist(), "contents": projection.values(flow=True).tolist()}
    return [json.dumps({"4j1b_ttbar": content}).encode()]


def read_reference(file: Path) -> None:
    """Compare histograms with a JSON reference."""
    from ttbar.results.validate import validate

    root = file.with_name("histograms.root")
    root.write_bytes(histogram_files()[0])
    validate(root, file)
