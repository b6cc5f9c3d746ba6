"""Templates of the fit: what a configuration asks for, what a file has, and how far to trust it."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Any, Literal

import cabinetry
import jsonschema
import numpy as np
import uproot
import yaml
from cabinetry.histo import Histogram
from numpy.typing import NDArray

from ttbar.errors import InputError
from ttbar.reading import read_text, require_file

Settings = dict[str, Any]
"""A configuration of cabinetry, or the part of it on a region, a sample or a systematic uncertainty."""

Direction = Literal["Up", "Down"]
Values = NDArray[np.float64]

BINNING = {"deltaR": np.linspace(0, 2 * pi, 6).tolist()}
"""Bin edges of a variable for which the configuration gives none: bins of deltaR are merged in fives, which
leaves enough simulated events near 2 pi, where its distribution falls to zero."""

MAX_NORM_CHANGE = 0.5
"""A variation that changes the number of events by more than this fraction is suspicious."""


PSEUDODATA = "(ttbar ME_var + ttbar PS_var) / 2 + wjets"
PSEUDODATA_PARTS: list[tuple[float, Settings]] = [
    (0.5, {"SamplePath": "ttbar", "VariationPath": "_ME_var"}),
    (0.5, {"SamplePath": "ttbar", "VariationPath": "_PS_var"}),
    (1.0, {"SamplePath": "wjets"}),
]
"""What stands for data where there are none, so that the fit is not of a model to itself."""


@dataclass(frozen=True)
class Check:
    """Something about a template that a person should know."""

    check: str
    """What was found, in the same words each time."""
    region: str
    sample: str | None
    systematic: str | None
    detail: str
    severity: Literal["warning", "information"]

    def __str__(self) -> str:
        """One line."""
        where = ", ".join(part for part in (self.region, self.sample, self.systematic) if part)
        return f"{where}: {self.check}: {self.detail}"


@dataclass(frozen=True)
class Templates:
    """All that is fitted."""

    config: Settings
    """The configuration, without what is left out, with the binning that is used."""
    histograms: Mapping[tuple[str, str, str, str | None], Histogram]
    """Histograms by region, sample, systematic uncertainty (empty for nominal) and direction."""
    pseudodata: str | None
    """How pseudodata were made; None if the file has data."""
    left_out: Sequence[str]
    """A sentence for each part of the configuration that is not fitted."""
    checks: Sequence[Check]


class HistogramFile:
    """The one-dimensional histograms of a ROOT file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    variable : str
        What was histogrammed. Histograms are taken from the folder of this name or, if there is none, from
        the top of the file, where other programs write those of the observable.

    Raises
    ------
    InputError
        If the file cannot be read or has no histograms of the variable.
    """

    def __init__(self, path: Path, variable: str) -> None:
        self.path = path
        require_file(path)
        try:
            with path.open("rb") as stream, uproot.open(stream) as file:
                folder = file.get(variable, file)
                self._histograms = {
                    name: folder[name] for name in folder.keys(recursive=False, cycle=False, filter_classname="TH1*")
                }
        # A damaged file makes uproot raise almost anything.
        except Exception as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputError(f"{path} cannot be read as a ROOT file of histograms: {reason}") from None
        if not self._histograms or (folder is file and variable != "observable"):
            raise InputError(f"{path} has no one-dimensional histograms of {variable}; fill the histograms again")

    def __contains__(self, name: str) -> bool:
        """Whether there is a histogram of this name."""
        return name in self._histograms

    def has_errors(self, name: str) -> bool:
        """Whether a histogram holds sums of squared weights."""
        return bool(self._histograms[name].weighted)

    def read(self, name: str, edges: Sequence[float] | None) -> Histogram:
        """Read a histogram, without its flow bins.

        Parameters
        ----------
        name : str
            Its name.
        edges : sequence of float or None
            Edges to merge bins to; None leaves the bins as they are.

        Returns
        -------
        cabinetry.histo.Histogram
            The histogram.

        Raises
        ------
        InputError
            If it has no bin edges where they are needed or contents that are not numbers.
        """
        histogram = self._histograms[name]
        own = histogram.axis().edges()
        values, variances = histogram.values(), histogram.variances()
        if not (np.isfinite(values).all() and np.isfinite(variances).all()):
            raise InputError(f"{self.path}: {name} has bins that are not finite numbers")
        if edges is None:
            return Histogram.from_arrays(own, values, np.sqrt(variances))
        matches = np.isclose(np.asarray(edges)[:, None], own[None, :], rtol=1e-9, atol=1e-9 * own[-1])
        if not matches.any(axis=1).all():
            missing = np.asarray(edges)[~matches.any(axis=1)][0]
            raise InputError(f"{self.path}: {name} has no bin edge at {missing:g}, where the fit needs one")
        at = matches.argmax(axis=1)
        merged = [np.add.reduceat(bins[: at[-1]], at[:-1]) for bins in (values, variances)]
        return Histogram.from_arrays(list(edges), merged[0], np.sqrt(merged[1]))


def load_configuration(path: Path, variable: str) -> Settings:
    """Read the configuration of a fit.

    Parameters
    ----------
    path : pathlib.Path
        YAML file in cabinetry's layout.
    variable : str
        What to fit in all regions. The binning of a region holds for the variable of that region only.

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
        config: Settings = yaml.safe_load(read_text(path))
        cabinetry.configuration.validate(config)
    except jsonschema.ValidationError as error:
        raise InputError(f"{path} is not a configuration for cabinetry: {error.json_path}: {error.message}") from None
    except (yaml.YAMLError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is not a configuration for cabinetry: {' '.join(str(error).split())}") from None
    poi = config["General"].get("POI")
    if poi not in [factor["Name"] for factor in config["NormFactors"]]:
        raise InputError(f"{path} is not a configuration of this fit: General: POI must name one of NormFactors")
    for region in config["Regions"]:
        if region.setdefault("Variable", "observable") != variable:
            region["Variable"] = variable
            region["Binning"] = BINNING[variable]
    return config


def collect(path: Path, config: Settings, variable: str) -> Templates:
    """Read and check the templates that a configuration asks for, as far as there are any.

    Parameters
    ----------
    path : pathlib.Path
        ROOT file with histograms.
    config : dict
        The configuration.
    variable : str
        What to fit.

    Returns
    -------
    Templates
        What there is to fit.

    Raises
    ------
    InputError
        If the file is damaged or lacks something without which there is no fit.
    """
    return _Collector(HistogramFile(path, variable), copy.deepcopy(config)).templates()


class _Collector:
    """Takes from a configuration what a file cannot serve, and reads the rest."""

    def __init__(self, file: HistogramFile, config: Settings) -> None:
        self.file = file
        self.config = config
        self.config.setdefault("Systematics", [])
        self.histograms: dict[tuple[str, str, str, str | None], Histogram] = {}
        self.left_out: list[str] = []
        self.checks: list[Check] = []

    def templates(self) -> Templates:
        """Run all steps in the order in which they depend on each other."""
        self._take_samples()
        self._take_binning()
        self._take_nominal()
        for systematic in self.config["Systematics"]:
            if systematic["Type"] == "NormPlusShape":
                self._take_systematic(systematic)
        self.config["Systematics"] = [
            systematic for systematic in self.config["Systematics"] if systematic.get("Samples") != []
        ]
        pseudodata = self._take_data()
        return Templates(self.config, self.histograms, pseudodata, self.left_out, self.checks)

    def _samples(self) -> list[Settings]:
        """List the simulated samples."""
        return [sample for sample in self.config["Samples"] if not sample.get("Data", False)]

    def _regions(self, sample: Settings) -> list[Settings]:
        """List the regions that a sample is in."""
        return [
            region
            for region in self.config["Regions"]
            if cabinetry.configuration.region_contains_sample(region, sample)
        ]

    def _name(self, region: Settings, sample: Settings, variation: Settings | None = None) -> str:
        """Name of a histogram: the part of InputPath behind the file, filled in."""
        paths = {"VariationPath": ""} | self.config["General"] | region | sample | (variation or {})
        try:
            return str(self.config["General"]["InputPath"].rpartition(":")[2].format_map(paths))
        except KeyError as missing:
            where = f"region {region['Name']} or sample {sample['Name']}"
            raise InputError(f"the configuration of the fit gives no {missing.args[0]} for {where}") from None

    def _variations(self, systematic: Settings) -> dict[Direction, Settings]:
        """List the variations of a systematic uncertainty that come from a histogram."""
        if systematic["Down"].get("Symmetrize", False):
            return {"Up": systematic["Up"]}
        return {"Up": systematic["Up"], "Down": systematic["Down"]}

    def _check(
        self,
        check: str,
        region: Settings,
        sample: Settings | None,
        systematic: Settings | None,
        detail: str,
        severity: Literal["warning", "information"] = "warning",
    ) -> None:
        of_sample, of_systematic = (part["Name"] if part else None for part in (sample, systematic))
        self.checks.append(Check(check, region["Name"], of_sample, of_systematic, detail, severity))

    def _take_samples(self) -> None:
        """Leave out samples without any histogram, insist on the nominal ones of the others."""
        for sample in self._samples():
            nominal = {self._name(region, sample) for region in self._regions(sample)}
            varied = {
                self._name(region, sample, variation)
                for region in self._regions(sample)
                for systematic in self._systematics(sample)
                for variation in self._variations(systematic).values()
            }
            missing = sorted(name for name in nominal if name not in self.file)
            if missing and any(name in self.file for name in nominal | varied):
                raise InputError(
                    f"{self.file.path} has no {' and no '.join(missing)}, but other histograms of "
                    f"{sample['Name']}; fill the histograms again with its nominal sample"
                )
            if missing:
                self._leave_out_sample(sample, f"there is no histogram {' nor '.join(missing)}")
        self._insist_on_signal()

    def _systematics(self, sample: Settings) -> list[Settings]:
        """List the systematic uncertainties that come from histograms and act on a sample."""
        return [
            systematic
            for systematic in self.config["Systematics"]
            if systematic["Type"] == "NormPlusShape"
            and cabinetry.configuration.sample_contains_modifier(sample, systematic)
        ]

    def _leave_out_sample(self, sample: Settings, reason: str) -> None:
        self.config["Samples"].remove(sample)
        self.left_out.append(f"sample {sample['Name']}: {reason}")

    def _insist_on_signal(self) -> None:
        poi = self.config["General"]["POI"]
        factor = next(factor for factor in self.config["NormFactors"] if factor["Name"] == poi)
        contains = cabinetry.configuration.sample_contains_modifier
        if not any(contains(sample, factor) for sample in self._samples()):
            reasons = "; ".join(line for line in self.left_out if line.startswith("sample "))
            raise InputError(f"{self.file.path} has no sample that {poi} scales: {reasons}")

    def _take_binning(self) -> None:
        """Merge bins in which no sample predicts an event: a likelihood has no minimum with them."""
        for region in list(self.config["Regions"]):
            samples = [sample for sample in self._samples() if region in self._regions(sample)]
            nominal = [self.file.read(self._name(region, sample), region.get("Binning")) for sample in samples]
            if any(len(template.bins) != len(nominal[0].bins) for template in nominal):
                raise InputError(f"{self.file.path}: the samples of {region['Name']} have different bins")
            total = np.sum([template.yields for template in nominal], axis=0)
            edges = nominal[0].bins.tolist()
            merged = _merge_empty(edges, total)
            region["Binning"] = merged
            if len(merged) == 1:
                self.config["Regions"].remove(region)
                self.left_out.append(f"region {region['Name']}: its histograms are empty")
            elif len(merged) < len(edges):
                gone = ", ".join(f"{edge:g}" for edge in edges if edge not in merged)
                detail = f"no sample predicts events on one side of {gone}"
                self._check("empty bins merged with a neighbour", region, None, None, detail)
        if not self.config["Regions"]:
            raise InputError(f"{self.file.path}: all nominal histograms are empty; there is nothing to fit")

    def _take_nominal(self) -> None:
        """Read the nominal templates, leave samples out where they predict nothing."""
        for sample in self._samples():
            regions = []
            for region in self._regions(sample):
                name = self._name(region, sample)
                template = self.file.read(name, region["Binning"])
                total = template.yields.sum()
                if total < 0:
                    raise InputError(f"{self.file.path}: the contents of {name} add up to {total:g}, check its weights")
                if total == 0:
                    self.left_out.append(f"sample {sample['Name']} in {region['Name']}: {name} is empty")
                    self._check("empty template", region, sample, None, f"{name} has no events")
                    continue
                regions.append(region["Name"])
                self.histograms[region["Name"], sample["Name"], "", None] = template
                self._check_bins(name, template, region, sample, None)
            sample["Regions"] = regions
        for sample in [sample for sample in self._samples() if not sample["Regions"]]:
            self._leave_out_sample(sample, "it has no events in any region")
        self._insist_on_signal()

    def _take_systematic(self, systematic: Settings) -> None:
        """Read the varied templates of those samples that have all of them."""
        affected = [sample for sample in self._samples() if systematic in self._systematics(sample)]
        if not affected:
            self.left_out.append(f"systematic uncertainty {systematic['Name']}: no sample that it acts on is there")
        systematic["Samples"] = []
        for sample in affected:
            if reason := self._take_variations(systematic, sample):
                self.left_out.append(f"systematic uncertainty {systematic['Name']} of {sample['Name']}: {reason}")
            else:
                systematic["Samples"].append(sample["Name"])

    def _take_variations(self, systematic: Settings, sample: Settings) -> str | None:
        """Read the varied templates of a sample, or say why they cannot be used."""
        names = {
            (region["Name"], direction): self._name(region, sample, variation)
            for region in self._regions(sample)
            if cabinetry.configuration.region_contains_modifier(region, systematic)
            for direction, variation in self._variations(systematic).items()
        }
        if missing := [name for name in names.values() if name not in self.file]:
            return f"there is no histogram {' nor '.join(missing)}"
        usable = True
        for region in self._regions(sample):
            nominal = self.histograms[region["Name"], sample["Name"], "", None].yields
            varied: dict[Direction, Values] = {}
            for (region_name, direction), name in names.items():
                if region_name == region["Name"]:
                    template = self.file.read(name, region["Binning"])
                    self.histograms[region_name, sample["Name"], systematic["Name"], direction] = template
                    self._check_bins(name, template, region, sample, systematic, nominal)
                    varied[direction] = template.yields
            if varied:
                usable &= self._check_variations(nominal, varied, region, sample, systematic)
        return None if usable else "a direction predicts no events"

    def _check_variations(
        self,
        nominal: Values,
        varied: dict[Direction, Values],
        region: Settings,
        sample: Settings,
        systematic: Settings,
    ) -> bool:
        """Compare varied templates with the nominal one, and say whether a fit can use them at all."""
        norms = {direction: float(yields.sum() / nominal.sum()) for direction, yields in varied.items()}
        for direction, norm in norms.items():
            if abs(norm - 1) > MAX_NORM_CHANGE:
                detail = f"{direction.lower()} is {norm:.3g} times nominal"
                self._check("changes the norm by more than half", region, sample, systematic, detail)
        # cabinetry mirrors norm and shape one by one.
        one_sided = "Down" not in varied
        if one_sided:
            norms["Down"] = 2 - norms["Up"]
        if min(norms.values()) <= 0:
            return False
        if one_sided:
            varied["Down"] = norms["Down"] * (2 * nominal - varied["Up"] / norms["Up"])
            if (negative := varied["Down"] < 0).any():
                detail = f"mirrored at nominal, bins {_numbers(negative)} of {len(nominal)} are negative"
                self._check("negative bins", region, sample, systematic, detail)
        self._check_sides(nominal, varied["Up"], varied["Down"], region, sample, systematic)
        return True

    def _check_bins(
        self,
        name: str,
        template: Histogram,
        region: Settings,
        sample: Settings,
        systematic: Settings | None,
        nominal: Values | None = None,
    ) -> None:
        """Look for empty and negative bins, and for bins without statistical errors."""
        of = f"of {len(template.yields)} of {name}"
        # A variation is blamed for those empty bins only that it does not share with nominal.
        empty = (template.yields == 0) & (True if nominal is None else nominal != 0)
        if empty.any():
            self._check("empty bins", region, sample, systematic, f"bins {_numbers(empty)} {of} are empty")
        if (negative := template.yields < 0).any():
            self._check("negative bins", region, sample, systematic, f"bins {_numbers(negative)} {of} are negative")
        if not self.file.has_errors(name):
            detail = f"{name} has no sums of squared weights; the square root of the contents is taken"
            self._check("missing statistical errors", region, sample, systematic, detail)
        elif (without := (template.yields != 0) & (template.stdev == 0)).any():
            detail = f"bins {_numbers(without)} {of} have contents without an error"
            self._check("missing statistical errors", region, sample, systematic, detail)

    def _check_sides(
        self,
        nominal: Values,
        up: Values,
        down: Values,
        region: Settings,
        sample: Settings,
        systematic: Settings,
    ) -> None:
        """Look for variations that do nothing, or the same in both directions."""
        if np.allclose(up, down, rtol=1e-9, atol=0):
            self._check("up and down are equal", region, sample, systematic, "the uncertainty has no effect")
            return
        # The last bits of a sum are no deviation.
        floor = 1e-9 * np.abs(nominal)
        same = ((up - nominal > floor) & (down - nominal > floor)) | ((nominal - up > floor) & (nominal - down > floor))
        norms = up.sum() / nominal.sum() - 1, down.sum() / nominal.sum() - 1
        if norms[0] * norms[1] > 1e-18:
            detail = f"they change the norm by {norms[0]:+.2%} and {norms[1]:+.2%}"
            self._check("up and down are on the same side", region, sample, systematic, detail)
        elif same.any():
            detail = f"in bins {_numbers(same)} of {len(nominal)}"
            self._check("up and down are on the same side", region, sample, systematic, detail, "information")

    def _take_data(self) -> str | None:
        """Take the data if the file has any; make pseudodata otherwise, and say how."""
        data = next(sample for sample in self.config["Samples"] if sample.get("Data", False))
        data.pop("Regions", None)
        for pseudodata, parts in (
            (None, [(1.0, data)]),
            (PSEUDODATA, PSEUDODATA_PARTS),
            ("the sum of the nominal samples (Asimov)", [(1.0, sample) for sample in self._samples()]),
        ):
            sources = {
                region["Name"]: [
                    (factor, self._name(region, sample))
                    for factor, sample in parts
                    if cabinetry.configuration.region_contains_sample(region, sample)
                ]
                for region in self.config["Regions"]
            }
            there = [name in self.file for region in sources.values() for _, name in region]
            if all(there):
                break
            if pseudodata is None and any(there):
                raise InputError(f"{self.file.path} has {data['Name']} in some of the regions only")
        for region in self.config["Regions"]:
            yields = np.sum(
                [factor * self.file.read(name, region["Binning"]).yields for factor, name in sources[region["Name"]]],
                axis=0,
            )
            if (yields < 0).any():
                raise InputError(f"{self.file.path}: {pseudodata or 'data'}: bins of {region['Name']} are negative")
            template = Histogram.from_arrays(region["Binning"], yields, np.sqrt(yields))
            self.histograms[region["Name"], data["Name"], "", None] = template
        return pseudodata


def _merge_empty(edges: Sequence[float], contents: Values) -> list[float]:
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


def _numbers(bins: NDArray[np.bool_]) -> str:
    """Write the numbers, from 1, of the bins that are true."""
    return ", ".join(str(number + 1) for number in np.flatnonzero(bins))
