#include "ttbar/observables.hpp"

#include <cstddef>

namespace ttbar {

namespace {

/// @param pt gives the transverse momentum of a stored jet
template <typename Pt>
Trijet hardest_trijet(Pt pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi, const ROOT::RVecF& mass,
                      const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag) {
    struct Jet {
        FourMomentum momentum;
        bool is_tagged;
    };
    ROOT::RVec<Jet> jets;
    jets.reserve(selected.size());
    for (const int jet : selected) {
        const double jet_mass = mass[jet];
        jets.push_back({FourMomentum::of(pt(jet), eta[jet], phi[jet], jet_mass * jet_mass), btag[jet] > min_btag});
    }

    Trijet best;
    double best_pt_square = -1.;
    for (std::size_t i = 0; i < jets.size(); ++i)
        for (std::size_t j = i + 1; j < jets.size(); ++j) {
            const auto pair = jets[i].momentum + jets[j].momentum;
            const bool pair_is_tagged = jets[i].is_tagged || jets[j].is_tagged;
            for (std::size_t k = j + 1; k < jets.size(); ++k) {
                const auto sum = pair + jets[k].momentum;
                if (!(pair_is_tagged || jets[k].is_tagged) || sum.pt_square() <= best_pt_square)
                    continue;
                best_pt_square = sum.pt_square();
                best = {sum.mass(), {selected[i], selected[j], selected[k]}};
            }
        }
    return best;
}

} // namespace

double scalar_sum(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecI& selected) {
    double sum = 0.;
    for (const int jet : selected)
        sum += pt[jet] * scale[jet];
    return sum;
}

Trijet trijet(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi, const ROOT::RVecF& mass,
              const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag) {
    return hardest_trijet([&](int jet) { return pt[jet]; }, eta, phi, mass, btag, selected, min_btag);
}

Trijet trijet(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
              const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag) {
    return hardest_trijet([&](int jet) { return pt[jet] * scale[jet]; }, eta, phi, mass, btag, selected, min_btag);
}

double trijet_mass(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi, const ROOT::RVecF& mass,
                   const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag) {
    return trijet(pt, eta, phi, mass, btag, selected, min_btag).mass;
}

double trijet_mass(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                   const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag) {
    return trijet(pt, scale, eta, phi, mass, btag, selected, min_btag).mass;
}

} // namespace ttbar
