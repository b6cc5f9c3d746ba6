"""A run in pieces gives what a run gives, in whatever order, however often, and says what is missing."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compare import bits
from program import Results, assert_fails, run_analysis, ttbar
from slurm import slurm

from ttbar import interface
from ttbar.child import Child
from ttbar.errors import AnalysisError, InputError, UsageError
from ttbar.simulate import simulate

EXAMPLES = Path(__file__).parents[1] / "examples" / "batch"
PROGRAM = Path(sys.executable).with_name("ttbar")
SAMPLE = ("--samples", "wjets__nominal", "--unit-events", 5000)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Two files of two clusters each."""
    return simulate(tmp_path_factory.mktemp("toy"), 16_000, ["wjets__nominal"], 5, False)


@pytest.fixture(scope="module")
def expected(toy, tmp_path_factory):
    output = tmp_path_factory.mktemp("expected")
    result = run_analysis("--dataset", toy, "--output", output, "--threads", 1, *SAMPLE)
    assert result.returncode == 0, result.stderr
    return output


@pytest.fixture(scope="module")
def divided(toy, tmp_path_factory):
    """A folder of four units, none of which is finished."""
    folder = tmp_path_factory.mktemp("pieces")
    result = ttbar("split", "--dataset", toy, "--output", folder, *SAMPLE)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "4\n"
    return folder


