"""The event loop: what runs in the process that has ROOT.

A unit of work is a sample and some of its files. Its result is a `Partial`; the partials of a sample add up, in any
order, to the same whole.
"""

import hashlib
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import hist
from numpy.typing import NDArray

from ttbar import worker
from ttbar.analyses.agc_v1 import analysis, definition
from ttbar.errors import AnalysisError, InputError
from ttbar.execution.from_root import from_root
from ttbar.inputs.files import CheckedFile, has_changed
from ttbar.library import code_id, load_root


@dataclass(frozen=True)
class Unit:
    """A piece of a sample that is processed in one go."""

    process: str
    variation: str
    files: tuple[CheckedFile, ...]

    @property
    def sample(self) -> str:
        """Name of the sample."""
        return f"{self.process}__{self.variation}"

    @property
    def entries(self) -> int:
        """Stored events that are expected in all files."""
        return sum(file.entries for file in self.files)


class LoopFailed(AnalysisError):  # noqa: N818 (it is the end of a loop)
    """The event loop over a unit failed: its files could not be read."""


@dataclass(frozen=True)
class Cost:
    """What a unit cost."""

    booking_s: float = 0
    """Making the graph and compiling its expressions."""
    jit_s: float = 0
    """Of this, compiling."""
    loop_wall_s: float = 0
    loop_cpu_s: float = 0
    bytes_read: int = 0
    """The larger one of the next two, since neither sees all."""
    bytes_read_root: int = 0
    """As ROOT counts them, from TFiles: not those of RNTuples."""
    bytes_read_system: int = 0
    """As Linux counts them: not those that a network brought."""

    def __add__(self, other: "Cost") -> "Cost":
        """Add up."""
        return Cost(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(Cost)))


@dataclass(frozen=True)
class Partial:
    """What a unit contributes to the results of its sample; not normalised."""

    cost: Cost
    processed: Mapping[str, int]
    """Events by file."""
    cutflow: Mapping[str, Mapping[str, int]]
    """Events by universe and cut."""
    selected: Mapping[str, int] = field(default_factory=dict)
    """Events in a region by file, as they were measured."""
    histograms: Mapping[tuple[str, str], hist.Hist[Any]] = field(default_factory=dict)
    """Histograms by region and variation."""
    records: tuple[NDArray[Any], ...] = ()
    """Where single events are wanted: arrays of them, in any order."""

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(self.processed.values())

    def __add__(self, other: "Partial") -> "Partial":
        """Merge the results of two units of a sample."""
        return Partial(
            self.cost + other.cost,
            {**self.processed, **other.processed},
            {
                universe: {cut: events + other.cutflow[universe][cut] for cut, events in cuts.items()}
                for universe, cuts in self.cutflow.items()
            },
            {**self.selected, **other.selected},
            {key: histogram + other.histograms[key] for key, histogram in self.histograms.items()},
            self.records + other.records,
        )


@dataclass(frozen=True)
class Ready:
    """What a process that can run units works with."""

    threads: int
    """Number of threads that ROOT really uses."""
    root_version: str
    model_sha256: str | None
    code: str
    """Identity of the code that makes histograms and skims."""


Collect = Callable[[], dict[str, Any]]
Compile = Callable[[], Collect]


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
        code=code_id("analyses", "execution"),
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

    def book(events: Any) -> Compile:
        root = load_root()
        cuts, regions = definition.graph(events, varied=varied, seed=seed)
        counts = {cut: root.ttbar.count(root.RDF.AsRNode(node)) for cut, node in cuts.items()}
        selected = [root.ttbar.count_by_file(root.RDF.AsRNode(node)) for node in regions.values()]
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

        def compile_() -> Collect:
            all_counts = {cut: root.ttbar.variations(count) for cut, count in counts.items()}
            all_filled = {region: root.ttbar.variations(histogram) for region, histogram in filled.items()}
            defined = {histogram.name: histogram for _, histogram in analysis.histograms}
            return lambda: {
                "cutflow": _cutflow(all_counts, varied),
                "selected": by_file(unit, tree, selected),
                "histograms": {
                    (region, str(key).rpartition(":")[2]): from_root(results[key], defined[region])[0]
                    for region, results in all_filled.items()
                    for key in results.GetKeys()
                },
            }

        return compile_

    return run_unit(unit, tree, definition.COLUMNS, book)


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

    def book(events: Any) -> Compile:
        root = load_root()
        read = events.Filter(f"ttbar::read({', '.join(columns)})")
        count = root.ttbar.count(root.RDF.AsRNode(read))
        root.ttbar.report_progress(count, worker.counter_address())

        def compile_() -> Collect:
            counts = {"all": root.ttbar.variations(count)}
            return lambda: {"cutflow": _cutflow(counts, varied=False)}

        return compile_

    return run_unit(unit, tree, dict.fromkeys(columns), book)


