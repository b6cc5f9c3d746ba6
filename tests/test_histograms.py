"""Histograms: out of ROOT, into a file, and back."""

import math
from dataclasses import replace
from functools import reduce

import hist
import numpy as np
import pytest
import synthetic
import uproot

from ttbar.analyses import agc_v1
from ttbar.analyses.analysis import Axis, Histogram, Region
from ttbar.errors import AnalysisError, InputError
from ttbar.execution.analyse import book_histograms
from ttbar.execution.histograms import PARTS, added, as_array
from ttbar.jobs.normalise import as_hist
from ttbar.library import load_root
from ttbar.results.histograms import load, read, write

PT = Axis("muon_pt", 4, 0.0, 200.0, label="$p_{T}$ [GeV]")
ETA = Axis("muon_eta", 2, -2.0, 2.0, label="eta", flow=False)
ANALYSIS = replace(
    agc_v1.analysis,
    regions=(
        *agc_v1.analysis.regions,
        Region("3j", condition="true", title="3 jets", histograms=(Histogram("muon", (PT,)), Histogram("eta", (ETA,)))),
    ),
)


def filled(definition, rows, weight="2."):
    """Fill a histogram in an event loop: the C++ action, and the copy of what it holds."""
    root = load_root()
    numbers = [root.std.vector["double"](column) for column in zip(*rows, strict=True)]
    frame = root.RDataFrame(len(rows)).Define("weight", weight)
    for axis, values in zip(definition.axes, numbers, strict=True):
        root.gInterpreter.Declare(f"std::vector<double> test_{axis.column};")
        setattr(root, f"test_{axis.column}", values)
        frame = frame.Define(axis.column, f"test_{axis.column}[rdfentry_]")
    ((_, booked),) = book_histograms(frame, [definition], {}, n_factors=0)
    (bins,) = booked.GetValue()
    return bins, as_hist(as_array(bins, definition), definition)


