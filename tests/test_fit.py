"""The fit: its templates, its result, its files."""

import copy
import itertools
import json
import re
from dataclasses import replace
from functools import partial

import cabinetry
import hist
import numpy as np
import pyhf
import pytest
import uproot
import yaml
from fuzz_fit import fit_configurations, read_fit_configuration

from ttbar.analyses.agc_v1 import BTAG_JETS, BTAG_SLOPE, H_T, analysis
from ttbar.analyses.analysis import (
    Axis,
    ConstantWeight,
    FitRegion,
    Histogram,
    Normalisation,
    Process,
    Systematic,
    histogram_name,
)
from ttbar.errors import AnalysisError, InputError
from ttbar.library import load_root
from ttbar.results import fit_plots, histograms
from ttbar.results.fit import check_configuration, write_failure
from ttbar.results.fit import fit as fit_analysis
from ttbar.results.fit_configuration import from_analysis, load, of_variable
from ttbar.results.fit_configuration import write as write_configuration
from ttbar.results.fit_content import _cross_section, appearance
from ttbar.results.report import report
from ttbar.results.template_file import HistogramFile
from ttbar.results.templates import collect
from ttbar.results.workspace import build_workspace

CONFIGURATION = from_analysis(analysis)
fit = partial(fit_analysis, analysis=analysis)

CENTRES = 60.0 + 20.0 * np.arange(25)

EVENTS = {
    "ttbar": {"4j1b": 41000.0, "4j2b": 34000.0},
    "single_top_s_chan": {"4j1b": 120.0, "4j2b": 70.0},
    "single_top_t_chan": {"4j1b": 2600.0, "4j2b": 900.0},
    "single_top_tW": {"4j1b": 2900.0, "4j2b": 1100.0},
    "wjets": {"4j1b": 11000.0, "4j2b": 900.0},
}
WEIGHTS = {
    "ttbar": 0.8,
    "single_top_s_chan": 0.05,
    "single_top_t_chan": 0.3,
    "single_top_tW": 0.3,
    "wjets": 1.2,
}

# Changes of the norm, of the energy scale and of the width of the peak.
JET_ENERGY = {"pt_scale_up": (1.035, 0.02, 1.0), "pt_res_up": (1.004, 0.002, 1.06)}
SIMULATIONS = {
    "ME_var": (0.96, 0.006, 1.02),
    "PS_var": (1.03, -0.008, 1.04),
    "scaleup": (0.95, -0.005, 1.0),
    "scaledown": (1.06, 0.006, 1.0),
}


def shape(region, process, shift=0.0, width=1.0):
    """A falling spectrum of H_T with a turn-on; a peak of the trijet mass on a falling background."""
    x = CENTRES / (1 + shift)
    slope = {"ttbar": 95.0, "wjets": 62.0}.get(process, 78.0)
    if region == "4j1b":
        density = np.exp(-x / slope) / (1 + np.exp(-(x - 160) / 18))
    else:
        peak = np.exp(-0.5 * ((x - 172) / (22 * width)) ** 2) if process == "ttbar" else 0.0
        density = 1.1 * peak + x / 60 * np.exp(-x / 100)
    return density / density.sum()


REGIONS = [region.name for region in analysis.regions]


@pytest.fixture(scope="module")
def run():
    """Histograms by name as a run fills them, with the fluctuations of finite simulations."""
    random = np.random.default_rng(1)
    delta_r = np.interp(np.arange(25), [0, 3, 11, 12, 24], [3.0, 4.0, 6.0, 3.0, 0.1])
    delta_r /= delta_r.sum()
    filled = {}

    def add(region, process, variation, events, weight):
        x, y = next(each.axes for _, each in analysis.histograms if each.name == region)
        histogram = hist.Hist(
            hist.axis.Regular(x.bins, x.low, x.high, name="observable", label=x.label),
            hist.axis.Regular(y.bins, y.low, y.high, name="deltaR", label="deltaR", flow=False),
            storage=hist.storage.Weight(),
        )
        histogram.view()["value"] = events * weight
        histogram.view()["variance"] = events * weight**2
        filled[histogram_name(region, process, variation)] = histogram

    for region in REGIONS:
        for process, weight in WEIGHTS.items():
            expected = EVENTS[process][region] / weight
            nominal_shape = shape(region, process)
            nominal = random.poisson(expected * np.outer(nominal_shape, delta_r))
            add(region, process, "nominal", nominal, weight)
            for variation, (norm, shift, width) in JET_ENERGY.items():
                ratio = norm * shape(region, process, shift, width) / nominal_shape
                add(region, process, variation, nominal * ratio[:, None], weight)
            for jet in range(BTAG_JETS):
                slope = BTAG_SLOPE * (0.2 - 0.04 * jet) * CENTRES[:, None]
                add(region, process, f"btag_var_{jet}_up", nominal, weight * (1 + slope))
                add(region, process, f"btag_var_{jet}_down", nominal, weight * (1 - slope))
            for constant in analysis.process(process).constant_weights:
                for variation, factor in zip(constant.systematic.variations, constant.factors, strict=True):
                    add(region, process, variation, nominal, weight * factor)
            if process == "ttbar":
                for variation, (norm, shift, width) in SIMULATIONS.items():
                    varied = norm * expected * shape(region, process, shift, width)
                    add(region, process, variation, random.poisson(np.outer(varied, delta_r)), weight)
    return filled


def with_data(filled, ttbar):
    """Add data that are the sum of the nominal samples, with ttbar scaled."""
    data = {
        f"{region}_data": sum(
            filled[f"{region}_{process}"] * (ttbar if process == "ttbar" else 1.0) for process in EVENTS
        )
        for region in REGIONS
    }
    return filled | data


def without(filled, *patterns):
    """Leave histograms out."""
    return {name: h for name, h in filled.items() if not any(re.search(p, name) for p in patterns)}


def write(folder, filled):
    path = folder / "histograms.root"
    histograms.write(path, filled)
    return path


def write_anything(folder, filled):
    """Write the projections, also of what the program would refuse to write."""
    path = folder / "histograms.root"
    with uproot.recreate(path) as file:
        for name, histogram in filled.items():
            file[f"observable/{name}"] = histogram.project("observable")
    return path


def write_top(folder, filled):
    """As other programs write them: one-dimensional at the top."""
    path = folder / "other.root"
    with uproot.recreate(path) as file:
        for name, histogram in filled.items():
            file[name] = histogram
    return path


def templates_of(path, variable="observable", config=CONFIGURATION, of=analysis):
    with HistogramFile(path) as file:
        return collect(file, of_variable(config, of, variable), of)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, run):
    """The fit of a complete run to the pseudodata: results folder and result."""
    folder = tmp_path_factory.mktemp("shipped")
    return folder, fit(write(folder, run), folder)


@pytest.fixture
def no_plots(monkeypatch):
    """Spare a test the drawing."""
    monkeypatch.setitem(fit_analysis.__kwdefaults__, "draw", lambda *_: None)


