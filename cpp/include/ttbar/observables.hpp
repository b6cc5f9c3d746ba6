/// @file
/// What is measured of the selected jets.
#pragma once

#include <ROOT/RVec.hxx>

namespace ttbar {

/// H_T, the scalar sum of the scaled transverse momenta of the selected jets.
/// @param pt       stored transverse momenta in GeV
/// @param scale    factor for each stored jet
/// @param selected indices of the selected jets
/// @return H_T in GeV
double scalar_sum(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecI& selected);

/// The mass of the hadronic top candidate: of all combinations of three selected jets in which at least one
/// is b-tagged, the one whose four-momentum sum has the largest transverse momentum. A tie goes to the first
/// in the order i < j < k.
/// @param pt,eta,phi,mass stored kinematics of the jets, pt and mass in GeV
/// @param btag            b-tag scores
/// @param selected        indices of the selected jets
/// @param min_btag        what the score of a b-tagged jet must exceed
/// @return mass in GeV; a mass squared below zero counts as zero, and without a combination the mass is -1
double trijet_mass(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi, const ROOT::RVecF& mass,
                   const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag);

/// The same with scaled transverse momenta.
/// @param scale factor for each stored jet
double trijet_mass(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                   const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag);

} // namespace ttbar
