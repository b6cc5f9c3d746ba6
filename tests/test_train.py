"""Models of the jet assignment: truth, training, evaluation, and the way into the analysis."""

import ast
import hashlib
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import reference
import uproot
import xgboost
from compare import compare_histograms
from program import assert_fails, run_analysis, ttbar
from reference_common import read_dataset
from scipy.stats import rankdata

from ttbar import cli
from ttbar.analyses import agc_v1
from ttbar.errors import InputError, UsageError
from ttbar.execution import loop
from ttbar.execution.graph import book
from ttbar.executors import LocalExecutor
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.source import Source
from ttbar.library import load_root, shipped
from ttbar.simulate import simulate
from ttbar.training import jobs, matched_events
from ttbar.training.evaluation import Evaluation
from ttbar.training.jobs import Options, train_model, validate_model

EVENTS = 60_000
SHIPPED = shipped("models", "jet_assignment.json")
LAST_COPY = 1 << 13
CHARGED_LEPTONS = (11, 13, 15)
PERMUTATIONS = [p for p in itertools.permutations(range(4)) if p[0] > p[1]]
COMMAND = ("train", "--dataset", "toy/dataset.json", "--output", "models/mine.json", "--max-trees", 400)
GOOD = Source("", "ttbar__nominal", None, (), "Events", "stop", None, None, 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with simulated events in `toy`, other than those of the demo and of the shipped model."""
    folder = tmp_path_factory.mktemp("train")
    simulate(folder / "toy", EVENTS, ["ttbar__nominal"], 99, False)
    return folder


COLUMNS = matched_events.columns_of(agc_v1.analysis)


@pytest.fixture(scope="module")
def source(folder) -> Source:
    return replace(GOOD, dataset=str(folder / "toy" / "dataset.json"))


@pytest.fixture(scope="module")
def events(source) -> matched_events.MatchedEvents:
    with LocalExecutor(loop.Setup(2, agc_v1.analysis)) as executor:
        return matched_events.read(source, agc_v1.analysis, executor)


@pytest.fixture(scope="module")
def trained(folder) -> Path:
    """The model of a training with two threads."""
    result = ttbar(*COMMAND, "--threads", 2, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "models" / "mine.json"


@pytest.fixture(scope="module")
def card(trained) -> str:
    return trained.with_suffix(".md").read_text()


def table(card: str) -> dict[str, list[str]]:
    """The rows of all tables by their first cell, the first of each."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in reversed(rows)}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# An independent labelling, from the tops down.


class Record:
    def __init__(self, event: Any) -> None:
        self.id, self.mother, self.flags, self.eta, self.phi = (
            np.asarray(event[f"GenPart_{quantity}"])
            for quantity in ("pdgId", "genPartIdxMother", "statusFlags", "eta", "phi")
        )

    def daughters(self, particle: int) -> list[int]:
        return [int(i) for i in np.flatnonzero(self.mother == particle)]

    def last(self, particle: int) -> int:
        """Follow the copies of a particle."""
        copies = [i for i in self.daughters(particle) if self.id[i] == self.id[particle]]
        return self.last(copies[0]) if copies else particle

    def kind(self, particle: int) -> int:
        return abs(int(self.id[particle]))

    def label_quarks(self) -> dict[int, str]:
        labels = {}
        tops = [i for i in np.flatnonzero(abs(self.id) == 6) if self.kind(self.mother[i]) != 6]
        for top in map(self.last, map(int, tops)):
            [w] = [i for i in self.daughters(top) if self.kind(i) == 24]
            [b] = [i for i in self.daughters(top) if self.kind(i) == 5]
            products = self.daughters(self.last(w))
            leptonic = any(self.kind(i) in CHARGED_LEPTONS for i in products)
            labels[self.last(b)] = "b_lep" if leptonic else "b_had"
            if not leptonic:
                labels |= {self.last(i): "W" for i in products}
        assert all(self.flags[quark] & LAST_COPY for quark in labels)
        return labels


def true_permutation(event: Any) -> int:
    """Index of the true permutation of a selected event, -1 if it does not match."""
    record = Record(event)
    labels = record.label_quarks()
    quarks = list(labels)
    jets = np.flatnonzero(np.asarray(event.Jet_pt) > 30)[:4]
    d_eta = np.asarray(event.Jet_eta, float)[jets, None] - record.eta[None, quarks]
    d_phi = np.angle(np.exp(1j * (np.asarray(event.Jet_phi, float)[jets, None] - record.phi[None, quarks])))
    distance = np.hypot(d_eta, d_phi)
    nearest = distance.argmin(axis=1)
    if distance.min(axis=1).max() >= 0.4 or len(set(nearest)) < 4:
        return -1
    found = [labels[quarks[i]] for i in nearest]
    if sorted(found) != ["W", "W", "b_had", "b_lep"]:
        return -1
    [index] = [i for i, p in enumerate(PERMUTATIONS) if [found[jet] for jet in p] == ["W", "W", "b_had", "b_lep"]]
    return index


def test_truth_agrees_with_a_labelling_from_the_tops_down(folder, events):
    columns = list(COLUMNS)
    paths = sorted((folder / "toy").glob("*.root"))
    stored = uproot.concatenate([f"{path}:Events" for path in paths], columns)
    jets = stored.Jet_pt > 30
    leptons = ak.sum(stored.Electron_pt > 30, axis=1) + ak.sum(stored.Muon_pt > 30, axis=1)
    tagged = ak.sum(jets & (stored.Jet_btagCSVV2 >= 0.5), axis=1)
    selected = stored[(leptons == 1) & (ak.sum(jets, axis=1) >= 4) & (tagged >= 1)]
    assert events.cutflow == {
        "all": EVENTS,
        "one_lepton": np.sum(leptons == 1),
        "four_jets": np.sum((leptons == 1) & (ak.sum(jets, axis=1) >= 4)),
        "one_btag": len(selected),
        "matched": len(events.records),
    }
    expected = {int(event.event): true_permutation(event) for event in selected}
    matched = dict(zip(events.records["number"].tolist(), events.records["true_permutation"].tolist(), strict=True))
    assert matched == {number: permutation for number, permutation in expected.items() if permutation >= 0}
    assert len(matched) > 1000
    assert set(matched.values()) == set(range(12))

    by_number = {int(event.event): event for event in selected}
    for record in events.records[::50]:
        event = by_number[int(record["number"])]
        four = np.flatnonzero(np.asarray(event.Jet_pt) > 30)[:4]
        for quantity in ("pt", "eta", "phi", "mass"):
            np.testing.assert_array_equal(record[quantity], np.asarray(event[f"Jet_{quantity}"])[four])
        np.testing.assert_array_equal(record["btag"], np.asarray(event.Jet_btagCSVV2)[four])


def test_conventions_are_those_of_the_definition(events):
    assert events.permutations.tolist() == [list(p) for p in PERMUTATIONS]
    assert len(events.feature_names) == 19
    assert events.feature_names[:2] == ("deltaR_lepton_b_lep", "deltaR_W1_W2")


def test_training_features_are_those_of_the_analysis_to_the_last_bit(folder, events):
    root = load_root()
    root.ttbar.load_models([str(SHIPPED)])
    frame = root.RDataFrame("Events", [str(path) for path in (folder / "toy").glob("*.root")])
    analysis = {}
    for node in book(frame, agc_v1.analysis, varied=True, seed=1).regions.values():
        columns = node.AsNumpy(["event", "features"])
        features = (np.array(list(one), np.float32).reshape(12, 19) for one in columns["features"])
        analysis |= dict(zip(columns["event"].tolist(), features, strict=True))
    compared = [record for record in events.records if int(record["number"]) in analysis]
    assert len(compared) > 0.99 * len(events.records)
    for record in compared:
        assert record["features"].tobytes() == analysis[int(record["number"])].tobytes()


def test_a_real_file_without_a_top_has_no_labels(test_data, tmp_path):
    path = test_data / "nanoaod_2015_200events.root"
    frame = load_root().RDataFrame("Events", str(path))
    labels = frame.Define("labels", "ttbar::quark_labels(GenPart_pdgId, GenPart_genPartIdxMother, GenPart_statusFlags)")
    assert frame.Sum("nGenPart").GetValue() > 0
    assert labels.Define("labelled", "ROOT::VecOps::Sum(labels != ttbar::Label::none)").Sum("labelled").GetValue() == 0

    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"ttbar": {"nominal": {"files": [str(path)]}}}))
    result = ttbar("train", "--dataset", dataset, "--output", tmp_path / "model.json")
    assert_fails(result, 3, str(dataset), "none of 2 selected events")
    assert list(tmp_path.iterdir()) == [dataset]


