"""The event loop: what runs in the process that has ROOT.

A unit of work is a sample and some of its files. Its result is a `Partial`; the partials of a sample add up, in any
order, to the same whole.
"""

import hashlib
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hist

from ttbar import definition, histograms, worker
from ttbar.errors import AnalysisError, InputError
from ttbar.library import load_root


@dataclass(frozen=True)
class Unit:
    """A piece of a sample that is processed in one go."""

    process: str
    variation: str
    paths: tuple[str, ...]
    entries: int
    """Stored events that are expected in the files."""

    @property
    def sample(self) -> str:
        """Name of the sample."""
        return f"{self.process}__{self.variation}"


@dataclass(frozen=True)
class Cost:
    """What a unit cost."""

    booking_s: float
    """Making the graph and compiling its expressions."""
    loop_wall_s: float
    loop_cpu_s: float
    bytes_read: int

    def __add__(self, other: "Cost") -> "Cost":
        """Add up."""
        return Cost(
            self.booking_s + other.booking_s,
            self.loop_wall_s + other.loop_wall_s,
            self.loop_cpu_s + other.loop_cpu_s,
            self.bytes_read + other.bytes_read,
        )


@dataclass(frozen=True)
class Partial:
    """What a unit contributes to the results of its sample; not normalised."""

    events: int
    cost: Cost
    cutflow: Mapping[str, Mapping[str, int]]
    """Events by universe and cut."""
    histograms: Mapping[tuple[str, str], hist.Hist[Any]] = field(default_factory=dict)
    """Histograms by region and variation."""

    def __add__(self, other: "Partial") -> "Partial":
        """Merge the results of two units of a sample."""
        return Partial(
            self.events + other.events,
            self.cost + other.cost,
            {
                universe: {cut: events + other.cutflow[universe][cut] for cut, events in cuts.items()}
                for universe, cuts in self.cutflow.items()
            },
            {key: histogram + other.histograms[key] for key, histogram in self.histograms.items()},
        )


@dataclass(frozen=True)
class Ready:
    """What a process that can run units works with."""

    threads: int
    """Number of threads that ROOT really uses."""
    root_version: str
    model_sha256: str | None


def initialise(threads: int | None, model: str | None) -> Ready:
    """Make a process ready to run units.

    Parameters
    ----------
    threads : int or None
        Number of threads; 1 turns implicit multi-threading off, None takes all cores.
    model : str or None
        File of the model that assigns jets; None if the process will not need one.

    Returns
    -------
    Ready
        What it is ready with.

    Raises
    ------
    InputError
        If the model cannot be used.
    """
    root = load_root()
    # Without this, ROOT leaves the sums of squares out where all weights are 1.
    root.TH1.SetDefaultSumw2(True)
    if threads != 1:
        root.EnableImplicitMT(threads or 0)
    if model is not None:
        try:
            root.ttbar.load_models([model])
            root.ttbar.require_features(root.ttbar.model(0))
        except Exception as error:
            raise InputError(_reason(error)) from None
    return Ready(
        threads=max(1, root.GetThreadPoolSize()),
        root_version=str(root.gROOT.GetVersion()),
        model_sha256=model and hashlib.sha256(Path(model).read_bytes()).hexdigest(),
    )


