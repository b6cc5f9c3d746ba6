"""The event loop on the workers of Dask gives what it gives here, whatever happens to them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from multiprocessing.reduction import ForkingPickler

import dask
import numpy as np
import psutil
import pytest
from engines import cluster, processed
from numpy.testing import assert_allclose
from program import PROGRAM, is_running

from ttbar.analyses import agc_v1, agc_v2
from ttbar.errors import AnalysisError, InputError, UsageError
from ttbar.execution import loop
from ttbar.execution.skim import make_skims
from ttbar.executors import LocalExecutor, Where, on_dask, remote
from ttbar.executors.bundle import bundle
from ttbar.executors.engine import value
from ttbar.executors.on_dask import _require_same_python
from ttbar.inputs.source import Source, get, list_samples
from ttbar.library import shipped
from ttbar.simulate import simulate
from ttbar.training import matched_events
from ttbar.worker import WorkerDied, no_setup

HEADER = '#include "mine_constants.hpp"\nnamespace mine { inline bool any(const ROOT::RVecF&) { return kYes; } }\n'


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), 16_000, ["ttbar__nominal"], 5, False)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """An analysis with helpers and a model of the user's own, in folders that are the user's."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.hpp").write_text(HEADER)
    (folder / "mine_constants.hpp").write_text("namespace mine { constexpr bool kYes = true; }\n")
    model = folder / "my_model.json"
    model.write_bytes(shipped("models", "jet_assignment.json").read_bytes())
    analysis = replace(agc_v1.analysis, headers=(folder / "mine.hpp",))
    return loop.Setup(1, analysis, (model,))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as file:
        yield file


@pytest.fixture(scope="module")
def executor(engine, setup):
    with Where("dask", str(engine), 2).start(setup, patience=300) as executor:
        executor.ready()
        yield executor


@pytest.fixture(scope="module")
def expected(toy, setup):
    """The same on this machine, by unit size."""
    with LocalExecutor(setup, workers=2) as executor:
        return {size: processed(executor, toy, setup, size) for size in (None, 8000, 5000)}


@pytest.mark.parametrize("unit_events", [None, 8000, 5000])
def test_workers_with_root_and_dask_alone_give_the_same_bits(executor, toy, setup, expected, unit_events):
    found = processed(executor, toy, setup, unit_events)
    usual = expected[unit_events]
    assert found.cutflow == usual.cutflow
    assert found.histograms.keys() == usual.histograms.keys()
    assert all(np.array_equal(found.histograms[key], usual.histograms[key]) for key in usual.histograms)


def test_skims_of_workers_give_the_same(executor, toy, setup, expected, tmp_path):
    where = Source(str(toy), "ttbar__nominal", None, (), "Events", "stop", None, None, 60)
    checked = get(where, list_samples(where, toy, setup.analysis), setup.analysis.columns, executor=executor)
    made = make_skims(toy, checked, setup.analysis, tmp_path, "Events", False, "RNTuple", executor)
    found = processed(executor, made.dataset, setup, None)
    assert found.events < expected[None].events / 5
    for key, histogram in expected[None].histograms.items():
        assert_allclose(found.histograms[key], histogram, rtol=1e-13)


def test_workers_find_the_same_matched_events(executor, toy, setup):
    where = Source(str(toy), "ttbar__nominal", None, (), "Events", "stop", None, None, 60)
    found = matched_events.read(where, setup.analysis, executor)
    with LocalExecutor(setup) as here:
        usual = matched_events.read(where, setup.analysis, here)
    assert len(found.records) > 100
    assert found.sha256 == usual.sha256
    assert found.cutflow == usual.cutflow


@pytest.mark.parametrize(("analysis", "workers", "threads"), [(agc_v1.analysis, 1, 2), (agc_v2.analysis, 4, 1)])
def test_the_number_of_workers_does_not_matter(toy, analysis, workers, threads):
    setup = loop.Setup(threads, analysis, tuple(shipped(model.file) for model in analysis.models))
    with Where("dask", None, workers).start(setup, 300) as executor:
        found = processed(executor, toy, setup, 5000)
    with LocalExecutor(replace(setup, threads=1)) as here:
        usual = processed(here, toy, setup, 5000)
    assert found.cutflow == usual.cutflow
    assert found.histograms.keys() == usual.histograms.keys()
    for (name, variation), histogram in usual.histograms.items():
        if threads == 1 or variation == "nominal":
            assert np.array_equal(found.histograms[name, variation], histogram)
        else:
            assert_allclose(found.histograms[name, variation], histogram, rtol=1e-12)


def test_what_runs_there_is_what_was_brought(executor, engine):
    place = executor.call(eval, "__import__('ttbar').__path__[0]")
    assert str(engine.parent) in place
    libraries = executor.call(eval, "[line.split()[-1] for line in open('/proc/self/maps') if 'libttbar' in line]")
    assert libraries
    assert all(str(engine.parent) in path for path in libraries)
    modules = executor.call(eval, "sorted({name.partition('.')[0] for name in __import__('sys').modules})")
    assert not {"hist", "rich", "jsonschema", "uproot", "fsspec", "cattrs", "distributed"} & set(modules)


def test_a_process_lives_on_and_one_that_crashes_costs_no_worker(executor, ledger):
    def pids():
        return {executor.call(os.getpid) for _ in range(12)}

    before = pids()
    assert len(before) <= 2
    with pytest.raises(WorkerDied, match="crashed with SIGABRT, on "):
        executor.call(os.abort)
    ledger.add("crash in a task", "detected")
    assert len(pids() - before) <= 1
    with pytest.raises(ValueError, match="invalid literal"):
        executor.call(int, "x")
    with pytest.raises(AnalysisError, match="mine"):
        executor.call(partial(eval, "(_ for _ in ()).throw(__import__('ttbar.errors').errors.AnalysisError('mine'))"))


