"""The whole job, from the command line to the results folder."""

import json
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import reference
import uproot
from compare import assert_equal_histograms, compare_cutflow, compare_histograms
from program import Results, assert_fails, is_running, run_analysis, start_processing, ttbar, workers_of
from reference_common import CROSS_SECTIONS, LUMINOSITY, Reference, read_dataset

from ttbar import interface
from ttbar.analyses import agc_v1
from ttbar.errors import AnalysisError, InputError
from ttbar.jobs.run import _fit_and_plot
from ttbar.library import load_root, shipped
from ttbar.results import pictures
from ttbar.results.pictures import Drawing
from ttbar.simulate import simulate
from ttbar.timeline import Timeline

EVENTS = 20_000
SEED = 7
MODEL = shipped("models", "jet_assignment.json")


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert ttbar("simulate", "--output", folder, "--events", EVENTS).returncode == 0
    return folder / "dataset.json"


@pytest.fixture(scope="session")
def expected(demo) -> Reference:
    return reference.run(read_dataset(demo), MODEL, seed=SEED)


@pytest.fixture(scope="session")
def one_thread(demo, tmp_path_factory) -> Results:
    output = tmp_path_factory.mktemp("one_thread")
    result = run_analysis("--dataset", demo, "--threads", 1, "--seed", SEED, "--output", output, everything=True)
    assert result.returncode == 0, result.stderr
    return Results(output)


