"""What `fuzz.py` does for hours, for some seconds."""

from pathlib import Path

import fuzz
import pytest

SECONDS = 8


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_changed_files_are_read_or_refused(target, tmp_path, ledger):
    outcome = fuzz.fuzz(target, SECONDS, 1, tmp_path)
    for _ in range(outcome.counts["refused"]):
        ledger.add(f"{target} file changed at random", "detected")
    for _ in outcome.failures:
        ledger.add(f"{target} file changed at random", "wrong")
    assert not outcome.failures
    assert outcome.counts["refused"]


def crash(file):
    import os

    os.abort()


def hang(file):
    import time

    time.sleep(100)


def fail(file):
    raise KeyError("a\nb")


def confess(file):
    from ttbar.errors import InputError

    raise InputError("a defect of this program")


@pytest.mark.parametrize("read", [crash, hang, fail, confess])
def test_what_a_fuzzer_is_after_is_found(read, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "PATIENCE_S", 3)
    monkeypatch.setitem(fuzz.TARGETS, "test", fuzz.Target(read, lambda: [b"{}"], "a"))
    (failure,) = fuzz.fuzz("test", 0, 1, tmp_path).failures
    assert Path(failure.partition(": ")[0]).read_bytes() == b"{}"
