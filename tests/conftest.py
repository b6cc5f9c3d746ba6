"""What all Python tests share."""

import os
from pathlib import Path

import pytest


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
