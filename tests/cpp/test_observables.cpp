#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/observables.hpp"

#include <cmath>

using ROOT::RVecD;
using ROOT::RVecF;
using ROOT::RVecI;

TEST_CASE("H_T is the sum of the scaled momenta of selected jets") {
    CHECK(ttbar::scalar_sum({40.f, 50.f, 60.f}, {1., 2., 1.5}, {0, 2}) == 130.);
    CHECK(ttbar::scalar_sum({40.f}, {1.}, {}) == 0.);
}

TEST_CASE("the trijet of largest momentum that has a b-tag gives the mass") {
    const RVecF pt{100.f, 90.f, 80.f, 70.f}, eta(4, 0.f), phi{0.f, 1.f, 2.f, 3.f}, mass(4, 10.f);
    const auto mass_of = [&](int i, int j, int k) {
        double px = 0, py = 0, energy = 0;
        for (const int jet : {i, j, k}) {
            px += pt[jet] * std::cos(double(phi[jet]));
            py += pt[jet] * std::sin(double(phi[jet]));
            energy += std::sqrt(double(pt[jet]) * pt[jet] + 100.);
        }
        return std::sqrt(energy * energy - px * px - py * py);
    };
    // momenta of the sums: (0,1,2) 182, (1,2,3) 170, (0,1,3) 140, (0,2,3) 128 GeV
    const RVecI all{0, 1, 2, 3};
    CHECK(ttbar::trijet_mass(pt, eta, phi, mass, {1.f, 1.f, 1.f, 1.f}, all, 0.5) == doctest::Approx(mass_of(0, 1, 2)));
    CHECK(ttbar::trijet_mass(pt, eta, phi, mass, {0.f, 0.f, 0.f, 1.f}, all, 0.5) == doctest::Approx(mass_of(1, 2, 3)));
    // a score at the threshold is no b-tag, an unselected jet takes no part
    CHECK(ttbar::trijet_mass(pt, eta, phi, mass, {.5f, .5f, .5f, 1.f}, all, 0.5) == doctest::Approx(mass_of(1, 2, 3)));
    CHECK(ttbar::trijet_mass(pt, eta, phi, mass, {1.f, 0.f, 0.f, 1.f}, {0, 2, 3}, 0.5) ==
          doctest::Approx(mass_of(0, 2, 3)));
    CHECK(ttbar::trijet_mass(pt, eta, phi, mass, {0.f, 0.f, 0.f, 0.f}, all, 0.5) == -1.);
}

TEST_CASE("a trijet has the indices of its stored jets") {
    // stored jets 0 and 3 are not selected; the hardest combination of the others is that of the nearest ones
    const RVecF pt{500.f, 90.f, 80.f, 500.f, 70.f, 60.f}, eta(6, 0.f), phi{0.f, 2.f, 0.f, 0.f, 0.1f, 0.2f},
        mass(6, 5.f);
    const RVecI selected{5, 1, 2, 4};
    const auto found = ttbar::trijet(pt, eta, phi, mass, RVecF(6, 1.f), selected, 0.5);
    CHECK(found.jets == std::array{5, 2, 4});
    CHECK(found.mass == ttbar::trijet_mass(pt, eta, phi, mass, RVecF(6, 1.f), {5, 2, 4}, 0.5));
    // of scaled jets others can be the hardest
    const auto scaled =
        ttbar::trijet(pt, {1., 9., 1., 1., 1., 1.}, eta, phi, mass, {0.f, 1.f, 0.f, 0.f, 0.f, 0.f}, selected, 0.5);
    CHECK(scaled.jets == std::array{5, 1, 4});
    const auto none = ttbar::trijet(pt, eta, phi, mass, RVecF(6, 0.5f), selected, 0.5);
    CHECK(none.mass == -1.);
    CHECK(none.jets == std::array{-1, -1, -1});
}

TEST_CASE("of equal trijets the first counts") {
    // two pairs of opposite jets and one more: (0,1,2) and (0,1,3) have the same momentum but different
    // masses
    const RVecF pt{50.f, 50.f, 80.f, 80.f}, eta{0.f, 0.f, 1.f, 1.f}, phi{0.f, 0.f, 0.f, 0.f}, mass{5.f, 5.f, 1.f, 40.f};
    const RVecF btag{1.f, 0.f, 0.f, 0.f};
    const double first = ttbar::trijet_mass(pt, eta, phi, mass, btag, {0, 1, 2}, 0.5);
    const double second = ttbar::trijet_mass(pt, eta, phi, mass, btag, {0, 1, 3}, 0.5);
    REQUIRE(first != second);
    CHECK(ttbar::trijet_mass({50.f, 50.f, 50.f, 50.f}, eta, phi, mass, btag, {0, 1, 2, 3}, 0.5) ==
          ttbar::trijet_mass({50.f, 50.f, 50.f, 50.f}, eta, phi, mass, btag, {0, 1, 2}, 0.5));
}

TEST_CASE("a mass squared below zero counts as zero") {
    // massless and collinear: rounding alone decides the sign
    const RVecF pt{123.4f, 77.7f, 31.3f, 55.1f}, eta(4, 2.3f), phi(4, 0.7f), mass(4, 0.f), btag(4, 1.f);
    const double result = ttbar::trijet_mass(pt, eta, phi, mass, btag, {0, 1, 2, 3}, 0.5);
    CHECK(result >= 0.);
    CHECK(result < 1e-3);
}

TEST_CASE("a scaled trijet is chosen and weighed with scaled momenta") {
    const RVecF pt{50.f, 50.f, 50.f, 40.f}, eta{0.f, 1.f, 2.f, 1.f}, phi{0.f, 0.1f, 0.2f, 0.1f}, mass(4, 5.f),
        btag(4, 1.f);
    const RVecI all{0, 1, 2, 3};
    const RVecD scale{1., 1., 1., 2.}; // the last one becomes the hardest
    const RVecF scaled{50.f, 50.f, 50.f, 80.f};
    const double expected = ttbar::trijet_mass(scaled, eta, phi, mass, btag, all, 0.5);
    CHECK(ttbar::trijet_mass(pt, scale, eta, phi, mass, btag, all, 0.5) == expected);
    CHECK(ttbar::trijet_mass(pt, eta, phi, mass, btag, all, 0.5) != expected);
}
