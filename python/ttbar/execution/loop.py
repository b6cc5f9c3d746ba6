"""The event loop over a unit: what runs in the process that has ROOT."""

import functools
import hashlib
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError, InputError
from ttbar.execution.unit import Cost, LoopFailed, Partial, Unit
from ttbar.inputs.check_file import has_changed, name_in_root
from ttbar.library import code_id, declare, load_root
from ttbar.reading import require_file

TASK_ENTRIES = 50_000
"""A thread takes so many events at once or more: a tree with 900 branches is opened anew for each part, which takes as
long as some thousand events."""

MOST_TASKS = 10
"""A unit is divided into so many parts for each thread at most, as ROOT would always do."""


@dataclass(frozen=True)
class Ready:
    """What a process that can run units works with."""

    threads: int
    """Number of threads that ROOT really uses."""
    root_version: str
    models: tuple[str, ...]
    """Hashes of the models."""
    code: str
    """Identity of the code that makes histograms and skims."""

    @property
    def identity(self) -> tuple[str, tuple[str, ...], str]:
        """What results depend on."""
        return (self.root_version, self.models, self.code)


Collect = Callable[[], dict[str, Any]]
Compile = Callable[[], Collect]


@dataclass(frozen=True)
class Setup:
    """What makes a process ready to run units: called there, it gives a `Ready`."""

    threads: int | None
    """Number of threads; 1 turns implicit multi-threading off, None takes all cores."""
    analysis: Analysis
    models: tuple[Path, ...] = ()
    """Files of its models; none if the process will not need them."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a process needs beside the package."""
        return (*self.analysis.headers, *self.models)

    def moved(self, places: Mapping[Path, Path]) -> "Setup":
        """The same, with its files in other places."""
        headers = tuple(places[header] for header in self.analysis.headers)
        models = tuple(places[model] for model in self.models)
        return Setup(self.threads, replace(self.analysis, headers=headers), models)

    def __call__(self) -> Ready:
        """Make this process ready."""
        return initialise(self.threads, self.analysis, self.models)


def initialise(threads: int | None, analysis: Analysis, models: Sequence[str | Path] = ()) -> Ready:
    """Make a process ready to run units.

    Parameters
    ----------
    threads : int or None
        Number of threads; 1 turns implicit multi-threading off, None takes all cores.
    analysis : Analysis
        The analysis.
    models : sequence of path-like, optional
        Files of its models; none if the process will not need them.

    Returns
    -------
    Ready
        What it is ready with.

    Raises
    ------
    InputError
        If a model or a header cannot be used.
    """
    root = load_root()
    if threads != 1:
        root.EnableImplicitMT(threads or 0)
    for header in analysis.headers:
        declare(header)
    for file in models:
        require_file(Path(file))
    if models:
        try:
            root.ttbar.load_models([str(file) for file in models])
            for number, model in enumerate(analysis.models):
                root.ttbar.require_features(root.ttbar.model(number), feature_names(model.features))
        except Exception as error:
            raise InputError(_reason(error)) from None
    return Ready(
        threads=max(1, root.GetThreadPoolSize()),
        root_version=str(root.gROOT.GetVersion()),
        models=tuple(hashlib.sha256(Path(model).read_bytes()).hexdigest() for model in models),
        code=code_id("execution", "analyses/analysis.py"),  # which makes expressions
    )


