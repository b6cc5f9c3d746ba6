"""The second task of the Analysis Grand Challenge: identified leptons and jets, and an assignment of up to six jets.

Data set, processes, jet-energy universes and weight variations are those of the first task; `docs/analyses.md` tells
what is different. Everything that is physics is in this file, in the order in which an event meets it. The helpers
named in the expressions are C++ functions of `cpp/include/ttbar/`.
"""

from dataclasses import replace

from ttbar.analyses import agc_v1
from ttbar.analyses.agc_v1.io_levels import IO_LEVELS
from ttbar.analyses.analysis import Analysis, Axis, Cut, Define, FitRegion, Histogram, Model, Region

COLUMNS = {
    **agc_v1.COLUMNS,
    "Electron_cutBased": "RVec<int>",
    "Electron_sip3d": "RVec<float>",
    "Muon_tightId": "RVec<bool>",
    "Muon_sip3d": "RVec<float>",
    "Muon_pfRelIso04_all": "RVec<float>",
    "Jet_jetId": "RVec<int>",
    "Jet_qgl": "RVec<float>",
}

TIGHT_ELECTRON = 4
"""Level of `Electron_cutBased`."""
TIGHT_JET_WITH_LEPTON_VETO = 2
"""Bit of `Jet_jetId`."""


def _delta_r(column: str, of: str) -> Axis:
    return Axis(column, 25, 0.0, 6.0, label=rf"$\Delta R$({of})", name=f"Delta R of {of}")


def _mass(column: str, of: str, high: float) -> Axis:
    return Axis(column, 25, 50.0, high, label=f"$m$({of}) [GeV]", name=f"mass of {of}")


def _of_jet(quantity: str, low: float, high: float, label: str, name: str, unit: str = "") -> tuple[Axis, ...]:
    """A quantity of each of the four assigned jets."""
    return tuple(
        Axis(f"{quantity}_{jet}", 25, low, high, label=f"{label}({of}){unit}", name=f"{name} of {of}")
        for jet, of in (("w1", "W jet 1"), ("w2", "W jet 2"), ("btophad", "hadronic b"), ("btoplep", "leptonic b"))
    )


FEATURES = (
    _delta_r("deltar_leptonbtoplep", "lepton, leptonic b"),
    _delta_r("deltar_w1w2", "W jets"),
    _delta_r("deltar_w1btophad", "W jet 1, hadronic b"),
    _delta_r("deltar_w2btophad", "W jet 2, hadronic b"),
    _mass("mass_leptonbtoplep", "lepton, leptonic b", 300.0),
    _mass("mass_w1w2", "W jets", 300.0),
    _mass("mass_w1w2btophad", "hadronic top", 550.0),
    Axis(
        "pt_w1w2btophad",
        25,
        50.0,
        550.0,
        label="$p_{T}$(hadronic top) [GeV]",
        name="transverse momentum of hadronic top",
    ),
    *_of_jet("pt", 25.0, 300.0, "$p_{T}$", "transverse momentum", " [GeV]"),
    *_of_jet("btag", 0.0, 1.0, "b tag", "b-tag score"),
    *_of_jet("qgl", -1.0, 1.0, "quark-gluon likelihood", "quark-gluon likelihood"),
)
"""Axes of the histograms of the features, in the order of `ttbar::agc_v2::feature_names`."""

_JETS = "Jet_pt, jet_scale, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2"

FIT = replace(
    agc_v1.FIT,
    pseudodata_in_file=True,
    carried_to=tuple(FitRegion(axis.name, histogram=axis.column, variable=axis.column) for axis in FEATURES),
)


