"""Faults of every kind, from the command line to the exit code: an error that names the file, or the exact result."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import reference
import uproot
from compare import compare_2d, compare_cutflow
from conftest import Outcome
from damage import (
    ENTRIES,
    FORMATS,
    UNUSABLE,
    basket_of_wrong_length,
    copy,
    directory,
    doubles_for_floats,
    empty,
    flipped_bits,
    header_of_ones,
    histogram_for_a_tree,
    hole_of_zeros,
    hole_of_zeros_at_the_end,
    missing,
    name_of,
    no_column,
    no_tree,
    one_entry_fewer,
    text,
    truncated_by_a_byte,
    truncated_in_the_header,
    truncated_in_the_middle,
    unclosed,
    unreadable,
    write_good,
)
from program import PROGRAM, Results, assert_fails, run_analysis
from reference_common import Sample

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.inputs.checksum import checksum_of
from ttbar.library import shipped

MODEL = shipped("models", "jet_assignment.json")
# Those without universes come first: their graph is compiled sooner, and a crash has it compiled again.
SAMPLES = [
    f"{process.name}__{variation}" for process in agc_v1.simulated[::-1] for variation in process.variations[::-1]
]
A_RUN_HANGS_AFTER_S = 300
NOT_A_SUPERUSER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@dataclass(frozen=True)
class Fault:
    """What is done to a file."""

    kind: Callable[[Path, Path], None]
    format_: str = "TTree"
    compression: str = "ZLIB"
    checksum: bool = False
    """Whether the data set tells the checksum of the undamaged file."""

    @property
    def name(self) -> str:
        if self.kind not in TO_VALUES:
            return name_of(self.kind)
        where = self.compression if self.format_ == "TTree" else f"{self.format_} {self.compression}"
        return f"{name_of(self.kind)}, {where}" + self.checksum * ", checksum known"

    @property
    def can_go_unseen(self) -> bool:
        """Whether the values change and nothing has a checksum of them, or what has it is not asked."""
        return self.format_ == "TTree" and self.compression in ("none", "ZSTD") and not self.checksum


TO_VALUES = (flipped_bits, hole_of_zeros, basket_of_wrong_length)
IN_THE_LOOP = [
    *(Fault(flipped_bits, "TTree", compression) for compression in ("ZSTD", "none", "ZLIB", "LZ4", "LZMA")),
    *(Fault(flipped_bits, "RNTuple", compression) for compression in ("ZSTD", "none")),
    *(Fault(hole_of_zeros, format_) for format_ in FORMATS),
    Fault(basket_of_wrong_length),
]
IN_THE_LOOP_SKIPPED = [fault for fault in IN_THE_LOOP if fault.compression not in ("LZ4", "LZMA")]
BEFORE_THE_LOOP = [
    *(Fault(kind, FORMATS[number % 2]) for number, kind in enumerate(UNUSABLE)),
    *(replace(fault, checksum=True) for fault in IN_THE_LOOP),
]
ALONE = [
    Fault(kind, FORMATS[number % 2])
    for number, kind in enumerate(
        (
            missing,
            unreadable,
            directory,
            empty,
            text,
            truncated_in_the_header,
            truncated_in_the_middle,
            truncated_by_a_byte,
            unclosed,
            header_of_ones,
            hole_of_zeros_at_the_end,
            no_tree,
            histogram_for_a_tree,
            no_column,
            doubles_for_floats,
            one_entry_fewer,
            copy,
        )
    )
]
ALONE.append(Fault(flipped_bits, "TTree", "ZSTD", checksum=True))


@dataclass(frozen=True)
class File:
    """A file of a data set."""

    path: Path
    undamaged: Path
    """The file itself, or what it was before."""
    fault: Fault | None = None

    @property
    def entry(self) -> dict[str, object]:
        """What a data set file says of it."""
        checksum = {"checksum": checksum_of(self.undamaged)} if self.fault and self.fault.checksum else {}
        return {"path": str(self.path), "nevts": ENTRIES, **checksum}


@dataclass(frozen=True)
class Run:
    """A run of the program."""

    output: Path
    samples: Mapping[str, Sequence[File]]
    done: Future[subprocess.CompletedProcess[str]]

    @property
    def bad_file(self) -> Path:
        """The only one with a fault."""
        (path,) = (file.path for files in self.samples.values() for file in files if file.fault)
        return path

    def outcomes(self, sample: str) -> list[tuple[Fault, Outcome]]:
        """What became of the faults in a sample of a run that came to its end."""
        records = {Path(file["path"]): file for file in Results(self.output).json("run")["files"]}
        used = [file for file in self.samples[sample] if records[file.path]["status"] == "ok"]
        differences = self.differences(sample, used)

        def outcome(file: File) -> Outcome:
            if file not in used:
                return "wrong" if differences else "detected"
            if differences:
                return "undetectable" if file.fault.can_go_unseen else "wrong"
            return "recovered"

        return [(file.fault, outcome(file)) for file in self.samples[sample] if file.fault]

    def differences(self, name: str, files: Sequence[File]) -> bool:
        """Whether a sample differs from what the reference makes of undamaged files alone."""
        sample = Sample(*name.split("__"), [(file.undamaged, ENTRIES) for file in files])
        expected = reference.run([sample], MODEL)
        with uproot.open(self.output / "histograms.root") as found:
            different = any(compare_2d(name, found[name], expected.histograms[name]) for name in expected.histograms)
        try:
            compare_cutflow({name: Results(self.output).json("cutflow")[name]}, expected)
        except AssertionError:
            return True
        return different


class Stage:
    """Good files, a place to damage some, and the program, that runs as often at a time as there are cores."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._pool = pool
        self._good: dict[tuple[int, str, str], Path] = {}

    def good(self, number: int, format_: str = "TTree", compression: str = "ZLIB") -> Path:
        """A good file; each number has other events."""
        key = (number, format_, compression)
        if key not in self._good:
            path = self._folder / f"{number}_{format_}_{compression}.root"
            self._good[key] = write_good(path, number, format_, compression)
        return self._good[key]

    def start(self, name: str, samples: Mapping[str, Sequence[Path | Fault]], *options: object) -> Run:
        """Start a run on samples of good files, and of faults in good files."""
        folder = self._folder / name
        folder.mkdir()
        made = {
            sample: [self._made(file, folder / f"{sample}_{number}.root") for number, file in enumerate(files)]
            for sample, files in samples.items()
        }
        dataset: dict[str, dict[str, object]] = {}
        for sample, files in made.items():
            process, variation = sample.split("__")
            dataset.setdefault(process, {})[variation] = {"files": [file.entry for file in files]}
        (folder / "dataset.json").write_text(json.dumps(dataset))
        command = [sys.executable, PROGRAM, "--dataset", folder / "dataset.json", "--output", folder / "output"]
        command += ["--no-plots", "--no-fit", *options]
        if any(file.fault and file.fault.kind is unreadable for files in made.values() for file in files):
            command = [*NOT_A_SUPERUSER, *command]
        done = self._pool.submit(
            subprocess.run,
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=A_RUN_HANGS_AFTER_S,
            check=False,
        )
        return Run(folder / "output", made, done)

    def among_good_ones(self, fault: Fault, position: int) -> list[Path | Fault]:
        """A sample with a fault in its first, its middle or its last file, as a number is divided by three."""
        files: list[Path | Fault] = [self.good(0, fault.format_), self.good(1, fault.format_)]
        files.insert(position % 3, fault)
        return files

    def _made(self, file: Path | Fault, path: Path) -> File:
        """A good file as it is, or one with a fault at a path."""
        if isinstance(file, Path):
            return File(file, file)
        undamaged = self.good(0 if file.kind is copy else 3, file.format_, file.compression)
        file.kind(path, undamaged)
        return File(path, undamaged, file)


