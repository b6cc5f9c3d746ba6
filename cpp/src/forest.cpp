#include "ttbar/forest.hpp"

#include "forest_ranks.hpp"
#include "forest_reader.hpp"
#include "forest_tiler.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <variant>

namespace ttbar {

namespace {

// Where there are no instructions for tiles (see TileChain), or the trees do not fit, the chain is one of nodes: each
// tree in preorder, so that the left child follows its parent, one tree behind the other; a leaf leads to the root of
// the next tree, and the last to an end that leads to itself.
//
// A node is of one of two kinds, with these members in common:
// - skip: number of nodes between it and the one on its right, -1 for itself
// - leaf: what it adds to the sum
// - goes_right(row): all ones or zero; leaves and the end always go right

/// What splits add to a sum: with +0, a sum of -0 would change.
constexpr float nothing = -0.0F;

/// A node that compares ranks among the thresholds of the model instead of values: half the size of the other
/// kind.
struct RankNode {
    /// What these nodes see of a row: for each slot, the number of its thresholds that are not above the
    /// value.
    using Row = const std::uint8_t*;

    std::uint8_t slot;
    std::uint8_t rank; // of the threshold among those of the slot, from 0
    std::int16_t skip;
    float leaf;

    std::ptrdiff_t goes_right(Row row) const { return -std::ptrdiff_t{rank < row[slot]}; }
};

/// A node for any number of features and thresholds, and trees of any size.
struct ValueNode {
    using Row = const float*;

    float threshold;
    std::uint32_t feature : 31;
    std::uint32_t default_left : 1;
    std::int32_t skip;
    float leaf;

    std::ptrdiff_t goes_right(Row row) const {
        const float value = row[feature];
        return std::ptrdiff_t{(value < threshold) | (std::isnan(value) & default_left)} - 1;
    }
};

/// The trees as a chain.
/// @param trees  trees
/// @param split  makes the node of a split, but for skip and leaf
/// @param always a node that always goes right
template <typename Node, typename Split>
std::vector<Node> chain(const std::vector<Tree>& trees, Split split, const Node& always) {
    std::vector<Node> nodes;
    const auto append = [&](Node node, std::size_t right, float leaf) {
        node.skip = static_cast<decltype(Node::skip)>(right) - 1;
        node.leaf = leaf;
        nodes.push_back(node);
    };
    for (const Tree& tree : trees)
        for (std::size_t position = 0; position < tree.size(); ++position) {
            const TreeNode& node = tree[position];
            if (node.is_leaf())
                append(always, tree.size() - position, node.value);
            else
                append(split(node), node.right, nothing);
        }
    append(always, 0, nothing);
    return nodes;
}

/// Walk a block of rows to the end of the chain, adding up the leaves.
template <typename Node>
void walk(const std::vector<Node>& nodes, const std::array<typename Node::Row, block>& rows,
          std::array<float, block>& margins) {
    constexpr int steps_between_checks = 16;
    std::array<const Node*, block> at;
    at.fill(nodes.data());
    // Copied, since they could be the floats of the nodes for all that the compiler knows.
    std::array<float, block> sums = margins;
    do {
        for (int step = 0; step < steps_between_checks; ++step)
            for (std::size_t row = 0; row < block; ++row) {
                const Node& node = *at[row];
                sums[row] += node.leaf;
                at[row] += 1 + (node.skip & node.goes_right(rows[row]));
            }
    } while (*std::min_element(at.begin(), at.end()) != &nodes.back());
    margins = sums;
}

/// Nodes that compare values.
class ValueChain {
  public:
    explicit ValueChain(const std::vector<Tree>& trees)
        : nodes_(chain<ValueNode>(
              trees,
              [](const TreeNode& node) { return ValueNode{node.value, node.feature, node.default_left, 0, nothing}; },
              {-std::numeric_limits<float>::infinity(), 0, false, 0, nothing})) {}

    void add(const std::array<const float*, block>& rows, std::array<float, block>& margins) const {
        walk(nodes_, rows, margins);
    }

  private:
    std::vector<ValueNode> nodes_;
};

/// Nodes that compare ranks, and the thresholds to find them.
class RankChain {
  public:
    /// @return the chain, nothing if a tree is too large
    static std::optional<RankChain> of(const std::vector<Tree>& trees, const ForestRanks& ranks) {
        for (const Tree& tree : trees)
            if (tree.size() > static_cast<std::size_t>(std::numeric_limits<decltype(RankNode::skip)>::max()))
                return std::nullopt;
        RankChain result;
        for (const ForestRanks::Slot& slot : ranks.slots())
            result.add_slot(slot);
        const auto split = [&](const TreeNode& node) {
            const auto [slot, rank] = ranks.comparison(node);
            return RankNode{static_cast<std::uint8_t>(1 + slot), rank, 0, 0};
        };
        result.nodes_ = chain<RankNode>(trees, split, {0, 0, 0, 0});
        return result;
    }

