#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/jet_energy.hpp"
#include "ttbar/philox.hpp"

#include <cmath>

using Words = std::array<std::uint32_t, 4>;

TEST_CASE("Philox reproduces the published known answers") {
    // kat_vectors of the Random123 distribution
    CHECK(ttbar::philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(ttbar::philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(ttbar::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a smearing factor is a function of the event, the jet and the seed") {
    const ttbar::EventId id{1, 2, (std::uint64_t{7} << 32) | 5};
    const auto words = ttbar::philox4x32({5, 7, 1, 2}, {3, 4});
    const double u = (words[0] + 0.5) / std::pow(2., 32), v = (words[1] + 0.5) / std::pow(2., 32);
    CHECK(ttbar::smearing_factor(id, 4, 0.05, 3) ==
          doctest::Approx(1 + 0.05 * std::sqrt(-2 * std::log(u)) * std::cos(2 * std::acos(-1.) * v)).epsilon(1e-15));
    CHECK(ttbar::smearing_factor(id, 4, 0.05, 3 + (std::uint64_t{1} << 32)) == ttbar::smearing_factor(id, 4, 0.05, 3));
    CHECK(ttbar::smearing_factor(id, 5, 0.05, 3) != ttbar::smearing_factor(id, 4, 0.05, 3));
    CHECK(ttbar::smearing_factor(id, 4, 0.05, 4) != ttbar::smearing_factor(id, 4, 0.05, 3));
}

TEST_CASE("smearing factors are normally distributed and bounded") {
    constexpr int n = 200000;
    double sum = 0, squares = 0;
    int beyond_two = 0;
    for (int event = 0; event < n; ++event) {
        const double pull = (ttbar::smearing_factor({1, 1, static_cast<std::uint64_t>(event)}, 0, 0.05, 1) - 1) / 0.05;
        REQUIRE(std::abs(pull) < 6.8);
        sum += pull;
        squares += pull * pull;
        beyond_two += std::abs(pull) > 2;
    }
    CHECK(std::abs(sum / n) < 0.01);
    CHECK(squares / n == doctest::Approx(1.).epsilon(0.015));
    CHECK(beyond_two == doctest::Approx(0.0455 * n).epsilon(0.03));
}

TEST_CASE("there is a factor for each jet in each universe") {
    const auto scales = ttbar::varied_jet_scales({40.f, 30.f}, 1, 2, 3, 1.03, 0.05, 1);
    REQUIRE(scales.size() == 2);
    CHECK(scales[0][0] == 1.03);
    CHECK(scales[0][1] == 1.03);
    CHECK(scales[1][1] == ttbar::smearing_factor({1, 2, 3}, 1, 0.05, 1));
    CHECK(ttbar::uniform_jet_scale({40.f, 30.f}, 1.03)[1] == 1.03);
    CHECK(ttbar::varied_jet_scales({}, 1, 2, 3, 1.03, 0.05, 1)[1].empty());
}
