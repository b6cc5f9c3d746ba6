#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/jet_assignment.hpp"
#include "ttbar/truth.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace {

constexpr int first_copy = 1 << 12, last_copy = 1 << 13, other_flags = 0x8dff;

/// A record of the generator, written particle by particle.
struct Record {
    ROOT::RVecI id, mother, flags;

    /// @return index of the new particle
    int add(int identity, int parent, int flag = last_copy) {
        id.push_back(identity);
        mother.push_back(parent);
        flags.push_back(flag);
        return static_cast<int>(id.size()) - 1;
    }

    /// Add some copies of a particle, only the last of which has the flag.
    int add_chain(int identity, int parent, int n_copies) {
        for (int copy = 1; copy <= n_copies; ++copy)
            parent = add(identity, parent, copy == n_copies ? other_flags | last_copy : first_copy | other_flags);
        return parent;
    }

    ROOT::RVecI labels() const { return ttbar::quark_labels(id, mother, flags); }
};

/// A top, its W and its b with their copies.
/// @return indices of the last b and the last W
std::pair<int, int> add_top(Record& record, int sign, int n_copies) {
    const int top = record.add_chain(sign * 6, -1, n_copies);
    const int w = record.add_chain(sign * 24, top, n_copies);
    const int b = record.add_chain(sign * 5, top, n_copies);
    return {b, w};
}

} // namespace

TEST_CASE("labels follow the chains of copies to the parent") {
    for (const int n_copies : {1, 2, 5})
        for (const int sign : {1, -1}) // which of top and antitop decays to hadrons
            for (const int lepton : {11, 13, 15}) {
                CAPTURE(n_copies);
                CAPTURE(sign);
                CAPTURE(lepton);
                Record record;
                const auto [b_had, w_had] = add_top(record, sign, n_copies);
                const auto [b_lep, w_lep] = add_top(record, -sign, n_copies);
                const int up = record.add_chain(sign * 2, w_had, n_copies);
                const int down = record.add_chain(-sign * 1, w_had, n_copies);
                record.add_chain(sign * lepton, w_lep, n_copies);
                record.add(-sign * (lepton + 1), w_lep);

                ROOT::RVecI expected(record.id.size(), ttbar::unlabelled);
                expected[b_had] = ttbar::hadronic_b;
                expected[b_lep] = ttbar::leptonic_b;
                expected[up] = expected[down] = ttbar::from_w;
                CHECK(ROOT::VecOps::All(record.labels() == expected));
            }
}

TEST_CASE("a tau makes its W leptonic, and what the tau decays to has no label") {
    Record record;
    const auto [b, w] = add_top(record, 1, 2);
    const int tau = record.add_chain(-15, w, 3);
    record.add(16, w);
    record.add(-16, tau);
    const int quark = record.add(2, tau);
    CHECK(record.labels()[b] == ttbar::leptonic_b);
    CHECK(record.labels()[quark] == ttbar::unlabelled);
}

TEST_CASE("quarks of other parents, other particles and earlier copies have no label") {
    Record record;
    record.add(2, -1); // incoming
    const auto [b, w] = add_top(record, 1, 2);
    const int gluon = record.add(21, b);
    const int radiated = record.add(4, gluon);
    const int other_b = record.add(-5, b); // a quark, but of another identity: not a copy of the b
    const int meson = record.add(511, b);
    record.add(1, w, first_copy);
    const auto labels = record.labels();
    for (const int i : {0, gluon, radiated, other_b, meson, meson + 1})
        CHECK(labels[i] == ttbar::unlabelled);
    CHECK(ROOT::VecOps::Sum(labels != ttbar::unlabelled) == 1);
}

TEST_CASE("a lepton of the other top, or of a W without a top, does not make a b leptonic") {
    Record record;
    const auto [b, w] = add_top(record, 1, 2);
    const int other_w = record.add_chain(-24, -1, 2);
    record.add(11, other_w);
    const auto [b_lep, w_lep] = add_top(record, -1, 1);
    record.add(13, w_lep);
    const int s = record.add(-3, other_w);
    const auto labels = record.labels();
    CHECK(labels[b] == ttbar::hadronic_b);
    CHECK(labels[b_lep] == ttbar::leptonic_b);
    CHECK(labels[s] == ttbar::from_w);
    CHECK(labels[w] == ttbar::unlabelled);
}

TEST_CASE("two tops of one charge are told apart") {
    Record record;
    const auto [b1, w1] = add_top(record, 1, 2);
    const auto [b2, w2] = add_top(record, 1, 3);
    record.add(-11, w2);
    record.add(2, w1);
    CHECK(record.labels()[b1] == ttbar::hadronic_b);
    CHECK(record.labels()[b2] == ttbar::leptonic_b);
}

TEST_CASE("a record without particles, or one that goes around in circles, gives no labels") {
    CHECK(Record().labels().empty());
    Record record;
    record.add(5, 1);
    record.add(5, 0);
    record.add(5, 2);
    record.add(5, 99);
    CHECK(ROOT::VecOps::Sum(record.labels()) == 0);
}

