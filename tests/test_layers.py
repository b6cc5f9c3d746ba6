"""Who may import whom: each stage only what stands below it."""

import ast
from pathlib import Path

import pytest

import ttbar

PACKAGE = Path(ttbar.__file__).parent

GROUND = {
    *(
        "errors",
        "library",
        "output",
        "process",
        "progress",
        "reading",
        "masking",
        "shown",
        "terminal",
        "worker",
        "simulate",
    ),
    "",  # the version
}
"""Modules that any other may import, but analyses; among themselves as they like."""

ALLOWED = {
    "analyses": {"analyses", "errors", "reading"},
    "inputs": {"inputs", "analyses.analysis"} | GROUND,
    "execution": {"execution", "inputs", "analyses.analysis"} | GROUND,
    "results": {"results", "analyses.analysis"} | GROUND,
    "training": {"training", "execution", "inputs", "analyses.analysis"} | GROUND,
    "jobs": {"jobs", "execution", "inputs", "results", "analyses.analysis"} | GROUND,
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
