"""The forest: what the margins of an event cost, beside xgboost and treelite.

Rows are those of simulated events for the model of agc-v1, random ones for a trained model, and drawn from the model's
own thresholds for any other. All on one thread, in CPU time.
"""

import ctypes
import functools
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import treelite
import xgboost
from figures import Figure, Tell, in_turns, ratios
from numpy.typing import NDArray

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.execution import loop
from ttbar.execution.unit import Unit
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import Request, deliver
from ttbar.library import load_root, shipped
from ttbar.simulate import simulate
from ttbar.training.match import columns_of, match
from ttbar.worker import Worker

ROOT_FOLDER = Path(__file__).parents[1]
N_ROWS = 36_000
FOUR_JETS, FIVE_JETS, SIX_JETS = 12, 60, 180
"""Permutations of the jets of an event."""

N_FEATURES = 19
LOOP = """
void benchmark_events(const ttbar::Forest& forest, const float* rows, int n_events, int n_rows, float* margins) {
    for (int event = 0; event < n_events; ++event)
        forest.margins(rows + event * n_rows * forest.n_features(), n_rows, margins + event * n_rows);
}
"""

Rows = NDArray[np.float32]


def cpu(call: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def forests(model: Path) -> dict[str, Any]:
    """Read a model once for each set of instructions, the lowest first; needs ROOT in this process."""
    root = load_root()
    result = {}
    for name in ("baseline", "avx2", "avx512"):
        instructions = getattr(root.ttbar.Instructions, name)
        root.ttbar.limit_instructions(instructions)
        result[name] = root.ttbar.Forest(str(model))
        if instructions == root.ttbar.supported_instructions():
            break
    return result


@functools.cache
def declare() -> None:
    """Compile what is needed of C++, once in a process."""
    interpreter = load_root().gInterpreter
    interpreter.Declare(f'#include "{ROOT_FOLDER}/cpp/src/forest_instructions.hpp"')
    interpreter.Declare(LOOP)


def measured(name: str, model: Path, rows: Rows, sizes: Sequence[int], full: bool) -> list[Figure]:
    """Check and time one model, for events of some sizes; needs ROOT in this process."""
    declare()
    booster = xgboost.Booster({"nthread": 1}, model_file=str(model))
    values, margins = rows.ravel(), np.empty(len(rows), np.float32)
    ours, other = forests(model), treelite.frontend.load_xgboost_model(str(model))
    some = rows[: len(rows) // 12]
    found = []
    for size in sizes:
        n_events = len(rows) // size
        events = rows.reshape(n_events, size, -1)[: 6000 // size]
        # Not by predict, which remembers what it gave for a matrix.
        calls: dict[str, tuple[Callable[[], object], int]] = {
            "batch": (lambda: booster.inplace_predict(rows, predict_type="margin"), len(rows)),
            "xgboost's C API": (c_api(booster, events), size * len(events)),
            "treelite": (lambda: treelite.gtil.predict(other, some, nthread=1, pred_margin=True), len(some)),
        }
        for instructions, forest in ours.items():
            call = functools.partial(load_root().benchmark_events, forest, values, n_events, size, margins)
            calls[instructions] = call, len(rows)
            call()
            expected = booster.inplace_predict(rows, predict_type="margin")
            assert np.array_equal(margins.view(np.uint32), expected.view(np.uint32)), "margins differ from xgboost's"
        functions = {kind: functools.partial(cpu, call) for kind, (call, _) in calls.items()}
        times = in_turns(15 if full else 7, functions)
        row = {kind: [seconds / calls[kind][1] for seconds in each] for kind, each in times.items()}
        best, what = list(ours)[-1], f"{name}, {size} rows"
        found.append(Figure.of(f"{what}: to a row of xgboost's batch", ratios(row[best], row["batch"]), at_most=0.25))
        found.append(Figure.of(f"{what}: CPU of an event, {best}", [1e6 * size * each for each in row[best]], "us"))
        for peer in ("xgboost's C API", "treelite"):
            found.append(Figure.of(f"{what}: times as fast as {peer}", ratios(row[peer], row[best])))
        if full:
            for lower in list(ours)[:-1]:
                of_batch = ratios(row[lower], row["batch"])
                found.append(Figure.of(f"{what}: {lower}, to a row of xgboost's batch", of_batch))
    return found


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


def simulated_rows(number: int) -> Rows:
    """Features of all permutations of simulated events."""
    simulated = 5 * number  # of which one in fifty matches, with twelve rows
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        worker.call(loop.initialise, 1, agc_v1)
        dataset = worker.call(simulate, Path(folder), simulated, ["ttbar__nominal"], 1, False)
        samples = load_dataset(dataset, agc_v1.variations)
        (sample,) = deliver(samples, Request("Events", columns_of(agc_v1), patience=600))
        unit = Unit("ttbar", "nominal", sample.good)
        result = worker.call(match, unit, "Events", agc_v1, agc_v1.models[0])
    events = np.concatenate(result.records)
    return events["features"].reshape(-1, N_FEATURES)[:number]


def rows_among_thresholds(booster: xgboost.Booster, random: np.random.Generator) -> Rows:
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


def figures(full: bool, tell: Tell, models: Sequence[Path] = ()) -> Iterator[Figure]:
    """Measure the forest, with models of the user's besides."""
    random = np.random.default_rng(1)
    of_v1, of_v2 = (FOUR_JETS, FIVE_JETS, SIX_JETS) if full else (FOUR_JETS,), (FOUR_JETS, SIX_JETS)
    with Worker() as worker, tempfile.TemporaryDirectory() as folder:
        tell("the model of agc-v1")
        model = shipped("models", "jet_assignment.json")
        yield from worker.call(measured, "model of agc-v1", model, simulated_rows(N_ROWS), of_v1, full)

        if full:
            tell("a model of the size of those that are published for agc-v2")
            train_rows = random.exponential(60, (20_000, N_FEATURES)).astype(np.float32)
            margin = 2 * np.sin(train_rows[:, 0] / 20) + np.log(train_rows[:, 1] / 60)
            labels = random.random(len(train_rows)) < 1 / (1 + np.exp(-margin))
            parameters = {"objective": "binary:logistic", "eta": 0.1, "nthread": 1}
            parameters |= {"max_depth": 40, "max_leaves": 230, "grow_policy": "lossguide"}
            model = Path(folder) / "deep.json"
            xgboost.train(parameters, xgboost.DMatrix(train_rows, labels), 58).save_model(model)
            rows = random.exponential(60, (N_ROWS, N_FEATURES)).astype(np.float32)
            yield from worker.call(measured, "58 trees of 230 leaves", model, rows, of_v2, full)

        for name, model in {
            "model of agc-v2": shipped("models", "agc_v2_even.json"),
            **{model.stem: model for model in models},
        }.items():
            tell(name)
            rows = rows_among_thresholds(xgboost.Booster(model_file=str(model)), random)
            yield from worker.call(measured, name, model, rows, of_v2, full)
