"""Comparison of two sets of histograms, bin by bin."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import hist
import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from scipy import ndimage

from ttbar.analyses.analysis import PSEUDODATA
from ttbar.errors import InputError
from ttbar.results.histograms import read
from ttbar.results.reference import is_reference, read_reference
from ttbar.shown import Shown

Values = NDArray[np.float64]

RELATIVE = 1e-9
"""Contents agree that differ by less, relative to the larger one or to the statistical uncertainty.

The uncertainty matters where weights of both signs cancel: their sum can be far smaller than its rounding.
"""

MIGRANTS = 1e-5
"""Share of a histogram's events that may lie on the other side of a bin edge; one always may."""


SUMMED = f"*_{PSEUDODATA}"
"""Histograms that are sums of some samples, each with a weight of its own."""

SUMMANDS = 3
"""So many events may lie on the other side of a bin edge in such a sum, one of each sample."""


@dataclass(frozen=True)
class Histogram:
    """What is compared of a histogram; with flow bins."""

    edges: tuple[Values, ...]
    values: Values
    variances: Values | None
    """None if the file does not say."""


@dataclass(frozen=True)
class Difference:
    """What is not the same about a histogram."""

    name: str
    what: str
    """In words."""
    bins: int = 0
    """Number of bins that differ."""
    largest: float = 0.0
    """Largest relative difference of a bin, infinite if the histograms cannot be compared."""
    migrated: int = 0
    """Number of events that moved to a neighbouring bin, if that explains all of the difference."""
    missing: bool = False
    """Whether one of the sets does not have the histogram, so that it was not compared."""

    @property
    def real(self) -> bool:
        """Whether there is more to it than rounding at the edges of bins."""
        return not self.migrated


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Outcome of a comparison."""

    a: Path
    b: Path
    compared: int
    """Number of histograms that both have."""
    differences: tuple[Difference, ...]
    """The worst first."""
    apart: Mapping[str, int]
    """Numbers of histograms that are not compared, by the reason why not."""

    @property
    def equal(self) -> bool:
        """Whether the two agree, as far as they can be compared."""
        return not any(difference.real for difference in self.differences)

    def __rich__(self) -> Group:
        """Table of the differences, and a sentence."""
        table = Table(title=f"{escape(str(self.a))} (A) and {escape(str(self.b))} (B)")
        table.add_column("histogram", overflow="fold")
        table.add_column("difference", overflow="fold")
        table.add_column("bins", justify="right")
        table.add_column("largest, relative", justify="right")
        for difference in self.differences:
            table.add_row(
                escape(difference.name),
                escape(difference.what),
                f"{difference.bins:,}" if difference.bins else "",
                f"{difference.largest:.2g}" if difference.bins else "",
            )
        return Group(*([table] if self.differences else []), self._verdict)

    @property
    def _verdict(self) -> str:
        """A sentence."""
        missing = sum(difference.missing for difference in self.differences)
        moved = sum(not difference.real for difference in self.differences)
        real = len(self.differences) - missing - moved
        equal = self.compared - real - moved
        parts = [
            f"{self.compared:,} histogram{'s' if self.compared > 1 else ''} compared: "
            f"{real or 'none'} {'differs' if real == 1 else 'differ'}"
            + (f", in {moved} an event or a few are on the other side of a bin edge" if moved else "")
            + (f", {equal:,} {'is' if equal == 1 else 'are'} equal" if equal and (real or moved) else "")
        ]
        if missing:
            parts.append(f"{missing:,} {'is' if missing == 1 else 'are'} missing in A or B")
        return "; ".join([*parts, *(f"{number:,} not compared: {reason}" for reason, number in self.apart.items())])


def validate(
    a: Path, b: Path, relative: float = RELATIVE, *, ignore: Sequence[str] = (), random: Sequence[str] = ()
) -> Comparison:
    """Compare two sets of histograms, values and, if both have them, sums of squared weights.

    Parameters
    ----------
    a, b : pathlib.Path
        ROOT files. One may instead be a JSON reference `{name: {"edges": [...], "contents": [...]}}`, its
        contents with under- and overflow. A set that has one-dimensional histograms only is compared with
        the projections of the other.
    relative : float
        Relative tolerance, see `RELATIVE`.
    ignore : sequence of str
        Patterns of names of histograms that are left out, as a shell takes them, with or without a folder.
    random : sequence of str
        Variations with random numbers: those of a reference cannot be compared.

    Returns
    -------
    Comparison
        What differs; what is infinite or not a number always does. Events that moved to a neighbouring bin are told
        from other differences: the bins around agree in sum, and not more than `MIGRANTS` moved. What a reference does
        not have is not compared, and neither is what it has of variations with random numbers.

    Raises
    ------
    InputError
        If a file cannot be read or has no histograms, or both are JSON.
    """
    if is_reference(a) and is_reference(b):
        raise InputError(f"{a} and {b} are both JSON: one of them has to be a ROOT file")
    first, second = _aligned(_load(a), _load(b))
    apart = Counter[str]()
    for name in [*first, *(name for name in second if name not in first)]:
        has = [each for each, one in ((a, first), (b, second)) if name in one]
        reason = _why_apart(name, has, (a, b), ignore, [f"*_{variation}" for variation in random])
        if reason:
            apart[reason] += 1
            first.pop(name, None)
            second.pop(name, None)
    common = [name for name in first if name in second]
    if not common:
        left = " but what is left out" if apart else ""
        raise InputError(f"{a} and {b} have no histogram in common{left}: compare their names")
    with np.errstate(all="ignore"):  # what overflows is found
        compared = [_difference(name, first[name], second[name], relative) for name in common]
    differences = [
        *(Difference(name, "missing in B", largest=np.inf, missing=True) for name in first if name not in second),
        *(Difference(name, "missing in A", largest=np.inf, missing=True) for name in second if name not in first),
        *(difference for difference in compared if difference is not None),
    ]
    differences.sort(key=lambda each: (not each.real, -each.largest, each.name))
    return Comparison(a, b, len(common), tuple(differences), apart)


def _why_apart(
    name: str, has: Sequence[Path], both: Sequence[Path], ignore: Sequence[str], random: Sequence[str]
) -> str | None:
    """Say why a histogram is not compared, if it is not; some of the two files have it."""
    short = name.rpartition("/")[2]
    if any(fnmatchcase(each, pattern) for pattern in ignore for each in (name, short)):
        return "left out as you wish (--ignore)"
    if not any(map(is_reference, both)):
        return None
    if not any(map(is_reference, has)):
        return "not in the reference"
    if any(fnmatchcase(short, pattern) for pattern in random):
        reason = "since the random numbers of the reference were not published and cannot be drawn again"
        return f"{', '.join(random)}, {reason}"
    return None


def _load(path: Path) -> dict[str, Histogram]:
    """Read a file of either kind."""
    if is_reference(path):
        histograms = {name: Histogram((edges,), values, None) for name, (edges, values) in read_reference(path).items()}
    else:
        histograms = {
            name: Histogram(
                tuple(np.asarray(axis.edges) for axis in histogram.axes),
                np.asarray(histogram.values(flow=True), dtype=np.float64),
                _variances(histogram),
            )
            for name, histogram in read(path).items()
        }
    if not histograms:
        raise InputError(f"{path}: there are no histograms in it; give a file that a run has written")
    return histograms


def _variances(histogram: hist.Hist[Any]) -> Values | None:
    """Give the sums of squared weights, if they are known."""
    variances = histogram.variances(flow=True)
    return None if variances is None else np.asarray(variances, dtype=np.float64)


def _aligned(a: dict[str, Histogram], b: dict[str, Histogram]) -> tuple[dict[str, Histogram], dict[str, Histogram]]:
    """Give the same names to the same things, where only one of the sets has two-dimensional histograms."""
    flat_a, flat_b = (all(each.values.ndim == 1 for each in histograms.values()) for histograms in (a, b))
    if flat_a == flat_b:
        return a, b
    if flat_b:
        flat, other = _aligned(b, a)
        return other, flat
    projections = {name: each for name, each in b.items() if "/" in name}
    a = {name if "/" in name else _first_projection(name, b): histogram for name, histogram in a.items()}
    folders = {name.partition("/")[0] for name in a}
    return a, {name: each for name, each in projections.items() if name.partition("/")[0] in folders}


def _first_projection(name: str, histograms: dict[str, Histogram]) -> str:
    """Name of the projection of a two-dimensional histogram to its first axis."""
    plane = histograms.get(name)
    found = (
        each
        for each, projection in histograms.items()
        if each.endswith(f"/{name}") and plane and _same_edges(projection.edges[0], plane.edges[0])
    )
    return next(found, name)


def _difference(name: str, a: Histogram, b: Histogram, relative: float) -> Difference | None:
    """Compare two histograms."""
    if len(a.edges) != len(b.edges) or not all(map(_same_edges, a.edges, b.edges)):
        return Difference(name, "other bins", largest=np.inf)
    if a.values.shape != b.values.shape:
        return Difference(name, "other flow bins", largest=np.inf)
    known = [each for each in (a.variances, b.variances) if each is not None]
    variances = np.max(known, axis=0) if known else np.zeros_like(a.values)
    compared = [_compared(a.values, b.values, np.sqrt(variances), relative)]
    if a.variances is not None and b.variances is not None:
        compared.append(_compared(a.variances, b.variances, variances, relative))
    differs = np.any([each.differs for each in compared], axis=0)
    if not differs.any():
        return None

    bins = int(differs.sum())
    largest = max(each.largest for each in compared)
    clusters = ndimage.value_indices(ndimage.label(differs)[0], ignore_value=0).values()
    summed = fnmatchcase(name.rpartition("/")[2], SUMMED)
    migrants = [_migrants(cluster, compared, a.values, variances, mixed=summed) for cluster in clusters]
    events = a.values.sum() ** 2 / variances.sum() if variances.any() else 0.0
    if all(migrants) and sum(migrants) <= max(SUMMANDS if summed else 1, MIGRANTS * events):
        what = f"{sum(migrants)} event{'s' if sum(migrants) > 1 else ''} in a neighbouring bin"
        return Difference(name, what, bins, largest, migrated=sum(migrants))
    if compared[0].differs.any():
        what = f"contents, in sum {a.values.sum():.8g} and {b.values.sum():.8g}"
        return Difference(name, what, bins, compared[0].largest)
    return Difference(name, "sums of squared weights", bins, largest)


def _same_edges(a: Values, b: Values) -> bool:
    """Whether bins are the same but for rounding."""
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-6 * np.diff(a).min(initial=np.inf))


@dataclass(frozen=True)
class _Compared:
    """Two arrays, compared."""

    shift: Values
    tolerance: Values
    differs: NDArray[np.bool_]
    largest: float


def _compared(a: Values, b: Values, least: Values, relative: float) -> _Compared:
    """Compare two arrays, with a tolerance relative to the largest of three."""
    size = np.maximum(np.abs(a), np.abs(b))
    shift, tolerance = b - a, relative * np.maximum(size, np.where(np.isfinite(least), least, 0))
    differs = ~(np.isfinite(size) & (np.abs(shift) <= tolerance))
    ratios = np.abs(shift[differs]) / size[differs]
    return _Compared(shift, tolerance, differs, float(np.nan_to_num(ratios, nan=np.inf).max(initial=0)))


def _migrants(
    cluster: tuple[NDArray[np.intp], ...],
    compared: Sequence[_Compared],
    values: Values,
    variances: Values,
    *,
    mixed: bool,
) -> int:
    """Count the events that moved between the bins of a cluster; 0 if that does not explain it.

    Where weights are mixed and one of the histograms has no squares, an event can weigh less than others on average.
    """
    if not all(abs(each.shift[cluster].sum()) <= each.tolerance[cluster].sum() < np.inf for each in compared):
        return 0
    moved = np.abs(compared[0].shift[cluster])
    if len(compared) == 2:
        # An event of weight w takes w from the content of its bin and w squared from the sum of squares.
        squares = np.abs(compared[1].shift[cluster])
        events = np.divide(moved**2, squares, out=np.zeros_like(moved), where=squares > 0).sum()
        # One event alone is a whole one; several of different weights do not add up so exactly.
        if events < 3 and not math.isclose(events, 2, rel_tol=1e-6):
            return 0
    else:
        total = np.abs(values[cluster]).sum()
        weight = variances[cluster].sum() / total if total else 0.0
        events = moved.sum() / weight if weight else 0.0
        if mixed and 0 < events < 2:
            return 1
    return round(float(events) / 2) if np.isfinite(events) else 0
