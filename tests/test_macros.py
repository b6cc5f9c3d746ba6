"""The C++ side as its users meet it: macros, sessions of ROOT, and what ACLiC compiles."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import uproot
import xgboost
from program import run_analysis, ttbar

from ttbar.library import resource, shipped
from ttbar.simulate import simulate

CHECKOUT = Path(__file__).parents[1]
MACROS = sorted((CHECKOUT / "macros").iterdir())
HEADERS = sorted((CHECKOUT / "cpp" / "include" / "ttbar").glob("*.hpp"))
ONE_LINE = "#include <../../ttbar/include/ttbar/ttbar.hpp>"
"""What load.C tells those to write who have ROOT and ttbar from pip."""
BODY = 'int %s() { std::cout << "above: " << ttbar::count_above(ROOT::RVecF{1, 2, 3}, 1.5) << std::endl; return 7; }\n'


def root(*arguments, cwd, prompt="", include=""):
    """Run ROOT where nothing is set that would help it to find anything."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "TMPDIR": str(cwd), "ROOT_INCLUDE_PATH": str(include)}
    command = [Path(sys.executable).parent / "root", "-l", "-b", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, input=prompt, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The data set file of simulated top pairs."""
    return simulate(tmp_path_factory.mktemp("toy"), 3000, ["ttbar__nominal"], 1, False)


@pytest.fixture(scope="module")
def events(toy):
    """Its files, as RDataFrame takes them."""
    return toy.parent / "*.root"


def test_the_umbrella_header_includes_every_header():
    umbrella = (CHECKOUT / "cpp" / "include" / "ttbar" / "ttbar.hpp").read_text()
    assert re.findall('#include "(.*)"', umbrella) == [each.name for each in HEADERS if each.name != "ttbar.hpp"]


def test_macros_are_short():
    assert len(MACROS) == 7
    for macro in MACROS:
        assert len(macro.read_text().splitlines()) < 40, macro


def test_installed_macros_are_those_of_the_checkout():
    for macro in MACROS:
        assert shipped("macros", macro.name).read_bytes() == macro.read_bytes()


def reached(header):
    """The headers that one includes, itself among them."""
    included = [header.with_name(name) for name in re.findall('#include "(.*hpp)"', header.read_text())]
    return {header.name}.union(*map(reached, included))


def test_each_header_of_what_is_compiled_loads_the_library(tmp_path):
    without = {header.name for header in HEADERS if "library.hpp" not in reached(header)}
    assert without == {"philox.hpp", "reading.hpp"}  # which are templates and inline functions
    (tmp_path / "mine.C").write_text(f'#include "{resource("include", "ttbar", "selection.hpp")}"\n{BODY % "mine"}')
    assert root("-q", "mine.C", cwd=tmp_path).returncode == 7


@pytest.mark.parametrize("line", [ONE_LINE, f'#include "{resource("include", "ttbar", "ttbar.hpp")}"'])
def test_one_line_loads_the_library_in_a_macro_anywhere(tmp_path, line):
    (tmp_path / "mine.C").write_text(f"{line}\n{BODY % 'mine'}")
    result = root("-q", "mine.C", cwd=tmp_path)
    assert result.returncode == 7, result.stderr
    assert "above: 2" in result.stdout
    assert line == ONE_LINE or ONE_LINE in (CHECKOUT / "macros" / "load.C").read_text()


def test_one_line_loads_the_library_at_the_prompt(tmp_path):
    call = "ttbar::count_above(ROOT::RVecF{1, 2, 3}, 1.5)"
    result = root(cwd=tmp_path, prompt=f"{ONE_LINE}\n{call}\n")
    assert "(int) 2" in result.stdout, result.stderr
    result = root(MACROS[-3].with_name("load.C"), cwd=tmp_path, prompt=f"{call}\n")
    assert "(int) 2" in result.stdout, result.stderr


def test_where_both_are_in_one_prefix_the_usual_line_is_enough(tmp_path):
    """A prefix that ROOT looks in, for which a folder of the user's stands here."""
    shutil.copytree(resource("include"), tmp_path / "prefix" / "include")
    shutil.copytree(resource("lib"), tmp_path / "prefix" / "lib64")
    (tmp_path / "mine.C").write_text(f"#include <ttbar/ttbar.hpp>\n{BODY % 'mine'}")
    result = root("-q", "mine.C", cwd=tmp_path, include=tmp_path / "prefix" / "include")
    assert result.returncode == 7, result.stderr


def test_aclic_compiles_a_macro_with_the_helpers(tmp_path):
    (tmp_path / "mine.C").write_text(f"{ONE_LINE}\n#include <iostream>\n{BODY % 'mine'}")
    result = root(cwd=tmp_path, prompt=".L mine.C+\nmine()\n")
    assert "above: 2" in result.stdout, result.stderr
    assert (tmp_path / "mine_C.so").exists()


def test_a_macro_runs_in_python(tmp_path, events):
    macro = shipped("macros", "event_display.C")
    code = f"""
import ROOT
ROOT.gROOT.LoadMacro({str(macro)!r})
assert ROOT.event_display({str(events)!r}, "display.png") == 0
assert ROOT.ttbar.count_above(ROOT.RVecF([1, 2, 3]), 1.5) == 2
assert "min_btag" in ROOT.ttbar.trijet_mass.__doc__
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "display.png").stat().st_size > 5000


def test_a_macro_and_the_helpers_of_the_program_are_the_same_in_one_process(tmp_path, events):
    """As in a notebook: whoever comes second finds the declarations of the first."""
    code = f"""
from ttbar.library import load_root
ROOT = load_root()
ROOT.gROOT.LoadMacro({str(CHECKOUT / "macros" / "trijet_mass.C")!r})
assert ROOT.trijet_mass({str(events)!r}, "mass.png") == 0
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "mass.png").exists()


