"""The fit: its templates, its result, its files."""

import hist
import numpy as np
import pytest

from ttbar import definition, histograms
from ttbar.fit import fit

REGIONS = tuple(definition.REGIONS)
CENTRES = 60.0 + 20.0 * np.arange(25)

# Expected events of each region and generated events of each sample.
YIELDS = {
    "ttbar": ((41000.0, 34000.0), 60_000),
    "single_top_s_chan": ((120.0, 70.0), 4_000),
    "single_top_t_chan": ((2600.0, 900.0), 9_000),
    "single_top_tW": ((2900.0, 1100.0), 9_000),
    "wjets": ((11000.0, 900.0), 8_000),
}


def shape(region, process, shift=0.0, width=1.0):
    """Density of the observable: a falling spectrum of H_T, a peak of the mass on a falling background."""
    x = CENTRES / (1 + shift)
    turn_on = 1 / (1 + np.exp(-(x - 160) / 18))
    slope = {"ttbar": 95.0, "wjets": 62.0}.get(process, 78.0)
    if region == "4j1b":
        density = turn_on * np.exp(-x / slope)
    else:
        peak = np.exp(-0.5 * ((x - 172) / (22 * width)) ** 2) if process == "ttbar" else 0.0
        density = 1.1 * peak + x / 60 * np.exp(-x / (slope * 1.1))
    return density / density.sum()


def make_histograms(scale_ttbar=1.0):
    """Histograms by name as a run writes them, with the fluctuations of finite simulations."""
    random = np.random.default_rng(20150603)
    delta_r = np.interp(np.arange(25), [0, 3, 11, 12, 24], [3.0, 4.0, 6.0, 3.0, 0.1])
    delta_r /= delta_r.sum()
    made = {}

    def add(region, process, variation, events, density, weights=None):
        histogram = hist.Hist(
            hist.axis.Regular(
                *definition.OBSERVABLE_BINS, name="observable", label=definition.REGIONS[region].label
            ),
            hist.axis.Regular(
                *definition.DELTAR_BINS, name="deltaR", label=definition.DELTAR_LABEL, flow=False
            ),
            storage=hist.storage.Weight(),
        )
        view = histogram.view()
        view["value"], view["variance"] = events, events * density
        made[histograms.name_of(region, process, variation)] = histogram

    for at, region in enumerate(REGIONS):
        for process, (yields, generated) in YIELDS.items():
            weight = sum(yields) / generated
            variations = {
                "nominal": (1.0, 0.0, 1.0),
                "pt_scale_up": (1.035, 0.02, 1.0),
                "pt_res_up": (1.004, 0.002, 1.06),
            }
            if process == "ttbar":
                variations |= {
                    "ME_var": (0.96, 0.006, 1.02),
                    "PS_var": (1.03, -0.008, 1.04),
                    "scaleup": (0.95, -0.005, 1.0),
                    "scaledown": (1.06, 0.006, 1.0),
                }
            for variation, (norm, shift, width) in variations.items():
                expected = norm * yields[at] / weight * shape(region, process, shift, width)
                if variation in ("nominal", "ME_var", "PS_var", "scaleup", "scaledown"):
                    counts = random.poisson(np.outer(expected, delta_r)).astype(float)
                    if variation == "nominal":
                        nominal = counts
                else:  # the same events, a little elsewhere
                    base = yields[at] / weight * shape(region, process)
                    counts = nominal * (expected / base)[:, None]
                add(region, process, variation, counts * weight, weight)
            for jet in range(definition.BTAG_JETS):
                slope = definition.BTAG_SLOPE * (0.25 + 0.1 * (3 - jet)) * CENTRES[:, None] * 0.4
                for sign, direction in ((1, "up"), (-1, "down")):
                    add(
                        region,
                        process,
                        f"btag_var_{jet}_{direction}",
                        nominal * weight * (1 + sign * slope),
                        weight,
                    )
            for variation, factor in definition.CONSTANT_WEIGHTS.get(process, {}).items():
                add(region, process, variation, nominal * weight * factor, weight * factor)
        if scale_ttbar != 1:
            total = sum(
                made[f"{region}_{process}"] * (scale_ttbar if process == "ttbar" else 1.0)
                for process in YIELDS
            )
            made[f"{region}_data"] = total
    return made
