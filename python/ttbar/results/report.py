"""One page that shows what came out of a run."""

import base64
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, UnidentifiedImageError

from ttbar.analyses.agc_v1 import definition
from ttbar.errors import InputError
from ttbar.library import resource
from ttbar.output import written_whole
from ttbar.results.plot import PLOTS
from ttbar.results.style import FOLDER

PAGE = "report.html"
TEMPLATE = "report.html.jinja"

STRENGTH = "ttbar_norm"
"""The parameter of the fit that is the result: the cross-section over its prediction."""

COST = {
    "events": ("Events processed", ""),
    "events_per_s": ("Events per second in the loop", ""),
    "events_per_thread_s": ("The same per thread", ""),
    "events_per_core_s": ("Events per second of processor time in the loop", ""),
    "threads": ("Threads", ""),
    "check_s": ("Fetching and checking of files", "s"),
    "skim_s": ("Skimming", "s"),
    "skim_bytes_read": ("Bytes read to skim", ""),
    "booking_s": ("Booking and compilation", "s"),
    "jit_s": ("Of this, compilation", "s"),
    "loop_wall_s": ("Event loop, wall-clock time", "s"),
    "loop_cpu_s": ("Event loop, processor time", "s"),
    "merge_s": ("Normalising and writing histograms", "s"),
    "plots_s": ("Plots", "s"),
    "fit_s": ("Fit", "s"),
    "total_wall_s": ("Whole run, wall-clock time", "s"),
    "bytes_read": ("Bytes read", ""),
    "bytes_read_root": ("As ROOT counts them", ""),
    "bytes_read_system": ("As the operating system counts them", ""),
    "percent_read": ("Share of the files that was read", "%"),
    "peak_rss_mb": ("Peak memory of the largest process", "MB"),
}
"""What the entries of `metrics.json` are called, and their units."""


@dataclass(frozen=True)
class Picture:
    """A picture as the page has it inside."""

    title: str
    description: str
    width: int
    height: int
    address: str
    """Data URI."""


def report(output: Path) -> None:
    """Write the page of a completed run.

    Parameters
    ----------
    output : pathlib.Path
        The results folder. Only `run.json` has to be there; the page says what else is missing.

    Raises
    ------
    InputError
        If there is no `run.json`, or one of the files is damaged.
    """
    run = _load(output / "run.json")
    if run is None:
        raise InputError(f"{output}: there is no run.json, so no run was completed here; run the analysis first")
    write_page(output, run)


def write_page(output: Path, run: Mapping[str, Any]) -> None:
    """Write `report.html` into a results folder.

    Parameters
    ----------
    output : pathlib.Path
        The results folder.
    run : mapping
        What is, or is going to be, the content of `run.json`.

    Raises
    ------
    InputError
        If a file in the folder is damaged.
    """
    fit = _load(output / "fit.json")
    pictures = _pictures(output / FOLDER)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "rounded": _rounded}
    page = environment.from_string(resource("results", TEMPLATE).read_text(encoding="utf-8")).render(
        run=run,
        fit=fit,
        correlated=_correlated((fit or {}).get("correlation", {})),
        cutflow=_load(output / "cutflow.json"),
        metrics=_load(output / "metrics.json"),
        strength=STRENGTH,
        predicted=definition.CROSS_SECTIONS["ttbar"],
        luminosity=definition.LUMINOSITY,
        cuts=definition.CUTS,
        cost=COST,
        plots=[pictures.pop(plot.name) for plot in PLOTS if plot.name in pictures],
        fit_plots=[pictures[name] for name in sorted(pictures, key=_order_of_fit_plots) if name.startswith("fit_")],
        files_of=Counter(file["sample"] for file in run.get("files", [])),
    )
    with written_whole(output / PAGE) as beside:
        beside.write_text(page, encoding="utf-8")


def _order_of_fit_plots(name: str) -> tuple[int, str]:
    """Regions before the fit, after it, then what the fit says of its parameters."""
    ends = ("_prefit", "_postfit", "_pulls", "_correlation", "_ranking", "_scan")
    return next((place for place, end in enumerate(ends) if name.endswith(end)), len(ends)), name


def _load(path: Path) -> dict[str, Any] | None:
    """Read a JSON file of the results, if it is there."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON, make it again ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not what a run writes, make it again")
    return content


def _correlated(correlation: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Find the parameters that are most correlated with the result."""
    labels = correlation.get("labels", [])
    if STRENGTH not in labels:
        return []
    row = zip(labels, correlation["matrix"][labels.index(STRENGTH)], strict=True)
    others = [(label, value) for label, value in row if label != STRENGTH]
    return sorted(others, key=lambda other: -abs(other[1]))[:5]


def _pictures(folder: Path) -> dict[str, Picture]:
    """Read all pictures, with the titles and descriptions that are in them."""
    return {path.stem: _picture(path) for path in sorted(folder.glob("*.png"))}


def _picture(path: Path) -> Picture:
    """Read a picture."""
    try:
        with Image.open(path) as image:
            image.load()
            title = image.info.get("Title", path.stem.replace("_", " "))
            return Picture(
                title,
                image.info.get("Description", title),
                *image.size,
                f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}",
            )
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{path}: not readable as a picture, plot again ({error})") from None


def _figure(value: Any, digits: int = 4) -> str:
    """Format whatever should be a number; a dash if it is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "\N{EN DASH}"
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def _rounded(measured: Mapping[str, Any]) -> tuple[str, str]:
    """Format value and uncertainty, to two digits of the latter."""
    value, uncertainty = measured.get("value"), measured.get("uncertainty")
    if "\N{EN DASH}" in (_figure(value), _figure(uncertainty)) or not uncertainty:
        return _figure(value), _figure(uncertainty)
    decimals = max(0, 1 - math.floor(math.log10(abs(uncertainty))))
    return f"{value:,.{decimals}f}", f"{uncertainty:,.{decimals}f}"
