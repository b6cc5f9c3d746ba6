/// @file
/// A toy simulation of collisions that writes NanoAOD-like files.
#pragma once

#include <cstdint>
#include <string>

namespace ttbar {

/// What to simulate, and where to write it.
struct SimulationOptions {
    std::string process;        ///< e.g. `ttbar`
    std::string variation;      ///< e.g. `nominal`
    std::uint64_t n_events = 0; ///< events to store
    std::uint64_t seed = 1;     ///< the same seed gives the same events
    bool ballast = false;       ///< also write columns that the analysis does not read
};

/// Simulate one file.
/// @param path    ROOT file to write, with a TTree `Events`
/// @param options what to simulate
/// @return number of generated events; at least options.n_events, more where a generator filter is emulated
/// @throws std::runtime_error if the file cannot be written
/// @throws std::invalid_argument if the process or variation is unknown
std::uint64_t simulate(const std::string& path, const SimulationOptions& options);

/// @return an identifier that changes whenever simulated events may change
std::string simulation_id();

} // namespace ttbar
