"""One page that shows what came out of a run."""

import base64
import io
import math
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from ttbar.analyses.analysis import NOMINAL, Analysis
from ttbar.errors import InputError
from ttbar.lean_jsonschema import jsonschema
from ttbar.library import resource
from ttbar.masking import masked
from ttbar.output import FULL_RUN, written_whole
from ttbar.reading import read_bytes, read_json
from ttbar.results.plot import plots
from ttbar.results.style import FOLDER

PAGE = "report.html"
TEMPLATE = "report.html.jinja"
SCHEMA = "report.schema.json"
"""What the page takes from which file; `metrics.json` has a schema of its own."""

WIDE = 1600
"""Pictures of more pixels from left to right get a row of their own."""


@dataclass(frozen=True)
class Picture:
    """A picture as the page has it inside."""

    title: str
    description: str
    width: int
    height: int
    address: str
    """Data URI."""

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page."""
        return self.width > WIDE


def report(output: Path, analysis: Analysis) -> None:
    """Write the page of a completed run.

    Parameters
    ----------
    output : pathlib.Path
        The results folder. Only `run.json` has to be there; the page says what else is missing.
    analysis : Analysis
        The analysis of the run.

    Raises
    ------
    InputError
        If there is no `run.json`, or one of the files is damaged.
    """
    run = _load(output / "run.json")
    if run is None:
        raise InputError(f"{output}: there is no run.json, so no run was completed here; run the analysis first")
    write_page(output, run, analysis)


def write_page(output: Path, run: Mapping[str, Any], analysis: Analysis) -> None:
    """Write `report.html` into a results folder.

    Parameters
    ----------
    output : pathlib.Path
        The results folder.
    run : mapping
        What is, or is going to be, the content of `run.json`.
    analysis : Analysis
        The analysis of the run.

    Raises
    ------
    InputError
        If a file in the folder is damaged.
    """
    fit = _load(output / "fit.json")
    metrics = _load(output / "metrics.json")
    pictures = _pictures(output / FOLDER)
    environment = jinja2.Environment(
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else masked(str(value)),
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "rounded": _rounded}
    page = environment.from_string(resource("results", TEMPLATE).read_text(encoding="utf-8")).render(
        run=run,
        fit=fit and {"parameters": {}} | fit,
        correlated=_correlated((fit or {}).get("correlation", {}), analysis.fit.parameter),
        cutflow=_load(output / "cutflow.json"),
        metrics=metrics,
        full_run=FULL_RUN,
        cost=_cost(metrics or {}),
        plots=[pictures.pop(plot.name) for plot in plots(analysis) if plot.name in pictures],
        fit_plots=[pictures[name] for name in sorted(pictures, key=_order_of_fit_plots) if name.startswith("fit_")],
        files_of=Counter(file.get("sample") for file in run.get("files", [])),
        **_of_analysis(analysis),
    )
    with written_whole(output / PAGE) as beside:
        beside.write_text(page, encoding="utf-8", errors="replace")  # half a surrogate pair is no text


def _of_analysis(analysis: Analysis) -> dict[str, Any]:
    """What the page says of an analysis."""
    signal = [analysis.process(name) for name in analysis.fit.signal]
    stand_in = [sample.partition("__") for _, sample in analysis.fit.pseudodata]
    contained = {process for process, _, _ in stand_in}
    return {
        "analysis": analysis,
        "strength": analysis.fit.parameter,
        "signal": " and ".join(process.title for process in signal),
        "predicted": sum(process.cross_section or 0 for process in signal),
        "regions": {region.name for region in analysis.regions},
        "not_in_pseudodata": [process.title for process in analysis.simulated if process.name not in contained],
        "alternatives": [variation for _, _, variation in stand_in if variation != NOMINAL],
    }


def _order_of_fit_plots(name: str) -> tuple[int, str]:
    """Regions before the fit, after it, then what the fit says of its parameters."""
    ends = ("_prefit", "_postfit", "_pulls", "_correlation", "_ranking", "_scan")
    return next((place for place, end in enumerate(ends) if name.endswith(end)), len(ends)), name


def _load(path: Path) -> dict[str, Any] | None:
    """Read a JSON file of the results, if it is there, and check what the page takes from it."""
    if not path.exists():
        return None
    content = read_json(path, any_number=True, integer=_integer)
    wrong = next(jsonschema.Draft202012Validator(_schema(path.stem)).iter_errors(content), None)
    if wrong is not None:
        where = wrong.json_path if len(wrong.json_path) < 100 else f"{wrong.json_path[:100]}..."
        raise InputError(f"{path}: what stands at {where} is not what a run writes there, make it again")
    checked: dict[str, Any] = content
    return checked


def _schema(name: str) -> dict[str, Any]:
    """What the page takes from a file."""
    if name == "metrics":
        schema: dict[str, Any] = read_json(resource("schemas", "metrics.schema.json"))
        return schema | {"required": []}  # another version may have measured less
    return {"$ref": f"#/$defs/{name}", "$defs": read_json(resource("results", SCHEMA))["$defs"]}


def _cost(metrics: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """Labels, values and units of what a run cost, in the order of the schema; then what that does not know."""
    known = _schema("metrics")["properties"]
    rows = {name: entry for name, entry in known.items() if "title" in entry}
    rows |= {name: {"title": name} for name in metrics if name not in known}
    return [
        (row["title"], metrics[name], row.get("unit", ""))
        for name, row in rows.items()
        if isinstance(metrics.get(name), int | float)
    ]


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _correlated(correlation: Mapping[str, Any], strength: str) -> list[tuple[str, float]]:
    """Find the parameters that are most correlated with the result."""
    labels, matrix = correlation.get("labels", []), correlation.get("matrix", [])
    place = labels.index(strength) if strength in labels else len(labels)
    row = zip(labels, matrix[place] if place < len(matrix) else [], strict=False)
    others = [(label, value) for label, value in row if label != strength]
    return sorted(others, key=lambda other: -abs(other[1]))[:5]


def _pictures(folder: Path) -> dict[str, Picture]:
    """Read all pictures, with the titles and descriptions that are in them."""
    return {path.stem: _picture(path) for path in sorted(folder.glob("*.png"))}


def _picture(path: Path) -> Picture:
    """Read a picture."""
    try:
        content = read_bytes(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                image.load()
                title = image.info.get("Title", path.stem.replace("_", " "))
                return Picture(
                    title,
                    image.info.get("Description", title),
                    *image.size,
                    Markup(f"data:image/png;base64,{base64.b64encode(content).decode()}"),
                )
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path}: the picture is too large for a page, plot again") from None
    except Exception as error:  # what a damaged picture makes Pillow raise can be anything
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
    value, uncertainty = (measured.get(key) if measured else None for key in ("value", "uncertainty"))
    if "\N{EN DASH}" in (_figure(value), _figure(uncertainty)) or not uncertainty:
        return _figure(value), _figure(uncertainty)
    decimals = min(15, max(0, 1 - math.floor(math.log10(abs(uncertainty)))))
    return f"{value:,.{decimals}f}", f"{uncertainty:,.{decimals}f}"
