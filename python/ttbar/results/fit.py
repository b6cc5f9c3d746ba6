"""The fit of the strength of a signal: from histograms to a workspace, its best fit and plots of it."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import cabinetry
import numpy as np
import pyhf
from cabinetry.fit.results_containers import FitResults

from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError
from ttbar.output import prepare, write_json, written_whole
from ttbar.progress import now, say
from ttbar.results import fit_configuration, fit_plots
from ttbar.results.carry_over import carry_over, find
from ttbar.results.fit_configuration import Settings
from ttbar.results.fit_content import add_result, describe, tables
from ttbar.results.likelihood import COVARIANCE_TOLERANCE, minimise, quiet, rank, with_exact_covariance
from ttbar.results.likelihood import scan as scan_likelihood
from ttbar.results.reference import open_histograms
from ttbar.results.style import FOLDER
from ttbar.results.template_file import Planned
from ttbar.results.templates import Templates, collect
from ttbar.results.workspace import build_workspace

OUTPUTS = ("workspace.json", "fit.json", "yields.txt", f"{FOLDER}/{fit_plots.PREFIX}*")


def fit(
    histograms: Path,
    output: Path,
    *,
    analysis: Analysis,
    config: Path | None = None,
    variable: str | None = None,
    ranking: bool = False,
    scan: bool = False,
    draw: Callable[[dict[str, Any], Path, dict[str, Any] | None], object] = fit_plots.draw,
) -> dict[str, Any]:
    """Fit a file of histograms.

    `fit.yml`, `workspace.json`, `fit.json`, `yields.txt` and the plots of the fit are written to the results folder.

    Parameters
    ----------
    histograms : pathlib.Path
        ROOT file with histograms, or a JSON reference.
    output : pathlib.Path
        Results folder.
    analysis : Analysis
        What was measured, and how it is to be fitted.
    config : pathlib.Path, optional
        Configuration of the fit in cabinetry's layout; by default the one of the analysis.
    variable : str, optional
        What to fit, a column of an axis of the analysis; by default what the configuration says.
    ranking : bool
        Whether to compute the impact of each nuisance parameter on the parameter of interest as well.
    scan : bool
        Whether to scan the likelihood of the parameter of interest as well.
    draw : callable, optional
        Draws plots as `fit_plots.draw` does, once before the fit and once after it; by default that happens here.

    Returns
    -------
    dict
        The content of `fit.json`.

    Raises
    ------
    InputError
        If the histograms or the configuration cannot be used.
    AnalysisError
        If the fit does not converge; `fit.json` then says so, and plots show what was to be fitted.
    """
    settings = _settings(config, analysis, variable)
    with open_histograms(histograms, analysis) as file:
        templates = collect(file, settings, analysis)
        carried = find(file, analysis) if config is None else None
    prepare(output, OUTPUTS)
    used = output / fit_configuration.FILE
    if config is None or config.resolve() != used.resolve():
        fit_configuration.write(settings, used)

    with quiet():  # what cabinetry says about templates is among the checks
        workspace = build_workspace(templates)
        model, data = cabinetry.model_utils.model_and_data(workspace)
        content = describe(templates, analysis, model)
    say(f"fit: {content['variable']}, {templates.pseudodata or 'collision data'}")
    for line in (*templates.left_out, *map(str, templates.checks)):
        say(f"fit: {line}")
    write_json(output / "workspace.json", workspace)
    before = deepcopy(content)  # the rest is added while others draw this
    draw(before, output, None)
    try:
        with quiet() as notes:
            best = _best_fit(model, data, notes)
            add_result(content, templates, analysis, model, data, best)
            if carried is not None:
                content["carried_over"] = carry_over(carried, analysis, best)
    except AnalysisError as error:
        write_failure(output, str(error), content)
        raise AnalysisError(f"{error}; {_where_to_look(templates)} {output / 'fit.json'}") from None
    if config is not None and analysis.fit.carried_to:
        notes.append(
            "the result is not carried over to other histograms: the configuration is not that of the analysis"
        )
    content |= {"status": "complete", "notes": notes}
    for note in (*notes, *content.get("carried_over", {}).get("left_out", ())[:1]):
        say(f"fit: {note}")
    with written_whole(output / "yields.txt") as beside:
        beside.write_text(tables(content), encoding="utf-8")
    write_json(output / "fit.json", content)
    with quiet():  # what does not converge is left out
        if ranking:
            content["ranking"] = rank(model, data, best)
        if scan:
            content["scan"] = scan_likelihood(model, data, best)
    write_json(output / "fit.json", content)
    draw(content, output, before)
    poi, quality = content["parameters"][content["parameter_of_interest"]], content["goodness_of_fit"]
    say(
        f"fit: {content['parameter_of_interest']} = {poi['value']:.3f} ± {poi['uncertainty']:.3f}, "
        f"chi-squared {max(0.0, quality['chi2']):.1f} for {quality['degrees_of_freedom']} degrees of freedom"
    )
    return content


def check_configuration(config: Path | None, analysis: Analysis, variable: str | None = None) -> None:
    """Find out, without any histogram, whether a fit of what an analysis fills can be made.

    Parameters
    ----------
    config : pathlib.Path or None
        Configuration of the fit in cabinetry's layout; None for the one of the analysis.
    analysis : Analysis
        The analysis.
    variable : str, optional
        What to fit; by default what the configuration says.

    Raises
    ------
    InputError
        If it cannot, e.g. since a histogram is not among those of the analysis, or has no edge at one of a bin.
    """
    collect(Planned(analysis), _settings(config, analysis, variable), analysis)


def write_failure(output: Path, reason: str, content: dict[str, Any] | None = None) -> None:
    """Leave a note instead of the result of a fit.

    Parameters
    ----------
    output : pathlib.Path
        Results folder; the note is its `fit.json`.
    reason : str
        Why there is no result.
    content : dict, optional
        What is known nevertheless.
    """
    write_json(output / "fit.json", {"status": "failed", "reason": reason} | (content or {}))


def _best_fit(model: pyhf.Model, data: list[float], notes: list[str]) -> FitResults:
    """Fit, with uncertainties that can be trusted; what is to be known of them is noted."""
    now("Minimising")
    best = minimise(model, data)
    now("Computing the covariance matrix")
    exact = with_exact_covariance(model, data, best)
    if exact is None:
        notes.append("Minuit's covariance matrix could not be confirmed")
    elif not np.allclose(exact.uncertainty, best.uncertainty, rtol=COVARIANCE_TOLERANCE):
        notes.append("Minuit's covariance matrix is inaccurate and was replaced by a numerical one")
        return exact
    return best


def _where_to_look(templates: Templates) -> str:
    """What to look at when a fit has failed, before the name of `fit.json`."""
    suspicious = sum(check.severity == "warning" for check in templates.checks)
    return f"{suspicious} suspicious templates are listed in" if suspicious else "look at the plots beside"


def _settings(config: Path | None, analysis: Analysis, variable: str | None) -> Settings:
    """The configuration of a fit."""
    settings = fit_configuration.load(config) if config else fit_configuration.from_analysis(analysis)
    return settings if variable is None else fit_configuration.of_variable(settings, analysis, variable)
