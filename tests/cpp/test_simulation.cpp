#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "ttbar/simulation.hpp"

#include <Math/Vector4D.h>
#include <TError.h>
#include <TFile.h>
#include <TTree.h>
#include <TTreeReader.h>
#include <TTreeReaderArray.h>
#include <TTreeReaderValue.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <vector>

using Momentum = ROOT::Math::PtEtaPhiMVector;

namespace {

constexpr int first_copy = 1 << 12, last_copy = 1 << 13;

/// A folder of its own that goes away with it.
struct Folder {
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "test_simulation_XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string file(const std::string& name) const { return (path / name).string(); }
    std::filesystem::path path;
};

struct GenParticle {
    Momentum momentum;
    int id, mother, status, flags;
};

std::vector<std::vector<GenParticle>> read_gen_particles(const std::string& path) {
    TFile file(path.c_str());
    TTreeReader reader("Events", &file);
    TTreeReaderArray<float> pt(reader, "GenPart_pt"), eta(reader, "GenPart_eta"), phi(reader, "GenPart_phi"),
        mass(reader, "GenPart_mass");
    TTreeReaderArray<int> id(reader, "GenPart_pdgId"), mother(reader, "GenPart_genPartIdxMother"),
        status(reader, "GenPart_status"), flags(reader, "GenPart_statusFlags");
    std::vector<std::vector<GenParticle>> events;
    while (reader.Next()) {
        auto& event = events.emplace_back();
        for (std::size_t i = 0; i < pt.GetSize(); ++i)
            event.push_back({{pt[i], eta[i], phi[i], mass[i]}, id[i], mother[i], status[i], flags[i]});
    }
    return events;
}

/// Everything that tells two simulations apart.
std::vector<double> read_content(const std::string& path) {
    TFile file(path.c_str());
    TTreeReader reader("Events", &file);
    TTreeReaderValue<ULong64_t> number(reader, "event");
    std::vector<std::unique_ptr<TTreeReaderArray<float>>> columns;
    for (const char* name : {"Jet_pt", "Jet_btagCSVV2", "Electron_mass", "Muon_eta", "GenPart_phi", "GenJet_mass",
                             "Electron_sip3d", "Muon_pfRelIso04_all", "Jet_qgl"})
        columns.push_back(std::make_unique<TTreeReaderArray<float>>(reader, name));
    std::vector<double> content;
    while (reader.Next()) {
        content.push_back(static_cast<double>(*number));
        for (const auto& column : columns)
            content.insert(content.end(), column->begin(), column->end());
    }
    return content;
}

ttbar::SimulationOptions options(const std::string& sample, std::uint64_t n_events) {
    ttbar::SimulationOptions result;
    result.sample = sample;
    result.n_events = n_events;
    return result;
}

std::vector<int> daughters(const std::vector<GenParticle>& event, int mother) {
    std::vector<int> found;
    for (std::size_t i = 0; i < event.size(); ++i)
        if (event[i].mother == mother)
            found.push_back(static_cast<int>(i));
    return found;
}

} // namespace

TEST_CASE("events are a function of sample, file and seed, and of nothing else") {
    const Folder folder;
    const auto content = [&folder](const ttbar::SimulationOptions& what) {
        ttbar::simulate(folder.file("events.root"), what);
        return read_content(folder.file("events.root"));
    };
    auto what = options("ttbar__nominal", 50);
    const auto reference = content(what);
    CHECK(content(what) == reference);

    what.ballast = true;
    CHECK(content(what) == reference);
    what.ballast = false;

    what.n_events = 30;
    const auto shorter = content(what);
    CHECK(shorter == std::vector<double>(reference.begin(), reference.begin() + shorter.size()));
    what.n_events = 50;

    what.seed = 2;
    CHECK(content(what) != reference);
    what.seed = 1 + (1ull << 32);
    CHECK(content(what) != reference);
    what.seed = 1;
    what.file = 1;
    CHECK(content(what) != reference);
    what.file = 0;
    what.sample = "ttbar__ME_var";
    CHECK(content(what) != reference);
}