class TestFilling:
    def test_one_axis_with_flow(self):
        bins, copy = filled(Histogram("h", (PT,)), [(-1.0,), (60.0,), (60.0,), (1e9,), (50.0,)])
        assert copy.values(flow=True).tolist() == [2, 0, 6, 0, 0, 2]
        assert copy.variances(flow=True).tolist() == [4, 0, 12, 0, 0, 4]
        assert copy.axes[0].name == "muon_pt"
        assert copy.axes[0].label == "p_{T} [GeV]"  # ROOT's TeX
        assert (bins.entries, bins.outside, bins.not_finite) == (5, 0, 0)

    def test_what_lies_outside_is_dropped_and_counted_where_the_axis_says_so(self):
        outside = [(10.0, -3.0), (10.0, 2.0), (1e9, 5.0)]
        bins, copy = filled(Histogram("h", (PT, ETA)), [*outside, (-1.0, 1.0), (60.0, -1.0), (60.0, 1.0)])
        expected = np.zeros((6, 4))
        expected[0, 2] = expected[2, 1] = expected[2, 2] = 2
        assert copy.values(flow=True).tolist() == expected.tolist()
        assert copy.variances(flow=True).tolist() == (2 * expected).tolist()
        assert (bins.entries, bins.outside, bins.not_finite) == (3, 3, 0)

    def test_elements_of_a_vector_are_filled_as_each_of_them_alone(self):
        rows = [(-1.0, 0.5), (60.0, np.nan), (60.0, -3.0), (1e9, -2.0), (np.inf, 1.0), (50.0, 1.5)]
        alone = [
            filled(Histogram(axis.column, (axis,)), [row[number : number + 1] for row in rows])
            for number, axis in enumerate((PT, ETA))
        ]
        root = load_root()
        frame = root.RDataFrame(len(rows)).Define("weight", "2.")
        frame = frame.Define("vector", "ROOT::RVecD{0., test_muon_eta[rdfentry_], test_muon_pt[rdfentry_]}")
        histograms = [Histogram("eta", (ETA,)), Histogram("pt", (PT,))]
        ((together, booked),) = book_histograms(
            frame, histograms, {"muon_pt": ("vector", 2), "muon_eta": ("vector", 1)}, n_factors=0
        )
        assert together == tuple(histograms)
        for histogram, found, (bins, copy) in zip(histograms, booked.GetValue(), alone[::-1], strict=True):
            assert as_hist(as_array(found, histogram), histogram) == copy
            assert [getattr(found, what) for what in ("entries", "outside", "not_finite")] == [
                getattr(bins, what) for what in ("entries", "outside", "not_finite")
            ]

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_counted_apart(self, value):
        bins, copy = filled(Histogram("h", (PT, ETA)), [(value, 0.0), (10.0, value), (10.0, 0.0)])
        assert copy.sum(flow=True).value == 2
        assert (bins.entries, bins.outside, bins.not_finite) == (1, 0, 2)

    def test_a_weight_that_is_not_finite_is_counted(self):
        bins, copy = filled(Histogram("h", (PT,)), [(10.0,), (20.0,)], weight="rdfentry_ == 0 ? 1. / 0. : 3.")
        assert copy.sum(flow=True).value == 3
        assert (bins.entries, bins.not_finite) == (1, 1)

    def test_other_weights_are_the_weight_times_factors(self):
        rows = [(10.0,), (60.0,), (60.0,), (np.nan,)]
        filled(Histogram("h", (PT,)), rows)  # which makes the numbers known
        frame = load_root().RDataFrame(len(rows)).Define("muon_pt", "test_muon_pt[rdfentry_]")
        frame = frame.Define("weight", "double(1 + rdfentry_)").Define("weight_factors", "ROOT::RVecD{-0.5, 1. / 0.}")
        ((_, booked),) = book_histograms(frame, [Histogram("h", (PT,))], {}, n_factors=2)
        once, half, infinite = booked.GetValue()
        assert list(once.values) == [0, 1, 5, 0, 0, 0]
        assert list(once.variances) == [0, 1, 13, 0, 0, 0]
        assert list(half.values) == [0, -0.5, -2.5, 0, 0, 0]
        assert list(half.variances) == [0, 0.25, 3.25, 0, 0, 0]
        assert [(bins.entries, bins.not_finite) for bins in (once, half, infinite)] == [(3, 1), (3, 1), (0, 4)]

    @pytest.mark.parametrize("number", [1, 3])
    def test_a_variation_with_another_number_of_factors_is_refused(self, number):
        with pytest.raises(Exception, match=f"a weight variation has {number} factors, not 2"):
            load_root().ttbar.weight_factors([(2, [1.0] * number)])

    def test_bins_are_those_of_root(self):
        random = np.random.default_rng(1)
        values = np.concatenate([np.linspace(-10, 260, 5401), PT.edges, random.uniform(-10, 260, 5000)])
        _, copy = filled(Histogram("h", (PT,)), [(value,) for value in values])
        of_root = load_root().TAxis(PT.bins, PT.low, PT.high)
        expected = np.bincount([of_root.FindBin(float(value)) for value in values], minlength=PT.bins + 2)
        assert copy.values(flow=True).tolist() == (2 * expected).tolist()


class TestAdding:
    @pytest.mark.parametrize("sizes", [(0.9, 1.1), (-1.0, 1.0), (1e-3, 1e3)])
    def test_neither_order_nor_parts_change_a_bit(self, sizes):
        random = np.random.default_rng(1)
        weights = random.uniform(*sizes, 3000)
        parts = np.zeros((len(weights), len(PARTS), 1))
        parts[:, 0, 0], parts[:, 1, 0] = weights, weights**2
        sums, plain = set(), set()
        for _ in range(4):
            random.shuffle(parts)
            first = reduce(added, parts[:1000])
            sums.add(reduce(added, parts[1000:], first).tobytes())
            sums.add(added(first, reduce(added, parts[1000:])).tobytes())
            plain.add(sum(parts[:, 0, 0]))
        assert len(plain) > 1
        ((value,), (variance,), *_) = np.frombuffer(*sums).reshape(len(PARTS), 1)
        assert value == math.fsum(weights)
        assert variance == math.fsum(weights**2)

    def test_what_rounding_left_counts(self):
        small = np.array([[1e-20], [0.0], [0.0], [0.0]])
        large = np.array([[1.0], [1.0], [0.0], [0.0]])
        assert added(large, small).tolist() == [[1.0], [1.0], [1e-20], [0.0]]
        assert added(added(small, large), -large).tolist() == small.tolist()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("histograms") / "histograms.root"
    made = synthetic.histograms(analysis=ANALYSIS)
    write(path, {name: each for name, each in made.items() if not name.startswith("4j2b_wjets")})
    return path


