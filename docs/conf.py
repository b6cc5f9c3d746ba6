"""How Sphinx makes the documentation; it looks at the whole checkout, so that links lead where they do there."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from figures import Report

from ttbar import __version__
from ttbar.analyses import agc_v1
from ttbar.inputs.dataset import schema as dataset_schema

CHECKOUT = Path(__file__).parents[1]
BUILD = CHECKOUT / "build"

project = "ttbar"
author = "The ttbar developers"
copyright = author
version = release = __version__

extensions = [
    "breathe",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "models/*.md", "notebooks/*.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"]

# What is written for those who read it in the checkout has headings as its anchors.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "substitution"]
nb_execution_mode = "force"
nb_execution_in_temp = True  # it leaves a folder of results
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_typehints = "none"  # the docstrings say it in words
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False

breathe_projects = {"ttbar": str(BUILD / "doxygen" / "xml")}
breathe_default_project = "ttbar"
breathe_default_members = ("members",)

html_theme = "furo"
html_title = f"ttbar {__version__}"
html_show_sphinx = False
html_copy_source = False


def described(schema: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Rows of a table for all that a JSON schema describes, below a place."""
    for kind in ("properties", "additionalProperties"):
        parts = schema.get(kind) or {}
        for name, part in parts.items() if kind == "properties" else [("*", parts)] if parts else []:
            key = f"{place}.{name}" if place else name
            while "items" in part and part["items"].get("description"):
                yield f"| `{key}` | {part['description']} |"
                key, part = f"{key}[]", part["items"]
            if "description" in part:
                always = " (may be missing)" if name not in schema.get("required", parts) else ""
                yield f"| `{key}` | {part['description']}{always} |"
            yield from described(part, key)


def table(schema: Mapping[str, Any]) -> str:
    """Describe a file, given its JSON schema."""
    return "\n".join([schema["description"], "", "| key | meaning |", "|---|---|", *described(schema)])


schemas: dict[str, Any] = {
    path.name.partition(".")[0]: json.loads(path.read_text())
    for path in (CHECKOUT / "python" / "ttbar" / "schemas").iterdir()
}
myst_substitutions = {f"schema_{name}": table(schema) for name, schema in schemas.items()}

# The page on speed shows what was measured last.
benchmark = Report.read(CHECKOUT / "docs" / "benchmark.json")
myst_substitutions |= {"benchmark_about": benchmark.summary(), "benchmark_goals": Report.markdown(benchmark.with_goals)}
for part in benchmark.parts:
    myst_substitutions[f"benchmark_{part.replace(' ', '_')}"] = Report.markdown(benchmark.of(part))

# That of data set files is made for the processes of an analysis. The end of a text is another sign outside of Python.
(BUILD / "schemas").mkdir(parents=True, exist_ok=True)
(BUILD / "schemas" / "dataset.schema.json").write_text(
    json.dumps(dataset_schema(agc_v1.analysis.variations), indent=2).replace("\\\\Z", "$")
)
