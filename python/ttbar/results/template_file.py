"""Where the templates of a fit come from: a ROOT file, or what a run is going to fill."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import uproot
from cabinetry.histo import Histogram
from numpy.typing import NDArray

from ttbar.analyses.analysis import Analysis, histogram_name
from ttbar.errors import InputError
from ttbar.reading import require_file

Values = NDArray[np.float64]

SHOWN = 5
"""A message lists so many names."""


class HistogramSource(Protocol):
    """Something that has one-dimensional histograms of variables, by name."""

    def names(self, variable: str) -> list[str]:
        """Names of the histograms of a variable."""

    def has_errors(self, variable: str, name: str) -> bool:
        """Whether a histogram holds sums of squared weights."""

    def read(self, variable: str, name: str, edges: Sequence[float] | None) -> Histogram:
        """Read a histogram without its flow bins, merged to bin edges if there are any."""


class HistogramFile:
    """The one-dimensional histograms of a ROOT file.

    Those of a variable are in the folder of its name. What is not there is taken from the top of the file, where other
    programs write histograms.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        require_file(path)
        try:
            # A stream, since uproot would take what stands behind a colon in a path for an object.
            self._file = uproot.open(path.open("rb"))
            names = self._file.keys(cycle=False, filter_classname="TH1*")
        # A damaged file makes uproot raise almost anything.
        except Exception as error:
            raise InputError(f"{path} cannot be read as a ROOT file of histograms: {_reason(error)}") from None
        self._names = dict.fromkeys(names)
        self._opened: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Be what is closed at the end."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file."""
        self._file.close()

    def __str__(self) -> str:
        """What to call it in a message."""
        return str(self.path)

    def names(self, variable: str) -> list[str]:
        """List the histograms of a variable.

        Parameters
        ----------
        variable : str
            The variable.

        Returns
        -------
        list of str
            Their names.
        """
        folder = f"{variable}/"
        inside = [name.removeprefix(folder) for name in self._names if name.startswith(folder)]
        return list(dict.fromkeys([*inside, *(name for name in self._names if not name.startswith(folder))]))

    def has_errors(self, variable: str, name: str) -> bool:
        """Tell whether a histogram holds sums of squared weights.

        Parameters
        ----------
        variable, name : str
            The variable and the name of the histogram.

        Returns
        -------
        bool
            Whether it does.
        """
        return self._read(variable, name)[2] is not None

    def read(self, variable: str, name: str, edges: Sequence[float] | None) -> Histogram:
        """Read a histogram, without its flow bins.

        Parameters
        ----------
        variable, name : str
            The variable and the name of the histogram.
        edges : sequence of float or None
            Edges to merge bins to; None leaves the bins as they are.

        Returns
        -------
        cabinetry.histo.Histogram
            The histogram.

        Raises
        ------
        InputError
            If it is damaged, has no bin edges where they are needed, or contents that no fit can use.
        """
        return template(str(self), name, *self._read(variable, name), edges)

    def _read(self, variable: str, name: str) -> tuple[Values, Values, Values | None]:
        """Read edges, contents and, if there are any, sums of squared weights."""
        inside = f"{variable}/{name}"
        place = inside if inside in self._names else name
        if place not in self._opened:
            try:
                histogram = self._file[place]
                # As they are in the file: where they are negative or no number, `variances` would give 0.
                squares = np.asarray(histogram.member("fSumw2"), dtype=np.float64)
                values = np.asarray(histogram.values(flow=True), dtype=np.float64)  # sums of bytes could overflow
                if len(squares) not in (0, len(values)):
                    raise ValueError("it has not as many sums of squared weights as bins")
                edges = np.asarray(histogram.axis().edges(), dtype=np.float64)
                if len(edges) != len(values) - 1 or not (np.diff(edges) > 0).all():
                    raise ValueError("its bin edges do not increase")
            except Exception as error:  # as above
                raise InputError(f"{self}: {name} cannot be read as a histogram: {_reason(error)}") from None
            self._opened[place] = edges, values[1:-1], squares[1:-1] if len(squares) else None
        edges, values, squares = self._opened[place]
        return edges, values, squares


