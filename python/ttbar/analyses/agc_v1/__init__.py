"""The first task of the Analysis Grand Challenge: what is measured, from columns to histograms and their fit.

Everything that is physics is in this file, in the order in which an event meets it. How it runs is elsewhere. To
change a cut, change its number here or, in an analysis of your own, give another one to `define`. The helpers named in
the expressions are C++ functions of `cpp/include/ttbar/`.
"""

from math import pi

from ttbar.analyses.agc_v1.io_levels import IO_LEVELS
from ttbar.analyses.analysis import (
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

LUMINOSITY = 3378.0  # 1/pb

# From the bottom of a stack to its top, in colours that people with any kind of colour vision tell apart
# (M. A. Petroff, arXiv:2107.02270).
PROCESSES = (
    Process(
        "single_top_s_chan",
        cross_section=2.0268 + 1.2676,  # top + antitop
        title="single top, s-channel",
        label="Single top, $s$ channel",
        colour="#832db6",
    ),
    Process(
        "single_top_t_chan",
        cross_section=(36.993 + 22.175) / 0.252,  # from the lepton filter to inclusive
        title="single top, t-channel",
        label="Single top, $t$ channel",
        colour="#a96b59",
    ),
    Process(
        "single_top_tW",
        cross_section=37.936 + 37.906,  # top + antitop
        title="single top, tW",
        label="Single top, $tW$",
        colour="#92dadd",
    ),
    Process(
        "wjets",
        cross_section=61457 * 0.252,  # electron or muon and neutrino
        title="W+jets",
        label="W + jets",
        colour="#ffa90e",
        constant_weights=(
            ConstantWeight(Systematic("W+jets scale variations", "scale_var_up", "scale_var_down"), (1.025, 0.975)),
        ),
    ),
    Process(
        "ttbar",
        cross_section=396.87 + 332.97,  # non-all-hadronic + all-hadronic
        label=r"$t\bar{t}$",
        colour="#3f90da",
        simulations=(
            Systematic("ME variation", "ME_var"),
            Systematic("PS variation", "PS_var"),
            Systematic("ttbar scale variations", "scaleup", "scaledown"),
        ),
    ),
    Process("data", cross_section=None, label="Data"),
)

COLUMNS = {
    "run": "unsigned int",
    "luminosityBlock": "unsigned int",
    "event": "unsigned long",
    **{f"Electron_{quantity}": "RVec<float>" for quantity in ("pt", "eta", "phi", "mass")},
    **{f"Muon_{quantity}": "RVec<float>" for quantity in ("pt", "eta", "phi", "mass")},
    **{f"Jet_{quantity}": "RVec<float>" for quantity in ("pt", "eta", "phi", "mass", "btagCSVV2")},
}

JET_SCALE_UP = 1.03
JET_RESOLUTION = 0.05
_LARGEST_NORMAL = 6.77  # a bit more than sqrt(-2 ln u), of the smallest u of a draw: 0.5 / 2^32
LARGEST_JET_SCALE = max(1.0, JET_SCALE_UP, 1 + JET_RESOLUTION * _LARGEST_NORMAL)
"""No universe multiplies the transverse momentum of a jet by more, whatever the seed."""

JET_SCALE = Define(
    "jet_scale",
    "ttbar::uniform_jet_scale(Jet_pt, 1.)",
    in_skim=f"ttbar::uniform_jet_scale(Jet_pt, {LARGEST_JET_SCALE})",
)
JET_ENERGY = Vary(
    "jet_energy",
    column="jet_scale",
    expression="ttbar::varied_jet_scales(Jet_pt, run, luminosityBlock, event, "
    f"{JET_SCALE_UP}, {JET_RESOLUTION}, {SEED})",
    systematics=(
        Systematic("jet energy scale", "pt_scale_up"),
        Systematic("jet energy resolution", "pt_res_up", is_random=True),
    ),
)

LEAST_JETS = 4
"""The jet assignment takes so many, and so do the weights of b-tagging."""

BTAG_JETS = LEAST_JETS
BTAG_SLOPE = 0.075 / 50  # relative change of the weight per GeV of a jet's transverse momentum
BTAG = WeightVariation(
    "btag",
    factors=f"ttbar::btag_weights(Jet_pt, jets, {BTAG_JETS}, {BTAG_SLOPE})",
    systematics=tuple(
        Systematic(f"b-tag NP {jet + 1}", f"btag_var_{jet}_up", f"btag_var_{jet}_down") for jet in range(BTAG_JETS)
    ),
)

H_T = Axis(
    "observable",
    25,
    50.0,
    550.0,
    label="$H_{T}$ [GeV]",
    name="H_T",
    meaning="the scalar sum of the jets' transverse momenta",
    shown_from=110.0,  # it is never below four times the threshold of a jet
    shown_merged=2,
)
TRIJET_MASS = Axis(
    "observable", 25, 50.0, 550.0, label="$m_{bjj}$ [GeV]", name="m_bjj", meaning="the mass of the trijet"
)
DELTAR = Axis(
    "deltaR",
    25,
    0.0,
    2 * pi,
    label="Delta R between two W jets",  # the field's name for it; it is their azimuthal difference
    meaning="which is the azimuthal difference of the two jets assigned to the W",
    flow=False,
)

_FIT_BINNING = (110.0, 150.0, 190.0, 230.0, 270.0, 310.0, 350.0, 390.0, 430.0, 470.0, 510.0, 550.0)

FIT = Fit(
    parameter="ttbar_norm",
    signal=("ttbar",),
    regions=(
        FitRegion("4j1b CR", histogram="4j1b", variable="observable", binning=_FIT_BINNING),
        FitRegion("4j2b SR", histogram="4j2b", variable="observable", binning=_FIT_BINNING),
    ),
    normalisations=(Normalisation("luminosity", 0.03),),
    pseudodata=((0.5, "ttbar__ME_var"), (0.5, "ttbar__PS_var"), (1.0, "wjets__nominal")),
)


def define(
    *,
    min_lepton_pt: float = 30.0,
    min_jet_pt: float = 30.0,
    min_jets: int = LEAST_JETS,
    min_btag: float = 0.5,
) -> Analysis:
    """Define the analysis.

    Parameters
    ----------
    min_lepton_pt, min_jet_pt : float
        What the transverse momentum of a lepton or a jet must exceed, in GeV.
    min_jets : int
        Smallest number of jets; the jet assignment takes four.
    min_btag : float
        What the score of a b-tagged jet must reach or, in `4j2b`, exceed.

    Returns
    -------
    Analysis
        The analysis.

    Raises
    ------
    ValueError
        If there may be fewer than four jets.
    """
    if min_jets < LEAST_JETS:
        raise ValueError(f"min_jets is {min_jets}, but the jet assignment takes {LEAST_JETS} jets")
    nodes = (
        Cut(
            "one_lepton",
            f"ttbar::count_above(Electron_pt, {min_lepton_pt}) + ttbar::count_above(Muon_pt, {min_lepton_pt}) == 1",
            in_skim=True,
        ),
        JET_SCALE,
        JET_ENERGY,
        Define("jets", f"ttbar::select_jets(Jet_pt, jet_scale, {min_jet_pt})"),
        Cut("four_jets", f"jets.size() >= {min_jets}", in_skim=True),
        Cut("one_btag", f"ttbar::count_at_least(Jet_btagCSVV2, jets, {min_btag}) >= 1", in_skim=True),
        Define(
            "lepton",
            "ttbar::first_lepton(Electron_pt, Electron_eta, Electron_phi, Electron_mass, "
            f"Muon_pt, Muon_eta, Muon_phi, Muon_mass, {min_lepton_pt})",
        ),
        Define("features", "ttbar::permutation_features(Jet_pt, Jet_eta, Jet_phi, Jet_mass, jets, lepton)"),
        Define("permutation", "ttbar::best_permutation(ttbar::model(0), features)"),
        Define("deltaR", "ttbar::w_jets_delta_phi(Jet_phi, jets, permutation)"),
    )
    regions = (
        Region(
            "4j1b",
            condition=f"ttbar::count_at_least(Jet_btagCSVV2, jets, {min_btag}) == 1",
            title=r"1 lepton, $\geq$ 4 jets, 1 b tag",
            definitions=(Define("observable", "ttbar::scalar_sum(Jet_pt, jet_scale, jets)"),),
            histograms=(Histogram("4j1b", (H_T, DELTAR)),),
        ),
        # Strictly above the threshold here, at or above it in the common cut: this is part of the definition.
        Region(
            "4j2b",
            condition=f"ttbar::count_above(Jet_btagCSVV2, jets, {min_btag}) >= 2",
            title=r"1 lepton, $\geq$ 4 jets, $\geq$ 2 b tags",
            definitions=(
                Define(
                    "observable",
                    f"ttbar::trijet_mass(Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets, {min_btag})",
                ),
            ),
            histograms=(Histogram("4j2b", (TRIJET_MASS, DELTAR)),),
        ),
    )
    return Analysis(
        name="agc-v1",
        luminosity=LUMINOSITY,
        columns=COLUMNS,
        processes=PROCESSES,
        nodes=nodes,
        regions=regions,
        fit=FIT,
        models=(Model("jet_assignment", "models/jet_assignment.json", "ttbar::feature_names", column="features"),),
        weight_variations=(BTAG,),
        io_levels=IO_LEVELS,
    )


analysis = define()
"""The analysis as it is defined in the field."""
