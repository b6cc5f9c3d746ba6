"""Passwords and tokens in addresses: they work, and are nowhere to be seen."""

import json
import stat

import pytest
from http_server import HTTPServer, refuse
from program import assert_fails, run_analysis, ttbar
from xrootd_server import XRootDServer

from ttbar.analyses.agc_v1 import analysis as agc_v1
from ttbar.inputs.source import Source
from ttbar.library import load_root
from ttbar.masking import masked, masked_everywhere
from ttbar.results.report import report
from ttbar.simulate import simulate

SECRET = "hUnTeR2.s3cr3t"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"

SECRETS = [
    f"root://me:{SECRET}@host:1094//a.root",
    f"https://me:{SECRET}@host/a.root",
    f"https://{SECRET}@host/a.root",
    f"https://me:pass@{SECRET}@host/a.root",
    f"root://:{SECRET}@host//a.root",
    *(
        f"https://host/a.root?{name}={SECRET}"
        for name in (
            "authz",
            "token",
            "access_token",
            "AUTHZ",
            "sig",
            "Signature",
            "X-Amz-Signature",
            "X-Amz-Credential",
        )
    ),
    *(
        f"https://host/a.root?x=1&{name}={SECRET}&y=2"
        for name in (
            "X-Amz-Security-Token",
            "X-Goog-Signature",
            "AWSAccessKeyId",
            "macaroon",
            "passwd",
            "api_key",
            "key",
        )
    ),
    f"root://host//a.root?xrd.wantprot=unix&authz=Bearer%20{SECRET}",
    f"root://host//a.root?authz=Bearer {SECRET}",
    f"root://host//a.root&authz={SECRET}",
    f"root://host//a.root?a=b;token={SECRET}",
    f"https://host/a.root#access_token={SECRET}",
    f"https://host/a.root?%61uthz={SECRET}",
    f"https://host/?url=https%3A%2F%2Fhost%2Fa.root%3Ftoken%3D{SECRET}",
    f"https://host/?opaque=token%3D{SECRET}",
    f"https://host/?url=https://me:{SECRET}@host/a.root",
    f"Authorization: Bearer {SECRET}",
    f"https://host/{JWT}/a.root",
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_gives_access_is_masked(text):
    for shown in (
        text,
        f"{text}: is not there; replace it",
        f"('{text}')",
        f'"{text}", another',
        f"--prefix {text}=/b",
    ):
        result = masked(shown)
        assert SECRET not in result
        assert JWT not in result
        assert masked(result) == result
    assert masked(f"{text}: is not there").endswith(": is not there")
    assert masked(f"one {text} two").startswith("one ")
    assert masked(f"one {text} two").endswith(" two")


@pytest.mark.parametrize(
    "text",
    [
        "root://host:1094//dir/file@home.root?xrd.wantprot=unix&scitag.flow=65",
        "root://me@host//a.root",
        "https://host/a.root?design=1&version=2",
        "/data/token=5/a.root",
        "basic information about a token: none; author=me",
        "mail me@host.example, me:you@host",
        "a.root?",
        "",
    ],
)
def test_what_gives_no_access_stays(text):
    assert masked(text) == text


def test_messages_of_root_show_neither_users_nor_parameters(capfd):
    root = load_root()
    errors = root.ttbar.ErrorCollector()
    for text in SECRETS:
        if "://" in text and JWT not in text:
            address = text.replace(" ", "%20").replace("%", "%%")  # it is a format
            root.Error("TFile::Init", f"'{address}' of root://h//b.root?a=b failed")
    root.Error("TFile::Init", "root://h:1094//a@b.root and :// and https://@ are fine")
    errors.stop()
    said = capfd.readouterr().err
    assert SECRET not in said
    assert "' of root://h//b.root?*** failed" in said
    assert "root://h:1094//a@b.root and :// and https://@ are fine" in said


def test_a_document_is_masked_wherever_there_is_a_text():
    document = {"a": [f"https://h?token={SECRET}", 5, None], f"https://h?token={SECRET}": {"b": (1.5, True)}}
    assert masked_everywhere(document) == {
        "a": ["https://h?token=***", 5, None],
        "https://h?token=***": {"b": [1.5, True]},
    }


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), 500, ["wjets__nominal"], 1, True)


def listing(toy, folder, *addresses):
    """A data set file of a file of the toy, at some addresses, of which the later are mirrors."""
    file, *_ = json.loads(toy.read_text())["wjets"]["nominal"]["files"]
    path, *mirrors = (address.format(file["path"]) for address in addresses)
    dataset = folder / "dataset.json"
    listed = file | {"path": path, "mirrors": mirrors}
    dataset.write_text(json.dumps({"wjets": {"nominal": {"files": [listed]}}}))
    return dataset


def assert_hidden(folder, *results):
    for result in results:
        assert SECRET not in result.stdout
        assert SECRET not in result.stderr
    for file in folder.rglob("*"):
        assert SECRET not in file.name
        if file.is_file() and file.parent.name != "units":
            assert SECRET.encode() not in file.read_bytes(), file


