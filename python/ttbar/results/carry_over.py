"""The result of a fit carried over to histograms that were not fitted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyhf
from cabinetry import model_utils
from cabinetry.configuration import region_contains_modifier, sample_contains_modifier
from cabinetry.fit.results_containers import FitResults
from cabinetry.histo import Histogram
from cabinetry.model_utils import ModelPrediction

from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError
from ttbar.results.fit_configuration import Settings, from_analysis, histogram_of, parameter_of, simulated, variable_of
from ttbar.results.fit_content import appearance, bins, predicted_bins
from ttbar.results.template_file import HistogramSource, Values
from ttbar.results.templates import Templates, collect

NAME = "carried_over"
"""What the histograms are called together, if they are not of one group."""


@dataclass(frozen=True)
class Carried:
    """Where the result of a fit is carried to."""

    name: str
    """What the histograms are called together."""
    config: Settings
    """All regions, samples and systematic uncertainties."""
    regions: Sequence[Templates]
    """One region each."""
    left_out: Sequence[str]
    """A sentence for what is not there."""


def find(source: HistogramSource, analysis: Analysis) -> Carried | None:
    """Read the histograms that the result of the fit of an analysis is carried over to.

    Parameters
    ----------
    source : HistogramSource
        What has the histograms.
    analysis : Analysis
        The analysis.

    Returns
    -------
    Carried or None
        What there is of them; None if the analysis does not ask for any.
    """
    if not analysis.fit.carried_to:
        return None
    # The same samples and systematic uncertainties in other regions.
    config = from_analysis(replace(analysis, fit=replace(analysis.fit, regions=analysis.fit.carried_to, carried_to=())))
    missing, left_out, found = [], [], []
    for region in config["Regions"]:
        names = {*source.names(variable_of(region, analysis))}
        if not any(histogram_of(config, region, sample) in names for sample in simulated(config)):
            missing.append(region["Name"])
            continue
        try:
            found.append(collect(source, config | {"Regions": [region]}, analysis, fitted=False))
        except InputError as error:
            left_out.append(f"{region['Name']}: {error}")
        else:
            left_out += found[-1].left_out
    if missing:
        some = "any of them" if len(missing) == len(config["Regions"]) else "; ".join(missing)
        left_out.insert(0, f"not carried over, for want of histograms: {some}")
    groups = {each.name: each.group for _, each in analysis.histograms}
    of = {groups[region.histogram] for region in analysis.fit.carried_to}
    return Carried((of.pop() if len(of) == 1 else "") or NAME, config, found, left_out)


def carry_over(carried: Carried, analysis: Analysis, best: FitResults) -> dict[str, Any]:
    """Predict histograms that were not fitted, before and after a fit.

    Values, uncertainties and correlations of the parameters of the fit hold for the parameters of the same names. The
    statistical uncertainty of the simulation in each bin is the one before the fit.

    Parameters
    ----------
    carried : Carried
        The histograms.
    analysis : Analysis
        The analysis.
    best : cabinetry.fit.results_containers.FitResults
        The best fit.

    Returns
    -------
    dict
        `name`, `left_out`, and `samples` and `bins` as in the part of `fit.json` on what is fitted.
    """
    content: dict[str, Any] = {
        "name": carried.name,
        "left_out": [*carried.left_out],
        "samples": appearance(carried.config, analysis),
        "bins": {},
    }
    if not carried.regions:
        return content
    model = pyhf.Model(
        {"channels": [_channel(templates) for templates in carried.regions]}, poi_name=None, validate=False
    )
    errors = {_region(templates)["Name"]: _statistical(templates) for templates in carried.regions}
    before = _with_statistical(model_utils.prediction(model), errors)
    matched = model_utils.match_fit_results(model, best)
    after = _with_statistical(model_utils.prediction(model, fit_results=matched), errors)
    for templates in carried.regions:
        content["bins"] |= bins(templates, analysis, before)
        for region, predicted in predicted_bins(templates, after).items():
            content["bins"][region]["postfit"] = predicted
    return content


def _region(templates: Templates) -> Settings:
    """The only region."""
    region: Settings = templates.config["Regions"][0]
    return region


def _nominal(templates: Templates) -> Iterator[tuple[Settings, Histogram]]:
    """The samples that are in the region."""
    for sample in simulated(templates.config):
        template = templates.histograms.get((_region(templates)["Name"], sample["Name"], "", None))
        if template is not None:
            yield sample, template


def _channel(templates: Templates) -> dict[str, Any]:
    """Write a region as pyhf takes it, without parameters for the statistical uncertainty of each bin.

    cabinetry would write the same, but by way of two files for each template.
    """
    config, region = templates.config, _region(templates)
    samples = []
    for sample, nominal in _nominal(templates):
        modifiers: list[dict[str, Any]] = [
            {"name": factor["Name"], "type": "normfactor", "data": None}
            for factor in config["NormFactors"]
            if sample_contains_modifier(sample, factor)
        ]
        for systematic in config["Systematics"]:
            if not (region_contains_modifier(region, systematic) and sample_contains_modifier(sample, systematic)):
                continue
            name = parameter_of(systematic)
            if systematic["Type"] == "Normalization":
                norms = {key: 1 + systematic[side]["Normalization"] for key, side in (("hi", "Up"), ("lo", "Down"))}
            else:
                norms, shapes = _norms_and_shapes(templates, sample["Name"], systematic["Name"], nominal.yields)
                data = {f"{key}_data": shape.tolist() for key, shape in shapes.items()}
                modifiers.append({"name": name, "type": "histosys", "data": data})
            modifiers.append({"name": name, "type": "normsys", "data": norms})
        samples.append({"name": sample["Name"], "data": nominal.yields.tolist(), "modifiers": modifiers})
    return {"name": region["Name"], "samples": samples}


def _norms_and_shapes(
    templates: Templates, sample: str, systematic: str, nominal: Values
) -> tuple[dict[str, float], dict[str, Values]]:
    """Divide variations into a norm and a shape of the nominal norm; norm and shape are mirrored one by one."""
    varied = {
        key: templates.histograms[place].yields
        for key, side in (("hi", "Up"), ("lo", "Down"))
        if (place := (_region(templates)["Name"], sample, systematic, side)) in templates.histograms
    }
    norms = {key: float(yields.sum() / nominal.sum()) for key, yields in varied.items()}
    shapes = {key: yields / norms[key] for key, yields in varied.items()}
    return {"lo": 2 - norms["hi"]} | norms, {"lo": 2 * nominal - shapes["hi"]} | shapes


def _statistical(templates: Templates) -> Values:
    """Relative statistical uncertainty of all samples together, zero in empty bins."""
    parts = [template for _, template in _nominal(templates)]
    total = np.sum([part.yields for part in parts], axis=0)
    error = np.sqrt(np.sum([part.stdev**2 for part in parts], axis=0))
    relative: Values = np.divide(error, total, out=np.zeros_like(total), where=total > 0)
    return relative


def _with_statistical(prediction: ModelPrediction, errors: dict[str, Values]) -> ModelPrediction:
    """Add the statistical uncertainty of the simulation to that of the bins in total."""
    stdev = []
    for channel, yields, of_bins in zip(
        prediction.model.config.channels, prediction.model_yields, prediction.total_stdev_model_bins, strict=True
    ):
        total = np.hypot(of_bins[-1], errors[channel] * np.sum(yields, axis=0))
        stdev.append([*of_bins[:-1], total.tolist()])
    return prediction._replace(total_stdev_model_bins=stdev)
