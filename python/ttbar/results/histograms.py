"""The ROOT file of final histograms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uproot
from numpy.typing import NDArray

from ttbar.analyses.analysis import NOMINAL, PSEUDODATA, Analysis, Histogram, histogram_name
from ttbar.errors import AnalysisError, InputError
from ttbar.output import written_whole
from ttbar.reading import require_file

Key = tuple[str, str, str]
"""Names of a histogram of the analysis, of a process and of a variation."""


def write(path: Path, histograms: Mapping[str, hist.Hist[Any]]) -> None:
    """Write histograms and their projections to a ROOT file, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file. All histograms go to the top, as TH1D or TH2D, and projections of the latter, as TH1D of the same
        names, into folders that are named after the axes.
    histograms : mapping of str to hist.Hist
        One- or two-dimensional histograms by name.

    Raises
    ------
    AnalysisError
        If a content or a sum of squared weights is infinite or not a number.
    InputError
        If the file cannot be written.
    """
    for name, histogram in histograms.items():
        if not all(np.isfinite(part).all() for part in _contents(histogram)):
            raise AnalysisError(
                f"the histogram {name} has a bin that is infinite or not a number, so nothing is written; "
                "look for events whose weight or quantities are so"
            )
    planes = {name: histogram for name, histogram in histograms.items() if histogram.ndim == 2}
    columns = dict.fromkeys(axis.name for histogram in planes.values() for axis in histogram.axes)
    with written_whole(path) as beside, beside.open("w+b") as stream, uproot.recreate(stream) as file:
        for name, histogram in histograms.items():
            file[name] = histogram
        for column in columns:
            for name, histogram in planes.items():
                if column in histogram.axes.name:
                    file[f"{column}/{name}"] = histogram.project(column)


def read(path: Path, projections: bool = True) -> dict[str, hist.Hist[Any]]:
    """Read all histograms of a ROOT file.

    Parameters
    ----------
    path : pathlib.Path
        The file; other objects in it are passed over.
    projections : bool
        Whether to read those in folders as well.

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
                name: _as_stored(file[name])
                for name, kind in file.classnames(cycle=False, recursive=projections).items()
                if kind.startswith(("TH1", "TH2"))
            }
    except Exception as error:  # what a damaged file makes uproot raise can be anything
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: not a readable ROOT file, make it again ({reason})") from None


def read_all(path: Path, analysis: Analysis) -> tuple[dict[Key, hist.Hist[Any]], list[str]]:
    """Read the histograms of an analysis.

    Parameters
    ----------
    path : pathlib.Path
        ROOT file of a run.
    analysis : Analysis
        Its analysis.

    Returns
    -------
    dict of Key to hist.Hist
        Histograms that are in the file, in the order of the analysis. Their axes have the names of their columns,
        and no flow bins where the analysis drops what lies outside.
    list of str
        Names of other histograms in the file, which the analysis does not have; pseudodata are no such.

    Raises
    ------
    InputError
        If the file cannot be read, or a histogram has other bins or contents that are not finite.
    """
    found = read(path, projections=False)
    known: dict[Key, hist.Hist[Any]] = {}
    for _, definition in analysis.histograms:
        for process in analysis.processes:
            for variation in analysis.filled(process.name):
                name = histogram_name(definition.name, process.name, variation)
                if name in found:
                    known[definition.name, process.name, variation] = _adapted(path, name, found.pop(name), definition)
        if analysis.fit.pseudodata_in_file:
            found.pop(histogram_name(definition.name, PSEUDODATA, NOMINAL), None)
    return known, list(found)


def load(path: Path, analysis: Analysis) -> dict[str, hist.Hist[Any]]:
    """Read the histograms of an analysis into one for each of its histograms, with all processes and variations.

    Parameters
    ----------
    path : pathlib.Path
        ROOT file of a run.
    analysis : Analysis
        Its analysis.

    Returns
    -------
    dict of str to hist.Hist
        By the name of the histogram in the analysis: its axes, then the category axes `process` and `variation` with
        what is in the file of it. Not all processes have all variations; combinations that do not exist are zero.
        Histograms of which nothing is in the file are left out.

    Raises
    ------
    InputError
        If the file cannot be read, has none of these histograms, or one has other bins or contents that are not finite.
    """
    known, _ = read_all(path, analysis)
    if not known:
        raise InputError(f"{path}: there is no histogram of the analysis {analysis.name} in it")
    loaded = {}
    for name in dict.fromkeys(name for name, _, _ in known):
        parts = {(process, variation): each for (of, process, variation), each in known.items() if of == name}
        categories = (
            hist.axis.StrCategory(list(dict.fromkeys(each)), name=axis, label=axis.capitalize())
            for axis, each in zip(("process", "variation"), zip(*parts, strict=True), strict=True)
        )
        loaded[name] = hist.Hist(*next(iter(parts.values())).axes, *categories, storage=hist.storage.Weight())
        for (process, variation), part in parts.items():
            place = (loaded[name].axes["process"].index(process), loaded[name].axes["variation"].index(variation))
            loaded[name].view(flow=True)[..., *place] = part.view(flow=True)
    return loaded


def _as_stored(histogram: Any) -> hist.Hist[Any]:
    """Convert a histogram of uproot, with its sums of squared weights: uproot takes negative ones and NaN as zero."""
    converted: hist.Hist[Any] = histogram.to_hist()
    view: Any = converted.view(flow=True)
    squares = np.asarray(histogram.member("fSumw2"))
    if view.dtype.names and squares.size == view.size:
        view["variance"] = squares.reshape(view.shape[::-1]).T
    return converted


def _contents(histogram: hist.Hist[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Contents and sums of squared weights, with flow bins; without the latter, those of weights that are one."""
    values, variances = histogram.values(flow=True), histogram.variances(flow=True)
    return np.asarray(values, np.float64), np.asarray(values if variances is None else variances, np.float64)


def _adapted(path: Path, name: str, histogram: hist.Hist[Any], definition: Histogram) -> hist.Hist[Any]:
    """Check a histogram, and give it the axes of its definition."""
    if histogram.ndim != len(definition.axes) or not all(
        len(found.edges) == axis.bins + 1 and np.allclose(found.edges, axis.edges)
        for found, axis in zip(histogram.axes, definition.axes, strict=True)
    ):
        raise InputError(f"{path}: {name} does not have the bins of this analysis")
    values, variances = _contents(histogram)
    if not (np.isfinite(values).all() and np.isfinite(variances).all() and (variances >= 0).all()):
        raise InputError(f"{path}: {name} has a bin that is not a number or not finite; make the file again")
    adapted = hist.Hist(
        *(
            hist.axis.Regular(axis.bins, axis.low, axis.high, name=axis.column, label=axis.label, flow=axis.flow)
            for axis in definition.axes
        ),
        storage=hist.storage.Weight(),
    )
    kept = tuple(slice(None) if axis.flow else slice(1, -1) for axis in definition.axes)
    view = adapted.view(flow=True)
    view["value"], view["variance"] = values[kept], variances[kept]
    return adapted
