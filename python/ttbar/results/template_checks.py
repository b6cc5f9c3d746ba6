"""How far to trust the templates of a fit: what a person should know of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from cabinetry.histo import Histogram

from ttbar.results.template_file import Values, numbers

MAX_NORM_CHANGE = 0.5
"""A variation that changes the number of events by more than this fraction is suspicious."""


@dataclass(frozen=True)
class Check:
    """Something about a template that a person should know."""

    check: str
    """What was found, in the same words each time."""
    region: str
    sample: str | None
    systematic: str | None
    detail: str
    severity: Literal["warning", "information"] = "warning"

    def __str__(self) -> str:
        """One line."""
        where = ", ".join(part for part in (self.region, self.sample, self.systematic) if part)
        return f"{where}: {self.check}: {self.detail}"


@dataclass(frozen=True)
class Place:
    """Which template a check is about."""

    region: str
    sample: str | None = None
    systematic: str | None = None

    def check(self, what: str, detail: str, severity: Literal["warning", "information"] = "warning") -> Check:
        """Make a check of this place."""
        return Check(what, self.region, self.sample, self.systematic, detail, severity)


def bins(
    place: Place, name: str, template: Histogram, has_errors: bool, nominal: Values | None = None
) -> Iterator[Check]:
    """Look for empty and negative bins, and for bins without statistical errors.

    Parameters
    ----------
    place : Place
        Which template it is.
    name : str
        Name of its histogram.
    template : cabinetry.histo.Histogram
        The template.
    has_errors : bool
        Whether its histogram has sums of squared weights.
    nominal : numpy.ndarray, optional
        Contents of the nominal template, if this one is varied.

    Yields
    ------
    Check
        What was found.
    """
    of = f"of {len(template.yields)} of {name}"
    # A variation is blamed for those empty bins only that it does not share with nominal.
    empty = (template.yields == 0) & (True if nominal is None else nominal != 0)
    if empty.any():
        yield place.check("empty bins", f"bins {numbers(empty)} {of} are empty")
    if (negative := template.yields < 0).any():
        yield place.check("negative bins", f"bins {numbers(negative)} {of} are negative")
    if not has_errors:
        detail = f"{name} has no sums of squared weights; the square root of the contents is taken"
        yield place.check("missing statistical errors", detail)
    elif (without := (template.yields != 0) & (template.stdev == 0)).any():
        yield place.check("missing statistical errors", f"bins {numbers(without)} {of} have contents without an error")


def usable(nominal: Values, varied: Mapping[str, Values]) -> bool:
    """Tell whether all directions of a systematic uncertainty predict events.

    Parameters
    ----------
    nominal : numpy.ndarray
        Contents of the nominal template.
    varied : mapping of str to numpy.ndarray
        Contents of the varied templates by direction.

    Returns
    -------
    bool
        Whether they do; a fit cannot use it otherwise.
    """
    return min(_norms(nominal, varied).values()) > 0


def variations(place: Place, nominal: Values, varied: Mapping[str, Values]) -> Iterator[Check]:
    """Compare varied templates with the nominal one.

    Parameters
    ----------
    place : Place
        Which template it is.
    nominal : numpy.ndarray
        Contents of the nominal template.
    varied : mapping of str to numpy.ndarray
        Contents of the varied templates by direction.

    Yields
    ------
    Check
        What was found.
    """
    norms = _norms(nominal, varied)
    for direction in varied:
        if abs(norms[direction] - 1) > MAX_NORM_CHANGE:
            detail = f"{direction.lower()} is {norms[direction]:.3g} times nominal"
            yield place.check("changes the norm by more than half", detail)
    if not usable(nominal, varied):
        return
    down = varied.get("Down")
    if down is None:
        # cabinetry mirrors norm and shape one by one.
        down = norms["Down"] * (2 * nominal - varied["Up"] / norms["Up"])
        if (negative := down < 0).any():
            detail = f"mirrored at nominal, bins {numbers(negative)} of {len(nominal)} are negative"
            yield place.check("negative bins", detail)
    yield from _sides(place, nominal, varied["Up"], down)


def _norms(nominal: Values, varied: Mapping[str, Values]) -> dict[str, float]:
    """Numbers of events over the nominal one, in both directions."""
    norms = {direction: float(yields.sum() / nominal.sum()) for direction, yields in varied.items()}
    return {"Down": 2 - norms["Up"]} | norms


def _sides(place: Place, nominal: Values, up: Values, down: Values) -> Iterator[Check]:
    """Look for variations that do nothing, or the same in both directions."""
    if np.allclose(up, down, rtol=1e-9, atol=0):
        yield place.check("up and down are equal", "the uncertainty has no effect")
        return
    # The last bits of a sum are no deviation.
    floor = 1e-9 * np.abs(nominal)
    same = ((up - nominal > floor) & (down - nominal > floor)) | ((nominal - up > floor) & (nominal - down > floor))
    norms = up.sum() / nominal.sum() - 1, down.sum() / nominal.sum() - 1
    what = "up and down are on the same side"
    if norms[0] * norms[1] > 1e-18:
        yield place.check(what, f"they change the norm by {norms[0]:+.2%} and {norms[1]:+.2%}")
    elif same.any():
        yield place.check(what, f"in bins {numbers(same)} of {len(nominal)}", "information")
