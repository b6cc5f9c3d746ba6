#include "ttbar/agc_v2.hpp"

#include <algorithm>
#include <cmath>

namespace ttbar::agc_v2 {

namespace {

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

std::array<double, feature_names.size()> features(const Candidates& jets, const Permutation& permutation) {
    const auto& [a, b, c, d] = permutation;
    const FourMomentum top = jets.pair[a][b] + jets.momentum[c];
    return {jets.lepton_delta_r[d],
            jets.delta_r[a][b],
            jets.delta_r[a][c],
            jets.delta_r[b][c],
            jets.lepton_mass[d],
            jets.pair_mass[a][b],
            top.mass(),
            std::sqrt(top.pt_square()),
            jets.pt[a],
            jets.pt[b],
            jets.pt[c],
            jets.pt[d],
            jets.btag[a],
            jets.btag[b],
            jets.btag[c],
            jets.btag[d],
            jets.qgl[a],
            jets.qgl[b],
            jets.qgl[c],
            jets.qgl[d]};
}

} // namespace

Candidates candidates_of(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta,
                         const ROOT::RVecF& phi, const ROOT::RVecF& mass, const ROOT::RVecF& btag,
                         const ROOT::RVecF& qgl, const ROOT::RVecI& selected, const Lepton& lepton) {
    Candidates jets;
    jets.size = std::min(max_assigned_jets, selected.size());
    const Direction lepton_direction{lepton.eta, lepton.phi};
    const FourMomentum lepton_momentum = with_signed_mass(lepton.pt, lepton_direction, lepton.mass);
    Candidates::PerJet<Direction> directions;
    for (std::size_t i = 0; i < jets.size; ++i) {
        const int jet = selected[i];
        const double jet_mass = mass[jet];
        directions[i] = {eta[jet], phi[jet]};
        jets.pt[i] = pt[jet] * scale[jet];
        jets.btag[i] = btag[jet];
        jets.qgl[i] = qgl[jet];
        jets.momentum[i] = FourMomentum::of(jets.pt[i], directions[i].eta, directions[i].phi, jet_mass * jet_mass);
        jets.lepton_delta_r[i] = delta_r(lepton_direction, directions[i]);
        jets.lepton_mass[i] = signed_mass(lepton_momentum + with_signed_mass(jets.pt[i], directions[i], jet_mass));
        for (std::size_t j = 0; j < i; ++j) {
            jets.delta_r[i][j] = jets.delta_r[j][i] = delta_r(directions[i], directions[j]);
            jets.pair[i][j] = jets.momentum[i] + jets.momentum[j];
            jets.pair_mass[i][j] = jets.pair[i][j].mass();
        }
    }
    return jets;
}

ROOT::RVecF permutation_features(const Candidates& jets) {
    const auto permutations = permutations_of(jets.size);
    ROOT::RVecF rows(permutations.size() * feature_names.size());
    auto next = rows.begin();
    for (const auto& permutation : permutations)
        for (const double feature : features(jets, permutation))
            *next++ = static_cast<float>(feature);
    return rows;
}

ROOT::RVecD features_of(const Candidates& jets, int permutation) {
    const auto of_permutation = features(jets, permutations_of(jets.size).begin()[permutation]);
    return ROOT::RVecD(of_permutation.begin(), of_permutation.end());
}

} // namespace ttbar::agc_v2
