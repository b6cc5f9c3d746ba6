#include "ttbar/selection.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>

namespace ttbar {

namespace {

/// Indices of the objects that pass.
/// @param size   number of objects
/// @param passes whether the object of an index passes
template <typename Passes>
ROOT::RVecI indices(std::size_t size, Passes passes) {
    ROOT::RVecI selected;
    for (std::size_t i = 0; i < size; ++i)
        if (passes(i))
            selected.push_back(static_cast<int>(i));
    return selected;
}

/// Whether pt exceeds a threshold and the absolute value of eta stays below another.
bool is_within(double pt, double eta, double min_pt, double max_eta) {
    return pt > min_pt && std::abs(eta) < max_eta;
}

} // namespace

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
    const auto above = [=](const ROOT::RVecF& pt) {
        return indices(pt.size(), [&](auto i) { return pt[i] > min_pt; });
    };
    return first_lepton(electron_pt, electron_eta, electron_phi, electron_mass, above(electron_pt), muon_pt, muon_eta,
                        muon_phi, muon_mass, above(muon_pt));
}

Lepton first_lepton(const ROOT::RVecF& electron_pt, const ROOT::RVecF& electron_eta, const ROOT::RVecF& electron_phi,
                    const ROOT::RVecF& electron_mass, const ROOT::RVecI& electrons, const ROOT::RVecF& muon_pt,
                    const ROOT::RVecF& muon_eta, const ROOT::RVecF& muon_phi, const ROOT::RVecF& muon_mass,
                    const ROOT::RVecI& muons) {
    if (!electrons.empty()) {
        const int i = electrons[0];
        return {electron_pt[i], electron_eta[i], electron_phi[i], electron_mass[i]};
    }
    if (!muons.empty()) {
        const int i = muons[0];
        return {muon_pt[i], muon_eta[i], muon_phi[i], muon_mass[i]};
    }
    throw std::out_of_range("ttbar::first_lepton: no lepton in the event");
}

ROOT::RVecI select_electrons(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecI& cut_based,
                             const ROOT::RVecF& sip3d, double min_pt, double max_eta, int level, double max_sip3d) {
    return indices(pt.size(), [&](std::size_t i) {
        return is_within(pt[i], eta[i], min_pt, max_eta) && cut_based[i] == level && sip3d[i] < max_sip3d;
    });
}

ROOT::RVecI select_muons(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVec<bool>& tight_id,
                         const ROOT::RVecF& sip3d, const ROOT::RVecF& isolation, double min_pt, double max_eta,
                         double max_sip3d, double max_isolation) {
    return indices(pt.size(), [&](std::size_t i) {
        return is_within(pt[i], eta[i], min_pt, max_eta) && tight_id[i] && sip3d[i] < max_sip3d &&
               isolation[i] < max_isolation;
    });
}

ROOT::RVecI select_jets(const ROOT::RVecF& pt, const ROOT::RVecD& scale, double min_pt) {
    return indices(pt.size(), [&](std::size_t i) { return pt[i] * scale[i] > min_pt; });
}

ROOT::RVecI select_jets(const ROOT::RVecF& pt, const ROOT::RVecD& scale, const ROOT::RVecF& eta,
                        const ROOT::RVecI& jet_id, double min_pt, double max_eta, int bit) {
    return indices(pt.size(), [&](std::size_t i) {
        return is_within(pt[i] * scale[i], eta[i], min_pt, max_eta) && (jet_id[i] >> bit & 1) != 0;
    });
}

} // namespace ttbar
