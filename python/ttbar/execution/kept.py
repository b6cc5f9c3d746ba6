"""Results of units as they are kept: JSON, so that a results folder that somebody hands over is nothing but data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ttbar.analyses.agc_v1 import definition
from ttbar.errors import InputError
from ttbar.execution.loop import Cost, Partial, Unit
from ttbar.output import written_whole
from ttbar.reading import read_json
from ttbar.results import histograms

BINS = ("value", "variance")
"""What there is of each bin."""

VERSION = 1
"""Version of the layout; a file of another one is not used."""


def save(path: Path, result: Partial) -> None:
    """Keep the result of a unit, without records of single events.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    result : Partial
        The result.
    """
    content = {part.name: getattr(result, part.name) for part in fields(Partial) if part.name != "records"}
    content["cost"] = asdict(result.cost)
    content["histograms"] = []
    for (region, variation), histogram in result.histograms.items():
        view: Any = histogram.view(flow=True)
        bins = {part: view[part].tolist() for part in BINS}
        content["histograms"].append({"region": region, "variation": variation, **bins})
    text = json.dumps({"version": VERSION, "sha256": _digest(content), "content": content})
    with written_whole(path) as beside:
        beside.write_text(text)


def load(path: Path, unit: Unit) -> Partial:
    """Find the result of a unit.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    unit : Unit
        What was processed.

    Returns
    -------
    Partial
        Its result.

    Raises
    ------
    InputError
        If the file cannot be read, is damaged, of another version, or not of this unit.
    """
    document = read_json(path)
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise InputError(f"{path} is not of version {VERSION}")
    content = document.get("content")
    if not isinstance(content, dict) or document.get("sha256") != _digest(content):
        raise InputError(f"{path} is damaged")
    try:
        result = Partial(**content | {"cost": Cost(**content["cost"]), "histograms": _histograms(content)})
        fits = _fits(result, unit)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):  # this program did not write it
        fits = False
    if not fits:
        raise InputError(f"{path} is not a result of its files")
    return result


def _digest(content: Mapping[str, Any]) -> str:
    """Checksum of the content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _histograms(content: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """The histograms, with the axes of their regions."""
    result = {}
    for kept in content["histograms"]:
        histogram = histograms.empty(kept["region"])
        view: Any = histogram.view(flow=True)
        for part in BINS:
            bins = np.array(kept[part], dtype=np.float64)
            if bins.shape != view.shape or not np.isfinite(bins).all():
                raise ValueError("these are no bins of it")
            view[part] = bins
        result[kept["region"], kept["variation"]] = histogram
    return result


def _fits(result: Partial, unit: Unit) -> bool:
    """Whether a result has all the parts that one of the unit has."""
    varied = definition.is_varied(unit.process, unit.variation)
    universes = {definition.NOMINAL, *(definition.JET_ENERGY_UNIVERSES if varied else ())}
    variations = universes | set(definition.BTAG_VARIATIONS if varied else ())
    counts = [result.processed, result.selected, *result.cutflow.values()]
    numbers = [*asdict(result.cost).values(), *(number for part in counts for number in part.values())]
    return (
        not result.records
        and result.processed == {file.path: file.entries for file in unit.files}
        and result.selected.keys() == result.processed.keys()
        and result.cutflow.keys() == universes
        and all(cuts.keys() == set(definition.CUTS) for cuts in result.cutflow.values())
        and result.histograms.keys() == {(region, name) for region in definition.REGIONS for name in variations}
        and all(type(number) in (int, float) for number in numbers)
    )
