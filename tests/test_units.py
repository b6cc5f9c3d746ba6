"""Units: how samples are divided, what becomes of the pieces, and that it does not matter where and when they run."""

import random
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from compare import bits
from program import Results, run_analysis

from ttbar.analyses import agc_v1
from ttbar.errors import AnalysisError
from ttbar.execution import loop, units
from ttbar.execution.analyse import read_columns
from ttbar.execution.histograms import PARTS
from ttbar.execution.unit import LoopFailed, Packed, Partial, Unit
from ttbar.execution.units import CrashingFile, divide, process
from ttbar.executors import Executor, LocalExecutor
from ttbar.inputs.check_file import MAX_PARTS, check_file
from ttbar.inputs.files import BadFile, CheckedFile, CheckedSample, FileRecord, InputFile
from ttbar.library import load_root
from ttbar.simulate import simulate
from ttbar.worker import WorkerDied


def sample(*entries, cluster=100, others=(), name="ttbar"):
    """A sample of files of so many entries."""
    records = []
    for number, n in enumerate(entries):
        path = f"/{name}-{number}.root"
        clusters = tuple(range(cluster, n, cluster))
        checked = CheckedFile(path, path, others, n, n, "TTree", f"{name}{number}", n, "1", clusters=clusters)
        records.append(FileRecord(path, f"{name}__nominal", n, n, "ok", "", 1, checked))
    return CheckedSample(name, "nominal", tuple(records))


# --- Dividing


@pytest.mark.parametrize("seed", range(20))
def test_units_have_each_entry_once_and_are_of_about_equal_work(seed):
    chance = random.Random(seed)
    files = [chance.randrange(20_000) for _ in range(chance.randrange(1, 30))]
    largest = chance.randrange(300, 30_000)
    found = list(divide(sample(*files), largest))
    ranges = {}
    for unit in found:
        for file in unit.files:
            ranges.setdefault(file.path, []).append(unit.entry_range or (0, file.entries))
            assert file.clusters == ()
        assert unit.entries <= largest + 100 or len(unit.files) == 1
        if unit.entry_range:
            assert len(unit.files) == 1
            assert unit.entries >= largest / 2 - 100
            assert unit.entries <= largest + 100
            assert unit.entry_range[0] % 100 == 0
    for number, entries in enumerate(files):
        covered = ranges[f"/ttbar-{number}.root"]
        assert (covered[0][0], covered[-1][1]) == (0, entries)
        assert all(one[1] == next_[0] for one, next_ in pairwise(covered))
    assert [file.path for unit in divide(sample(*files)) for file in unit.files] == [*ranges]


def test_a_file_is_only_divided_between_clusters():
    assert [unit.entry_range for unit in divide(sample(1000, cluster=1000), 100)] == [None]
    assert [unit.entry_range for unit in divide(sample(1000, cluster=600), 100)] == [(0, 600), (600, 1000)]
    assert [unit.entry_range for unit in divide(sample(1000), 1000)] == [None]


def test_the_check_finds_where_clusters_of_a_ttree_begin(tmp_path):
    root = load_root()
    options = root.RDF.RSnapshotOptions()
    path = str(tmp_path / "a.root")
    for flush, found in ((100, tuple(range(100, 1234, 100))), (1, None)):
        options.fAutoFlush = flush
        root.RDataFrame(1234).Define("x", "rdfentry_").Snapshot("Events", path, ["x"], options)
        clusters = check_file(InputFile(path, None, None), "Events", {"x": None}).clusters
        assert clusters == found or (found is None and 100 < len(clusters) <= MAX_PARTS)


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_of_an_rntuple_have_its_entries_once(tmp_path, threads):
    with LocalExecutor(partial(loop.initialise, threads, agc_v1.analysis)) as executor:
        clusters, sums = executor.call(parts_of_an_rntuple, tmp_path)
    assert {100, 200} <= {*clusters}  # those that are written by several threads at once are smaller
    assert len(sums) == 4
    assert sum(sums[:-1]) == sums[-1] == sum(range(300))


def parts_of_an_rntuple(folder):
    """Clusters of an RNTuple of three, and sums of a column in its parts and in all."""
    root = load_root()
    options = root.RDF.RSnapshotOptions()
    options.fOutputFormat = root.RDF.ESnapshotOutputFormat.kRNTuple
    path = str(folder / "all.root")
    merger = root.TFileMerger(False)
    merger.OutputFile(path, "RECREATE")
    for number in range(3):
        part = str(folder / f"{number}.root")
        frame = root.RDataFrame(100).Define("x", f"int(rdfentry_ + {100 * number})")
        frame.Snapshot("Events", part, ["x"], options)
        merger.AddFile(part)
    assert merger.Merge()
    checked = check_file(InputFile(path, None, None), "Events", {"x": None})
    whole = CheckedSample("ttbar", "nominal", (FileRecord(path, "ttbar__nominal", 300, 300, "ok", "", 1, checked),))

    def total(unit):
        found = None

        def book(events):
            nonlocal found
            found = events.Sum("x")
            return lambda: lambda: {"cutflow": {"nominal": {"all": int(found.GetValue())}}}

        return loop.run_unit(unit, "Events", {"x": None}, book).cutflow["nominal"]["all"]

    return checked.clusters, [total(unit) for unit in (*divide(whole, 100), *divide(whole))]