def analyse(unit: Unit, tree: str, seed: int) -> Partial:
    """Run the analysis on a unit.

    Parameters
    ----------
    unit : Unit
        What to process.
    tree : str
        Name of the TTree or RNTuple.
    seed : int
        Seed of the jet-energy smearing.

    Returns
    -------
    Partial
        Histograms and cutflow of the unit.
    """
    varied = definition.is_varied(unit.process, unit.variation)

    def book(events: Any) -> Callable[[], dict[str, Any]]:
        root = load_root()
        cuts, regions = definition.graph(events, varied=varied, seed=seed)
        counts = {cut: root.ttbar.count(root.RDF.AsRNode(node)) for cut, node in cuts.items()}
        filled = {
            region: root.ttbar.histogram(
                root.RDF.AsRNode(node),
                (region, "", *definition.OBSERVABLE_BINS, *definition.DELTAR_BINS),
                "observable",
                "deltaR",
                "weight",
            )
            for region, node in regions.items()
        }
        root.ttbar.report_progress(counts["all"], worker.counter_address())
        counts = {cut: root.ttbar.variations(count) for cut, count in counts.items()}
        filled = {region: root.ttbar.variations(histogram) for region, histogram in filled.items()}
        return lambda: {
            "cutflow": _cutflow(counts, varied),
            "histograms": {
                (region, str(key).rpartition(":")[2]): histograms.from_root(results[key], region)
                for region, results in filled.items()
                for key in results.GetKeys()
            },
        }

    return run_unit(unit, tree, book)


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

    def book(events: Any) -> Callable[[], dict[str, Any]]:
        root = load_root()
        read = events.Filter(f"ttbar::read({', '.join(columns)})")
        count = root.ttbar.count(root.RDF.AsRNode(read))
        root.ttbar.report_progress(count, worker.counter_address())
        counts = {"all": root.ttbar.variations(count)}
        return lambda: {"cutflow": _cutflow(counts, varied=False)}

    return run_unit(unit, tree, book)


def peak_memory() -> int:
    """Largest resident size that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_unit(unit: Unit, tree: str, book: Callable[[Any], Callable[[], dict[str, Any]]]) -> Partial:
    """Book a graph on the events of a unit, run it, and account for every event and second.

    Parameters
    ----------
    unit : Unit
        What to process.
    tree : str
        Name of the TTree or RNTuple.
    book : callable
        Books a graph on a dataframe and compiles it. Gives a function that runs it and collects `cutflow` and, where
        there are any, `histograms`, as in `Partial`.

    Returns
    -------
    Partial
        The results.

    Raises
    ------
    AnalysisError
        If the loop fails, ROOT reports an error, or the number of events is not the expected one.
    """
    root = load_root()
    errors = root.ttbar.ErrorCollector()
    started, read = time.perf_counter(), _bytes_read()
    try:
        collect = book(root.RDataFrame(tree, list(unit.paths)))
        booked, cpu, read_until_booked = time.perf_counter(), time.process_time(), _bytes_read()
        results = collect()
    except Exception as error:
        raise AnalysisError(f"{unit.sample}: the event loop failed: {_reason(error)}") from None
    finally:
        errors.stop()
    if errors.count():
        raise AnalysisError(f"{unit.sample}: ROOT reported errors, first {errors.first()}; check its files")
    events = results["cutflow"][definition.NOMINAL]["all"]
    if events != unit.entries:
        raise AnalysisError(
            f"{unit.sample}: {events} events were processed where {unit.entries} were expected; check its files"
        )
    cost = Cost(
        booking_s=booked - started,
        loop_wall_s=time.perf_counter() - booked,
        loop_cpu_s=time.process_time() - cpu,
        bytes_read=_bytes_read_since(read, read_until_booked),
    )
    return Partial(events=events, cost=cost, **results)


def _bytes_read() -> tuple[int, int]:
    """Bytes that this process has read so far: from TFiles, and from any local file as Linux counts them."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return load_root().TFile.GetFileBytesRead(), int(counters["rchar"])


def _bytes_read_since(start: tuple[int, int], loop_start: tuple[int, int]) -> int:
    """Bytes of input files. ROOT counts them, the reading of headers included, but for those of RNTuples."""
    tfile, any_file = _bytes_read()
    if tfile > loop_start[0]:
        return tfile - start[0]
    return max(tfile - start[0], any_file - loop_start[1])


def _cutflow(counts: Mapping[str, Any], varied: bool) -> dict[str, dict[str, int]]:
    """Events by universe and cut; a cut that comes before the universes part is the same in all."""

    def events(results: Any, universe: str) -> int:
        key = f"jet_energy:{universe}"
        return int(results[key if key in {str(k) for k in results.GetKeys()} else definition.NOMINAL])

    universes = (definition.NOMINAL, *(definition.JET_ENERGY_UNIVERSES if varied else ()))
    return {universe: {cut: events(results, universe) for cut, results in counts.items()} for universe in universes}


def _reason(error: Exception) -> str:
    """One line that says what a C++ exception is about."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("runtime_error: ") if lines else type(error).__name__
