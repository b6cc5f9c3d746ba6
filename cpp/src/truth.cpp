#include "ttbar/truth.hpp"

#include "numerics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

namespace ttbar {

namespace {

constexpr int bottom = 5, top = 6, electron = 11, tau_neutrino = 16, w_boson = 24;
constexpr int last_copy = 1 << 13; // of NanoAOD's statusFlags
constexpr double matching_distance = 0.4;

/// The record of the generator, as a family tree.
class Ancestry {
  public:
    Ancestry(const ROOT::RVecI& id, const ROOT::RVecI& mother) : id_(id), mother_(mother) {}

    /// @return the first copy of a particle
    int first_copy(int particle) const {
        for (int before = mother(particle); before >= 0 && id_[before] == id_[particle]; before = mother(particle))
            particle = before;
        return particle;
    }

    /// @return the nearest ancestor of another identity, -1 if there is none
    int parent(int particle) const { return mother(first_copy(particle)); }

    /// @return the magnitude of a particle's identity; 0 for no particle
    int kind(int particle) const { return particle < 0 ? 0 : std::abs(id_[particle]); }

  private:
    /// Where a damaged record goes around in circles, nobody is anyone's mother.
    int mother(int particle) const { return mother_[particle] < particle ? mother_[particle] : -1; }

    const ROOT::RVecI& id_;
    const ROOT::RVecI& mother_;
};

double distance(double eta1, double phi1, double eta2, double phi2) {
    return std::hypot(eta1 - eta2, std::remainder(phi1 - phi2, 2 * pi));
}

template <typename Values>
void append(const Values& values, std::vector<float>& to) {
    to.insert(to.end(), values.begin(), values.end());
}

} // namespace

ROOT::RVec<Label> quark_labels(const ROOT::RVecI& id, const ROOT::RVecI& mother, const ROOT::RVecI& flags) {
    const Ancestry ancestry(id, mother);
    const int n_particles = static_cast<int>(id.size());

    ROOT::RVec<bool> is_leptonic(n_particles, false); // for the first copy of a top
    for (int i = 0; i < n_particles; ++i) {
        if (ancestry.kind(i) < electron || ancestry.kind(i) > tau_neutrino)
            continue;
        const int w = ancestry.parent(i);
        if (ancestry.kind(w) != w_boson)
            continue;
        const int origin = ancestry.parent(w);
        if (ancestry.kind(origin) == top)
            is_leptonic[ancestry.first_copy(origin)] = true;
    }

    ROOT::RVec<Label> labels(n_particles, Label::none);
    for (int i = 0; i < n_particles; ++i) {
        if (ancestry.kind(i) == 0 || ancestry.kind(i) > bottom || !(flags[i] & last_copy))
            continue;
        const int parent = ancestry.parent(i);
        if (ancestry.kind(parent) == w_boson)
            labels[i] = Label::from_w;
        else if (ancestry.kind(parent) == top)
            labels[i] = is_leptonic[ancestry.first_copy(parent)] ? Label::leptonic_b : Label::hadronic_b;
    }
    return labels;
}

ROOT::RVecI matched_quarks(const ROOT::RVecF& quark_eta, const ROOT::RVecF& quark_phi, const ROOT::RVec<Label>& labels,
                           const ROOT::RVecF& jet_eta, const ROOT::RVecF& jet_phi, const ROOT::RVecI& selected) {
    ROOT::RVecI matched(selected.size(), -1);
    for (std::size_t i = 0; i < selected.size(); ++i) {
        double nearest = matching_distance;
        for (std::size_t quark = 0; quark < labels.size(); ++quark) {
            if (labels[quark] == Label::none)
                continue;
            const double here =
                distance(quark_eta[quark], quark_phi[quark], jet_eta[selected[i]], jet_phi[selected[i]]);
            if (here < nearest) {
                nearest = here;
                matched[i] = static_cast<int>(quark);
            }
        }
    }
    return matched;
}

int true_permutation(const ROOT::RVec<Label>& labels, const ROOT::RVecI& quarks) {
    constexpr std::array expected{Label::from_w, Label::from_w, Label::hadronic_b, Label::leptonic_b};
    for (std::size_t i = 0; i < expected.size(); ++i)
        if (quarks[i] < 0 || std::find(quarks.begin(), quarks.begin() + i, quarks[i]) != quarks.begin() + i)
            return -1;
    const auto agrees = [&](const Permutation& permutation) {
        return std::equal(permutation.begin(), permutation.end(), expected.begin(),
                          [&](int jet, Label label) { return labels[quarks[jet]] == label; });
    };
    const auto found = std::find_if(permutations.begin(), permutations.end(), agrees);
    return found == permutations.end() ? -1 : static_cast<int>(found - permutations.begin());
}

ROOT::RVecF rows_of_four_jets(const ROOT::RVecF& rows, std::size_t n_features) {
    const auto all = permutations_of_rows(rows.size(), n_features);
    if (all.size() == 0)
        return rows;
    ROOT::RVecF kept;
    kept.reserve(permutations.size() * n_features);
    auto row = rows.begin();
    for (const auto& permutation : all) {
        if (*std::max_element(permutation.begin(), permutation.end()) < 4)
            kept.insert(kept.end(), row, row + n_features);
        row += n_features;
    }
    return kept;
}

MatchedEvent matched_event(std::uint64_t number, int true_permutation, const ROOT::RVecF& features,
                           const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                           const ROOT::RVecF& mass, const ROOT::RVecF& btag, const ROOT::RVecI& selected) {
    const auto of_jets = [&](const ROOT::RVecF& values) {
        MatchedEvent::Jets jets;
        for (std::size_t i = 0; i < jets.size(); ++i)
            jets[i] = values[selected[i]];
        return jets;
    };
    return {number, true_permutation, features, of_jets(pt), of_jets(eta), of_jets(phi), of_jets(mass), of_jets(btag)};
}

void MatchedEvents::add(const MatchedEvent& event) {
    number.push_back(event.number);
    true_permutation.push_back(event.true_permutation);
    append(event.features, features);
    append(event.pt, pt);
    append(event.eta, eta);
    append(event.phi, phi);
    append(event.mass, mass);
    append(event.btag, btag);
}

void MatchedEvents::add(const MatchedEvents& events) {
    number.insert(number.end(), events.number.begin(), events.number.end());
    true_permutation.insert(true_permutation.end(), events.true_permutation.begin(), events.true_permutation.end());
    append(events.features, features);
    append(events.pt, pt);
    append(events.eta, eta);
    append(events.phi, phi);
    append(events.mass, mass);
    append(events.btag, btag);
}

} // namespace ttbar
