#include "ttbar/jet_energy.hpp"

#include "numerics.hpp"
#include "ttbar/philox.hpp"

namespace ttbar {

double smearing_factor(const EventId& id, std::uint32_t jet, double resolution, std::uint64_t seed) {
    const auto random = philox4x32(
        {static_cast<std::uint32_t>(id.event), static_cast<std::uint32_t>(id.event >> 32), id.run, id.luminosity_block},
        {static_cast<std::uint32_t>(seed), jet});
    return 1. + normal(resolution, uniform(random[0]), uniform(random[1]));
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
