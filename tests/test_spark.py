"""The event loop on the workers of Spark gives what it gives here."""

import os

import numpy as np
import pytest
from engines import processed

from ttbar.analyses import agc_v1
from ttbar.errors import UsageError
from ttbar.execution import loop
from ttbar.executors import LocalExecutor, Where
from ttbar.library import shipped
from ttbar.simulate import simulate
from ttbar.worker import WorkerDied, no_setup

pytest.importorskip("pyspark", reason="Spark is not installed: pip install -r requirements-spark.lock")

SETUP = loop.Setup(1, agc_v1.analysis, tuple(shipped(model.file) for model in agc_v1.analysis.models))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), 16_000, ["ttbar__nominal"], 5, False)


@pytest.fixture(scope="module")
def executor():
    with Where("spark", None, 2).start(SETUP, patience=300) as executor:
        executor.ready()
        yield executor


def test_workers_give_the_same_bits(executor, toy):
    found = processed(executor, toy, SETUP, 5000)
    with LocalExecutor(SETUP, workers=2) as here:
        expected = processed(here, toy, SETUP, 5000)
    assert found.cutflow == expected.cutflow
    assert found.histograms.keys() == expected.histograms.keys()
    assert all(np.array_equal(found.histograms[key], expected.histograms[key]) for key in expected.histograms)


def test_a_process_lives_on_and_one_that_crashes_is_a_task_that_failed(executor, ledger):
    before = {executor.call(os.getpid) for _ in range(6)}
    assert len(before) <= 2
    with pytest.raises(WorkerDied, match="crashed with SIGABRT, on "):
        executor.call(os.abort)
    ledger.add("crash in a task", "detected")
    with pytest.raises(ValueError, match="invalid literal"):
        executor.call(int, "x")
    assert len({executor.call(os.getpid) for _ in range(6)} - before) <= 1


def test_what_runs_there_is_what_was_brought(executor):
    place = executor.call(eval, "__import__('ttbar').__path__[0]")
    assert "/spark-" in place
    libraries = executor.call(eval, "[line.split()[-1] for line in open('/proc/self/maps') if 'libttbar' in line]")
    assert libraries
    assert all(path.startswith(place) for path in libraries)


def test_an_address_that_is_none_is_a_usage_error(executor):
    where = Where("spark", "nonsense")
    with where.start(no_setup, 300) as other, pytest.raises(UsageError, match=r"--scheduler: .*nonsense"):
        other.ready()
