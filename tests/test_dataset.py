"""Data set files: what is read from good ones, and what is said of bad ones."""

import csv
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.errors import InputError, UsageError
from ttbar.execution.units import divide
from ttbar.inputs.dataset import InputFile, Sample, limit_files, load_dataset, select_samples
from ttbar.inputs.delivery import check_together
from ttbar.inputs.files import CheckedFile, CheckedSample, FileRecord
from ttbar.library import resource

KNOWN = {"ttbar": ("nominal", "ME_var"), "wjets": ("nominal",), "data": ("nominal",)}


def a_file(path="a.root", nevts=10, **more):
    return {"path": path, "nevts": nevts, **more}


def with_files(*files):
    return {"ttbar": {"nominal": {"files": list(files)}}}


@pytest.fixture
def load(tmp_path):
    """Write a document, or a text, or bytes, and load it as a data set."""
    path = tmp_path / "set.json"

    def write_and_load(content, **options):
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        path.write_bytes(content)
        return load_dataset(path, KNOWN, **options)

    return write_and_load


def assert_one_line_about(error, *words):
    message = str(error.value)
    assert error.value.exit_code == 3
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message


def test_samples_and_files_keep_their_order_and_numbers(load, tmp_path):
    samples = load(
        {
            "wjets": {"nominal": {"nevts_total": 30, "files": [a_file("b.root"), a_file("sub/a.root", 20)]}},
            "ttbar": {
                "ME_var": {"files": [a_file("/data/c.root", 7, entries=5, comment=None)]},
                "nominal": {"files": ["root://host//d.root", a_file("e.root", 3, entries=0)]},
            },
        }
    )
    assert samples == [
        Sample(
            "wjets",
            "nominal",
            (InputFile(f"{tmp_path}/b.root", 10, 10), InputFile(f"{tmp_path}/sub/a.root", 20, 20)),
        ),
        Sample("ttbar", "ME_var", (InputFile("/data/c.root", 7, 5),)),
        Sample(
            "ttbar",
            "nominal",
            (InputFile("root://host//d.root", None, None), InputFile(f"{tmp_path}/e.root", 3, 0)),
        ),
    ]
    assert [sample.name for sample in samples] == ["wjets__nominal", "ttbar__ME_var", "ttbar__nominal"]


def test_paths_are_relative_to_the_data_set_file_and_not_to_the_working_folder(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "set.json").write_text(json.dumps(with_files(a_file("x/y.root"), "../z.root")))
    monkeypatch.chdir(tmp_path)
    files = load_dataset(Path("folder/set.json"), KNOWN)[0].files
    assert [file.path for file in files] == [f"{folder}/x/y.root", f"{folder}/../z.root"]


def test_prefixes_replace_what_the_file_writes_and_the_first_that_fits_wins(load, tmp_path):
    document = with_files(a_file("https://far//a.root"), "old/b.root", "c/old/d.root", "/abs/e.root")
    prefixes = [("https://far/", "/near"), ("old", "new"), ("new", "newer"), ("old", "never")]
    files = load(document, prefixes=prefixes)[0].files
    assert [file.path for file in files] == [
        "/near/a.root",
        f"{tmp_path}/new/b.root",
        f"{tmp_path}/c/old/d.root",
        "/abs/e.root",
    ]


def test_mirrors_come_after_the_path_and_prefixes_hold_for_them(load, tmp_path):
    mirrors = ["https://far//a.root", "b.root"]
    listed = with_files(a_file("root://h//a.root", mirrors=mirrors))
    (file,) = load(listed, prefixes=[("https://far/", "/near")])[0].files
    assert file.addresses == ("root://h//a.root", "/near/a.root", f"{tmp_path}/b.root")


def test_a_checksum_is_kept(load):
    (file,) = load(with_files(a_file(checksum="adler32:0123abcd")))[0].files
    assert file.checksum == "adler32:0123abcd"


