#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/selection.hpp"

#include <cmath>
#include <stdexcept>

using ROOT::RVecD;
using ROOT::RVecF;
using ROOT::RVecI;

TEST_CASE("a threshold is exceeded or reached as its name says") {
    const RVecF values{0.4f, 0.5f, 0.6f};
    CHECK(ttbar::count_above(values, 0.5) == 1);
    CHECK(ttbar::count_above(values, {0, 1, 2}, 0.5) == 1);
    CHECK(ttbar::count_at_least(values, {0, 1, 2}, 0.5) == 2);
    CHECK(ttbar::count_at_least(values, {0, 2}, 0.5) == 1);
    CHECK(ttbar::count_above(RVecF{}, 0.5) == 0);
}

TEST_CASE("thresholds are compared in double precision") {
    // 30/1.03 lies between two floats: the products of both are on different sides in double precision only
    const float below = std::nextafter(static_cast<float>(30. / 1.03), 0.f), above = std::nextafter(below, 31.f);
    REQUIRE(below * 1.03 < 30.);
    CHECK(ttbar::select_jets({below, std::nextafter(above, 31.f)}, RVecD(2, 1.03), 30.).size() == 1);
    CHECK(ttbar::select_jets({30.f, std::nextafter(30.f, 31.f)}, RVecD(2, 1.), 30.)[0] == 1);
}

TEST_CASE("selected jets keep their stored order") {
    const auto selected = ttbar::select_jets({31.f, 29.f, 50.f, 31.f}, {1., 1., 0.5, 1.1}, 30.);
    REQUIRE(selected.size() == 2);
    CHECK(selected[0] == 0);
    CHECK(selected[1] == 3);
}

TEST_CASE("the lepton is the one above threshold, of either kind") {
    const RVecF none;
    const auto muon =
        ttbar::first_lepton({20.f}, {1.f}, {2.f}, {3.f}, {10.f, 40.f}, {4.f, 5.f}, {6.f, 7.f}, {8.f, 9.f}, 30.);
    CHECK(muon.eta == 5.f);
    CHECK(muon.phi == 7.f);
    CHECK(muon.mass == 9.f);
    const auto electron =
        ttbar::first_lepton({20.f, 31.f}, {1.f, 2.f}, {3.f, 4.f}, {5.f, -6.f}, none, none, none, none, 30.);
    CHECK(electron.mass == -6.f);
    CHECK_THROWS_AS(ttbar::first_lepton({30.f}, {1.f}, {1.f}, {1.f}, none, none, none, none, 30.), std::out_of_range);
}

TEST_CASE("an electron is selected if it passes every cut, each of them strict") {
    const auto passes = [](float pt, float eta, int cut_based, float sip3d) {
        return ttbar::select_electrons({pt}, {eta}, {cut_based}, {sip3d}, 30., 2., 4, 4.).size() == 1;
    };
    CHECK(passes(31.f, -1.9f, 4, 3.9f));
    CHECK(!passes(30.f, 1.9f, 4, 3.9f));
    CHECK(!passes(31.f, -2.f, 4, 3.9f));
    CHECK(!passes(31.f, 2.f, 4, 3.9f));
    CHECK(!passes(31.f, 1.9f, 3, 3.9f));
    CHECK(!passes(31.f, 1.9f, 5, 3.9f));
    CHECK(!passes(31.f, 1.9f, 4, 4.f));
}

TEST_CASE("a muon is selected if it passes every cut, each of them strict") {
    const auto passes = [](float pt, float eta, bool tight, float sip3d, float isolation) {
        return ttbar::select_muons({pt}, {eta}, ROOT::RVec<bool>{tight}, {sip3d}, {isolation}, 30., 2., 4., 0.25)
                   .size() == 1;
    };
    CHECK(passes(31.f, -1.9f, true, 3.9f, 0.f));
    CHECK(!passes(30.f, 1.9f, true, 3.9f, 0.f));
    CHECK(!passes(31.f, -2.f, true, 3.9f, 0.f));
    CHECK(!passes(31.f, 1.9f, false, 3.9f, 0.f));
    CHECK(!passes(31.f, 1.9f, true, 4.f, 0.f));
    CHECK(!passes(31.f, 1.9f, true, 3.9f, 0.25f));
}

TEST_CASE("an identified jet has the bit set, whatever the others are") {
    const RVecF pt(6, 40.f), eta{0.f, 0.f, 0.f, 0.f, 2.4f, -2.5f};
    const RVecD scale{1., 1., 1., 0.7, 1., 1.};
    const RVecI id{0, 2, 4, 6, 6, 6};
    CHECK(ROOT::VecOps::All(ttbar::select_jets(pt, scale, eta, id, 30., 2.4, 2) == RVecI{2}));
    CHECK(ROOT::VecOps::All(ttbar::select_jets(pt, RVecD(6, 1.), eta, id, 30., 2.45, 2) == RVecI{2, 3, 4}));
}

TEST_CASE("the lepton is the selected one, electrons before muons") {
    const RVecF pt{40.f, 50.f}, eta{1.f, 2.f}, phi{3.f, 4.f}, mass{5.f, 6.f};
    const RVecI none;
    const auto electron = ttbar::first_lepton(pt, eta, phi, mass, {1}, pt, eta, phi, mass, {0});
    CHECK((electron.pt == 50.f && electron.eta == 2.f && electron.phi == 4.f && electron.mass == 6.f));
    const auto muon = ttbar::first_lepton(pt, eta, phi, mass, none, pt, eta, phi, mass, {0});
    CHECK((muon.pt == 40.f && muon.eta == 1.f && muon.phi == 3.f && muon.mass == 5.f));
    CHECK_THROWS_AS(ttbar::first_lepton(pt, eta, phi, mass, none, pt, eta, phi, mass, none), std::out_of_range);
}
