"""The reference against events worked out by hand, published vectors and real files."""

import math
import os
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import pytest
import reference
import reference_common
import uproot
import xgboost
from compare import compare_cutflow, compare_histograms
from reference import OneLeptonEvents
from reference_common import UNIVERSES, Reference, Sample, UniverseResult, read

DATA = Path(os.environ.get("TTBAR_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
TREE_FILE = DATA / "nanoaod_2015_200events.root"
RNTUPLE_FILE = DATA / "nanoaod_2015_10events_rntuple.root"
MUON = (35.0, 0.5, 1.0, 0.105)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A small model that looks at all features, and so distinguishes all permutations of most events."""
    generator = np.random.default_rng(3)
    rows = generator.uniform(0, 5, (4000, 19))
    rows[:, 8:] *= 20
    labels = (rows / rows.std(axis=0)).sum(axis=1) + generator.normal(size=4000) > 30
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 4, "nthread": 1},
        xgboost.DMatrix(rows, labels),
        num_boost_round=60,
    )
    path = tmp_path_factory.mktemp("model") / "model.json"
    booster.save_model(path)
    return path


@pytest.fixture(scope="session")
def booster(model):
    return xgboost.Booster({"nthread": 1}, model_file=str(model))


@pytest.fixture(scope="session")
def stump():
    """A single split: permutations with pt of a (feature 11) above 50 GeV win, and are equal."""
    rows = np.zeros((100, 19))
    rows[:, 11] = np.arange(100)
    parameters = {"objective": "binary:logistic", "max_depth": 1, "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(rows, rows[:, 11] > 50), num_boost_round=1)


def make_events(*events):
    """Build events from dictionaries with lists of tuples in the order of the columns."""
    columns = {
        name: np.array([event.get(name, 1) for event in events], dtype)
        for name, dtype in (("run", "u4"), ("luminosityBlock", "u4"), ("event", "u8"))
    }
    for collection, names in (
        ("Electron", reference.LEPTON_COLUMNS),
        ("Muon", reference.LEPTON_COLUMNS),
        ("Jet", reference.JET_COLUMNS),
    ):
        objects = [event.get(collection, []) for event in events]
        counts = [len(members) for members in objects]
        flat = np.array([member for members in objects for member in members], "f4").reshape(-1, len(names))
        for index, name in enumerate(names):
            columns[f"{collection}_{name}"] = ak.unflatten(flat[:, index], counts)
    return ak.Array(columns)


def make_jets(pts, btags=(0.9,), phis=(), etas=(), masses=()):
    """Build jets; what is not given is 0."""
    return list(
        zip(
            pts,
            *(list(values) + [0.0] * (len(pts) - len(values)) for values in (etas, phis, masses, btags)),
            strict=True,
        )
    )


def analyse(events, booster, universe="nominal", seed=1) -> UniverseResult:
    return reference.analyse(OneLeptonEvents.select(events), len(events), universe, booster, seed)


def cutflow(event, booster, universe="nominal"):
    counts = analyse(make_events(event), booster, universe).cutflow
    return [cut for cut, count in zip(reference.CUTS, counts, strict=True) if count]


def random_events(generator, n):
    def objects(n_objects, columns):
        spread = np.array([40, 1, 1.8, 8, 0.4][:columns])
        members = generator.normal(size=(n_objects, columns)) * spread
        members[:, 0] = 20 + np.abs(members[:, 0])
        return [tuple(member) for member in members]

    return [
        {
            "event": i + (i << 33),
            "Electron": objects(generator.poisson(0.4), 4),
            "Muon": objects(generator.poisson(0.6), 4),
            "Jet": objects(generator.poisson(6), 5),
        }
        for i in range(n)
    ]


# --- the smearing -------------------------------------------------------------------------------------------

PI_COUNTER = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
PI_KEY = (0xA4093822, 0x299F31D0)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (PI_COUNTER, PI_KEY, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_philox_gives_the_published_vectors(counter, key, expected):
    assert tuple(map(int, reference_common.philox(counter, key))) == expected


def test_smearing_takes_its_words_in_the_defined_order():
    low, high, run, luminosity_block = PI_COUNTER
    seed, jet = PI_KEY
    u, v = (0xD16CFE09 + 0.5) / 2**32, (0x94FDCCEB + 0.5) / 2**32
    expected = 1 + 0.05 * math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
    event = np.array([high << 32 | low], np.uint64)
    for same_seed in seed, seed + 2**32:
        found = reference_common.smearing(np.array([run]), np.array([luminosity_block]), event, jet, same_seed)
        assert found == pytest.approx([expected], rel=1e-15)


def test_smearing_is_a_narrow_normal_distribution():
    draws = reference_common.smearing(1, 2, np.arange(20_000)[:, np.newaxis], np.arange(5), 7)
    assert draws.mean() == pytest.approx(1, abs=6 * 0.05 / math.sqrt(draws.size))
    assert draws.std() == pytest.approx(0.05, rel=0.02)
    assert len(np.unique(draws)) == draws.size


def test_smearing_counts_jets_in_the_stored_collection(stump):
    event = {
        "Muon": [MUON],
        "Jet": make_jets([10, 40, 41, 42, 43]),
        "run": 5,
        "luminosityBlock": 6,
        "event": 7,
    }
    event["Jet"][1] = (*event["Jet"][1][:4], 0.9)
    scale = reference_common.smearing(5, 6, np.uint64(7), np.arange(5), 1)
    result = analyse(make_events(event), stump, "pt_res_up")
    assert result.selected["observable"] == pytest.approx([(scale[1:] * [40, 41, 42, 43]).sum()], rel=1e-14)


# --- the selection ------------------------------------------------------------------------------------------

ABOVE_30 = float(np.nextafter(np.float32(30), np.float32(31)))


@pytest.mark.parametrize(
    ("electrons", "muons", "passes"),
    [
        ([], [], False),
        ([30], [], False),
        ([ABOVE_30], [], True),
        ([], [ABOVE_30], True),
        ([30], [ABOVE_30, 5], True),
        ([31], [31], False),
        ([], [31, 50], False),
    ],
)
def test_exactly_one_lepton_above_30(electrons, muons, passes, stump):
    event = {
        "Electron": [(pt, 9.0, 0.0, 0.0) for pt in electrons],
        "Muon": [(pt, 9.0, 0.0, 0.0) for pt in muons],
        "Jet": make_jets([40] * 4),
    }
    assert ("4j1b" in cutflow(event, stump)) == passes


def test_first_four_selected_jets_keep_their_stored_order(stump):
    pts = [float(pt) for i in range(20) for pt in (10 + i, 60 - i)]
    events = make_events({}, {"Muon": [MUON], "Jet": make_jets(pts, [0, 0.9]), "event": 2**40}, {})
    one_lepton = OneLeptonEvents.select(events, first_entry=100)
    found = reference.analyse(one_lepton, 3, "nominal", stump, 1, file=3).selected
    assert found["jet_pt"].tolist() == [[60, 59, 58, 57]]
    assert found["n_jets"] == 20
    assert found[["file", "entry", "event"]].tolist() == [(3, 101, 2**40)]


@pytest.mark.parametrize(("pt", "passes"), [(30, False), (ABOVE_30, True)])
def test_jet_pt_must_exceed_30(pt, passes, stump):
    event = {"Muon": [MUON], "Jet": make_jets([40, 50, 60, pt])}
    assert ("four_jets" in cutflow(event, stump)) == passes


def test_pt_scale_up_moves_a_jet_over_the_threshold_in_double_precision(stump):
    below = np.float32(29.126213)
    above = np.nextafter(below, np.float32(30))
    assert above * np.float32(1.03) == 30  # single precision would reject it
    assert float(below) < 30 / 1.03 < float(above)
    for pt, passes in ((below, False), (above, True)):
        event = {"Muon": [MUON], "Jet": make_jets([40, 50, 60, float(pt)])}
        assert "four_jets" not in cutflow(event, stump)
        assert ("four_jets" in cutflow(event, stump, "pt_scale_up")) == passes


@pytest.mark.parametrize(
    ("btags", "reached"),
    [
        ([0.49], ["four_jets"]),
        ([0.5], ["one_btag", "4j1b"]),
        ([0.9], ["one_btag", "4j1b"]),
        ([0.5, 0.5], ["one_btag"]),
        ([0.9, 0.5], ["one_btag"]),
        ([0.9, 0.51], ["one_btag", "4j2b"]),
        ([0.9, 0.5, 0.51], ["one_btag", "4j2b"]),
        ([0.9, 0.9, 0.9, 0.9], ["one_btag", "4j2b"]),
        ([0.9, 0, 0, 0, 0.9], ["one_btag", "4j1b"]),  # the fifth jet is soft
    ],
)
def test_regions_are_asymmetric_at_a_btag_of_one_half(btags, reached, stump):
    event = {"Muon": [MUON], "Jet": make_jets([40, 41, 42, 43, 20], btags)}
    assert cutflow(event, stump)[-len(reached) :] == reached


# --- the observable -----------------------------------------------------------------------------------------


def test_ht_sums_all_selected_jets_scaled(stump):
    events = make_events({"Muon": [MUON], "Jet": make_jets([40, 29.5, 50, 60, 70, 80])})
    assert analyse(events, stump).selected["observable"].tolist() == [300.0]
    scaled = analyse(events, stump, "pt_scale_up").selected
    assert scaled["observable"] == pytest.approx([1.03 * 329.5], rel=1e-15)
    assert scaled["jet_pt"].tolist() == [[40, 29.5, 50, 60]]


def pair_mass_squared(i, j):
    """Two massless particles."""
    (pt_i, eta_i, phi_i), (pt_j, eta_j, phi_j) = (np.array(jet[:3], "f4").astype(float) for jet in (i, j))
    return 2 * pt_i * pt_j * (math.cosh(eta_i - eta_j) - math.cos(phi_i - phi_j))


@pytest.mark.parametrize("universe", ["nominal", "pt_scale_up"])
def test_trijet_needs_a_btag_and_has_the_largest_pt(universe, stump):
    # The three hardest jets are aligned but have no b-tag.
    jets = make_jets(
        [200, 190, 180, 90, 50],
        [0.1, 0.5, 0.2, 0.7, 0.8],
        phis=[0.0, 0.1, 0.3, 1.2, -3],
        etas=[1, -0.5, 0.3, 2, 0],
    )
    a, b, _, c, _ = jets
    found = analyse(make_events({"Muon": [MUON], "Jet": jets}), stump, universe).selected
    assert found["region"] == ["4j2b"]
    squared = pair_mass_squared(a, b) + pair_mass_squared(a, c) + pair_mass_squared(b, c)
    assert found["observable"] == pytest.approx([math.sqrt(squared)], rel=1e-12)


def test_trijet_includes_jet_masses(stump):
    jets = make_jets([50] * 4, [0.9, 0.9], phis=[0.0, 0.0, 0.0, 3], masses=[120, 0, 0, 0])
    found = analyse(make_events({"Muon": [MUON], "Jet": jets}), stump).selected
    assert found["observable"] == pytest.approx([math.sqrt((130 + 100) ** 2 - 150**2)], rel=1e-14)


def test_first_of_trijets_of_equal_pt_wins(stump):
    # Jets 2 and 3 differ in eta alone: (0, 1, 2) and (0, 1, 3) have the same pt and another mass.
    jets = make_jets([100, 100, 50, 50], [0.9, 0.9], phis=[0, 0, 1, 1], etas=[0, 0, 1, 2])
    found = analyse(make_events({"Muon": [MUON], "Jet": jets}), stump).selected
    expected = 2 * pair_mass_squared(jets[0], jets[2])
    assert found["observable"] == pytest.approx([math.sqrt(expected)], rel=1e-12)
    assert found["ambiguous"].all()


def test_parallel_massless_trijet_has_a_finite_mass(stump):
    jets = make_jets([149, 98, 66, 31], [0.9, 0.9], phis=[1.875, 1.875, 1.875, -1], etas=[1, 1, 1, 0])
    found = analyse(make_events({"Muon": [MUON], "Jet": jets}), stump).selected
    assert found["observable"] == [0]  # its square is -9e-11 before it is cut off


# --- the jet assignment -------------------------------------------------------------------------------------


def test_permutations_are_the_defined_ones():
    assert (
        *((1, 0, 2, 3), (1, 0, 3, 2), (2, 0, 1, 3), (2, 0, 3, 1), (2, 1, 0, 3), (2, 1, 3, 0)),
        *((3, 0, 1, 2), (3, 0, 2, 1), (3, 1, 0, 2), (3, 1, 2, 0), (3, 2, 0, 1), (3, 2, 1, 0)),
    ) == reference.PERMUTATIONS


@pytest.mark.parametrize("collection", ["Electron", "Muon"])
def test_features_of_a_hand_worked_event(collection):
    event = {
        # A soft lepton of each kind stands before the selected one.
        "Electron": [(20, 1, 1, 7)],
        "Muon": [(20, 1, 1, 7)],
        # Soft jets do not count, nor does the fifth selected one.
        "Jet": [
            (40, 0, 0, 4, 0.9),
            (20, 9, 9, 9, 0.9),
            (50, 3, -3, 5, 0),
            (60, 0, -1, 6, 0),
            (70, 1.5, 3, 7, 0),
            (99, 9, 9, 9, 0),
        ],
    }
    event[collection].append((35, -3, 3, -0.25))
    events = OneLeptonEvents.select(make_events(event))
    jets = {k: values[:, [0, 2, 3, 4]] for k, values in events.jets.items()}
    rows = reference.features(events.lepton, jets)
    assert rows.shape == (1, 12, 19)
    # a = 3, b = 0, c = 1, d = 2: the fourth, first, second and third selected jet
    root = math.sqrt
    assert rows[0, 6].tolist() == [
        *(5, root(1.5**2 + 3**2), root(1.5**2 + 6**2), root(3**2 + 3**2)),
        *(4, 3, 6, 3),
        *(5.75, 11, 16),
        *(70, 40, 50, 60),
        *(7, 4, 5, 6),
    ]
    assert rows[0, 11, 11:15].tolist() == [70, 60, 50, 40]


@pytest.mark.parametrize(
    ("pts", "permutation", "delta_r"),
    [
        ([60, 40, 40, 40], 0, 1.0),  # jet 0 is never a: all permutations are equal
        ([40, 40, 60, 60], 2, 2.0),
        ([60, 60, 60, 70], 0, 1.0),
        ([40, 40, 40, 60], 6, 4.5),
    ],
)
def test_first_of_equal_scores_wins_and_gives_the_unwrapped_angle(pts, permutation, delta_r, stump):
    jets = make_jets(pts, phis=[-2, -1, 0, 2.5], etas=[0, 1, 2, 3])
    found = analyse(make_events({"Muon": [MUON], "Jet": jets}), stump).selected[0]
    assert (found["permutation"], found["delta_r"], found["score_gap"]) == (permutation, delta_r, 0)


def test_scores_are_xgboosts_of_float32_features(booster):
    events = OneLeptonEvents.select(make_events(*random_events(np.random.default_rng(1), 400)))
    result = reference.analyse(events, 400, "nominal", booster, 1)
    assert len(result.selected) > 20
    assert len(set(result.selected["permutation"])) > 6
    for found in result.selected:
        row = int(np.flatnonzero(events.entry == found["entry"])[0])
        first = np.flatnonzero(events.jets["pt"][row] > 30)[:4]
        jets = {k: values[[row]][:, first] for k, values in events.jets.items()}
        lepton = {k: values[[row]] for k, values in events.lepton.items()}
        rows = reference.features(lepton, jets)[0].astype("f4")
        probabilities = booster.inplace_predict(rows)
        assert found["permutation"] == np.argmax(probabilities)
        assert found["score"] == probabilities.max()


# --- weights, bins, names -----------------------------------------------------------------------------------


def test_bins_include_their_lower_edge():
    x = np.array([49.9, 50, 69.9, 70, 549.9, 550, 9999])
    counts = reference.Histogram.fill(x, np.full(7, 0.1), 1.0).counts[:, 0]
    assert np.repeat(np.arange(27), counts).tolist() == [0, 1, 1, 2, 25, 26, 26]
    y = np.array([0, 0.25, 0.26, 6.28, 2 * np.pi, 6.5])
    counts = reference.Histogram.fill(np.full(6, 60.0), y, 1.0).counts[1]
    assert np.repeat(np.arange(25), counts).tolist() == [0, 0, 1, 24]


def test_bins_sum_weights_and_their_squares():
    x, y, weights = np.full(4, 60.0), np.array([1.1, 7, 1.1, 2]), np.array([1.0, 10, -2, 4])
    found = reference.Histogram.fill(x, y, weights)
    assert (found.values[1, [4, 7]].tolist(), found.values.sum()) == ([-1, 4], 3)
    assert (found.variances[1, [4, 7]].tolist(), found.variances.sum()) == ([5, 16], 21)


def test_event_beyond_two_pi_is_selected_but_not_filled(stump):
    phi = float(np.float32(np.pi))  # above pi
    jets = make_jets([60, 60, 40, 40], phis=[phi, -phi])
    result = analyse(make_events({"Muon": [MUON], "Jet": jets}), stump)
    assert result.selected["delta_r"] > 2 * np.pi
    sample = Sample("ttbar", "ME_var", [("one.root", 1)])
    filled = reference.histograms(sample, {"nominal": result})
    assert filled["4j1b_ttbar_ME_var"].counts.sum() == 0


def test_weights_and_names(stump):
    # H_T of 150 is on an edge; pt_scale_up moves it on by 4.5, the fourth jet gives negative weights down.
    events = make_events(
        {"Muon": [MUON], "Jet": make_jets([40, 36, 37, 37])},
        {"Muon": [MUON], "Jet": make_jets([40, 50, 60, 1000])},
    )
    universes = {universe: analyse(events, stump, universe) for universe in UNIVERSES}
    files = [("a.root", 1500), ("b.root", 500)]
    filled = reference.histograms(Sample("wjets", "nominal", files), universes)
    variations = [
        *("pt_scale_up", "pt_res_up"),
        *(f"btag_var_{i}_{direction}" for i in range(4) for direction in ("up", "down")),
        *("scale_var_up", "scale_var_down"),
    ]
    assert filled.keys() == {
        f"{region}_wjets{suffix}"
        for region in ("4j1b", "4j2b")
        for suffix in ("", *(f"_{variation}" for variation in variations))
    }
    weight = 61457 * 0.252 * 3378 / 2000
    bins = [6, 26], 0
    for variation, factors in {
        "": (1, 1),
        "_pt_scale_up": (1, 1),
        "_scale_var_up": (1.025, 1.025),
        "_scale_var_down": (0.975, 0.975),
        "_btag_var_0_up": (1.06, 1.06),
        "_btag_var_1_down": (1 - 0.0015 * 36, 0.925),
        "_btag_var_3_up": (1 + 0.0015 * 37, 2.5),
        "_btag_var_3_down": (1 - 0.0015 * 37, -0.5),
    }.items():
        found = filled[f"4j1b_wjets{variation}"]
        expected = weight * np.array(factors)
        assert found.values[bins] == pytest.approx(expected, rel=1e-14), variation
        assert found.variances[bins] == pytest.approx(expected**2, rel=1e-14), variation
        assert found.counts.sum() == 2

    nominal = {"nominal": universes["nominal"]}
    data = reference.histograms(Sample("data", "nominal", files), nominal)
    assert data.keys() == {"4j1b_data", "4j2b_data"}
    assert data["4j1b_data"].values.sum() == 2
    assert len(reference.histograms(Sample("single_top_tW", "nominal", files), universes)) == 22
    assert reference.histograms(Sample("ttbar", "PS_var", files), nominal).keys() == {
        "4j1b_ttbar_PS_var",
        "4j2b_ttbar_PS_var",
    }


def test_an_event_does_not_depend_on_its_neighbours(booster):
    events = make_events(*random_events(np.random.default_rng(2), 100))
    together = analyse(events, booster, "pt_res_up")
    alone = UniverseResult.sum([analyse(events[i : i + 1], booster, "pt_res_up") for i in range(100)])
    assert len(set(together.selected["n_jets"])) > 2
    assert set(together.selected["region"]) == {"4j1b", "4j2b"}
    assert together.cutflow.tolist() == alone.cutflow.tolist()
    alone.selected["entry"] = together.selected["entry"]
    assert np.array_equal(together.selected, alone.selected)


# --- real files ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared test data are not in {DATA}")
class TestRealFiles:
    def test_two_of_200_events_are_selected(self, model):
        sample = Sample("wjets", "nominal", [(TREE_FILE, 200)])
        found = reference.run([sample], model)
        cuts = found.cutflow["wjets__nominal"]["nominal"]
        assert cuts[0] == {
            "cut": "all",
            "events": 200,
            "weighted": pytest.approx(61457 * 0.252 * 3378, rel=1e-14),
        }
        assert [cut["events"] for cut in cuts[-3:]] == [2, 2, 0]
        assert found.histograms["4j1b_wjets"].counts.sum() == 2
        assert not found.ambiguous()

    def test_rntuple_is_read_as_well(self, model):
        found = reference.run([Sample("data", "nominal", [(RNTUPLE_FILE, 10)])], model)
        assert found.cutflow["data__nominal"].keys() == {"nominal"}
        assert found.cutflow["data__nominal"]["nominal"][0]["events"] == 10

    @pytest.mark.parametrize("path", [TREE_FILE, RNTUPLE_FILE], ids=["tree", "rntuple"])
    def test_chunks_are_consecutive(self, path):
        whole = ak.concatenate([events for _, events in read(path, reference.COLUMNS)])
        chunks = list(read(path, reference.COLUMNS, chunk=7))
        assert [start for start, _ in chunks] == list(range(0, len(whole), 7))
        assert ak.array_equal(ak.concatenate([events for _, events in chunks]), whole)


# --- the comparison -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(booster):
    """A reference for one sample in three universes, with bins of several events."""
    events = make_events(*random_events(np.random.default_rng(4), 3000))
    universes = {universe: analyse(events, booster, universe) for universe in UNIVERSES}
    sample = Sample("ttbar", "nominal", [("ttbar.root", 3000)])
    return Reference(
        reference.histograms(sample, universes),
        {"ttbar__nominal": {"nominal": [{"cut": "all", "events": 3000, "weighted": 2.4e6}]}},
        {"ttbar__nominal": universes},
    )


def write(path, expected, spoil=lambda contents: None):
    """Write the histograms of a reference; `spoil` may change arrays with flow, (29, 27) and so on."""
    observable = hist.axis.Regular(25, 50, 550, name="observable")
    delta_r = hist.axis.Regular(25, 0, 2 * np.pi, name="deltaR")
    contents = {}
    for name, histogram in expected.histograms.items():
        content = np.stack([histogram.values, histogram.variances], axis=-1)
        contents[name] = (observable, delta_r), np.pad(content, ((0, 0), (1, 1), (0, 0)))
        contents[f"observable/{name}"] = (observable,), content.sum(axis=1)
        contents[f"deltaR/{name}"] = (delta_r,), np.pad(content.sum(axis=0), ((1, 1), (0, 0)))
    spoil(contents)
    with uproot.recreate(path) as file:
        for name, (axes, content) in contents.items():
            histogram = hist.Hist(*axes, storage=hist.storage.Weight())
            histogram.view(flow=True).value = content[..., 0]
            histogram.view(flow=True).variance = content[..., 1]
            file[name] = histogram


def test_comparison_accepts_what_is_equal(result, tmp_path):
    assert result.histograms["4j1b_ttbar"].counts.max() > 1
    write(tmp_path / "histograms.root", result)
    compare_histograms(tmp_path / "histograms.root", result)


def spoil_bin(name, content, factor=1 + 2e-9):
    def spoil(contents):
        values = contents[name][1][..., content]
        values[np.unravel_index(np.argmax(np.abs(values)), values.shape)] *= factor

    return spoil


def spoil_flow(contents):
    contents["4j1b_ttbar"][1][3, -1, 0] = 1


def spoil_binning(contents):
    axes, content = contents["observable/4j1b_ttbar"]
    contents["observable/4j1b_ttbar"] = (hist.axis.Regular(25, 50, 551), *axes[1:]), content


def drop(contents):
    del contents["deltaR/4j2b_ttbar_pt_res_up"]


def add(contents):
    contents["4j1b_ttbar_scale_var_up"] = contents["4j1b_ttbar"]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (spoil_bin("4j1b_ttbar", 0), "4j1b_ttbar: 1 values differ"),
        (spoil_bin("4j1b_ttbar", 0, 2), "4j1b_ttbar: 1 event counts differ"),
        (spoil_bin("4j2b_ttbar_btag_var_2_down", 1), "4j2b_ttbar_btag_var_2_down: 1 sums of squares differ"),
        (spoil_bin("observable/4j2b_ttbar", 0), "observable/4j2b_ttbar: 1 values differ"),
        (spoil_bin("deltaR/4j2b_ttbar", 1), "deltaR/4j2b_ttbar: 1 sums of squares differ"),
        (spoil_flow, "4j1b_ttbar: values in the flow bins of deltaR"),
        (spoil_binning, "observable/4j1b_ttbar: 25 edges"),
        (drop, "deltaR/4j2b_ttbar_pt_res_up: missing, expected TH1D"),
        (add, "4j1b_ttbar_scale_var_up: TH2D, expected nothing"),
    ],
)
def test_comparison_finds_a_difference(spoil, line, result, tmp_path):
    write(tmp_path / "histograms.root", result, spoil)
    with pytest.raises(AssertionError) as failure:
        compare_histograms(tmp_path / "histograms.root", result)
    assert str(failure.value).startswith(line)


def test_comparison_of_cutflows(result):
    equal = {"ttbar__nominal": {"nominal": [{"cut": "all", "events": 3000, "weighted": 2.4e6 * (1 + 5e-10)}]}}
    compare_cutflow(equal, result)
    for key, value in {"cut": "none", "events": 2999, "weighted": 2.4e6 * (1 + 2e-9)}.items():
        different = {"ttbar__nominal": {"nominal": [equal["ttbar__nominal"]["nominal"][0] | {key: value}]}}
        with pytest.raises(AssertionError):
            compare_cutflow(different, result)
