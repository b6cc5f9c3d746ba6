/// @file
/// Reading columns for its own sake, and looking for what is no number.
#pragma once

#include <ROOT/RVec.hxx>

#include <algorithm>
#include <cmath>

namespace ttbar {

/// Take note of any columns and do nothing with them.
/// @return true
template <typename... Columns>
bool read(const Columns&... /*columns*/) {
    return true;
}

/// Whether a value is finite.
/// @param value a floating-point number
/// @return whether it is neither infinite nor not a number
inline bool all_finite(double value) {
    return std::isfinite(value);
}

/// Whether all values are finite.
/// @param values floating-point numbers
/// @return whether none is infinite or not a number
template <typename T>
bool all_finite(const ROOT::RVec<T>& values) {
    return std::all_of(values.begin(), values.end(), [](T value) { return std::isfinite(value); });
}

} // namespace ttbar
