"""Plots of a fit, from what `fit.json` says about it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ttbar.output import prepare
from ttbar.results.pictures import Picture, save_all
from ttbar.results.style import FOLDER, GridFigure, drawable, finish_grid, grid, luminosity_and_energy

PREFIX = "fit_"
"""Begins the name of each file."""

RANKED = 20
"""A ranking shows this many parameters."""

RATIO = "data / model"

STYLE: list[Any] = [mplhep.style.CMS, {"font.size": 20, "axes.linewidth": 1.5, "pdf.compression": 9}]

LONGEST = 50
"""Longer names are shortened, in plots and in names of files."""


def draw(
    fit: Mapping[str, Any],
    output: Path,
    before: Mapping[str, Any] | None = None,
    drawn: Callable[[], object] = lambda: None,
) -> None:
    """Draw the plots of a fit.

    Parameters
    ----------
    fit : mapping
        Content of `fit.json`.
    output : pathlib.Path
        Results folder; plots go to its `plots/`, as PNG and PDF.
    before : mapping, optional
        What there was of the content when plots were drawn before, which are not drawn again.
    drawn : callable, optional
        Called after each plot.
    """
    prepare(output / FOLDER, ())
    save_all(new_pictures(fit, before), fit, output / FOLDER, STYLE, drawn)


def new_pictures(fit: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[Picture[Mapping[str, Any]]]:
    """The plots of a fit that there were not before.

    Parameters
    ----------
    fit : mapping
        Content of `fit.json`.
    before : mapping, optional
        What there was of it before.

    Returns
    -------
    list of Picture
        The plots.
    """
    there = {picture.name for picture in pictures(before)} if before else set()
    return [picture for picture in pictures(fit) if picture.name not in there]


def pictures(fit: Mapping[str, Any]) -> Iterator[Picture[Mapping[str, Any]]]:
    """All plots of a fit.

    Parameters
    ----------
    fit : mapping
        Content of `fit.json`.

    Yields
    ------
    Picture
        Regions before the fit and after it, then what the fit says of its parameters.
    """
    carried = fit.get("carried_over", {})
    *names, together = _files([*fit["bins"], carried.get("name", "")])
    files = dict(zip(fit["bins"], names, strict=True))
    for stage in ("prefit", "postfit"):
        for region, content in fit["bins"].items():
            if stage in content:
                yield _picture(
                    partial(_data_and_model, region, stage),
                    f"{files[region]}_{stage}",
                    f"{region} {_when(stage)}",
                    f"Stacked samples and the fitted data in {region} {_when(stage)}, and their ratio.",
                )
        if carried.get("bins"):
            yield _picture(
                partial(_carried_over, stage),
                f"{together}_{stage}",
                f"{carried['name']} {_when(stage)}; they are not fitted".replace("_", " "),
                f"{len(carried['bins'])} small pictures side by side, each with stacked samples {_when(stage)} and "
                f"{'pseudodata' if fit['pseudodata'] else 'data'} in bins of a quantity that is not fitted, and their "
                f"ratio below. Hatched: the uncertainty. The quantities, row by row: {', '.join(carried['bins'])}.",
            )
    if "parameters" not in fit:  # it failed
        return
    if _pulled(fit):
        yield _picture(_pulls, "pulls", "Pulls", "Best-fit nuisance parameters and their uncertainties.")
    yield _picture(
        _correlation,
        "correlation",
        "Correlations",
        "Matrix of the correlations of the fitted parameters, where they are not negligible.",
    )
    if fit.get("ranking"):
        yield _picture(
            _ranking,
            "ranking",
            "Ranking",
            f"Nuisance parameters by their impact on {fit['parameter_of_interest']}, and their pulls.",
        )
    if fit.get("scan", {}).get("values"):
        yield _picture(_scan, "scan", "Likelihood scan", "Twice the negative log likelihood over its minimum.")


def _files(names: Iterable[str]) -> Iterator[str]:
    """Begin the names of files with what is like a name, for each name another one, also where case means nothing."""
    taken = set()
    for name in names:
        plain = re.sub(r"[^\w.+-]", "-", name, flags=re.ASCII)[:LONGEST]
        file = next(
            file for number in count(1) if (file := f"{plain}-{number}" if number > 1 else plain).lower() not in taken
        )
        taken.add(file.lower())
        yield file


def _text(name: str) -> str:
    """Write a name so that matplotlib can draw it, and not too long."""
    return drawable(f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}" if len(name) > LONGEST else name)


def _picture(
    draw: Callable[[Mapping[str, Any]], Figure], name: str, title: str, description: str
) -> Picture[Mapping[str, Any]]:
    return Picture(PREFIX + name, title, description, draw)


def _annotate(axes: Axes, fit: Mapping[str, Any]) -> None:
    """Say what was collided, above the axes."""
    axes.text(
        1,
        1.01,
        luminosity_and_energy(fit["luminosity"]),
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize="small",
    )


def _data_and_model(region: str, stage: str, fit: Mapping[str, Any]) -> Figure:
    """Stacked samples and data, and the ratio of data to their sum."""
    content = fit["bins"][region]
    figure = Figure(figsize=(10, 10), layout=ConstrainedLayoutEngine(h_pad=0.03, hspace=0))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top = _paint(upper, lower, fit, content, stage)
    upper.set_ylim(0, 1.45 * top)
    upper.set_ylabel(f"Events / {_width(np.asarray(content['edges']), _text(content['label']))}")
    handles, labels = upper.get_legend_handles_labels()
    upper.legend(handles[::-1], labels[::-1], ncols=2, loc="upper right")
    upper.text(0.04, 0.95, f"{_text(region)}\n{_when(stage)}", transform=upper.transAxes, va="top")
    _annotate(upper, fit)
    lower.set_ylabel(RATIO, loc="center")
    figure.align_ylabels()
    return figure


def _carried_over(stage: str, fit: Mapping[str, Any]) -> Figure:
    """What the fit predicts of histograms that were not fitted, side by side."""
    regions = fit["carried_over"]["bins"]
    fit = {**fit, "samples": fit["carried_over"]["samples"]}  # there may be samples that are not in the fit
    with matplotlib.style.context(GridFigure.style):
        figure, cells = grid(len(regions), 2.5, 1)
        for content, (upper, lower) in zip(regions.values(), cells, strict=True):
            top = _paint(upper, lower, fit, content, stage)
            upper.set_ylim(0, 1.08 * top or 1)
        headline = (f"{_when(stage).capitalize()}, not fitted", "", luminosity_and_energy(fit["luminosity"]))
        finish_grid(figure, cells, RATIO.replace(" / ", " /\n"), headline)
    return figure


def _when(stage: str) -> str:
    return "before the fit" if stage == "prefit" else "after the fit"


def _paint(upper: Axes, lower: Axes, fit: Mapping[str, Any], content: Mapping[str, Any], stage: str) -> float:
    """Draw samples and data above their ratio, and give the height of the highest of them."""
    model = content[stage]
    edges, data = np.asarray(content["edges"]), np.asarray(content["data"])
    total, uncertainty = np.asarray(model["total"]), np.asarray(model["uncertainty"])
    # Small contributions at the bottom, the one that is measured on top; each colour is there in each region.
    samples = sorted(model["samples"].items(), key=lambda item: sum(item[1]))
    mplhep.histplot(
        [yields for _, yields in samples],
        edges,
        stack=True,
        histtype="fill",
        label=[_text(fit["samples"][name]["label"]) for name, _ in samples],
        color=[fit["samples"][name]["colour"] for name, _ in samples],
        ax=upper,
    )
    band = {
        "baseline": total - uncertainty,
        "hatch": "////",
        "facecolor": "none",
        "edgecolor": "0.3",
        "linewidth": 0,
    }
    upper.stairs(total + uncertainty, edges, label="uncertainty", **band)
    errors = np.sqrt(data)
    points = {"histtype": "errorbar", "color": "black", "markersize": 0.4 * mpl.rcParams["font.size"], "xerr": False}
    mplhep.histplot(data, edges, yerr=errors, label="pseudodata" if fit["pseudodata"] else "data", ax=upper, **points)
    upper.set_xlabel("")

    # There is no ratio where nothing is expected.
    expected = np.where(total > 0, total, np.nan)
    relative, ratio, spread = uncertainty / expected, data / expected, errors / expected
    lower.stairs(1 + relative, edges, **(band | {"baseline": 1 - relative}))
    lower.axhline(1, color="0.3", linestyle="--", linewidth=1)
    mplhep.histplot(ratio, edges, yerr=spread, ax=lower, **points)
    reach = max(0.1, 1.2 * np.nanmax(np.concatenate([np.abs(ratio - 1) + spread, relative]), initial=0))
    lower.set_ylim(1 - min(reach, 1), 1 + min(reach, 1))
    lower.set_xlim(edges[0], edges[-1])
    lower.set_xlabel(_text(content["label"]))
    return float(max(np.max(total + uncertainty), np.max(data + errors)))


def _width(edges: np.ndarray, label: str) -> str:
    """Say how wide a bin is, for the vertical axis."""
    widths = np.diff(edges)
    if not np.allclose(widths, widths[0]):
        return "bin"
    return f"{widths[0]:.3g} GeV" if "GeV" in label else f"{widths[0]:.3g}"


def _of_kind(fit: Mapping[str, Any], *kinds: str) -> list[str]:
    """Names of parameters of some kinds, in the order of the fit."""
    return [name for name, parameter in fit["parameters"].items() if parameter["kind"] in kinds]


def _pulled(fit: Mapping[str, Any]) -> list[str]:
    """Names of the systematic uncertainties that were not held where they are."""
    return [name for name in _of_kind(fit, "systematic") if fit["parameters"][name]["prefit_uncertainty"]]


def _pulls(fit: Mapping[str, Any]) -> Figure:
    """Best fit and uncertainty of each systematic uncertainty, in units of what was known before."""
    names = _pulled(fit)
    figure = Figure(figsize=(10, 2.5 + 0.5 * len(names)), layout="constrained")
    axes = figure.subplots()
    _draw_pulls(axes, [fit["parameters"][name] for name in names])
    _rows(axes, names)
    _annotate(axes, fit)
    return figure


def _draw_pulls(axes: Axes, parameters: list[Mapping[str, Any]]) -> None:
    """Draw how far parameters were pulled and how much they were constrained, one a row."""
    for band, colour in ((2, "#fff0b3"), (1, "#c8e6c0")):
        axes.axvspan(-band, band, color=colour)
    axes.axvline(0, color="0.3", linestyle="--", linewidth=1)
    # Nothing was known of a free parameter: it has no pull.
    scale = np.asarray([parameter["prefit_uncertainty"] or np.nan for parameter in parameters])
    pulls = np.asarray([parameter["value"] - parameter["nominal"] for parameter in parameters]) / scale
    errors = np.asarray([parameter["uncertainty"] for parameter in parameters]) / scale
    axes.errorbar(pulls, range(len(parameters)), xerr=errors, fmt="o", color="black", markersize=8)
    reach = np.nanmax(np.abs(pulls) + errors, initial=2.3) + 0.2
    axes.set_xlim(-reach, reach)
    axes.set_xlabel(r"$(\hat{\theta} - \theta_0)\; / \;\Delta\theta$")


def _rows(axes: Axes, names: list[str]) -> None:
    """One row for each name, from the top."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), map(_text, names))
    axes.tick_params(axis="y", which="both", length=0)


