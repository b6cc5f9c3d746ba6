"""Analyses of the user's own: the example, and the recipes of ARCHITECTURE.md, each through plots and fit."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot
from program import Results, assert_fails, run_analysis, ttbar

from ttbar.analyses import agc_v1
from ttbar.analyses.analysis import PASSES_CUT, Define
from ttbar.analyses.catalogue import load
from ttbar.errors import InputError
from ttbar.library import declare, load_root
from ttbar.results.folder import Results as Folder
from ttbar.simulate import simulate

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_analysis.py"

RECIPES = '''
from dataclasses import replace

from ttbar.analyses import Normalisation, Systematic, Vary, agc_v1

base = agc_v1.define(min_jet_pt=32.0)


def changed(process):
    """Another cross-section, and a sample: another simulation of W + jets."""
    if process.name == "ttbar":
        return replace(process, cross_section=800.0)
    if process.name == "wjets":
        return replace(process, simulations=(Systematic("W+jets generator", "generator_var"),))
    return process


def rebinned(region):
    """Wider bins of the observable, with an edge where plots begin."""
    [histogram] = region.histograms
    observable, delta_r = histogram.axes
    observable = replace(observable, bins=20, shown_from=100.0)
    return replace(region, histograms=(replace(histogram, axes=(observable, delta_r)),))


universe = Vary(
    "jet_flavour",
    column="jet_scale",
    expression="ROOT::RVec<ROOT::RVecD>{"
    "ttbar::uniform_jet_scale(Jet_pt, 1.05), ttbar::uniform_jet_scale(Jet_pt, 0.95)}",
    systematics=(Systematic("jet flavour", "flavour_up", "flavour_down"),),
)
at = base.nodes.index(agc_v1.JET_ENERGY) + 1

analysis = replace(
    base,
    name="recipes",
    processes=tuple(map(changed, base.processes)),
    nodes=(*base.nodes[:at], universe, *base.nodes[at:]),
    regions=tuple(map(rebinned, base.regions)),
    fit=replace(
        base.fit,
        regions=tuple(replace(region, binning=(100.0, 200.0, 300.0, 400.0, 550.0)) for region in base.fit.regions),
        normalisations=(*base.fit.normalisations, Normalisation("W+jets cross-section", 0.1, ("wjets",))),
    ),
)
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    """A data set with a process and a simulation that agc-v1 does not know."""
    folder = tmp_path_factory.mktemp("toy")
    samples = ["ttbar__nominal", "wjets__nominal", "single_top_tW__nominal"]
    dataset = simulate(folder / "toy", 12_000, samples, seed=3, ballast=False)
    content = json.loads(dataset.read_text())
    other = json.loads(simulate(folder / "other", 6_000, ["wjets__nominal"], seed=4, ballast=False).read_text())
    for listed in other["wjets"]["nominal"]["files"]:
        listed["path"] = str(folder / "other" / listed["path"])
    for name, change in (
        ("example", {"zjets": other["wjets"]}),
        ("recipes", {"wjets": content["wjets"] | {"generator_var": other["wjets"]["nominal"]}}),
    ):
        (dataset.parent / f"{name}.json").write_text(json.dumps(content | change))
    return dataset.parent


def run(*arguments) -> Results:
    result = run_analysis(*arguments, everything=True)
    assert result.returncode == 0, result.stderr
    return Results(Path(arguments[-1]))


@pytest.fixture(scope="module")
def example(toy, tmp_path_factory) -> Results:
    output = tmp_path_factory.mktemp("example")
    return run("--analysis", EXAMPLE, "--dataset", toy / "example.json", "--output", output)


@pytest.fixture(scope="module")
def recipes(toy, tmp_path_factory) -> Results:
    output = tmp_path_factory.mktemp("recipes")
    (output / "recipes.py").write_text(RECIPES)
    return run("--analysis", output / "recipes.py", "--dataset", toy / "recipes.json", "--output", output)


def names(results: Results) -> set[str]:
    with uproot.open(results.folder / "histograms.root") as file:
        return set(file.keys(recursive=False, cycle=False))


def legend(results: Results, plot: str, axis: str | None = None) -> list[str]:
    figure = Folder(results.folder).plot(plot, axis)
    return [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]


def modifiers(results: Results) -> dict[str, set[str]]:
    """Names of the systematic uncertainties in the workspace, by sample."""
    found: dict[str, set[str]] = {}
    for channel in results.json("workspace")["channels"]:
        for sample in channel["samples"]:
            found.setdefault(sample["name"], set()).update(m["name"] for m in sample["modifiers"])
    return found


def selected(folder: Path, sample: str, lepton_pt: float, max_eta: float):
    """What the example selects of a sample, worked out with numpy: b-tagged jets and H_T of each event."""
    import awkward as ak

    paths = [f"{path}:Events" for path in sorted(folder.glob(f"{sample}_*.root"))]
    events = uproot.concatenate(
        paths, [f"{c}_{q}" for c in ("Electron", "Muon") for q in ("pt", "eta")] + ["Jet_pt", "Jet_btagCSVV2"]
    )
    electrons, muons = events.Electron_pt > lepton_pt, events.Muon_pt > lepton_pt
    one = ak.sum(electrons, axis=1) + ak.sum(muons, axis=1) == 1
    eta = ak.concatenate([events.Electron_eta[electrons], events.Muon_eta[muons]], axis=1)
    jets = events.Jet_pt > 30
    tagged = ak.sum(jets & (events.Jet_btagCSVV2 > 0.5), axis=1)
    passing = one & (ak.sum(jets, axis=1) >= 4) & (tagged >= 1) & (ak.fill_none(ak.firsts(abs(eta)), 9) < max_eta)
    pt = events.Jet_pt[jets][passing]
    return (
        np.asarray(tagged[passing]),
        np.asarray(ak.sum(ak.values_astype(pt, np.float64), axis=1)),
        np.asarray(ak.sum(muons, axis=1)[passing]),
    )


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) < 80


def test_the_example_cuts_and_fills_what_it_says(example, toy):
    tagged, h_t, muons = selected(toy, "ttbar__nominal", 35, 2.1)
    cuts = {row["cut"]: row["events"] for row in example.json("cutflow")["ttbar__nominal"]["nominal"]}
    assert list(cuts)[-4:] == ["central_lepton", "4j1b", "4j2b", "4j3b"]
    assert cuts["central_lepton"] == len(tagged)
    assert cuts["4j3b"] == np.sum(tagged >= 3) > 20
    with uproot.open(example.folder / "histograms.root") as file:
        observable, leading = file["observable/4j3b_ttbar"], file["4j3b_leading_pt_ttbar"]
        up = file["observable/4j3b_ttbar_muon_efficiency_up"].values(flow=True)
    weight = (396.87 + 332.97) * 3378 / 12_000
    expected, _ = np.histogram(h_t[tagged >= 3], np.linspace(50, 550, 26))
    np.testing.assert_allclose(observable.values(), weight * expected, rtol=1e-9)
    varied, _ = np.histogram(h_t[tagged >= 3], np.linspace(50, 550, 26), weights=1 + 0.02 * muons[tagged >= 3])
    np.testing.assert_allclose(up[1:-1], weight * varied, rtol=1e-9)
    assert leading.values(flow=True).sum() == pytest.approx(weight * np.sum(tagged >= 3), rel=1e-9)
    assert leading.axis().edges().tolist() == np.linspace(30, 330, 21).tolist()


def test_the_example_shows_everywhere(example):
    assert "Z + jets" in legend(example, "4j1b")
    assert "Z + jets" in legend(example, "4j3b", "deltaR")
    assert "Z + jets" in legend(example, "4j3b_leading_pt")
    drawn = {path.stem for path in (example.folder / "plots").glob("*.png")}
    assert {"4j3b_observable", "4j3b_deltaR", "4j3b_leading_pt_leading_pt", "4j3b_ttbar_muons"} <= drawn
    channels = [channel["name"] for channel in example.json("workspace")["channels"]]
    assert sorted(channels) == ["4j1b CR", "4j2b SR", "4j3b SR"]
    assert all("muon efficiency" in names for names in modifiers(example).values())
    assert "Z+jets" in modifiers(example)
    assert "muon efficiency" in example.json("fit")["parameters"]
    assert any("4j3b_leading_pt" in line for line in example.json("fit")["left_out"])
    assert example.json("run")["analysis"]["name"] == "my-analysis"
    page = (example.folder / "report.html").read_text()
    assert "4j3b" in page
    assert "zjets" in page


def test_no_event_of_the_example_is_fitted_twice(example):
    for cuts in (universe for sample in example.json("cutflow").values() for universe in sample.values()):
        counts = {row["cut"]: row["events"] for row in cuts}
        assert counts["4j1b"] + counts["4j2b"] + counts["4j3b"] <= counts["central_lepton"]


def test_a_results_folder_tells_its_analysis(example, tmp_path):
    before = load(str(EXAMPLE))
    assert Folder(example.folder).analysis == before
    result = ttbar("plot", "--histograms", example.folder / "histograms.root", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "plots" / "4j3b_observable.png").exists()


def test_recipes(recipes, toy):
    with uproot.open(recipes.folder / "histograms.root") as file:
        assert file["4j1b_ttbar"].axis(0).edges().tolist() == np.linspace(50, 550, 21).tolist()
        flavour = {v: file[f"4j1b_ttbar_flavour_{v}"].values(flow=True).sum() for v in ("up", "down")}
        nominal = file["4j1b_ttbar"].values(flow=True).sum()
    cutflow = recipes.json("cutflow")
    first = cutflow["ttbar__nominal"]["nominal"][0]
    assert first["weighted"] == pytest.approx(800.0 * 3378)
    counts = {universe: cuts[-2]["events"] for universe, cuts in cutflow["ttbar__nominal"].items()}
    assert list(counts) == ["nominal", "pt_scale_up", "pt_res_up", "flavour_up", "flavour_down"]
    assert flavour["up"] / nominal == pytest.approx(counts["flavour_up"] / counts["nominal"])
    assert len(set(counts.values())) > 3
    assert {"4j1b_wjets_generator_var", "4j2b_wjets_generator_var"} <= names(recipes)
    found = modifiers(recipes)
    assert {"jet flavour", "W+jets generator", "W+jets cross-section"} <= found["W+jets"]
    assert "W+jets cross-section" not in found["ttbar"]
    assert {"jet flavour", "W+jets cross-section"} <= recipes.json("fit")["parameters"].keys()
    drawn = {path.stem for path in (recipes.folder / "plots").glob("*.png")}
    assert {"4j1b_ttbar_jet_flavour", "4j1b_wjets_simulation"} <= drawn
    assert len(recipes.json("workspace")["channels"][0]["samples"][0]["data"]) == 4


def test_a_skim_keeps_what_an_analysis_of_ones_own_selects(toy, recipes, tmp_path):
    arguments = ("--analysis", recipes.folder / "recipes.py", "--dataset", toy / "recipes.json")
    result = run_analysis(*arguments, "--skim", tmp_path / "skim", "--output", tmp_path / "output")
    assert result.returncode == 0, result.stderr
    result = ttbar("validate", recipes.folder / "histograms.root", tmp_path / "output" / "histograms.root")
    assert result.returncode == 0, result.stdout


def test_a_data_set_file_can_set_cross_section_and_luminosity(toy, tmp_path):
    content = json.loads((toy / "dataset.json").read_text())
    content = {"luminosity": 1000.0, "ttbar": {"cross_section": 900.0, **content["ttbar"]}}
    (toy / "own.json").write_text(json.dumps(content))
    result = run_analysis("--dataset", toy / "own.json", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    results = Results(tmp_path)
    assert results.json("cutflow")["ttbar__nominal"]["nominal"][0]["weighted"] == pytest.approx(900.0 * 1000)
    analysis = results.json("run")["analysis"]
    assert (analysis["luminosity_per_pb"], analysis["cross_sections_pb"]["ttbar"]) == (1000.0, 900.0)


MISTAKES = {
    "syntax": ("analysis = (", "line 1", "SyntaxError"),
    "nothing": ("x = 1", "does not define 'analysis'"),
    "two of a name": (
        "from dataclasses import replace\nfrom ttbar.analyses import agc_v1\nbase = agc_v1.analysis\n"
        "analysis = replace(base, regions=base.regions * 2)",
        "line 4",
        "two cuts and regions named '4j1b'",
    ),
    "no such edge": (
        "from dataclasses import replace\nfrom ttbar.analyses import agc_v1\nbase = agc_v1.analysis\n"
        "fit = replace(base.fit, regions=(replace(base.fit.regions[0], binning=(115.0, 550.0)),))\n"
        "analysis = replace(base, fit=fit)",
        "115",
    ),
    "a header that is not there": (
        "from dataclasses import replace\nfrom pathlib import Path\nfrom ttbar.analyses import agc_v1\n"
        "analysis = replace(agc_v1.analysis, headers=(Path('/nowhere.hpp'),))",
        "/nowhere.hpp",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_analysis_is_a_sentence(mistake, toy, tmp_path):
    text, *words = MISTAKES[mistake]
    (tmp_path / "mine.py").write_text(text)
    result = ttbar("check", "--analysis", tmp_path / "mine.py", "--dataset", toy / "dataset.json")
    assert_fails(result, 3, *words)


def test_an_unknown_analysis_is_a_sentence():
    assert_fails(ttbar("check", "--analysis", "agc-v0"), 3, "agc-v0", "agc-v1")


def test_a_header_that_does_not_compile_is_named(toy, tmp_path):
    (tmp_path / "bad.hpp").write_text("int broken(")
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\nfrom pathlib import Path\nfrom ttbar.analyses import agc_v1\n"
        "analysis = replace(agc_v1.analysis, headers=(Path(__file__).with_name('bad.hpp'),))"
    )
    result = ttbar("check", "--analysis", tmp_path / "mine.py", "--dataset", toy / "dataset.json")
    assert_fails(result, 3, "bad.hpp")


@pytest.mark.parametrize("name", ["weight", "jets", "lepton", "observable", "deltaR"])
def test_columns_of_the_users_own_do_not_disturb(name, toy, tmp_path):
    root = load_root()
    path = tmp_path / "own.root"
    source = json.loads((toy / "dataset.json").read_text())["ttbar"]["nominal"]["files"][0]["path"]
    frame = root.RDataFrame("Events", str(toy / source)).Define(name, "123.f")
    columns = [str(column) for column in frame.GetColumnNames()]
    frame.Snapshot("Events", str(path), columns)
    (tmp_path / "dataset.json").write_text(json.dumps({"ttbar": {"nominal": {"files": [str(path)]}}}))
    (tmp_path / "plain.json").write_text(json.dumps({"ttbar": {"nominal": {"files": [str(toy / source)]}}}))
    for dataset in ("dataset", "plain"):
        result = run_analysis("--dataset", tmp_path / f"{dataset}.json", "--output", tmp_path / f"{dataset}-results")
        assert result.returncode == 0, result.stderr
    a, b = (tmp_path / f"{dataset}-results" / "histograms.root" for dataset in ("dataset", "plain"))
    assert ttbar("validate", a, b).returncode == 0


def test_a_nominal_weight_multiplies_its_variations(toy, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\nfrom ttbar.analyses import agc_v1\n"
        "analysis = replace(agc_v1.analysis, weight='0.5 + 0.001 * Jet_pt[0]')"
    )
    plain, weighted = tmp_path / "plain", tmp_path / "weighted"
    dataset = ("--dataset", toy / "dataset.json", "--samples", "ttbar__nominal")
    assert run_analysis(*dataset, "--output", plain).returncode == 0
    assert run_analysis(*dataset, "--analysis", tmp_path / "mine.py", "--output", weighted).returncode == 0
    sums = {}
    for folder in (plain, weighted):
        with uproot.open(folder / "histograms.root") as file:
            for variation in ("", "_btag_var_0_up", "_btag_var_0_down", "_pt_scale_up"):
                histogram = file[f"4j1b_ttbar{variation}"]
                sums[folder.name, variation] = histogram.values(flow=True).sum(), histogram.variances(flow=True).sum()
    assert sums["weighted", ""][0] != pytest.approx(sums["plain", ""][0], rel=0.05)
    up, down = sums["weighted", "_btag_var_0_up"][0], sums["weighted", "_btag_var_0_down"][0]
    assert (up + down) / 2 == pytest.approx(sums["weighted", ""][0], rel=1e-9)
    assert up != pytest.approx(sums["plain", "_btag_var_0_up"][0], rel=0.05)


@pytest.mark.parametrize("end", ["import sys; sys.exit(0)", "raise SystemExit('done')", "exit()"])
def test_an_analysis_that_ends_the_program_is_a_mistake(end, tmp_path):
    (tmp_path / "mine.py").write_text(f"from ttbar.analyses.agc_v1 import analysis\n{end}")
    with pytest.raises(InputError, match=r"mine\.py: line 2: SystemExit"):
        load(str(tmp_path / "mine.py"))


@pytest.mark.parametrize("reader", [lambda path: load(str(path)), declare])
def test_an_analysis_and_a_header_are_regular_files(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is a named pipe, not a file"):
        reader(tmp_path / "pipe")


NO_FIT = """
import sys
from ttbar.errors import AnalysisError, InputError
from ttbar.results import fit
def fail(*arguments, **options):
    raise {error}("the stars are not right")
