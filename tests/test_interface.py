"""The program as functions, for notebooks and scripts."""

import inspect
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from program import run_analysis

import ttbar
from ttbar.analyses import agc_v1, agc_v2
from ttbar.library import shipped
from ttbar.simulate import simulate


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), 3000, ["ttbar__nominal", "wjets__nominal"], 2, ballast=False)


@pytest.fixture(scope="module")
def result(toy, tmp_path_factory):
    output = tmp_path_factory.mktemp("results")
    return ttbar.run(toy, output=output, samples="nominal", threads=1, plots=False, fit=False)


def test_what_is_public_is_documented_and_typed():
    for name in ttbar.__all__:
        public = getattr(ttbar, name)
        assert inspect.getdoc(public), name
        if inspect.isfunction(public):
            assert "return" in public.__annotations__, name
    assert set(ttbar.__all__) <= set(dir(ttbar))
    assert (Path(ttbar.__file__).parent / "py.typed").exists()


def test_the_package_is_light():
    """What takes long to import is imported when it is used."""
    heavy = "numpy", "hist", "uproot", "matplotlib", "pyhf", "cabinetry", "ROOT", "rich"
    code = f"import sys, ttbar; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_run_is_the_same_as_on_the_command_line(toy, result, tmp_path):
    assert run_analysis("--dataset", toy, "--output", tmp_path, "--samples", "nominal").returncode == 0
    comparison = ttbar.validate(result.folder / "histograms.root", tmp_path / "histograms.root")
    assert comparison.equal
    assert not comparison.differences
    assert "none differ" in repr(comparison)


def test_results_are_objects(result, toy):
    histogram = result.histograms["4j1b"]
    assert [axis.name for axis in histogram.axes] == ["observable", "deltaR", "process", "variation"]
    cutflow = result.cutflow["ttbar__nominal"]["nominal"]
    weight = agc_v1.analysis.event_weight("ttbar", 3000)
    selected = histogram[{"process": "ttbar", "variation": "nominal"}].sum(flow=True)
    assert selected.value == pytest.approx(weight * cutflow[-2]["events"])
    assert result.metrics["events"] == 6000
    assert result.provenance["options"]["dataset"] == str(toy)
    assert result.analysis == agc_v1.analysis == ttbar.analyses.load("agc-v1")
    assert len(result.provenance["commit"].removesuffix("-dirty")) == 40
    assert "one_btag" in repr(result.cutflow)
    assert "histograms.root" in repr(result)
    assert "text/html" in result.cutflow._repr_mimebundle_([], [])


def test_a_folder_is_opened_again(result):
    again = ttbar.open(result.folder)
    assert dict(again.cutflow) == dict(result.cutflow)
    assert again.analysis.sha256 == result.analysis.sha256


def test_an_analysis_can_be_a_value(toy, tmp_path):
    harder = agc_v1.define(min_lepton_pt=60.0)
    other = ttbar.run(toy, analysis=harder, output=tmp_path, samples=["ttbar__nominal"], plots=False, fit=False)
    assert other.analysis == harder
    assert ttbar.open(tmp_path).provenance["analysis"]["sha256"] == harder.sha256 != agc_v1.analysis.sha256


def test_a_header_counts_with_those_that_it_includes(tmp_path):
    inner, outer = tmp_path / "inner.hpp", tmp_path / "outer.hpp"
    inner.write_text("#pragma once\n")
    outer.write_text('#pragma once\n#include "inner.hpp"\n#include "outer.hpp"\n#include "ttbar/ttbar.hpp"\n')
    analysis = replace(agc_v1.analysis, headers=(outer,))
    before = analysis.sha256
    assert replace(analysis).sha256 == before
    inner.write_text("#pragma once\ninline int changed() { return 1; }\n")
    assert replace(analysis).sha256 != before


@pytest.mark.parametrize("define", [agc_v1.define, agc_v2.define])
def test_fewer_jets_than_are_assigned_are_refused(define):
    assert define(min_jets=5).nodes
    with pytest.raises(ValueError, match="min_jets is 3, but the jet assignment takes 4 jets"):
        define(min_jets=3)


def test_results_are_fitted_with_a_configuration(result, tmp_path):
    with pytest.raises(ttbar.InputError, match=r"nowhere\.yml"):
        result.fit(config=str(tmp_path / "nowhere.yml"))


def test_a_model_of_an_analysis_can_be_anywhere(toy, result, tmp_path):
    model = tmp_path / "elsewhere.json"
    model.write_bytes(shipped(agc_v1.analysis.models[0].file).read_bytes())
    moved = replace(agc_v1.analysis, models=(replace(agc_v1.analysis.models[0], file=str(model)),))
    other = ttbar.run(toy, analysis=moved, output=tmp_path / "output", plots=False, fit=False)
    assert other.provenance["models"][0]["path"] == str(model)
    assert ttbar.validate(other.folder / "histograms.root", result.folder / "histograms.root").equal


def test_a_script_without_a_guard_runs_once(toy, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import ttbar\nprint('begun')\n"
        f"result = ttbar.run({str(toy)!r}, output={str(tmp_path / 'output')!r}, samples='ttbar__nominal', "
        "plots=False, fit=False)\nprint(result.metrics['events'])"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["begun", "3000"]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda toy, folder: ttbar.run(toy, samples="no", output=folder), ttbar.UsageError, "--samples"),
        (lambda toy, folder: ttbar.run(toy, io_only="3", output=folder), ttbar.UsageError, "2.7, 4, 15"),
        (lambda toy, folder: ttbar.run(toy, model=["a", "b"], output=folder), ttbar.UsageError, "takes 1"),
        (lambda toy, folder: ttbar.run("nowhere.json", output=folder), ttbar.InputError, "nowhere.json"),
        (lambda toy, folder: ttbar.run(toy, analysis="agc-v7", output=folder), ttbar.InputError, "agc-v1"),
        (lambda toy, folder: ttbar.open(folder / "nowhere"), ttbar.InputError, "nowhere"),
        (lambda toy, folder: ttbar.open(folder).cutflow, ttbar.InputError, "cutflow.json"),
        (lambda toy, folder: ttbar.fit(folder / "no.root", folder), ttbar.InputError, "no.root"),
        (lambda toy, folder: ttbar.plot(folder / "no.root", folder), ttbar.InputError, "no.root"),
        (lambda toy, folder: ttbar.skim(toy, output=toy.parent), ttbar.InputError, "another folder"),
    ],
)
def test_mistakes_are_exceptions_with_a_sentence(call, error, words, toy, tmp_path):
    with pytest.raises(error) as raised:
        call(toy, tmp_path)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bad_files_are_shown_by_a_check(toy, tmp_path):
    content = json.loads(toy.read_text())
    content["ttbar"]["nominal"]["files"].append({"path": str(tmp_path / "gone.root"), "nevts": 5})
    for sample in content.values():
        for file in sample["nominal"]["files"]:
            file["path"] = str(toy.parent / file["path"])
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    checked = ttbar.check(tmp_path / "dataset.json")
    assert [record.path for record in checked.bad] == [str(tmp_path / "gone.root")]
    assert "ttbar__nominal" in repr(checked)
    with pytest.raises(ttbar.InputError, match=r"gone\.root"):
        checked.require_usable()
