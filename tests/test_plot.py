"""The plots: which are made from what, and that they are the same each time."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace

import hist
import matplotlib.style
import numpy as np
import pytest
import synthetic
import uproot
from PIL import Image

from ttbar.analyses import agc_v1, agc_v2
from ttbar.analyses.analysis import Axis, Histogram, Process, Region, Systematic, WeightVariation, histogram_name
from ttbar.errors import InputError
from ttbar.jobs.normalise import pseudodata
from ttbar.results import plot
from ttbar.results.drawing import STATISTICAL, TOTAL
from ttbar.results.histograms import write
from ttbar.results.style import colours

PLOTS = {each.name: each for each in plot.plots(agc_v1.analysis)}
PROCESSES = [process.name for process in agc_v1.analysis.simulated]


def draw(name, histograms):
    """Draw the plot of a name."""
    analysis = agc_v1.analysis
    keys = {
        histogram_name(each.name, process, variation): (each.name, process, variation)
        for _, each in analysis.histograms
        for process in analysis.variations
        for variation in synthetic.variations(analysis, process)
    }
    with matplotlib.style.context(plot.STYLE):
        return PLOTS[name].draw({keys[name]: histogram for name, histogram in histograms.items()})


@pytest.fixture(scope="module")
def histograms():
    return synthetic.histograms(data=True)


@pytest.fixture
def file(tmp_path):
    def make(histograms):
        path = tmp_path / "histograms.root"
        write(path, histograms)
        return path

    return make


def test_all_are_written_with_their_texts(file, histograms, tmp_path):
    plot.draw_all(file(histograms), tmp_path, agc_v1.analysis)
    expected = {f"{name}.{extension}" for name in PLOTS for extension in ("png", "pdf")}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == expected
    for each in PLOTS.values():
        image = Image.open(tmp_path / "plots" / f"{each.name}.png")
        assert image.info["Title"] == each.title
        assert image.info["Description"] == each.description
        assert min(image.size) >= 1000


def test_there_are_the_plots_that_were_promised():
    what = ("observable", "deltaR", "ttbar_btag", "ttbar_jet_energy", "ttbar_simulation", "wjets_scale")
    what += ("ttbar_2d", "background_2d")
    assert set(PLOTS) == {f"{region}_{each}" for region in ("4j1b", "4j2b") for each in what}


def test_bytes_do_not_depend_on_the_process(file, histograms, tmp_path):
    path = file(histograms)
    script = (
        "import sys; from pathlib import Path; from ttbar.analyses.agc_v1 import analysis; "
        "from ttbar.results import plot; some = plot.plots(analysis)[::8]; plot.plots = lambda analysis: some; "
        "plot.draw_all(Path(sys.argv[1]), Path(sys.argv[2]), analysis)"
    )
    digests = []
    for seed in ("1", "2"):
        output = tmp_path / seed
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": f"UTC-{seed}"}
        subprocess.run([sys.executable, "-c", script, path, output], env=environment, check=True)
        digests.append({each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in output.glob("plots/*")})
    assert len(digests[0]) == 4
    assert digests[0] == digests[1]


def stairs(panel, label):
    """Contents of the step curve or band with a label."""
    return next(patch for patch in panel.patches if patch.get_label() == label).get_data()


def test_h_t_is_drawn_from_110_gev_in_pairs_of_bins(histograms):
    upper, lower = draw("4j1b_observable", histograms).axes
    edges = stairs(upper, TOTAL["label"]).edges
    assert edges == pytest.approx(np.linspace(110, 550, 12))
    assert lower.get_xlim() == (110, 550)
    assert len(stairs(draw("4j2b_observable", histograms).axes[0], TOTAL["label"]).edges) == 26


def test_bands_are_the_uncertainties(histograms):
    """In a bin of the second region, where nothing is merged, from first principles."""
    upper, lower = draw("4j2b_observable", histograms).axes
    bin_ = 8

    def content(process, variation=""):
        name = f"4j2b_{process}" + (f"_{variation}" if variation else "")
        return histograms[name].project("observable")[bin_] if name in histograms else None

    total = sum(content(process).value for process in PROCESSES)
    statistical = np.sqrt(sum(content(process).variance for process in PROCESSES))

    def shift(variation):
        return sum(
            content(process, variation).value - content(process).value
            for process in PROCESSES
            if content(process, variation) is not None
        )

    one_sided = [shift(variation) for variation in ("pt_scale_up", "pt_res_up", "ME_var", "PS_var")]
    pairs = [(f"btag_var_{jet}_up", f"btag_var_{jet}_down") for jet in range(4)]
    pairs += [("scale_var_up", "scale_var_down"), ("scaleup", "scaledown")]
    above = np.sqrt(statistical**2 + sum(s**2 for s in one_sided) + sum(max(shift(up), 0) ** 2 for up, _ in pairs))
    below = np.sqrt(statistical**2 + sum(s**2 for s in one_sided) + sum(min(shift(down), 0) ** 2 for _, down in pairs))
    for panel, scale in ((upper, 1), (lower, 1 / total)):
        band = stairs(panel, STATISTICAL["label"])
        assert band.values[bin_] == pytest.approx(scale * (total + statistical))
        assert band.baseline[bin_] == pytest.approx(scale * (total - statistical))
        band = stairs(panel, TOTAL["label"])
        assert band.values[bin_] == pytest.approx(scale * (total + above))
        assert band.baseline[bin_] == pytest.approx(scale * (total - below))


def test_variations_are_drawn_over_nominal(histograms):
    upper, lower = draw("4j1b_wjets_scale", histograms).axes
    assert stairs(lower, "W+jets scale variations up").values == pytest.approx(1.025, nan_ok=True)
    assert stairs(lower, "W+jets scale variations down").values == pytest.approx(0.975, nan_ok=True)
    labels = [text.get_text() for text in upper.get_legend().get_texts()]
    assert len(labels) == 4


def test_collision_data_are_drawn_and_named_if_there_are_any(histograms):
    with_data = draw("4j2b_deltaR", histograms).axes[0]
    assert with_data.get_title(loc="left") == "CMS Open Data"
    assert with_data.containers
    simulated = {name: each for name, each in histograms.items() if not name.endswith("_data")}
    without = draw("4j2b_deltaR", simulated).axes[0]
    assert without.get_title(loc="left") == "Simulation"


@pytest.mark.parametrize("name", [name for name in PLOTS if not name.endswith("2d")])
def test_nothing_is_hidden_behind_the_legend_or_cut_off(histograms, name):
    figure = draw(name, histograms)
    with matplotlib.style.context(plot.STYLE):
        assert_nothing_is_hidden(figure)


def assert_nothing_is_hidden(figure):
    figure.draw_without_rendering()
    upper = figure.axes[0]
    legend = upper.get_legend().get_window_extent()
    assert upper.transData.transform((0, upper.dataLim.ymax))[1] <= legend.y0
    assert legend.x1 <= upper.bbox.x1
    inside = figure.bbox.padded(1)
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
        assert inside.y0 <= box.y0
        assert box.y1 <= inside.y1


def test_what_is_missing_is_left_out(file, histograms, tmp_path):
    kept = {name: each for name, each in histograms.items() if name == "4j1b_ttbar"}
    path = file(kept)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "4j2b_observable.png").touch()  # of a run before
    notes = plot.draw_all(path, tmp_path, agc_v1.analysis)
    names = {each.stem for each in (tmp_path / "plots").glob("*.png")}
    assert names == {"4j1b_observable", "4j1b_deltaR", "4j1b_ttbar_2d"}
    assert any("4j2b_observable" in note for note in notes)


class TestAnotherAnalysis:
    """What a user's own analysis has is there without a change of the program."""

    PT = Axis("muon_pt", 10, 0.0, 500.0, label="Muon $p_{T}$ [GeV]", flow=False, shown_from=100.0, shown_merged=2)
    ANALYSIS = replace(
        agc_v1.analysis,
        luminosity=36_330.0,
        processes=(
            *(agc_v1.analysis.process(name) for name in ("wjets", "ttbar")),
            Process("zjets", cross_section=1.0, label=r"$\notTeX{$"),
            Process("_qcd", cross_section=2.0),
            agc_v1.analysis.process("data"),
        ),
        regions=(
            *agc_v1.analysis.regions,
            Region("3j", "true", "3 jets", (Histogram("pt", (PT,)), Histogram("leading", (PT,)))),
        ),
        weight_variations=(
            *agc_v1.analysis.weight_variations,
            WeightVariation(
                "trigger", "", tuple(Systematic(f"HLT_{n} $", f"t{n}_up", f"t{n}_down") for n in range(12))
            ),
        ),
    )

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("analysis") / "histograms.root"
        write(path, synthetic.histograms(data=True, analysis=cls.ANALYSIS))
        return path

    def test_names_do_not_collide(self):
        names = [each.name for each in plot.plots(self.ANALYSIS)]
        assert len(set(names)) == len(names)
        assert {"pt_muon_pt", "leading_muon_pt", "leading_ttbar_trigger", "4j2b_ttbar_trigger"} <= set(names)
        assert "pt_ttbar_2d" not in names
        other = Histogram("a", (replace(self.PT, column="b_muon_pt"),))
        clashing = Region("3j", "true", "3 jets", (Histogram("a_b", (self.PT,)), other))
        regions = (*agc_v1.analysis.regions, clashing)
        names = [each.name for each in plot.plots(replace(self.ANALYSIS, regions=regions))]
        assert {"a_b_muon_pt", "a_b_muon_pt-2"} <= set(names)

    def test_a_process_is_in_the_legend_and_in_the_stack(self, path):
        upper, _ = plot.draw(path, self.ANALYSIS, "4j2b_observable").axes
        labels = {text.get_text() for text in upper.get_legend().get_texts()}
        assert {r"\$\notTeX{\$", " _qcd", "W + jets", "Data"} <= labels
        made = synthetic.histograms(analysis=self.ANALYSIS)
        total = sum(made[f"4j2b_{each.name}"].project("observable").values() for each in self.ANALYSIS.simulated)
        band = stairs(upper, STATISTICAL["label"])
        assert (band.values + band.baseline) / 2 == pytest.approx(total)
        assert "36.3 fb" in upper.get_title(loc="right")

    def test_a_variation_is_in_the_band(self, path):
        without = replace(self.ANALYSIS, weight_variations=agc_v1.analysis.weight_variations)
        tops = [
            stairs(plot.draw(path, analysis, "pt_muon_pt").axes[0], TOTAL["label"]).values[0]
            for analysis in (without, self.ANALYSIS)
        ]
        assert tops[1] > 1.01 * tops[0]

    def test_every_curve_is_told_from_the_others(self, path):
        figure = plot.draw(path, self.ANALYSIS, "pt_ttbar_trigger")
        curves = [patch for patch in figure.axes[1].patches if "HLT" in patch.get_label()]
        assert len({(patch.get_edgecolor(), patch.get_linestyle()) for patch in curves}) == 24
        assert figure.axes[1].get_xlim() == (100, 500)
        with matplotlib.style.context(plot.STYLE):
            assert_nothing_is_hidden(figure)

    def test_what_is_drawn_of_an_axis_without_flow(self, path):
        band = stairs(plot.draw(path, self.ANALYSIS, "pt_muon_pt").axes[0], STATISTICAL["label"])
        assert band.edges.tolist() == [100, 200, 300, 400, 500]
        values = sum(
            synthetic.histogram("pt", each.name, analysis=self.ANALYSIS).values() for each in self.ANALYSIS.simulated
        )
        assert (band.values + band.baseline) / 2 == pytest.approx(values[2::2] + values[3::2])

    def test_colours_are_all_different(self):
        many = tuple(Process(f"p{n}", cross_section=1.0) for n in range(40))
        chosen = colours(replace(self.ANALYSIS, processes=(*self.ANALYSIS.processes, *many)))
        assert len(set(chosen.values())) == len(chosen) == 45
        assert chosen["ttbar"] == "#3f90da"
        wrong = replace(self.ANALYSIS, processes=(*self.ANALYSIS.processes, Process("w", 1.0, colour="mauvish")))
        with pytest.raises(InputError, match="the process w has the colour 'mauvish'"):
            colours(wrong)

    def test_what_no_plot_uses_is_said(self, path, tmp_path, monkeypatch):
        monkeypatch.setattr(plot, "plots", lambda analysis: ())
        said = " ".join(plot.draw_all(path, tmp_path, agc_v1.analysis))
        assert "not in the analysis agc-v1, so not plotted: 4j1b_wjets_t0_up" in said
        assert re.search(r"and \d+ more", said)
        assert not plot.draw_all(path, tmp_path, self.ANALYSIS)

    def test_one_that_there_is_not_is_refused(self, path):
        with pytest.raises(InputError, match="no plot '4j3b_observable', choose one of 4j1b_observable, 4j1b_deltaR"):
            plot.draw(path, self.ANALYSIS, "4j3b_observable")


