"""How Sphinx makes the documentation; `make docs` runs it on the whole checkout, so that links lead where they do there."""

from pathlib import Path

from ttbar import __version__

CHECKOUT = Path(__file__).parents[1]
DOXYGEN = CHECKOUT / "build" / "doxygen"

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
include_patterns = ["docs/**.md", "notebooks/*.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"]

# What is written for those who read it in the checkout has headings as its anchors.
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True  # it leaves a folder of results
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_typehints = "none"  # the docstrings say it in words
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False

breathe_projects = {"ttbar": str(DOXYGEN / "xml")}
breathe_default_project = "ttbar"
breathe_default_members = ("members",)

html_theme = "furo"
html_title = f"ttbar {__version__}"
html_show_sphinx = False
html_copy_source = False
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
