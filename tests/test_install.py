"""Installing the package where there is a ROOT, and where there is none."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def backend(monkeypatch, tmp_path):
    """The build backend, in a place where it finds no ROOT."""
    spec = importlib.util.spec_from_file_location("build_backend", CHECKOUT / "cmake" / "build_backend.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for kind in ("wheel", "editable"):
        monkeypatch.setattr(module.build, f"get_requires_for_build_{kind}", lambda settings: ["ninja"])
    monkeypatch.setattr(module.sys, "path", [])
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: str(tmp_path / "site-packages"))
    monkeypatch.setattr(module, "SYSTEM_PREFIXES", (str(tmp_path / "usr"),))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("CMAKE_PREFIX_PATH", "CMAKE_ARGS", "ROOTSYS", "ROOT_DIR", "ROOT_ROOT", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    return module


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)


def wants_root(backend, **settings):
    wanted = backend.get_requires_for_build_wheel(settings)
    assert backend.get_requires_for_build_editable(settings)[-1:] == wanted[-1:]
    return any(requirement.startswith("root==") for requirement in wanted)


def test_where_there_is_no_root_a_build_gets_the_wheel(backend):
    assert wants_root(backend)


@pytest.mark.parametrize(
    ("place", "variable"),
    [
        ("site-packages/ROOT/__init__.py", None),
        ("usr/lib64/cmake/ROOT/ROOTConfig.cmake", None),
        ("usr/lib/x86_64-linux-gnu/cmake/ROOT/ROOTConfig.cmake", None),
        ("root/cmake/ROOTConfig.cmake", "ROOTSYS"),
        ("conda/lib/cmake/ROOT/ROOTConfig.cmake", "CONDA_PREFIX"),
        ("prefix/cmake/ROOTConfig.cmake", "CMAKE_PREFIX_PATH"),
    ],
)
def test_where_there_is_a_root_a_build_takes_that(backend, monkeypatch, tmp_path, place, variable):
    touch(tmp_path / place)
    if variable:
        assert wants_root(backend)
        monkeypatch.setenv(variable, str(tmp_path / place.split("/")[0]))
    assert not wants_root(backend)


def test_a_root_on_the_path_or_named_to_cmake_is_taken(backend, monkeypatch, tmp_path):
    assert not wants_root(backend, **{"cmake.define.ROOT_DIR": "/somewhere"})
    monkeypatch.setenv("CMAKE_ARGS", "-DROOT_DIR=/somewhere")
    assert not wants_root(backend)
    monkeypatch.delenv("CMAKE_ARGS")
    touch(tmp_path / "opt" / "cmake" / "ROOTConfig.cmake")
    touch(tmp_path / "opt" / "bin" / "root-config")
    monkeypatch.setenv("PATH", str(tmp_path / "opt" / "bin"))
    assert not wants_root(backend)


if os.environ.get("TTBAR_TEST_INSTALL"):  # it takes minutes and a package index

    def test_pip_installs_everything_into_a_new_environment(tmp_path):
        def run(*command):
            subprocess.run(command, check=True, cwd=tmp_path)

        run(sys.executable, "-m", "venv", "new")
        run("new/bin/pip", "install", f"{CHECKOUT}[root]")
        run("new/bin/ttbar", "simulate", "--output", "toy", "--events", "100", "--samples", "wjets__nominal")
        run("new/bin/ttbar", "check", "--dataset", "toy/dataset.json")
