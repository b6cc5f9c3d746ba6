/// @file
/// A toy simulation of collisions that writes NanoAOD-like files. It knows decay chains, but neither matrix
/// elements nor a detector: distributions are parametrised to look like those of simulated CMS events, and
/// nothing measured with them says anything about nature.
#pragma once

#include "library.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ttbar {

/// What to simulate.
struct SimulationOptions {
    std::string sample;         ///< process and variation, e.g. `ttbar__nominal`
    std::uint64_t n_events = 0; ///< events to store
    std::uint32_t file = 0;     ///< number of the file in its sample; files of one sample hold different events
    std::uint64_t seed = 1;     ///< the same seed gives the same events
    bool ballast = false;       ///< also write the columns that no analysis reads
};

/// @return names of the samples that can be simulated
std::vector<std::string> simulated_samples();

/// Simulate one file.
/// @param path    ROOT file to write, with a TTree `Events`; replaced if it exists
/// @param options what to simulate
/// @return number of generated events; more than options.n_events where a generator filter is emulated
/// @throws std::invalid_argument if the sample is unknown
/// @throws std::runtime_error if the file cannot be written
std::uint64_t simulate(const std::string& path, const SimulationOptions& options);

/// @return an identifier that changes whenever simulated events may change
std::string simulation_id();

} // namespace ttbar
