"""The fit of the ttbar cross-section: from histograms to a workspace, its best fit and plots of it."""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cabinetry
import numpy as np
import pyhf
import scipy.stats
from cabinetry.fit.results_containers import FitResults
from cabinetry.histo import Histogram
from cabinetry.model_utils import ModelPrediction
from numpy.typing import NDArray

from ttbar.analyses.agc_v1 import definition
from ttbar.errors import AnalysisError
from ttbar.library import resource
from ttbar.output import prepare, write_json, written_whole
from ttbar.progress import Display, say
from ttbar.results import fit_plots
from ttbar.results.style import FOLDER
from ttbar.results.templates import Settings, Templates, collect, load_configuration

OUTPUTS = ("workspace.json", "fit.json", "yields.txt")

STRATEGIES: tuple[Literal[2] | None, ...] = (None, 2)
"""Strategies of Minuit that are tried: cabinetry's default, then the most careful one.

The first sometimes stops where its own final estimate finds the minimum a little too far away."""

COVARIANCE_TOLERANCE = 0.02
"""If an uncertainty of Minuit is off by a larger fraction, its covariance matrix is replaced."""

HESSIAN_STEP = 0.05
"""Steps of numerical derivatives in units of the uncertainty of a parameter when all others are fixed."""

SCAN_STEPS = 21
SCAN_RANGE = 3.0
"""A scan goes this many uncertainties to both sides of the best fit."""


def fit(
    histograms: Path,
    output: Path,
    *,
    config: Path | None = None,
    variable: str = "observable",
    ranking: bool = False,
    scan: bool = False,
) -> dict[str, Any]:
    """Fit a file of histograms.

    `workspace.json`, `fit.json`, `yields.txt` and the plots of the fit are written to the results folder.

    Parameters
    ----------
    histograms : pathlib.Path
        ROOT file with histograms `{region}_{process}[_{variation}]`.
    output : pathlib.Path
        Results folder.
    config : pathlib.Path, optional
        Configuration of the fit in cabinetry's layout; by default the one that comes with the program.
    variable : str
        What to fit, `observable` or `deltaR`.
    ranking : bool
        Whether to compute the impact of each nuisance parameter on the parameter of interest as well.
    scan : bool
        Whether to scan the likelihood of the parameter of interest as well.

    Returns
    -------
    dict
        The content of `fit.json`.

    Raises
    ------
    InputError
        If the histograms or the configuration cannot be used.
    AnalysisError
        If the fit does not converge.
    """
    configuration = load_configuration(config or resource("analyses", "agc_v1", "fit.yml"), variable)
    templates = collect(histograms, configuration, variable)
    prepare(output, (*OUTPUTS, f"{FOLDER}/{fit_plots.PREFIX}*"))
    say(f"fit: {variable}, {templates.pseudodata or 'collision data'}")
    for line in (*templates.left_out, *map(str, templates.checks)):
        say(f"fit: {line}")

    with _quiet():  # what cabinetry says about templates is among the checks
        workspace = build_workspace(templates)
    with _quiet() as notes:
        model, data = cabinetry.model_utils.model_and_data(workspace)
        best = _minimise(model, data, templates)
        exact = _with_exact_covariance(model, data, best)
        if exact is None:
            notes.append("Minuit's covariance matrix could not be confirmed")
        elif not np.allclose(exact.uncertainty, best.uncertainty, rtol=COVARIANCE_TOLERANCE):
            notes.append("Minuit's covariance matrix is inaccurate and was replaced by a numerical one")
            best = exact
        content = _content(templates, model, data, best, variable)
    content["notes"] = notes
    for note in notes:
        say(f"fit: {note}")
    write_json(output / "workspace.json", workspace)
    with written_whole(output / "yields.txt") as beside:
        beside.write_text(_tables(content))
    write_json(output / "fit.json", content)
    with _quiet():  # what does not converge is left out
        if ranking:
            content["ranking"] = _ranking(model, data, best)
        if scan:
            content["scan"] = _scan(model, data, best)
    write_json(output / "fit.json", content)
    fit_plots.draw(content, output)
    poi, quality = content["parameters"][content["parameter_of_interest"]], content["goodness_of_fit"]
    say(
        f"fit: {content['parameter_of_interest']} = {poi['value']:.3f} ± {poi['uncertainty']:.3f}, "
        f"chi-squared {quality['chi2']:.1f} for {quality['degrees_of_freedom']} degrees of freedom"
    )
    return content


