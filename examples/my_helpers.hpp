/// @file
/// Helpers of an analysis of your own: pure functions, which the expressions of my_analysis.py call.
#pragma once

#include <ttbar/selection.hpp>

#include <ROOT/RVec.hxx>

#include <cmath>

namespace mine {

/// @return magnitude of a lepton's pseudorapidity
inline double abs_eta(const ttbar::Lepton& lepton) {
    return std::abs(lepton.eta);
}

/// @return factors of the weight up and down, for each muon above a threshold in GeV
inline ROOT::RVecD muon_factors(const ROOT::RVecF& pt, double min_pt, double uncertainty) {
    const double shift = uncertainty * ttbar::count_above(pt, min_pt);
    return {1. + shift, 1. - shift};
}

/// @return scaled transverse momentum of the first selected jet, in GeV
inline double first_jet_pt(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecI& selected) {
    return pt[selected[0]] * scale[selected[0]];
}

} // namespace mine
