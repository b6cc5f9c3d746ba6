/// @file
/// Variations of the event weight.
#pragma once

#include "library.hpp"

#include <ROOT/RVec.hxx>

#include <cstddef>
#include <initializer_list>

namespace ttbar {

/// Weights of a b-tagging uncertainty that grows with the transverse momentum of one jet, for each of the
/// leading selected jets in turn: first up, then down.
/// @param pt       stored transverse momenta in GeV
/// @param selected indices of the selected jets, at least n_jets of them
/// @param n_jets   number of leading jets
/// @param slope    relative change of the weight per GeV
/// @return 2 n_jets factors 1 + slope pt, 1 - slope pt of jet 0, of jet 1, and so on; not clipped at zero
ROOT::RVecD btag_weights(const ROOT::RVecF& pt, const ROOT::RVecI& selected, int n_jets, double slope);

/// Factors of the weight for each variation, and how many there must be.
struct WeightFactors {
    std::size_t number;
    ROOT::RVecD values;
};

/// The factors of several sources of variations, one source after the other.
/// @param sources their factors
/// @return all factors
/// @throws std::runtime_error if there is another number of them than there must be
ROOT::RVecD weight_factors(std::initializer_list<WeightFactors> sources);

/// Multiply a weight by each of several factors.
/// @param nominal the weight
/// @param factors the factors
/// @return nominal times each of them
ROOT::RVecD varied_weights(double nominal, const ROOT::RVecD& factors);

} // namespace ttbar
