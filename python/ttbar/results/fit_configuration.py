"""The configuration of a fit, in cabinetry's layout: made of an analysis, or read from a user's file and checked."""

import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import cabinetry
import yaml

from ttbar.analyses.analysis import NOMINAL, Analysis, Axis, Systematic, histogram_name
from ttbar.errors import InputError
from ttbar.lean_jsonschema import jsonschema
from ttbar.output import written_whole
from ttbar.reading import read_text

Settings = dict[str, Any]
"""A configuration of cabinetry, or the part of it on a region, a sample or a systematic uncertainty."""

FILE = "fit.yml"
"""The configuration that was used, in the results folder."""

INPUT_PATH = "histograms.root:{RegionPath}_{SamplePath}{VariationPath}"
"""Where histograms are. The file part stands for the file that is being fitted."""

PATHS = {"RegionPath", "SamplePath", "VariationPath"}
"""What an InputPath can be made of."""

OF_NTUPLES = ("Filter", "Weight", "Tree")
"""Settings of cabinetry that have no meaning for histograms."""

MOST_BINS = 5
"""Bins of a variable for which no binning is given are merged to so many, which leaves enough simulated events where
its distribution falls to zero."""

MOST_VALUES = 100_000
"""A configuration with more values is none: a short text can stand for billions."""

LONGEST = 500
"""Longer text is no name."""

REACH = 5.0
"""Parameters of systematic uncertainties do not go further than so many standard deviations."""

_HEADER = """\
# A fit in cabinetry's layout. To change it, copy this file and give the copy to `--fit-config`. The file part of
# InputPath stands for the file that is being fitted. A histogram is looked for in the folder named by Variable, if the
# file has it there, and at its top otherwise. Bins are merged to those of Binning; without it they are used as they
# are. Samples and systematics without histograms are left out; without data, pseudodata of the analysis are made.
"""


def from_analysis(analysis: Analysis) -> Settings:
    """Make the configuration of the fit of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    dict
        The configuration.

    Raises
    ------
    InputError
        If the analysis asks for what no fit can be.
    """
    titles = {process.name: process.title for process in analysis.simulated}
    data = analysis.data
    config: Settings = {
        "General": {
            "Measurement": analysis.name,
            "POI": analysis.fit.parameter,
            "InputPath": INPUT_PATH,
            "HistogramFolder": "templates",
            "VariationPath": "",
        },
        "Regions": [
            {"Name": region.name, "RegionPath": region.histogram, "Variable": region.variable}
            | ({"Binning": [*region.binning]} if region.binning else {})
            for region in analysis.fit.regions
        ],
        "Samples": [
            {"Name": data.title if data else "data", "SamplePath": data.name if data else "data", "Data": True},
            *({"Name": title, "SamplePath": name} for name, title in titles.items()),
        ],
        "NormFactors": [
            {
                "Name": analysis.fit.parameter,
                "Samples": [titles[name] for name in analysis.fit.signal],
                "Nominal": 1,
                "Bounds": [*analysis.fit.bounds],
            }
        ],
        "Systematics": [
            *(
                {"Name": systematic.name, "Type": "NormPlusShape"}
                | _acting_on(processes, titles)
                | {
                    "Up": {"VariationPath": f"_{systematic.up}"},
                    "Down": {"VariationPath": f"_{systematic.down}"} if systematic.down else {"Symmetrize": True},
                }
                for systematic, processes in _systematics(analysis)
            ),
            *(
                {"Name": each.name, "Type": "Normalization"}
                | _acting_on(each.processes or titles, titles)
                | {"Up": {"Normalization": each.fraction}, "Down": {"Normalization": -each.fraction}}
                for each in analysis.fit.normalisations
            ),
        ],
    }
    _check(config, f"the fit of the analysis {analysis.name}")
    return config


