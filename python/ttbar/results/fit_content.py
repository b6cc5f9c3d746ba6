"""What `fit.json` and `yields.txt` say about a fit."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import cycle
from typing import Any

import cabinetry
import numpy as np
import pyhf
import scipy.stats
from cabinetry.fit.results_containers import FitResults
from cabinetry.model_utils import ModelPrediction

from ttbar.analyses.analysis import Analysis
from ttbar.results.fit_configuration import Settings, data_of, label_of, simulated, variable_of
from ttbar.results.style import PALETTE, colours
from ttbar.results.templates import Templates


def describe(templates: Templates, analysis: Analysis, model: pyhf.Model) -> dict[str, Any]:
    """Say what is fitted, which is known before the fit.

    Parameters
    ----------
    templates : Templates
        What is fitted.
    analysis : Analysis
        The analysis.
    model : pyhf.Model
        The model of the templates.

    Returns
    -------
    dict
        A part of the content of `fit.json`.
    """
    prediction = cabinetry.model_utils.prediction(model)
    regions = templates.config["Regions"]
    return {
        "variable": " and ".join(dict.fromkeys(variable_of(region, analysis) for region in regions)),
        "pseudodata": templates.pseudodata,
        "luminosity": analysis.luminosity,
        "parameter_of_interest": str(model.config.poi_name),
        "samples": appearance(templates.config, analysis),
        "yields": {"prefit": _yields(templates, prediction)},
        "bins": bins(templates, analysis, prediction),
        "checks": [asdict(check) for check in templates.checks],
        "left_out": list(templates.left_out),
    }


def add_result(
    content: dict[str, Any],
    templates: Templates,
    analysis: Analysis,
    model: pyhf.Model,
    data: list[float],
    best: FitResults,
) -> None:
    """Say what came out of a fit.

    Parameters
    ----------
    content : dict
        What is fitted, to which this adds.
    templates : Templates
        What is fitted.
    analysis : Analysis
        The analysis.
    model : pyhf.Model
        The model of the templates.
    data : list of float
        The data, with those of the constraints.
    best : cabinetry.fit.results_containers.FitResults
        The best fit.
    """
    prediction = cabinetry.model_utils.prediction(model, fit_results=best)
    content["parameters"] = _parameters(model, best)
    content["correlation"] = {"labels": best.labels, "matrix": np.asarray(best.corr_mat).tolist()}
    content["goodness_of_fit"] = _goodness_of_fit(model, data, best)
    content["yields"]["postfit"] = _yields(templates, prediction)
    for region, contents in predicted_bins(templates, prediction).items():
        content["bins"][region]["postfit"] = contents
    predicted = _cross_section(templates.config, analysis)
    if predicted is not None:
        strength = content["parameters"][content["parameter_of_interest"]]
        content["cross_section_pb"] = {"predicted": predicted} | {
            key: predicted * strength[key] for key in ("value", "uncertainty")
        }


def appearance(config: Settings, analysis: Analysis) -> dict[str, dict[str, str]]:
    """Choose labels and colours of the samples: those of the processes, where they are called the same.

    Parameters
    ----------
    config : dict
        A configuration.
    analysis : Analysis
        The analysis.

    Returns
    -------
    dict of str to dict
        `label` and `colour` by sample.
    """
    of_process: dict[str, str] = colours(analysis)
    used = [str(sample.get("SamplePath", "")) for sample in simulated(config)]
    unused = [colour for colour in PALETTE if colour not in map(of_process.get, used)]
    others = cycle(unused or PALETTE)
    labels = {process.title: process.label for process in analysis.processes}
    return {
        sample["Name"]: {
            "label": str(labels.get(sample["Name"], sample["Name"])),
            "colour": of_process[path] if path in of_process and path not in used[:number] else next(others),
        }
        for number, (sample, path) in enumerate(zip(simulated(config), used, strict=True))
    }


def _cross_section(config: Settings, analysis: Analysis) -> float | None:
    """Predicted cross-section of what is measured, if that is one process."""
    factor = next(each for each in config["NormFactors"] if each["Name"] == config["General"]["POI"])
    scaled = [
        sample.get("SamplePath", "")
        for sample in simulated(config)
        if cabinetry.configuration.sample_contains_modifier(sample, factor)
    ]
    if len(scaled) != 1 or (scaled[0],) != analysis.fit.signal:
        return None
    return analysis.process(scaled[0]).cross_section


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
    # What is held somewhere is held there in both.
    held = model.config.suggested_fixed()
    parameters = np.where(held, best.bestfit, cabinetry.model_utils.asimov_parameters(model))
    constraints = model.constraint_logpdf(auxiliary, pyhf.tensorlib.astensor(parameters)) if len(auxiliary) else 0.0
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
            for sample in simulated(templates.config)
            if (name, sample["Name"], "", None) in templates.histograms
        ]
        yield channels.index(name), name, inside


def _yields(templates: Templates, prediction: ModelPrediction) -> dict[str, Any]:
    """Events by region and sample, with their total uncertainties, and the observed ones."""
    content = {}
    data = data_of(templates.config)["Name"]
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


def bins(templates: Templates, analysis: Analysis, prediction: ModelPrediction) -> dict[str, Any]:
    """Give edges, data and the prediction before the fit with its uncertainty in each bin, enough for plots.

    Parameters
    ----------
    templates : Templates
        What the model is made of.
    analysis : Analysis
        The analysis.
    prediction : cabinetry.model_utils.ModelPrediction
        The prediction before the fit.

    Returns
    -------
    dict
        The content by region.
    """
    data = data_of(templates.config)["Name"]
    predicted = predicted_bins(templates, prediction)
    content: dict[str, Any] = {}
    for region in templates.config["Regions"]:
        observed = templates.histograms[region["Name"], data, "", None]
        content[region["Name"]] = {
            "edges": observed.bins.tolist(),
            "label": label_of(region, analysis),
            "data": observed.yields.tolist(),
            "prefit": predicted[region["Name"]],
        }
    return content


def predicted_bins(templates: Templates, prediction: ModelPrediction) -> dict[str, Any]:
    """Give the events in each bin of each region, by sample and in total.

    Parameters
    ----------
    templates : Templates
        What the model is made of.
    prediction : cabinetry.model_utils.ModelPrediction
        The prediction.

    Returns
    -------
    dict
        The content by region.
    """
    content = {}
    for channel, region, samples in _region_samples(templates, prediction):
        yields = prediction.model_yields[channel]
        content[region] = {
            "samples": {name: yields[index] for index, name in samples},
            "total": np.sum(yields, axis=0).tolist(),
            "uncertainty": prediction.total_stdev_model_bins[channel][-1],
        }
    return content


def tables(content: Mapping[str, Any]) -> str:
    """Write the yields of each region before and after the fit as text.

    Parameters
    ----------
    content : mapping
        Content of `fit.json`.

    Returns
    -------
    str
        A table for each region.
    """
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
