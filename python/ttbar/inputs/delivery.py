"""How the files of a data set get here: each is fetched, if need be, and checked, several at a time."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from resource import RLIMIT_AS, getrlimit, setrlimit

from ttbar.errors import InputError
from ttbar.inputs.cache import Cache, CacheFull, keep
from ttbar.inputs.check_file import check_file
from ttbar.inputs.dataset import InputFile, Sample
from ttbar.inputs.download import DownloadFailed
from ttbar.inputs.files import BadFile, CheckedFile, CheckedSample, FileRecord, is_remote, needs_cache
from ttbar.inputs.retries import first_success
from ttbar.library import start_root
from ttbar.worker import Worker, WorkerDied, count, no_setup, spread

# Largest address space of the process that checks: damage can send ROOT for all the memory of a machine.
_MAX_MEMORY = 4 * 2**30

# A process that checks files takes a second to start, so it should have some to check.
_FILES_PER_PROCESS = 20
_REMOTE_PROCESSES = 8


@dataclass(frozen=True)
class Request:
    """How files are wanted."""

    tree: str
    """Name of the TTree or RNTuple."""
    columns: Mapping[str, str | None]
    """The columns that a file must have, with their types; None for any."""
    patience: float
    """Seconds without a sign of life after which an attempt at a file has failed."""
    cache: Cache | None = None
    """Where to keep copies of remote files."""
    reserved: frozenset[str] = frozenset()
    """Names that no column of a file may have."""


def deliver(
    samples: Sequence[Sample],
    request: Request,
    on_record: Callable[[FileRecord], object] = lambda record: None,
    on_bytes: Callable[[int], object] = lambda number: None,
) -> list[CheckedSample]:
    """Get all files of samples here and check them, in processes of their own that a damaged file may crash.

    Parameters
    ----------
    samples : sequence of Sample
        What is wanted.
    request : Request
        How it is wanted.
    on_record : callable
        Called after each file, in the order of the samples, with what became of it. What it raises ends it all.
    on_bytes : callable
        Called now and then, from several threads, with the number of bytes that have been downloaded.

    Returns
    -------
    list of CheckedSample
        What became of the files, in the order of the samples.

    Raises
    ------
    InputError
        If there is no place for local copies.
    """
    jobs = [(sample, file) for sample in samples for file in sample.files]
    remote = any(is_remote(file.path) for _, file in jobs)
    # They mostly wait for servers, so there can be more processes than processors.
    processes = _REMOTE_PROCESSES if remote else os.cpu_count() or 1
    processes = min(processes, len(jobs) if remote else -(-len(jobs) // _FILES_PER_PROCESS))

    downloaded: dict[Worker, int] = {}

    def one(job: tuple[Sample, InputFile], checker: Worker, downloader: Worker) -> FileRecord:
        def note(number: int) -> None:
            downloaded[downloader] = number
            on_bytes(sum(tuple(downloaded.values())))

        downloader.on_progress = note
        sample, file = job
        return _deliver(sample.name, file, request, checker, downloader)

    delivered: dict[str, list[FileRecord]] = {}
    with spread(one, jobs, processes, setups=(start_root, no_setup), patience=request.patience) as records:
        for record in records:
            delivered.setdefault(record.sample, []).append(record)
            on_record(record)
    return [CheckedSample(sample.process, sample.variation, tuple(delivered[sample.name])) for sample in samples]


def check_together(sample: CheckedSample) -> None:
    """Check that the usable files make a sample.

    Parameters
    ----------
    sample : CheckedSample
        The sample.

    Raises
    ------
    InputError
        If there is none, the same one twice, if they are of different formats, or without a single event.
    """
    good = sample.good
    if not good:
        first_bad = sample.records[0]
        raise InputError(
            f"{sample.name}: no usable file, leave the sample out with --samples ({first_bad.path}: {first_bad.reason})"
        )
    same_uuid: dict[str, list[CheckedFile]] = {}
    for file in good:
        for other in same_uuid.setdefault(file.uuid, []):
            if None in (file.checksum, other.checksum) or file.checksum == other.checksum:
                raise InputError(
                    f"{sample.name}: {file.path} is a copy of {other.path} (same UUID), keep one of them;"
                    " if they are different files, give the checksum of each in the data set file"
                )
        same_uuid[file.uuid].append(file)
        if file.format != good[0].format:
            raise InputError(
                f"{sample.name}: {good[0].path} is a {good[0].format} and {file.path} is a"
                f" {file.format}, a sample needs files of one format"
            )
    if sample.nevts == 0:
        raise InputError(
            f"{sample.name}: no events in {good[0].path} or any other file, leave the sample out with --samples"
        )


def _deliver(sample: str, file: InputFile, request: Request, checker: Worker, downloader: Worker) -> FileRecord:
    """Get a file here from wherever it can be had, and check it."""
    attempts = 0

    def read(address: str) -> CheckedFile:
        nonlocal attempts
        attempts += 1
        if is_remote(address) and request.cache:
            with suppress(CacheFull):
                return _check_copy(checker, file, request, _fetch(downloader, file, address, request.cache))
        if needs_cache(address):
            raise BadFile(file.path, "needs a cache with room for it (--cache), or a root:// mirror (--prefix)")
        return _check_apart(checker, file, request, address)

    try:
        checked = replace(first_success(file.addresses, read, checker.ended), checksum=file.checksum)
    except BadFile as error:
        return FileRecord(file.path, sample, file.nevts, file.entries, "skipped", error.reason, attempts)
    note = "" if file.nevts is not None else "nevts is the number of entries in the file"
    return FileRecord(file.path, sample, checked.nevts, checked.entries, "ok", note, attempts, checked)


def _fetch(downloader: Worker, file: InputFile, address: str, cache: Cache) -> str:
    """Fetch a file in a worker; where its copy is comes back."""
    try:
        return str(downloader.call(cache.fetch, file.path, file.checksum, count, address))
    except DownloadFailed as error:
        raise BadFile(file.path, f"cannot be downloaded ({error.reason})", error.transient) from None
    except WorkerDied as error:
        raise BadFile(file.path, f"cannot be downloaded ({error})", transient=True) from None


def _check_copy(worker: Worker, file: InputFile, request: Request, copy: str) -> CheckedFile:
    """Check a copy in the cache, which stays there until this process ends, or goes at once if it is bad."""
    assert request.cache is not None
    keep(Path(copy))
    try:
        return _check_apart(worker, file, request, copy)
    except BadFile:
        request.cache.forget(file.path)
        raise


def _check_apart(worker: Worker, file: InputFile, request: Request, source: str) -> CheckedFile:
    """Check a file in a worker, whose death is the fault of the file or its server."""
    if source not in file.addresses:  # the cache has compared the checksum
        file = replace(file, checksum=None)
    try:
        return worker.call(_check_with_memory_limit, file, request.tree, request.columns, source, request.reserved)
    except WorkerDied as error:
        raise BadFile(file.path, f"cannot be opened ({error})", transient=is_remote(source)) from None


def _check_with_memory_limit(
    file: InputFile, tree: str, columns: Mapping[str, str | None], source: str, reserved: frozenset[str]
) -> CheckedFile:
    """Check a file, and fail or die where ROOT takes too much memory."""
    with _limited_memory():
        return check_file(file, tree, columns, source, reserved)


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Give this process less memory than there is."""
    soft, hard = getrlimit(RLIMIT_AS)
    with suppress(ValueError):  # the limit of the user is lower still
        setrlimit(RLIMIT_AS, (_MAX_MEMORY, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_AS, (soft, hard))
