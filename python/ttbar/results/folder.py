"""A results folder as objects."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import hist
from rich.console import Group, RenderableType
from rich.table import Table
from rich.tree import Tree

from ttbar import progress
from ttbar.analyses.analysis import NOMINAL, Analysis, from_plain
from ttbar.errors import InputError, Interrupted
from ttbar.reading import read_json
from ttbar.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = TypeVar("Value")


class Record(Shown, Mapping[str, Value], Generic[Value]):
    """A mapping that shows itself as a table of two columns.

    Parameters
    ----------
    title : str
        What it is.
    content : mapping
        What is in it.
    """

    def __init__(self, title: str, content: Mapping[str, Value]) -> None:
        self._title, self._content = title, content

    def __getitem__(self, key: str) -> Value:
        """One entry."""
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        """Names of the entries."""
        return iter(self._content)

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._content)

    def __rich__(self) -> RenderableType:
        """A row for each entry."""
        table = Table(title=self._title, show_header=False)
        for key, value in self._content.items():
            table.add_row(key, f"{value:,.6g}" if isinstance(value, float) else str(value))
        return table


class Cutflow(Record[Mapping[str, Any]]):
    """Events after each cut: by sample, universe and cut, as in `cutflow.json`."""

    def __rich__(self) -> RenderableType:
        """Events of the nominal universe, a row for each sample."""
        rows = {sample: universes[NOMINAL] for sample, universes in self._content.items()}
        table = Table("sample", title="Events after each cut")
        for cut in next(iter(rows.values()), []):
            table.add_column(cut["cut"], justify="right")
        for sample, cuts in rows.items():
            table.add_row(sample, *(f"{cut['events']:,}" for cut in cuts))
        return table


@dataclass(frozen=True, repr=False)
class Parameter:
    """A parameter of a fit, at its best fit."""

    value: float
    uncertainty: float
    kind: str
    """`free`, `systematic` or `statistical`."""

    def __repr__(self) -> str:
        """Value and uncertainty."""
        return f"{self.value:.4f} ± {self.uncertainty:.4f}"


class FitResult(Shown):
    """A fit, as `fit.json` has it.

    Parameters
    ----------
    content : mapping
        The content of `fit.json`.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    @property
    def parameters(self) -> Record[Parameter]:
        """All parameters by name."""
        found = self.content.get("parameters", {})
        return Record(
            "Parameters",
            {name: Parameter(p["value"], p["uncertainty"], p["kind"]) for name, p in found.items()},
        )

    @property
    def parameter_of_interest(self) -> Parameter:
        """The strength of the signal."""
        return self.parameters[self.content["parameter_of_interest"]]

    def __rich__(self) -> RenderableType:
        """The parameters that are not statistical."""
        if "reason" in self.content:
            return f"The fit failed: {self.content['reason']}"
        quality = self.content["goodness_of_fit"]
        shown = {name: parameter for name, parameter in self.parameters.items() if parameter.kind != "statistical"}
        text = f"chi-squared {max(0.0, quality['chi2']):.1f} for {quality['degrees_of_freedom']} degrees of freedom"
        return Group(Record(f"Fit of {self.content['variable']}", shown).__rich__(), text)


class Results(Shown):
    """What a run has left in its folder.

    Parameters
    ----------
    folder : path-like
        The folder.

    Raises
    ------
    InputError
        If there is no such folder.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: there is no such folder, give the folder of a run (--output)")

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """What the results are made of: the content of `run.json`."""
        return self._json("run.json")

    @cached_property
    def analysis(self) -> Analysis:
        """The analysis of the run."""
        try:
            return from_plain(self.provenance["analysis"]["definition"])
        except (KeyError, TypeError, ValueError) as error:
            path = self.folder / "run.json"
            raise InputError(f"{path}: it does not tell the analysis, run it again ({error})") from None

    @cached_property
    def metrics(self) -> Record[Any]:
        """Times, rates, memory and bytes read: the content of `metrics.json`."""
        return Record("Metrics", self._json("metrics.json"))

    @cached_property
    def cutflow(self) -> Cutflow:
        """Events after each cut, by sample and universe."""
        return Cutflow("Cutflow", self._json("cutflow.json"))

    @cached_property
    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Histograms by name, each with its axes and those of process and variation."""
        from ttbar.results.histograms import load

        return load(self.folder / "histograms.root", self.analysis)

    def plot(self, histogram: str, axis: str | None = None) -> "Figure":
        """Draw a histogram, its processes stacked.

        Parameters
        ----------
        histogram : str
            Name of a histogram, e.g. `4j2b`.
        axis : str, optional
            Column of one of its axes; by default of the first.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, which shows itself in a notebook.

        Raises
        ------
        InputError
            If there is no such plot, or nothing to draw it from.
        """
        from ttbar.results.plot import draw

        first = {each.name: each.axes[0].column for _, each in self.analysis.histograms}
        name = f"{histogram}_{axis or first.get(histogram)}"
        return draw(self.folder / "histograms.root", self.analysis, name)

    def fit(
        self,
        *,
        config: str | os.PathLike[str] | None = None,
        variable: str | None = None,
        ranking: bool = False,
        scan: bool = False,
    ) -> FitResult:
        """Fit the histograms; what is written goes to the folder.

        Parameters
        ----------
        config, variable, ranking, scan
            As in `ttbar.fit`.

        Returns
        -------
        FitResult
            The fit.
        """
        from ttbar.results.fit import fit

        try:
            content = fit(
                self.folder / "histograms.root",
                self.folder,
                analysis=self.analysis,
                config=Path(config) if config else None,
                variable=variable,
                ranking=ranking,
                scan=scan,
            )
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None
        finally:
            progress.done()
        return FitResult(content)

    @property
    def fitted(self) -> FitResult:
        """The fit that is in the folder."""
        return FitResult(self._json("fit.json"))

    def __rich__(self) -> RenderableType:
        """What there is."""
        tree = Tree(f"Results in {self.folder}")
        for path in sorted(path for path in self.folder.iterdir() if not path.name.startswith(".")):
            tree.add(path.name + ("/" if path.is_dir() else ""))
        return tree

    def _json(self, name: str) -> Mapping[str, Any]:
        path = self.folder / name
        if not path.exists():
            raise InputError(f"{path}: there is no such file, run the analysis first")
        content = read_json(path)
        if not isinstance(content, dict):
            raise InputError(f"{path}: not what a run writes, make it again")
        return content
