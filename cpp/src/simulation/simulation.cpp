#include "ttbar/simulation.hpp"

#include "ballast.hpp"
#include "columns.hpp"
#include "events.hpp"

#include <Compression.h>
#include <TFile.h>
#include <TTree.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>

namespace ttbar {

namespace {

using namespace simulation;

constexpr int zlib_level_1 = 101;
constexpr std::int64_t events_per_cluster = 4000;
constexpr std::uint32_t events_per_luminosity_block = 100;
// Beyond 32 bits from the second file on, as in the largest samples.
constexpr std::uint64_t event_numbers_per_file = 5'000'000'000;

// How many bits of the mantissa NanoAOD keeps.
constexpr int full = 23, position_bits = 12, mass_bits = 10, jet_pt_bits = 10, score_bits = 10, truth_bits = 8;

template <class T>
constexpr char leaf_type();
template <>
constexpr char leaf_type<float>() {
    return 'F';
}
template <>
constexpr char leaf_type<std::int32_t>() {
    return 'I';
}
template <>
constexpr char leaf_type<std::uint8_t>() {
    return 'b';
}
template <>
constexpr char leaf_type<bool>() {
    return 'O';
}

/// The branches of a collection, and where their values are before they are filled.
class Collection {
  public:
    Collection(TTree& tree, const std::string& name) : tree_(tree), name_(name) {
        add_branch(tree, "n" + name, 'i', &length);
    }
    Collection(const Collection&) = delete;
    Collection& operator=(const Collection&) = delete;

    /// Begin an event. Objects beyond the capacity, which no event has, would be lost.
    void resize(std::size_t n) { length = static_cast<std::uint32_t>(std::min(n, max_length)); }

    std::uint32_t length = 0;

  protected:
    template <class T>
    struct Column : std::array<T, max_length> {
        Column(Collection& collection, const std::string& name) {
            add_branch(collection.tree_, collection.name_ + "_" + name, leaf_type<T>(), this->data(), collection.name_);
        }
    };

  private:
    TTree& tree_;
    std::string name_;
};

/// A collection of objects with a momentum.
class Objects : public Collection {
  public:
    struct Precision {
        int pt, position, mass;
    };

    Objects(TTree& tree, const std::string& name, const Precision& precision)
        : Collection(tree, name), precision_(precision) {}

    void set(std::uint32_t i, double pt, double eta, double phi, double mass) {
        pt_[i] = rounded(pt, precision_.pt);
        eta_[i] = rounded(eta, precision_.position);
        phi_[i] = rounded(phi, precision_.position);
        mass_[i] = rounded(mass, precision_.mass);
    }

  private:
    Precision precision_;
    Column<float> pt_{*this, "pt"}, eta_{*this, "eta"}, phi_{*this, "phi"}, mass_{*this, "mass"};
};

class Leptons : public Objects {
  public:
    Leptons(TTree& tree, const std::string& name) : Objects(tree, name, {full, position_bits, mass_bits}) {}

    void set(std::uint32_t i, const ReconstructedLepton& lepton) {
        Objects::set(i, lepton.pt, lepton.eta, lepton.phi, lepton.mass);
        sip3d_[i] = rounded(lepton.sip3d, score_bits);
    }

  private:
    Column<float> sip3d_{*this, "sip3d"};
};

class Electrons : public Leptons {
  public:
    explicit Electrons(TTree& tree) : Leptons(tree, "Electron") {}

    void fill(const std::vector<Electron>& electrons) {
        resize(electrons.size());
        for (std::uint32_t i = 0; i < length; ++i) {
            set(i, electrons[i]);
            cut_based_[i] = electrons[i].cut_based;
        }
    }

  private:
    Column<std::int32_t> cut_based_{*this, "cutBased"};
};

class Muons : public Leptons {
  public:
    explicit Muons(TTree& tree) : Leptons(tree, "Muon") {}

    void fill(const std::vector<Muon>& muons) {
        resize(muons.size());
        for (std::uint32_t i = 0; i < length; ++i) {
            set(i, muons[i]);
            tight_[i] = muons[i].tight;
            isolation_[i] = static_cast<float>(muons[i].isolation);
        }
    }

  private:
    Column<bool> tight_{*this, "tightId"};
    Column<float> isolation_{*this, "pfRelIso04_all"};
};

class Jets : public Objects {
  public:
    explicit Jets(TTree& tree) : Objects(tree, "Jet", {jet_pt_bits, position_bits, mass_bits}) {}

    void fill(const std::vector<Jet>& jets) {
        resize(jets.size());
        for (std::uint32_t i = 0; i < length; ++i) {
            set(i, jets[i].pt, jets[i].eta, jets[i].phi, jets[i].mass);
            btag_[i] = rounded(jets[i].btag, score_bits);
            id_[i] = jets[i].id;
            qgl_[i] = rounded(jets[i].qgl, score_bits);
        }
    }