def peak_memory() -> int:
    """Largest resident size that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_unit(unit: Unit, tree: str, columns: Mapping[str, str | None], book: Callable[[Any], Compile]) -> Partial:
    """Book a graph on the events of a unit, run it, and account for every event and second.

    Parameters
    ----------
    unit : Unit
        What to process.
    tree : str
        Name of the TTree or RNTuple.
    columns : mapping of str to str or None
        The columns that the graph reads, with their types; None for any.
    book : callable
        Books a graph on a dataframe. Gives a function that compiles it, which gives one that runs it and collects
        what else `Partial` takes.

    Returns
    -------
    Partial
        The results.

    Raises
    ------
    LoopFailed
        If the loop fails, ROOT reports an error, or the number of events is not the expected one.
    """
    root = load_root()
    errors = root.ttbar.ErrorCollector()
    started, read = time.perf_counter(), _bytes_read()
    try:
        sources = [file.source for file in unit.files if file.entries]
        events = root.RDataFrame(tree, sources) if sources else _no_events(root, columns)
        processed = root.ttbar.count_by_file(root.RDF.AsRNode(events))
        compile_ = book(events)
        booked = time.perf_counter()
        collect = compile_()
        compiled, cpu, read_until_compiled = time.perf_counter(), time.process_time(), _bytes_read()
        results = collect()
        events_by_file = by_file(unit, tree, [processed])
    except Exception as error:
        raise LoopFailed(f"the event loop failed ({errors.first() or _reason(error)})") from None
    finally:
        errors.stop()
    if errors.count():
        raise LoopFailed(f"ROOT reported errors, first {errors.first()}")
    cost = Cost(
        booking_s=compiled - started,
        jit_s=compiled - booked,
        loop_wall_s=time.perf_counter() - compiled,
        loop_cpu_s=time.process_time() - cpu,
        **_bytes_read_since(read, read_until_compiled),
    )
    for file in unit.files:
        if (number := events_by_file[file.path]) != file.entries:
            raise LoopFailed(f"{number} events of {file.path} were processed where {file.entries} were expected")
        if has_changed(file):
            raise LoopFailed(f"{file.source} is gone, or not the file any more that was checked")
    return Partial(cost, events_by_file, **results)


def by_file(unit: Unit, tree: str, counts: Sequence[Any]) -> dict[str, int]:
    """Add up events by file.

    Parameters
    ----------
    unit : Unit
        What was processed.
    tree : str
        Name of the TTree or RNTuple.
    counts : sequence
        Results of `ttbar::count_by_file`, in which files without any event are missing.

    Returns
    -------
    dict of str to int
        Sums of the counts by path, for each file of the unit.
    """
    sums: Counter[str] = Counter()
    for count in counts:
        sums.update({str(file): int(events) for file, events in count})
    return {file.path: sums[f"{file.source}/{tree}"] for file in unit.files}


def _no_events(root: Any, columns: Mapping[str, str | None]) -> Any:
    """A dataframe without events: an RNTuple without any crashes ROOT 6.40."""
    frame = root.RDataFrame(0)
    for name, type_ in columns.items():
        frame = frame.Define(name, f"std::decay_t<{(type_ or 'int').replace('RVec', 'ROOT::RVec')}>{{}}")
    return frame


def _bytes_read() -> tuple[int, int]:
    """Bytes that this process has read so far: from TFiles, and from any local file as Linux counts them."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return load_root().TFile.GetFileBytesRead(), int(counters["rchar"])


def _bytes_read_since(start: tuple[int, int], loop_start: tuple[int, int]) -> dict[str, int]:
    """Bytes of input files. ROOT counts the reading of their headers as well, before the loop."""
    by_root, by_system = _bytes_read()
    counts = {"bytes_read_root": by_root - start[0], "bytes_read_system": by_system - loop_start[1]}
    # Without anything from TFiles in the loop, these are RNTuples, of which ROOT counts the opening alone.
    return counts | {"bytes_read": counts["bytes_read_root"] if by_root > loop_start[0] else max(counts.values())}


def _cutflow(counts: Mapping[str, Any], varied: bool) -> dict[str, dict[str, int]]:
    """Events by universe and cut; a cut that comes before the universes part is the same in all."""

    def events(results: Any, universe: str) -> int:
        key = f"jet_energy:{universe}"
        return int(results[key if key in {str(k) for k in results.GetKeys()} else definition.NOMINAL])

    universes = (definition.NOMINAL, *(definition.JET_ENERGY_UNIVERSES if varied else ()))
    return {universe: {cut: events(results, universe) for cut, results in counts.items()} for universe in universes}


def _reason(error: Exception) -> str:
    """One line that says what a C++ exception is about."""
    text = str(error).partition("\nAt:\n")[0]  # without the place in ROOT's code
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("runtime_error: ") if lines else type(error).__name__
