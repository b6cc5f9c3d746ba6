"""Checks of input files: every way of being bad is found before the event loop, and said in one line."""

import errno
import pickle
import random
import shutil
import signal
import subprocess
import sys
from array import array
from pathlib import Path

import awkward
import numpy as np
import pytest
import uproot

import ttbar.inputs
from ttbar.dataset import InputFile, Sample
from ttbar.definition import COLUMNS as ANALYSIS_COLUMNS
from ttbar.errors import InputError
from ttbar.inputs import BadFile, CheckedFile, check_file, check_samples
from ttbar.library import load_root

COLUMNS = {"run": "unsigned int", "event": "unsigned long", "Jet_pt": "RVec<float>", "weight": None}
ENTRIES = 500
FORMATS = ("TTree", "RNTuple")


def write(path, format_="TTree", entries=ENTRIES, tree="Events", compression=101, columns=None):
    """Write a file of events; columns given by name replace the usual ones, None leaves one out."""
    root = load_root()
    options = root.RDF.RSnapshotOptions()
    options.fMode = "RECREATE"
    options.fCompressionAlgorithm, options.fCompressionLevel = divmod(compression, 100)
    options.fOutputFormat = getattr(root.RDF.ESnapshotOutputFormat, f"k{format_}")
    expressions = {
        "run": "UInt_t(1)",
        "event": "ULong64_t(rdfentry_)",
        "Jet_pt": "ROOT::RVecF(rdfentry_ % 5, 30.f)",
        "weight": "1.",
    } | (columns or {})
    frame = root.RDataFrame(entries)
    for name, expression in expressions.items():
        if expression is not None:
            frame = frame.Define(name, expression)
    names = [name for name, expression in expressions.items() if expression is not None]
    frame.Snapshot(tree, str(path), names, options)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Three good files of each format, by format."""
    folder = tmp_path_factory.mktemp("good")
    return {name: [write(folder / f"{name}_{index}.root", name) for index in range(3)] for name in FORMATS}


def missing(path, like, format_):
    pass


def folder(path, like, format_):
    path.mkdir()


def empty(path, like, format_):
    path.touch()


def text(path, like, format_):
    path.write_text("run,event\n1,1\n")


def cut_in(share):
    def cut(path, like, format_):
        content = like.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    cut.__name__ = f"cut_at_{share}"
    return cut


def cut_by_a_byte(path, like, format_):
    path.write_bytes(like.read_bytes()[:-1])


def cut_in_the_header(path, like, format_):
    path.write_bytes(like.read_bytes()[:50])


def header_of_ones(path, like, format_):
    path.write_bytes(b"root" + b"\xff" * 96 + like.read_bytes()[100:])


def header_of_zeros(path, like, format_):
    path.write_bytes(b"root" + bytes(96) + like.read_bytes()[100:])


def hole_instead_of_the_end(path, like, format_):
    content = like.read_bytes()
    path.write_bytes(content[:-1000] + bytes(1000))


def no_tree(path, like, format_):
    write(path, format_, tree="Runs")


def histogram_for_a_tree(path, like, format_):
    root = load_root()
    with root.TFile.Open(str(path), "RECREATE") as opened:
        opened.WriteObject(root.TH1D("h", "", 1, 0, 1), "Events")


def folder_for_a_tree(path, like, format_):
    root = load_root()
    with root.TFile.Open(str(path), "RECREATE") as opened:
        opened.mkdir("Events")


def no_column(path, like, format_):
    write(path, format_, columns={"Jet_pt": None})


def doubles_for_floats(path, like, format_):
    write(path, format_, columns={"Jet_pt": "ROOT::RVecD(rdfentry_ % 5, 30.)"})


def integers_for_floats(path, like, format_):
    write(path, format_, columns={"Jet_pt": "ROOT::RVecI(rdfentry_ % 5, 30)"})


def float_for_floats(path, like, format_):
    write(path, format_, columns={"Jet_pt": "30.f"})


def fewer_entries(path, like, format_):
    write(path, format_, entries=ENTRIES - 1)


def more_entries(path, like, format_):
    write(path, format_, entries=ENTRIES + 1)


BAD = {
    missing: "No such file",
    folder: "not a file",
    empty: "empty",
    text: "not a ROOT file",
    cut_in_the_header: "",
    cut_in(0.05): "",
    cut_in(0.5): "",
    cut_in(0.99): "",
    cut_by_a_byte: "",
    header_of_ones: "",
    header_of_zeros: "",
    hole_instead_of_the_end: "",
    no_tree: "'Events' (--tree), but Runs",
    histogram_for_a_tree: "TH1D",
    folder_for_a_tree: "TDirectory",
    no_column: "'Jet_pt'",
    doubles_for_floats: "RVec<double>, not RVec<float>",
    integers_for_floats: "RVec<int>, not RVec<float>",
    float_for_floats: "type float, not RVec<float>",
    fewer_entries: f"{ENTRIES - 1} entries where the data set says {ENTRIES}",
    more_entries: f"{ENTRIES + 1} entries where the data set says {ENTRIES}",
}


def declared(path, nevts=ENTRIES, entries=None):
    return InputFile(str(path), nevts, nevts if entries is None else entries)


def sample_of(*files, process="ttbar"):
    return Sample(process, "nominal", tuple(files))


def assert_names_the_file(message, path):
    assert message.splitlines() == [message]
    assert message.startswith(f"{path}: ")
    assert "--bad-files skip" in message


@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_known_of_a_good_file(good, format_):
    path = good[format_][0]
    checked = check_file(declared(path), "Events", COLUMNS)
    assert checked == CheckedFile(str(path), ENTRIES, ENTRIES, format_, checked.uuid, path.stat().st_size)
    assert len(checked.uuid) == 36
    assert pickle.loads(pickle.dumps(checked)) == checked
    assert check_file(InputFile(str(path), None, None), "Events", COLUMNS) == checked


def test_a_skim_has_fewer_entries_than_events(good):
    checked = check_file(declared(good["TTree"][0], 3 * ENTRIES, ENTRIES), "Events", COLUMNS)
    assert (checked.nevts, checked.entries) == (3 * ENTRIES, ENTRIES)


@pytest.mark.parametrize("name", ["nanoaod_2015_200events.root", "nanoaod_2015_10events_rntuple.root"])
def test_real_files_are_good(test_data, name):
    entries = 10 if "rntuple" in name else 200
    checked = check_file(declared(test_data / name, entries), "Events", ANALYSIS_COLUMNS)
    assert checked.format == ("RNTuple" if "rntuple" in name else "TTree")


@pytest.mark.parametrize("format_", FORMATS)
def test_bad_files_are_found_wherever_they_are_in_a_sample(good, tmp_path, format_):
    first, last = good[format_][:2]
    samples = []
    for kind in BAD:
        bad = [tmp_path / f"{kind.__name__}_{where}.root" for where in ("first", "middle", "last")]
        for path in bad:
            kind(path, good[format_][2], format_)
        files = (bad[0], first, bad[1], last, bad[2])
        samples.append(sample_of(*(declared(path) for path in files), process=kind.__name__))
    checked = check_samples(samples, "Events", COLUMNS, skip_bad=True)
    for sample, words in zip(checked, BAD.values(), strict=True):
        assert [record.status for record in sample.records] == ["skipped", "ok", "skipped", "ok", "skipped"]
        assert [file.path for file in sample.good] == [str(first), str(last)]
        assert (sample.nevts, sample.entries) == (2 * ENTRIES, 2 * ENTRIES)
        for record in sample.records:
            assert record.sample == sample.name
            assert (record.nevts, record.entries) == (ENTRIES, ENTRIES)
            assert bool(record.reason) == (record.status == "skipped")
        for record in sample.records[::2]:
            assert words in record.reason
            assert record.reason.splitlines() == [record.reason]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_file_ends_the_check_with_its_name(good, tmp_path, position):
    paths = list(good["TTree"][:2])
    bad = tmp_path / "bad.root"
    no_column(bad, paths[0], "TTree")
    paths.insert(position, bad)
    seen = []
    with pytest.raises(BadFile) as error:
        check_samples(
            [sample_of(*map(declared, paths))],
            "Events",
            COLUMNS,
            skip_bad=False,
            on_progress=lambda done, file: seen.append((done, file.path)),
        )
    assert error.value.exit_code == 3
    assert_names_the_file(str(error.value), bad)
    assert seen == [(index + 1, str(path)) for index, path in enumerate(paths[:position])]


def test_the_reason_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(BadFile("/a.root", "is empty")))
    assert (str(error), error.reason) == (str(BadFile("/a.root", "is empty")), "is empty")


def test_a_file_that_may_not_be_read(good, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # the superuser may read everything, whatever the file's mode
    with pytest.raises(BadFile, match="Permission denied") as error:
        check_file(declared(good["TTree"][0]), "Events", COLUMNS)
    assert_names_the_file(str(error.value), good["TTree"][0])


@pytest.mark.parametrize("name", ["a[1].root", "a*.root", "a?b.root", "a#b.root", "$HOME.root", "d[x]/a.root"])
def test_a_name_that_root_would_not_take_literally(good, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(good["TTree"][0], path)
    with pytest.raises(BadFile, match="rename") as error:
        check_file(declared(path), "Events", COLUMNS)
    assert_names_the_file(str(error.value), path)


def test_a_name_that_is_only_unusual(good, tmp_path):
    path = shutil.copy(good["TTree"][0], tmp_path / "é ü, (1)+%20'b'.root")
    assert check_file(declared(path), "Events", COLUMNS).entries == ENTRIES


def test_a_writer_that_died(tmp_path):
    path = tmp_path / "unclosed.root"
    script = f"""if True:
        import os, array, ROOT
        opened = ROOT.TFile.Open({str(path)!r}, "RECREATE")
        tree = ROOT.TTree("Events", "")
        run = array.array("I", [1])
        tree.Branch("run", run, "run/i")
        for entry in range(1000):
            tree.Fill()
            if entry == 500:
                tree.AutoSave()
        opened.Flush()
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=120)
    for file in (declared(path, 1000), InputFile(str(path), None, None)):
        with pytest.raises(BadFile, match="never closed") as error:
            check_file(file, "Events", {"run": "unsigned int"})
        assert_names_the_file(str(error.value), path)


