"""The likelihood of a fit: its minimum, its curvature there, and how it rises around it."""

import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from typing import Any, Literal

import cabinetry
import numpy as np
import pyhf
from cabinetry.fit.results_containers import FitResults
from numpy.typing import NDArray

from ttbar.errors import AnalysisError
from ttbar.progress import Display

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
def quiet() -> Iterator[list[str]]:
    """Collect the warnings of the libraries, each once, instead of showing them.

    Yields
    ------
    list of str
        The warnings, when it is over.
    """
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


def minimise(model: pyhf.Model, data: list[float]) -> FitResults:
    """Fit, and make sure that what comes back is the result of one.

    Parameters
    ----------
    model : pyhf.Model
        The model.
    data : list of float
        The data, with those of the constraints.

    Returns
    -------
    cabinetry.fit.results_containers.FitResults
        The best fit.

    Raises
    ------
    AnalysisError
        If there is none.
    """
    best = _converge(partial(cabinetry.fit.fit, model, data, strategy=strategy) for strategy in STRATEGIES)
    if best is None:
        raise AnalysisError("the fit does not converge")
    if not (np.isfinite(best.bestfit).all() and np.isfinite(best.uncertainty).all()):
        raise AnalysisError("the fit finds no uncertainties")
    poi = model.config.poi_index
    if np.isclose(best.bestfit[poi], model.config.suggested_bounds()[poi], rtol=1e-3, atol=1e-3).any():
        raise AnalysisError(f"{model.config.poi_name} ends at its bound, {best.bestfit[poi]:.3g}")
    return best


def with_exact_covariance(model: pyhf.Model, data: list[float], best: FitResults) -> FitResults | None:
    """Take uncertainties and correlations from second derivatives with steps that suit the likelihood.

    With few simulated events parameters are nearly degenerate. Minuit's own derivatives are too coarse then:
    it makes its matrix positive definite by force, and uncertainties come out wrong by up to an order of
    magnitude.

    Parameters
    ----------
    model : pyhf.Model
        The model.
    data : list of float
        The data, with those of the constraints.
    best : cabinetry.fit.results_containers.FitResults
        The best fit.

    Returns
    -------
    cabinetry.fit.results_containers.FitResults or None
        The same with other uncertainties; None if the matrix of derivatives is not positive definite.
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
    if all(fixed):  # nothing is left to fit
        return best._replace(bestfit=starts[-1], best_twice_nll=float(-2 * model.logpdf(starts[-1], data)[0]))
    return _converge(
        partial(cabinetry.fit.fit, model, data, init_pars=start.tolist(), fix_pars=fixed, strategy=strategy)
        for start in starts
        for strategy in STRATEGIES
    )


def rank(model: pyhf.Model, data: list[float], best: FitResults) -> list[dict[str, Any]]:
    """Rank nuisance parameters by their impact on the parameter of interest, the largest first.

    An impact is how far it moves when a parameter is held one uncertainty from its best fit: the one that was
    known before the fit, and the one after it. It is None where the fit does not converge.

    Parameters
    ----------
    model : pyhf.Model
        The model.
    data : list of float
        The data, with those of the constraints.
    best : cabinetry.fit.results_containers.FitResults
        The best fit.

    Returns
    -------
    list of dict
        Parameters and their impacts, before and after the fit, upwards and downwards.
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


def scan(model: pyhf.Model, data: list[float], best: FitResults) -> dict[str, Any]:
    """Scan the profile likelihood of the parameter of interest, as far as fits converge.

    Parameters
    ----------
    model : pyhf.Model
        The model.
    data : list of float
        The data, with those of the constraints.
    best : cabinetry.fit.results_containers.FitResults
        The best fit.

    Returns
    -------
    dict
        Values of the parameter, and twice the negative log-likelihood over its minimum.
    """
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
