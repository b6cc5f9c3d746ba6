"""Checks of input files: every way of being bad is found before the event loop, and said in one line."""

import errno
import pickle
import random
import shutil
import signal
from array import array
from dataclasses import replace
from pathlib import Path

import awkward
import numpy as np
import pytest
import uproot
from damage import (
    COMPRESSIONS,
    ENTRIES,
    FORMATS,
    UNUSABLE,
    copy,
    flipped_bits,
    hole_of_zeros,
    name_of,
    no_column,
    rewrite,
    save,
    text,
    unclosed,
    write_good,
)

import ttbar.inputs.delivery
from ttbar.analyses.agc_v1 import COLUMNS
from ttbar.errors import InputError
from ttbar.execution.loop import Unit, by_file
from ttbar.inputs import source
from ttbar.inputs.check_file import check_file, has_changed
from ttbar.inputs.checksum import checksum_of
from ttbar.inputs.dataset import InputFile, Sample
from ttbar.inputs.delivery import Request, check_together, deliver
from ttbar.inputs.files import BadFile, CheckedFile, CheckedSample, FileRecord
from ttbar.inputs.source import Source
from ttbar.library import load_root

REQUEST = Request("Events", COLUMNS, patience=60)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Three good files of each format, by format."""
    folder = tmp_path_factory.mktemp("good")
    return {
        name: [write_good(folder / f"{name}_{number}.root", number, name) for number in range(3)] for name in FORMATS
    }


def check(samples, bad_files="stop"):
    """Check samples as a run does."""
    wanted = Source(
        dataset="",
        samples="all",
        files=None,
        prefixes=(),
        tree="Events",
        bad_files=bad_files,
        cache=None,
        cache_limit=None,
        timeout=6,
    )
    return source.get(wanted, samples, COLUMNS)


def declared(path, nevts=ENTRIES, entries=None, checksum=None):
    return InputFile(str(path), nevts, nevts if entries is None else entries, checksum=checksum)


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
    assert checked == CheckedFile(
        path=str(path),
        source=str(path),
        others=(),
        nevts=ENTRIES,
        entries=ENTRIES,
        format=format_,
        uuid=checked.uuid,
        size=path.stat().st_size,
        version=str(path.stat().st_mtime_ns),
        clusters=checked.clusters,
    )
    assert [0, *checked.clusters, ENTRIES] == sorted({0, *checked.clusters, ENTRIES})
    assert len(checked.uuid) == 36
    assert pickle.loads(pickle.dumps(checked)) == checked
    assert check_file(InputFile(str(path), None, None), "Events", COLUMNS) == checked


@pytest.mark.parametrize("format_", FORMATS)
def test_what_becomes_of_a_file_after_its_check_is_seen(good, tmp_path, format_):
    path = tmp_path / "a.root"
    shutil.copy2(good[format_][0], path)
    checked = check_file(declared(path), "Events", COLUMNS)
    assert not has_changed(checked)
    shutil.copy2(good[format_][1], path)
    assert has_changed(checked)
    path.unlink()
    assert has_changed(checked)


def test_a_skim_has_fewer_entries_than_events(good):
    checked = check_file(declared(good["TTree"][0], 3 * ENTRIES, ENTRIES), "Events", COLUMNS)
    assert (checked.nevts, checked.entries) == (3 * ENTRIES, ENTRIES)


@pytest.mark.parametrize("name", ["nanoaod_2015_200events.root", "nanoaod_2015_10events_rntuple.root"])
def test_real_files_are_good(test_data, name):
    entries = 10 if "rntuple" in name else 200
    checked = check_file(declared(test_data / name, entries), "Events", COLUMNS)
    assert checked.format == ("RNTuple" if "rntuple" in name else "TTree")


@pytest.mark.parametrize("format_", FORMATS)
def test_bad_files_are_found_wherever_they_are_in_a_sample(good, tmp_path, monkeypatch, ledger, format_):
    monkeypatch.setattr(ttbar.inputs.delivery, "_FILES_PER_PROCESS", 1000)  # one process, unless a file ends it
    first, last, like = good[format_]
    faults = [(name_of(kind), kind, like, None, words) for kind, words in UNUSABLE.items()]
    for compression in COMPRESSIONS:
        like = write_good(tmp_path / f"{compression}.root", 2, format_, compression)
        for kind in (flipped_bits, hole_of_zeros):
            name = f"{name_of(kind)}, {compression}, checksum known"
            faults.append((name, kind, like, checksum_of(like), "checksum"))
    samples = []
    for number, (name, kind, like, checksum, _) in enumerate(faults):
        bad = [tmp_path / f"{number}_{where}.root" for where in ("first", "middle", "last")]
        for path in bad:
            kind(path, like)
        files = [declared(path, checksum=checksum) for path in bad]
        samples.append(sample_of(files[0], declared(first), files[1], declared(last), files[2], process=name))

    checked = check(samples, bad_files="skip")

    for sample, (name, *_, words) in zip(checked, faults, strict=True):
        for record in sample.records[::2]:
            ledger.add(name, "detected" if record.status == "skipped" and words in record.reason else "wrong")
    for sample, (*_, words) in zip(checked, faults, strict=True):
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


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", [flipped_bits, hole_of_zeros])
def test_damage_to_values_is_not_seen_before_they_are_read_unless_a_checksum_is_known(good, tmp_path, format_, kind):
    bad = tmp_path / "bad.root"
    kind(bad, good[format_][0])
    assert bad.read_bytes() != good[format_][0].read_bytes()
    if (format_, kind) == ("RNTuple", hole_of_zeros):  # it is in lengths of arrays as well, which are compared
        with pytest.raises(BadFile, match="checksum verification failed"):
            check_file(declared(bad), "Events", COLUMNS)
    else:
        assert check_file(declared(bad), "Events", COLUMNS).entries == ENTRIES
    with pytest.raises(BadFile, match="is damaged") as error:
        check_file(declared(bad, checksum=checksum_of(good[format_][0])), "Events", COLUMNS)
    assert_names_the_file(str(error.value), bad)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_file_ends_the_check_with_its_name(good, tmp_path, position):
    paths = list(good["TTree"][:2])
    bad = tmp_path / "bad.root"
    no_column(bad, paths[0])
    paths.insert(position, bad)
    samples = [sample_of(*map(declared, paths))]
    with pytest.raises(BadFile) as error:
        check(samples)
    assert error.value.exit_code == 3
    assert_names_the_file(str(error.value), bad)

    seen = []

    def stop_at_the_bad_one(record):
        if record.status != "ok":
            raise KeyboardInterrupt
        seen.append(record.path)

    with pytest.raises(KeyboardInterrupt):
        deliver(samples, REQUEST, stop_at_the_bad_one)
    assert seen == [str(path) for path in paths[:position]]


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


def test_a_writer_that_died(good, tmp_path):
    path = tmp_path / "unclosed.root"
    unclosed(path, good["TTree"][0])
    for file in (declared(path), InputFile(str(path), None, None)):
        with pytest.raises(BadFile, match="never closed") as error:
            check_file(file, "Events", COLUMNS)
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


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(("original", "copied"), [(0, 1), (0, 2), (1, 2)])
def test_a_copy_in_one_sample_is_an_error_wherever_it_is(good, tmp_path, ledger, format_, original, copied):
    paths = list(good[format_])
    copy(tmp_path / "copy.root", paths[original])
    paths[copied] = tmp_path / "copy.root"
    checked = [check_file(declared(path), "Events", COLUMNS) for path in paths]
    records = tuple(
        FileRecord(file.path, "ttbar__nominal", ENTRIES, ENTRIES, "ok", "", attempts=1, checked=file)
        for file in checked
    )
    with pytest.raises(InputError, match="UUID") as error:
        check_together(CheckedSample("ttbar", "nominal", records))
    for word in ("ttbar__nominal", str(paths[original]), str(paths[copied])):
        assert word in str(error.value)
    ledger.add("copy", "detected")


def test_a_copy_is_an_error_in_one_sample_but_not_in_two(good, tmp_path):
    path = good["TTree"][0]
    copy(tmp_path / "copy.root", path)
    files = [declared(path), declared(tmp_path / "copy.root")]
    with pytest.raises(InputError, match="UUID"):
        check([sample_of(*files)], bad_files="skip")
    samples = [sample_of(files[0]), sample_of(files[1], process="wjets")]
    assert len(check(samples)) == 2


def test_formats_do_not_mix_in_a_sample_but_do_between_samples(good):
    files = [declared(good[format_][0]) for format_ in FORMATS]
    with pytest.raises(InputError, match=r"ttbar__nominal: .*TTree.*RNTuple"):
        check([sample_of(*files)], bad_files="skip")
    samples = [sample_of(files[0]), sample_of(files[1], process="wjets")]
    checked = check(samples)
    assert [sample.good[0].format for sample in checked] == list(FORMATS)


def test_a_sample_without_a_good_file_is_an_error_even_if_bad_ones_are_skipped(good, tmp_path):
    bad = tmp_path / "bad.root"
    text(bad, None)
    samples = [sample_of(declared(good["TTree"][0])), sample_of(declared(bad), process="wjets")]
    with pytest.raises(InputError, match="wjets__nominal: no usable file") as error:
        check(samples, bad_files="skip")
    assert str(bad) in str(error.value)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_without_entries_is_allowed_and_a_sample_without_events_is_not(good, tmp_path, format_):
    path = rewrite(tmp_path / "none.root", good[format_][0], lambda frame: frame.Range(0, 1).Filter("false"))
    plain = InputFile(str(path), None, None)
    checked = check([sample_of(plain, declared(good[format_][0]))])
    assert (checked[0].nevts, len(checked[0].good)) == (ENTRIES, 2)
    with pytest.raises(InputError, match="ttbar__nominal: no events") as error:
        check([sample_of(plain)])
    assert str(path) in str(error.value)


def test_where_the_number_of_events_comes_from_is_said(good):
    files = (InputFile(str(good["TTree"][0]), None, None), declared(good["TTree"][1], 2 * ENTRIES, ENTRIES))
    (checked,) = check([sample_of(*files)])
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


@pytest.mark.parametrize(("format_", "compression"), [("TTree", "ZLIB"), ("TTree", "none"), ("RNTuple", "none")])
def test_no_damage_to_what_a_file_says_of_itself_ends_the_process(good, tmp_path, format_, compression):
    content = write_good(tmp_path / "good.root", 2, format_, compression).read_bytes()
    with load_root().TFile.Open(str(tmp_path / "good.root")) as opened:
        if format_ == "TTree":
            start = int(opened.GetKey("Events").GetSeekKey())
        else:
            start = int(opened.Get("Events").GetSeekFooter())
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
    checked = check(samples, bad_files="skip")
    assert {sample.good[-1].path for sample in checked} == {file.path for file in others}
    assert sum(sample.records[0].status == "skipped" for sample in checked) > len(checked) / 4


def crash_at_a_marked_name(file, tree, columns, source, reserved):
    if "crash" in file.path:
        signal.raise_signal(signal.SIGKILL)
    return check_file(file, tree, columns, source)


def test_a_file_that_crashes_root_is_a_bad_file(good, tmp_path, monkeypatch):
    monkeypatch.setattr(ttbar.inputs.delivery, "check_with_memory_limit", crash_at_a_marked_name)
    paths = (good["TTree"][0], tmp_path / "crash.root", good["TTree"][1])
    samples = [sample_of(*map(declared, paths))]
    (checked,) = check(samples, bad_files="skip")
    assert [record.status for record in checked.records] == ["ok", "skipped", "ok"]
    assert "killed by SIGKILL" in checked.records[1].reason
    with pytest.raises(BadFile) as error:
        check(samples)
    assert_names_the_file(str(error.value), paths[1])


def hang(*arguments):
    signal.pause()


def test_a_file_that_hangs_root_is_a_bad_file(good, monkeypatch):
    monkeypatch.setattr(ttbar.inputs.delivery, "check_with_memory_limit", hang)
    (checked,) = deliver([sample_of(declared(good["TTree"][0]))], replace(REQUEST, patience=1))
    assert "no sign of life for 1 s" in checked.records[0].reason


@pytest.mark.parametrize("position", [16, 37])
def test_a_header_that_points_behind_the_end(good, tmp_path, position):
    content = bytearray(good["TTree"][0].read_bytes())
    content[position] = 1  # the first byte of where the free segments are, or the streamers
    path = tmp_path / "header.root"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        check([sample_of(declared(path))])
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
    columns = {"run": "unsigned int", "event": "unsigned long", "Jet_pt": "RVec<float>", "weight": None}
    assert check_file(declared(path, 3), "Events", columns).entries == 3


def test_errors_of_root_are_collected_until_the_collector_stops():
    root = load_root()
    outer, inner = root.ttbar.ErrorCollector(), root.ttbar.ErrorCollector()
    try:
        root.Error("there", "first\nof two \xff")
        root.Info("there", "no error")
        root.Warning("there", "no error either")
        root.Warning("TBasket::ReadBasketBuffers", "trying to repair")
        inner.stop()
        root.Error("there", "second")
    finally:
        inner.stop()
        outer.stop()
    root.Error("there", "third")
    assert (outer.count(), inner.count()) == (3, 2)
    assert str(outer.first()).startswith("there: first?of two ?")
    assert str(inner.first()) == str(outer.first())


JETS = ("pt", "eta", "phi", "btagCSVV2")
COLLECTION = {"run": "unsigned int"} | {f"Jet_{quantity}": "RVec<float>" for quantity in JETS}
SHORTER = "ROOT::RVecF(Jet_{0}.begin(), Jet_{0}.end() - (rdfentry_ % 10 == 3 && !Jet_{0}.empty()))"


def write_collection(path, format_, change=lambda frame: frame, columns=tuple(COLLECTION)):
    """Write 100 events of 0 to 4 jets as a dataframe does: with vectors of their own for what it has defined."""
    frame = load_root().RDataFrame(100).Define("run", "1u").Define("nJet", "unsigned(rdfentry_ % 5)")
    for quantity in JETS:
        frame = frame.Define(f"Jet_{quantity}", "ROOT::RVecF(nJet, 30)")
    return save(change(frame), path, format_, COMPRESSIONS["ZLIB"], columns)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("quantity", JETS)
def test_a_collection_with_arrays_of_different_lengths(tmp_path, ledger, format_, quantity):
    bad = write_collection(
        tmp_path / "bad.root",
        format_,
        lambda frame: frame.Redefine(f"Jet_{quantity}", SHORTER.format(quantity)),
    )
    other = "eta" if quantity == "pt" else quantity
    with pytest.raises(BadFile, match=f"'Jet_pt' and 'Jet_{other}' for different numbers .* 10 of 100") as error:
        check_file(declared(bad, 100), "Events", COLLECTION)
    assert_names_the_file(str(error.value), bad)
    ledger.add("arrays of different lengths", "detected")


@pytest.mark.parametrize("format_", FORMATS)
def test_one_column_with_lengths_of_its_own_in_a_file_that_shares_them(test_data, tmp_path, ledger, format_):
    name = {"TTree": "nanoaod_2015_200events.root", "RNTuple": "nanoaod_2015_10events_rntuple.root"}[format_]
    frame = load_root().RDataFrame("Events", str(test_data / name))
    options = ("Events", COLLECTION)
    good = save(frame, tmp_path / "good.root", format_, 101, (*COLLECTION, "nJet"))
    assert check_file(InputFile(str(good), None, None), *options)
    bad = save(frame.Redefine("Jet_eta", SHORTER.format("eta")), tmp_path / "bad.root", format_, 101)
    with pytest.raises(BadFile, match="'Jet_pt' and 'Jet_eta' for different numbers"):
        check_file(InputFile(str(bad), None, None), *options)
    ledger.add("arrays of different lengths", "detected")


@pytest.mark.parametrize("format_", FORMATS)
def test_a_collection_with_vectors_of_one_length_is_good(tmp_path, format_):
    path = write_collection(tmp_path / "vectors.root", format_, columns=(*COLLECTION, "nJet"))
    assert check_file(declared(path, 100), "Events", COLLECTION).entries == 100


@pytest.mark.parametrize("format_", FORMATS)
def test_a_counter_that_contradicts_the_arrays(tmp_path, ledger, format_):
    path = write_collection(
        tmp_path / "counter.root", format_, lambda frame: frame.Redefine("nJet", "nJet + 1"), (*COLLECTION, "nJet")
    )
    with pytest.raises(BadFile, match="'Jet_pt' and 'nJet' for different numbers of objects in 100 of 100"):
        check_file(declared(path, 100), "Events", COLLECTION)
    ledger.add("arrays of different lengths", "detected")


@pytest.mark.parametrize("format_", FORMATS)
def test_arrays_in_arrays_are_no_arrays_of_numbers(tmp_path, format_):
    nested = "std::vector<std::vector<float>>(nJet, std::vector<float>{30})"
    path = write_collection(tmp_path / "nested.root", format_, lambda frame: frame.Redefine("Jet_eta", nested))
    with pytest.raises(BadFile, match=r"column 'Jet_eta' of type .*(RVec|vector)<.*(RVec|vector)<float"):
        check_file(declared(path, 100), "Events", COLLECTION)


def write_leaves(path, leaves, counters=(("nJet", "i"),), entries=10):
    """Write a TTree by hand: its counters, which count to 3, by name and type, and leaves of floats."""
    root = load_root()
    codes = {"B": "b", "b": "B", "S": "h", "s": "H", "I": "i", "i": "I", "L": "q", "l": "Q"}
    with root.TFile.Open(str(path), "RECREATE") as opened:
        tree = root.TTree("Events", "")
        run = array("I", [1])
        tree.Branch("run", run, "run/i")
        buffers = {name: array(codes[type_], [0]) for name, type_ in counters}
        for name, type_ in counters:
            tree.Branch(name, buffers[name], f"{name}/{type_}")
        values = array("f", [30.0] * 8)
        for name, size in leaves.items():
            tree.Branch(name, values, f"{name}{size}/F")
        for entry in range(entries):
            for number, buffer in enumerate(buffers.values()):
                buffer[0] = (entry + number) % 4
            tree.Fill()
        opened.WriteTObject(tree)
    return path


@pytest.mark.parametrize(
    ("eta", "counters", "reason"),
    [
        ("[nJet]", "nJet", None),
        ("[2]", "nJet", "in 8 of 10"),
        ("[nJet_eta]", "nJet nJet_eta", "in 10 of 10"),
    ],
)
def test_lengths_of_leaves(tmp_path, eta, counters, reason):
    path = tmp_path / "leaves.root"
    write_leaves(path, {"Jet_pt": "[nJet]", "Jet_eta": eta}, [(name, "i") for name in counters.split()])
    columns = {"Jet_pt": "RVec<float>", "Jet_eta": "RVec<float>"}
    if reason is None:
        assert check_file(declared(path, 10), "Events", columns).entries == 10
        return
    with pytest.raises(BadFile, match=f"'Jet_pt' and 'Jet_eta' for different numbers of objects {reason}"):
        check_file(declared(path, 10), "Events", columns)


@pytest.mark.parametrize(("eta", "good"), [("[4]", True), ("[3]", False)])
def test_arrays_of_fixed_length(tmp_path, eta, good):
    path = write_leaves(tmp_path / "fixed.root", {"Jet_pt": "[4]", "Jet_eta": eta}, counters=())
    columns = {"Jet_pt": "RVec<float>", "Jet_eta": "RVec<float>"}
    if good:
        assert check_file(declared(path, 10), "Events", columns).entries == 10
    else:
        with pytest.raises(BadFile, match="'Jet_pt' and 'Jet_eta' for different numbers of objects in 10 of 10"):
            check_file(declared(path, 10), "Events", columns)
    write_leaves(path, {"Jet_pt": "[4]", "Jet_eta": "[4]"})
    with pytest.raises(BadFile, match="'Jet_pt' and 'nJet' for different"):
        check_file(declared(path, 10), "Events", columns)


@pytest.mark.parametrize("type_", "BbSsIiLl")
def test_every_integer_type_of_a_counter_is_read_or_refused(tmp_path, ledger, type_):
    path = write_leaves(tmp_path / "counter.root", {"Jet_pt": "[nJet]"}, [("nJet", type_)])
    if type_ in "Bb":  # ROOT crashes in the event loop
        with pytest.raises(BadFile, match=r"'nJet' of type U?Char_t") as error:
            check_file(declared(path, 10), "Events", {"Jet_pt": "RVec<float>"})
        assert_names_the_file(str(error.value), path)
    else:
        assert check_file(declared(path, 10), "Events", {"Jet_pt": "RVec<float>"}).entries == 10
        assert load_root().RDataFrame("Events", str(path)).Sum("Jet_pt").GetValue() == 30 * (2 * 6 + 1)
    ledger.add("counters of other types", "detected" if type_ in "Bb" else "recovered")


def write_with_friend(path, friend, leaves, indexed=False):
    """Write a TTree with Jet_pt and a friend with other leaves, both of 10 events."""
    write_leaves(friend, leaves)
    write_leaves(path, {"Jet_pt": "[nJet]"})
    with load_root().TFile.Open(str(path), "UPDATE") as opened:
        tree = opened.Get("Events")
        if indexed:
            with load_root().TFile.Open(str(friend), "UPDATE") as other:
                events = other.Get("Events")
                events.BuildIndex("run", "Entry$")
                other.WriteTObject(events, "", "overwrite")
        tree.AddFriend("friend = Events", str(friend))
        opened.WriteTObject(tree, "", "overwrite")
    return path


@pytest.mark.parametrize("indexed", [False, True])
def test_a_friend_tree_is_not_needed_but_must_be_there(tmp_path, ledger, indexed):
    friend = tmp_path / "friend.root"
    path = write_with_friend(tmp_path / "main.root", friend, {"Jet_extra": "[nJet]"}, indexed)
    assert check_file(declared(path, 10), "Events", {"Jet_pt": "RVec<float>"}).entries == 10
    friend.unlink()
    with pytest.raises(BadFile, match=f"friend tree .* in {friend}, which cannot be opened") as error:
        check_file(declared(path, 10), "Events", {"Jet_pt": "RVec<float>"})
    assert_names_the_file(str(error.value), path)
    ledger.add("a friend that is gone", "detected")


def test_a_column_is_not_taken_from_a_friend_tree(tmp_path):
    columns = {"Jet_pt": "RVec<float>", "Jet_eta": "RVec<float>"}
    path = write_with_friend(tmp_path / "main.root", tmp_path / "friend.root", {"Jet_pt": "[2]", "Jet_eta": "[nJet]"})
    with pytest.raises(BadFile, match="'Jet_eta' only in a friend tree"):
        check_file(declared(path, 10), "Events", columns)
    assert check_file(declared(path, 10), "Events", {"Jet_pt": "RVec<float>"}).entries == 10
    read = load_root().RDataFrame("Events", str(path)).Sum("Jet_pt").GetValue()
    assert read == 30 * (2 * 6 + 1)  # its own, not its friend's


@pytest.mark.parametrize("format_", FORMATS)
def test_a_column_with_a_name_that_expressions_need(good, tmp_path, format_):
    reserved = frozenset({"ttbar", "count_above"})
    path = rewrite(
        tmp_path / "named.root",
        good[format_][0],
        lambda frame: frame.Define("ttbar", "1.f"),
        columns=(*COLUMNS, "ttbar"),
    )
    assert check_file(declared(path), "Events", COLUMNS).entries == ENTRIES
    assert check_file(declared(good[format_][0]), "Events", COLUMNS, reserved=reserved).entries == ENTRIES
    with pytest.raises(BadFile, match="column 'ttbar' in 'Events', a name that expressions need") as error:
        check_file(declared(path), "Events", COLUMNS, reserved=reserved)
    assert_names_the_file(str(error.value), path)
    (checked,) = deliver([sample_of(declared(path))], replace(REQUEST, reserved=reserved))
    assert "rename it" in checked.records[0].reason


def unit_of(*sources):
    """A unit of files of 100 events each, that are read from there."""
    files = [CheckedFile(f"/{n}.root", str(s), (), 100, 100, "TTree", str(n), 1, "") for n, s in enumerate(sources)]
    return Unit("ttbar", "nominal", tuple(files))


@pytest.mark.parametrize("tree", ["Events", "Events;1"])
@pytest.mark.parametrize("protocol", ["", "file://", "link"])
def test_events_are_counted_however_root_spells_the_name_of_a_file(good, tmp_path, protocol, tree):
    paths = good["TTree"]
    if protocol == "link":
        (tmp_path / "link").symlink_to(paths[0].parent)
        sources = [f"{tmp_path}//link/{path.name}" for path in paths]
    else:
        sources = [f"{protocol}{path}" for path in paths]
    unit = unit_of(*sources)
    root = load_root()
    frame = root.RDataFrame(tree, [str(source) for source in sources])
    first = root.RDF.AsRNode(frame.Filter("rdfentry_ < 120"))  # none of the last file
    counts = [root.ttbar.count_by_file(node) for node in (root.RDF.AsRNode(frame), first)]
    assert by_file(unit, counts[:1]) == dict.fromkeys(("/0.root", "/1.root", "/2.root"), ENTRIES)
    assert by_file(unit, counts[1:]) == {"/0.root": 120, "/1.root": 0, "/2.root": 0}


def test_events_of_one_file_are_its_own_whatever_its_name():
    assert by_file(unit_of("/eos/a.root"), [{"root://eos//a.root/Events": 3, "b/Events": 4}.items()]) == {"/0.root": 7}
    assert by_file(unit_of("/a.root", "/a.root.b"), [{"/a.root/x/Events": 3, "/a.root.b/Events": 4}.items()]) == {
        "/0.root": 3,
        "/1.root": 4,
    }


FLOATS = "RVec<float>"
NANOAOD = {
    "2015": {"nJet": "unsigned int", "Electron_cutBased": "RVec<int>", "Jet_jetId": "RVec<int>"},
    "v9": {"nJet": "unsigned int", "Electron_cutBased": "RVec<int>", "Jet_jetId": "RVec<int>"},
    "v12": {
        "nJet": "int",
        "Electron_cutBased": "RVec<unsigned char>",
        "Jet_jetId": "RVec<unsigned char>",
        "Jet_btagCSVV2": None,
        "Jet_qgl": None,
    },
    "v15": {
        "nJet": "int",
        "Electron_cutBased": "RVec<unsigned char>",
        "Jet_jetId": None,
        "Jet_btagCSVV2": None,
        "Jet_qgl": None,
    },
}
"""How the versions of NanoAOD differ in columns that an analysis may read; None for one that is not there."""

READ = COLUMNS | {
    "Electron_sip3d": FLOATS,
    "Electron_cutBased": "RVec<int>",
    "Muon_sip3d": FLOATS,
    "Muon_pfRelIso04_all": FLOATS,
    "Muon_tightId": "RVec<bool>",
    "Jet_qgl": FLOATS,
    "Jet_jetId": "RVec<int>",
}
LETTERS = {"bool": "O", "unsigned char": "b", "int": "I", "unsigned int": "i", "unsigned long": "l", "float": "F"}


def write_nanoaod(path, version):
    """Write two events with the leaves of a version of NanoAOD."""
    differences = dict(NANOAOD[version])
    counter = LETTERS[differences.pop("nJet")]
    types = {name: type_ for name, type_ in (READ | differences).items() if type_ is not None}
    with load_root().TFile.Open(str(path), "RECREATE") as opened:
        tree = load_root().TTree("Events", "")
        zeros = array("q", [0] * 4)
        for collection in ("Electron", "Muon", "Jet"):
            tree.Branch(f"n{collection}", zeros, f"n{collection}/{counter}")
        for name, type_ in types.items():
            size = f"[n{name.partition('_')[0]}]" if type_.startswith("RVec") else ""
            letter = LETTERS[type_.removeprefix("RVec<").removesuffix(">")]
            tree.Branch(name, zeros, f"{name}{size}/{letter}")
        tree.Fill()
        zeros[0] = 1
        tree.Fill()
        opened.WriteTObject(tree)
    return path


@pytest.mark.parametrize("version", NANOAOD)
def test_each_column_of_a_version_of_nanoaod_is_read_or_refused(tmp_path, version):
    path = write_nanoaod(tmp_path / "nano.root", version)
    for name, expected in READ.items():
        found = NANOAOD[version].get(name, expected)
        if found == expected:
            assert check_file(declared(path, 2), "Events", {name: expected}).entries == 2
            continue
        words = f"no column '{name}'" if found is None else f"column '{name}' of type {found}, not {expected}"
        with pytest.raises(BadFile, match=words) as error:
            check_file(declared(path, 2), "Events", {name: expected})
        assert_names_the_file(str(error.value), path)


def test_what_the_real_files_have(test_data):
    for name in ("nanoaod_2015_200events.root", "nanoaod_2015_10events_rntuple.root"):
        assert check_file(InputFile(str(test_data / name), None, None), "Events", READ)
