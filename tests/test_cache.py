"""The cache of remote files: each comes once, whole, and within the limits, whatever happens meanwhile."""

import base64
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
import zlib
from email.utils import parsedate_to_datetime

import pytest
from filelock import FileLock
from http_server import HTTPServer, cut, hold, refuse, root_like
from small_disk import small_disk
from xrootd_server import XRootDServer

import ttbar.inputs.cache
from ttbar.errors import InputError
from ttbar.inputs.cache import Cache, CacheFull, keep
from ttbar.inputs.download import DownloadFailed

SIZE = 1_000_000
CONTENT, OTHER = root_like(SIZE, 1), root_like(SIZE, 2)
NAME = "a.root"

TIMEOUT_S = 20
DEADLINE_S = 60

# Each process is forked from one that has loaded what takes long, but not ROOT: it starts at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["fsspec.implementations.http", "http.server", "pytest", "ttbar.inputs.cache"])


@pytest.fixture
def server():
    with HTTPServer() as server:
        server.files = {NAME: CONTENT, **{f"{letter}.root": OTHER for letter in "bcdef"}}
        yield server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def run(folder, limit=None):
    """The cache as a new run sees it."""
    return Cache(folder, limit, time.time(), TIMEOUT_S)


def checksum(content):
    return f"adler32:{zlib.adler32(content):08x}"


def in_folder(folder):
    """Names of the copies, without what makes them unique."""
    return {path.name.partition("-")[2] for path in folder.glob("*.root")}


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(function, *arguments):
    process = PROCESSES.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def exit_code(process):
    process.join(DEADLINE_S)
    return process.exitcode


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fetch_and_tell(cache, address, pipe):
    """Fetch a file; the bytes that are counted, and in the end where it is, go through a pipe."""
    pipe.send(cache.fetch(address, on_bytes=pipe.send))


def fetch_and_die(cache, address, number):
    """Fetch a file until there are some bytes of it, and die a sudden death."""
    counted = 0

    def count(more):
        nonlocal counted
        counted += more
        if counted >= number:
            die()

    cache.fetch(address, on_bytes=count)


def fetch_and_die_at_step(cache, address, step):
    """Fetch a file, and die a sudden death before something is done to the folder for the nth time."""
    steps = 0

    def watch(event, arguments):
        nonlocal steps
        if event in ("open", "os.rename", "os.remove", "os.utime", "os.truncate", "bytes") and (
            event == "bytes" or str(cache.folder) in str(arguments[0])
        ):
            steps += 1
            if steps > step:
                die()

    sys.addaudithook(watch)
    cache.fetch(address, on_bytes=lambda number: watch("bytes", ()))


def lose_connection(server, folder, length):
    """Fetch a file from a server whose connection is lost when the first bytes have come."""
    counted = []

    def count(number):
        counted.append(number)
        if sum(counted) == length:
            server.released.set()

    server.released.clear()
    server.faults.append(cut(length))
    with pytest.raises(DownloadFailed) as caught:
        run(folder).fetch(server.address(NAME), on_bytes=count)
    assert caught.value.transient
    assert not in_folder(folder)


def test_a_file_is_downloaded_once(server, folder):
    copy = run(folder).fetch(server.address(NAME), checksum(CONTENT))
    assert copy.read_bytes() == CONTENT
    server.files[NAME] = OTHER
    assert run(folder).fetch(server.address(NAME)) == copy
    assert run(folder).fetch(server.address(NAME), checksum(CONTENT)) == copy
    assert copy.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_files_of_one_name_from_two_places_are_two(server, folder):
    server.files["elsewhere/a.root"] = OTHER
    copies = [run(folder).fetch(server.address(name)) for name in (NAME, "elsewhere/a.root")]
    assert [copy.read_bytes() for copy in copies] == [CONTENT, OTHER]


def test_a_file_from_a_mirror_is_the_file(server, folder):
    copy = run(folder).fetch("root://gone.example//a.root", source=server.address(NAME))
    assert run(folder).fetch("root://gone.example//a.root") == copy
    assert copy.read_bytes() == CONTENT


def test_all_bytes_are_counted(server, folder):
    counted = []
    run(folder).fetch(server.address(NAME), on_bytes=counted.append)
    assert sum(counted) == SIZE


def test_a_download_goes_on_after_the_loss_of_a_connection(server, folder):
    lose_connection(server, folder, 400_000)
    server.faults.append(refuse(500))
    with pytest.raises(DownloadFailed, match="500"):
        run(folder).fetch(server.address(NAME))
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT
    rest = f"bytes=400000-{SIZE - 1}"
    assert server.requests == [(NAME, ""), (NAME, rest), (NAME, rest)]


