#include "ttbar/jet_assignment.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace ttbar {

namespace {

/// Number of rows that some values are, of which there must be one for each permutation.
std::size_t count_rows(const Forest& forest, std::size_t n_values) {
    const std::size_t n_rows = permutations_of_rows(n_values, forest.n_features()).size();
    if (n_rows == 0) {
        std::string expected;
        for (std::size_t n_jets = 4; n_jets <= max_assigned_jets; ++n_jets)
            expected += (n_jets == 4 ? "" : " or ") + std::to_string(n_permutations(n_jets) * forest.n_features());
        throw std::runtime_error("the rows of the permutations have " + std::to_string(n_values) +
                                 " values, where the " + std::to_string(forest.n_features()) + " features of model " +
                                 forest.path() + " make " + expected);
    }
    return n_rows;
}

/// The row with the highest probability, the first of equal ones.
ScoredPermutation best_row(const Forest& forest, const float* rows, std::size_t n_rows) {
    std::array<float, n_permutations(max_assigned_jets)> scores;
    forest.probabilities(rows, n_rows, scores.data());
    const auto best = std::max_element(scores.begin(), scores.begin() + n_rows);
    return {static_cast<int>(best - scores.begin()), *best};
}

/// The same for permutations of four jets, with what a forest answered lately. Two entries serve the three universes
/// of an event, of which at least two mostly agree.
ScoredPermutation remembered_best_row(const Forest& forest, const float* rows, std::size_t n_values) {
    struct Entry {
        std::uint64_t forest = 0;
        std::vector<float> rows;
        ScoredPermutation best;
    };
    static thread_local std::array<Entry, 2> entries;
    static thread_local std::size_t oldest = 0;

    const auto *begin = rows, *end = rows + n_values;
    for (const auto& entry : entries)
        if (entry.forest == forest.id() && std::equal(begin, end, entry.rows.begin(), entry.rows.end()))
            return entry.best;
    auto& entry = entries[oldest];
    oldest = (oldest + 1) % entries.size();
    entry.forest = forest.id();
    entry.rows.assign(begin, end);
    entry.best = best_row(forest, rows, permutations.size());
    return entry.best;
}

ROOT::RVecF scores_of_rows(const Forest& forest, const float* rows, std::size_t n_rows) {
    ROOT::RVecF scores(n_rows);
    forest.probabilities(rows, n_rows, scores.data());
    return scores;
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

PermutationTable permutations_of(std::size_t n_jets) {
    static constexpr auto of_five = make_permutations<5>();
    static constexpr auto of_six = make_permutations<max_assigned_jets>();
    switch (n_jets) {
    case 4:
        return {permutations.data(), permutations.size()};
    case 5:
        return {of_five.data(), of_five.size()};
    case max_assigned_jets:
        return {of_six.data(), of_six.size()};
    default:
        throw std::invalid_argument("four to " + std::to_string(max_assigned_jets) + " jets can be assigned, not " +
                                    std::to_string(n_jets));
    }
}

PermutationTable permutations_of_rows(std::size_t n_values, std::size_t n_features) {
    for (std::size_t n_jets = 4; n_jets <= max_assigned_jets; ++n_jets)
        if (n_values == n_permutations(n_jets) * n_features)
            return permutations_of(n_jets);
    return {nullptr, 0};
}

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

ROOT::RVecF permutation_scores(const Forest& forest, const PermutationFeatures& features) {
    return scores_of_rows(forest, features.data(), count_rows(forest, features.size()));
}

ROOT::RVecF permutation_scores(const Forest& forest, const ROOT::RVecF& features) {
    return scores_of_rows(forest, features.data(), count_rows(forest, features.size()));
}

ScoredPermutation best_scored_permutation(const Forest& forest, const PermutationFeatures& features) {
    count_rows(forest, features.size());
    return remembered_best_row(forest, features.data(), features.size());
}

ScoredPermutation best_scored_permutation(const Forest& forest, const ROOT::RVecF& features) {
    const std::size_t n_rows = count_rows(forest, features.size());
    return n_rows == permutations.size() ? remembered_best_row(forest, features.data(), features.size())
                                         : best_row(forest, features.data(), n_rows);
}

int best_permutation(const Forest& forest, const PermutationFeatures& features) {
    return best_scored_permutation(forest, features).index;
}

int best_permutation(const Forest& forest, const ROOT::RVecF& features) {
    return best_scored_permutation(forest, features).index;
}

double w_jets_delta_phi(const ROOT::RVecF& phi, const ROOT::RVecI& selected, int permutation) {
    const auto& [a, b, c, d] = permutations[permutation];
    return std::abs(static_cast<double>(phi[selected[a]]) - static_cast<double>(phi[selected[b]]));
}

} // namespace ttbar
