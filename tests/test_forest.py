"""`ttbar::Forest` against xgboost, to the last bit, and against treelite."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import treelite
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ttbar.library import load_root

VERSIONS = Path(__file__).parent / "data" / "xgboost"
PRIVATE = Path(__file__).parents[1] / "cpp" / "src"
N_ROWS = 100_000
# Of a few threads that wait for each other, xgboost is the slower the busier the machine is.
COMMON = {"objective": "binary:logistic", "nthread": 1, "seed": 1}


class Model(NamedTuple):
    name: str
    booster: xgboost.Booster
    rows: np.ndarray
    files: tuple[Path, Path]


def load(path: Path) -> Any:
    return load_root().ttbar.Forest(str(path))


def load_each(path: Path) -> list[Any]:
    """Load a model once for each set of instructions that this processor has."""
    root = load_root()
    if not hasattr(root.ttbar, "limit_instructions"):
        root.gInterpreter.Declare(f'#include "{PRIVATE / "forest_instructions.hpp"}"')
    sets = root.ttbar.Instructions
    forests = []
    for instructions in (sets.baseline, sets.avx2, sets.avx512):
        root.ttbar.limit_instructions(instructions)
        forests.append(load(path))
        if instructions == root.ttbar.supported_instructions():
            break
    return forests


def evaluate(forest: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margins and probabilities of a forest."""
    assert rows.shape[1] == forest.n_features()
    margins, probabilities = np.empty((2, len(rows)), np.float32)
    values = np.ascontiguousarray(rows, np.float32).ravel()
    forest.margins(values, len(rows), margins)
    forest.probabilities(values, len(rows), probabilities)
    return margins, probabilities


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    assert expected.dtype == np.float32
    different = np.flatnonzero(actual.view(np.uint32) != expected.view(np.uint32))
    assert not len(different), f"{len(different)} rows, first {different[0]}: {actual[different[0]]!r}"


