"""The HistFactory workspace of a fit, built by cabinetry."""

import copy
import tempfile
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import cabinetry
from cabinetry.histo import Histogram

from ttbar.results.fit_configuration import Settings, parameter_of
from ttbar.results.templates import Templates

KINDS = {"Regions": "region", "Samples": "sample", "Systematics": "systematic"}


def build_workspace(templates: Templates) -> dict[str, Any]:
    """Build the HistFactory workspace of templates with cabinetry.

    cabinetry keeps each template in a file that is called after region, sample and systematic uncertainty, so that
    two of them can be one file. It is given names that cannot, and the workspace the right ones.

    Parameters
    ----------
    templates : Templates
        What to fit.

    Returns
    -------
    dict
        Workspace in pyhf's format, validated.
    """
    config, names = _with_plain_names(templates.config)
    router = cabinetry.route.Router()

    @router.register_template_builder()
    def template(region: Settings, sample: Settings, systematic: Settings, direction: str | None) -> Histogram:
        of_systematic = names[systematic["Name"]] if systematic else ""
        return templates.histograms[names[region["Name"]], names[sample["Name"]], of_systematic, direction]

    with tempfile.TemporaryDirectory() as folder:
        config["General"]["HistogramFolder"] = folder
        cabinetry.templates.build(config, router=router)
        cabinetry.templates.postprocess(config)
        workspace = cabinetry.workspace.build(config, with_validation=False)
    _rename(workspace, templates.config, config, names)
    cabinetry.workspace.validate(workspace)
    return workspace


def _with_plain_names(config: Settings) -> tuple[Settings, dict[str, str]]:
    """Rename regions, samples and systematic uncertainties; also give the names that they had."""
    config = copy.deepcopy(config)
    names: dict[str, str] = {}
    plain: dict[str, dict[str, str]] = {}
    for kind, word in KINDS.items():
        plain[kind] = {}
        for entry, number in zip(config[kind], count()):
            names[f"{word}{number}"] = entry["Name"]
            plain[kind][entry["Name"]] = f"{word}{number}"
    for systematic in config["Systematics"]:
        systematic["ModifierName"] = parameter_of(systematic)
    for kind in KINDS:
        for entry in config[kind]:
            entry["Name"] = plain[kind][entry["Name"]]
    entries = [*config["Samples"], *config["NormFactors"], *config["Systematics"]]
    for entry in (*entries, *(entry["Smoothing"] for entry in entries if "Smoothing" in entry)):
        for kind in ("Regions", "Samples"):
            if kind in entry:
                named = [entry[kind]] if isinstance(entry[kind], str) else entry[kind]
                # What was left out is no longer among the names, and an empty list would stand for all.
                entry[kind] = [plain[kind].get(name, "") for name in named]
    factors = {factor["Name"]: factor for factor in config["NormFactors"]}
    for fixed in config["General"].get("Fixed", []):
        if fixed["Name"] in factors:
            factors[fixed["Name"]]["Nominal"] = fixed["Value"]  # of the two, cabinetry takes this one
        else:
            fixed["Name"] = plain["Systematics"].get(fixed["Name"], "")
    return config, names


def _rename(workspace: dict[str, Any], config: Settings, renamed: Settings, names: dict[str, str]) -> None:
    """Give everything in a workspace its own name again."""
    parameters = {each["Name"]: each["ModifierName"] for each in renamed["Systematics"]}
    statistical = dict(zip(names, _statistical(region["Name"] for region in config["Regions"]), strict=False))
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            sample["name"] = names[sample["name"]]
            for modifier in sample["modifiers"]:
                if modifier["type"] == "staterror":
                    modifier["name"] = statistical[channel["name"]]
        channel["name"] = names[channel["name"]]
    for observation in workspace["observations"]:
        observation["name"] = names[observation["name"]]
    measurement = workspace["measurements"][0]["config"]
    described = [
        parameter | {"name": parameters.get(parameter["name"], parameter["name"])}
        for parameter in measurement["parameters"]
    ]
    # Several systematic uncertainties can have one parameter.
    measurement["parameters"] = [*{parameter["name"]: parameter for parameter in described}.values()]


def _statistical(regions: Iterable[str]) -> Iterator[str]:
    """Name the parameters of the statistical uncertainty of each region, all differently."""
    taken = set()
    for region in regions:
        plain = f"staterror_{region}".replace(" ", "-").replace("/", "-")  # pyhf cuts such a name at a slash
        name = next(name for number in count() if (name := f"{plain}_{number}" if number else plain) not in taken)
        taken.add(name)
        yield name
