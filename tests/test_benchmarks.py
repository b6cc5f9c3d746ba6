"""The benchmark: its figures, that its parts do what they say, and that coffea gets the same histograms."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import forest
import loop
import numpy as np
import pytest
import wide_files
import workers
from figures import Figure, Report, in_turns, ratios

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.analyses.agc_v2 import analysis as agc_v2
from ttbar.execution.unit import Cost, Partial
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import Request, deliver
from ttbar.library import shipped
from ttbar.simulate import simulate
from ttbar.worker import Worker

CHECKOUT = Path(__file__).parents[1]
EVENTS = 4000


def test_a_figure_is_the_median_with_its_spread():
    figure = Figure.of("what", [3.0, 1.0, 10.0], "s", at_most=3)
    assert (figure.low, figure.median, figure.high) == (1, 3, 10)
    assert figure.row == ("what", "3 s", "1 to 10", "≤ 3 s", "yes")


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        ({}, None),
        ({"at_most": 1.0}, True),
        ({"at_most": 0.99}, False),
        ({"at_least": 1.0}, True),
        ({"at_least": 1.01}, False),
        ({"at_most": 0.0}, False),
    ],
)
def test_a_goal_is_met_or_not(goal, met):
    assert Figure.of("what", [1.0], **goal).met is met


def test_ratios_are_those_of_one_turn():
    order = []
    found = in_turns(3, {name: lambda name=name: order.append(name) or len(order) for name in "ab"})
    assert order == list("ababab")
    assert ratios(found["b"], found["a"]) == [2 / 1, 4 / 3, 6 / 5]


def test_a_report_is_read_as_it_was_written(tmp_path):
    figures = [Figure.of("a", [1.0, 2.0], "s", at_most=1.0), replace(Figure.of("b", [3.0]), part="loop")]
    report = Report({"mode": "quick", "load": [0.5, 1.0]}, figures)
    report.write(tmp_path / "benchmark.json")
    assert Report.read(tmp_path / "benchmark.json") == report
    assert [figure.name for figure in report.with_goals] == ["a"]
    assert report.of("loop") == figures[1:]


def test_the_page_shows_all_parts_of_what_was_measured():
    report = Report.read(CHECKOUT / "docs" / "benchmark.json")
    page = (CHECKOUT / "docs" / "benchmarks.md").read_text()
    for part in report.parts:
        assert f"{{{{ benchmark_{part.replace(' ', '_')} }}}}" in page
    assert len(report.with_goals) > 15
    assert report.summary()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    simulate(folder, EVENTS, [wide_files.SAMPLE], 1, True)  # NanoAOD as coffea knows it
    return folder


def delivered(folder: Path, analysis):
    samples = load_dataset(folder / "dataset.json", analysis.variations)
    [sample] = deliver(samples, Request("Events", analysis.columns, patience=600))
    return sample


@pytest.mark.parametrize("analysis", [agc_v1, agc_v2], ids=lambda analysis: analysis.name)
def test_reading_and_loop_see_the_same_events(folder, analysis):
    unit = loop.unit_of(delivered(folder, analysis))
    with loop.started(analysis, 1) as worker:
        found = {
            name: worker.call(function, unit).cutflow["nominal"] for name, function in loop.functions(analysis).items()
        }
    assert found["all"]["all"] == found["lazy"]["all"] == found["loop"]["all"] == EVENTS
    assert found["lazy"]["read"] == found["loop"]["one_lepton"] > 0


def test_copies_have_the_same_events(folder, tmp_path):
    samples = {wide_files.SIMULATED: delivered(folder, agc_v1)}
    with Worker() as worker:
        for kind in (wide_files.RNTUPLE, "TTree, ZSTD"):
            worker.call(wide_files.copy, folder, tmp_path / kind, kind)
            samples[kind] = delivered(tmp_path / kind, agc_v1)
    formats = {sample.good[0].format for sample in samples.values()}
    assert formats == {"TTree", "RNTuple"}
    function = loop.functions(agc_v1)["loop"]
    with loop.started(agc_v1, 1) as worker:
        one, *others = (worker.call(function, loop.unit_of(sample)) for sample in samples.values())
    for other in others:
        for key, content in one.histograms.items():
            np.testing.assert_array_equal(content, other.histograms[key])


def test_coffea_gets_the_same_histograms(folder):
    pytest.importorskip("coffea", reason="make bench has not been run")
    figures = {figure.name: figure for figure in loop.against_coffea(delivered(folder, agc_v1), 1)}
    assert figures["agc-v1: times as fast as coffea, CPU"].median > 1


def test_other_histograms_are_refused():
    content = np.zeros((4, 27, 27))
    content[0, 3, 3:13] = 10
    result = Partial(Cost(), {}, {}, histograms={("4j1b", "nominal"): content})
    same = {("4j1b", "nominal"): content[0].copy()}
    loop.require_same(result, same)
    same["4j1b", "nominal"][3, 3:5] += (3, -3)
    with pytest.raises(AssertionError, match=r"3\.0 events of 100 differ"):
        loop.require_same(result, same)
    with pytest.raises(AssertionError):
        loop.require_same(result, {})


def test_the_forest_is_compared_with_its_peers():
    rows = np.random.default_rng(1).exponential(60, (1200, forest.N_FEATURES)).astype(np.float32)
    with Worker() as worker:
        found = worker.call(forest.measured, "a", shipped("models", "jet_assignment.json"), rows, (12,), False)
    assert [figure.at_most for figure in found] == [0.25, None, None, None]
    assert all(figure.median > 0 for figure in found)


def test_a_client_takes_many_units(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT / "benchmarks"))
    sample = delivered(folder, agc_v1)
    with workers.started(workers.Where(workers=1), 1) as executor:
        result = executor.call(workers.FUNCTION, *workers.units.divide(sample))
    sizes, *_ = workers.many(workers.Where(workers=1), sample, result, 8)
    assert len(sizes) == 8
    assert {figure.unit for figure in workers.of_sizes(sample, result)} == {"kB"}
