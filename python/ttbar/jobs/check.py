"""Everything that a run would check, without running."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.table import Column, Table

from ttbar import progress
from ttbar.analyses.analysis import Analysis
from ttbar.errors import InputError
from ttbar.execution import loop
from ttbar.execution.models import model_files
from ttbar.executors import HERE, Where
from ttbar.inputs.delivery import check_together
from ttbar.inputs.files import CheckedSample, FileRecord
from ttbar.inputs.source import Source, dataset_file, list_samples
from ttbar.inputs.source import check as check_files
from ttbar.shown import Shown


@dataclass(frozen=True, repr=False)
class Checked(Shown):
    """What a check has found."""

    samples: tuple[CheckedSample, ...]
    skip_bad: bool
    """Whether a run would go on without files that cannot be used."""

    @property
    def records(self) -> tuple[FileRecord, ...]:
        """What became of each file, in the order of the data set."""
        return tuple(record for sample in self.samples for record in sample.records)

    @property
    def bad(self) -> tuple[FileRecord, ...]:
        """The files that cannot be used."""
        return tuple(record for record in self.records if not record.checked)

    def require_usable(self) -> None:
        """Fail as a run would.

        Raises
        ------
        InputError
            If a run would end with an input error.
        """
        if self.bad and not self.skip_bad:
            raise InputError(
                f"{self.bad[0].path}: {self.bad[0].reason}; {len(self.bad)} of {len(self.records)} files are bad, "
                "replace them, or leave them out with --bad-files skip"
            )
        for sample in self.samples:
            check_together(sample)

    def __rich__(self) -> RenderableType:
        """Files and events by sample, and what is wrong with the bad files."""
        table = Table(Column("sample", no_wrap=True))
        for title in ("good files", "bad files", "stored events", "generated events"):
            table.add_column(title, justify="right")
        for sample in self.samples:
            good = len(sample.good)
            counts = (good, len(sample.records) - good, sample.entries, sample.nevts)
            table.add_row(sample.name, *(f"{count:,}" for count in counts))
        return table


def check(
    source: Source,
    analysis: Analysis,
    models: Sequence[Path] = (),
    on_record: Callable[[FileRecord], object] = lambda record: None,
    where: Where = HERE,
) -> Checked:
    """Check the models and all files of a data set.

    Parameters
    ----------
    source : Source
        What to check.
    analysis : Analysis
        What it is checked for.
    models : sequence of pathlib.Path, optional
        The models that a run would use; none for those that come with the program.
    on_record : callable, optional
        Called after each file, in their order, with what became of it.
    where : Where, optional
        Where to open the files.

    Returns
    -------
    Checked
        What became of the files, bad ones included.

    Raises
    ------
    UsageError
        If the data set does not have a sample that was asked for.
    InputError
        If the data set file or a model cannot be used.
    """
    setup = loop.Setup(1, analysis, model_files(analysis, models))
    with where.start(setup, source.patience) as executor:
        progress.now("Starting ROOT")
        dataset = dataset_file(source, executor)
        executor.ready()
        progress.now("Reading the data set file")
        listed = list_samples(source, dataset, analysis)
        samples = check_files(source, listed, analysis.columns, on_record, analysis.reserved, executor)
    return Checked(tuple(samples), source.skip_bad)