def trees_of(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["learner"]["gradient_booster"]["model"]["trees"]


def depth(tree: dict[str, Any]) -> int:
    levels = np.zeros(len(tree["left_children"]), int)
    for node, children in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
        if children[0] != -1:
            levels[list(children)] = levels[node] + 1
    return int(levels.max())


def thresholds(path: Path) -> dict[int, np.ndarray]:
    """Distinct thresholds by feature."""
    found: dict[int, set[float]] = {}
    for tree in trees_of(path):
        columns = (tree["left_children"], tree["split_indices"], tree["split_conditions"])
        for left, feature, value in zip(*columns, strict=True):
            if left != -1:
                found.setdefault(feature, set()).add(value)
    return {feature: np.array(sorted(values), np.float32) for feature, values in found.items()}


def sample(random: np.random.Generator, n_rows: int, n_features: int) -> np.ndarray:
    return random.exponential(60, (n_rows, n_features)).astype(np.float32)


def signal(random: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    """Labels that depend on the features."""
    margin = 2 * np.sin(rows[:, 0] / 20) + np.log(rows[:, 1] / 60)
    return random.random(len(rows)) < 1 / (1 + np.exp(-margin))


def with_missing(random: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    return np.where(random.random(rows.shape) < 0.2, np.float32(np.nan), rows)


def train(name: str, folder: Path) -> Model:
    random = np.random.default_rng(7)
    missing = name == "missing"
    if name == "shallow":
        rows = sample(random, 10_000, 19)
        labels = signal(random, rows)
        parameters, n_trees = {"max_depth": 6, "eta": 0.1}, 60
    elif name == "agc":
        # The size of the AGC's model. Noise, seen through one feature a tree, makes deep trees of few leaves.
        rows = sample(random, 1800, 19)
        labels = random.random(len(rows)) < 0.3
        parameters = {"max_depth": 40, "grow_policy": "lossguide", "colsample_bytree": 0.06, "eta": 0.1}
        parameters |= {"min_child_weight": 0, "lambda": 0}
        n_trees = 250
    elif name == "deep":
        rows = sample(random, 60_000, 2)
        labels = random.random(len(rows)) < 0.3
        parameters = {"max_depth": 400, "tree_method": "exact", "min_child_weight": 0, "lambda": 0}
        n_trees = 6
    else:
        rows = sample(random, 10_000, 8)
        labels = signal(random, rows) ^ (random.random(len(rows)) < 0.1)
        rows = with_missing(random, rows)
        parameters, n_trees = {"max_depth": 7}, 50
    booster = xgboost.train(COMMON | parameters, xgboost.DMatrix(rows, labels), n_trees)
    files = (folder / f"{name}.json", folder / f"{name}.ubj")
    for file in files:
        booster.save_model(file)

    # Half of the values lie on a threshold, or next to it.
    test_rows = sample(random, N_ROWS, rows.shape[1])
    for feature, values in thresholds(files[0]).items():
        chosen = random.random(N_ROWS) < 0.5
        picked = random.choice(values, N_ROWS)
        towards = random.choice(np.array([-np.inf, np.inf], np.float32), N_ROWS)
        nudged = np.where(random.random(N_ROWS) < 0.5, picked, np.nextafter(picked, towards))
        test_rows[chosen, feature] = nudged[chosen]
    if missing:
        test_rows = with_missing(random, test_rows)
    return Model(name, booster, test_rows, files)


@pytest.fixture(scope="session", params=["shallow", "agc", "deep", "missing"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(request.param, tmp_path_factory.mktemp(request.param))


def test_the_models_are_what_they_are_meant_to_be(model: Model) -> None:
    trees = trees_of(model.files[0])
    depths = [depth(tree) for tree in trees]
    n_thresholds = max(map(len, thresholds(model.files[0]).values()))
    n_leaves = sum(tree["left_children"].count(-1) for tree in trees)
    if model.name == "shallow":
        assert max(depths) == 6
    elif model.name == "agc":
        assert (len(trees), max(depths)) == (250, 40)
        assert n_thresholds <= 255
    elif model.name == "deep":
        assert max(depths) > 100
        assert n_leaves > 100_000
        assert n_thresholds > 255
    else:
        splits = [
            left
            for tree in trees
            for left, child in zip(tree["default_left"], tree["left_children"], strict=True)
            if child != -1
        ]
        assert 0.1 < np.mean(splits) < 0.9


def test_every_bit_is_that_of_xgboost(model: Model) -> None:
    matrix = xgboost.DMatrix(model.rows)
    margins = model.booster.predict(matrix, output_margin=True)
    probabilities = model.booster.predict(matrix)
    for forest in (*load_each(model.files[0]), load(model.files[1])):
        assert forest.n_trees() == model.booster.num_boosted_rounds()
        actual = evaluate(forest, model.rows)
        assert_same_bits(actual[0], margins)
        assert_same_bits(actual[1], probabilities)


def test_treelite_reads_the_same_from_the_file(model: Model) -> None:
    rows = model.rows[:2000]
    expected = treelite.gtil.predict(treelite.frontend.load_xgboost_model(model.files[0]), rows)
    np.testing.assert_allclose(evaluate(load(model.files[0]), rows)[1], expected.ravel(), rtol=0, atol=1e-5)


def test_rows_do_not_depend_on_their_neighbours(model: Model) -> None:
    rows = model.rows[:180]
    for forest in load_each(model.files[1]):
        together = evaluate(forest, rows)[0]
        for size in (1, 7, 12):
            parts = [evaluate(forest, rows[first : first + size])[0] for first in range(0, len(rows), size)]
            assert_same_bits(np.concatenate(parts), together)


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize("version", ["1.7.6", "2.1.4", "3.2.0", "3.4.1"])
def test_models_of_other_versions_of_xgboost(version: str, suffix: str) -> None:
    text = json.loads((VERSIONS / f"{version}.scores.json").read_text())
    scores = {key: np.array([float.fromhex(value) for value in values], np.float32) for key, values in text.items()}
    forest = load(VERSIONS / f"{version}.{suffix}")
    assert [bytes(name).decode() for name in forest.feature_names()] == ["alpha", "beta", "gamma", "delta"]
    margins, probabilities = evaluate(forest, scores["rows"].reshape(-1, forest.n_features()))
    assert_same_bits(margins, scores["margins"])
    assert_same_bits(probabilities, scores["probabilities"])


@pytest.mark.parametrize(
    ("parameters", "labels", "reason"),
    [
        ({"objective": "reg:squarederror"}, [0, 1], "objective reg:squarederror"),
        ({"objective": "multi:softprob", "num_class": 3}, [0, 1, 2], "objective multi:softprob"),
        ({"booster": "dart"}, [0, 1], "booster dart"),
        ({"booster": "gblinear"}, [0, 1], "booster gblinear"),
        ({"multi_strategy": "multi_output_tree"}, [[0, 1], [1, 0]], "vectors as leaves"),
        ({"multi_strategy": "one_output_per_tree"}, [[0, 1], [1, 0]], "several classes or targets"),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_other_kinds_of_models_are_refused(
    parameters: dict[str, Any], labels: list[Any], reason: str, suffix: str, tmp_path: Path
) -> None:
    rows = np.random.default_rng(1).normal(size=(60 * len(labels), 3))
    booster = xgboost.train(COMMON | parameters, xgboost.DMatrix(rows, np.tile(np.array(labels).T, 60).T), 2)
    file = tmp_path / f"model.{suffix}"
    booster.save_model(file)
    assert_refused(file, reason)


def test_categorical_splits_are_refused(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 10, (500, 2))
    matrix = xgboost.DMatrix(rows, rows[:, 0] % 2, feature_types=["c", "q"], enable_categorical=True)
    file = tmp_path / "model.json"
    xgboost.train(COMMON, matrix, 2).save_model(file)
    assert_refused(file, "categorical")


def assert_refused(file: Path, reason: str) -> None:
    root = load_root()
    with pytest.raises(root.std.runtime_error) as error:
        root.ttbar.load_models([str(file)])
    assert f"model {file} has " in str(error.value)
    assert reason in str(error.value)


@pytest.mark.parametrize("column", ["split_conditions", "sum_hessian"])
def test_infinite_numbers_that_xgboost_writes_are_read(column: str, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    labels = random.random(2000) < 0.5
    rows = random.normal(size=(2000, 2)).astype(np.float32)
    largest = np.finfo(np.float32).max
    rows[:, 0] = np.where(labels ^ (random.random(2000) < 0.1), largest, np.nan)
    weights = np.full(2000, largest if column == "sum_hessian" else 1)
    booster = xgboost.train(COMMON | {"max_depth": 3}, xgboost.DMatrix(rows, labels, weight=weights), 4)
    files = (tmp_path / "model.json", tmp_path / "model.ubj")
    for file in files:
        booster.save_model(file)
    assert any(np.isinf(tree[column]).any() for tree in trees_of(files[0]))
    rows[:100, 0] = largest * np.linspace(-1, 1, 100)
    expected = booster.predict(xgboost.DMatrix(rows), output_margin=True)
    for file in files:
        assert_same_bits(evaluate(load(file), rows)[0], expected)


special = st.sampled_from([0.0, -0.0, np.nan, 1e-45, -1e-45, 3.4e38])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_tree_on_any_rows(data: st.DataObject, tmp_path: Path) -> None:
    """Trees of any shape with any thresholds, few of which training would find."""
    floats = st.floats(width=32, allow_nan=False)
    pool = np.array(data.draw(st.lists(floats, min_size=1, max_size=4)), np.float32)
    n_features = data.draw(st.integers(1, 3))
    trees = [draw_tree(data.draw, pool, n_features) for _ in range(data.draw(st.integers(1, 4)))]
    rows = data.draw(
        hnp.arrays(
            np.float32,
            (data.draw(st.integers(1, 14)), n_features),
            elements=st.sampled_from([value for value in pool if np.isfinite(value)] or [0.0]) | special,
        )
    )
    file = tmp_path / "model.json"
    file.write_text(json.dumps(document(trees, n_features)))
    booster = xgboost.Booster(model_file=file)
    booster.set_param({"nthread": 1})
    expected = booster.predict(xgboost.DMatrix(rows), output_margin=True)
    for forest in load_each(file):
        assert_same_bits(evaluate(forest, rows)[0], expected)


def draw_tree(draw: Callable[[Any], Any], pool: np.ndarray, n_features: int) -> dict[str, Any]:
    """A tree as xgboost stores it, grown by splitting random leaves."""
    tree: dict[str, Any] = {"left": [-1], "right": [-1], "feature": [0], "value": [0.0], "default_left": [0]}
    for _ in range(draw(st.integers(0, 8))):
        leaves = [node for node, left in enumerate(tree["left"]) if left == -1]
        node = draw(st.sampled_from(leaves))
        tree["left"][node], tree["right"][node] = len(tree["left"]), len(tree["left"]) + 1
        tree["feature"][node] = draw(st.integers(0, n_features - 1))
        tree["value"][node] = float(draw(st.sampled_from(list(pool))))
        tree["default_left"][node] = draw(st.integers(0, 1))
        for column, value in zip(tree.values(), (-1, -1, 0, 0.0, 0), strict=True):
            column.extend([value, value])
    for node, left in enumerate(tree["left"]):
        if left == -1:
            tree["value"][node] = float(np.float32(draw(st.floats(-8, 8, width=32))))
    return tree


def document(trees: list[dict[str, Any]], n_features: int) -> dict[str, Any]:
    """A model file of xgboost."""
    stored = [
        {
            "base_weights": [0.0] * len(tree["left"]),
            "categories": [],
            "categories_nodes": [],
            "categories_segments": [],
            "categories_sizes": [],
            "default_left": tree["default_left"],
            "id": number,
            "left_children": tree["left"],
            "loss_changes": [0.0] * len(tree["left"]),
            "parents": parents(tree),
            "right_children": tree["right"],
            "split_conditions": tree["value"],
            "split_indices": tree["feature"],
            "split_type": [0] * len(tree["left"]),
            "sum_hessian": [1.0] * len(tree["left"]),
            "tree_param": {
                "num_deleted": "0",
                "num_feature": str(n_features),
                "num_nodes": str(len(tree["left"])),
                "size_leaf_vector": "1",
            },
        }
        for number, tree in enumerate(trees)
    ]
    count = str(len(trees))
    booster = {
        "model": {
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": count},
            "iteration_indptr": list(range(len(trees) + 1)),
            "tree_info": [0] * len(trees),
            "trees": stored,
        },
        "name": "gbtree",
    }
    parameters = {
        "base_score": "5E-1",
        "boost_from_average": "1",
        "num_class": "0",
        "num_feature": str(n_features),
        "num_target": "1",
    }
    learner = {
        "attributes": {},
        "feature_names": [],
        "feature_types": [],
        "gradient_booster": booster,
        "learner_model_param": parameters,
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return {"learner": learner, "version": [3, 2, 0]}


def parents(tree: dict[str, Any]) -> list[int]:
    result = [2147483647] * len(tree["left"])
    for node, children in enumerate(zip(tree["left"], tree["right"], strict=True)):
        for child in children:
            if child != -1:
                result[child] = node
    return result
