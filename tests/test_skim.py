"""Skims: fewer events and columns, the same histograms; never an outdated one."""

import json
import shutil

import numpy as np
import pytest
import uproot
from compare import assert_equal_histograms
from program import Results, assert_fails, run_analysis, ttbar

from ttbar.analyses import agc_v1
from ttbar.library import load_root
from ttbar.simulate import simulate

EVENTS = 6_000
SAMPLES = ("ttbar__nominal", "ttbar__ME_var", "wjets__nominal")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The data set file of a few samples, one of which is also collision data and one is an RNTuple."""
    folder = tmp_path_factory.mktemp("toy")
    dataset = simulate(folder, EVENTS, SAMPLES, 3, False)
    content = json.loads(dataset.read_text())
    root = load_root()
    options = root.RDF.RSnapshotOptions()
    options.fOutputFormat = root.RDF.ESnapshotOutputFormat.kRNTuple
    for file in content["ttbar"]["ME_var"]["files"]:
        events = root.RDataFrame("Events", str(folder / file["path"]))
        file["path"] = f"rntuple_{file['path']}"
        events.Snapshot("Events", str(folder / file["path"]), list(agc_v1.COLUMNS), options)
    content["data"] = {"nominal": {"files": [content["ttbar"]["nominal"]["files"][0]["path"]]}}
    dataset.write_text(json.dumps(content))
    return dataset


def skim(*arguments):
    result = ttbar("skim", *arguments)
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.parametrize(("format_", "threads", "seed"), [("TTree", 1, 1), ("RNTuple", 2, 123456789)])
def test_a_run_on_skims_gives_the_same_histograms(toy, tmp_path, format_, threads, seed):
    skim("--dataset", toy, "--output", tmp_path / "skim", "--format", format_, "--threads", threads)
    options = ("--seed", seed, "--threads", threads)
    for dataset, output in ((toy, "direct"), (tmp_path / "skim" / "dataset.json", "skimmed")):
        result = run_analysis("--dataset", dataset, *options, "--output", tmp_path / output)
        assert result.returncode == 0, result.stderr
    assert_equal_histograms(tmp_path / "direct" / "histograms.root", tmp_path / "skimmed" / "histograms.root")
    direct, skimmed = Results(tmp_path / "direct"), Results(tmp_path / "skimmed")
    for sample, universes in direct.json("cutflow").items():
        for universe, rows in universes.items():
            assert rows[3:] == skimmed.json("cutflow")[sample][universe][3:]
    assert skimmed.json("metrics")["events"] < direct.json("metrics")["events"] / 5
    for sample, counts in skimmed.json("run")["samples"].items():
        assert counts["nevts"] == direct.json("run")["samples"][sample]["nevts"]
    first = json.loads((tmp_path / "skim" / "dataset.json").read_text())["ttbar"]["nominal"]["files"][0]
    with uproot.open(tmp_path / "skim" / first["path"]) as file:
        events = file["Events"]
        assert set(agc_v1.COLUMNS) <= set(events.keys())
        assert len(events.keys()) < 30
        assert events.num_entries == first["entries"]


def test_a_skim_in_a_run_is_made_once_and_accounts_for_its_inputs(toy, tmp_path):
    options = ("--dataset", toy, "--skim", tmp_path / "skim", "--profile")
    assert run_analysis("--dataset", toy, "--output", tmp_path / "direct").returncode == 0
    times = {}
    for output in ("first", "second"):
        result = run_analysis(*options, "--output", tmp_path / output)
        assert result.returncode == 0, result.stderr
        times[output] = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "skim").glob("*.root")}
        assert_equal_histograms(tmp_path / "direct" / "histograms.root", tmp_path / output / "histograms.root")
    assert times["first"] == times["second"]
    assert len(times["first"]) == 2 * len(SAMPLES) + 1
    run = Results(tmp_path / "second").json("run")
    assert sum(file["processed"] for file in run["skimmed"]) == 7 * EVENTS // 2
    assert all(file["entries"] == file["processed"] for file in run["skimmed"] + run["files"])
    stored = sum(file["selected"] for file in run["skimmed"])
    assert (
        stored
        == sum(file["entries"] for file in run["files"])
        == Results(tmp_path / "second").json("metrics")["events"]
    )
    units = {}
    for output in ("first", "second"):
        events = json.loads((tmp_path / output / "profile.json").read_text())["traceEvents"]
        (step,) = (event for event in events if event["name"] == "skim")
        units[output] = [
            event
            for event in events
            if event.get("args", {}).get("files") and step["ts"] <= event["ts"] <= step["ts"] + step["dur"]
        ]
    assert sorted(unit["name"] for unit in units["first"]) == sorted(file["sample"] for file in run["skimmed"])
    assert not units["second"]
    assert "All 7 files that were skimmed" in (tmp_path / "second" / "report.html").read_text()


def test_no_outdated_or_damaged_skim_is_used(toy, tmp_path):
    folder, output = tmp_path / "toy", tmp_path / "skim"
    shutil.copytree(toy.parent, folder)
    arguments = ("--dataset", folder / "dataset.json", "--samples", "ttbar__nominal", "--output", output)
    skim(*arguments)
    paths = [
        output / file["path"] for file in json.loads((output / "dataset.json").read_text())["ttbar"]["nominal"]["files"]
    ]
    made = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}

    simulate(folder, EVENTS, ["ttbar__nominal"], 4, False)  # other events at the same place, as many of them
    (folder / "dataset.json").write_text(toy.read_text())
    skim(*arguments)
    assert not any(path.read_bytes() == made[path][0] for path in paths)

    made = {path: path.stat().st_mtime_ns for path in paths}
    damaged = bytearray(paths[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    paths[1].write_bytes(damaged)
    assert_fails(run_analysis("--dataset", output / "dataset.json", "--output", tmp_path), 3, paths[1].name, "checksum")
    skim(*arguments)
    assert paths[0].stat().st_mtime_ns == made[paths[0]]
    assert paths[1].read_bytes() != damaged
    assert run_analysis("--dataset", output / "dataset.json", "--output", tmp_path).returncode == 0

    skim(*arguments, "--format", "RNTuple")
    with uproot.open(paths[0]) as file:
        assert file.classname_of("Events") == "ROOT::RNTuple"


def test_the_code_is_part_of_what_a_skim_is_made_from(monkeypatch, tmp_path):
    from ttbar.execution.skim import Skims
    from ttbar.execution.unit import Partial, Unit
    from ttbar.execution.write_skim import skim_path
    from ttbar.inputs.files import CheckedFile

    file = CheckedFile("/in.root", "/in.root", (), 10, 10, "TTree", "uuid", 100, "1")
    unit = Unit("ttbar", "nominal", (file,))
    skims = Skims(tmp_path, "TTree", "Events", agc_v1.analysis, "code")
    skim_path(tmp_path, unit).write_bytes(b"events")
    skims.save(unit, Partial({}, {"/in.root": 10}, {}, {"/in.root": 3}))
    loaded = skims.load(unit)
    assert (loaded.processed, loaded.selected) == ({"/in.root": 10}, {"/in.root": 3})
    for other in (
        Skims(tmp_path, "TTree", "Events", agc_v1.analysis, "other code"),
        Skims(tmp_path, "RNTuple", "Events", agc_v1.analysis, "code"),
        Skims(tmp_path, "TTree", "Other", agc_v1.analysis, "code"),
        Skims(tmp_path, "TTree", "Events", agc_v1.define(min_jet_pt=31.0), "code"),
    ):
        assert other.load(unit) is None


@pytest.mark.parametrize("format_", ["TTree", "RNTuple"])
def test_a_sample_without_an_event_worth_keeping(format_, tmp_path):
    root = load_root()
    path = tmp_path / "nothing.root"
    frame = root.RDataFrame(10)
    for name, type_ in agc_v1.COLUMNS.items():
        value = f"ROOT::{type_}{{}}" if "RVec" in type_ else f"static_cast<{type_}>(rdfentry_)"
        frame = frame.Define(name, value)
    frame.Snapshot("Events", str(path), list(agc_v1.COLUMNS))
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"wjets": {"nominal": {"files": [str(path)]}}}))
    skim("--dataset", dataset, "--output", tmp_path / "skim", "--format", format_)
    skimmed = tmp_path / "skim" / "dataset.json"
    assert json.loads(skimmed.read_text())["wjets"]["nominal"]["files"][0]["entries"] == 0
    result = run_analysis("--dataset", skimmed, "--threads", 1, "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    with uproot.open(tmp_path / "histograms.root") as file:
        assert len(file.keys(recursive=False, filter_classname="TH2D")) == 26
        assert not file["4j1b_wjets"].values(flow=True).any()


def test_real_files_skimmed_give_the_same_histograms(test_data, tmp_path):
    files = {"nanoaod_2015_200events.root": 200, "nanoaod_2015_10events_rntuple.root": 10}
    processes = zip(("wjets", "ttbar"), files.items(), strict=True)
    content = {p: {"nominal": {"files": [{"path": str(test_data / f), "nevts": n}]}} for p, (f, n) in processes}
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps(content))
    for arguments in ((), ("--skim", tmp_path / "skim")):
        result = run_analysis("--dataset", dataset, *arguments, "--output", tmp_path / f"output{len(arguments)}")
        assert result.returncode == 0, result.stderr
    assert_equal_histograms(tmp_path / "output0" / "histograms.root", tmp_path / "output2" / "histograms.root")
    run = Results(tmp_path / "output2").json("run")
    assert [file["processed"] for file in run["skimmed"]] == [200, 10]
    assert 2 <= run["skimmed"][0]["selected"] < 20


def test_files_that_a_query_delivered(toy, tmp_path):
    """Another name of the tree, the needed columns alone."""
    path = toy.parent / "ttbar__nominal_0.root"
    delivered = tmp_path / "delivered.root"
    load_root().RDataFrame("Events", str(path)).Snapshot("servicex", str(delivered), list(agc_v1.COLUMNS))
    dataset = tmp_path / "dataset.json"
    histograms = []
    for file, *tree in (
        (path,),
        (delivered, "--tree", "servicex", "--skim", tmp_path / "s"),
    ):
        dataset.write_text(json.dumps({"ttbar": {"nominal": {"files": [str(file)]}}}))
        result = run_analysis("--dataset", dataset, *tree, "--output", tmp_path / f"output{len(tree)}")
        assert result.returncode == 0, result.stderr
        histograms.append(tmp_path / f"output{len(tree)}" / "histograms.root")
    assert_equal_histograms(*histograms)
    assert_fails(run_analysis("--dataset", dataset, "--output", tmp_path / "none"), 3, "delivered.root", "--tree")


def test_a_skim_does_not_replace_the_data_set_that_it_is_made_from(toy, tmp_path):
    before = toy.read_text()
    assert_fails(ttbar("skim", "--dataset", toy, "--output", toy.parent), 3, "dataset.json", "another folder")
    assert toy.read_text() == before


def test_the_largest_jet_scale_is_never_reached():
    """The smallest u that the 32 bits of a draw give, and the largest cosine."""
    largest = 1 + agc_v1.JET_RESOLUTION * np.sqrt(-2 * np.log(0.5 / 2**32))
    assert agc_v1.JET_SCALE_UP < largest < agc_v1.LARGEST_JET_SCALE < 1.01 * largest
