/// @file
/// A forest as a chain of tiles, walked with the best instructions that the processor has.
#pragma once

#include "forest_ranks.hpp"
#include "forest_reader.hpp"
#include "forest_tiles.hpp"

#include <array>
#include <optional>
#include <vector>

namespace ttbar {

/// Trees that are cut into tiles.
class TiledForest {
  public:
    /// @return the trees as tiles, nothing if there are no instructions for so many slots
    static std::optional<TiledForest> of(const std::vector<Tree>& trees, const ForestRanks& ranks);

    /// Add the leaves of a block of rows to their sums.
    void add(const std::array<const float*, block>& rows, std::array<float, block>& sums) const {
        walk_({slots_.data(), slots_.size(), tiles_.data(), end_, trees_are_tiles_}, rows.data(), sums.data());
    }

  private:
    Walk walk_ = nullptr;
    std::vector<TileSlot> slots_;
    std::vector<Tile> tiles_;
    std::uint32_t end_ = 0;
    bool trees_are_tiles_ = true;
};

} // namespace ttbar
