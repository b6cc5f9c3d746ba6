"""The demo data set looks like CMS data, and says of itself what is true."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ttbar.errors import InputError
from ttbar.simulate import simulate, simulated_samples, simulation_id

EVENTS = 8000
CROSS_SECTIONS = {  # pb
    "ttbar": 396.87 + 332.97,
    "single_top_s_chan": 2.0268 + 1.2676,
    "single_top_t_chan": (36.993 + 22.175) / 0.252,
    "single_top_tW": 37.936 + 37.906,
    "wjets": 61457 * 0.252,
}
LAST_COPY = 1 << 13
IDENTIFICATION = {
    "Electron_cutBased": "int32_t[]",
    "Electron_sip3d": "float[]",
    "Muon_tightId": "bool[]",
    "Muon_sip3d": "float[]",
    "Muon_pfRelIso04_all": "float[]",
    "Jet_jetId": "int32_t[]",
    "Jet_qgl": "float[]",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("demo"), EVENTS, simulated_samples(), 1, False)


@pytest.fixture(scope="module")
def real_tree() -> Any:
    folder = Path(os.environ.get("TTBAR_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = folder / "nanoaod_2015_200events.root"
    if not path.exists():
        pytest.skip(f"the real file {path} is absent")
    return uproot.open(path)["Events"]


def read(dataset: Path, sample: str) -> ak.Array:
    process, variation = sample.split("__")
    files = json.loads(dataset.read_text())[process][variation]["files"]
    return uproot.concatenate([f"{dataset.parent / file['path']}:Events" for file in files])


def types(tree) -> dict[str, str]:
    return {branch.name: branch.typename for branch in tree.branches}


def selection(events: ak.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of selected events, of 4j1b and of 4j2b."""
    jets = events.Jet_pt > 30
    leptons = ak.sum(events.Electron_pt > 30, axis=1) + ak.sum(events.Muon_pt > 30, axis=1)
    tagged = ak.sum(jets & (events.Jet_btagCSVV2 >= 0.5), axis=1)
    selected = (leptons == 1) & (ak.sum(jets, axis=1) >= 4) & (tagged >= 1)
    two = ak.sum(jets & (events.Jet_btagCSVV2 > 0.5), axis=1) >= 2
    return tuple(mask.to_numpy() for mask in (selected, selected & (tagged == 1), selected & two))


def identified_selection(events: ak.Array) -> tuple[np.ndarray, np.ndarray]:
    """Whether an event has one identified lepton, four identified jets and two b tags, and its number of jets."""
    electrons = (events.Electron_pt > 30) & (abs(events.Electron_eta) < 2.1)
    electrons = electrons & (events.Electron_cutBased == 4) & (events.Electron_sip3d < 4)
    muons = (events.Muon_pt > 30) & (abs(events.Muon_eta) < 2.1)
    muons = muons & events.Muon_tightId & (events.Muon_sip3d < 4) & (events.Muon_pfRelIso04_all < 0.15)
    jets = (events.Jet_pt > 30) & (abs(events.Jet_eta) < 2.4) & (events.Jet_jetId & 4 > 0)
    tagged = ak.sum(jets & (events.Jet_btagCSVV2 > 0.5), axis=1)
    n_jets = ak.sum(jets, axis=1)
    one_lepton = ak.sum(electrons, axis=1) + ak.sum(muons, axis=1) == 1
    return (one_lepton & (n_jets >= 4) & (tagged >= 2)).to_numpy(), n_jets.to_numpy()


def are_near(events: ak.Array, one: str, other: str, mask: ak.Array, distance: float) -> np.ndarray:
    """Which of all objects of a collection are near one of another that the mask selects."""
    d_eta, d_phi = (
        ak.flatten(events[f"{one}_{axis}"][:, :, None] - events[f"{other}_{axis}"][mask][:, None, :])
        for axis in ("eta", "phi")
    )
    near = np.hypot(d_eta, (d_phi + np.pi) % (2 * np.pi) - np.pi) < distance
    return ak.any(near, axis=1).to_numpy()


def are_prompt(events: ak.Array, collection: str, identity: int) -> np.ndarray:
    """Which of all leptons of a collection are those of W bosons and tau leptons."""
    return are_near(events, collection, "GenPart", abs(events.GenPart_pdgId) == identity, 0.005)


