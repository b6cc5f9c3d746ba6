"""A target for fuzzing: the configuration of a fit, up to the workspace that it gives.

Like the other targets, `read_fit_configuration` is given the path of a file and may only raise a `TtbarError`;
`fit_configurations` makes good files.
"""

import copy
import json
from pathlib import Path


def read_fit_configuration(file: Path) -> None:
    """Read a configuration, collect its templates as from a file that has all histograms, and build the workspace."""
    import pyhf

    from ttbar.analyses.agc_v1 import analysis
    from ttbar.errors import InputError
    from ttbar.results.fit_configuration import load
    from ttbar.results.likelihood import quiet
    from ttbar.results.template_file import Planned
    from ttbar.results.templates import collect
    from ttbar.results.workspace import build_workspace

    try:
        templates = collect(Planned(analysis), load(file), analysis)
    except InputError as error:
        if not str(error).isprintable() or len(str(error)) > 5000:
            raise AssertionError("the message is not one short line") from error
        raise
    with quiet():
        workspace = build_workspace(templates)
        model = pyhf.Workspace(workspace).model()
    assert model.config.poi_name == templates.config["General"]["POI"]
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            template = templates.histograms[channel["name"], sample["name"], "", None]
            assert sample["data"] == template.yields.tolist()


def fit_configurations() -> list[bytes]:
    """Make good configurations: the one of the analysis, made small, and one with all that there can be."""
    from ttbar.analyses.agc_v1 import analysis
    from ttbar.results.fit_configuration import from_analysis

    small = from_analysis(analysis)
    small["Regions"][1]["Binning"] = [110.0, 190.0, 550.0]
    kept = ("PS variation", "b-tag NP 1", "W+jets scale variations", "luminosity")
    small["Systematics"] = [each for each in small["Systematics"] if each["Name"] in kept]
    full = copy.deepcopy(small)
    del full["Regions"][1:]
    full["General"]["Fixed"] = [{"Name": "b-tag NP 1", "Value": 0.5}]
    full["Regions"][0] |= {"Variable": "$H_T$ [GeV]", "Filter": "x > 0"}
    full["Samples"][1]["DisableStaterror"] = True
    full["Systematics"][0]["Smoothing"] = {"Algorithm": "353QH, twice", "Samples": "ttbar"}
    full["Systematics"][1] |= {"ModifierName": "b.tag/1", "Regions": ["4j1b CR"]}
    return [json.dumps(each).encode() for each in (small, full)]
