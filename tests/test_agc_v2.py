"""The second analysis, from files to results, against its reference."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import reference_v2
import synthetic_nanoaod
import uproot
import xgboost
from compare import assert_equal_histograms, compare_cutflow, differences_1d
from program import Results, assert_fails, run_analysis, ttbar
from reference_common import read_dataset

from ttbar.analyses import Histogram, agc_v2
from ttbar.errors import UsageError
from ttbar.execution import loop
from ttbar.execution.models import model_files

EVENTS = 1500
"""Of each sample; every other one is near a threshold."""

run_v2 = partial(run_analysis, "--analysis", "agc-v2")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models that look at all features, each in its own way."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(4)
    rows = random.uniform(size=(4000, len(reference_v2.FEATURES)))
    rows[:, :4] *= 6
    rows[:, 4:12] = 30 + 300 * rows[:, 4:12]
    for parity in ("even", "odd"):
        score = (rows / rows.std(axis=0)) @ random.uniform(-1, 1, rows.shape[1])
        booster = xgboost.train(
            {"objective": "binary:logistic", "max_depth": 5, "nthread": 1},
            xgboost.DMatrix(rows, score > np.median(score)),
            num_boost_round=40,
        )
        booster.save_model(folder / f"{parity}.json")
    return folder / "even.json", folder / "odd.json"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Files in which every cut bites, by format."""
    folder = tmp_path_factory.mktemp("synthetic")
    datasets = {}
    for format_ in ("TTree", "RNTuple"):
        (folder / format_).mkdir()
        datasets[format_] = synthetic_nanoaod.write_dataset(
            folder / format_, EVENTS, format_=format_, reverse=format_ == "RNTuple"
        )
    return datasets


@pytest.fixture(scope="module")
def expected(synthetic, models):
    return reference_v2.run(read_dataset(synthetic["TTree"]), models)


@pytest.fixture(scope="module")
def direct(synthetic, models, tmp_path_factory):
    output = tmp_path_factory.mktemp("direct")
    even, odd = models
    options = ("--model", even, "--model", odd, "--threads", 1)
    result = run_v2("--dataset", synthetic["TTree"], *options, "--output", output)
    assert result.returncode == 0, result.stderr
    return Results(output)


def test_histograms_and_cutflow_are_those_of_the_reference(direct, expected):
    assert len(expected.histograms) == 22 * (61 + 1)
    assert not differences_1d(direct.folder / "histograms.root", expected)
    compare_cutflow(direct.json("cutflow"), expected)


def test_threads_order_format_and_skims_do_not_matter(direct, synthetic, models, tmp_path):
    even, odd = models
    options = ("--model", even, "--model", odd, "--threads", 2, "--output", tmp_path / "output")
    skimmed = ("--skim", tmp_path / "skim")
    result = run_v2("--dataset", synthetic["RNTuple"], *options, *skimmed)
    assert result.returncode == 0, result.stderr
    assert_equal_histograms(tmp_path / "output" / "histograms.root", direct.folder / "histograms.root")
    assert Results(tmp_path / "output").json("metrics")["events"] < 9 * EVENTS


def test_simulated_events_agree_with_the_reference_and_end_with_a_page(tmp_path):
    assert ttbar("simulate", "--events", 100_000, "--samples", "ttbar__nominal", "--output", tmp_path).returncode == 0
    dataset = tmp_path / "dataset.json"
    result = run_v2("--dataset", dataset, "--output", tmp_path / "output", everything=True)
    assert result.returncode == 0, result.stderr
    reference = reference_v2.run(read_dataset(dataset), model_files(agc_v2.analysis, ()))
    found = Results(tmp_path / "output")
    compare_cutflow(found.json("cutflow"), reference)
    assert not differences_1d(found.folder / "histograms.root", reference)
    in_signal_region = reference.universes["ttbar__nominal"]["nominal"].selected["region"] == "4j2b"
    assert np.count_nonzero(in_signal_region) > 1000
    assert found.json("fit")["status"] == "complete"
    assert "4j2b" in (found.folder / "report.html").read_text()


def test_features_are_called_alike_in_the_model_and_in_the_histograms():
    names = loop.feature_names("ttbar::agc_v2::feature_names")
    assert names == tuple(axis.column for axis in agc_v2.FEATURES) == tuple(reference_v2.FEATURES)


def test_real_files_without_a_selected_event_give_empty_histograms(test_data, models, tmp_path):
    even, odd = models
    path = str(test_data / "nanoaod_2015_200events.root")
    (tmp_path / "d.json").write_text(json.dumps({"ttbar": {"nominal": {"files": [path]}}}))
    options = ("--dataset", tmp_path / "d.json", "--model", even, "--model", odd, "--output", tmp_path / "output")
    result = run_v2(*options, everything=True)
    assert result.returncode == 0, result.stderr
    assert "empty" in result.stderr
    with uproot.open(tmp_path / "output" / "histograms.root") as file:
        assert len(file.keys()) == 22 * 11
        assert not any(file[name].values(flow=True).any() for name in file)
    cutflow = Results(tmp_path / "output").json("cutflow")["ttbar__nominal"]["nominal"]
    assert cutflow[0]["events"] == 200
    assert cutflow[-1]["events"] == 0


@pytest.mark.parametrize("chosen", [[0], [0, 0], [0, 1, 1]], ids=["one", "twice the same", "three"])
def test_another_number_of_models_is_refused(chosen, models):
    with pytest.raises(UsageError, match="even, odd"):
        model_files(agc_v2.analysis, [models[number] for number in chosen])


def test_a_model_of_the_other_analysis_is_refused(synthetic, models, tmp_path):
    options = ("--model", models[0], "--model", "models/jet_assignment.json", "--output", tmp_path)
    assert_fails(run_v2("--dataset", synthetic["TTree"], *options), 3, "jet_assignment.json", "19 features")


def changed(**changes):
    """The analysis with another signal region."""
    control, signal = agc_v2.analysis.regions
    return replace(agc_v2.analysis, regions=(control, replace(signal, **changes)))


def test_an_element_of_a_vector_has_a_name_of_its_own():
    signal = agc_v2.analysis.regions[1]
    clash = replace(signal.definitions[-1], elements=("observable", *signal.definitions[-1].elements[1:]))
    with pytest.raises(ValueError, match="two columns named 'observable'"):
        changed(definitions=(*signal.definitions[:-1], clash))


def test_an_element_of_a_vector_is_no_axis_beside_another():
    plane = Histogram("plane", (agc_v2.FEATURES[0], agc_v2.FEATURES[1]))
    with pytest.raises(ValueError, match="'deltar_leptonbtoplep', an element of 'assigned'"):
        changed(histograms=(*agc_v2.analysis.regions[1].histograms, plane))