def jets_by_origin(events: ak.Array) -> dict[str, np.ndarray]:
    """Masks of all central jets that are not soft, by what they are made of."""
    flavour, identity = abs(events.GenJet_partonFlavour), abs(events.GenPart_pdgId)
    bottom = events.GenJet_hadronFlavour == 5

    def near(mask):
        return are_near(events, "Jet", "GenJet", mask, 0.2)

    lepton = are_near(events, "Jet", "GenPart", (identity == 11) | (identity == 13), 0.1)
    no_parton = near(flavour == 0)
    central = flat(events.Jet_pt > 25) & flat(abs(events.Jet_eta) < 2.4)
    made_of = {
        "light": near((flavour >= 1) & (flavour <= 3) & ~bottom) & ~lepton & ~no_parton,
        "b": near((flavour == 5) & bottom) & ~lepton & ~no_parton,
        "gluon": near((flavour == 21) & ~bottom) & ~lepton & ~no_parton,
        "lepton": no_parton & lepton,
        "pile-up": ~near(flavour >= 0),
    }
    return {name: central & mask for name, mask in made_of.items()}


def flat(values: ak.Array) -> np.ndarray:
    return ak.flatten(values).to_numpy()


def trijet_mass(pt, eta, phi, mass, btag) -> float:
    vectors = np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.zeros_like(pt)], np.float64)
    vectors[3] = np.sqrt((vectors[:3] ** 2).sum(axis=0) + mass**2)
    sums = [
        vectors[:, list(three)].sum(axis=1)
        for three in itertools.combinations(range(len(pt)), 3)
        if btag[list(three)].max() > 0.5
    ]
    px, py, pz, energy = max(sums, key=lambda four: np.hypot(four[0], four[1]))
    return np.sqrt(max(0, energy**2 - px**2 - py**2 - pz**2))


def decay_quarks(event) -> list[int] | None:
    """Indices of the quarks of a hadronic W, its b and the other b, if exactly one W decays to quarks."""
    identity, mother = np.asarray(event.GenPart_pdgId), np.asarray(event.GenPart_genPartIdxMother)
    of = np.where(mother >= 0, identity[mother], 0)
    light = np.flatnonzero((abs(of) == 24) & (abs(identity) < 6))
    bottom = {np.sign(identity[i]): i for i in np.flatnonzero((abs(of) == 6) & (abs(identity) == 5))}
    if len(light) != 2:
        return None
    sign = np.sign(of[light[0]])
    return [*light, bottom[sign], bottom[-sign]]


def four_jets_match(event) -> bool:
    quarks = decay_quarks(event)
    if quarks is None:
        return False
    jets = np.flatnonzero(event.Jet_pt > 30)[:4]
    d_eta = np.asarray(event.Jet_eta)[jets, None] - np.asarray(event.GenPart_eta)[None, quarks]
    d_phi = np.asarray(event.Jet_phi)[jets, None] - np.asarray(event.GenPart_phi)[None, quarks]
    near = np.hypot(d_eta, (d_phi + np.pi) % (2 * np.pi) - np.pi) < 0.4
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())


def used_mantissa_bits(values: ak.Array) -> int:
    bits = ak.flatten(values, axis=None).to_numpy().view(np.uint32) & 0x7FFFFF
    return max(bit for bit in range(24) if bit == 0 or np.any(bits & (1 << (23 - bit))))


def test_columns_are_a_part_of_those_of_a_real_file(dataset, real_tree):
    tree = uproot.open(dataset.parent / "ttbar__nominal_0.root")["Events"]
    assert tree.num_entries == EVENTS // 2
    assert types(tree).items() <= types(real_tree).items()


def test_ballast_makes_a_file_as_wide_as_a_real_one_and_changes_nothing_else(dataset, real_tree, tmp_path):
    wide = simulate(tmp_path, 500, ["ttbar__nominal"], 1, True)
    tree = uproot.open(wide.parent / "ttbar__nominal_0.root")["Events"]
    assert types(tree) == types(real_tree)
    narrow = uproot.open(dataset.parent / "ttbar__nominal_0.root")["Events"].arrays(entry_stop=tree.num_entries)
    assert ak.array_equal(tree.arrays(narrow.fields), narrow)
    bytes_per_event = sum(branch.compressed_bytes for branch in tree.branches) / tree.num_entries
    assert 1000 < bytes_per_event < 4000


@pytest.mark.parametrize(
    "column",
    [
        *("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_btagCSVV2", "Jet_qgl", "Electron_mass", "GenPart_pt"),
        *("Electron_sip3d", "Muon_sip3d", "Muon_pfRelIso04_all"),
    ],
)
def test_numbers_are_rounded_as_in_a_real_file(dataset, real_tree, column):
    simulated = used_mantissa_bits(read(dataset, "ttbar__nominal")[column])
    assert simulated == used_mantissa_bits(real_tree[column].array())


