/// @file
/// Numbers and formulas that several sources need.
#pragma once

#include <cmath>
#include <cstdint>

namespace ttbar {

inline constexpr double pi = 3.14159265358979323846;

/// A random number of the uniform distribution.
/// @param bits random bits
/// @return a number between 0 and 1, neither of which it reaches
inline double uniform(std::uint32_t bits) {
    return (bits + 0.5) / 4294967296.;
}

/// A random number of the normal distribution around 0, by Box and Muller.
/// @param width standard deviation
/// @param u,v   independent random numbers of the uniform distribution between 0 and 1
/// @return the number
inline double normal(double width, double u, double v) {
    return width * std::sqrt(-2 * std::log(u)) * std::cos(2 * pi * v);
}

} // namespace ttbar
