"""A small run whose results are made up: what later steps need, without the event loop."""

import json
from pathlib import Path

import hist
import numpy as np

from ttbar.analyses import agc_v1
from ttbar.analyses.analysis import NOMINAL, Analysis, histogram_name

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
    name: str,
    process: str,
    shift: float = 1.0,
    factor: float = 1.0,
    entries: int = ENTRIES,
    analysis: Analysis = agc_v1.analysis,
) -> hist.Hist:
    """A histogram of a process, its first axis scaled by `shift` and its weights by `factor`."""
    definitions = {each.name: each for _, each in analysis.histograms}
    random = np.random.default_rng([list(definitions).index(name), len(process)])
    mean, width = SHAPES.get(process, (200, 70))
    observable = mean + width * random.gumbel(size=entries) * (0.8 if name == "4j1b" else 0.5)
    if name == "4j1b":
        observable = np.maximum(observable, 121)
    first = definitions[name].axes[0]
    columns = (
        # From the range of the observable to that of the axis.
        first.low + (first.high - first.low) * (observable * shift - 50) / 500,
        np.abs(random.normal(0, 1.8, entries)) % (2 * np.pi),
    )
    filled = hist.Hist(
        *(
            hist.axis.Regular(axis.bins, axis.low, axis.high, name=axis.column, label=axis.label, flow=axis.flow)
            for axis in definitions[name].axes
        ),
        storage=hist.storage.Weight(),
    )
    return filled.fill(*columns[: filled.ndim], weight=factor * EVENTS.get(process, 10_000) / entries)


def histograms(data: bool = False, analysis: Analysis = agc_v1.analysis) -> dict[str, hist.Hist]:
    """All histograms of a run on all samples."""
    return {
        histogram_name(each.name, process.name, variation): histogram(
            each.name, process.name, analysis=analysis, **changes
        )
        for _, each in analysis.histograms
        for process in analysis.processes
        if data or not process.is_data
        for variation, changes in variations(analysis, process.name).items()
    }


CHANGES = {
    "pt_scale_up": {"shift": 1.03},
    "pt_res_up": {"shift": 1.005},
    "ME_var": {"shift": 0.97},
    "PS_var": {"shift": 1.02, "factor": 0.95},
    "scaleup": {"factor": 1.08},
    "scaledown": {"factor": 0.9},
    "scale_var_up": {"factor": 1.025},
    "scale_var_down": {"factor": 0.975},
}
"""What variations change."""


def variations(analysis: Analysis, process: str) -> dict[str, dict]:
    """Changes by the variations of a process; of those that are not in `CHANGES`, each one changes less."""
    if analysis.process(process).is_data:
        return {NOMINAL: {"entries": EVENTS[process]}}
    made: dict[str, dict] = {NOMINAL: {}}
    others = 0
    for source in analysis.sources:
        for name in (name for each in source.systematics for name in each.variations if process in source.processes):
            made[name] = CHANGES.get(name) or {"factor": 1 + (-1) ** others * (0.12 - 0.01 * others)}
            others += name not in CHANGES
    return made


def results(folder: Path) -> None:
    """Write the files of a finished run of agc-v1 with a fit, but for histograms and plots."""
    analysis = agc_v1.analysis
    samples = [f"{process.name}__nominal" for process in analysis.simulated] + ["ttbar__ME_var"]
    cuts = [
        {"cut": cut, "events": 20_000 >> number, "weighted": 2465.1 / 2**number}
        for number, cut in enumerate(analysis.cuts)
    ]
    universes = (NOMINAL, *analysis.universes)
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
            "analysis": {"name": analysis.name},
            "models": [{"path": "models/jet_assignment.json", "sha256": "0123456789abcdef" * 4}],
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
        "metrics": {"mode": "analysis", "events": 120_000, "threads": 2, "loop_wall_s": 12.345, "events_per_s": 9720.5},
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
