"""A small run whose results are made up: what later steps need, without the event loop."""

import hist
import numpy as np

from ttbar import definition
from ttbar.histograms import name_of

SHAPES = {"ttbar": (230, 90), "wjets": (180, 60), "single_top_tW": (220, 80)}
EVENTS = {
    "ttbar": 40_000,
    "wjets": 20_000,
    "single_top_s_chan": 200,
    "single_top_t_chan": 3_000,
    "single_top_tW": 4_000,
    "data": 67_000,
}
ENTRIES = 4_000


def histogram(
    region: str, process: str, shift: float = 1.0, factor: float = 1.0, entries: int = ENTRIES
) -> hist.Hist:
    """A histogram of a process, its observable scaled by `shift` and its weights by `factor`."""
    random = np.random.default_rng([list(definition.REGIONS).index(region), len(process)])
    mean, width = SHAPES.get(process, (200, 70))
    observable = mean + width * random.gumbel(size=entries) * (0.8 if region == "4j1b" else 0.5)
    if region == "4j1b":
        observable = np.maximum(observable, 121)
    delta = np.abs(random.normal(0, 1.8, entries)) % (2 * np.pi)
    filled = hist.Hist(
        hist.axis.Regular(
            *definition.OBSERVABLE_BINS, name="observable", label=definition.REGIONS[region].label
        ),
        hist.axis.Regular(*definition.DELTAR_BINS, name="deltaR", label=definition.DELTAR_LABEL, flow=False),
        storage=hist.storage.Weight(),
    )
    return filled.fill(observable * shift, delta, weight=factor * EVENTS[process] / entries)


def histograms(data: bool = False) -> dict[str, hist.Hist]:
    """All histograms of a run on all samples."""
    made = {}
    for region in definition.REGIONS:
        for process in definition.CROSS_SECTIONS:
            varied = {definition.NOMINAL: histogram(region, process)}
            varied["pt_scale_up"] = histogram(region, process, shift=1.03)
            varied["pt_res_up"] = histogram(region, process, shift=1.005)
            for index, name in enumerate(definition.BTAG_VARIATIONS):
                size = 0.12 - 0.01 * index
                varied[name] = histogram(
                    region, process, factor=1 + size * (1 if name.endswith("up") else -1)
                )
            for name, factor in definition.CONSTANT_WEIGHTS.get(process, {}).items():
                varied[name] = histogram(region, process, factor=factor)
            if process == "ttbar":
                varied["ME_var"] = histogram(region, process, shift=0.97)
                varied["PS_var"] = histogram(region, process, shift=1.02, factor=0.95)
                varied["scaleup"] = histogram(region, process, factor=1.08)
                varied["scaledown"] = histogram(region, process, factor=0.9)
            made |= {name_of(region, process, variation): each for variation, each in varied.items()}
        if data:
            made[name_of(region, "data", "nominal")] = histogram(region, "data", entries=EVENTS["data"])
    return made
