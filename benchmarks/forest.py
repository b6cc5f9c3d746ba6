"""Print what the margins of an event cost by each set of instructions, beside xgboost in the same run.

Rows are those of simulated events for the model that comes with the program, random ones for a trained model, and drawn
from the model's own thresholds for any other. All on one thread, in CPU time; the least of several passes counts, so
that other work on the machine matters little.
"""

import argparse
import ctypes
import functools
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.execution import loop
from ttbar.execution.unit import Unit
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import Request, deliver
from ttbar.library import load_root, shipped
from ttbar.simulate import simulate
from ttbar.training import matched_events
from ttbar.worker import Worker

ROOT_FOLDER = Path(__file__).parents[1]
N_ROWS = 36_000
ROWS_OF_EVENTS = (12, 60, 180)  # permutations of four, five and six jets
N_FEATURES = 19
LOOP = """
void benchmark_events(const ttbar::Forest& forest, const float* rows, int n_events, int n_rows, float* margins) {
    for (int event = 0; event < n_events; ++event)
        forest.margins(rows + event * n_rows * forest.n_features(), n_rows, margins + event * n_rows);
}
"""


def microseconds(call: Callable[[], object], n_passes: int) -> float:
    """CPU time, from the fastest pass."""
    best = float("inf")
    for _ in range(n_passes):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best * 1e6


def forests(booster: xgboost.Booster) -> dict[str, Any]:
    """Read a model once for each set of instructions, the lowest first."""
    root = load_root()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.ubj"
        booster.save_model(file)
        for name in ("baseline", "avx2", "avx512"):
            instructions = getattr(root.ttbar.Instructions, name)
            root.ttbar.limit_instructions(instructions)
            result[name] = root.ttbar.Forest(str(file))
            if instructions == root.ttbar.supported_instructions():
                break
    return result


def report(name: str, booster: xgboost.Booster, rows: np.ndarray) -> None:
    """Check and time one model."""
    root = load_root()
    values, margins = rows.ravel(), np.empty(len(rows), np.float32)
    ours = forests(booster)
    # Not by predict, which remembers what it gave for a matrix.
    batch = microseconds(lambda: booster.inplace_predict(rows, predict_type="margin"), 5) / len(rows)
    expected = booster.inplace_predict(rows, predict_type="margin")
    print(f"{name}: xgboost takes {batch:.2f} us a row in one batch; an event of 4, 5 and 6 jets:")
    for n_rows in ROWS_OF_EVENTS:
        n_events = len(rows) // n_rows
        events = rows.reshape(n_events, n_rows, -1)[: 6000 // n_rows]
        single = microseconds(c_api(booster, events), 5) / len(events)
        for instructions, forest in ours.items():
            call = functools.partial(root.benchmark_events, forest, values, n_events, n_rows, margins)
            each = microseconds(call, 20) / n_events
            assert np.array_equal(margins.view(np.uint32), expected.view(np.uint32))
            share = f"{each / n_rows / batch:.2f} of the batch, {each / single:.3f} of the C API"
            print(f"  {n_rows:3} rows, {instructions + ':':9} {each:6.1f} us, {share}")


def c_api(booster: xgboost.Booster, events: np.ndarray) -> Callable[[], None]:
    """Make a function that predicts event by event with xgboost's C API, everything prepared that can be."""
    library = ctypes.CDLL(xgboost.libpath.find_lib_path()[0])
    settings = {"type": 1, "training": False, "iteration_begin": 0, "iteration_end": 0, "strict_shape": False}
    config = json.dumps(settings | {"cache_id": 0, "missing": math.nan}).encode()
    arrays = [
        json.dumps({"data": [event.ctypes.data, True], "shape": event.shape, "typestr": "<f4", "version": 3}).encode()
        for event in events
    ]
    shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
    margins = ctypes.POINTER(ctypes.c_float)()
    results = ctypes.byref(shape), ctypes.byref(dimensions), ctypes.byref(margins)

    def predict() -> None:
        for array in arrays:
            assert library.XGBoosterPredictFromDense(booster.handle, array, config, None, *results) == 0

    predict()
    last = booster.inplace_predict(events[-1], predict_type="margin")
    assert np.array_equal(np.ctypeslib.as_array(margins, last.shape), last)
    return predict


def simulated_rows() -> np.ndarray:
    """Features of all permutations of simulated events."""
    simulated = 5 * N_ROWS  # of which one in fifty matches, with twelve rows
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        worker.call(loop.initialise, 1, agc_v1)
        dataset = worker.call(simulate, Path(folder), simulated, ["ttbar__nominal"], 1, False)
        samples = load_dataset(dataset, agc_v1.variations)
        (sample,) = deliver(samples, Request("Events", matched_events.columns_of(agc_v1), patience=600))
        unit = Unit("ttbar", "nominal", sample.good)
        result = worker.call(matched_events.extract, unit, "Events", agc_v1, agc_v1.models[0])
    events = np.concatenate(result.records)
    return events["features"].reshape(-1, N_FEATURES)[:N_ROWS]


def rows_among_thresholds(booster: xgboost.Booster, random: np.random.Generator) -> np.ndarray:
    """Rows of the thresholds of a model, each value drawn from those of its feature."""
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    thresholds: dict[int, list[float]] = {}
    for tree in trees:
        for left, feature, value in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        ):
            if left != -1:
                thresholds.setdefault(feature, []).append(value)
    columns = [random.choice(thresholds.get(feature, [0.0]), N_ROWS) for feature in range(booster.num_features())]
    return np.stack(columns, axis=1).astype(np.float32)


def main() -> None:
    """Time each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", default=[], type=Path, help="another model of xgboost")
    arguments = parser.parse_args()
    interpreter = load_root().gInterpreter
    interpreter.Declare(f'#include "{ROOT_FOLDER}/cpp/src/forest_instructions.hpp"')
    interpreter.Declare(LOOP)
    random = np.random.default_rng(1)

    booster = xgboost.Booster({"nthread": 1}, model_file=shipped("models", "jet_assignment.json"))
    report("shipped model of agc-v1", booster, simulated_rows())

    # Of the size of AGC v2's.
    train_rows = random.exponential(60, (20_000, N_FEATURES)).astype(np.float32)
    margin = 2 * np.sin(train_rows[:, 0] / 20) + np.log(train_rows[:, 1] / 60)
    labels = random.random(len(train_rows)) < 1 / (1 + np.exp(-margin))
    parameters = {"objective": "binary:logistic", "eta": 0.1, "nthread": 1}
    parameters |= {"max_depth": 40, "max_leaves": 230, "grow_policy": "lossguide"}
    deep = xgboost.train(parameters, xgboost.DMatrix(train_rows, labels), 58)
    report("58 trees of 230 leaves", deep, random.exponential(60, (N_ROWS, N_FEATURES)).astype(np.float32))

    for path in (shipped("models", "agc_v2_even.json"), *arguments.model):
        booster = xgboost.Booster({"nthread": 1}, model_file=path)
        report(str(path), booster, rows_among_thresholds(booster, random))


if __name__ == "__main__":
    main()
