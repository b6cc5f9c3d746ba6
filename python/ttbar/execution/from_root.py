"""Histograms out of ROOT."""

from typing import Any

import hist
import numpy as np

from ttbar.analyses.analysis import Histogram


def from_root(histogram: Any, definition: Histogram) -> tuple[hist.Hist[Any], float]:
    """Copy a histogram out of ROOT, without what lies outside of axes that drop it.

    Parameters
    ----------
    histogram : ROOT.TH1D or ROOT.TH2D
        With sums of squared weights.
    definition : Histogram
        Its definition in the analysis.

    Returns
    -------
    hist.Hist
        Axes named after their columns, weighted storage; flow bins of axes that drop what lies outside are empty.
    float
        What was dropped: a sum of weights, the number of entries where all weights are one.

    Raises
    ------
    ValueError
        If the histogram has no sums of squared weights.
    """
    if not histogram.GetSumw2N():
        raise ValueError(f"the histogram {definition.name} has no sums of squared weights")
    copy = hist.Hist(
        *(
            # ROOT draws TeX without dollar signs.
            hist.axis.Regular(axis.bins, axis.low, axis.high, name=axis.column, label=axis.label.replace("$", ""))
            for axis in definition.axes
        ),
        storage=hist.storage.Weight(),
    )
    view = copy.view(flow=True)
    kept = tuple(slice(None) if axis.flow else slice(1, -1) for axis in definition.axes)
    dropped = 0.0
    for part, array in (("value", histogram.GetArray()), ("variance", histogram.GetSumw2().GetArray())):
        # ROOT stores x fastest, flow bins included.
        bins = np.frombuffer(array, dtype=np.float64, count=view.size).reshape(view.shape[::-1]).T
        view[part][kept] = bins[kept]
        if part == "value":
            dropped = float(bins.sum() - bins[kept].sum())
    return copy, dropped
