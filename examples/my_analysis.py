"""An analysis of your own: agc-v1 with another cut, region, process, weight variation and histogram.

ttbar run --analysis examples/my_analysis.py
"""

from dataclasses import replace
from pathlib import Path

from ttbar.analyses import (
    Axis,
    Cut,
    Define,
    FitRegion,
    Histogram,
    Process,
    Region,
    Systematic,
    WeightVariation,
    agc_v1,
)

# A number of agc-v1 itself.
base = agc_v1.define(min_lepton_pt=35.0)

# A cut after the others, with a helper of our own, from the header beside this file.
central = Cut("central_lepton", "mine::abs_eta(lepton) < 2.1")

# A process; a data set file lists its samples under this name. It gets a colour that no other has.
zjets = Process("zjets", cross_section=6025.2, title="Z+jets", label="Z + jets")

# Another weight, with its nuisance parameter.
muons = WeightVariation(
    "muons",
    factors="mine::muon_factors(Muon_pt, 30., 0.02)",
    systematics=(Systematic("muon efficiency", "muon_efficiency_up", "muon_efficiency_down"),),
)

# No event may be in two regions of a fit, so this one leaves those with three b tags to the next.
one_btag, two_btags = base.regions
two_btags = replace(two_btags, condition="ttbar::count_above(Jet_btagCSVV2, jets, 0.5) == 2")

# A region with a histogram of agc-v1's two axes, and one of a single axis.
jet_pt = Axis("leading_pt", 20, 30.0, 330.0, label="$p_{T}$ of the first jet [GeV]", name="leading pt")
three_btags = Region(
    "4j3b",
    condition="ttbar::count_above(Jet_btagCSVV2, jets, 0.5) >= 3",
    title=r"1 lepton, $\geq$ 4 jets, $\geq$ 3 b tags",
    definitions=(
        Define("observable", "ttbar::scalar_sum(Jet_pt, jet_scale, jets)"),
        Define("leading_pt", "mine::first_jet_pt(Jet_pt, jet_scale, jets)"),
    ),
    histograms=(
        Histogram("4j3b", (agc_v1.H_T, agc_v1.DELTAR)),
        Histogram("4j3b_leading_pt", (jet_pt,)),
    ),
)

analysis = replace(
    base,
    name="my-analysis",
    headers=(Path(__file__).with_name("my_helpers.hpp").absolute(),),
    processes=(zjets, *base.processes),
    nodes=(*base.nodes, central),
    weight_variations=(*base.weight_variations, muons),
    regions=(one_btag, two_btags, three_btags),
    fit=replace(
        base.fit,
        regions=(
            *base.fit.regions,
            FitRegion("4j3b SR", histogram="4j3b", variable="observable", binning=(150.0, 270.0, 390.0, 550.0)),
        ),
    ),
)