def build_workspace(templates: Templates) -> dict[str, Any]:
    """Build the HistFactory workspace of templates with cabinetry.

    Parameters
    ----------
    templates : Templates
        What to fit.

    Returns
    -------
    dict
        Workspace in pyhf's format, validated.
    """
    router = cabinetry.route.Router()

    @router.register_template_builder()
    def template(region: Settings, sample: Settings, systematic: Settings, direction: str | None) -> Histogram:
        return templates.histograms[region["Name"], sample["Name"], systematic.get("Name", ""), direction]

    with tempfile.TemporaryDirectory() as folder:
        general = templates.config["General"] | {"HistogramFolder": folder}
        config = templates.config | {"General": general}
        cabinetry.templates.build(config, router=router)
        cabinetry.templates.postprocess(config)
        return cabinetry.workspace.build(config)


class _Collect(logging.Handler):
    """Collects warnings that are logged; errors are raised as well."""

    def __init__(self, into: dict[str, None]) -> None:
        super().__init__(logging.WARNING)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        """Collect."""
        if record.levelno == logging.WARNING:
            self._into[record.getMessage()] = None


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Collect the warnings of the libraries, each once, instead of showing them."""
    notes: list[str] = []
    collected: dict[str, None] = {}
    handler = _Collect(collected)
    loggers = [logging.getLogger(name) for name in ("cabinetry", "pyhf")]
    propagated = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        # Minuit prints.
        with warnings.catch_warnings(record=True) as caught, redirect_stdout(io.StringIO()):
            warnings.simplefilter("always")
            # Those are for the authors of the libraries.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield notes
    finally:
        for logger, propagate in zip(loggers, propagated, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate
    notes += dict.fromkeys([*collected, *(str(warning.message) for warning in caught)])


def _converge(attempts: Iterable[Callable[[], FitResults]]) -> FitResults | None:
    """Fit in one way after the other until one converges; None if none does."""
    for attempt in attempts:
        with suppress(pyhf.exceptions.FailedMinimization, ValueError, ArithmeticError):
            return attempt()
    return None


def _minimise(model: pyhf.Model, data: list[float], templates: Templates) -> FitResults:
    """Fit, and make sure that what comes back is the result of one."""
    best = _converge(partial(cabinetry.fit.fit, model, data, strategy=strategy) for strategy in STRATEGIES)
    if best is None:
        raise _failure("the fit does not converge", templates)
    if not (np.isfinite(best.bestfit).all() and np.isfinite(best.uncertainty).all()):
        raise _failure("the fit finds no uncertainties", templates)
    poi = model.config.poi_index
    if np.isclose(best.bestfit[poi], model.config.suggested_bounds()[poi], rtol=1e-3, atol=1e-3).any():
        raise _failure(f"{model.config.poi_name} ends at its bound, {best.bestfit[poi]:.3g}", templates)
    return best


def _with_exact_covariance(model: pyhf.Model, data: list[float], best: FitResults) -> FitResults | None:
    """Take uncertainties and correlations from second derivatives with steps that suit the likelihood.

    With few simulated events parameters are nearly degenerate. Minuit's own derivatives are too coarse then:
    it makes its matrix positive definite by force, and uncertainties come out wrong by up to an order of
    magnitude. The result is None if the matrix of derivatives is not positive definite.
    """

    def objective(parameters: NDArray[np.float64]) -> float:
        return float(-2 * model.logpdf(parameters, data)[0])

    free = np.flatnonzero(best.uncertainty)
    unit = np.eye(len(best.bestfit))[free]

    def second(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        """Differentiate along two steps."""
        corners = [(1, 1), (-1, -1), (1, -1), (-1, 1)]
        plus, minus, *mixed = (objective(best.bestfit + a * one + b * other) for a, b in corners)
        return (plus + minus - sum(mixed)) / 4

    # A step is a small part of what a parameter alone may move, found with one that is small for all.
    curvatures = np.array([second(1e-3 * direction, 1e-3 * direction) for direction in unit]) / 2e-6
    if not (curvatures > 0).all():
        return None
    steps = HESSIAN_STEP / np.sqrt(curvatures)
    scaled = unit * steps[:, None]
    hessian = np.empty((len(free), len(free)))
    for row, column in zip(*np.tril_indices(len(free)), strict=True):
        hessian[row, column] = hessian[column, row] = second(scaled[row], scaled[column])
    if np.linalg.eigvalsh(hessian)[0] <= 0:
        return None
    covariance = 2 * np.linalg.inv(hessian) * np.outer(steps, steps)
    uncertainty, correlation = np.zeros_like(best.uncertainty), np.array(best.corr_mat)
    uncertainty[free] = np.sqrt(np.diag(covariance))
    correlation[np.ix_(free, free)] = covariance / np.outer(uncertainty[free], uncertainty[free])
    return best._replace(uncertainty=uncertainty, corr_mat=correlation)


def _failure(what: str, templates: Templates) -> AnalysisError:
    """Make an error that says where to look."""
    suspicious = "; ".join(str(check) for check in templates.checks if check.severity == "warning")
    return AnalysisError(f"{what}; suspicious templates: {suspicious or 'none, look at the plots of all variations'}")


def _content(
    templates: Templates, model: pyhf.Model, data: list[float], best: FitResults, variable: str
) -> dict[str, Any]:
    """Collect what `fit.json` says about a fit."""
    poi = str(model.config.poi_name)
    predictions = {
        "prefit": cabinetry.model_utils.prediction(model),
        "postfit": cabinetry.model_utils.prediction(model, fit_results=best),
    }
    parameters = _parameters(model, best)
    content: dict[str, Any] = {
        "variable": variable,
        "pseudodata": templates.pseudodata,
        "parameter_of_interest": poi,
        "parameters": parameters,
        "correlation": {"labels": best.labels, "matrix": np.asarray(best.corr_mat).tolist()},
        "goodness_of_fit": _goodness_of_fit(model, data, best),
        "yields": {label: _yields(templates, prediction) for label, prediction in predictions.items()},
        "bins": _bins(templates, predictions),
        "checks": [asdict(check) for check in templates.checks],
        "left_out": list(templates.left_out),
    }
    if poi == "ttbar_norm":
        predicted = definition.CROSS_SECTIONS["ttbar"]
        content["cross_section_pb"] = {"predicted": predicted} | {
            key: predicted * parameters[poi][key] for key in ("value", "uncertainty")
        }
    return content


def _parameters(model: pyhf.Model, best: FitResults) -> dict[str, Any]:
    """Best fit and kind of each parameter, and what was known of it before (an uncertainty of 0: nothing)."""
    kinds = {"normfactor": "free", "staterror": "statistical"}
    of_set = {
        name: kinds.get(kind, "systematic") for name, kind in model.config.modifiers if name in model.config.par_order
    }
    kind_of = [
        of_set[name] for name in model.config.par_order for _ in range(model.config.param_set(name).n_parameters)
    ]
    columns = (
        best.bestfit,
        best.uncertainty,
        cabinetry.model_utils.asimov_parameters(model),
        cabinetry.model_utils.prefit_uncertainties(model),
    )
    keys = ("value", "uncertainty", "nominal", "prefit_uncertainty")
    return {
        label: dict(zip(keys, map(float, numbers), strict=True)) | {"kind": kind}
        for label, kind, *numbers in zip(best.labels, kind_of, *columns, strict=True)
    }


def _goodness_of_fit(model: pyhf.Model, data: list[float], best: FitResults) -> dict[str, Any]:
    """Compare the best fit with the saturated model, whose prediction is the data.

    Twice the difference of the log-likelihoods follows a chi-squared distribution, see R. D. Cousins,
    "Generalization of chisquare goodness-of-fit test for binned data using saturated models" (2013).
    """
    observed = np.asarray(data[: model.config.nmaindata])
    auxiliary = pyhf.tensorlib.astensor(data[model.config.nmaindata :])
    constraints = model.constraint_logpdf(
        auxiliary, pyhf.tensorlib.astensor(cabinetry.model_utils.asimov_parameters(model))
    )
    saturated = float(np.sum(pyhf.tensorlib.poisson_logpdf(observed, observed)) + constraints)
    chi2 = best.best_twice_nll + 2 * saturated
    degrees = len(observed) - cabinetry.model_utils.unconstrained_parameter_count(model)
    return {
        "chi2": chi2,
        "degrees_of_freedom": degrees,
        "p_value": float(scipy.stats.chi2.sf(chi2, degrees)) if degrees > 0 else None,
        "twice_negative_log_likelihood": best.best_twice_nll,
    }


def _region_samples(
    templates: Templates, prediction: ModelPrediction
) -> Iterator[tuple[int, str, list[tuple[int, str]]]]:
    """Index and name of each region, with those of its samples, in the order of the configuration."""
    channels, samples = prediction.model.config.channels, prediction.model.config.samples
    for region in templates.config["Regions"]:
        name = region["Name"]
        inside = [
            (samples.index(sample["Name"]), sample["Name"])
            for sample in templates.config["Samples"]
            if (name, sample["Name"], "", None) in templates.histograms and not sample.get("Data", False)
        ]
        yield channels.index(name), name, inside


def _yields(templates: Templates, prediction: ModelPrediction) -> dict[str, Any]:
    """Events by region and sample, with their total uncertainties, and the observed ones."""
    content = {}
    data = next(sample["Name"] for sample in templates.config["Samples"] if sample.get("Data", False))
    for channel, region, samples in _region_samples(templates, prediction):
        values = np.sum(prediction.model_yields[channel], axis=1)
        uncertainties = prediction.total_stdev_model_channels[channel]
        content[region] = {
            name: {"value": float(values[index]), "uncertainty": uncertainties[index]} for index, name in samples
        } | {
            "total": {"value": float(values.sum()), "uncertainty": uncertainties[-1]},
            "data": {"value": float(templates.histograms[region, data, "", None].yields.sum())},
        }
    return content


def _bins(templates: Templates, predictions: Mapping[str, ModelPrediction]) -> dict[str, Any]:
    """Edges, data and predictions with their uncertainties in each bin, enough for plots."""
    data = next(sample["Name"] for sample in templates.config["Samples"] if sample.get("Data", False))
    content: dict[str, Any] = {}
    for region in templates.config["Regions"]:
        observed = templates.histograms[region["Name"], data, "", None]
        content[region["Name"]] = {
            "edges": observed.bins.tolist(),
            "label": _axis_label(region),
            "data": observed.yields.tolist(),
        }
    for label, prediction in predictions.items():
        for channel, region_name, samples in _region_samples(templates, prediction):
            yields = prediction.model_yields[channel]
            content[region_name][label] = {
                "samples": {name: yields[index] for index, name in samples},
                "total": np.sum(yields, axis=0).tolist(),
                "uncertainty": prediction.total_stdev_model_bins[channel][-1],
            }
    return content


def _axis_label(region: Mapping[str, Any]) -> str:
    """Title of the axis of what is fitted in a region."""
    if region["Variable"] == "deltaR":
        return definition.DELTAR_LABEL
    known = definition.REGIONS.get(region.get("RegionPath", ""))
    return known.label if known else str(region["Variable"])


def _profile(model: pyhf.Model, data: list[float], best: FitResults, index: int, value: float) -> FitResults | None:
    """Fit with one parameter held at a value; None if that does not converge."""
    # The others start where their correlations with it take them or, if that is too far, at the best fit.
    shift = (value - best.bestfit[index]) / best.uncertainty[index]
    moved = best.bestfit + shift * np.asarray(best.corr_mat)[index] * best.uncertainty
    starts = [np.clip(moved, *np.transpose(model.config.suggested_bounds())), best.bestfit.copy()]
    for start in starts:
        start[index] = value
    fixed = model.config.suggested_fixed()
    fixed[index] = True
    return _converge(
        partial(cabinetry.fit.fit, model, data, init_pars=start.tolist(), fix_pars=fixed, strategy=strategy)
        for start in starts
        for strategy in STRATEGIES
    )


def _ranking(model: pyhf.Model, data: list[float], best: FitResults) -> list[dict[str, Any]]:
    """Rank nuisance parameters by their impact on the parameter of interest, the largest first.

    An impact is how far it moves when a parameter is held one uncertainty from its best fit: the one that was
    known before the fit, and the one after it. It is None where the fit does not converge.
    """
    poi = model.config.poi_index
    known = cabinetry.model_utils.prefit_uncertainties(model)
    ranked = [index for index in np.flatnonzero(best.uncertainty).tolist() if index != poi]
    rows = []
    with Display("Ranking", len(ranked), "parameters") as display:
        for done, index in enumerate(ranked, start=1):
            row: dict[str, Any] = {"parameter": best.labels[index]}
            for stage, uncertainty in (("prefit", known[index]), ("postfit", best.uncertainty[index])):
                for direction, sign in (("up", 1), ("down", -1)):
                    held = best.bestfit[index] + sign * uncertainty
                    # Nothing is known of a free parameter before the fit.
                    fitted = _profile(model, data, best, index, held) if uncertainty else best
                    impact = float(fitted.bestfit[poi] - best.bestfit[poi]) if fitted else None
                    row[f"{stage}_{direction}"] = impact
            rows.append(row)
            display.update(done)
    return sorted(rows, key=lambda row: -max(abs(row["postfit_up"] or 0), abs(row["postfit_down"] or 0)))


def _scan(model: pyhf.Model, data: list[float], best: FitResults) -> dict[str, Any]:
    """Scan the profile likelihood of the parameter of interest, as far as fits converge."""
    poi = model.config.poi_index
    lower, upper = model.config.suggested_bounds()[poi]
    reach = SCAN_RANGE * best.uncertainty[poi]
    points = np.linspace(max(lower, best.bestfit[poi] - reach), min(upper, best.bestfit[poi] + reach), SCAN_STEPS)
    values, heights = [], []
    with Display("Scanning", SCAN_STEPS, "points") as display:
        for done, point in enumerate(points.tolist(), start=1):
            if fitted := _profile(model, data, best, poi, point):
                values.append(point)
                heights.append(fitted.best_twice_nll - best.best_twice_nll)
            display.update(done)
    return {
        "parameter": best.labels[poi],
        "values": values,
        "delta_twice_negative_log_likelihood": heights,
    }


def _tables(content: Mapping[str, Any]) -> str:
    """Write the yields of each region before and after the fit as text."""
    lines = []
    for region, before in content["yields"]["prefit"].items():
        after = content["yields"]["postfit"][region]
        lines.append(f"{region:<28}{'before the fit':>28}{'after the fit':>28}")
        lines += [f"{name:<28}{_text(before[name]):>28}{_text(after[name]):>28}" for name in before]
        lines.append("")
    return "\n".join(lines)


def _text(number: Mapping[str, float]) -> str:
    """Write a number of events with its uncertainty, if it has one."""
    if "uncertainty" not in number:
        return f"{number['value']:.1f}"
    return f"{number['value']:.1f} ± {number['uncertainty']:.1f}"
