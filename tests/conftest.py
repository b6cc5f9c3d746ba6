"""What all Python tests share."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from ttbar import library

# Assertions of what tests share tell as much as those of the tests.
pytest.register_assert_rewrite("compare", "engines", "fuzz", "fuzz_fit", "fuzz_results", "program", "xrootd_server")

# What a test compiles runs for a moment; `run_analysis(everything=True)` compiles as users do.
os.environ.setdefault("EXTRA_CLING_ARGS", "-O0")

# What starts tests in the background may ignore these; the programs that are tested would inherit that.
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

Outcome = Literal["detected", "recovered", "undetectable", "wrong"]
OUTCOMES: tuple[Outcome, ...] = ("detected", "recovered", "undetectable", "wrong")
"""A fault ends in an error that names it; in the exact result; in a change of values that nothing can see; or badly."""


def _patience():
    return {name: value for name, value in os.environ.items() if name.startswith("XRD_")}


_USERS_PATIENCE = _patience()


@pytest.fixture(autouse=True)
def _own_patience():
    """What tests and fixtures say about waiting for servers is not for the programs that other tests start."""
    for name in _patience():
        del os.environ[name]
    os.environ.update(_USERS_PATIENCE)
    library._limits.clear()


class Ledger:
    """What faults were injected, and what became of them."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[Outcome]] = {}

    def add(self, fault: str, outcome: Outcome) -> None:
        """Note one more fault. Note a wrong outcome before the assertion that fails on it."""
        self.outcomes.setdefault(fault, Counter())[outcome] += 1


_LEDGER = Ledger()


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """Where tests that inject faults note them; what is noted is shown at the end."""
    return _LEDGER


def pytest_sessionfinish(session):
    """Tests run in several processes, of which one shows the results of all."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["ledger"] = {fault: dict(counts) for fault, counts in _LEDGER.outcomes.items()}


def pytest_testnodedown(node):
    for fault, counts in getattr(node, "workeroutput", {}).get("ledger", {}).items():
        _LEDGER.outcomes.setdefault(fault, Counter()).update(counts)


def pytest_terminal_summary(terminalreporter):
    if not _LEDGER.outcomes:
        return
    terminalreporter.section("faults")
    lines = [("fault", "injected", *OUTCOMES)]
    for fault, counts in sorted(_LEDGER.outcomes.items()):
        lines.append((fault, counts.total(), *(counts[outcome] for outcome in OUTCOMES)))
    lines.append(("all", *(sum(line[column] for line in lines[1:]) for column in range(1, len(lines[0])))))
    width = max(len(line[0]) for line in lines)
    for fault, *counts in lines:
        terminalreporter.write_line(f"{fault:{width}} " + " ".join(f"{count:>12}" for count in counts))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In continuous integration nothing is missing, so a test that skips for want of something fails."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in continuous integration: {report.longrepr}"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the real data files."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TTBAR_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} of real data files (TTBAR_TEST_DATA)")
    return folder
