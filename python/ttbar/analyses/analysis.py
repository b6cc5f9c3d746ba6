"""What an analysis is: a value made of plain data, which the machinery is given.

Nothing here runs or imports anything of the machinery. Expressions are C++, as RDataFrame takes them: short calls of
helpers in headers. Because an analysis is data alone, it can be sent to other processes, compared, and identified by
a hash. To change one, make a new one of it with `dataclasses.replace`.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

NOMINAL = "nominal"
"""The variation that is none."""

PSEUDODATA = "pseudodata"
"""Stands for a process in names of histograms of pseudodata."""

WEIGHT = "weight"
"""Column of the weight of an event."""

WEIGHT_FACTORS = "weight_factors"
"""Column of the factors of all weight variations."""

PASSES_CUT = "passes_cut_"
"""Columns of whether an event passes a cut begin so."""

PARITIES = ("even", "odd")
"""Halves of the events, by their numbers."""

SEED = "{seed}"
"""Stands for the seed of a run, an unsigned C++ integer, in expressions."""

_NAME = re.compile(r"\w[\w.+-]*")
_COLUMN = re.compile(r"[A-Za-z_]\w*")
_QUALIFIED = re.compile(r"::\s*([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Systematic:
    """A source of uncertainty, by the variations that show its effect.

    It is declared where its variations are made: at a `Vary`, a `WeightVariation` or a `Process`. Graph, plots
    and fit take it from there.
    """

    name: str
    """What people call it, e.g. `b-tag NP 1`; the name of the nuisance parameter."""
    up: str
    """The variation upwards, e.g. `btag_var_0_up`."""
    down: str | None = None
    """The variation downwards; None if `up` is mirrored at nominal."""
    is_random: bool = False
    """Whether its variations depend on random numbers, which others cannot draw again."""

    @property
    def variations(self) -> tuple[str, ...]:
        """Names of its variations, upwards first."""
        return (self.up,) if self.down is None else (self.up, self.down)


@dataclass(frozen=True)
class ConstantWeight:
    """A systematic uncertainty that multiplies all weights of a process by a constant, after the event loop."""

    systematic: Systematic
    factors: tuple[float, ...]
    """A factor for each of its variations."""


@dataclass(frozen=True)
class Process:
    """A physics process, simulated or real."""

    name: str
    """As in data set files and in names of histograms."""
    cross_section: float | None
    """In pb; None for collision data, whose events have weight 1."""
    title: str = ""
    """What people call it, plain text; by default its name."""
    label: str = ""
    """The same for legends, with TeX between dollar signs; by default the title."""
    colour: str | None = None
    """As matplotlib takes it; None for one that no other process has."""
    simulations: tuple[Systematic, ...] = ()
    """Systematic uncertainties whose variations are simulations of their own."""
    constant_weights: tuple[ConstantWeight, ...] = ()
    """Systematic uncertainties that change the number of events alone."""

    def __post_init__(self) -> None:
        """Fill in what is called after something else."""
        object.__setattr__(self, "title", self.title or self.name)
        object.__setattr__(self, "label", self.label or self.title)

    @property
    def is_data(self) -> bool:
        """Whether these are collision data."""
        return self.cross_section is None

    @property
    def variations(self) -> tuple[str, ...]:
        """Names of the samples there can be of it: `nominal` and the alternative simulations."""
        return (NOMINAL, *(name for systematic in self.simulations for name in systematic.variations))


@dataclass(frozen=True)
class Define:
    """A column of the graph."""

    column: str
    expression: str
    in_skim: str | None = None
    """What a skim defines instead: the value for which the cuts let most events pass; None for the same."""
    elements: tuple[str, ...] = ()
    """What the elements are called, if it is a vector of doubles: each can be a column of the axis of a histogram
    that has no other axis."""


@dataclass(frozen=True)
class Vary:
    """Universes: other values of a column, on which all that comes later depends."""

    name: str
    """What the universes have in common, e.g. `jet_energy`."""
    column: str
    expression: str
    """A vector with a value of the column for each variation of the systematic uncertainties, in their order."""
    systematics: tuple[Systematic, ...]


@dataclass(frozen=True)
class Cut:
    """A condition that events must fulfil, and a row of the cutflow."""

    name: str
    condition: str
    in_skim: bool = False
    """Whether a skim cuts on it as well: it must let every event pass there that passes in any universe."""


Node = Define | Vary | Cut


@dataclass(frozen=True)
class WeightVariation:
    """Other weights of the events; the factors multiply the nominal weight."""

    name: str
    """What the variations have in common, e.g. `btag`."""
    factors: str
    """Expression: a vector of doubles, a factor for each variation of the systematic uncertainties, in their order."""
    systematics: tuple[Systematic, ...]


@dataclass(frozen=True)
class Axis:
    """An axis of a histogram, with bins of equal width that include their lower edge."""

    column: str
    """Column of doubles."""
    bins: int
    low: float
    high: float
    label: str
    """Title, with TeX between dollar signs and the unit in brackets."""
    name: str = ""
    """What people call it, plain text; by default the column."""
    meaning: str = ""
    """What it is, in words that go on from its name."""
    flow: bool = True
    """Whether to keep what lies outside; otherwise it is dropped, and counted."""
    shown_from: float | None = None
    """Plots begin here, at an edge of a bin; by default at `low`."""
    shown_merged: int = 1
    """Plots merge so many bins into one."""

    def __post_init__(self) -> None:
        """Fill in what is called after something else, and find contradictions."""
        object.__setattr__(self, "name", self.name or self.column)
        if not (self.bins > 0 and self.low < self.high):
            raise ValueError(f"the axis {self.column!r} needs a bin at least, and {self.low} below {self.high}")
        if self.shown_merged < 1 or (self.bins % self.shown_merged and self.shown_from is None):
            raise ValueError(
                f"plots cannot merge {self.shown_merged} of the {self.bins} bins of {self.column!r} into one"
            )
        if self.shown_from is not None and not self.has_edge(self.shown_from):
            raise ValueError(f"plots of {self.column!r} cannot begin at {self.shown_from}, which is no edge of a bin")

    def has_edge(self, position: float) -> bool:
        """Whether there is an edge of a bin at a position."""
        return any(math.isclose(position, edge, rel_tol=1e-9, abs_tol=1e-9 * self.high) for edge in self.edges)

    @property
    def unit(self) -> str:
        """Unit, empty if it has none."""
        found = re.search(r"\[(.+)\]\s*$", self.label)
        return found[1] if found else ""

    @property
    def edges(self) -> tuple[float, ...]:
        """Edges of the bins."""
        return tuple(self.low + (self.high - self.low) * edge / self.bins for edge in range(self.bins + 1))


@dataclass(frozen=True)
class Histogram:
    """A histogram that is filled for each sample and variation, with sums of squared weights."""

    name: str
    """Begins the names in the file: `{name}_{process}[_{variation}]`."""
    axes: tuple[Axis, ...]
    """One or two."""
    group: str = ""
    """Histograms of a region with the same one are shown side by side in one picture."""

    def __post_init__(self) -> None:
        """Check the number of axes."""
        if len(self.axes) not in (1, 2):
            raise ValueError(f"the histogram {self.name} has {len(self.axes)} axes, it must have one or two")


@dataclass(frozen=True)
class Region:
    """A selection of events after all cuts, and what is measured in it."""

    name: str
    condition: str
    title: str
    """What people call it, with TeX between dollar signs."""
    histograms: tuple[Histogram, ...]
    definitions: tuple[Define, ...] = ()
    """Columns that are defined in this region only."""


@dataclass(frozen=True)
class Model:
    """A forest that expressions refer to as `ttbar::model(N)`, N counted from 0 in the order of the analysis."""

    name: str
    """What people call it."""
    file: str
    """The one that comes with the program, by its path in `share/ttbar`; or an absolute path."""
    features: str
    """C++ expression of the names of its features, in the order of a row, e.g. `ttbar::feature_names`."""
    column: str
    """The column with its rows, one for each permutation: `ttbar::PermutationFeatures` or `ROOT::RVecF`. The events
    that reach it, be it in all regions or in one, are those that the model is trained on."""
    jets: str = "jets"
    """The column with the indices of the selected jets, of which the permutations assign the first four to six."""
    trained_on: str = ""
    """Events that it learns from, where others are evaluated by it: `even` or `odd` numbers; by default all."""

    def __post_init__(self) -> None:
        """Check what it is trained on."""
        if self.trained_on not in ("", *PARITIES):
            raise ValueError(f"the model {self.name!r} is trained on {self.trained_on!r}, not on even or odd events")


@dataclass(frozen=True)
class FitRegion:
    """A channel of the fit; an event that is in two of them is counted twice."""

    name: str
    histogram: str
    """Name of a histogram."""
    variable: str
    """Column of one of its axes."""
    binning: tuple[float, ...] | None = None
    """Edges of the histogram's bins to merge to; None to use the bins as they are."""