def test_the_same_file_in_two_samples_is_allowed(load):
    files = {"files": [a_file()]}
    assert len(load({"ttbar": {"nominal": files, "ME_var": files}})) == 2


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, ["top level"]),
        ([], ["top level", "[]"]),
        (None, ["top level", "None"]),
        ({"ttbar": {}}, ["ttbar"]),
        ({"ttbar": []}, ["ttbar"]),
        ({"zjets": {"nominal": {"files": ["a.root"]}}}, ["'zjets'", "ttbar, wjets, data"]),
        ({"z\njets": {}}, ["ttbar, wjets, data"]),
        ({"wjets": {"ME_var": {"files": ["a.root"]}}}, ["wjets", "'ME_var'", "nominal"]),
        ({"ttbar": {"nominal": ["a.root"]}}, ["ttbar.nominal", "'files'"]),
        ({"ttbar": {"nominal": {}}}, ["ttbar.nominal", "'files'"]),
        (with_files(), ["ttbar.nominal.files", "at least one"]),
        ({"ttbar": {"nominal": {"files": "a.root"}}}, ["ttbar.nominal.files", "'a.root'"]),
        (with_files("a.root", 5), ["ttbar.nominal.files[1]", "5"]),
        (with_files(""), ["ttbar.nominal.files[0]", "path"]),
        *((with_files(f"a{end}b.root"), ["files[0]", "path"]) for end in "\n\r\x85\u2028\u202e\u200b\ufeff"),
        (with_files(a_file("a\0.root")), ["ttbar.nominal.files[0].path"]),
        (with_files(a_file("\ud800.root")), ["ttbar.nominal.files[0].path"]),
        (with_files({"nevts": 5}), ["ttbar.nominal.files[0]", "'path'"]),
        (with_files({"path": "a.root"}), ["ttbar.nominal.files[0]", "'nevts'"]),
        (with_files(a_file(path=["a.root"])), ["ttbar.nominal.files[0].path"]),
        *((with_files(a_file(nevts=bad)), ["files[0].nevts", "above 0"]) for bad in (0, -1, True, 1.0, "5", None)),
        (with_files(a_file(nevts=10**400)), ["files[0].nevts"]),
        (with_files(a_file(nevts=2**63)), ["files[0].nevts"]),
        *((with_files(a_file(entries=bad)), ["files[0].entries", "at least 0"]) for bad in (-1, False, 2.0, None)),
        (with_files(a_file(nevts=5, entries=6)), ["files[0]", "a.root", "6", "5"]),
        (with_files("a.root", a_file("./b.root"), "sub/../a.root"), ["files[2]", "a.root", "twice"]),
        (with_files("root://h//a.root", "root://h//a.root"), ["files[1]", "root://h//a.root", "twice"]),
        (with_files(a_file(mirrors="root://h//a.root")), ["files[0].mirrors", "a list"]),
        (with_files(a_file(mirrors=["s3://h/a.root"])), ["files[0]", "s3://h/a.root", "root://"]),
        *((with_files(a_file(checksum=bad)), ["files[0].checksum", "adler32"]) for bad in ("0123abcd", "adler32:0", 5)),
        (with_files("HTTP://h/a.root"), ["files[0]", "HTTP://h/a.root"]),
        (with_files("s3://h/a.root"), ["files[0]", "s3://h/a.root", "root://"]),
    ],
)
def test_a_wrong_document_is_said_to_be_wrong_and_where(load, document, words):
    with pytest.raises(InputError) as error:
        load(document)
    assert_one_line_about(error, "set.json", *words)