class TestGroups:
    """Histograms of a group are shown side by side."""

    ANALYSIS = agc_v2.analysis
    COLUMNS = tuple(axis.column for axis in agc_v2.FEATURES)

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("groups") / "histograms.root"
        write(path, synthetic.histograms(analysis=cls.ANALYSIS))
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def stacks(cls, path):
        return plot.draw(path, cls.ANALYSIS, "4j2b_features")

    def test_there_is_one_picture_for_a_region_and_one_for_each_source(self):
        names = {each.name for each in plot.plots(self.ANALYSIS)}
        sources = ("ttbar_simulation", "ttbar_jet_energy", "ttbar_btag", "wjets_scale")
        grids = {"4j2b_features", *(f"4j2b_features_{source}" for source in sources)}
        assert names == grids | {f"{region}_{each}" for region in ("4j1b", "4j2b") for each in ("observable", *sources)}

    def test_every_feature_has_its_own_panels(self, stacks):
        upper, lower = stacks.axes[::2], stacks.axes[1::2]
        assert [panel.get_xlabel() for panel in lower] == [axis.label for axis in agc_v2.FEATURES]
        made = synthetic.histograms(analysis=self.ANALYSIS)
        for number in (0, 7, 19):
            name = self.COLUMNS[number]
            total = sum(made[f"{name}_{process.name}"].values() for process in self.ANALYSIS.simulated)
            band = stairs(upper[number], STATISTICAL["label"])
            assert (band.values + band.baseline) / 2 == pytest.approx(total)
            assert lower[number].get_xlim() == (agc_v2.FEATURES[number].low, agc_v2.FEATURES[number].high)

    def test_they_stand_in_rows_and_share_a_legend(self, stacks):
        stacks.draw_without_rendering()
        places = [panel.get_position() for panel in stacks.axes[::2]]
        assert len({round(place.x0, 6) for place in places}) == 5
        assert len({round(place.y0, 6) for place in places}) == 4
        (legend,) = stacks.legends
        assert not any(panel.get_legend() for panel in stacks.axes)
        labels = {text.get_text() for text in legend.get_texts()}
        assert labels == {*(each.label for each in self.ANALYSIS.simulated), STATISTICAL["label"], TOTAL["label"]}
        assert legend.get_window_extent().y0 >= max(place.y1 for place in places) * stacks.bbox.height
        for axes in stacks.axes:
            box = axes.get_tightbbox()
            assert stacks.bbox.x0 <= box.x0
            assert box.x1 <= stacks.bbox.x1
            assert stacks.bbox.y0 <= box.y0

    def test_variations_are_over_nominal(self, path):
        figure = plot.draw(path, self.ANALYSIS, "4j2b_features_wjets_scale")
        assert len(figure.axes) == 20
        for panel in figure.axes:
            for direction, ratio in (("up", 1.025), ("down", 0.975)):
                values = stairs(panel, f"W+jets scale variations {direction}").values
                assert values[np.isfinite(values)] == pytest.approx(ratio)
                assert np.isfinite(values).sum() > 10

    def test_one_of_a_group_can_be_drawn_alone(self, path):
        upper, lower = plot.draw(path, self.ANALYSIS, "mass_w1w2_mass_w1w2").axes
        assert upper.get_legend()
        assert lower.get_xlabel() == "$m$(W jets) [GeV]"

    def test_what_is_missing_or_empty_leaves_no_gap(self, tmp_path):
        made = synthetic.histograms(analysis=self.ANALYSIS)
        empty, *rest = self.COLUMNS[1:5]
        kept = {name: each for name, each in made.items() if name.startswith((empty, *rest))}
        for name, each in kept.items():
            if name.startswith(empty):
                each.reset()
        write(tmp_path / "few.root", kept)
        figure = plot.draw(tmp_path / "few.root", self.ANALYSIS, "4j2b_features")
        assert len(figure.axes) == 2 * len(rest)
        write(tmp_path / "none.root", {"4j2b_ttbar": made["4j2b_ttbar"]})
        with pytest.raises(InputError, match="no events or histograms for the plot 4j2b_features"):
            plot.draw(tmp_path / "none.root", self.ANALYSIS, "4j2b_features")

    def test_pseudodata_of_the_file_are_no_strangers(self, path, tmp_path, monkeypatch):
        made = synthetic.histograms(analysis=self.ANALYSIS)
        write(tmp_path / "h.root", made | dict(pseudodata(self.ANALYSIS, made)))
        monkeypatch.setattr(plot, "plots", lambda analysis: ())
        assert not plot.draw_all(tmp_path / "h.root", tmp_path, self.ANALYSIS)