    void add(const std::array<const float*, block>& rows, std::array<float, block>& margins) const {
        // The first slot is above rank 0 in every row, for the nodes that always go right.
        std::array<std::array<std::uint8_t, 1 + ForestRanks::max_slots>, block> ranks;
        std::array<RankNode::Row, block> ranked_rows;
        for (std::size_t row = 0; row < block; ++row) {
            ranks[row][0] = 1;
            ranked_rows[row] = ranks[row].data();
        }
        for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
            const auto below = slots_[slot].count_below(thresholds_.data(), rows);
            for (std::size_t row = 0; row < block; ++row)
                ranks[row][1 + slot] = static_cast<std::uint8_t>(below[row]);
        }
        walk(nodes_, ranked_rows, margins);
    }

  private:
    struct Slot {
        std::uint32_t feature;
        std::uint32_t missing; // the count of a missing value
        std::size_t first;     // position of the first threshold
        std::uint32_t half;    // there are 2 * half - 1 of them

        /// The number of thresholds that are not above the value, for each row: a binary search without
        /// branches.
        std::array<std::uint32_t, block> count_below(const float* thresholds,
                                                     const std::array<const float*, block>& rows) const {
            std::array<std::uint32_t, block> below{};
            for (std::uint32_t step = half; step > 0; step /= 2)
                for (std::size_t row = 0; row < block; ++row)
                    below[row] += step * (thresholds[first + below[row] + step - 1] <= rows[row][feature]);
            for (std::size_t row = 0; row < block; ++row)
                below[row] += missing * std::isnan(rows[row][feature]);
            return below;
        }
    };

    void add_slot(const ForestRanks::Slot& slot) {
        std::uint32_t half = 1;
        while (2 * half - 1 < slot.thresholds.size())
            half *= 2;
        slots_.push_back({slot.feature, slot.missing, thresholds_.size(), half});
        thresholds_.insert(thresholds_.end(), slot.thresholds.begin(), slot.thresholds.end());
        // Filled up with what is below no value.
        thresholds_.resize(slots_.back().first + 2 * half - 1, std::numeric_limits<float>::quiet_NaN());
    }

    std::vector<Slot> slots_; // all but the first
    std::vector<float> thresholds_;
    std::vector<RankNode> nodes_;
};

using Chain = std::variant<TiledForest, RankChain, ValueChain>;

/// The fastest chain that the trees fit into.
Chain chain_of(const std::vector<Tree>& trees) {
    if (const auto ranks = ForestRanks::of(trees)) {
        if (auto tiles = TiledForest::of(trees, *ranks))
            return *std::move(tiles);
        if (auto nodes = RankChain::of(trees, *ranks))
            return *std::move(nodes);
    }
    return ValueChain(trees);
}

std::uint64_t next_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

/// The logistic function as xgboost writes it, so that it rounds as xgboost's.
float sigmoid(float margin) {
    constexpr float largest_exponent = 88.7F, epsilon = 1e-16F;
    return 1.0F / (std::exp(std::min(-margin, largest_exponent)) + 1.0F + epsilon);
}

} // namespace

struct Forest::Model {
    Model(std::string file, ForestFile content)
        : path(std::move(file)), n_features(content.n_features), n_trees(content.trees.size()),
          feature_names(std::move(content.feature_names)), chain(chain_of(content.trees)),
          base_margin(-std::log(1.0F / content.base_score - 1.0F)) {}

    std::string path;
    std::size_t n_features, n_trees;
    std::vector<std::string> feature_names;
    Chain chain;
    float base_margin;
    std::uint64_t id = next_id();
};

Forest::Forest(const std::string& path) : model_(std::make_shared<const Model>(path, read_forest(path))) {}

const std::string& Forest::path() const noexcept {
    return model_->path;
}

std::size_t Forest::n_features() const noexcept {
    return model_->n_features;
}

std::size_t Forest::n_trees() const noexcept {
    return model_->n_trees;
}

const std::vector<std::string>& Forest::feature_names() const noexcept {
    return model_->feature_names;
}

std::uint64_t Forest::id() const noexcept {
    return model_->id;
}

void Forest::require_features(std::size_t n_features) const {
    if (n_features != model_->n_features)
        throw std::runtime_error("model " + model_->path + " takes " + std::to_string(model_->n_features) +
                                 " features, not " + std::to_string(n_features) +
                                 ": give a model that was trained on these features");
}

void Forest::margins(const float* rows, std::size_t n_rows, float* margins) const {
    for (std::size_t first = 0; first < n_rows; first += block) {
        const std::size_t size = std::min(block, n_rows - first);
        std::array<const float*, block> block_rows;
        for (std::size_t row = 0; row < block; ++row) // the last block is filled up with its first row
            block_rows[row] = rows + (first + (row < size ? row : 0)) * model_->n_features;
        std::array<float, block> sums;
        sums.fill(model_->base_margin);
        std::visit([&](const auto& chain) { chain.add(block_rows, sums); }, model_->chain);
        std::copy_n(sums.begin(), size, margins + first);
    }
}

void Forest::probabilities(const float* rows, std::size_t n_rows, float* probabilities) const {
    margins(rows, n_rows, probabilities);
    std::transform(probabilities, probabilities + n_rows, probabilities, sigmoid);
}

} // namespace ttbar
