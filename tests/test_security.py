"""Nothing of the working folder, of a results folder or of an input is executed, waited for, or acts on a terminal."""

import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from program import Results, assert_fails, ttbar
from rich.table import Table

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.errors import InputError
from ttbar.execution import kept
from ttbar.execution.histograms import shape
from ttbar.execution.unit import Cost, Partial, Unit
from ttbar.execution.units import Results as Store
from ttbar.inputs.dataset import load_dataset
from ttbar.inputs.delivery import check_together
from ttbar.inputs.files import CheckedFile, CheckedSample, FileRecord
from ttbar.jobs.normalise import as_hist
from ttbar.library import resource
from ttbar.progress import SafeConsole
from ttbar.reading import MAX_BYTES, read_json, read_text, require_file
from ttbar.results import fit_configuration, histograms
from ttbar.results.report import report
from ttbar.results.template_file import HistogramFile
from ttbar.results.validate import validate
from ttbar.simulate import simulate
from ttbar.terminal import one_line, printable
from ttbar.training.boosting import read_search

FILE = CheckedFile("/a.root", "/a.root", (), 20, 10, "TTree", "uuid", 1000, "")
UNIT = Unit("wjets", "nominal", (FILE,))


def result() -> Partial:
    universes = ("nominal", *agc_v1.universes)
    [btag] = agc_v1.weight_variations
    filled = {}
    for _, definition in agc_v1.histograms:
        for variation in (*universes, *(name for each in btag.systematics for name in each.variations)):
            filled[definition.name, variation] = np.zeros(shape(definition))
            filled[definition.name, variation][:, 1:4, 2] = [1 / 3, 1, 1e-300]
    cutflow = {universe: dict.fromkeys(agc_v1.cuts, 3) for universe in universes}
    return Partial(
        {"host:1": Cost(0.1, loop_wall_s=1 / 3, bytes_read=7)}, {"/a.root": 10}, cutflow, {"/a.root": 3}, filled
    )


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path, agc_v1, {"seed": 1})


@pytest.fixture
def file(store) -> Path:
    store.save(UNIT, result())
    [path] = store.folder.glob("*.unit")
    return path


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_kept_result_comes_back_to_the_last_bit(store, file):
    loaded = store.load(UNIT)
    assert replace(loaded, histograms={}) == replace(result(), histograms={})
    assert loaded.histograms.keys() == result().histograms.keys()
    assert all(np.array_equal(loaded.histograms[key], filled) for key, filled in result().histograms.items())


def changed(**changes):
    def change(path):
        document = json.loads(path.read_text())
        document["content"].update(changes)
        document["sha256"] = kept._digest(json.dumps(document["content"]))
        path.write_text(json.dumps(document))

    return change


def first_histogram(**changes):
    def change(path):
        content = json.loads(path.read_text())["content"]["histograms"]
        changed(histograms=[content[0] | changes, *content[1:]])(path)

    return change


