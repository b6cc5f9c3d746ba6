"""Fuzzing: whatever a file holds, the program reads it, or says in a sentence what is wrong with it.

By hand, for an hour, where `make setup` has made `.venv`:

    .venv/bin/python tests/fuzz.py dataset --seconds 3600

Each case is a good file with some random changes, read in a process of its own. A failure is a crash, a hang, any error
but a `TtbarError` or one of click's, the words of a defect, or whatever else the target asserts. What failed is kept in
the folder that is printed, and the same `--seed` makes the same cases.

To add a target: write a function that is given the path of a file and reads it as the program does, with assertions
about what it has read, and an entry of `TARGETS` that names it, some good files, and the name that the file is to have.
`test_fuzz.py` runs all of them. The function is called many times in one process, in a folder of its own that holds
nothing else, and imports what it needs itself.
"""

import argparse
import copy
import json
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import click
from fuzz_fit import fit_configurations, read_fit_configuration
from fuzz_results import histogram_files, read_histograms, read_reference, read_results, reference_files, result_files

from ttbar.errors import InputError, TtbarError
from ttbar.worker import Worker, WorkerDied

PATIENCE_S = 60
"""A file that takes longer hangs the program; the first one waits for ROOT to start."""


@dataclass(frozen=True)
class Target:
    """Something that reads a file."""

    read: Callable[[Path], object]
    """Reads it as the program does."""
    seeds: Callable[[], list[bytes]]
    """Good files."""
    file: str
    """What the file is called."""


@dataclass
class Outcome:
    """What became of the cases."""

    counts: Counter[str] = field(default_factory=Counter)
    """Number of files that were `read` and `refused`, and of those that `failed`."""
    failures: list[str] = field(default_factory=list)
    """A line on each failure, with the file that caused it."""


def fuzz(name: str, seconds: float, seed: int, folder: Path) -> Outcome:
    """Have a target read changed files until the time is over.

    Parameters
    ----------
    name : str
        Name of the target.
    seconds : float
        How long to go on, from the end of the first file on.
    seed : int
        Seed of the changes.
    folder : pathlib.Path
        Where the files go; those that failed stay there.

    Returns
    -------
    Outcome
        What became of the files.
    """
    target, outcome, random = TARGETS[name], Outcome(), Random(seed)
    seeds = target.seeds()
    place = folder / "case"
    place.mkdir(parents=True, exist_ok=True)
    good, end = len(seeds), float("inf")
    with Worker(patience=PATIENCE_S) as worker:
        while time.monotonic() < end:
            case = outcome.counts.total()
            content = seeds[case] if case < good else mutated(random.choice(seeds), random)
            for file in place.iterdir():
                file.unlink()
            (place / target.file).write_bytes(content)
            try:
                result = worker.call(judged, target.read, place / target.file)
            except WorkerDied as error:
                result = f"failed: {error}"
            if case < good and result != "read":
                result = f"failed: a good file is {result}"
            what, _, reason = result.partition(": ")
            outcome.counts[what] += 1
            if what == "failed":
                kept = folder / f"{name}-{seed}-{case}"
                kept.write_bytes(content)
                outcome.failures.append(f"{kept}: {reason}")
            if case == 0:
                end = time.monotonic() + seconds
    return outcome


def judged(read: Callable[[Path], object], file: Path) -> str:
    """Read a file and say what became of it: `read`, `refused`, or `failed: ` and why."""
    try:
        read(file)
    except (TtbarError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        return f"failed: {text}" if not text or "defect" in text else "refused"
    except BaseException as error:  # what a fuzzer is after
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"failed: {type(error).__name__} in {place.filename}:{place.lineno}: {' '.join(str(error).split())[:500]}"
        )
    return "read"


def mutated(content: bytes, random: Random) -> bytes:
    """Change a file: its bytes, what looks like a value in a text, or the tree that a JSON document is."""
    change = random.choice((mutated_bytes, mutated_tokens, mutated_tree))
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        content = change(content, random)
    return content


def mutated_bytes(content: bytes, random: Random) -> bytes:
    """Change, remove, repeat or insert bytes anywhere."""
    begin = random.randint(0, len(content))
    end = min(len(content), begin + random.choice((0, 1, 1, 2, 4, 16, 256)))
    part = content[begin:end]
    return random.choice(
        (
            content[:begin],
            content[:begin] + content[end:],
            content[:begin] + part + content[begin:],
            content[:begin] + bytes(byte ^ 1 << random.randrange(8) for byte in part) + content[end:],
            content[:begin] + random.randbytes(len(part)) + content[end:],
            content[:begin] + random.choice(TOKENS).encode("utf-8", "surrogatepass") + content[end:],
        )
    )


TOKENS = (
    *("0", "-1", "-0", "1", "2", "0.5", "1e300", "-1e300", "1e-300", "1e999", "-1e999", "1E400", "3.5e38", "1e-46"),
    *("255", "256", "2147483647", "2147483648", "4294967296", "9007199254740993", "18446744073709551616", "9" * 400),
    *("NaN", "-NaN", "nan", "Infinity", "-Infinity", "inf", "null", "true", "false", "0x10", "1_000", "٣"),
    *("[]", "{}", "[[]]", "[0]", '{"a": 0}', '""', '"a"', '"NaN"', '"1e300"', '"[5E-1]"'),
    *("[" * 2000, '{"a":' * 2000, "[" * 2000 + "]" * 2000, '"' + "x" * 70_000 + '"'),
    *('"\\ud800"', '"\\u0000"', '"\\u001b[31m"', '"\\u202e"', '"\\n"', '"', "\0", "\ufeff", ",", "|", "%", "{{", "}}"),
    *("&a [*a]", "!!python/object:os.system {}", "---", "...", "../..", "/"),
)
"""Text that readers may not expect."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 255, 256, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, 0.5, -0.0, 1e-300, 1e300),
    *(float("inf"), float("-inf"), float("nan"), "", "a", "0", "1", "nan", "Infinity"),
    *("\0", "\x1b[2J", "ä\u2028", "\ud800", "x" * 70_000, "../../a", "root://h//a", "https://u:p@h/a?authz=b"),
    *([], {}, [[]], [None], [0, 0], {"": 0}, {"a": {}}),
)
"""Values that documents may not be expected to have."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\w.+-]+|[\[\]{}:,]')


