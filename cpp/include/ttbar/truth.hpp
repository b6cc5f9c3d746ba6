/// @file
/// Which jets are which according to the generator, to train and evaluate a jet assignment.
#pragma once

#include "jet_assignment.hpp"

#include <ROOT/RVec.hxx>

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

namespace ttbar {

/// What a quark, or the jet that it makes, is in the decay of a top pair.
enum class Label {
    none,       ///< nothing of these
    from_w,     ///< from a W
    hadronic_b, ///< from a top whose W decays to quarks
    leptonic_b  ///< from a top whose W decays to a charged lepton, tau included, and a neutrino
};

/// Labels of generated particles. A labelled one is a quark, the last copy of itself, and its nearest
/// ancestor of another identity is a top quark or a W.
/// @param id     PDG identities
/// @param mother index of each particle's mother, smaller than its own; negative if there is none
/// @param flags  NanoAOD's statusFlags
/// @return the Label of each particle
ROOT::RVec<Label> quark_labels(const ROOT::RVecI& id, const ROOT::RVecI& mother, const ROOT::RVecI& flags);

/// The labelled quark that is nearest to each selected jet, within a distance of 0.4 in pseudorapidity and
/// azimuth, where the azimuth is a circle.
/// @param quark_eta,quark_phi directions of generated particles
/// @param labels              the Label of each generated particle
/// @param jet_eta,jet_phi     stored directions of the jets
/// @param selected            indices of the selected jets
/// @return index of a generated particle for each selected jet, -1 for a jet without; the first of
///         equally near
ROOT::RVecI matched_quarks(const ROOT::RVecF& quark_eta, const ROOT::RVecF& quark_phi, const ROOT::RVec<Label>& labels,
                           const ROOT::RVecF& jet_eta, const ROOT::RVecF& jet_phi, const ROOT::RVecI& selected);

/// The permutation that agrees with the generator.
/// @param labels the Label of each generated particle
/// @param quarks index of the generated particle of each selected jet, negative for a jet without; at least four
/// @return index into ttbar::permutations; -1 unless the first four jets match four different quarks: two from
///         the W, one hadronic and one leptonic b
int true_permutation(const ROOT::RVec<Label>& labels, const ROOT::RVecI& quarks);

/// An event that serves to train and evaluate a jet assignment.
struct MatchedEvent {
    /// Values of the first selected jets, those that a permutation assigns.
    using Jets = std::array<float, std::tuple_size_v<Permutation>>;

    std::uint64_t number;          ///< number of the event
    std::int64_t true_permutation; ///< index into ttbar::permutations
    ROOT::RVecF features;          ///< as the analysis computes them, row after row
    Jets pt, eta, phi, mass;       ///< stored kinematics, pt and mass in GeV
    Jets btag;                     ///< b-tag scores
};

/// The same of many events, an array for each quantity: its values of one event after those of the other.
struct MatchedEvents {
    std::vector<std::uint64_t> number;
    std::vector<std::int64_t> true_permutation;
    std::vector<float> features, pt, eta, phi, mass, btag;

    /// Add an event.
    /// @param event the event
    void add(const MatchedEvent& event);

    /// Add events.
    /// @param events the events
    void add(const MatchedEvents& events);
};

/// The rows that assign the first four jets, of those of all permutations of four jets or more.
/// @param rows       row after row
/// @param n_features number of values of a row
/// @return rows, one for each of ttbar::permutations; all rows if they are not those of all permutations
ROOT::RVecF rows_of_four_jets(const ROOT::RVecF& rows, std::size_t n_features);

/// Gather what is known of an event.
/// @param number              number of the event
/// @param true_permutation    index into ttbar::permutations
/// @param features            features of its permutations, row after row
/// @param pt,eta,phi,mass     stored kinematics of the jets, pt and mass in GeV
/// @param btag                b-tag scores
/// @param selected            indices of the selected jets, at least four
/// @return the event
MatchedEvent matched_event(std::uint64_t number, int true_permutation, const ROOT::RVecF& features,
                           const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                           const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecI& selected);

} // namespace ttbar
