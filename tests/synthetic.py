"""A small run whose results are made up: what later steps need, without the event loop."""

import json
from pathlib import Path

import hist
import numpy as np

from ttbar.analyses.agc_v1 import definition
from ttbar.results.histograms import name_of

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


def histogram(region: str, process: str, shift: float = 1.0, factor: float = 1.0, entries: int = ENTRIES) -> hist.Hist:
    """A histogram of a process, its observable scaled by `shift` and its weights by `factor`."""
    random = np.random.default_rng([list(definition.REGIONS).index(region), len(process)])
    mean, width = SHAPES.get(process, (200, 70))
    observable = mean + width * random.gumbel(size=entries) * (0.8 if region == "4j1b" else 0.5)
    if region == "4j1b":
        observable = np.maximum(observable, 121)
    delta = np.abs(random.normal(0, 1.8, entries)) % (2 * np.pi)
    filled = hist.Hist(
        hist.axis.Regular(*definition.OBSERVABLE_BINS, name="observable", label=definition.REGIONS[region].label),
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
                varied[name] = histogram(region, process, factor=1 + size * (1 if name.endswith("up") else -1))
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


def results(folder: Path) -> None:
    """Write the files of a finished run with a fit, but for histograms and plots."""
    samples = [f"{process}__nominal" for process in definition.CROSS_SECTIONS] + ["ttbar__ME_var"]
    cuts = [
        {"cut": cut, "events": 20_000 >> number, "weighted": 2465.1 / 2**number}
        for number, cut in enumerate(definition.CUTS)
    ]
    universes = (definition.NOMINAL, *definition.JET_ENERGY_UNIVERSES)
    yields = {
        region: {
            "ttbar": {"value": 41_234.5, "uncertainty": 1_234.5},
            "W+jets": {"value": 20_123.4, "uncertainty": 2_345.6},
            "total": {"value": 61_357.9, "uncertainty": 2_468.1},
            "data": {"value": 60_000.0},
        }
        for region in ("4j1b CR", "4j2b SR")
    }
    fitted = {
        region: {sample: {key: 0.9 * number for key, number in entry.items()} for sample, entry in before.items()}
        for region, before in yields.items()
    }
    nuisances = ("ME variation", "PS variation", "b-tag NP 1", "luminosity")
    labels = ["ttbar_norm", *nuisances, "staterror_4j1b-CR[0]", "staterror_4j1b-CR[1]"]
    contents = {
        "run": {
            "status": "complete",
            "started": "2026-01-02T03:04:05+00:00",
            "finished": "2026-01-02T03:05:06+00:00",
            "versions": {"python": "3.11.2", "ROOT": "6.40.00"},
            "options": {"dataset": "demo", "seed": 1, "files": None},
            "model": {"path": "models/jet_assignment.json", "sha256": "0123456789abcdef" * 4},
            "samples": {name: {"nevts": 20_000, "expected": 20_000, "processed": 20_000} for name in samples},
            "files": [
                {
                    "path": f"/data/{name}.root",
                    "sample": name,
                    "nevts": 20_000,
                    "entries": 20_000,
                    "status": "ok",
                    "reason": "",
                    "attempts": 2,
                    "processed": 20_000,
                    "selected": 1_234,
                }
                for name in samples
            ],
        },
        "cutflow": {name: dict.fromkeys(universes, cuts) for name in samples},
        "metrics": {"events": 120_000, "threads": 2, "loop_wall_s": 12.345, "events_per_s": 9720.5},
        "fit": {
            "variable": "observable",
            "pseudodata": "(ttbar_ME_var + ttbar_PS_var) / 2 + wjets",
            "parameters": {
                "ttbar_norm": {"value": 0.9123456, "uncertainty": 0.0456789, "kind": "free"},
                **{
                    name: {
                        "value": 0.123 * number,
                        "uncertainty": 0.9,
                        "nominal": 0.0,
                        "prefit_uncertainty": 1.0,
                        "kind": "systematic",
                    }
                    for number, name in enumerate(nuisances)
                },
                **{
                    name: {
                        "value": 1.01,
                        "uncertainty": 0.02,
                        "nominal": 1.0,
                        "prefit_uncertainty": 0.02,
                        "kind": "statistical",
                    }
                    for name in labels[-2:]
                },
            },
            "correlation": {
                "labels": labels,
                "matrix": (0.9 * np.eye(len(labels)) + 0.1).tolist(),
            },
            "goodness_of_fit": {"chi2": 21.34567, "degrees_of_freedom": 21, "p_value": 0.437654},
            "yields": {"prefit": yields, "postfit": fitted},
            "checks": [
                {
                    "check": "empty bins",
                    "region": "4j2b SR",
                    "sample": "W+jets",
                    "systematic": None,
                    "detail": "bins 1 of 11 are empty",
                    "severity": "warning",
                }
            ],
            "left_out": ["ttbar scale variations"],
        },
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