def test_events_do_not_depend_on_threads_files_and_their_order(folder, source, events, tmp_path):
    files = json.loads(Path(source.dataset).read_text())["ttbar"]["nominal"]["files"]
    reordered = [{**file, "path": str(folder / "toy" / file["path"])} for file in files[::-1]]
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"ttbar": {"nominal": {"files": reordered}}}))
    with LocalExecutor(loop.Setup(1, agc_v1.analysis)) as executor:
        again = matched_events.read(replace(source, dataset=str(dataset)), agc_v1.analysis, executor)
    assert again.records.tobytes() == events.records.tobytes()
    assert again.sha256 == events.sha256
    assert again.dataset_sha256 != events.dataset_sha256


def test_the_same_command_gives_the_same_files_with_any_number_of_threads(folder, trained, tmp_path):
    (tmp_path / "toy").symlink_to(folder / "toy")
    result = ttbar(*COMMAND, "--threads", 1, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = content(trained.parent), content(tmp_path / "models")
    plots = {f"mine/{name}.png" for name in ("roc", "scores", "importance", "learning", "calibration")}
    assert set(first) == {"mine.json", "mine.md", *plots}
    assert first == second


def test_the_analysis_takes_the_model_right_away(folder, trained, card, tmp_path):
    dataset = folder / "toy" / "dataset.json"
    result = run_analysis("--dataset", dataset, "--model", trained, "--threads", 2, "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    used = json.loads((tmp_path / "run.json").read_text())["models"][0]["sha256"]
    assert used == hashlib.sha256(trained.read_bytes()).hexdigest()
    assert table(card)["SHA-256"] == [f"`{used}`"]
    compare_histograms(tmp_path / "histograms.root", reference.run(read_dataset(dataset), trained))


def test_a_model_is_cut_to_its_best_iteration(trained, card, events):
    booster = xgboost.Booster(model_file=trained)
    n_trees = booster.num_boosted_rounds()
    assert n_trees < 400  # otherwise nothing has stopped early
    assert table(card)["trees"] == [str(n_trees)]
    assert booster.feature_names == list(events.feature_names)
    rows = events.records["features"].reshape(-1, 19)
    by_all = booster.predict(xgboost.DMatrix(rows), validate_features=False)
    classifier = xgboost.XGBClassifier()
    classifier.load_model(trained)
    np.testing.assert_array_equal(classifier.predict_proba(rows)[:, 1], by_all)
    forest = load_root().ttbar.Forest(str(trained))
    assert forest.n_trees() == n_trees
    probabilities = np.empty(len(rows), np.float32)
    forest.probabilities(rows.ravel(), len(rows), probabilities)
    np.testing.assert_array_equal(probabilities, by_all)


# What the card says, computed again.


def masses(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masses of all W and top candidates, from products of pairs of momenta."""
    pt, eta, phi, mass = (records[quantity].astype(float) for quantity in ("pt", "eta", "phi", "mass"))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)

    def product(i: int, j: int) -> np.ndarray:
        across = np.cos(phi[:, i] - phi[:, j]) + np.sinh(eta[:, i]) * np.sinh(eta[:, j])
        return energy[:, i] * energy[:, j] - pt[:, i] * pt[:, j] * across

    def mass_of(jets: tuple[int, ...]) -> np.ndarray:
        return np.sqrt(sum(product(i, j) for i in jets for j in jets))

    return (
        np.stack([mass_of(p[:2]) for p in PERMUTATIONS], axis=1),
        np.stack([mass_of(p[:3]) for p in PERMUTATIONS], axis=1),
    )


def chi_square(records: np.ndarray) -> np.ndarray:
    every = np.arange(len(records))
    total = 0.0
    for mass in masses(records):
        low, peak, high = np.quantile(mass[every, records["true_permutation"]], [0.16, 0.5, 0.84])
        total = total + (2 * (mass - peak) / (high - low)) ** 2
    return -total


def largest_trijet(records: np.ndarray) -> np.ndarray:
    scores = np.full((len(records), 12), -1.0)
    for scored, record in zip(scores, records, strict=True):
        momenta = record["pt"].astype(float) * np.exp(1j * record["phi"].astype(float))
        for index, (a, b, c, _) in enumerate(PERMUTATIONS):
            if record["btag"][c] >= max(record["btag"][a], record["btag"][b]):
                scored[index] = abs(momenta[a] + momenta[b] + momenta[c])
    return scores


def figures(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Fraction of correct events and area under the ROC curve, by the sum of ranks."""
    is_true = np.arange(12) == truth[:, None]
    n_true, n_wrong = is_true.sum(), (~is_true).sum()
    area = (rankdata(scores)[is_true.ravel()].sum() - n_true * (n_true + 1) / 2) / (n_true * n_wrong)
    return float(np.mean(np.argmax(scores, axis=1) == truth)), float(area)


def assert_says(cells: list[str], correct: float, area: float, n_events: int) -> None:
    (found, uncertainty), (found_area, area_uncertainty) = ([float(x) for x in cell.split(" ± ")] for cell in cells)
    assert found == pytest.approx(correct, abs=6e-5)
    assert uncertainty == pytest.approx(np.sqrt(correct * (1 - correct) / n_events), abs=6e-5)
    assert found_area == pytest.approx(area, abs=6e-5)
    # Between that of independent permutations, and what the spread of a score in [0, 1] allows.
    assert 0.1 / np.sqrt(12 * n_events) < area_uncertainty < 1 / np.sqrt(n_events)


def test_the_card_says_what_another_computation_finds(card, events):
    rows = table(card)
    assert {cut: int(rows[cut][0]) for cut in events.cutflow} == events.cutflow
    assert events.sha256 in card
    assert events.dataset_sha256 in card
    fraction = events.cutflow["matched"] / events.cutflow["one_btag"]
    assert f"{100 * fraction:.1f}% of the selected events" in card
    for name in ("Python", "ROOT", "xgboost"):
        assert re.search(rf"{name} \d+\.\d+", rows["versions"][0])

    # The hyperparameters won on the events that stop a training ...
    names = ("max_depth", "learning_rate", "min_child_weight")
    tried = {
        tuple(map(float, cells[:3])): ([int(n) for n in cells[3].split(",")], float(cells[4]))
        for cells in re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \| (\d+, \d+) \| (\S+) \|$", card, re.MULTILINE)
    }
    assert len(tried) == 4
    best = min(tried, key=lambda values: tried[values][1])
    assert best == tuple(float(rows[name][0]) for name in names)

    # ... and models of them score what they have not seen.
    records = events.records
    parity, stopping = records["number"] % 2, records["number"] // 2 % 5 == 0
    labels = np.arange(12) == records["true_permutation"][:, None]
    matrix = xgboost.DMatrix(records["features"].reshape(-1, 19), labels.ravel())
    scores, losses = np.empty((len(records), 12)), []
    for fold, n_trees in zip((0, 1), tried[best][0], strict=True):
        rows_seen = np.flatnonzero(np.repeat((parity == fold) & ~stopping, 12))
        parameters = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 2, "seed": 1}
        parameters |= dict(zip(names, [int(best[0]), *best[1:]], strict=True))
        booster = xgboost.train(parameters, matrix.slice(rows_seen), n_trees)
        predicted = booster.predict(matrix).reshape(-1, 12)
        scores[parity != fold] = predicted[parity != fold]
        stops = (parity == fold) & stopping
        losses.append(-np.mean(np.log(np.where(labels, predicted, 1 - predicted)[stops])))
    assert np.mean(losses) == pytest.approx(tried[best][1], abs=2e-5)

    evaluated = records[~stopping]
    n_evaluated, truth = len(evaluated), evaluated["true_permutation"]
    assert f"On {n_evaluated} matched events" in card
    for name, score in (
        ("boosted decision trees", scores[~stopping]),
        ("chi-square of the W and top masses", chi_square(evaluated)),
        ("trijet of the largest transverse momentum", largest_trijet(evaluated)),
    ):
        assert_says(rows[name], *figures(score, truth), n_evaluated)
    assert rows["random permutation"] == ["0.0833", "0.5000"]


def test_a_fold_is_trained_on_its_events_alone(source, events, tmp_path):
    (tmp_path / "search.json").write_text('{"learning_rate": [0.3], "min_child_weight": [1], "subsample": [0.7]}')
    options = Options(source, agc_v1.analysis, tmp_path / "odd.ubj", "odd", tmp_path / "search.json", 10, 2, 5)
    train_model(options)
    records = events.records
    seen = (records["number"] % 2 == 1) & (records["number"] // 2 % 5 != 0)
    labels = (np.arange(12) == records["true_permutation"][:, None])[seen].ravel()
    matrix = xgboost.DMatrix(records["features"][seen].reshape(-1, 19), labels)
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 6, "learning_rate": 0.3}
    expected = xgboost.train(parameters | {"min_child_weight": 1, "subsample": 0.7, "seed": 5}, matrix, 10)
    rows = xgboost.DMatrix(records["features"].reshape(-1, 19))
    found = xgboost.Booster(model_file=tmp_path / "odd.ubj")
    kept = expected[: found.num_boosted_rounds()]
    np.testing.assert_array_equal(found.predict(rows, validate_features=False), kept.predict(rows))
    assert "Trained on: odd" in (tmp_path / "odd.md").read_text()


# What cannot be learnt from.


def subset(source: Source, folder: Path, condition: str, columns: tuple[str, ...]) -> Source:
    """Some of the events, with some of the columns."""
    [sample] = load_dataset(Path(source.dataset), agc_v1.analysis.variations)
    frame = load_root().RDataFrame("Events", [file.path for file in sample.files])
    frame.Filter(condition).Snapshot("Events", str(folder / "subset.root"), list(columns))
    (folder / "subset.json").write_text(json.dumps({"ttbar": {"nominal": {"files": ["subset.root"]}}}))
    return replace(source, dataset=str(folder / "subset.json"))


@pytest.mark.parametrize(
    ("condition", "columns", "words"),
    [
        ("event % 2 == 0", tuple(COLUMNS), ["smallest of four parts has 0"]),
        ("rdfentry_ < 2000", tuple(COLUMNS), ["matched events are too few"]),
        ("event >= 0", tuple(agc_v1.COLUMNS), ["subset.root", "GenPart_"]),
        ("nJet == 0", tuple(COLUMNS), ["none of 0 selected events"]),
    ],
)
def test_bad_events_give_a_sentence_and_no_model(condition, columns, words, source, tmp_path):
    (tmp_path / "input").mkdir()
    bad = subset(source, tmp_path / "input", condition, columns)
    output = tmp_path / "models" / "model.json"
    output.parent.mkdir()
    output.write_text("an earlier model")
    with pytest.raises(InputError) as error:
        train_model(Options(bad, agc_v1.analysis, output, "both", None, 50, 2, 1))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    assert content(output.parent) == {"model.json": b"an earlier model"}


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("[1", ["not a JSON file"]),
        ("[1]", ["the top level must be an object of lists"]),
        ('{"nthread": [1]}', ["max_depth, max_leaves"]),
        ('{"max_depth": []}', ["max_depth", "at least one number"]),
        ('{"max_depth": ["deep"]}', ["max_depth[0]", "a number"]),
    ],
)
def test_a_bad_search_is_told_before_anything_else(search, words, tmp_path):
    path = tmp_path / "search.json"
    path.write_text(search)
    with pytest.raises(InputError) as error:
        train_model(
            Options(replace(GOOD, dataset="nowhere.json"), agc_v1.analysis, tmp_path / "m.json", "both", path, 50, 1, 1)
        )
    for word in (str(path), *words):
        assert word in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_hyperparameter_that_xgboost_refuses(source, tmp_path):
    path = tmp_path / "search.json"
    path.write_text('{"subsample": [2]}')
    result = ttbar("train", "--dataset", source.dataset, "--output", tmp_path / "m.json", "--search", path)
    assert_fails(result, 3, "subsample", "--search")
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_of_a_model_tells_its_format(tmp_path):
    with pytest.raises(UsageError, match=r"\.json or \.ubj"):
        train_model(Options(GOOD, agc_v1.analysis, tmp_path / "model.txt", "both", None, 50, 1, 1))


