"""From the command to the page: the demo run, of which all is there but the result, and its steps alone."""

import json
import os
import pty
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from figures import Figure, Tell, in_turns

PROGRAM = (sys.executable, "-P", "-m", "ttbar")


@dataclass(frozen=True)
class Command:
    """What a command took in a terminal."""

    started: float
    wall_s: float
    cpu_s: float
    """Of all its processes, which says more than the clock where a machine is busy."""
    silence_s: float
    """Longest time without any output."""

    @classmethod
    def of(cls, *arguments: str | Path) -> "Command":
        """Run the program, as somebody who watches it does."""
        terminal, end = pty.openpty()
        started = heard = time.time()
        cpu = _children_cpu()
        process = subprocess.Popen([*PROGRAM, *arguments], stdin=end, stdout=end, stderr=end)
        os.close(end)
        silence = 0.0
        output = bytearray()
        while some := _read(terminal):
            output += some
            now = time.time()
            silence, heard = max(silence, now - heard), now
        os.close(terminal)
        if process.wait():
            raise RuntimeError(f"ttbar {arguments[0]} failed:\n{output.decode(errors='replace')}")
        return cls(started, time.time() - started, _children_cpu() - cpu, silence)


def _children_cpu() -> float:
    """CPU seconds of the processes that this one has started and that have ended, with all of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _read(terminal: int) -> bytes:
    """Output of a terminal, nothing at the end."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # which is how Linux says that nobody writes any more
        return b""


@dataclass(frozen=True)
class Run:
    """What became when of a run."""

    command: Command
    plot_s: float
    page_s: float
    metrics: dict[str, Any]

    @classmethod
    def of(cls, output: Path) -> "Run":
        """Run the analysis on the demo data set."""
        for path in output.glob("plots/*.png"):
            path.unlink()
        command = Command.of("run", "--output", output)
        first = min(path.stat().st_mtime for path in output.glob("plots/*.png"))
        page = (output / "report.html").stat().st_mtime
        metrics = json.loads((output / "metrics.json").read_text())
        return cls(command, first - command.started, page - command.started, metrics)

    @property
    def booking_s(self) -> list[float]:
        """Booking and compiling, by sample."""
        return [sample["booking_s"] for sample in self.metrics["samples"].values()]


def figures(full: bool, tell: Tell) -> Iterator[Figure]:
    """Measure the program from its start to its end."""
    repeat = 5 if full else 3
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        tell("a first demo run, which does not count")
        Run.of(output)
        tell(f"{repeat} demo runs; fit and plots alone")
        histograms = ("--histograms", output / "histograms.root", "--output", output)
        calls: dict[str, Callable[[], Any]] = {
            "run": partial(Run.of, output),
            "fit": partial(Command.of, "fit", *histograms),
            "plot": partial(Command.of, "plot", *histograms),
        }
        found = in_turns(repeat, calls)
    runs: list[Run] = found["run"]
    yield Figure.of("demo run: first plot of histograms", [run.plot_s for run in runs], "s", at_most=10)
    yield Figure.of("demo run: page", [run.page_s for run in runs], "s", at_most=20)
    yield Figure.of("demo run: all", [run.command.wall_s for run in runs], "s")
    yield Figure.of("demo run: all, CPU", [run.command.cpu_s for run in runs], "s")
    for command in ("fit", "plot"):
        yield Figure.of(f"ttbar {command} alone", [each.wall_s for each in found[command]], "s", at_most=5)
        yield Figure.of(f"ttbar {command} alone, CPU", [each.cpu_s for each in found[command]], "s")
    commands = [*(run.command for run in runs), *found["fit"], *found["plot"]]
    yield Figure.of("longest silence in a terminal", [max(each.silence_s for each in commands)], "s", at_most=2)
    booking = [run.booking_s for run in runs]
    yield Figure.of("booking and compiling, nine samples", [sum(each) for each in booking], "s", at_most=3)
    further = [sum(each) - max(each) for each in booking]
    yield Figure.of("booking and compiling, above one sample", further, "s", at_most=0.3)
    yield Figure.of("peak memory, nine samples", [run.metrics["peak_rss_mb"] for run in runs], "MB", at_most=700)
    for step in dict.fromkeys(step["name"] for step in runs[0].metrics["steps"]):
        yield Figure.of(f"step {step}", [run.metrics[f"{step}_s"] for run in runs], "s")
    for other in dict.fromkeys(other["name"] for other in runs[0].metrics["meanwhile"]):
        yield Figure.of(f"meanwhile {other}", [run.metrics[f"{other}_s"] for run in runs], "s")