@pytest.mark.parametrize(
    ("document", "meant"),
    [
        (with_files({"path": "a.root", "nevents": 5}), "nevts"),
        (with_files({"path": "a.root", "NEVTS": 5}), "nevts"),
        (with_files({"Path": "a.root", "nevts": 5}), "path"),
        (with_files(a_file(entires=5)), "entries"),
        (with_files(a_file(mirror=["b.root"])), "mirrors"),
        (with_files(a_file(check_sum="adler32:0123abcd")), "checksum"),
        ({"ttbar": {"nominal": {"file": ["a.root"]}}}, "files"),
        ({"TTbar": {"nominal": {"files": ["a.root"]}}}, "ttbar"),
        ({"ttbar": {"nominal": {"files": ["a.root"]}, "ME_vr": {"files": ["b.root"]}}}, "ME_var"),
    ],
)
def test_a_misspelled_name_is_refused_with_the_right_one(load, document, meant):
    with pytest.raises(InputError) as error:
        load(document)
    assert_one_line_about(error, "set.json", f"(did you mean {meant!r}?)")


def test_keys_of_other_meanings_are_allowed(load):
    (sample,) = load(with_files(a_file(nevts_wt=4.5, comment="x", size=1, entries_raw=3, entry_list="all")))
    assert sample.files[0].entries == 10


def test_a_root_file_is_no_data_set_file(load):
    with pytest.raises(InputError) as error:
        load(b"root\x00\x00\xf6\x08")
    assert_one_line_about(error, "set.json", "a ROOT file", '{"ttbar"')


def test_samples_that_nearly_exist_are_suggested():
    samples = [Sample("ttbar", variation, ()) for variation in ("nominal", "ME_var")]
    for written, meant in [("ttbar", "ttbar__nominal"), ("ttbar__me_var", "ttbar__ME_var"), ("nominl", "nominal")]:
        with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
            select_samples(samples, written)
    with pytest.raises(UsageError) as error:
        select_samples(samples, "zjets")
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize("kind", ["path", "small", "full"])
def test_a_hundred_thousand_files_are_listed_in_seconds(load, kind):
    more = {"entries": 5, "checksum": "adler32:0123abcd"} if kind == "full" else {}
    names = [f"{number}.root" for number in range(100_000)]
    document = with_files(*(name if kind == "path" else a_file(name, **more) for name in names))
    begun = time.process_time()
    assert len(load(document)[0].files) == len(names)
    assert time.process_time() - begun < 15
    document["ttbar"]["nominal"]["files"][-1] = 5
    with pytest.raises(InputError, match=r"files\[99999\]"):
        load(document)


def test_a_hundred_thousand_files_are_divided_in_seconds():
    def record(number):
        path = f"/data/{number}.root"
        checked = CheckedFile(path, path, (), 10, 10, "TTree", str(number), 1, "")
        return FileRecord(path, "ttbar__nominal", 10, 10, "ok", "", 1, checked)

    sample = CheckedSample("ttbar", "nominal", tuple(map(record, range(100_000))))
    begun = time.process_time()
    check_together(sample)
    assert [len(unit.files) for unit in divide(sample)] == [100_000]
    assert time.process_time() - begun < 15


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "JSON"),
        ("{", "line 1 column 2"),
        (b'{"ttbar": "\xff"}', "utf-8"),
        ('{"ttbar": {"nominal": {"files": ["a.root"], "x": NaN}}}', "NaN"),
        ('{"ttbar": {"nominal": {"files": [{"path": "a.root", "nevts": Infinity}]}}}', "Infinity"),
        (
            '{"ttbar": {"nominal": {"files": ["a.root"]}}, "ttbar": {"nominal": {"files": ["a.root"]}}}',
            "'ttbar'",
        ),
        ('{"ttbar": {"nominal": {"files": [{"path": "a.root", "nevts": 1, "nevts": 2}]}}}', "'nevts'"),
        ("[" * 100_000, "deeply"),
        ('{"ttbar": ' * 100_000, "deeply"),
        ("1" * 10_000, "JSON"),
    ],
)
def test_what_is_not_json_is_said_not_to_be(load, text, word):
    with pytest.raises(InputError) as error:
        load(text)
    assert_one_line_about(error, "set.json", word)


def test_a_data_set_file_that_cannot_be_read(tmp_path):
    for path, reason in ((tmp_path / "none.json", "no such file"), (tmp_path, "directory")):
        with pytest.raises(InputError) as error:
            load_dataset(path, KNOWN)
        assert_one_line_about(error, str(path), reason)