CHANGED_AT = "Tue, 24 Nov 2026 08:00:00 GMT"
WEAK_MARKS = {
    "a weak tag": {"ETag": 'W/"1"'},
    "a second": {"Last-Modified": CHANGED_AT},
    "a second and no tag": {"ETag": "", "Last-Modified": CHANGED_AT},
    "a tag of a second": {"ETag": f'"{int(parsedate_to_datetime(CHANGED_AT).timestamp()):x}-{SIZE:x}"'}
    | {"Last-Modified": CHANGED_AT},
    "no mark": {},
}


@pytest.mark.parametrize("marks", WEAK_MARKS)
@pytest.mark.parametrize("digest", [False, True])
def test_two_files_that_a_server_does_not_tell_apart_are_not_mixed(server, folder, marks, digest, ledger):
    server.versions, server.headers = False, WEAK_MARKS[marks]
    if digest:
        server.digests[NAME] = None
    lose_connection(server, folder, 400_000)
    server.files[NAME] = OTHER
    if digest and marks != "no mark":
        with pytest.raises(DownloadFailed, match="its checksum is"):
            run(folder).fetch(server.address(NAME))
    content = run(folder).fetch(server.address(NAME)).read_bytes()
    ledger.add(f"another file with the same mark ({marks})", "recovered" if content == OTHER else "wrong")
    assert content == OTHER


def test_a_download_with_a_weak_mark_goes_on_where_a_checksum_tells_what_came_of_it(server, folder):
    server.versions, server.headers = False, {"Last-Modified": CHANGED_AT}
    lose_connection(server, folder, 400_000)
    assert run(folder).fetch(server.address(NAME), checksum(CONTENT)).read_bytes() == CONTENT
    assert server.requests[1:] == [(NAME, f"bytes=400000-{SIZE - 1}")]


def test_the_marks_of_two_servers_are_not_compared(server, folder):
    server.versions, server.headers = False, {"ETag": '"1"'}
    lose_connection(server, folder, 400_000)
    server.files["mirror.root"] = OTHER
    mirror = server.address("mirror.root")
    assert run(folder).fetch(server.address(NAME), source=mirror).read_bytes() == OTHER


def hash_headers(content):
    def packed(algorithm):
        return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()

    return {
        "Content-MD5": packed("md5"),
        "Digest": f"UNIXsum=30637,SHA-256={packed('sha256')}",
        "Repr-Digest": f"sha-512=:{packed('sha512')}:",
        "Content-Digest": f"sha-256=:{packed('sha256')}:",
    }


@pytest.mark.parametrize("header", hash_headers(b""))
def test_what_arrives_is_compared_with_any_hash_that_the_server_says(server, folder, header):
    server.headers = {header: hash_headers(OTHER)[header]}
    with pytest.raises(DownloadFailed, match=r"its (md5|sha256|sha512) is .* the server says"):
        run(folder).fetch(server.address(NAME))
    server.headers = {header: hash_headers(CONTENT)[header]}
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT


def test_the_hash_of_a_part_is_not_that_of_the_file(server, folder):
    lose_connection(server, folder, 400_000)
    server.headers = {"Content-MD5": hash_headers(CONTENT[400_000:])["Content-MD5"]}
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("header", ["Content-MD5: nonsense", "Digest: md5=", "Digest: adler32", "Repr-Digest: md5=:é:"])
def test_a_hash_that_is_none_is_not_compared(server, folder, header):
    server.headers = dict([header.split(": ")])
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT


@pytest.mark.parametrize("version", [62400, 1_062_400])
def test_a_file_that_is_shorter_than_it_says_is_not_taken(server, folder, version):
    server.lengths = False
    end = SIZE.to_bytes(4) if version < 1_000_000 else SIZE.to_bytes(8)
    content = b"root" + version.to_bytes(4) + (100).to_bytes(4) + end + bytes(5000)
    server.files[NAME] = content
    with pytest.raises(DownloadFailed, match=f"the server gave {len(content)} of {SIZE} bytes") as caught:
        run(folder).fetch(server.address(NAME))
    assert caught.value.transient
    assert not in_folder(folder)