def test_one_dimensional_ones_have_no_projections(file):
    with uproot.open(file) as written:
        classes = written.classnames(cycle=False)
    assert classes["muon_ttbar"] == classes["eta_ttbar"] == "TH1D"
    assert classes["4j1b_ttbar"] == "TH2D"
    assert {name.partition("/")[0] for name in classes if "/" in name} == {"observable", "deltaR"}
    assert classes["deltaR/4j1b_ttbar_ME_var"] == "TH1D"
    assert "observable/muon_ttbar" not in classes


def test_one_is_loaded_for_each_of_the_analysis(file):
    loaded, single = load(file, ANALYSIS), read(file)
    assert list(loaded) == ["4j1b", "4j2b", "muon", "eta"]
    assert loaded["4j1b"].axes.name == ("observable", "deltaR", "process", "variation")
    assert loaded["muon"].axes.name == ("muon_pt", "process", "variation")
    part = loaded["4j1b"][..., "ttbar", "ME_var"]
    assert np.array_equal(part.values(flow=True), single["4j1b_ttbar_ME_var"].values(flow=True)[:, 1:-1])
    assert np.array_equal(part.variances(flow=True), single["4j1b_ttbar_ME_var"].variances(flow=True)[:, 1:-1])
    assert part.values().any()
    assert list(loaded["4j1b"].axes["process"])[-2:] == ["wjets", "ttbar"]
    assert "wjets" not in loaded["4j2b"].axes["process"]
    assert not loaded["4j1b"][..., "wjets", "ME_var"].values(flow=True).any()  # there is no such sample
    whole = loaded["muon"][:, :, "nominal"].project("muon_pt").values(flow=True).sum()
    assert whole == pytest.approx(
        sum(single[f"muon_{each.name}"].values(flow=True).sum() for each in ANALYSIS.simulated)
    )


def test_a_file_of_another_analysis_is_refused(file):
    other = replace(ANALYSIS, regions=ANALYSIS.regions[2:], fit=replace(ANALYSIS.fit, regions=()))
    coarse = replace(other.regions[0], histograms=(Histogram("muon", (replace(PT, bins=2),)),))
    with pytest.raises(InputError, match=r"muon_.* does not have the bins of this analysis"):
        load(file, replace(other, regions=(coarse,)))
    flat = replace(other.regions[0], histograms=(Histogram("4j1b", (PT,)),))
    with pytest.raises(InputError, match=r"4j1b_.* does not have the bins of this analysis"):
        load(file, replace(other, regions=(flat,)))
    named = replace(other.regions[0], histograms=(Histogram("unknown", (PT,)),))
    with pytest.raises(InputError, match="no histogram of the analysis agc-v1"):
        load(file, replace(other, regions=(named,)))


@pytest.mark.parametrize("part", ["value", "variance"])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("bin_", [0, 2, -1])
def test_what_is_not_finite_is_never_written(tmp_path, ledger, part, wrong, bin_):
    good, bad = (hist.Hist(hist.axis.Regular(4, 0, 1, name="x"), storage=hist.storage.Weight()) for _ in range(2))
    bad.view(flow=True)[part][bin_] = wrong
    with pytest.raises(AnalysisError, match="4j1b_ttbar has a bin that is infinite or not a number"):
        write(tmp_path / "histograms.root", {"4j1b_wjets": good, "4j1b_ttbar": bad})
    ledger.add("contents that are not finite", "detected")
    assert not list(tmp_path.iterdir())


def test_nothing_that_a_file_has_of_squares_is_hidden(tmp_path):
    made = hist.Hist(hist.axis.Regular(4, 0, 1, name="x"), storage=hist.storage.Weight())
    made.view().variance = [1, -1, np.nan, np.inf]
    with uproot.recreate(tmp_path / "a.root") as file:
        file["h"] = made
    np.testing.assert_array_equal(read(tmp_path / "a.root")["h"].variances(), [1, -1, np.nan, np.inf])
