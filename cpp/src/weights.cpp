#include "ttbar/weights.hpp"

#include <stdexcept>
#include <string>

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

ROOT::RVecD weight_factors(std::initializer_list<WeightFactors> sources) {
    ROOT::RVecD all;
    for (const auto& [number, values] : sources) {
        if (values.size() != number)
            throw std::runtime_error("a weight variation has " + std::to_string(values.size()) + " factors, not " +
                                     std::to_string(number));
        all.insert(all.end(), values.begin(), values.end());
    }
    return all;
}

ROOT::RVecD varied_weights(double nominal, const ROOT::RVecD& factors) {
    return nominal * factors;
}

} // namespace ttbar