TEST_CASE("each chain of copies has one first and one last copy, and leads to decay products") {
    const Folder folder;
    for (const std::string& sample : ttbar::simulated_samples()) {
        CAPTURE(sample);
        ttbar::simulate(folder.file("events.root"), options(sample, 200));
        for (const auto& event : read_gen_particles(folder.file("events.root"))) {
            std::map<int, int> n_first, n_last; // by the index at which a chain begins
            std::vector<int> chain(event.size());
            for (int i = 0; i < static_cast<int>(event.size()); ++i) {
                const GenParticle& particle = event[i];
                REQUIRE(particle.mother >= -1);
                REQUIRE(particle.mother < i);
                CHECK((particle.mother == -1) == (particle.status == 21));
                const bool is_copy =
                    particle.mother > 1 && event[particle.mother].id == particle.id && particle.id != 21;
                chain[i] = is_copy ? chain[particle.mother] : i;
                n_first[chain[i]] += (particle.flags & first_copy) != 0;
                n_last[chain[i]] += (particle.flags & last_copy) != 0;
                CHECK(is_copy == ((particle.flags & first_copy) == 0 && particle.status != 21));

                const int kind = std::abs(particle.id);
                if ((particle.flags & last_copy) && (kind == 6 || kind == 24 || kind == 15))
                    CHECK(daughters(event, i).size() >= 2);
                CHECK(std::count_if(event.begin(), event.end(), [&](const GenParticle& other) {
                          return particle.status != 21 && other.mother == i && other.id == particle.id;
                      }) == ((particle.flags & last_copy) || particle.status == 21 ? 0 : 1));
                if (particle.status == 1)
                    CHECK(daughters(event, i).empty());
            }
            for (const auto& [begin, n] : n_last) {
                CHECK(n == 1);
                CHECK(n_first[begin] == (event[begin].status == 21 ? 0 : 1));
            }
        }
    }
}

TEST_CASE("decays conserve momentum, energy and charge") {
    const auto charge = [](int id) { // in thirds of that of the positron
        const int kind = std::abs(id), sign = id > 0 ? 1 : -1;
        if (kind <= 6)
            return sign * (kind % 2 == 0 ? 2 : -1);
        if (kind >= 11 && kind <= 16)
            return sign * (kind % 2 == 0 ? 0 : -3);
        return kind == 24 || kind == 213 ? 3 * sign : 0;
    };
    const Folder folder;
    ttbar::simulate(folder.file("events.root"), options("ttbar__nominal", 500));
    int n_top = 0, n_w = 0, n_tau = 0;
    for (const auto& event : read_gen_particles(folder.file("events.root"))) {
        for (int i = 0; i < static_cast<int>(event.size()); ++i) {
            const GenParticle& particle = event[i];
            const int kind = std::abs(particle.id);
            if (!(particle.flags & last_copy) || !(kind == 6 || kind == 24 || kind == 15))
                continue;
            ++(kind == 6 ? n_top : kind == 24 ? n_w : n_tau);
            ROOT::Math::PxPyPzEVector missing(particle.momentum);
            int missing_charge = charge(particle.id);
            for (const int daughter : daughters(event, i)) {
                missing -= ROOT::Math::PxPyPzEVector(event[daughter].momentum);
                missing_charge -= charge(event[daughter].id);
            }
            // Mantissas of eight bits; b quarks and tau leptons are recorded without a mass.
            const double tolerance = 0.03 * particle.momentum.E() + 1;
            CAPTURE(particle.id);
            CHECK(std::abs(missing.Px()) < tolerance);
            CHECK(std::abs(missing.Py()) < tolerance);
            CHECK(std::abs(missing.Pz()) < tolerance);
            CHECK(std::abs(missing.E()) < tolerance);
            CHECK(missing_charge == 0);
        }
    }
    CHECK(n_top == 1000);
    CHECK(n_w == 1000);
    CHECK(n_tau > 60);
}

TEST_CASE("top quarks and W bosons are near their poles") {
    const Folder folder;
    ttbar::simulate(folder.file("events.root"), options("ttbar__nominal", 500));
    std::map<int, std::vector<double>> masses;
    for (const auto& event : read_gen_particles(folder.file("events.root")))
        for (const GenParticle& particle : event)
            if (particle.flags & last_copy)
                masses[std::abs(particle.id)].push_back(particle.momentum.M());
    for (const auto& [kind, pole] : std::map<int, double>{{6, 172.5}, {24, 80.4}}) {
        auto& values = masses[kind];
        std::sort(values.begin(), values.end());
        CHECK(values[values.size() / 2] == doctest::Approx(pole).epsilon(0.004));
        CHECK(values.front() > pole - 25);
        CHECK(values.back() < pole + 25);
        CHECK(values.front() < values.back() - 3);
    }
}

