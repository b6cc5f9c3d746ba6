"""The recipe "add a feature": from a header of the user's own to histograms, and what goes wrong on the way."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot
import xgboost
from program import assert_fails, run_analysis, ttbar

from ttbar.analyses import Analysis, Cut, agc_v1, catalogue
from ttbar.errors import InputError
from ttbar.execution import loop
from ttbar.execution.graph import book
from ttbar.executors import LocalExecutor
from ttbar.inputs.source import Source
from ttbar.library import declare, load_root, shipped
from ttbar.simulate import simulate
from ttbar.training import matched_events
from ttbar.training.jobs import Options, train_model
from ttbar.training.matched_events import MatchedEvents

SHIPPED = shipped("models", "jet_assignment.json")

HEADER = """
#include "ttbar/jet_assignment.hpp"
#include <cmath>

namespace my {
inline constexpr auto feature_names = ttbar::with_feature(ttbar::feature_names, "deltaEta_b_had_b_lep");

inline ROOT::RVecF with_delta_eta(const ttbar::PermutationFeatures& features, const ROOT::RVecF& eta,
                                  const ROOT::RVecI& jets) {
    return ttbar::with_feature(features, jets, [&](int, int, int b_had, int b_lep) {
        return std::abs(eta[b_had] - eta[b_lep]);
    });
}
} // namespace my
"""

ANALYSIS = """
from dataclasses import replace
from pathlib import Path

from ttbar.analyses import Define
from ttbar.analyses.agc_v1 import analysis as agc_v1

*before, permutation, delta_r = agc_v1.nodes
analysis = replace(
    agc_v1,
    name="mine",
    headers=(Path(__file__).with_name("mine.hpp"),),
    nodes=(
        *before,
        Define("my_features", "my::with_delta_eta(features, Jet_eta, jets)"),
        replace(permutation, expression="ttbar::best_permutation(ttbar::model(0), my_features)"),
        delta_r,
    ),
    models=(replace(agc_v1.models[0], features="my::feature_names", column="my_features"),),
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with an analysis of the user's own, its header, and simulated events in `toy`."""
    folder = tmp_path_factory.mktemp("feature")
    (folder / "mine.hpp").write_text(HEADER)
    (folder / "mine.py").write_text(ANALYSIS)
    simulate(folder / "toy", 25_000, ["ttbar__nominal"], 5, False)
    return folder


@pytest.fixture(scope="module")
def mine(folder) -> Analysis:
    return catalogue.load(str(folder / "mine.py"))


@pytest.fixture(scope="module")
def source(folder) -> Source:
    return Source(str(folder / "toy" / "dataset.json"), "ttbar__nominal", None, (), "Events", "stop", None, None, 60)


@pytest.fixture(scope="module")
def trained(folder) -> Path:
    """A model with the feature."""
    path = folder / "models" / "mine.json"
    result = ttbar(
        *("train", "--analysis", folder / "mine.py", "--dataset", folder / "toy" / "dataset.json"),
        *("--output", path, "--max-trees", 10),
    )
    assert result.returncode == 0, result.stderr
    return path


def read(source: Source, analysis: Analysis) -> MatchedEvents:
    with LocalExecutor(loop.Setup(1, analysis)) as executor:
        return matched_events.read(source, analysis, executor)


def test_a_model_is_trained_on_the_names_and_values_of_the_header(source, mine, trained):
    booster = xgboost.Booster(model_file=trained)
    assert booster.feature_names == [*read(source, agc_v1.analysis).feature_names, "deltaEta_b_had_b_lep"]
    assert "`deltaEta_b_had_b_lep`" in trained.with_suffix(".md").read_text()

    events, without = read(source, mine), read(source, agc_v1.analysis)
    n_permutations, n_features = len(events.permutations), len(events.feature_names)
    assert events.records["features"].shape == (len(events.records), n_permutations, n_features)
    np.testing.assert_array_equal(events.records["features"][..., :-1], without.records["features"])
    eta = events.records["eta"][:, events.permutations]
    np.testing.assert_array_equal(events.records["features"][..., -1], abs(eta[..., 2] - eta[..., 3]))
    assert np.ptp(events.records["features"][..., -1]) > 1


def test_a_run_uses_the_model(folder, mine, trained, tmp_path):
    dataset = folder / "toy" / "dataset.json"
    result = run_analysis(
        *("--analysis", folder / "mine.py", "--dataset", dataset, "--model", trained, "--output", tmp_path)
    )
    assert result.returncode == 0, result.stderr

    # Again, with the model as xgboost evaluates it.
    root = load_root()
    declare(folder / "mine.hpp")
    root.ttbar.load_models([str(trained)])
    frame = root.RDataFrame("Events", [str(path) for path in (folder / "toy").glob("*.root")])
    booster = xgboost.Booster(model_file=trained)
    columns = ["my_features", "permutation", "deltaR", "observable"]
    for region, node in book(frame, mine, varied=False, seed=1).regions.items():
        values = node.AsNumpy(columns)
        rows = np.array([np.asarray(one) for one in values["my_features"]]).reshape(-1, booster.num_features())
        scores = booster.predict(xgboost.DMatrix(rows), validate_features=False).reshape(len(values["deltaR"]), -1)
        np.testing.assert_array_equal(values["permutation"], scores.argmax(axis=1))
        with uproot.open(tmp_path / "histograms.root") as file:
            found = file[f"{region}_ttbar"].to_hist()
        expected = np.histogramdd((values["observable"], values["deltaR"]), [axis.edges for axis in found.axes])[0]
        assert expected.sum() > 50
        np.testing.assert_allclose(found.values() / found.values().sum(), expected / expected.sum(), atol=1e-12)


def test_a_model_without_the_feature_is_refused(folder, trained, tmp_path):
    data = ("--dataset", folder / "toy" / "dataset.json", "--output", tmp_path / "output")
    result = run_analysis("--analysis", folder / "mine.py", "--model", SHIPPED, *data)
    assert_fails(result, 3, str(SHIPPED), "19", "20")
    result = run_analysis("--model", trained, *data)
    assert_fails(result, 3, str(trained), "19", "20")


def with_model(analysis: Analysis, **changes: str) -> Analysis:
    return replace(analysis, models=(replace(analysis.models[0], **changes),))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"column": "features"}, ["features has 228 values", "12 times 20", "my::feature_names"]),
        ({"features": "ttbar::feature_names"}, ["my_features has 240 values", "12 times 19", "ttbar::feature_names"]),
        ({"features": "my::names"}, ["my::names", "no array of names"]),
        ({"features": "nobody::names"}, ["nobody::names", "no array of names"]),
        ({"features": "my::with_delta_eta"}, ["my::with_delta_eta", "no array of names"]),
        ({"jets": "good_jets"}, ["mine", "'good_jets'", "'my_features'"]),
    ],
)
def test_a_model_that_contradicts_the_header_gives_a_sentence_and_no_model(changes, words, source, mine, tmp_path):
    output = tmp_path / "model.json"
    with pytest.raises(InputError) as error:
        train_model(Options(source, with_model(mine, **changes), output, "both", None, 3, 1, 1))
    for word in words:
        assert word in str(error.value)
    assert not output.exists()