@pytest.fixture(scope="session")
def rntuple(demo, tmp_path_factory) -> Path:
    """The same events, but in other files, in another order and another format."""
    folder = tmp_path_factory.mktemp("rntuple")
    samples = {}
    root = load_root()
    options = root.RDF.RSnapshotOptions()
    options.fOutputFormat = root.RDF.ESnapshotOutputFormat.kRNTuple
    for process, variations in json.loads(demo.read_text()).items():
        for variation, content in variations.items():
            files = content["files"]
            events = root.RDataFrame("Events", [str(demo.parent / file["path"]) for file in files])
            cuts = [0, EVENTS // 5, EVENTS // 2, EVENTS]
            parts = [
                {"path": f"{process}__{variation}_{part}.root", "nevts": cuts[part + 1] - cuts[part]}
                for part in range(3)
            ]
            for part, begin, end in zip(parts, cuts, cuts[1:], strict=False):
                columns = list(agc_v1.COLUMNS)
                events.Range(begin, end).Snapshot("Events", str(folder / part["path"]), columns, options)
                part["entries"] = part["nevts"]
            parts[0]["nevts"] += sum(file["nevts"] for file in files) - EVENTS
            samples.setdefault(process, {})[variation] = {"files": parts[::-1]}
    (folder / "dataset.json").write_text(json.dumps(samples))
    return folder / "dataset.json"


@pytest.fixture(scope="session")
def two_threads_rntuple(rntuple, tmp_path_factory) -> Results:
    output = tmp_path_factory.mktemp("two_threads")
    result = run_analysis("--dataset", rntuple, "--threads", 2, "--seed", SEED, "--output", output)
    assert result.returncode == 0, result.stderr
    return Results(output)


def test_reference_has_all_histograms_and_enough_events(expected, demo):
    assert len(expected.histograms) == 114 + 8
    assert 9 * EVENTS >= 100_000


def test_one_thread_agrees_with_the_reference(one_thread, expected):
    compare_histograms(one_thread.folder / "histograms.root", expected)
    compare_cutflow(one_thread.json("cutflow"), expected)


def test_two_threads_other_files_agree_with_the_reference(two_threads_rntuple, expected):
    compare_histograms(two_threads_rntuple.folder / "histograms.root", expected)
    compare_cutflow(two_threads_rntuple.json("cutflow"), expected)


def test_threads_order_and_format_do_not_matter(one_thread, two_threads_rntuple):
    assert_equal_histograms(two_threads_rntuple.folder / "histograms.root", one_thread.folder / "histograms.root")


def test_run_accounts_for_every_event(one_thread):
    run = one_thread.json("run")
    assert run["status"] == "complete"
    assert {sample["processed"] for sample in run["samples"].values()} == {EVENTS}
    assert all(sample["processed"] == sample["expected"] for sample in run["samples"].values())
    assert {file["status"] for file in run["files"]} == {"ok"}
    metrics = one_thread.json("metrics")
    assert metrics["events"] == 9 * EVENTS
    assert metrics["threads"] == 1
    assert metrics["peak_rss_mb"] < 3000
    assert metrics["loop_wall_s"] < metrics["total_wall_s"]
    assert 0 < metrics["percent_read"] < 100


def test_run_ends_with_a_fit_plots_and_a_page(one_thread):
    fit = one_thread.json("fit")
    strength = fit["parameters"]["ttbar_norm"]
    assert abs(strength["value"] - 1) < 3 * strength["uncertainty"]
    assert 0.01 < fit["goodness_of_fit"]["p_value"] <= 1
    assert len(list((one_thread.folder / "plots").glob("*.png"))) > 20
    assert (one_thread.folder / "workspace.json").exists()
    assert f"{strength['value']}" in (one_thread.folder / "report.html").read_text()


def test_samples_and_files_are_chosen(demo, tmp_path):
    choice = ("--samples", "wjets__nominal", "--files", 1)
    result = run_analysis("--dataset", demo, *choice, "--output", tmp_path, everything=True)
    assert result.returncode == 0, result.stderr
    run = json.loads((tmp_path / "run.json").read_text())
    assert list(run["samples"]) == ["wjets__nominal"]
    file = json.loads(demo.read_text())["wjets"]["nominal"]["files"][0]
    assert run["samples"]["wjets__nominal"]["nevts"] == file["nevts"]
    with uproot.open(tmp_path / "histograms.root") as results:
        assert len(results.keys(recursive=False, filter_classname="TH2D")) == 26


def test_a_bad_file_stops_the_run_or_is_left_out(demo, tmp_path):
    content = json.loads(demo.read_text())["wjets"]["nominal"]
    good = demo.parent / content["files"][0]["path"]
    (tmp_path / "cut.root").write_bytes(good.read_bytes()[:100_000])
    content["files"] = [
        {**content["files"][0], "path": "cut.root"},
        {**content["files"][1], "path": str(demo.parent / content["files"][1]["path"])},
    ]
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"wjets": {"nominal": content}}))
    output = tmp_path / "output"
    output.mkdir()
    (output / "histograms.root").write_text("from an earlier run")

    assert_fails(run_analysis("--dataset", dataset, "--output", output), 3, "cut.root")
    assert not (output / "histograms.root").exists()

    result = run_analysis("--dataset", dataset, "--output", output, "--bad-files", "skip", "--threads", 1)
    assert result.returncode == 0, result.stderr
    run = json.loads((output / "run.json").read_text())
    assert [file["status"] for file in run["files"]] == ["skipped", "ok"]
    nevts = content["files"][1]["nevts"]
    assert run["samples"]["wjets__nominal"]["nevts"] == nevts
    first = json.loads((output / "cutflow.json").read_text())["wjets__nominal"]["nominal"][0]
    assert first["weighted"] == pytest.approx(first["events"] * CROSS_SECTIONS["wjets"] * LUMINOSITY / nevts)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--thread", "x"], 2, ["--thread"]),
        (["--threads", "0"], 2, ["--threads"]),
        (["--prefix", "nonsense"], 2, ["OLD=NEW"]),
        (["--io-only", "3"], 2, ["--io-only", "'3'", "2.7, 4, 15, 25, 50"]),
        (["--timeout", "nan"], 2, ["--timeout"]),
        (["--cache-limit", "inf"], 2, ["--cache-limit"]),
        (["--io-only", "4", "--skim", "skims"], 2, ["--io-only", "--skim"]),
        (["--skim", "{output}"], 2, ["--skim"]),
        (["--skim", "{output}/units"], 2, ["--skim"]),
        (["--dataset", "nowhere.json"], 3, ["nowhere.json"]),
        (["--dataset", "agc"], 3, ["agc: ", "did you mean 'agc2015'?"]),
        (["--dataset", "dmeo"], 3, ["dmeo: ", "did you mean 'demo'?"]),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, code, words, tmp_path):
    arguments = [argument.format(output=tmp_path) for argument in arguments]
    assert_fails(run_analysis(*arguments, "--output", tmp_path), code, *words)
    assert not list(tmp_path.iterdir())