@pytest.fixture
def small_config(tmp_path):
    """A fit of one region that is done in no time."""
    config = copy.deepcopy(CONFIGURATION)
    config["Regions"] = [region for region in config["Regions"] if region["RegionPath"] == "4j2b"]
    config["Regions"][0]["Binning"] = [110, 150, 190, 270, 550]
    kept = ("jet energy scale", "W+jets scale variations", "luminosity")
    config["Systematics"] = [s for s in config["Systematics"] if s["Name"] in kept]
    path = tmp_path / "small.yml"
    path.write_text(yaml.safe_dump(config))
    return path


# What comes out


@pytest.mark.usefixtures("no_plots")
def test_closure(tmp_path, run):
    result = fit(write(tmp_path, with_data(run, ttbar=1.2)), tmp_path)
    norm = result["parameters"]["ttbar_norm"]
    assert result["pseudodata"] is None
    assert 0.01 < norm["uncertainty"] < 0.2
    assert norm["value"] == pytest.approx(1.2, abs=0.1 * norm["uncertainty"])
    assert result["cross_section_pb"]["value"] == pytest.approx(1.2 * (396.87 + 332.97), rel=0.01)


@pytest.mark.usefixtures("no_plots")
def test_asimov_returns_what_went_in(tmp_path, run):
    result = fit(write(tmp_path, without(run, "ME_var", "PS_var")), tmp_path)
    assert result["pseudodata"] == "the sum of the nominal samples (Asimov)"
    for name, parameter in result["parameters"].items():
        assert parameter["value"] == pytest.approx(parameter["nominal"], abs=2e-3), name
    assert result["goodness_of_fit"]["p_value"] == pytest.approx(1)
    assert result["goodness_of_fit"]["chi2"] == pytest.approx(0, abs=1e-3)
    assert {line.partition(" of ")[0] for line in result["left_out"]} == {
        "systematic uncertainty ME variation",
        "systematic uncertainty PS variation",
    }


def test_pseudodata_are_those_of_the_specification(shipped, run):
    _, result = shipped
    assert result["pseudodata"] == "0.5 * ttbar ME_var + 0.5 * ttbar PS_var + wjets"
    for region, name in (("4j1b", "4j1b CR"), ("4j2b", "4j2b SR")):
        full = sum(
            factor * run[f"{region}_{process}"].project("observable").values()
            for factor, process in ((0.5, "ttbar_ME_var"), (0.5, "ttbar_PS_var"), (1, "wjets"))
        )
        bins = result["bins"][name]
        assert bins["edges"] == list(range(110, 551, 40))
        np.testing.assert_allclose(bins["data"], full[3:].reshape(11, 2).sum(axis=1), rtol=1e-12)


def test_fit_of_the_pseudodata(shipped):
    folder, result = shipped
    assert 0.9 < result["parameters"]["ttbar_norm"]["value"] < 1.15
    quality = result["goodness_of_fit"]
    assert quality["degrees_of_freedom"] == 21
    assert 1e-3 < quality["p_value"] < 1
    assert result["left_out"] == []
    assert json.loads((folder / "fit.json").read_text()) == result
    systematic = {name for name, p in result["parameters"].items() if p["kind"] == "systematic"}
    assert systematic == {s["Name"] for s in copy.deepcopy(CONFIGURATION)["Systematics"]}
    labels, matrix = result["correlation"]["labels"], np.asarray(result["correlation"]["matrix"])
    assert labels == list(result["parameters"])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
    np.testing.assert_allclose(np.diag(matrix), 1, rtol=1e-9)


def test_yields_add_up(shipped, run):
    folder, result = shipped
    before = result["yields"]["prefit"]["4j1b CR"]
    assert before["ttbar"]["value"] == pytest.approx(run["4j1b_ttbar"].project("observable").values()[3:].sum())
    for stage in ("prefit", "postfit"):
        for region, bins in result["bins"].items():
            yields = result["yields"][stage][region]
            samples = bins[stage]["samples"]
            assert list(samples) == [name for name in yields if name not in ("total", "data")]
            for name, contents in samples.items():
                assert sum(contents) == pytest.approx(yields[name]["value"])
            np.testing.assert_allclose(np.sum(list(samples.values()), axis=0), bins[stage]["total"])
            assert sum(bins[stage]["total"]) == pytest.approx(yields["total"]["value"])
            assert sum(bins["data"]) == pytest.approx(yields["data"]["value"])
    after = result["yields"]["postfit"]["4j1b CR"]["total"]
    assert after["uncertainty"] < before["total"]["uncertainty"] / 5
    assert after["value"] == pytest.approx(before["data"]["value"], abs=3 * after["uncertainty"])
    table = (folder / "yields.txt").read_text()
    assert f"{before['ttbar']['value']:.1f} ± {before['ttbar']['uncertainty']:.1f}" in table


def test_agrees_with_cabinetry_called_by_hand(shipped, tmp_path):
    folder, result = shipped
    config = copy.deepcopy(CONFIGURATION)
    with uproot.open(folder / "histograms.root") as file, uproot.recreate(tmp_path / "merged.root") as merged:
        for name in file["observable"].keys(cycle=False):
            merged[name] = file["observable"][name].to_hist()[110j :: hist.rebin(2)]
        for region in ("4j1b", "4j2b"):
            parts = [merged[f"{region}_{name}"].to_hist() for name in ("ttbar_ME_var", "ttbar_PS_var", "wjets")]
            merged[f"{region}_data"] = 0.5 * (parts[0] + parts[1]) + parts[2]
    config["General"]["InputPath"] = f"{tmp_path}/merged.root:{{RegionPath}}_{{SamplePath}}{{VariationPath}}"
    config["General"]["HistogramFolder"] = str(tmp_path / "templates")
    cabinetry.templates.collect(config)
    cabinetry.templates.postprocess(config)
    workspace = cabinetry.workspace.build(config)
    best = cabinetry.fit.fit(*cabinetry.model_utils.model_and_data(workspace), goodness_of_fit=True)
    for name, value, uncertainty in zip(best.labels, best.bestfit, best.uncertainty, strict=True):
        assert result["parameters"][name]["value"] == pytest.approx(value, abs=1e-6)
        assert result["parameters"][name]["uncertainty"] == pytest.approx(uncertainty, abs=1e-6)
    assert result["goodness_of_fit"]["p_value"] == pytest.approx(best.goodness_of_fit, abs=1e-6)


def test_agrees_with_histfactory_of_roostats(shipped, tmp_path, monkeypatch):
    """The same templates, with the interpolation and the constraints that pyhf uses."""
    folder, result = shipped
    monkeypatch.chdir(tmp_path)  # HistFactory leaves files where it runs
    workspace = json.loads((folder / "workspace.json").read_text())
    value, uncertainty = fit_with_roostats(workspace)
    norm = result["parameters"]["ttbar_norm"]
    assert value == pytest.approx(norm["value"], abs=0.01 * norm["uncertainty"])
    assert uncertainty == pytest.approx(norm["uncertainty"], rel=0.01)


