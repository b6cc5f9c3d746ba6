"""The comparison of histograms: what it calls different, and what it does not."""

import json
from dataclasses import replace

import hist
import numpy as np
import pytest
import synthetic
import uproot
from rich.console import Console
from synthetic import histogram

import ttbar
from ttbar.analyses import agc_v2
from ttbar.cli import main
from ttbar.errors import InputError
from ttbar.jobs.normalise import pseudodata
from ttbar.results.histograms import write
from ttbar.results.validate import validate

NAME = "4j1b_ttbar"
WEIGHT = 10.0  # of the events of `histogram`


@pytest.fixture
def files(tmp_path):
    """Write two files, the second with one histogram changed, and compare them."""

    def compare(change=lambda histogram: None, **options):
        changed = histogram("4j1b", "ttbar")
        change(changed)
        other = histogram("4j2b", "wjets")
        write(tmp_path / "a.root", {NAME: histogram("4j1b", "ttbar"), "4j2b_wjets": other})
        write(tmp_path / "b.root", {NAME: changed, "4j2b_wjets": other})
        return validate(tmp_path / "a.root", tmp_path / "b.root", **options)

    return compare


def move(source, target, weight=WEIGHT, variance=None):
    """Make a change that moves an event from one bin to another."""

    def change(changed):
        view = changed.view()
        for index, sign in ((source, -1), (target, 1)):
            view.value[index] += sign * weight
            view.variance[index] += sign * (weight**2 if variance is None else variance)

    return change


def scale(factor):
    def change(changed):
        changed *= factor

    return change


def by_name(comparison):
    return {difference.name: difference for difference in comparison.differences}


def shown(comparison):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(comparison)
    return capture.get()


def test_the_same_is_equal(files):
    comparison = files()
    assert comparison.equal
    assert comparison.compared == 6
    assert comparison.differences == ()
    assert "6 histograms compared: none differ" in shown(comparison)


def test_rounding_is_not_a_difference_but_more_is(files):
    assert files(scale(1 + 1e-10)).equal
    comparison = files(scale(1 + 1e-8))
    assert not comparison.equal
    assert set(by_name(comparison)) == {NAME, f"observable/{NAME}", f"deltaR/{NAME}"}
    assert by_name(comparison)[NAME].largest == pytest.approx(1e-8, rel=0.01)  # of the contents
    assert files(scale(1 + 1e-8), relative=1e-6).equal


@pytest.mark.parametrize(("target", "projection"), [((8, 3), "observable"), ((6, 3), "observable"), ((7, 4), "deltaR")])
def test_an_event_in_a_neighbouring_bin_is_a_migration(files, target, projection):
    comparison = files(move((7, 3), target))
    assert comparison.equal
    assert set(by_name(comparison)) == {NAME, f"{projection}/{NAME}"}
    for difference in comparison.differences:
        assert (difference.migrated, difference.bins) == (1, 2)
        assert not difference.real
    assert "1 event in a neighbouring bin" in shown(comparison)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(move((7, 3), (10, 3)), id="too far"),
        pytest.param(move((7, 3), (8, 3), weight=5 * WEIGHT, variance=5 * WEIGHT**2), id="many events"),
        pytest.param(move((7, 3), (8, 3), weight=0.01, variance=0.01 * WEIGHT), id="part of an event"),
        pytest.param(move((7, 3), (8, 3), weight=0.6 * WEIGHT, variance=0.6 * WEIGHT**2), id="most of an event"),
        pytest.param(move((7, 3), (8, 3), variance=0), id="content without its square"),
        pytest.param(move((7, 3), (8, 3), weight=0, variance=WEIGHT**2), id="square without its content"),
        pytest.param(scale(1.001), id="norm"),
    ],
)
def test_what_an_event_at_an_edge_cannot_explain_is_a_difference(files, change):
    comparison = files(change)
    assert not comparison.equal
    assert by_name(comparison)[NAME].real


def test_an_event_that_is_gone_is_a_difference(files):
    def lose(changed):
        changed.view().value[7, 3] -= WEIGHT
        changed.view().variance[7, 3] -= WEIGHT**2

    assert not files(lose).equal


