/// @file
/// Jet-energy universes: factors by which the transverse momenta of the jets are multiplied.
#pragma once

#include "library.hpp"

#include <ROOT/RVec.hxx>

#include <cstddef>
#include <cstdint>

namespace ttbar {

/// What a jet-energy draw depends on: the event and the seed, never the thread, the file or the order.
struct EventId {
    std::uint32_t run;
    std::uint32_t luminosity_block;
    std::uint64_t event;
};

/// A factor drawn from a normal distribution around 1, by Box and Muller from Philox4x32-10.
/// The counter words are the event number (low, high), run and luminosity block, the key words seed and jet.
/// @param id         identity of the event
/// @param jet        index of the jet in the stored collection, from 0
/// @param resolution standard deviation
/// @param seed       seed of the draw, modulo 2^32
/// @return the factor; its distance from 1 is less than 6.8 standard deviations
double smearing_factor(const EventId& id, std::uint32_t jet, double resolution, std::uint64_t seed);

/// The same factor for every jet, such as 1 in the universe in which they have their stored energies.
/// @param pt     stored transverse momenta of the jets, of which only the number counts
/// @param factor the factor
/// @return the factor for each jet
ROOT::RVecD uniform_jet_scale(const ROOT::RVecF& pt, double factor);

/// The varied universes: energy scale up, and energy resolution up.
/// @param pt               stored transverse momenta of the jets, of which only the number counts
/// @param run,luminosity_block,event identity of the event
/// @param scale            the factor of the first universe
/// @param resolution       standard deviation of the factors of the second universe
/// @param seed             seed of the draws, modulo 2^32
/// @return factors for each jet, for each of the two universes
ROOT::RVec<ROOT::RVecD> varied_jet_scales(const ROOT::RVecF& pt, std::uint32_t run, std::uint32_t luminosity_block,
                                          std::uint64_t event, double scale, double resolution, std::uint64_t seed);

} // namespace ttbar
