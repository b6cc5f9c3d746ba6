"""Models of the two halves of the events: each learns from one and is judged on the other."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost
from program import assert_fails, ttbar
from test_recipe_feature import read
from test_reference import DATA
from test_train import GOOD, chi_square, content, figures, table

from ttbar.analyses import agc_v1, agc_v2
from ttbar.errors import InputError, UsageError
from ttbar.execution import loop
from ttbar.inputs.source import Source
from ttbar.library import shipped
from ttbar.simulate import simulate
from ttbar.training import boosting
from ttbar.training.jobs import Options, train_model, validate_model
from ttbar.training.matched_events import MatchedEvents

EVENTS = 60_000
TREES = 5
PARITIES = ("even", "odd")
EVEN, ODD = agc_v2.analysis.models
BASELINES = (
    "random permutation",
    "chi-square of the W and top masses",
    "trijet of the largest transverse momentum",
)
SEARCH = {"max_depth": [4], "learning_rate": [0.3], "min_child_weight": [1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with simulated events in `toy`, other than those of the demo and of the shipped models."""
    folder = tmp_path_factory.mktemp("pair")
    simulate(folder / "toy", EVENTS, ["ttbar__nominal"], 99, False)
    return folder


@pytest.fixture(scope="module")
def source(folder) -> Source:
    return replace(GOOD, dataset=str(folder / "toy" / "dataset.json"))


@pytest.fixture(scope="module")
def events(source) -> MatchedEvents:
    return read(source, agc_v2.analysis)


@pytest.fixture(scope="module")
def result(folder):
    (folder / "search.json").write_text('{"max_depth": [4], "learning_rate": [0.3], "min_child_weight": [1]}')
    command = ("train", "--analysis", "agc-v2", "--dataset", "toy/dataset.json", "--output", "models/mine.json")
    result = ttbar(*command, "--max-trees", TREES, "--search", "search.json", cwd=folder)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def pair(folder, result) -> tuple[Path, ...]:
    return tuple(folder / "models" / f"mine_{parity}.json" for parity in PARITIES)


def scores_of(model: Path, records: np.ndarray) -> np.ndarray:
    """As xgboost finds them."""
    features = records["features"]
    matrix = xgboost.DMatrix(features.reshape(-1, features.shape[-1]))
    return xgboost.Booster(model_file=model).predict(matrix, validate_features=False).reshape(features.shape[:-1])


def test_one_command_writes_both_models_and_says_so(folder, result, pair):
    plots = {"roc", "scores", "importance", "learning", "calibration"}
    expected = {
        f"mine_{parity}{rest}" for parity in PARITIES for rest in (".json", ".md", *(f"/{plot}.png" for plot in plots))
    }
    assert set(content(folder / "models")) == expected
    for parity in PARITIES:
        assert f"the model is models/mine_{parity}.json, its card models/mine_{parity}.md" in result.stderr
    assert result.stderr.count("Matching: 0 of") == 1  # events are read once


def test_the_rows_are_those_of_the_first_four_jets(events):
    assert events.records["features"].shape[1:] == (12, 20)
    pt = events.records["pt"][:, events.permutations]
    first = events.feature_names.index("pt_w1")
    np.testing.assert_array_equal(events.records["features"][..., first : first + 4], pt)
    assert {*events.records["true_permutation"].tolist()} == {*range(12)}
    assert [*events.cutflow] == ["all", "one_lepton", "four_jets", "4j2b", "matched"]


@pytest.mark.parametrize("fold", [0, 1])
def test_a_model_learns_from_its_half_alone_and_is_judged_on_the_other(fold, events, pair):
    records = events.records
    parity, stopping = records["number"] % 2, records["number"] // 2 % 5 == 0
    own = records[(parity == fold) & ~stopping]
    labels = np.arange(12) == own["true_permutation"][:, None]
    matrix = xgboost.DMatrix(own["features"].reshape(-1, 20), labels.ravel())
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 4, "learning_rate": 0.3}
    expected = xgboost.train({**parameters, "min_child_weight": 1}, matrix, TREES)
    rows = xgboost.DMatrix(records["features"].reshape(-1, 20))
    np.testing.assert_array_equal(scores_of(pair[fold], records).ravel(), expected.predict(rows))

    card = pair[fold].with_suffix(".md").read_text()
    assert f"Trained on: {PARITIES[fold]}." in card
    assert "--folds" not in card
    assert f"{PARITIES[1 - fold]}.json" not in card
    assert table(card)["SHA-256"] == [f"`{hashlib.sha256(pair[fold].read_bytes()).hexdigest()}`"]
    judged = records[(parity != fold) & ~stopping]
    assert f"On {len(judged)} matched events of the other fold" in card
    for name, scores in (
        ("boosted decision trees", scores_of(pair[fold], judged)),
        ("chi-square of the W and top masses", chi_square(judged)),
    ):
        correct, area = figures(scores, judged["true_permutation"])
        found = [float(cell.split(" ± ")[0]) for cell in table(card)[name]]
        assert found == pytest.approx([correct, area], abs=6e-5)


