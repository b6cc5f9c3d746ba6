"""Everything that a run would check, without running."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from rich.table import Column, Table

from ttbar import progress
from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError
from ttbar.execution import loop
from ttbar.inputs.delivery import check_together
from ttbar.inputs.files import CheckedSample, FileRecord
from ttbar.inputs.source import Source, dataset_file, list_samples
from ttbar.inputs.source import check as check_files
from ttbar.jobs.run import model_files
from ttbar.terminal import one_line
from ttbar.worker import Worker


def check(source: Source, analysis: Analysis, models: Sequence[Path] = ()) -> list[CheckedSample]:
    """Check the models and all files of a data set, and print a line for each file and a summary.

    Parameters
    ----------
    source : Source
        What to check.
    analysis : Analysis
        What it is checked for.
    models : sequence of pathlib.Path, optional
        The models that a run would use; none for those that come with the program.

    Returns
    -------
    list of CheckedSample
        What became of the files.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for.
    InputError
        If a run would end with an input error.
    """
    files = tuple(map(str, model_files(analysis, models)))
    with Worker(partial(loop.initialise, 1, analysis, files)) as worker:
        progress.now("Starting ROOT")
        dataset = dataset_file(source, worker)
        worker.ready()
    progress.now("Reading the data set file")
    listed = list_samples(source, dataset, analysis)
    samples = check_files(source, listed, analysis.columns, _show, analysis.reserved)
    progress.show(_summary(samples))
    bad = [record for sample in samples for record in sample.records if not record.checked]
    if bad and not source.skip_bad:
        raise InputError(
            f"{bad[0].path}: {bad[0].reason}; {len(bad)} of {sum(len(sample.records) for sample in samples)} files are"
            " bad, replace them, or leave them out with --bad-files skip"
        )
    for sample in samples:
        check_together(sample)
    return samples


def _show(record: FileRecord) -> None:
    """Print a line on a file."""
    events = "?" if record.entries is None else f"{record.entries:,}"
    status = "ok " if record.checked else "bad"
    click.echo(one_line(f"{status} {record.sample}  {events} events  {record.path}  {record.reason}".rstrip()))


def _summary(samples: list[CheckedSample]) -> Table:
    """Count files and events by sample."""
    table = Table(Column("sample", no_wrap=True))
    for title in ("good files", "bad files", "stored events", "generated events"):
        table.add_column(title, justify="right")
    for sample in samples:
        good = len(sample.good)
        counts = (good, len(sample.records) - good, sample.entries, sample.nevts)
        table.add_row(sample.name, *(f"{count:,}" for count in counts))
    return table
