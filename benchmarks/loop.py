"""Speed of the event loop, as ratios of CPU time in one run.

Simulates a million wide events on first use, then compares the analysis to a loop that only reads its columns, with the
leptons first, and to the numpy implementation of the tests; and says how long booking takes for nine samples.

    python benchmarks/loop.py [--events N] [--repeat N]
"""

import sys
import time
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import click
import platformdirs
from rich.console import Console
from rich.table import Table

from ttbar import output, simulate
from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.analyses.analysis import NOMINAL
from ttbar.execution import loop
from ttbar.execution.analyse import analyse as analyse_unit
from ttbar.execution.graph import book
from ttbar.execution.loop import Collect, Compile
from ttbar.execution.unit import Cost, Partial, Unit
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import Request, deliver
from ttbar.library import load_root, shipped
from ttbar.worker import Worker

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import reference
from reference_common import read_dataset

MODEL = shipped("models", "jet_assignment.json")


def read_lazily(unit: Unit) -> Partial:
    """Read the columns of the analysis and compute nothing: leptons first, the others for events with one."""
    others = [column for column in agc_v1.columns if column not in ("Electron_pt", "Muon_pt")]

    def book_reading(events: Any) -> Compile:
        root = load_root()
        cuts = book(events, agc_v1, varied=False, seed=1).cuts
        nodes = {"all": events, "read": cuts["one_lepton"].Filter(f"ttbar::read({', '.join(others)})")}
        booked = {name: root.ttbar.count(root.RDF.AsRNode(node)) for name, node in nodes.items()}

        def compile_() -> Collect:
            counts = {name: root.ttbar.variations(count) for name, count in booked.items()}
            return lambda: {"cutflow": {NOMINAL: {k: int(v["nominal"]) for k, v in counts.items()}}}

        return compile_

    return loop.run_unit(unit, "Events", agc_v1.columns, book_reading)


def analyse(unit: Unit) -> Partial:
    """Run the analysis."""
    return analyse_unit(unit, "Events", agc_v1, 1)


def cost_of(function: Callable[[Unit], Partial], units: list[Unit], threads: int) -> Cost:
    """Cost of a function for all units, in a new process."""
    with Worker() as worker:
        worker.call(loop.initialise, threads, agc_v1, (MODEL,))
        return reduce(add, [worker.call(function, unit).cost for unit in units])


def numpy_cpu(dataset: Path) -> float:
    """CPU seconds of the numpy implementation."""
    started = time.process_time()
    reference.run(read_dataset(dataset), MODEL)
    return time.process_time() - started


@click.command()
@click.option("--events", default=120_000, show_default=True, help="Events of each of the nine samples.")
@click.option("--repeat", default=3, show_default=True, help="Repetitions, of which the fastest counts.")
def main(events: int, repeat: int) -> None:
    """Measure and print."""
    with Worker() as worker:
        identity = worker.call(simulate.simulation_id)[:12]
        folder = platformdirs.user_cache_path("ttbar") / f"benchmark-{events}-{identity}"
        dataset = folder / output.DATASET
        if not dataset.exists():
            samples = worker.call(simulate.simulated_samples)
            worker.call(simulate.simulate, folder, events, samples, 1, True)
    samples = deliver(load_dataset(dataset, agc_v1.variations), Request("Events", agc_v1.columns, patience=600))
    units = [Unit(sample.process, sample.variation, sample.good) for sample in samples]
    n_events = sum(unit.entries for unit in units)

    table = Table(title=f"{n_events:,} wide events, nine samples, best of {repeat}")
    for column in ("loop", "threads", "CPU s", "wall s", "us CPU an event", "to the lazy read"):
        table.add_column(column, justify="left" if column == "loop" else "right")
    for threads in (1, 2):
        costs = {
            name: min((cost_of(function, units, threads) for _ in range(repeat)), key=lambda c: c.loop_cpu_s)
            for name, function in (("lazy read", read_lazily), ("analysis", analyse))
        }
        for name, cost in costs.items():
            table.add_row(
                name,
                str(threads),
                f"{cost.loop_cpu_s:.2f}",
                f"{cost.loop_wall_s:.2f}",
                f"{cost.loop_cpu_s / n_events * 1e6:.2f}",
                f"{cost.loop_cpu_s / costs['lazy read'].loop_cpu_s:.2f}",
            )
        if threads == 1:
            seconds = numpy_cpu(dataset)
            per_event, ratio = seconds / n_events * 1e6, seconds / costs["lazy read"].loop_cpu_s
            table.add_row("numpy", "1", f"{seconds:.2f}", "", f"{per_event:.2f}", f"{ratio:.1f}")
    console = Console()
    console.print(table)
    console.print(f"booking and compiling nine samples: {costs['analysis'].booking_s:.1f} s")


if __name__ == "__main__":
    # Other processes find the functions of a module, not those of a script.
    from loop import main as main_of_module

    main_of_module()
