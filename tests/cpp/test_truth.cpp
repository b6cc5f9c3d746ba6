#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/jet_assignment.hpp"
#include "ttbar/truth.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

using ttbar::Label;

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

    ROOT::RVec<Label> labels() const { return ttbar::quark_labels(id, mother, flags); }
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

                ROOT::RVec<Label> expected(record.id.size(), Label::none);
                expected[b_had] = Label::hadronic_b;
                expected[b_lep] = Label::leptonic_b;
                expected[up] = expected[down] = Label::from_w;
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
    CHECK(record.labels()[b] == Label::leptonic_b);
    CHECK(record.labels()[quark] == Label::none);
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
        CHECK(labels[i] == Label::none);
    CHECK(ROOT::VecOps::Sum(labels != Label::none) == 1);
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
    CHECK(labels[b] == Label::hadronic_b);
    CHECK(labels[b_lep] == Label::leptonic_b);
    CHECK(labels[s] == Label::from_w);
    CHECK(labels[w] == Label::none);
}

TEST_CASE("two tops of one charge are told apart") {
    Record record;
    const auto [b1, w1] = add_top(record, 1, 2);
    const auto [b2, w2] = add_top(record, 1, 3);
    record.add(-11, w2);
    record.add(2, w1);
    CHECK(record.labels()[b1] == Label::hadronic_b);
    CHECK(record.labels()[b2] == Label::leptonic_b);
}

TEST_CASE("a record without particles, or one that goes around in circles, gives no labels") {
    CHECK(Record().labels().empty());
    Record record;
    record.add(5, 1);
    record.add(5, 0);
    record.add(5, 2);
    record.add(5, 99);
    CHECK(ROOT::VecOps::All(record.labels() == Label::none));
}

TEST_CASE("a jet takes the nearest labelled quark within 0.4") {
    const ROOT::RVecF quark_eta{0.f, 0.3f, 0.1f, 2.f}, quark_phi{0.f, 0.f, 0.f, 1.f};
    const ROOT::RVec<Label> labels{Label::from_w, Label::hadronic_b, Label::none, Label::leptonic_b};
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
    const ROOT::RVec<Label> labels{Label::from_w};
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
    const ROOT::RVec<Label> labels{Label::none, Label::leptonic_b, Label::from_w, Label::hadronic_b, Label::from_w};
    ROOT::RVecI quarks{1, 2, 3, 4};
    do {
        const int found = ttbar::true_permutation(labels, quarks);
        REQUIRE(found >= 0);
        const auto& [a, b, c, d] = ttbar::permutations[found];
        CHECK(a > b);
        CHECK(labels[quarks[a]] == Label::from_w);
        CHECK(labels[quarks[b]] == Label::from_w);
        CHECK(labels[quarks[c]] == Label::hadronic_b);
        CHECK(labels[quarks[d]] == Label::leptonic_b);
    } while (std::next_permutation(quarks.begin(), quarks.end()));
}

TEST_CASE("an event that does not match has no true permutation") {
    using Labels = ROOT::RVec<Label>;
    const Labels labels{Label::from_w, Label::from_w, Label::hadronic_b, Label::leptonic_b};
    CHECK(ttbar::true_permutation(labels, {0, 1, 2, 3, -1}) >= 0); // a fifth jet does not matter
    CHECK(ttbar::true_permutation(labels, {0, 1, 2, -1, 3}) == -1);
    CHECK(ttbar::true_permutation(labels, {0, 0, 2, 3}) == -1); // two jets of one quark
    CHECK(ttbar::true_permutation({Label::from_w, Label::from_w, Label::hadronic_b, Label::hadronic_b}, {0, 1, 2, 3}) ==
          -1);
    CHECK(ttbar::true_permutation({Label::from_w, Label::from_w, Label::leptonic_b, Label::leptonic_b}, {0, 1, 2, 3}) ==
          -1);
    CHECK(ttbar::true_permutation(Labels(4, Label::from_w), {0, 1, 2, 3}) == -1);
}

TEST_CASE("a matched event holds its first four selected jets") {
    const ROOT::RVecF features{5, 6, 7};
    const ROOT::RVecF pt{0, 1, 2, 3, 4, 5}, eta = pt + 10, phi = pt + 20, mass = pt + 30, btag = pt + 40;
    const auto event = ttbar::matched_event(1ull << 40, 11, features, pt, eta, phi, mass, btag, {1, 2, 4, 5, 0});
    CHECK(event.number == 1ull << 40);
    CHECK(event.true_permutation == 11);
    CHECK(ROOT::VecOps::All(event.features == features));
    CHECK(event.pt == ttbar::MatchedEvent::Jets{1, 2, 4, 5});
    CHECK(event.eta == ttbar::MatchedEvent::Jets{11, 12, 14, 15});
    CHECK(event.phi == ttbar::MatchedEvent::Jets{21, 22, 24, 25});
    CHECK(event.mass == ttbar::MatchedEvent::Jets{31, 32, 34, 35});
    CHECK(event.btag == ttbar::MatchedEvent::Jets{41, 42, 44, 45});
}

TEST_CASE("the arrays of many events hold one event after the other") {
    const ROOT::RVecF first{1, 2, 3, 4}, second = first + 10;
    ttbar::MatchedEvents events, others, all;
    events.add(ttbar::matched_event(1, 5, {7, 8}, first, first, first, first, first, {0, 1, 2, 3}));
    others.add(ttbar::matched_event(2, 6, {9, 10}, second, second, second, second, second, {3, 2, 1, 0}));
    all.add(events);
    all.add(others);
    CHECK(all.number == std::vector<std::uint64_t>{1, 2});
    CHECK(all.true_permutation == std::vector<std::int64_t>{5, 6});
    CHECK(all.features == std::vector<float>{7, 8, 9, 10});
    for (const auto* jets : {&all.pt, &all.eta, &all.phi, &all.mass, &all.btag})
        CHECK(*jets == std::vector<float>{1, 2, 3, 4, 14, 13, 12, 11});
}

TEST_CASE("of the rows of more jets, those of the first four are kept in their order") {
    for (const std::size_t n_jets : {4, 5, 6}) {
        ROOT::RVecF rows, expected;
        for (const auto& [a, b, c, d] : ttbar::permutations_of(n_jets)) {
            const ROOT::RVecF row{static_cast<float>(1000 * a + 100 * b + 10 * c + d), 1.f};
            rows.insert(rows.end(), row.begin(), row.end());
            if (a < 4 && b < 4 && c < 4 && d < 4)
                expected.insert(expected.end(), row.begin(), row.end());
        }
        CHECK(expected.size() == 24);
        CHECK(ROOT::VecOps::All(ttbar::rows_of_four_jets(rows, 2) == expected));
    }
    CHECK(ttbar::rows_of_four_jets(ROOT::RVecF(25), 2).size() == 25);
}
