"""Comparison of what two runs cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from ttbar.errors import InputError
from ttbar.reading import read_json
from ttbar.shown import Shown

TOLERANCE = 0.25
"""Times, memory and bytes agree that differ by a smaller fraction."""

LEAST_S = 0.5
"""Times agree that differ by less."""

WORK = ("mode", "events", "threads", "workers")
"""What was done, and with what: costs of different work cannot be compared."""


@dataclass(frozen=True)
class Entry:
    """A time or an amount in both files."""

    name: str
    a: float
    b: float

    @property
    def ratio(self) -> float:
        """That of B to that of A."""
        return self.b / self.a if self.a else math.inf if self.b else 1.0

    @property
    def change(self) -> str:
        """Whether B needs `more` or `less` of it, beyond the tolerance; rates follow from times, and are not judged."""
        is_time = self.name.endswith("_s")
        if "_per_" in self.name or (is_time and abs(self.b - self.a) < LEAST_S):
            return ""
        if self.ratio > 1 + TOLERANCE:
            return "more"
        return "less" if self.ratio < 1 / (1 + TOLERANCE) else ""


@dataclass(frozen=True, repr=False)
class CostComparison(Shown):
    """Outcome of a comparison."""

    a: Path
    b: Path
    entries: tuple[Entry, ...]
    other_work: tuple[str, ...]
    """In words, what of the work is not the same."""
    same_machine: bool

    @property
    def equal(self) -> bool:
        """Whether B did the work of A and needs no more of anything."""
        return not self.other_work and not any(entry.change == "more" for entry in self.entries)

    def __rich__(self) -> Group:
        """Table of the costs, and sentences."""
        table = Table(title=f"{escape(str(self.a))} (A) and {escape(str(self.b))} (B)")
        table.add_column("cost", overflow="fold")
        for column in ("A", "B", "B / A"):
            table.add_column(column, justify="right")
        table.add_column("B needs")
        for entry in self.entries:
            ratio = f"{entry.ratio:.2f}" if math.isfinite(entry.ratio) else ""
            table.add_row(escape(entry.name), f"{entry.a:,.4g}", f"{entry.b:,.4g}", ratio, entry.change)
        more = [entry.name for entry in self.entries if entry.change == "more"]
        sentences = [f"not the same work: {what}" for what in self.other_work]
        if not self.same_machine:
            sentences.append("measured on different machines")
        sentences.append(
            f"B needs more than {TOLERANCE:.0%} more of: {', '.join(more)}"
            if more
            else f"B needs no more than A, within {TOLERANCE:.0%} and {LEAST_S} s"
        )
        return Group(table, *map(escape, sentences))


def is_metrics(path: Path) -> bool:
    """Find out whether a file is the `metrics.json` of a run.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    bool
        Whether it is JSON and has a mode, which no name of a histogram is.

    Raises
    ------
    InputError
        If it is called like JSON and cannot be read.
    """
    return _read(path) is not None


def compare_costs(a: Path, b: Path) -> CostComparison:
    """Compare what two runs cost.

    Parameters
    ----------
    a, b : pathlib.Path
        Files `metrics.json` of runs.

    Returns
    -------
    CostComparison
        Times, memory and bytes that both know.

    Raises
    ------
    InputError
        If a file cannot be read or is none of a run, or they have nothing in common.
    """
    first, second = _read(a), _read(b)
    if first is None or second is None:
        one, other = (a, b) if first is None else (b, a)
        raise InputError(f"{one}: no metrics.json of a run, which {other} is; give two files of one kind")
    names = [name for name in first if name not in WORK and _is_amount(first, name) and _is_amount(second, name)]
    if not names:
        raise InputError(f"{a} and {b} have no time in common: compare files that runs have written")
    entries = tuple(Entry(name, float(first[name]), float(second[name])) for name in names)
    other_work = tuple(
        f"{name} {first.get(name)} in A, {second.get(name)} in B"
        for name in WORK
        if first.get(name) != second.get(name)
    )
    return CostComparison(a, b, entries, other_work, first.get("machine") == second.get("machine"))


def _read(path: Path) -> dict[str, Any] | None:
    """The content of the `metrics.json` of a run; None if it is another file."""
    if path.suffix != ".json":
        return None
    content = read_json(path, any_number=True)
    return content if isinstance(content, dict) and isinstance(content.get("mode"), str) else None


def _is_amount(metrics: Mapping[str, Any], name: str) -> bool:
    """Whether there is a number of this name that can be compared."""
    value = metrics.get(name)
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e300
