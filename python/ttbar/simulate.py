"""The demo data set: NanoAOD-like files of a toy simulation.

The toy knows decay chains and shapes of distributions, but neither matrix elements nor a detector. Its events
look like simulated CMS events of 2015 and exercise an analysis; nothing measured with them tells of nature.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import platformdirs

from ttbar.errors import InputError
from ttbar.library import load_root
from ttbar.output import DATASET, prepare, write_json, written_whole
from ttbar.progress import Display

FILES_PER_SAMPLE = 2
DEMO_EVENTS = 20_000


def simulated_samples() -> list[str]:
    """Names of the samples that can be simulated.

    Returns
    -------
    list of str
        Names of the form `process__variation`.
    """
    return [str(name) for name in load_root().ttbar.simulated_samples()]


def simulation_id() -> str:
    """Identify the version of the simulation.

    Returns
    -------
    str
        Text that changes whenever simulated events may change.
    """
    return str(load_root().ttbar.simulation_id())


def simulate(output: Path, events: int, samples: Sequence[str], seed: int, ballast: bool) -> Path:
    """Simulate a data set.

    Samples and files draw from random streams of their own, so that a sample's events do not depend on which
    others are simulated.

    Parameters
    ----------
    output : pathlib.Path
        Folder for the files; made if it does not exist. Files of the same names are replaced.
    events : int
        Events to store in each sample, at least one.
    samples : sequence of str
        Samples to simulate, out of `simulated_samples`.
    seed : int
        The same seed gives the same events.
    ballast : bool
        Whether to write the columns of NanoAOD as well that the analysis does not read, with random content.

    Returns
    -------
    pathlib.Path
        The data set file, written last.

    Raises
    ------
    InputError
        If a file cannot be written.
    ValueError
        If a sample cannot be simulated.
    """
    root = load_root()
    unknown = [name for name in samples if name not in simulated_samples()]
    if unknown:
        raise ValueError(f"no sample {unknown[0]} can be simulated, only {', '.join(simulated_samples())}")
    prepare(output, (DATASET,))
    n_files = min(FILES_PER_SAMPLE, events)
    jobs = [(name, number) for name in samples for number in range(n_files)]
    dataset: dict[str, Any] = {}
    with Display("Simulating", len(jobs), "files") as display:
        for name, number in jobs:
            stored = events * (number + 1) // n_files - events * number // n_files
            path = output / f"{name}_{number}.root"
            options = root.ttbar.SimulationOptions(name, stored, number, seed, ballast)
            with written_whole(path) as draft:
                try:
                    generated = int(root.ttbar.simulate(str(draft), options))
                except root.std.runtime_error as error:
                    raise InputError(f"{path} cannot be written: {error}") from None
            process, variation = name.split("__")
            content = dataset.setdefault(process, {}).setdefault(variation, {"nevts_total": 0, "files": []})
            content["nevts_total"] += generated
            counts = {"nevts": generated} | ({"entries": stored} if stored < generated else {})
            content["files"].append({"path": path.name, **counts})
            display.advance()

    write_json(output / DATASET, dataset)
    return output / DATASET


def demo() -> Path:
    """The demo data set, simulated when it is asked for the first time.

    Returns
    -------
    pathlib.Path
        Its data set file, in the user's cache.
    """
    folder = _cache() / f"demo-{simulation_id()[:12]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            made = simulate(Path(temporary) / folder.name, DEMO_EVENTS, simulated_samples(), seed=1, ballast=False)
            try:
                made.parent.rename(folder)
            except OSError:
                if not folder.exists():  # else another run was faster, with the same result
                    raise
    return folder / DATASET


def _cache() -> Path:
    """The user's cache, or where a user has no home, as in a container, a folder that nobody else can write to."""
    try:
        folder = platformdirs.user_cache_path("ttbar")
    except RuntimeError:
        folder = Path(tempfile.gettempdir()) / f"ttbar-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InputError(f"{folder} belongs to another user, set XDG_CACHE_HOME to a folder of yours")
    return folder
