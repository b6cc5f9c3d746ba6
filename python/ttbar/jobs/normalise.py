"""From the merged results of the event loop to what is written."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import hist
from numpy.typing import NDArray

from ttbar.analyses.analysis import NOMINAL, PSEUDODATA, Analysis, Histogram, histogram_name
from ttbar.execution.histograms import SUMS
from ttbar.execution.unit import Partial
from ttbar.inputs.files import CheckedSample


def as_hist(bins: NDArray[Any], histogram: Histogram) -> hist.Hist[Any]:
    """Give the contents of a histogram its axes.

    Parameters
    ----------
    bins : numpy.ndarray
        The contents, as the event loop gives them.
    histogram : Histogram
        What it is.

    Returns
    -------
    hist.Hist
        Its axes are named after their columns; weighted storage.
    """
    result = hist.Hist(
        *(
            # ROOT draws TeX without dollar signs.
            hist.axis.Regular(axis.bins, axis.low, axis.high, name=axis.column, label=axis.label.replace("$", ""))
            for axis in histogram.axes
        ),
        storage=hist.storage.Weight(),
    )
    view: Any = result.view(flow=True)
    for part, content in zip(SUMS, bins, strict=False):
        view[part] = content
    return result


def final_histograms(
    analysis: Analysis, samples: Sequence[CheckedSample], partials: Mapping[str, Partial]
) -> Iterator[tuple[str, hist.Hist[Any]]]:
    """Normalise the histograms of all samples, and give them their names.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    samples : sequence of CheckedSample
        The samples, with what became of their files.
    partials : mapping of str to Partial
        Results by name of the sample.

    Yields
    ------
    name : str
        `{histogram}_{process}[_{variation}]`.
    histogram : hist.Hist
        For the luminosity of the analysis.
    """
    definitions = {histogram.name: histogram for _, histogram in analysis.histograms}
    for sample in samples:
        weight = analysis.event_weight(sample.process, sample.nevts)
        for (name, variation), bins in partials[sample.name].histograms.items():
            final = as_hist(bins, definitions[name]) * weight
            if variation != NOMINAL:
                yield histogram_name(name, sample.process, variation), final
                continue
            yield histogram_name(name, sample.process, sample.variation), final
            if sample.variation == NOMINAL:
                for constant in analysis.process(sample.process).constant_weights:
                    for varied, factor in zip(constant.systematic.variations, constant.factors, strict=True):
                        yield histogram_name(name, sample.process, varied), final * factor


def pseudodata(analysis: Analysis, final: Mapping[str, hist.Hist[Any]]) -> Iterator[tuple[str, hist.Hist[Any]]]:
    """Add up what stands for data, if the analysis wants it beside the histograms.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    final : mapping of str to hist.Hist
        Normalised histograms by name.

    Yields
    ------
    name : str
        `{histogram}_pseudodata`, for each histogram of which there are all samples.
    histogram : hist.Hist
        Sums of contents and of squares of weights, as for any sum of histograms with factors.
    """
    if not analysis.fit.pseudodata_in_file:
        return
    for _, histogram in analysis.histograms:
        parts = [
            (factor, final.get(histogram_name(histogram.name, *sample.split("__", 1))))
            for factor, sample in analysis.fit.pseudodata
        ]
        found = [part * factor for factor, part in parts if part is not None]
        if len(found) == len(parts):
            yield histogram_name(histogram.name, PSEUDODATA, NOMINAL), reduce(add, found)


def final_cutflow(
    analysis: Analysis, samples: Sequence[CheckedSample], partials: Mapping[str, Partial]
) -> dict[str, Any]:
    """Events and normalised events by sample, universe and cut.

    Parameters
    ----------
    analysis, samples, partials
        As in `final_histograms`.

    Returns
    -------
    dict
        The content of `cutflow.json`.
    """
    return {
        sample.name: {
            universe: [
                {
                    "cut": cut,
                    "events": events,
                    "weighted": events * analysis.event_weight(sample.process, sample.nevts),
                }
                for cut, events in cuts.items()
            ]
            for universe, cuts in partials[sample.name].cutflow.items()
        }
        for sample in samples
    }
