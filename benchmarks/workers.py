"""What it costs to run units in other processes: here, and on the workers of Dask.

The rate of two processes beside that of two threads, what a unit costs beside its events, the start of a process, the
size of what travels, the memory of a client that takes thousands of results.
"""

import os
import pickle
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import platformdirs
from figures import Figure, Tell, in_turns, ratios
from stand_in import stand_in

from ttbar import output, simulate
from ttbar.analyses.agc_v1 import analysis
from ttbar.execution import loop, units
from ttbar.execution.analyse import analyse
from ttbar.execution.loop import Ready
from ttbar.execution.unit import Partial, Unit
from ttbar.executors import Executor, Where
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import Request, deliver
from ttbar.inputs.files import CheckedSample, FileRecord
from ttbar.jobs.run import store
from ttbar.library import shipped
from ttbar.worker import Worker

MODEL = shipped("models", "jet_assignment.json")
SAMPLE = "ttbar__nominal"
EVENTS = 800_000
FUNCTION = partial(analyse, tree="Events", analysis=analysis, seed=1)
PATIENCE_S = 600
TINY = 10
"""Events of a unit that measures what units cost beside them."""

UNIT_EVENTS = 100_000
"""The documentation advises against smaller units."""

GROWTH_MB = 5
"""What a client may grow by and still count as flat."""


def prepared(events: int) -> CheckedSample:
    """A sample of some files, simulated on first use."""
    with Worker() as worker:
        identity = worker.call(simulate.simulation_id)[:12]
        dataset = platformdirs.user_cache_path("ttbar") / f"workers-{events}-{identity}" / output.DATASET
        if not dataset.exists():
            worker.call(simulate.simulate, dataset.parent, events, [SAMPLE], 1, False)
    [sample] = deliver(load_dataset(dataset, analysis.variations), Request("Events", analysis.columns, PATIENCE_S))
    return sample


def started(where: Where, threads: int) -> Executor:
    """An executor of which nothing has been started yet."""
    return where.start(loop.Setup(threads, analysis, (MODEL,)), PATIENCE_S)


def tiny(sample: CheckedSample, number: int = 0) -> Unit:
    """Some events of a sample."""
    return Unit(sample.process, sample.variation, sample.good[:1], (number * TINY, (number + 1) * TINY))


def warm(executor: Executor, sample: CheckedSample) -> None:
    """Let all processes start and compile."""
    executor.ready()
    for future in [executor.submit(FUNCTION, tiny(sample)) for _ in range(executor.slots)]:
        future.result()


@dataclass(frozen=True)
class Rate:
    """How fast events were processed."""

    wall: float
    cpu: float


def rate(sample: CheckedSample, where: Where, threads: int) -> Rate:
    """Events a second of one process with threads, or of processes that get some of the events at a time."""
    with started(where, threads) as executor:
        warm(executor, sample)
        division = partial(units.divide, unit_events=UNIT_EVENTS if where.workers else None)
        begun = time.perf_counter()
        _, partials = units.process("Processing", [sample], FUNCTION, executor, False, division=division)
        wall = time.perf_counter() - begun
    return Rate(sample.entries / wall, sample.entries / partials[SAMPLE].cost.loop_cpu_s)


def rates(sample: CheckedSample, repeat: int) -> dict[str, list[Rate]]:
    """Rates of processes and of threads."""
    kinds = {
        "1 thread": (Where(), 1),
        "1 worker": (Where(workers=1), 1),
        "2 threads": (Where(), 2),
        "2 workers": (Where(workers=2), 1),
    }
    return in_turns(repeat, {name: partial(rate, sample, *kind) for name, kind in kinds.items()})


def start(where: Where, sample: CheckedSample) -> tuple[float, float, float, float]:
    """Seconds from nothing to ROOT ready, to the first event, of which compiling; and those of a later tiny unit."""
    begun = time.perf_counter()
    with started(where, 1) as executor:
        executor.ready()
        ready = time.perf_counter() - begun
        first = executor.call(FUNCTION, tiny(sample))
        event = time.perf_counter() - begun - first.cost.loop_wall_s
        later = []
        for number in range(1, 21):
            begun = time.perf_counter()
            result = executor.call(FUNCTION, tiny(sample, number))
            later.append(time.perf_counter() - begun - result.cost.loop_wall_s)
    return ready, event, first.cost.jit_s, median(later)


@dataclass(frozen=True)
class Watched:
    """A store of results that notes how large this process is."""

    results: units.Results
    sizes: list[int]

    def load(self, unit: Unit) -> Partial | None:
        """Nothing has been kept."""
        return None

    def save(self, unit: Unit, result: Partial) -> None:
        """Keep a result as a run does."""
        self.results.save(unit, result)
        self.sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    def failed(self, unit: Unit) -> None:
        """Nothing fails."""


