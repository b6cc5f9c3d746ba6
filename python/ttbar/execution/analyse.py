"""What the event loop computes of a unit: histograms and cutflow, or nothing but the reading."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any

from ttbar import worker
from ttbar.analyses.analysis import NOMINAL, WEIGHT, WEIGHT_FACTORS, Analysis, Axis, Histogram
from ttbar.errors import AnalysisError
from ttbar.execution.graph import Graph, book
from ttbar.execution.histograms import as_array
from ttbar.execution.loop import Collect, Compile, by_file, run_unit
from ttbar.execution.unit import LoopFailed, Partial, Unit
from ttbar.library import load_root

TOLERATED = 1e-3
"""Share of the events after a cut that may be flawed in one way without an error; one always may."""

MAX_COLUMNS = 16
"""`ttbar::count_not_finite` takes so many."""

FLOATING = ("float", "double", "RVec<double>")
"""Types beside `RVec<float>` of columns whose values can be infinite or no numbers."""

Bins = Mapping[tuple[Histogram, str], Any]
"""Contents of histograms, of type `ttbar::Bins`, by histogram and variation."""


def analyse(unit: Unit, tree: str, analysis: Analysis, seed: int) -> Partial:
    """Run an analysis on a unit.

    Parameters
    ----------
    unit : Unit
        What to process.
    tree : str
        Name of the TTree or RNTuple.
    analysis : Analysis
        What to measure.
    seed : int
        Seed of the jet-energy smearing.

    Returns
    -------
    Partial
        Histograms and cutflow of the unit.

    Raises
    ------
    LoopFailed
        If the loop fails, or too many events have values that are not finite, or lie outside of a histogram that is
        to hold all of them.
    """
    varied = analysis.is_varied(unit.process, unit.variation)

    def book_all(events: Any) -> Compile:
        root = load_root()
        graph = book(events, analysis, varied=varied, seed=seed)
        counts = {cut: root.ttbar.count(root.RDF.AsRNode(node)) for cut, node in graph.cuts.items()}
        selected = [root.ttbar.count_by_file(root.RDF.AsRNode(node)) for node in graph.regions.values()]
        not_finite = _count_not_finite(root, graph)
        weights = analysis.weight_variation_names if varied else ()
        filled = [
            booked
            for region in analysis.regions
            for booked in book_histograms(
                graph.regions[region.name], region.histograms, analysis.elements(region), len(weights)
            )
        ]
        root.ttbar.report_progress(counts["all"], worker.counter_address())

        def compile_() -> Collect:
            all_counts = {cut: root.ttbar.variations(count) for cut, count in counts.items()}
            all_filled = [(together, root.ttbar.variations(bins)) for together, bins in filled]

            def collect() -> dict[str, Any]:
                cutflow = _cutflow(all_counts, analysis.universes if varied else ())
                bins: dict[tuple[Histogram, str], Any] = {}
                for together, results in all_filled:
                    for key in results.GetKeys():
                        universe = str(key).rpartition(":")[2]
                        variations = (NOMINAL, *weights) if universe == NOMINAL else (universe,)
                        bins.update(zip(product(together, variations), results[key], strict=True))
                _require_every_event(analysis, cutflow, bins)
                anomalies = {}
                for what, cut, found in chain(_of_columns(not_finite), _of_histograms(analysis, bins)):
                    if found > max(1, TOLERATED * cutflow[NOMINAL][cut]):
                        raise LoopFailed(f"{found} of {cutflow[NOMINAL][cut]} events after the cut {cut} have {what}")
                    if found:
                        anomalies[what] = found
                return {
                    "cutflow": cutflow,
                    "selected": by_file(unit, selected),
                    "histograms": {
                        (histogram.name, variation): as_array(content, histogram)
                        for (histogram, variation), content in bins.items()
                    },
                    "anomalies": anomalies,
                }

            return collect

        return compile_

    return run_unit(unit, tree, analysis.columns, book_all)


def read_columns(unit: Unit, tree: str, columns: Sequence[str]) -> Partial:
    """Read columns of a unit and compute nothing.

    Parameters
    ----------
    unit : Unit
        What to read.
    tree : str
        Name of the TTree or RNTuple.
    columns : sequence of str
        Names of the columns.

    Returns
    -------
    Partial
        Without histograms.
    """

    def book_reading(events: Any) -> Compile:
        root = load_root()
        read = events.Filter(f"ttbar::read({', '.join(columns)})")
        count = root.ttbar.count(root.RDF.AsRNode(read))
        root.ttbar.report_progress(count, worker.counter_address())

        def compile_() -> Collect:
            counts = {"all": root.ttbar.variations(count)}
            return lambda: {"cutflow": _cutflow(counts, universes=())}

        return compile_

    return run_unit(unit, tree, dict.fromkeys(columns), book_reading)


def book_histograms(
    node: Any, histograms: Iterable[Histogram], elements: Mapping[str, tuple[str, int]], n_factors: int
) -> Iterator[tuple[tuple[Histogram, ...], Any]]:
    """Book histograms; those of the elements of a vector are filled together.

    Parameters
    ----------
    node
        The events, with all columns of the histograms, the weight and, if there are any, its factors.
    histograms : iterable of Histogram
        What to fill.
    elements : mapping of str to tuple
        As `Analysis.elements` gives it.
    n_factors : int
        Number of factors that the weight is varied with.

    Yields
    ------
    histograms : tuple of Histogram
        One, or several.
    bins
        A result of `ttbar::histogram`, or of `ttbar::histograms`: for each of them, one for each weight.
    """
    root = load_root()
    weights = root.ttbar.Weights()
    weights.column, weights.factors, weights.n_factors = WEIGHT, WEIGHT_FACTORS, n_factors
    node = root.RDF.AsRNode(node)
    of_vector: dict[str, list[Histogram]] = {}
    for histogram in histograms:
        first, *others = histogram.axes
        if first.column in elements and not others:
            of_vector.setdefault(elements[first.column][0], []).append(histogram)
        else:
            quantities = chain.from_iterable((_regular(root, axis), axis.column) for axis in histogram.axes)
            yield (histogram,), root.ttbar.histogram(node, *quantities, weights)
    for column, together in of_vector.items():
        axes = [histogram.axes[0] for histogram in together]
        regular, positions = [_regular(root, axis) for axis in axes], [elements[axis.column][1] for axis in axes]
        yield tuple(together), root.ttbar.histograms(node, regular, column, positions, weights)


def _regular(root: Any, axis: Axis) -> Any:
    """An axis as C++ takes it."""
    cpp = root.ttbar.RegularAxis()
    cpp.bins, cpp.low, cpp.high, cpp.flow = axis.bins, axis.low, axis.high, axis.flow
    return cpp


def _cutflow(counts: Mapping[str, Any], universes: Iterable[str]) -> dict[str, dict[str, int]]:
    """Events by universe and cut; a cut that comes before the universes part is the same in all."""

    def events(results: Any, universe: str) -> int:
        keys = {str(key).rpartition(":")[2]: key for key in results.GetKeys()}
        return int(results[keys.get(universe, NOMINAL)])

    return {
        universe: {cut: events(results, universe) for cut, results in counts.items()}
        for universe in (NOMINAL, *universes)
    }


def _count_not_finite(root: Any, graph: Graph) -> list[tuple[str, tuple[str, ...], Any]]:
    """Count events with values that are not finite, where they are read anyway: cut, columns, number of events."""
    counts = []
    for cut, (node, columns) in graph.first_reads.items():
        of_type = {name: graph.analysis.columns[name] for name in columns}
        usual = tuple(name for name, type_ in of_type.items() if type_ == "RVec<float>")
        for some in (usual[start : start + MAX_COLUMNS] for start in range(0, len(usual), MAX_COLUMNS)):
            counts.append((cut, some, root.ttbar.count_not_finite(root.RDF.AsRNode(node), some)))
        for name in (name for name, type_ in of_type.items() if type_ in FLOATING):
            flawed = node.Filter(f"!ttbar::all_finite({name})")
            counts.append((cut, (name,), root.ttbar.count(root.RDF.AsRNode(flawed))))
    return counts


def _of_columns(counts: Iterable[tuple[str, tuple[str, ...], Any]]) -> Iterator[tuple[str, str, int]]:
    """What is wrong with columns, after which cut, and with how many events."""
    for cut, columns, events in counts:
        yield f"values that are not finite in {', '.join(columns)}", cut, int(events.GetValue())


def _of_histograms(analysis: Analysis, bins: Bins) -> Iterator[tuple[str, str, int]]:
    """What is wrong with the quantities of histograms, in which region, and with how many events at most."""
    regions = {histogram: region.name for region, histogram in analysis.histograms}
    for (histogram, variation), content in bins.items():
        quantities = " or ".join(axis.column for axis in histogram.axes)
        where = f"in {histogram.name}" + ("" if variation == NOMINAL else f", {variation}")
        yield f"{quantities} outside of its axis {where}", regions[histogram], int(content.outside)
        yield f"{quantities} or a weight that is not finite {where}", regions[histogram], int(content.not_finite)


def _require_every_event(analysis: Analysis, cutflow: Mapping[str, Mapping[str, int]], bins: Bins) -> None:
    """Fail unless each histogram knows of all the events that the cutflow counts."""
    regions = {histogram: region.name for region, histogram in analysis.histograms}
    for (histogram, variation), content in bins.items():
        expected = cutflow.get(variation, cutflow[NOMINAL])[regions[histogram]]
        found = int(content.entries + content.outside + content.not_finite)
        if found != expected:
            raise AnalysisError(f"{found} of {expected} events were filled into {histogram.name}, {variation}")
