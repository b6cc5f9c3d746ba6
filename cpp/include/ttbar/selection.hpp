/// @file
/// Selection of leptons and jets. A selection of objects is the list of their indices in the stored collection.
#pragma once

#include "library.hpp"

#include <ROOT/RVec.hxx>

namespace ttbar {

/// The kinematics of a lepton, as stored.
struct Lepton {
    float pt;   ///< transverse momentum in GeV
    float eta;  ///< pseudorapidity
    float phi;  ///< azimuth in radians
    float mass; ///< mass in GeV; an electron's may be negative
};

/// Number of values above a threshold.
/// @param values    one value for each object, e.g. transverse momenta in GeV
/// @param threshold what a value must exceed, in the units of the values
/// @return number of objects
int count_above(const ROOT::RVecF& values, double threshold);

/// Number of selected jets with a value above a threshold.
/// @param values    one value for each stored jet, e.g. b-tag scores
/// @param selected  indices of the selected jets
/// @param threshold what a value must exceed
/// @return number of selected jets
int count_above(const ROOT::RVecF& values, const ROOT::RVecI& selected, double threshold);

/// Number of selected jets with a value at or above a threshold.
/// @param values    one value for each stored jet, e.g. b-tag scores
/// @param selected  indices of the selected jets
/// @param threshold what a value must reach
/// @return number of selected jets
int count_at_least(const ROOT::RVecF& values, const ROOT::RVecI& selected, double threshold);

/// The first electron above a threshold, or else the first such muon: in an event with exactly one lepton,
/// that one.
/// @param electron_pt,electron_eta,electron_phi,electron_mass stored electrons, pt and mass in GeV
/// @param muon_pt,muon_eta,muon_phi,muon_mass                 stored muons, pt and mass in GeV
/// @param min_pt what the transverse momentum must exceed, in GeV
/// @return kinematics of the lepton
/// @throws std::out_of_range if no lepton passes
Lepton first_lepton(const ROOT::RVecF& electron_pt, const ROOT::RVecF& electron_eta, const ROOT::RVecF& electron_phi,
                    const ROOT::RVecF& electron_mass, const ROOT::RVecF& muon_pt, const ROOT::RVecF& muon_eta,
                    const ROOT::RVecF& muon_phi, const ROOT::RVecF& muon_mass, double min_pt);

/// The lepton of an event with exactly one selected lepton.
/// @param electron_pt,electron_eta,electron_phi,electron_mass stored electrons, pt and mass in GeV
/// @param electrons                                           indices of the selected electrons
/// @param muon_pt,muon_eta,muon_phi,muon_mass                 stored muons, pt and mass in GeV
/// @param muons                                               indices of the selected muons
/// @return kinematics of the first selected electron, or else of the first selected muon
/// @throws std::out_of_range if none is selected
Lepton first_lepton(const ROOT::RVecF& electron_pt, const ROOT::RVecF& electron_eta, const ROOT::RVecF& electron_phi,
                    const ROOT::RVecF& electron_mass, const ROOT::RVecI& electrons, const ROOT::RVecF& muon_pt,
                    const ROOT::RVecF& muon_eta, const ROOT::RVecF& muon_phi, const ROOT::RVecF& muon_mass,
                    const ROOT::RVecI& muons);

/// The electrons that are identified and come from the collision itself. Comparisons of thresholds are strict.
/// @param pt         stored transverse momenta in GeV
/// @param eta        stored pseudorapidities
/// @param cut_based  levels of the cut-based identification, 0 (none) to 4 (tight)
/// @param sip3d      significances of the distance from the vertex in three dimensions
/// @param min_pt     what pt must exceed, in GeV
/// @param max_eta    what the absolute value of eta must stay below
/// @param level      the level that is wanted, and no other
/// @param max_sip3d  what sip3d must stay below
/// @return indices into the stored collection, ascending
ROOT::RVecI select_electrons(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecI& cut_based,
                             const ROOT::RVecF& sip3d, double min_pt, double max_eta, int level, double max_sip3d);

/// The muons that are identified, isolated, and come from the collision itself. Comparisons of thresholds are strict.
/// @param pt            stored transverse momenta in GeV
/// @param eta           stored pseudorapidities
/// @param tight_id      whether they are identified tightly
/// @param sip3d         significances of the distance from the vertex in three dimensions
/// @param isolation     sums of the momenta around, relative to pt
/// @param min_pt        what pt must exceed, in GeV
/// @param max_eta       what the absolute value of eta must stay below
/// @param max_sip3d     what sip3d must stay below
/// @param max_isolation what the isolation must stay below
/// @return indices into the stored collection, ascending
ROOT::RVecI select_muons(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVec<bool>& tight_id,
                         const ROOT::RVecF& sip3d, const ROOT::RVecF& isolation, double min_pt, double max_eta,
                         double max_sip3d, double max_isolation);

/// The jets whose scaled transverse momentum exceeds a threshold, in stored order.
/// @param pt     stored transverse momenta in GeV
/// @param scale  factor for each stored jet
/// @param min_pt what pt times scale must exceed, in GeV
/// @return indices into the stored collection, ascending
ROOT::RVecI select_jets(const ROOT::RVecF& pt, const ROOT::RVecD& scale, double min_pt);

/// The jets that are identified, in stored order. Comparisons of thresholds are strict.
/// @param pt      stored transverse momenta in GeV
/// @param scale   factor for each stored jet
/// @param eta     stored pseudorapidities
/// @param jet_id  bits of the identification: 1 is tight, 2 is tight with lepton veto, counted from 0
/// @param min_pt  what pt times scale must exceed, in GeV
/// @param max_eta what the absolute value of eta must stay below
/// @param bit     number of the bit of the identification that must be set
/// @return indices into the stored collection, ascending
ROOT::RVecI select_jets(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta,
                        const ROOT::RVecI& jet_id, double min_pt, double max_eta, int bit);

} // namespace ttbar
