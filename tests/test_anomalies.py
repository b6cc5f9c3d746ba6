"""Events with values that cannot be, and analyses that fail on good events: said, and blamed on what is to blame."""

import json
import os
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot
from program import Results, run_analysis
from test_report import Page

from ttbar.analyses import Cut, Define, agc_v1
from ttbar.errors import AnalysisError
from ttbar.execution import loop, units
from ttbar.execution.analyse import analyse
from ttbar.execution.unit import LoopFailed, Unit
from ttbar.executors import LocalExecutor
from ttbar.inputs.check_file import check_file
from ttbar.inputs.dataset import InputFile
from ttbar.inputs.files import CheckedSample, FileRecord
from ttbar.library import load_root, shipped
from ttbar.simulate import simulate

BASE = agc_v1.analysis


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    simulate(folder, 3000, ["ttbar__nominal"], seed=5, ballast=False)
    loop.initialise(1, BASE, [str(shipped(model.file)) for model in BASE.models])
    return next(folder.glob("*.root"))


@pytest.fixture(scope="module")
def selected_entry(toy):
    """Number of an event that is far from all thresholds."""
    events = uproot.open(f"{toy}:Events").arrays()
    leptons = sum(ak.sum(events[f"{kind}_pt"] > 30, axis=1) for kind in ("Electron", "Muon"))
    tagged = ak.sum((events.Jet_btagCSVV2 > 0.5) & (events.Jet_pt > 40), axis=1)
    return int(np.flatnonzero((leptons == 1) & (ak.sum(events.Jet_pt > 40, axis=1) >= 5) & (tagged >= 2))[0])


def changed(toy, path, column, expression):
    """A copy of the file with another column."""
    frame = load_root().RDataFrame("Events", str(toy))
    columns = [str(name) for name in frame.GetColumnNames()]
    frame.Redefine(column, expression).Snapshot("Events", str(path), columns)
    return path


def process(path, analysis=BASE):
    checked = check_file(InputFile(str(path), None, None), "Events", analysis.columns)
    return analyse(Unit("ttbar", "ME_var", (checked,)), "Events", analysis, seed=1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Jet_pt", "NAN"),
        ("Jet_eta", "INFINITY"),
        ("Jet_phi", "-INFINITY"),
        ("Jet_mass", "NAN"),
        ("Jet_btagCSVV2", "NAN"),
        ("Muon_pt", "INFINITY"),
        ("Electron_pt", "NAN"),
        ("Electron_phi", "NAN"),
        ("Muon_mass", "-NAN"),
    ],
)
def test_values_that_are_not_finite_are_counted_and_too_many_are_an_error(
    toy, selected_entry, tmp_path, ledger, column, value
):
    with_size = f"ROOT::RVecF({column}.size(), {value})"
    one = changed(toy, tmp_path / "one.root", column, f"rdfentry_ == {selected_entry} ? {with_size} : {column}")
    size = len(uproot.open(f"{toy}:Events")[column].array()[selected_entry])
    found = [events for what, events in process(one).anomalies.items() if column in what]
    assert found == ([1] if size else [])
    with pytest.raises(LoopFailed, match=f"not finite in .*{column}"):
        process(changed(toy, tmp_path / "all.root", column, with_size))
    ledger.add("values that are not finite", "detected")


@pytest.mark.parametrize("factor", ["57.29578f", "-57.29578f", "1e6f"])
def test_angles_in_degrees_are_an_error(toy, tmp_path, ledger, factor):
    with pytest.raises(LoopFailed, match="deltaR outside of its axis"):
        process(changed(toy, tmp_path / "degrees.root", "Jet_phi", f"Jet_phi * {factor}"))
    ledger.add("angles in degrees", "detected")


