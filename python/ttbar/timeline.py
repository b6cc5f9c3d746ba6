"""What a run does when: the steps of the program, one after the other, and what others do meanwhile."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ttbar import process

PROGRAM = "program"
"""The lane of the steps of the program itself, which follow each other without a gap."""


@dataclass(frozen=True)
class Span:
    """Something that took time."""

    name: str
    lane: str
    """Who was at it."""
    start_s: float
    """Seconds after the run began."""
    wall_s: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end_s(self) -> float:
        """Seconds after the run began."""
        return self.start_s + self.wall_s


class Timeline:
    """When a run began, and what takes how long in it; that of a command begins with its process.

    Parameters
    ----------
    step : str
        The first step.

    Attributes
    ----------
    date : datetime.datetime
        When the run began.
    """

    def __init__(self, step: str) -> None:
        age = process.age()
        self.date = datetime.fromtimestamp(time.time() - age, UTC)
        self._start = time.perf_counter() - age
        self._steps: list[Span] = []
        self._others: list[Span] = []
        self._work: list[Span] = []
        self._step, self._begun = step, 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._start

    def step(self, name: str) -> None:
        """Begin another step of the program, which ends the one before.

        Parameters
        ----------
        name : str
            What it is called.
        """
        now = self.elapsed
        self._steps.append(Span(self._step, PROGRAM, self._begun, now - self._begun))
        self._step, self._begun = name, now

    @contextmanager
    def meanwhile(self, name: str) -> Iterator[None]:
        """Note what another thread does within this context, while the program does something else.

        Parameters
        ----------
        name : str
            What it is called.
        """
        start = self.elapsed
        try:
            yield
        finally:
            self._others.append(Span(name, name, start, self.elapsed - start))

    def worked(self, name: str, lane: str, phases: Mapping[str, float], **details: Any) -> None:
        """Note that work has ended that was given to somebody.

        Parameters
        ----------
        name : str
            What it is called.
        lane : str
            Who has done it.
        phases : mapping of str to float
            What it was made of, with the seconds of each.
        **details
            What else is known of it.
        """
        seconds = sum(phases.values())
        start = self.elapsed - seconds
        self._work.append(Span(name, lane, start, seconds, details))
        for phase, part in phases.items():
            self._work.append(Span(phase, lane, start, part))
            start += part

    @property
    def steps(self) -> list[Span]:
        """The steps of the program; their sum is the time since it began."""
        return [*self._steps, Span(self._step, PROGRAM, self._begun, self.elapsed - self._begun)]

    @property
    def others(self) -> list[Span]:
        """What went on meanwhile."""
        return sorted(self._others, key=lambda span: span.start_s)

    @property
    def work(self) -> list[Span]:
        """What others were given, and the phases of it."""
        return sorted(self._work, key=lambda span: (span.lane, span.start_s, -span.wall_s))


def trace(spans: Sequence[Span]) -> dict[str, Any]:
    """Give spans as the viewers of traces take them, such as Perfetto and that of Chrome.

    Parameters
    ----------
    spans : sequence of Span
        What took time.

    Returns
    -------
    dict
        Trace events, in microseconds, a thread for each lane.
    """
    lanes = {lane: number for number, lane in enumerate(dict.fromkeys(span.lane for span in spans))}
    names = [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": number, "args": {"name": lane}}
        for lane, number in lanes.items()
    ]
    events = [
        {
            "ph": "X",
            "name": span.name,
            "pid": 0,
            "tid": lanes[span.lane],
            "ts": 1e6 * span.start_s,
            "dur": 1e6 * span.wall_s,
            "args": dict(span.details),
        }
        for span in spans
    ]
    return {"traceEvents": [*names, *events], "displayTimeUnit": "ms"}