def test_unknown_sample_is_a_mistake_on_the_command_line(demo, tmp_path):
    result = run_analysis("--dataset", demo, "--samples", "ttbar__other", "--output", tmp_path)
    assert_fails(result, 2, "ttbar__other", "ttbar__PS_var")


def test_model_that_does_not_fit_is_refused(demo, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    result = run_analysis("--dataset", demo, "--model", tmp_path / "model.json", "--output", tmp_path)
    assert_fails(result, 3, "model.json")


@pytest.mark.parametrize("files", ["demo", "rntuple"])
def test_reading_alone_is_measured(files, request, tmp_path):
    dataset = request.getfixturevalue(files)
    result = run_analysis("--dataset", dataset, "--io-only", "--samples", "nominal", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["mode"] == "io-only"
    assert metrics["events"] == 5 * EVENTS
    assert metrics["bytes_read"] > 1e6
    if files == "demo":  # of RNTuples, ROOT counts the opening alone
        by_root = metrics["bytes_read_root"]  # the system counts what the compiler reads as well
        assert 0.9 * by_root < metrics["bytes_read_system"] < by_root + 10e6
    assert 1 < metrics["percent_read"] < 100


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--no-fit",), ["start", "start_root", "list_files", "start_root", "check", "process", "merge"]),
        (("--io-only",), ["start", "start_root", "list_files", "start_root", "check", "process"]),
    ],
)
def test_the_steps_of_a_run_are_its_wall_time(demo, tmp_path, options, expected):
    begun = time.perf_counter()
    choice = ("--samples", "wjets__nominal", "--profile", *options)
    result = run_analysis("--dataset", demo, *choice, "--output", tmp_path, everything="--io-only" not in options)
    wall = time.perf_counter() - begun
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    steps = metrics["steps"]
    assert [step["name"] for step in steps[: len(expected)]] == expected
    assert sum(step["wall_s"] for step in steps) == pytest.approx(metrics["total_wall_s"])
    assert 0.98 * wall - 2 < metrics["total_wall_s"] <= wall + 0.02
    assert metrics["samples"]["wjets__nominal"]["events"] == metrics["events"]
    assert metrics["machine"]["cores"] >= 1
    meanwhile = [other["name"] for other in metrics["meanwhile"]]
    assert meanwhile == ([] if "--io-only" in options else ["plots"])
    assert (steps[-1]["name"] == "write_page") == ("--io-only" not in options)
    events = json.loads((tmp_path / "profile.json").read_text())["traceEvents"]
    (unit,) = (event for event in events if event["name"] == "wjets__nominal")
    assert len(unit["args"]["files"]) == len(json.loads(demo.read_text())["wjets"]["nominal"]["files"])
    phases = {event["name"]: event for event in events if event.get("tid") == unit["tid"] and event["ph"] == "X"}
    assert set(phases) == {"wjets__nominal", "booking", "compilation", "loop"}
    (process,) = (event for event in events if event["name"] == "process")
    assert process["ts"] <= unit["ts"] <= phases["loop"]["ts"]
    assert unit["ts"] + unit["dur"] <= process["ts"] + process["dur"]


