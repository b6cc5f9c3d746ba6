"""Units of work and their results.

A unit is a sample and some of its files, or a part of one of them. Its result is a `Partial`; the partials of a sample
add up, in any order, to the same whole. Both are plain data: they go to other machines and come back.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbar import worker
from ttbar.errors import AnalysisError
from ttbar.execution.histograms import added
from ttbar.inputs.files import CheckedFile


@dataclass(frozen=True)
class Unit:
    """A piece of a sample that is processed in one go."""

    process: str
    variation: str
    files: tuple[CheckedFile, ...]
    entry_range: tuple[int, int] | None = None
    """The first entry of its only file, and the one after the last; None for all entries of all files."""

    @property
    def sample(self) -> str:
        """Name of the sample."""
        return f"{self.process}__{self.variation}"

    @property
    def expected(self) -> dict[str, int]:
        """Stored events that are expected, by path of the file."""
        if self.entry_range is not None:
            first, end = self.entry_range
            return {self.files[0].path: end - first}
        return {file.path: file.entries for file in self.files}

    @property
    def entries(self) -> int:
        """Stored events that are expected in all files."""
        return sum(self.expected.values())

    def by_file(self) -> tuple["Unit", ...]:
        """The same in units of one file each."""
        return tuple(replace(self, files=(file,)) for file in self.files)


class LoopFailed(AnalysisError):
    """The event loop over a unit failed: its files could not be read.

    Parameters
    ----------
    reason : str
        Why; where it runs on a cluster, the machine is added.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(worker.with_machine(reason))


@dataclass(frozen=True)
class Cost:
    """What a unit cost."""

    booking_s: float = 0
    """Making the graph and compiling its expressions."""
    jit_s: float = 0
    """Of this, compiling."""
    loop_wall_s: float = 0
    loop_cpu_s: float = 0
    bytes_read: int = 0
    """The larger one of the next two, since neither sees all."""
    bytes_read_root: int = 0
    """As ROOT counts them, from TFiles: not those of RNTuples."""
    bytes_read_system: int = 0
    """As Linux counts them: not those that a network brought."""
    peak_rss_mb: float = 0
    """Largest resident size that its process had had at the end, in 10^6 bytes."""

    def __add__(self, other: "Cost") -> "Cost":
        """Add up; of sizes of processes the larger one."""
        summed = Cost(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(Cost)))
        return replace(summed, peak_rss_mb=max(self.peak_rss_mb, other.peak_rss_mb))


@dataclass(frozen=True)
class Partial:
    """What a unit contributes to the results of its sample; not normalised."""

    costs: Mapping[str, Cost]
    """What it cost in each process, `host:pid`."""
    processed: Mapping[str, int]
    """Events by file."""
    cutflow: Mapping[str, Mapping[str, int]]
    """Events by universe and cut."""
    selected: Mapping[str, int] = field(default_factory=dict)
    """Events in a region by file, as they were measured."""
    histograms: Mapping[tuple[str, str], NDArray[Any]] = field(default_factory=dict)
    """Histograms by name and variation, as `execution.histograms` says."""
    anomalies: Mapping[str, int] = field(default_factory=dict)
    """Events that have something wrong with them, by what it is."""
    records: tuple[NDArray[Any], ...] = ()
    """Where single events are wanted: arrays of them, in any order."""

    @property
    def cost(self) -> Cost:
        """What it cost."""
        return sum(self.costs.values(), Cost())

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(self.processed.values())

    def __add__(self, other: "Partial") -> "Partial":
        """Merge the results of two units of a sample."""
        return Partial(
            added_costs([self.costs, other.costs]),
            _added(self.processed, other.processed),
            {universe: _added(cuts, other.cutflow[universe]) for universe, cuts in self.cutflow.items()},
            _added(self.selected, other.selected),
            {key: added(histogram, other.histograms[key]) for key, histogram in self.histograms.items()},
            _added(self.anomalies, other.anomalies),
            self.records + other.records,
        )


@dataclass(frozen=True)
class Packed:
    """A result whose histograms, most bins of which are empty, take a fraction of their memory."""

    partial: Partial
    histograms: Mapping[tuple[str, str], tuple[tuple[int, ...], bytes]]

    @classmethod
    def of(cls, result: Partial) -> "Packed":
        """Pack a result."""
        packed = {key: (array.shape, zlib.compress(array.tobytes(), 1)) for key, array in result.histograms.items()}
        return cls(replace(result, histograms={}), packed)

    def unpacked(self) -> Partial:
        """The result, to the last bit."""
        arrays = {
            key: np.frombuffer(zlib.decompress(packed)).reshape(shape)
            for key, (shape, packed) in self.histograms.items()
        }
        return replace(self.partial, histograms=arrays)


def added_costs(costs: Iterable[Mapping[str, Cost]]) -> dict[str, Cost]:
    """Add up costs by process.

    Parameters
    ----------
    costs : iterable of mapping of str to Cost
        Costs by process.

    Returns
    -------
    dict of str to Cost
        Their sums.
    """
    sums: dict[str, Cost] = {}
    for each in costs:
        for process, cost in each.items():
            sums[process] = sums.get(process, Cost()) + cost
    return sums


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Sums of numbers of the same name; two units can have parts of one file."""
    sums = Counter(one)
    sums.update(other)
    return dict(sums)