def fit_with_roostats(workspace):
    """Best fit and uncertainty of the parameter of interest of a pyhf workspace, by RooStats' HistFactory."""
    root = load_root()
    factory = root.RooStats.HistFactory
    root.RooMsgService.instance().setGlobalKillBelow(root.RooFit.ERROR)
    names = itertools.count()

    def plain(name):
        return re.sub(r"\W", "_", name)

    def histogram(contents, errors=None):
        made = root.TH1D(f"roostats_{next(names)}", "", len(contents), 0, len(contents))
        made.SetDirectory(root.nullptr)
        root.SetOwnership(made, False)  # HistFactory deletes what it is given
        for number, content in enumerate(contents, start=1):
            made.SetBinContent(number, content)
            made.SetBinError(number, errors[number - 1] if errors else 0.0)
        return made

    configuration = workspace["measurements"][0]["config"]
    bounds = {p["name"]: p for p in configuration["parameters"]}
    measurement = factory.Measurement("ttbar", "ttbar")
    measurement.SetPOI(configuration["poi"])
    measurement.SetLumi(1.0)
    measurement.SetLumiRelErr(0.01)
    measurement.AddConstantParam("Lumi")
    observed = {o["name"]: o["data"] for o in workspace["observations"]}
    for spec in workspace["channels"]:
        channel = factory.Channel("r" + plain(spec["name"]))
        channel.SetData(histogram(observed[spec["name"]]))
        # pyhf's statistical parameters have Gaussian constraints, and no bin is too precise for one.
        channel.SetStatErrorConfig(0.0, "Gaussian")
        for sample_spec in spec["samples"]:
            sample = factory.Sample(plain(sample_spec["name"]))
            sample.SetNormalizeByTheory(False)
            for modifier in sample_spec["modifiers"]:
                name, data = plain(modifier["name"]), modifier["data"]
                if modifier["type"] == "staterror":
                    sample.SetHisto(histogram(sample_spec["data"], data))
                    sample.ActivateStatError()
                elif modifier["type"] == "normfactor":
                    lower, upper = bounds[modifier["name"]]["bounds"][0]
                    sample.AddNormFactor(name, bounds[modifier["name"]]["inits"][0], lower, upper)
                elif modifier["type"] == "normsys":
                    sample.AddOverallSys(name, data["lo"], data["hi"])
                else:
                    shape_of = factory.HistoSys()
                    shape_of.SetName(name)
                    shape_of.SetHistoLow(histogram(data["lo_data"]))
                    shape_of.SetHistoHigh(histogram(data["hi_data"]))
                    sample.AddHistoSys(shape_of)
            channel.AddSample(sample)
        measurement.AddChannel(channel)
    in_memory = factory.HistoToWorkspaceFactoryFast.Configuration()
    in_memory.createWorkspaceFile = False
    in_memory.createPerRegionWorkspaces = False
    combined = factory.MakeModelAndMeasurementFast(measurement, in_memory)
    # Polynomial inside of one standard deviation; outside, exponential for norms and linear for shapes.
    for component in combined.components():
        if isinstance(component, (root.RooStats.HistFactory.FlexibleInterpVar, root.PiecewiseInterpolation)):
            component.setAllInterpCodes(4)
    model = combined.obj("ModelConfig")
    likelihood = model.GetPdf().createNLL(
        combined.data("obsData"),
        root.RooFit.GlobalObservables(model.GetGlobalObservables()),
        root.RooFit.Offset("initial"),
    )
    minimizer = root.RooMinimizer(likelihood)
    minimizer.setPrintLevel(-1)
    minimizer.setStrategy(2)
    minimizer.setEps(0.01)  # the default leaves values off by more than a hundredth of their uncertainty
    assert minimizer.minimize("Minuit2", "Migrad") == 0
    assert minimizer.hesse() == 0
    norm = combined.var(configuration["poi"])
    return norm.getVal(), norm.getError()


@pytest.mark.usefixtures("no_plots")
def test_inaccurate_covariance_is_replaced(shipped, tmp_path, monkeypatch):
    """Minuit's uncertainties can be far too small where parameters are nearly degenerate."""
    folder, right = shipped
    by_cabinetry = cabinetry.fit.fit

    def too_small(*args, **options):
        best = by_cabinetry(*args, **options)
        return best._replace(uncertainty=best.uncertainty / 8, corr_mat=np.eye(len(best.labels)))

    monkeypatch.setattr(cabinetry.fit, "fit", too_small)
    result = fit(folder / "histograms.root", tmp_path)
    assert right["notes"] == []
    assert result["notes"] == ["Minuit's covariance matrix is inaccurate and was replaced by a numerical one"]
    for name, parameter in right["parameters"].items():
        found = result["parameters"][name]
        assert found["value"] == parameter["value"]
        assert found["uncertainty"] == pytest.approx(parameter["uncertainty"], rel=0.02), name
    np.testing.assert_allclose(result["correlation"]["matrix"], right["correlation"]["matrix"], atol=0.03)


# What is written


def test_workspace_is_valid(shipped):
    folder, _ = shipped
    workspace = pyhf.Workspace(json.loads((folder / "workspace.json").read_text()))
    assert workspace.channels == ["4j1b CR", "4j2b SR"]
    model = workspace.model()
    assert model.config.poi_name == "ttbar_norm"
    assert model.config.suggested_bounds()[model.config.poi_index] == [0, 10]


def test_what_is_fitted_is_drawn_before_and_each_plot_once(run, small_config, tmp_path, monkeypatch):
    drawn = []

    def draw(content, output, before):
        drawn.append([picture.name for picture in fit_plots.new_pictures(content, before)])

    def minimise(*args, **kwargs):
        assert drawn == [["fit_4j2b-SR_prefit"]]
        return cabinetry_fit(*args, **kwargs)

    cabinetry_fit = cabinetry.fit.fit
    monkeypatch.setattr(cabinetry.fit, "fit", minimise)
    result = fit(write(tmp_path, run), tmp_path, config=small_config, draw=draw)
    assert [*drawn[0], *drawn[1]] == [picture.name for picture in fit_plots.pictures(result)]
    assert len(drawn) == 2


def test_plots_are_the_same_bytes_again(shipped, tmp_path):
    folder, result = shipped
    scanned = result | {
        "scan": {
            "parameter": "ttbar_norm",
            "values": [0.9, 1.0, 1.1],
            "delta_twice_negative_log_likelihood": [1.0, 0.0, 1.5],
        },
        "ranking": [
            {"parameter": name}
            | dict.fromkeys(("prefit_up", "postfit_up"), 0.01)
            | dict.fromkeys(("prefit_down", "postfit_down"), -0.02)
            for name, parameter in result["parameters"].items()
            if parameter["kind"] != "free"
        ],
    }
    scanned["ranking"][1]["prefit_down"] = None  # its fit did not converge
    fit_plots.draw(scanned, tmp_path / "first")
    fit_plots.draw(json.loads(json.dumps(scanned)), tmp_path / "second")
    first, second = (sorted((tmp_path / folder / "plots").iterdir()) for folder in ("first", "second"))
    names = {path.stem for path in first}
    assert names == {
        f"fit_{name}"
        for name in (
            "4j1b-CR_prefit",
            "4j1b-CR_postfit",
            "4j2b-SR_prefit",
            "4j2b-SR_postfit",
            "pulls",
            "correlation",
            "ranking",
            "scan",
        )
    }
    assert len(first) == 2 * len(names)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
        assert b"CreationDate" not in one.read_bytes()
        drawn_by_fit = folder / "plots" / one.name
        assert drawn_by_fit.exists() == (one.stem not in ("fit_ranking", "fit_scan"))
        if drawn_by_fit.exists():
            assert one.read_bytes() == drawn_by_fit.read_bytes(), one.name


