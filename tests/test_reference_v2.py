"""The reference of agc-v2 against events worked out by hand, and its comparison with files."""

import math

import awkward as ak
import hist
import numpy as np
import pytest
import reference_v2
import synthetic_nanoaod
import uproot
import xgboost
from compare import compare_cutflow, differences_1d
from reference_common import UNIVERSES, Reference, UniverseResult, read_dataset, smearing
from reference_v2 import FEATURES, OneLeptonEvents, permutations

FORMATS = ("TTree", "RNTuple")
ELECTRON = {"pt": 35.0, "eta": 0.5, "phi": 1.0, "mass": -0.01, "sip3d": 1.0, "cutBased": 4}
MUON = {"pt": 35.0, "eta": 0.5, "phi": 1.0, "mass": 0.105, "sip3d": 1.0, "pfRelIso04_all": 0.05, "tightId": True}
JET = {"pt": 40.0, "eta": 0.0, "phi": 0.0, "mass": 0.0, "btagCSVV2": 0.0, "qgl": 0.5, "jetId": 6}
DTYPES = {"cutBased": "i4", "jetId": "i4", "tightId": "?"}


def train(weights):
    """Train a model that favours large, or small, values of some features, given by their index."""
    random = np.random.default_rng(3)
    rows = random.uniform(0, 1, (4000, len(FEATURES)))
    limits = np.array(list(FEATURES.values()))
    rows = limits[:, 0] + rows * (limits[:, 1] - limits[:, 0])
    spread = limits[:, 1] - limits[:, 0]
    score = sum(weight * rows[:, index] / spread[index] for index, weight in weights.items())
    labels = score + random.normal(0, 0.05, len(rows)) > np.median(score)
    parameters = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(rows, labels), num_boost_round=40)


def stump(feature, threshold):
    """A single split: permutations with a larger value win, and are equal."""
    rows = np.zeros((200, len(FEATURES)))
    rows[:, feature] = np.where(np.arange(200) < 100, threshold - 1e-3, threshold + 1e-3)
    parameters = {"objective": "binary:logistic", "max_depth": 1, "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(rows, np.arange(200) >= 100), num_boost_round=1)


@pytest.fixture(scope="module")
def models():
    """Models that look at all features, each in its own way."""
    signs = np.random.default_rng(4).uniform(-1, 1, (2, len(FEATURES)))
    return tuple(train(dict(enumerate(each))) for each in signs)


@pytest.fixture(scope="module")
def pt_of_a():
    """Both models: permutations with pt of a above 50 GeV win."""
    return (stump(8, 50.0),) * 2


def make_events(*events):
    """Build events from dictionaries with lists of objects."""
    columns = {
        name: np.array([event.get(name, 1) for event in events], dtype)
        for name, dtype in (("run", "u4"), ("luminosityBlock", "u4"), ("event", "u8"))
    }
    for collection, defaults in (("Electron", ELECTRON), ("Muon", MUON), ("Jet", JET)):
        objects = [event.get(collection, []) for event in events]
        for name in defaults:
            flat = np.array([each[name] for members in objects for each in members], DTYPES.get(name, "f4"))
            columns[f"{collection}_{name}"] = ak.unflatten(flat, [len(members) for members in objects])
    return ak.Array(columns)


def make_jets(n, **quantities):
    """Build jets; what is not given, or not for all of them, is as in `JET`."""
    jets = [dict(JET) for _ in range(n)]
    for name, values in quantities.items():
        for jet, value in zip(jets, values, strict=False):
            jet[name] = value
    return jets


def event_with(jets, **more):
    return {"Muon": [MUON], "Jet": jets, **more}


def analyse(events, models, universe="nominal", **more) -> UniverseResult:
    return reference_v2.analyse(OneLeptonEvents.select(events), len(events), universe, models, 1, **more)


def reached(event, models, universe="nominal"):
    counts = analyse(make_events(event), models, universe).cutflow
    return [cut for cut, count in zip(reference_v2.CUTS, counts, strict=True) if count]


# --- the selection ------------------------------------------------------------------------------------------


def next_to(value, towards):
    return float(np.nextafter(np.float32(value), np.float32(towards)))


@pytest.mark.parametrize(
    ("collection", "changes", "passes"),
    [
        ("Electron", {}, True),
        ("Muon", {}, True),
        *((kind, {"pt": 30.0}, False) for kind in ("Electron", "Muon")),
        *((kind, {"pt": next_to(30, 31)}, True) for kind in ("Electron", "Muon")),
        *((kind, {"eta": next_to(2.1, 3)}, False) for kind in ("Electron", "Muon")),
        *((kind, {"eta": -next_to(2.1, 3)}, False) for kind in ("Electron", "Muon")),
        *((kind, {"eta": -2.0999999}, True) for kind in ("Electron", "Muon")),  # below 2.1 in double precision
        *((kind, {"sip3d": 4.0}, False) for kind in ("Electron", "Muon")),
        *((kind, {"sip3d": next_to(4, 0)}, True) for kind in ("Electron", "Muon")),
        *(("Electron", {"cutBased": value}, False) for value in (0, 1, 2, 3)),
        ("Muon", {"tightId": False}, False),
        ("Muon", {"pfRelIso04_all": next_to(0.15, 1)}, False),
        ("Muon", {"pfRelIso04_all": next_to(0.15, 0)}, True),
    ],
)
def test_a_lepton(collection, changes, passes, pt_of_a):
    kinds = {"Electron": ELECTRON, "Muon": MUON}
    event = {collection: [kinds[collection] | changes], "Jet": make_jets(4)}
    assert ("one_lepton" in reached(event, pt_of_a)) == passes
    # One that is not selected is no veto, one that is is one.
    assert ("one_lepton" in reached(event | {"Muon": [MUON, *event.get("Muon", [])]}, pt_of_a)) == (not passes)


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        *(({"jetId": value}, passes) for value, passes in ((0, False), (2, False), (4, True), (6, True))),
        ({"pt": 30.0}, False),
        ({"pt": next_to(30, 31)}, True),
        ({"eta": 2.4}, False),  # as a float32 it is larger
        ({"eta": next_to(2.4, 0)}, True),
        ({"eta": -2.4}, False),
        ({"btagCSVV2": -10.0}, True),
    ],
)
def test_a_jet(changes, passes, pt_of_a):
    jets = [*make_jets(3), JET | changes]
    assert ("four_jets" in reached(event_with(jets), pt_of_a)) == passes


