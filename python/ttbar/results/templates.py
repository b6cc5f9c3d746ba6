"""Templates of the fit: those that a configuration asks for and a file can serve."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from cabinetry.configuration import region_contains_modifier, region_contains_sample, sample_contains_modifier
from cabinetry.histo import Histogram

from ttbar.analyses.analysis import NOMINAL, PSEUDODATA, Analysis
from ttbar.errors import InputError
from ttbar.results import template_checks
from ttbar.results.fit_configuration import (
    Settings,
    data_of,
    histogram_of,
    simulated,
    unused,
    variable_of,
    variations_of,
)
from ttbar.results.template_checks import Check, Place
from ttbar.results.template_file import HistogramSource, Values, closest

Key = tuple[str, str, str, str | None]
"""Region, sample, systematic uncertainty (empty for nominal) and direction of a template."""

ASIMOV = "the sum of the nominal samples (Asimov)"


@dataclass(frozen=True)
class Templates:
    """All that is fitted."""

    config: Settings
    """The configuration, without what is left out, with the binning that is used."""
    histograms: Mapping[Key, Histogram]
    pseudodata: str | None
    """How pseudodata were made; None if the file has data."""
    left_out: Sequence[str]
    """A sentence for each part of the configuration that is not fitted."""
    checks: Sequence[Check]


def collect(source: HistogramSource, config: Settings, analysis: Analysis, *, fitted: bool = True) -> Templates:
    """Read and check the templates that a configuration asks for, as far as there are any.

    Parameters
    ----------
    source : HistogramSource
        What has the histograms.
    config : dict
        The configuration.
    analysis : Analysis
        The analysis, which says what stands for data where there are none.
    fitted : bool
        Whether there is a fit to them. Otherwise empty bins remain as they are, and what is not used is not told.

    Returns
    -------
    Templates
        What there is to fit.

    Raises
    ------
    InputError
        If a histogram is damaged, or one is missing without which there is no fit.
    """
    config = copy.deepcopy(config)
    config.setdefault("Systematics", [])
    reader = _Reader(source, config, analysis)
    there = {name for region in config["Regions"] for name in reader.names(region)}
    found = _Found(left_out=[*unused(config, analysis, there)] if fitted else [])
    _choose_samples(reader, config, found)
    _choose_binning(reader, config, found, merge_empty=fitted)
    _read_nominal(reader, config, found)
    _read_systematics(reader, config, found)
    pseudodata = _read_data(reader, config, found, analysis)
    return Templates(config, found.histograms, pseudodata, found.left_out, found.checks)


@dataclass
class _Found:
    """What the steps add to."""

    left_out: list[str]
    histograms: dict[Key, Histogram] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


class _Reader:
    """Reads what regions and samples of a configuration stand for."""

    def __init__(self, source: HistogramSource, config: Settings, analysis: Analysis) -> None:
        self.source = source
        self.config = config
        self._variables = {region["Name"]: variable_of(region, analysis) for region in config["Regions"]}
        self._names = {variable: dict.fromkeys(source.names(variable)) for variable in self._variables.values()}

    def names(self, region: Settings) -> list[str]:
        """Names of all histograms that a region can take."""
        return list(self._names[self._variables[region["Name"]]])

    def name(self, region: Settings, sample: Settings, variation: Settings | None = None) -> str:
        """Name of a histogram."""
        return histogram_of(self.config, region, sample, variation)

    def has(self, region: Settings, name: str) -> bool:
        """Whether there is a histogram."""
        return name in self._names[self._variables[region["Name"]]]

    def has_errors(self, region: Settings, name: str) -> bool:
        """Whether a histogram holds sums of squared weights."""
        return self.source.has_errors(self._variables[region["Name"]], name)

    def read(self, region: Settings, name: str) -> Histogram:
        """Read a histogram with the bins of a region."""
        return self.source.read(self._variables[region["Name"]], name, region.get("Binning"))


# Choice: what there is to fit.


def _regions_of(config: Settings, sample: Settings) -> list[Settings]:
    """List the regions that a sample is in."""
    return [region for region in config["Regions"] if region_contains_sample(region, sample)]


def _systematics_of(config: Settings, sample: Settings) -> list[Settings]:
    """List the systematic uncertainties with histograms that act on a sample."""
    return [s for s in config["Systematics"] if variations_of(s) and sample_contains_modifier(sample, s)]


def _choose_samples(reader: _Reader, config: Settings, found: _Found) -> None:
    """Leave out samples without any histogram, insist on the nominal ones of the others."""
    for region in config["Regions"]:
        wanted = [reader.name(region, sample) for sample in simulated(config) if region_contains_sample(region, sample)]
        if not any(reader.has(region, name) for name in wanted):
            instead = closest(wanted[0], reader.names(region)) if wanted else "no sample is in this region"
            example = f", e.g. {wanted[0]}" if wanted else ""
            raise InputError(f"{reader.source} has no histogram for the region {region['Name']}{example}: {instead}")
    for sample in simulated(config):
        regions = _regions_of(config, sample)
        nominal = {reader.name(region, sample): region for region in regions}
        varied = [
            reader.has(region, reader.name(region, sample, variation))
            for region in regions
            for systematic in _systematics_of(config, sample)
            for variation in variations_of(systematic).values()
        ]
        there = [name for name, region in nominal.items() if reader.has(region, name)]
        absent = sorted(set(nominal) - set(there))
        if absent and (there or any(varied)):
            raise InputError(
                f"{reader.source} has no {' and no '.join(absent)}, but other histograms of {sample['Name']}; "
                f"{closest(absent[0], reader.names(nominal[absent[0]]))}"
            )
        if absent:
            _leave_out(sample, f"there is no histogram {' nor '.join(absent)}", config, found)
    _insist_on_signal(reader, config, found)


def _leave_out(sample: Settings, reason: str, config: Settings, found: _Found) -> None:
    config["Samples"].remove(sample)
    found.left_out.append(f"sample {sample['Name']}: {reason}")


def _insist_on_signal(reader: _Reader, config: Settings, found: _Found) -> None:
    """Make sure that something is left to measure."""
    poi = config["General"]["POI"]
    factor = next(factor for factor in config["NormFactors"] if factor["Name"] == poi)
    signals = [sample for sample in simulated(config) if sample_contains_modifier(sample, factor)]
    if not any(region_contains_modifier(region, factor) for each in signals for region in _regions_of(config, each)):
        reasons = "; ".join(line for line in found.left_out if line.startswith("sample "))
        reasons = reasons or "its samples are data, or in other regions than it"
        raise InputError(f"{reader.source} has no sample that {poi} scales: {reasons}")


def _choose_binning(reader: _Reader, config: Settings, found: _Found, *, merge_empty: bool) -> None:
    """Merge bins in which no sample predicts an event: a likelihood has no minimum with them."""
    for region in list(config["Regions"]):
        samples = [sample for sample in simulated(config) if region_contains_sample(region, sample)]
        nominal = [reader.read(region, reader.name(region, sample)) for sample in samples]
        edges = nominal[0].bins
        for sample, template in zip(samples, nominal, strict=True):
            if len(template.bins) != len(edges) or not np.allclose(template.bins, edges, rtol=1e-9):
                raise InputError(
                    f"{reader.source}: the samples of {region['Name']} have different bins, e.g. {sample['Name']}; "
                    "give the region a Binning that all have"
                )
        merged = _without_empty(edges.tolist(), np.sum([template.yields for template in nominal], axis=0))
        region["Binning"] = merged if merge_empty else edges.tolist()
        if len(merged) == 1:
            config["Regions"].remove(region)
            found.left_out.append(f"region {region['Name']}: its histograms are empty")
        elif len(merged) < len(edges) and merge_empty:
            gone = ", ".join(f"{edge:g}" for edge in edges if edge not in merged)
            detail = f"no sample predicts events on one side of {gone}"
            found.checks.append(Place(region["Name"]).check("empty bins merged with a neighbour", detail))
    if not config["Regions"]:
        raise InputError(f"{reader.source}: all nominal histograms are empty; there is nothing to fit")


def _without_empty(edges: Sequence[float], contents: Values) -> list[float]:
    """Drop edges so that no bin is empty: one joins its right neighbour, the last ones their left."""
    kept, content = [edges[0]], 0.0
    for upper, value in zip(edges[1:], contents, strict=True):
        content += value
        if content > 0:
            kept.append(upper)
            content = 0.0
    if len(kept) > 1:
        kept[-1] = edges[-1]
    return kept


# Reading: the templates of what was chosen.


def _read_nominal(reader: _Reader, config: Settings, found: _Found) -> None:
    """Read the nominal templates, leave samples out where they predict nothing."""
    taken: dict[tuple[str, str], str] = {}
    for sample in simulated(config):
        regions = []
        for region in _regions_of(config, sample):
            name, place = reader.name(region, sample), Place(region["Name"], sample["Name"])
            template = reader.read(region, name)
            other = taken.setdefault((region["Name"], name), sample["Name"])
            if other != sample["Name"]:
                found.checks.append(place.check("the same histogram as another sample", f"{name} is also {other}"))
            total = template.yields.sum()
            if total < 0:
                raise InputError(f"{reader.source}: the contents of {name} add up to {total:g}, check its weights")
            if total == 0:
                found.left_out.append(f"sample {sample['Name']} in {region['Name']}: {name} is empty")
                found.checks.append(place.check("empty template", f"{name} has no events"))
                continue
            regions.append(region["Name"])
            found.histograms[region["Name"], sample["Name"], "", None] = template
            found.checks += template_checks.bins(place, name, template, reader.has_errors(region, name))
        sample["Regions"] = regions
    for sample in [sample for sample in simulated(config) if not sample["Regions"]]:
        _leave_out(sample, "it has no events in any region", config, found)
    _insist_on_signal(reader, config, found)


def _read_systematics(reader: _Reader, config: Settings, found: _Found) -> None:
    """Read the varied templates of those samples that have all of them; keep what acts on something."""
    for systematic in config["Systematics"]:
        affected = [sample for sample in simulated(config) if sample_contains_modifier(sample, systematic)]
        if not affected:
            found.left_out.append(f"systematic uncertainty {systematic['Name']}: no sample that it acts on is there")
        systematic["Samples"] = []
        for sample in affected:
            if reason := _read_variations(systematic, sample, reader, config, found):
                found.left_out.append(f"systematic uncertainty {systematic['Name']} of {sample['Name']}: {reason}")
            else:
                systematic["Samples"].append(sample["Name"])
    config["Systematics"] = [systematic for systematic in config["Systematics"] if systematic["Samples"]]


def _read_variations(
    systematic: Settings, sample: Settings, reader: _Reader, config: Settings, found: _Found
) -> str | None:
    """Read the varied templates of a sample, or say why they cannot be used."""
    variations = variations_of(systematic)
    regions = [r for r in _regions_of(config, sample) if region_contains_modifier(r, systematic)] if variations else []
    names = [(region, reader.name(region, sample, each)) for region in regions for each in variations.values()]
    if missing := [name for region, name in names if not reader.has(region, name)]:
        return f"there is no histogram {' nor '.join(missing)}"
    usable = True
    for region in regions:
        place = Place(region["Name"], sample["Name"], systematic["Name"])
        nominal = found.histograms[region["Name"], sample["Name"], "", None].yields
        varied: dict[str, Values] = {}
        for direction, variation in variations.items():
            name = reader.name(region, sample, variation)
            template = reader.read(region, name)
            found.histograms[region["Name"], sample["Name"], systematic["Name"], direction] = template
            errors = reader.has_errors(region, name)
            found.checks += template_checks.bins(place, name, template, errors, nominal)
            varied[direction] = template.yields
        found.checks += template_checks.variations(place, nominal, varied)
        usable &= template_checks.usable(nominal, varied)
    return None if usable else "a direction predicts no events"


# Data, or what stands for them.


def _read_data(reader: _Reader, config: Settings, found: _Found, analysis: Analysis) -> str | None:
    """Take the data if the file has any; make pseudodata otherwise, and say how."""
    data = data_of(config)
    data.pop("Regions", None)
    regions = config["Regions"]
    there = [reader.has(region, reader.name(region, data)) for region in regions]
    if any(there) and not all(there):
        raise InputError(f"{reader.source} has {data['Name']} in some of the regions only")
    pseudodata, parts = None, [(1.0, data)]
    if not all(there):
        pseudodata, parts = _pseudodata(analysis)
        written = {"Name": PSEUDODATA, "SamplePath": PSEUDODATA}
        if analysis.fit.pseudodata_in_file and all(reader.has(each, reader.name(each, written)) for each in regions):
            parts = [(1.0, written)]
        elif not parts or not all(
            reader.has(region, reader.name(region, part)) for region in regions for _, part in parts
        ):
            pseudodata, parts = ASIMOV, [(1.0, sample) for sample in simulated(config)]
    for region in regions:
        yields = np.zeros(len(region["Binning"]) - 1)
        for factor, part in parts:
            if region_contains_sample(region, part):
                yields += factor * reader.read(region, reader.name(region, part)).yields
        if (yields < 0).any():
            raise InputError(f"{reader.source}: {pseudodata or 'data'}: bins of {region['Name']} are negative")
        template = Histogram.from_arrays(region["Binning"], yields, np.sqrt(yields))
        found.histograms[region["Name"], data["Name"], "", None] = template
    return pseudodata


def _pseudodata(analysis: Analysis) -> tuple[str, list[tuple[float, Settings]]]:
    """Write down the pseudodata of an analysis, and the samples that they are made of, with their factors."""
    texts, parts = [], []
    for factor, sample in analysis.fit.pseudodata:
        process, _, variation = sample.partition("__")
        nominal = variation == NOMINAL
        name = process if nominal else f"{process} {variation}"
        texts.append(name if factor == 1 else f"{factor:g} * {name}")
        path = {} if nominal else {"VariationPath": f"_{variation}"}
        parts.append((factor, {"Name": name, "SamplePath": process} | path))
    return " + ".join(texts), parts