def define(
    *,
    min_lepton_pt: float = 30.0,
    max_lepton_eta: float = 2.1,
    max_lepton_sip3d: float = 4.0,
    max_muon_isolation: float = 0.15,
    min_jet_pt: float = 30.0,
    max_jet_eta: float = 2.4,
    min_jets: int = agc_v1.LEAST_JETS,
    min_btag: float = 0.5,
) -> Analysis:
    """Define the analysis.

    Parameters
    ----------
    min_lepton_pt, min_jet_pt : float
        What the transverse momentum of a lepton or a jet must exceed, in GeV.
    max_lepton_eta, max_jet_eta : float
        What the absolute pseudorapidity of a lepton or a jet must stay below.
    max_lepton_sip3d : float
        What the significance of a lepton's distance from the vertex must stay below.
    max_muon_isolation : float
        What the relative isolation of a muon must stay below.
    min_jets : int
        Smallest number of jets; the jet assignment takes four.
    min_btag : float
        What the score of a b-tagged jet must exceed.

    Returns
    -------
    Analysis
        The analysis.

    Raises
    ------
    ValueError
        If there may be fewer than four jets.
    """
    if min_jets < agc_v1.LEAST_JETS:
        raise ValueError(f"min_jets is {min_jets}, but the jet assignment takes {agc_v1.LEAST_JETS} jets")
    leptons = f"{min_lepton_pt}, {max_lepton_eta}"
    nodes = (
        Define(
            "electrons",
            "ttbar::select_electrons(Electron_pt, Electron_eta, Electron_cutBased, Electron_sip3d, "
            f"{leptons}, {TIGHT_ELECTRON}, {max_lepton_sip3d})",
        ),
        Define(
            "muons",
            "ttbar::select_muons(Muon_pt, Muon_eta, Muon_tightId, Muon_sip3d, Muon_pfRelIso04_all, "
            f"{leptons}, {max_lepton_sip3d}, {max_muon_isolation})",
        ),
        Cut("one_lepton", "electrons.size() + muons.size() == 1", in_skim=True),
        agc_v1.JET_SCALE,
        agc_v1.JET_ENERGY,
        Define(
            "jets",
            "ttbar::select_jets(Jet_pt, jet_scale, Jet_eta, Jet_jetId, "
            f"{min_jet_pt}, {max_jet_eta}, {TIGHT_JET_WITH_LEPTON_VETO})",
        ),
        Cut("four_jets", f"jets.size() >= {min_jets}", in_skim=True),
    )
    btags = f"ttbar::count_above(Jet_btagCSVV2, jets, {min_btag})"
    regions = (
        Region(
            "4j1b",
            condition=f"{btags} == 1",
            title=r"1 lepton, $\geq$ 4 jets, 1 b tag",
            definitions=(Define("observable", "ttbar::scalar_sum(Jet_pt, jet_scale, jets)"),),
            histograms=(Histogram("4j1b", (agc_v1.H_T,)),),
        ),
        Region(
            "4j2b",
            condition=f"{btags} >= 2",
            title=r"1 lepton, $\geq$ 4 jets, $\geq$ 2 b tags",
            definitions=(
                Define("observable", f"ttbar::trijet_mass({_JETS}, jets, {min_btag})"),
                Define(
                    "lepton",
                    "ttbar::first_lepton(Electron_pt, Electron_eta, Electron_phi, Electron_mass, electrons, "
                    "Muon_pt, Muon_eta, Muon_phi, Muon_mass, muons)",
                ),
                Define("candidates", f"ttbar::agc_v2::candidates_of({_JETS}, Jet_qgl, jets, lepton)"),
                Define("features", "ttbar::agc_v2::permutation_features(candidates)"),
                # An event is evaluated by the model that has not learnt from it.
                Define("permutation", "ttbar::best_permutation(ttbar::model(event % 2 == 0 ? 1 : 0), features)"),
                Define(
                    "assigned",
                    "ttbar::agc_v2::features_of(candidates, permutation)",
                    elements=tuple(axis.column for axis in FEATURES),
                ),
            ),
            histograms=(
                Histogram("4j2b", (agc_v1.TRIJET_MASS,)),
                *(Histogram(axis.column, (axis,), group="features") for axis in FEATURES),
            ),
        ),
    )
    return Analysis(
        name="agc-v2",
        luminosity=agc_v1.LUMINOSITY,
        columns=COLUMNS,
        processes=agc_v1.PROCESSES,
        nodes=nodes,
        regions=regions,
        fit=FIT,
        models=tuple(
            Model(
                parity,
                f"models/agc_v2_{parity}.json",
                "ttbar::agc_v2::feature_names",
                column="features",
                trained_on=parity,
            )
            for parity in ("even", "odd")
        ),
        weight_variations=(agc_v1.BTAG,),
        io_levels=IO_LEVELS,
    )


analysis = define()
"""The analysis as it is defined in the field."""