def test_ranking_and_scan(tmp_path, run, small_config):
    path = write(tmp_path, without(with_data(run, ttbar=1.1), "_(ME|PS)_var"))
    result = fit(path, tmp_path, config=small_config, ranking=True, scan=True)
    free = result["parameters"]["ttbar_norm"]
    rows = {row["parameter"]: row for row in result["ranking"]}
    assert set(rows) == set(result["parameters"]) - {"ttbar_norm"}
    # More luminosity leaves less to ttbar, by about as much.
    assert rows["luminosity"]["prefit_up"] == pytest.approx(-0.03 * 1.1, rel=0.2)
    assert result["ranking"][0]["parameter"] == "luminosity"
    sizes = [max(abs(row["postfit_up"]), abs(row["postfit_down"])) for row in result["ranking"]]
    assert sizes == sorted(sizes, reverse=True)
    scan = result["scan"]
    assert scan["values"][10] == pytest.approx(free["value"], abs=1e-9)
    assert scan["delta_twice_negative_log_likelihood"][10] == pytest.approx(0, abs=1e-3)
    one_off = np.interp(
        free["value"] + free["uncertainty"], scan["values"], scan["delta_twice_negative_log_likelihood"]
    )
    assert one_off == pytest.approx(1, rel=0.15)
    for name in ("ranking", "scan"):
        assert (tmp_path / "plots" / f"fit_{name}.png").exists()