def test_a_branch_that_is_shorter_than_its_tree(tmp_path):
    root = load_root()
    path = tmp_path / "uneven.root"
    with root.TFile.Open(str(path), "RECREATE") as opened:
        tree = root.TTree("Events", "")
        run, count, pt = array("I", [1]), array("I", [1]), array("f", [30.0])
        tree.Branch("run", run, "run/i")
        tree.Branch("nJet", count, "nJet/i")
        tree.Branch("Jet_pt", pt, "Jet_pt[nJet]/F")
        for _ in range(10):
            tree.Fill()
        tree.GetBranch("run").Fill()
        tree.GetBranch("Jet_pt").Fill()
        tree.SetEntries(11)
        opened.WriteTObject(tree)
    with pytest.raises(BadFile, match="11 entries, but 10 in 'nJet'") as error:
        check_file(declared(path, 11), "Events", {"run": "unsigned int", "Jet_pt": "RVec<float>"})
    assert_names_the_file(str(error.value), path)


def test_a_copy_in_one_sample_is_an_error_but_not_in_two(good, tmp_path):
    path = good["TTree"][0]
    copy = shutil.copy(path, tmp_path / "copy.root")
    with pytest.raises(InputError, match="UUID") as error:
        check_samples([sample_of(declared(path), declared(copy))], "Events", COLUMNS, skip_bad=True)
    for word in ("ttbar__nominal", str(path), str(copy)):
        assert word in str(error.value)
    samples = [sample_of(declared(path)), sample_of(declared(copy), process="wjets")]
    assert len(check_samples(samples, "Events", COLUMNS, skip_bad=False)) == 2


