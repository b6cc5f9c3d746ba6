#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/agc_v2.hpp"

#include <cmath>
#include <stdexcept>

using ROOT::RVecD;
using ROOT::RVecF;
using ROOT::RVecI;

namespace {

/// Seven stored jets, of which the first is not selected. Numbers are exact in single precision.
struct Jets {
    RVecF pt{9.f, 80.f, 64.f, 48.f, 32.f, 96.f, 40.f}, eta{9.f, 0.5f, -1.f, 2.f, 0.f, -2.f, 1.f},
        phi{9.f, 3.f, -3.f, 1.f, 0.f, -1.f, 2.f}, mass{9.f, 8.f, -4.f, 6.f, 2.f, 10.f, 3.f},
        btag{9.f, 0.125f, 0.25f, 0.375f, 0.5f, 0.625f, 0.75f}, qgl{9.f, -1.f, 0.f, 0.25f, 0.5f, 0.75f, 1.f};
    RVecD scale = RVecD(7, 1.25);
    RVecI selected{1, 2, 3, 4, 5, 6};
    ttbar::Lepton lepton{36.f, 1.f, -2.f, 0.5f};

    ttbar::agc_v2::Candidates candidates() const {
        return ttbar::agc_v2::candidates_of(pt, scale, eta, phi, mass, btag, qgl, selected, lepton);
    }
    RVecF rows() const { return ttbar::agc_v2::permutation_features(candidates()); }
    RVecD row(int permutation) const { return ttbar::agc_v2::features_of(candidates(), permutation); }
};

struct Sum {
    double px = 0, py = 0, pz = 0, energy = 0;

    void add(double pt, double eta, double phi, double mass_square) {
        const double z = pt * std::sinh(eta);
        px += pt * std::cos(phi);
        py += pt * std::sin(phi);
        pz += z;
        energy += std::sqrt(pt * pt + z * z + mass_square);
    }
    double mass_square() const { return energy * energy - px * px - py * py - pz * pz; }
};

} // namespace

TEST_CASE("the features of a permutation, worked out by hand") {
    Jets jets;
    jets.selected = {1, 2, 3, 4};
    // The last permutation: a = 3, b = 2, c = 1, d = 0 of the selected jets, that is 4, 3, 2, 1 of the stored ones.
    const auto row = jets.row(11);
    REQUIRE(row.size() == ttbar::agc_v2::feature_names.size());
    Sum w, top, leptonic;
    w.add(40, 0, 0, 4);
    w.add(60, 2, 1, 36);
    top = w;
    top.add(80, -1, -3, 16); // whatever the sign of the mass
    leptonic.add(100, 0.5, 3, 64);
    leptonic.add(36, 1, -2, 0.25);
    const RVecD expected{std::hypot(0.5, 5.),
                         std::hypot(2., 1.),
                         std::hypot(1., 3.),
                         std::hypot(3., 4.),
                         std::sqrt(leptonic.mass_square()),
                         std::sqrt(w.mass_square()),
                         std::sqrt(top.mass_square()),
                         std::hypot(top.px, top.py),
                         40,
                         60,
                         80,
                         100,
                         0.5,
                         0.375,
                         0.25,
                         0.125,
                         0.5,
                         0.25,
                         0,
                         -1};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(ttbar::agc_v2::feature_names[i]);
        CHECK(row[i] == doctest::Approx(expected[i]).epsilon(1e-12));
    }
}

TEST_CASE("the rows are the features of all permutations of at most six jets, rounded once") {
    Jets jets;
    for (const std::size_t n_jets : {4, 5, 6}) {
        jets.selected.resize(n_jets);
        std::size_t i = 0;
        for (std::size_t at = 0; at < n_jets; ++at)
            jets.selected[at] = static_cast<int>(at) + 1;
        const auto rows = jets.rows();
        REQUIRE(rows.size() == ttbar::n_permutations(n_jets) * 20);
        for (std::size_t permutation = 0; permutation < ttbar::n_permutations(n_jets); ++permutation)
            for (const double feature : jets.row(static_cast<int>(permutation)))
                CHECK(rows[i++] == static_cast<float>(feature));
    }
    const auto of_six = jets.rows();
    jets.selected = {1, 2, 3, 4, 5, 6, 0};
    CHECK(ROOT::VecOps::All(jets.rows() == of_six));
    jets.selected = {1, 2, 3};
    CHECK_THROWS_AS(jets.rows(), std::invalid_argument);
}

TEST_CASE("negative masses count with a negative square where lepton and jet are added") {
    Jets jets;
    jets.selected = {1, 2, 3, 4};
    jets.lepton = {36.f, 1.f, -2.f, -0.5f};
    Sum leptonic;
    leptonic.add(80, -1, -3, -16);
    leptonic.add(36, 1, -2, -0.25);
    CHECK(jets.row(0)[4] != doctest::Approx(std::sqrt(leptonic.mass_square())).epsilon(1e-12)); // d is another jet
    const auto& permutations = ttbar::permutations;
    for (std::size_t i = 0; i < permutations.size(); ++i)
        if (permutations[i][3] == 1)
            CHECK(jets.row(static_cast<int>(i))[4] ==
                  doctest::Approx(std::sqrt(leptonic.mass_square())).epsilon(1e-12));

    // Side by side, two of them have a negative mass together.
    jets.eta = RVecF(7, 1.f);
    jets.phi = RVecF(7, -2.f);
    jets.mass = RVecF(7, -1.f);
    CHECK(jets.row(0)[4] < 0.);
    CHECK(jets.row(0)[5] >= 0.);
}
