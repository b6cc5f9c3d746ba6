"""The result of a fit, carried over to histograms that are not fitted."""

import json
from dataclasses import replace

import cabinetry
import numpy as np
import pytest
import synthetic
from cabinetry.fit.results_containers import FitResults

from ttbar.analyses import agc_v2
from ttbar.jobs.normalise import pseudodata
from ttbar.results import carry_over, fit_plots, histograms
from ttbar.results.fit import fit
from ttbar.results.fit_configuration import from_analysis
from ttbar.results.likelihood import quiet
from ttbar.results.template_file import HistogramFile
from ttbar.results.templates import collect
from ttbar.results.workspace import build_workspace

FEATURES = ("mass_w1w2", "pt_btophad", "qgl_w1")


def with_features(names):
    """The analysis with some of its features."""
    whole = agc_v2.analysis
    regions = tuple(
        replace(region, histograms=tuple(each for each in region.histograms if not each.group or each.name in names))
        for region in whole.regions
    )
    carried_to = tuple(each for each in whole.fit.carried_to if each.histogram in names)
    return replace(whole, regions=regions, fit=replace(whole.fit, carried_to=carried_to))


ANALYSIS = with_features(FEATURES)
TITLES = [region.name for region in ANALYSIS.fit.carried_to]


@pytest.fixture(scope="module")
def made():
    return synthetic.histograms(analysis=ANALYSIS)