@contextmanager
def noted(ledger, fault: str):
    """Note a fault as detected, or as a wrong outcome if that is what the block finds."""
    try:
        yield
    except BaseException:
        ledger.add(fault, "wrong")
        raise
    ledger.add(fault, "detected")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield Stage(tmp_path_factory.mktemp("faults"), pool)
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def skipped_before_the_loop(stage):
    """A run that skips all that is seen before the loop: the first, the last and middle files of all samples."""
    samples = {}
    for number, sample in enumerate(SAMPLES):
        first, *middle, last = BEFORE_THE_LOOP[number :: len(SAMPLES)]
        format_ = FORMATS[number % 2]
        samples[sample] = [first, stage.good(0, format_), *middle, stage.good(1, format_), last]
    return stage.start("before", samples, "--bad-files", "skip", "--threads", 2)


@pytest.fixture(scope="module")
def skipped_in_the_loop(stage):
    """A run that skips files that are seen to be bad in the loop."""
    samples = {
        sample: stage.among_good_ones(fault, number)
        for number, (sample, fault) in enumerate(zip(SAMPLES, IN_THE_LOOP_SKIPPED, strict=False))
    }
    return stage.start("in", samples, "--bad-files", "skip", "--threads", 2)


@pytest.fixture(scope="module")
def alone(stage, skipped_before_the_loop, skipped_in_the_loop):
    """Runs with one fault each, started after those that take longest."""
    return {
        fault: stage.start(
            f"alone_{number}", {SAMPLES[0]: stage.among_good_ones(fault, number)}, "--threads", 1 + number // 2 % 2
        )
        for number, fault in enumerate((*IN_THE_LOOP, *ALONE))
    }


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.name)
def test_a_bad_file_ends_the_run_before_the_loop(alone, ledger, fault):
    run = alone[fault]
    with noted(ledger, fault.name):
        assert_fails(run.done.result(), 3, str(run.bad_file))
        assert not (run.output / "histograms.root").exists()