@pytest.mark.parametrize(
    "definition",
    [
        'const char* const v1[] = {"a", "b c"}',
        'constexpr std::array v2{"a", "b c"}',
        'std::vector<std::string> v3{"a", "b c"}',
    ],
)
def test_names_are_any_array(definition):
    load_root().gInterpreter.Declare(f"namespace names {{ inline {definition}; }}")
    variable = re.search(r"v\d", definition)[0]
    assert loop.feature_names(f"names::{variable}") == ("a", "b c")


def test_an_analysis_without_a_model_cannot_be_trained(source, mine, tmp_path):
    with pytest.raises(InputError, match="mine has no model"):
        train_model(Options(source, replace(mine, models=()), tmp_path / "m.json", "both", None, 3, 1, 1))


def test_a_model_needs_a_column_of_the_analysis(mine):
    with pytest.raises(ValueError, match=r"jet_assignment.*'nothing'"):
        with_model(mine, column="nothing")


def test_a_function_that_is_called_like_a_column_is_told_from_it(folder):
    (folder / "alike.py").write_text(ANALYSIS.replace("with_delta_eta", "features"))
    with pytest.raises(InputError, match=r"alike\.py: line .*my::features.*the column 'features'.*another name"):
        catalogue.load(str(folder / "alike.py"))


def test_rows_of_the_wrong_length_end_a_run(folder, trained, tmp_path):
    """The names are those of the model, but the values are not: a model of 20 features gets rows of 19."""
    wrong = ANALYSIS.replace("ttbar::model(0), my_features", "ttbar::model(0), features")
    (folder / "wrong.py").write_text(wrong)
    result = run_analysis(
        *("--analysis", folder / "wrong.py", "--dataset", folder / "toy" / "dataset.json", "--model", trained),
        *("--output", tmp_path),
    )
    assert_fails(result, 4, "228", "240", str(trained))
    assert not (tmp_path / "histograms.root").exists()


def test_the_selected_events_are_those_that_reach_the_column(source):
    """Without a cut on b-tags, and with jets that are called something else."""

    def renamed(expression: str) -> str:
        return re.sub(r"\bjets\b", "good_jets", expression)

    nodes = [
        replace(node, condition=renamed(node.condition))
        if isinstance(node, Cut)
        else replace(node, column=renamed(node.column), expression=renamed(node.expression))
        for node in agc_v1.analysis.nodes
        if getattr(node, "name", "") != "one_btag"
    ]
    loose = with_model(replace(agc_v1.analysis, nodes=tuple(nodes)), jets="good_jets")
    events, tight = read(source, loose), read(source, agc_v1.analysis)
    assert list(events.cutflow) == ["all", "one_lepton", "four_jets", "matched"]
    assert events.selected == events.cutflow["four_jets"] == tight.cutflow["four_jets"]
    assert set(tight.records["number"]) < set(events.records["number"])