def test_large_histograms_may_have_more_migrants(tmp_path):
    edges = hist.axis.Regular(10, 0, 10, name="x")
    a = hist.Hist(edges, storage=hist.storage.Weight())
    a.view().value, a.view().variance = 1e5, 1e5
    for moved, equal in ((9, True), (11, False)):
        b = a.copy()
        for view in (b.view().value, b.view().variance):
            view[3] -= moved
            view[4] += moved
        for path, content in (("a.root", a), ("b.root", b)):
            with uproot.recreate(tmp_path / path) as file:
                file["h"] = content
        assert validate(tmp_path / "a.root", tmp_path / "b.root").equal is equal


def contents(value=5.0, variance=5.0, bin_=2):
    """A histogram of five bins with other contents in some bins."""
    made = hist.Hist(hist.axis.Regular(5, 0, 1, name="x"), storage=hist.storage.Weight())
    made.view().value, made.view().variance = 5, 5
    made.view(flow=True).value[bin_], made.view(flow=True).variance[bin_] = value, variance
    return made


def compared(folder, a, b):
    for path, content in (("a.root", a), ("b.root", b)):
        with uproot.recreate(folder / path) as file, np.errstate(all="ignore"):
            file["h"] = content
    return validate(folder / "a.root", folder / "b.root")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bin_", [0, 2, -1, slice(None)])
@pytest.mark.parametrize(
    "wrong",
    [
        {"value": np.inf},
        {"value": -np.inf},
        {"value": np.nan},
        {"variance": np.inf},
        {"variance": np.nan},
        {"value": 4242, "variance": np.inf},
        {"value": np.inf, "variance": np.inf},
        {"value": 5e300, "variance": np.inf},  # what remains of contents times 1e300
        {"value": 5e300},
        {"value": -1e308, "variance": 1e308},
    ],
)
def test_what_is_not_finite_or_huge_is_a_difference(tmp_path, ledger, wrong, bin_):
    good, bad = contents(), contents(bin_=bin_, **wrong)
    pairs = [(good, bad), (bad, good)]
    if not all(map(np.isfinite, wrong.values())):
        pairs.append((bad, bad))
    for a, b in pairs:
        comparison = compared(tmp_path, a, b)
        ledger.add("contents that are not finite", "wrong" if comparison.equal else "detected")
        assert not comparison.equal
        assert "1 histogram compared: 1 differs" in shown(comparison)


def test_bins_of_any_size_are_told_apart(tmp_path):
    def narrow(stop):
        return hist.Hist(hist.axis.Regular(5, 0, stop, name="x"), storage=hist.storage.Weight())

    assert compared(tmp_path, narrow(1e-9), narrow(1e-9)).equal
    assert not compared(tmp_path, narrow(1e-9), narrow(2e-9)).equal
    assert not compared(tmp_path, narrow(1e-9), narrow(np.nextafter(1e-9, 1) * 1.01)).equal


def test_missing_histograms_are_told_by_the_side(tmp_path):
    write(tmp_path / "a.root", {NAME: histogram("4j1b", "ttbar"), "only_a": histogram("4j1b", "wjets")})
    write(tmp_path / "b.root", {NAME: histogram("4j1b", "ttbar"), "only_b": histogram("4j1b", "wjets")})
    comparison = validate(tmp_path / "a.root", tmp_path / "b.root")
    assert not comparison.equal
    assert by_name(comparison)["only_a"].what == "missing in B"
    assert by_name(comparison)["only_b"].what == "missing in A"
    # Two, and each with two projections; what was not compared does not differ.
    assert "3 histograms compared: none differ; 6 are missing in A or B" in shown(comparison)


def test_what_is_missing_is_counted_apart(tmp_path):
    for path, names, factor in (("a.root", "pq", 1), ("b.root", "p", 2)):
        with uproot.recreate(tmp_path / path) as file:
            for name in names:
                file[name] = contents() * factor
    text = shown(validate(tmp_path / "a.root", tmp_path / "b.root"))
    assert "1 histogram compared: 1 differs; 1 is missing in A or B" in text


def test_the_worst_comes_first_and_migrations_last(tmp_path):
    nominal = histogram("4j1b", "ttbar")
    migrated = nominal.copy()
    move((7, 3), (8, 3))(migrated)
    write(tmp_path / "a.root", dict.fromkeys("pqr", nominal))
    write(tmp_path / "b.root", {"p": migrated, "q": nominal * 1.01, "r": nominal * 1.5})
    comparison = validate(tmp_path / "a.root", tmp_path / "b.root")
    assert [each.name for each in comparison.differences if "/" not in each.name] == ["r", "q", "p"]


