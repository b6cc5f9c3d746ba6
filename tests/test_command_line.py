"""What the command line says of itself: versions, and how shells complete it."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete
from program import ttbar

from ttbar.cli import cli
from ttbar.errors import AnalysisError
from ttbar.jobs import provenance
from ttbar.library import shipped

CHECKOUT = Path(__file__).parents[1]
COMPLETIONS = CHECKOUT / "cmake" / "completions"


def test_version_says_what_there_is():
    result = ttbar("--version")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"ttbar \d+\.\d+\.\d+", lines[0])
    assert any(re.fullmatch(r"commit [0-9a-f]{40}(-dirty)?", line) for line in lines)
    assert any(re.fullmatch(r"ROOT 6\.\d\d\.\d\d", line) for line in lines)
    sha256 = hashlib.sha256(shipped("models", "jet_assignment.json").read_bytes()).hexdigest()
    assert f"model jet_assignment {sha256[:8]}" in lines
    assert sum(line.startswith("model ") for line in lines) == 3


def test_version_without_root_says_so(monkeypatch):
    def refuse(self, function, *arguments):
        raise AnalysisError("ROOT cannot be imported")

    monkeypatch.setattr(provenance.Worker, "call", refuse)
    assert "ROOT cannot be imported" in list(provenance.about())


def git(*arguments, cwd):
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)


def installed(folder, monkeypatch):
    """Pretend that the package is installed below a folder."""
    module = folder / "site-packages" / "ttbar" / "jobs" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(module))
    monkeypatch.setattr(provenance, "shipped", lambda *parts: folder.joinpath(*parts))
    return module


def test_the_commit_of_another_repository_is_none_of_ours(tmp_path, monkeypatch):
    module = installed(tmp_path, monkeypatch)
    git("init", cwd=tmp_path)
    git("commit", "--allow-empty", "-m", "theirs", cwd=tmp_path)
    assert provenance.commit() is None
    (tmp_path / "commit").write_text("0123abcd\n")  # as a build leaves it
    assert provenance.commit() == "0123abcd"
    git("add", "--force", str(module), cwd=tmp_path)
    git("commit", "-m", "ours", cwd=tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", provenance.commit())


def test_without_git_the_commit_is_that_of_the_build(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() is None
    (tmp_path / "commit").write_text("0123abcd\n")
    assert provenance.commit() == "0123abcd"


@pytest.mark.parametrize(
    ("shell", "name"), [(BashComplete, "ttbar"), (ZshComplete, "_ttbar"), (FishComplete, "ttbar.fish")]
)
def test_completions_are_those_of_click(shell, name):
    expected = shell(cli, {}, "ttbar", "_TTBAR_COMPLETE").source()
    assert (COMPLETIONS / name).read_text().strip() == expected.strip()


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        (["ttbar"], "va", {"validate", "validate-model"}),
        (["ttbar", "run"], "--un", {"--unit-events"}),
        (["ttbar", "run", "--executor"], "", {"local", "dask", "spark"}),
        (["ttbar", "config"], "--mac", {"--macros"}),
    ],
)
def test_bash_completes(words, last, expected):
    script = f"""
        source {COMPLETIONS / "ttbar"}
        COMP_WORDS=({" ".join(words)} "{last}")
        COMP_CWORD={len(words)}
        _ttbar_completion ttbar "{last}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    result = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) == expected