@pytest.mark.parametrize(
    "address", ["root://me:hunter2@h//x/a.root", "https://h/a.root?token=hunter2", "root://me:hunter2@h"]
)
def test_a_password_is_neither_in_names_nor_in_records(server, folder, address):
    copy = run(folder).fetch(address, source=server.address(NAME))
    assert run(folder).fetch(address) == copy
    with pytest.raises(CacheFull) as caught:
        run(folder, 1).fetch(address.replace("hunter2", "hunter22"), source=server.address(NAME))
    assert "hunter" not in str(caught.value)
    for file in folder.iterdir():
        assert "hunter" not in file.name
        assert b"hunter" not in file.read_bytes()


def test_a_download_goes_on_after_a_sudden_death(server, folder):
    assert exit_code(start(fetch_and_die, run(folder), server.address(NAME), 300_000)) == -signal.SIGKILL
    assert not in_folder(folder)
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT
    begin = int(server.requests[1][1].removeprefix("bytes=").partition("-")[0])
    assert begin >= 300_000


def test_a_download_starts_anew_when_the_file_has_changed(server, folder):
    lose_connection(server, folder, 400_000)
    server.files[NAME] = OTHER
    assert run(folder).fetch(server.address(NAME)).read_bytes() == OTHER


def test_a_file_of_unknown_size_starts_anew(server, folder):
    server.lengths = False
    assert exit_code(start(fetch_and_die, run(folder), server.address(NAME), 300_000)) == -signal.SIGKILL
    server.files[NAME] = OTHER
    assert run(folder).fetch(server.address(NAME)).read_bytes() == OTHER


@pytest.mark.parametrize("before", ["nothing", "a part of what it was before", "a damaged copy"])
def test_no_death_at_any_step_leaves_anything_wrong(server, tmp_path, before):
    earlier, later = root_like(50_000, 1), root_like(50_000, 2)
    deaths = 0
    while True:
        folder = tmp_path / str(deaths)
        server.files[NAME] = earlier
        if before == "a part of what it was before":
            lose_connection(server, folder, 30_000)
        elif before == "a damaged copy":
            run(folder).fetch(server.address(NAME)).write_bytes(earlier[:1000])
        server.files[NAME] = later
        code = exit_code(start(fetch_and_die_at_step, run(folder), server.address(NAME), deaths))
        assert run(folder).fetch(server.address(NAME)).read_bytes() == later
        if code == 0:
            break
        assert code == -signal.SIGKILL
        deaths += 1
    assert deaths > 10


def test_of_two_processes_one_downloads_and_the_other_waits(server, folder):
    server.faults.append(hold(400_000))
    ends = [PROCESSES.Pipe() for _ in range(2)]
    first = start(fetch_and_tell, run(folder), server.address(NAME), ends[0][1])
    wait_until(lambda: server.requests)
    second = start(fetch_and_tell, run(folder), server.address(NAME), ends[1][1])
    assert ends[1][0].poll(DEADLINE_S)
    assert ends[1][0].recv() > 0  # waits, with a sign of life because the first one got something
    assert not in_folder(folder)
    server.released.set()
    assert [exit_code(process) for process in (first, second)] == [0, 0]
    assert [path.read_bytes() for path in folder.glob("*.root")] == [CONTENT]
    assert server.requests == [(NAME, "")]


def test_what_was_not_used_for_longest_makes_room(server, folder):
    for letter in "abc":
        run(folder, 3 * SIZE).fetch(server.address(f"{letter}.root"))
    run(folder, 3 * SIZE).fetch(server.address("a.root"))
    run(folder, 3 * SIZE).fetch(server.address("d.root"))
    assert in_folder(folder) == {"a.root", "c.root", "d.root"}
    run(folder, 1 * SIZE).fetch(server.address("e.root"))
    assert in_folder(folder) == {"e.root"}
    assert len(list(folder.glob("*.json"))) == 1


def test_what_is_in_use_does_not_make_room(server, folder):
    run(folder).fetch(server.address("a.root"))
    run(folder).fetch(server.address("c.root"))
    cache = run(folder, 2 * SIZE)
    cache.fetch(server.address("a.root"))
    cache.fetch(server.address("b.root"))
    with pytest.raises(CacheFull, match="--cache-limit"):
        cache.fetch(server.address("d.root"))
    assert in_folder(folder) == {"a.root", "b.root"}


def test_what_another_process_keeps_does_not_make_room(server, folder):
    keep(run(folder).fetch(server.address("a.root")))
    with pytest.raises(CacheFull, match="--cache-limit"):
        run(folder, SIZE).fetch(server.address("b.root"))
    assert in_folder(folder) == {"a.root"}