class Planned:
    """What a run of an analysis is going to fill, with an event in each bin.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    """

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._edges: dict[str, dict[str, Values]] = {}
        for _, histogram in analysis.histograms:
            for axis in histogram.axes:
                of_variable = self._edges.setdefault(axis.column, {})
                for process in analysis.processes:
                    for variation in analysis.filled(process.name):
                        of_variable[histogram_name(histogram.name, process.name, variation)] = np.asarray(axis.edges)

    def __str__(self) -> str:
        """What to call it in a message."""
        return f"the analysis {self._analysis.name}"

    def names(self, variable: str) -> list[str]:
        """List the histograms of a variable."""
        return list(self._edges.get(variable, ()))

    def has_errors(self, variable: str, name: str) -> bool:
        """Tell whether a histogram holds sums of squared weights."""
        return True

    def read(self, variable: str, name: str, edges: Sequence[float] | None) -> Histogram:
        """Make a histogram."""
        own = self._edges[variable][name]
        one = np.ones(len(own) - 1)
        return merged(f"{self}: {name}", own, one, one, edges)


def template(
    source: str, name: str, own: Values, values: Values, squares: Values | None, edges: Sequence[float] | None
) -> Histogram:
    """Make a histogram of what a file says of it, if a fit can use that.

    Parameters
    ----------
    source, name : str
        What to call the file and the histogram in a message.
    own, values : numpy.ndarray
        Its bin edges and contents.
    squares : numpy.ndarray or None
        Its sums of squared weights; if they are not known, its contents are taken.
    edges : sequence of float or None
        Edges to merge bins to; None leaves the bins as they are.

    Returns
    -------
    cabinetry.histo.Histogram
        The histogram.

    Raises
    ------
    InputError
        If it has no bin edges where they are needed, or contents that no fit can use.
    """
    if not np.isfinite(values).all():
        raise InputError(f"{source}: {_bins(~np.isfinite(values))} of {name} hold no finite number")
    variances = np.maximum(values, 0) if squares is None else squares
    if (wrong := ~(np.isfinite(variances) & (variances >= 0))).any():
        raise InputError(
            f"{source}: {_bins(wrong)} of {name} have a negative variance, or one that is no finite number"
        )
    return merged(f"{source}: {name}", own, values, variances, edges)


def merged(name: str, own: Values, values: Values, variances: Values, edges: Sequence[float] | None) -> Histogram:
    """Merge bins of a histogram.

    Parameters
    ----------
    name : str
        What to call it in a message.
    own, values, variances : numpy.ndarray
        Its bin edges, contents and their variances.
    edges : sequence of float or None
        The edges to keep; None keeps all.

    Returns
    -------
    cabinetry.histo.Histogram
        The histogram.

    Raises
    ------
    InputError
        If it does not have one of the edges.
    """
    if edges is None:
        return Histogram.from_arrays(own, values, np.sqrt(variances))
    width = own[-1] - own[0]
    matches = np.isclose(np.asarray(edges)[:, None], own[None, :], rtol=0, atol=1e-9 * width)
    if not matches.any(axis=1).all():
        missing = np.asarray(edges)[~matches.any(axis=1)][0]
        nearest = own[np.abs(own - missing).argmin()]
        raise InputError(f"{name} has no bin edge at {missing:g}, where the fit needs one; the nearest is {nearest:g}")
    at = matches.argmax(axis=1)
    contents, squares = (np.add.reduceat(bins[: at[-1]], at[:-1]) for bins in (values, variances))
    return Histogram.from_arrays(list(edges), contents, np.sqrt(squares))


def closest(name: str, names: Sequence[str]) -> str:
    """Say what there is instead of a histogram.

    Parameters
    ----------
    name : str
        Name of the histogram that is wanted.
    names : sequence of str
        Names of those that there are.

    Returns
    -------
    str
        The one that comes closest, and some others.
    """
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    if not near:
        return "there are no one-dimensional histograms at all"
    others = [other for other in names if other not in near][: SHOWN - 1]
    more = len(names) - len(others) - 1
    rest = f"; there are also {', '.join(others)}" if others else ""
    return f"the closest is {near[0]}{rest}{f' and {more} more' if more else ''}"


def numbers(bins: NDArray[np.bool_]) -> str:
    """Write the numbers, from 1, of the bins that are true.

    Parameters
    ----------
    bins : numpy.ndarray
        A truth value for each bin.

    Returns
    -------
    str
        The numbers.
    """
    return ", ".join(str(number + 1) for number in np.flatnonzero(bins))


def _bins(wrong: NDArray[np.bool_]) -> str:
    """Write which bins are wrong, the first ones of many."""
    at = np.flatnonzero(wrong)
    first = ", ".join(str(number + 1) for number in at[:SHOWN])
    return f"bins {first}{' and others' if len(at) > SHOWN else ''} of {len(wrong)}"


def _reason(error: Exception) -> str:
    """First line of what a library says."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]
