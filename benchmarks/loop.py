"""The event loop, on a sample of which as many events are selected as of real top pairs, in files as wide as real ones.

Read and analysis take turns in one process that has compiled both, so that ratios mean something on a busy machine.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import coffea_processor
import numpy as np
from figures import Figure, Tell, in_turns, ratios
from wide_files import COMPRESSIONS, RNTUPLE, SIMULATED, wide

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.analyses.agc_v2 import analysis as agc_v2
from ttbar.analyses.analysis import NOMINAL, Analysis
from ttbar.execution import loop
from ttbar.execution.analyse import analyse, read_columns
from ttbar.execution.graph import book
from ttbar.execution.loop import Collect, Compile
from ttbar.execution.models import model_files
from ttbar.execution.unit import Partial, Unit
from ttbar.inputs.files import CheckedSample
from ttbar.library import load_root
from ttbar.worker import Worker

TREE = "Events"
SEED = 1
THREADS = (2, 4, 8, 16)
GOALS = {"agc-v1": 1.6, "agc-v2": 2.5}
"""CPU time of the loop to that of the lazy read."""

Function = Callable[[Unit], Partial]


def read_lazily(unit: Unit, tree: str, analysis: Analysis) -> Partial:
    """Read columns and compute nothing else: those of the cut on leptons first, the others for events that pass it."""

    def book_reading(events: Any) -> Compile:
        root = load_root()
        graph = book(events, analysis, varied=False, seed=SEED)
        _, read = graph.first_reads["all"]
        others = ", ".join(name for name in analysis.columns if name not in read)
        nodes = {"all": events, "read": graph.cuts["one_lepton"].Filter(f"ttbar::read({others})")}
        booked = {name: root.ttbar.count(root.RDF.AsRNode(node)) for name, node in nodes.items()}

        def compile_() -> Collect:
            counts = {name: root.ttbar.variations(count) for name, count in booked.items()}
            return lambda: {"cutflow": {NOMINAL: {name: int(count[NOMINAL]) for name, count in counts.items()}}}

        return compile_

    return loop.run_unit(unit, tree, analysis.columns, book_reading)


def functions(analysis: Analysis) -> dict[str, Function]:
    """What is compared."""
    return {
        "lazy": partial(read_lazily, tree=TREE, analysis=analysis),
        "all": partial(read_columns, tree=TREE, columns=tuple(analysis.columns)),
        "loop": partial(analyse, tree=TREE, analysis=analysis, seed=SEED),
    }


def unit_of(sample: CheckedSample) -> Unit:
    """All of a sample at once."""
    return Unit(sample.process, sample.variation, sample.good)


def started(analysis: Analysis, threads: int) -> Worker:
    """A process for event loops."""
    return Worker(loop.Setup(threads, analysis, model_files(analysis, ())))


def taken(repeat: int, calls: Mapping[str, Callable[[], Partial]]) -> dict[str, list[Partial]]:
    """Results of loops in turns, after a first one of each, which compiles."""
    in_turns(1, calls)
    return in_turns(repeat, calls)


def cpu(partials: Sequence[Partial]) -> list[float]:
    """CPU time of loops."""
    return [each.cost.loop_cpu_s for each in partials]


def wall(partials: Sequence[Partial]) -> list[float]:
    """Time of loops by the clock."""
    return [each.cost.loop_wall_s for each in partials]


def against_reading(analysis: Analysis, sample: CheckedSample, repeat: int) -> Iterator[Figure]:
    """The loop beside two ways to read its columns, on one thread."""
    unit, name = unit_of(sample), analysis.name
    with started(analysis, 1) as worker:
        calls = {kind: partial(worker.call, function, unit) for kind, function in functions(analysis).items()}
        found = taken(repeat, calls)
    selected = 100 * sum(found["loop"][0].selected.values()) / unit.entries
    yield Figure.of(f"{name}: selected in the nominal universe", [selected], "%")
    loop_cpu, lazy_cpu = cpu(found["loop"]), cpu(found["lazy"])
    yield Figure.of(f"{name}: loop to the lazy read, CPU", ratios(loop_cpu, lazy_cpu), at_most=GOALS[name])
    yield Figure.of(f"{name}: loop to reading all its columns, CPU", ratios(loop_cpu, cpu(found["all"])))
    yield Figure.of(f"{name}: loop, CPU of an event", [1e6 * each / unit.entries for each in loop_cpu], "us")
    yield Figure.of(f"{name}: lazy read, CPU of an event", [1e6 * each / unit.entries for each in lazy_cpu], "us")


def by_threads(sample: CheckedSample, repeat: int) -> Iterator[Figure]:
    """More threads beside one; what else the machine does counts."""
    unit, function = unit_of(sample), functions(agc_v1)["loop"]
    numbers = [1, *(number for number in THREADS if number <= len(os.sched_getaffinity(0)))]
    with ExitStack() as stack:
        workers = {f"{number}": stack.enter_context(started(agc_v1, number)) for number in numbers}
        found = taken(repeat, {name: partial(worker.call, function, unit) for name, worker in workers.items()})
    one, one_mb = found["1"], found["1"][-1].cost.peak_rss_mb
    for number in numbers[1:]:
        several = found[f"{number}"]
        goal = 0.95 * number
        what = f"agc-v1: {number} threads, times as fast as one"
        yield Figure.of(f"{what}, by the clock", ratios(wall(one), wall(several)), at_least=goal)
        yield Figure.of(f"agc-v1: {number} threads to one, CPU", ratios(cpu(several), cpu(one)))
        more = (several[-1].cost.peak_rss_mb - one_mb) / (number - 1)
        yield Figure.of(f"agc-v1: memory of each further thread, of {number}", [more], "MB", at_most=50)


def by_format(samples: Mapping[str, CheckedSample], repeat: int) -> Iterator[Figure]:
    """The same events in other files."""
    chosen = functions(agc_v1)
    with started(agc_v1, 1) as worker:
        calls = {
            f"{kind} {function}": partial(worker.call, chosen[function], unit_of(sample))
            for kind, sample in samples.items()
            for function in ("lazy", "loop")
        }
        found = taken(repeat, calls)
    for kind in samples:
        if kind == SIMULATED:
            continue
        of_loop, of_read = cpu(found[f"{kind} loop"]), cpu(found[f"{kind} lazy"])
        goal = 0.7 if kind == RNTUPLE else None
        yield Figure.of(
            f"agc-v1: loop on {kind} to {SIMULATED}, CPU",
            ratios(of_loop, cpu(found[f"{SIMULATED} loop"])),
            at_most=goal,
        )
        yield Figure.of(f"agc-v1: loop to the lazy read on {kind}, CPU", ratios(of_loop, of_read))


def against_coffea(sample: CheckedSample, repeat: int) -> Iterator[Figure]:
    """The same histograms with coffea."""
    unit, function = unit_of(sample), functions(agc_v1)["loop"]
    paths = [file.source for file in sample.good]
    [model] = model_files(agc_v1, ())
    with started(agc_v1, 1) as worker, Worker() as other:
        worker.call(function, unit)
        other.call(coffea_processor.run, paths, TREE, model, SEED, 1)
        of_loop, of_coffea = [], []
        for _ in range(repeat):
            of_loop.append(worker.call(function, unit))
            of_coffea.append(other.call(coffea_processor.run, paths, TREE, model, SEED, None))
    require_same(of_loop[0], of_coffea[0].histograms)
    seconds = [each.cpu_s for each in of_coffea]
    yield Figure.of("agc-v1: times as fast as coffea, CPU", ratios(seconds, cpu(of_loop)), at_least=15)
    yield Figure.of("agc-v1: coffea, CPU of an event", [1e6 * each / unit.entries for each in seconds], "us")


def require_same(result: Partial, histograms: Mapping[tuple[str, str], Any]) -> None:
    """Fail unless two implementations agree, but for an event in 100,000 that rounding may put elsewhere."""
    assert result.histograms.keys() == histograms.keys()
    for key, ours in result.histograms.items():
        values, theirs = ours[0], histograms[key]
        misplaced = np.abs(values - theirs) > 1e-9 * np.abs(values)
        moved = np.abs(values - theirs)[misplaced].sum() / 2
        assert moved <= max(1.0, 1e-5 * values.sum()), f"{key}: {moved:.1f} events of {values.sum():.0f} differ"


def figures(full: bool, tell: Tell) -> Iterator[Figure]:
    """Measure the event loop."""
    events, repeat = (1_000_000, 7) if full else (300_000, 5)
    sample = wide(events, agc_v1, SIMULATED, tell)
    for analysis in (agc_v1, agc_v2):
        tell(f"{analysis.name} beside reading")
        yield from against_reading(analysis, sample, repeat)
    tell("threads")
    yield from by_threads(sample, repeat)
    kinds = (RNTUPLE, *COMPRESSIONS) if full else (RNTUPLE,)
    samples = {SIMULATED: sample} | {kind: wide(events, agc_v1, kind, tell) for kind in kinds}
    tell("formats")
    yield from by_format(samples, repeat)
    tell("coffea")
    yield from against_coffea(sample, 3 if full else 2)
