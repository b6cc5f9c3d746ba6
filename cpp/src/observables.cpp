#include "ttbar/observables.hpp"

#include <algorithm>
#include <cmath>

namespace ttbar {

namespace {

struct FourMomentum {
    double px, py, pz, energy;
    bool btagged;
};

FourMomentum operator+(const FourMomentum& a, const FourMomentum& b) {
    return {a.px + b.px, a.py + b.py, a.pz + b.pz, a.energy + b.energy, a.btagged || b.btagged};
}

} // namespace

double scalar_sum(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecI& selected) {
    double sum = 0.;
    for (const int jet : selected)
        sum += pt[jet] * scale[jet];
    return sum;
}

double trijet_mass(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi, const ROOT::RVecF& mass,
                   const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag) {
    ROOT::RVec<FourMomentum> jets;
    jets.reserve(selected.size());
    for (const int jet : selected) {
        const double jet_pt = pt[jet], jet_phi = phi[jet], jet_mass = mass[jet];
        const double pz = jet_pt * std::sinh(static_cast<double>(eta[jet]));
        jets.push_back({jet_pt * std::cos(jet_phi), jet_pt * std::sin(jet_phi), pz,
                        std::sqrt(jet_pt * jet_pt + pz * pz + jet_mass * jet_mass), btag[jet] > min_btag});
    }

    double best_pt_squared = -1., best_mass_squared = -1.;
    for (std::size_t i = 0; i < jets.size(); ++i)
        for (std::size_t j = i + 1; j < jets.size(); ++j) {
            const auto pair = jets[i] + jets[j];
            for (std::size_t k = j + 1; k < jets.size(); ++k) {
                const auto trijet = pair + jets[k];
                const double pt_squared = trijet.px * trijet.px + trijet.py * trijet.py;
                if (!trijet.btagged || pt_squared <= best_pt_squared)
                    continue;
                best_pt_squared = pt_squared;
                best_mass_squared = std::max(0., trijet.energy * trijet.energy - pt_squared - trijet.pz * trijet.pz);
            }
        }
    return best_pt_squared < 0. ? -1. : std::sqrt(best_mass_squared);
}

} // namespace ttbar
