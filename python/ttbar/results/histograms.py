"""Histograms: what a unit of work hands over, and the ROOT file that holds the final ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uproot

from ttbar.analyses.agc_v1 import definition
from ttbar.errors import InputError
from ttbar.output import written_whole
from ttbar.reading import require_file


def from_root(histogram: Any, region: str) -> hist.Hist[Any]:
    """Copy a two-dimensional histogram out of ROOT, without what lies outside of the deltaR axis.

    Parameters
    ----------
    histogram : ROOT.TH2D
        With sums of squared weights.
    region : str
        Name of the region, which gives the title of the x axis.

    Returns
    -------
    hist.Hist
        Axes `observable` and `deltaR`, weighted storage; the flow bins of deltaR are empty.

    Raises
    ------
    ValueError
        If the histogram has no sums of squared weights.
    """
    if not histogram.GetSumw2N():
        raise ValueError(f"the histogram of {region} has no sums of squared weights")
    copy = empty(region)
    n_x, n_y = histogram.GetNbinsX(), histogram.GetNbinsY()
    view: Any = copy.view(flow=True)
    for part, array in (("value", histogram.GetArray()), ("variance", histogram.GetSumw2().GetArray())):
        # ROOT stores x fastest, flow bins included.
        bins = np.frombuffer(array, dtype=np.float64, count=(n_x + 2) * (n_y + 2)).reshape(n_y + 2, n_x + 2)
        view[part][:, 1:-1] = bins[1:-1].T
    return copy


def empty(region: str) -> hist.Hist[Any]:
    """Make a histogram of a region.

    Parameters
    ----------
    region : str
        Name of the region.

    Returns
    -------
    hist.Hist
        Without any event, as `from_root` makes it.
    """
    title = f"{definition.REGIONS[region].symbol} [GeV]"  # ROOT draws TeX without dollar signs
    return hist.Hist(
        hist.axis.Regular(*definition.OBSERVABLE_BINS, name="observable", label=title),
        hist.axis.Regular(*definition.DELTAR_BINS, name="deltaR", label=definition.DELTAR_LABEL),
        storage=hist.storage.Weight(),
    )


def name_of(region: str, process: str, variation: str) -> str:
    """Name of a histogram in the file: `{region}_{process}[_{variation}]`."""
    return "_".join(part for part in (region, process, variation) if part != definition.NOMINAL)


def write(path: Path, histograms: Mapping[str, hist.Hist[Any]]) -> None:
    """Write histograms and their projections to a ROOT file, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file. TH2D go to the top, TH1D projections of the same names into `observable/` and `deltaR/`.
    histograms : mapping of str to hist.Hist
        Two-dimensional histograms by name.
    """
    with written_whole(path) as beside, beside.open("w+b") as stream, uproot.recreate(stream) as file:
        for name, histogram in histograms.items():
            file[name] = histogram
        for axis in ("observable", "deltaR"):
            for name, histogram in histograms.items():
                file[f"{axis}/{name}"] = histogram.project(axis)


def read(path: Path) -> dict[str, hist.Hist[Any]]:
    """Read all histograms of a ROOT file.

    Parameters
    ----------
    path : pathlib.Path
        The file; other objects in it are passed over.

    Returns
    -------
    dict of str to hist.Hist
        Histograms by name, those in folders with the names of the folders before it.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    require_file(path)
    try:
        # Given a path, uproot takes a part of some for the name of an object or a protocol.
        with path.open("rb") as stream, uproot.open(stream) as file:
            return {
                name: file[name].to_hist()
                for name, kind in file.classnames(cycle=False).items()
                if kind.startswith(("TH1", "TH2"))
            }
    except Exception as error:  # what a damaged file makes uproot raise can be anything
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: not a readable ROOT file, make it again ({reason})") from None