@pytest.mark.parametrize("fold", [0, 1])
def test_what_is_true_in_one_half_changes_nothing_for_the_model_of_the_other(fold, events):
    changed = events.records.copy()
    other = changed["number"] % 2 != fold
    changed["true_permutation"][other] = (changed["true_permutation"][other] + 1) % 12
    before, after = (
        boosting.train(each, SEARCH, PARITIES, TREES, 1, 2) for each in (events, replace(events, records=changed))
    )
    same = [
        one.shipped.model.save_raw() == two.shipped.model.save_raw() for one, two in zip(before, after, strict=True)
    ]
    assert same[fold]
    assert not same[1 - fold]
    assert [outcome.folds for outcome in before] == [*PARITIES]


def test_an_event_is_evaluated_by_the_model_that_has_not_learnt_from_it(folder, source, events, pair):
    is_even = (events.records["number"] % 2 == 0)[:, None]
    by_even, by_odd = (scores_of(model, events.records) for model in pair)
    truth = events.records["true_permutation"]
    expected = figures(np.where(is_even, by_odd, by_even), truth)
    assert expected != figures(np.where(is_even, by_even, by_odd), truth)
    for models, name in ((pair, "mine_even.json, mine_odd.json"), (pair[::-1], "mine_odd.json, mine_even.json")):
        found = validate_model(source, agc_v2.analysis, models, 1)
        assert [*found] == [name, *BASELINES]
        agrees = (found[name].correct.value, found[name].auc.value) == pytest.approx(expected, abs=1e-6)
        assert agrees == (models == pair)

    # The command prints one row a line, however long the names are.
    arguments = [word for model in pair for word in ("--model", model)]
    printed = ttbar("validate-model", "--analysis", "agc-v2", "--dataset", source.dataset, *arguments)
    assert printed.returncode == 0, printed.stderr
    lines = printed.stdout.splitlines()
    assert len(lines) == 6
    assert {line.count("|") for line in lines} == {4}
    assert float(table(printed.stdout)["mine_even.json, mine_odd.json"][0].split()[0]) == pytest.approx(
        expected[0], abs=6e-5
    )


def test_a_model_of_one_half_alone_is_evaluated_on_the_other(source, events, pair):
    odd_alone = replace(agc_v2.analysis, models=(ODD,))
    found = validate_model(source, odd_alone, pair[1:], 1)["mine_odd.json"]
    even = events.records[events.records["number"] % 2 == 0]
    expected = figures(scores_of(pair[1], even), even["true_permutation"])
    assert (found.correct.value, found.auc.value) == pytest.approx(expected, abs=1e-6)


# What contradicts the analysis is told before anything is read.

