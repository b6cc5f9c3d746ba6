#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "exact_sums.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using ttbar::ExactSums;

namespace {

ttbar::ExactSum sum(const std::vector<double>& numbers) {
    ExactSums sums(2);
    for (const double number : numbers)
        sums.add(1, number);
    CHECK(sums.sum(0).nearest == 0);
    return sums.sum(1);
}

} // namespace

TEST_CASE("sums are exact, and rounded once to the nearest, halves to even") {
    constexpr double unit = 0x1p-53;
    CHECK(sum({}).nearest == 0);
    CHECK(sum({1, unit, unit}).nearest == 1 + 2 * unit);
    CHECK(sum({1, unit}).nearest == 1);
    CHECK(sum({1, unit}).rest == unit);
    CHECK(sum({1 + 2 * unit, unit}).nearest == 1 + 4 * unit);
    CHECK(sum({1 + 2 * unit, unit}).rest == -unit);
    CHECK(sum({1, unit, 0x1p-1000}).nearest == 1 + 2 * unit);
    CHECK(sum({-1, -unit, -0x1p-1000}).nearest == -1 - 2 * unit);
    CHECK(sum({1e300, 1, -1e300}).nearest == 1);
    CHECK(sum({0x1p1023, -0x1p-1074}).nearest == 0x1p1023);
    CHECK(sum({0x1p1023, -0x1p-1074}).rest == -0x1p-1074);
    for (const double number : {0., 5e-324, -5e-324, 2.3e-308, 0.1, -3., 1e22, std::numeric_limits<double>::max()}) {
        CHECK(sum({number}).nearest == number);
        CHECK(sum({number}).rest == 0);
        CHECK(sum({number, -number}).nearest == 0);
    }
}

TEST_CASE("the order of numbers of all sizes and signs does not matter, nor where they are summed") {
    std::mt19937 random(1);
    std::normal_distribution<double> mantissa;
    for (const int exponents : {1, 20, 300}) {
        std::uniform_int_distribution<int> exponent(-exponents, exponents);
        std::vector<double> numbers(1000);
        for (auto& number : numbers)
            number = std::ldexp(mantissa(random), exponent(random));
        const auto expected = sum(numbers);
        CHECK(std::abs(expected.rest) <= std::abs(expected.nearest) * 0x1p-53);
        for (int i = 0; i < 5; ++i) {
            std::shuffle(numbers.begin(), numbers.end(), random);
            ExactSums one(1), other(1);
            for (std::size_t j = 0; j < numbers.size(); ++j)
                (j % 3 == 0 ? one : other).add(0, numbers[j]);
            one.add(other);
            CHECK(one.sum(0).nearest == expected.nearest);
            CHECK(one.sum(0).rest == expected.rest);
        }
    }
}

TEST_CASE("a million equal numbers carry from digit to digit") {
    ExactSums sums(1);
    for (int i = 0; i < 1'000'000; ++i)
        sums.add(0, -0.1);
    CHECK(sums.sum(0).nearest == -1e5);
    CHECK(sums.sum(0).rest == -200'000 / 0x1p55); // 0.1 is 3602879701896397 / 2^55
}
