"""A rehearsal of the real thing: the 787 files of the public data set, scaled down, from a server, on several workers.

The files of `agc2015` are simulated with their names and folders and a thousandth of their entries, once, and kept in
the user's cache (0.5 GB). An XRootD server on this machine serves them; one file is missing, one truncated, one comes
slowly. A run with local processes, one with Dask, and one in pieces have to agree to the last bit, and every event has
to be accounted for.

    python benchmarks/rehearsal.py --files 5          some minutes
    python benchmarks/rehearsal.py                    all of it
"""

import json
import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import click
import platformdirs
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ttbar import output
from ttbar.execution.analyse import analyse
from ttbar.jobs import batch
from ttbar.library import load_root, resource

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from compare import bits
from proxy import Proxy
from xrootd_server import XRootDServer

PUBLIC = resource("datasets") / "agc2015.json"
PLACE = re.compile(r"^.*/(?=[^/]+/[^/]+$)")
"""What is replaced of an address: all before its last folder."""

SLOW_BLOCKS_PER_S = 10
"""So many blocks of 16 kB a second come from the slow file."""

PERIOD_S = 0.05


@dataclass(frozen=True)
class Toy:
    """The data set scaled down."""

    dataset: dict[str, Any]
    folder: Path

    @property
    def addresses(self) -> list[str]:
        """Where the files are in the world."""
        return [file["path"] for sample in _samples(self.dataset) for file in sample["files"]]

    def name(self, address: str) -> str:
        """Where a file is in the folder."""
        return PLACE.sub("", address)


@dataclass(frozen=True)
class Measured:
    """What a command cost."""

    wall_s: float
    peak_mb: float
    """Largest resident size of its first process: the client."""
    cpu_s: float
    """Of that process alone."""

    def __str__(self) -> str:
        """All of it."""
        return f"{self.wall_s:.0f} s; client: {self.peak_mb:.0f} MB, {self.cpu_s:.0f} s of CPU"


