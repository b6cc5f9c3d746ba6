"""Nodes of the graph that the library brings, so that the interpreter need not compile them."""

from itertools import count

import pytest

from ttbar.analyses import agc_v1, agc_v2
from ttbar.execution.graph import book, book_skim
from ttbar.library import load_root
from ttbar.simulate import simulate
from ttbar.worker import Worker


def functions_of(file, analysis):
    """What RDataFrame makes of the expressions of an analysis, and whether there is a compiled node of each."""
    root = load_root()
    frames = [root.RDataFrame("Events", str(file)) for _ in range(2)]
    assert book(frames[0], analysis, varied=True, seed=1)
    assert book_skim(frames[1], analysis)
    found = {}
    for name in (f"func{number}" for number in count()):
        if not hasattr(root.R_rdf, name):
            return found
        compiled = root.gInterpreter.Calc(f"ttbar::has_compiled_node<decltype(R_rdf::{name})>")
        found[str(getattr(root.R_rdf, name).func_doc)] = bool(compiled)


@pytest.mark.parametrize("analysis", [agc_v1.analysis, agc_v2.analysis], ids=lambda analysis: analysis.name)
def test_all_expressions_have_compiled_nodes(analysis, tmp_path):
    simulate(tmp_path, 2, ["ttbar__nominal"], seed=1, ballast=False)
    with Worker() as worker:
        functions = worker.call(functions_of, tmp_path / "ttbar__nominal_0.root", analysis)
    assert len(functions) >= 12
    missing = [function for function, compiled in functions.items() if not compiled]
    assert not missing, "cpp/include/ttbar/compiled_nodes.hpp lacks them"
