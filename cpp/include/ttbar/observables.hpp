/// @file
/// Four-momenta, and what is measured of the selected jets.
#pragma once

#include "library.hpp"

#include <ROOT/RVec.hxx>

#include <algorithm>
#include <array>
#include <cmath>

namespace ttbar {

/// A four-momentum in GeV.
struct FourMomentum {
    double px, py, pz, energy;

    /// @param pt,eta,phi  transverse momentum in GeV, pseudorapidity, azimuth
    /// @param mass_square square of the mass in GeV^2; if it is so negative that the energy's would be, that is zero
    /// @return the four-momentum
    static FourMomentum of(double pt, double eta, double phi, double mass_square) {
        const double pz = pt * std::sinh(eta);
        return {pt * std::cos(phi), pt * std::sin(phi), pz, std::sqrt(std::max(0., pt * pt + pz * pz + mass_square))};
    }

    /// @return square of the transverse momentum
    double pt_square() const { return px * px + py * py; }

    /// @return square of the mass; negative in a system that is nearly massless, or not physical
    double mass_square() const { return energy * energy - pt_square() - pz * pz; }

    /// @return mass, zero if its square is negative
    double mass() const { return std::sqrt(std::max(0., mass_square())); }
};

/// @return sum of two four-momenta
inline FourMomentum operator+(const FourMomentum& a, const FourMomentum& b) {
    return {a.px + b.px, a.py + b.py, a.pz + b.pz, a.energy + b.energy};
}

/// H_T, the scalar sum of the scaled transverse momenta of the selected jets.
/// @param pt       stored transverse momenta in GeV
/// @param scale    factor for each stored jet
/// @param selected indices of the selected jets
/// @return H_T in GeV
double scalar_sum(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecI& selected);

/// Three jets that may come from the hadronic top.
struct Trijet {
    double mass = -1.;                   ///< mass in GeV
    std::array<int, 3> jets{-1, -1, -1}; ///< indices of the stored jets, in the order in which they were selected
};

/// The hadronic top candidate: of all combinations of three selected jets in which at least one is b-tagged, the one
/// whose four-momentum sum has the largest transverse momentum. A tie goes to the first in the order i < j < k.
/// @param pt,eta,phi,mass stored kinematics of the jets, pt and mass in GeV
/// @param btag            b-tag scores
/// @param selected        indices of the selected jets
/// @param min_btag        what the score of a b-tagged jet must exceed
/// @return mass and jets; a mass squared below zero counts as zero, and without a combination all are -1
Trijet trijet(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi, const ROOT::RVecF& mass,
              const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag);

/// The same with scaled transverse momenta.
/// @param scale factor for each stored jet
Trijet trijet(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
              const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag);

/// The mass of the trijet.
/// @param pt,eta,phi,mass,btag,selected,min_btag as in trijet
/// @return mass in GeV, -1 without a trijet
double trijet_mass(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi, const ROOT::RVecF& mass,
                   const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag);

/// The same with scaled transverse momenta.
/// @param scale factor for each stored jet
double trijet_mass(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                   const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecI& selected, double min_btag);

} // namespace ttbar