def test_the_samples_are_those_of_the_signal_unless_the_user_says(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "train_model", asked.append)
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\nfrom ttbar.analyses import agc_v1\nbase = agc_v1.analysis\n"
        "analysis = replace(base, fit=replace(base.fit, signal=('wjets', 'ttbar')))"
    )
    command = ["train", "--analysis", str(tmp_path / "mine.py"), "--output", str(tmp_path / "m.json")]
    for arguments in ([], ["--samples", "nominal"]):
        cli.cli.main([*command, *arguments], standalone_mode=False)
    assert [options.source.samples for options in asked] == ["wjets__nominal,ttbar__nominal", "nominal"]


# Models of other people.


def test_a_model_is_evaluated_without_training(source, trained, events):
    result = ttbar("validate-model", "--dataset", source.dataset, "--model", trained, "--threads", 2)
    assert result.returncode == 0, result.stderr
    rows = table(result.stdout)
    booster = xgboost.Booster(model_file=trained)
    scores = booster.predict(xgboost.DMatrix(events.records["features"].reshape(-1, 19)), validate_features=False)
    truth, n_events = events.records["true_permutation"], len(events.records)
    assert_says(rows["mine.json"], *figures(scores.reshape(-1, 12), truth), n_events)
    assert_says(rows["chi-square of the W and top masses"], *figures(chi_square(events.records), truth), n_events)


