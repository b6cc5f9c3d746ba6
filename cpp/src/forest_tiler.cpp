#include "forest_tiler.hpp"

#include "forest_instructions.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

namespace ttbar {

namespace {

std::atomic<Instructions> highest_instructions{Instructions::avx512};

#ifdef __x86_64__
Walk walk_for(std::size_t n_slots) {
    const auto available = std::min(highest_instructions.load(), supported_instructions());
    if (available >= Instructions::avx512 && n_slots <= max_slots_avx512)
        return walk_avx512;
    if (available >= Instructions::avx2 && n_slots <= max_slots_avx2)
        return walk_avx2;
    return nullptr;
}
#else
Walk walk_for(std::size_t /*n_slots*/) {
    return nullptr;
}
#endif

TileSlot slot_of(const ForestRanks::Slot& slot) {
    TileSlot result;
    result.feature = slot.feature;
    result.missing = slot.missing;
    std::fill(std::begin(result.thresholds), std::end(result.thresholds), std::numeric_limits<float>::quiet_NaN());
    std::copy(slot.thresholds.begin(), slot.thresholds.end(), result.thresholds);
    for (std::size_t group = 0; group < std::size(result.last); ++group)
        result.last[group] = result.thresholds[16 * group + 15];
    return result;
}

/// Heights of tiles that cut a tree well: few on the way of a row, and few in all, to stay in the caches. If each
/// split sends half of the rows to either side, the costs of a tile are the share of the rows that enter it, and
/// a little for its memory.
/// @return for each node, how many levels a tile has that begins with it
std::vector<std::size_t> heights_of(const Tree& tree) {
    constexpr double cost_of_memory = 0.002;
    std::vector<double> share(tree.size(), 1);
    for (std::size_t node = 0; node < tree.size(); ++node)
        if (!tree[node].is_leaf())
            share[node + 1] = share[node + tree[node].right] = share[node] / 2;
    // For each node and each number of levels: the costs of all that lies so many levels below.
    std::vector<std::array<double, 1 + Tile::n_levels>> costs(tree.size());
    std::vector<std::size_t> heights(tree.size());
    for (std::size_t node = tree.size(); node-- > 0;) {
        if (tree[node].is_leaf())
            continue;
        const auto &left = costs[node + 1], &right = costs[node + tree[node].right];
        auto& own = costs[node];
        for (std::size_t level = 1; level <= Tile::n_levels; ++level)
            own[level] = left[level - 1] + right[level - 1];
        const auto least = std::min_element(own.begin() + 1, own.end());
        heights[node] = static_cast<std::size_t>(least - own.begin());
        own[0] = share[node] + cost_of_memory + *least;
    }
    return heights;
}

std::uint32_t offset(std::size_t tile) {
    return static_cast<std::uint32_t>(tile * sizeof(Tile));
}

/// Append a tree to a chain.
/// @return how many tiles it takes
std::size_t append(std::vector<Tile>& tiles, const Tree& tree, const ForestRanks& ranks) {
    constexpr std::uint32_t next_tree = 0; // no exit leads to the first tile
    const std::size_t first = tiles.size();
    const std::vector<std::size_t> heights = heights_of(tree);
    std::vector<std::size_t> roots{0}; // of the tiles, those to come included
    for (std::size_t i = 0; i < roots.size(); ++i) {
        Tile tile{};
        const std::size_t height = heights[roots[i]];
        struct Place {
            std::size_t node, level, place;
        };
        std::vector<Place> places{{roots[i], 0, 0}};
        while (!places.empty()) {
            const auto [node, level, place] = places.back();
            const TreeNode& content = tree[node];
            places.pop_back();
            if (content.is_leaf() || level == height) {
                Tile::Exit exit{content.value, next_tree};
                if (!content.is_leaf()) {
                    exit = {-0.0F, offset(first + roots.size())};
                    roots.push_back(node);
                }
                const std::size_t width = Tile::n_exits >> level;
                std::fill_n(tile.exits + place * width, width, exit);
                continue;
            }
            const auto [slot, rank] = ranks.comparison(content);
            tile.slot[Tile::position(level, place)] = static_cast<std::uint8_t>(slot | (slot & 16) << 3);
            tile.rank[Tile::position(level, place)] = static_cast<std::int8_t>(rank - rank_offset);
            places.push_back({node + 1, level + 1, 2 * place});
            places.push_back({node + content.right, level + 1, 2 * place + 1});
        }
        tiles.push_back(tile);
    }
    for (std::size_t tile = first; tile < tiles.size(); ++tile)
        for (Tile::Exit& exit : tiles[tile].exits)
            if (exit.next == next_tree)
                exit.next = offset(tiles.size());
    return tiles.size() - first;
}

} // namespace

Instructions supported_instructions() noexcept {
#ifdef __x86_64__
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    const bool avx512 =
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi");
    return avx2 && avx512 ? Instructions::avx512 : avx2 ? Instructions::avx2 : Instructions::baseline;
#else
    return Instructions::baseline;
#endif
}

void limit_instructions(Instructions highest) noexcept {
    highest_instructions = highest;
}

std::optional<TiledForest> TiledForest::of(const std::vector<Tree>& trees, const ForestRanks& ranks) {
    TiledForest forest;
    forest.walk_ = walk_for(ranks.slots().size());
    if (!forest.walk_)
        return std::nullopt;
    std::transform(ranks.slots().begin(), ranks.slots().end(), std::back_inserter(forest.slots_), slot_of);
    for (const Tree& tree : trees) {
        const TreeNode& root = tree.front();
        if (!root.is_leaf() || root.value != 0 || !std::signbit(root.value)) // -0 changes no sum
            forest.trees_are_tiles_ &= append(forest.tiles_, tree, ranks) == 1;
        if (forest.tiles_.size() >= std::numeric_limits<std::uint32_t>::max() / sizeof(Tile))
            return std::nullopt;
    }
    forest.end_ = offset(forest.tiles_.size());
    Tile end{};
    std::fill(std::begin(end.exits), std::end(end.exits), Tile::Exit{-0.0F, forest.end_});
    forest.tiles_.push_back(end);
    return forest;
}

} // namespace ttbar