@pytest.mark.parametrize(
    ("btags", "region"),
    [
        ([], "four_jets"),
        ([0.5], "four_jets"),
        ([next_to(0.5, 1)], "4j1b"),
        ([0.9, 0.5], "4j1b"),
        ([0.9, next_to(0.5, 1)], "4j2b"),
        ([1.0, 1.0, 1.0, 1.0], "4j2b"),
        ([0.9, -10.0, 0.0, 0.0, 0.9], "4j1b"),  # the fifth is not selected
    ],
)
def test_a_btag_is_strictly_above_one_half(btags, region, pt_of_a):
    jets = make_jets(5, btagCSVV2=btags, jetId=[6, 6, 6, 6, 2])
    assert reached(event_with(jets), pt_of_a)[-1] == region


# --- the observable -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("universe", UNIVERSES)
def test_ht_sums_what_is_selected_with_its_factor(universe, pt_of_a):
    pts = [40.0, 29.5, 50.0, 10.0, 60.0, 70.0]
    event = event_with(make_jets(6, pt=pts, btagCSVV2=[0.9]), run=5, luminosityBlock=6, event=7)
    factors = {
        "nominal": np.ones(6),
        "pt_scale_up": np.full(6, 1.03),
        "pt_res_up": smearing(5, 6, np.uint64(7), np.arange(6), 1),
    }[universe]
    found = analyse(make_events(event), pt_of_a, universe).selected
    scaled = factors * pts
    assert found["observable"] == pytest.approx([scaled[scaled > 30].sum()], rel=1e-14)
    assert found["jet_pt"][0].tolist() == np.array(pts)[scaled > 30][:4].tolist()  # as stored


