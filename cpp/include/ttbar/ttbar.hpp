/// @file
/// All of the library.
#pragma once

#include "actions.hpp"
#include "agc_v2.hpp"
#include "compiled_nodes.hpp"
#include "forest.hpp"
#include "jet_assignment.hpp"
#include "jet_energy.hpp"
#include "library.hpp"
#include "models.hpp"
#include "observables.hpp"
#include "philox.hpp"
#include "reading.hpp"
#include "root_errors.hpp"
#include "selection.hpp"
#include "simulation.hpp"
#include "truth.hpp"
#include "weights.hpp"