def _correlation(fit: Mapping[str, Any]) -> Figure:
    """Correlations of all parameters but the statistical ones, of which there is one a bin."""
    names = _of_kind(fit, "free", "systematic")
    at = [fit["correlation"]["labels"].index(name) for name in names]
    matrix = np.asarray(fit["correlation"]["matrix"])[np.ix_(at, at)]
    size = 5 + 0.8 * len(names)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
    texts = [_text(name) for name in names]
    axes.set_xticks(range(len(names)), texts, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), texts)
    axes.tick_params(which="both", length=0)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > 0.6 else "black"
        # Adding zero turns -0.00 into 0.00.
        text = f"{round(value, 2) + 0:.2f}"
        number = axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="x-small")
        number.set_in_layout(False)
    figure.colorbar(image, ax=axes, label="correlation", shrink=0.8)
    return figure


def _ranking(fit: Mapping[str, Any]) -> Figure:
    """Impact of the nuisance parameters that matter most, with their pulls."""
    rows = fit["ranking"][:RANKED]
    poi = fit["parameter_of_interest"]
    figure = Figure(figsize=(12, 4 + 0.5 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    positions = range(len(rows))
    # An impact that is not known is a gap.
    impacts = {
        f"{stage}_{sign}": np.array([row[f"{stage}_{sign}"] for row in rows], dtype=float)
        for stage in ("prefit", "postfit")
        for sign in ("up", "down")
    }
    for sign, colour in (("up", "#3f90da"), ("down", "#ffa90e")):
        symbol = "+" if sign == "up" else "-"
        left.barh(
            positions,
            impacts[f"prefit_{sign}"],
            fill=False,
            edgecolor=colour,
            linewidth=1.5,
            label=rf"$\theta = \hat{{\theta}} {symbol} \Delta\theta$ (before the fit)",
        )
        left.barh(
            positions,
            impacts[f"postfit_{sign}"],
            color=colour,
            label=rf"$\theta = \hat{{\theta}} {symbol} \Delta\hat{{\theta}}$ (after the fit)",
        )
    left.axvline(0, color="0.3", linewidth=1)
    reach = 1.1 * np.nanmax(np.abs(list(impacts.values())), initial=1e-9)
    left.set_xlim(-reach, reach)
    left.set_xlabel(f"change of {_text(poi)}")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="x-small", ncols=2)
    _draw_pulls(right, [fit["parameters"][row["parameter"]] for row in rows])
    for axes in (left, right):
        _rows(axes, [row["parameter"] for row in rows])
    right.tick_params(labelleft=False)
    return figure


def _scan(fit: Mapping[str, Any]) -> Figure:
    """Profile likelihood of the parameter of interest, beside the parabola of its uncertainty."""
    scan = fit["scan"]
    best = fit["parameters"][scan["parameter"]]
    values = np.asarray(scan["values"])
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots()
    fine = np.linspace(values[0], values[-1], 200)
    axes.plot(
        fine,
        ((fine - best["value"]) / best["uncertainty"]) ** 2,
        "--",
        color="#ffa90e",
        label="parabola of the uncertainty",
    )
    axes.plot(values, scan["delta_twice_negative_log_likelihood"], "o-", color="#3f90da", label="profile likelihood")
    for level, text in ((1, "68 %"), (4, "95 %")):
        axes.axhline(level, color="0.5", linestyle=":", linewidth=1.5)
        axes.text(best["value"], level, text, ha="center", va="bottom", color="0.3", fontsize="small")
    axes.set_xlim(values[0], values[-1])
    axes.set_ylim(0, 1.3 * max(scan["delta_twice_negative_log_likelihood"]) or 1)
    axes.set_xlabel(_text(scan["parameter"]))
    axes.set_ylabel(r"$-2\;\Delta\;\ln L$")
    axes.legend(loc="upper center")
    _annotate(axes, fit)
    return figure