@pytest.mark.usefixtures("no_plots")
def test_removes_outdated_results(tmp_path, run):
    for name in (
        "fit.json",
        "workspace.json",
        "yields.txt",
        "plots/fit_scan.png",
        "plots/4j1b.png",
        "run.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError):
        fit(write(tmp_path, without(run, "_ttbar")), tmp_path)
    assert (tmp_path / "plots" / "fit_scan.png").exists()  # what cannot be replaced stays
    fit(write(tmp_path, run), tmp_path)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    results = {"histograms.root", "fit.yml", "fit.json", "workspace.json", "yields.txt"}
    assert left == results | {"plots/4j1b.png", "run.json"}


@pytest.mark.usefixtures("no_plots")
def test_libraries_are_quiet(tmp_path, run, small_config, capfd, recwarn):
    fit(write(tmp_path, with_data(run, ttbar=1.0)), tmp_path, config=small_config)
    out, err = capfd.readouterr()
    assert out == ""
    phases = {"Minimising", "Computing the covariance matrix", "Plotting the fit"}
    assert all(line.startswith("fit: ") or line in phases for line in err.splitlines())
    assert not recwarn.list


# What goes in


@pytest.mark.usefixtures("no_plots")
def test_variable(tmp_path, run):
    result = fit(write(tmp_path, with_data(run, ttbar=1.2)), tmp_path, variable="deltaR")
    bins = result["bins"]["4j2b SR"]
    np.testing.assert_allclose(bins["edges"], np.linspace(0, 2 * np.pi, 6))
    ttbar = run["4j2b_ttbar"].project("deltaR").values().reshape(5, 5).sum(axis=1)
    np.testing.assert_allclose(bins["prefit"]["samples"]["ttbar"], ttbar)
    assert result["variable"] == "deltaR"
    norm = result["parameters"]["ttbar_norm"]
    assert norm["value"] == pytest.approx(1.2, abs=0.1 * norm["uncertainty"])


@pytest.mark.parametrize("merged", [False, True])
def test_histograms_of_other_programs(tmp_path, run, shipped, merged):
    selection = slice(110j, None, hist.rebin(2)) if merged else slice(None)
    path = write_top(tmp_path, {name: h.project("observable")[selection] for name, h in run.items()})
    other, ours = templates_of(path), templates_of(shipped[0] / "histograms.root")
    assert other.histograms.keys() == ours.histograms.keys()
    assert len(other.histograms) > 100
    for key, histogram in ours.histograms.items():
        np.testing.assert_allclose(other.histograms[key].yields, histogram.yields, rtol=1e-12)
        np.testing.assert_allclose(other.histograms[key].stdev, histogram.stdev, rtol=1e-12)
    with pytest.raises(InputError, match="no bin edge at 0, where the fit needs one; the nearest is "):
        templates_of(path, "deltaR")


def test_left_out(tmp_path, run):
    gone = without(run, "single_top_s", "scaledown", "4j2b_single_top_tW_btag_var_0_up", "ME_var", "PS_var")
    templates = templates_of(write(tmp_path, gone))
    samples = {sample["Name"] for sample in templates.config["Samples"]}
    assert samples == {"data", "ttbar", "W+jets", "single top, t-channel", "single top, tW"}
    assert [line for line in templates.left_out if line.startswith("sample ")] == [
        "sample single top, s-channel: there is no histogram 4j1b_single_top_s_chan nor 4j2b_single_top_s_chan"
    ]
    systematics = {s["Name"]: s.get("Samples") for s in templates.config["Systematics"]}
    assert "ttbar scale variations" not in systematics
    assert "ME variation" not in systematics
    assert set(systematics["b-tag NP 1"]) == {"ttbar", "W+jets", "single top, t-channel"}
    assert (
        "systematic uncertainty b-tag NP 1 of single top, tW: there is no histogram 4j2b_single_top_tW_btag_var_0_up"
    ) in templates.left_out


@pytest.mark.usefixtures("no_plots")
def test_config_of_the_user(tmp_path, run, small_config):
    result = fit(write(tmp_path, with_data(run, ttbar=0.9)), tmp_path, config=small_config)
    assert list(result["bins"]) == ["4j2b SR"]
    assert result["bins"]["4j2b SR"]["edges"] == [110, 150, 190, 270, 550]
    norm = result["parameters"]["ttbar_norm"]
    assert norm["value"] == pytest.approx(0.9, abs=0.1 * norm["uncertainty"])


def changed(histogram, change):
    """A copy of a histogram, its contents and variances by bins of the observable changed."""
    copy = histogram.copy()
    change(copy.view())
    return copy


def checks_of(tmp_path, filled):
    found = templates_of(write(tmp_path, filled)).checks
    return {(c.check, c.region, c.sample, c.systematic, c.severity): c.detail for c in found}


def zero(view):
    view["value"] = view["variance"] = 0


def test_checks_of_a_good_run_find_nothing(tmp_path, run):
    assert not [key for key in checks_of(tmp_path, run) if key[-1] == "warning"]


@pytest.mark.parametrize(
    ("name", "change", "expected", "detail"),
    [
        (
            "4j2b_wjets",
            lambda view: zero(view[23:25]),
            ("empty bins", "4j2b SR", "W+jets", None),
            "bins 11 of 11 of 4j2b_wjets are empty",
        ),
        (
            "4j2b_wjets",
            lambda view: view["value"][3:7].__imul__(-0.1),
            ("negative bins", "4j2b SR", "W+jets", None),
            "bins 1, 2 of 11 of 4j2b_wjets are negative",
        ),
        (
            "4j1b_ttbar_btag_var_0_down",
            lambda view: view["value"].__itruediv__(0.5),
            ("up and down are on the same side", "4j1b CR", "ttbar", "b-tag NP 1"),
            "they change the norm by",
        ),
        (
            "4j1b_ttbar_PS_var",
            lambda view: view["value"].__imul__(1.6),
            ("changes the norm by more than half", "4j1b CR", "ttbar", "PS variation"),
            "up is 1.6",
        ),
        (
            "4j1b_ttbar_PS_var",
            lambda view: view["value"][3:5].__imul__(3),
            ("negative bins", "4j1b CR", "ttbar", "PS variation"),
            "mirrored at nominal, bins 1 of 11 are negative",
        ),
        (
            "4j1b_ttbar",
            lambda view: view["variance"][3:5].__imul__(0),
            ("missing statistical errors", "4j1b CR", "ttbar", None),
            "bins 1 of 11 of 4j1b_ttbar have contents without an error",
        ),
    ],
)
def test_checks(tmp_path, run, name, change, expected, detail):
    found = checks_of(tmp_path, run | {name: changed(run[name], change)})
    assert found[*expected, "warning"].startswith(detail)


def test_check_of_a_histogram_that_is_two_samples(shipped):
    config = copy.deepcopy(CONFIGURATION)
    config["Samples"][1]["SamplePath"] = "single_top_t_chan"
    checks = collect_from(shipped[0] / "histograms.root", config).checks
    found = [check for check in checks if check.check == "the same histogram as another sample"]
    assert [(check.region, check.sample) for check in found] == [
        ("4j1b CR", "single top, t-channel"),
        ("4j2b SR", "single top, t-channel"),
    ]
    assert found[0].detail == "4j1b_single_top_t_chan is also single top, s-channel"
    looks = appearance(config, analysis)
    assert len({look["colour"] for look in looks.values()}) == 5


def test_check_of_equal_variations(tmp_path, run):
    equal = {
        "4j1b_ttbar_scaledown": run["4j1b_ttbar_scaleup"],
        "4j2b_wjets_pt_scale_up": run["4j2b_wjets"],
    }
    found = {key for key in checks_of(tmp_path, run | equal) if key[0] == "up and down are equal"}
    assert found == {
        ("up and down are equal", "4j1b CR", "ttbar", "ttbar scale variations", "warning"),
        ("up and down are equal", "4j2b SR", "W+jets", "jet energy scale", "warning"),
    }


def test_check_of_histograms_without_errors(tmp_path, run):
    one_dimensional = {name: h.project("observable") for name, h in run.items()}
    counts = np.round(one_dimensional["4j1b_wjets"].values())
    path = write_top(tmp_path, one_dimensional | {"4j1b_wjets": (counts, np.linspace(50, 550, 26))})
    checks = [check for check in templates_of(path).checks if check.check == "missing statistical errors"]
    assert [(check.region, check.sample, check.systematic) for check in checks] == [("4j1b CR", "W+jets", None)]


@pytest.mark.usefixtures("no_plots")
def test_bins_that_nothing_predicts_are_merged(tmp_path, run):
    emptied = {
        name: changed(h, lambda view: (zero(view[3:5]), zero(view[21:25])))
        for name, h in run.items()
        if name.startswith("4j2b")
    }
    result = fit(write(tmp_path, run | emptied), tmp_path)
    assert result["bins"]["4j2b SR"]["edges"] == [110, *range(190, 431, 40), 550]
    assert result["bins"]["4j1b CR"]["edges"] == list(range(110, 551, 40))
    merged = [c for c in result["checks"] if c["check"] == "empty bins merged with a neighbour"]
    assert [(c["region"], c["detail"]) for c in merged] == [
        ("4j2b SR", "no sample predicts events on one side of 150, 470, 510")
    ]


@pytest.mark.usefixtures("no_plots")
def test_empty_samples_are_left_out(tmp_path, run):
    emptied = {
        name: changed(h, zero)
        for name, h in run.items()
        if re.match("4j2b_wjets|4j.b_single_top_s|4j2b_ttbar_scaleup", name)
    }
    result = fit(write(tmp_path, with_data(run, 1.0) | emptied), tmp_path)
    assert "W+jets" not in result["yields"]["prefit"]["4j2b SR"]
    assert "W+jets" in result["yields"]["prefit"]["4j1b CR"]
    assert "sample W+jets in 4j2b SR: 4j2b_wjets is empty" in result["left_out"]
    assert "sample single top, s-channel: it has no events in any region" in result["left_out"]
    assert "ttbar scale variations" not in result["parameters"]
    assert ("systematic uncertainty ttbar scale variations of ttbar: a direction predicts no events") in result[
        "left_out"
    ]


@pytest.mark.usefixtures("no_plots")
def test_few_events_fit(tmp_path, run):
    """A thousand simulated events are no measurement, but no failure either."""
    random = np.random.default_rng(5)
    thin = {}
    for name, histogram in run.items():
        thin[name] = histogram.copy()
        view = thin[name].view()
        events = random.poisson(view["value"] / 120)
        view["value"], view["variance"] = events * 120.0, events * 120.0**2
    result = fit(write(tmp_path, thin), tmp_path)
    assert 0.3 < result["parameters"]["ttbar_norm"]["value"] < 3


# What an analysis says


def test_configuration_of_another_analysis(tmp_path, run):
    """A process, a systematic uncertainty and a region that are added are fitted; what is not fitted is said so."""
    more = Process("qcd", cross_section=3.0, title="QCD", constant_weights=(QCD_RATE,))
    regions = (FitRegion("4j1b", "4j1b", "deltaR"), analysis.fit.regions[1])
    rate = Normalisation("QCD rate", 0.5, processes=("qcd",))
    changed_fit = replace(analysis.fit, regions=regions, normalisations=(rate,), pseudodata=(), signal=("ttbar", "qcd"))
    other = replace(analysis, name="mine", processes=(more, *analysis.processes), fit=changed_fit)
    names = [name for name in run if "wjets" in name and "scale_var" not in name]
    filled = run | {name.replace("wjets", "qcd"): run[name] * 0.5 for name in names}
    filled |= {f"{region.name}_qcd_up": run[f"{region.name}_wjets"] * 0.75 for region in analysis.regions}
    path = write(tmp_path, filled)
    templates = collect_from(path, from_analysis(other), other)
    assert templates.pseudodata == "the sum of the nominal samples (Asimov)"
    assert templates.left_out == []
    assert len(templates.histograms["4j1b", "QCD", "", None].yields) == 25
    workspace = build_workspace(templates)
    modifiers = {s["name"]: {m["name"] for m in s["modifiers"]} for s in workspace["channels"][0]["samples"]}
    assert {"QCD rate", "QCD weights", "ttbar_norm", "jet energy scale"} <= modifiers["QCD"]
    assert not {"QCD rate", "QCD weights"} & modifiers["W+jets"]
    # The same file with the fit that does not know of it.
    single = replace(other, fit=replace(analysis.fit, regions=analysis.fit.regions[:1]))
    known = copy.deepcopy(CONFIGURATION) | {"Regions": from_analysis(single)["Regions"]}
    known["Systematics"] = [each for each in known["Systematics"] if each["Name"] != "ME variation"]
    assert collect_from(path, known, single).left_out == [
        "histogram 4j2b: no region of the fit uses it",
        "process QCD: it is no sample of the fit",
        "systematic uncertainty ME variation: the configuration of the fit does not have it",
    ]


QCD_RATE = ConstantWeight(Systematic("QCD weights", "up"), (1.5,))


def collect_from(path, config, of=analysis):
    with HistogramFile(path) as file:
        return collect(file, config, of)


def test_cross_section_is_that_of_one_process(tmp_path, run):
    """A strength of several processes is not a cross-section, whatever it is called."""
    for signal, predicted in ((["ttbar"], 729.84), (["ttbar", "W+jets"], None), (["W+jets"], None)):
        config = copy.deepcopy(CONFIGURATION)
        config["NormFactors"][0]["Samples"] = signal
        assert _cross_section(config, analysis) == predicted


def test_configuration_that_was_used_can_be_used(tmp_path, run, small_config):
    """A fit leaves its configuration behind; with it, it is the same fit."""
    write_configuration(CONFIGURATION, tmp_path / "fit.yml")
    assert load(tmp_path / "fit.yml") == CONFIGURATION
    assert "--fit-config" in (tmp_path / "fit.yml").read_text()


def test_other_variables_get_few_bins():
    for bins, edges in ((25, [0, 5, 10, 15, 20, 25]), (3, [0, 1, 2, 3]), (23, [0, 5, 9, 14, 18, 23])):
        axis = Axis("x", bins, 0.0, float(bins), label="x")
        region = replace(analysis.regions[0], histograms=(Histogram("4j1b", (H_T, axis)),))
        other = replace(analysis, regions=(region, analysis.regions[1]))
        assert of_variable(CONFIGURATION, other, "x")["Regions"][0]["Binning"] == pytest.approx(edges)
    with pytest.raises(InputError, match="no variable 'mass' to fit; the analysis agc-v1 has observable, deltaR"):
        of_variable(CONFIGURATION, analysis, "mass")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["Regions"][0].update(RegionPath="4j1bb"), "4j1b CR, e.g. 4j1bb_.*: the closest is 4j1b_.* more"),
        (lambda c: c["Regions"][1].update(Binning=[100, 150, 550]), "no bin edge at 100, .* the nearest is 90"),
        (lambda c: c["Samples"][-1].update(SamplePath="ttbr"), "no sample that ttbar_norm scales: .*4j1b_ttbr nor"),
        (lambda c: c["General"].update(InputPath="h.root:h_{SamplePath}"), "has no histogram for the region"),
    ],
)
def test_fit_that_cannot_be_made_is_known_without_histograms(tmp_path, change, sentence):
    config = copy.deepcopy(CONFIGURATION)
    (tmp_path / "my.yml").write_text(yaml.safe_dump(config))
    check_configuration(tmp_path / "my.yml", analysis)
    change(config)
    (tmp_path / "my.yml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match="^the analysis agc-v1.*" + sentence):
        check_configuration(tmp_path / "my.yml", analysis)


@pytest.mark.parametrize("variable", [None, "observable", "deltaR"])
def test_fit_of_the_analysis_can_be_made(variable):
    check_configuration(None, analysis, variable)


# What configurations can be


NAMES = (
    *("v2.1", "a/b", "../x", "$\\frac{", "CR[1]", "W(+)jets {a}", "up?*", "_under", "x" * 300, "ä 質", "a\\b", "C:"),
    *("0.5 < |eta|", "a.npz", "a_modified", "4j1b CR_ttbar"),
)


def consistent(workspace, templates):
    """Assert that a workspace holds the templates that were read."""
    spec = {channel["name"]: channel for channel in workspace["channels"]}
    observed = {observation["name"]: observation["data"] for observation in workspace["observations"]}
    for (region, sample, systematic, direction), template in templates.histograms.items():
        if sample == "data":
            np.testing.assert_allclose(observed[region], template.yields)
            continue
        found = next(each for each in spec[region]["samples"] if each["name"] == sample)
        if not systematic:
            np.testing.assert_allclose(found["data"], template.yields)
            statistical = next(m for m in found["modifiers"] if m["type"] == "staterror")
            np.testing.assert_allclose(statistical["data"], template.stdev)
            continue
        side = "hi" if direction == "Up" else "lo"
        modifiers = {m["type"]: m["data"] for m in found["modifiers"] if m["name"] == systematic}
        varied = modifiers["normsys"][side] * np.asarray(modifiers["histosys"][f"{side}_data"])
        np.testing.assert_allclose(varied, template.yields)
    statistical = {
        m["name"]: channel["name"] for channel in spec.values() for s in channel["samples"] for m in s["modifiers"][:1]
    }
    assert sorted(statistical.values()) == sorted(spec)
    model = pyhf.Workspace(workspace).model()
    bins = sum(len(channel["samples"][0]["data"]) for channel in spec.values())
    assert model.config.npars == bins + 1 + len(templates.config["Systematics"])


def renamed(region, other_region, sample, systematic, other_systematic):
    config = copy.deepcopy(CONFIGURATION)
    config["Regions"][0]["Name"], config["Regions"][1]["Name"] = region, other_region
    config["Samples"][4]["Name"] = sample
    for each in config["Systematics"]:
        changes = {"W+jets": sample}
        each.update({"Samples": [changes.get(name, name) for name in each["Samples"]]} if "Samples" in each else {})
        names = {"jet energy scale": systematic, "b-tag NP 1": other_systematic}
        each["Name"] = names.get(each["Name"], each["Name"])
    return config


@pytest.mark.parametrize("name", NAMES)
def test_any_name(tmp_path, shipped, name):
    folder, _ = shipped
    config = renamed(name, f"{name}.2", name, name, f"{name}.5")
    (tmp_path / "my.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    templates = collect_from(folder / "histograms.root", load(tmp_path / "my.yml"))
    consistent(build_workspace(templates), templates)


@pytest.mark.parametrize(
    "names", [("a b", "a-b"), ("a b", "a  b"), ("CR", "cr"), ("a/b", "a-b"), ("4j1b", "4j1b_ttbar"), ("a", "a_1")]
)
def test_names_that_look_alike(shipped, names):
    folder, _ = shipped
    templates = collect_from(folder / "histograms.root", renamed(*names, "sample", *names))
    consistent(build_workspace(templates), templates)
    assert len({file.lower() for file in fit_plots._files(names)}) == 2


def test_names_do_not_change_the_fit(tmp_path, run, small_config):
    """Dots, slashes and what matplotlib cannot draw, from the templates to the plots."""
    path = write(tmp_path, with_data(run, ttbar=0.9))
    plain = fit(path, tmp_path / "plain", config=small_config)
    config = yaml.safe_load(small_config.read_text())
    config["Regions"][0]["Name"] = "_SR/$\\frac{ 0.5.1"
    config["Systematics"][0]["Name"] = "JES $|eta|<2.5"
    small_config.write_text(yaml.safe_dump(config))
    other = fit(path, tmp_path / "other", config=small_config)
    norm = plain["parameters"]["ttbar_norm"]
    assert other["parameters"]["ttbar_norm"]["value"] == pytest.approx(norm["value"], rel=1e-4)
    assert other["parameters"]["ttbar_norm"]["uncertainty"] == pytest.approx(norm["uncertainty"], rel=0.02)
    assert len([*(tmp_path / "other" / "plots").glob("*.png")]) == len([*(tmp_path / "plain" / "plots").glob("*.png")])


FIELD = """
General:
  Measurement: "field"
  POI: "mu"
  HistogramFolder: "histograms/"
  InputPath: "other.root:{RegionPath}_{SamplePath}{VariationPath}"
Regions:
  - {Name: "SR", RegionPath: "4j2b", Variable: "$m_{bjj}$ [GeV]", Filter: "nothing", Binning: [110, 190.00000001, 550]}
Samples:
  - {Name: "Pseudodata", SamplePath: "pseudodata", Data: True}
  - {Name: "ttbar", SamplePath: "ttbar", DisableStaterror: true}
  - {Name: "tW", SamplePath: "single_top_tW", DisableStaterror: true}
NormFactors:
  - {Name: "mu", Samples: "ttbar", Nominal: 1.0, Bounds: [0, 10]}
"""


def test_configuration_of_the_field(tmp_path, run):
    """Text as a variable, no systematic uncertainties and no statistical ones, with ranking and scan."""
    config = tmp_path / "field.yml"
    config.write_text(FIELD)
    result = fit(write(tmp_path, with_data(run, 1.0)), tmp_path, config=config, ranking=True, scan=True)
    assert result["bins"]["SR"]["label"] == "$m_{bjj}$ [GeV]"
    assert list(result["parameters"]) == ["mu"]
    assert result["ranking"] == []
    assert result["cross_section_pb"]["predicted"] == pytest.approx(729.84)
    assert result["samples"]["tW"]["colour"] == "#92dadd"
    assert "Filter: it acts on ntuples; histograms are taken as they are" in result["left_out"]
    assert "process W+jets: it is no sample of the fit" in result["left_out"]
    assert "process data: it is no sample of the fit" in result["left_out"]
    drawn = {file.name for file in (tmp_path / "plots").glob("*.png")}
    assert drawn == {f"fit_{name}.png" for name in ("SR_prefit", "SR_postfit", "correlation", "scan")}


@pytest.mark.parametrize("content", fit_configurations(), ids=["small", "full"])
def test_configurations_of_the_fuzzer(tmp_path, content):
    (tmp_path / "fit.yml").write_bytes(content)
    read_fit_configuration(tmp_path / "fit.yml")


def test_fixed_and_free_parameters(tmp_path, run, small_config):
    """A parameter that is held has no pull; one that is free has none either, but an impact."""
    config = yaml.safe_load(small_config.read_text())
    config["General"]["Fixed"] = [{"Name": "jet energy scale", "Value": 0.5}, {"Name": "W", "Value": 1.2}]
    config["NormFactors"] += [
        {"Name": "W", "Samples": "W+jets", "Nominal": 1},
        {"Name": "t", "Samples": "single top, tW", "Bounds": [0, 5]},
    ]
    small_config.write_text(yaml.safe_dump(config))
    path = write(tmp_path, with_data(run, ttbar=1.1))
    result = fit(path, tmp_path, config=small_config, ranking=True)
    for name, value in (("jet energy scale", 0.5), ("W", 1.2)):
        assert result["parameters"][name]["value"] == pytest.approx(value)
        assert result["parameters"][name]["uncertainty"] == 0
    ranked = {row["parameter"] for row in result["ranking"]}
    assert "t" in ranked
    assert not {"W", "jet energy scale"} & ranked
    assert (tmp_path / "plots" / "fit_ranking.png").exists()


@pytest.mark.parametrize("kind", ["TH1C", "TH1S", "TH1I", "TH1F", "TH1D"])
def test_kinds_of_histograms(tmp_path, kind):
    """Merged bins do not overflow, and without sums of squares the contents are the variances."""
    root = load_root()
    file = root.TFile(str(tmp_path / "h.root"), "RECREATE")
    histogram = getattr(root, kind)("h", "", 4, 0, 4)
    histogram.Sumw2(False)
    for number in range(4):
        histogram.SetBinContent(number + 1, 100)
    histogram.Write()
    file.Close()
    with HistogramFile(tmp_path / "h.root") as read:
        template = read.read("observable", "h", [0, 3, 4])
        assert not read.has_errors("observable", "h")
    np.testing.assert_allclose(template.yields, [300, 100])
    np.testing.assert_allclose(template.stdev, np.sqrt([300, 100]))


# What goes wrong


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        (
            ("_ttbar",),
            "has no sample that ttbar_norm scales: sample ttbar: there is no histogram 4j1b_ttbar nor",
        ),
        (("4j2b_wjets$",), "has no 4j2b_wjets, but other histograms of W+jets; the closest is 4j"),
        (("4j2b_data",), "has data in some of the regions only"),
        ((".",), "has no histogram for the region 4j1b CR, e.g. 4j1b_single_top_s_chan: there are no one-dimensional"),
    ],
)
def test_missing_histograms(tmp_path, run, gone, sentence):
    path = write(tmp_path, without(with_data(run, 1.0), *gone))
    with pytest.raises(InputError, match=re.escape(sentence)) as raised:
        fit(path, tmp_path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_empty_histograms(tmp_path, run):
    path = write(tmp_path, {name: changed(h, zero) for name, h in run.items()})
    with pytest.raises(InputError, match="all nominal histograms are empty"):
        fit(path, tmp_path)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(np.nan, "bins 6, 7 of 25 of 4j1b_ttbar hold no finite number"), (-1.0, "4j1b CR are negative")],
)
def test_contents_that_no_fit_can_use(tmp_path, run, value, sentence):
    filled = with_data(run, 1.0)
    name = "4j1b_data" if value < 0 else "4j1b_ttbar"
    filled |= {name: changed(filled[name], lambda view: view["value"][5:7].fill(value))}
    path = write_top(tmp_path, {name: histogram.project("observable") for name, histogram in filled.items()})
    with pytest.raises(InputError, match=sentence):
        fit(path, tmp_path)