def test_the_trijet_is_taken_from_all_jets_and_scaled(pt_of_a):
    # The last three of eight are parallel and hard, only the eighth of them has a b-tag.
    jets = make_jets(
        8,
        pt=[31, 32, 33, 34, 35, 200, 200, 200],
        phi=[-3, -2, -1, 0, 1, 2.0, 2.0, 2.0],
        btagCSVV2=[0.9, 0, 0, 0, 0, 0, 0, 0.9],
        mass=[5, 5, 5, 5, 5, 150, 150, 150],
    )
    assert analyse(make_events(event_with(jets)), pt_of_a).selected["observable"] == pytest.approx([450], rel=1e-12)
    found = analyse(make_events(event_with(jets)), pt_of_a, "pt_scale_up").selected
    # The mass of a jet is as it is: that of three in one direction with the same speed does not change.
    assert found["observable"] == pytest.approx([450], rel=1e-12)
    for jet, eta in zip(jets[-3:], (1.0, 0.0, -1.0), strict=True):
        jet.update(mass=0.0, eta=eta)
    masses = [analyse(make_events(event_with(jets)), pt_of_a, u).selected["observable"][0] for u in UNIVERSES[:2]]
    expected = math.sqrt(2 * 200**2 * (2 * math.cosh(1) + math.cosh(2) - 3))
    assert masses == pytest.approx([expected, 1.03 * expected], rel=1e-12)


def test_trijets_of_equal_pt_are_known_as_a_tie(pt_of_a):
    jets = make_jets(4, pt=[100, 100, 50, 50], phi=[0, 0, 1, 1], eta=[0, 0, 1, 2], btagCSVV2=[0.9, 0.9])
    found = analyse(make_events(event_with(jets)), pt_of_a).selected
    assert found["ambiguous"].all()
    assert np.isinf(found["observable_bounds"]).all()


# --- the jet assignment -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "number", "first"),
    [
        (4, 12, "1023 1032 2013 2031 2103"),
        (5, 60, "1023 1024 1032 1034 1042"),
        (6, 180, "1023 1024 1025 1032 1034"),
    ],
)
def test_permutations_are_the_defined_ones(n, number, first):
    found = permutations(n)
    assert found.shape == (number, 4)
    assert ["".join(map(str, each)) for each in found[:5].tolist()] == first.split()
    assert len({tuple(each) for each in found.tolist()}) == number
    assert (found[:, 0] > found[:, 1]).all()
    assert all(len(set(each)) == 4 for each in found.tolist())
    assert found.tolist() == sorted(found.tolist())
    assert set(found.ravel().tolist()) == set(range(n))


def column_of(particles, name):
    return np.array([[each[name] for each in particles]], "f4").astype(float)


def features_of(lepton, jets, permutation):
    """Features of one permutation by their names."""
    values, bounds = reference_v2.features(
        {name: column_of([lepton], name)[:, 0] for name in ("pt", "eta", "phi", "mass")},
        {name: column_of(jets, name) for name in JET},
        len(jets),
    )
    assert (bounds[..., 0] <= values).all()
    assert (values <= bounds[..., 1]).all()
    row = permutations(len(jets)).tolist().index(list(permutation))
    return dict(zip(FEATURES, values[0, row].tolist(), strict=True))


def test_features_of_a_hand_worked_event():
    jets = make_jets(
        5,
        pt=[40, 50, 60, 80, 99],
        eta=[0, 0, 1.5, -0.5, 2],
        phi=[0, 3, -3, 1, 2],
        mass=[30, 0, 6, 0, 9],
        btagCSVV2=[0.75, 0.5, 0.25, -10, 1],
        qgl=[-1, 0, 0.25, 0.5, 1],
    )
    lepton = {"pt": 35, "eta": 0.5, "phi": -3, "mass": 0}
    found = features_of(lepton, jets, (1, 0, 3, 2))  # a = 1, b = 0, c = 3, d = 2
    ex, ey = 40 + 50 * math.cos(3) + 80 * math.cos(1), 50 * math.sin(3) + 80 * math.sin(1)
    e2, p2 = 50.0 + 50, (40 + 50 * math.cos(3)) ** 2 + (50 * math.sin(3)) ** 2
    e3, pz = 100 + 80 * math.cosh(0.5), 80 * math.sinh(-0.5)
    ed, zd = math.sqrt((60 * math.cosh(1.5)) ** 2 + 36), 60 * math.sinh(1.5)
    el, zl = 35 * math.cosh(0.5), 35 * math.sinh(0.5)
    expected = [
        *(1.0, 3.0, math.sqrt(0.5**2 + 2**2), math.sqrt(0.5**2 + 1)),
        math.sqrt((el + ed) ** 2 - 95**2 - (zl + zd) ** 2),
        math.sqrt(e2**2 - p2),
        math.sqrt(e3**2 - ex**2 - ey**2 - pz**2),
        math.hypot(ex, ey),
        *(50, 40, 80, 60),
        *(0.5, 0.75, -10, 0.25),
        *(0, -1, 0.5, 0.25),
    ]
    assert list(found.values()) == pytest.approx(expected, rel=1e-12)
    # phi is not wrapped: the lepton at -3 is close to the jet at 3
    assert features_of(lepton, jets, (3, 0, 2, 1))["deltar_leptonbtoplep"] == math.sqrt(0.5**2 + 6**2)