def load(path: Path) -> Settings:
    """Read the configuration of a fit.

    Parameters
    ----------
    path : pathlib.Path
        YAML file in cabinetry's layout.

    Returns
    -------
    dict
        The configuration.

    Raises
    ------
    InputError
        If the file cannot be read or is not a configuration of a fit.
    """
    try:
        config = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a configuration for cabinetry: {_one_line(error)}") from None
    _check(config, str(path))
    return config  # type: ignore[no-any-return]


def write(config: Settings, path: Path) -> None:
    """Write a configuration, as a start for one's own.

    Parameters
    ----------
    config : dict
        The configuration.
    path : pathlib.Path
        Where to write it.
    """
    with written_whole(path) as beside:
        text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
        beside.write_text(_HEADER + text, encoding="utf-8")


def of_variable(config: Settings, analysis: Analysis, variable: str) -> Settings:
    """Change a configuration so that another variable is fitted.

    Parameters
    ----------
    config : dict
        A configuration. The binning of a region holds for the variable of that region only.
    analysis : Analysis
        What knows other binnings: those of its own fit, or else few bins of the axis.
    variable : str
        Column of an axis of the analysis.

    Returns
    -------
    dict
        The configuration for the variable.

    Raises
    ------
    InputError
        If there is no such variable.
    """
    known = dict.fromkeys(axis.column for _, histogram in analysis.histograms for axis in histogram.axes)
    if variable not in known:
        raise InputError(
            f"there is no variable {variable!r} to fit; the analysis {analysis.name} has {', '.join(known)}"
        )
    return config | {"Regions": [_region_of_variable(region, analysis, variable) for region in config["Regions"]]}


def _region_of_variable(region: Settings, analysis: Analysis, variable: str) -> Settings:
    """Change a region so that another variable is fitted in it."""
    if variable_of(region, analysis) == variable:
        return region
    changed = {name: value for name, value in region.items() if name != "Binning"} | {"Variable": variable}
    for fitted in analysis.fit.regions:
        if (fitted.histogram, fitted.variable) == (region.get("RegionPath"), variable) and fitted.binning:
            return changed | {"Binning": [*fitted.binning]}
    axis = axis_of(changed, analysis)
    if axis is None:
        return changed
    number = min(axis.bins, MOST_BINS)
    return changed | {"Binning": [axis.edges[round(edge * axis.bins / number)] for edge in range(number + 1)]}


def variable_of(region: Settings, analysis: Analysis) -> str:
    """Find out which variable a region is about.

    Parameters
    ----------
    region : dict
        A region of a configuration. Its `Variable` is for people and can be any text.
    analysis : Analysis
        The analysis.

    Returns
    -------
    str
        `Variable` if it is a column of the analysis, otherwise what its own fit takes of such a histogram.
    """
    named = str(region.get("Variable", ""))
    axes = [
        axis.column
        for _, histogram in analysis.histograms
        if histogram.name == region.get("RegionPath")
        for axis in histogram.axes
    ]
    fitted = [each.variable for each in analysis.fit.regions if each.histogram == region.get("RegionPath")]
    columns = [axis.column for _, histogram in analysis.histograms for axis in histogram.axes]
    return named if named in columns else next(iter((*fitted, *axes)), named or analysis.fit.regions[0].variable)


def axis_of(region: Settings, analysis: Analysis) -> Axis | None:
    """Find the axis that is fitted in a region.

    Parameters
    ----------
    region : dict
        A region of a configuration.
    analysis : Analysis
        The analysis.

    Returns
    -------
    Axis or None
        The axis; None if the region is not about a histogram of the analysis.
    """
    variable = variable_of(region, analysis)
    for _, histogram in analysis.histograms:
        for axis in histogram.axes:
            if (histogram.name, axis.column) == (region.get("RegionPath"), variable):
                return axis
    return None


def label_of(region: Settings, analysis: Analysis) -> str:
    """Say what is on the axis of a region: the words of a configuration, or those of the analysis.

    Parameters
    ----------
    region : dict
        A region of a configuration.
    analysis : Analysis
        The analysis.

    Returns
    -------
    str
        Title of the axis.
    """
    axis, named = axis_of(region, analysis), region.get("Variable")
    return axis.label if axis and named in (None, axis.column) else str(named or region["Name"])