def test_stored_jets_are_ordered_and_fall_on_thresholds(dataset):
    events = read(dataset, "ttbar__nominal")
    assert ak.all(events.Jet_pt[:, :-1] >= events.Jet_pt[:, 1:])
    assert ak.any(events.Jet_pt == 30)
    assert ak.any(events.Jet_btagCSVV2 == 0.5)
    assert ak.any(abs(events.Jet_phi) > np.pi)
    assert ak.any(events.Electron_mass < 0)
    assert {-10.0, -1.0} == set(np.unique(ak.flatten(events.Jet_btagCSVV2[events.Jet_btagCSVV2 < 0])))


def test_files_have_clusters_of_some_thousand_events(tmp_path):
    simulate(tmp_path, 20_000, ["wjets__nominal"], 1, False)
    tree = uproot.open(tmp_path / "wjets__nominal_0.root")["Events"]
    assert tree.common_entry_offsets() == [0, 4000, 8000, 10_000]


def test_some_eight_percent_of_top_pairs_are_selected(dataset):
    selected, one_b, two_b = selection(read(dataset, "ttbar__nominal"))
    assert selected.mean() == pytest.approx(0.08, abs=0.012)
    assert one_b.mean() > 0.025
    assert two_b.mean() > 0.025


def test_two_percent_of_top_pairs_are_selected_with_identified_objects(dataset):
    selected, n_jets = identified_selection(read(dataset, "ttbar__nominal"))
    assert selected.mean() == pytest.approx(0.02, abs=0.005)
    assert np.sum(selected & (n_jets == 5)) > 10
    assert np.sum(selected & (n_jets >= 6)) > 2
    w_jets, _ = identified_selection(read(dataset, "wjets__nominal"))
    assert 0 < w_jets.mean() < 0.1 * selected.mean()


@pytest.mark.parametrize("sample", simulated_samples())
def test_identification_has_the_types_and_values_of_nanoaod(dataset, sample):
    tree = uproot.open(dataset.parent / f"{sample}_0.root")["Events"]
    assert {name: types(tree)[name] for name in IDENTIFICATION} == IDENTIFICATION
    events = read(dataset, sample)
    assert set(np.unique(flat(events.Electron_cutBased))) == {0, 1, 2, 3, 4}
    assert set(np.unique(flat(events.Muon_tightId))) == {False, True}
    assert set(np.unique(flat(events.Jet_jetId))) == {0, 2, 6}
    for name in ("Electron_sip3d", "Muon_sip3d"):
        assert flat(events[name]).min() > 0
    assert flat(events.Muon_pfRelIso04_all).min() == 0
    qgl = flat(events.Jet_qgl)
    assert qgl.max() <= 1
    assert set(qgl[qgl < 0]) == {-1}


def test_leptons_of_w_bosons_are_better_identified_than_others(dataset):
    events = read(dataset, "ttbar__nominal")
    prompt, level, sip3d = (
        are_prompt(events, "Electron", 11),
        flat(events.Electron_cutBased),
        flat(events.Electron_sip3d),
    )
    assert 0.65 < np.mean(level[prompt] == 4) < 0.85
    assert np.mean(level[~prompt] == 4) < 0.05
    assert np.mean(level[~prompt] <= 2) > 0.9
    assert np.mean(sip3d[prompt] < 4) > 0.85
    assert np.mean(sip3d[~prompt] < 4) < 0.75

    prompt, sip3d = are_prompt(events, "Muon", 13), flat(events.Muon_sip3d)
    isolation, tight = flat(events.Muon_pfRelIso04_all), flat(events.Muon_tightId)
    assert np.mean(tight[prompt]) > 0.93
    assert np.mean(tight[~prompt]) < 0.90
    assert np.mean(sip3d[prompt] < 4) > 0.93
    assert np.mean(sip3d[~prompt] < 4) < 0.5
    assert 0.92 < np.mean(isolation[prompt] < 0.15) < 0.96
    assert 0.25 < np.mean(isolation[prompt] == 0) < 0.4
    assert np.mean(isolation[~prompt] < 0.15) < 0.3