def test_a_negative_mass_has_a_negative_square_with_the_lepton_alone():
    lepton = {"pt": 50, "eta": 0, "phi": 0, "mass": -30}
    jets = make_jets(4, pt=[50] * 4, mass=[-30, 30, 0, -60])

    def m2(i, j):  # all parallel: E is all that differs
        return (math.sqrt(2500 + i) + math.sqrt(2500 + j)) ** 2 - 100**2

    assert features_of(lepton, jets, (2, 1, 3, 0))["mass_leptonbtoplep"] == pytest.approx(-math.sqrt(-m2(-900, -900)))
    positive = features_of(lepton | {"mass": 30}, jets, (3, 2, 0, 1))["mass_leptonbtoplep"]
    assert positive == pytest.approx(math.sqrt(m2(900, 900)))
    # -60 squared is more than the momentum squared: the energy is 0
    zero = features_of(lepton, jets, (2, 1, 0, 3))["mass_leptonbtoplep"]
    assert zero == pytest.approx(-math.sqrt(100**2 - (2500 - 900)))
    # everywhere else the sign does not matter
    pair = features_of(lepton, jets, (1, 0, 2, 3))
    assert pair["mass_w1w2"] == pytest.approx(math.sqrt(m2(900, 900)))
    assert pair["mass_w1w2"] == pytest.approx(60)


def test_an_event_is_scored_by_the_model_of_the_other_parity():
    # The even model takes a large pt as a, the odd one takes a large pt as d.
    even, odd = stump(8, 50.0), stump(11, 50.0)
    jets = make_jets(4, pt=[40, 40, 40, 60], btagCSVV2=[0.9, 0.9])
    numbers = [2, 3, 2**32, 2**32 + 1, 2**63 + 1]
    found = analyse(make_events(*(event_with(jets, event=number) for number in numbers)), (even, odd)).selected
    by_even, by_odd = [3, 0, 1, 2], [1, 0, 2, 3]
    assert found["permutation"].tolist() == [by_odd, by_even, by_odd, by_even, by_even]


@pytest.mark.parametrize(
    ("pts", "winner"),
    [
        ([60, 40, 40, 40], (1, 0, 2, 3)),  # jet 0 is never a: all are equal
        ([40, 40, 60, 60, 40], (2, 0, 1, 3)),
        ([40, 40, 40, 40, 40, 60, 60], (5, 0, 1, 2)),
        ([40, 40, 40, 40, 40, 40, 60], (1, 0, 2, 3)),  # the seventh does not count
    ],
)
def test_the_first_of_equal_scores_wins(pts, winner, pt_of_a):
    jets = make_jets(len(pts), pt=pts, phi=np.arange(len(pts)) / 3, btagCSVV2=[0.9, 0.9])
    found = analyse(make_events(event_with(jets)), pt_of_a).selected[0]
    assert tuple(found["permutation"].tolist()) == winner
    assert found["score_gap"] == 0
    assert found["features"][8] == pts[winner[0]]
    assert not found["ambiguous"]


def test_features_and_model_see_the_scaled_pt(pt_of_a):
    jets = make_jets(4, pt=[40, 40, 49, 40], phi=[0, 1, 2, 3], btagCSVV2=[0.9, 0.9])
    event = make_events(event_with(jets))
    assert analyse(event, pt_of_a).selected["permutation"].tolist() == [[1, 0, 2, 3]]
    found = analyse(event, pt_of_a, "pt_scale_up").selected[0]
    assert found["permutation"].tolist() == [2, 0, 1, 3]
    assert found["features"][8] == 1.03 * 49
    assert found["features"][5] == pytest.approx(1.03 * math.sqrt(2 * 49 * 40 * (1 - math.cos(2))))


