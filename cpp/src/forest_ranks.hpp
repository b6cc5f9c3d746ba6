/// @file
/// Ranks instead of values: where a value stands among the thresholds of a model says all that the model asks.
#pragma once

#include "forest_reader.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace ttbar {

/// The thresholds of all trees, in slots. A slot serves one feature and one way of a missing value, since a missing
/// value has no rank that suits both. A rank, of a value, is the number of thresholds of a slot that are not above it.
class ForestRanks {
  public:
    static constexpr std::size_t max_slots = 255, max_thresholds = 255;

    struct Slot {
        std::uint32_t feature;
        std::uint8_t missing;          ///< the rank of a missing value
        std::vector<float> thresholds; ///< in order, each once
    };

    /// What a node compares; a row goes right where its own rank is larger.
    struct Comparison {
        std::uint8_t slot;
        std::uint8_t rank;
    };

    /// @return the thresholds, nothing if there are too many of them, or of slots
    static std::optional<ForestRanks> of(const std::vector<Tree>& trees);

    const std::vector<Slot>& slots() const noexcept { return slots_; }

    /// @param split a split of one of the trees
    Comparison comparison(const TreeNode& split) const;

  private:
    std::vector<Slot> slots_;
    std::map<std::pair<std::uint32_t, bool>, std::uint8_t> numbers_; // by feature and default_left
};

} // namespace ttbar
