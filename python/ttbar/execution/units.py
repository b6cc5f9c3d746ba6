"""Units of work: dividing samples into them, processing each until it is done or its culprit known, keeping results."""

import hashlib
import heapq
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count, groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from ttbar.analyses.analysis import Analysis
from ttbar.child import REFRESH_S
from ttbar.errors import AnalysisError, InputError
from ttbar.execution import kept
from ttbar.execution.unit import Cost, LoopFailed, Packed, Partial, Unit
from ttbar.executors.executor import Executor
from ttbar.inputs.delivery import check_together
from ttbar.inputs.files import BadFile, CheckedFile, CheckedSample, is_remote
from ttbar.inputs.retries import attempts
from ttbar.progress import Display, say
from ttbar.worker import WorkerDied

UNIT_ENTRIES = 10_000_000
"""A unit takes files until it has this many events: few enough to repeat, enough to keep many cores busy."""

AHEAD = 2
"""So many units for each process are handed over, so that none waits for the next."""

RESULT_FILES = f"*-{16 * '[0-9a-f]'}.unit"
"""Pattern of the names of the files that `Results` writes."""


class CrashingFile(BadFile):
    """A file that makes the event loop crash."""

    exit_code = 4

    def __str__(self) -> str:
        """One line that names the file, says why and what to do; a crash does not tell whose fault it is."""
        return (
            f"{self.path}: {self.reason}; mend helpers and expressions of the analysis if they are your own, else"
            " replace the file, or leave it out with --bad-files skip"
        )


class Store(Protocol):
    """Where the results of units are kept, so that an interrupted run can go on."""

    def load(self, unit: Unit) -> Partial | None:
        """Find the result of a unit; None if it is not there, or not whole."""

    def save(self, unit: Unit, result: Partial) -> None:
        """Keep the result of a unit."""

    def failed(self, unit: Unit) -> None:
        """Note that an attempt at a unit has failed; raise what is to blame, if it is the place where results go."""


@dataclass(frozen=True)
class Results:
    """A folder where the results of units are kept."""

    folder: Path
    analysis: Analysis
    run: Mapping[str, Any]
    """All that results depend on apart from the files; what `json` can write."""

    def has(self, unit: Unit) -> bool:
        """Whether there is a result of a unit, whole or not."""
        return self._path(unit).exists()

    def load(self, unit: Unit) -> Partial | None:
        """Find the result of a unit; None if it is not there, or not whole."""
        path = self._path(unit)
        if not path.exists():
            return None
        try:
            return kept.load(path, unit, self.analysis)
        except InputError as error:
            say(f"{error}; it is not used")
            return None

    def save(self, unit: Unit, result: Partial) -> None:
        """Keep the result of a unit."""
        kept.save(self._path(unit), result)

    def failed(self, unit: Unit) -> None:
        """Nothing was kept of it."""

    def _path(self, unit: Unit) -> Path:
        """Where the result of a unit is kept, named after all that it depends on."""
        files = [file.identity for file in unit.files]
        text = json.dumps([self.run, unit.sample, files, unit.entry_range], sort_keys=True)
        return self.folder / f"{unit.sample}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.unit"


def divide(sample: CheckedSample, unit_events: int | None = None, files_each: int | None = None) -> Iterator[Unit]:
    """Divide a sample into units.

    Parameters
    ----------
    sample : CheckedSample
        The sample.
    unit_events : int, optional
        About the largest number of events of a unit: a file with more is divided at its clusters into about equal
        parts. By default files are left whole.
    files_each : int, optional
        Largest number of files of a unit.

    Yields
    ------
    Unit
        Some of its usable files, or a part of one.
    """

    def unit(files: Sequence[CheckedFile], entry_range: tuple[int, int] | None = None) -> Unit:
        # Where a file could have been divided is of no use any more, and would travel with each unit.
        return Unit(sample.process, sample.variation, tuple(replace(f, clusters=()) for f in files), entry_range)

    largest = unit_events or UNIT_ENTRIES
    files: list[CheckedFile] = []
    entries = 0
    for file in sample.good:
        if files and (entries + file.entries > largest or len(files) == files_each):
            yield unit(files)
            files, entries = [], 0
        cuts = _cuts(file, unit_events) if unit_events else []
        if cuts:  # it is larger than a unit, so none has been begun
            yield from (unit([file], part) for part in zip([0, *cuts], [*cuts, file.entries], strict=True))
            continue
        files.append(file)
        entries += file.entries
    if files:
        yield unit(files)