class Threshold:
    """A booster whose score says whether the second feature is above a value."""

    def __init__(self, value):
        self.value = value

    def predict(self, matrix, validate_features):
        return (matrix.get_data().toarray()[:, 1] > self.value).astype(np.float32)


@pytest.mark.parametrize(
    ("rounding", "distance", "known"),
    [(1e-6, 5e-7, True), (1e-6, -5e-7, True), (1e-6, 5e-6, False), (1e-13, 5e-7, False)],
)
def test_a_winner_that_depends_on_rounding_is_known(rounding, distance, known, monkeypatch):
    monkeypatch.setattr(reference_v2, "FEATURE_ROUNDING", rounding)
    # a = 3 and b = 0 are the farthest apart: above or below the threshold, with a little rounding
    jets = make_jets(4, pt=[40, 41, 42, 43], phi=[0, 1, 2, 3], eta=[0, 0.1, 0.3, 0.7], btagCSVV2=[0.9, 0.9])
    model = Threshold(math.sqrt(3**2 + np.float32(0.7).astype(float) ** 2) * (1 + distance))
    found = analyse(make_events(event_with(jets)), (model, model)).selected[0]
    assert found["permutation"].tolist() == ([1, 0, 2, 3] if distance > 0 else [3, 0, 1, 2])
    assert np.isinf(found["feature_bounds"]).all() == known
    assert found["ambiguous"] == known


def test_an_event_does_not_depend_on_its_neighbours(models):
    columns = synthetic_nanoaod.events(120, 6)
    events = ak.Array(columns)
    together = analyse(events, models, "pt_res_up")
    alone = UniverseResult.sum([analyse(events[i : i + 1], models, "pt_res_up") for i in range(120)])
    assert {4, 5, 6, 7} <= set(together.selected["n_jets"])
    assert together.cutflow.tolist() == alone.cutflow.tolist()
    alone.selected["entry"] = together.selected["entry"]
    assert np.array_equal(together.selected, alone.selected)
    assert np.array_equal(analyse(events, models, "pt_res_up", block=3).selected, together.selected)


# --- histograms ---------------------------------------------------------------------------------------------


def fill(values, bounds=None, weight=1.0, limits=(50.0, 550.0), strays=0):
    values = np.array(values, float)
    bounds = np.stack([values, values], axis=-1) if bounds is None else np.array(bounds)
    return reference_v2.Histogram.fill(limits, values, bounds, weight, strays)


def test_bins_have_flow_and_include_their_lower_edge():
    counts = fill([-10, 49.9, 50, 69.9, 70, 549.9, 550, 1e9]).counts
    assert np.repeat(np.arange(27), counts).tolist() == [0, 0, 1, 1, 2, 25, 26, 26]
    assert np.flatnonzero(fill([-10, 1], limits=(0.0, 1.0)).counts).tolist() == [0, 26]
    assert np.flatnonzero(fill([-1], limits=(-1.0, 1.0)).counts).tolist() == [1]


def test_an_event_that_may_be_in_either_of_two_bins_is_slack_in_both():
    found = fill([60, 70], [(60, 60), (69.9, 70)], np.array([1.0, -3.0]))
    assert found.slack[:, :4].tolist() == [[0, 1, 1, 0], [0, 3, 3, 0], [0, 9, 9, 0]]
    assert found.values[:4].tolist() == [0, 1, -3, 0]
    assert (fill([60], [reference_v2.ANYWHERE], 2.0).slack == [[1], [2], [4]]).all()
    assert (fill([60], weight=2.0, strays=3).slack == [[3], [6], [12]]).all()


@pytest.fixture(scope="module", params=FORMATS)
def expected(models, request, tmp_path_factory):
    """A reference of three samples, hence with pseudodata, and one more."""
    folder = tmp_path_factory.mktemp(request.param)
    samples = ("wjets__nominal", "ttbar__ME_var", "ttbar__PS_var", "single_top_tW__nominal")
    dataset = synthetic_nanoaod.write_dataset(folder, 900, samples=samples, format_=request.param)
    paths = []
    for name, model in zip(("even", "odd"), models, strict=True):
        paths.append(folder / f"{name}.json")
        model.save_model(paths[-1])
    return reference_v2.run(read_dataset(dataset), tuple(paths))


