"""Fits of histograms as the field publishes them: JSON with contents alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import synthetic

from ttbar.analyses import agc_v2
from ttbar.errors import InputError
from ttbar.jobs.normalise import pseudodata
from ttbar.results import histograms
from ttbar.results.fit import fit
from ttbar.results.fit_configuration import from_analysis
from ttbar.results.reference import ReferenceFile, common_weight, open_histograms, sums_of_squares
from ttbar.results.template_file import HistogramFile
from ttbar.results.templates import collect

ANALYSIS = agc_v2.analysis


@pytest.fixture(scope="module")
def made():
    """What the field publishes: both regions and their pseudodata, no features."""
    plain = replace(
        ANALYSIS,
        regions=tuple(replace(region, histograms=region.histograms[:1]) for region in ANALYSIS.regions),
        fit=replace(ANALYSIS.fit, carried_to=()),
    )
    filled = synthetic.histograms(analysis=plain)
    return filled | dict(pseudodata(plain, filled))


def published(path, made):
    """Write histograms as JSON, with the digits that the field gives."""
    content = {
        name: {
            "edges": each.axes[0].edges.tolist(),
            "contents": [float(f"{value:.9g}") for value in each.values(flow=True)],
        }
        for name, each in made.items()
    }
    path.write_text(json.dumps(content))
    return path


def test_squares_are_rebuilt(made):
    contents = {name: each.values(flow=True) for name, each in made.items()}
    found = dict(sums_of_squares(contents, ANALYSIS))
    assert set(found) == {name for name in made if not name.endswith("pseudodata")}
    for name, squares in found.items():
        assert squares == pytest.approx(made[name].variances(flow=True), rel=1e-6), name


def test_templates_are_those_of_the_file_that_they_come_from(made, tmp_path):
    config = from_analysis(ANALYSIS)
    histograms.write(tmp_path / "h.root", made)
    with HistogramFile(tmp_path / "h.root") as file:
        expected = collect(file, config, ANALYSIS)
    with open_histograms(published(tmp_path / "h.json", made), ANALYSIS) as file:
        found = collect(file, config, ANALYSIS)
    assert found.histograms.keys() == expected.histograms.keys()
    for key, template in found.histograms.items():
        assert template.yields == pytest.approx(expected.histograms[key].yields, rel=1e-8), key
        assert template.stdev == pytest.approx(expected.histograms[key].stdev, rel=1e-6), key
    assert [str(check) for check in found.checks] == [str(check) for check in expected.checks]


def test_it_is_fitted(made, tmp_path):
    kept = {
        name: each for name, each in made.items() if name.endswith(("s_chan", "tW", "ttbar", "wjets", "_var", "data"))
    }
    results = []
    for path in (published(tmp_path / "h.json", kept), tmp_path / "h.root"):
        if path.suffix == ".root":
            histograms.write(path, kept)
        content = fit(path, tmp_path / path.suffix[1:], analysis=ANALYSIS)
        results.append(content["parameters"]["ttbar_norm"])
        assert content["carried_over"]["bins"] == {}
        assert content["carried_over"]["left_out"] == ["not carried over, for want of histograms: any of them"]
    assert results[0]["value"] == pytest.approx(results[1]["value"], abs=1e-3)
    assert results[0]["uncertainty"] == pytest.approx(results[1]["uncertainty"], rel=1e-2)


@pytest.mark.parametrize("weight", [0.0115, 1.0, 41.88347225])
@pytest.mark.parametrize("fewest", [1, 83, 20_011])
def test_a_weight_is_found(weight, fewest):
    random = np.random.default_rng(3)
    events = np.append(random.integers(fewest, 30 * fewest + 100, 40), [0, fewest, fewest + 1])
    contents = events * weight * (1 + random.uniform(-4e-9, 4e-9, len(events)))
    assert common_weight([contents[:20], contents[20:]]) == pytest.approx(weight)


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(np.random.default_rng(4).uniform(1, 100, 30), id="of many weights"),
        pytest.param(np.array([0.0, 1234.5, 0.0]), id="of one bin"),
        pytest.param(np.array([12.0, 1234.5]), id="of two bins"),
        pytest.param(np.zeros(5), id="empty"),
        pytest.param(np.array([1.0, 2.0, 3.0, -4.0, 5.0]), id="negative"),
        pytest.param(np.array([1.0, 2.0, 3.0, np.inf, 5.0]), id="infinite"),
    ],
)
def test_none_is_found_where_there_is_none(contents):
    assert common_weight([contents]) is None


def test_what_cannot_be_rebuilt_is_said(made, tmp_path):
    random = np.random.default_rng(5)
    weighted = {name: each.copy() for name, each in made.items()}
    for name, each in weighted.items():
        if name.startswith(("4j1b_wjets", "4j2b_wjets")):
            each.view().value *= random.uniform(0.9, 1.1, 25)
    with open_histograms(published(tmp_path / "h.json", weighted), ANALYSIS) as file:
        assert not file.has_errors("observable", "4j1b_wjets")
        assert file.has_errors("observable", "4j1b_ttbar")
        found = collect(file, from_analysis(ANALYSIS), ANALYSIS)
    details = [check.detail for check in found.checks if check.check == "missing statistical errors"]
    assert "4j1b_wjets has no sums of squared weights; the square root of the contents is taken" in details


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"edges": [0, 1, 2], "contents": [1, 2, 3]}, "4j1b_ttbar needs edges that increase, and contents"),
        ({"edges": [0, 2, 1], "contents": [1, 2, 3, 4]}, "4j1b_ttbar needs edges that increase, and contents"),
        ({"edges": [], "contents": []}, "4j1b_ttbar needs edges that increase, and contents"),
        ({"edges": 5, "contents": [1, 2]}, "4j1b_ttbar needs edges that increase, and contents"),
        ({"contents": [1, 2]}, "not of the form"),
        ([1, 2], "not of the form"),
    ],
)
def test_other_json_is_refused(tmp_path, content, message):
    path = tmp_path / "h.json"
    path.write_text(json.dumps({"4j1b_ttbar": content}))
    with pytest.raises(InputError, match=rf"h\.json: .*{message}"):
        ReferenceFile(path, ANALYSIS)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_contents_that_are_no_numbers_are_refused(made, tmp_path, value):
    path = published(tmp_path / "h.json", made)
    content = json.loads(path.read_text())
    content["4j1b_ttbar"]["contents"][7] = "content"
    path.write_text(json.dumps(content).replace('"content"', value))
    with open_histograms(path, ANALYSIS) as file, pytest.raises(InputError, match="4j1b_ttbar hold no finite number"):
        collect(file, from_analysis(ANALYSIS), ANALYSIS)
