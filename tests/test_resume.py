"""Runs that were ended in every way go on where they were, and give the same result."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compare import assert_equal_histograms
from program import Results, assert_fails, start_processing, ttbar
from small_disk import small_disk

from ttbar.library import shipped
from ttbar.simulate import simulate

SAMPLES = ("ttbar__nominal", "ttbar__PS_var", "wjets__nominal")
EVENTS = 2_000

# The program with units of a file each, that is disturbed when it has written a file for the n-th time.
DISTURBED = """
import os, sys
from ttbar import cli
from ttbar.execution import units
units.UNIT_ENTRIES = 1
disturbance, moment, sync = sys.argv[1], int(sys.argv[2]), os.fsync
def sync_and_disturb(descriptor):
    global moment
    sync(descriptor)
    moment -= 1
    if moment == 0:
        exec(disturbance)
os.fsync = sync_and_disturb
if moment == 0:
    exec(disturbance)
cli.main(["run", "--no-plots", "--no-fit", "--threads", "1", *sys.argv[3:]])
"""
KILL = "os.kill(os.getpid(), 9)"
INTERRUPT = "os.kill(os.getpid(), 2)"
FILL = "space = os.statvfs({0!r}); open({0!r} + '/ballast', 'wb').write(bytes(space.f_bavail * space.f_bsize))"
UNITS = 2 * len(SAMPLES)


def run(*arguments, disturbance="", moment=0):
    command = [sys.executable, "-c", DISTURBED, disturbance, str(moment), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def killed(moment, *arguments):
    """A run that is killed after it has written a file for the n-th time, before it has got its name."""
    result = run(*arguments, disturbance=KILL, moment=moment)
    assert result.returncode == -signal.SIGKILL, result.stderr


def finished(*arguments):
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), EVENTS, SAMPLES, 5, False)


@pytest.fixture(scope="module")
def expected(toy, tmp_path_factory):
    """The results of a run that nothing disturbed, and how long it took."""
    output = tmp_path_factory.mktemp("expected")
    begun = time.monotonic()
    finished("--dataset", toy, "--output", output)
    return Results(output), time.monotonic() - begun


def is_complete(output: Path) -> bool:
    return (output / "run.json").exists()


def finished_units(output: Path) -> int:
    return len([path for path in (output / "units").glob("*.unit") if not path.name.startswith(".")])


def assert_same_result(output, expected, ledger, fault):
    try:
        assert_equal_histograms(output / "histograms.root", expected.folder / "histograms.root")
        assert Results(output).json("cutflow") == expected.json("cutflow")
    except AssertionError:
        ledger.add(fault, "wrong")
        raise
    ledger.add(fault, "recovered")
    assert not (output / "units").exists()
    assert not list(output.glob(".*"))


# Until the n-th file has been written, again and again; and how many units are finished then. After the units come
# histograms, cutflow, metrics, page and run.json.
STEPS = [(1, 0), (2, 1), (3, 3), (4, UNITS), (2, UNITS), (3, UNITS), (4, UNITS), (5, UNITS)]


def test_a_run_killed_at_each_step_goes_on_from_there(toy, expected, tmp_path, ledger):
    resumed = ("--dataset", toy, "--output", tmp_path, "--resume")
    for moment, units in STEPS:
        killed(moment, *resumed)
        assert finished_units(tmp_path) == units
        assert not is_complete(tmp_path)
    finished(*resumed)
    assert_same_result(tmp_path, expected[0], ledger, "kill -9 while a file is written")


def test_a_run_killed_at_random_moments_goes_on(toy, expected, tmp_path, ledger):
    chance = random.Random(1)
    resumed = ("--dataset", str(toy), "--output", str(tmp_path), "--resume")
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", DISTURBED, "", "0", *resumed], stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(0.3, 1) * expected[1])
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finished(*resumed)
    assert_same_result(tmp_path, expected[0], ledger, "kill -9 at random moments")


def test_files_of_others_among_the_results_of_units_stay(toy, tmp_path):
    (tmp_path / "units" / "thesis").mkdir(parents=True)
    mine = [tmp_path / "units" / name for name in ("notes.txt", "my.unit", ".hidden", "thesis/a.tex")]
    for path in mine:
        path.write_text("mine")
    arguments = ("--dataset", toy, "--output", tmp_path, "--samples", "wjets__nominal")
    killed(2, *arguments)
    finished(*arguments)
    assert sorted(path for path in (tmp_path / "units").rglob("*") if path.is_file()) == sorted(mine)
    assert is_complete(tmp_path)


def test_an_interrupt_keeps_what_is_finished_and_says_how_to_go_on(toy, expected, tmp_path, ledger):
    arguments = ("--dataset", toy, "--output", tmp_path)
    assert_fails(run(*arguments, disturbance=INTERRUPT, moment=4), 130, "--resume")
    assert finished_units(tmp_path) == 3
    finished(*arguments, "--resume")
    assert_same_result(tmp_path, expected[0], ledger, "interrupt")


def test_results_of_other_options_and_damaged_ones_are_not_used(toy, expected, tmp_path):
    arguments = ("--dataset", toy, "--output", tmp_path)
    killed(3, *arguments, "--seed", 2)
    assert finished_units(tmp_path) == 2
    others = set((tmp_path / "units").iterdir())
    killed(3, *arguments, "--resume")
    assert finished_units(tmp_path) == 4
    first = min(set((tmp_path / "units").glob("*.unit")) - others)
    first.write_bytes(first.read_bytes()[:-1])  # a power cut can leave this, whatever a program does
    assert f"{first.name}: not a JSON file" in finished(*arguments, "--resume").stderr
    assert_equal_histograms(tmp_path / "histograms.root", expected[0].folder / "histograms.root")


def test_without_resume_nothing_old_is_used_but_a_mistake_costs_nothing(toy, tmp_path):
    arguments = ("--dataset", toy, "--output", tmp_path)
    killed(3, *arguments)
    assert finished_units(tmp_path) == 2
    assert_fails(run("--dataset", "nowhere.json", "--output", tmp_path), 3, "nowhere.json")
    assert finished_units(tmp_path) == 2
    killed(1, *arguments)
    assert finished_units(tmp_path) == 0


def test_a_file_that_changes_after_the_check_is_found_though_it_has_as_many_events(toy, tmp_path, ledger):
    folder = tmp_path / "toy"
    shutil.copytree(toy.parent, folder)
    first, last = (file["path"] for file in json.loads(toy.read_text())["wjets"]["nominal"]["files"])
    replace = f"import shutil; shutil.copy({str(folder / first)!r}, {str(folder / last)!r})"
    arguments = ("--dataset", folder / "dataset.json", "--output", tmp_path / "output")
    result = run(*arguments, disturbance=replace, moment=1)
    if result.returncode == 0:
        ledger.add("file replaced after the check", "wrong")
    assert_fails(result, 3, last, "changed since it was checked")
    ledger.add("file replaced after the check", "detected")


def test_a_model_that_changes_during_a_run_ends_it(toy, tmp_path, ledger):
    model = tmp_path / "model.json"
    content = shipped("models", "jet_assignment.json").read_text()
    model.write_text(content)
    # Only a new process reads the model again.
    change = f"""
