#include "ttbar/agc_v2.hpp"

#include "four_momentum.hpp"

#include <algorithm>
#include <cmath>

namespace ttbar::agc_v2 {

namespace {

template <typename T>
using PerJet = std::array<T, max_assigned_jets>;

/// A jet or the lepton, to find distances.
struct Direction {
    double eta, phi;
};

double delta_r(const Direction& a, const Direction& b) {
    const double delta_eta = a.eta - b.eta, delta_phi = a.phi - b.phi;
    return std::sqrt(delta_eta * delta_eta + delta_phi * delta_phi);
}

/// A four-momentum whose mass has a square of its own sign.
FourMomentum with_signed_mass(double pt, const Direction& direction, double mass) {
    return FourMomentum::of(pt, direction.eta, direction.phi, mass * std::abs(mass));
}

double signed_mass(const FourMomentum& momentum) {
    const double square = momentum.mass_square();
    return std::copysign(std::sqrt(std::abs(square)), square);
}

/// The jets that permutations assign, with what belongs to one of them or to a pair.
class Jets {
  public:
    Jets(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
         const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecF& qgl, const ROOT::RVecI& selected,
         const Lepton& lepton)
        : size_(std::min(max_assigned_jets, selected.size())) {
        const Direction lepton_direction{lepton.eta, lepton.phi};
        const FourMomentum lepton_momentum = with_signed_mass(lepton.pt, lepton_direction, lepton.mass);
        PerJet<Direction> directions;
        for (std::size_t i = 0; i < size_; ++i) {
            const int jet = selected[i];
            const double jet_mass = mass[jet];
            directions[i] = {eta[jet], phi[jet]};
            pt_[i] = pt[jet] * scale[jet];
            btag_[i] = btag[jet];
            qgl_[i] = qgl[jet];
            momentum_[i] = FourMomentum::of(pt_[i], directions[i].eta, directions[i].phi, jet_mass * jet_mass);
            lepton_delta_r_[i] = delta_r(lepton_direction, directions[i]);
            lepton_mass_[i] = signed_mass(lepton_momentum + with_signed_mass(pt_[i], directions[i], jet_mass));
            for (std::size_t j = 0; j < i; ++j) {
                delta_r_[i][j] = delta_r_[j][i] = delta_r(directions[i], directions[j]);
                pair_[i][j] = momentum_[i] + momentum_[j];
                pair_mass_[i][j] = pair_[i][j].mass();
            }
        }
    }

    std::size_t size() const { return size_; }

    std::array<double, feature_names.size()> features(const Permutation& permutation) const {
        const auto& [a, b, c, d] = permutation;
        const FourMomentum top = pair_[a][b] + momentum_[c];
        return {lepton_delta_r_[d],
                delta_r_[a][b],
                delta_r_[a][c],
                delta_r_[b][c],
                lepton_mass_[d],
                pair_mass_[a][b],
                top.mass(),
                std::sqrt(top.pt_square()),
                pt_[a],
                pt_[b],
                pt_[c],
                pt_[d],
                btag_[a],
                btag_[b],
                btag_[c],
                btag_[d],
                qgl_[a],
                qgl_[b],
                qgl_[c],
                qgl_[d]};
    }

  private:
    std::size_t size_;
    PerJet<double> pt_, btag_, qgl_, lepton_delta_r_, lepton_mass_;
    PerJet<FourMomentum> momentum_;
    PerJet<PerJet<double>> delta_r_, pair_mass_; // of pairs, the second index of a mass is the smaller one
    PerJet<PerJet<FourMomentum>> pair_;
};

} // namespace

ROOT::RVecF permutation_features(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta,
                                 const ROOT::RVecF& phi, const ROOT::RVecF& mass, const ROOT::RVecF& btag,
                                 const ROOT::RVecF& qgl, const ROOT::RVecI& selected, const Lepton& lepton) {
    const Jets jets(pt, scale, eta, phi, mass, btag, qgl, selected, lepton);
    const auto permutations = permutations_of(jets.size());
    ROOT::RVecF rows(permutations.size() * feature_names.size());
    auto next = rows.begin();
    for (const auto& permutation : permutations)
        for (const double feature : jets.features(permutation))
            *next++ = static_cast<float>(feature);
    return rows;
}

ROOT::RVecD features_of(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                        const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecF& qgl,
                        const ROOT::RVecI& selected, const Lepton& lepton, int permutation) {
    const Jets jets(pt, scale, eta, phi, mass, btag, qgl, selected, lepton);
    const auto features = jets.features(permutations_of(jets.size()).begin()[permutation]);
    return ROOT::RVecD(features.begin(), features.end());
}

} // namespace ttbar::agc_v2
