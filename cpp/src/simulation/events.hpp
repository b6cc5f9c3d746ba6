/// @file
/// Events of the toy simulation, before they are written.
#pragma once

#include <Math/Vector4D.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ttbar::simulation {

/// Momentum and energy in GeV.
using Momentum = ROOT::Math::PxPyPzEVector;

/// The process that a sample holds: two partons make a heavy system of one or two particles.
/// Identities are those of the Particle Data Group.
struct Process {
    int incoming[2];             ///< identities of the incoming partons
    int outgoing[2];             ///< identities of the outgoing particles; the second is 0 if there is one alone
    double conjugate_fraction;   ///< share of events with all particles replaced by their antiparticles
    bool leptonic;               ///< whether all W bosons decay to leptons
    double mean_excess;          ///< mean of the system's mass over the sum of its particles' masses, minus one
    double pole_distance;        ///< distance from |cos theta| = 1 of the pole in the scattering angle; large is flat
    double rapidity_width;       ///< standard deviation of the system's rapidity
    double mean_radiated_jets;   ///< mean number of radiated jets, distributed as a geometric series
    double radiated_pt_exponent; ///< n in the falling spectrum pt^-n of the radiated jets
    int min_radiated_jets;       ///< generator filter: radiated jets with pt > 20 GeV that a stored event has at
                                 ///< least
};

/// What alternative simulations change, as factors.
struct Modelling {
    double excess = 1;        ///< of Process::mean_excess: how hard the top quarks are
    double radiation = 1;     ///< of Process::mean_radiated_jets
    double splitting = 1;     ///< of the probability that a quark from a decay radiates a gluon
    double fragmentation = 1; ///< of the share of a parton's momentum that its jet keeps
};

/// A sample of simulated events.
struct Sample {
    std::string name;
    std::uint32_t stream; ///< number of its stream of random numbers
    Process process;
    Modelling modelling;
};

/// All samples.
const std::vector<Sample>& samples();

/// A particle of the generator's record.
struct Particle {
    Momentum momentum;
    double mass; ///< as NanoAOD writes it: 0 for quarks other than top, leptons and gluons
    int id;
    int mother; ///< index of the mother, -1 if there is none
    int status;
    int flags;
};

/// A jet of generated particles.
struct GenJet {
    Momentum momentum;
    int parton_flavour; ///< identity of the hardest parton, 0 if there is none
    int hadron_flavour; ///< 5, 4 or 0
    int hardest;        ///< identity of the hardest part, of all that jets are made of
};

/// A reconstructed jet.
struct Jet {
    double pt, eta, phi, mass;
    double btag;
    int hardest;    ///< as of the jet of particles; 0 for pile-up
    int id = 0;     ///< bits of NanoAOD: 2 for tight, 4 for tight with lepton veto
    double qgl = 0; ///< near 1 for quarks, near 0 for gluons, -1 if there is none
};

/// Where a lepton comes from.
enum class LeptonSource { w, tau, b, jet };

/// A reconstructed electron or muon.
struct ReconstructedLepton {
    double pt, eta, phi, mass;
    LeptonSource source;
    double sip3d = 0; ///< impact parameter in units of its uncertainty
};

struct Electron : ReconstructedLepton {
    int cut_based = 0; ///< tightest working point that it passes: from 0 for none to 4 for tight
};

struct Muon : ReconstructedLepton {
    bool tight = false;
    double isolation = 0; ///< energy around it over its own
};

/// What jets are made of: the hadrons of a parton or tau lepton, a radiated jet, an electron or muon.
struct Visible {
    Momentum momentum;
    int id; ///< identity of the parton or lepton
};

/// An event. Jets and leptons are sorted by falling transverse momentum.
struct Event {
    std::vector<Particle> particles;
    std::vector<Visible> visible;
    std::vector<GenJet> gen_jets;
    std::vector<Jet> jets;
    std::vector<Electron> electrons;
    std::vector<Muon> muons;
};

/// Generate an event: a pure function of its arguments.
/// @param sample what to generate
/// @param seed   seed
/// @param number number of the event in the sample
/// @param event  where the event goes
/// @return whether the event passes the generator filter; it is incomplete if not
bool generate(const Sample& sample, std::uint64_t seed, std::uint64_t number, Event& event);

} // namespace ttbar::simulation
