#include "ttbar/selection.hpp"

#include <algorithm>
#include <stdexcept>

namespace ttbar {

int count_above(const ROOT::RVecF& values, double threshold) {
    return static_cast<int>(
        std::count_if(values.begin(), values.end(), [=](double value) { return value > threshold; }));
}

int count_above(const ROOT::RVecF& values, const ROOT::RVecI& selected, double threshold) {
    return static_cast<int>(
        std::count_if(selected.begin(), selected.end(), [&](int jet) { return values[jet] > threshold; }));
}

int count_at_least(const ROOT::RVecF& values, const ROOT::RVecI& selected, double threshold) {
    return static_cast<int>(
        std::count_if(selected.begin(), selected.end(), [&](int jet) { return values[jet] >= threshold; }));
}

Lepton first_lepton(const ROOT::RVecF& electron_pt, const ROOT::RVecF& electron_eta, const ROOT::RVecF& electron_phi,
                    const ROOT::RVecF& electron_mass, const ROOT::RVecF& muon_pt, const ROOT::RVecF& muon_eta,
                    const ROOT::RVecF& muon_phi, const ROOT::RVecF& muon_mass, double min_pt) {
    for (std::size_t i = 0; i < electron_pt.size(); ++i)
        if (electron_pt[i] > min_pt)
            return {electron_eta[i], electron_phi[i], electron_mass[i]};
    for (std::size_t i = 0; i < muon_pt.size(); ++i)
        if (muon_pt[i] > min_pt)
            return {muon_eta[i], muon_phi[i], muon_mass[i]};
    throw std::out_of_range("ttbar::first_lepton: no lepton in the event");
}

ROOT::RVecI select_jets(const ROOT::RVecF& pt, const ROOT::RVecD& scale, double min_pt) {
    ROOT::RVecI selected;
    for (std::size_t jet = 0; jet < pt.size(); ++jet)
        if (pt[jet] * scale[jet] > min_pt)
            selected.push_back(static_cast<int>(jet));
    return selected;
}

} // namespace ttbar