@pytest.mark.parametrize("name", ["4j1b_ttbar", "4j2b_wjets_btag_var_0_up"])
@pytest.mark.parametrize("variance", [-1.0, np.nan, np.inf])
def test_variances_that_cannot_be(tmp_path, run, name, variance):
    """A reader of ROOT files takes some of them as zero."""
    broken = run[name].copy()
    broken.view()["variance"][7, :] = variance
    with pytest.raises(InputError, match=f"bins 8 of 25 of {name} have a negative variance, or one that is no finite"):
        templates_of(write_anything(tmp_path, run | {name: broken}))


MISTAKES = {
    "reversed": (lambda c: c["Regions"][0]["Binning"].reverse(), "4j1b CR: the edges of Binning must increase"),
    "repeated": (lambda c: c["Regions"][0].update(Binning=[110, 110]), "non-unique"),
    "infinite": (lambda c: c["Regions"][0].update(Binning=[110, np.inf]), "infinite"),
    "braces": (lambda c: c["General"].update(InputPath="h:{RegionPath}_{SamplePath"), "InputPath: expected '}'"),
    "field": (lambda c: c["General"].update(InputPath="h:{RegionPath.x}"), "InputPath: .* must be a file, a colon"),
    "no colon": (lambda c: c["General"].update(InputPath="{RegionPath}"), "must be a file, a colon"),
    "POI": (lambda c: c["Systematics"][0].update(Name="ttbar_norm"), "'ttbar_norm' is the name of a systematic"),
    "modifier": (lambda c: c["Systematics"][0].update(ModifierName="ttbar_norm"), "'ttbar_norm' is the name of"),
    "region": (lambda c: c["Regions"][1].update(Name="4j1b CR"), "all region names must be unique"),
    "sample": (lambda c: c["Systematics"][0].update(Samples=["top"]), "Samples has 'top', there are only data, "),
    "in region": (lambda c: c["NormFactors"][0].update(Regions="SR"), "Regions has 'SR', there are only 4j1b CR"),
    "blank": (lambda c: c["Regions"][0].update(Name=" "), "Regions: a name is empty"),
    "control": (lambda c: c["Samples"][1].update(Name="a\x1b[31m"), "has control characters"),
    "lines": (lambda c: c["Systematics"][1].update(Name="a\nerror: b"), "has control characters"),
    "total": (lambda c: c["Samples"][1].update(Name="total"), "'total' is what all of them"),
    "staterror": (
        lambda c: c["NormFactors"][0].update(Name="staterror_4j1b-CR"),
        "like a parameter of the stat",
    ),
    "bounds": (lambda c: c["NormFactors"][0].update(Bounds=[10, 0]), "ttbar_norm: Bounds must increase"),
    "nominal": (lambda c: c["NormFactors"][0].update(Nominal=-1), "have Nominal between them"),
    "fixed POI": (lambda c: c["General"].update(Fixed=[{"Name": "ttbar_norm", "Value": 1}]), "nothing would be meas"),
    "fixed what": (lambda c: c["General"].update(Fixed=[{"Name": "lumi", "Value": 1}]), "Fixed names 'lumi'"),
    "fixed far": (
        lambda c: c["General"].update(Fixed=[{"Name": "luminosity", "Value": 7}]),
        "between -5 and 5",
    ),
    "no norm": (lambda c: c["Systematics"][-1].update(Up={}), "luminosity: Up and Down need a Normalization"),
    "mirrored": (lambda c: c["Systematics"][0].update(Up={"Symmetrize": True}), "ME variation: Up needs a histogram"),
    "twice": (lambda c: c["Systematics"][0].update(ModifierName="PS variation"), "PS variation acts twice on ttbar"),
    "paths": (lambda c: c["Samples"][1].update(SamplePath=["a", "b"]), "SamplePath can be one name only"),
    "two data": (lambda c: c["Samples"][1].update(Data=True), "exactly one data sample"),
    "huge": (lambda c: c["General"].update(Measurement="x" * 100_000), "more than 500 characters"),
    "type": (lambda c: c["General"].update(Measurement=["x" * 400]), "Measurement: .{,300}$"),
}


