"""The documentation: its commands run, its messages are those of the program, files are as it says."""

import ast
import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from program import ttbar

import ttbar as ttbar_package
from ttbar.analyses import agc_v1
from ttbar.cli import cli
from ttbar.inputs.dataset import schema as dataset_schema
from ttbar.results.fit import write_failure
from ttbar.simulate import simulate

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PACKAGE = CHECKOUT / "python" / "ttbar"
SCHEMAS = PACKAGE / "schemas"
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "models/README.md")),
    *sorted(DOCS.glob("*.md")),
]
ELSEWHERE = ("needs a cluster", "needs the internet", "needs a screen", "needs a quiet machine")
IN_A_CLONE = "in a clone: "
RUN_BY = "run by "
FILE = "file: "


@dataclass(frozen=True)
class Block:
    """A block of code of a page, with the comment before it, which says why it is not simply run here."""

    page: str
    note: str
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        return not self.note or self.note.startswith((IN_A_CLONE, FILE))


def blocks_of(page: Path) -> list[Block]:
    found = re.finditer(r"^(?:<!-- ([^\n]*) -->\n)?```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    blocks = (
        Block(str(page.relative_to(CHECKOUT)), note or "", language, text)
        for note, language, text in (match.groups() for match in found)
    )
    return [block for block in blocks if not block.language.startswith("{")]  # which are for Sphinx


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
COMMANDS = [block for block in BLOCKS if block.language == "bash"]


def calls(text: str) -> Iterator[list[str]]:
    """The commands of a text that a shell would run, as lists of words."""
    text = re.sub(r"<<'END'.*?^END$", "", text, flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        call: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("();|&") or word in ("do", "done", "then", "fi"):
                if call:
                    yield call
                call = []
                continue
            for inner in re.findall(r"\$\((.*?)\)", word):
                yield from calls(inner)
            call.append(word)


def calls_of(program: str, text: str) -> list[list[str]]:
    return [call[1:] for call in calls(text) if Path(call[0]).name == program]


def test_what_is_not_run_here_says_why():
    assert len(COMMANDS) > 25
    for block in BLOCKS:
        if block.note.startswith(RUN_BY):
            where = CHECKOUT / block.note.removeprefix(RUN_BY)
            assert where.is_file(), block
            commands = {call[0] for call in calls_of("ttbar", block.text)} if block.language == "bash" else set()
            for command in commands - {"run", "simulate"}:  # which have functions of their own in tests
                assert re.search(command.replace("-", "[-_]"), where.read_text()), (block, command)
        else:
            assert block.is_run or block.note in ELSEWHERE, block
    assert {"bash", "python", "json"} <= {block.language for block in BLOCKS}
    assert not [block for block in BLOCKS if not block.language], "a block without a language"


def parse(call: list[str]) -> None:
    """Parse what stands behind the name of the program, without doing it; what a shell would replace is a number."""
    words = [re.sub(r"\$\w+|\$", "0", word) for word in call]
    name, *arguments = words
    cli.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: f"{block.page}:{block.text.split(chr(10))[0][:40]}")
