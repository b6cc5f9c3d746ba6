"""A run in pieces, for batch systems: the folder is all that the pieces share, and no service connects them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ttbar import output, progress
from ttbar.analyses.analysis import Analysis
from ttbar.errors import AnalysisError, InputError, UsageError
from ttbar.execution import loop, units
from ttbar.execution.analyse import analyse
from ttbar.execution.loop import Ready
from ttbar.execution.models import model_files
from ttbar.execution.unit import Partial, Unit
from ttbar.execution.units import Results
from ttbar.executors import HERE, Executor
from ttbar.inputs import source
from ttbar.inputs.delivery import check_together
from ttbar.inputs.files import CheckedSample
from ttbar.inputs.source import Source
from ttbar.jobs.run import UNITS, Options, check_fit, drawing_process, finish, prepare_kept, store
from ttbar.progress import say
from ttbar.reading import read_json
from ttbar.timeline import Timeline

MANIFEST = "manifest.json"
"""Name of the file that says what there is to do."""

VERSION = 1
"""Version of its layout."""

_SHOWN = 5  # units that are missing
_BAD_FILES = "{}.bad.json"  # of a unit, by its number


@dataclass(frozen=True)
class Manifest:
    """All that a unit needs, and the units."""

    source: Source
    analysis: Analysis
    models: tuple[Path, ...]
    seed: int
    unit_events: int | None
    ready: Ready
    """What the event loop is to work with everywhere, but for the number of threads."""
    samples: tuple[CheckedSample, ...]
    units: tuple[Unit, ...]

    def store(self, folder: Path) -> Results:
        """Where the results of the units are, given the folder of the manifest."""
        return store(folder / UNITS, self.analysis, self.source.tree, self.seed, self.ready)


def split(options: Options) -> int:
    """Check the files of a data set, and write down what there is to do.

    Parameters
    ----------
    options : Options
        What the user chose; the output is the folder that the pieces share.

    Returns
    -------
    int
        The number of units.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for, or there is another number of models than the
        analysis has.
    InputError
        If a file is missing or wrong.
    """
    models = tuple(model.absolute() for model in model_files(options.analysis, options.models))
    setup = loop.Setup(1, options.analysis, models)
    with options.where.start(setup, options.source.patience) as executor:
        progress.now("Starting ROOT")
        dataset = source.dataset_file(options.source, executor)
        listed = source.list_samples(options.source, dataset, options.analysis)
        analysis = source.adapted(options.analysis, listed)
        with output.reserved(options.output):
            output.prepare(options.output, (*output.OF_A_RUN, MANIFEST))
            samples = source.get(options.source, listed, analysis.columns, analysis.reserved, executor)
            divided = (unit for sample in samples for unit in units.divide(sample, options.unit_events))
            manifest = Manifest(
                source=options.source,
                analysis=analysis,
                models=models,
                seed=options.seed,
                unit_events=options.unit_events,
                ready=replace(executor.ready(), threads=1),
                samples=tuple(samples),
                units=tuple(divided),
            )
            prepare_kept(options.output / UNITS, (_BAD_FILES.format("*"),))
            content = {"version": VERSION, **asdict(manifest)}
            with output.written_whole(options.output / MANIFEST) as beside:
                beside.touch(0o600)  # it knows the addresses of files, with the passwords and tokens in them
                beside.write_text(json.dumps(content, default=str))
    last = len(manifest.units) - 1
    say(
        f"{options.output} has {last + 1} units: `ttbar run-unit {options.output} N` does one, for N from 0 to {last},"
        f" on any machine, and `ttbar merge {options.output}` makes the results of them"
    )
    return last + 1


def run_unit(folder: Path, numbers: Sequence[int], threads: int) -> None:
    """Process units in one process, those whose results are not there.

    Parameters
    ----------
    folder : pathlib.Path
        What `split` made.
    numbers : sequence of int
        Numbers of the units, from 0; one that is given twice is done once.
    threads : int
        Number of threads.

    Raises
    ------
    UsageError
        If there is no such unit, or none is given.
    InputError
        If a file is missing or wrong, or the result cannot be written.
    AnalysisError
        If the event loop fails, or this is another version of the program, its model or ROOT.
    """
    if not numbers:
        raise UsageError("N", f"no unit of {folder} is given")
    numbers = tuple(dict.fromkeys(numbers))
    manifest = read_manifest(folder)
    for number in numbers:
        if not 0 <= number < len(manifest.units):
            raise UsageError("N", f"{folder} has units 0 to {len(manifest.units) - 1}, not {number}")
    kept = manifest.store(folder)
    missing = []
    for number in numbers:
        if kept.load(manifest.units[number]):
            say(f"Unit {number} is finished already")
        else:
            missing.append(number)
    if not missing:
        return
    setup = loop.Setup(threads, manifest.analysis, manifest.models)
    function = partial(analyse, tree=manifest.source.tree, analysis=manifest.analysis, seed=manifest.seed)
    with HERE.start(setup, manifest.source.patience) as executor:
        progress.now("Starting ROOT")
        _require_same(manifest, executor.ready())
        for number in missing:
            bad = units.process_unit(manifest.units[number], function, executor, manifest.source.skip_bad, kept)
            if bad:
                with output.written_whole(_bad_files(folder, number)) as beside:  # by whole addresses, as the manifest
                    beside.touch(0o600)
                    beside.write_text(json.dumps(bad))
            else:
                _bad_files(folder, number).unlink(missing_ok=True)
            say(f"Unit {number} is finished")


def merge(folder: Path, results: Path, plots: bool, fit: bool) -> None:
    """Make of the results of all units what a run writes.

    Parameters
    ----------
    folder : pathlib.Path
        What `split` made.
    results : pathlib.Path
        Results folder.
    plots, fit : bool
        Whether to plot and to fit.

    Raises
    ------
    InputError
        If units are missing, or no file of a sample could be used.
    AnalysisError
        If not every event was processed once, or the fit fails.
    """
    timeline = Timeline("start")
    progress.now("Merging")
    manifest = read_manifest(folder)
    kept = manifest.store(folder)
    bad: dict[str, dict[str, str]] = {sample.name: {} for sample in manifest.samples}
    for number, unit in enumerate(manifest.units):
        if _bad_files(folder, number).exists() and not kept.has(unit):
            bad[unit.sample] |= _texts(_bad_files(folder, number))
    numbers: dict[Unit, int] = {}
    for number, unit in enumerate(manifest.units):
        good = [part for part in unit.by_file() if part.files[0].path not in bad[unit.sample]]
        together = len(good) == len(unit.files) and (kept.has(unit) or not all(map(kept.has, good)))
        numbers |= dict.fromkeys([unit] if together else good, number)
    _require_all(folder, sorted({number for unit, number in numbers.items() if not kept.has(unit)}))
    samples = [_without(sample, bad[sample.name]) for sample in manifest.samples]
    options = Options(
        source=manifest.source,
        analysis=manifest.analysis,
        skim=None,
        models=manifest.models,
        threads=manifest.ready.threads,
        output=results,
        seed=manifest.seed,
        resume=False,
        io_only=None,
        where=HERE,
        unit_events=manifest.unit_events,
        plots=plots,
        fit=fit,
    )
    no_fit = check_fit(manifest.analysis) if fit else None
    with output.reserved(results):
        output.prepare(results, output.OF_A_RUN)
        timeline.step("process")
        with drawing_process(options) as drawing:
            done, partials = units.process(
                "Merging",
                samples,
                _nothing,
                _Nowhere(folder, numbers),
                False,
                kept,
                lambda sample: (unit for unit in numbers if unit.sample == sample.name),
            )
            if failure := finish(options, manifest.ready, 1, done, partials, None, no_fit, drawing, timeline):
                raise failure


def _nothing(unit: Unit) -> Partial:
    """What is done to units that are merged: all is done already."""
    raise NotImplementedError


class _Nowhere(Executor):
    """Where units cannot run that should have been finished: their results turned out not to be whole."""

    slots = 1

    def __init__(self, folder: Path, numbers: Mapping[Unit, int]) -> None:
        self._folder, self._numbers = folder, numbers

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Fail: say how to make the result again."""
        (unit,) = args
        again = f"run `ttbar run-unit {self._folder} {self._numbers[unit]}` again"
        raise InputError(f"the result of unit {self._numbers[unit]} is not whole: {again}")

    def ready(self) -> Any:
        """Nothing is."""

    def counted(self) -> int:
        """Nothing runs."""
        return 0

    def call_here(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing is called."""
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to end."""


def read_manifest(folder: Path) -> Manifest:
    """Read what `split` has written down.

    Parameters
    ----------
    folder : pathlib.Path
        What it made.

    Returns
    -------
    Manifest
        What there is to do.

    Raises
    ------
    InputError
        If there is no manifest of this version of the program.
    """
    import cattrs

    path = folder / MANIFEST
    content = read_json(path)
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise InputError(f"{path}: not a manifest of this version of the program, split again")
    try:
        return cattrs.structure(content, Manifest)
    except Exception:  # a group of errors, one for each field
        raise InputError(f"{path}: not a manifest as `ttbar split` writes it, split again") from None


def _require_same(manifest: Manifest, ready: Ready) -> None:
    """Fail where a unit would have another result than elsewhere."""
    for name, what in {"root_version": "ROOT", "code": "this program", "models": "the model"}.items():
        found, expected = getattr(ready, name), getattr(manifest.ready, name)
        if found != expected:
            raise AnalysisError(
                f"{what} is another one here than where the data set was split ({found}, not {expected}):"
                " use the same one, or split again"
            )


def _bad_files(folder: Path, number: int) -> Path:
    """Where it is noted which files of a unit are bad."""
    return folder / UNITS / _BAD_FILES.format(number)


def _texts(path: Path) -> dict[str, str]:
    """Read reasons by path."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(reason, str) for reason in content.values()):
        raise InputError(f"{path}: not a list of bad files, remove it and run the unit again")
    return content


def _require_all(folder: Path, missing: Sequence[int]) -> None:
    """Fail if units are missing."""
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN]))
        others = f" and {len(missing) - _SHOWN} others" if len(missing) > _SHOWN else ""
        raise InputError(
            f"{folder}: the results of {len(missing)} units are missing, of {shown}{others}: run each with"
            f" `ttbar run-unit {folder} N`"
        )


def _without(sample: CheckedSample, bad: Mapping[str, str]) -> CheckedSample:
    """A sample without files that turned out to be bad."""
    records = (
        replace(record, status="skipped", reason=bad[record.path], checked=None) if record.path in bad else record
        for record in sample.records
    )
    changed = replace(sample, records=tuple(records))
    check_together(changed)
    return changed
