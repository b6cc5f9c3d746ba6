/// @file
/// Boosted decision trees of xgboost, read at run time and evaluated to the last bit of xgboost's own float32
/// result.
#pragma once

#include "library.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ttbar {

/// A binary classifier of xgboost (`binary:logistic`), read from the JSON or UBJSON file of any version
/// from 1.7 on. Evaluation is reentrant, takes no lock and no memory from the heap. A missing value is NaN.
/// Copies share what was read, and its id().
class Forest {
  public:
    /// Read a model.
    /// @param path model file, JSON or UBJSON, told apart by content
    /// @throws std::runtime_error with a sentence that names the file, if it cannot be read or is of a kind
    ///         that this class does not evaluate
    explicit Forest(const std::string& path);

    /// @return the file it was read from
    const std::string& path() const noexcept;

    /// @return number of features of a row
    std::size_t n_features() const noexcept;

    /// @return number of trees, all of which are used
    std::size_t n_trees() const noexcept;

    /// @return names of the features, empty if the file has none
    const std::vector<std::string>& feature_names() const noexcept;

    /// @return a number that no other model that this process reads has, nor had; never 0
    std::uint64_t id() const noexcept;

    /// Refuse rows of a wrong length.
    /// @param n_features number of features that the rows have
    /// @throws std::runtime_error with a sentence that names the file, if it is not n_features()
    void require_features(std::size_t n_features) const;

    /// Sums of the leaves, with the base score.
    /// @param rows    n_rows times n_features() values, row after row
    /// @param n_rows  number of rows
    /// @param margins where the n_rows results go
    void margins(const float* rows, std::size_t n_rows, float* margins) const;

    /// Probabilities, as xgboost's predict returns them.
    /// @param rows          n_rows times n_features() values, row after row
    /// @param n_rows        number of rows
    /// @param probabilities where the n_rows results go
    void probabilities(const float* rows, std::size_t n_rows, float* probabilities) const;

  private:
    struct Model;
    std::shared_ptr<const Model> model_;
};

} // namespace ttbar
