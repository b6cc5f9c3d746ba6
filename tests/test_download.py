"""Files on servers: whatever a server does, what comes is the file, or it is said that it does not."""

import gzip
import os
import pickle
import random
import socket
import time
import zlib

import pytest
from http_server import HTTPServer, cut, hold, redirect, refuse, silence
from xrootd_server import XRootDServer

from ttbar.inputs.download import Content, DownloadFailed, open_remote
from ttbar.worker import Worker

CONTENT = b"root" + random.Random(1).randbytes(3_000_000)
OTHER = b"root" + random.Random(2).randbytes(3_000_000)
NAME = "a.root"

TIMEOUT_S = 20
SHORT_S = 1.0


@pytest.fixture
def server():
    with HTTPServer() as server:
        server.files[NAME] = CONTENT
        yield server


def read(address, timeout=TIMEOUT_S, start=0, known=None):
    """What `open_remote` gives: bytes, the first one, what the server says."""
    remote = open_remote(address, timeout, start, known)
    try:
        return b"".join(remote.blocks()), remote.start, remote.content
    finally:
        remote.close()


def failure(address, timeout=TIMEOUT_S, start=0, known=None):
    with pytest.raises(DownloadFailed) as caught:
        read(address, timeout, start, known)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(address)
    return caught.value


def ask_checksum(address):
    remote = open_remote(address, TIMEOUT_S)
    try:
        return remote.checksum()
    finally:
        remote.close()


def test_a_file_comes_over_http_as_it_is(server):
    content, start, said = read(server.address(NAME))
    assert (content, start, said.size) == (CONTENT, 0, len(CONTENT))
    assert server.requests == [(NAME, "")]


def test_a_redirect_is_followed(server):
    server.faults.append(redirect(NAME))
    assert read(server.address("elsewhere"))[0] == CONTENT


def test_an_empty_file_is_read(server):
    server.files[NAME] = b""
    assert read(server.address(NAME))[0] == b""


def test_a_file_of_unknown_length_is_read(server):
    server.lengths = False
    content, _, said = read(server.address(NAME))
    assert (content, said.size) == (CONTENT, None)


def test_a_compressed_answer_has_no_known_size_and_is_unpacked(server):
    packed = gzip.compress(CONTENT)

    def answer_packed(answer, content):
        answer.begin(200, content, len(packed), **{"Content-Encoding": "gzip"})
        answer.wfile.write(packed)

    server.faults.append(answer_packed)
    content, _, said = read(server.address(NAME))
    assert (content, said.size) == (CONTENT, None)


@pytest.mark.parametrize("start", [1, 1234, len(CONTENT) - 1])
def test_the_rest_of_a_known_file_is_all_that_comes(server, start):
    known = read(server.address(NAME))[2]
    assert read(server.address(NAME), start=start, known=known) == (CONTENT[start:], start, known)
    assert server.requests[1:] == [(NAME, f"bytes={start}-{len(CONTENT) - 1}")]


def test_a_server_confirms_a_file_of_which_all_is_there(server):
    known = read(server.address(NAME))[2]
    last = len(CONTENT) - 1
    assert read(server.address(NAME), start=len(CONTENT), known=known) == (CONTENT[last:], last, known)
    server.files[NAME] = OTHER
    assert read(server.address(NAME), start=len(CONTENT), known=known)[:2] == (OTHER, 0)


@pytest.mark.parametrize("change", [OTHER, CONTENT[:1000], CONTENT + b"more"])
def test_a_changed_file_is_read_from_its_beginning(server, change):
    known = read(server.address(NAME))[2]
    server.files[NAME] = change
    assert read(server.address(NAME), start=1234, known=known)[:2] == (change, 0)


@pytest.mark.parametrize("mark", ["ETag", "Last-Modified"])
def test_a_weak_version_joins_nothing_without_a_checksum_of_the_whole(server, mark):
    server.versions = False
    server.headers = {mark: {"ETag": 'W/"1"', "Last-Modified": "Tue, 24 Nov 2026 08:00:00 GMT"}[mark]}
    known = read(server.address(NAME))[2]
    server.files[NAME] = OTHER
    assert read(server.address(NAME), start=1234, known=known)[:2] == (OTHER, 0)
    server.digests[NAME] = None
    assert read(server.address(NAME), start=1234, known=known)[:2] == (OTHER[1234:], 1234)


