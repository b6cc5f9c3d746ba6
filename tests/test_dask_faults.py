"""Faults of clusters end in the exact result or in a line that says where to look, and soon."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
from compare import bits
from engines import Cluster, processed
from program import Results, ttbar
from small_disk import small_disk
from xrootd_server import XRootDServer

from ttbar.analyses import agc_v1
from ttbar.analyses.analysis import Cut
from ttbar.errors import AnalysisError
from ttbar.execution import loop
from ttbar.execution.units import CrashingFile
from ttbar.executors import LocalExecutor, Where, engine
from ttbar.inputs import retries
from ttbar.inputs.files import BadFile
from ttbar.library import shipped
from ttbar.simulate import simulate
from ttbar.worker import no_setup

FAULTS = """
#include <csignal>
#include <cstdio>
#include <fstream>
#include <new>
#include <string>
#include <unistd.h>
namespace mine {
// Does what a file says, once or whenever an event comes.
inline bool fault() {
  std::string kind, when;
  if (std::ifstream order{"PLACE"}; !(order >> kind >> when)) return true;
  if (when == "once" && std::remove("PLACE") != 0) return true;
  if (kind == "kill") std::raise(SIGKILL);
  if (kind == "memory") throw std::bad_alloc{};
  static int events = 0;
  if (kind == "wait" && ++events > 9000) while (std::ifstream{"PLACE"}) usleep(10000);
  return true;
}
}
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), 16_000, ["ttbar__nominal"], 5, False)


@pytest.fixture(scope="module")
def order(tmp_path_factory):
    """A file that says what is to go wrong."""
    return tmp_path_factory.mktemp("fault") / "order"


@pytest.fixture(scope="module")
def setup(order):
    header = order.with_name("fault.hpp")
    header.write_text(FAULTS.replace("PLACE", str(order)))
    fine = Cut("fine", "mine::fault()")
    analysis = replace(agc_v1.analysis, headers=(header,), nodes=(fine, *agc_v1.analysis.nodes))
    return loop.Setup(1, analysis, tuple(shipped(model.file) for model in analysis.models))


@pytest.fixture(scope="module")
def expected(toy, setup):
    with LocalExecutor(setup) as executor:
        return processed(executor, toy, setup, 8000)


NETWORK = f"10.{200 + os.getpid() // 256 % 50}.{os.getpid() % 256}"  # one for each process that tests


@pytest.fixture(scope="module")
def network():
    """A network namespace, at the other end of a cable to this one; commands are run in it by a prefix."""
    name = f"ttbar{os.getpid()}"
    here, there = f"th{os.getpid()}", f"tt{os.getpid()}"
    commands = (
        f"ip netns add {name}",
        f"ip link add {here} type veth peer name {there} netns {name}",
        f"ip address add {NETWORK}.1/24 dev {here}",
        f"ip link set {here} up",
        f"ip -n {name} address add {NETWORK}.2/24 dev {there}",
        f"ip -n {name} link set {there} up",
        f"ip -n {name} link set lo up",
    )
    if shutil.which("ip") is None:
        pytest.skip("no command ip (package iproute2)")
    try:
        for command in commands:
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"no network namespace can be made: {done.stderr.strip()}")
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, network):
    """A scheduler and two workers like others."""
    with Cluster(tmp_path_factory.mktemp("cluster"), host=f"{NETWORK}.1") as started:
        for number in range(2):
            started.add(f"worker{number}")
        yield started


@pytest.fixture
def another(cluster):
    """Adds workers for a test."""
    with ExitStack() as stack:

        def add(name, *options, **arguments):
            cluster.add(name, *options, **arguments)
            stack.callback(lambda: name in cluster.processes and cluster.remove(name))

        yield add


def on(cluster, setup=no_setup, workers=2):
    return Where("dask", cluster.address, workers).start(setup, 300)


@pytest.fixture(scope="module")
def executor(cluster, setup):
    with on(cluster, setup) as executor:
        executor.ready()
        yield executor


def assert_same(found, expected):
    assert found.cutflow == expected.cutflow
    assert found.histograms.keys() == expected.histograms.keys()
    assert all(np.array_equal(found.histograms[key], expected.histograms[key]) for key in expected.histograms)


@pytest.mark.parametrize("kind", ["kill", "memory"])
def test_a_task_that_is_out_of_memory_once_is_repeated(executor, toy, setup, expected, order, kind, ledger):
    order.write_text(f"{kind} once")
    assert_same(processed(executor, toy, setup, 8000), expected)
    assert not order.exists()
    ledger.add("worker out of memory", "recovered")


@pytest.mark.parametrize("kind", ["kill", "memory"])
def test_a_task_that_is_always_out_of_memory_is_named(executor, toy, setup, order, kind, monkeypatch, ledger):
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    order.write_text(f"{kind} always")
    with pytest.raises(CrashingFile, match=r"\.root: crashes .* ttbar__nominal \(its .* memory runs out, on .*\)"):
        processed(executor, toy, setup, None)
    order.unlink()
    ledger.add("worker out of memory", "detected")


