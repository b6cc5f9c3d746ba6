#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/weights.hpp"

TEST_CASE("weights of the leading selected jets, up and down, not clipped") {
    const auto weights = ttbar::btag_weights({100.f, 50.f, 1000.f}, {1, 2}, 2, 0.075 / 50.);
    REQUIRE(weights.size() == 4);
    CHECK(weights[0] == doctest::Approx(1.075));
    CHECK(weights[1] == doctest::Approx(0.925));
    CHECK(weights[2] == doctest::Approx(2.5));
    CHECK(weights[3] == doctest::Approx(-0.5));
}