def test_formats_do_not_mix_in_a_sample_but_do_between_samples(good):
    files = [declared(good[format_][0]) for format_ in FORMATS]
    with pytest.raises(InputError, match=r"ttbar__nominal: .*TTree.*RNTuple"):
        check_samples([sample_of(*files)], "Events", COLUMNS, skip_bad=True)
    samples = [sample_of(files[0]), sample_of(files[1], process="wjets")]
    checked = check_samples(samples, "Events", COLUMNS, skip_bad=False)
    assert [sample.good[0].format for sample in checked] == list(FORMATS)


def test_a_sample_without_a_good_file_is_an_error_even_if_bad_ones_are_skipped(good, tmp_path):
    bad = tmp_path / "bad.root"
    text(bad, None, None)
    samples = [sample_of(declared(good["TTree"][0])), sample_of(declared(bad), process="wjets")]
    with pytest.raises(InputError, match="wjets__nominal: no usable file") as error:
        check_samples(samples, "Events", COLUMNS, skip_bad=True)
    assert str(bad) in str(error.value)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_without_entries_is_allowed_and_a_sample_without_events_is_not(good, tmp_path, format_):
    path = write(tmp_path / "none.root", format_, entries=0)
    plain = InputFile(str(path), None, None)
    checked = check_samples([sample_of(plain, declared(good[format_][0]))], "Events", COLUMNS, skip_bad=False)
    assert (checked[0].nevts, len(checked[0].good)) == (ENTRIES, 2)
    with pytest.raises(InputError, match="ttbar__nominal: no events") as error:
        check_samples([sample_of(plain)], "Events", COLUMNS, skip_bad=False)
    assert str(path) in str(error.value)