def _samples(dataset: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (sample for variations in dataset.values() for sample in variations.values())


def simulated(files: int | None, scale: int) -> Toy:
    """The data set, simulated on first use."""
    root = load_root()
    identity = str(root.ttbar.simulation_id())[:12]
    folder = platformdirs.user_cache_path("ttbar") / f"rehearsal-{scale}-{identity}"
    dataset = json.loads(PUBLIC.read_text())
    jobs = []
    for process, variations in dataset.items():
        for variation, sample in variations.items():
            sample["files"] = sample["files"][:files]
            sample.pop("nevts_total", None)
            jobs += [(f"{process}__{variation}", number, file) for number, file in enumerate(sample["files"])]
    toy = Toy(dataset, folder)
    for name, number, file in track(jobs, "Simulating"):
        path, note = folder / toy.name(file["path"]), folder / f"{toy.name(file['path'])}.json"
        if not note.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            stored = max(5, file["nevts"] // scale)
            options = root.ttbar.SimulationOptions(name, stored, number, 1, False)
            with output.written_whole(path) as draft:
                generated = int(root.ttbar.simulate(str(draft), options))
            output.write_json(note, {"nevts": generated, "entries": stored})
        file |= json.loads(note.read_text())
    return toy


@contextmanager
def served(toy: Toy, scratch: Path, missing: str, truncated: str, slow: str) -> Iterator[list[str]]:
    """Serve the files as the world does; the options that lead there come back."""
    folder = scratch / "served"
    for address in toy.addresses:
        path = folder / toy.name(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        if address == truncated:
            content = (toy.folder / toy.name(address)).read_bytes()
            path.write_bytes(content[: len(content) // 2])
        elif address != missing:
            path.symlink_to(toy.folder / toy.name(address))
    with XRootDServer(folder) as server, Proxy(server.port) as proxy:
        proxy.blocks_per_s = SLOW_BLOCKS_PER_S
        written = {slow: proxy.address(toy.name(slow))}
        for file in (file for sample in _samples(toy.dataset) for file in sample["files"]):
            for address in (file["path"], *file.get("mirrors", ())):
                place = PLACE.match(address)
                assert place
                written[place[0]] = server.address("")
        yield [word for old, new in written.items() for word in ("--prefix", f"{old}={new}")]


def measured(command: Sequence[object], log: Path) -> Measured:
    """Run a command, and see what its first process takes."""
    started = time.perf_counter()
    peak, cpu = 0.0, 0.0
    with log.open("w") as errors:
        process = subprocess.Popen([*map(str, command)], stdout=errors, stderr=errors)
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
                times = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                break
            if found := re.search(r"VmHWM:\s+(\d+)", status):
                peak = int(found[1]) * 1024 / 1e6
                cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
            time.sleep(PERIOD_S)
    if process.wait():
        raise click.ClickException(f"{command[1]} failed:\n{log.read_text()[-3000:]}")
    return Measured(time.perf_counter() - started, peak, cpu)


def _phases(folder: Path) -> str:
    """How long the phases of a run took."""
    metrics = json.loads((folder / "metrics.json").read_text())
    return ", ".join(f"{phase} {metrics[f'{phase}_s']:.0f} s" for phase in ("check", "process", "merge"))


def require_accounted(folder: Path, toy: Toy, missing: str, truncated: str) -> None:
    """Make sure that a run says of each file what became of it, and has processed each event once."""
    run = json.loads((folder / "run.json").read_text())
    expected = {toy.name(file["path"]): file for sample in _samples(toy.dataset) for file in sample["files"]}
    bad = {toy.name(missing), toy.name(truncated)}
    found = {toy.name(file["path"]): file for file in run["files"]}
    assert list(found) == list(expected), "files"
    for name, file in found.items():
        if name in bad:
            assert (file["status"], bool(file["reason"])) == ("skipped", True), file
        else:
            wanted = (expected[name]["entries"], expected[name]["nevts"])
            assert (file["status"], file["processed"], file["nevts"]) == ("ok", *wanted), file
    for name, sample in run["samples"].items():
        process, variation = name.split("__")
        good = [f for f in toy.dataset[process][variation]["files"] if toy.name(f["path"]) not in bad]
        sums = [sum(file[what] for file in good) for what in ("nevts", "entries", "entries")]
        assert [sample["nevts"], sample["expected"], sample["processed"]] == sums, name


def sizes(pieces: Path) -> tuple[list[int], list[int], list[int]]:
    """Bytes of the tasks, their results as an engine brings them back, and as they are kept."""
    manifest = batch.read_manifest(pieces)
    function = partial(analyse, tree=manifest.source.tree, analysis=manifest.analysis, seed=manifest.seed)
    store = manifest.store(pieces)
    tasks = [len(ForkingPickler.dumps((function, (unit,), {}))) for unit in manifest.units]
    done = [result for unit in manifest.units[:: max(1, len(manifest.units) // 50)] if (result := store.load(unit))]
    results = [len(zlib.compress(ForkingPickler.dumps((True, result)), 1)) for result in done]
    return tasks, results, [path.stat().st_size for path in (pieces / "units").glob("*.unit")]


@click.command()
@click.option("--files", type=click.IntRange(min=2), metavar="N", help="At most N files a sample.")
@click.option("--scale", default=1000, show_default=True, help="A file has this many times fewer events.")
@click.option("--workers", default=2, show_default=True, help="Processes of each kind of run.")
@click.option("--unit-events", default=500_000, show_default=True, help="Before they are scaled.")
@click.option("--alone", default=4, show_default=True, help="Units that have a process of their own; others share.")
def main(files: int | None, scale: int, workers: int, unit_events: int, alone: int) -> None:
    r"""Rehearse a run on the public data set, and say what it took.

    \b
    python benchmarks/rehearsal.py --files 5          some minutes
    python benchmarks/rehearsal.py                    all 787 files
    """
    toy = simulated(files, scale)
    missing, truncated, slow = toy.addresses[1], toy.addresses[-1], toy.addresses[0]
    program = [Path(sys.executable).with_name("ttbar")]
    ending = ["--no-plots", "--no-fit"]  # they know nothing of files and units
    console = Console()
    with TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        dataset = scratch / "agc2015.json"
        dataset.write_text(json.dumps(toy.dataset))
        with served(toy, scratch, missing, truncated, slow) as prefixes:
            source = ["--dataset", dataset, *prefixes, "--bad-files", "skip", "--timeout", 10]
            source += ["--unit-events", max(1, unit_events // scale)]
            runs: dict[str, tuple[Path, dict[str, Measured]]] = {}
            for name, options in {"local": [], "dask": ["--executor", "dask"]}.items():
                folder = scratch / name
                command = [*program, "run", *source, "--output", folder, "--workers", workers, *options, *ending]
                threads = [] if options else ["--threads", 1]
                runs[name] = folder, {"run": measured([*command, *threads], scratch / f"{name}.log")}
                console.print(f"{name}: {_phases(folder)}, {runs[name][1]['run']}")
            pieces = scratch / "pieces"
            steps = {"split": measured([*program, "split", *source, "--output", pieces], scratch / "split.log")}
            console.print(f"split: {steps['split']}")
            units = len(json.loads((pieces / "manifest.json").read_text())["units"])
            alone = min(alone, units)
            for name, numbers, each in (
                ("run-unit alone", range(alone), 1),
                ("run-unit", range(alone, units), -(-(units - alone) // workers) or 1),
            ):
                words = " ".join(map(str, numbers))
                shell = f"echo {words} | xargs -P{workers} -n{each} {program[0]} run-unit {pieces}"
                steps[name] = measured(["sh", "-c", shell], scratch / f"{name}.log")
                console.print(f"{name}, {len(numbers)} units: {steps[name].wall_s:.0f} s")
            steps["merge"] = measured([*program, "merge", pieces, *ending], scratch / "merge.log")
            console.print(f"merge: {steps['merge']}")
            runs["pieces"] = pieces, steps
        for folder, _ in runs.values():
            require_accounted(folder, toy, missing, truncated)
        histograms = {name: bits(folder / "histograms.root") for name, (folder, _) in runs.items()}
        assert histograms["local"] == histograms["dask"] == histograms["pieces"], "histograms differ"
        report(console, runs, toy, units, workers, alone, sizes(pieces))


def report(
    console: Console,
    runs: Mapping[str, tuple[Path, dict[str, Measured]]],
    toy: Toy,
    units: int,
    workers: int,
    alone: int,
    bytes_: tuple[list[int], list[int], list[int]],
) -> None:
    """Print what was measured."""
    n_files = len(toy.addresses)
    table = Table(title=f"{n_files} files, {units} units, {workers} workers")
    columns = (
        "run",
        "check s",
        "loop s",
        "merge s",
        "rest s",
        "us/event",
        "ms a file",
        "ms a unit",
        "client MB",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "run" else "right")
    for name, (folder, steps) in runs.items():
        metrics = json.loads((folder / "metrics.json").read_text())
        if name == "pieces":
            check, merge = steps["split"].wall_s, steps["merge"].wall_s
            loop = steps["run-unit alone"].wall_s + steps["run-unit"].wall_s
            rest, busy = 0.0, steps["run-unit"].wall_s * workers / max(1, units - alone) * units
        else:
            check, loop, merge = (metrics[f"{phase}_s"] for phase in ("check", "process", "merge"))
            rest, busy = metrics["total_wall_s"] - check - loop - merge, loop * workers
        table.add_row(
            name,
            *(f"{seconds:.1f}" for seconds in (check, loop, merge, rest)),
            f"{metrics['loop_cpu_s'] / metrics['events'] * 1e6:.1f}",
            f"{check / n_files * 1e3:.0f}",
            f"{(busy - metrics['loop_cpu_s']) / units * 1e3:.0f}",
            " / ".join(f"{step.peak_mb:.0f}" for key, step in steps.items() if not key.startswith("run-unit")),
        )
    console.print(table)
    console.print("us/event: CPU of the loop; ms/file: check; ms/unit: of a worker beside the loop, with starts")
    tasks, results, kept = bytes_
    console.print(
        f"A task: {mean(tasks) / 1e3:.1f} kB; a result: {mean(results) / 1e3:.0f} kB, {max(results) / 1e3:.0f} at most,"
        f" as an engine brings it, {mean(kept) / 1e3:.0f} kB as it is kept."
    )
    steps = runs["pieces"][1]
    console.print(
        f"A unit with a process of its own: {steps['run-unit alone'].wall_s * workers / max(1, alone):.1f} s of a core"
    )
    console.print("The histograms of all runs are the same to the last bit; every event is accounted for.")


if __name__ == "__main__":
    main()