@pytest.fixture
def server(toy):
    file, *_ = json.loads(toy.read_text())["wjets"]["nominal"]["files"]
    with HTTPServer() as server:
        server.files[f"{file['path']}?authz={SECRET}"] = (toy.parent / file["path"]).read_bytes()
        yield server


@pytest.fixture
def secret_address(server):
    """The address of the toy's file: a server that wants a password, and a token."""
    return server.address("{}").replace("://", f"://me:{SECRET}@") + f"?authz={SECRET}"


def test_a_run_with_secrets_in_addresses_works_and_tells_none(toy, tmp_path, server, secret_address):
    dataset = listing(toy, tmp_path, "far/{}")
    prefix = ("--prefix", f"far/={secret_address.partition('{')[0]}")
    document = json.loads(dataset.read_text())
    document["wjets"]["nominal"]["files"][0]["path"] += f"?authz={SECRET}"
    dataset.write_text(json.dumps(document))
    output = tmp_path / "shown"
    options = ("--dataset", dataset, *prefix, "--cache", output / "cache")
    ran = run_analysis(*options, "--output", output / "run", "--skim", output / "skim")
    assert ran.returncode == 0, ran.stderr
    checked = ttbar("check", *options)
    assert "***" in checked.stdout
    assert len(server.requests) == 1
    assert_hidden(output, ran, checked)
    run = json.loads((output / "run" / "run.json").read_text())
    assert run["options"]["prefixes"] == [["far/", server.address("").replace("://", "://me:***@")]]
    assert "me:***@localhost" in (output / "run" / "report.html").read_text()


def test_errors_about_addresses_with_secrets_tell_none(toy, tmp_path, server, secret_address):
    server.faults += [refuse(403)] * 5
    output = tmp_path / "shown"
    options = ("--output", output / "run", "--cache", output / "cache")
    refused = run_analysis("--dataset", listing(toy, tmp_path, secret_address), *options)
    assert_fails(refused, 3, "me:***@localhost", "?authz=***", "403")
    with XRootDServer(toy.parent) as xrootd:
        address = xrootd.address("no-{}").replace("root://", f"root://me:{SECRET}@") + f"?authz=Bearer%20{SECRET}"
        absent = run_analysis("--dataset", listing(toy, tmp_path, address), "--output", output / "run")
        assert_fails(absent, 3, "root://me:***@localhost", "?authz=***")
    misspelt = run_analysis("--dataset", tmp_path / "dataset.json", "--prefix", f"https://me:{SECRET}@host/")
    assert_fails(misspelt, 2, "OLD=NEW")
    strange = run_analysis("--dataset", listing(toy, tmp_path, f"ftp://me:{SECRET}@host/a.root"), *options)
    assert_fails(strange, 3, "ftp://me:***@host")
    assert_hidden(output, refused, absent, misspelt, strange)


def test_what_is_kept_with_secrets_is_for_its_owner_alone(toy, tmp_path, server, secret_address):
    """Results that are kept know where their files come from."""
    output = tmp_path / "run"
    (output / ".cutflow.json.part").mkdir(parents=True)  # where a file is to be written when the loop is done
    options = ("--dataset", listing(toy, tmp_path, secret_address), "--output", output, "--cache", output / "cache")
    failed = run_analysis(*options)
    assert failed.returncode == 3
    assert list((output / "units").glob("*.unit"))
    assert stat.S_IMODE((output / "units").stat().st_mode) == 0o700
    assert_hidden(output, failed)
    (output / ".cutflow.json.part").rmdir()
    resumed = run_analysis(*options, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert_hidden(output, resumed)


def test_the_command_on_a_model_card_tells_none(tmp_path):
    jobs = pytest.importorskip("ttbar.training.jobs")
    dataset, prefix = f"https://h/d.json?token={SECRET}", ("root://h/", f"root://me:{SECRET}@h/")
    source = Source(dataset, "all", None, (prefix,), "Events", "stop", None, None, 60)
    command = jobs._command(jobs.Options(source, agc_v1, tmp_path / "model.json", "both", None, 10, None, 1))
    assert SECRET not in command
    assert "--prefix 'root://h/=root://me:***@h/'" in command


def test_a_page_of_a_run_that_was_not_masked_is(tmp_path):
    address = f"https://me:{SECRET}@h/a.root?token={SECRET}"
    file = {"path": address, "reason": f"{address}: is gone", "sample": "wjets__nominal"}
    run = {"options": {"prefixes": [["a", address]], "dataset": address}, "files": [file]}
    (tmp_path / "run.json").write_text(json.dumps(run))
    report(tmp_path, agc_v1)
    page = (tmp_path / "report.html").read_text()
    assert SECRET not in page
    assert page.count("https://me:***@h/a.root?token=***") >= 4