def assert_samples_or_input_error(path):
    try:
        samples = load_dataset(path, KNOWN)
    except InputError as error:
        message = str(error)
    else:
        assert samples
        assert all(sample.files and sample.variation in KNOWN[sample.process] for sample in samples)
        return
    assert message.startswith(f"{path}: ")
    assert message.encode().decode().splitlines() == [message]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["ttbar", "a.root"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ttbar", "nominal", "files", "path", "nevts"]) | st.text(), inner)
    ),
    max_leaves=8,
)


def places(value, path=()):
    """All places in a document."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def replaced(value, path, new):
    """Give a copy of a document with another value at a place."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


GOOD = {
    "ttbar": {
        "nominal": {"nevts_total": 30, "files": [a_file("a.root", 20, entries=3), a_file("b.root")]},
        "ME_var": {"files": ["root://host//c.root"]},
    },
    "data": {"nominal": {"files": ["d.root"]}},
}


@settings(deadline=None)
@given(st.sampled_from(list(places(GOOD))), JSON)
def test_no_document_gives_anything_but_samples_or_an_input_error(tmp_path_factory, place, value):
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    path.write_text(json.dumps(replaced(GOOD, place, value)))
    assert_samples_or_input_error(path)


@settings(deadline=None)
@given(st.data())
def test_no_bytes_give_anything_but_samples_or_an_input_error(tmp_path_factory, data):
    text = bytearray(json.dumps(GOOD).encode())
    for position, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        text[position] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(text[: data.draw(st.integers(0, len(text)))])
    assert_samples_or_input_error(path)


SAMPLES = [
    Sample("ttbar", "nominal", (InputFile("/a", 1, 1), InputFile("/b", 1, 1))),
    Sample("ttbar", "ME_var", (InputFile("/c", 1, 1),)),
    Sample("wjets", "nominal", (InputFile("/d", 1, 1), InputFile("/e", 1, 1), InputFile("/f", 1, 1))),
]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ("all", [0, 1, 2]),
        ("nominal", [0, 2]),
        ("wjets__nominal,ttbar__nominal", [0, 2]),
        ("ttbar__ME_var, ttbar__ME_var", [1]),
        ("nominal,ttbar__ME_var", [0, 1, 2]),
    ],
)
def test_samples_are_chosen_by_name(names, chosen):
    assert select_samples(SAMPLES, names) == [SAMPLES[index] for index in chosen]


@pytest.mark.parametrize("names", ["", "ttbar", "ttbar__nominal,zjets__nominal", "ttbar__nominal,", "ME_var"])
def test_a_sample_that_is_not_there_is_a_mistake_on_the_command_line(names):
    with pytest.raises(UsageError, match="ttbar__nominal, ttbar__ME_var, wjets__nominal") as error:
        select_samples(SAMPLES, names)
    assert error.value.exit_code == 2


def test_nominal_needs_a_nominal_sample():
    with pytest.raises(UsageError):
        select_samples(SAMPLES[1:2], "nominal")


def test_the_first_files_of_each_sample_are_kept():
    limited = limit_files(SAMPLES, 2)
    assert [[file.path for file in sample.files] for sample in limited] == [
        ["/a", "/b"],
        ["/c"],
        ["/d", "/e"],
    ]
    assert limit_files(SAMPLES, 99) == SAMPLES


def test_the_public_data_set_is_complete(test_data):
    samples = load_dataset(resource("datasets", "agc2015.json"), agc_v1.variations)
    listed = {
        (sample.process, sample.variation, file.path.split("/1.0.0/")[1], str(file.entries))
        for sample in samples
        for file in sample.files
    }
    with (test_data / "agc_2015_files.csv").open() as stream:
        assert listed == {tuple(row) for row in list(csv.reader(stream))[1:]}
    assert sum(len(sample.files) for sample in samples) == 787
    assert sum(file.nevts for sample in samples for file in sample.files) == 940_160_174