@dataclass(frozen=True)
class Normalisation:
    """A systematic uncertainty of the number of events."""

    name: str
    fraction: float
    """Relative uncertainty."""
    processes: tuple[str, ...] = ()
    """Names of the processes; none stands for all."""


@dataclass(frozen=True)
class Fit:
    """The fit of the strength of a signal."""

    parameter: str
    """Parameter of interest: what the cross-section of the signal is multiplied by."""
    signal: tuple[str, ...]
    """Names of the processes that it multiplies."""
    regions: tuple[FitRegion, ...]
    bounds: tuple[float, float] = (0.0, 10.0)
    normalisations: tuple[Normalisation, ...] = ()
    pseudodata: tuple[tuple[float, str], ...] = ()
    """What stands for data where there are none: factors and names of samples. Without them it is the sum of all
    nominal samples."""
    pseudodata_in_file: bool = False
    """Whether a run also writes the pseudodata of each histogram, named `{histogram}_pseudodata`."""
    carried_to: tuple[FitRegion, ...] = ()
    """Where the result of the fit is shown as well: channels that are not fitted."""


@dataclass(frozen=True)
class Source:
    """Systematic uncertainties that are made in one way, and thus shown together."""

    name: str
    """Name of the `Vary` or `WeightVariation`; `simulation` or `scale`."""
    systematics: tuple[Systematic, ...]
    processes: tuple[str, ...]
    """Names of the simulated processes that they act on."""