def die(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_whose_plots_are_killed_is_written_and_fails(tmp_path, monkeypatch, ledger):
    dataset = simulate(tmp_path, 1000, ["wjets__nominal"], 5, False)
    monkeypatch.setattr(Drawing, "draw_histograms", lambda drawing, *_: drawing._draw(nullcontext, 1, die))
    output = tmp_path / "output"
    with pytest.raises(AnalysisError, match=r"^drawing plots failed, .* SIGKILL.*: plot again$"):
        interface.run(dataset, output=output, fit=False)
    assert Results(output).json("run")["status"] == "complete"
    steps = [step["name"] for step in Results(output).json("metrics")["steps"]]
    assert steps[-2:] == ["wait_for_plots", "write_page"]
    assert "No plots were made" in (output / "report.html").read_text()
    assert not (output / "units").exists()
    ledger.add("kill of a process that draws", "detected")


@pytest.mark.parametrize("dies", ["_load", "_number_of_plots", "_draw_histograms"])
def test_the_failure_of_the_fit_comes_before_that_of_the_plots(tmp_path, monkeypatch, capsys, ledger, dies):
    monkeypatch.setattr(pictures, dies, die)
    options = SimpleNamespace(plots=True, fit=True, output=tmp_path, analysis=agc_v1.analysis)
    timeline = Timeline("start")
    with Drawing() as drawing:
        failure = _fit_and_plot(options, InputError("no signal"), drawing, timeline)
    assert str(failure) == "the fit cannot be made: no signal"
    assert Results(tmp_path).json("fit")["status"] == "failed"
    told = capsys.readouterr().err
    assert ("no such file" in told) if dies == "_load" else ("SIGKILL" in told)
    ledger.add("kill of a process that draws", "recovered" if dies == "_load" else "detected")


@pytest.mark.parametrize("file", ["run.json", "histograms.root", "plots/4j1b_observable.png"])
def test_results_of_a_full_run_are_not_measured_over(demo, tmp_path, file):
    (tmp_path / "plots").mkdir()
    for name in ("metrics.json", file):
        (tmp_path / name).write_text(name)
    assert_fails(run_analysis("--dataset", demo, "--io-only", "--output", tmp_path), 2, "--output", "full run")
    assert (tmp_path / "metrics.json").read_text() == "metrics.json"


def test_collision_data_have_weight_one_and_no_variations(demo, tmp_path):
    file = json.loads(demo.read_text())["ttbar"]["nominal"]["files"][0]
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"data": {"nominal": {"files": [f"/store/{file['path']}"]}}}))
    output = tmp_path / "output"
    prefix = f"/store/={demo.parent}/"
    result = run_analysis("--dataset", dataset, "--prefix", prefix, "--output", output, everything=True)
    assert result.returncode == 0, result.stderr
    cutflow = json.loads((output / "cutflow.json").read_text())["data__nominal"]
    assert list(cutflow) == ["nominal"]
    assert all(row["weighted"] == row["events"] for row in cutflow["nominal"])
    with uproot.open(output / "histograms.root") as results:
        assert set(results.keys(recursive=False, cycle=False, filter_classname="TH2D")) == {"4j1b_data", "4j2b_data"}


def test_a_crash_that_does_not_happen_again_costs_nothing_but_time(demo, tmp_path):
    run = start_processing("--dataset", demo, "--samples", "wjets__nominal", "--output", tmp_path)
    for worker in workers_of(run.pid):
        os.kill(worker, signal.SIGSEGV)
    errors = run.stderr.read()
    assert run.wait() == 0, errors
    assert "wjets__nominal: its process crashed" in errors
    files = Results(tmp_path).json("run")["files"]
    assert [file["status"] for file in files] == ["ok", "ok"]
    assert [file["attempts"] for file in files] == [2, 2]  # the check, and the loop that crashed
    assert Results(tmp_path).json("metrics")["events"] == EVENTS


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_leaves_no_process_behind(by, demo, tmp_path):
    run = start_processing("--dataset", demo, "--output", tmp_path)
    workers = workers_of(run.pid)
    assert workers
    os.kill(run.pid, by)
    errors = run.stderr.read()  # ends when no process is left that could write to it
    run.wait()
    until = time.monotonic() + 60
    while any(map(is_running, workers)):  # their streams are closed a little before they are gone
        assert time.monotonic() < until
    if by != signal.SIGKILL:
        assert run.returncode == 130
        assert errors.splitlines()[-1] == "error: interrupted"


@pytest.mark.parametrize(
    ("file", "entries", "selected"),
    [("nanoaod_2015_200events.root", 200, 2), ("nanoaod_2015_10events_rntuple.root", 10, None)],
)
def test_real_files(file, entries, selected, test_data, tmp_path):
    dataset = tmp_path / "dataset.json"
    dataset.write_text(
        json.dumps({"wjets": {"nominal": {"files": [{"path": str(test_data / file), "nevts": entries}]}}})
    )
    result = run_analysis("--dataset", dataset, "--output", tmp_path, "--seed", SEED)
    assert result.returncode == 0, result.stderr
    expected = reference.run(read_dataset(dataset), MODEL, seed=SEED)
    compare_histograms(tmp_path / "histograms.root", expected)
    if selected is not None:
        rows = json.loads((tmp_path / "cutflow.json").read_text())["wjets__nominal"]["nominal"]
        assert {row["cut"]: row["events"] for row in rows}["4j1b"] == selected
        assert {row["cut"]: row["events"] for row in rows}["4j2b"] == 0
