"""Units of work: dividing samples into them, processing each until it is done or its culprit known, keeping results."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any, Protocol

from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError, InputError
from ttbar.execution import kept
from ttbar.execution.unit import LoopFailed, Partial, Unit
from ttbar.inputs.delivery import check_together
from ttbar.inputs.files import BadFile, CheckedFile, CheckedSample, is_remote
from ttbar.inputs.retries import first_success
from ttbar.progress import Display, say
from ttbar.worker import Worker, WorkerDied

UNIT_ENTRIES = 10_000_000
"""A unit takes files until it has this many events: few enough to repeat, enough to keep many cores busy."""

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


@dataclass(frozen=True)
class Results:
    """A folder where the results of units are kept."""

    folder: Path
    analysis: Analysis
    run: Mapping[str, Any]
    """All that results depend on apart from the files; what `json` can write."""

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

    def _path(self, unit: Unit) -> Path:
        """Where the result of a unit is kept, named after all that it depends on."""
        text = json.dumps([self.run, unit.sample, [file.identity for file in unit.files]], sort_keys=True)
        return self.folder / f"{unit.sample}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.unit"


def divide(sample: CheckedSample, files_each: int | None = None) -> Iterator[Unit]:
    """Divide a sample into units.

    Parameters
    ----------
    sample : CheckedSample
        The sample.
    files_each : int, optional
        Largest number of files of a unit.

    Yields
    ------
    Unit
        Some of its usable files.
    """
    files: list[CheckedFile] = []
    entries = 0
    for file in sample.good:
        if files and (entries + file.entries > UNIT_ENTRIES or len(files) == files_each):
            yield Unit(sample.process, sample.variation, tuple(files))
            files, entries = [], 0
        files.append(file)
        entries += file.entries
    yield Unit(sample.process, sample.variation, tuple(files))


def process(
    description: str,
    samples: Sequence[CheckedSample],
    function: Callable[[Unit], Partial],
    worker: Worker,
    skip_bad: bool,
    store: Store | None = None,
    files_each: int | None = None,
) -> tuple[list[CheckedSample], dict[str, Partial]]:
    """Process all units of samples, and merge their results by sample.

    A unit that fails is repeated file by file, which tells whose fault it is. What fails by itself is bad, after more
    attempts if it is read from a server.

    Parameters
    ----------
    description : str
        What the user sees meanwhile.
    samples : sequence of CheckedSample
        What to process.
    function : callable
        Processes a unit with the worker.
    worker : Worker
        The process that it calls.
    skip_bad : bool
        Whether to leave files out that turn out to be bad.
    store : Store, optional
        Where to look for results of units, and to keep them.
    files_each : int, optional
        Largest number of files of a unit.

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
    with Display(description, sum(sample.entries for sample in samples), "events", "compiling") as display:
        done = 0
        for sample in samples:
            attempt = _Attempt(function, worker, skip_bad, store)
            results = []
            for unit in divide(sample, files_each):
                worker.on_progress = partial(_show, display, sample.name, done)
                results += attempt.process(unit, done)
                done += unit.entries
                display.update(done)
            finished.append(attempt.account(sample, results))
            partials[sample.name] = reduce(add, results)
            for what, events in partials[sample.name].anomalies.items():
                say(f"{sample.name}: {events} event{' has' if events == 1 else 's have'} {what}")
    return finished, partials


def _show(display: Display, sample: str, begun: int, reached: int) -> None:
    """Show how far a unit is; until its first event is counted, its graph is compiled."""
    display.detail = sample if reached > begun else f"{sample}, compiling"
    display.update(reached)


class _Attempt:
    """An attempt at the units of a sample, and what went wrong with its files."""

    def __init__(
        self, function: Callable[[Unit], Partial], worker: Worker, skip_bad: bool, store: Store | None
    ) -> None:
        self._function, self._worker, self._skip_bad, self._store = function, worker, skip_bad, store
        self._failures: Counter[str] = Counter()
        self._bad: dict[str, str] = {}
        self._sources: dict[str, str] = {}

    def process(self, unit: Unit, done: int) -> list[Partial]:
        """Process a unit, given how many events were processed before."""
        alone = [replace(unit, files=(file,)) for file in unit.files]
        known = [self._load(part) for part in alone]
        if not any(known):
            try:
                return [self._load(unit) or self._run(unit, done)]
            except (LoopFailed, WorkerDied) as error:
                say(f"{unit.sample}: {error}; processing its files one by one")
        results = []
        for part, result in zip(alone, known, strict=True):
            try:
                results.append(result or self._process_alone(part, done))
            except BadFile as error:
                if not self._skip_bad:
                    raise
                say(f"{error.path}: skipped: {error.reason}")
                self._bad[error.path] = error.reason
            done += part.entries
        return results

    def account(self, sample: CheckedSample, results: Sequence[Partial]) -> CheckedSample:
        """What became of the files of the sample."""
        processed = {path: events for result in results for path, events in result.processed.items()}
        selected = {path: events for result in results for path, events in result.selected.items()}
        records = []
        for record in sample.records:
            attempts = record.attempts + self._failures[record.path]
            record = replace(record, attempts=attempts)
            if record.path in self._bad:
                record = replace(record, status="skipped", reason=self._bad[record.path], checked=None)
            elif record.checked:
                record = replace(
                    record,
                    processed=processed[record.path],
                    selected=selected.get(record.path, 0),
                    checked=replace(record.checked, source=self._sources.get(record.path, record.checked.source)),
                )
            records.append(record)
        account = replace(sample, records=tuple(records))
        check_together(account)
        if account.entries != sum(result.events for result in results):
            raise AnalysisError(
                f"{sample.name}: not all of its {account.entries:,} events were processed exactly once:"
                " a defect of this program, please report it"
            )
        return account

    def _load(self, unit: Unit) -> Partial | None:
        return self._store.load(unit) if self._store else None

    def _run(self, unit: Unit, done: int) -> Partial:
        """Process a unit in one go, and keep its result."""
        self._worker.count_from(done)
        try:
            partial = self._function(unit)
        except (LoopFailed, WorkerDied):
            self._failures.update(file.path for file in unit.files)
            raise
        if self._store:
            self._store.save(unit, partial)
        return partial

    def _process_alone(self, unit: Unit, done: int) -> Partial:
        """Process a unit of one file, from wherever it can be read."""
        (file,) = unit.files

        def read(address: str) -> Partial:
            try:
                result = self._run(replace(unit, files=(replace(file, source=address),)), done)
                self._sources[file.path] = address
                return result
            except LoopFailed as error:
                raise BadFile(file.path, f"{error} in {unit.sample}", is_remote(address)) from None
            except WorkerDied as error:
                reason = f"crashes the event loop of {unit.sample} ({error})"
                raise CrashingFile(file.path, reason, is_remote(address)) from None

        return first_success((file.source, *file.others), read, self._worker.ended)