def many(where: Where, sample: CheckedSample, result: Partial, number: int) -> tuple[list[int], float, float]:
    """Size of the client after each unit; seconds of wall and of its CPU time for one."""
    [file] = sample.good[:1]
    records = []
    for each in range(number):
        one = replace(file, path=f"{each}.root", uuid=str(each), clusters=())
        records.append(FileRecord(one.path, sample.name, one.nevts, one.entries, "ok", "", 1, one))
    with TemporaryDirectory() as folder, started(where, 1) as executor:
        path = Path(folder) / "result"
        path.write_bytes(pickle.dumps(result))
        ready: Ready = executor.ready()
        watched = Watched(store(Path(folder), analysis, "Events", 1, ready), [])
        begun, cpu = time.perf_counter(), time.process_time()
        units.process(
            "Thousands of units",
            [replace(sample, records=tuple(records))],
            partial(stand_in, path=str(path)),
            executor,
            False,
            watched,
            partial(units.divide, files_each=1),
        )
        return watched.sizes, (time.perf_counter() - begun) / number, (time.process_time() - cpu) / number


def of_rates(sample: CheckedSample, repeat: int) -> Iterator[Figure]:
    """Processes beside threads."""
    found = rates(sample, repeat)
    for name, each in found.items():
        yield Figure.of(f"{name}: a second by the clock", [1e-3 * rate.wall for rate in each], "thousand events")
    for number, plural, goal in ((1, "", None), (2, "s", 0.95)):
        workers, threads = found[f"{number} worker{plural}"], found[f"{number} thread{plural}"]
        name = f"{number} worker{plural}: times as fast as {number} thread{plural}"
        by_clock = ratios([rate.wall for rate in workers], [rate.wall for rate in threads])
        yield Figure.of(f"{name}, by the clock", by_clock, at_least=goal)
        yield Figure.of(f"{name}, CPU", ratios([rate.cpu for rate in workers], [rate.cpu for rate in threads]))


def of_starts(sample: CheckedSample, repeat: int) -> Iterator[Figure]:
    """What comes before the first event of a process, and beside those of a later unit."""
    places = {"local": Where(workers=1), "Dask": Where("dask", workers=1)}
    found = in_turns(repeat, {place: partial(start, where, sample) for place, where in places.items()})
    for place, times in found.items():
        ready, event, compiling, later = zip(*times, strict=True)
        goal = 4 if place == "local" else None
        yield Figure.of(f"{place}: start to ROOT ready", ready, "s")
        yield Figure.of(f"{place}: start to the first event", event, "s", at_most=goal)
        yield Figure.of(f"{place}: of this, compiling", compiling, "s")
        yield Figure.of(f"{place}: a later unit beside its events", later, "s", at_most=0.2)


def of_sizes(sample: CheckedSample, result: Partial) -> Iterator[Figure]:
    """What travels."""
    [unit] = units.divide(sample)
    answer = ForkingPickler.dumps((True, result))
    yield Figure.of("a task", [len(ForkingPickler.dumps((FUNCTION, (unit,), {}))) / 1e3], "kB")
    yield Figure.of("a result, as it travels", [len(zlib.compress(answer, 1)) / 1e3], "kB", at_most=100)
    yield Figure.of("a result, not compressed", [len(answer) / 1e3], "kB")


def of_many(sample: CheckedSample, result: Partial, number: int) -> Iterator[Figure]:
    """A client that takes many results."""
    for place, where in {"local": Where(workers=2), "Dask": Where("dask", workers=2)}.items():
        sizes, wall, cpu = many(where, sample, result, number)
        quarter, what = sizes[len(sizes) // 4], f"{place}: client, {number:,} units"
        growth = (sizes[-1] - quarter) / 1e6
        yield Figure.of(f"{what}: growth after a quarter of them", [growth], "MB", at_most=GROWTH_MB)
        yield Figure.of(f"{what}: largest", [max(sizes) / 1e6], "MB")
        yield Figure.of(f"{what}: by the clock, a unit", [1e3 * wall], "ms")
        yield Figure.of(f"{what}: CPU, a unit", [1e3 * cpu], "ms")


def figures(full: bool, tell: Tell) -> Iterator[Figure]:
    """Measure units in other processes."""
    # The processes on workers look for `stand_in` here.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.getenv("PYTHONPATH")])])
    repeat, number = (5, 3000) if full else (2, 600)
    tell(f"{EVENTS:,} events, simulated on first use")
    sample = prepared(EVENTS)
    tell("processes beside threads")
    yield from of_rates(sample, repeat)
    tell("starts")
    yield from of_starts(sample, repeat)
    with started(Where(workers=1), 1) as executor:
        result = executor.call(FUNCTION, *units.divide(sample))
    yield from of_sizes(sample, result)
    tell(f"{number:,} units through one client")
    yield from of_many(sample, result, number)
