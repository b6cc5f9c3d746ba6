#include "forest_ranks.hpp"

#include <algorithm>

namespace ttbar {

std::optional<ForestRanks> ForestRanks::of(const std::vector<Tree>& trees) {
    std::map<std::pair<std::uint32_t, bool>, std::vector<float>> thresholds;
    for (const Tree& tree : trees)
        for (const TreeNode& node : tree)
            if (!node.is_leaf())
                thresholds[{node.feature, node.default_left}].push_back(node.value);
    if (thresholds.size() > max_slots)
        return std::nullopt;
    ForestRanks result;
    for (auto& [key, sorted] : thresholds) {
        const auto& [feature, default_left] = key;
        std::sort(sorted.begin(), sorted.end());
        sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
        if (sorted.size() > max_thresholds)
            return std::nullopt;
        result.numbers_[key] = static_cast<std::uint8_t>(result.slots_.size());
        result.slots_.push_back({feature, static_cast<std::uint8_t>(default_left ? 0 : max_thresholds), sorted});
    }
    return result;
}

ForestRanks::Comparison ForestRanks::comparison(const TreeNode& split) const {
    const std::uint8_t slot = numbers_.at({split.feature, split.default_left});
    const auto& sorted = slots_[slot].thresholds;
    const auto rank = std::lower_bound(sorted.begin(), sorted.end(), split.value) - sorted.begin();
    return {slot, static_cast<std::uint8_t>(rank)};
}

} // namespace ttbar
