"""Skims: a small copy of each input file, with the columns that are read and the events that can be selected."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError, Interrupted
from ttbar.execution import loop
from ttbar.execution.unit import Cost, Partial, Unit
from ttbar.execution.units import divide, process
from ttbar.execution.write_skim import skim_path, write
from ttbar.executors import Executor, Where
from ttbar.inputs.checksum import checksum_of
from ttbar.inputs.dataset import CROSS_SECTION, LUMINOSITY, load_dataset
from ttbar.inputs.files import CheckedFile, CheckedSample, Format
from ttbar.inputs.source import Source, dataset_file, get, list_samples
from ttbar.output import DATASET, part, prepare, reserved, write_json
from ttbar.progress import now, say
from ttbar.reading import read_json, read_text, require_file

_ROOM = 2**20  # bytes that can be written as long as the disk is not full


@dataclass(frozen=True)
class Skims:
    """The skims in a folder, each a file and a record of what it is made from."""

    folder: Path
    format: Format
    """How events are stored in them."""
    tree: str
    """Name of the TTree or RNTuple in the inputs."""
    analysis: Analysis
    """What they are for."""
    code: str
    """Identity of the code that makes them."""

    def failed(self, unit: Unit) -> None:
        """Remove what a process that died has left; a full disk is not the fault of the input, as ROOT has it."""
        part(skim_path(self.folder, unit)).unlink(missing_ok=True)
        _require_room(self.folder)

    def save(self, unit: Unit, result: Partial) -> None:
        """Record what the skim of a unit is made from, and what is in it."""
        path = skim_path(self.folder, unit)
        (file,) = unit.files
        record = {
            "key": self._key(unit),
            "processed": result.processed[file.path],
            "selected": result.selected[file.path],
            "checksum": checksum_of(path),
        }
        write_json(self._record_path(unit), record)

    def load(self, unit: Unit) -> Partial | None:
        """What is known of the skim of a unit; None if there is none, an outdated or a damaged one."""
        record = self._record(unit)
        try:
            require_file(skim_path(self.folder, unit))
            if record.get("key") != self._key(unit) or record["checksum"] != checksum_of(skim_path(self.folder, unit)):
                return None
            (file,) = unit.files
            processed, selected = record["processed"], record["selected"]
        except (InputError, KeyError):
            return None
        return Partial({}, {file.path: processed}, {}, {file.path: selected})

    def describe(self, sample: CheckedSample, file: CheckedFile) -> dict[str, Any]:
        """The entry of the skim of a file in a data set file."""
        unit = Unit(sample.process, sample.variation, (file,))
        record = self._record(unit)
        return {
            "path": skim_path(self.folder, unit).name,
            "nevts": file.nevts,
            "entries": record["selected"],
            "checksum": record["checksum"],
            "skim_of": file.path,
        }

    def _record(self, unit: Unit) -> dict[str, Any]:
        """What was recorded of the skim of a unit; empty if nothing was."""
        try:
            content = read_json(self._record_path(unit))
        except InputError:
            return {}
        return content if isinstance(content, dict) else {}

    def _record_path(self, unit: Unit) -> Path:
        return skim_path(self.folder, unit).with_suffix(".json")

    def _key(self, unit: Unit) -> str:
        """Identity of all that the skim of a unit depends on."""
        files = [file.identity for file in unit.files]
        content = [self.tree, self.format, self.analysis.sha256, self.code, files]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class Skimmed:
    """The skims of a data set."""

    dataset: Path
    """Their data set file."""
    samples: list[CheckedSample]
    """The samples that they are made from, with what became of each file; selected are the events in its skim."""
    cost: Cost
    """What it cost to make those that were not there."""


def skim(
    source: Source, analysis: Analysis, output: Path, format_: Format, threads: int | None, where: Where
) -> Skimmed:
    """Skim a data set; a file that fails is worth as many attempts as in a run.

    Parameters
    ----------
    source : Source
        What to skim.
    analysis : Analysis
        What the skims are for.
    output : pathlib.Path
        Where the skims go.
    format_ : {"TTree", "RNTuple"}
        How to store the events.
    threads : int or None
        Number of threads of each process; None for what `where` says.
    where : Where
        Where to skim.

    Returns
    -------
    Skimmed
        The skims.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for.
    InputError
        If a file is missing or wrong, or a skim cannot be written.
    """
    with where.start(loop.Setup(where.threads(threads), analysis), source.patience) as executor:
        now("Starting ROOT")
        dataset = dataset_file(source, executor)
        listed = list_samples(source, dataset, analysis)
        with reserved(output):
            samples = get(source, listed, analysis.columns, analysis.reserved, executor)
            return make_skims(dataset, samples, analysis, output, source.tree, source.skip_bad, format_, executor)


def make_skims(
    dataset: Path,
    samples: Sequence[CheckedSample],
    analysis: Analysis,
    folder: Path,
    tree: str,
    skip_bad: bool,
    format_: Format,
    executor: Executor,
    ran: Callable[[Unit, Mapping[str, Cost]], object] = lambda unit, costs: None,
) -> Skimmed:
    """Skim the files of samples, except those of which there is a skim already.

    Parameters
    ----------
    dataset : pathlib.Path
        The data set file.
    samples : sequence of CheckedSample
        What to skim of it, with the columns of the analysis.
    analysis : Analysis
        What the skims are for.
    folder : pathlib.Path
        Where the skims go, reserved for them.
    tree : str
        Name of the TTree or RNTuple in the files.
    skip_bad : bool
        Whether to leave files out that turn out to be bad.
    format_ : {"TTree", "RNTuple"}
        How to store the events.
    executor : Executor
        Processes that `loop.Setup` makes ready.
    ran : callable, optional
        Called when a file has just been skimmed, with its unit and what it cost.

    Returns
    -------
    Skimmed
        The skims.

    Raises
    ------
    InputError
        If a file turns out to be bad and is not to be left out, or a skim cannot be written.
    AnalysisError
        If not every event was processed once.
    Interrupted
        If the user interrupts it, with what is finished kept.
    """
    made = folder / DATASET
    if made.exists() and (made.samefile(dataset) or '"skim_of"' not in read_text(made)):
        raise InputError(f"{made}: it is not of skims alone and would be replaced, choose another folder")
    prepare(folder, (DATASET,))
    skims = Skims(folder.absolute(), format_, tree, analysis, executor.ready().code)
    try:
        by_file = partial(divide, files_each=1)
        make = partial(write, folder=skims.folder, tree=tree, analysis=analysis, format_=format_)
        done, results = process("Skimming", samples, make, executor, skip_bad, skims, by_file, ran)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the same command goes on from the skims that are in {folder}") from None
    content: dict[str, Any] = {}
    for listed in load_dataset(dataset, analysis.variations):  # what it sets for itself holds for the skims as well
        content |= {LUMINOSITY: listed.luminosity} if listed.luminosity else {}
        content[listed.process] = {CROSS_SECTION: listed.cross_section} if listed.cross_section else {}
    content = {key: value for key, value in content.items() if key in {LUMINOSITY, *(s.process for s in done)}}
    for sample in done:
        content[sample.process][sample.variation] = {
            "files": [skims.describe(sample, file) for file in sample.good if file.nevts],
            "skipped": [{"path": bad.path, "reason": bad.reason} for bad in sample.records if not bad.checked],
        }
    write_json(made, content)
    kept, entries = (sum(getattr(r, n) for s in done for r in s.records) for n in ("selected", "processed"))
    say(f"The skims in {folder} have {kept:,} of {entries:,} events")
    return Skimmed(made, done, reduce(add, (result.cost for result in results.values())))


def _require_room(folder: Path) -> None:
    """Fail where nothing can be written."""
    try:
        with TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_ROOM))
            probe.flush()
            os.fsync(probe)
    except OSError as error:  # of a file without a name
        raise OSError(error.errno, error.strerror, str(folder)) from None
