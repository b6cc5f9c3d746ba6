/// @file
/// Features of the jet assignment of agc-v2: up to six jets, invariant masses, b-tags and quark-gluon likelihoods.
#pragma once

#include "jet_assignment.hpp"
#include "selection.hpp"

#include <ROOT/RVec.hxx>

#include <array>

namespace ttbar::agc_v2 {

/// Names of the features of a permutation, in the order of the model's columns: w1 and w2 are the jets from the W,
/// btophad is the b of the hadronic top, btoplep that of the leptonic one.
inline constexpr std::array<const char*, 20> feature_names{"deltar_leptonbtoplep",
                                                           "deltar_w1w2",
                                                           "deltar_w1btophad",
                                                           "deltar_w2btophad",
                                                           "mass_leptonbtoplep",
                                                           "mass_w1w2",
                                                           "mass_w1w2btophad",
                                                           "pt_w1w2btophad",
                                                           "pt_w1",
                                                           "pt_w2",
                                                           "pt_btophad",
                                                           "pt_btoplep",
                                                           "btag_w1",
                                                           "btag_w2",
                                                           "btag_btophad",
                                                           "btag_btoplep",
                                                           "qgl_w1",
                                                           "qgl_w2",
                                                           "qgl_btophad",
                                                           "qgl_btoplep"};

/// The features of all permutations of the first jets, rounded to single precision once. What belongs to one jet or a
/// pair of jets is computed once. Azimuths are not wrapped. Masses are those of sums of four-momenta; the one of
/// lepton and jet takes the squares of the stored masses with their signs, and has the sign of its own square.
/// @param pt,scale      stored transverse momenta of the jets in GeV, and their factors
/// @param eta,phi,mass  stored kinematics of the jets, mass in GeV
/// @param btag          b-tag scores of the jets
/// @param qgl           quark-gluon likelihoods of the jets
/// @param selected      indices of the selected jets, at least four
/// @param lepton        the selected lepton
/// @return row after row, one for each permutation of as many jets as there are, up to max_assigned_jets
ROOT::RVecF permutation_features(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta,
                                 const ROOT::RVecF& phi, const ROOT::RVecF& mass, const ROOT::RVecF& btag,
                                 const ROOT::RVecF& qgl, const ROOT::RVecI& selected, const Lepton& lepton);

/// The features of one permutation, in double precision.
/// @param pt,scale,eta,phi,mass,btag,qgl,selected,lepton as in permutation_features
/// @param permutation number of a row there
/// @return a value for each of feature_names
ROOT::RVecD features_of(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                        const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecF& qgl,
                        const ROOT::RVecI& selected, const Lepton& lepton, int permutation);

} // namespace ttbar::agc_v2
