/// @file
/// The models of this process, to which the expressions of a graph refer by number.
#pragma once

#include "forest.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace ttbar {

/// Read models, in place of those of before. Not while an event loop runs.
/// @param paths model files
/// @throws std::runtime_error as the constructor of Forest does; the models of before are kept then
void load_models(const std::vector<std::string>& paths);

/// A model that load_models has read.
/// @param index position in the list that was given to load_models
/// @return the model
/// @throws std::out_of_range if there is none of this number
const Forest& model(std::size_t index);

} // namespace ttbar