def test_the_quark_gluon_likelihood_tells_quarks_from_gluons(dataset):
    events = read(dataset, "ttbar__nominal")
    qgl = flat(events.Jet_qgl)
    kinds = jets_by_origin(events)
    of = {name: qgl[mask & (qgl >= 0)] for name, mask in kinds.items()}
    assert np.mean(of["gluon"]) + 0.05 < np.mean(of["b"]) < np.mean(of["light"]) - 0.1
    assert np.mean(of["light"] > 0.5) > 0.55
    assert np.mean(of["gluon"] < 0.5) > 0.6
    assert np.mean(of["light"] < 0.2) > 0.05  # they overlap
    assert np.mean(of["gluon"] > 0.8) > 0.05


def test_soft_jets_and_many_of_leptons_have_no_quark_gluon_likelihood(dataset):
    events = read(dataset, "ttbar__nominal")
    missing, pt = flat(events.Jet_qgl) == -1, flat(events.Jet_pt)
    assert missing[pt < 20].all()
    assert not missing[pt >= 20].all()
    kinds = jets_by_origin(events)
    for name in ("light", "b", "gluon"):
        assert 0 < np.mean(missing[kinds[name]]) < 0.03
    assert np.mean(missing[kinds["lepton"]]) > 0.6


def test_jets_of_leptons_fail_the_veto_and_others_seldom(dataset):
    events = read(dataset, "ttbar__nominal")
    identification, kinds = flat(events.Jet_jetId), jets_by_origin(events)
    assert np.sum(kinds["lepton"]) > 100
    assert np.mean(identification[kinds["lepton"]] == 2) > 0.5
    assert np.mean(identification[kinds["lepton"]] == 6) < 0.25
    for name in ("light", "b", "gluon"):
        assert 0.97 < np.mean(identification[kinds[name]] == 6) < 1
    assert np.mean(identification[kinds["pile-up"]] == 6) < np.mean(identification[kinds["gluon"]] == 6) - 0.005


def test_identification_has_random_numbers_of_its_own(dataset):
    """Of the stream of the objects, the first number says how many jets are radiated."""
    events = read(dataset, "ttbar__nominal")
    n_electrons = ak.num(events.Electron_pt)
    prompt = ak.unflatten(are_prompt(events, "Electron", 11), n_electrons)
    with_electron = events[(n_electrons > 0) & ak.fill_none(ak.firsts(prompt), False)]
    displaced = with_electron.Electron_sip3d[:, 0] > 8
    n_jets = ak.num(with_electron.GenJet_pt)
    assert ak.sum(displaced) > 30
    assert ak.mean(n_jets[displaced]) == pytest.approx(ak.mean(n_jets[~displaced]), abs=1)


def test_objects_stay_the_same_when_their_identification_changes(dataset):
    """The shipped models and what is expected of them rest on these events."""
    events = read(dataset, "ttbar__nominal")
    lengths = [ak.sum(ak.num(events[f"{name}_pt"])) for name in ("Electron", "Muon", "Jet", "GenJet", "GenPart")]
    assert lengths == [3049, 2295, 51495, 49998, 205014]
    sums = [np.sum(flat(events[name]), dtype=float) for name in ("Jet_pt", "Jet_btagCSVV2", "Muon_eta")]
    assert sums == pytest.approx([2679955.0, -116445.5, -11.30098], rel=1e-4)


def test_the_trijet_mass_peaks_at_the_top_quark(dataset):
    events = read(dataset, "ttbar__nominal")
    events = events[selection(events)[2]]
    jets = events.Jet_pt > 30
    columns = [events[f"Jet_{name}"][jets] for name in ("pt", "eta", "phi", "mass", "btagCSVV2")]
    masses = np.array([trijet_mass(*map(np.asarray, event)) for event in zip(*columns, strict=True)])
    counts, edges = np.histogram(masses, bins=25, range=(50, 550))
    assert edges[counts.argmax()] in (150, 170)
    assert np.mean(masses[abs(masses - 172.5) < 30]) == pytest.approx(172.5, abs=4)


def test_a_jet_assignment_can_be_learned(dataset):
    events = read(dataset, "ttbar__nominal")
    assert 0.15 < np.mean([four_jets_match(event) for event in events[selection(events)[0]][:400]]) < 0.40


def test_top_pairs_dominate_two_tags_and_w_jets_are_seen_with_one(dataset):
    content = json.loads(dataset.read_text())
    yields = {}
    for process, cross_section in CROSS_SECTIONS.items():
        _, *regions = selection(read(dataset, f"{process}__nominal"))
        n_generated = content[process]["nominal"]["nevts_total"]
        yields[process] = [cross_section / n_generated * region.sum() for region in regions]
    one_b, two_b = zip(*yields.values(), strict=True)
    assert yields["ttbar"][1] > 0.9 * sum(two_b)
    assert 0.05 < yields["wjets"][0] / sum(one_b) < 0.4
    assert yields["wjets"][0] / yields["wjets"][1] > 4