@pytest.mark.parametrize(("change", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_a_configuration(tmp_path, change, sentence):
    config = copy.deepcopy(CONFIGURATION)
    change(config)
    path = tmp_path / "my.yml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=sentence) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path} is not a configuration")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "a: " + "[" * 5000,
        "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 1}]\n" for n in range(30)),
        "\0",
        "1: 2\n[1]: 2",
        "x: " + "9" * 5000,
        "",
    ],
)
def test_texts_that_are_no_configuration(tmp_path, text):
    path = tmp_path / "my.yml"
    path.write_text(text)
    with pytest.raises(InputError, match="is not a configuration") as raised:
        load(path)
    assert len(str(raised.value)) < 600


def test_other_binning(tmp_path, run):
    odd = {name: h.project("observable")[10j :: hist.rebin(3)] for name, h in run.items()}
    with pytest.raises(InputError, match="4j1b_single_top_s_chan has no bin edge at 150, where the fit needs one"):
        templates_of(write_top(tmp_path, odd))


@pytest.mark.parametrize("damage", ["truncated", "not ROOT", "empty", "flipped", "missing"])
def test_damaged_file(tmp_path, run, damage):
    path = write(tmp_path, run)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(
            {
                "truncated": content[:middle],
                "not ROOT": b"no histograms" * 1000,
                "empty": b"",
                "flipped": content[:20000] + bytes(byte ^ 0xFF for byte in content[20000:]),
            }[damage]
        )
    with pytest.raises(InputError) as raised:
        fit(path, tmp_path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("General: [", "is not a configuration for cabinetry"),
        ("General: {Measurement: m}", "is not a configuration for cabinetry: .*is a required property"),
        (None, "there is no such file"),
    ],
)
def test_bad_configuration(tmp_path, run, text, sentence):
    config = tmp_path / "my.yml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(InputError, match=sentence) as raised:
        fit(write(tmp_path, run), tmp_path, config=config)
    assert str(config) in str(raised.value)


