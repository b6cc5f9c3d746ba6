"""Installing the package where there is a ROOT, and where there is none."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

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


COMPLETIONS = (
    "share/bash-completion/completions/ttbar",
    "share/zsh/site-functions/_ttbar",
    "share/fish/vendor_completions.d/ttbar.fish",
)
"""Where shells look for completions below a prefix."""

SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def run(*command, cwd, **environment):
    """Run what must succeed, where nothing leads to the checkout."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "XDG_CACHE_HOME": str(cwd), **environment}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("install")


@pytest.fixture(scope="module")
def environment(folder):
    """An environment as pip would make it for the dependencies: all that is in this one, but not the package."""
    place = folder / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", str(place), cwd=folder)
    for path in Path(sysconfig.get_path("platlib")).iterdir():
        new = place / SITE / path.name
        if path.name == "ROOT":  # which finds its files, and what is beside it, from where it really is
            shutil.copytree(path, new, symlinks=True, copy_function=os.link)
        elif "ttbar" not in path.name and path.suffix != ".pth":
            new.symlink_to(path)
    return place


@pytest.fixture(scope="module")
def sdist(folder):
    """The source distribution, from the files of the checkout that belong to it."""
    code = "import sys, build_backend; print(build_backend.build_sdist(sys.argv[1]))"
    made = run(sys.executable, "-c", code, str(folder), cwd=CHECKOUT, HOME=str(folder), PYTHONPATH="cmake")
    return folder / made.split()[-1]