@dataclass(frozen=True)
class Analysis:
    """All that is measured, and all that is to be known of it.

    Raises
    ------
    ValueError
        If it contradicts itself: a name that is given twice, or means nothing.
    """

    name: str
    luminosity: float
    """Integrated luminosity in 1/pb."""
    columns: Mapping[str, str]
    """The columns of a file that the expressions read, and their C++ types, e.g. `RVec<float>`."""
    processes: tuple[Process, ...]
    """In the order of a stack, from its bottom."""
    nodes: tuple[Node, ...]
    """The graph that all regions share, in the order in which an event meets it."""
    regions: tuple[Region, ...]
    fit: Fit
    models: tuple[Model, ...] = ()
    weight: str = "1."
    """Expression of the nominal weight, after all cuts, which luminosity and cross-section multiply."""
    weight_variations: tuple[WeightVariation, ...] = ()
    headers: tuple[Path, ...] = ()
    """C++ headers with helpers beside those of the program; absolute paths."""
    io_levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns to read when only reading is measured, by the share of a NanoAOD file in percent."""

    def __post_init__(self) -> None:
        """Find contradictions."""
        _require_unique("processes", (process.name for process in self.processes))
        _require_unique("cuts and regions", self.cuts)
        _require_unique("histograms", (histogram.name for _, histogram in self.histograms))
        self._check_systematics()
        _require_unique("histograms in the file", self._names_in_file())
        self._check_names()
        self._check_columns()
        self._check_models()
        self._check_constants()
        self._check_fit()

    # What follows from the fields.

    @property
    def data(self) -> Process | None:
        """The process of collision data, if there is one."""
        return next((process for process in self.processes if process.is_data), None)

    @property
    def simulated(self) -> tuple[Process, ...]:
        """The simulated processes."""
        return tuple(process for process in self.processes if not process.is_data)

    @property
    def variations(self) -> dict[str, tuple[str, ...]]:
        """Names of the samples of each process, as a data set file may list them."""
        return {process.name: process.variations for process in self.processes}

    @property
    def cuts(self) -> tuple[str, ...]:
        """Rows of the cutflow, each cut on top of the one before, the regions each on top of the last one."""
        common = (node.name for node in self.nodes if isinstance(node, Cut))
        return ("all", *common, *(region.name for region in self.regions))

    @property
    def universes(self) -> tuple[str, ...]:
        """Variations in which other events are selected."""
        varies = (node for node in self.nodes if isinstance(node, Vary))
        return tuple(name for vary in varies for each in vary.systematics for name in each.variations)

    @property
    def weight_variation_names(self) -> tuple[str, ...]:
        """Variations in which events have other weights, in the order of their factors."""
        return tuple(name for v in self.weight_variations for each in v.systematics for name in each.variations)

    @property
    def histograms(self) -> tuple[tuple[Region, Histogram], ...]:
        """All histograms, with their regions."""
        return tuple((region, histogram) for region in self.regions for histogram in region.histograms)

    @property
    def expressions(self) -> tuple[str, ...]:
        """All C++ that events meet."""
        steps = (*self.nodes, *(definition for region in self.regions for definition in region.definitions))
        found = [step.condition if isinstance(step, Cut) else step.expression for step in steps]
        found += [step.in_skim for step in steps if isinstance(step, Define) and step.in_skim]
        found += [region.condition for region in self.regions]
        return (*found, self.weight, *(variation.factors for variation in self.weight_variations))

    @property
    def sources(self) -> tuple[Source, ...]:
        """All systematic uncertainties with variations, in the order in which a fit takes them."""
        simulated = tuple(process.name for process in self.simulated)
        found = [Source("simulation", p.simulations, (p.name,)) for p in self.processes if p.simulations]
        found += [Source(n.name, n.systematics, simulated) for n in self.nodes if isinstance(n, Vary)]
        found += [Source(each.name, each.systematics, simulated) for each in self.weight_variations]
        found += [
            Source("scale", tuple(constant.systematic for constant in p.constant_weights), (p.name,))
            for p in self.processes
            if p.constant_weights
        ]
        return tuple(found)

    @property
    def random(self) -> tuple[str, ...]:
        """Variations that depend on random numbers."""
        systematics = (systematic for source in self.sources for systematic in source.systematics)
        return tuple(name for each in systematics if each.is_random for name in each.variations)

    @property
    def reserved(self) -> frozenset[str]:
        """Names that no column of a file can have: RDataFrame would take them for it in expressions."""
        steps = (*self.nodes, *(definition for region in self.regions for definition in region.definitions))
        columns = {*self.columns, WEIGHT, WEIGHT_FACTORS, *(step.column for step in steps if isinstance(step, Define))}
        return frozenset(name for text in self.expressions for name in identifiers(text)) - columns

    @cached_property
    def sha256(self) -> str:
        """Hash of all of it, the contents of its headers and of those beside them that they include as well."""
        content = json.dumps(asdict(self), sort_keys=True, default=str)
        headers = [hashlib.sha256(header.read_bytes()).hexdigest() for header in _with_included(self.headers)]
        return hashlib.sha256(json.dumps([content, headers]).encode()).hexdigest()

    def process(self, name: str) -> Process:
        """Find a process.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        Process
            The process.
        """
        return next(process for process in self.processes if process.name == name)

    def elements(self, region: Region) -> dict[str, tuple[str, int]]:
        """Find what elements of vectors are called in a region.

        Parameters
        ----------
        region : Region
            One of its regions.

        Returns
        -------
        dict of str to tuple
            Column of the vector, and position in it, by name.
        """
        steps = (*self.nodes, *region.definitions)
        return {
            name: (step.column, position)
            for step in steps
            if isinstance(step, Define)
            for position, name in enumerate(step.elements)
        }

    def steps_to(self, column: str) -> tuple[Node, ...]:
        """Find what an event meets on the way to a column.

        Parameters
        ----------
        column : str
            A column that is defined for all regions, or in one.

        Returns
        -------
        tuple of Define, Vary and Cut
            All steps to its definition.

        Raises
        ------
        ValueError
            If it is not defined.
        """
        steps: tuple[Node, ...]
        for region in self.regions:
            steps = (*self.nodes, Cut(region.name, region.condition), *region.definitions)
            for number, step in enumerate(steps, start=1):
                if isinstance(step, Define) and step.column == column:
                    return steps[:number]
        raise ValueError(f"no node or region defines the column {column!r}")

    def filled(self, process: str) -> tuple[str, ...]:
        """Name the variations that a process can have histograms of.

        Parameters
        ----------
        process : str
            Name of a process.

        Returns
        -------
        tuple of str
            `nominal`, and the variations of all systematic uncertainties that act on it.
        """
        acting = (source for source in self.sources if process in source.processes)
        return (NOMINAL, *(name for source in acting for each in source.systematics for name in each.variations))

    def is_varied(self, process: str, variation: str) -> bool:
        """Whether a sample is processed in all universes and with all weights: the simulated nominal ones are."""
        return variation == NOMINAL and not self.process(process).is_data

    def event_weight(self, process: str, generated: int) -> float:
        """Weight of an event, so that a simulated sample stands for the integrated luminosity.

        Parameters
        ----------
        process : str
            Name of a process.
        generated : int
            Number of generated events of the files that were processed.

        Returns
        -------
        float
            Cross-section times luminosity over generated events; 1 for collision data.
        """
        cross_section = self.process(process).cross_section
        return 1.0 if cross_section is None else cross_section * self.luminosity / generated

    # Checks.

    def _check_systematics(self) -> None:
        """Check that a name means one thing: to a process, and to the fit."""
        for process in self.processes:
            _require_unique(f"variations of {process.name}", self.filled(process.name))
        known: dict[str, Systematic] = {}
        for each in (systematic for source in self.sources for systematic in source.systematics):
            if known.setdefault(each.name, each) != each:
                raise ValueError(f"there are two systematic uncertainties named {each.name!r} with other variations")
        _require_unique("systematic uncertainties", (*known, *(each.name for each in self.fit.normalisations)))

    def _check_names(self) -> None:
        """Check that names can be part of the name of a file or a histogram."""
        for kind, names in (
            ("process", [process.name for process in self.processes]),
            ("region", [region.name for region in self.regions]),
            ("histogram", [histogram.name for _, histogram in self.histograms]),
            ("model", [model.name for model in self.models]),
            ("variation", [v for source in self.sources for s in source.systematics for v in s.variations]),
        ):
            for name in names:
                if not _NAME.fullmatch(name):
                    raise ValueError(f"the {kind} {name!r} needs a name of letters, digits and . _ + -")

    def _names_in_file(self) -> Iterator[str]:
        """Names of all histograms that can be in a file."""
        for _, histogram in self.histograms:
            for process in self.processes:
                for variation in self.filled(process.name):
                    yield histogram_name(histogram.name, process.name, variation)
            if self.fit.pseudodata_in_file:
                yield histogram_name(histogram.name, PSEUDODATA, NOMINAL)

    def _check_columns(self) -> None:
        """Check names of columns: what the graph defines may not be what it reads."""
        defined_for_all = (node.column for node in self.nodes if isinstance(node, Define))
        shared = [*self.columns, WEIGHT, WEIGHT_FACTORS, *defined_for_all]
        _require_unique("columns", shared)
        own = [[definition.column for definition in region.definitions] for region in self.regions]
        for region, columns in zip(self.regions, own, strict=True):
            elements = self.elements(region)
            _require_unique("columns", (*shared, *columns, *elements))
            for histogram, axis in ((each, axis) for each in region.histograms for axis in each.axes):
                if axis.column in elements and len(histogram.axes) > 1:
                    raise ValueError(
                        f"the histogram {histogram.name!r} has an axis of {axis.column!r}, an element of "
                        f"{elements[axis.column][0]!r}, beside another: define a column of its own for it"
                    )
        defined = {*shared, *chain.from_iterable(own)}
        for column in sorted(defined):
            if column.startswith(PASSES_CUT):
                raise ValueError(f"{column!r} begins like the columns of what passes a cut, give it another name")
        for column in sorted(defined.difference(self.columns)):
            if not _COLUMN.fullmatch(column):
                raise ValueError(f"{column!r} is not a name that a column can have in C++")
        for expression in self.expressions:
            for name in sorted(defined.intersection(_QUALIFIED.findall(expression))):
                raise ValueError(
                    f"{expression!r} uses what is called like the column {name!r}, which RDataFrame takes it for: give "
                    "one of them another name"
                )

    def _check_models(self) -> None:
        """Check that the models have names, and their rows a column."""
        _require_unique("models", (model.name for model in self.models))
        for model in self.models:
            try:
                self.steps_to(model.column)
            except ValueError as error:
                raise ValueError(f"the model {model.name!r} cannot be used: {error}") from None

    def _check_constants(self) -> None:
        """Check that there is a factor for each variation."""
        for process in self.processes:
            for constant in process.constant_weights:
                if len(constant.factors) != len(constant.systematic.variations):
                    raise ValueError(f"{constant.systematic.name} of {process.name} needs a factor for each variation")

    def _check_fit(self) -> None:
        """Check that the fit only names what there is."""
        processes = {process.name for process in self.simulated}
        samples = {f"{process.name}__{name}" for process in self.processes for name in process.variations}
        axes = {(each.name, axis.column): axis for _, each in self.histograms for axis in each.axes}
        acted_on = [name for each in self.fit.normalisations for name in each.processes]
        for name in (*self.fit.signal, *acted_on):
            if name not in processes:
                raise ValueError(f"the fit names the process {name!r}, but there are only {', '.join(processes)}")
        for _, sample in self.fit.pseudodata:
            if sample not in samples:
                raise ValueError(f"the pseudodata name the sample {sample!r}, but there are only {', '.join(samples)}")
        for region in (*self.fit.regions, *self.fit.carried_to):
            axis = axes.get((region.histogram, region.variable))
            if axis is None:
                raise ValueError(
                    f"the fit's region {region.name!r} needs {region.variable!r} of the histogram "
                    f"{region.histogram!r}, which is not defined"
                )
            for edge in region.binning or ():
                if not axis.has_edge(edge):
                    raise ValueError(f"the fit's region {region.name!r} wants a bin edge at {edge:g}, where none is")
        if self.fit.pseudodata_in_file and not self.fit.pseudodata:
            raise ValueError("pseudodata that are to be in the file must be said in the fit's 'pseudodata'")
        regions = (*self.fit.regions, *self.fit.carried_to)
        _require_unique("regions of the fit", (region.name for region in regions))


def from_plain(content: Mapping[str, Any]) -> Analysis:
    """Make an analysis of what `dataclasses.asdict` and JSON have made of one.

    Parameters
    ----------
    content : mapping
        The fields of the analysis.

    Returns
    -------
    Analysis
        The analysis.

    Raises
    ------
    ValueError
        If it is not one.
    """
    import cattrs

    try:
        return cattrs.structure(content, Analysis)
    except Exception as error:  # a group of errors, one for each field
        raise ValueError("; ".join(cattrs.transform_error(error))) from None


def identifiers(expression: str) -> list[str]:
    """Names in an expression, each once: of columns, namespaces and functions, not of members.

    Parameters
    ----------
    expression : str
        C++.

    Returns
    -------
    list of str
        Names, in the order in which they occur.
    """
    without_text = re.sub(r'"(\\.|[^"\\])*"', "", expression)
    return list(dict.fromkeys(re.findall(r"(?<![.\w])(?<!->)[A-Za-z_]\w*", without_text)))


def histogram_name(histogram: str, process: str, variation: str) -> str:
    """Name of a histogram in a file: `{histogram}_{process}[_{variation}]`.

    Parameters
    ----------
    histogram, process, variation : str
        Name of a histogram of the analysis, of a process, and of a variation or `nominal`.

    Returns
    -------
    str
        The name.
    """
    return "_".join(part for part in (histogram, process, variation) if part != NOMINAL)


def _require_unique(kind: str, names: Iterable[str]) -> None:
    """Fail if a name is given twice."""
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise ValueError(f"there are two {kind} named {twice[0]!r}, give one of them another name")


_INCLUDED = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def _with_included(headers: Iterable[Path]) -> list[Path]:
    """Headers, and those that they include from where they are, each once."""
    found: dict[Path, None] = {}
    waiting = [*headers]
    while waiting:
        header = waiting.pop(0).resolve()
        if header not in found:
            found[header] = None
            names = _INCLUDED.findall(header.read_text(encoding="utf-8", errors="replace"))
            waiting += [path for name in names if (path := header.parent / name).is_file()]
    return [*found]
