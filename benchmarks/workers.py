"""What it costs to run units in other processes: here, and on the workers of Dask.

Prints figures with goals beside them: the rate of two processes against that of two threads, what a unit costs beside
its events, the start of a process, the size of what travels, the memory of a client that takes thousands of results.

    python benchmarks/workers.py [--events N] [--repeat N] [--units N]
"""

import os
import pickle
import sys
import time
import zlib
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import platformdirs
from rich.console import Console
from rich.table import Table

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

sys.path.insert(0, str(Path(__file__).parent))
from stand_in import stand_in

MODEL = shipped("models", "jet_assignment.json")
SAMPLE = "ttbar__nominal"
FUNCTION = partial(analyse, tree="Events", analysis=analysis, seed=1)
PATIENCE_S = 600
TINY = 10
"""Events of a unit that measures what units cost beside them."""


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


def rates(sample: CheckedSample, repeat: int) -> dict[str, Rate]:
    """Events a second of wall and of CPU time, of processes and of threads, taken in turns; the best counts."""
    kinds = {
        "1 thread": (Where(), 1),
        "1 worker": (Where(workers=1), 1),
        "2 threads": (Where(), 2),
        "2 workers": (Where(workers=2), 1),
    }
    found: dict[str, list[Rate]] = {name: [] for name in kinds}
    for _ in range(repeat):
        for name, (where, threads) in kinds.items():
            with started(where, threads) as executor:
                warm(executor, sample)
                whole = "thread" in name
                division = partial(units.divide, unit_events=None if whole else sample.entries // 8)
                begun = time.perf_counter()
                _, partials = units.process("Processing", [sample], FUNCTION, executor, False, division=division)
                wall = time.perf_counter() - begun
            found[name].append(Rate(sample.entries / wall, sample.entries / partials[SAMPLE].cost.loop_cpu_s))
    return {name: Rate(max(r.wall for r in each), max(r.cpu for r in each)) for name, each in found.items()}


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


@click.command()
@click.option("--events", default=400_000, show_default=True, help="Events of the sample.")
@click.option("--repeat", default=3, show_default=True, help="Repetitions, of which the best counts.")
@click.option("--units", "number", default=3000, show_default=True, help="Units through one client.")
def main(events: int, repeat: int, number: int) -> None:
    """Measure and print."""
    # The processes on workers look for `stand_in` here.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.getenv("PYTHONPATH")])])
    sample = prepared(events)
    console = Console()
    table = Table(title=f"{events:,} events; best of {repeat}")
    for column in ("what", "found", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")

    found = rates(sample, repeat)
    for name, rate in found.items():
        table.add_row(f"{name}: events/s, and by CPU time", f"{rate.wall:,.0f}, {rate.cpu:,.0f}")
    for kind, take in {"wall": lambda r: r.wall, "CPU": lambda r: r.cpu}.items():
        for n, plural in ((1, ""), (2, "s")):
            ratio = take(found[f"{n} worker{plural}"]) / take(found[f"{n} thread{plural}"])
            what = f"{n} worker{plural} to {n} thread{plural}, {kind} time"
            table.add_row(what, f"{ratio:.2f}", "0.95" if n == 2 else "")

    places = {"local": Where(workers=1), "Dask": Where("dask", workers=1)}
    for place, where in places.items():
        times = [start(where, sample) for _ in range(repeat)]
        ready, event, jit, later = (min(each) for each in zip(*times, strict=True))
        table.add_row(f"{place}: start to ROOT ready", f"{ready:.1f} s")
        table.add_row(f"{place}: start to the first event", f"{event:.1f} s", "4 s" if place == "local" else "")
        table.add_row(f"{place}: of this, compiling", f"{jit:.1f} s")
        table.add_row(f"{place}: a later unit beside its events", f"{later:.3f} s", "0.2 s")

    with started(places["local"], 1) as executor:
        [unit] = list(units.divide(sample))
        result = executor.call(FUNCTION, unit)
    question = ForkingPickler.dumps((FUNCTION, (unit,), {}))
    answer = ForkingPickler.dumps((True, result))
    table.add_row("bytes of a task", f"{len(question) / 1e3:.1f} kB")
    table.add_row("bytes of a result", f"{len(zlib.compress(answer, 1)) / 1e3:.0f} kB", "100 kB")
    table.add_row("the same, not compressed", f"{len(answer) / 1e3:.0f} kB")

    console.print(table)

    table = Table(title=f"{number:,} units through one client")
    for column in ("what", "found", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for place, where in {"local": Where(workers=2), "Dask": Where("dask", workers=2)}.items():
        sizes, wall, cpu = many(where, sample, result, number)
        quarter = sizes[len(sizes) // 4]
        table.add_row(f"{place}: client after a quarter of them", f"{quarter / 1e6:.0f} MB")
        table.add_row(f"{place}: growth from there to the end", f"{(sizes[-1] - quarter) / 1e6:+.0f} MB", "0 MB")
        table.add_row(f"{place}: largest", f"{max(sizes) / 1e6:.0f} MB")
        table.add_row(f"{place}: client a unit, wall and CPU time", f"{wall * 1e3:.1f}, {cpu * 1e3:.1f} ms")
    console.print(table)


if __name__ == "__main__":
    main()
