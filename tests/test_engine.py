"""What all engines have in common: whom they ask again, and when they give up."""

from collections import deque
from concurrent.futures import Future

import pytest

from ttbar import worker
from ttbar.errors import AnalysisError
from ttbar.execution.unit import LoopFailed
from ttbar.executors import engine
from ttbar.executors.engine import EngineExecutor
from ttbar.executors.remote import ANSWER, DIED, NOT_READY, NOT_STARTED, NOT_UNPACKED
from ttbar.worker import WorkerDied, WorkerNotStarted, no_setup

ANSWERS = {
    "good": (ANSWER, engine.zlib.compress(engine.ForkingPickler.dumps((True, 7)))),
    "bad file": (ANSWER, engine.zlib.compress(engine.ForkingPickler.dumps((False, LoopFailed("bad file"))))),
    "crash": (DIED, "its process crashed, on h"),
    "full": (NOT_UNPACKED, "/tmp cannot be written: No space left on device, on h"),
    "slow": (NOT_STARTED, "no sign of life for 120 s, on h"),
    "old": (NOT_READY, bytes(engine.ForkingPickler.dumps((False, AnalysisError("it has ROOT 6.30"))))),
}
"""What a worker of a kind answers; it is called after it, with a number behind if there are more."""


class Engine(EngineExecutor):
    """Workers that answer at once; the first one that may is asked."""

    name = "Toy"
    _address = "toy://"

    def __init__(self, *workers, known=None, chooses=True):
        super().__init__(no_setup, 300, None, None)
        self.workers, self.known, self.chooses = workers, set(workers if known is None else known), chooses
        self.asked = []
        self._ready = True

    def _ask(self, question, failed, unfit):
        fit = [each for each in self.workers if each not in unfit]
        best = [each for each in fit if each not in failed]
        chosen = (best or fit or self.workers)[0] if self.chooses else self.workers[0]
        self.asked.append(chosen)
        answer = Future()
        answer.set_result((chosen, *ANSWERS[chosen.rstrip("0123456789")]))
        return answer

    def _others(self, unfit):
        return len(self.known - unfit)

    slots = 1
    _connect = _ship = _look = _disconnect = counted = None


@pytest.mark.parametrize("bad", ["full", "slow", "old"])
def test_what_a_worker_cannot_begin_with_is_done_by_another(bad):
    executor = Engine(bad, f"{bad}2", "good")
    assert executor.call(abs, -7) == 7
    assert executor.asked == [bad, f"{bad}2", "good"]
    assert executor.call(abs, -7) == 7
    assert executor.asked[3:] == ["good"]


def test_when_it_has_failed_everywhere_all_count_again():
    executor = Engine("bad file", "bad file2")
    for expected in ("bad file", "bad file2", "bad file", "bad file2"):
        with pytest.raises(LoopFailed):
            executor.call(abs, -7)
        assert executor.asked[-1] == expected


def test_a_worker_that_is_not_known_yet_does_not_count():
    assert Engine("full", "good", known={"good"}).call(abs, -7) == 7


@pytest.mark.parametrize(
    ("bad", "error"),
    [("full", "cannot be written"), ("slow", "ROOT could not be started"), ("old", "it has ROOT 6.30")],
)
def test_the_error_is_raised_when_no_worker_is_left(bad, error):
    executor = Engine(bad, f"{bad}2")
    with pytest.raises(AnalysisError, match=error):
        executor.call(abs, -7)
    assert executor.asked == [bad, f"{bad}2"]
    with pytest.raises(AnalysisError, match=error):
        Engine(bad, known=()).call(abs, -7)


def test_an_engine_that_chooses_itself_is_not_asked_for_ever():
    executor = Engine("slow", "good", "good2", chooses=False)
    with pytest.raises(WorkerNotStarted):
        executor.call(abs, -7)
    assert executor.asked == 3 * ["slow"]


@pytest.mark.parametrize(("kind", "error"), [("bad file", LoopFailed), ("crash", WorkerDied)])
def test_what_a_worker_has_begun_is_for_the_caller_to_repeat(kind, error):
    executor = Engine(kind, "full", "good")
    with pytest.raises(error):
        executor.call(abs, -7)
    assert executor.asked == [kind]
    assert executor.call(abs, -7) == 7
    assert executor.asked == [kind, "full", "good"]


class Stealing(Engine):
    """An idle worker takes what others were asked, some times."""

    times = 3

    def _ask(self, question, failed, unfit):
        self.chooses = len(self.asked) > self.times
        return super()._ask(question, failed, unfit)


def test_what_an_idle_worker_takes_from_those_that_were_asked_is_no_attempt(monkeypatch):
    monkeypatch.setattr(engine, "AGAIN_S", 0)
    executor = Stealing("bad file", "good")
    with pytest.raises(LoopFailed):
        executor.call(abs, -7)
    assert executor.call(abs, -7) == 7
    assert executor.asked == [*4 * ["bad file"], "good"]


def test_a_worker_that_takes_all_is_not_asked_for_ever(monkeypatch):
    monkeypatch.setattr(engine, "AGAIN_S", 0)
    monkeypatch.setattr(engine, "AGAIN_AT_MOST", 5)
    executor = Engine("bad file", "good", chooses=False)
    for attempts in (1, 7):
        with pytest.raises(LoopFailed):
            executor.call(abs, -7)
        assert len(executor.asked) == attempts


def test_where_it_failed_is_better_than_where_it_cannot_begin():
    executor = Engine("bad file", "full")
    for _ in range(2):
        with pytest.raises(LoopFailed):
            executor.call(abs, -7)
    assert executor.asked == ["bad file", "full", "bad file"]


def test_ready_asks_no_other_worker():
    executor = Engine("full", "good")
    with pytest.raises(AnalysisError, match="cannot be written"):
        executor._answer(b"", executor._ask(b"", (), ())).result()
    assert executor.asked == ["full"]


def test_a_reason_names_the_machine_on_a_cluster_alone(monkeypatch):
    assert str(LoopFailed("bad")) == "bad"
    monkeypatch.setattr(worker, "machine", "node7")
    assert str(LoopFailed("bad")) == "bad, on node7"


def given_up(monkeypatch, seen, awaited):
    """After how many minutes an engine gives up that has workers, and work, as said for looks a minute apart."""
    looks = deque(zip(seen, awaited, strict=True))
    executor = Engine()
    minutes = 0

    class Clock:
        def is_set(self):
            executor._awaited = {Future()} if looks and looks[0][1] == "w" else set()
            return not looks

        def wait(self, seconds):
            nonlocal minutes
            minutes += 1

        def monotonic(self):
            return minutes * (engine.WAIT_S + 1)

    executor._closed = Clock()
    executor._look = lambda: looks.popleft()[0] == "y"
    monkeypatch.setattr(engine, "time", Clock())
    executor._watch()
    return minutes if executor._lost else None


@pytest.mark.parametrize(
    ("seen", "awaited", "expected"),
    [
        pytest.param("yyyy", "wwww", None, id="usual"),
        pytest.param("ynnn", "wwww", 1, id="all gone"),
        pytest.param("ynnny", "w---w", None, id="no workers while nothing is awaited"),
        pytest.param("ynnnn", "w--ww", 3, id="none came back"),
        pytest.param("nnnny", "wwwww", None, id="the first one waits in a queue"),
        pytest.param("nnnynn", "w--www", 4, id="gone after that"),
    ],
)
def test_an_engine_is_given_up_that_has_lost_its_workers(monkeypatch, seen, awaited, expected):
    assert given_up(monkeypatch, seen, awaited) == expected
