#include "ttbar/jet_energy.hpp"

#include "ttbar/philox.hpp"

#include <cmath>

namespace ttbar {

double smearing_factor(const EventId& id, std::uint32_t jet, double resolution, std::uint64_t seed) {
    constexpr double pi = 3.14159265358979323846;
    constexpr double two_to_32 = 4294967296.0;
    const auto random = philox4x32(
        {static_cast<std::uint32_t>(id.event), static_cast<std::uint32_t>(id.event >> 32), id.run, id.luminosity_block},
        {static_cast<std::uint32_t>(seed), jet});
    const double u = (random[0] + 0.5) / two_to_32;
    const double v = (random[1] + 0.5) / two_to_32;
    return 1. + resolution * std::sqrt(-2. * std::log(u)) * std::cos(2. * pi * v);
}

ROOT::RVecD uniform_jet_scale(const ROOT::RVecF& pt, double factor) {
    return ROOT::RVecD(pt.size(), factor);
}

ROOT::RVec<ROOT::RVecD> varied_jet_scales(const ROOT::RVecF& pt, std::uint32_t run, std::uint32_t luminosity_block,
                                          std::uint64_t event, double scale, double resolution, std::uint64_t seed) {
    ROOT::RVecD smeared(pt.size());
    for (std::size_t jet = 0; jet < pt.size(); ++jet)
        smeared[jet] =
            smearing_factor({run, luminosity_block, event}, static_cast<std::uint32_t>(jet), resolution, seed);
    return {uniform_jet_scale(pt, scale), smeared};
}

} // namespace ttbar