@pytest.mark.parametrize("weight", ['Jet_pt[0] > 60 ? 1. : std::nan("")', "1. / (event % 2)"])
def test_weights_that_are_not_finite_are_an_error(toy, weight):
    with pytest.raises(AnalysisError, match="weight"):
        process(toy, replace(BASE, weight=weight))


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("Jet_pt.at(40) > 0", "out-of-bounds index 40"),
        ('throw std::runtime_error("a helper throws"), true', "a helper throws"),
        ("nobody_knows_this(Jet_pt)", "does not compile"),
        ("Jet_pt.size( > 0", "does not compile"),
        ('std::string("not a condition")', "does not evaluate to bool"),
    ],
)
def test_an_analysis_that_fails_is_not_the_fault_of_a_file(toy, condition, reason):
    with pytest.raises(AnalysisError, match=reason) as caught:
        process(toy, replace(BASE, nodes=(*BASE.nodes, Cut("mine", condition))))
    assert not isinstance(caught.value, LoopFailed)
    assert "no fault of its files" in str(caught.value)


def abort(unit):
    os.abort()


def test_a_crash_of_a_helper_is_not_only_blamed_on_the_file(toy):
    checked = check_file(InputFile(str(toy), None, None), "Events", BASE.columns)
    sample = CheckedSample("ttbar", "nominal", (FileRecord(str(toy), "ttbar__nominal", 1, 1, "ok", "", 1, checked),))
    with LocalExecutor() as executor, pytest.raises(units.CrashingFile) as caught:
        units.process("Processing", [sample], abort, executor, skip_bad=False)
    assert caught.value.exit_code == 4
    assert f"{toy}: crashes the event loop of ttbar__nominal" in str(caught.value)
    assert "helpers and expressions of the analysis" in str(caught.value)


def test_anomalies_are_said_and_shown(toy, selected_entry, tmp_path):
    changed(toy, tmp_path / "one.root", "Jet_mass", f"rdfentry_ == {selected_entry} ? Jet_mass * NAN : Jet_mass")
    (tmp_path / "dataset.json").write_text(json.dumps({"ttbar": {"nominal": {"files": ["one.root"]}}}))
    result = run_analysis("--dataset", tmp_path / "dataset.json", "--output", tmp_path / "results")
    assert result.returncode == 0, result.stderr
    anomalies = Results(tmp_path / "results").json("run")["samples"]["ttbar__nominal"]["anomalies"]
    what, events = next((what, events) for what, events in anomalies.items() if "Jet_mass" in what)
    assert events == 1
    assert f"ttbar__nominal: 1 event has {what}" in result.stderr
    text = Page((tmp_path / "results" / "report.html").read_text()).text
    assert f"ttbar__nominal {what} 1" in text


@pytest.mark.parametrize(
    ("type_", "expression"),
    [("float", "0.f / 0.f"), ("double", "1. / 0."), ("RVec<double>", "ROOT::RVecD{1., 0. / 0.}")],
)
def test_columns_of_the_users_own_are_looked_at_as_well(toy, tmp_path, type_, expression):
    """A value that is no number fails any cut without a word."""
    frame = load_root().RDataFrame("Events", str(toy))
    columns = [str(name) for name in frame.GetColumnNames()]
    path = tmp_path / "own.root"
    frame.Define("mine", expression).Snapshot("Events", str(path), [*columns, "mine"])
    condition = "ROOT::VecOps::Sum(mine) < 5." if "RVec" in type_ else "mine < 5."
    analysis = replace(BASE, columns={**BASE.columns, "mine": type_}, nodes=(Cut("own", condition), *BASE.nodes))
    with pytest.raises(LoopFailed, match="not finite in mine"):
        process(path, analysis)


def test_a_column_that_regions_alone_read_is_looked_at_in_each_of_them(toy, tmp_path):
    frame = load_root().RDataFrame("Events", str(toy))
    columns = [str(name) for name in frame.GetColumnNames()]
    path = tmp_path / "own.root"
    two_tags = "ROOT::VecOps::Sum(Jet_btagCSVV2 > 0.5f && Jet_pt > 30.f) >= 2"
    frame.Define("mine", f"ROOT::RVecF{{{two_tags} ? NAN : 1.f}}").Snapshot("Events", str(path), [*columns, "mine"])
    regions = tuple(
        replace(region, definitions=(*region.definitions, Define("first_of_mine", "mine[0]")))
        for region in BASE.regions
    )
    with pytest.raises(LoopFailed, match="after the cut 4j2b have values that are not finite in mine"):
        process(path, replace(BASE, columns={**BASE.columns, "mine": "RVec<float>"}, regions=regions))