def other_model(path: Path, n_features: int = 19, names: list[str] | None = None) -> Path:
    random = np.random.default_rng(1)
    matrix = xgboost.DMatrix(random.random((100, n_features)), random.random(100) < 0.5, feature_names=names)
    xgboost.train({"objective": "binary:logistic"}, matrix, 3).save_model(path)
    return path


def test_models_of_other_features_are_refused(source, events, tmp_path):
    names = list(events.feature_names)
    with pytest.raises(InputError, match=r"few\.json.* 18"):
        validate_model(source, agc_v1.analysis, (other_model(tmp_path / "few.json", 18),), 1)
    with pytest.raises(InputError, match=r"reversed\.ubj.*features"):
        validate_model(source, agc_v1.analysis, (other_model(tmp_path / "reversed.ubj", names=names[::-1]),), 1)
    (tmp_path / "text.json").write_text("{}")
    with pytest.raises(InputError, match=r"text\.json"):
        validate_model(source, agc_v1.analysis, (tmp_path / "text.json",), 1)


@pytest.mark.parametrize("named", [True, False])
def test_models_of_the_same_features_are_evaluated(source, events, named, tmp_path):
    path = other_model(tmp_path / "other.ubj", names=list(events.feature_names) if named else None)
    evaluated = validate_model(source, agc_v1.analysis, (path,), 1)
    assert evaluated["other.ubj"].auc.value < evaluated["chi-square of the W and top masses"].auc.value