fit.{function} = fail
from ttbar.__main__ import main
main(["run", *sys.argv[1:]])
"""


@pytest.mark.parametrize(("function", "error"), [("minimise", "AnalysisError"), ("check_configuration", "InputError")])
def test_a_fit_that_fails_does_not_cost_the_page(function, error, toy, tmp_path):
    program = ("-c", NO_FIT.format(function=function, error=error))
    result = ttbar("--dataset", toy / "dataset.json", "--output", tmp_path, "--no-plots", program=program)
    assert_fails(result, 4, "the stars are not right")
    assert "--resume" not in result.stderr
    assert "the stars are not right" in (tmp_path / "report.html").read_text()
    results = Results(tmp_path)
    assert results.json("run")["status"] == "complete"
    assert results.json("metrics")["events"] == 36_000
    assert results.json("fit")["status"] == "failed"
    if function == "check_configuration":
        lines = result.stderr.splitlines()
        said = next(index for index, line in enumerate(lines) if "the stars are not right" in line)
        assert said < next(index for index, line in enumerate(lines) if line.startswith("Processing"))


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": (*agc_v1.analysis.nodes, Define(f"{PASSES_CUT}0", "1"))},
        {"columns": {**agc_v1.analysis.columns, f"{PASSES_CUT}of_mine": None}},
        {
            "regions": tuple(
                replace(region, definitions=(*region.definitions, Define(f"{PASSES_CUT}7", "1")))
                for region in agc_v1.analysis.regions
            )
        },
    ],
    ids=["defined", "read", "of a region"],
)
def test_a_column_is_not_called_like_those_of_cuts(changes):
    with pytest.raises(ValueError, match=f"'{PASSES_CUT}.*' begins like"):
        replace(agc_v1.analysis, **changes)