def test_without_a_version_a_file_is_read_from_its_beginning(server):
    server.versions = False
    known = read(server.address(NAME))[2]
    server.files[NAME] = OTHER
    assert read(server.address(NAME), start=1234, known=known)[:2] == (OTHER, 0)


def test_a_server_that_cannot_give_a_part_gives_the_whole_file(server):
    known = read(server.address(NAME))[2]
    server.ranges = False
    assert read(server.address(NAME), start=1234, known=known)[:2] == (CONTENT, 0)


def test_another_part_than_the_one_asked_for_is_not_taken(server):
    def answer_earlier(answer, content):
        headers = {"Content-Range": f"bytes 1000-{len(content) - 1}/{len(content)}"}
        answer.begin(206, content, len(content) - 1000, **headers)
        answer.wfile.write(content[1000:])

    known = read(server.address(NAME))[2]
    server.faults.append(answer_earlier)
    assert read(server.address(NAME), start=1234, known=known)[:2] == (CONTENT, 0)


def test_a_file_that_ends_early_is_a_failure_that_may_pass(server):
    server.released.set()
    server.faults.append(cut(100_000))
    assert failure(server.address(NAME)).transient
    assert read(server.address(NAME))[0] == CONTENT


def test_a_file_of_unknown_length_that_ends_early_is_a_failure(server):
    def answer_cut(answer, content):
        answer.protocol_version = "HTTP/1.1"
        answer.close_connection = True
        server.lengths = False
        answer.begin(200, content, 0, **{"Transfer-Encoding": "chunked"})
        answer.wfile.write(b"%x\r\n%s\r\n" % (1000, content[:1000]))

    server.faults.append(answer_cut)
    assert failure(server.address(NAME)).transient


def test_a_part_that_ends_early_is_a_failure(server):
    def answer_cut(answer, content):
        headers = {"Content-Range": f"bytes 1000-{len(content) - 1}/{len(content)}"}
        answer.begin(206, content, len(content) - 1000, **headers)
        answer.wfile.write(content[1000:5000])

    known = read(server.address(NAME))[2]
    server.faults.append(answer_cut)
    assert failure(server.address(NAME), start=1000, known=known).transient


@pytest.mark.parametrize(
    ("status", "transient"),
    [(401, False), (403, False), (404, False), (410, False), (429, True), (500, True), (503, True)],
)
def test_an_error_of_a_server_is_named_and_says_whether_it_may_pass(server, status, transient):
    server.faults.append(refuse(status))
    error = failure(server.address(NAME))
    assert error.transient == transient
    assert ("does not have it" if status == 404 else str(status)) in error.reason
    assert ("try again later" if transient else "correct the address") in str(error)


def test_a_silent_server_is_given_up(server):
    server.faults.append(silence)
    error = failure(server.address(NAME), timeout=SHORT_S)
    assert error.transient
    assert "nothing came from the server for 1 s" in error.reason


def test_a_server_that_falls_silent_is_given_up(server):
    server.faults.append(hold(100_000))
    assert "nothing came from the server for 1 s" in failure(server.address(NAME), timeout=SHORT_S).reason


def test_a_slow_server_is_not_a_silent_one(server):
    def drip(answer, content):
        answer.begin(200, content, len(content))
        for begin in range(0, len(content), 300_000):
            answer.wfile.write(content[begin : begin + 300_000])
            server.released.wait(SHORT_S / 4)

    server.faults.append(drip)
    begin = time.monotonic()
    assert read(server.address(NAME), timeout=2 * SHORT_S)[0] == CONTENT
    assert time.monotonic() - begin > 2 * SHORT_S


def test_nobody_at_an_address_is_a_failure_that_may_pass():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        assert failure(f"http://localhost:{taken.getsockname()[1]}/{NAME}").transient


@pytest.mark.parametrize("address", ["http://", "http:///a.root", "http://[::1", "http://localhost:99999/a.root"])
def test_an_address_that_is_none_does_not_get_better(address):
    assert not failure(address).transient


