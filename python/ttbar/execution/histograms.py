"""Histograms of a unit, as they come out of the event loop: arrays, which is all that goes from machine to machine.

The first index of an array chooses sums of weights or sums of their squares, or what rounding has left of them; the
others are those of the axes, with underflow and overflow.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbar.analyses.analysis import Histogram

SUMS = ("value", "variance")
"""What the first index chooses."""

PARTS = (*SUMS, *(f"{part}_rest" for part in SUMS))
"""The same, with the rests behind."""


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
    parts = (bins.values, bins.variances, bins.value_rests, bins.variance_rests)
    # The first axis runs fastest there.
    return np.array([np.asarray(part).reshape(axes[::-1]).T for part in parts])


def added(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the contents of two histograms.

    A sum and its rest are a number of twice the precision. Where that holds every sum, which is so for weights of
    similar size, nothing is rounded, and the order in which histograms are added does not matter.

    Parameters
    ----------
    one, other : numpy.ndarray
        Contents of histograms of the same axes.

    Returns
    -------
    numpy.ndarray
        The contents of both.
    """
    (a, a_rest), (b, b_rest) = np.split(one, 2), np.split(other, 2)
    total, rest = _two_sum(a, b)
    rests, lost = _two_sum(a_rest, b_rest)
    total, rest = _two_sum(total, rest + rests)
    return np.concatenate(_two_sum(total, rest + lost))


def _two_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum of two numbers, and what rounding has left of it, after D. E. Knuth."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)