def test_a_file_that_one_worker_does_not_see_is_read_by_another(executor, another, toy, setup, expected, ledger):
    another("blind", prefix=hidden(toy.parent))
    assert_same(processed(executor, toy, setup, 8000), expected)
    ledger.add("file that a worker does not see", "recovered")


def hidden(folder):
    """A prefix of a command that does not see a folder."""
    command = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{folder}" && exec "$@"', "sh"]
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a folder cannot be hidden: {done.stderr.strip()}")
    return command


def test_a_stranger_gives_the_same_bits(
    tmp_path_factory, network, toy, setup, expected, impatient, monkeypatch, ledger
):
    """One in a network namespace of its own, another folder and under another user, who has no home."""
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    reader = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"  # of what only this user can read
    folder = tmp_path_factory.mktemp("stranger")
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    with Cluster(folder, host=f"{NETWORK}.1") as cluster, tempfile.TemporaryDirectory() as readable:
        place = folder / "worker"
        place.mkdir(mode=0o777)
        place.chmod(0o777)
        prefix = [*network, *nobody.split(), *reader.split()]
        cluster.add("worker", "--nthreads", "2", prefix=prefix, HOME="/nonexistent", TMPDIR=str(place), **impatient)
        with on(cluster, setup, 1) as executor:
            with pytest.raises(BadFile, match=rf"^{toy.parent}/.*root: cannot be opened .*, on "):
                processed(executor, toy, setup, 8000)
            ledger.add("file that a worker must not read", "detected")
            data = Path(shutil.copytree(toy.parent, readable, dirs_exist_ok=True))
            data.chmod(0o755)
            assert_same(processed(executor, data / toy.name, setup, 8000), expected)
            assert executor.call(os.getuid) == 65534
            with XRootDServer(toy.parent) as server, pytest.raises(BadFile) as error:
                processed(executor, on_server(toy, server), setup, None)
            assert re.search(rf"root://localhost:{server.port}//.*root: cannot be opened .*, on ", str(error.value))
            ledger.add("server that no worker reaches", "detected")
            unpacked = executor.call(eval, "__import__('ttbar').__path__[0]")
            assert unpacked.startswith(str(place))
        until = time.monotonic() + 30
        while list(place.rglob("*.so")):
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture
def impatient():
    """Variables of a worker that does not wait long for a server."""
    return {"XRD_CONNECTIONWINDOW": "1", "XRD_CONNECTIONRETRY": "1"}


def on_server(toy, server):
    """The data set as a server has it."""
    content = json.loads(toy.read_text())
    for file in content["ttbar"]["nominal"]["files"]:
        file["path"] = server.address(file["path"])
    dataset = toy.with_name("on_server.json")
    dataset.write_text(json.dumps(content))
    return dataset


def test_a_server_that_one_worker_does_not_reach(executor, another, network, toy, setup, expected, impatient, ledger):
    another("far", prefix=network, **impatient)
    with XRootDServer(toy.parent) as server:
        assert_same(processed(executor, on_server(toy, server), setup, 8000), expected)
    ledger.add("server that a worker does not reach", "recovered")


def test_one_of_several_workers_that_does_not_fit_is_named(cluster, another, setup, tmp_path, ledger):
    (tmp_path / "ROOT.py").write_text("class gROOT:\n    GetVersion = staticmethod(lambda: '6.30.00')\n")
    another("old", PYTHONPATH=f"{tmp_path}:{cluster.folder / 'packages'}")
    with on(cluster, setup, 3) as executor, pytest.raises(AnalysisError) as error:
        executor.ready()
    assert re.search(rf"^1 of 3 workers cannot be used: tcp://{NETWORK}.1:\d+: it has ROOT 6.30", str(error.value))
    ledger.add("version that does not fit", "detected")


def test_a_worker_with_a_full_disk_is_named(cluster, another, setup, ledger):
    with small_disk(600_000) as disk:
        another("full", "--local-directory", str(disk))
        with on(cluster, setup, 3) as executor, pytest.raises(AnalysisError) as error:
            executor.ready()
        cluster.remove("full")
    assert re.search(rf"^1 of 3 workers .*{disk}.* cannot be written: No space left on device, on ", str(error.value))
    ledger.add("full disk of a worker", "detected")


def test_a_worker_with_a_full_disk_that_joins_later_costs_nothing(cluster, another, executor, monkeypatch, ledger):
    with small_disk(600_000) as disk:
        before = set(executor._workers_now())
        another("full", "--local-directory", str(disk))
        until = time.monotonic() + 60
        while not (full := set(executor._workers_now()) - before):
            assert time.monotonic() < until
            time.sleep(0.05)
        question = engine._question(abs, -7)
        submit = executor._executor.submit
        with monkeypatch.context() as patched:  # as the scheduler may choose; no idle worker takes it from there
            alone = {"allow_other_workers": False}
            patched.setattr(executor._executor, "submit", lambda *args, **named: submit(*args, **(named | alone)))
            asked = executor._ask_one_of([*full], question)
        assert executor._answer(question, asked, elsewhere=True).result(timeout=60) == 7
        assert executor._failed[question] == full
        cluster.remove("full")
    ledger.add("full disk of a worker", "recovered")


