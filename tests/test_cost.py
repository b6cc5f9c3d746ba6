"""Times of a run: the steps, what went on meanwhile, traces of it, and the comparison of two runs."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from click.testing import CliRunner

from ttbar import interface
from ttbar.cli import cli
from ttbar.errors import InputError
from ttbar.results.cost import LEAST_S, TOLERANCE, compare_costs
from ttbar.timeline import PROGRAM, Timeline, trace

METRICS = {
    "mode": "analysis",
    "events": 1000,
    "threads": 2,
    "workers": 1,
    "fit_s": 4.0,
    "write_page_s": 0.1,
    "peak_rss_mb": 600.0,
    "events_per_s": 1e5,
    "steps": [],
    "machine": {"cores": 2},
}


@pytest.fixture
def files(tmp_path):
    """Write metrics and a changed copy of them."""

    def make(**changes):
        paths = tmp_path / "a.json", tmp_path / "b.json"
        for path, content in zip(paths, (METRICS, METRICS | changes), strict=True):
            path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
        return paths

    return make


def test_steps_follow_each_other_without_a_gap_and_add_up():
    timeline = Timeline("start")
    for name in ("check", "process", "check"):
        timeline.step(name)
    steps = timeline.steps
    assert [step.name for step in steps] == ["start", "check", "process", "check"]
    assert steps[0].start_s == 0
    assert all(one.end_s == pytest.approx(other.start_s) for one, other in pairwise(steps))
    assert sum(step.wall_s for step in steps) == pytest.approx(steps[-1].end_s)
    assert steps[-1].end_s <= timeline.elapsed


def test_what_goes_on_meanwhile_is_no_step_and_begins_and_ends_with_its_work():
    timeline = Timeline("start")

    @timeline.meanwhile("plots")
    def draw():
        assert not timeline.others
        raise ValueError("damaged")

    timeline.step("fit")
    with pytest.raises(ValueError, match="damaged"):
        draw()
    (plots,) = timeline.others
    assert plots.name == "plots"
    assert plots.start_s >= timeline.steps[-1].start_s  # not when it was wanted
    assert plots.end_s <= timeline.elapsed
    assert [step.name for step in timeline.steps] == ["start", "fit"]


def test_work_is_in_the_lane_of_its_process_with_its_phases_one_after_the_other():
    timeline = Timeline("start")
    timeline._start -= 10  # so that there is a past for the work to have been done in
    timeline.worked("b", "host:2", {"booking": 1.0, "loop": 2.0})
    timeline.worked("a", "host:1", {"booking": 1.0, "loop": 4.0}, files=["a.root"])
    first, booking, loop, other, *_ = timeline.work
    assert [first.lane, booking.lane, loop.lane, other.lane] == ["host:1"] * 3 + ["host:2"]
    assert first.details == {"files": ["a.root"]}
    assert (booking.name, booking.start_s, booking.wall_s) == ("booking", first.start_s, 1.0)
    assert loop.start_s == booking.end_s
    assert loop.end_s == pytest.approx(first.end_s)


def test_a_trace_has_a_thread_for_each_lane_in_microseconds():
    timeline = Timeline("start")
    timeline._start -= 2
    timeline.worked("ttbar__nominal", "host:1", {"loop": 0.5}, files=["x.root"])
    events = trace([*timeline.steps, *timeline.work])["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert list(names.values()) == [PROGRAM, "host:1"]
    (unit,) = (event for event in events if event["name"] == "ttbar__nominal")
    assert names[unit["tid"]] == "host:1"
    assert unit["dur"] == pytest.approx(0.5e6)
    assert unit["ts"] == pytest.approx(1.5e6, rel=0.1)
    assert unit["args"] == {"files": ["x.root"]}


def test_the_time_of_a_command_begins_with_its_process(monkeypatch):
    monkeypatch.setattr("ttbar.process._is_command", True)
    timeline = Timeline("start")
    assert timeline.elapsed > 0.1  # Python and pytest have been imported
    assert timeline.date < datetime.now(UTC) - timedelta(seconds=0.1)
    monkeypatch.setattr("ttbar.process._is_command", False)
    assert Timeline("start").elapsed < 0.1


def test_the_same_cost_is_equal(files):
    comparison = compare_costs(*files())
    assert comparison.equal
    assert [entry.name for entry in comparison.entries] == ["fit_s", "write_page_s", "peak_rss_mb", "events_per_s"]
    assert "no more than A" in repr(comparison)


@pytest.mark.parametrize(
    ("name", "value", "change"),
    [
        ("fit_s", 4.0 * (1 + TOLERANCE) + 0.01, "more"),
        ("fit_s", 4.0 * (1 + TOLERANCE) - 0.01, ""),
        ("fit_s", 1.0, "less"),
        ("write_page_s", 0.1 + LEAST_S - 0.01, ""),  # five times as much, of nothing
        ("write_page_s", 0.1 + LEAST_S + 0.01, "more"),
        ("peak_rss_mb", 800.0, "more"),
        ("peak_rss_mb", 100.0, "less"),
        ("events_per_s", 1.0, ""),  # the time is what counts
    ],
)
def test_more_than_the_tolerance_is_a_difference_and_less_is_none(files, name, value, change):
    comparison = compare_costs(*files(**{name: value}))
    assert {entry.name: entry.change for entry in comparison.entries}[name] == change
    assert comparison.equal == (change != "more")
    assert (f"more of: {name}" in repr(comparison)) == (change == "more")


@pytest.mark.parametrize("change", [{"events": 999}, {"threads": 1}, {"mode": "io-only"}, {"workers": ...}])
def test_other_work_cannot_be_compared(files, change):
    comparison = compare_costs(*files(**change))
    assert not comparison.equal
    assert f"not the same work: {next(iter(change))}" in repr(comparison)


def test_other_machines_are_told(files):
    assert "different machines" in repr(compare_costs(*files(machine={"cores": 64})))
    assert "different machines" not in repr(compare_costs(*files()))


@pytest.mark.parametrize(
    "wrong", ["{}", "[]", '{"4j1b_ttbar": {"edges": [0, 1], "contents": [0, 1, 0]}}', '{"mode": 1}']
)
def test_metrics_are_compared_with_metrics_only(files, tmp_path, wrong):
    good, bad = files()
    bad.write_text(wrong)
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(InputError, match=r"b\.json: no metrics\.json of a run.*a\.json"):
            interface.validate(*pair)
    with pytest.raises(InputError, match="no metrics"):
        interface.validate(good, tmp_path / "histograms.root")


@pytest.mark.parametrize("value", ["null", "-1", "NaN", "Infinity", "true", '"4"', "1e301"])
def test_what_is_no_amount_is_passed_over(files, value):
    a, b = files()
    b.write_text(b.read_text().replace('"fit_s": 4.0', f'"fit_s": {value}'))
    assert "fit_s" not in [entry.name for entry in compare_costs(a, b).entries]


def test_nothing_in_common_is_an_error(tmp_path):
    for name in "ab":
        (tmp_path / name).with_suffix(".json").write_text(json.dumps({"mode": "analysis", f"{name}_s": 1}))
    with pytest.raises(InputError, match="no time in common"):
        compare_costs(tmp_path / "a.json", tmp_path / "b.json")


def test_the_command_ends_with_1_if_b_needs_more(files):
    a, b = map(str, files(fit_s=9.0))
    assert CliRunner().invoke(cli, ["validate", a, b]).exit_code == 1
    result = CliRunner().invoke(cli, ["validate", b, a])
    assert result.exit_code == 0
    assert "fit_s" in result.output
