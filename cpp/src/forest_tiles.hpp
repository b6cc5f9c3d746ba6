/// @file
/// Trees in a shape that vector instructions walk through: tiles of six levels. For sources that are compiled for
/// one set of instructions as well, so it calls no function that others have, too (forest_walk.hpp says why).
#pragma once

#include <cstddef>
#include <cstdint>

namespace ttbar {

/// Rows that walk together.
constexpr std::size_t block = 12;

/// Ranks are stored with this taken off, since there are instructions to compare signed bytes.
constexpr int rank_offset = 128;

/// A complete tree of six levels; what is missing below a leaf is filled up with anything. A register takes all of
/// its nodes: one instruction looks up what they compare, another compares. The first three levels come first, level
/// by level, then the other three below each of their eight exits, so that seven bits in a row tell the way through
/// three levels.
struct alignas(64) Tile {
    static constexpr std::size_t n_levels = 6, n_nodes = 64, n_exits = 64;

    struct Exit {
        float leaf;         ///< what it adds to a sum; -0 where the tree goes on, since +0 would change a sum of -0
        std::uint32_t next; ///< bytes from the first tile to the next one; behind a leaf to the root of the next tree
    };

    std::uint8_t slot[n_nodes]; ///< which rank of a row a node compares; bit 7 repeats bit 4
    std::int8_t rank[n_nodes];  ///< a row goes right if its own is larger
    Exit exits[n_exits];

    /// @param level level, from 0
    /// @param place place in the level, from the left
    /// @return position of the node
    static constexpr std::size_t position(std::size_t level, std::size_t place) noexcept {
        if (level < 3)
            return (std::size_t{1} << level) - 1 + place;
        const std::size_t exit = place >> (level - 3);
        return 7 + 7 * exit + position(level - 3, place - (exit << (level - 3)));
    }
};

/// Thresholds, so that two steps find the rank of a value: sixteen groups of sixteen.
struct alignas(64) TileSlot {
    float last[16];            ///< of each group
    float thresholds[16 * 16]; ///< in order, filled up with what is not above any value nor below
    std::uint32_t feature;
    std::uint32_t missing; ///< the rank of a missing value
};

/// A forest as a chain of tiles: each exit leads to a next one, and the last tree's leaves to an end that leads to
/// itself. Rows walk it in lockstep, one tile a step, each at its own pace. Nothing on the way is a branch that a
/// processor could predict wrongly, and while one row waits for memory the others go on.
struct TileChain {
    const TileSlot* slots;
    std::size_t n_slots;
    const Tile* tiles;
    std::uint32_t end;    ///< bytes from the first tile to the end
    bool trees_are_tiles; ///< whether each tree is one tile: then all rows are in the same one
};

/// Add the leaves of a block of rows to their sums.
/// @param chain the forest
/// @param rows  where each of the rows begins
/// @param sums  their sums so far
using Walk = void (*)(const TileChain& chain, const float* const* rows, float* sums);

/// The walk by AVX2, and how many slots it can look up.
void walk_avx2(const TileChain& chain, const float* const* rows, float* sums);
constexpr std::size_t max_slots_avx2 = 32;

/// The walk by AVX-512 with VBMI, and how many slots it can look up.
void walk_avx512(const TileChain& chain, const float* const* rows, float* sums);
constexpr std::size_t max_slots_avx512 = 64;

} // namespace ttbar