HOSTILE = {
    "pickle": lambda path: path.write_bytes(pickle.dumps(Harm())),
    "nothing": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a changed digit": lambda path: path.write_text(
        path.read_text().replace("0.3333333333333333", "0.3333333333333334", 1)
    ),
    "another version": lambda path: path.write_text(
        path.read_text().replace(f'"version": {kept.VERSION}', '"version": 0')
    ),
    "deep": lambda path: path.write_text("[" * 100_000),
    "huge": lambda path: os.truncate(path, MAX_BYTES + 1),
    "a number": lambda path: path.write_text("1"),
    "a named pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "other files": changed(processed={"/b.root": 10}),
    "fewer events": changed(processed={"/a.root": 9}),
    "counts are text": changed(selected={"/a.root": "3"}),
    "counts are a list": changed(selected=[3]),
    "cost is unknown": changed(costs={"host:1": {"x": 1}}),
    "cost is of no process": changed(costs={"x": 1}),
    "no cutflow": changed(cutflow={}),
    "unknown part": changed(evil=1),
    "records": changed(records=[1]),
    "no histograms": changed(histograms=[]),
    "a huge shape": first_histogram(value=[[0.0] * 1000] * 100),
    "another shape": first_histogram(variance=[0.0]),
    "a bin of nothing": first_histogram(value=[[None] * 27] * 27),
    "a bin too large for a double": first_histogram(value=[[10**400] * 27] * 27),
    "unknown region": first_histogram(name="x"),
    "unknown variation": first_histogram(variation="x"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_kept_result_that_is_not_as_written_is_not_used_and_said_so(
    kind, store, file, capsys, monkeypatch, tmp_path, ledger
):
    monkeypatch.chdir(tmp_path)
    HOSTILE[kind](file)
    loaded = store.load(UNIT)
    ledger.add("hostile or damaged result of a unit", "wrong" if loaded else "detected")
    assert loaded is None
    assert "not used" in capsys.readouterr().err
    assert not Path("harm").exists()


def test_nothing_in_the_package_unpickles_files():
    for path in Path(kept.__file__).parents[1].rglob("*.py"):
        for loader in ("pickle.load", "joblib", "allow_pickle=True", "np.load", "numpy.load", "yaml.load(", "shelve"):
            assert loader not in path.read_text(), path


# --- What is no regular file


def no_files(folder):
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("pipe")
    listening = socket.socket(socket.AF_UNIX)
    os.chdir(folder)  # the path of a socket must be short
    listening.bind("socket")
    listening.close()
    (folder / "device").symlink_to("/dev/zero")
    (folder / "directory").mkdir()
    return {
        "pipe": "named pipe",
        "link": "named pipe",
        "socket": "socket",
        "device": "device",
        "directory": "directory",
    }


READERS = {
    "data set": lambda path: load_dataset(path, agc_v1.variations),
    "search": read_search,
    "fit configuration": fit_configuration.load,
    "histograms": histograms.read,
    "templates": HistogramFile,
    "reference": lambda path: validate(path, path.with_name("other")),
    "model": require_file,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_refused_before_it_is_opened(reader, tmp_path, monkeypatch, ledger):
    monkeypatch.chdir(tmp_path)
    for name, kind in no_files(tmp_path).items():
        with pytest.raises(InputError, match=f"{name}.* is a {kind}"):
            READERS[reader](tmp_path / name)
        ledger.add("input that is no regular file", "detected")


@pytest.mark.parametrize("name", ["run.json", "fit.json", "metrics.json", "cutflow.json", "plots/x.png"])
def test_results_that_are_no_regular_files_are_refused(name, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=f"{name} is a named pipe"):
        report(tmp_path, agc_v1)


def test_a_pipe_for_a_model_ends_a_command_at_once(tmp_path):
    os.mkfifo(tmp_path / "model.json")
    assert_fails(ttbar("check", "--model", tmp_path / "model.json"), 3, "model.json is a named pipe")


def test_text_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}
    fit_configuration.write(fit_configuration.from_analysis(agc_v1), path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert fit_configuration.load(path)["General"]


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_text(tmp_path / "huge")


# --- What reaches a terminal

HIDDEN = ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\u2066", "\u200b", "\ud800", "\x7f", "\r"]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_nothing_that_acts_on_a_terminal_is_printed(hidden):
    assert hidden[0] not in printable(f"a{hidden}b")
    stream = io.StringIO()
    table = Table("name")
    table.add_row(f"a{hidden}b")
    SafeConsole(file=stream, force_terminal=False).print(table, f"a{hidden}b")
    assert hidden[0] not in stream.getvalue()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_text_cannot_forge_the_line_that_ends_a_failed_command(end):
    assert one_line(f"a.root{end}error: b") == "a.root error: b"
    assert not one_line(f"{end}error: all is lost").startswith("error:")


def test_ordinary_text_stays_as_it_is():
    text = "/a  b/Größe-H_T ± 日本語.root [bold]"
    assert one_line(text) == printable(text) == text


def test_a_hostile_name_on_the_command_line_and_in_a_file(tmp_path):
    hostile = tmp_path / "a\x1b[31m\nerror: b\u202e.json"
    result = ttbar("report", "--output", hostile)
    assert_fails(result, 3, r"a\x1b[31m error: b\u202e.json")
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"ttbar\x1b[2J\nerror: x": {}}))
    result = ttbar("check", "--dataset", path)
    assert_fails(result, 3, "set.json")
    assert "\x1b" not in result.stderr


# --- What is in the working folder

RAN = "open({!r}, 'w').close()\n"


def hostile_folder(folder: Path) -> Path:
    """A working folder in which everything that is looked for leaves a trace, which is returned."""
    trace = folder / "RAN"
    modules = ("signal", "json", "csv", "email", "types", "struct", "ROOT", "numpy", "click", "rich", "sitecustomize")
    for module in (*modules, "multiprocessing", "resource", "hist", "uproot", "matplotlib", "pickle", "rootlogon"):
        (folder / f"{module}.py").write_text(RAN.format(str(trace)))
    (folder / ".rootlogon.py").write_text(RAN.format(str(trace)))
    (folder / ".rootlogon.C").write_text(f'{{ gSystem->Exec("touch {trace}"); }}')
    (folder / "rootlogon.C").write_text(f'{{ gSystem->Exec("touch {trace}"); }}')
    (folder / ".rootrc").write_text("TFile.v630forwardCompatibility: yes\nRint.Logon: rootlogon.C\nTtbar.Test: read\n")
    (folder / "ttbar").mkdir()
    for header in resource("include", "ttbar").glob("*.hpp"):
        (folder / "ttbar" / header.name).write_text("#error another version\n")
        (folder / header.name).write_text("#error another version\n")
    source = folder / "evil.cpp"
    source.write_text(f'#include <cstdio>\nstatic int ran = (std::fclose(std::fopen("{trace}", "w")), 0);\n')
    subprocess.run(["c++", "-shared", "-fPIC", source, "-o", folder / "libRIO.so"], check=True)
    for library in ("libttbar.so", "libROOTDataFrame.so", "libTree.so", "libNetxNG.so", "libHist.so"):
        shutil.copy(folder / "libRIO.so", folder / library)
    return trace


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), 200, ["wjets__nominal"], 1, False)


