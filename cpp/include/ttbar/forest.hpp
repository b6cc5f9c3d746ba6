/// @file
/// Boosted decision trees of xgboost, read at run time and evaluated to the last bit of xgboost's own float32
/// result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ttbar {

/// A binary classifier of xgboost (`binary:logistic`), read from the JSON or UBJSON file of any version
/// from 1.7 on. Evaluation is reentrant, takes no lock and no memory from the heap. A missing value is NaN.
class Forest {
  public:
    /// Read a model.
    /// @param path model file, JSON or UBJSON, told apart by content
    /// @throws std::runtime_error with a sentence that names the file, if it cannot be read or is of a kind
    /// that
    ///         this class does not evaluate
    explicit Forest(const std::string& path);

    /// @return number of features of a row
    std::size_t n_features() const;

    /// @return names of the features, empty if the file has none
    const std::vector<std::string>& feature_names() const;

    /// @return a number that no other forest of this process has, nor had; never 0
    std::uint64_t id() const;

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
};

} // namespace ttbar