@functools.cache
def feature_names(expression: str) -> tuple[str, ...]:
    """Names of the features of a model; needs ROOT in this process.

    Parameters
    ----------
    expression : str
        C++, an array of names, e.g. `ttbar::feature_names`.

    Returns
    -------
    tuple of str
        The names.

    Raises
    ------
    InputError
        If it is something else, or not there.
    """
    variable = f"names_{hashlib.sha256(expression.encode()).hexdigest()}"
    # The interpreter knows arrays that Python cannot see, such as those whose length it has counted itself.
    strings = "[](const auto& names) { return std::vector<std::string>(std::begin(names), std::end(names)); }"
    root = load_root()
    if not root.gInterpreter.Declare(
        f"namespace ttbar {{ const std::vector<std::string> {variable} = {strings}({expression}); }}"
    ):
        raise InputError(
            f"{expression}: this is no array of names, which the analysis needs for the features of a model: define it "
            "in one of its headers"
        )
    return tuple(map(str, getattr(root.ttbar, variable)))


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
        If the files cannot be read, ROOT reports an error, or the number of events is not the expected one.
    AnalysisError
        If an expression does not compile, or the loop fails although the files can be read.
    MemoryError
        If there is not enough memory.
    """
    root = load_root()
    errors = root.ttbar.ErrorCollector()
    started, read = time.perf_counter(), _bytes_read()
    sources = [file.source for file in unit.files if file.entries]
    try:
        events = _events(root, unit, tree, sources) if sources else _no_events(root, columns)
        processed = root.ttbar.count_by_file(root.RDF.AsRNode(events))
        compile_ = book(events)
        booked = time.perf_counter()
        collect = compile_()
        compiled, cpu, read_until_compiled = time.perf_counter(), time.process_time(), _bytes_read()
        results = collect()
        events_by_file = by_file(unit, [processed])
    except AnalysisError:
        raise
    except Exception as error:
        if "bad_alloc" in str(error):
            raise MemoryError from None
        if not errors.count() and (_does_not_compile(error) or _can_be_read(tree, sources, columns)):
            raise AnalysisError(
                f"{unit.sample}: the event loop failed ({_reason(error)}), which is no fault of its files: mend the"
                " expressions or the helpers of the analysis"
            ) from None
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
        peak_rss_mb=peak_memory() / 1e6,
    )
    for file in unit.files:
        if (number := events_by_file[file.path]) != (expected := unit.expected[file.path]):
            raise LoopFailed(f"{number} events of {file.path} were processed where {expected} were expected")
        if has_changed(file):
            raise LoopFailed(f"{file.source} has disappeared or changed since it was checked")
    return Partial({f"{socket.gethostname()}:{os.getpid()}": cost}, events_by_file, **results)


def by_file(unit: Unit, counts: Sequence[Any]) -> dict[str, int]:
    """Add up events by file.

    Parameters
    ----------
    unit : Unit
        What was processed.
    counts : sequence
        Results of `ttbar::count_by_file`, in which files without any event are missing.

    Returns
    -------
    dict of str to int
        Sums of the counts by path, for each file of the unit.
    """
    sums: Counter[str] = Counter()
    for count in counts:
        sums.update({str(place): int(events) for place, events in count})
    if len(unit.files) == 1:
        return {unit.files[0].path: sums.total()}
    names = {file.path: {file.source} for file in unit.files}
    if not all(place.startswith(tuple(f"{file.source}/" for file in unit.files)) for place in sums):
        for file in unit.files:  # ROOT leaves options of an address out, or was sent elsewhere
            names[file.path].add(name_in_root(file))
    return {
        path: sum(sums[place] for place in sums if place.startswith(tuple(f"{name}/" for name in known)))
        for path, known in names.items()
    }


def tasks_for_each_thread(entries: int, threads: int) -> int:
    """Find the number of parts that a unit is divided into for each thread.

    Parameters
    ----------
    entries : int
        Events of the unit.
    threads : int
        Number of threads; 0 without multi-threading.

    Returns
    -------
    int
        At least one.
    """
    return max(1, min(MOST_TASKS, entries // (TASK_ENTRIES * max(1, threads))))


def _events(root: Any, unit: Unit, tree: str, sources: Sequence[str]) -> Any:
    """A dataframe of the events of a unit."""
    root.ROOT.TTreeProcessorMT.SetTasksPerWorkerHint(tasks_for_each_thread(unit.entries, root.GetThreadPoolSize()))
    if unit.entry_range is None:
        return root.RDataFrame(tree, sources)
    chosen = root.RDF.Experimental.RDatasetSpec()
    chosen.AddSample((unit.sample, tree, sources))
    chosen.WithGlobalRange(unit.entry_range)
    return root.RDataFrame(chosen)


def _no_events(root: Any, columns: Mapping[str, str | None]) -> Any:
    """A dataframe without events: an RNTuple without any crashes ROOT 6.40."""
    frame = root.RDataFrame(0)
    for name, type_ in columns.items():
        frame = frame.Define(name, f"std::decay_t<{(type_ or 'int').replace('RVec', 'ROOT::RVec')}>{{}}")
    return frame


def _does_not_compile(error: Exception) -> bool:
    """Whether an exception says that the interpreter has refused an expression."""
    return "just-in-time compilation" in str(error)


def _can_be_read(tree: str, sources: Sequence[str], columns: Mapping[str, str | None]) -> bool:
    """Whether all values of columns can be read."""
    root = load_root()
    errors = root.ttbar.ErrorCollector()
    try:
        root.RDataFrame(tree, sources).Filter(f"ttbar::read({', '.join(columns)})").Count().GetValue()
        return not errors.count()
    except Exception:
        return False
    finally:
        errors.stop()


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


def _reason(error: Exception) -> str:
    """One line that says what a C++ exception is about."""
    if _does_not_compile(error):
        return "an expression does not compile, for the reasons above"
    text = str(error).partition("\nAt:\n")[0]  # without the place in ROOT's code
    text = " ".join(text.rpartition("=>\n")[2].split())  # without the signature of what was called
    return text.removeprefix("runtime_error: ") or type(error).__name__
