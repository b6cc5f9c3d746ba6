"""The main job: from a data set to the results folder."""

import hashlib
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import reduce
from importlib.metadata import version
from operator import add
from pathlib import Path
from typing import Any

import hist

from ttbar import definition, histograms, inputs, loop, results, simulate
from ttbar.dataset import Sample, limit_files, load_dataset, select_samples
from ttbar.progress import progress, say
from ttbar.worker import Worker, progress_address

UNIT_ENTRIES = 10_000_000
"""A unit takes files until it has this many events: small enough to lose, large enough to keep many cores busy."""

DEMO = "demo"


@dataclass(frozen=True)
class Options:
    """What a user can choose for a run; see `ttbar run --help`."""

    dataset: str
    samples: str
    files: int | None
    prefixes: tuple[tuple[str, str], ...]
    tree: str
    model: Path
    threads: int | None
    output: Path
    seed: int
    skip_bad_files: bool
    io_only: float | None


def run(options: Options) -> None:
    """Process a data set and fill the results folder.

    Parameters
    ----------
    options : Options
        What the user chose.

    Raises
    ------
    click.UsageError
        If the data set does not have a sample that was asked for.
    InputError
        If a file is missing or wrong.
    AnalysisError
        If the event loop fails.
    """
    started, start_time = time.perf_counter(), datetime.now(UTC)
    columns = inputs.IO_ONLY_COLUMNS[options.io_only] if options.io_only else definition.COLUMNS
    with Worker() as worker:
        threads = worker.call(
            "start",
            _ignore,
            loop.initialise,
            options.threads,
            None if options.io_only else str(options.model),
        )
        samples = _samples(options, worker)
        results.prepare(options.output, results.OF_A_RUN)
        checked = _check(samples, options, worker)
        partials, peak_memory = _loop(checked, options, worker)