def test_other_bins_are_a_difference(tmp_path):
    for path, stop in (("a.root", 10), ("b.root", 11)):
        with uproot.recreate(tmp_path / path) as file:
            file["h"] = hist.Hist(hist.axis.Regular(10, 0, stop), storage=hist.storage.Weight())
    comparison = validate(tmp_path / "a.root", tmp_path / "b.root")
    assert by_name(comparison)["h"].what == "other bins"


class TestReference:
    """A file and a JSON reference, or other people's one-dimensional histograms."""

    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "a.root"
        write(path, {NAME: histogram("4j1b", "ttbar")})
        return path

    @pytest.fixture
    def reference(self, tmp_path):
        def make(contents, name=NAME, axis="observable"):
            edges = histogram("4j1b", "ttbar").project(axis).axes[0].edges
            path = tmp_path / "b.json"
            path.write_text(json.dumps({name: {"edges": edges.tolist(), "contents": contents.tolist()}}))
            return path

        return make

    @pytest.fixture
    def contents(self):
        return histogram("4j1b", "ttbar").project("observable").values(flow=True)

    def test_its_names_are_those_of_projections(self, file, reference, contents):
        comparison = validate(file, reference(contents, f"{NAME};1"))
        assert comparison.equal
        assert comparison.compared == 1

    def test_a_plain_name_is_that_of_the_first_axis_whatever_it_is(self, tmp_path, reference):
        made = histogram("4j1b", "ttbar")
        turned = hist.Hist(*made.axes[::-1], storage=made.storage_type(), data=made.view(flow=True).T)
        write(tmp_path / "turned.root", {NAME: turned})
        contents = np.pad(turned.project("deltaR").values(), 1)
        comparison = validate(tmp_path / "turned.root", reference(contents, axis="deltaR"))
        assert comparison.equal
        assert comparison.compared == 1

    def test_a_name_may_have_its_folder(self, file, reference):
        contents = histogram("4j1b", "ttbar").project("deltaR").values()
        with_flow = np.concatenate([[0], contents, [0]])
        assert validate(file, reference(with_flow, f"deltaR/{NAME}", "deltaR")).equal

    @pytest.mark.parametrize("bin_", [0, 5, -1])
    def test_every_bin_counts_flow_too(self, file, reference, contents, bin_):
        contents[bin_] += WEIGHT
        comparison = validate(file, reference(contents))
        assert not comparison.equal
        assert comparison.differences[0].name == f"observable/{NAME}"

    def test_migration_is_recognised_without_sums_of_squares(self, file, reference, contents):
        contents[8:10] += (-WEIGHT, WEIGHT)
        assert validate(file, reference(contents)).differences[0].migrated == 1
        contents[8:10] += (-2 * WEIGHT, 2 * WEIGHT)
        assert validate(file, reference(contents)).differences[0].real

    def test_not_a_number_is_a_difference(self, file, reference, contents):
        contents[5] = np.nan
        assert validate(file, reference(contents)).differences[0].real

    @pytest.mark.parametrize("content", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_so_is_what_a_reference_has_of_it(self, file, reference, contents, content):
        path = reference(contents)
        document = json.loads(path.read_text())
        document[NAME]["contents"][5] = "content"
        path.write_text(json.dumps(document).replace('"content"', content))
        assert validate(file, path).differences[0].real

    def test_an_infinite_sum_of_squares_hides_nothing(self, tmp_path, reference, contents):
        huge = histogram("4j1b", "ttbar").project("observable")
        huge.view().value *= 1e300
        huge.view().variance = np.inf
        with uproot.recreate(tmp_path / "huge.root") as file, np.errstate(all="ignore"):
            file[NAME] = huge
        assert validate(tmp_path / "huge.root", reference(contents)).differences[0].real

    def test_order_of_the_two_does_not_matter(self, file, reference, contents):
        contents[5] += WEIGHT
        comparison = validate(reference(contents), file)
        assert [each.name for each in comparison.differences] == [f"observable/{NAME}"]

    def test_what_the_reference_lacks_is_missing(self, tmp_path, reference, contents):
        path = tmp_path / "more.root"
        write(path, {NAME: histogram("4j1b", "ttbar"), "4j1b_wjets": histogram("4j1b", "wjets")})
        comparison = validate(path, reference(contents))
        assert comparison.equal
        assert comparison.differences == ()
        assert comparison.apart == {"not in the reference": 1}
        assert "1 histogram compared: none differ; 1 not compared: not in the reference" in shown(comparison)

    def test_flat_root_files_work_the_same(self, tmp_path, file):
        with uproot.recreate(tmp_path / "flat.root") as flat:
            flat[NAME] = histogram("4j1b", "ttbar").project("observable")
        assert validate(file, tmp_path / "flat.root").equal

    def test_other_json_is_refused(self, tmp_path, file):
        for text in (
            "{",
            "[1]",
            '{"h": [1, 2]}',
            '{"h": {"edges": [1, 2]}}',
            '{"h": {"edges": 1, "contents": "x"}}',
            '{"h": {"edges": [0, 1], "contents": [0, 1' + 400 * "0" + ", 0]}}",
            100_000 * "[" + 100_000 * "]",
        ):
            path = tmp_path / "bad.json"
            path.write_text(text)
            with pytest.raises(InputError, match=r"bad\.json: not (of the form|a JSON file)"):
                validate(file, path)

    def test_two_references_are_refused(self, reference, contents):
        path = reference(contents)
        with pytest.raises(InputError, match="both JSON"):
            validate(path, path)


class TestPublished:
    """A run of agc-v2 and the histograms that the field publishes of it: both regions, no features."""

    @pytest.fixture(scope="class")
    @classmethod
    def ours(cls):
        some = [each for _, each in agc_v2.analysis.histograms if each.name in ("4j1b", "4j2b", "mass_w1w2")]
        regions = [
            replace(region, histograms=tuple(each for each in region.histograms if each in some))
            for region in agc_v2.analysis.regions
        ]
        fit = replace(agc_v2.analysis.fit, carried_to=())
        analysis = replace(agc_v2.analysis, regions=tuple(regions), fit=fit)
        made = synthetic.histograms(analysis=analysis)
        # A simulation of more events than others, each of which counts less.
        made |= {name: each * 0.1 for name, each in made.items() if name.endswith("_ME_var")}
        return made | dict(pseudodata(analysis, made))

    @pytest.fixture
    def compared(self, ours, tmp_path):
        def compare(change=lambda published: None, **options):
            published = {name: each.values(flow=True).copy() for name, each in ours.items() if name.startswith("4j")}
            for name, values in published.items():
                if name.endswith("_pt_res_up"):
                    values[5:9] *= 1.1
            change(published)
            edges = np.linspace(50, 550, 26).tolist()
            content = {name: {"edges": edges, "contents": each.tolist()} for name, each in published.items()}
            (tmp_path / "published.json").write_text(json.dumps(content))
            write(tmp_path / "ours.root", ours)
            return validate(
                tmp_path / "ours.root", tmp_path / "published.json", random=agc_v2.analysis.random, **options
            )

        return compare

    def test_random_numbers_are_set_apart_and_the_numbers_are_right(self, compared):
        comparison = compared()
        assert comparison.equal
        assert comparison.compared == 124 - 10
        assert sorted(comparison.apart.values()) == [10, 62]
        text = " ".join(shown(comparison).split())
        assert "114 histograms compared: none differ; " in text
        assert "10 not compared: *_pt_res_up, since the random numbers" in text
        assert "62 not compared: not in the reference" in text

    def test_the_analysis_says_what_is_random(self, compared, tmp_path):
        compared()
        ours, published = tmp_path / "ours.root", tmp_path / "published.json"
        for pair in ((ours, published), (published, ours)):
            comparison = ttbar.validate(*pair)
            assert comparison.equal
            assert sorted(comparison.apart.values()) == [10, 62]
        assert not validate(ours, published).equal

    def test_what_differs_is_counted_once(self, compared):
        def differ(published):
            for name in ("4j1b_ttbar", "4j2b_wjets_scale_var_up"):
                published[name][6] *= 1.2
            published["4j2b_ttbar"][8:10] += (-WEIGHT, WEIGHT)
            published["4j2b_ttbar_pt_res_up"][:] = 0

        comparison = compared(differ)
        assert not comparison.equal
        names = {each.name for each in comparison.differences}
        assert names == {"4j1b_ttbar", "4j2b_wjets_scale_var_up", "4j2b_ttbar"}
        assert (
            "114 histograms compared: 2 differ, in 1 an event or a few are on the other side of a bin edge, 111 are"
            in (" ".join(shown(comparison).split()))
        )

    def test_a_migration_of_a_part_is_one_of_the_pseudodata(self, compared):
        def move(published):
            published["4j2b_ttbar_ME_var"][8:10] += (-0.1 * WEIGHT, 0.1 * WEIGHT)
            published["4j2b_pseudodata"][8:10] += (-0.05 * WEIGHT, 0.05 * WEIGHT)

        comparison = compared(move)
        assert comparison.equal
        assert {each.name for each in comparison.differences} == {"4j2b_ttbar_ME_var", "4j2b_pseudodata"}

        def grow(published):
            published["4j2b_pseudodata"][8] += WEIGHT

        assert not compared(grow).equal

    def test_what_the_run_lacks_is_a_difference(self, compared):
        comparison = compared(lambda published: published.update({"4j1b_zjets": published["4j1b_ttbar"]}))
        assert not comparison.equal
        assert [(each.name, each.what) for each in comparison.differences] == [("4j1b_zjets", "missing in A")]


class TestIgnore:
    def test_names_are_left_out_by_patterns(self, files):
        assert not files(scale(1.1)).equal
        comparison = files(scale(1.1), ignore=["*4j1b_tt*"])
        assert comparison.equal
        assert comparison.compared == 3
        assert comparison.apart == {"left out as you wish (--ignore)": 3}
        assert files(scale(1.1), ignore=["4j1b_ttbar"]).compared == 3  # also in folders
        assert not files(scale(1.1), ignore=["observable/*"]).equal
        assert files(scale(1.1), ignore=["observable/*", "deltaR/*", "4j1b_[st]*"]).compared == 1

    def test_the_exit_code_is_that_of_what_was_compared(self, tmp_path):
        made = {name: histogram("4j1b", "ttbar") for name in (NAME, "4j1b_wjets", "4j2b_ttbar")}
        write(tmp_path / "a.root", made)
        write(tmp_path / "b.root", made | {name: made[name] * 1.1 for name in ("4j1b_wjets", "4j2b_ttbar")})
        for patterns, code in (((), 1), (("4j2b_*",), 1), (("4j2b_*", "*_wjets"), 0)):
            options = [part for pattern in patterns for part in ("--ignore", pattern)]
            with pytest.raises(SystemExit) as ended:
                main(["validate", str(tmp_path / "a.root"), str(tmp_path / "b.root"), *options])
            assert ended.value.code == code

    def test_what_is_left_out_is_not_missing(self, tmp_path):
        write(tmp_path / "a.root", {NAME: histogram("4j1b", "ttbar"), "only_a": histogram("4j1b", "wjets")})
        write(tmp_path / "b.root", {NAME: histogram("4j1b", "ttbar")})
        assert validate(tmp_path / "a.root", tmp_path / "b.root", ignore=["only_*"]).equal

    def test_something_must_be_left(self, files):
        with pytest.raises(InputError, match="no histogram in common but what is left out"):
            files(ignore=["*"])

    def test_random_numbers_of_two_runs_are_compared(self, tmp_path):
        name = "4j1b_ttbar_pt_res_up"
        write(tmp_path / "a.root", {name: histogram("4j1b", "ttbar")})
        write(tmp_path / "b.root", {name: histogram("4j1b", "ttbar") * 1.1})
        assert not validate(tmp_path / "a.root", tmp_path / "b.root").equal


class TestBadInput:
    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match=r"a\.root: there is no such file"):
            validate(tmp_path / "a.root", tmp_path / "b.root")

    def test_damaged_file(self, tmp_path):
        path = tmp_path / "a.root"
        write(path, {NAME: histogram("4j1b", "ttbar")})
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(InputError, match=r"a\.root: not a readable ROOT file"):
            validate(path, path)

    def test_no_histograms(self, tmp_path):
        path = tmp_path / "a.root"
        with uproot.recreate(path):
            pass
        with pytest.raises(InputError, match=r"a\.root: there are no histograms"):
            validate(path, path)