def test_two_clients_of_one_cluster_do_not_meet(executor, cluster, setup):
    with on(cluster, setup) as other:
        assert other.call(abs, -1) == 1
    assert executor.call(abs, -2) == 2


# --- The scheduler, encrypted


@pytest.fixture
def certificates(tmp_path):
    """Configuration of Dask with a certificate of our own."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    if shutil.which("openssl") is None:
        pytest.skip("no command openssl")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], capture_output=True, check=True)
    both = {"key": key, "cert": certificate}
    files = {"ca-file": certificate}
    files |= {f"{role}.{each}": path for role in ("scheduler", "worker", "client") for each, path in both.items()}
    return {f"distributed.comm.tls.{name}": str(path) for name, path in files.items()}


def variables(configuration):
    """The same as variables of the environment."""
    return {f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": value for name, value in configuration.items()}


def test_an_encrypted_cluster_that_ends_bit_by_bit(tmp_path, certificates, monkeypatch, ledger):
    setup = loop.Setup(1, agc_v1.analysis)
    with (
        Cluster(tmp_path / "cluster", protocol="tls", **variables(certificates)) as cluster,
        dask.config.set(certificates),
    ):
        assert cluster.address.startswith("tls://")
        cluster.add("first")
        with on(cluster, setup, 1) as executor:
            assert executor.call(abs, -1) == 1
            monkeypatch.setattr(engine, "WAIT_S", 3.0)
            waiting = executor.submit(time.sleep, 600)
            cluster.kill("first")
            with pytest.raises(AnalysisError, match=rf"{cluster.address} has had no worker for 3 s: .*--resume"):
                waiting.result(timeout=60)
            ledger.add("all workers killed", "detected")
        monkeypatch.undo()
        cluster.add("second")
        with on(cluster, setup, 1) as executor:
            waiting = executor.submit(time.sleep, 600)
            cluster.kill("scheduler")
            with pytest.raises(AnalysisError, match=rf"Dask scheduler at {cluster.address} is gone.*--resume"):
                waiting.result(timeout=60)
            with pytest.raises(AnalysisError, match="is gone"):
                executor.call(abs, -1)
            ledger.add("scheduler killed", "detected")


# --- The program

ANALYSIS = """
from dataclasses import replace
from pathlib import Path
from ttbar.analyses import agc_v1
from ttbar.analyses.analysis import Cut

fine = Cut("fine", "mine::fault()")
header = Path(__file__).with_name("fault.hpp")
analysis = replace(agc_v1.analysis, name="mine", headers=(header,), nodes=(fine, *agc_v1.analysis.nodes))
"""


@pytest.fixture(scope="module")
def command(toy, order, setup):
    """The arguments of a run of two units."""
    analysis = order.with_name("mine.py")
    analysis.write_text(ANALYSIS)
    return ("--dataset", str(toy), "--analysis", str(analysis), "--unit-events", "8000", "--no-plots", "--no-fit")


@pytest.fixture(scope="module")
def usual(command, tmp_path_factory):
    output = tmp_path_factory.mktemp("usual")
    result = ttbar("run", *command, "--threads", 1, "--output", output)
    assert result.returncode == 0, result.stderr
    return bits(output / "histograms.root")


@pytest.mark.parametrize("victim", ["scheduler", "client"])
def test_a_run_goes_on_after_its_scheduler_or_itself_was_killed(tmp_path, command, usual, order, victim, ledger):
    output = tmp_path / "output"
    order.write_text("wait always")
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.add("worker")
        there = ("--executor", "dask", "--scheduler", cluster.address)
        arguments = [sys.executable, "-m", "ttbar", "run", *command, *there, "--output", str(output)]
        run = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 300
        while not list(output.glob("units/*.unit")):
            assert run.poll() is None, run.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.1)
        if victim == "client":
            run.kill()
            run.communicate(timeout=60)
            order.unlink()
        else:
            children = psutil.Process(cluster.processes["worker"].pid).children(recursive=True)
            cluster.kill("scheduler")
            errors = run.communicate(timeout=60)[1].splitlines()
            assert run.returncode == 4
            assert re.match(f"error: the Dask scheduler at {cluster.address} is gone: .*--resume", errors[-1])
            assert not [line for line in errors if "Traceback" in line or "distributed" in line]
            assert psutil.wait_procs([each for each in children if "ttbar" in " ".join(cmdline(each))], 60)[1] == []
            order.unlink()
            there = ("--threads", 1)
        resumed = ttbar("run", *command, *there, "--output", output, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert bits(output / "histograms.root") == usual
    assert Results(output).json("metrics")["events"] == 16_000
    ledger.add(f"{victim} killed", "recovered")


def cmdline(process):
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
