"""Plots of the histograms: which there are, and how each kind is drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import hist
import matplotlib.style
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttbar.analyses.agc_v1 import definition
from ttbar.errors import InputError
from ttbar.output import prepare
from ttbar.progress import Display, say
from ttbar.results.histograms import name_of, read
from ttbar.results.style import FOLDER, FORMATS, STYLE, save


@dataclass(frozen=True)
class Appearance:
    """How a process appears in a plot."""

    label: str
    colour: str


# From the bottom of a stack to its top, in colours that people with any kind of colour vision tell apart
# (M. A. Petroff, arXiv:2107.02270).
PROCESSES = {
    "single_top_s_chan": Appearance("Single top, $s$ channel", "#832db6"),
    "single_top_t_chan": Appearance("Single top, $t$ channel", "#a96b59"),
    "single_top_tW": Appearance("Single top, $tW$", "#92dadd"),
    "wjets": Appearance("W + jets", "#ffa90e"),
    "ttbar": Appearance(r"$t\bar{t}$", "#3f90da"),
}
BACKGROUNDS = tuple(process for process in PROCESSES if process != "ttbar")

REGIONS = {
    "4j1b": r"1 lepton, $\geq$ 4 jets, 1 b tag",
    "4j2b": r"1 lepton, $\geq$ 4 jets, $\geq$ 2 b tags",
}

SLICES = {"4j1b": np.s_[110j :: hist.rebin(2)], "4j2b": np.s_[:]}
"""The part of the observable that is drawn: H_T is never below four times the threshold of a jet."""

QUANTITIES = {
    ("4j1b", "observable"): ("H_T", "the scalar sum of the jets' transverse momenta"),
    ("4j2b", "observable"): ("m_bjj", "the mass of the trijet"),
    ("4j1b", "deltaR"): ("deltaR", "which is the azimuthal difference of the two jets assigned to the W"),
    ("4j2b", "deltaR"): ("deltaR", "which is the azimuthal difference of the two jets assigned to the W"),
}
"""Name and meaning of each axis, as plain text."""

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


@dataclass(frozen=True)
class Systematic:
    """A source of uncertainty, by its variations."""

    label: str
    up: str
    down: str | None = None
    """None if there is but one variation, which then stands for both directions."""


SYSTEMATICS = {
    "btag": tuple(
        Systematic(f"b-tag NP {jet + 1}", f"btag_var_{jet}_up", f"btag_var_{jet}_down")
        for jet in range(definition.BTAG_JETS)
    ),
    "jet_energy": (
        Systematic("Jet energy scale", "pt_scale_up"),
        Systematic("Jet energy resolution", "pt_res_up"),
    ),
    "scale": (Systematic("W + jets scale", "scale_var_up", "scale_var_down"),),
    "simulation": (
        Systematic("Matrix element", "ME_var"),
        Systematic("Parton shower", "PS_var"),
        Systematic("Scale", "scaleup", "scaledown"),
    ),
}
"""Sources of uncertainty by topic."""

SOURCES = tuple(source for sources in SYSTEMATICS.values() for source in sources)

VARIED = {
    "btag": ("ttbar", "the b-tag variations"),
    "jet_energy": ("ttbar", "the variations of jet energy scale and resolution"),
    "scale": ("wjets", "the W + jets scale variations"),
    "simulation": ("ttbar", "the alternative simulations"),
}
"""The process that each topic is drawn for, and what to call the variations."""

CURVES = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6")
"""Colours of the sources of a topic, of the same palette as those of the processes."""

MAX_ERROR = 0.25
"""Bins with a larger relative statistical uncertainty have no say in the range of a panel of ratios."""

Histograms = Mapping[str, hist.Hist[Any]]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Plot:
    """A plot, and what is to be said about it."""

    name: str
    """Name of its files, without extension."""
    title: str
    description: str
    """What it shows, also for people who cannot see it."""
    draw: Callable[[Histograms], Figure | None]
    """Gives None if there is nothing to draw it from."""


def plot(histograms: Path, output: Path) -> None:
    """Draw all plots for which there are histograms.

    Parameters
    ----------
    histograms : pathlib.Path
        ROOT file of a run.
    output : pathlib.Path
        Results folder. Plots go to its `plots/`, as PNG and PDF; old ones of the same names are removed.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a nominal histogram, or all its nominal histograms are empty.
    """
    contents = _checked(read(histograms), histograms)
    folder = output / FOLDER
    prepare(folder, (f"{each.name}.{extension}" for each in PLOTS for extension in FORMATS))
    left_out = []
    with matplotlib.style.context(STYLE), Display("Plotting", len(PLOTS), "plots") as display:
        for number, each in enumerate(PLOTS, start=1):
            figure = each.draw(contents)
            if figure is None:
                left_out.append(each.name)
            else:
                save(figure, folder, each.name, each.title, each.description)
            display.update(number)
    if left_out:
        say(f"Not plotted, for want of events or histograms: {', '.join(left_out)}")


def _checked(histograms: Histograms, path: Path) -> Histograms:
    """Take the two-dimensional histograms, if they are what a run writes."""
    checked = {name: histogram for name, histogram in histograms.items() if histogram.ndim == 2}
    bins = (definition.OBSERVABLE_BINS, definition.DELTAR_BINS)
    expected = [np.linspace(low, high, number + 1) for number, low, high in bins]
    for name, histogram in checked.items():
        for axis, edges in zip(histogram.axes, expected, strict=True):
            if len(axis.edges) != len(edges) or not np.allclose(axis.edges, edges):
                raise InputError(f"{path}: {name} does not have the bins of this analysis")
        if not np.isfinite(histogram.values(flow=True)).all():
            raise InputError(f"{path}: {name} has a bin that is not a number; make the file again")

    samples = [(region, process) for region in definition.REGIONS for process in PROCESSES]
    for region, process in samples:
        name = name_of(region, process, definition.NOMINAL)
        for source in SOURCES:
            varied = name_of(region, process, source.up)
            # An alternative simulation may be processed alone, any other variation comes with nominal.
            alone = source.up in definition.PROCESSES[process]
            if varied in checked and name not in checked and not alone:
                raise InputError(f"{path}: there is {varied}, but not its nominal histogram {name}")
    nominal = [name for sample in samples if (name := name_of(*sample, definition.NOMINAL)) in checked]
    if not nominal:
        raise InputError(f"{path}: there is no nominal histogram of a simulated process, nothing to plot")
    if not any(checked[name].values().any() for name in nominal):
        raise InputError(f"{path}: all nominal histograms are empty, nothing to plot")
    return checked


def _projection(histograms: Histograms, region: str, process: str, variation: str, axis: str) -> hist.Hist[Any] | None:
    """Project a histogram to what is drawn of it, if it is there."""
    histogram = histograms.get(name_of(region, process, variation))
    if histogram is None:
        return None
    projection: Any = histogram.project(1 if axis == "deltaR" else 0)
    selected: hist.Hist[Any] = projection[np.s_[:] if axis == "deltaR" else SLICES[region]]
    return selected


def _values(histogram: hist.Hist[Any]) -> Values:
    """Contents of the bins."""
    return np.asarray(histogram.values(), dtype=np.float64)


def _errors(histogram: hist.Hist[Any]) -> Values:
    """Statistical uncertainties of the bins."""
    return np.sqrt(np.asarray(histogram.variances(), dtype=np.float64))


def _inverse(values: Values) -> Values:
    """One over each value, and not a number where that is zero."""
    return np.divide(1, values, out=np.full_like(values, np.nan), where=values != 0)


def _shift(histograms: Histograms, region: str, axis: str, variation: str) -> Values:
    """Change of the expectation by a variation, over all processes that have it."""
    shift = np.zeros(1)
    for process in PROCESSES:
        nominal = _projection(histograms, region, process, definition.NOMINAL, axis)
        varied = _projection(histograms, region, process, variation, axis)
        if nominal is not None and varied is not None:
            shift = shift + _values(varied) - _values(nominal)
    return shift


def _systematic(histograms: Histograms, region: str, axis: str) -> tuple[Values, Values]:
    """Systematic uncertainty of the expectation downwards and upwards: all sources in quadrature."""
    below, above = np.zeros(1), np.zeros(1)
    for source in SOURCES:
        up = _shift(histograms, region, axis, source.up)
        down = _shift(histograms, region, axis, source.down) if source.down else -up
        below = below + np.minimum(np.minimum(up, down), 0) ** 2
        above = above + np.maximum(np.maximum(up, down), 0) ** 2
    return np.sqrt(below), np.sqrt(above)


def _stack(histograms: Histograms, region: str, axis: str) -> Figure | None:
    """Draw all processes on top of each other, with uncertainties and, if there are any, collision data."""
    parts = {
        process: projection
        for process in PROCESSES
        if (projection := _projection(histograms, region, process, definition.NOMINAL, axis)) is not None
    }
    if not any(part.values().any() for part in parts.values()):
        return None
    total: hist.Hist[Any] = reduce(add, parts.values())
    nominal, statistical = _values(total), _errors(total)
    below, above = (np.hypot(statistical, part) for part in _systematic(histograms, region, axis))
    data = _projection(histograms, region, definition.DATA, definition.NOMINAL, axis)
    bins = total.axes[0]

    upper, lower = _panels(
        region, axis, bins.edges, "Data /\nexpectation" if data is not None else "Relative to\nexpectation"
    )
    mplhep.histplot(
        list(parts.values()),
        ax=upper,
        stack=True,
        histtype="fill",
        color=[PROCESSES[process].colour for process in parts],
        label=[PROCESSES[process].label for process in parts],
        flow="none",
    )
    upper.set_xlabel("")
    ratio = _inverse(nominal)
    for panel, scale in ((upper, np.ones_like(nominal)), (lower, ratio)):
        for down, up, style in ((below, above, TOTAL), (statistical, statistical, STATISTICAL)):
            low, high = (nominal - down) * scale, (nominal + up) * scale
            panel.stairs(high, bins.edges, baseline=low, fill=True, **style)
        if data is not None:
            errors = _errors(data) * np.abs(scale)
            panel.errorbar(bins.centers, _values(data) * scale, errors, fmt="o", color="black", label="Data")
    deviations = [below, above, *([] if data is None else [_values(data) - nominal])]
    return _finished(
        upper, lower, region, np.array(deviations) * ratio, statistical * ratio, collisions=data is not None
    )


def _variations(histograms: Histograms, region: str, process: str, topic: str) -> Figure | None:
    """Draw a process with its variations of a topic, and their ratio to nominal."""
    nominal = _projection(histograms, region, process, definition.NOMINAL, "observable")
    curves = [
        (_values(varied), colour, line, f"{source.label}{direction}")
        for source, colour in zip(SYSTEMATICS[topic], CURVES, strict=False)
        for variation, line, direction in (
            (source.up, "solid", " up" if source.down else ""),
            (source.down, "dashed", " down"),
        )
        if variation and (varied := _projection(histograms, region, process, variation, "observable")) is not None
    ]
    if nominal is None or not nominal.values().any() or not curves:
        return None
    values, statistical, edges = _values(nominal), _errors(nominal), nominal.axes[0].edges
    curves.insert(0, (values, "black", "solid", f"{PROCESSES[process].label}, nominal"))

    upper, lower = _panels(region, "observable", edges, "Variation /\nnominal")
    ratio = _inverse(values)
    for panel, scale in ((upper, np.ones_like(values)), (lower, ratio)):
        low, high = (values - statistical) * scale, (values + statistical) * scale
        panel.stairs(high, edges, baseline=low, fill=True, **STATISTICAL)
        for curve, colour, line, label in curves:
            panel.stairs(curve * scale, edges, baseline=None, color=colour, linestyle=line, linewidth=2, label=label)
    deviations = np.array([curve - values for curve, *_ in curves[1:]]) * ratio
    return _finished(upper, lower, region, deviations, statistical * ratio, collisions=False)


def _plane(histograms: Histograms, region: str, label: str, processes: Sequence[str]) -> Figure | None:
    """Draw the sum of two-dimensional histograms; bins without events stay white."""
    parts = [
        histogram
        for process in processes
        if (histogram := histograms.get(name_of(region, process, definition.NOMINAL))) is not None
    ]
    if not any(part.values().any() for part in parts):
        return None
    total: hist.Hist[Any] = reduce(add, parts)
    values = _values(total).T

    figure = Figure(figsize=(11, 10))
    panel = figure.add_axes((0.1, 0.1, 0.7, 0.79))
    x, y = (axis.edges for axis in total.axes)
    mesh = panel.pcolormesh(x, y, np.where(values, values, np.nan), cmap="cividis", rasterized=True)
    figure.colorbar(mesh, cax=figure.add_axes((0.82, 0.1, 0.04, 0.79)), label="Events")
    panel.set_xlabel(definition.REGIONS[region].label)
    panel.set_ylabel(definition.DELTAR_LABEL)
    panel.text(0, 1.07, f"{label}: {REGIONS[region]}", transform=panel.transAxes)
    _headline(panel, collisions=False)
    return figure


def _panels(region: str, axis: str, edges: Values, ratio: str) -> tuple[Axes, Axes]:
    """Make a figure with a panel of events and one of ratios below it."""
    figure = Figure(figsize=(10, 10))
    geometry = {"hspace": 0.07, "left": 0.16, "right": 0.96, "top": 0.94, "bottom": 0.1}
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1), gridspec_kw=geometry)
    unit = " GeV" if axis == "observable" else ""
    upper.set_ylabel(f"Events / {edges[1] - edges[0]:.3g}{unit}")
    lower.set_ylabel(ratio, loc="center")
    lower.set_xlabel(definition.REGIONS[region].label if axis == "observable" else definition.DELTAR_LABEL)
    lower.set_xlim(edges[0], edges[-1])
    lower.axhline(1, color="black", linewidth=1)
    return upper, lower


def _finished(upper: Axes, lower: Axes, region: str, deviations: Values, errors: Values, *, collisions: bool) -> Figure:
    """Add headline and legend, and choose ranges so that nothing hides anything."""
    _headline(upper, collisions)
    legend = upper.legend(title=REGIONS[region], title_fontsize="medium", ncols=2, loc="upper left", alignment="left")
    below_legend = 1 - legend.get_window_extent().height / upper.bbox.height - 0.05
    upper.set_ylim(min(0, upper.dataLim.ymin), upper.dataLim.ymax / below_legend)
    # A few bins with hardly an event in them shall not flatten all others.
    populated = np.abs(errors) < MAX_ERROR
    shown = np.abs(deviations)[:, populated if populated.any() else np.isfinite(errors)]
    spread = 1.2 * np.clip(np.nan_to_num(shown).max(initial=0), 0.02, 0.9)
    lower.set_ylim(1 - spread, 1 + spread)
    figure = upper.get_figure(root=True)
    assert figure is not None
    return figure


def _headline(panel: Axes, collisions: bool) -> None:
    """Say above a panel what the events are."""
    panel.set_title("CMS Open Data 2015" if collisions else "Simulation", loc="left", fontweight="bold")
    panel.set_title(rf"{definition.LUMINOSITY / 1000:.1f} fb$^{{-1}}$ (13 TeV)", loc="right")


PLOTS = (
    *(
        Plot(
            f"{region}_{axis}",
            f"{name}, {meaning}, in {region}",
            f"Expected events in bins of {name}, {meaning}, in region {region}: processes stacked, top "
            "pairs on top. Dark bands: statistical uncertainty of the simulation. Hatched: that and, in "
            "quadrature, all variations that were processed. Lower panel: the same over the expectation. "
            "Points, if any: collision data.",
            partial(_stack, region=region, axis=axis),
        )
        for (region, axis), (name, meaning) in QUANTITIES.items()
    ),
    *(
        Plot(
            f"{region}_{process}_{topic}",
            f"{name} in {region}: {what}",
            f"Expected events of {process} in bins of {name}, in region {region}, with {what}. Lower panel: "
            "each variation over nominal. Bands: statistical uncertainty of the nominal simulation.",
            partial(_variations, region=region, process=process, topic=topic),
        )
        for topic, (process, what) in VARIED.items()
        for region in definition.REGIONS
        for name, _ in (QUANTITIES[region, "observable"],)
    ),
    *(
        Plot(
            f"{region}_{process}_2d",
            f"{name} and deltaR in {region}: {what}",
            f"Expected events of {what} in bins of {name} (horizontally) and deltaR (vertically), in region "
            f"{region}: the brighter, the more; white where there are none.",
            partial(_plane, region=region, label=label, processes=processes),
        )
        for process, what, label, processes in (
            ("ttbar", "top pairs", PROCESSES["ttbar"].label, ("ttbar",)),
            ("background", "all background processes", "Background", BACKGROUNDS),
        )
        for region in definition.REGIONS
        for name, _ in (QUANTITIES[region, "observable"],)
    ),
)
"""All plots there are, in the order in which a reader wants them."""
