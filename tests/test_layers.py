"""Who may import whom: each stage only what stands below it."""

import ast
import re
from pathlib import Path

import pytest

import ttbar
from ttbar.analyses.analysis import Analysis
from ttbar.analyses.catalogue import NAMES, load

PACKAGE = Path(ttbar.__file__).parent

GROUND = {
    "",  # the version
    "child",
    "errors",
    "lean_jsonschema",
    "library",
    "masking",
    "output",
    "process",
    "progress",
    "reading",
    "shown",
    "simulate",
    "terminal",
    "timeline",
    "worker",
}
"""Modules that any other may import, but analyses; among themselves as they like."""

ALLOWED = {
    "analyses": {"analyses", "errors", "reading"},
    "executors": {"executors"} | GROUND,
    "inputs": {"inputs", "executors", "analyses.analysis"} | GROUND,
    "execution": {"execution", "executors", "inputs", "analyses.analysis"} | GROUND,
    "results": {"results", "analyses.analysis"} | GROUND,
    "training": {"training", "execution", "executors", "inputs", "analyses.analysis"} | GROUND,
    "jobs": {"jobs", "execution", "executors", "inputs", "results", "analyses.analysis"} | GROUND,
}


def imports(path: Path) -> set[str]:
    """What a module imports of the package, wherever in it, without the name of the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "ttbar":
            module = node.module.removeprefix("ttbar").removeprefix(".")
            names = [f"{module}.{alias.name}".strip(".") for alias in node.names]
            found |= {
                name if (PACKAGE / name.replace(".", "/")).with_suffix(".py").exists() else module for name in names
            }
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("ttbar.") for a in node.names if a.name.startswith("ttbar.")}
    return found


def is_allowed(module: str, allowed: set[str]) -> bool:
    return any(module == each or (each and module.startswith(each + ".")) for each in allowed)


@pytest.mark.parametrize("stage", ALLOWED)
def test_a_stage_imports_only_what_stands_below_it(stage):
    modules = list((PACKAGE / stage).rglob("*.py"))
    assert modules
    for path in modules:
        wrong = {module for module in imports(path) if not is_allowed(module, ALLOWED[stage])}
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


def test_the_ground_imports_no_stage():
    for name in GROUND - {""}:
        path = PACKAGE / f"{name}.py"
        assert not {module for module in imports(path) if not is_allowed(module, GROUND)}, path


def own_names(analysis: Analysis) -> set[str]:
    """What an analysis calls its own: names that the machinery takes from the one that it is given."""
    names = {name for process in analysis.processes for name in analysis.filled(process.name)} - {"nominal"}
    names |= {process.name for process in analysis.simulated} - {"ttbar"}  # which is the name of the package
    names |= {*analysis.cuts} - {"all"}
    names |= {axis.column for _, histogram in analysis.histograms for axis in histogram.axes}
    return names | {analysis.fit.parameter, *(region.name for region in analysis.fit.regions)}


def texts(path: Path) -> str:
    """All texts in the code of a module but its docstrings, where names are examples; a template as it is."""
    if path.suffix != ".py":
        return path.read_text()
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return "\n".join(each.value for each in constants if isinstance(each.value, str))


def test_the_machinery_does_not_know_the_names_of_an_analysis():
    names = {name for analysis in NAMES for name in own_names(load(analysis))}
    modules = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".jinja")]
    for path in modules:
        if "analyses" in path.parts or path.name == "cli.py":  # whose help has examples
            continue
        words = {word.strip("_") for word in re.findall(r"[\w.+-]+", texts(path))}  # also those in patterns
        assert not words & names, path