def test_configuration_without_parameter_of_interest(tmp_path, small_config):
    small_config.write_text(small_config.read_text().replace("POI: ttbar_norm", "POI: signal_strength"))
    with pytest.raises(InputError, match="POI must name one of NormFactors"):
        load(small_config)


def test_fit_that_fails(tmp_path, run, small_config, monkeypatch):
    """One short line; what was to be fitted, and what is suspicious of it, is there nevertheless."""
    suspicious = changed(run["4j2b_ttbar_pt_scale_up"], lambda view: view["value"].__imul__(1.6))

    def fail(*_, **__):
        raise pyhf.exceptions.FailedMinimization(None)

    monkeypatch.setattr(cabinetry.fit, "fit", fail)
    path = write(tmp_path, run | {"4j2b_ttbar_pt_scale_up": suspicious})
    with pytest.raises(AnalysisError) as raised:
        fit(path, tmp_path, config=small_config, ranking=True)
    found = json.loads((tmp_path / "fit.json").read_text())
    warnings = [check for check in found["checks"] if check["severity"] == "warning"]
    assert f"does not converge; {len(warnings)} suspicious templates are listed in {tmp_path}" in str(raised.value)
    assert len(str(raised.value)) < 200 + len(str(tmp_path))
    assert found["status"] == "failed"
    assert found["reason"] == "the fit does not converge"
    assert "parameters" not in found
    where = ("4j2b SR", "ttbar", "jet energy scale")
    assert where in [(check["region"], check["sample"], check["systematic"]) for check in warnings]
    assert found["yields"]["prefit"]["4j2b SR"]["ttbar"]["value"] > 0
    assert {file.name for file in (tmp_path / "plots").glob("*.png")} == {"fit_4j2b-SR_prefit.png"}
    assert not (tmp_path / "yields.txt").exists()
    assert path.exists()
    (tmp_path / "run.json").write_text("{}")
    report(tmp_path, analysis)
    page = (tmp_path / "report.html").read_text()
    assert '<span id="failure">the fit does not converge</span>' in page
    assert "changes the norm by more than half" in page
    assert page.count("<img") == 1


def test_page_of_a_fit_that_cannot_be_made(tmp_path):
    write_failure(tmp_path, "there is no histogram <b>4j1bb_ttbar</b>")
    (tmp_path / "run.json").write_text("{}")
    report(tmp_path, analysis)
    assert "there is no histogram &lt;b&gt;4j1bb_ttbar&lt;/b&gt;</span>" in (tmp_path / "report.html").read_text()


def test_fit_at_a_bound_is_no_result(tmp_path, run):
    with pytest.raises(AnalysisError, match="ttbar_norm ends at its bound, "):
        fit(write(tmp_path, with_data(run, ttbar=0.0)), tmp_path)
