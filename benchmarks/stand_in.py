"""What the benchmark of workers lets them do: a module of its own, as they have only what the event loop needs."""

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

from ttbar.execution.unit import Partial, Unit


@cache
def _read(path: str) -> Partial:
    result: Partial = pickle.loads(Path(path).read_bytes())
    return result


def stand_in(unit: Unit, path: str) -> Partial:
    """A result as large as a real one, at no cost."""
    return replace(_read(path), processed=unit.expected, selected=dict.fromkeys(unit.expected, 0))