def test_where_the_number_of_events_comes_from_is_said(good):
    files = (InputFile(str(good["TTree"][0]), None, None), declared(good["TTree"][1], 2 * ENTRIES, ENTRIES))
    (checked,) = check_samples([sample_of(*files)], "Events", COLUMNS, skip_bad=False)
    assert [(r.nevts, r.entries, r.status) for r in checked.records] == [
        (ENTRIES, ENTRIES, "ok"),
        (2 * ENTRIES, ENTRIES, "ok"),
    ]
    assert "entries in the file" in checked.records[0].reason
    assert checked.records[1].reason == ""
    assert (checked.nevts, checked.entries) == (3 * ENTRIES, 2 * ENTRIES)


def damaged(content, seed, start, stop):
    """Damage some bytes within a range, or cut the file off."""
    chance = random.Random(seed)
    content = bytearray(content)
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    for _ in range(chance.choice((1, 2, 8))):
        content[chance.randrange(start, stop)] = chance.choice((0, 255, chance.randrange(256)))
    return content


@pytest.mark.parametrize(("format_", "compression"), [("TTree", 101), ("TTree", 0), ("RNTuple", 0)])
def test_no_damage_to_what_a_file_says_of_itself_ends_the_process(good, tmp_path, format_, compression):
    content = write(tmp_path / "good.root", format_, compression=compression).read_bytes()
    root = load_root()
    with root.TFile.Open(str(tmp_path / "good.root")) as opened:
        key = opened.GetKey("Events")
        start = int(key.GetSeekKey()) if format_ == "TTree" else 100
    files = []
    for seed in range(24):
        path = tmp_path / f"damaged_{seed}.root"
        path.write_bytes(damaged(content, seed, *((0, 240) if seed % 4 == 0 else (start, len(content)))))
        files.append(InputFile(str(path), None, None))
    others = [declared(path) for path in good[format_][:2]]
    samples = [
        sample_of(file, other, process=f"p{index}")
        for index, file in enumerate(files)
        for other in others[index % 2 : index % 2 + 1]
    ]
    checked = check_samples(samples, "Events", COLUMNS, skip_bad=True)
    assert {sample.good[-1].path for sample in checked} == {file.path for file in others}
    assert sum(sample.records[0].status == "skipped" for sample in checked) > len(checked) / 4


def crash_at_a_marked_name(file, tree, columns):
    if "crash" in file.path:
        signal.raise_signal(signal.SIGKILL)
    return check_file(file, tree, columns)


def test_a_file_that_crashes_root_is_a_bad_file(good, tmp_path, monkeypatch):
    monkeypatch.setattr(ttbar.inputs, "_check_mortally", crash_at_a_marked_name)
    paths = (good["TTree"][0], tmp_path / "crash.root", good["TTree"][1])
    samples = [sample_of(*map(declared, paths))]
    (checked,) = check_samples(samples, "Events", COLUMNS, skip_bad=True)
    assert [record.status for record in checked.records] == ["ok", "skipped", "ok"]
    assert "crashed" in checked.records[1].reason
    with pytest.raises(BadFile) as error:
        check_samples(samples, "Events", COLUMNS, skip_bad=False)
    assert_names_the_file(str(error.value), paths[1])


@pytest.mark.parametrize("position", [16, 37])
def test_a_header_that_points_behind_the_end(good, tmp_path, position):
    content = bytearray(good["TTree"][0].read_bytes())
    content[position] = 1  # the first byte of where the free segments are, or the streamers
    path = tmp_path / "header.root"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        check_samples([sample_of(declared(path))], "Events", COLUMNS, skip_bad=False)
    assert_names_the_file(str(error.value), path)


def test_a_file_that_uproot_wrote(tmp_path):
    path = tmp_path / "uproot.root"
    with uproot.recreate(path) as opened:
        opened.mktree("Events", {"run": "uint32", "event": "uint64", "Jet_pt": "var * float32", "weight": "float64"})
        jets = awkward.Array([[30.0], [], [40.0, 50.0]])
        opened["Events"].extend(
            {
                "run": np.ones(3, "uint32"),
                "event": np.arange(3, dtype="uint64"),
                "Jet_pt": awkward.values_astype(jets, "float32"),
                "weight": np.ones(3),
            }
        )
    assert check_file(declared(path, 3), "Events", COLUMNS).entries == 3


def test_errors_of_root_are_collected_until_the_collector_stops():
    root = load_root()
    outer, inner = root.ttbar.ErrorCollector(), root.ttbar.ErrorCollector()
    try:
        root.Error("there", "first\nof two \xff")
        root.Info("there", "no error")
        inner.stop()
        root.Error("there", "second")
    finally:
        inner.stop()
        outer.stop()
    root.Error("there", "third")
    assert (outer.count(), inner.count()) == (2, 1)
    assert str(outer.first()).startswith("there: first?of two ?")
    assert str(inner.first()) == str(outer.first())
