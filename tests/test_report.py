"""The page: what it says, that nothing gets in or out of it, and that a browser shows it well."""

import json
import re
import shutil
import struct
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import synthetic
from matplotlib.figure import Figure

from ttbar.analyses.agc_v1 import analysis
from ttbar.errors import InputError
from ttbar.results.plot import plots
from ttbar.results.report import report
from ttbar.results.style import FOLDER, save

PLOT = plots(analysis)[0]
HOSTILE = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>{{ 7 * 7 }}&amp;"""


class Page(HTMLParser):
    """The elements and the visible text of a page."""

    def __init__(self, markup):
        super().__init__()
        self.elements = []
        self.text = ""
        self.feed(markup)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "br":
            self.text += " "

    def handle_data(self, data):
        self.text += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.text += " "

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def output(tmp_path):
    """A results folder with some pictures, one of a plot and one of a fit."""
    synthetic.results(tmp_path)
    (tmp_path / FOLDER).mkdir()
    figure = Figure(figsize=(4, 4))
    figure.add_subplot().plot([1, 2])
    save(figure, tmp_path / FOLDER, "fit_pulls", "Pulls", "Pulls of all parameters")
    save(figure, tmp_path / FOLDER, PLOT.name, PLOT.title, PLOT.description)
    return tmp_path


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def written(output):
    report(output, analysis)
    return Page((output / "report.html").read_text())


def test_it_says_the_result(output):
    text = written(output).text
    assert "is 0.912 ± 0.046 times its prediction, that is 666 ± 33 pb where 729.84 pb are predicted" in text
    assert "p-value of 0.438 (χ² = 21.3, 21 degrees of freedom)" in text
    assert "PS variation (+0.10)" in text
    assert "empty bins" in text
    assert "Left out of the fit: ttbar scale variations." in text


def test_it_shows_cutflow_inputs_cost_and_provenance(output):
    text = written(output).text
    for universe in ("nominal", *analysis.universes):
        assert f"{universe} 20,000 2,465 10,000 1,233" in text
    assert "Nothing was found wrong with the 6 files. Every stored event was processed once." in text
    assert "/data/wjets__nominal.root 20,000 20,000 20,000 1,234 2 " in text
    assert "Event loop, wall-clock time 12.35 s" in text
    assert "ROOT 6.40.00" in text
    assert "0123456789abcdef" in text


@pytest.mark.parametrize(
    ("pseudodata", "expected"),
    [
        (
            "(ttbar_ME_var + ttbar_PS_var) / 2 + wjets",
            "lack single top, s-channel; single top, t-channel; single top, tW: as far as the model",
        ),
        ("the sum of the nominal samples (Asimov)", "the best fit is 1 by construction"),
        (None, "to collision data."),
    ],
)
def test_it_explains_what_was_fitted(output, pseudodata, expected):
    change(output / "fit.json", lambda fit: fit.update(pseudodata=pseudodata))
    text = written(output).text
    assert expected in text
    assert ("Nothing was measured" in text) == (pseudodata is not None)


def test_only_the_demo_is_called_a_toy(output):
    assert "This is a toy." in written(output).text
    change(output / "run.json", lambda run: run["options"].update(dataset="agc2015"))
    assert "This is a toy." not in written(output).text


def test_files_with_remarks_are_shown(output):
    change(output / "run.json", lambda run: run["files"][1].update(status="skipped", reason="it is empty"))
    text = written(output).text
    assert "remarks on 1 of 6 files" in text
    assert text.count("it is empty") == 2  # among those with remarks and among all


def test_pictures_come_with_their_texts(output):
    images = written(output).all("img")
    assert [image["alt"] for image in images] == [PLOT.description, "Pulls of all parameters"]
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)


def test_it_says_what_the_fit_was_carried_over_to(output):
    def carried(bins, left_out):
        return lambda fit: fit.update(carried_over={"name": "features", "bins": bins, "left_out": left_out})

    change(output / "fit.json", carried({"mass of W jets": {}, "b tag": {}}, ["there are no histograms of pt"]))
    text = written(output).text
    assert "The fit has not seen the 2 quantities" in text
    assert "Left out there: there are no histograms of pt." in text
    change(output / "fit.json", carried({}, []))
    assert "could not be carried over" in written(output).text
    change(output / "fit.json", lambda fit: fit.pop("carried_over"))
    assert "carried" not in written(output).text


def test_a_grid_has_the_whole_width(output):
    figure = Figure(figsize=(20, 15))
    save(figure, output / FOLDER, "fit_features_postfit", "features after the fit", "Many small pictures")
    markup = written(output)
    classes = [attributes.get("class") for attributes in markup.all("figure")]
    assert classes.count("wide") == 1
    wide = classes.index("wide")
    assert markup.all("img")[wide]["alt"] == "Many small pictures"


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("fit.json", "the cross-section was not fitted in this run"),
        ("cutflow.json", "no cutflow"),
        ("metrics.json", "no metrics"),
        (FOLDER, "No plots were made"),
    ],
)
def test_it_says_what_is_missing(output, missing, expected):
    path = output / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert expected in written(output).text


def test_a_minimal_run_is_enough(tmp_path):
    (tmp_path / "run.json").write_text('{"status": "complete"}')
    (tmp_path / "fit.json").write_text('{"parameters": {"mu": {"value": 1.0, "uncertainty": 0}}}')
    assert "The fit has no parameter ttbar_norm" in written(tmp_path).text


def test_without_a_run_there_is_no_page(tmp_path):
    with pytest.raises(InputError, match=r"no run\.json"):
        report(tmp_path, analysis)
    assert not (tmp_path / "report.html").exists()


def test_the_metrics_of_another_run_are_not_shown(output):
    change(output / "metrics.json", lambda metrics: metrics.update(mode="io-only"))
    text = written(output).text
    assert "of another run, with the mode io-only" in text
    assert "Event loop, wall-clock time" not in text


def test_rows_of_the_cost_stand_below_what_they_are_a_part_of_and_unknown_ones_at_the_end(output):
    # In the order in which a run writes them.
    measured = dict.fromkeys(("list_files_s", "process_s", "merge_s", "write_page_s", "booking_s", "jit_s"), 1.5)
    change(output / "metrics.json", lambda metrics: metrics.update(of_tomorrow=7, **measured))
    text = written(output).text
    rows = ("Processing 1.5 s", "Of this, booking and compilation 1.5 s", "Of this, compilation 1.5 s")
    assert " ".join(rows) in " ".join(text.split())
    assert text.index("Normalising and writing") < text.index("of_tomorrow 7")
    assert "Page 1.5" not in text
    assert "write_page_s" not in text  # it was not known yet


def test_it_speaks_of_the_analysis_that_it_is_given(output):
    other = replace(
        analysis,
        name="mine",
        luminosity=1234.0,
        processes=tuple(
            replace(p, cross_section=100.0, title="top") if p.name == "ttbar" else p for p in analysis.processes
        ),
        fit=replace(analysis.fit, parameter="luminosity"),
    )
    report(output, other)
    text = Page((output / "report.html").read_text()).text
    assert "The analysis is mine; simulation is normalised to 1,234 pb" in text
    assert "The fitted cross-section of top is 0.37 ± 0.90 times its prediction" in text
    assert "where 100.0 pb are predicted" in text


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("fit.json", content) for content in ("{", "[1]", "\x00", "null", "\udcff", nested(100_000))),
        *(("run.json", f'{{"{key}": 1}}') for key in ("files", "samples", "options", "versions", "models", "skimmed")),
        *(("run.json", content) for content in ('{"files": null}', '{"files": [null]}', '{"samples": {"a": []}}')),
        *(
            ("run.json", content)
            for content in ('{"files": [{"sample": []}]}', f'{{"options": {{"a": {nested(900)}}}}}')
        ),
        *(("cutflow.json", content) for content in ('{"a": []}', '{"a": {"nominal": [{}]}}', '{"a": {"b": [1]}}')),
        *(("metrics.json", content) for content in ('{"events": "many"}', '{"mode": 1}', '{"events": [1]}')),
        *(("metrics.json", content) for content in ('{"mode": "a"}', f'{{"threads": 1{"0" * 400}}}', '{"steps": [1]}')),
        *(("fit.json", f'{{"parameters": {content}}}') for content in ("[]", '{"a": 1}', '{"a": {}}')),
        ("fit.json", '{"parameters": {"ttbar_norm": {"value": null, "uncertainty": null}}}'),
        ("fit.json", '{"parameters": {"a": {"value": 1, "prefit_uncertainty": 1}}}'),
        ("fit.json", '{"correlation": {"labels": ["ttbar_norm"]}}'),
        ("fit.json", '{"correlation": {"labels": ["ttbar_norm", "a"], "matrix": [["1", null], [1, 1]]}}'),
        ("fit.json", '{"yields": {"prefit": {"a": {"b": 1}}}}'),
        ("fit.json", '{"checks": ["a"]}'),
    ],
    ids=lambda text: text[:50],
)
def test_damaged_results_are_named(output, ledger, file, content):
    (output / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=re.escape(file)) as caught:
        report(output, analysis)
    ledger.add("results that are not what a run writes", "detected")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", "{}"),
        ("run.json", '{"files": [{}], "samples": {"a": {}}, "unknown": [[{}]], "versions": null, "options": null}'),
        ("run.json", '{"started": "\\ud800\\u0000", "files": [{"path": "\\udfff"}]}'),
        (
            "run.json",
            f'{{"files": [{{"nevts": {"9" * 5000}, "processed": -1e999}}], "samples": {{"a": {{"nevts": NaN}}}}}}',
        ),
        ("cutflow.json", '{"a": {"nominal": []}, "b": {}}'),
        ("metrics.json", '{"of_tomorrow": null, "mode": "analysis", "fit_s": NaN}'),
        ("metrics.json", f'{{"bytes_read": 1{"0" * 400}, "of_tomorrow": -1{"0" * 400}}}'),
        ("fit.json", "{}"),
        ("fit.json", '{"correlation": {"labels": ["ttbar_norm"], "matrix": []}}'),
        ("fit.json", '{"yields": {"prefit": {"a": {"b": {}}}}, "goodness_of_fit": null}'),
        ("fit.json", '{"parameters": {"ttbar_norm": {"value": 1, "uncertainty": null}}, "pseudodata": ""}'),
        ("fit.json", '{"parameters": {"ttbar_norm": {"value": 1e308, "uncertainty": 1e-320}}}'),
        ("fit.json", '{"parameters": {"a": {"value": NaN, "nominal": 0, "prefit_uncertainty": 1e-300}}}'),
    ],
    ids=lambda text: text[:50],
)
def test_what_is_missing_or_beyond_all_numbers_is_a_dash(output, ledger, file, content):
    (output / file).write_text(content)
    report(output, analysis)
    ledger.add("results that are not what a run writes", "recovered")


def test_thousands_of_files_are_listed(output):
    change(output / "run.json", lambda run: run.update(files=3000 * run["files"][:1]))
    text = written(output).text
    assert "Nothing was found wrong with the 3000 files." in text
    assert text.count("/data/single_top_s_chan__nominal.root") == 3000


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture(width, height):
    """A PNG file that claims to be of a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_damaged_pictures_are_named(output, ledger):
    path = output / FOLDER / "fit_pulls.png"
    good = path.read_bytes()
    bomb = b"Description\0\0" + zlib.compress(bytes(100_000_000))
    for content, message in (
        (good[:200], "not readable as a picture"),
        (good[:100] + bytes(100) + good[200:], "not readable as a picture"),
        (b"", "not readable as a picture"),
        (b"a text\n", "not readable as a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not readable as a picture"),
        (good[:33] + chunk(b"zTXt", bomb) + good[33:], "not readable as a picture"),
        (picture(2**31 - 1, 2**31 - 1), "too large for a page"),
        (picture(40_000, 40_000), "too large for a page"),
        (picture(10_000, 10_000), "too large for a page"),
        (picture(0, 0), "not readable as a picture"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"fit_pulls\.png: .*{message}"):
            report(output, analysis)
        ledger.add("pictures that are not of a run", "detected")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"fit_pulls\.png is a .*, not a file"):
        report(output, analysis)


