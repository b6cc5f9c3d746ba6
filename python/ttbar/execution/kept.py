"""Results of units as they are kept: JSON, so that a results folder that somebody hands over is nothing but data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ttbar.analyses.analysis import NOMINAL, Analysis
from ttbar.errors import InputError
from ttbar.execution.histograms import PARTS, shape
from ttbar.execution.unit import Cost, Partial, Unit
from ttbar.output import written_whole
from ttbar.reading import read_json

VERSION = 4
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
    content["costs"] = {process: asdict(cost) for process, cost in result.costs.items()}
    content["histograms"] = []
    for (name, variation), histogram in result.histograms.items():
        bins = dict(zip(PARTS, histogram.tolist(), strict=True))
        content["histograms"].append({"name": name, "variation": variation, **bins})
    text = json.dumps(content)
    with written_whole(path) as beside:
        beside.write_text(f'{{"version": {VERSION}, "sha256": "{_digest(text)}", "content": {text}}}')


def load(path: Path, unit: Unit, analysis: Analysis) -> Partial:
    """Read the result of a unit.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    unit : Unit
        What was processed.
    analysis : Analysis
        What was measured.

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
    if not isinstance(content, dict) or document.get("sha256") != _digest(json.dumps(content)):
        raise InputError(f"{path} is damaged")
    try:
        costs = {process: Cost(**cost) for process, cost in content["costs"].items()}
        result = Partial(**content | {"costs": costs, "histograms": _histograms(content, analysis)})
        fits = _fits(result, unit, analysis)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):  # this program did not write it
        fits = False
    if not fits:
        raise InputError(f"{path} is not a result of its files")
    return result


def _digest(text: str) -> str:
    """Checksum of the content as it is written."""
    return hashlib.sha256(text.encode()).hexdigest()


def _histograms(content: Mapping[str, Any], analysis: Analysis) -> dict[tuple[str, str], Any]:
    """The histograms, if they are of the shapes that the analysis gives them."""
    result = {}
    definitions = {histogram.name: histogram for _, histogram in analysis.histograms}
    for kept in content["histograms"]:
        bins = np.array([kept[part] for part in PARTS], dtype=np.float64)
        if bins.shape != shape(definitions[kept["name"]]) or not np.isfinite(bins).all():
            raise ValueError("these are no bins of it")
        result[kept["name"], kept["variation"]] = bins
    return result


def _fits(result: Partial, unit: Unit, analysis: Analysis) -> bool:
    """Whether a result has all the parts that one of the unit has."""
    varied = analysis.is_varied(unit.process, unit.variation)
    universes = {NOMINAL, *(analysis.universes if varied else ())}
    variations = universes | set(analysis.weight_variation_names if varied else ())
    names = {histogram.name for _, histogram in analysis.histograms}
    counts = [result.processed, result.selected, result.anomalies, *result.cutflow.values()]
    numbers = [*asdict(result.cost).values(), *(number for part in counts for number in part.values())]
    return (
        not result.records
        and result.processed == unit.expected
        and result.selected.keys() == result.processed.keys()
        and result.cutflow.keys() == universes
        and all(cuts.keys() == set(analysis.cuts) for cuts in result.cutflow.values())
        and result.histograms.keys() == {(name, variation) for name in names for variation in variations}
        and all(type(number) in (int, float) for number in numbers)
    )
