"""Which events a user wants, and getting them here."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.filesize import decimal

from ttbar import simulate
from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError, did_you_mean
from ttbar.executors import Executor
from ttbar.inputs.cache import Cache
from ttbar.inputs.dataset import Sample, limit_files, load_dataset, select_samples
from ttbar.inputs.delivery import Request, check_together, deliver
from ttbar.inputs.files import BadFile, CheckedSample, FileRecord
from ttbar.library import resource, start_root
from ttbar.progress import Display, done, say

DEMO = "demo"

_PATIENCE = 10
"""How many time-outs of a server it takes until a process that reads from it is taken for dead."""

_LEAST_PATIENCE_S = 30  # it takes some seconds to start ROOT and to compile a graph


@dataclass(frozen=True)
class Source:
    """Which events a user wants; see `ttbar run --help`."""

    dataset: str
    samples: str
    files: int | None
    prefixes: tuple[tuple[str, str], ...]
    tree: str
    bad_files: str
    cache: Path | None
    cache_limit: int | None
    timeout: float

    @property
    def skip_bad(self) -> bool:
        """Whether to go on without files that cannot be used."""
        return self.bad_files == "skip"

    @property
    def patience(self) -> float:
        """Seconds without a sign of life after which a process is taken for dead."""
        return max(_LEAST_PATIENCE_S, _PATIENCE * self.timeout)

    def request(self, columns: Mapping[str, str | None], reserved: frozenset[str]) -> Request:
        """How the files are wanted, given the columns and their types, and names that no column may have."""
        cache = None
        if self.cache:
            cache = Cache(self.cache.absolute(), self.cache_limit, time.time(), self.timeout)
        return Request(self.tree, columns, self.patience, cache, reserved)


def dataset_file(source: Source, executor: Executor) -> Path:
    """Find the file of a data set.

    Parameters
    ----------
    source : Source
        Its data set is `demo`, which is simulated on first use, the name of one that comes with the program, or a
        file.
    executor : Executor
        Who simulates, on this machine.

    Returns
    -------
    pathlib.Path
        The data set file.

    Raises
    ------
    InputError
        If the demo data set cannot be written.
    """
    if source.dataset == DEMO:
        executor.call_here(start_root)
        done()  # the other process shows how far it is
        return executor.call_here(simulate.demo)
    return _shipped().get(source.dataset, Path(source.dataset))


def _shipped() -> dict[str, Path]:
    """The data sets that come with the program, by name."""
    return {path.stem: path for path in resource("datasets").glob("*.json")}


def list_samples(source: Source, dataset: Path, analysis: Analysis) -> list[Sample]:
    """The samples that the user wants.

    Parameters
    ----------
    source : Source
        What the user wants.
    dataset : pathlib.Path
        The data set file.
    analysis : Analysis
        The analysis, which knows the processes.

    Returns
    -------
    list of Sample
        Samples and their files.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for.
    InputError
        If the data set file is missing or wrong.
    """
    if not dataset.exists() and (meant := did_you_mean(source.dataset, [DEMO, *_shipped()])):
        raise InputError(f"{dataset}: there is no data set or file of this name{meant}")
    samples = select_samples(load_dataset(dataset, analysis.variations, source.prefixes), source.samples)
    return samples if source.files is None else limit_files(samples, source.files)


def adapted(analysis: Analysis, samples: Sequence[Sample]) -> Analysis:
    """An analysis with the cross-sections and the luminosity that a data set gives.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    samples : sequence of Sample
        Samples of the data set.

    Returns
    -------
    Analysis
        The same one if the data set gives none.
    """
    luminosity = samples[0].luminosity or analysis.luminosity
    given = {
        sample.process: sample.cross_section
        for sample in samples
        if sample.cross_section and not analysis.process(sample.process).is_data
    }
    processes = tuple(
        replace(process, cross_section=given.get(process.name, process.cross_section)) for process in analysis.processes
    )
    return replace(analysis, luminosity=luminosity, processes=processes)


def get(
    source: Source,
    samples: list[Sample],
    columns: Mapping[str, str | None],
    reserved: frozenset[str] = frozenset(),
    executor: Executor | None = None,
) -> list[CheckedSample]:
    """Get the files of samples here and check them before anything else happens, and show how far it is.

    Parameters
    ----------
    source : Source
        What the user wants.
    samples : list of Sample
        What `list_samples` gave.
    columns : mapping of str to str or None
        The columns that a file must have, with their types; None for any.
    reserved : frozenset of str, optional
        Names that no column of a file may have.
    executor : Executor, optional
        Where the files are going to be read, if that is not on this machine.

    Returns
    -------
    list of CheckedSample
        What is there to be used: at least one file of each sample.

    Raises
    ------
    InputError
        If a file cannot be used and is not to be left out, or a sample has no events.
    """

    def tell(record: FileRecord) -> None:
        if record.status != "ok" and not source.skip_bad:
            raise BadFile(record.path, record.reason)
        if record.reason:
            say(f"{record.path}: {record.status}: {record.reason}")

    checked = check(source, samples, columns, tell, reserved, executor)
    for sample in checked:
        check_together(sample)
    return checked


def check(
    source: Source,
    samples: list[Sample],
    columns: Mapping[str, str | None],
    on_record: Callable[[FileRecord], object],
    reserved: frozenset[str] = frozenset(),
    executor: Executor | None = None,
) -> list[CheckedSample]:
    """Get the files of samples here and check each by itself, and show how far it is.

    Parameters
    ----------
    source, samples, columns, reserved, executor
        As in `get`.
    on_record : callable
        Called after each file, in their order, with what became of it. What it raises ends it all.

    Returns
    -------
    list of CheckedSample
        What became of the files.

    Raises
    ------
    InputError
        If there is no place for local copies.
    """
    with Display("Checking", sum(len(sample.files) for sample in samples), "files") as display:

        def show(record: FileRecord) -> None:
            on_record(record)
            display.advance()

        def note(number: int) -> None:
            if number:
                display.note(f"{decimal(number)} fetched")

        return deliver(samples, source.request(columns, reserved), show, note, executor)
