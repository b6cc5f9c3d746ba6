/// @file
/// What a model file of xgboost holds, checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ttbar {

/// A node of a tree whose nodes are in preorder: the left child of a node follows it.
struct TreeNode {
    std::uint32_t feature; ///< index of the feature that a split looks at
    std::uint32_t right;   ///< distance to the right child, 0 for a leaf
    float value;           ///< threshold of a split (left if the feature is less), weight of a leaf
    bool default_left;     ///< where a missing value goes

    bool is_leaf() const noexcept { return right == 0; }
};

using Tree = std::vector<TreeNode>;

/// A model of the kind that Forest evaluates.
struct ForestFile {
    std::size_t n_features;
    std::vector<std::string> feature_names; ///< empty if the file has none
    float base_score;                       ///< a probability between 0 and 1
    std::vector<Tree> trees;                ///< none is empty, and all indices are in range
};

/// Read a model that xgboost's save_model wrote.
/// @param path JSON or UBJSON file
/// @return its content
/// @throws std::runtime_error with a sentence that names the file, if it cannot be read, is damaged or holds
///         another kind of model
ForestFile read_forest(const std::string& path);

} // namespace ttbar