def test_alternative_top_pairs_differ_from_nominal(dataset):
    samples = {name: read(dataset, f"ttbar__{name}") for name in json.loads(dataset.read_text())["ttbar"]}

    def mean_top_pt(events):
        tops = (abs(events.GenPart_pdgId) == 6) & (events.GenPart_statusFlags & LAST_COPY > 0)
        return ak.mean(events.GenPart_pt[tops])

    def mean_jets(events):
        return ak.mean(ak.sum(events.GenJet_pt > 20, axis=1))

    def mean_b_pt(events):
        return ak.mean(events.GenJet_pt[events.GenJet_hadronFlavour == 5])

    ratio = {name: mean_jets(events) / mean_jets(samples["nominal"]) for name, events in samples.items()}
    assert 1.02 < ratio["scaledown"] < 1.15
    assert 0.87 < ratio["scaleup"] < 0.98
    assert 1.03 < mean_top_pt(samples["ME_var"]) / mean_top_pt(samples["nominal"]) < 1.15
    assert 0.90 < mean_b_pt(samples["PS_var"]) / mean_b_pt(samples["nominal"]) < 0.98


def test_the_data_set_file_says_what_the_files_hold(dataset):
    content = json.loads(dataset.read_text())
    names = [f"{process}__{variation}" for process in content for variation in content[process]]
    assert sorted(names) == sorted(simulated_samples())
    assert len(names) == 9
    for process, variation in (name.split("__") for name in names):
        files = content[process][variation]["files"]
        assert content[process][variation]["nevts_total"] == sum(file["nevts"] for file in files)
        for file in files:
            entries = uproot.open(dataset.parent / file["path"])["Events"].num_entries
            assert entries == EVENTS // 2
            if process == "wjets":
                assert file["entries"] == entries
                assert 40 < file["nevts"] / entries < 120
            else:
                assert "entries" not in file
                assert file["nevts"] == entries
    assert {path.name for path in dataset.parent.iterdir()} == {
        "dataset.json",
        *(f"{name}_{number}.root" for name in names for number in (0, 1)),
    }


def test_a_sample_is_the_same_alone_and_in_company(dataset, tmp_path):
    alone = simulate(tmp_path, EVENTS, ["single_top_tW__nominal"], 1, False)
    assert list(json.loads(alone.read_text())) == ["single_top_tW"]
    assert ak.array_equal(read(alone, "single_top_tW__nominal"), read(dataset, "single_top_tW__nominal"))


def test_no_event_appears_twice(dataset):
    events = read(dataset, "ttbar__nominal")
    assert len(set(events.event.tolist())) == EVENTS
    assert len(np.unique(ak.firsts(events.GenPart_pt[:, 2:]) + events.GenPart_eta[:, 2])) > EVENTS / 2


def test_seeds_differ(tmp_path):
    first, second = (
        read(simulate(tmp_path / str(seed), 10, ["wjets__nominal"], seed, False), "wjets__nominal") for seed in (1, 2)
    )
    assert not ak.array_equal(first.GenJet_pt, second.GenJet_pt)


def test_one_event_is_one_file(tmp_path):
    dataset = simulate(tmp_path / "new" / "folder", 1, ["ttbar__nominal"], 1, False)
    files = json.loads(dataset.read_text())["ttbar"]["nominal"]["files"]
    assert files == [{"path": "ttbar__nominal_0.root", "nevts": 1}]


def test_unknown_samples_are_refused(tmp_path):
    with pytest.raises(ValueError, match="ttbar__sideways"):
        simulate(tmp_path, 10, ["ttbar__nominal", "ttbar__sideways"], 1, False)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        simulate(tmp_path / "file", 10, ["ttbar__nominal"], 1, False)


def test_a_failure_leaves_neither_drafts_nor_an_old_data_set_file(tmp_path):
    simulate(tmp_path, 10, ["ttbar__nominal"], 1, False)
    (tmp_path / "wjets__nominal_1.root").mkdir()
    with pytest.raises(InputError, match=r"wjets__nominal_1\.root"):
        simulate(tmp_path, 10, ["wjets__nominal"], 1, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ttbar__nominal_0.root",
        "ttbar__nominal_1.root",
        "wjets__nominal_0.root",
        "wjets__nominal_1.root",
    ]


def test_the_simulation_can_be_identified():
    assert len(simulation_id()) == 64
