"""Histograms of a unit, as they come out of the event loop: arrays, which is all that goes from machine to machine.

The first index of an array chooses sums of weights or sums of their squares; the others are those of the axes, with
underflow and overflow.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbar.analyses.analysis import Histogram

PARTS = ("value", "variance")
"""What the first index chooses."""


def shape(histogram: Histogram) -> tuple[int, ...]:
    """Shape of the array of a histogram.

    Parameters
    ----------
    histogram : Histogram
        The histogram.

    Returns
    -------
    tuple of int
        The lengths of its dimensions.
    """
    return (len(PARTS), *(axis.bins + 2 for axis in histogram.axes))


def as_array(bins: Any, histogram: Histogram) -> NDArray[np.float64]:
    """Copy the contents of a histogram out of C++.

    Parameters
    ----------
    bins : ttbar::Bins
        The contents.
    histogram : Histogram
        What it is.

    Returns
    -------
    numpy.ndarray
        The contents.
    """
    axes = shape(histogram)[1:]
    # The first axis runs fastest there.
    return np.array([np.asarray(part).reshape(axes[::-1]).T for part in (bins.values, bins.variances)])
