"""Build with scikit-build-core, and with the wheel of ROOT where no other ROOT can be found.

pip installs what a package needs after it has built it. ROOT is needed for building as well.
"""

import os
import shutil
import sys
import sysconfig
import tomllib
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from scikit_build_core import build
from scikit_build_core.build import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


SYSTEM_PREFIXES = ("/usr", "/usr/local")


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What has to be installed for building a wheel."""
    return build.get_requires_for_build_wheel(config_settings) + _root_wheel(config_settings)


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What has to be installed for building an editable wheel."""
    return build.get_requires_for_build_editable(config_settings) + _root_wheel(config_settings)


def _root_wheel(config_settings: dict[str, Any] | None) -> list[str]:
    """The wheel of ROOT, as the extra `root` names it, unless CMake is going to find a ROOT."""
    if _finds_root(config_settings or {}):
        return []
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    wheel: list[str] = project["optional-dependencies"]["root"]
    return wheel


def _finds_root(config_settings: dict[str, Any]) -> bool:
    """Whether there is a ROOT where FindRootOfPython.cmake and `find_package(ROOT)` look."""
    if any("ROOT_DIR" in key for key in config_settings) or "ROOT_DIR" in " ".join(
        (str(config_settings.get("cmake.args")), os.environ.get("CMAKE_ARGS", ""))
    ):
        return True
    # An isolated build hides the packages of the environment, but not the folder that they are in.
    if PathFinder.find_spec("ROOT", [*sys.path, sysconfig.get_path("platlib")]):
        return True
    prefixes = [
        *os.environ.get("CMAKE_PREFIX_PATH", "").split(os.pathsep),
        *(os.environ.get(name, "") for name in ("ROOTSYS", "ROOT_DIR", "ROOT_ROOT", "CONDA_PREFIX")),
        *SYSTEM_PREFIXES,
        *(str(Path(program).resolve().parents[1]) for program in [shutil.which("root-config")] if program),
    ]
    places = (
        "ROOTConfig.cmake",
        "cmake/ROOTConfig.cmake",
        "lib*/cmake/ROOT/ROOTConfig.cmake",
        "lib*/*/cmake/ROOT/ROOTConfig.cmake",
    )
    return any(any(Path(prefix).glob(place)) for prefix in filter(None, prefixes) for place in places)
