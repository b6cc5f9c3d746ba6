/// @file
/// The walk through a chain of tiles, for the sources that are compiled for one set of instructions each. All of it
/// is their own: the linker keeps one copy of an inline function that several sources have, those of the standard
/// library included, and a processor could meet instructions in it that it does not know.
#pragma once

#include "forest_tiles.hpp"

namespace ttbar {

namespace { // NOLINT(misc-anonymous-namespace-in-header)

/// The ways through three levels of seven nodes, by the bits of the nodes where it goes right.
struct Ways {
    std::uint8_t exit[128] = {};
    std::uint8_t exit_times_8[128] = {};
    std::uint8_t below[128] = {}; ///< position of the first node behind the exit, if these are a tile's first levels

    constexpr Ways() {
        for (unsigned right = 0; right < 128; ++right) {
            unsigned place = 0;
            for (unsigned level = 0; level < 3; ++level)
                place = 2 * place + (right >> Tile::position(level, place) & 1);
            exit[right] = static_cast<std::uint8_t>(place);
            exit_times_8[right] = static_cast<std::uint8_t>(8 * place);
            below[right] = static_cast<std::uint8_t>(Tile::position(3, place));
        }
    }
};

constexpr Ways ways;

/// @param right bits of a tile's nodes where it goes right
/// @return number of the exit
inline std::size_t exit_of(std::uint64_t right) {
    const std::size_t upper = right & 127, lower = right >> ways.below[upper] & 127;
    return std::size_t{ways.exit_times_8[upper]} + ways.exit[lower];
}

/// @tparam Instructions has a constant, max_slots, and two functions:
///     - count(thresholds, value): how many of sixteen thresholds are not above the value
///     - right(tile, ranks): bits of the nodes where a row of these ranks goes right
template <typename Instructions>
void walk(const TileChain& chain, const float* const* rows, float* sums) {
    constexpr int steps_between_checks = 4;
    alignas(64) std::int8_t ranks[block][Instructions::max_slots];
    for (std::size_t i = 0; i < chain.n_slots; ++i) {
        const TileSlot& slot = chain.slots[i];
        for (std::size_t row = 0; row < block; ++row) {
            const float value = rows[row][slot.feature];
            const int group = Instructions::count(slot.last, value);
            const int rank = 16 * group + Instructions::count(slot.thresholds + 16 * group, value);
            const bool missing = value != value;
            ranks[row][i] = static_cast<std::int8_t>((missing ? static_cast<int>(slot.missing) : rank) - rank_offset);
        }
    }

    float copies[block]; // sums could be among the tiles for all that the compiler knows
    for (std::size_t row = 0; row < block; ++row)
        copies[row] = sums[row];
    const auto step = [&](const Tile& tile, std::size_t row) {
        const Tile::Exit& exit = tile.exits[exit_of(Instructions::right(tile, ranks[row]))];
        copies[row] += exit.leaf;
        return exit.next;
    };
    if (chain.trees_are_tiles) { // one load serves all rows
        const Tile* const end = chain.tiles + chain.end / sizeof(Tile);
        for (const Tile* tile = chain.tiles; tile != end; ++tile)
#pragma GCC unroll block
            for (std::size_t row = 0; row < block; ++row)
                step(*tile, row);
    } else {
        const auto* const tiles = reinterpret_cast<const unsigned char*>(chain.tiles);
        std::uint32_t at[block] = {}, least;
        do {
            for (int i = 0; i < steps_between_checks; ++i)
#pragma GCC unroll block
                for (std::size_t row = 0; row < block; ++row)
                    at[row] = step(*reinterpret_cast<const Tile*>(tiles + at[row]), row);
            least = chain.end;
            for (const std::uint32_t position : at)
                least = position < least ? position : least;
        } while (least != chain.end);
    }
    for (std::size_t row = 0; row < block; ++row)
        sums[row] = copies[row];
}

} // namespace

} // namespace ttbar
