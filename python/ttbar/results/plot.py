"""Plots of the histograms of an analysis: which there are, and the files that they become."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from ttbar.analyses.analysis import NOMINAL, Analysis, Process, Source, histogram_name
from ttbar.errors import InputError
from ttbar.output import prepare
from ttbar.results.drawing import (
    Contents,
    Histograms,
    Place,
    draw_grid,
    draw_one,
    draw_plane,
    stack,
    variations,
)
from ttbar.results.histograms import read_all
from ttbar.results.pictures import Picture, save_all
from ttbar.results.style import FOLDER, FORMATS, STYLE

NAMED = 10
"""A message names so many histograms at most."""


def draw_all(
    histograms: Path, output: Path, analysis: Analysis, drawn: Callable[[], object] = lambda: None
) -> list[str]:
    """Draw all plots for which there are histograms.

    Parameters
    ----------
    histograms : pathlib.Path
        ROOT file of a run.
    output : pathlib.Path
        Results folder. Plots go to its `plots/`, as PNG and PDF; old ones of the same names are removed.
    analysis : Analysis
        The analysis of the run.
    drawn : callable, optional
        Called after each plot.

    Returns
    -------
    list of str
        Sentences that the user is to read.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a nominal histogram, or all its nominal histograms are empty.
    """
    contents, others = read_all(histograms, analysis)
    _require_nominal(contents, histograms, analysis)
    wanted = plots(analysis)
    folder = output / FOLDER
    prepare(folder, (f"{each.name}.{extension}" for each in wanted for extension in FORMATS))
    left_out = save_all(wanted, contents, folder, STYLE, drawn)
    notes = []
    if left_out:
        notes.append(f"Not plotted, for want of events or histograms: {_listed(left_out)}")
    if others:
        notes.append(f"In the file but not in the analysis {analysis.name}, so not plotted: {_listed(others)}")
    return notes


def draw(histograms: Path, analysis: Analysis, name: str) -> Figure:
    """Draw one plot.

    Parameters
    ----------
    histograms : pathlib.Path
        ROOT file of a run.
    analysis : Analysis
        The analysis of the run.
    name : str
        Name of the plot, e.g. `4j2b_observable`.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    InputError
        If there is no such plot, or nothing to draw it from.
    """
    of_groups = [_stack_plot(place) for place in _places(analysis) if place.histogram.group]
    known = {each.name: each for each in _of_different_names(*plots(analysis), *of_groups)}
    if name not in known:
        raise InputError(f"there is no plot {name!r}, choose one of {', '.join(known)}")
    contents, _ = read_all(histograms, analysis)
    with matplotlib.style.context(STYLE):
        figure = known[name].draw(contents)
    if figure is None:
        raise InputError(f"{histograms}: there are no events or histograms for the plot {name}")
    return figure


def plots(analysis: Analysis) -> tuple[Picture[Histograms], ...]:
    """All plots of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    tuple of Picture
        In the order in which a reader wants them: stacks, variations, planes. No two have the same name.
    """
    places = _places(analysis)
    alone = [place for place in places if not place.histogram.group]
    first = [place for place in places if place.axis is place.histogram.axes[0]]
    groups = _groups(places)
    varied = [*_varied(analysis)]
    return _of_different_names(
        *(_stack_plot(place) for place in alone),
        *(_stack_grid(group) for group in groups),
        *(_variations_plot(place, *of) for of in varied for place in first if not place.histogram.group),
        *(_variations_grid(group, *of) for of in varied for group in groups),
        *(plane for place in first if len(place.histogram.axes) == 2 for plane in _plane_plots(place)),
    )


def _of_different_names(*plots: Picture[Histograms]) -> tuple[Picture[Histograms], ...]:
    """Rename those that are called like another one."""
    named, names = [], Counter[str]()
    for each in plots:
        names[each.name] += 1
        named.append(replace(each, name=f"{each.name}-{names[each.name]}") if names[each.name] > 1 else each)
    return tuple(named)


def _places(analysis: Analysis) -> list[Place]:
    """Every axis of every histogram."""
    return [
        Place(analysis, region, histogram, axis) for region, histogram in analysis.histograms for axis in histogram.axes
    ]


def _groups(places: Sequence[Place]) -> list[list[Place]]:
    """What is shown side by side."""
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        if place.histogram.group:
            groups.setdefault((place.region.name, place.histogram.group), []).append(place)
    return list(groups.values())


def _varied(analysis: Analysis) -> Iterator[tuple[Source, Process]]:
    """Sources of uncertainty and a process to show each with: the only one that it acts on, or else the signal."""
    for source in analysis.sources:
        for name in source.processes if len(source.processes) == 1 else analysis.fit.signal:
            yield source, analysis.process(name)


def _stack_plot(place: Place) -> Picture[Histograms]:
    """The stack of all processes."""
    name, region = place.axis.name, place.region.name
    meaning = f", {place.axis.meaning}," if place.axis.meaning else ""
    return Picture(
        f"{place.histogram.name}_{place.axis.column}",
        f"{name}{meaning} in {region}",
        f"Expected events in bins of {name}{meaning} in region {region}: {_stacked(place)} "
        "Lower panel: the same over the expectation. Points, if any: collision data.",
        partial(draw_one, stack, place),
    )


def _stack_grid(group: Sequence[Place]) -> Picture[Histograms]:
    """The stacks of a group."""
    name, what = _in_words(group)
    return Picture(
        name,
        what,
        f"{len(group)} small pictures side by side, each with the expected events in bins of a quantity: "
        f"{_stacked(group[0])} Below each: the same over the expectation. Points, if any: collision data. "
        f"The quantities, row by row: {_quantities(group)}.",
        partial(draw_grid, stack, (2.5, 1.0), group),
    )


def _stacked(place: Place) -> str:
    """What a stack shows."""
    return (
        f"processes stacked, {place.analysis.simulated[-1].title} on top. Dark bands: statistical uncertainty of the "
        "simulation. Hatched: that and, in quadrature, all variations that were processed."
    )


def _variations_plot(place: Place, source: Source, process: Process) -> Picture[Histograms]:
    """A process with the variations of a source."""
    listed = _systematics(source)
    return Picture(
        f"{place.histogram.name}_{process.name}_{source.name}",
        f"{place.what}: {process.title}, varied by {listed}",
        f"Expected events of {process.title} in bins of {place.what}, varied by {listed}. Lower panel: "
        "each variation over nominal. Bands: statistical uncertainty of the nominal simulation.",
        partial(draw_one, _of(source, process), place),
    )


def _variations_grid(group: Sequence[Place], source: Source, process: Process) -> Picture[Histograms]:
    """A process with the variations of a source, in the histograms of a group."""
    name, what = _in_words(group)
    listed = _systematics(source)
    return Picture(
        f"{name}_{process.name}_{source.name}",
        f"{what}: {process.title}, varied by {listed}",
        f"{len(group)} small pictures side by side, each with the expected events of {process.title} in bins of a "
        f"quantity, varied by {listed}, over the nominal ones. Bands: statistical uncertainty of the nominal "
        f"simulation. The quantities, row by row: {_quantities(group)}.",
        partial(draw_grid, _of(source, process), (1.0,), group),
    )


def _of(source: Source, process: Process) -> Contents:
    return partial(variations, source, process)


def _systematics(source: Source) -> str:
    """Name the systematic uncertainties of a source."""
    *others, last = (systematic.name for systematic in source.systematics)
    return f"{', '.join(others)} and {last}" if others else last


def _in_words(group: Sequence[Place]) -> tuple[str, str]:
    """Begin the names of the pictures of a group, and their titles."""
    region, group_name = group[0].region.name, group[0].histogram.group
    return f"{region}_{group_name}", f"{group_name} in {region}"


def _quantities(group: Sequence[Place]) -> str:
    """Name what a group shows."""
    return ", ".join(place.axis.name for place in group)


def _plane_plots(place: Place) -> Iterator[Picture[Histograms]]:
    """Both axes of a histogram, for the signal and for all else."""
    signal = [place.analysis.process(name) for name in place.analysis.fit.signal]
    background = [process for process in place.analysis.simulated if process not in signal]
    x, y = (axis.name for axis in place.histogram.axes)
    for name, title, label, processes in (
        *((process.name, process.title, process.label, [process]) for process in signal),
        ("background", "all background processes", "Background", background),
    ):
        yield Picture(
            f"{place.histogram.name}_{name}_2d",
            f"{x} and {y} in {place.region.name}: {title}",
            f"Expected events of {title} in bins of {x} (horizontally) and {y} (vertically), in region "
            f"{place.region.name}: the brighter, the more; white where there are none.",
            partial(draw_plane, place, label, processes),
        )


def _listed(names: Sequence[str]) -> str:
    """Name some of many."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _require_nominal(histograms: Histograms, path: Path, analysis: Analysis) -> None:
    """Check that there is something to plot, and nominal histograms of all that is varied."""
    for histogram, process, variation in histograms:
        # An alternative simulation may be processed alone, any other variation comes with nominal.
        if (histogram, process, NOMINAL) not in histograms and variation not in analysis.process(process).variations:
            varied, nominal = (histogram_name(histogram, process, each) for each in (variation, NOMINAL))
            raise InputError(f"{path}: there is {varied}, but not its nominal histogram {nominal}")
    expected = [
        histogram
        for (_, process, variation), histogram in histograms.items()
        if variation == NOMINAL and not analysis.process(process).is_data
    ]
    if not expected:
        raise InputError(f"{path}: there is no nominal histogram of a simulated process, nothing to plot")
    if not any(histogram.values().any() for histogram in expected):
        raise InputError(f"{path}: all nominal histograms are empty, nothing to plot")