@pytest.fixture(scope="module")
def wheel(folder, sdist):
    """The wheel, built from the source distribution."""
    pip = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", "wheels")
    run(*pip, str(sdist), cwd=folder, PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin", TMPDIR=str(folder))
    [wheel] = (folder / "wheels").iterdir()
    return wheel


@pytest.fixture(scope="module")
def python(folder, environment, wheel):
    """The Python of an environment where the wheel is installed."""
    python = environment / "bin" / "python"
    pip = ("-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index")
    run(sys.executable, *pip, str(wheel), cwd=folder)
    return python


def dynamic_section(library):
    """What a library says to the loader: pairs of a tag and a value."""
    lines = run("readelf", "--dynamic", "--wide", str(library), cwd="/").splitlines()
    return re.findall(r"\((NEEDED|RUNPATH|RPATH)\).*\[(.*)\]", "\n".join(lines))


def test_a_source_distribution_has_what_a_build_needs(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"macros/load.C", "models/jet_assignment.json", "cpp/src/libttbar", "cmake/ttbar.in", "LICENSE"} <= names
    assert not [name for name in names if name.startswith((".venv", "build", "output", "docs"))]


def test_one_wheel_serves_all_cpythons(wheel, python):
    assert wheel.name.endswith("-py3-none-linux_x86_64.whl")
    library = python.parents[1] / SITE / "ttbar" / "lib" / "libttbar.so"
    needed = [value for tag, value in dynamic_section(library) if tag == "NEEDED"]
    assert "libCore.so" in needed
    assert not [name for name in needed if "python" in name.lower()]
    symbols = run("nm", "--dynamic", "--undefined-only", str(library), cwd="/")
    assert not re.findall(r"\b_?Py[A-Z_]\w*", symbols)


def test_a_wheel_has_all_parts_and_nothing_of_the_machine_that_built_it(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        texts = {name: archive.read(name) for name in names}
    parts = ("include/ttbar/ttbar.hpp", "lib/libttbar.so", "lib/libttbar", "lib/cmake/ttbar/ttbarConfig.cmake")
    data = ("share/ttbar/macros/load.C", "share/ttbar/models/jet_assignment.json", "__main__.py")
    assert {f"ttbar/{part}" for part in (*parts, *data)} <= set(names)
    distribution = "-".join(wheel.name.split("-")[:2])
    assert {name.partition("/")[0] for name in names} == {
        "ttbar",
        f"{distribution}.dist-info",
        f"{distribution}.data",  # completions of the command line, for the folders of the prefix
    }
    del texts["ttbar/lib/cmake/ttbar/FindRootOfPython.cmake"]  # it knows what a wheel of ROOT is like
    for place in (str(folder), str(CHECKOUT), sys.prefix, "mock_site_packages"):
        assert not [name for name, text in texts.items() if place.encode() in text], place


def test_the_library_is_found_beside_root_alone(python, folder):
    library = python.parents[1] / SITE / "ttbar" / "lib" / "libttbar.so"
    paths = [value for tag, value in dynamic_section(library) if tag != "NEEDED"]
    assert paths
    assert {path for value in paths for path in value.split(":")} == {"$ORIGIN", "$ORIGIN/../../ROOT/lib"}


def test_a_wheel_runs(python, folder):
    program = python.with_name("ttbar")
    about = run(program, "--version", cwd=folder).splitlines()
    assert about[0] == "ttbar 0.1.0"
    assert about[1].startswith("ROOT 6.")  # a source distribution is of no commit
    assert set(COMPLETIONS) <= {
        str(path.relative_to(python.parents[1])) for path in python.parents[1].glob("share/**/*")
    }
    run(program, "simulate", "--output", "toy", "--events", "200", "--samples", "ttbar__nominal", cwd=folder)
    options = ("--dataset", "toy/dataset.json", "--no-plots", "--no-fit", "--output", "output")
    run(program, "run", *options, cwd=folder, EXTRA_CLING_ARGS="-O0")
    assert (folder / "output" / "histograms.root").exists()


def build_downstream(folder, name, *options, python):
    """Configure, build and run another project that uses the library."""
    cmake = shutil.which("cmake", path=Path(sys.executable).parent)
    build = (cmake, "-S", str(CHECKOUT / "tests" / "downstream"), "-B", name, f"-DPython_EXECUTABLE={python}")
    run(*build, *options, cwd=folder)
    run(cmake, "--build", name, cwd=folder)
    return run(folder / name / "downstream", cwd=folder)


def test_another_project_builds_with_the_wheel(python, folder):
    place = run(python.with_name("ttbar"), "config", "--cmake", cwd=folder).strip()
    assert build_downstream(folder, "with_wheel", f"-Dttbar_DIR={place}", python=python) == "140\n"


def test_a_macro_anywhere_runs_with_the_wheel(python, folder):
    line = "#include <../../ttbar/include/ttbar/ttbar.hpp>"
    body = "int mine() { return ttbar::count_above(ROOT::RVecF{1, 2, 3}, 1.5) == 2 ? 0 : 1; }"
    (folder / "mine.C").write_text(f"{line}\n{body}\n")
    root = (python, "-c", "import sys; from ROOT._rootcli import main; sys.exit(main())", "-l", "-b", "-q")
    run(*root, "mine.C", cwd=folder)
    shipped = run(python.with_name("ttbar"), "config", "--macros", cwd=folder).strip()
    run(*root, f"{shipped}/event_display.C", cwd=folder, TMPDIR=str(folder))
    assert (folder / "event_display.png").exists()


def test_cmake_installs_the_program_as_well(environment, folder):
    """Into a prefix of its own, from which it takes everything."""
    cmake = shutil.which("cmake", path=Path(sys.executable).parent)
    prefix = folder / "prefix"
    run(cmake, "--install", str(CHECKOUT / "build"), "--prefix", str(prefix), cwd=folder)
    program = (environment / "bin" / "python", prefix / "bin" / "ttbar")
    places = run(*program, "config", cwd=folder).splitlines()
    assert [Path(place).resolve().is_relative_to(prefix) for place in places] == [True] * 5
    about = run(*program, "--version", cwd=folder).splitlines()
    assert about[0] == "ttbar 0.1.0"
    assert re.fullmatch("commit [0-9a-f]{40}(-dirty)?", about[1])
    assert all((prefix / name).exists() for name in COMPLETIONS)
    run(*program, "simulate", "--output", "toy_of_prefix", "--events", "10", "--samples", "wjets__nominal", cwd=folder)
    run(*program, "check", "--dataset", "toy_of_prefix/dataset.json", cwd=folder)
    assert (prefix / "share" / "ttbar" / "models" / "jet_assignment.json").exists()


def test_the_conda_recipe_is_of_this_version_and_needs_what_the_package_needs():
    recipe = yaml.safe_load((CHECKOUT / "recipe" / "recipe.yaml").read_text())
    dependencies = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"VERSION {recipe['context']['version']}\n" in (CHECKOUT / "CMakeLists.txt").read_text()
    names = {"matplotlib": "matplotlib-base"}  # conda's
    split = [re.fullmatch(r"([\w-]+)(?:\[.*\])?(.*)", each).groups() for each in dependencies]
    needed = {names.get(name, name) + version for name, version in split}
    listed = {each.replace(" ", "") for each in recipe["requirements"]["run"]}
    assert needed <= listed
    assert listed - needed == {"python>=3.11", "root_base", "aiohttp", "iminuit"}  # the last two are those of extras


def test_the_container_gets_what_a_build_needs():
    kept = {line[1:] for line in (CHECKOUT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    cmake = (CHECKOUT / "CMakeLists.txt").read_text()
    used = set(re.findall(r"(?:DIRECTORY|FILES|configure_file\(|include\()\s*([a-z]+)/", cmake))
    assert {"CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "macros", "models", *used} <= kept
    assert all((CHECKOUT / name).exists() for name in kept)


if os.environ.get("TTBAR_TEST_INSTALL"):  # it takes minutes and a package index

    def test_pip_installs_everything_into_a_new_environment(tmp_path):
        def run(*command):
            subprocess.run(command, check=True, cwd=tmp_path)

        run(sys.executable, "-m", "venv", "new")
        run("new/bin/pip", "install", f"{CHECKOUT}[root]")
        run("new/bin/ttbar", "simulate", "--output", "toy", "--events", "100", "--samples", "wjets__nominal")
        run("new/bin/ttbar", "check", "--dataset", "toy/dataset.json")