def test_histograms_of_a_run(expected):
    names = [*("4j1b", "4j2b"), *FEATURES]
    assert len(names) == 22
    assert len(expected.histograms) == 22 * (13 + 1 + 1 + 11 + 1)
    for name in names:
        assert {f"{name}_wjets_scale_var_down", f"{name}_ttbar_PS_var"} <= expected.histograms.keys()
        assert {f"{name}_single_top_tW_btag_var_3_up", f"{name}_pseudodata"} <= expected.histograms.keys()
        me, ps, wjets, pseudodata = (
            expected.histograms[f"{name}_{each}"] for each in ("ttbar_ME_var", "ttbar_PS_var", "wjets", "pseudodata")
        )
        assert pseudodata.values == pytest.approx((me.values + ps.values) / 2 + wjets.values)
        assert pseudodata.variances == pytest.approx((me.variances + ps.variances) / 4 + wjets.variances)
    cuts = {cut["cut"]: cut["events"] for cut in expected.cutflow["wjets__nominal"]["nominal"]}
    assert list(cuts) == ["all", "one_lepton", "four_jets", "4j1b", "4j2b"]
    assert cuts["all"] == 900
    for name in FEATURES:
        assert expected.histograms[f"{name}_wjets"].counts.sum() == cuts["4j2b"]
    assert expected.histograms["4j1b_wjets"].counts.sum() == cuts["4j1b"]
    selected = expected.universes["wjets__nominal"]["nominal"].selected
    in_4j2b = selected[selected["region"] == "4j2b"]
    factors = 1 + 0.075 * in_4j2b["jet_pt"][:, 2] / 50
    varied = expected.histograms["qgl_w1_wjets_btag_var_2_up"]
    weight = expected.histograms["4j2b_wjets"].weight
    assert weight == pytest.approx(61457 * 0.252 * 3378 / 900)
    assert varied.values.sum() == pytest.approx(weight * factors.sum())
    assert varied.variances.sum() == pytest.approx(weight**2 * (factors**2).sum())


def write(path, reference, spoil=lambda contents: None):
    """Write the histograms of a reference; `spoil` may change axes and contents, of shape (27, 2)."""
    contents = {
        name: [hist.axis.Regular(25, *each.limits), np.stack([each.values, each.variances], axis=-1)]
        for name, each in reference.histograms.items()
    }
    spoil(contents)
    with uproot.recreate(path) as file:
        for name, (axis, content) in contents.items():
            histogram = hist.Hist(axis, storage=hist.storage.Weight())
            histogram.view(flow=True).value, histogram.view(flow=True).variance = content.T
            file[name] = histogram


@pytest.fixture
def small():
    """A reference of two events; the second may be in the sixth bin or in the seventh."""
    histogram = fill([60, 170], [(60, 60), (169.9, 170)], 2.0)
    return Reference({"4j1b_ttbar": histogram, "4j2b_ttbar": fill([200, 200], weight=2.0)}, {}, {})


def test_comparison_accepts_what_is_equal(expected, small, tmp_path):
    for reference in expected, small:
        write(tmp_path / "histograms.root", reference)
        assert differences_1d(tmp_path / "histograms.root", reference) == []


def test_comparison_accepts_a_tie_the_other_way_and_nothing_else(small, tmp_path):
    def move(first, last):
        def spoil(contents):
            content = contents["4j1b_ttbar"][1]
            content[last] += content[first]
            content[first] = 0

        return spoil

    write(tmp_path / "histograms.root", small, move(7, 6))
    assert differences_1d(tmp_path / "histograms.root", small) == []
    write(tmp_path / "histograms.root", small, move(7, 8))
    assert differences_1d(tmp_path / "histograms.root", small)[0].startswith("4j1b_ttbar: 1 event counts differ")
    write(tmp_path / "histograms.root", small, move(1, 2))
    assert differences_1d(tmp_path / "histograms.root", small)[0].startswith("4j1b_ttbar: 2 event counts differ")


def change(name, element, factor):
    def spoil(contents):
        contents[name][1][:, element] *= factor

    return spoil


def rename(contents):
    contents["other"] = contents.pop("4j2b_ttbar")


def rebin(contents):
    contents["4j2b_ttbar"][0] = hist.axis.Regular(25, 50, 551)


