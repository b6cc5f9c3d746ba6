#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/jet_assignment.hpp"

#include <algorithm>
#include <cmath>

using ROOT::RVecF;
using ROOT::RVecI;

TEST_CASE("the permutations are those with a > b, in lexicographic order") {
    ttbar::Permutation ordering{0, 1, 2, 3};
    std::size_t next = 0;
    do {
        if (ordering[0] < ordering[1])
            continue;
        REQUIRE(next < ttbar::permutations.size());
        CHECK(ttbar::permutations[next++] == ordering);
    } while (std::next_permutation(ordering.begin(), ordering.end()));
    CHECK(next == ttbar::permutations.size());
}

TEST_CASE("the features of a permutation, worked out by hand") {
    // stored jets 0 and 3 are not selected
    const RVecF pt{1.f, 80.f, 70.f, 1.f, 60.f, 50.f}, eta{9.f, 0.5f, -1.f, 9.f, 2.f, 0.f},
        phi{9.f, 3.f, -3.f, 9.f, 1.f, 0.f}, mass{9.f, 10.f, 20.f, 9.f, 30.f, 40.f};
    const RVecI selected{1, 2, 4, 5};
    const ttbar::Lepton lepton{1.f, -2.f, -0.5f};
    const auto features = ttbar::permutation_features(pt, eta, phi, mass, selected, lepton);
    // the last permutation: a = 3, b = 2, c = 1, d = 0 of the selected jets
    const auto row = std::vector<float>(features.end() - 19, features.end());
    const auto f = [](double value) { return static_cast<float>(value); };
    const std::vector<float> expected{f(std::hypot(0.5, 5.)),
                                      f(std::hypot(2., 1.)),
                                      f(std::hypot(1., 3.)),
                                      f(std::hypot(3., 4.)),
                                      5.f,
                                      1.f,
                                      3.f,
                                      4.f, // azimuths are not wrapped: 5 rad between lepton and d
                                      9.5f,
                                      70.f,
                                      90.f,
                                      50.f,
                                      60.f,
                                      70.f,
                                      80.f,
                                      40.f,
                                      30.f,
                                      20.f,
                                      10.f};
    CHECK(row == expected);
    CHECK(ttbar::w_jets_delta_phi(phi, selected, 11) == 1.);
    CHECK(ttbar::w_jets_delta_phi(phi, selected, 0) == 6.);
}
