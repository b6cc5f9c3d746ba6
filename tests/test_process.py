"""How commands end that are interrupted, at any moment, and how those whose text nobody can read."""

import os
import pty
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import synthetic
from program import assert_fails

from ttbar.inputs import delivery
from ttbar.inputs.dataset import InputFile, Sample
from ttbar.library import resource
from ttbar.results.histograms import write
from ttbar.simulate import simulate
from ttbar.worker import Worker, WorkerDied, WorkerNotStarted

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
WITHIN_S = 60

# The program, interrupted when it imports a module, which can swallow what that raises.
IMPORTING = """
import os, sys
from importlib.abc import MetaPathFinder
number, module, swallow = int(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1) == "swallow"
class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            try:
                os.kill(os.getpid(), number)
            except BaseException:
                if not swallow:
                    raise
sys.meta_path.insert(0, Finder())
from ttbar.__main__ import main
main()
"""

# The program with a command of another content.
DOING = """
import hashlib, os, signal, sys, time
from ttbar.__main__ import main
from ttbar.results import report
class Deleted:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
def content(*arguments):
    {}
report.report = content
main(["report", "--output", "."])
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("toy"), 2_000, ("ttbar__nominal", "wjets__nominal"), 5, False)


@pytest.fixture(scope="module")
def histograms(tmp_path_factory):
    path = tmp_path_factory.mktemp("histograms") / "histograms.root"
    write(path, synthetic.histograms())
    return path


def python(*arguments, timeout=WITHIN_S, **options):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


def assert_interrupted(result):
    assert_fails(result, 130, "error: interrupted")


@pytest.mark.parametrize(
    ("number", "module", "swallow"),
    [
        (signal.SIGINT, "ttbar.cli", "raise"),
        (signal.SIGTERM, "click", "swallow"),
        (signal.SIGHUP, "rich", "raise"),
        (signal.SIGQUIT, "ttbar.inputs.source", "raise"),
        (signal.SIGTERM, "numpy", "swallow"),
        (signal.SIGINT, "hist", "raise"),
        (signal.SIGINT, "multiprocessing.connection", "raise"),
        (signal.SIGTERM, "multiprocessing.connection", "swallow"),
    ],
)
def test_an_interrupt_while_modules_are_imported(number, module, swallow, toy, tmp_path, ledger):
    arguments = ("run", "--dataset", toy, "--output", tmp_path, "--no-plots", "--no-fit")
    result = python("-c", IMPORTING, int(number), module, swallow, *arguments)
    if result.returncode != 130:
        ledger.add("interrupt during an import", "wrong")
    assert_interrupted(result)
    ledger.add("interrupt during an import", "detected")


@pytest.mark.parametrize(
    "content",
    [
        "os.kill(os.getpid(), signal.SIGTERM)",
        "Deleted(); time.sleep(1000)",  # Python drops what __del__ raises
        "Deleted(); raise ValueError('what a library made of it')",
        "Deleted(); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**12)",  # C that lets nobody interrupt it
        """
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1000)""",
    ],
    ids=["at once", "dropped", "turned into another error", "in a loop in C", "a second one"],
)
def test_an_interrupt_ends_a_command_whatever_it_does(content, ledger):
    begun = time.monotonic()
    assert_interrupted(python("-c", DOING.format(content)))
    ledger.add("interrupt of any kind of work", "detected")
    assert time.monotonic() - begun < WITHIN_S / 2


def test_what_is_ignored_stays_ignored():
    ignore = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    assert python("-c", DOING.format("os.kill(os.getpid(), signal.SIGHUP)"), preexec_fn=ignore).returncode == 0


def interrupted_when(begins, number, arguments, cwd):
    """Interrupt a command, with all its processes as a terminal does, when it says what it begins."""
    command = [sys.executable, "-m", "ttbar", *map(str, arguments)]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=cwd, start_new_session=True)
    lines = []
    for line in run.stderr:
        lines.append(line)
        if line.startswith(begins):
            break
    os.killpg(run.pid, number)
    lines += run.stderr
    return subprocess.CompletedProcess(command, run.wait(WITHIN_S), "", "".join(lines))


@pytest.mark.parametrize(
    ("command", "begins"),
    [
        ("run", "Loading libraries"),
        ("run", "Starting ROOT"),
        ("run", "Checking"),
        ("run", "Processing"),
        ("check", "Starting ROOT"),
        ("check", "Checking"),
        ("simulate", "Starting ROOT"),
        ("simulate", "Simulating"),
        ("plot", "Plotting"),
        ("fit", "Fitting"),
        ("fit", "Minimising"),
    ],
)
def test_an_interrupt_in_each_phase(command, begins, toy, histograms, tmp_path, ledger):
    arguments = {
        "run": ("--dataset", toy, "--output", "output"),
        "check": ("--dataset", toy),
        "simulate": ("--output", "toy", "--events", 100_000),
        "plot": ("--histograms", histograms, "--output", "output"),
        "fit": ("--histograms", histograms, "--output", "output"),
    }[command]
    number = INTERRUPTS[len(begins) % 2] if command != "check" else signal.SIGQUIT
    assert_interrupted(interrupted_when(begins, number, (command, *arguments), tmp_path))
    ledger.add("interrupt in a phase of a command", "detected")
    assert not list(tmp_path.rglob(".*.part"))


def die(number):
    os.kill(os.getpid(), number)


def test_a_worker_that_dies_at_its_start_is_nobodys_fault(ledger):
    with Worker(partial(die, signal.SIGKILL)) as worker, pytest.raises(WorkerNotStarted, match=r"SIGKILL.*memory"):
        worker.call(os.getpid)
    with Worker(partial(os._exit, 7)) as worker, pytest.raises(WorkerNotStarted, match="status 7"):
        worker.ready()
    ledger.add("kill of a process that starts", "detected")
    with Worker() as worker:
        with pytest.raises(WorkerDied, match="SIGSEGV"):
            worker.call(die, signal.SIGSEGV)
        assert worker.call(os.getpid) != os.getpid()


def test_a_file_is_not_blamed_for_the_death_of_a_process_that_starts(monkeypatch, tmp_path, ledger):
    monkeypatch.setattr(delivery, "start_root", partial(die, signal.SIGKILL))
    sample = Sample("ttbar", "nominal", (InputFile(str(tmp_path / "a.root"), 10, 10),))
    with pytest.raises(WorkerNotStarted) as error:
        delivery.deliver([sample], delivery.Request("Events", {}, patience=WITHIN_S))
    assert "a.root" not in str(error.value)
    assert error.value.exit_code == 4
    ledger.add("kill of a process that starts", "detected")


@pytest.mark.parametrize("command", [["--help"], ["validate", "{histograms}", "{histograms}"]])
@pytest.mark.parametrize(("output", "reason"), [("> /dev/full", "No space left"), ("| true", "Broken pipe")])
def test_standard_output_that_cannot_be_written(command, output, reason, histograms, ledger):
    words = " ".join([sys.executable, "-m", "ttbar", *command]).format(histograms=histograms)
    waiting = "" if output.startswith(">") else "sleep 0.1; "  # until nobody reads any more
    result = subprocess.run(
        ["bash", "-c", f"{{ {waiting}{words}; }} {output}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert_fails(result, 3, "standard output", reason)
    ledger.add("standard output that cannot be written", "detected")


@pytest.mark.parametrize("lost", ["2> /dev/full", "2>&-", "2>&- >&- <&-", "2> >(true)"])
def test_standard_error_that_cannot_be_written_changes_nothing(lost, toy, tmp_path, ledger):
    program = f"cd {tmp_path} && {sys.executable} -m ttbar"
    for arguments, code in [
        (f"check --dataset {toy}", 0),
        ("check --dataset nowhere.json", 3),
        ("check --threads", 2),
    ]:
        assert subprocess.run(["bash", "-c", f"{program} {arguments} {lost}"], check=False).returncode == code
    ledger.add("standard error that cannot be written", "recovered")


def test_results_do_not_go_to_the_terminal_of_a_bar():
    leader, terminal = pty.openpty()
    script = "import click; from ttbar.progress import Display, now\nnow('Thinking')\nclick.echo('first')\n"
    script += "with Display('Checking', 2, 'files') as display: display.advance(); click.echo('second')"
    result = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(terminal)
    shown = os.read(leader, 100_000).decode()
    assert result.stdout == "first\nsecond\n"
    assert "Thinking" in shown
    assert "Checking" in shown


def test_what_goes_on_is_a_line_where_there_is_no_terminal():
    script = "from ttbar.progress import Display, now\nnow('Starting [ROOT]')\n"
    script += "with Display('Processing', 2, 'events', 'compiling') as display: pass"
    lines = python("-c", script, env={**os.environ, "TERM": "dumb"}).stderr.splitlines()
    assert lines == ["Starting [ROOT]", "Processing: 0 of 2 events (compiling)"]


def test_the_program_is_there_at_once():
    script = "import sys, ttbar, ttbar.__main__; print([m for m in ('click', 'rich', 'numpy') if m in sys.modules])"
    assert python("-c", script).stdout == "[]\n"
    script = "import sys, ttbar.cli; print([m for m in ('numpy', 'hist', 'matplotlib') if m in sys.modules])"
    assert python("-c", script).stdout == "[]\n"


def test_a_traceback_is_shown_on_request_alone(tmp_path):
    command = ("-m", "ttbar", "report", "--output", tmp_path / "nowhere")
    assert "Traceback" not in python(*command).stderr
    result = python("-m", "ttbar", "--debug", *command[2:])
    assert "in write_report" in result.stderr or "in report" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    environment = {**os.environ, "TTBAR_DEBUG": "1"}
    assert "Traceback" in python("-c", DOING.format("1 / 0"), env=environment).stderr
    assert_fails(python("-c", DOING.format("1 / 0")), 4, "ZeroDivisionError", "TTBAR_DEBUG")


def test_the_script_is_the_same_program():
    script = Path(sys.executable).with_name("ttbar")
    assert python(script, "--version").stdout == python("-m", "ttbar", "--version").stdout
    assert "ttbar.__main__" in script.read_text()
    assert resource("lib", "libttbar.so").exists()


def test_no_command_waits_for_parts_of_libraries_that_it_does_not_need():
    program = "import sys, ttbar.jobs.run, ttbar.results.fit, ttbar.results.report; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "cabinetry" in modules.split()
    assert not {"rfc3987_syntax", "lark"} & {*modules.split()}  # two seconds


def test_a_part_that_is_left_out_can_be_imported_afterwards():
    program = "import ttbar.lean_jsonschema, rfc3987_syntax; print(rfc3987_syntax.is_valid_syntax('iri', 'http://a'))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("os.getppid() + 1", 1)])
def test_a_process_ends_at_once_whose_parent_has_ended_before(parent, status):
    program = f"import os; from ttbar.process import end_with; end_with({parent})"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == status


def test_so_does_a_worker(monkeypatch):
    own = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: own + 1)
    with Worker() as worker, pytest.raises(WorkerNotStarted, match="exit status 1"):
        worker.call(abs, -1)