def better(one: Evaluation, other: Evaluation) -> float:
    """How many standard deviations the area of one is above that of the other."""
    return (one.auc.value - other.auc.value) / np.hypot(one.auc.uncertainty, other.auc.uncertainty)


def test_the_shipped_model_is_better_than_any_baseline(source):
    evaluated = validate_model(source, agc_v1.analysis, (SHIPPED,), 2)
    model = evaluated.pop(SHIPPED.name)
    assert len(evaluated) == 3
    for baseline in evaluated.values():
        assert better(model, baseline) > 5
        assert model.correct.value > baseline.correct.value


# Who imports whom.


def imports(path: Path) -> set[tuple[str, bool]]:
    """Names that a module imports, and whether it does so as it is imported itself."""
    found = set()

    def visit(node: ast.AST, at_once: bool) -> None:
        if isinstance(node, ast.Import):
            found.update((alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update((f"{node.module}.{alias.name}", at_once) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child, at_once and not isinstance(node, ast.FunctionDef))

    visit(ast.parse(path.read_text()), True)
    return found


def test_nothing_but_the_command_line_imports_training_and_only_where_it_is_needed():
    package = Path(cli.__file__).parent
    users = set()
    for path in package.rglob("*.py"):
        if path.parent.name != "training":
            users |= {(path.name, at_once) for name, at_once in imports(path) if name.startswith("ttbar.training")}
    assert users == {("cli.py", False)}


def test_training_knows_no_analysis():
    for path in Path(jobs.__file__).parent.glob("*.py"):
        assert not [name for name, _ in imports(path) if name.startswith("ttbar.analyses.agc")]
        assert not [cut for cut in agc_v1.analysis.cuts[1:] if re.search(rf"\b{cut}\b", path.read_text())]
