"""Print what the margins of an event of twelve permutations cost, beside xgboost in the same run.

Models are trained on the spot, but for the one that comes with the program, which sees simulated events. All on one
thread, in CPU time; the least of several passes counts, so that other work on the machine matters little.
"""

import ctypes
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xgboost

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.execution import loop
from ttbar.execution.unit import Unit
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import Request, deliver
from ttbar.library import load_root, resource
from ttbar.simulate import simulate
from ttbar.training import matched_events
from ttbar.worker import Worker

N_EVENTS, N_ROWS, N_FEATURES = 1000, 12, 19
MODELS = {
    "250 trees of 60 leaves": ({"max_depth": 40, "max_leaves": 60, "grow_policy": "lossguide"}, 250),
    "200 trees of depth 6": ({"max_depth": 6}, 200),
}
LOOP = """
void benchmark_events(const ttbar::Forest& forest, const float* rows, int n_events, int n_rows, float* margins) {
    for (int event = 0; event < n_events; ++event)
        forest.margins(rows + event * n_rows * forest.n_features(), n_rows, margins + event * n_rows);
}
"""


def microseconds(call: Callable[[], object], n_events: int, n_passes: int = 50) -> float:
    """CPU time of an event, from the fastest pass."""
    best = float("inf")
    for _ in range(n_passes):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best / n_events * 1e6


def report(name: str, booster: xgboost.Booster, rows: np.ndarray) -> None:
    """Check and time one model."""
    root = load_root()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.ubj"
        booster.save_model(file)
        forest = root.ttbar.Forest(str(file))
    values, margins = rows.ravel(), np.empty(len(rows), np.float32)

    events = rows.reshape(N_EVENTS, N_ROWS, N_FEATURES)[:200]

    ours = microseconds(lambda: root.benchmark_events(forest, values, N_EVENTS, N_ROWS, margins), N_EVENTS)
    assert np.array_equal(margins, booster.inplace_predict(rows, predict_type="margin"))
    # Not by predict, which remembers what it gave for a matrix.
    batch = microseconds(lambda: booster.inplace_predict(rows, predict_type="margin"), N_EVENTS, 10)
    single = microseconds(c_api(booster, events), len(events), 10)
    print(
        f"{name}: {ours:.1f} us/event; xgboost {batch:.1f} in one batch ({batch / ours:.1f} times), "
        f"{single:.1f} in its C API event by event ({single / ours:.1f} times)"
    )


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
    assert np.array_equal(np.ctypeslib.as_array(margins, (N_ROWS,)), last)
    return predict


def simulated_rows() -> np.ndarray:
    """Features of all permutations of simulated events."""
    simulated = 60 * N_EVENTS  # of which one in fifty matches
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        worker.call(loop.initialise, 1, agc_v1)
        dataset = worker.call(simulate, Path(folder), simulated, ["ttbar__nominal"], 1, False)
        samples = load_dataset(dataset, agc_v1.variations)
        (sample,) = deliver(samples, Request("Events", matched_events.columns_of(agc_v1), patience=600))
        unit = Unit("ttbar", "nominal", sample.good)
        result = worker.call(matched_events.extract, unit, "Events", agc_v1, agc_v1.models[0])
    events = np.concatenate(result.records)
    return events["features"][:N_EVENTS].reshape(N_EVENTS * N_ROWS, N_FEATURES)


def main() -> None:
    """Train and time each model."""
    load_root().gInterpreter.Declare(LOOP)
    random = np.random.default_rng(1)
    train_rows = random.exponential(60, (20_000, N_FEATURES)).astype(np.float32)
    margin = 2 * np.sin(train_rows[:, 0] / 20) + np.log(train_rows[:, 1] / 60)
    labels = random.random(len(train_rows)) < 1 / (1 + np.exp(-margin))
    matrix = xgboost.DMatrix(train_rows, labels)
    rows = random.exponential(60, (N_EVENTS * N_ROWS, N_FEATURES)).astype(np.float32)
    common = {"objective": "binary:logistic", "eta": 0.1, "nthread": 1}
    for name, (parameters, n_trees) in MODELS.items():
        report(name, xgboost.train(common | parameters, matrix, n_trees), rows)

    shipped = xgboost.Booster({"nthread": 1}, model_file=resource("models", "jet_assignment.json"))
    report(f"shipped model, {shipped.num_boosted_rounds()} trees", shipped, simulated_rows())


if __name__ == "__main__":
    main()