@pytest.fixture(scope="module")
def path(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("carried") / "histograms.root"
    histograms.write(path, made | dict(pseudodata(ANALYSIS, made)))
    return path


@pytest.fixture(scope="module")
def best():
    """A result of a fit, with parameters that are pulled, constrained and correlated, and two of no concern."""
    labels = ["ttbar_norm", "ME variation", "PS variation", "b-tag NP 1", "luminosity", "jet energy scale"]
    labels += ["W+jets scale variations", "staterror_4j1b-CR[0]"]
    random = np.random.default_rng(5)
    mixed = random.normal(size=(len(labels), len(labels))) + 2 * np.eye(len(labels))
    covariance = mixed @ mixed.T
    scale = np.sqrt(np.diag(covariance))
    return FitResults(
        np.array([0.9, 0.5, 0.4, -1.3, 0.1, 0.7, 0.3, 1.02]),
        np.array([0.08, 0.4, 0.5, 0.6, 0.98, 0.7, 0.9, 0.02]),
        labels,
        covariance / np.outer(scale, scale),
        0.0,
    )


@pytest.fixture(scope="module")
def carried(path, best):
    with HistogramFile(path) as file:
        return carry_over.carry_over(carry_over.find(file, ANALYSIS), ANALYSIS, best)


def by_cabinetry(path, best, region):
    """The model of a feature alone, with the bins that it has, as cabinetry builds it and predicts with it."""
    alone = replace(ANALYSIS, fit=replace(ANALYSIS.fit, regions=(region,), carried_to=()))
    with HistogramFile(path) as file, quiet():
        templates = collect(file, from_analysis(alone), alone)
    with quiet():
        model, data = cabinetry.model_utils.model_and_data(build_workspace(templates), include_auxdata=False)
        matched = cabinetry.model_utils.match_fit_results(model, best)
        predictions = [cabinetry.model_utils.prediction(model, fit_results=each) for each in (None, matched)]
        return templates.config["Regions"][0]["Binning"], data, *predictions


@pytest.mark.parametrize("region", ANALYSIS.fit.carried_to, ids=FEATURES)
def test_it_is_what_cabinetry_predicts_with_a_model_of_its_own(path, best, carried, region):
    edges, data, *predictions = by_cabinetry(path, best, region)
    bins = carried["bins"][region.name]
    at = [bins["edges"].index(edge) for edge in edges[:-1]]
    alone = np.diff([*at, 25]) == 1  # cabinetry's are merged where they are empty
    assert alone.sum() > 10
    assert np.asarray(bins["data"])[at][alone] == pytest.approx(np.asarray(data)[alone])
    for stage, prediction in zip(("prefit", "postfit"), predictions, strict=True):
        expected = np.sum(prediction.model_yields[0], axis=0)
        uncertainty = np.asarray(prediction.total_stdev_model_bins[0][-1])
        assert np.asarray(bins[stage]["total"])[at][alone] == pytest.approx(expected[alone], rel=1e-9)
        assert np.asarray(bins[stage]["uncertainty"])[at][alone] == pytest.approx(uncertainty[alone], rel=1e-9)
        for name, yields in zip(prediction.model.config.samples, prediction.model_yields[0], strict=True):
            assert np.asarray(bins[stage]["samples"][name])[at][alone] == pytest.approx(np.asarray(yields)[alone])


def test_all_bins_stay_also_empty_ones(made, carried):
    for name, title in zip(FEATURES, TITLES, strict=True):
        bins = carried["bins"][title]
        total = sum(made[f"{name}_{process.name}"].values() for process in ANALYSIS.simulated)
        assert (total == 0).any()
        assert len(bins["edges"]) == 26
        assert bins["prefit"]["total"] == pytest.approx(total)
        for stage in ("prefit", "postfit"):
            assert np.isfinite([*bins[stage]["total"], *bins[stage]["uncertainty"]]).all()


def test_pseudodata_are_those_of_the_file_or_of_the_same_rule(made, best, tmp_path):
    rule = (made["mass_w1w2_ttbar_ME_var"] + made["mass_w1w2_ttbar_PS_var"]) * 0.5 + made["mass_w1w2_wjets"]
    for written, expected in ((None, rule.values()), (rule * 1.5, 1.5 * rule.values())):
        histograms.write(tmp_path / "h.root", made | ({} if written is None else {"mass_w1w2_pseudodata": written}))
        with HistogramFile(tmp_path / "h.root") as file:
            content = carry_over.carry_over(carry_over.find(file, ANALYSIS), ANALYSIS, best)
        assert content["bins"][TITLES[0]]["data"] == pytest.approx(expected)


def test_what_is_not_there_is_left_out_with_a_sentence(made, best, tmp_path):
    kept = {
        name: each.copy()
        for name, each in made.items()
        if not name.startswith("pt_btophad") and name not in ("qgl_w1_wjets", "mass_w1w2_ttbar_ME_var")
    }
    histograms.write(tmp_path / "h.root", kept)
    with HistogramFile(tmp_path / "h.root") as file:
        found = carry_over.find(file, ANALYSIS)
    content = carry_over.carry_over(found, ANALYSIS, best)
    assert [*content["bins"]] == [TITLES[0]]
    missing, without, unusable = content["left_out"]
    assert missing == f"not carried over, for want of histograms: {TITLES[1]}"
    assert unusable.startswith(f"{TITLES[2]}: ")
    assert "qgl_w1_wjets" in unusable
    assert "mass_w1w2_ttbar_ME_var" in without


def test_nothing_at_all_is_no_error(made, best, tmp_path):
    kept = {name: each for name, each in made.items() if name.startswith("4j")}
    empty = {name: each.copy().reset() for name, each in made.items() if not name.startswith("4j")}
    for more, sentence in (
        ({}, "not carried over, for want of histograms: any of them"),
        (empty, "all nominal histograms are empty"),
    ):
        histograms.write(tmp_path / "h.root", kept | more)
        with HistogramFile(tmp_path / "h.root") as file:
            content = carry_over.carry_over(carry_over.find(file, ANALYSIS), ANALYSIS, best)
        assert content["bins"] == {}
        assert sentence in content["left_out"][0]


def test_a_sample_that_is_not_fitted_is_drawn_with_a_label(made, best, tmp_path):
    """All its events can lie outside of what is fitted, and it can be missing in some of the pictures."""
    kept = {name: each.copy() for name, each in made.items()}
    for name, each in kept.items():
        if name.startswith("mass_w1w2_single_top_tW"):
            each.reset()
    histograms.write(tmp_path / "h.root", kept)
    with HistogramFile(tmp_path / "h.root") as file:
        content = carry_over.carry_over(carry_over.find(file, ANALYSIS), ANALYSIS, best)
    assert "single top, tW" not in content["bins"][TITLES[0]]["prefit"]["samples"]
    fitted = {"luminosity": 3378.0, "pseudodata": "made", "samples": {}, "carried_over": content}
    figure = fit_plots._carried_over("postfit", fitted)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "Single top, $tW$" in labels
    assert len(labels) == len(set(labels)) == len(ANALYSIS.simulated) + 2


class TestFit:
    """It is part of a fit of the analysis."""

    @pytest.fixture(scope="class")
    @classmethod
    def output(cls, path, tmp_path_factory):
        output = tmp_path_factory.mktemp("fitted")
        fit(path, output, analysis=ANALYSIS)
        return output

    def test_the_best_fit_is_carried_over(self, path, output):
        content = json.loads((output / "fit.json").read_text())
        parameters, correlation = content["parameters"], content["correlation"]
        best = FitResults(
            np.array([each["value"] for each in parameters.values()]),
            np.array([each["uncertainty"] for each in parameters.values()]),
            correlation["labels"],
            np.array(correlation["matrix"]),
            0.0,
        )
        with HistogramFile(path) as file:
            again = carry_over.carry_over(carry_over.find(file, ANALYSIS), ANALYSIS, best)
        assert content["carried_over"] == again
        assert not any("no region of the fit" in line for line in content["left_out"])

    def test_one_picture_before_and_one_after_the_fit_shows_all(self, output):
        names = {each.stem for each in (output / "plots").glob("*.png")}
        assert {"fit_features_prefit", "fit_features_postfit"} <= names
        assert not any("mass_w1w2" in name for name in names)

    def test_a_configuration_of_ones_own_is_not_carried_over(self, path, output, tmp_path):
        content = fit(path, tmp_path, analysis=ANALYSIS, config=output / "fit.yml")
        assert "carried_over" not in content
        assert any("not carried over to other histograms" in note for note in content["notes"])
