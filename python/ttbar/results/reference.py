"""Histograms as the field publishes them: JSON files of contents, without sums of squared weights."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from cabinetry.histo import Histogram
from numpy.typing import NDArray

from ttbar.analyses.analysis import NOMINAL, Analysis, histogram_name
from ttbar.errors import InputError
from ttbar.reading import read_json
from ttbar.results.template_file import HistogramFile, HistogramSource, Values, template

WHOLE = 0.01
"""A number of events may be so far from a whole one: contents are published with nine digits."""

CHANCE = 1e-3
"""So probable may it be that a weight is found where there is none; otherwise it is not taken."""

MOST_EVENTS = 1_000_000
"""The least populated bin does not have more events."""


def open_histograms(path: Path, analysis: Analysis) -> AbstractContextManager[HistogramSource]:
    """Open a file of either kind.

    Parameters
    ----------
    path : pathlib.Path
        ROOT file, or a JSON reference.
    analysis : Analysis
        The analysis that its histograms are of.

    Returns
    -------
    context manager
        Gives what has the histograms.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    return nullcontext(ReferenceFile(path, analysis)) if is_reference(path) else HistogramFile(path)


def is_reference(path: Path) -> bool:
    """Whether a file is a JSON reference, by its name."""
    return path.suffix == ".json"


def read_reference(path: Path) -> dict[str, tuple[Values, Values]]:
    """Read a file.

    Parameters
    ----------
    path : pathlib.Path
        JSON of the form `{name: {"edges": [...], "contents": [...]}}`, with flow bins among the contents.

    Returns
    -------
    dict of str to tuple
        Edges and contents by name.

    Raises
    ------
    InputError
        If it cannot be read, or is not of this form.
    """
    try:
        return {
            # ROOT's way to number versions of an object.
            name.partition(";")[0]: (
                np.array(content["edges"], dtype=np.float64),
                np.array(content["contents"], dtype=np.float64),
            )
            for name, content in read_json(path, any_number=True).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f'{path}: not of the form {{name: {{"edges": [...], "contents": [...]}}}} ({error!r})'
        ) from None


class ReferenceFile:
    """The histograms of a JSON file, with sums of squared weights as far as they follow from the contents.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    analysis : Analysis
        The analysis that they are of.

    Raises
    ------
    InputError
        If the file cannot be read.
    """

    def __init__(self, path: Path, analysis: Analysis) -> None:
        self._path = path
        self._histograms = read_reference(path)
        for name, (edges, contents) in self._histograms.items():
            if edges.ndim != 1 or contents.shape != (len(edges) + 1,) or not (np.diff(edges) > 0).all():
                raise InputError(
                    f"{path}: {name} needs edges that increase, and contents of the bins between them and two of flow"
                )
        values = {name: contents for name, (_, contents) in self._histograms.items()}
        self._squares = dict(sums_of_squares(values, analysis))

    def __str__(self) -> str:
        """What to call it in a message."""
        return str(self._path)

    def names(self, variable: str) -> list[str]:
        """List the histograms, whatever the variable."""
        return list(self._histograms)

    def has_errors(self, variable: str, name: str) -> bool:
        """Tell whether the sums of squared weights of a histogram are known."""
        return name in self._squares

    def read(self, variable: str, name: str, edges: Sequence[float] | None) -> Histogram:
        """Read a histogram, without its flow bins."""
        own, contents = self._histograms[name]
        squares = self._squares.get(name)
        return template(f"{self}", name, own, contents[1:-1], None if squares is None else squares[1:-1], edges)


def sums_of_squares(contents: Mapping[str, Values], analysis: Analysis) -> Iterator[tuple[str, Values]]:
    """Find the sums of squared weights of histograms of which only the contents are known.

    All events of a simulation have one weight, of which contents are multiples. A variation that changes
    weights is taken to change all weights of a bin alike.

    Parameters
    ----------
    contents : mapping of str to numpy.ndarray
        Contents by name, in one order of bins for all histograms of a name.
    analysis : Analysis
        The analysis that they are of.

    Yields
    ------
    name : str
        Name of a histogram; those are left out of which nothing can be found.
    squares : numpy.ndarray
        Its sums of squared weights.
    """
    histograms = [histogram.name for _, histogram in analysis.histograms]
    for process in analysis.processes:
        weights = {}
        for sample in process.variations:
            of_sample = [contents.get(histogram_name(each, process.name, sample)) for each in histograms]
            weights[sample] = common_weight([each for each in of_sample if each is not None])
        for each in histograms:
            nominal = contents.get(histogram_name(each, process.name, NOMINAL))
            for variation in analysis.filled(process.name):
                name = histogram_name(each, process.name, variation)
                weight = weights.get(variation, weights[NOMINAL])
                if name not in contents or weight is None:
                    continue
                values = contents[name]
                if _whole(values / weight).all():
                    yield name, weight * values
                elif nominal is not None and nominal.shape == values.shape:
                    yield name, weight * np.divide(values**2, nominal, out=np.zeros_like(values), where=nominal > 0)


def common_weight(parts: Sequence[Values]) -> float | None:
    """Find the largest weight of which all contents are multiples.

    Parameters
    ----------
    parts : sequence of numpy.ndarray
        Contents.

    Returns
    -------
    float or None
        The weight; None if there is none, or nothing to find it from.
    """
    values = np.unique(np.concatenate(parts)) if parts else np.zeros(0)
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        return None
    values = values[values > 0]
    for first in range(1, MOST_EVENTS, 10_000):
        events = np.arange(first, first + 10_000)  # in the least populated bin
        tried = np.ones(len(events), dtype=bool)
        for value in values[::-1] / values[0]:
            tried[tried] = _whole(value * events[tried])
            if not tried.any():
                break
        if tried.any():
            found = int(events[tried][0])
            # Numbers that are anything are near whole ones now and then.
            return float(values[0] / found) if found * (2 * WHOLE) ** (len(values) - 1) < CHANCE else None
    return None


def _whole(numbers: Values) -> NDArray[np.bool_]:
    return np.abs(numbers - np.round(numbers)) < WHOLE
