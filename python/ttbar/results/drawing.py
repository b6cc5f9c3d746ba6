"""How each kind of plot is drawn from the histograms of an analysis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import hist
import matplotlib.style
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttbar.analyses.analysis import NOMINAL, Analysis, Axis, Histogram, Process, Region, Source, Systematic
from ttbar.results.histograms import Key
from ttbar.results.style import (
    GridFigure,
    StyledFigure,
    colours,
    drawable,
    finish_grid,
    grid,
    luminosity_and_energy,
    palette,
)

STATISTICAL: dict[str, Any] = {
    "facecolor": "0.2",
    "alpha": 0.35,
    "linewidth": 0,
    "label": "Stat. unc. of simulation",
}
TOTAL: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": "0.2",
    "hatch": "////",
    "linewidth": 0,
    "label": "Stat. + syst. unc.",
}

MAX_ERROR = 0.25
"""Bins with a larger relative statistical uncertainty have no say in the range of a panel of ratios."""

LEGEND_SIZES = (18, 16, 14, 12, 10, 8, 6)
"""Sizes of the text of a legend; the first one is taken with which it fits."""

Histograms = Mapping[Key, hist.Hist[Any]]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Where in an analysis something is drawn."""

    analysis: Analysis
    region: Region
    histogram: Histogram
    axis: Axis

    @property
    def what(self) -> str:
        """The quantity and the region, in words."""
        return f"{self.axis.name} in {self.region.name}"


@dataclass(frozen=True)
class Content:
    """What is drawn of a quantity."""

    edges: Values
    ratio: str
    """Title of the panel of ratios."""
    deviations: Values
    """Relative deviations that are to be seen there, each an array of bins."""
    errors: Values
    """Relative statistical uncertainties of the bins."""
    paint: Callable[[Axes | None, Axes], None]
    """Draws it in a panel of events, if there is one, and in one of ratios below it."""
    collisions: bool = False
    """Whether there are collision data."""


Contents = Callable[[Place, Histograms], Content | None]
"""Gives None if there is nothing to draw."""


def _projection(histograms: Histograms, place: Place, process: str, variation: str) -> hist.Hist[Any] | None:
    """Project a histogram to what is drawn of it, if it is there."""
    histogram = histograms.get((place.histogram.name, process, variation))
    if histogram is None:
        return None
    axis = place.axis
    begin = None if axis.shown_from is None else hist.loc(axis.shown_from)
    merged = None if axis.shown_merged == 1 else hist.rebin(axis.shown_merged)
    projection: Any = histogram.project(axis.column)
    shown: hist.Hist[Any] = projection[begin::merged]
    return shown


def _values(histogram: hist.Hist[Any]) -> Values:
    """Contents of the bins."""
    return np.asarray(histogram.values(), dtype=np.float64)


def _errors(histogram: hist.Hist[Any]) -> Values:
    """Statistical uncertainties of the bins."""
    return np.sqrt(np.asarray(histogram.variances(), dtype=np.float64))


def _inverse(values: Values) -> Values:
    """One over each value, and not a number where that is zero."""
    return np.divide(1, values, out=np.full_like(values, np.nan), where=values != 0)


def _shift(histograms: Histograms, place: Place, processes: Sequence[str], variation: str) -> Values:
    """Change of the expectation by a variation of some processes, as far as they have it."""
    shift = np.zeros(1)
    for process in processes:
        nominal = _projection(histograms, place, process, NOMINAL)
        varied = _projection(histograms, place, process, variation)
        if nominal is not None and varied is not None:
            shift = shift + _values(varied) - _values(nominal)
    return shift


def _systematic(histograms: Histograms, place: Place) -> tuple[Values, Values]:
    """Systematic uncertainty of the expectation downwards and upwards: all in quadrature."""
    acting: dict[Systematic, list[str]] = {}
    for source in place.analysis.sources:
        for systematic in source.systematics:
            acting.setdefault(systematic, []).extend(source.processes)
    below, above = np.zeros(1), np.zeros(1)
    for systematic, processes in acting.items():
        up = _shift(histograms, place, processes, systematic.up)
        down = _shift(histograms, place, processes, systematic.down) if systematic.down else -up
        below = below + np.minimum(np.minimum(up, down), 0) ** 2
        above = above + np.maximum(np.maximum(up, down), 0) ** 2
    return np.sqrt(below), np.sqrt(above)


