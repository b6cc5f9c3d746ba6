/// @file
/// Sums that do not depend on the order of what is added.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ttbar {

/// A sum as two doubles.
struct ExactSum {
    double nearest = 0; ///< the sum, rounded once
    double rest = 0;    ///< what rounding has left of it, rounded
};

/// Sums of finite doubles without any rounding, so that their order does not matter. The numbers are added as integers:
/// those whose exponents agree but for the last five bits have a common unit, and one integer for each sum. This is the
/// small superaccumulator of R. M. Neal, arXiv:1505.05571, with larger integers, that need no carries in the loop.
class ExactSums {
  public:
    /// @param number how many sums there are
    explicit ExactSums(std::size_t number) : number_(number) {}

    /// Add a number to a sum, which can take 2^42 of them.
    /// @param sum number of the sum
    /// @param x   the number, which must be finite
    void add(std::size_t sum, double x) {
        const Term term(x);
        auto& integers = levels_[term.level];
        if (integers.empty())
            integers.resize(number_);
        integers[sum] += term.integer;
    }

    /// Add the sums of another one, of which there are as many.
    void add(const ExactSums& other) {
        for (std::size_t level = 0; level < n_levels; ++level) {
            const auto& added = other.levels_[level];
            if (added.empty())
                continue;
            auto& integers = levels_[level];
            integers.resize(number_);
            std::transform(added.begin(), added.end(), integers.begin(), integers.begin(),
                           [](Integer a, Integer b) { return a + b; });
        }
    }

    /// @param sum number of a sum
    /// @return the sum
    ExactSum sum(std::size_t sum) const {
        Levels<Integer> integers{};
        std::size_t first = n_levels, last = 0;
        for (std::size_t level = 0; level < n_levels; ++level)
            if (!levels_[level].empty() && levels_[level][sum] != 0) {
                integers[level] = levels_[level][sum];
                first = std::min(first, level);
                last = level;
            }
        if (first == n_levels)
            return {};
        const double nearest = rounded(integers, first, last);
        const Term term(nearest);
        integers[term.level] -= term.integer;
        return {nearest, rounded(integers, std::min(first, term.level), std::max(last, term.level))};
    }

  private:
    __extension__ using Integer = __int128;
    __extension__ using Unsigned = unsigned __int128;

    static constexpr std::size_t n_levels = 64, bits_of_level = 32;
    template <typename T>
    using Levels = std::array<T, n_levels>;

    static constexpr int lowest_exponent = -1075; ///< of the unit of the first level

    /// A double as a multiple of the unit of a level.
    struct Term {
        explicit Term(double x) {
            std::uint64_t bits;
            std::memcpy(&bits, &x, sizeof bits);
            constexpr std::uint64_t leading = std::uint64_t{1} << 52;
            const std::uint64_t exponent = bits >> 52 & 0x7ff;
            const std::uint64_t mantissa = (bits & (leading - 1)) | (exponent ? leading : 0);
            const std::uint64_t place = exponent + !exponent; // subnormal numbers have the exponent of the least others
            level = place / bits_of_level;
            integer = static_cast<Integer>(mantissa) << place % bits_of_level;
            if (bits >> 63)
                integer = -integer;
        }

        std::size_t level;
        Integer integer;
    };

    /// The sum of levels, rounded to the nearest double.
    static double rounded(const Levels<Integer>& integers, std::size_t first, std::size_t last) {
        constexpr std::size_t n_carries = 4;                    // as many digits as an integer has
        std::array<std::uint32_t, n_levels + n_carries> digits; // the lowest first
        const auto begin = digits.begin() + first, end = digits.begin() + last + 1 + n_carries;
        Integer carry = 0;
        for (auto digit = begin; digit != end; ++digit) {
            const std::size_t level = digit - digits.begin();
            carry += level <= last ? integers[level] : 0;
            *digit = static_cast<std::uint32_t>(carry);
            carry >>= bits_of_level;
        }
        const bool is_negative = carry < 0;
        if (is_negative) {
            carry = 1;
            for (auto digit = begin; digit != end; ++digit) {
                carry += static_cast<std::uint32_t>(~*digit);
                *digit = static_cast<std::uint32_t>(carry);
                carry >>= bits_of_level;
            }
        }
        auto top = end;
        while (top != begin && *(top - 1) == 0)
            --top;
        // Four digits are more bits than a double has; of all below them it only matters whether they are zero.
        Unsigned leading = 0;
        auto next = top;
        for (int i = 0; i < 4; ++i)
            leading = leading << bits_of_level | (next == begin ? 0 : *--next);
        leading |= std::any_of(begin, next, [](auto digit) { return digit != 0; });
        const int lowest = static_cast<int>(top - digits.begin()) - 4;
        const double size =
            std::ldexp(static_cast<double>(leading), lowest * static_cast<int>(bits_of_level) + lowest_exponent);
        return is_negative ? -size : size;
    }

    std::size_t number_;
    Levels<std::vector<Integer>> levels_; ///< empty where nothing has been added
};

} // namespace ttbar