# --- Processing, with results that are made up


class Scattered(Executor):
    """Runs functions here, and ends them in an order of its own."""

    def __init__(self, seed, slots=3):
        self._chance, self._slots, self._open = random.Random(seed), slots, []

    @property
    def slots(self):
        return self._slots

    def ready(self):
        return None

    def submit(self, function, *args, **kwargs):
        future = Future()
        self._open.append((future, partial(function, *args, **kwargs)))
        return future

    def counted(self):
        if self._open:
            future, function = self._open.pop(self._chance.randrange(len(self._open)))
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)
        return 0

    def call_here(self, function, *args, **kwargs):
        return function(*args, **kwargs)

    def close(self):
        pass


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(units, "REFRESH_S", 0.001)
    monkeypatch.setattr("ttbar.inputs.retries.LONGEST_PAUSE_S", 0.001)


def made_up(unit):
    """A result whose sum depends on the order of its terms."""
    first = unit.entry_range[0] if unit.entry_range else 0
    value = np.zeros((len(PARTS), 3))
    value[0] = 10.0 ** ((first + int(unit.files[0].path[-6])) % 100 - 50) / 3, 1e50, -1e50
    return Partial({}, unit.expected, {"nominal": {"all": unit.entries}}, {}, {("h", "nominal"): value})


def processed(function, samples, seed=1, skip_bad=False, **options):
    return process("Testing", samples, function, Scattered(seed), skip_bad, division=partial(divide, **options))


@pytest.mark.parametrize("unit_events", [None, 200, 1000])
def test_the_order_in_which_units_end_does_not_change_a_bit(unit_events):
    samples = [sample(1500, 30, 40, 700), sample(900, name="wjets")]
    expected = processed(made_up, samples, 0, unit_events=unit_events)
    for seed in range(1, 8):
        found = processed(made_up, samples, seed, unit_events=unit_events)
        assert found[0] == expected[0]
        for name, result in found[1].items():
            assert result.processed == expected[1][name].processed
            assert np.array_equal(result.histograms["h", "nominal"], expected[1][name].histograms["h", "nominal"])
    assert [record.processed for each in found[0] for record in each.records] == [1500, 30, 40, 700, 900]


@pytest.mark.parametrize(
    ("entries", "threads", "tasks"), [(0, 2, 1), (99_999, 0, 1), (120_000, 2, 1), (1_000_000, 4, 5), (10**9, 128, 10)]
)
def test_threads_take_enough_events_to_be_worth_opening_a_file(entries, threads, tasks):
    assert loop.tasks_for_each_thread(entries, threads) == tasks


def test_a_small_unit_is_not_divided(tmp_path):
    simulate(tmp_path, 100, ["ttbar__nominal"], seed=1, ballast=False)
    file = check_file(InputFile(str(tmp_path / "ttbar__nominal_0.root"), None, None), "Events", agc_v1.analysis.columns)
    tasks = load_root().ROOT.TTreeProcessorMT
    tasks.SetTasksPerWorkerHint(7)
    assert read_columns(Unit("ttbar", "nominal", (file,)), "Events", ["Jet_pt"]).events == 50
    assert tasks.GetTasksPerWorkerHint() == 1


def test_parts_of_a_file_that_turns_out_to_be_bad_do_not_count(ledger):
    def fails(unit):
        if unit.entry_range and unit.entry_range[0] == 600 and "-1" in unit.files[0].path:
            raise LoopFailed("a basket is damaged")
        return made_up(unit)

    samples = [sample(1000, 1000, 1000)]
    for seed in range(5):
        with pytest.raises(BadFile, match=r"ttbar-1.*a basket is damaged"):
            processed(fails, samples, seed, unit_events=200)
        (found,), partials = processed(fails, samples, seed, skip_bad=True, unit_events=200)
        ledger.add("damaged part of a file", "detected")
        assert [record.status for record in found.records] == ["ok", "skipped", "ok"]
        assert partials["ttbar__nominal"].events == found.entries == 2000