@pytest.mark.parametrize(
    ("spoil", "lines"),
    [
        (change("4j2b_ttbar", 0, 1 + 2e-9), ["4j2b_ttbar: 1 values differ"]),
        (change("4j2b_ttbar", 1, 1 + 2e-9), ["4j2b_ttbar: 1 sums of squares differ"]),
        (change("4j2b_ttbar", 0, 0.5), ["4j2b_ttbar: 1 event counts differ", "4j2b_ttbar: 1 values differ"]),
        (rename, ["4j2b_ttbar: missing, expected TH1D", "other: TH1D, expected nothing"]),
        (rebin, ["4j2b_ttbar: 25 edges of axis"]),
    ],
)
def test_comparison_finds_a_difference(spoil, lines, small, tmp_path):
    write(tmp_path / "histograms.root", small, spoil)
    found = differences_1d(tmp_path / "histograms.root", small)
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


def test_cutflows_are_compared_as_those_of_the_first_analysis(expected):
    compare_cutflow(expected.cutflow, expected)


# --- the synthetic files ------------------------------------------------------------------------------------


def test_both_formats_have_the_same_events_and_the_types_of_nanoaod(tmp_path):
    columns = synthetic_nanoaod.events(500, 1)
    for format_ in FORMATS:
        synthetic_nanoaod.write(tmp_path / f"{format_}.root", columns, format_)
    with uproot.open(tmp_path / "TTree.root") as tree, uproot.open(tmp_path / "RNTuple.root") as ntuple:
        types = tree["Events"].typenames()
        for name in reference_v2.COLUMNS:
            assert ak.array_equal(tree["Events"][name].array(), ntuple["Events"][name].array())
    expected = {"Electron_cutBased": "int32_t[]", "Muon_tightId": "bool[]", "Jet_jetId": "int32_t[]"}
    expected |= {"event": "uint64_t", "run": "uint32_t", "luminosityBlock": "uint32_t"}
    assert {name: types[name] for name in reference_v2.COLUMNS} == {
        name: expected.get(name, "float[]") for name in reference_v2.COLUMNS
    }


def test_every_cut_bites_in_synthetic_events(models):
    """Each object that fails exactly one cut, on either side of it, is there."""
    columns = synthetic_nanoaod.events(3000, 1)
    flat = {name: ak.to_numpy(ak.flatten(values)) for name, values in columns.items() if "_" in name}
    for kind in "Electron", "Muon":
        values = {name: flat[f"{kind}_{name}"].astype(float) for name in ("pt", "eta", "sip3d")}
        good = flat["Electron_cutBased"] == 4 if kind == "Electron" else flat["Muon_tightId"]
        iso = np.ones(len(good), bool) if kind == "Electron" else flat["Muon_pfRelIso04_all"].astype(float) < 0.15
        cuts = [values["pt"] > 30, abs(values["eta"]) < 2.1, values["sip3d"] < 4, good, iso]
        assert_each_alone_rejects(cuts[: 4 + (kind == "Muon")])
    jets = {name: flat[f"Jet_{name}"] for name in ("pt", "eta", "jetId", "mass", "btagCSVV2", "qgl", "phi")}
    cuts = [jets["pt"] > 30, abs(jets["eta"].astype(float)) < 2.4, jets["jetId"] & 4 != 0]
    assert_each_alone_rejects(cuts)
    assert {0.5, -10, 1} <= set(jets["btagCSVV2"].tolist())
    assert {-1, 1} <= set(jets["qgl"].tolist())
    assert (jets["mass"] < 0).any()
    assert (flat["Electron_mass"] < 0).any()
    assert (np.abs(jets["phi"]) > np.pi).any()
    numbers = columns["event"].to_numpy()
    assert len(set(numbers.tolist())) == 3000
    assert {(number % 2, number > 2**32) for number in numbers.tolist()} == {
        (p, h) for p in (0, 1) for h in (False, True)
    }
    selected = analyse(ak.Array(columns), models).selected
    assert {4, 5, 6, 7} <= set(selected["n_jets"][selected["region"] == "4j2b"])
    assert selected["ambiguous"].mean() < 0.01


def assert_each_alone_rejects(cuts):
    for number in range(len(cuts)):
        others = np.all([cut for index, cut in enumerate(cuts) if index != number], axis=0)
        assert (others & ~cuts[number]).any(), number
        assert (others & cuts[number]).any(), number