NOWHERE = replace(GOOD, dataset="nowhere.json")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["even.json"], "takes 2 .even, odd.*not 1"),
        (["even.json", "even.json"], "same file"),
        (["even.json", "./even.json"], "same file"),
        (["even.json", "odd.json", "other.json"], "not 3"),
    ],
)
def test_the_models_must_be_two(names, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        validate_model(NOWHERE, agc_v2.analysis, [tmp_path / name for name in names], 1)


def test_each_of_the_models_must_have_the_features(source, pair):
    other = shipped("models", "jet_assignment.json")
    for models in ((pair[0], other), (other, pair[1])):
        with pytest.raises(InputError, match=r"jet_assignment\.json.* 19"):
            validate_model(source, agc_v2.analysis, models, 1)


@pytest.mark.parametrize("folds", ["both", "even", "odd"])
def test_the_analysis_has_the_last_word_on_the_halves(folds, tmp_path):
    with pytest.raises(UsageError, match=r"agc-v2.*even and odd") as error:
        train_model(Options(NOWHERE, agc_v2.analysis, tmp_path / "m.json", folds, None, TREES, 1, 1))
    assert "--folds" in str(error.value)
    assert not [*tmp_path.iterdir()]


def test_the_command_line_says_so_as_well(tmp_path):
    output = tmp_path / "models" / "m.json"
    result = ttbar("train", "--analysis", "agc-v2", "--folds", "odd", "--output", output)
    assert_fails(result, 2, "--folds", "agc-v2")
    assert not output.parent.exists()


@pytest.mark.parametrize(
    "models",
    [
        (EVEN, replace(EVEN, name="again")),
        (EVEN, replace(ODD, trained_on="")),
        (EVEN, ODD, replace(ODD, name="third")),
        (EVEN, replace(ODD, features="ttbar::feature_names")),
        (EVEN, replace(ODD, column="assigned")),
    ],
)
def test_models_that_are_no_pair_cannot_be_trained_at_once(models, tmp_path):
    analysis = replace(agc_v2.analysis, models=models)
    with pytest.raises(InputError, match=r"agc-v2 has models .even.* one by one"):
        train_model(Options(NOWHERE, analysis, tmp_path / "m.json", None, None, TREES, 1, 1))


def test_a_model_of_one_half_keeps_the_name_that_the_user_gives(source, pair, tmp_path):
    (tmp_path / "search.json").write_text('{"max_depth": [4], "learning_rate": [0.3], "min_child_weight": [1]}')
    odd_alone = replace(agc_v2.analysis, models=(ODD,))
    train_model(Options(source, odd_alone, tmp_path / "m.json", "odd", tmp_path / "search.json", TREES, 1, 1))
    assert (tmp_path / "m.json").read_bytes() == pair[1].read_bytes()


@pytest.mark.parametrize("name", ["a/b", "../up", ""])
def test_the_name_of_a_model_can_be_part_of_the_name_of_a_file(name):
    with pytest.raises(ValueError, match=f"the model {name!r} needs a name of letters"):
        replace(agc_v2.analysis, models=(EVEN, replace(ODD, name=name)))


# Models that come with the program, and published ones.

SHIPPED = (*agc_v1.analysis.models, *agc_v2.analysis.models)


@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.name)
def test_the_shipped_models_are_those_of_their_cards(model):
    path = shipped(model.file)
    card = path.with_suffix(".md").read_text()
    rows = table(card)
    assert rows["SHA-256"] == [f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`"]
    booster = xgboost.Booster(model_file=path)
    names = loop.feature_names(model.features)
    assert tuple(booster.feature_names) == names
    assert rows["features"] == [", ".join(f"`{name}`" for name in names)]
    assert rows["trees"] == [str(booster.num_boosted_rounds())]
    assert f"Trained on: {model.trained_on or 'both'}." in card
    assert int(rows["all"][0]) >= 100_000
    [evaluated] = re.findall(r"On (\d+) matched events", card)
    assert int(evaluated) >= 10_000
    correct, uncertainty = map(float, rows["boosted decision trees"][0].split(" ± "))
    for baseline in BASELINES:
        assert correct > float(rows[baseline][0].split(" ± ")[0]) + 10 * uncertainty
    for plot in re.findall(r"!\[.*\]\((.*)\)", card):
        assert (path.parent / plot).read_bytes().startswith(b"\x89PNG")


def test_the_shipped_pair_is_small_since_it_scores_many_permutations():
    for model in agc_v2.analysis.models:
        path = shipped(model.file)
        assert path.stat().st_size < 500_000
        assert xgboost.Booster(model_file=path).num_boosted_rounds() <= 60


def assert_better_than_baselines(found: dict, name: str) -> None:
    model = found[name]
    for baseline in BASELINES:
        assert model.correct.value > found[baseline].correct.value + 5 * model.correct.uncertainty
        assert model.auc.value > found[baseline].auc.value + 5 * model.auc.uncertainty


def test_the_shipped_pair_is_better_than_any_baseline(source):
    found = validate_model(source, agc_v2.analysis, (), 2)
    assert_better_than_baselines(found, "agc_v2_even.json, agc_v2_odd.json")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared test data are not in {DATA}")
def test_the_published_pair_is_evaluated_as_it_is(source):
    models = tuple(DATA / "agc" / f"model_{parity}.json" for parity in PARITIES)
    found = validate_model(source, agc_v2.analysis, models, 2)
    assert_better_than_baselines(found, "model_even.json, model_odd.json")
