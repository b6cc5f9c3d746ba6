"""What is measured: an analysis is a value that the machinery is given.

An analysis of your own is a Python file that defines `analysis`, mostly from one of those here with
`dataclasses.replace`; the program takes it with `--analysis FILE`.
"""

from ttbar.analyses.analysis import (
    NOMINAL,
    SEED,
    Analysis,
    Axis,
    ConstantWeight,
    Cut,
    Define,
    Fit,
    FitRegion,
    Histogram,
    Model,
    Normalisation,
    Process,
    Region,
    Systematic,
    Vary,
    WeightVariation,
)
from ttbar.analyses.catalogue import load

__all__ = [
    "NOMINAL",
    "SEED",
    "Analysis",
    "Axis",
    "ConstantWeight",
    "Cut",
    "Define",
    "Fit",
    "FitRegion",
    "Histogram",
    "Model",
    "Normalisation",
    "Process",
    "Region",
    "Systematic",
    "Vary",
    "WeightVariation",
    "load",
]