def test_a_part_that_is_not_processed_as_expected_is_noticed(ledger):
    def loses(unit):
        result = made_up(unit)
        fewer = {path: events - (unit.entry_range == (400, 600)) for path, events in result.processed.items()}
        return replace(result, processed=fewer)

    with pytest.raises(AnalysisError, match="exactly once"):
        processed(loses, [sample(1000)], unit_events=200)
    ledger.add("lost event", "detected")


@pytest.mark.parametrize("failures", [1, 2, 4])
def test_what_a_server_refuses_is_tried_again_and_elsewhere(failures, ledger):
    seen = []

    def refused(unit):
        seen.append(unit.files[0].source)
        if len(seen) <= failures:
            raise WorkerDied("its process crashed with SIGSEGV") if failures == 2 else LoopFailed("refused")
        return made_up(unit)

    remote = sample(1000, others=("root://b//0.root",))
    (record,) = remote.records
    address = "root://a//0.root"
    remote = replace(remote, records=(replace(record, checked=replace(record.checked, source=address)),))
    (found,), _ = processed(refused, [remote])
    ledger.add("server refuses", "recovered")
    assert seen == [address] * (failures + 1)
    seen.clear()
    failures = 5
    (found,), _ = processed(refused, [remote])
    assert seen == [address] * 5 + ["root://b//0.root"]
    assert found.records[0].checked.source == "root://b//0.root"
    assert found.records[0].attempts == 6
    seen.clear()
    failures = 100
    with pytest.raises(BadFile, match="refused"):
        processed(refused, [remote])
    assert len(seen) == 9


def test_a_file_that_crashes_is_found_among_many():
    def crashes(unit):
        if any("-3" in file.path for file in unit.files):
            raise WorkerDied("its process crashed with SIGSEGV")
        return made_up(unit)

    with pytest.raises(CrashingFile, match=r"ttbar-3.root: crashes the event loop of ttbar__nominal .*SIGSEGV"):
        processed(crashes, [sample(*[10] * 6)])
    (found,), _ = processed(crashes, [sample(*[10] * 6)], skip_bad=True)
    assert [record.status == "ok" for record in found.records] == [True, True, True, False, True, True]


def test_an_error_of_the_analysis_ends_it_at_once():
    def wrong(unit):
        raise AnalysisError("nobody knows this function")

    with pytest.raises(AnalysisError, match="nobody knows"):
        processed(wrong, [sample(*[1000] * 50)], unit_events=100)


def test_what_waits_for_its_turn_is_small_and_comes_back_to_the_last_bit():
    array = np.zeros((2, 27, 27))
    array[:, 3, 4] = 1 / 3, -0.0
    result = replace(made_up(next(divide(sample(10)))), histograms={("h", "nominal"): array})
    packed = Packed.of(result)
    assert sum(len(content) for _, content in packed.histograms.values()) < array.nbytes / 50
    assert packed.unpacked().histograms["h", "nominal"].tobytes() == array.tobytes()


# --- Processes


def killed(path):
    """Die the first time."""
    import os

    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), 9)


def test_a_worker_that_dies_is_replaced(tmp_path):
    with LocalExecutor(workers=2) as executor:
        futures = [executor.submit(killed, tmp_path / "mark") for _ in range(6)]
        outcomes = [future.exception() or future.result() for future in futures]
    assert sum(isinstance(outcome, WorkerDied) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 5


def setup_that_differs():
    import os

    return os.getpid()


def test_workers_that_are_not_alike_are_an_error():
    with LocalExecutor(setup_that_differs, workers=2) as executor:
        executor.ready()
        futures = [executor.submit(killed, "/proc/nowhere") for _ in range(2)]
        assert any("has changed during the run" in str(future.exception()) for future in futures)


# --- Runs

EVENTS = 16_000
SAMPLES = ("ttbar__nominal", "wjets__nominal")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Files of two clusters each."""
    return simulate(tmp_path_factory.mktemp("toy"), EVENTS, SAMPLES, 5, False)


def run(toy, output, *options):
    result = run_analysis("--dataset", toy, "--output", output, *options)
    assert result.returncode == 0, result.stderr
    return Results(output)


def test_histograms_do_not_depend_on_the_number_of_workers(toy, tmp_path):
    run(toy, tmp_path / "one", "--threads", 1, "--unit-events", 5000)
    found = run(toy, tmp_path / "two", "--workers", 2, "--unit-events", 5000)
    assert bits(tmp_path / "one" / "histograms.root") == bits(tmp_path / "two" / "histograms.root")
    assert found.json("cutflow") == Results(tmp_path / "one").json("cutflow")
    assert found.json("metrics")["workers"] == 2
    assert found.json("metrics")["events"] == 2 * EVENTS
    assert {file["processed"] for file in found.json("run")["files"]} == {EVENTS // 2}
    assert found.json("run")["options"]["unit_events"] == 5000