def poison(value):
    """Add something hostile to every text, keys included, except for the names that the page looks for."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, list):
        return [poison(each) for each in value]
    if isinstance(value, dict):
        return {key + HOSTILE if "__" in key else key: poison(each) for key, each in value.items()}
    return value


def test_texts_from_the_data_stay_texts(output):
    clean = written(output)
    for name in ("run", "cutflow", "fit"):
        change(output / f"{name}.json", lambda content: content.update(poison(json.loads(json.dumps(content)))))
    change(output / "metrics.json", lambda metrics: metrics.update({HOSTILE: 1}))
    figure = Figure(figsize=(1, 1))
    save(figure, output / FOLDER, "fit_pulls", HOSTILE, HOSTILE)
    hostile = written(output)
    tags = {tag for tag, _ in clean.elements}
    assert {tag for tag, _ in hostile.elements} <= tags
    assert not any(name.startswith("on") for _, attributes in hostile.elements for name in attributes)
    assert len(hostile.all("img")) == len(clean.all("img"))
    assert hostile.all("img")[-1]["alt"] == HOSTILE
    assert f"ttbar__nominal{HOSTILE}" in hostile.text.replace("&amp;amp;", "&amp;")


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_contrast_enough(output):
    report(output, analysis)
    schemes = re.findall(r":root \{(.*?)\}", (output / "report.html").read_text())
    assert len(schemes) == 3  # light, dark, paper
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w+);", scheme))
        colours = {
            name: luminance(f"#{''.join(2 * digit for digit in value[1:])}" if len(value) == 4 else value)
            for name, value in colours.items()
        }
        for front in ("text", "faint", "link"):
            for back in ("page", "panel", "note"):
                dark, light = sorted((colours[front], colours[back]))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back, scheme)


class TestBrowser:
    """The page in Chromium."""

    @pytest.fixture
    def browser(self, tmp_path):
        webdriver = pytest.importorskip("selenium.webdriver")
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if not (chromium and driver):
            pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "headless",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            f"user-data-dir={tmp_path / 'browser'}",
        ):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
        yield browser
        browser.quit()

    def test_it_works(self, output, browser):
        save(Figure(figsize=(20, 15)), output / FOLDER, "fit_features_postfit", "features", "Many small pictures")
        report(output, analysis)
        page = output / "report.html"
        # A phone.
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
        )
        browser.get(page.as_uri())

        assert browser.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        requests = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and event["params"]["documentURL"] == page.as_uri()  # the browser has pages of its own
        ]
        assert page.as_uri() in requests
        assert [url for url in requests if url != page.as_uri() and not url.startswith("data:")] == []

        widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
        assert len(widths) == 3
        assert min(widths) > 0
        shown = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert shown[0] <= shown[1] == 390

        fit = json.loads((output / "fit.json").read_text())
        strength, goodness = fit["parameters"]["ttbar_norm"], fit["goodness_of_fit"]

        def figures(selector):
            script = "return [...document.querySelectorAll(arguments[0])].map(element => element.value)"
            return [float(value) for value in browser.execute_script(script, f"{selector} data")]

        assert figures("#strength") == [strength["value"], strength["uncertainty"]]
        assert figures("#cross-section") == [
            analysis.process("ttbar").cross_section * strength[key] for key in ("value", "uncertainty")
        ]
        assert figures("#p-value") == [goodness["p_value"]]
        yields = [
            entry[key]
            for region in fit["yields"]["prefit"]
            for sample, before in fit["yields"]["prefit"][region].items()
            for entry in (before, fit["yields"]["postfit"][region][sample])
            for key in ("value", "uncertainty")
            if key in entry
        ]
        parameters = [entry[key] for entry in fit["parameters"].values() for key in ("value", "uncertainty")]
        assert figures("#fit table") == parameters + yields