@pytest.fixture(scope="module")
def made(divided):
    """The same, with all that make makes of it."""
    make = ["make", "--file", EXAMPLES / "Makefile", "--jobs", "2", f"DIR={divided}", "N=4", f"TTBAR={PROGRAM}"]
    result = subprocess.run([*make, "MERGE=--no-plots --no-fit"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return divided


@pytest.fixture
def pieces(made, tmp_path):
    """A copy of that."""
    shutil.copytree(made, tmp_path / "pieces")
    return tmp_path / "pieces"


@pytest.fixture(scope="module")
def on_slurm():
    """The environment of commands that find Slurm, and the program."""
    with slurm() as environment:
        yield {**environment, "PATH": f"{PROGRAM.parent}:{environment['PATH']}"}


def test_an_array_of_slurm_jobs_gives_what_a_run_gives(toy, expected, on_slurm, tmp_path):
    folder = tmp_path / "pieces"
    assert interface.split(toy, output=folder, samples="wjets__nominal", unit_events=5000) == 4
    submit = ["sbatch", "--wait", "--array=0-3", EXAMPLES / "slurm.sh", folder]
    done = subprocess.run(submit, env=on_slurm, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, [done.stderr, *(log.read_text() for log in tmp_path.glob("*.log"))]
    assert len(list(tmp_path.glob("ttbar-*.log"))) == 4
    without_plots(folder)
    assert bits(folder / "histograms.root") == bits(expected / "histograms.root")


def test_slurm_runs_the_workers_of_dask(toy, expected, on_slurm, tmp_path):
    wanted = {"CORES": "1", "PROCESSES": "1", "MEMORY": "2GB", "LOG_DIRECTORY": str(tmp_path)}
    environment = on_slurm | {f"DASK_JOBQUEUE__SLURM__{name}": value for name, value in wanted.items()}
    there = ("--executor", "dask", "--scheduler", "jobqueue:slurm", "--workers", 1)
    arguments = ("run", "--dataset", toy, *SAMPLE, *there, "--no-plots", "--no-fit", "--output", tmp_path / "output")
    result = ttbar(*arguments, environment=environment)
    assert result.returncode == 0, result.stderr
    assert bits(tmp_path / "output" / "histograms.root") == bits(expected / "histograms.root")
    until = time.monotonic() + 60
    while subprocess.run(["squeue", "--noheader"], env=on_slurm, capture_output=True, check=True).stdout:
        assert time.monotonic() < until
        time.sleep(0.1)


def results(folder):
    return sorted((folder / "units").glob("*.unit"))


def without_plots(folder):
    return interface.merge(folder, plots=False, fit=False)


def test_make_gives_what_a_run_gives(expected, made):
    assert bits(made / "histograms.root") == bits(expected / "histograms.root")
    found, usual = Results(made), Results(expected)
    assert found.json("cutflow") == usual.json("cutflow")
    for name in ("samples", "analysis", "models", "code"):
        assert found.json("run")[name] == usual.json("run")[name]
    assert [file["processed"] for file in found.json("run")["files"]] == [8000, 8000]
    assert found.json("metrics")["events"] == usual.json("metrics")["events"] == 16_000
    assert found.json("metrics")["peak_rss_mb"] > 100
    assert (made / "report.html").exists()


def test_a_finished_unit_and_a_merge_are_repeated_without_harm(expected, pieces):
    before = {path: path.stat().st_mtime_ns for path in results(pieces)}
    interface.run_unit(pieces, 2)
    assert {path: path.stat().st_mtime_ns for path in results(pieces)} == before
    without_plots(pieces)
    assert bits(pieces / "histograms.root") == bits(expected / "histograms.root")


def test_what_is_missing_is_named_and_can_be_made_later(expected, pieces, ledger):
    everything = results(pieces)
    for path in everything:
        path.rename(path.with_suffix(".away"))
    with pytest.raises(InputError, match=r"results of 4 units are missing, of 0, 1, 2, 3: .*ttbar run-unit"):
        without_plots(pieces)
    everything[1].with_suffix(".away").rename(everything[1])
    interface.run_unit(pieces, 3)
    with pytest.raises(InputError, match=r"results of [23] units are missing"):
        without_plots(pieces)
    for path in everything:
        path.with_suffix(".away").exists() and path.with_suffix(".away").rename(path)
    without_plots(pieces)
    assert bits(pieces / "histograms.root") == bits(expected / "histograms.root")
    ledger.add("unit that was not run", "detected")


def test_a_damaged_result_is_named_and_made_again(expected, pieces, ledger):
    damaged = results(pieces)[1]
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"the result of unit \d is not whole: run `ttbar run-unit") as error:
        without_plots(pieces)
    interface.run_unit(pieces, int(re.search(r"unit (\d)", str(error.value))[1]))
    without_plots(pieces)
    assert bits(pieces / "histograms.root") == bits(expected / "histograms.root")
    ledger.add("damaged result of a unit", "detected")


def test_units_can_share_a_process(expected, pieces, monkeypatch, capsys):
    for path in results(pieces):
        path.unlink()
    started, start = [], Child.start

    def counted(child):
        is_new = start(child)
        started.append(is_new)
        return is_new

    monkeypatch.setattr(Child, "start", counted)
    interface.run_unit(pieces, 3, 1, 3)
    assert len(results(pieces)) == 2
    assert re.findall(r"Unit (\d) is finished", capsys.readouterr().err) == ["3", "1"]
    assert sum(started) == 1
    interface.run_unit(pieces, *range(4))  # two of them are finished
    without_plots(pieces)
    assert bits(pieces / "histograms.root") == bits(expected / "histograms.root")


def test_no_unit_is_begun_if_one_does_not_exist(pieces):
    for path in results(pieces):
        path.unlink()
    with pytest.raises(UsageError, match="units 0 to 3, not 9"):
        interface.run_unit(pieces, 0, 9)
    assert not results(pieces)
    assert_fails(ttbar("run-unit", pieces), 2, "N")
    with pytest.raises(UsageError, match=r"N: no unit of .*pieces is given$"):
        interface.run_unit(pieces)


@pytest.mark.parametrize(("key", "word"), [("code", "this program"), ("root_version", "ROOT"), ("models", "the model")])
def test_another_version_is_refused(pieces, key, word, ledger):
    manifest = json.loads((pieces / "manifest.json").read_text())
    manifest["ready"][key] = ["other"] if key == "models" else "other"
    (pieces / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(AnalysisError, match=f"{word} is another one here"):
        interface.run_unit(pieces, 0)
    ledger.add("other version on a worker", "detected")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1}', '{"version": 2}', '{"version": 1, "units": 3}'])
def test_what_is_no_manifest_is_an_input_error(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    for job in (lambda: interface.run_unit(tmp_path, 0), lambda: without_plots(tmp_path)):
        with pytest.raises(InputError, match=re.escape(str(tmp_path / "manifest.json"))):
            job()


def test_a_number_that_is_none_is_a_usage_error(made, tmp_path):
    for number in (4, -1):
        with pytest.raises(UsageError, match=f"units 0 to 3, not {number}"):
            interface.run_unit(made, number)
    assert_fails(ttbar("run-unit", made, "-1"), 2)
    assert_fails(ttbar("run-unit", tmp_path / "nowhere", "0"), 2, "nowhere")


@pytest.mark.parametrize("skip", [False, True])
def test_a_file_that_only_a_unit_finds_bad(toy, tmp_path, skip, ledger):
    data = tmp_path / "data"
    shutil.copytree(toy.parent, data)
    folder = tmp_path / "pieces"
    bad_files = "skip" if skip else "stop"
    arguments = {"samples": "wjets__nominal", "unit_events": 5000, "bad_files": bad_files}
    assert interface.split(data / "dataset.json", output=folder, **arguments) == 4
    victim = sorted(data.glob("*.root"))[1]
    os.truncate(victim, victim.stat().st_size // 2)
    interface.run_unit(folder, 1)
    interface.run_unit(folder, 0)
    if not skip:
        with pytest.raises(InputError, match=victim.name):
            interface.run_unit(folder, 3)
        with pytest.raises(InputError, match="results of 2 units are missing, of 2, 3"):
            without_plots(folder)
        ledger.add("file that is bad for a unit", "detected")
        return
    interface.run_unit(folder, 3)
    without_plots(folder)  # the other part of the bad file is not worth a job
    run = Results(folder).json("run")
    assert [file["status"] for file in run["files"]] == ["ok", "skipped"]
    first = json.loads(toy.read_text())["wjets"]["nominal"]["files"][0]
    assert run["samples"]["wjets__nominal"] == {"nevts": first["nevts"], "expected": 8000, "processed": 8000}
    ledger.add("file that is bad for a unit", "recovered")

    shutil.copy2(toy.parent / victim.name, victim)
    assert interface.split(data / "dataset.json", output=folder, **arguments) == 4
    with pytest.raises(InputError, match="results of 2 units are missing, of 2, 3"):  # what was bad is forgotten
        without_plots(folder)


def test_nobody_else_reads_the_addresses_of_files(divided):
    assert (divided / "manifest.json").stat().st_mode & 0o077 == 0
    assert (divided / "units").stat().st_mode & 0o077 == 0


def test_the_other_examples_name_commands_and_options_that_exist(toy):
    """Slurm, HTCondor and Snakemake may not be there, but what they would run is."""
    script = (EXAMPLES / "slurm.sh").read_text()
    assert subprocess.run(["sh", "-n", EXAMPLES / "slurm.sh"], check=False).returncode == 0
    submit = dict(
        line.split(" = ", 1)
        for line in re.sub(" +", " ", (EXAMPLES / "htcondor.sub").read_text()).splitlines()
        if " = " in line and not line.startswith("#")
    )
    assert submit["arguments"] == "run-unit $(dir) $(Process)"
    assert 'ttbar run-unit "$1" "$SLURM_ARRAY_TASK_ID"' in script
    for example in EXAMPLES.iterdir():
        for command in re.findall(r"ttbar (split|run-unit|merge)[^`\n]*", example.read_text()):
            assert ttbar(command, "--help").returncode == 0
        for option in re.findall(r"split .*?(--[a-z-]+)", example.read_text()):
            assert option in ttbar("split", "--help").stdout
