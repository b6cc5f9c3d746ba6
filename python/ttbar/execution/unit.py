"""Units of work and their results.

A unit is a sample and some of its files. Its result is a `Partial`; the partials of a sample add up, in any order, to
the same whole.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import hist
from numpy.typing import NDArray

from ttbar.errors import AnalysisError
from ttbar.inputs.files import CheckedFile


@dataclass(frozen=True)
class Unit:
    """A piece of a sample that is processed in one go."""

    process: str
    variation: str
    files: tuple[CheckedFile, ...]

    @property
    def sample(self) -> str:
        """Name of the sample."""
        return f"{self.process}__{self.variation}"

    @property
    def entries(self) -> int:
        """Stored events that are expected in all files."""
        return sum(file.entries for file in self.files)


class LoopFailed(AnalysisError):
    """The event loop over a unit failed: its files could not be read."""


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

    def __add__(self, other: "Cost") -> "Cost":
        """Add up."""
        return Cost(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(Cost)))


@dataclass(frozen=True)
class Partial:
    """What a unit contributes to the results of its sample; not normalised."""

    cost: Cost
    processed: Mapping[str, int]
    """Events by file."""
    cutflow: Mapping[str, Mapping[str, int]]
    """Events by universe and cut."""
    selected: Mapping[str, int] = field(default_factory=dict)
    """Events in a region by file, as they were measured."""
    histograms: Mapping[tuple[str, str], hist.Hist[Any]] = field(default_factory=dict)
    """Histograms by name and variation."""
    anomalies: Mapping[str, int] = field(default_factory=dict)
    """Events that have something wrong with them, by what it is."""
    records: tuple[NDArray[Any], ...] = ()
    """Where single events are wanted: arrays of them, in any order."""

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(self.processed.values())

    def __add__(self, other: "Partial") -> "Partial":
        """Merge the results of two units of a sample."""
        return Partial(
            self.cost + other.cost,
            {**self.processed, **other.processed},
            {
                universe: {cut: events + other.cutflow[universe][cut] for cut, events in cuts.items()}
                for universe, cuts in self.cutflow.items()
            },
            {**self.selected, **other.selected},
            {key: histogram + other.histograms[key] for key, histogram in self.histograms.items()},
            Counter(self.anomalies) + Counter(other.anomalies),
            self.records + other.records,
        )
