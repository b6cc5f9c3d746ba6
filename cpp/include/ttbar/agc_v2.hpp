/// @file
/// Features of the jet assignment of agc-v2: up to six jets, invariant masses, b-tags and quark-gluon likelihoods.
#pragma once

#include "jet_assignment.hpp"
#include "observables.hpp"
#include "selection.hpp"

#include <ROOT/RVec.hxx>

#include <array>
#include <cstddef>

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

/// The jets that permutations assign, the first ones up to max_assigned_jets, with what belongs to one of them or to a
/// pair. Distances are in pseudorapidity and azimuth, which is not wrapped; momenta and masses in GeV.
struct Candidates {
    template <typename T>
    using PerJet = std::array<T, max_assigned_jets>;

    std::size_t size = 0;              ///< number of jets
    PerJet<double> pt, btag, qgl;      ///< scaled transverse momenta, b-tag scores, quark-gluon likelihoods
    PerJet<FourMomentum> momentum;     ///< from scaled transverse momenta and stored masses
    PerJet<double> lepton_delta_r;     ///< distances from the lepton
    PerJet<double> lepton_mass;        ///< invariant masses with the lepton; see candidates_of
    PerJet<PerJet<double>> delta_r;    ///< distances of pairs
    PerJet<PerJet<FourMomentum>> pair; ///< sums of pairs; the second index is the smaller one
    PerJet<PerJet<double>> pair_mass;  ///< their invariant masses; the second index is the smaller one
};

/// Find what belongs to the jets that permutations assign, and to their pairs. Masses are those of sums of four-momenta;
/// the one of lepton and jet takes the squares of the stored masses with their signs, and has the sign of its own square.
/// @param pt,scale      stored transverse momenta of the jets in GeV, and their factors
/// @param eta,phi,mass  stored kinematics of the jets, mass in GeV
/// @param btag          b-tag scores of the jets
/// @param qgl           quark-gluon likelihoods of the jets
/// @param selected      indices of the selected jets
/// @param lepton        the selected lepton
/// @return the first selected jets
Candidates candidates_of(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta,
                         const ROOT::RVecF& phi, const ROOT::RVecF& mass, const ROOT::RVecF& btag,
                         const ROOT::RVecF& qgl, const ROOT::RVecI& selected, const Lepton& lepton);

/// The features of all permutations, rounded to single precision once.
/// @param jets what is assigned
/// @return row after row, one for each permutation of as many jets as there are
/// @throws std::invalid_argument if there are fewer than four
ROOT::RVecF permutation_features(const Candidates& jets);

/// The features of one permutation, in double precision.
/// @param jets        what is assigned
/// @param permutation number of a row of permutation_features
/// @return a value for each of feature_names
ROOT::RVecD features_of(const Candidates& jets, int permutation);

} // namespace ttbar::agc_v2
