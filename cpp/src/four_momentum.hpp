/// @file
/// Four-momenta, as far as the observables and the features of jets need them.
#pragma once

#include <algorithm>
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

} // namespace ttbar