TEST_CASE("only W+jets is filtered, and event numbers tell where") {
    const Folder folder;
    const std::string path = folder.file("events.root");
    for (const std::string& sample : ttbar::simulated_samples()) {
        CAPTURE(sample);
        const std::uint64_t n_generated = ttbar::simulate(path, options(sample, 100));
        if (sample == "wjets__nominal")
            CHECK(n_generated > 2000);
        else
            CHECK(n_generated == 100);
        TFile file(path.c_str());
        TTreeReader reader("Events", &file);
        TTreeReaderValue<ULong64_t> event(reader, "event");
        int n_odd = 0;
        std::uint64_t last = 0;
        while (reader.Next()) {
            n_odd += *event % 2;
            last = *event;
        }
        CHECK(n_odd >= 30);
        CHECK(n_odd <= 70);
        CHECK(last + 1 == n_generated);
    }
}

TEST_CASE("identification is stored as NanoAOD stores it, for each object") {
    const Folder folder;
    for (const std::string& sample : ttbar::simulated_samples()) {
        CAPTURE(sample);
        ttbar::simulate(folder.file("events.root"), options(sample, 200));
        TFile file(folder.file("events.root").c_str());
        TTreeReader reader("Events", &file);
        TTreeReaderArray<float> electron_pt(reader, "Electron_pt"), electron_sip3d(reader, "Electron_sip3d"),
            muon_pt(reader, "Muon_pt"), muon_sip3d(reader, "Muon_sip3d"), isolation(reader, "Muon_pfRelIso04_all"),
            jet_pt(reader, "Jet_pt"), qgl(reader, "Jet_qgl");
        TTreeReaderArray<int> cut_based(reader, "Electron_cutBased"), jet_id(reader, "Jet_jetId");
        TTreeReaderArray<bool> tight(reader, "Muon_tightId");
        int n_tight = 0, n_muons = 0;
        while (reader.Next()) {
            REQUIRE(cut_based.GetSize() == electron_pt.GetSize());
            for (std::size_t i = 0; i < electron_pt.GetSize(); ++i) {
                CHECK(cut_based[i] >= 0);
                CHECK(cut_based[i] <= 4);
                CHECK(electron_sip3d[i] > 0);
            }
            REQUIRE(tight.GetSize() == muon_pt.GetSize());
            for (std::size_t i = 0; i < muon_pt.GetSize(); ++i) {
                ++n_muons;
                n_tight += tight[i];
                CHECK(muon_sip3d[i] > 0);
                CHECK(isolation[i] >= 0);
            }
            REQUIRE(jet_id.GetSize() == jet_pt.GetSize());
            for (std::size_t i = 0; i < jet_pt.GetSize(); ++i) {
                CHECK((jet_id[i] == 0 || jet_id[i] == 2 || jet_id[i] == 6));
                CHECK((qgl[i] == -1 || (qgl[i] >= 0 && qgl[i] <= 1)));
                if (jet_pt[i] < 20)
                    CHECK(qgl[i] == -1);
            }
        }
        CHECK(reader.GetEntryStatus() == TTreeReader::kEntryBeyondEnd); // and not a column of another type
        CHECK(n_tight > n_muons / 2);
        CHECK(n_tight < n_muons);
    }
}

TEST_CASE("what cannot be simulated or written is an error") {
    const Folder folder;
    gErrorIgnoreLevel = kFatal;
    CHECK_THROWS_AS(ttbar::simulate(folder.file("a.root"), options("ttbar__upside_down", 1)), std::invalid_argument);
    CHECK_THROWS_AS(ttbar::simulate(folder.file("missing/a.root"), options("ttbar__nominal", 1)), std::runtime_error);

    // A limit on the size of files stands for a full disk.
    rlimit unlimited;
    getrlimit(RLIMIT_FSIZE, &unlimited);
    std::signal(SIGXFSZ, SIG_IGN);
    // Few events are written at the end, many on the way to it.
    for (const int n_events : {100, 5000}) {
        CAPTURE(n_events);
        rlimit limit = unlimited;
        limit.rlim_cur = 20'000;
        setrlimit(RLIMIT_FSIZE, &limit);
        CHECK_THROWS_AS(ttbar::simulate(folder.file("full.root"), options("ttbar__nominal", n_events)),
                        std::runtime_error);
        setrlimit(RLIMIT_FSIZE, &unlimited);
    }
    gErrorIgnoreLevel = kUnset;
}