  private:
    Column<float> btag_{*this, "btagCSVV2"}, qgl_{*this, "qgl"};
    Column<std::int32_t> id_{*this, "jetId"};
};

class GenJets : public Objects {
  public:
    explicit GenJets(TTree& tree) : Objects(tree, "GenJet", {full, position_bits, mass_bits}) {}

    void fill(const std::vector<GenJet>& jets) {
        resize(jets.size());
        for (std::uint32_t i = 0; i < length; ++i) {
            const Momentum& p = jets[i].momentum;
            set(i, p.Pt(), p.Eta(), p.Phi(), p.M());
            parton_flavour_[i] = jets[i].parton_flavour;
            hadron_flavour_[i] = static_cast<std::uint8_t>(jets[i].hadron_flavour);
        }
    }

  private:
    Column<std::int32_t> parton_flavour_{*this, "partonFlavour"};
    Column<std::uint8_t> hadron_flavour_{*this, "hadronFlavour"};
};

class GenParticles : public Objects {
  public:
    explicit GenParticles(TTree& tree) : Objects(tree, "GenPart", {truth_bits, truth_bits, truth_bits}) {}

    void fill(const std::vector<Particle>& particles) {
        resize(particles.size());
        for (std::uint32_t i = 0; i < length; ++i) {
            const Particle& particle = particles[i];
            const Momentum& p = particle.momentum;
            set(i, p.Pt(), p.Eta(), p.Phi(), particle.mass);
            mother_[i] = particle.mother;
            id_[i] = particle.id;
            status_[i] = particle.status;
            flags_[i] = particle.flags;
        }
    }

  private:
    Column<std::int32_t> mother_{*this, "genPartIdxMother"}, id_{*this, "pdgId"}, status_{*this, "status"},
        flags_{*this, "statusFlags"};
};

/// The branches of a file.
class EventWriter {
  public:
    EventWriter(TTree& tree, bool ballast, std::uint64_t ballast_seed) : tree_(tree) {
        add_branch(tree, "run", 'i', &run_);
        add_branch(tree, "luminosityBlock", 'i', &luminosity_block_);
        add_branch(tree, "event", 'l', &event_);
        if (ballast)
            ballast_.emplace(tree,
                             std::map<std::string, const std::uint32_t*>{{"Electron", &electrons_.length},
                                                                         {"Muon", &muons_.length},
                                                                         {"Jet", &jets_.length},
                                                                         {"GenJet", &gen_jets_.length},
                                                                         {"GenPart", &gen_particles_.length}},
                             ballast_seed);
    }

    /// @return whether the event could be written
    bool fill(std::uint64_t number, const Event& event) {
        event_ = number;
        luminosity_block_ = static_cast<std::uint32_t>(1 + number / events_per_luminosity_block);
        electrons_.fill(event.electrons);
        muons_.fill(event.muons);
        jets_.fill(event.jets);
        gen_jets_.fill(event.gen_jets);
        gen_particles_.fill(event.particles);
        if (ballast_)
            ballast_->draw();
        return tree_.Fill() >= 0;
    }

  private:
    TTree& tree_;
    std::uint32_t run_ = 1, luminosity_block_ = 0;
    std::uint64_t event_ = 0;
    Electrons electrons_{tree_};
    Muons muons_{tree_};
    Jets jets_{tree_};
    GenJets gen_jets_{tree_};
    GenParticles gen_particles_{tree_};
    std::optional<Ballast> ballast_;
};

const Sample& find_sample(const std::string& name) {
    for (const Sample& sample : samples())
        if (sample.name == name)
            return sample;
    throw std::invalid_argument("no sample " + name + " can be simulated");
}

} // namespace

std::vector<std::string> simulated_samples() {
    std::vector<std::string> names;
    for (const Sample& sample : samples())
        names.push_back(sample.name);
    return names;
}

std::uint64_t simulate(const std::string& path, const SimulationOptions& options) {
    const Sample& sample = find_sample(options.sample);
    const std::unique_ptr<TFile> file(TFile::Open(path.c_str(), "RECREATE", "", zlib_level_1));
    if (!file || file->IsZombie())
        throw std::runtime_error(path + " cannot be written");
    // The file owns the tree.
    auto* tree = new TTree("Events", "Events of a toy simulation", 99, file.get());
    tree->SetAutoFlush(events_per_cluster);
    EventWriter writer(*tree, options.ballast, options.seed + options.file);

    const std::uint64_t first = options.file * event_numbers_per_file;
    std::uint64_t n_generated = 0;
    Event event;
    for (std::uint64_t n_stored = 0; n_stored < options.n_events; ++n_generated) {
        if (!generate(sample, options.seed, first + n_generated, event))
            continue;
        if (!writer.fill(first + n_generated, event))
            throw std::runtime_error(path + " cannot be written to its end: is the disk full?");
        ++n_stored;
    }
    file->Write();
    file->Close();
    if (file->TestBit(TFile::kWriteError))
        throw std::runtime_error(path + " cannot be written to its end: is the disk full?");
    return n_generated;
}

std::string simulation_id() {
    return TTBAR_SIMULATION_HASH;
}

} // namespace ttbar