def stack(place: Place, histograms: Histograms) -> Content | None:
    """All processes on top of each other, with uncertainties and, if there are any, collision data."""
    parts = {
        process: projection
        for process in place.analysis.simulated
        if (projection := _projection(histograms, place, process.name, NOMINAL)) is not None
    }
    if not any(part.values().any() for part in parts.values()):
        return None
    total: hist.Hist[Any] = reduce(add, parts.values())
    nominal, statistical = _values(total), _errors(total)
    below, above = (np.hypot(statistical, part) for part in _systematic(histograms, place))
    measured = place.analysis.data
    data = _projection(histograms, place, measured.name, NOMINAL) if measured else None
    bins, ratio = total.axes[0], _inverse(nominal)

    def paint(upper: Axes | None, lower: Axes) -> None:
        of_process = colours(place.analysis)
        if upper is not None:
            mplhep.histplot(
                list(parts.values()),
                ax=upper,
                stack=True,
                histtype="fill",
                color=[of_process[process.name] for process in parts],
                label=[drawable(process.label) for process in parts],
                flow="none",
            )
        for panel, scale in _scaled(upper, lower, nominal):
            for down, up, style in ((below, above, TOTAL), (statistical, statistical, STATISTICAL)):
                low, high = (nominal - down) * scale, (nominal + up) * scale
                panel.stairs(high, bins.edges, baseline=low, fill=True, **style)
            if data is not None and measured is not None:
                errors = _errors(data) * np.abs(scale)
                points, colour = _values(data) * scale, of_process[measured.name]
                panel.errorbar(bins.centers, points, errors, fmt="o", color=colour, label=drawable(measured.label))

    deviations = [below, above, *([] if data is None else [_values(data) - nominal])]
    title = "Relative to\nexpectation" if data is None else "Data /\nexpectation"
    return Content(
        bins.edges, title, np.array(deviations) * ratio, statistical * ratio, paint, collisions=data is not None
    )


def variations(source: Source, process: Process, place: Place, histograms: Histograms) -> Content | None:
    """A process with its variations of a source, and their ratio to nominal."""
    nominal = _projection(histograms, place, process.name, NOMINAL)
    curves = [
        (_values(varied), colour, line, drawable(f"{systematic.name}{direction}"))
        for systematic, colour in zip(source.systematics, palette(), strict=False)
        for variation, line, direction in (
            (systematic.up, "solid", " up" if systematic.down else ""),
            (systematic.down, "dashed", " down"),
        )
        if variation and (varied := _projection(histograms, place, process.name, variation)) is not None
    ]
    if nominal is None or not nominal.values().any() or not curves:
        return None
    values, statistical, edges = _values(nominal), _errors(nominal), nominal.axes[0].edges
    curves.insert(0, (values, "black", "solid", f"{drawable(process.label)}, nominal"))

    def paint(upper: Axes | None, lower: Axes) -> None:
        for panel, scale in _scaled(upper, lower, values):
            low, high = (values - statistical) * scale, (values + statistical) * scale
            panel.stairs(high, edges, baseline=low, fill=True, **STATISTICAL)
            for curve, colour, line, label in curves:
                panel.stairs(
                    curve * scale, edges, baseline=None, color=colour, linestyle=line, linewidth=2, label=label
                )

    ratio = _inverse(values)
    deviations = np.array([curve - values for curve, *_ in curves[1:]]) * ratio
    return Content(edges, "Variation /\nnominal", deviations, statistical * ratio, paint)


def _scaled(upper: Axes | None, lower: Axes, values: Values) -> list[tuple[Axes, Values]]:
    """The panels, each with what contents are multiplied by in it."""
    events = [] if upper is None else [(upper, np.ones_like(values))]
    return [*events, (lower, _inverse(values))]


def draw_one(of: Contents, place: Place, histograms: Histograms) -> Figure | None:
    """Draw a quantity, with a panel of ratios and a legend that hides nothing."""
    content = of(place, histograms)
    if content is None:
        return None
    figure = StyledFigure(figsize=(10, 10))
    geometry = {"hspace": 0.07, "left": 0.16, "right": 0.96, "top": 0.94, "bottom": 0.1}
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1), gridspec_kw=geometry)
    _paint(content, place, upper, lower)
    upper.set_ylabel(drawable(f"Events / {content.edges[1] - content.edges[0]:.3g} {place.axis.unit}".strip()))
    lower.set_ylabel(content.ratio, loc="center")
    _headline(place, upper, content.collisions)
    upper.set_ylim(min(0, upper.dataLim.ymin), upper.dataLim.ymax / _below_legend(place, upper))
    return figure


