#include "ttbar/weights.hpp"

namespace ttbar {

ROOT::RVecD btag_weights(const ROOT::RVecF& pt, const ROOT::RVecI& selected, int n_jets, double slope) {
    ROOT::RVecD weights(2 * n_jets);
    for (int i = 0; i < n_jets; ++i) {
        const double shift = slope * pt[selected[i]];
        weights[2 * i] = 1. + shift;
        weights[2 * i + 1] = 1. - shift;
    }
    return weights;
}

ROOT::RVecD varied_weights(double nominal, const ROOT::RVecD& factors) {
    return nominal * factors;
}

} // namespace ttbar
