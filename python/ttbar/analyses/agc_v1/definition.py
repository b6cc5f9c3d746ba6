"""What is measured: the definition of the analysis, from columns to histograms.

Everything that is physics is in this file, in the order in which an event meets it. How it runs is elsewhere.
To change a cut, change its number here. The helpers named in the expressions are C++ functions of
`cpp/include/ttbar/`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi
from typing import Any

LUMINOSITY = 3378.0
"""Integrated luminosity in 1/pb."""

CROSS_SECTIONS = {
    "ttbar": 396.87 + 332.97,  # non-all-hadronic + all-hadronic
    "single_top_s_chan": 2.0268 + 1.2676,  # top + antitop
    "single_top_t_chan": (36.993 + 22.175) / 0.252,  # from the lepton filter to inclusive
    "single_top_tW": 37.936 + 37.906,  # top + antitop
    "wjets": 61457 * 0.252,  # electron or muon and neutrino
}
"""Cross-sections of the simulated processes in pb."""

DATA = "data"
"""The process of collision data."""

NOMINAL = "nominal"

PROCESSES: Mapping[str, tuple[str, ...]] = dict.fromkeys((*CROSS_SECTIONS, DATA), (NOMINAL,)) | {
    "ttbar": (NOMINAL, "scaledown", "scaleup", "ME_var", "PS_var")
}
"""The processes and their variations, which are simulations of their own."""

COLUMNS = {
    "run": "unsigned int",
    "luminosityBlock": "unsigned int",
    "event": "unsigned long",
    **{f"Electron_{quantity}": "RVec<float>" for quantity in ("pt", "eta", "phi", "mass")},
    **{f"Muon_{quantity}": "RVec<float>" for quantity in ("pt", "eta", "phi", "mass")},
    **{f"Jet_{quantity}": "RVec<float>" for quantity in ("pt", "eta", "phi", "mass", "btagCSVV2")},
}
"""The columns of a NanoAOD file that the graph reads, and their types."""

OBSERVABLE_BINS = (25, 50.0, 550.0)
DELTAR_BINS = (25, 0.0, 2 * pi)
DELTAR_LABEL = "Delta R between two W jets"  # the field's name for it; it is their azimuthal difference

MIN_LEPTON_PT = 30.0  # GeV
MIN_JET_PT = 30.0  # GeV
MIN_JETS = 4
MIN_BTAG = 0.5


@dataclass(frozen=True)
class Region:
    """A selection of events after the common cuts, and what is measured in it."""

    condition: str
    """Expression that selects the events."""
    observable: str
    """Expression of the quantity on the x axis, in GeV."""
    symbol: str
    """What the observable is called in formulas, in TeX."""

    @property
    def label(self) -> str:
        """Title of the x axis, with TeX between dollar signs."""
        return f"${self.symbol}$ [GeV]"


REGIONS = {
    "4j1b": Region(
        condition=f"ttbar::count_at_least(Jet_btagCSVV2, jets, {MIN_BTAG}) == 1",
        observable="ttbar::scalar_sum(Jet_pt, jet_scale, jets)",
        symbol="H_{T}",
    ),
    # Strictly above the threshold here, at or above it in the common cut: this is part of the definition.
    "4j2b": Region(
        condition=f"ttbar::count_above(Jet_btagCSVV2, jets, {MIN_BTAG}) >= 2",
        observable=f"ttbar::trijet_mass(Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets, {MIN_BTAG})",
        symbol="m_{bjj}",
    ),
}

CUTS = ("all", "one_lepton", "four_jets", "one_btag", *REGIONS)
"""The rows of the cutflow, each cut on top of the one before, the regions each on top of `one_btag`."""

JET_SCALE_UP = 1.03
JET_RESOLUTION = 0.05
JET_ENERGY_UNIVERSES = ("pt_scale_up", "pt_res_up")

_LARGEST_NORMAL = 6.77  # a bit more than sqrt(-2 ln u), of the smallest u of a draw: 0.5 / 2^32
LARGEST_JET_SCALE = max(1.0, JET_SCALE_UP, 1 + JET_RESOLUTION * _LARGEST_NORMAL)
"""No universe multiplies the transverse momentum of a jet by more, whatever the seed."""

BTAG_JETS = 4
BTAG_SLOPE = 0.075 / 50  # relative change of the weight per GeV of a jet's transverse momentum
BTAG_VARIATIONS = tuple(f"btag_var_{jet}_{direction}" for jet in range(BTAG_JETS) for direction in ("up", "down"))

CONSTANT_WEIGHTS = {"wjets": {"scale_var_up": 1.025, "scale_var_down": 0.975}}
"""Variations of the weight by a constant, which is applied after the event loop."""


def event_weight(process: str, generated: int) -> float:
    """Weight of an event, so that a simulated sample stands for the integrated luminosity.

    Parameters
    ----------
    process : str
        One of `PROCESSES`.
    generated : int
        Number of generated events of the files that were processed.

    Returns
    -------
    float
        Cross-section times luminosity over generated events; 1 for collision data.
    """
    return 1.0 if process == DATA else CROSS_SECTIONS[process] * LUMINOSITY / generated


def is_varied(process: str, variation: str) -> bool:
    """Whether a sample is processed in all universes and with all weights: the simulated nominal ones are."""
    return process != DATA and variation == NOMINAL


def select(events: Any, *, varied: bool, seed: int) -> dict[str, Any]:
    """Define the common cuts on a dataframe, and what the jet assignment knows of the events that pass them.

    Parameters
    ----------
    events, varied, seed
        As in `graph`.

    Returns
    -------
    dict of str to node
        The events after each of `CUTS` but the regions, the last with the columns `jets`, `lepton` and `features`.
    """

    def scale_jets(leptons: Any) -> Any:
        jets = leptons.Define("jet_scale", "ttbar::uniform_jet_scale(Jet_pt, 1.)")
        if not varied:
            return jets
        return jets.Vary(
            "jet_scale",
            f"ttbar::varied_jet_scales(Jet_pt, run, luminosityBlock, event, {JET_SCALE_UP}, {JET_RESOLUTION}, {seed}u)",
            JET_ENERGY_UNIVERSES,
            "jet_energy",
        )

    cuts = _cut(events, scale_jets)
    cuts["one_btag"] = (
        cuts["one_btag"]
        .Define(
            "lepton",
            "ttbar::first_lepton(Electron_pt, Electron_eta, Electron_phi, Electron_mass, "
            f"Muon_pt, Muon_eta, Muon_phi, Muon_mass, {MIN_LEPTON_PT})",
        )
        .Define("features", "ttbar::permutation_features(Jet_pt, Jet_eta, Jet_phi, Jet_mass, jets, lepton)")
    )
    return cuts


def skim(events: Any) -> Any:
    """Select the events that the common cuts let pass in any universe, with any seed.

    Parameters
    ----------
    events : ROOT.RDataFrame
        The events.

    Returns
    -------
    node
        The selected ones. The cuts only get looser with larger jets, so those with the largest ones are enough.
    """
    largest = f"ttbar::uniform_jet_scale(Jet_pt, {LARGEST_JET_SCALE})"
    return _cut(events, lambda leptons: leptons.Define("jet_scale", largest))["one_btag"]


def _cut(events: Any, scale_jets: Callable[[Any], Any]) -> dict[str, Any]:
    """Apply the common cuts, given what defines the column `jet_scale` of events with one lepton."""
    cuts = {"all": events}
    cuts["one_lepton"] = events.Filter(
        f"ttbar::count_above(Electron_pt, {MIN_LEPTON_PT}) + ttbar::count_above(Muon_pt, {MIN_LEPTON_PT}) == 1"
    )
    jets = scale_jets(cuts["one_lepton"]).Define("jets", f"ttbar::select_jets(Jet_pt, jet_scale, {MIN_JET_PT})")
    cuts["four_jets"] = jets.Filter(f"jets.size() >= {MIN_JETS}")
    cuts["one_btag"] = cuts["four_jets"].Filter(f"ttbar::count_at_least(Jet_btagCSVV2, jets, {MIN_BTAG}) >= 1")
    return cuts


def graph(events: Any, *, varied: bool, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Define selection and observables on a dataframe.

    The expressions depend on the arguments of a whole run only, so that the interpreter compiles them once.

    Parameters
    ----------
    events : ROOT.RDataFrame
        The events.
    varied : bool
        Whether to define the jet-energy universes and the weight variations as well.
    seed : int
        Seed of the jet-energy smearing.

    Returns
    -------
    cuts : dict of str to node
        The events after each of `CUTS`.
    regions : dict of str to node
        The events of each region, with the columns `observable`, `deltaR` and `weight`.
    """
    cuts = select(events, varied=varied, seed=seed)
    assigned = (
        cuts["one_btag"]
        .Define("permutation", "ttbar::best_permutation(ttbar::model(0), features)")
        .Define("deltaR", "ttbar::w_jets_delta_phi(Jet_phi, jets, permutation)")
        .Define("weight", "1.")
    )
    if varied:
        assigned = assigned.Vary(
            "weight",
            f"ttbar::btag_weights(Jet_pt, jets, {BTAG_JETS}, {BTAG_SLOPE})",
            BTAG_VARIATIONS,
            "btag",
        )

    regions = {}
    for name, region in REGIONS.items():
        cuts[name] = assigned.Filter(region.condition)
        regions[name] = cuts[name].Define("observable", region.observable)
    return cuts, regions