def draw_grid(of: Contents, heights: Sequence[float], places: Sequence[Place], histograms: Histograms) -> Figure | None:
    """Draw quantities of a region side by side, small and with one legend, as far as there is something to draw.

    The heights are those of the panels of each quantity: of events and ratios, or of ratios alone.
    """
    contents = [(place, content) for place in places if (content := of(place, histograms)) is not None]
    if not contents:
        return None
    with matplotlib.style.context(GridFigure.style):
        figure, cells = grid(len(contents), *heights)
        for (place, content), panels in zip(contents, cells, strict=True):
            upper = panels[0] if len(panels) > 1 else None
            _paint(content, place, upper, panels[-1])
            if upper is not None:
                upper.set_ylim(min(0, upper.dataLim.ymin), 1.08 * upper.dataLim.ymax)
        place, content = contents[0]
        headline = (
            _origin(content.collisions),
            drawable(place.region.title),
            luminosity_and_energy(place.analysis.luminosity),
        )
        finish_grid(figure, cells, content.ratio, headline)
    return figure


def _paint(content: Content, place: Place, upper: Axes | None, lower: Axes) -> None:
    """Draw what there is, and choose the range of the ratios."""
    lower.axhline(1, color="black", linewidth=1)
    content.paint(upper, lower)
    if upper is not None:
        upper.set_xlabel("")
    lower.set_xlabel(drawable(place.axis.label))
    lower.set_xlim(content.edges[0], content.edges[-1])
    # Nearly empty bins do not set the range.
    populated = np.abs(content.errors) < MAX_ERROR
    shown = np.abs(content.deviations)[:, populated if populated.any() else np.isfinite(content.errors)]
    spread = 1.2 * np.clip(np.nan_to_num(shown).max(initial=0), 0.02, 0.9)
    lower.set_ylim(1 - spread, 1 + spread)


def draw_plane(place: Place, label: str, processes: Sequence[Process], histograms: Histograms) -> Figure | None:
    """Draw the sum of two-dimensional histograms; bins without events stay white."""
    parts = [
        histogram
        for process in processes
        if (histogram := histograms.get((place.histogram.name, process.name, NOMINAL))) is not None
    ]
    if not any(part.values().any() for part in parts):
        return None
    total: hist.Hist[Any] = reduce(add, parts)
    values = _values(total).T

    figure = StyledFigure(figsize=(11, 10))
    panel = figure.add_axes((0.1, 0.1, 0.7, 0.79))
    x, y = (axis.edges for axis in total.axes)
    mesh = panel.pcolormesh(x, y, np.where(values, values, np.nan), cmap="cividis", rasterized=True)
    figure.colorbar(mesh, cax=figure.add_axes((0.82, 0.1, 0.04, 0.79)), label="Events")
    horizontal, vertical = (drawable(axis.label) for axis in place.histogram.axes)
    panel.set_xlabel(horizontal)
    panel.set_ylabel(vertical)
    panel.text(0, 1.07, drawable(f"{label}: {place.region.title}"), transform=panel.transAxes)
    _headline(place, panel, collisions=False)
    return figure


def _below_legend(place: Place, panel: Axes) -> float:
    """Add a legend that fits into a panel, and give the share of its height that is left below it."""
    height, width = 1.0, 1.0
    for size in LEGEND_SIZES:
        legend = panel.legend(
            title=drawable(place.region.title),
            fontsize=size,
            title_fontsize=1.2 * size,
            ncols=2,
            loc="upper left",
            alignment="left",
        )
        extent = legend.get_window_extent()
        height, width = extent.height / panel.bbox.height, extent.width / panel.bbox.width
        if height < 0.5 and width < 0.97:
            break
    return max(0.2, 1 - height - 0.05)


def _headline(place: Place, panel: Axes, collisions: bool) -> None:
    """Say above a panel what the events are."""
    panel.set_title(_origin(collisions), loc="left", fontweight="bold")
    panel.set_title(luminosity_and_energy(place.analysis.luminosity), loc="right")


def _origin(collisions: bool) -> str:
    """What the events are."""
    return "CMS Open Data" if collisions else "Simulation"