def _cuts(file: CheckedFile, unit_events: int) -> list[int]:
    """Entries at which to divide a file into parts of about as many events as are wanted."""
    parts = -(-file.entries // unit_events)
    wanted = (file.entries * part / parts for part in range(1, parts))
    return sorted({min(file.clusters, key=lambda begin: abs(begin - cut)) for cut in wanted} if file.clusters else ())


def process(
    description: str,
    samples: Sequence[CheckedSample],
    function: Callable[[Unit], Partial],
    executor: Executor,
    skip_bad: bool,
    store: Store | None = None,
    division: Callable[[CheckedSample], Iterable[Unit]] = divide,
    ran: Callable[[Unit, Mapping[str, Cost]], object] = lambda unit, costs: None,
) -> tuple[list[CheckedSample], dict[str, Partial]]:
    """Process all units of samples, and merge their results by sample.

    A unit that fails is repeated file by file, which tells whose fault it is. What fails by itself is bad, after more
    attempts if it is read from a server. Results are merged in the order of the units, whenever they come.

    Parameters
    ----------
    description : str
        What the user sees meanwhile.
    samples : sequence of CheckedSample
        What to process.
    function : callable
        Processes a unit, in a process of the executor.
    executor : Executor
        Where it runs.
    skip_bad : bool
        Whether to leave files out that turn out to be bad.
    store : Store, optional
        Where to look for results of units, and to keep them.
    division : callable, optional
        Divides a sample; parts of a file follow each other.
    ran : callable, optional
        Called when a unit has just run, with what it cost.

    Returns
    -------
    samples : list of CheckedSample
        The same samples, with what became of each file.
    partials : dict of str to Partial
        Results by name of the sample.

    Raises
    ------
    BadFile
        If a file turns out to be bad and is not to be left out.
    InputError
        If all files of a sample turn out to be bad, or a result cannot be kept.
    AnalysisError
        If not every event was processed once.
    """
    finished, partials = [], {}
    groups = (group for sample in samples for group in _groups(sample, division(sample)))
    with Display(description, sum(sample.entries for sample in samples), "events", "compiling") as display:
        for group in _Processing(function, executor, skip_bad, store, display, ran).in_order(groups):
            account = group.account
            for result in group.results():
                account.add(result)
            if group.is_last:
                name = account.sample.name
                finished.append(account.close())
                partials[name] = account.merged
                for what, events in account.merged.anomalies.items():
                    say(f"{name}: {events} event{' has' if events == 1 else 's have'} {what}")
    return finished, partials


def process_unit(
    unit: Unit, function: Callable[[Unit], Partial], executor: Executor, skip_bad: bool, store: Store
) -> Mapping[str, str]:
    """Process one unit, and keep its result or those of its files.

    Parameters
    ----------
    unit : Unit
        What to process.
    function, executor, skip_bad, store
        As in `process`.

    Returns
    -------
    mapping of str to str
        Files that turned out to be bad, with the reason.

    Raises
    ------
    BadFile
        If a file turns out to be bad and is not to be left out.
    InputError
        If a result cannot be kept.
    """
    group = _Group(_Account(CheckedSample(unit.process, unit.variation, ())), [unit])
    with Display("Processing", unit.entries, "events", "compiling") as display:
        for _ in _Processing(function, executor, skip_bad, store, display).in_order(iter([group])):
            pass
    return group.account.bad


class _Account:
    """What became of a sample and its files."""

    def __init__(self, sample: CheckedSample) -> None:
        self.sample = sample
        self.failures: Counter[str] = Counter()
        self.bad: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self._merged: Partial | None = None

    @property
    def merged(self) -> Partial:
        """The sum of all results; there is one at least."""
        assert self._merged is not None
        return self._merged

    def add(self, result: Partial) -> None:
        """Add the next result."""
        self._merged = result if self._merged is None else self._merged + result

    def close(self) -> CheckedSample:
        """The sample with what became of its files."""
        records = []
        for record in self.sample.records:
            record = replace(record, attempts=record.attempts + self.failures[record.path])
            if record.path in self.bad:
                record = replace(record, status="skipped", reason=self.bad[record.path], checked=None)
            elif record.checked:
                record = replace(
                    record,
                    processed=self.merged.processed[record.path],
                    selected=self.merged.selected.get(record.path, 0),
                    checked=replace(record.checked, source=self.sources.get(record.path, record.checked.source)),
                )
            records.append(record)
        account = replace(self.sample, records=tuple(records))
        check_together(account)
        if any(file.entries != self.merged.processed[file.path] for file in account.good):
            raise AnalysisError(
                f"{self.sample.name}: not all of its {account.entries:,} events were processed exactly once:"
                " a defect of this program, please report it"
            )
        return account


Place = tuple[int, int]
"""Number of a unit, and of a file in it, or 0: the order in which results are merged."""


@dataclass
class _Group:
    """Units whose results count together or not at all: all parts of a file, or else one unit."""

    account: _Account
    units: list[Unit]
    is_last: bool = False
    """Whether it is the last one of its sample."""
    missing: int = 0
    """How many results are still to come."""
    _results: dict[Place, Packed | Partial] = field(default_factory=dict)

    def keep(self, place: Place, result: Partial, for_long: bool) -> None:
        """Keep a result until it is its turn; small, if that may take long."""
        self._results[place] = Packed.of(result) if for_long else result

    def results(self) -> Iterator[Partial]:
        """What there is to be merged, in order."""
        in_parts = self.units[0].entry_range is not None
        if in_parts and self.units[0].files[0].path in self.account.bad:
            return  # what the good parts have given does not count
        for _, result in sorted(self._results.items(), key=lambda item: item[0]):
            yield result.unpacked() if isinstance(result, Packed) else result


def _groups(sample: CheckedSample, units: Iterable[Unit]) -> Iterator[_Group]:
    """The units of a sample in groups."""
    account = _Account(sample)
    previous = None
    for _, same_file in groupby(units, key=lambda unit: unit.files[0].path):
        if previous:
            yield previous
        previous = _Group(account, list(same_file))
    if previous:
        previous.is_last = True
        yield previous


@dataclass
class _Task:
    """A unit that is at work or waits for it."""

    group: _Group
    place: Place
    unit: Unit
    plan: Generator[tuple[str, float], BadFile, Any] | None = None
    """Where to read its file; None for the first attempt."""


class _Processing:
    """Hands units to an executor, takes what comes back, and repeats what fails."""

    def __init__(
        self,
        function: Callable[[Unit], Partial],
        executor: Executor,
        skip_bad: bool,
        store: Store | None,
        display: Display,
        ran: Callable[[Unit, Mapping[str, Cost]], object] = lambda unit, costs: None,
    ) -> None:
        self._function, self._executor, self._skip_bad = function, executor, skip_bad
        self._store, self._display, self._ran = store, display, ran
        self._begun: deque[_Group] = deque()
        self._running: dict[Future[Partial], _Task] = {}
        self._ended: SimpleQueue[Future[Partial]] = SimpleQueue()
        self._later: list[tuple[float, int, _Task]] = []
        self._numbers = count()
        self._done = 0

    def in_order(self, groups: Iterator[_Group]) -> Iterator[_Group]:
        """Process groups; each comes back when it and all before it are finished."""
        try:
            while True:
                if self._begun and not self._begun[0].missing:
                    yield self._begun.popleft()
                elif len(self._running) + len(self._later) < AHEAD * self._executor.slots and (
                    group := next(groups, None)
                ):
                    self._begun.append(group)
                    self._begin(group)
                elif self._begun:
                    self._wait()
                else:
                    return
        finally:
            for future in self._running:
                future.cancel()

    def _begin(self, group: _Group) -> None:
        """Begin with all of a group that has not been processed before."""
        for number, unit in enumerate(group.units):
            files = unit.by_file()
            known = [self._load(part) for part in files]
            alone = any(known)  # an attempt at all of them has failed before
            if not alone and len(files) > 1:
                files, known = (unit,), [self._load(unit)]
            for position, (part, result) in enumerate(zip(files, known, strict=True)):
                task = _Task(group, (number, position), part)
                group.missing += 1
                if result:
                    self._finish(task, result)
                elif alone:
                    self._start_alone(task)
                else:
                    self._submit(task)

    def _load(self, unit: Unit) -> Partial | None:
        return self._store.load(unit) if self._store else None

    def _submit(self, task: _Task) -> None:
        """Hand a unit over."""
        future = self._executor.submit(self._function, task.unit)
        self._running[future] = task
        future.add_done_callback(self._ended.put)

    def _start_alone(self, task: _Task) -> None:
        """Process a unit of one file, from wherever it can be read."""
        (file,) = task.unit.files
        task.plan = attempts((file.source, *file.others))
        self._try(task, *next(task.plan))

    def _try(self, task: _Task, address: str, pause: float) -> None:
        """Read a file from an address, after a pause."""
        (file,) = task.unit.files
        task.unit = replace(task.unit, files=(replace(file, source=address),))
        heapq.heappush(self._later, (time.monotonic() + pause, next(self._numbers), task))

    def _wait(self) -> None:
        """Wait a moment for the end of a unit."""
        while self._later and self._later[0][0] <= time.monotonic():
            self._submit(heapq.heappop(self._later)[-1])
        try:
            future = self._ended.get(timeout=REFRESH_S)
        except Empty:
            self._show()
            return
        task = self._running.pop(future)
        try:
            result = future.result()
        except (LoopFailed, WorkerDied) as error:
            task.group.account.failures.update(file.path for file in task.unit.files)
            if self._store:
                self._store.failed(task.unit)
            self._failed(task, error)
        else:
            self._ran(task.unit, result.costs)
            if self._store:
                self._store.save(task.unit, result)
            if task.plan:
                (file,) = task.unit.files
                task.group.account.sources[file.path] = file.source
            self._finish(task, result)
        self._show()

    def _finish(self, task: _Task, result: Partial | None) -> None:
        """Note that a unit is finished, with a result or without."""
        task.group.missing -= 1
        self._done += task.unit.entries
        if result:
            task.group.keep(task.place, result, for_long=task.group is not self._begun[0])

    def _failed(self, task: _Task, error: Exception) -> None:
        """Try a unit that failed again, in smaller pieces or from elsewhere, until it is clear which file is bad."""
        unit, group = task.unit, task.group
        if unit.files[0].path in group.account.bad:  # for another part of it
            self._finish(task, None)
            return
        if not task.plan:
            say(f"{unit.sample}: {error}; processing its files one by one")
            group.missing -= 1
            for position, part in enumerate(unit.by_file()):
                group.missing += 1
                self._start_alone(_Task(group, (task.place[0], position), part))
            return
        (file,) = unit.files
        transient = is_remote(file.source) or self._executor.remote  # perhaps it is the fault of the machine
        if isinstance(error, LoopFailed):
            bad = BadFile(file.path, f"{error} in {unit.sample}", transient)
        else:
            bad = CrashingFile(file.path, f"crashes the event loop of {unit.sample} ({error})", transient)
        try:
            self._try(task, *task.plan.send(bad))
        except BadFile as final:
            if not self._skip_bad:
                raise final from None
            if file.path not in group.account.bad:
                say(f"{file.path}: skipped: {final.reason}")
                group.account.bad[file.path] = final.reason
            self._finish(task, None)

    def _show(self) -> None:
        """Show how far it is; until the first event of what runs is counted, graphs are compiled."""
        if self._running:
            counted = self._executor.counted()
            sample = next(iter(self._running.values())).unit.sample
            self._display.detail = sample if counted or self._done else f"{sample}, compiling"
            self._display.update(self._done + counted)
        else:
            self._display.update(self._done)