def test_a_worker_that_is_killed_hands_its_task_to_another(executor, tmp_path, ledger):
    # Its child kills it the first time.
    kill = (
        "__import__('os').path.exists({0!r}) and 'done' or "
        "[open({0!r}, 'w').close(), __import__('os').kill(__import__('os').getppid(), 9)]"
    ).format(str(tmp_path / "mark"))
    assert executor.call(eval, kill) == "done"
    ledger.add("worker killed", "recovered")


# --- Without a cluster


@pytest.fixture(scope="module")
def ready(setup):
    with LocalExecutor(setup) as here:
        return here.ready()


def slots(setup, expected, folder):
    shipped = bundle(setup, expected)
    there = remote.Slots(shipped.name, shipped.content, shipped.setup, 300)
    there.open(str(folder))
    return there


QUESTION = bytes(ForkingPickler.dumps((os.getpid, (), {})))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"root_version": "6.38.00"}, "it has ROOT 6.*, not 6.38.00"), ({"code": "other"}, "it works with .*not .*other")],
)
def test_what_does_not_fit_is_found_before_the_loop(setup, ready, tmp_path, changes, reason, ledger):
    there = slots(setup, replace(ready, **changes), tmp_path)
    with pytest.raises(AnalysisError, match=reason):
        value(*there.ask(QUESTION))
    there.close()
    assert not any(tmp_path.iterdir())
    ledger.add("version that does not fit", "detected")


def test_children_are_ended_when_there_is_nothing_to_do(setup, ready, tmp_path, monkeypatch):
    there = slots(setup, ready, tmp_path)
    pid = value(*there.ask(QUESTION))
    assert value(*there.ask(QUESTION)) == pid
    monkeypatch.setattr(remote, "IDLE_S", 0)
    there.end_idle()
    assert not is_running(pid)
    there.close()


def test_another_python_is_named_worker_by_worker():
    def host(python):
        return {"host": {"python": python, "machine": "x86_64", "OS": "Linux"}}

    class Cluster:
        def get_versions(self):
            workers = {"tcp://a": host("3.12.1.final.0"), "tcp://b": host("3.11.9.final.0")}
            return {"client": host("3.11.2.final.0"), "workers": workers}

    with pytest.raises(AnalysisError, match=r"1 of 2 workers .*tcp://a has Python 3\.12, not 3\.11$"):
        _require_same_python(Cluster())


def test_the_bundle_is_named_after_what_is_in_it(setup, ready):
    first = bundle(setup, ready)
    assert first == bundle(setup, ready)
    assert len(first.content) < 3_000_000
    setup.files[0].write_text(HEADER + "// changed\n")
    assert bundle(setup, ready).name != first.name
    setup.files[0].write_text(HEADER)


def test_an_engine_that_is_not_installed_is_a_sentence(monkeypatch, setup):
    monkeypatch.delitem(sys.modules, on_dask.__name__)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"distributed is not installed: pip install 'ttbar\[dask\]'"):
        Where("dask").start(setup, 300)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (Where("dask", "tcp://127.0.0.1:9"), "--scheduler: no scheduler of Dask answers at tcp://127.0.0.1:9"),
        (Where("dask", "jobqueue:nobody"), "--scheduler: jobqueue:nobody is none of .*jobqueue:slurm"),
        (
            Where("dask", "jobqueue:slurm"),
            "--scheduler: dask-jobqueue's configuration of slurm does not suffice: .*cores",
        ),
        (Where("local", "tcp://127.0.0.1:9"), "--scheduler: .*--executor dask"),
    ],
)
def test_an_address_that_is_none_is_a_usage_error(where, words):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(UsageError, match=words),
        where.start(no_setup, 300) as executor,
    ):
        executor.ready()


def test_a_file_of_a_scheduler_that_is_not_there_is_an_input_error(tmp_path):
    where = Where("dask", str(tmp_path / "nowhere.json"))
    with where.start(no_setup, 300) as executor, pytest.raises(InputError, match=r"nowhere\.json"):
        executor.ready()


# --- The client


def started(toy, output):
    """A run on a cluster of its own that has come to the event loop, and all of its processes."""
    command = [sys.executable, str(PROGRAM), "--executor", "dask", "--workers", "1", "--dataset", str(toy)]
    run = subprocess.Popen([*command, "--output", str(output)], stderr=subprocess.PIPE, text=True)
    for line in run.stderr:
        if line.startswith("Processing"):
            return run, [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
    raise AssertionError("the run ended early")


def assert_all_end(processes):
    until = time.monotonic() + 60
    while any(map(is_running, processes)):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_client_that_ends_leaves_no_process_behind(toy, tmp_path, number, ledger):
    run, processes = started(toy, tmp_path)
    assert len(processes) >= 2
    run.send_signal(number)
    rest = run.communicate(timeout=60)[1]
    if number == signal.SIGINT:
        assert run.returncode == 130, rest
        assert rest.splitlines()[-1].startswith("error: interrupted")
        assert "Traceback" not in rest
    assert_all_end(processes)
    assert not (tmp_path / "run.json").exists()
    ledger.add("client ended", "detected")
    assert json.loads((toy.parent / "dataset.json").read_text())