class TestBadInput:
    def test_damaged(self, file, histograms, tmp_path):
        path = file(histograms)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match=r"histograms\.root: not a readable ROOT file"):
            plot.draw_all(path, tmp_path, agc_v1.analysis)

    def test_absent(self, tmp_path):
        with pytest.raises(InputError, match=r"histograms\.root: there is no such file"):
            plot.draw_all(tmp_path / "histograms.root", tmp_path, agc_v1.analysis)

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (lambda all_: all_.pop("4j1b_ttbar"), "there is 4j1b_ttbar_pt_scale_up, but not its nominal"),
            (lambda all_: [each.reset() for each in all_.values()], "all nominal histograms are empty"),
            (lambda all_: all_.clear(), "no nominal histogram"),
            (lambda all_: all_["4j1b_ttbar"].view().value.fill(np.nan), "4j1b_ttbar has a bin that is not"),
            (lambda all_: all_["4j1b_ttbar"].view().variance.fill(np.inf), "4j1b_ttbar has a bin that is not"),
            (lambda all_: all_["4j1b_ttbar"].view().variance.fill(-1), "4j1b_ttbar has a bin that is not"),
            (
                lambda all_: all_.update({"4j1b_ttbar": all_["4j1b_ttbar"][hist.rebin(5), :]}),
                "4j1b_ttbar does not have the bins",
            ),
        ],
    )
    def test_useless(self, histograms, tmp_path, edit, message):
        some = {name: each.copy() for name, each in histograms.items() if name.startswith("4j1b_ttbar")}
        edit(some)
        path = tmp_path / "histograms.root"
        with uproot.recreate(path) as damaged:
            damaged.update(some)
        with pytest.raises(InputError, match=rf"histograms\.root: .*{message}"):
            plot.draw_all(path, tmp_path, agc_v1.analysis)
