"""Drawing in other processes: the same files, each picture once, errors and deaths told."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import synthetic
from matplotlib.figure import Figure

from ttbar.analyses import agc_v1
from ttbar.errors import AnalysisError, InputError
from ttbar.results import plot
from ttbar.results.histograms import write
from ttbar.results.pictures import Drawing, Picture, save_all
from ttbar.worker import Worker


def figure(number: int, folder: Path) -> Figure | None:
    """A figure that says in which process it was drawn; there is none of the number 2."""
    (folder / f"{number}.process").write_text(str(os.getpid()))
    return None if number == 2 else Figure(figsize=(1, 1 + number))


def damaged(number: int, folder: Path) -> Figure | None:
    raise InputError(f"picture {number} is damaged")


def killed(folder: Path) -> Figure | None:
    os.kill(os.getpid(), signal.SIGKILL)


def nothing(drawn) -> None:
    pass


def some(draw=figure) -> list[Picture[Path]]:
    return [Picture(f"p{n}", "", "", partial(draw, n)) for n in range(5)]


def in_a_worker(folder: Path, cores: int) -> tuple[list[str], int]:
    """Draw in a process without other threads that has so many cores."""
    os.sched_getaffinity = lambda process: set(range(cores))
    counted = []
    return save_all(some(), folder, folder, [], partial(counted.append, 1)), len(counted)


def fail_in_a_worker(folder: Path) -> None:
    os.sched_getaffinity = lambda process: {0, 1}
    save_all(some(damaged), folder, folder, [])


def die_in_a_worker(folder: Path) -> None:
    os.sched_getaffinity = lambda process: {0, 1}
    save_all([Picture("p", "", "", killed), *some()], folder, folder, [])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Folders of pictures by the number of cores, and what came back."""
    folders = {cores: tmp_path_factory.mktemp("drawn") for cores in (1, 3)}
    with Worker() as worker:
        return {cores: (folder, worker.call(in_a_worker, folder, cores)) for cores, folder in folders.items()}


def test_what_cannot_be_drawn_is_told_and_all_is_counted(drawn):
    assert [result for _, result in drawn.values()] == [(["p2"], 5), (["p2"], 5)]


def test_forks_draw_the_same_bytes(drawn):
    digests = [
        {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in folder.iterdir()
            if file.suffix in (".pdf", ".png")
        }
        for folder, _ in drawn.values()
    ]
    assert len(digests[0]) == 8
    assert digests[0] == digests[1]


def test_forks_share_the_work(drawn):
    processes = [{file.read_text() for file in folder.glob("*.process")} for folder, _ in drawn.values()]
    assert len(processes[0]) == 1
    assert not processes[0] & processes[1]


def test_a_process_with_other_threads_is_not_forked(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert save_all(some(), tmp_path, tmp_path, []) == ["p2"]
    finally:
        ended.set()
        thread.join()
    assert {file.read_text() for file in tmp_path.glob("*.process")} == {str(os.getpid())}


def test_what_a_fork_raises_is_raised(tmp_path):
    with Worker() as worker, pytest.raises(InputError, match="picture 0 is damaged"):
        worker.call(fail_in_a_worker, tmp_path)


def test_the_death_of_a_fork_is_told(tmp_path, ledger):
    with Worker() as worker, pytest.raises(AnalysisError, match=r"was killed.*plot again"):
        worker.call(die_in_a_worker, tmp_path)
    ledger.add("kill of a process that draws", "detected")


class TestDrawing:
    def test_draws_one_after_the_other_and_raises_what_went_wrong(self, tmp_path):
        write(tmp_path / "h.root", {"4j1b_ttbar": synthetic.histograms()["4j1b_ttbar"]})
        with Drawing() as drawing:
            notes = drawing.draw_histograms(tmp_path / "h.root", tmp_path, agc_v1.analysis)
            drawing.draw_histograms(tmp_path / "absent.root", tmp_path, agc_v1.analysis)
            with pytest.raises(InputError, match="there is no such file"):
                drawing.wait()
        assert "4j2b_observable" in notes.result()[0]
        assert (tmp_path / "plots" / "4j1b_observable.png").exists()
        assert drawing._number == 2 * len(plot.plots(agc_v1.analysis))

    def test_what_is_entered_during_it_is_entered_when_its_turn_comes(self):
        entered, go_on, order = threading.Event(), threading.Event(), []

        @contextmanager
        def during(name):
            order.append(f"{name} begins")
            entered.set()
            assert go_on.wait(60)
            yield
            order.append(f"{name} ends")

        with Drawing() as drawing:
            for name in ("plots", "fit"):
                drawing._draw(partial(during, name), 0, nothing)
            assert entered.wait(60)
            assert order == ["plots begins"]
            go_on.set()
            drawing.wait()
        assert order == ["plots begins", "plots ends", "fit begins", "fit ends"]

    def test_what_is_not_finished_is_given_up(self, tmp_path):
        with Drawing() as drawing:
            process = drawing._thread.submit(drawing._worker.call, os.getpid).result()
            waiting = drawing._thread.submit(drawing._worker.call, signal.pause)
        assert waiting.cancelled() or isinstance(waiting.exception(), AnalysisError)
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_the_program_can_begin_with_pictures_before_anything_is_imported_that_draws():
    program = "import sys, ttbar.results.pictures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