def test_what_is_forgotten_is_downloaded_again(server, folder):
    cache = run(folder)
    cache.fetch(server.address("a.root"))
    cache.forget(server.address("a.root"))
    assert in_folder(folder) == set()
    cache.fetch(server.address("a.root"))
    assert len(server.requests) == 2


def test_nothing_goes_in_vain(server, folder):
    run(folder).fetch(server.address("a.root"))
    cache = run(folder, 2 * SIZE - 1)
    cache.fetch(server.address("b.root"), source=server.address("b.root"))
    run(folder).fetch(server.address("c.root"))
    server.files["large.root"] = OTHER * 2
    with pytest.raises(CacheFull):
        run(folder, 2 * SIZE - 1).fetch(server.address("large.root"))
    assert in_folder(folder) == {"b.root", "c.root"}


def test_a_limit_holds_for_files_of_unknown_size(server, folder, monkeypatch):
    monkeypatch.setattr(ttbar.inputs.cache, "_PORTION", SIZE // 10)
    server.lengths = False
    run(folder, 3 * SIZE).fetch(server.address("a.root"))
    cache = run(folder, 2 * SIZE + SIZE // 5)
    cache.fetch(server.address("b.root"))
    assert in_folder(folder) == {"a.root", "b.root"}
    cache.fetch(server.address("c.root"))
    assert in_folder(folder) == {"b.root", "c.root"}
    with pytest.raises(CacheFull):
        cache.fetch(server.address("d.root"))
    assert in_folder(folder) == {"b.root", "c.root"}
    assert not list(folder.glob("*.root.part"))


def test_a_download_keeps_its_room_until_its_process_dies(server, folder):
    server.faults.append(hold(400_000))
    process = start(fetch_and_die, run(folder), server.address("a.root"), SIZE)
    wait_until(lambda: any(part.stat().st_size for part in folder.glob("*.root.part")))
    cache = run(folder, 2 * SIZE - 1)
    with pytest.raises(CacheFull):
        cache.fetch(server.address("b.root"))
    process.kill()
    with FileLock(next(folder.glob("*a.root.lock"))):
        pass  # it is dead for good
    cache.fetch(server.address("b.root"))
    assert in_folder(folder) == {"b.root"}
    assert not list(folder.glob("*.root.part"))


def flip(copy):
    content = bytearray(copy.read_bytes())
    content[SIZE // 2] ^= 1
    copy.write_bytes(content)


def flip_and_restore_times(copy):
    status = copy.stat()
    flip(copy)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def shorten(copy):
    os.truncate(copy, SIZE - 1)


def lengthen(copy):
    os.truncate(copy, SIZE + 1)


def remove(copy):
    copy.unlink()


def break_record(copy):
    copy.with_name(f"{copy.name}.json").write_text("{")


def nest_record(copy):
    copy.with_name(f"{copy.name}.json").write_text("[" * 100_000)


def mistype_record(copy):
    record = copy.with_name(f"{copy.name}.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"size": "many"}))


def replace_record_by_pipe(copy):
    copy.with_name(f"{copy.name}.json").unlink()
    os.mkfifo(copy.with_name(f"{copy.name}.json"))


def replace_by_pipe(copy):
    copy.unlink()
    os.mkfifo(copy)


RECORDS = [break_record, nest_record, mistype_record, replace_record_by_pipe]


@pytest.mark.parametrize("damage", [flip, flip_and_restore_times, shorten, lengthen, remove, replace_by_pipe, *RECORDS])
def test_a_damaged_copy_is_downloaded_again(server, folder, damage):
    damage(run(folder).fetch(server.address(NAME)))
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT
    assert server.requests == [(NAME, ""), (NAME, "")]


def test_a_copy_that_only_moved_is_used_after_one_more_look(server, folder, tmp_path):
    run(folder).fetch(server.address(NAME))
    shutil.copytree(folder, tmp_path / "moved")
    counted = []
    for looks in (1, 1):
        copy = run(tmp_path / "moved").fetch(server.address(NAME), on_bytes=counted.append)
        assert copy.read_bytes() == CONTENT
        assert sum(counted) == looks * SIZE
    assert len(server.requests) == 1


def test_what_is_not_what_the_data_set_says_is_not_taken(server, folder):
    with pytest.raises(DownloadFailed) as caught:
        run(folder).fetch(server.address(NAME), "adler32:00000001")
    assert caught.value.transient
    assert f"its checksum is {checksum(CONTENT)}, the data set says adler32:00000001" in str(caught.value)
    assert list(folder.glob("*.*.*")) == list(folder.glob("*.lock"))


def test_a_copy_of_what_the_data_set_said_earlier_is_replaced(server, folder):
    run(folder).fetch(server.address(NAME))
    server.files[NAME] = OTHER
    assert run(folder).fetch(server.address(NAME), checksum(OTHER)).read_bytes() == OTHER
    assert run(folder).fetch(server.address(NAME)).read_bytes() == OTHER


def test_what_is_not_what_the_server_says_is_not_taken(server, folder):
    server.digests[NAME] = "1"
    with pytest.raises(DownloadFailed, match="the server says adler32:00000001") as caught:
        run(folder).fetch(server.address(NAME))
    assert caught.value.transient
    server.digests[NAME] = None
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT


def test_a_part_that_was_damaged_is_found_by_the_checksum(server, folder):
    server.digests[NAME] = None
    lose_connection(server, folder, 400_000)
    next(folder.glob("*.root.part")).write_bytes(bytes(400_000))
    with pytest.raises(DownloadFailed, match="its checksum is"):
        run(folder).fetch(server.address(NAME))
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT


def test_a_page_instead_of_the_file_does_not_stay(server, folder):
    server.files[NAME] = b"<html>Sign in first</html>"
    with pytest.raises(DownloadFailed, match="something else than a ROOT file"):
        run(folder).fetch(server.address(NAME))
    server.files[NAME] = CONTENT
    assert run(folder).fetch(server.address(NAME)).read_bytes() == CONTENT


def test_a_disk_that_gets_full_is_said_to_be(server):
    with small_disk(SIZE // 2) as disk:
        cache = run(disk / "cache")
        with pytest.raises(InputError, match=r"the disk is full.*--cache") as caught:
            cache.fetch(server.address(NAME))
        assert not isinstance(caught.value, DownloadFailed | CacheFull)
        assert str(caught.value).startswith(str(disk / "cache"))
        assert list(cache.folder.glob("*.*.*")) == list(cache.folder.glob("*.lock"))
        small = server.files["small.root"] = root_like(SIZE // 4, 3)
        assert cache.fetch(server.address("small.root")).read_bytes() == small


def test_a_disk_that_is_full_from_the_beginning_is_said_to_be(server):
    with small_disk(2**20) as disk:
        (disk / "other").write_bytes(bytes(2**20))
        with pytest.raises(InputError, match="No space left on device") as caught:
            run(disk / "cache").fetch(server.address(NAME))
        assert str(caught.value).startswith(str(disk / "cache"))
        assert not in_folder(disk / "cache")


def test_a_folder_that_cannot_be_one_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--cache") as caught:
        run(tmp_path / "file").fetch(server.address(NAME))
    assert str(caught.value).startswith(str(tmp_path / "file"))


HOSTILE = ["", "..", "*?[]#$|a.root", "a.root?b=/../c", "a.root.json", "a.root.part", "x" * 5000, "ä \t\n'\"\\", "-rf"]


def test_no_name_leads_astray(server, folder):
    cache = run(folder)
    copies = [cache.fetch(f"root://host//{name}", source=server.address(NAME)) for name in HOSTILE]
    assert len(set(copies)) == len(HOSTILE)
    for copy in copies:
        assert copy.parent == folder
        assert not set(copy.name) & set("*?[]#$|\\'\" \t\n")
        assert copy.name.isascii()
        assert copy.read_bytes() == CONTENT
    server.files.clear()
    assert [cache.fetch(f"root://host//{name}") for name in HOSTILE] == copies


def test_a_file_over_xrootd_is_downloaded_once_and_goes_on_after_a_sudden_death(folder, tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(CONTENT)
    with XRootDServer(tmp_path / "served") as server:
        address = server.address(NAME)
        assert exit_code(start(fetch_and_die, run(folder), address, 300_000)) == -signal.SIGKILL
        part = next(folder.glob("*.root.part"))
        assert part.read_bytes() == CONTENT[: part.stat().st_size]
        server.restart()
        ours, theirs = PROCESSES.Pipe()
        assert exit_code(start(fetch_and_tell, run(folder), address, theirs)) == 0
        assert ours.recv() >= 300_000  # what was there already
    assert exit_code(start(fetch_and_tell, run(folder), address, theirs)) == 0
    copy = next(folder.glob("*.root"))
    assert copy.read_bytes() == CONTENT
    assert json.loads(copy.with_name(f"{copy.name}.json").read_text())["address"] == address
