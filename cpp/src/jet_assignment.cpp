#include "ttbar/jet_assignment.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace ttbar {

namespace {

/// What a forest answered lately. Two entries serve the three universes of an event, of which at least two
/// mostly agree.
struct Memo {
    struct Entry {
        std::uint64_t forest = 0;
        std::vector<float> rows;
        int best = 0;
    };
    std::array<Entry, 2> entries;
    std::size_t oldest = 0;
    std::vector<float> scores;
};

int best_row(const Forest& forest, const float* rows, std::size_t n_values) {
    static thread_local Memo memo;
    const auto *begin = rows, *end = rows + n_values;
    for (const auto& entry : memo.entries)
        if (entry.forest == forest.id() && std::equal(begin, end, entry.rows.begin(), entry.rows.end()))
            return entry.best;
    if (n_values != permutations.size() * forest.n_features())
        throw std::runtime_error("the rows of " + std::to_string(permutations.size()) + " permutations have " +
                                 std::to_string(n_values) + " values, where those of the " +
                                 std::to_string(forest.n_features()) + " features of model " + forest.path() +
                                 " have " + std::to_string(permutations.size() * forest.n_features()));
    memo.scores.resize(permutations.size());
    forest.probabilities(rows, memo.scores.size(), memo.scores.data());
    auto& entry = memo.entries[memo.oldest];
    memo.oldest = (memo.oldest + 1) % memo.entries.size();
    entry.forest = forest.id();
    entry.rows.assign(begin, end);
    entry.best = static_cast<int>(std::max_element(memo.scores.begin(), memo.scores.end()) - memo.scores.begin());
    return entry.best;
}

ROOT::RVecF with_feature(const float* rows, std::size_t n_values, const ROOT::RVecI& selected, const Feature& feature) {
    if (n_values % permutations.size() != 0)
        throw std::invalid_argument("ttbar::with_feature: " + std::to_string(n_values) + " values are not rows of " +
                                    std::to_string(permutations.size()) + " permutations");
    const std::size_t n_features = n_values / permutations.size();
    ROOT::RVecF longer;
    longer.reserve(n_values + permutations.size());
    for (const auto& [a, b, c, d] : permutations) {
        longer.insert(longer.end(), rows, rows + n_features);
        longer.push_back(static_cast<float>(feature(selected[a], selected[b], selected[c], selected[d])));
        rows += n_features;
    }
    return longer;
}

} // namespace

PermutationFeatures permutation_features(const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                                         const ROOT::RVecF& mass, const ROOT::RVecI& selected, const Lepton& lepton) {
    struct Jet {
        double eta, phi, mass;
        float pt;
    };
    std::array<Jet, 4> jets;
    for (std::size_t i = 0; i < jets.size(); ++i)
        jets[i] = {eta[selected[i]], phi[selected[i]], mass[selected[i]], pt[selected[i]]};

    const auto delta_phi = [](const auto& p, const auto& q) {
        return std::abs(static_cast<double>(p.phi) - static_cast<double>(q.phi));
    };
    const auto delta_r = [&](const auto& p, const auto& q) {
        const double delta_eta = static_cast<double>(p.eta) - static_cast<double>(q.eta);
        const double dphi = delta_phi(p, q);
        return std::sqrt(delta_eta * delta_eta + dphi * dphi);
    };

    PermutationFeatures features;
    auto next = features.begin();
    const auto add = [&](double value) { *next++ = static_cast<float>(value); };
    for (const auto& permutation : permutations) {
        const Jet &a = jets[permutation[0]], &b = jets[permutation[1]], &c = jets[permutation[2]],
                  &d = jets[permutation[3]];
        add(delta_r(lepton, d));
        add(delta_r(a, b));
        add(delta_r(a, c));
        add(delta_r(b, c));
        add(delta_phi(lepton, d));
        add(delta_phi(a, b));
        add(delta_phi(a, c));
        add(delta_phi(b, c));
        add(lepton.mass + d.mass);
        add(a.mass + b.mass);
        add(a.mass + b.mass + c.mass);
        for (const int jet : permutation)
            add(jets[jet].pt);
        for (const int jet : permutation)
            add(jets[jet].mass);
    }
    return features;
}

ROOT::RVecF with_feature(const PermutationFeatures& features, const ROOT::RVecI& selected, const Feature& feature) {
    return with_feature(features.data(), features.size(), selected, feature);
}

ROOT::RVecF with_feature(const ROOT::RVecF& features, const ROOT::RVecI& selected, const Feature& feature) {
    return with_feature(features.data(), features.size(), selected, feature);
}

void require_features(const Forest& forest, const std::vector<std::string>& names) {
    forest.require_features(names.size());
    const auto& found = forest.feature_names();
    for (std::size_t i = 0; i < found.size(); ++i)
        if (found[i] != names[i])
            throw std::runtime_error("model " + forest.path() + " has the feature " + found[i] +
                                     " where the analysis has " + names[i] +
                                     ": give a model that was trained on these features");
}

int best_permutation(const Forest& forest, const PermutationFeatures& features) {
    return best_row(forest, features.data(), features.size());
}

int best_permutation(const Forest& forest, const ROOT::RVecF& features) {
    return best_row(forest, features.data(), features.size());
}

double w_jets_delta_phi(const ROOT::RVecF& phi, const ROOT::RVecI& selected, int permutation) {
    const auto& [a, b, c, d] = permutations[permutation];
    return std::abs(static_cast<double>(phi[selected[a]]) - static_cast<double>(phi[selected[b]]));
}

} // namespace ttbar
