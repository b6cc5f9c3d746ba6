"""Files like NanoAOD whose values lie at the cuts, edges and ties of the analyses, for comparisons with a reference."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

SAMPLES = (
    *("ttbar__nominal", "ttbar__scaledown", "ttbar__scaleup", "ttbar__ME_var", "ttbar__PS_var"),
    *("single_top_s_chan__nominal", "single_top_t_chan__nominal", "single_top_tW__nominal", "wjets__nominal"),
)
JETS_AN_EVENT = (1, 1, 1, 2, 6, 6, 6, 4, 3, 2, 1)
"""Frequencies of events with 0, 1, 2 and so on stored jets, most of which are selected."""


class Values:
    """Draws float32 values of objects."""

    def __init__(self, random: np.random.Generator, n: int) -> None:
        self.random, self.n = random, n

    def sprinkle(self, values: NDArray[Any], special: Sequence[float], fraction: float) -> NDArray[np.float32]:
        """Replace some values by special ones."""
        values = np.asarray(values, np.float32)
        chosen = self.random.random(self.n) < fraction
        values[chosen] = self.random.choice(np.asarray(special, np.float32), np.count_nonzero(chosen))
        return values

    def around(self, values: NDArray[Any], cuts: Sequence[float], fraction: float) -> NDArray[np.float32]:
        """Replace some values by a cut or one of its neighbours."""
        cuts = np.asarray(cuts, np.float32)
        below, above = (np.nextafter(cuts, np.float32(side)) for side in (-np.inf, np.inf))
        return self.sprinkle(values, np.concatenate([below, cuts, above]).tolist(), fraction)

    def pt(self, mean: float, cuts: Sequence[float]) -> NDArray[np.float32]:
        """Most have ten bits, as those of NanoAOD, so that sums of them lie on edges of bins."""
        pt = np.float32(22 + self.random.exponential(mean, self.n))
        step = 2.0 ** (np.floor(np.log2(pt)) - 10)
        stored = np.where(self.random.random(self.n) < 0.8, np.floor(pt / step) * step, pt)
        return self.around(stored, cuts, 0.1)

    def phi(self) -> NDArray[np.float32]:
        return self.around(self.random.uniform(-np.pi, np.pi, self.n), (np.pi, -np.pi), 0.02)

    def integers(self, values: Sequence[int], frequencies: Sequence[float]) -> NDArray[np.int32]:
        frequencies = np.asarray(frequencies, float)
        return self.random.choice(np.asarray(values, np.int32), self.n, p=frequencies / frequencies.sum())


def leptons(random: np.random.Generator, n: int) -> dict[str, NDArray[Any]]:
    """Return what electrons and muons have in common."""
    values = Values(random, n)
    return {
        "pt": values.pt(40, (30,)),
        "eta": values.around(random.normal(0, 1.0, n), (2.1, -2.1), 0.1),
        "phi": values.phi(),
        "sip3d": values.around(random.exponential(1.2, n), (4,), 0.1),
    }


def events(n: int, seed: Any) -> dict[str, ak.Array]:
    """Make the columns of events.

    Parameters
    ----------
    n
        Number of events.
    seed
        Whatever numpy takes. No two events of different seeds are the same.

    Returns
    -------
    dict
        Arrays by column.
    """
    random = np.random.default_rng(seed)
    # Beyond 32 bits for some, even and odd, and each only once.
    numbers = np.arange(n, dtype=np.uint64) + random.integers(0, 2, n, np.uint64) * np.uint64(2**32 + 2**40)
    columns: dict[str, Any] = {
        "run": random.integers(1, 2**32, n, np.uint32),
        "luminosityBlock": random.integers(1, 2**32, n, np.uint32),
        "event": random.permutation(numbers),
    }
    counts = {
        "Electron": random.choice(3, n, p=(0.4, 0.4, 0.2)),
        "Muon": random.choice(3, n, p=(0.4, 0.4, 0.2)),
        "Jet": random.choice(len(JETS_AN_EVENT), n, p=np.array(JETS_AN_EVENT) / sum(JETS_AN_EVENT)),
    }
    made: dict[str, dict[str, NDArray[Any]]] = {}

    total = int(counts["Electron"].sum())
    values = Values(random, total)
    made["Electron"] = leptons(random, total) | {
        # About half of them are negative.
        "mass": np.float32(random.normal(0, 0.03, total)),
        "cutBased": values.integers(range(5), (1, 1, 1, 1, 6)),
    }

    total = int(counts["Muon"].sum())
    values = Values(random, total)
    made["Muon"] = leptons(random, total) | {
        "mass": np.full(total, 0.10565837, np.float32),
        "pfRelIso04_all": values.around(random.exponential(0.08, total), (0.15,), 0.1),
        "tightId": random.random(total) < 0.8,
    }

    total = int(counts["Jet"].sum())
    values = Values(random, total)
    tagger = np.where(random.random(total) < 0.4, random.uniform(0.4, 1, total), random.uniform(0, 0.6, total))
    made["Jet"] = {
        "pt": values.pt(45, (30, 30 / 1.03)),
        "eta": values.around(random.normal(0, 1.2, total), (2.4, -2.4), 0.03),
        "phi": values.phi(),
        "mass": values.sprinkle(random.gamma(4, 2.5, total), (0, -0.5, -5, -30), 0.02),
        "btagCSVV2": values.sprinkle(values.around(tagger, (0.5,), 0.1), (-10, 0, 1), 0.1),
        "qgl": values.sprinkle(random.uniform(0, 1, total), (-1, 0, 1), 0.2),
        "jetId": values.integers((0, 2, 4, 6, 7), (4, 4, 1, 60, 1)),
    }
    for collection, quantities in made.items():
        for name, flat in quantities.items():
            columns[f"{collection}_{name}"] = ak.unflatten(flat, counts[collection])
    return {name: ak.Array(values) for name, values in columns.items()}


def write(path: Path, columns: dict[str, ak.Array], format_: Literal["TTree", "RNTuple"] = "TTree") -> None:
    """Write events, in a TTree with counters as NanoAOD has them, or in an RNTuple of vectors."""
    with uproot.recreate(path) as file:
        if format_ == "RNTuple":
            file.mkrntuple("Events", columns)
            return
        content: dict[str, Any] = {name: values for name, values in columns.items() if values.ndim == 1}
        for collection in ("Electron", "Muon", "Jet"):
            prefix = f"{collection}_"
            content[collection] = ak.zip(
                {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}
            )
        file.mktree("Events", {name: values.type.content for name, values in content.items()})
        file["Events"].extend(content)


def write_dataset(
    folder: Path,
    n: int,
    seed: int = 1,
    samples: Sequence[str] = SAMPLES,
    format_: Literal["TTree", "RNTuple"] = "TTree",
    reverse: bool = False,
) -> Path:
    """Write files of several samples, two a sample, and their data set file.

    Parameters
    ----------
    folder
        Where to.
    n
        Number of events of each sample.
    seed
        Which events: the same ones for both formats.
    samples
        Names of the samples.
    format_
        Of all files.
    reverse
        Whether to list the files of each sample the other way round.

    Returns
    -------
    pathlib.Path
        The data set file.
    """
    dataset: dict[str, dict[str, Any]] = {}
    for sample in samples:
        process, variation = sample.split("__")
        files = []
        for part, size in enumerate((n // 3, n - n // 3)):
            path = folder / f"{sample}_{part}.root"
            write(path, events(size, [seed, *sample.encode(), part]), format_)
            files.append({"path": path.name, "nevts": size, "entries": size})
        dataset.setdefault(process, {})[variation] = {"files": files[::-1] if reverse else files}
    path = folder / "dataset.json"
    path.write_text(json.dumps(dataset))
    return path
