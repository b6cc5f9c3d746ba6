"""The notebook, and one who works in a notebook: everything in one kernel."""

import json
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from program import is_running

from ttbar.simulate import simulate

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "ttbar.md"
WITHIN_S = 300


def executed(notebook, folder):
    """Execute a notebook in a folder; a cell that fails ends it."""
    client = NotebookClient(notebook, timeout=WITHIN_S, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute()
    return notebook


def outputs(cell, kind):
    """Outputs of a cell of a MIME type."""
    found = [each["data"] for each in cell["outputs"] if each["output_type"] in ("execute_result", "display_data")]
    return ["".join(data[kind]) for data in found if kind in data]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    notebook = executed(jupytext.read(NOTEBOOK), folder)
    assert (folder / "output" / "notebook" / "run.json").exists()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cell_with(cells, text):
    [found] = [cell for cell in cells if text in cell.source]
    return found


def test_results_show_themselves(cells):
    assert "4j2b" in outputs(cell_with(cells, "result.cutflow"), "text/html")[-1]
    assert "wjets__nominal" in outputs(cell_with(cells, "ttbar.check("), "text/html")[-1]
    assert "histograms.root" in outputs(cell_with(cells, 'output="output/notebook"'), "text/html")[-1]
    assert "observable" in outputs(cell_with(cells, 'histograms["4j1b"]'), "text/plain")[-1]
    assert "ttbar_norm" in outputs(cell_with(cells, "result.fit()"), "text/html")[-1]


@pytest.mark.parametrize("region", ["4j1b", "4j2b"])
def test_plots_are_inline(cells, region):
    [picture] = outputs(cell_with(cells, f'plot("{region}"'), "image/png")
    assert len(picture) > 20_000


def test_the_numbers_are_those_of_the_demo(cells):
    [text] = outputs(cell_with(cells, 'parameters["ttbar_norm"]'), "text/plain")
    assert text.startswith("1.02")
    assert outputs(cell_with(cells, "ttbar.open"), "text/plain")[-1] == "(180000, True)"


USER = """
import os, signal, threading, time
import ttbar
from ttbar.errors import InputError, Interrupted
sample = dict(samples="ttbar__nominal", plots=False, fit=False, threads=1)
result = ttbar.run({dataset!r}, output="first", **sample)
total = result.histograms["4j1b"].sum(flow=True).value
# ---
os.truncate({victim!r}, 1000)
try:
    ttbar.run({dataset!r}, output="second", **sample)
except InputError as error:
    sentence = str(error)
print(sentence)
# ---
os.remove({victim!r})
os.rename({victim!r} + ".good", {victim!r})
again = ttbar.run({dataset!r}, output="second", **sample)
assert again.histograms["4j1b"].sum(flow=True).value == total
# ---
main = threading.main_thread().ident
from ttbar.execution import units
begin = units._Processing._begin
def interrupted(self, group):
    begin(self, group)
    signal.pthread_kill(main, signal.SIGINT)
units._Processing._begin = interrupted
try:
    ttbar.run({dataset!r}, output="third", **sample)
except Interrupted as error:
    print("ended:", error)
units._Processing._begin = begin
print([child for child in open(f"/proc/self/task/{{os.getpid()}}/children").read().split()])
# ---
third = ttbar.run({dataset!r}, output="third", **sample)
assert third.histograms["4j1b"].sum(flow=True).value == total
third.fit()
figure = third.plot("4j1b", "observable")
figure
# ---
try:
    ttbar.run({dataset!r}, samples="ttbar__nominl")
except ttbar.UsageError as error:
    print(error)
"""


def test_a_user_runs_breaks_interrupts_and_goes_on_in_one_kernel(tmp_path):
    dataset = simulate(tmp_path / "toy", 4000, ["ttbar__nominal"], seed=1, ballast=False)
    victim = tmp_path / "toy" / json.loads(dataset.read_text())["ttbar"]["nominal"]["files"][1]["path"]
    Path(f"{victim}.good").write_bytes(victim.read_bytes())
    cells = USER.format(dataset=str(dataset), victim=str(victim)).split("# ---\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    executed(notebook, tmp_path)

    def printed(cell):
        return "".join(each.get("text", "") for each in notebook.cells[cell]["outputs"])

    assert victim.name in printed(1)
    assert "ended: interrupted" in printed(3)
    assert "did you mean 'ttbar__nominal'" in printed(5)
    children = printed(3).strip().splitlines()[-1]
    assert not [child for child in json.loads(children.replace("'", '"')) if is_running(int(child))]
    assert outputs(notebook.cells[4], "image/png")
    assert json.loads((tmp_path / "third" / "fit.json").read_text())["status"] == "complete"
