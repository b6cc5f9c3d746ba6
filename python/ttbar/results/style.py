"""What all plots have in common: their style, the colours of processes, and how they become files."""

import colorsys
import io
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib.style
import mplhep
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.transforms import Bbox

from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError
from ttbar.output import written_whole

FOLDER = "plots"
"""Where plots are in the results folder."""

FORMATS = ("png", "pdf")

STYLE: list[Any] = [mplhep.style.CMS, {"font.size": 22, "legend.fontsize": 18}]

PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#92dadd",
    "#b9ac70",
    "#94a4a2",  # the last two are like the grey of uncertainties
    "#717581",
)
"""Colours that people with any kind of colour vision tell apart (M. A. Petroff, arXiv:2107.02270)."""

_PARSER = MathTextParser("path")


class StyledFigure(Figure):
    """A figure that looks the same wherever it is drawn: matplotlib looks up fonts at that moment."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw it in the style of all plots."""
        with matplotlib.style.context(STYLE):
            super().draw(renderer)

    def get_tightbbox(self, *args: Any, **kwargs: Any) -> Bbox:
        """Measure it in the style of all plots."""
        with matplotlib.style.context(STYLE):
            return super().get_tightbbox(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        """Show it in a notebook, also where nothing has told the notebook of matplotlib."""
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=72)
        return content.getvalue()


def colours(analysis: Analysis) -> dict[str, str]:
    """Colours of all processes.

    Parameters
    ----------
    analysis : Analysis
        Its processes keep the colours that they have. Each of the others gets one that no other process has.

    Returns
    -------
    dict of str to str
        Colours by names of processes, as matplotlib takes them; collision data are black.

    Raises
    ------
    InputError
        If matplotlib does not know a colour.
    """
    chosen = {}
    for process in analysis.processes:
        if process.colour is not None or process.is_data:
            try:
                chosen[process.name] = to_hex(process.colour or "black")
            except ValueError:
                raise InputError(
                    f"the process {process.name} has the colour {process.colour!r}, which matplotlib does not know"
                ) from None
    free = (colour for colour in palette() if colour not in chosen.values())
    return {process.name: chosen.get(process.name) or next(free) for process in analysis.processes}


def palette() -> Iterator[str]:
    """Give different colours without end: those of `PALETTE`, then hues that are far from those before."""
    yield from PALETTE
    for number in count():
        yield to_hex(colorsys.hsv_to_rgb(0.618034 * number % 1, 0.6, 0.8 - 0.01 * (number % 40)))


def drawable(text: str) -> str:
    """Give a text as matplotlib can draw it: literally where it cannot draw its TeX.

    Parameters
    ----------
    text : str
        Text, with TeX between dollar signs.

    Returns
    -------
    str
        The same or, if it is not valid, with the dollar signs as characters. A legend shows it in any case.
    """
    try:
        _PARSER.parse(text)
    except ValueError:
        text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # matplotlib hides what begins with an underscore


def save(figure: Figure, folder: Path, name: str, title: str, description: str) -> None:
    """Write a figure in all formats; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    folder : pathlib.Path
        Where to write it.
    name : str
        Name of the files, without extension.
    title, description : str
        What it is and what it shows; both become part of the files, and the report shows them.
    """
    metadata: dict[str, dict[str, Any]] = {
        # The versions of what wrote it and the date would make files of the same content differ.
        "png": {"Title": title, "Description": description, "Software": None},
        "pdf": {
            "Title": title,
            "Subject": description,
            "Creator": None,
            "Producer": None,
            "CreationDate": None,
        },
    }
    for extension in FORMATS:
        with written_whole(folder / f"{name}.{extension}") as beside:
            figure.savefig(beside, format=extension, dpi=100, metadata=metadata[extension])
