"""The RDataFrame graph of an analysis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from ttbar.analyses.analysis import (
    PASSES_CUT,
    SEED,
    WEIGHT,
    WEIGHT_FACTORS,
    Analysis,
    Cut,
    Define,
    Node,
    Vary,
    identifiers,
)
from ttbar.library import load_root


@dataclass
class Graph:
    """Nodes of a dataframe that an analysis is interested in.

    The text of an expression depends on the analysis and the options of a run alone, so that the interpreter compiles
    it once for all samples.
    """

    analysis: Analysis
    seed: int
    varied: bool
    """Whether the events are processed in all universes and with all weights."""
    cuts: dict[str, Any] = field(default_factory=dict)
    """The events after each of the analysis' cuts; `all` are those before."""
    regions: dict[str, Any] = field(default_factory=dict)
    """The events of each region, with the columns of its histograms, the weight and, if they vary, its factors."""
    first_reads: dict[str, tuple[Any, tuple[str, ...]]] = field(default_factory=dict)
    """By cut, a node behind it and the columns of the file that expressions there are the first ones to read."""

    def add(self, node: Any, steps: Sequence[Node]) -> Any:
        """Add steps to the graph.

        Parameters
        ----------
        node
            Where they begin.
        steps : sequence of Define, Vary and Cut
            The steps.

        Returns
        -------
        node
            Where they end.
        """
        root = load_root()
        passed = [cut for cut in self.cuts if cut not in self.regions]
        for step in steps:
            self._note_reads(passed, node, step.condition if isinstance(step, Cut) else step.expression)
            match step:
                case Define():
                    node = define(node, step.column, self._text(step.expression))
                case Cut():
                    passes = f"{PASSES_CUT}{len(self.cuts)}"
                    node = define(node, passes, self._text(step.condition))
                    node = self.cuts[step.name] = root.ttbar.filter(root.RDF.AsRNode(node), passes)
                    passed.append(step.name)
                case Vary() if self.varied:
                    names = [name for systematic in step.systematics for name in systematic.variations]
                    node = node.Vary(step.column, self._text(step.expression), names, step.name)
        return node

    def _text(self, expression: str) -> str:
        """An expression with the seed in it."""
        return expression.replace(SEED, f"{self.seed}u")

    def _note_reads(self, passed: Sequence[str], node: Any, expression: str) -> None:
        """Note which columns of the file an expression is the first one to read, behind the cuts that are passed."""
        known = set(chain.from_iterable(self.first_reads[cut][1] for cut in passed if cut in self.first_reads))
        new = tuple(name for name in identifiers(expression) if name in self.analysis.columns and name not in known)
        if new:
            first, columns = self.first_reads.get(passed[-1], (node, ()))
            self.first_reads[passed[-1]] = first, (*columns, *new)


def book(events: Any, analysis: Analysis, *, varied: bool, seed: int) -> Graph:
    """Define selection and quantities of an analysis on a dataframe.

    Parameters
    ----------
    events : ROOT.RDataFrame
        The events.
    analysis : Analysis
        The analysis.
    varied : bool
        Whether to define the universes and the weight variations as well.
    seed : int
        Seed of the run.

    Returns
    -------
    Graph
        The nodes.
    """
    graph = Graph(analysis, seed, varied, cuts={"all": events})
    node = graph.add(events, (*analysis.nodes, Define(WEIGHT, analysis.weight)))
    if varied and analysis.weight_variation_names:
        sources = (
            f"{{{sum(len(each.variations) for each in source.systematics)}, {source.factors}}}"
            for source in analysis.weight_variations
        )
        node = graph.add(node, (Define(WEIGHT_FACTORS, f"ttbar::weight_factors({{{', '.join(sources)}}})"),))
    for region in analysis.regions:
        graph.regions[region.name] = graph.add(node, (Cut(region.name, region.condition), *region.definitions))
    return graph


def book_until(events: Any, analysis: Analysis, column: str) -> tuple[dict[str, Any], Any]:
    """Define an analysis in the nominal universe as far as a column.

    Parameters
    ----------
    events : ROOT.RDataFrame
        The events.
    analysis : Analysis
        The analysis.
    column : str
        A column that is defined for all regions, or in one.

    Returns
    -------
    cuts : dict of str to node
        The events after each cut that comes before.
    node
        The events with the column.
    """
    graph = Graph(analysis, seed=0, varied=False, cuts={"all": events})
    return graph.cuts, graph.add(events, analysis.steps_to(column))


def book_skim(events: Any, analysis: Analysis) -> Any:
    """Select the events that an analysis lets pass in any universe, with any seed.

    Parameters
    ----------
    events : ROOT.RDataFrame
        The events.
    analysis : Analysis
        The analysis.

    Returns
    -------
    node
        The selected ones.
    """
    last = max((at for at, step in enumerate(analysis.nodes) if isinstance(step, Cut) and step.in_skim), default=-1)
    graph = Graph(analysis, seed=0, varied=False, cuts={"all": events})
    return graph.add(events, tuple(_in_skim(analysis.nodes[: last + 1])))


def _in_skim(steps: Sequence[Node]) -> Iterator[Node]:
    """What a skim takes of the steps of an analysis."""
    for step in steps:
        match step:
            case Define():
                yield Define(step.column, step.in_skim or step.expression)
            case Cut() if step.in_skim:
                yield step


def define(node: Any, column: str, expression: str) -> Any:
    """Define a column; one of the same name in the file is hidden by it.

    Parameters
    ----------
    node
        Where to define it.
    column, expression : str
        Its name and what it is.

    Returns
    -------
    node
        The events with the column.
    """
    return (node.Redefine if node.HasColumn(column) else node.Define)(column, expression)