def simulated(config: Settings) -> list[Settings]:
    """List the samples that are not data.

    Parameters
    ----------
    config : dict
        A configuration.

    Returns
    -------
    list of dict
        The samples.
    """
    return [sample for sample in config["Samples"] if not sample.get("Data", False)]


def data_of(config: Settings) -> Settings:
    """Find the sample that is data.

    Parameters
    ----------
    config : dict
        A configuration.

    Returns
    -------
    dict
        The sample.
    """
    return next(sample for sample in config["Samples"] if sample.get("Data", False))


def parameter_of(systematic: Settings) -> str:
    """Name of the nuisance parameter of a systematic uncertainty.

    Parameters
    ----------
    systematic : dict
        A systematic uncertainty of a configuration.

    Returns
    -------
    str
        The name.
    """
    return str(systematic.get("ModifierName", systematic["Name"]))


def histogram_of(config: Settings, region: Settings, sample: Settings, variation: Settings | None = None) -> str:
    """Name a histogram: the part of InputPath behind the file, filled in.

    Parameters
    ----------
    config, region, sample : dict
        A configuration, a region and a sample of it.
    variation : dict, optional
        The variation upwards or downwards of a systematic uncertainty; it can override all paths.

    Returns
    -------
    str
        The name.

    Raises
    ------
    InputError
        If a path is not given.
    """
    paths = {"VariationPath": ""} | config["General"] | region | sample | (variation or {})
    try:
        return str(config["General"]["InputPath"].rpartition(":")[2].format_map(paths))
    except KeyError as missing:
        where = f"region {region['Name']} or sample {sample['Name']}"
        raise InputError(f"the configuration of the fit gives no {missing.args[0]} for {where}") from None


def variations_of(systematic: Settings) -> dict[str, Settings]:
    """List the variations of a systematic uncertainty that come from a histogram.

    Parameters
    ----------
    systematic : dict
        A systematic uncertainty of a configuration.

    Returns
    -------
    dict of str to dict
        The variations by direction, `Up` and `Down`.
    """
    if systematic["Type"] != "NormPlusShape":
        return {}
    if systematic["Down"].get("Symmetrize", False):
        return {"Up": systematic["Up"]}
    return {"Up": systematic["Up"], "Down": systematic["Down"]}


def unused(config: Settings, analysis: Analysis, there: Iterable[str]) -> Iterator[str]:
    """Say which histograms of an analysis a fit does not use.

    Parameters
    ----------
    config : dict
        The configuration of the fit.
    analysis : Analysis
        The analysis.
    there : iterable of str
        Names of the histograms that there are.

    Yields
    ------
    str
        What is not used, and why.
    """
    there = set(there)
    regions, systematics = config["Regions"], config.get("Systematics", [])
    used = {histogram_of(config, region, sample) for region in regions for sample in config["Samples"]}
    varied = {
        histogram_of(config, region, sample, variation)
        for region in regions
        for sample in simulated(config)
        for systematic in systematics
        for variation in variations_of(systematic).values()
        if cabinetry.configuration.sample_contains_modifier(sample, systematic)
    }
    names = {
        (histogram.name, process.name): histogram_name(histogram.name, process.name, NOMINAL)
        for _, histogram in analysis.histograms
        for process in analysis.processes
    }
    fitted = {key for key, name in names.items() if name in used}
    histograms = {histogram for histogram, _ in fitted}
    processes = {process for _, process in fitted}
    carried_to = {region.histogram for region in analysis.fit.carried_to}
    for _, histogram in analysis.histograms:
        if histogram.name not in histograms | carried_to and any(
            names[histogram.name, p.name] in there for p in analysis.processes
        ):
            yield f"histogram {histogram.name}: no region of the fit uses it"
    for process in analysis.processes:
        if process.name not in processes and any(names[histogram, process.name] in there for histogram in histograms):
            yield f"process {process.title}: it is no sample of the fit"
    for systematic, acted_on in _systematics(analysis):
        of_fit = {
            histogram_name(histogram, process, variation)
            for histogram, process in fitted
            if process in acted_on
            for variation in systematic.variations
        }
        if of_fit & there and not of_fit & varied:
            yield f"systematic uncertainty {systematic.name}: the configuration of the fit does not have it"
    for setting in OF_NTUPLES:
        parts = [config["Regions"], config["Samples"], *([each["Up"], each["Down"]] for each in systematics)]
        if any(setting in part for parts_of_kind in parts for part in parts_of_kind):
            yield f"{setting}: it acts on ntuples; histograms are taken as they are"


