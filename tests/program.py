"""The program as its users run it, and what it leaves in a results folder."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).parents[1] / "run_analysis.py"


def ttbar(
    *arguments: object,
    program: Sequence[str] = ("-m", "ttbar"),
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=cwd, env=environment)


def run_analysis(*arguments: object, everything: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the program, for the histograms alone unless everything is wanted."""
    if everything:
        environment = {name: value for name, value in os.environ.items() if name != "EXTRA_CLING_ARGS"}
        return ttbar(*arguments, program=(str(PROGRAM),), environment=environment)
    return ttbar(*arguments, "--no-plots", "--no-fit", program=(str(PROGRAM),))


def assert_fails(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    lines = result.stderr.splitlines()
    assert result.returncode == code, result.stderr
    assert lines[-1].startswith("error: ")
    assert not [line for line in lines[:-1] if line.startswith("error: ")]
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[-1]


@dataclass(frozen=True)
class Results:
    folder: Path

    def json(self, name: str):
        return json.loads((self.folder / f"{name}.json").read_text())


def start_processing(*arguments: object) -> subprocess.Popen[str]:
    """Start a run and come back when it has come to the event loop."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in run.stderr:
        if line.startswith("Processing"):
            return run
    raise AssertionError("the run ended early")


def workers_of(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for thread in threads for child in thread.read_text().split()]
    return [child for child in children if "ttbar.worker" in Path(f"/proc/{child}/cmdline").read_text()]


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # dead, and not yet buried
