"""What the parts of the benchmark share: figures with their spread and their goals, how they are taken and shown."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self, TypeVar

T = TypeVar("T")

Tell = Callable[[str], None]
"""Says what is done next."""


@dataclass(frozen=True)
class Figure:
    """Something that was measured several times."""

    name: str
    median: float
    low: float
    high: float
    unit: str = ""
    """Empty for a ratio."""
    at_most: float | None = None
    """The goal, if there is one."""
    at_least: float | None = None
    part: str = ""
    """The part of the benchmark that has found it."""

    @classmethod
    def of(
        cls,
        name: str,
        values: Sequence[float],
        unit: str = "",
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> Self:
        """Sum up values by their median, and the smallest and largest one."""
        return cls(name, median(values), min(values), max(values), unit, at_most, at_least)

    @property
    def goal(self) -> float | None:
        """What the median is held against."""
        return self.at_least if self.at_most is None else self.at_most

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none."""
        if self.goal is None:
            return None
        return self.median <= self.goal if self.at_least is None else self.median >= self.goal

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        """The figure, in words: name, what was found, its spread, the goal, and whether it is met."""
        found = f"{shown(self.median)} {self.unit}".rstrip()
        spread = "" if self.low == self.high else f"{shown(self.low)} to {shown(self.high)}"
        sign = "≤" if self.at_least is None else "≥"
        goal = "" if self.goal is None else f"{sign} {shown(self.goal)} {self.unit}".rstrip()
        return self.name, found, spread, goal, {None: "", True: "yes", False: "no"}[self.met]


COLUMNS = ("what", "found", "spread", "goal", "met")
"""What the row of a figure consists of."""


def shown(value: float) -> str:
    """A number with three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def in_turns(repeat: int, kinds: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Call functions one after the other, several times, so that what else goes on meets all of them alike."""
    found: dict[str, list[T]] = {name: [] for name in kinds}
    for _ in range(repeat):
        for name, call in kinds.items():
            found[name].append(call())
    return found


def ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    """The ratio in each turn."""
    return [one / other for one, other in zip(ones, others, strict=True)]


@dataclass(frozen=True)
class Report:
    """All figures of a benchmark, and where they come from."""

    about: Mapping[str, Any]
    """Date, machine, load, versions and the like."""
    figures: Sequence[Figure]

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` has written."""
        content = json.loads(path.read_text())
        figures = [
            Figure(**{key: value for key, value in each.items() if key != "met"}) for each in content.pop("figures")
        ]
        return cls(content, figures)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        figures = [asdict(figure) | {"met": figure.met} for figure in self.figures]
        path.write_text(json.dumps({**self.about, "figures": figures}, indent=2) + "\n")

    @property
    def with_goals(self) -> list[Figure]:
        """The figures that have a goal."""
        return [figure for figure in self.figures if figure.goal is not None]

    @property
    def parts(self) -> list[str]:
        """The parts that were measured."""
        return list(dict.fromkeys(figure.part for figure in self.figures))

    def of(self, part: str) -> list[Figure]:
        """The figures of a part."""
        return [figure for figure in self.figures if figure.part == part]

    @staticmethod
    def markdown(figures: Sequence[Figure]) -> str:
        """A table of figures."""
        rows = [COLUMNS, ("---", *["---:"] * 3, "---"), *(figure.row for figure in figures)]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def summary(self) -> str:
        """Where the figures come from, in a sentence."""
        about, machine = self.about, self.about["machine"]
        return (
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_mb'] / 1e3:.0f} GB; load"
            f" {about['load'][0]:.1f} at the beginning, {about['load'][1]:.1f} at the end; ROOT"
            f" {about['versions']['ROOT']}; {about['mode']}, {about['date']}, commit {about['commit']}"
        )

    def draw(self, path: Path) -> None:
        """Draw what was found beside the goals."""
        from matplotlib.figure import Figure as Canvas

        figures = self.with_goals[::-1]
        canvas = Canvas(figsize=(9, 1 + 0.32 * len(figures)), layout="constrained")
        axes = canvas.subplots()
        for place, figure in enumerate(figures):
            assert figure.goal is not None
            ends = [max(end / figure.goal, 1e-2) for end in (figure.low, figure.median, figure.high)]
            colour = "#3f90da" if figure.met else "#e76300"
            axes.plot([ends[0], ends[2]], [place, place], color=colour, linewidth=2)
            axes.plot(ends[1], place, marker="<" if figure.at_least is None else ">", color=colour, markersize=7)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.set_yticks(range(len(figures)), [f"{figure.name}, {figure.row[3]}" for figure in figures], fontsize=8)
        axes.set_xlabel("found / goal; markers point to where it would be better; orange: not met")
        axes.grid(axis="x", which="both", alpha=0.3)
        canvas.savefig(path, dpi=120)