def _systematics(analysis: Analysis) -> Iterator[tuple[Systematic, tuple[str, ...]]]:
    """Each systematic uncertainty with variations once, with all processes that it acts on."""
    acted_on: dict[Systematic, dict[str, None]] = {}
    for source in analysis.sources:
        for systematic in source.systematics:
            acted_on.setdefault(systematic, {}).update(dict.fromkeys(source.processes))
    for systematic, processes in acted_on.items():
        yield systematic, tuple(processes)


def _acting_on(processes: Iterable[str], titles: Mapping[str, str]) -> Settings:
    """Restrict a modifier to processes, unless these are all."""
    samples = [titles[name] for name in processes]
    return {} if len(samples) == len(titles) else {"Samples": samples}


# Checks.


def _check(config: Any, where: str) -> None:
    """Find mistakes in a configuration."""
    try:
        _check_values(config)
        cabinetry.configuration.validate(config)
        _check_names(config)
        _check_regions(config)
        _check_parameters(config)
        _check_systematics(config)
    except jsonschema.ValidationError as error:
        what = f"{error.json_path}: {error.message}"
        raise InputError(f"{where} is not a configuration for cabinetry: {_one_line(what)}") from None
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"{where} is not a configuration of a fit: {_one_line(error)}") from None


def _one_line(text: object) -> str:
    """Shorten what a library says to one line."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))
    return line if len(line) <= 300 else f"{line[:200]} ... {line[-90:]}"


def _check_values(config: Any) -> None:
    """Check that there are not too many values, that numbers are finite, and that text can be shown."""
    left, seen = [config], 0
    while left:
        value = left.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} values")
        if isinstance(value, dict):
            # Conditions of ntuples are never shown, and can have several lines.
            left += [*value, *(part for key, part in value.items() if key not in OF_NTUPLES)]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, int | float) and not abs(value) < 1e100:
            raise ValueError("it has a number that is infinite, or none")
        elif isinstance(value, str) and (len(value) > LONGEST or not value.isprintable()):
            raise ValueError(f"the text {value[:30]!r} has control characters, or more than {LONGEST} characters")


def _check_names(config: Settings) -> None:
    """Check that names can be shown, and mean one thing."""
    systematics = config.get("Systematics", [])
    for kind in ("Regions", "Samples", "NormFactors", "Systematics"):
        for entry in config.get(kind, []):
            for name in (entry["Name"], entry.get("ModifierName", entry["Name"])):
                if not name.strip():
                    raise ValueError(f"{kind}: a name is empty")
    for sample in simulated(config):
        if sample["Name"] in ("total", "data"):
            raise ValueError(f"Samples: {sample['Name']!r} is what all of them or the data are called in the results")
    for parameter in (*(factor["Name"] for factor in config["NormFactors"]), *map(parameter_of, systematics)):
        if parameter.startswith("staterror_"):
            raise ValueError(f"{parameter!r} is called like a parameter of the statistical uncertainty")
    factors = [factor["Name"] for factor in config["NormFactors"]]
    for systematic in systematics:
        if parameter_of(systematic) in factors:
            raise ValueError(
                f"{parameter_of(systematic)!r} is the name of a systematic uncertainty and of a NormFactor"
            )
    _check_references(config)


def _check_references(config: Settings) -> None:
    """Check that regions and samples that are named exist."""
    known = {kind: [entry["Name"] for entry in config[kind]] for kind in ("Regions", "Samples")}
    entries = [*config["Samples"], *config["NormFactors"], *config.get("Systematics", [])]
    entries += [entry["Smoothing"] | {"Name": entry["Name"]} for entry in entries if "Smoothing" in entry]
    for entry in entries:
        for kind, names in known.items():
            named = entry.get(kind, [])
            for name in [named] if isinstance(named, str) else named:
                if name not in names:
                    raise ValueError(f"{entry['Name']}: {kind} has {name!r}, there are only {', '.join(names)}")


def _check_regions(config: Settings) -> None:
    """Check where histograms are, and how they are binned."""
    path = config["General"]["InputPath"]
    try:
        fields = [
            (name, text, convert) for _, name, text, convert in string.Formatter().parse(path) if name is not None
        ]
    except ValueError as error:
        raise ValueError(f"General: InputPath: {error}") from None
    if ":" not in path or any(name not in PATHS or text or convert for name, text, convert in fields):
        raise ValueError(
            f"General: InputPath: {path!r} must be a file, a colon and the name of a histogram, "
            f"made of {', '.join(f'{{{name}}}' for name in sorted(PATHS))}"
        )
    for region in config["Regions"]:
        edges = region.get("Binning", [])
        if any(lower >= upper for lower, upper in pairwise(edges)):
            raise ValueError(f"Regions: {region['Name']}: the edges of Binning must increase")
    for entry in (*config["Samples"], *(s[side] for s in config.get("Systematics", []) for side in ("Up", "Down"))):
        if not isinstance(entry.get("SamplePath", ""), str):
            raise ValueError("SamplePath can be one name only, since histograms are not added up")


def _check_parameters(config: Settings) -> None:
    """Check free parameters, and those that are fixed."""
    general, factors = config["General"], config["NormFactors"]
    if general.get("POI") not in [factor["Name"] for factor in factors]:
        raise ValueError("General: POI must name one of NormFactors")
    limits = {systematic["Name"]: (-REACH, REACH) for systematic in config.get("Systematics", [])}
    for factor in factors:
        low, high = limits[factor["Name"]] = factor.get("Bounds", [0, 10])
        if not low < high or not low <= factor.get("Nominal", 1) <= high:
            raise ValueError(f"NormFactors: {factor['Name']}: Bounds must increase and have Nominal between them")
    fixed = Counter(each["Name"] for each in general.get("Fixed", []))
    for each in general.get("Fixed", []):
        name = each["Name"]
        if name not in limits or fixed[name] > 1:
            raise ValueError(f"General: Fixed names {name!r} twice, or there is no such parameter")
        if name == general["POI"]:
            raise ValueError(f"General: Fixed names {name!r}, the parameter of interest; nothing would be measured")
        if not limits[name][0] <= each["Value"] <= limits[name][1]:
            raise ValueError(f"General: Fixed: {name} can only be between {limits[name][0]:g} and {limits[name][1]:g}")


def _check_systematics(config: Settings) -> None:
    """Check that systematic uncertainties say all that their type needs."""
    contains = cabinetry.configuration.sample_contains_modifier
    taken = set()
    for systematic in config.get("Systematics", []):
        name, up, down = systematic["Name"], systematic["Up"], systematic["Down"]
        if systematic["Type"] == "Normalization":
            if not all(side.get("Normalization", -1) > -1 for side in (up, down)):
                raise ValueError(f"Systematics: {name}: Up and Down need a Normalization above -1 each")
        elif up.get("Symmetrize", False) or "Normalization" in up | down:
            raise ValueError(f"Systematics: {name}: Up needs a histogram, and Down another one or Symmetrize: true")
        for region in config["Regions"]:
            for sample in simulated(config):
                if cabinetry.configuration.region_contains_modifier(region, systematic) and contains(
                    sample, systematic
                ):
                    key = (parameter_of(systematic), region["Name"], sample["Name"])
                    if key in taken:
                        raise ValueError(f"Systematics: {key[0]} acts twice on {sample['Name']} in {region['Name']}")
                    taken.add(key)