@pytest.mark.parametrize("program", ["ttbar", "run_analysis.py", "-m"])
def test_nothing_of_the_working_folder_takes_part(program, toy, tmp_path, ledger):
    trace = hostile_folder(tmp_path)
    arguments = ("--dataset", toy, "--output", "out", "--threads", 1, "--no-plots", "--no-fit")
    if program == "ttbar":
        command = (str(Path(sys.executable).with_name("ttbar")), "run")
    elif program == "-m":
        command = ("-m", "ttbar", "run")
        shutil.rmtree(tmp_path / "ttbar")  # Python itself takes this for the package,
        (tmp_path / "types.py").unlink()  # and imports this before any module of the program
    else:
        command = (str(Path(__file__).parents[1] / "run_analysis.py"),)
    result = ttbar(*arguments, program=command, cwd=tmp_path)
    ledger.add("code in the working folder", "wrong" if trace.exists() else "detected")
    assert not trace.exists()
    assert result.returncode == 0, result.stderr
    assert Results(tmp_path / "out").json("run")["status"] == "complete"


NO_HOME = """
import os, pwd, sys
def nobody(user):
    raise KeyError(user)
pwd.getpwuid = nobody
os.environ.pop("HOME", None)
from ttbar import simulate
print(simulate._cache())
"""


def test_a_user_without_a_home_has_a_cache_of_their_own(tmp_path):
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-P", "-c", NO_HOME]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == str(tmp_path / f"ttbar-{os.getuid()}"), run.stderr
    assert (tmp_path / f"ttbar-{os.getuid()}").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "~").exists()


LOAD = """
from ttbar.library import load_root
root = load_root()
print(root.gEnv.GetValue("Ttbar.Test", "not read"), root.gSystem.WorkingDirectory())
print(any(not part.startswith("/") for part in str(root.gSystem.GetDynamicPath()).split(":")))
print(any(not part.startswith("/") for part in str(root.gROOT.GetMacroPath()).split(":")))
"""


@pytest.mark.parametrize("variable", ["ROOT_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "CPATH", None])
def test_the_headers_of_the_package_come_first(variable, tmp_path):
    trace = hostile_folder(tmp_path)
    environment = dict(os.environ) | ({variable: str(tmp_path)} if variable else {})
    command = [sys.executable, "-P", "-c", LOAD]
    folder = "/" if variable else tmp_path
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:3] == [f"not read {folder}", "False", "False"]
    assert not trace.exists()


def test_a_working_folder_that_is_gone_is_said(tmp_path):
    script = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); from ttbar.cli import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", script, "check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert_fails(run, 3, "the working folder is gone")


def test_no_file_is_written_through_a_link(tmp_path):
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / ".histograms.root.part").symlink_to("victim")
    histograms.write(
        tmp_path / "histograms.root", {"h": as_hist(np.zeros(shape(agc_v1.histograms[0][1])), agc_v1.histograms[0][1])}
    )
    assert (tmp_path / "victim").read_text() == "untouched"
    assert set(histograms.read(tmp_path / "histograms.root")) == {"h", "observable/h", "deltaR/h"}


@pytest.mark.parametrize("name", ["a::b", "x.root", "x.root:y", "file:", "a b#c?d"])
def test_folders_of_any_name_hold_histograms(name, tmp_path):
    (tmp_path / name).mkdir()
    path = tmp_path / name / "histograms.root"
    histograms.write(path, {"4j1b_wjets": as_hist(result().histograms["4j1b", "nominal"], agc_v1.histograms[0][1])})
    assert "4j1b_wjets" in histograms.read(path)
    assert "4j1b_wjets" in HistogramFile(path).names("observable")


@pytest.mark.parametrize(
    ("checksums", "copies"),
    [
        ((None, None), True),
        (("adler32:00000001", None), True),
        (("adler32:00000001",) * 2, True),
        (("adler32:00000001", "adler32:00000002"), False),
    ],
)
def test_different_files_of_one_uuid_are_told_apart_by_their_checksums(checksums, copies):
    files = [replace(FILE, path=f"/{number}.root", checksum=checksum) for number, checksum in enumerate(checksums)]
    records = [FileRecord(file.path, "wjets__nominal", 20, 10, "ok", "", 1, file) for file in files]
    sample = CheckedSample("wjets", "nominal", tuple(records))
    if copies:
        with pytest.raises(InputError, match=r"same UUID.*give the checksum of each"):
            check_together(sample)
    else:
        check_together(sample)
