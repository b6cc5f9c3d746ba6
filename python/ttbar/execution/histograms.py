"""Histograms of a unit, as they come out of the event loop."""

from typing import Any

import hist
import numpy as np

from ttbar.analyses.analysis import Histogram


def empty(histogram: Histogram) -> hist.Hist[Any]:
    """Make a histogram without any event.

    Parameters
    ----------
    histogram : Histogram
        What it is.

    Returns
    -------
    hist.Hist
        Its axes are named after their columns; weighted storage.
    """
    return hist.Hist(
        *(
            # ROOT draws TeX without dollar signs.
            hist.axis.Regular(axis.bins, axis.low, axis.high, name=axis.column, label=axis.label.replace("$", ""))
            for axis in histogram.axes
        ),
        storage=hist.storage.Weight(),
    )


def as_hist(bins: Any, histogram: Histogram) -> hist.Hist[Any]:
    """Copy the contents of a histogram out of C++.

    Parameters
    ----------
    bins : ttbar::Bins
        The contents.
    histogram : Histogram
        What it is.

    Returns
    -------
    hist.Hist
        As `empty` makes it, with the contents.
    """
    copy = empty(histogram)
    view: Any = copy.view(flow=True)
    # The first axis runs fastest there.
    view["value"] = np.asarray(bins.values).reshape(view.shape[::-1]).T
    view["variance"] = np.asarray(bins.variances).reshape(view.shape[::-1]).T
    return copy
