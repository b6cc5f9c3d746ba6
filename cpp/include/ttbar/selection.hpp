/// @file
/// Selection of leptons and jets. A selection of jets is the list of their indices in the stored collection.
#pragma once

#include <ROOT/RVec.hxx>

namespace ttbar {

/// The kinematics of a lepton that the jet assignment looks at, as stored.
struct Lepton {
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

/// The jets whose scaled transverse momentum exceeds a threshold, in stored order.
/// @param pt     stored transverse momenta in GeV
/// @param scale  factor for each stored jet
/// @param min_pt what pt times scale must exceed, in GeV
/// @return indices into the stored collection, ascending
ROOT::RVecI select_jets(const ROOT::RVecF& pt, const ROOT::RVecD& scale, double min_pt);

} // namespace ttbar
