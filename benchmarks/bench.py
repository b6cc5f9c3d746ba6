"""How fast it is: figures with their spread and the project's goals beside them.

make bench                            # ten minutes on two quiet cores
make bench ARGS=--full
make bench ARGS="--part loop"
make bench ARGS="--output docs"       # what the documentation shows
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import forest
import loop
import start_to_finish
import workers
from figures import COLUMNS, Figure, Report, Tell
from rich.console import Console
from rich.table import Table

from ttbar.jobs.provenance import PACKAGES, commit, machine
from ttbar.library import root_version
from ttbar.worker import Worker

PARTS: dict[str, Callable[[bool, Tell], Iterator[Figure]]] = {
    "loop": loop.figures,
    "start to finish": start_to_finish.figures,
    "forest": forest.figures,
    "workers": workers.figures,
}
PEERS = ("coffea", "treelite", "xgboost-cpu")


@click.command(help=__doc__.partition("\n")[0])
@click.option("--full", is_flag=True, help="More events, repetitions and files; takes an hour, and 7 GB of disk.")
@click.option("--part", "parts", type=click.Choice(list(PARTS)), multiple=True, help="Only this; can be repeated.")
@click.option(
    "--model",
    "models",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Another model of xgboost for the forest; can be repeated.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/benchmark"),
    show_default=True,
    help="Folder for benchmark.json and benchmark.png.",
)
def main(full: bool, parts: tuple[str, ...], models: tuple[Path, ...], output: Path) -> None:
    """Measure, print, and write what was found."""
    console = Console(highlight=False)
    console.width = max(console.width, 100)
    begun, date, load = time.perf_counter(), datetime.now(UTC), os.getloadavg()[0]

    def tell(part: str, what: str) -> None:
        console.print(f"[dim]{time.perf_counter() - begun:5.0f} s  {part}: {what}[/dim]", soft_wrap=True)

    with Worker() as worker:
        root = worker.call(root_version)
    about = {
        "mode": "full" if full else "quick",
        "date": date.isoformat(timespec="minutes"),
        "commit": commit(),
        "machine": machine(),
        "versions": {"ROOT": root, **{package: version(package) for package in (*PACKAGES, *PEERS)}},
    }
    found: list[Figure] = []
    functions = PARTS | {"forest": partial(forest.figures, models=models)}
    output.mkdir(parents=True, exist_ok=True)
    for part in parts or PARTS:
        for figure in functions[part](full, partial(tell, part)):
            found.append(replace(figure, part=part))
            console.print("        ", "  ".join(filter(None, figure.row[:4])), soft_wrap=True)
        took = {"took_s": round(time.perf_counter() - begun), "load": [load, os.getloadavg()[0]]}
        report = Report(about | took, found)
        report.write(output / "benchmark.json")  # what is found stays if a later part fails
    table = Table(title="Goals")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("what", "met") else "right")
    for figure in report.with_goals:
        table.add_row(*figure.row)
    console.print(table)
    console.print(report.summary(), soft_wrap=True)
    report.draw(output / "benchmark.png")
    console.print(f"benchmark.json and benchmark.png are in {output}")


if __name__ == "__main__":
    main()