@pytest.mark.parametrize("fault", IN_THE_LOOP, ids=lambda fault: fault.name)
def test_damaged_values_end_the_run_unless_they_do_not_matter_or_nothing_tells(alone, ledger, fault):
    run = alone[fault]
    result = run.done.result()
    if result.returncode == 0:
        ((_, outcome),) = run.outcomes(SAMPLES[0])
        ledger.add(fault.name, outcome)
        assert outcome in ("recovered", "undetectable")
    else:
        with noted(ledger, fault.name):
            assert result.returncode in (3, 4)
            assert_fails(result, result.returncode, str(run.bad_file), SAMPLES[0])
            assert not (run.output / "histograms.root").exists()


def assert_left_out(run: Run, ledger) -> list[Outcome]:
    """Assert that a run came to its end without what is bad, and tells of it; what became of its faults comes back."""
    result = run.done.result()
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert not [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    outcomes = []
    for sample in run.samples:
        for fault, outcome in run.outcomes(sample):
            ledger.add(fault.name, outcome)
            outcomes.append(outcome)
    assert "wrong" not in outcomes
    account = Results(run.output).json("run")
    for sample, files in run.samples.items():
        records = [record for record in account["files"] if record["sample"] == sample]
        assert [record["path"] for record in records] == [str(file.path) for file in files]
        used = [record for record in records if record["status"] == "ok"]
        assert all(bool(record["reason"]) == (record not in used) for record in records)
        assert all(file.fault or record in used for file, record in zip(files, records, strict=True))
        events = len(used) * ENTRIES
        assert account["samples"][sample] == {"nevts": events, "expected": events, "processed": events}
    return outcomes


def test_what_is_seen_before_the_loop_is_left_out(skipped_before_the_loop, ledger):
    assert set(assert_left_out(skipped_before_the_loop, ledger)) == {"detected"}


def test_what_is_seen_in_the_loop_is_left_out(skipped_in_the_loop, ledger):
    assert "detected" in assert_left_out(skipped_in_the_loop, ledger)


@pytest.mark.parametrize(
    ("fault", "content", "words"),
    [
        ("malformed JSON", '{"ttbar": ', "not a JSON file"),
        ("JSON nested deeply", "[" * 100_000, "nested too deeply"),
        ("JSON with a key twice", '{"wjets": {}, "wjets": {}}', "'wjets' occurs twice"),
        ("JSON with a huge number", '{"wjets": {"nominal": {"files": [{"path": "a.root", "nevts": 1e999}]}}}', "nevts"),
        ("JSON with lines in a path", '{"wjets": {"nominal": {"files": ["a\\nerror: b.root"]}}}', "printable path"),
        ("unknown process", '{"zjets": {"nominal": {"files": ["a.root"]}}}', "'zjets'"),
        ("same path twice", '{"wjets": {"nominal": {"files": ["a.root", "b.root", "./a.root"]}}}', "twice"),
    ],
)
def test_a_bad_data_set_file_ends_the_run(tmp_path, ledger, fault, content, words):
    (tmp_path / "dataset.json").write_text(content)
    (tmp_path / "histograms.root").write_text("from an earlier run")
    result = run_analysis("--dataset", tmp_path / "dataset.json", "--output", tmp_path)
    with noted(ledger, fault):
        assert_fails(result, 3, str(tmp_path / "dataset.json"), words)
        assert not (tmp_path / "histograms.root").exists()
