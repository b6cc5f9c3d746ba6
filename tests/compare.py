"""Comparison of a results folder with the reference: the promised exactness, and nothing missing or extra."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from numpy.typing import ArrayLike, NDArray
from reference import DELTA_R_EDGES, Histogram
from reference_common import N_BINS, OBSERVABLE_EDGES, Reference

RELATIVE = 1e-9


def describe_differences(
    name: str, what: str, found: NDArray[Any], expected: NDArray[Any], slack: ArrayLike = 0.0
) -> list[str]:
    """Return a line that says which elements differ, by more than rounding and slack, and the first, or no line."""
    if found.shape != expected.shape:
        return [f"{name}: {what} of shape {found.shape}, expected {expected.shape}"]
    bins = np.argwhere(~np.isclose(found, expected, rtol=RELATIVE, atol=np.multiply(slack, 1 + RELATIVE)))
    if not len(bins):
        return []
    first = tuple(bins[0].tolist())
    return [f"{name}: {len(bins)} {what} differ, first {first}: {found[first]!r}, expected {expected[first]!r}"]


def describe_axis(name: str, axis: Any, expected: NDArray[np.float64]) -> list[str]:
    return describe_differences(name, f"edges of axis {axis.member('fName')}", axis.edges(), expected)


def compare_2d(name: str, found: Any, expected: Histogram) -> list[str]:
    """Compare a TH2D with the reference: flow bins, counts, values and sums of squares."""
    lines = describe_axis(name, found.axis(0), OBSERVABLE_EDGES) + describe_axis(name, found.axis(1), DELTA_R_EDGES)
    values, variances = found.values(flow=True), found.variances(flow=True)
    if lines or values.shape != (N_BINS + 2, N_BINS + 2):
        return [*lines, f"{name}: {values.shape} bins with flow"]
    for what, content in ("values", values), ("sums of squares", variances):
        if content[:, [0, -1]].any():
            lines.append(f"{name}: {what} in the flow bins of deltaR")
    if expected.weight is not None:
        lines += describe_differences(name, "event counts", np.rint(values[:, 1:-1] / expected.weight), expected.counts)
    return [
        *lines,
        *describe_differences(name, "values", values[:, 1:-1], expected.values),
        *describe_differences(name, "sums of squares", variances[:, 1:-1], expected.variances),
    ]


def compare_projection(
    name: str,
    found: Any,
    edges: NDArray[np.float64],
    values: NDArray[np.float64],
    variances: NDArray[np.float64],
) -> list[str]:
    """Compare a TH1D, flow included, with the projected reference."""
    return [
        *describe_axis(name, found.axis(0), edges),
        *describe_differences(name, "values", found.values(flow=True), values),
        *describe_differences(name, "sums of squares", found.variances(flow=True), variances),
    ]


def differences_1d(path: str | Path, reference: Reference) -> list[str]:
    """Return a line for each difference of a file from a reference whose histograms have one axis.

    Parameters
    ----------
    path
        The ROOT file.
    reference
        What it shall hold. Where an event is within rounding of an edge, a threshold or a tie, its weight more
        or less in one of the bins where it may be is no difference.

    Returns
    -------
    list of str
        First the names and classes that are missing, extra or wrong, then the contents.
    """
    lines = []
    with uproot.open(path) as file:
        classes = file.classnames(cycle=False)
        for name in sorted(classes.keys() | reference.histograms.keys()):
            expected_class = "TH1D" if name in reference.histograms else "nothing"
            if classes.get(name) != expected_class:
                lines.append(f"{name}: {classes.get(name, 'missing')}, expected {expected_class}")
                continue
            found, expected = file[name], reference.histograms[name]
            values, variances = found.values(flow=True), found.variances(flow=True)
            counts, slack_values, slack_variances = expected.slack
            lines += describe_axis(name, found.axis(0), expected.edges)
            if expected.weight is not None:
                events = np.rint(values / expected.weight)
                lines += describe_differences(name, "event counts", events, expected.counts, counts)
            lines += describe_differences(name, "values", values, expected.values, slack_values)
            lines += describe_differences(name, "sums of squares", variances, expected.variances, slack_variances)
    return lines


def compare_histograms(path: str | Path, reference: Reference) -> None:
    """Assert that a file has exactly the histograms of the reference, with their projections.

    Parameters
    ----------
    path
        The ROOT file.
    reference
        What it shall hold. Events within rounding of a threshold, an edge or a tie are not excused but
        listed: with a fixed data set and seed there are none, or they are known.

    Raises
    ------
    AssertionError
        With a line for each difference.
    """
    expected_classes = {"observable": "TDirectory", "deltaR": "TDirectory"}
    for name in reference.histograms:
        expected_classes |= {name: "TH2D", f"observable/{name}": "TH1D", f"deltaR/{name}": "TH1D"}
    with uproot.open(path) as file:
        classes = file.classnames(cycle=False)
        lines = [
            f"{name}: {classes.get(name, 'missing')}, expected {expected_classes.get(name, 'nothing')}"
            for name in sorted(classes.keys() | expected_classes.keys())
            if classes.get(name) != expected_classes.get(name)
        ]
        if not lines:
            for name, expected in reference.histograms.items():
                lines += compare_2d(name, file[name], expected)
                lines += compare_projection(
                    f"observable/{name}",
                    file[f"observable/{name}"],
                    OBSERVABLE_EDGES,
                    expected.values.sum(axis=1),
                    expected.variances.sum(axis=1),
                )
                lines += compare_projection(
                    f"deltaR/{name}",
                    file[f"deltaR/{name}"],
                    DELTA_R_EDGES,
                    np.pad(expected.values.sum(axis=0), 1),
                    np.pad(expected.variances.sum(axis=0), 1),
                )
    assert not lines, "\n".join([*lines, "events within rounding:", *reference.ambiguous()])


def compare_cutflow(found: Mapping[str, Any], reference: Reference) -> None:
    """Assert that the content of a ``cutflow.json`` has the cuts, events and weights of the reference."""
    expected = {
        sample: {
            universe: [cut | {"weighted": pytest.approx(cut["weighted"], rel=RELATIVE, abs=0)} for cut in cuts]
            for universe, cuts in universes.items()
        }
        for sample, universes in reference.cutflow.items()
    }
    assert found == expected


def assert_equal_histograms(found: str | Path, expected: str | Path) -> None:
    """Assert that two files have the same histograms, to the last bit.

    Parameters
    ----------
    found, expected
        The ROOT files.

    Raises
    ------
    AssertionError
        If they do not.
    """
    with uproot.open(found) as one, uproot.open(expected) as other:
        assert one.keys() == other.keys()
        for name in one.keys(filter_classname="TH*"):
            for what in ("values", "variances"):
                a, b = (getattr(file[name], what)(flow=True) for file in (one, other))
                np.testing.assert_array_equal(a, b, err_msg=f"{what} of {name}")


def bits(path: Path) -> dict[str, tuple[bytes, bytes]]:
    """Contents of all histograms of a file, to the last bit."""
    with uproot.open(path) as file:
        return {
            name: (each.values(flow=True).tobytes(), each.variances(flow=True).tobytes())
            for name, each in file.items(cycle=False)
            if hasattr(each, "variances")
        }