TEST_CASE("a jet takes the nearest labelled quark within 0.4") {
    const ROOT::RVecF quark_eta{0.f, 0.3f, 0.1f, 2.f}, quark_phi{0.f, 0.f, 0.f, 1.f};
    const ROOT::RVecI labels{ttbar::from_w, ttbar::hadronic_b, ttbar::unlabelled, ttbar::leptonic_b};
    const ROOT::RVecF jet_eta{0.1f, 0.2f, -0.39f, -0.41f, 2.2f, 2.2f}, jet_phi{0.f, 0.f, 0.f, 0.f, 1.34f, 1.35f};
    const auto match = [&](const ROOT::RVecI& selected) {
        const auto matched = ttbar::matched_quarks(quark_eta, quark_phi, labels, jet_eta, jet_phi, selected);
        return std::vector<int>(matched.begin(), matched.end());
    };
    CHECK(match({0, 1, 2, 3}) == std::vector{0, 1, 0, -1});
    CHECK(match({5, 4, 1}) == std::vector{-1, 3, 1});
    CHECK(match({}).empty());
}

TEST_CASE("azimuth is a circle when jets are matched") {
    const ROOT::RVecI labels{ttbar::from_w};
    const auto distance_less_than_limit = [&](float quark_phi, float jet_phi) {
        return ttbar::matched_quarks({0.f}, {quark_phi}, labels, {0.f}, {jet_phi}, {0})[0] == 0;
    };
    CHECK(distance_less_than_limit(3.1f, -3.1f));
    CHECK(distance_less_than_limit(-3.1f, 3.1f));
    CHECK(distance_less_than_limit(3.0f, -2.9f));
    CHECK_FALSE(distance_less_than_limit(3.0f, -2.8f));
    CHECK_FALSE(distance_less_than_limit(1.5f, -1.5f));
}

TEST_CASE("the true permutation is where the labels say, and a > b") {
    const ROOT::RVecI labels{ttbar::unlabelled, ttbar::leptonic_b, ttbar::from_w, ttbar::hadronic_b, ttbar::from_w};
    ROOT::RVecI quarks{1, 2, 3, 4};
    do {
        const int found = ttbar::true_permutation(labels, quarks);
        REQUIRE(found >= 0);
        const auto& [a, b, c, d] = ttbar::permutations[found];
        CHECK(a > b);
        CHECK(labels[quarks[a]] == ttbar::from_w);
        CHECK(labels[quarks[b]] == ttbar::from_w);
        CHECK(labels[quarks[c]] == ttbar::hadronic_b);
        CHECK(labels[quarks[d]] == ttbar::leptonic_b);
    } while (std::next_permutation(quarks.begin(), quarks.end()));
}

TEST_CASE("an event that does not match has no true permutation") {
    using Labels = ROOT::RVecI;
    const Labels labels{ttbar::from_w, ttbar::from_w, ttbar::hadronic_b, ttbar::leptonic_b};
    CHECK(ttbar::true_permutation(labels, {0, 1, 2, 3, -1}) >= 0); // a fifth jet does not matter
    CHECK(ttbar::true_permutation(labels, {0, 1, 2, -1, 3}) == -1);
    CHECK(ttbar::true_permutation(labels, {0, 0, 2, 3}) == -1); // two jets of one quark
    CHECK(ttbar::true_permutation({ttbar::from_w, ttbar::from_w, ttbar::hadronic_b, ttbar::hadronic_b}, {0, 1, 2, 3}) ==
          -1);
    CHECK(ttbar::true_permutation({ttbar::from_w, ttbar::from_w, ttbar::leptonic_b, ttbar::leptonic_b}, {0, 1, 2, 3}) ==
          -1);
    CHECK(ttbar::true_permutation(Labels(4, ttbar::from_w), {0, 1, 2, 3}) == -1);
}

TEST_CASE("a matched event holds its first four selected jets") {
    ttbar::PermutationFeatures features{};
    features.back() = 7;
    const ROOT::RVecF pt{0, 1, 2, 3, 4, 5}, eta = pt + 10, phi = pt + 20, mass = pt + 30, btag = pt + 40;
    const auto event = ttbar::matched_event(1ull << 40, 11, features, pt, eta, phi, mass, btag, {1, 2, 4, 5, 0});
    CHECK(event.number == 1ull << 40);
    CHECK(event.true_permutation == 11);
    CHECK(event.features == features);
    CHECK(event.pt == ttbar::MatchedEvent::Jets{1, 2, 4, 5});
    CHECK(event.eta == ttbar::MatchedEvent::Jets{11, 12, 14, 15});
    CHECK(event.phi == ttbar::MatchedEvent::Jets{21, 22, 24, 25});
    CHECK(event.mass == ttbar::MatchedEvent::Jets{31, 32, 34, 35});
    CHECK(event.btag == ttbar::MatchedEvent::Jets{41, 42, 44, 45});
}
