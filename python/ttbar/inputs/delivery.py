"""How the files of a data set get here: each is fetched, if need be, and checked, several at a time."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ttbar.errors import InputError
from ttbar.executors import Executor
from ttbar.inputs.cache import Cache, CacheFull, keep
from ttbar.inputs.check_file import check_with_memory_limit
from ttbar.inputs.dataset import Sample
from ttbar.inputs.download import DownloadFailed
from ttbar.inputs.files import BadFile, CheckedFile, CheckedSample, FileRecord, InputFile, is_remote, needs_cache
from ttbar.inputs.retries import first_success
from ttbar.library import start_root
from ttbar.worker import Worker, WorkerDied, count, no_setup, spread

# A process that checks files takes a second to start, so it should have some to check.
_FILES_PER_PROCESS = 20
_REMOTE_PROCESSES = 8

_REQUESTS = 64
"""As many files are checked at a time where there are more processes than that on other machines."""


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
    executor: Executor | None = None,
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
    executor : Executor, optional
        Where to open the files, if that is not on this machine: what its processes cannot read is of no use.

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
    if executor and executor.remote:
        processes = min(max(1, executor.slots), _REQUESTS, len(jobs))

    downloaded: dict[Worker, int] = {}

    def one(job: tuple[Sample, InputFile], checker: Worker, downloader: Worker) -> FileRecord:
        def note(number: int) -> None:
            downloaded[downloader] = number
            on_bytes(sum(tuple(downloaded.values())))

        downloader.on_progress(note)
        sample, file = job
        elsewhere = executor is not None and executor.remote
        call = executor.call if executor and elsewhere else checker.call
        return _Delivery(file, request, downloader, call, elsewhere).record(sample.name)

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


@dataclass
class _Delivery:
    """Gets a file here from wherever it can be had, and checks it."""

    file: InputFile
    request: Request
    downloader: Worker
    call: Callable[..., Any]
    """Calls a function in another process, where the file will be read."""
    elsewhere: bool
    """Whether that may be on another machine, and on another one the next time."""
    attempts: int = 0

    def record(self, sample: str) -> FileRecord:
        """What became of the file, given the name of its sample."""
        file = self.file
        try:
            checked = replace(first_success(file.addresses, self._read, self.downloader.ended), checksum=file.checksum)
        except BadFile as error:
            return FileRecord(file.path, sample, file.nevts, file.entries, "skipped", error.reason, self.attempts)
        note = "" if file.nevts is not None else "nevts is the number of entries in the file"
        return FileRecord(file.path, sample, checked.nevts, checked.entries, "ok", note, self.attempts, checked)

    def _read(self, address: str) -> CheckedFile:
        """Read it from an address, or from the copy in the cache."""
        self.attempts += 1
        if is_remote(address) and self.request.cache:
            with suppress(CacheFull):
                return self._check_copy(self.request.cache, self._fetch(self.request.cache, address))
        if needs_cache(address):
            raise BadFile(self.file.path, "needs a cache with room for it (--cache), or a root:// mirror (--prefix)")
        return self._check(address)

    def _fetch(self, cache: Cache, address: str) -> str:
        """Fetch it; where its copy is comes back."""
        file = self.file
        try:
            return str(self.downloader.call(cache.fetch, file.path, file.checksum, count, address))
        except DownloadFailed as error:
            raise BadFile(file.path, f"cannot be downloaded ({error.reason})", error.transient) from None
        except WorkerDied as error:
            raise BadFile(file.path, f"cannot be downloaded ({error})", transient=True) from None

    def _check_copy(self, cache: Cache, copy: str) -> CheckedFile:
        """Check a copy in the cache, which stays there until this process ends, or goes at once if it is bad."""
        keep(Path(copy))
        try:
            return self._check(copy)
        except BadFile:
            cache.forget(self.file.path)
            raise

    def _check(self, source: str) -> CheckedFile:
        """Check it in another process, whose death is the fault of the file or its server."""
        request, file = self.request, self.file
        if source not in file.addresses:  # the cache has compared the checksum
            file = replace(file, checksum=None)
        try:
            checked: CheckedFile = self.call(
                check_with_memory_limit, file, request.tree, dict(request.columns), source, request.reserved
            )
        except WorkerDied as error:
            transient = is_remote(source) or self.elsewhere
            raise BadFile(file.path, f"cannot be opened ({error})", transient) from None
        return checked
