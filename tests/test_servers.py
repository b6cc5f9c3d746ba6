"""Files on servers that are slow, fall silent, lose connections, die and come back."""

import json
import threading
import time

import pytest
from compare import assert_equal_histograms
from damage import flipped_bits
from http_server import HTTPServer
from program import Results, assert_fails, run_analysis, ttbar
from proxy import Proxy
from xrootd_server import XRootDServer

from ttbar.inputs.retries import ATTEMPTS
from ttbar.simulate import simulate

EVENTS = 20_000
SAMPLE = "wjets__nominal"
SILENCE_S = 3


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A data set, in files that take a server some time to give."""
    return simulate(tmp_path_factory.mktemp("toy"), EVENTS, [SAMPLE], 6, True)


@pytest.fixture(scope="module")
def files(toy):
    return json.loads(toy.read_text())["wjets"]["nominal"]["files"]


@pytest.fixture(scope="module")
def expected(toy, tmp_path_factory):
    """The histograms of a run on local files."""
    output = tmp_path_factory.mktemp("expected")
    result = run_analysis("--dataset", toy, "--output", output)
    assert result.returncode == 0, result.stderr
    return output / "histograms.root"


@pytest.fixture
def server(toy):
    with XRootDServer(toy.parent) as started:
        yield started


@pytest.fixture
def network(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def remote(files, tmp_path):
    """Runs on the files at an address, with what else the list says of them; what was noted is compared."""

    def run(address, *arguments, output="output", **extra):
        listed = [file | {"path": address(file["path"])} | extra for file in files]
        dataset = tmp_path / "dataset.json"
        dataset.write_text(json.dumps({"wjets": {"nominal": {"files": listed}}}))
        limits = ("--timeout", SILENCE_S, "--threads", 2)
        return run_analysis("--dataset", dataset, "--output", tmp_path / output, *limits, *arguments)

    return run


@pytest.fixture
def assert_recovered(tmp_path, expected, ledger):
    def check(result, fault):
        assert result.returncode == 0, result.stderr
        try:
            assert_equal_histograms(tmp_path / "output" / "histograms.root", expected)
        except AssertionError:
            ledger.add(fault, "wrong")
            raise
        ledger.add(fault, "recovered")
        return Results(tmp_path / "output")

    return check


def when_reading(network, begin, action):
    """Do something once, in a thread of its own, when so many bytes have come from the server."""
    done = threading.Event()

    def watch(number):
        if number > begin and not done.is_set():
            done.set()
            threading.Thread(target=action).start()

    network.on_bytes = watch
    return done


@pytest.fixture
def bytes_of_a_check(network, files, tmp_path):
    """How much of the files a check reads; a run reads as much before its loop."""
    dataset = tmp_path / "checked.json"
    paths = [network.address(file["path"]) for file in files]
    dataset.write_text(json.dumps({"wjets": {"nominal": {"files": paths}}}))
    assert ttbar("check", "--dataset", dataset).returncode == 0
    return network.take_count()


def test_a_server_that_is_slow(network, remote, assert_recovered):
    network.blocks_per_s = 200
    assert_recovered(remote(network.address), "slow server")


def test_addresses_and_a_tree_that_root_spells_in_another_way(server, remote, assert_recovered):
    def address(name):
        return f"root://localhost:{server.port}///{name}?xrd.wantprot=unix"

    run = assert_recovered(remote(address, "--tree", "//Events"), "options in an address").json("run")
    assert [file["processed"] for file in run["files"]] == [file["entries"] for file in run["files"]]


def test_a_server_that_loses_connections(network, remote, assert_recovered):
    network.losses = 0.02
    result = remote(network.address, "--timeout", 10)
    assert network.lost > 3
    assert_recovered(result, "lost connections")


def test_a_server_that_is_killed_and_comes_back(server, network, bytes_of_a_check, remote, assert_recovered):
    killed = when_reading(network, 1.2 * bytes_of_a_check, server.restart)
    assert_recovered(remote(network.address, "--timeout", 10), "server killed and restarted")
    assert killed.is_set()


@pytest.mark.parametrize("end", ["stop", "pause"])
def test_a_server_that_is_gone_for_good(
    end, server, network, bytes_of_a_check, remote, tmp_path, ledger, assert_recovered
):
    gone = when_reading(network, 1.2 * bytes_of_a_check, getattr(server, end))
    begun = time.monotonic()
    result = remote(network.address)
    fault = {"stop": "server killed", "pause": "server silent"}[end]
    assert gone.is_set()
    assert result.returncode in (3, 4), result.stderr
    assert_fails(result, result.returncode, "wjets__nominal_", "root://")
    assert time.monotonic() - begun < 400
    assert not (tmp_path / "output" / "histograms.root").exists()
    ledger.add(fault, "detected")
    network.on_bytes = lambda number: None
    server.restart()
    assert_recovered(remote(network.address, "--resume"), f"{fault}, then resumed")


def test_a_mirror_takes_the_place_of_a_server_that_is_not_there(
    server, files, remote, tmp_path, assert_recovered, unused
):
    first, second = (server.address(file["path"]) for file in files)
    nowhere = f"root://localhost:{unused}//{files[0]['path']}"
    listed = [files[0] | {"path": nowhere, "mirrors": [first]}, files[1] | {"path": second}]
    dataset = tmp_path / "mirrored.json"
    dataset.write_text(json.dumps({"wjets": {"nominal": {"files": listed}}}))
    result = run_analysis("--dataset", dataset, "--output", tmp_path / "output", "--timeout", 1)
    run = assert_recovered(result, "no server, but a mirror").json("run")
    assert [file["path"] for file in run["files"]] == [nowhere, second]
    assert [file["source"] for file in run["files"]] == [first, second]
    assert run["files"][0]["attempts"] > ATTEMPTS


@pytest.mark.parametrize("mirrored", [0, 1])
def test_a_mirror_is_read_for_a_file_that_crashes_the_loop_if_it_is_the_same_file(
    mirrored, server, toy, files, tmp_path, ledger, assert_recovered
):
    damaged = tmp_path / "damaged.root"
    flipped_bits(damaged, toy.parent / files[0]["path"])
    other = toy.parent / files[1]["path"]
    listed = [
        files[0] | {"path": str(damaged), "mirrors": [server.address(files[mirrored]["path"])]},
        files[1] | {"path": str(other)},
    ]
    dataset = tmp_path / "mirrored.json"
    dataset.write_text(json.dumps({"wjets": {"nominal": {"files": listed}}}))
    result = run_analysis("--dataset", dataset, "--output", tmp_path / "output", "--timeout", SILENCE_S)
    if mirrored == 0:
        run = assert_recovered(result, "flipped bits, but a mirror").json("run")
        assert run["files"][0]["source"] == server.address(files[0]["path"])
        return
    if result.returncode == 0:
        ledger.add("flipped bits, another file as mirror", "wrong")
    assert_fails(result, result.returncode, str(damaged))
    assert result.returncode in (3, 4)
    ledger.add("flipped bits, another file as mirror", "detected")


@pytest.fixture
def unused():
    """A port where nothing listens."""
    with Proxy(0) as proxy:
        return proxy.port


def test_a_prefix_leads_to_another_place(toy, files, remote, assert_recovered):
    result = remote(
        lambda name: f"root://nowhere.example//store/{name}", "--prefix", f"root://nowhere.example//store={toy.parent}"
    )
    assert_recovered(result, "prefix to a local copy")


def test_a_cache_hides_a_bad_network(network, remote, tmp_path, assert_recovered):
    network.losses = 0.01
    cached = ("--cache", tmp_path / "cache")
    assert_recovered(remote(network.address, "--timeout", 10, *cached), "lost connections, cache")
    network.__exit__()
    assert_recovered(remote(network.address, *cached), "no server, but a cache")


def test_files_on_a_web_server_come_through_the_cache(toy, files, remote, tmp_path, assert_recovered):
    with HTTPServer() as web:
        web.files = {file["path"]: (toy.parent / file["path"]).read_bytes() for file in files}
        assert_fails(remote(web.address), 3, web.address(files[0]["path"]), "--cache")
        run = assert_recovered(remote(web.address, "--cache", tmp_path / "cache"), "web server").json("run")
        assert [str(tmp_path / "cache") in file["source"] for file in run["files"]] == [True, True]
        assert len(web.requests) == 2
        web.files["bad.root"] = web.files[files[0]["path"]][:1000]
        mirrored = files[0] | {"path": web.address("bad.root"), "mirrors": [web.address(files[0]["path"])]}
        dataset = tmp_path / "mirrored.json"
        dataset.write_text(json.dumps({"wjets": {"nominal": {"files": [mirrored]}}}))
        result = ttbar("check", "--dataset", dataset, "--cache", tmp_path / "cache")
        assert result.returncode == 0, result.stderr
        too_small = ("--cache", tmp_path / "other", "--cache-limit", 0.001)
        assert_fails(remote(web.address, *too_small), 3, web.address(files[0]["path"]), "--cache")
