"""What all plots have in common: their style, the colours of processes, and how they become files."""

import colorsys
import io
import math
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import matplotlib.style
import mplhep
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import MaxNLocator
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

    style: ClassVar[list[Any]] = STYLE

    def draw(self, renderer: RendererBase) -> None:
        """Draw it in the style of all plots."""
        with matplotlib.style.context(self.style):
            super().draw(renderer)

    def get_tightbbox(self, *args: Any, **kwargs: Any) -> Bbox:
        """Measure it in the style of all plots."""
        with matplotlib.style.context(self.style):
            return super().get_tightbbox(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        """Show it in a notebook, also where nothing has told the notebook of matplotlib."""
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=72)
        return content.getvalue()


class GridFigure(StyledFigure):
    """A figure of many small panels."""

    style: ClassVar[list[Any]] = [
        *STYLE,
        {
            "font.size": 14,
            "legend.fontsize": 14,
            "axes.linewidth": 1,
            "lines.markersize": 3,
            "hatch.linewidth": 0.5,
            "axes.formatter.limits": (-3, 4),
            **{f"{axis}tick.major.size": 5 for axis in "xy"},
            **{f"{axis}tick.minor.visible": False for axis in "xy"},  # most of the time to draw it goes into ticks
        },
    ]


CELL = (4.0, 3.6)
"""Width and height of a quantity in a grid, in inches."""

HEAD = 1.2
"""Height of what stands above a grid, in inches."""

LEGEND_COLUMNS = 8
"""Columns of the legend of a grid at most."""


def grid(number: int, *heights: float) -> tuple[GridFigure, list[list[Axes]]]:
    """Make a figure with many small panels, rows a little shorter than columns.

    Parameters
    ----------
    number : int
        How many quantities it shows.
    *heights : float
        Relative heights of the panels of each quantity, of which the last one is of ratios.

    Returns
    -------
    GridFigure
        The figure, with room for a legend above the panels.
    list of list
        The panels of each quantity, from above, row by row.
    """
    columns = math.ceil(math.sqrt(number * 5 / 4))
    rows = math.ceil(number / columns)
    width, height = columns * CELL[0], rows * CELL[1] + HEAD
    figure = GridFigure(figsize=(width, height))
    figure.subplots_adjust(0.9 / width, 0.6 / height, 1 - 0.15 / width, 1 - HEAD / height)
    outer = figure.add_gridspec(rows, columns, wspace=0.22, hspace=0.28)
    cells = [
        [
            *outer[place]
            .subgridspec(len(heights), 1, height_ratios=heights, hspace=0.08)
            .subplots(sharex=True, squeeze=False)
            .flat
        ]
        for place in range(number)
    ]
    for panels in cells:
        panels[-1].yaxis.set_major_locator(MaxNLocator(5, prune="both"))  # labels at the ends would touch others
    return figure, cells


def finish_grid(figure: GridFigure, cells: Sequence[Sequence[Axes]], ratio: str, headline: Sequence[str]) -> None:
    """Say what the vertical axes are, and above the panels what they show, with a legend that holds for all of them.

    Parameters
    ----------
    figure : GridFigure
        The figure.
    cells : sequence of sequence
        Its panels; what is in one of the uppermost is in the legend.
    ratio : str
        Title of the panels of ratios.
    headline : sequence of str
        What stands at the left, in the middle and at the right.
    """
    for panels in cells:
        place = panels[0].get_subplotspec()
        if place is not None and place.get_topmost_subplotspec().is_first_col():
            for events in panels[:-1]:
                events.set_ylabel("Events / bin")
            panels[-1].set_ylabel(ratio, loc="center", fontsize="small")
    height = figure.get_figheight()
    left, right = figure.subplotpars.left, figure.subplotpars.right
    for position, side, text in zip(
        (left, (left + right) / 2, right), ("left", "center", "right"), headline, strict=True
    ):
        figure.text(position, 1 - 0.35 / height, text, ha=side, fontsize="large")
    entries: dict[str, Artist] = {}
    for panels in cells:
        for handle, label in zip(*panels[0].get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = math.ceil(len(entries) / math.ceil(len(entries) / LEGEND_COLUMNS))
    figure.legend(
        [*entries.values()], [*entries], ncols=columns, loc="upper center", bbox_to_anchor=(0.5, 1 - 0.42 / height)
    )


def luminosity_and_energy(luminosity: float) -> str:
    """Say what was collided.

    Parameters
    ----------
    luminosity : float
        Integrated luminosity, in inverse picobarns.

    Returns
    -------
    str
        It and the energy, as matplotlib takes them.
    """
    return rf"{luminosity / 1000:.3g} fb$^{{-1}}$ (13 TeV)"


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
