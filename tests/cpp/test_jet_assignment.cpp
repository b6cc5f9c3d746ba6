#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/jet_assignment.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

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

TEST_CASE("more jets have more permutations, in the same order") {
    const auto first = [](std::size_t n_jets) {
        std::string digits;
        const auto all = ttbar::permutations_of(n_jets);
        for (const auto* permutation = all.begin(); permutation != all.begin() + 5; ++permutation) {
            for (const int jet : *permutation)
                digits += std::to_string(jet);
            digits += ' ';
        }
        return digits;
    };
    CHECK(first(4) == "1023 1032 2013 2031 2103 ");
    CHECK(first(5) == "1023 1024 1032 1034 1042 ");
    CHECK(first(6) == "1023 1024 1025 1032 1034 ");
    for (const auto& [n_jets, expected] : {std::pair{4, 12}, {5, 60}, {6, 180}}) {
        const auto all = ttbar::permutations_of(n_jets);
        CHECK(all.size() == static_cast<std::size_t>(expected));
        CHECK(std::is_sorted(all.begin(), all.end()));
        CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
        CHECK(std::all_of(all.begin(), all.end(), [](const auto& each) { return each[0] > each[1]; }));
        CHECK(ttbar::permutations_of_rows(expected * 20, 20).begin() == all.begin());
    }
    CHECK_THROWS_AS(ttbar::permutations_of(3), std::invalid_argument);
    CHECK_THROWS_AS(ttbar::permutations_of(7), std::invalid_argument);
    CHECK(ttbar::permutations_of_rows(61 * 20, 20).size() == 0);
}

TEST_CASE("the features of a permutation, worked out by hand") {
    // stored jets 0 and 3 are not selected
    const RVecF pt{1.f, 80.f, 70.f, 1.f, 60.f, 50.f}, eta{9.f, 0.5f, -1.f, 9.f, 2.f, 0.f},
        phi{9.f, 3.f, -3.f, 9.f, 1.f, 0.f}, mass{9.f, 10.f, 20.f, 9.f, 30.f, 40.f};
    const RVecI selected{1, 2, 4, 5};
    const ttbar::Lepton lepton{30.f, 1.f, -2.f, -0.5f};
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

TEST_CASE("a feature is added at the end of each row, with the stored jets of its permutation") {
    constexpr auto names = ttbar::with_feature(ttbar::feature_names, "extra");
    static_assert(names.size() == ttbar::feature_names.size() + 1);
    CHECK(names.front() == ttbar::feature_names.front());
    CHECK(names.back() == std::string("extra"));

    ttbar::PermutationFeatures features;
    for (std::size_t i = 0; i < features.size(); ++i)
        features[i] = static_cast<float>(i);
    const RVecI selected{1, 2, 4, 5};
    const auto digits = [](int a, int b, int c, int d) { return 1000. * a + 100. * b + 10. * c + d; };
    const auto once = ttbar::with_feature(features, selected, digits);
    const auto twice = ttbar::with_feature(once, selected, [](int, int, int, int d) { return -d; });
    REQUIRE(twice.size() == features.size() + 2 * ttbar::permutations.size());
    auto value = twice.begin();
    float next = 0;
    for (const auto& [a, b, c, d] : ttbar::permutations) {
        for (std::size_t i = 0; i < ttbar::feature_names.size(); ++i)
            CHECK(*value++ == next++);
        CHECK(*value++ == digits(selected[a], selected[b], selected[c], selected[d]));
        CHECK(*value++ == -selected[d]);
    }
    CHECK_THROWS_AS(ttbar::with_feature(RVecF(25), selected, digits), std::invalid_argument);
}

TEST_CASE("the best permutation is the first one of the highest score") {
    const ttbar::Forest forest(TTBAR_MODEL);
    REQUIRE(forest.n_features() == ttbar::feature_names.size());
    std::mt19937 random(1);
    std::uniform_real_distribution<float> values(0.f, 200.f);
    const auto is_first_maximum = [](const RVecF& scores, const ttbar::ScoredPermutation& best) {
        for (std::size_t i = 0; i < scores.size(); ++i)
            if (scores[i] > best.score || (static_cast<int>(i) < best.index && scores[i] == best.score))
                return false;
        return scores[best.index] == best.score;
    };
    for (int event = 0; event < 100; ++event) {
        ttbar::PermutationFeatures features;
        std::generate(features.begin(), features.end(), [&] { return values(random); });
        const auto scores = ttbar::permutation_scores(forest, features);
        REQUIRE(scores.size() == ttbar::permutations.size());
        std::array<float, ttbar::permutations.size()> expected;
        forest.probabilities(features.data(), expected.size(), expected.data());
        CHECK(std::equal(scores.begin(), scores.end(), expected.begin()));
        for (int time = 0; time < 2; ++time) { // the second answer is a remembered one
            const auto best = ttbar::best_scored_permutation(forest, features);
            CHECK(is_first_maximum(scores, best));
            CHECK(ttbar::best_permutation(forest, features) == best.index);
        }
    }
    for (const std::size_t n_jets : {4, 5, 6}) {
        RVecF rows(ttbar::n_permutations(n_jets) * forest.n_features());
        std::generate(rows.begin(), rows.end(), [&] { return values(random); });
        const auto scores = ttbar::permutation_scores(forest, rows);
        REQUIRE(scores.size() == ttbar::n_permutations(n_jets));
        CHECK(is_first_maximum(scores, ttbar::best_scored_permutation(forest, rows)));
        CHECK(ttbar::best_permutation(forest, rows) == ttbar::best_scored_permutation(forest, rows).index);
    }
    const RVecF equal(ttbar::n_permutations(5) * forest.n_features(), 1.f);
    CHECK(ttbar::best_scored_permutation(forest, equal).index == 0);
    CHECK_THROWS_AS(ttbar::permutation_scores(forest, RVecF(13 * 19)), std::runtime_error);
    CHECK_THROWS_AS(ttbar::best_scored_permutation(forest, RVecF()), std::runtime_error);
}
