"""What all plots have in common: their style, the colours of processes, and how they become files."""

import colorsys
from pathlib import Path
from typing import Any

import mplhep
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

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
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
"""Colours that people with any kind of colour vision tell apart (M. A. Petroff, arXiv:2107.02270)."""


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
    # When the palette is used up, hues that are as far as possible from all before.
    others = (*PALETTE, *(to_hex(colorsys.hsv_to_rgb(0.618 * n % 1, 0.6, 0.8)) for n in range(len(analysis.processes))))
    free = iter(colour for colour in others if colour not in chosen.values())
    return {process.name: chosen.get(process.name) or next(free) for process in analysis.processes}


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