def test_an_http_server_tells_the_checksum(server):
    assert ask_checksum(server.address(NAME)) is None
    server.digests[NAME] = None
    assert ask_checksum(server.address(NAME)) == f"adler32:{zlib.adler32(CONTENT):08x}"
    server.digests[NAME] = "1A2b"
    assert ask_checksum(server.address(NAME)) == "adler32:00001a2b"


def test_a_failure_survives_the_way_between_processes():
    error = DownloadFailed("root://host//a.root", "it is gone", transient=False)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.reason, copy.transient) == (str(error), error.reason, False)


@pytest.fixture(scope="module")
def worker():
    """Another process, because in this one ROOT may be, with an XRootD client of its own."""
    with Worker() as worker:
        yield worker


@pytest.fixture
def xrootd(tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    with XRootDServer(tmp_path) as server:
        yield server


def test_a_file_comes_over_xrootd_as_it_is(worker, xrootd):
    content, start, said = worker.call(read, xrootd.address(NAME))
    assert (content, start, said.size) == (CONTENT, 0, len(CONTENT))


@pytest.mark.parametrize("start", [1234, len(CONTENT) - 1])
def test_the_rest_of_a_known_file_comes_over_xrootd(worker, xrootd, start):
    known = worker.call(read, xrootd.address(NAME))[2]
    assert worker.call(read, xrootd.address(NAME), TIMEOUT_S, start, known) == (CONTENT[start:], start, known)


def test_a_changed_file_comes_over_xrootd_from_its_beginning(worker, xrootd, tmp_path):
    known = worker.call(read, xrootd.address(NAME))[2]
    (tmp_path / NAME).write_bytes(OTHER + b"more")
    assert worker.call(read, xrootd.address(NAME), TIMEOUT_S, 1234, known)[:2] == (OTHER + b"more", 0)
    earlier = Content(known.size, "1")
    (tmp_path / NAME).write_bytes(OTHER)
    assert worker.call(read, xrootd.address(NAME), TIMEOUT_S, 1234, earlier)[:2] == (OTHER, 0)


def test_what_an_xrootd_server_does_not_have_does_not_get_there(worker, xrootd, tmp_path):
    (tmp_path / "folder").mkdir()
    assert not worker.call(failure, xrootd.address("missing.root")).transient
    assert not worker.call(failure, xrootd.address("folder")).transient


def test_an_xrootd_server_tells_the_checksum(worker, xrootd):
    assert worker.call(ask_checksum, xrootd.address(NAME)) == f"adler32:{zlib.adler32(CONTENT):08x}"


reading = []


def begin_reading(address, timeout):
    remote = open_remote(address, timeout)
    blocks = remote.blocks()
    next(blocks)
    reading[:] = [remote, blocks]


def failure_of_reading():
    remote, blocks = reading
    with pytest.raises(DownloadFailed) as caught:
        list(blocks)
    remote.close()
    return caught.value


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_an_xrootd_file_whose_size_changes_meanwhile_is_a_failure_that_may_pass(worker, xrootd, tmp_path, size):
    worker.call(begin_reading, xrootd.address(NAME), TIMEOUT_S)
    os.truncate(tmp_path / NAME, size)
    error = worker.call(failure_of_reading)
    assert error.transient
    assert error.reason == f"the server gave {size} of {len(CONTENT)} bytes"


def test_an_xrootd_server_that_dies_is_a_failure_that_may_pass(worker, xrootd):
    worker.call(begin_reading, xrootd.address(NAME), TIMEOUT_S)
    xrootd.stop()
    assert worker.call(failure_of_reading).transient
    assert worker.call(failure, xrootd.address(NAME)).transient
    xrootd.start()
    assert worker.call(read, xrootd.address(NAME))[0] == CONTENT


def test_an_xrootd_server_that_falls_silent_is_given_up(worker, xrootd):
    worker.call(begin_reading, xrootd.address(NAME), SHORT_S)
    xrootd.pause()
    begin = time.monotonic()
    assert worker.call(failure_of_reading).transient
    assert time.monotonic() - begin < 12 * SHORT_S