def mutated_tokens(content: bytes, random: Random) -> bytes:
    """Replace, remove or repeat something that looks like a value."""
    found = [match.span() for match in _TOKEN.finditer(content)]
    if not found:
        return mutated_bytes(content, random)
    begin, end = random.choice(found)
    other = slice(*random.choice(found))
    token = random.choice(
        (random.choice(TOKENS).encode("utf-8", "surrogatepass"), content[other], b"", content[begin:end] * 2)
    )
    return content[:begin] + token + content[end:]


def mutated_tree(content: bytes, random: Random) -> bytes:
    """Change a document of JSON: the value, the key or the place of something in it."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return mutated_tokens(content, random)
    root = {"": document}
    parent, key = random.choice([*_places(root)])
    value: Any = copy.deepcopy(random.choice(VALUES))
    match random.randrange(8), parent[key]:
        case 0, _:
            del parent[key]
        case 1, _:  # what is somewhere else
            other, place = random.choice([*_places(root)])
            parent[key] = copy.deepcopy(other[place])
        case 2, there:  # nested
            parent[key] = random.choice(([there], {"a": there}, str(there)))
        case 3, there if isinstance(parent, list):  # once more
            parent.insert(key, random.choice((copy.deepcopy(there), value)))
        case 3, _ if parent is not root:  # another name
            parent[random.choice(("", "a", key.upper(), key + " ", "nominal", "\x1b", "x" * 70_000))] = parent.pop(key)
        case 4 | 5, int() | float() as number:
            parent[key] = number * random.choice((-1, 2, 2.0, 1e300) if abs(number) < 1e15 else (-1, 2))
        case _:
            parent[key] = value
    return json.dumps(root.get("")).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in a document: an object or array, and a key or index in it."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


DATASET = {
    "ttbar": {
        "nominal": {
            "files": [
                {"path": "a.root", "nevts": 20, "entries": 10, "checksum": "adler32:0123abcd"},
                {"path": "root://host//b.root?xrd.wantprot=unix", "nevts": 7, "mirrors": ["https://host/b.root"]},
                "/c.root",
            ]
        },
        "ME_var": {"files": ["../d.root"], "skipped": [{"path": "e.root", "reason": "is not a file"}]},
    },
    "wjets": {"nominal": {"nevts_total": 3, "files": [{"path": "f.root", "nevts": 3}]}},
}


def read_dataset(file: Path) -> None:
    """Read a data set file."""
    from ttbar.analyses.agc_v1 import analysis
    from ttbar.inputs.dataset import load_dataset

    samples = load_dataset(file, analysis.variations)
    assert samples
    for sample in samples:
        assert sample.variation in analysis.variations[sample.process]
        assert sample.files
        for listed in sample.files:
            assert listed.nevts is None or type(listed.nevts) is type(listed.entries) is int
            assert listed.nevts is None or 0 <= listed.entries <= listed.nevts
            for address in listed.addresses:
                address.encode()
                assert not set(address) & set("\x00\x1b\n\u2028\u202e\ufeff")


MODELS = Path(__file__).parent / "data" / "xgboost"


def read_model(file: Path) -> None:
    """Read a model and compute some scores."""
    import numpy as np

    from ttbar.library import load_root

    root = load_root()
    try:
        root.ttbar.load_models([str(file)])
    except root.std.runtime_error as error:
        raise InputError(str(error)) from None
    forest = root.ttbar.model(0)
    n_features = forest.n_features()
    if n_features < 1000:
        rows = np.random.default_rng(1).normal(scale=3, size=(40, n_features)).astype(np.float32)
        margins = np.empty(len(rows), np.float32)
        forest.margins(rows.ravel(), len(rows), margins)
        assert np.isfinite(margins).all(), "a sum of leaves is not finite"


TARGETS = {
    "dataset": Target(read_dataset, lambda: [json.dumps(DATASET).encode()], "dataset.json"),
    "model": Target(
        read_model,
        lambda: [(MODELS / name).read_bytes() for name in ("1.7.6.json", "3.4.1.json", "3.4.1.ubj")],
        "model.json",
    ),
    "fit": Target(read_fit_configuration, fit_configurations, "fit.yml"),
    "histograms": Target(read_histograms, histogram_files, "histograms.root"),
    "reference": Target(read_reference, reference_files, "reference.json"),
    "run": Target(read_results, lambda: result_files("run.json"), "run.json"),
}


def main() -> None:
    """Run a target by hand."""
    parser = argparse.ArgumentParser(description="Have a reader of files read changed ones.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    outcome = fuzz(arguments.target, arguments.seconds, arguments.seed, folder)
    print(*outcome.failures, f"{dict(outcome.counts)}, in {folder}", sep="\n")
    sys.exit(bool(outcome.failures))


if __name__ == "__main__":
    main()
