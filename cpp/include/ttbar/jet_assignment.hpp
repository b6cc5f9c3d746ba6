/// @file
/// Assignment of four jets to the partons of a top pair, by scoring permutations with a forest.
#pragma once

#include "forest.hpp"
#include "selection.hpp"

#include <ROOT/RVec.hxx>

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace ttbar {

/// Which jet is what: a, b from the W, c the b of the hadronic top, d the b of the leptonic top. a and b are
/// physically exchangeable, but the model is trained with a > b.
using Permutation = std::array<int, 4>;

/// Number of permutations of some jets.
/// @param n_jets number of jets
/// @return n! / (2 (n - 4)!)
constexpr std::size_t n_permutations(std::size_t n_jets) {
    return n_jets * (n_jets - 1) * (n_jets - 2) * (n_jets - 3) / 2;
}

/// Make all permutations of some jets.
/// @return the ordered choices of four of n_jets jets with a > b, in lexicographic order
template <std::size_t n_jets>
constexpr std::array<Permutation, n_permutations(n_jets)> make_permutations() {
    constexpr int n = n_jets;
    std::array<Permutation, n_permutations(n_jets)> all{};
    std::size_t next = 0;
    for (int a = 0; a < n; ++a)
        for (int b = 0; b < a; ++b)
            for (int c = 0; c < n; ++c)
                for (int d = 0; d < n; ++d)
                    if (c != a && c != b && d != a && d != b && d != c) {
                        all[next][0] = a;
                        all[next][1] = b;
                        all[next][2] = c;
                        all[next][3] = d;
                        ++next;
                    }
    return all;
}

/// The permutations of four jets.
inline constexpr std::array<Permutation, n_permutations(4)> permutations = make_permutations<4>();

/// The most jets that are assigned.
inline constexpr std::size_t max_assigned_jets = 6;

/// A table of permutations, made when this was compiled.
struct PermutationTable {
    const Permutation* first;
    std::size_t number; ///< number of permutations

    /// @return where the permutations begin
    const Permutation* begin() const { return first; }

    /// @return where they end
    const Permutation* end() const { return first + number; }

    /// @return number of permutations
    std::size_t size() const { return number; }
};

/// All permutations of some jets.
/// @param n_jets number of jets
/// @return the table
/// @throws std::invalid_argument unless there are four jets to max_assigned_jets
PermutationTable permutations_of(std::size_t n_jets);

/// The permutations whose rows some values are.
/// @param n_values   number of values of all rows
/// @param n_features number of values of a row
/// @return a permutation for each row; none if these are not the rows of all permutations of any number of jets
PermutationTable permutations_of_rows(std::size_t n_values, std::size_t n_features);

/// Names of the features of a permutation, in the order of the model's columns.
inline constexpr std::array<const char*, 19> feature_names{"deltaR_lepton_b_lep",
                                                           "deltaR_W1_W2",
                                                           "deltaR_W1_b_had",
                                                           "deltaR_W2_b_had",
                                                           "deltaPhi_lepton_b_lep",
                                                           "deltaPhi_W1_W2",
                                                           "deltaPhi_W1_b_had",
                                                           "deltaPhi_W2_b_had",
                                                           "mass_lepton_b_lep",
                                                           "mass_W1_W2",
                                                           "mass_W1_W2_b_had",
                                                           "pt_W1",
                                                           "pt_W2",
                                                           "pt_b_had",
                                                           "pt_b_lep",
                                                           "mass_W1",
                                                           "mass_W2",
                                                           "mass_b_had",
                                                           "mass_b_lep"};

/// The features of all permutations, row after row.
using PermutationFeatures = std::array<float, permutations.size() * feature_names.size()>;

/// Features of the permutations of the first four selected jets, computed in double precision and rounded
/// once. Angular differences are plain differences, phi is not wrapped; the masses of several objects are
/// sums of their masses.
/// @param pt,eta,phi,mass stored kinematics of the jets, pt and mass in GeV
/// @param selected        indices of the selected jets, at least four
/// @param lepton          the selected lepton
/// @return features, one row for each of ttbar::permutations
PermutationFeatures permutation_features(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                                         const ROOT::RVecF& mass, const ROOT::RVecI& selected, const Lepton& lepton);

/// Names of features, with one more at the end.
/// @param names names of features, e.g. ttbar::feature_names
/// @param name  name of the new one
/// @return the names, for a model that is trained on rows as from the other with_feature
template <std::size_t N>
constexpr std::array<const char*, N + 1> with_feature(const std::array<const char*, N>& names, const char* name) {
    std::array<const char*, N + 1> longer{};
    for (std::size_t i = 0; i < N; ++i)
        longer[i] = names[i];
    longer[N] = name;
    return longer;
}

/// A feature of a permutation. The arguments are indices into the stored jets: a and b from the W, c the b of the
/// hadronic top, d the b of the leptonic top.
using Feature = std::function<double(int a, int b, int c, int d)>;

/// Features of the permutations, with one more at the end of each row.
/// @param features rows as from permutation_features
/// @param selected indices of the selected jets, at least four
/// @param feature  the new feature
/// @return features, one row for each of ttbar::permutations
ROOT::RVecF with_feature(const PermutationFeatures& features, const ROOT::RVecI& selected, const Feature& feature);

/// The same for rows that have got features already.
/// @throws std::invalid_argument if there is not a row for each of ttbar::permutations
ROOT::RVecF with_feature(const ROOT::RVecF& features, const ROOT::RVecI& selected, const Feature& feature);

/// Refuse a model that was not trained on certain features.
/// @param forest the model
/// @param names  names of the features, in the order of a row
/// @throws std::runtime_error with a sentence that names the file, if it takes another number of features, or
///         names others or in another order
void require_features(const Forest& forest, const std::vector<std::string>& names);

/// The score of each permutation: the probability that it is the right one.
/// @param forest   model with feature_names.size() features
/// @param features rows as from permutation_features
/// @return scores, in the order of ttbar::permutations
ROOT::RVecF permutation_scores(const Forest& forest, const PermutationFeatures& features);

/// The same for any number of features, and four jets or more.
/// @param forest   model
/// @param features a row for each permutation of four, five or six jets, of as many values as the model has features
/// @return scores, in the order of permutations_of that number of jets
/// @throws std::runtime_error if there is another number of values
ROOT::RVecF permutation_scores(const Forest& forest, const ROOT::RVecF& features);

/// A permutation and how good it is.
struct ScoredPermutation {
    int index = 0;   ///< index into the permutations
    float score = 0; ///< the probability that it is the right one
};

/// The permutation with the highest score, the first of equal ones. The last answers of each thread are
/// kept, so that the universes of an event whose four jets are the same cost one evaluation.
/// @param forest   model with feature_names.size() features
/// @param features rows as from permutation_features
/// @return index into ttbar::permutations, and score
ScoredPermutation best_scored_permutation(const Forest& forest, const PermutationFeatures& features);

/// The same for any number of features, and four jets or more.
/// @param forest   model
/// @param features a row for each permutation of four, five or six jets, of as many values as the model has features
/// @return index into the permutations of that number of jets, and score
/// @throws std::runtime_error if there is another number of values
ScoredPermutation best_scored_permutation(const Forest& forest, const ROOT::RVecF& features);

/// The index of the permutation with the highest score.
/// @param forest,features as in best_scored_permutation
/// @return index into ttbar::permutations
int best_permutation(const Forest& forest, const PermutationFeatures& features);

/// The same for any number of features, and four jets or more.
int best_permutation(const Forest& forest, const ROOT::RVecF& features);

/// The azimuthal difference of the two jets of the W, not wrapped: between 0 and a little over 2 pi.
/// The histograms call it `deltaR`.
/// @param phi         stored azimuths of the jets
/// @param selected    indices of the selected jets, at least four
/// @param permutation index into ttbar::permutations
/// @return difference in radians
double w_jets_delta_phi(const ROOT::RVecF& phi, const ROOT::RVecI& selected, int permutation);

} // namespace ttbar