def contents(file):
    """Values and variances of all histograms of two axes, underflow and overflow included, by name."""
    with uproot.open(file) as histograms:
        return {
            name: (histogram.values(flow=True), histogram.variances(flow=True))
            for name, histogram in histograms.items(recursive=False, cycle=False, filter_classname="TH2D")
        }


def test_histograms_in_cpp_alone_are_those_of_the_program(tmp_path, toy, events):
    result = run_analysis("--dataset", toy, "--output", tmp_path / "output")
    assert result.returncode == 0, result.stderr
    generated = sum(file["nevts"] for file in json.loads(toy.read_text())["ttbar"]["nominal"]["files"])
    call = f'{CHECKOUT / "macros" / "histograms.C"}("{events}", "ttbar", 396.87 + 332.97, {generated})'
    macro = root("-q", call, cwd=tmp_path)
    assert macro.returncode == 0, macro.stderr
    expected, found = contents(tmp_path / "output" / "histograms.root"), contents(tmp_path / "histograms.root")
    expected = {name: each for name, each in expected.items() if name.split("_")[1] == "ttbar"}
    assert len(found) == 2 * 11
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name][0].sum() > 0
        for one, other in zip(found[name], expected[name], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, err_msg=name)
    # those of unit weights to the last bit
    assert np.array_equal(found["4j2b_ttbar"][0], expected["4j2b_ttbar"][0])


@pytest.mark.parametrize(("names", "permutations"), [("feature_names", 12), ("agc_v2::feature_names", None)])
def test_scores_of_another_model(tmp_path, events, names, permutations):
    header = CHECKOUT / "cpp" / "include" / "ttbar" / ("agc_v2.hpp" if "v2" in names else "jet_assignment.hpp")
    [listed] = re.findall(r"> feature_names\{(.*?)\}", header.read_text(), re.DOTALL)
    features = re.findall('"(.*?)"', listed)
    random = np.random.default_rng(1)
    rows = random.uniform(0, 200, size=(1000, len(features)))
    data = xgboost.DMatrix(rows, rows[:, 9] > 100, feature_names=features)
    model = tmp_path / "other.json"
    xgboost.train({"objective": "binary:logistic", "max_depth": 3}, data, 10).save_model(model)
    result = root("-q", f'{CHECKOUT / "macros" / "scores.C"}("{model}", "{events}")', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [number] = re.findall(r"the best of ([\d.]+) scores 0\.\d+", result.stdout)
    assert float(number) == 12 if permutations else 12 < float(number) < 180
    assert (tmp_path / "scores.png").exists()

    swapped = xgboost.DMatrix(rows, rows[:, 9] > 100, feature_names=[features[1], features[0], *features[2:]])
    xgboost.train({"objective": "binary:logistic", "max_depth": 3}, swapped, 10).save_model(model)
    result = root("-q", f'{CHECKOUT / "macros" / "scores.C"}("{model}", "{events}")', cwd=tmp_path)
    assert result.returncode != 0
    assert f"{model} has the feature {features[1]} where the analysis has {features[0]}" in result.stderr


def test_config_tells_where_things_are():
    every = ttbar("config").stdout.splitlines()
    assert [Path(each).exists() for each in every] == [True] * 5
    assert (Path(every[0]) / "ttbar" / "ttbar.hpp").exists()
    assert (Path(every[1]) / "libttbar.so").exists()
    assert (Path(every[2]) / "ttbarConfig.cmake").exists()
    assert {macro.name for macro in Path(every[3]).iterdir()} == {macro.name for macro in MACROS}
    assert json.loads(Path(every[4]).read_text())["learner"]
    assert ttbar("config", "--macros", "--include").stdout.splitlines() == [every[3], every[0]]
    assert ttbar("config", "--model").stdout == f"{every[4]}\n"
    assert ttbar("config", "--nothing").returncode == 2