def test_commands_exist_with_their_options(block, tmp_path, monkeypatch):
    (tmp_path / "pieces").mkdir()
    monkeypatch.chdir(tmp_path)
    targets = re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    for call in calls_of("ttbar", block.text):
        if call != ["--version"]:
            parse(call)
    for call in calls_of("make", block.text):
        assert call[0] in targets
    for macro in re.findall(r"macros/\w+\.C", block.text):
        assert (CHECKOUT / macro).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_mentioned_exist(page):
    text = page.read_text()
    known = {option for command in cli.commands.values() for each in command.params for option in each.opts}
    known |= {option for each in cli.params for option in each.opts} | {"--help"}
    for code in re.findall(
        r"`((?:\.venv/bin/)?ttbar [^`]*|--[^`]*)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    ):
        for option in re.findall(r"(?<!\S)--[a-z-]+", code):
            assert option in known or option in ("--install",), (page, code)


def test_examples_of_the_help_exist_with_their_options(tmp_path, monkeypatch):
    (tmp_path / "pieces").mkdir()
    monkeypatch.chdir(tmp_path)
    parsed = 0
    for command in cli.commands.values():
        for line in (command.epilog or "").splitlines():
            if line.startswith("  "):
                for call in calls_of("ttbar", re.split("   +", line.strip())[0]):  # what follows explains it
                    parse(call)
                    parsed += 1
    assert parsed > 20


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python"], ids=lambda block: block.page
)
def test_python_uses_what_there_is(block):
    """Also where it is not run: modules can be imported, functions of the package and their arguments exist."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ttbar"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, each.name) for each in node.names)
        if isinstance(node, ast.Call) and (found := re.fullmatch(r"ttbar\.(\w+)", ast.unparse(node.func))):
            assert found[1] in ttbar_package.__all__
            inspect.signature(getattr(ttbar_package, found[1])).bind(
                *node.args, **{each.arg: each.value for each in node.keywords if each.arg}
            )


PRELUDE = """
git() {
    command git clone --quiet "$CHECKOUT" "${@: -1}"
    ln -s "$ENVIRONMENT" "${@: -1}/.venv"
    ln -s "$CHECKOUT/build" "${@: -1}/build"
}
make() { [ "$1" = setup ] || eval "$(command make --dry-run "$@" | tail -n 1)"; }
"""
"""A clone has the environment and the library of the tests, and make there does what it does when both are made."""


def run_page(page: Path, folder: Path) -> str:
    """Run what is to be run of a page, one block after another as somebody would who reads it."""
    script = [PRELUDE, "set -euo pipefail"]
    for block in blocks_of(page):
        if block.note.startswith(FILE):
            script.append(f"cat > {block.note.removeprefix(FILE)} <<'BLOCK'\n{block.text}BLOCK")
        elif block.is_run and block.language == "bash":
            script.append(block.text)
        elif block.is_run and block.language == "python":
            script.append(f"python - <<'BLOCK'\n{block.text}BLOCK")
    # Within `make test`, make would say which folder it enters, and have its variables.
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    environment = outside | {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "CHECKOUT": str(CHECKOUT),
        "ENVIRONMENT": sys.prefix,
    }
    result = subprocess.run(
        ["bash"], input="\n".join(script), cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{page}: {result.stdout[-2000:]}\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """What the tutorial leaves."""
    folder = tmp_path_factory.mktemp("tutorial")
    run_page(DOCS / "tutorial.md", folder)
    return folder / "ttbar"


@pytest.fixture(scope="module")
def place(clone, tmp_path_factory) -> Path:
    """Where somebody works who has files, a clone, and results."""
    folder = tmp_path_factory.mktemp("place")
    made = simulate(folder, 2000, ["ttbar__nominal", "wjets__nominal"], 1, False)
    made.rename(folder / "my.json")
    shutil.copy(folder / "ttbar__nominal_0.root", folder / "events.root")
    shutil.copytree(clone / "output", folder / "output")
    (folder / "macros").symlink_to(CHECKOUT / "macros")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def test_the_tutorial(clone):
    fit = json.loads((clone / "output" / "fit.json").read_text())
    assert fit["parameters"]["ttbar_norm"]["value"] == pytest.approx(1.028, abs=0.01)
    assert (clone / "output" / "report.html").stat().st_size > 100_000
    assert json.loads((clone / "output" / "harder" / "fit.json").read_text())["cross_section_pb"]["value"] > 0
    assert json.loads((clone / "output" / "harder" / "run.json").read_text())["analysis"]["name"] == "agc-v1"


def test_ten_minutes_in_cpp(tmp_path):
    run_page(DOCS / "macro_tutorial.md", tmp_path)
    for picture in ("trijet_mass.png", "mine.png"):
        assert (tmp_path / "ttbar" / picture).stat().st_size > 5000


OWN_TESTS = ("tutorial.md", "macro_tutorial.md", "cut.md")


def has_blocks_to_run(page: Path) -> bool:
    return any(block.is_run and block.language in ("bash", "python") for block in blocks_of(page))


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if has_blocks_to_run(page) and page.name not in OWN_TESTS],
    ids=lambda page: page.name,
)
def test_commands_run(page, place):
    run_page(page, place)


def test_a_cut(place):
    run_page(DOCS / "cut.md", place)
    cutflow = json.loads((place / "central" / "cutflow.json").read_text())["ttbar__nominal"]["nominal"]
    assert [each["cut"] for each in cutflow][-3:] == ["central_lepton", "4j1b", "4j2b"]
    assert cutflow[-3]["events"] < cutflow[-4]["events"]


def test_the_reference_of_cpp_names_every_header():
    text = (DOCS / "cpp.md").read_text()
    for header in (CHECKOUT / "cpp" / "include" / "ttbar").iterdir():
        assert header.name in text or header.name == "library.hpp", header


# Messages


def templates() -> Iterator[str]:
    """All texts of the program, with an ellipsis where a value comes in."""

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return text(node.left) + text(node.right)
        return "…"

    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                yield text(node)
    for path in (CHECKOUT / "cpp").rglob("*.[ch]pp"):
        yield re.sub(r'"\s*(?:\+[^"]*?\+)?\s*"', "…", path.read_text())
    yield from ((CHECKOUT / "scripts" / name).read_text() for name in ("setup-environment", "need"))


def as_pattern(message: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, message.split("…"))))


def test_messages_are_those_of_the_program():
    messages = re.findall(r"^`(.*)`\n: \S", (DOCS / "messages.md").read_text(), re.MULTILINE)
    assert len(messages) > 30
    known = list(templates())
    missing = [message for message in messages if not any(map(as_pattern(message).search, known))]
    assert not missing


# Files


def schema(name: str):
    content = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    return content


def wrong(name: str, content: object) -> list[str]:
    errors = jsonschema.Draft202012Validator(schema(name)).iter_errors(content)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


@pytest.fixture(scope="module")
def written(clone, place) -> dict[str, object]:
    """What the program writes, by the name of the file."""
    result = ttbar("split", "--dataset", place / "my.json", "--output", place / "pieces")
    assert result.returncode == 0, result.stderr
    found = {name: clone / "output" / f"{name}.json" for name in ("run", "metrics", "cutflow", "fit")}
    found["manifest"] = place / "pieces" / "manifest.json"
    return {name: json.loads(path.read_text()) for name, path in found.items()}


def test_every_schema_is_tried(written):
    assert {path.name.partition(".")[0] for path in SCHEMAS.iterdir()} == written.keys()


@pytest.mark.parametrize("name", ["run", "metrics", "cutflow", "fit", "manifest"])
def test_files_are_as_their_schemas_say(written, name):
    assert not wrong(name, written[name])
    assert wrong(name, []), "anything goes"


@pytest.mark.parametrize("name", ["run", "metrics", "fit", "manifest"])
def test_schemas_describe_all_that_is_written_and_miss_what_is_gone(written, name):
    described = schema(name)
    assert written[name].keys() <= described["properties"].keys()
    for key in described["required"]:
        assert wrong(name, {other: value for other, value in written[name].items() if other != key}), key


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run", lambda run: run.update(status="done")),
        ("run", lambda run: run["files"][0].update(status="bad")),
        ("run", lambda run: run["samples"]["ttbar__nominal"].pop("processed")),
        ("metrics", lambda metrics: metrics.update(events="many")),
        ("metrics", lambda metrics: metrics["steps"][0].pop("wall_s")),
        ("metrics", lambda metrics: metrics["meanwhile"][0].update(start_s="late")),
        ("metrics", lambda metrics: metrics["samples"]["ttbar__nominal"].pop("loop_cpu_s")),
        ("metrics", lambda metrics: metrics["processes"].update({"host:1": {}})),
        ("metrics", lambda metrics: metrics["machine"].update(cores=0)),
        ("cutflow", lambda cutflow: cutflow["ttbar__nominal"]["nominal"][0].pop("weighted")),
        ("fit", lambda fit: fit["parameters"]["ttbar_norm"].pop("uncertainty")),
        ("fit", lambda fit: fit.update(status="failed")),
        ("manifest", lambda manifest: manifest["units"][0]["files"][0].update(format="CSV")),
    ],
)
def test_schemas_refuse_what_is_wrong(written, name, change):
    content = json.loads(json.dumps(written[name]))
    change(content)
    assert wrong(name, content)


def test_a_fit_that_cannot_be_made_is_as_its_schema_says(tmp_path):
    write_failure(tmp_path, "there is no signal")
    assert not wrong("fit", json.loads((tmp_path / "fit.json").read_text()))


def test_data_set_files_are_as_their_schema_says(place):
    content = json.dumps(dataset_schema(agc_v1.analysis.variations)).replace("\\\\Z", "$")
    validator = jsonschema.Draft202012Validator(json.loads(content))
    validator.check_schema(validator.schema)
    [example] = [block.text for block in blocks_of(DOCS / "files.md") if block.language == "json"]
    for good in ((place / "my.json").read_text(), example, '{"ttbar": {"nominal": {"files": ["a.root"]}}}'):
        assert validator.is_valid(json.loads(good))
    for bad in ("{}", '{"tbar": {}}', '{"ttbar": {"nominal": {"files": [{"path": "a.root"}]}}}'):
        assert not validator.is_valid(json.loads(bad))
