/// @file
/// Random numbers of the toy simulation. The distributions of the standard library differ between its
/// implementations; these do not.
#pragma once

#include "../numerics.hpp"
#include "ttbar/philox.hpp"

#include <array>
#include <cmath>
#include <cstdint>

namespace ttbar::simulation {

/// The random numbers of one event.
class Random {
  public:
    /// @param seed   seed
    /// @param stream number of the stream, e.g. of the sample
    /// @param event  number of the event in the stream
    Random(std::uint64_t seed, std::uint32_t stream, std::uint64_t event)
        : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
          counter_{0, static_cast<std::uint32_t>(event), static_cast<std::uint32_t>(event >> 32), stream} {}

    /// @return 32 random bits
    std::uint32_t bits() {
        if (used_ == words_.size()) {
            words_ = philox4x32(counter_, key_);
            ++counter_[0];
            used_ = 0;
        }
        return words_[used_++];
    }

    /// @return a number between 0 and 1, neither of which it reaches
    double uniform() { return ttbar::uniform(bits()); }

    /// @return a number between low and high
    double uniform(double low, double high) { return low + (high - low) * uniform(); }

    /// @return a number between low and high whose logarithm is distributed evenly
    double log_uniform(double low, double high) { return low * std::pow(high / low, uniform()); }

    /// @return true with the given probability
    bool chance(double probability) { return uniform() < probability; }

    /// @return a number of the exponential distribution
    double exponential(double mean) { return -mean * std::log(uniform()); }

    /// @return a number of the normal distribution
    double normal(double mean, double width) {
        const double u = uniform(), v = uniform();
        return mean + ttbar::normal(width, u, v);
    }

    /// @return an integer from 0 of the distribution in which each is less frequent than the one before by
    /// one factor
    int geometric(double mean) { return static_cast<int>(std::log(uniform()) / std::log(mean / (1 + mean))); }

    /// @return a number around the peak of a resonance, at most ten widths from it
    double breit_wigner(double peak, double width) {
        constexpr double limit = 10;
        return peak + width / 2 * std::tan(std::atan(2 * limit) * uniform(-1, 1));
    }

  private:
    std::array<std::uint32_t, 2> key_;
    std::array<std::uint32_t, 4> counter_;
    std::array<std::uint32_t, 4> words_{};
    std::size_t used_ = words_.size();
};

} // namespace ttbar::simulation