import os, pathlib, signal
with open({str(model)!r}, "a") as stream: stream.write(" ")
for children in pathlib.Path("/proc/self/task").glob("*/children"):
    for child in children.read_text().split(): os.kill(int(child), signal.SIGKILL)
"""
    arguments = ("--dataset", toy, "--model", model, "--output", tmp_path / "output")
    result = run(*arguments, disturbance=change, moment=2)
    if result.returncode == 0:
        ledger.add("model replaced", "wrong")
    assert_fails(result, 4, "model", "changed")
    ledger.add("model replaced", "detected")
    model.write_text(content)
    finished(*arguments, "--resume")


def test_a_full_disk_is_said_and_nothing_half_written_is_taken_for_whole(toy, expected, ledger):
    with small_disk(20_000_000) as disk:
        resumed = ("--dataset", toy, "--output", disk / "output", "--resume")
        # After which file the disk is full, again and again; and how many units are finished then.
        for moment, units in [(0, 0), (1, 1), (3, 4), (2, UNITS), (1, UNITS), (2, UNITS), (3, UNITS), (4, UNITS)]:
            result = run(*resumed, disturbance=FILL.format(str(disk)), moment=moment)
            assert_fails(result, 3, str(disk / "output"), "No space left")
            ledger.add("full disk", "detected")
            assert finished_units(disk / "output") == units
            assert not is_complete(disk / "output")
            (disk / "ballast").unlink()
        finished(*resumed)
        assert_same_result(disk / "output", expected[0], ledger, "full disk, then room")


def test_a_full_disk_is_not_the_fault_of_what_is_skimmed(toy, ledger):
    for format_ in ("TTree", "RNTuple"):
        with small_disk(16 * 4096) as disk:
            arguments = ("skim", "--dataset", toy, "--output", disk / "skim", "--format", format_)
            result = ttbar(*arguments, "--bad-files", "skip")
            assert_fails(result, 3, str(disk), "No space left")
            ledger.add("full disk", "detected")
            assert not (disk / "skim" / "dataset.json").exists()
            subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
            result = ttbar(*arguments)
            assert result.returncode == 0, result.stderr
            ledger.add("full disk, then room", "recovered")
            assert not list((disk / "skim").glob(".*"))


def test_two_runs_do_not_write_to_one_folder(toy, tmp_path):
    first = start_processing("--dataset", toy, "--output", tmp_path)
    try:
        first.send_signal(signal.SIGSTOP)
        assert_fails(run("--dataset", toy, "--output", tmp_path), 3, str(tmp_path), "another run")
    finally:
        first.kill()
        first.wait()
