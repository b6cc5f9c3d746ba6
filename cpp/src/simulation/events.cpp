#include "events.hpp"

#include "random.hpp"

#include <Math/Vector3D.h>
#include <Math/VectorUtil.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace ttbar::simulation {

// clang-format off
const std::vector<Sample>& samples() {
    constexpr double flat = 1000; // a pole this far away is not felt
    //                              incoming  outgoing conj. leptonic excess pole rapidity jets exponent filter
    static const Process top_pair  {{21, 21}, {6, -6},  0.50, false,  0.34, flat, 0.90, 1.0,  2.6, 0};
    static const Process s_channel {{ 2, -1}, {6, -5},  0.38, true,   0.60, flat, 1.10, 0.9,  2.6, 0};
    static const Process t_channel {{ 2,  5}, {6,  1},  0.37, false,  0.60, 0.15, 1.20, 0.9,  2.6, 0};
    static const Process top_w     {{ 5, 21}, {6, -24}, 0.50, false,  0.50, flat, 1.00, 1.0,  2.6, 0};
    static const Process w_jets    {{ 2, -1}, {24, 0},  0.42, true,   0.00, flat, 1.80, 0.85, 2.5, 4};
    static const std::vector<Sample> all{
        //                          stream              excess  radiation  splitting  fragmentation
        {"ttbar__nominal",              0, top_pair,   {1.00,   1.00,      1.00,      1.00}},
        {"ttbar__scaledown",            1, top_pair,   {1.00,   1.30,      1.10,      1.00}},
        {"ttbar__scaleup",              2, top_pair,   {1.00,   0.75,      0.90,      1.00}},
        {"ttbar__ME_var",               3, top_pair,   {1.15,   0.97,      1.00,      1.00}},
        {"ttbar__PS_var",               4, top_pair,   {1.00,   1.10,      1.50,      0.98}},
        {"single_top_s_chan__nominal",  5, s_channel,  {1.00,   1.00,      1.00,      1.00}},
        {"single_top_t_chan__nominal",  6, t_channel,  {1.00,   1.00,      1.00,      1.00}},
        {"single_top_tW__nominal",      7, top_w,      {1.00,   1.00,      1.00,      1.00}},
        {"wjets__nominal",              8, w_jets,     {1.00,   1.00,      1.00,      1.00}},
    };
    return all;
}
// clang-format on

namespace {

constexpr double beam_energy = 6500;

// Masses and widths in GeV, and branching fractions.
constexpr double top_mass = 172.5, top_width = 1.4, w_mass = 80.4, w_width = 2.1;
constexpr double b_mass = 4.8, tau_mass = 1.777, rho_mass = 0.775;
constexpr double w_to_hadrons = 0.674, tau_to_hadrons = 0.648;

// Jets beside the hard process, and gluons that split off its quarks.
constexpr std::size_t max_radiated_jets = 20;
constexpr double radiated_min_pt = 15, filter_min_pt = 20, max_falling_pt = 600;
constexpr double radiated_eta_width = 1.9, radiated_max_eta = 4.9;
constexpr double radiated_b = 0.02, radiated_c = 0.06, radiated_gluon = 0.50;
constexpr double splitting_probability = 0.30;

// From partons to jets of particles.
constexpr double fragmentation_share = 0.985, fragmentation_spread = 0.06, fragmentation_angle = 0.02;
constexpr double semileptonic_b = 0.22;
constexpr double jet_radius = 0.4, gen_jet_min_pt = 10;

// Reconstructed jets.
constexpr double jet_response = 0.985, jet_angle = 0.015, jet_min_pt = 15, jet_max_eta = 5.1, tracker_eta = 2.5;
constexpr double pileup_jets = 0.8, pileup_pt_exponent = 5.5;
constexpr double electron_from_jet = 0.05;

// Share of the leptons that jets are made of too. In NanoAOD it is nearly all of them, but then the four
// hardest jets of a selected event would be those of the four quarks in 3 % of events only, instead of 20 %.
constexpr double lepton_in_jets = 0.15;

/// Reconstruction of leptons. The efficiencies are low, so that as many top pairs pass the analysis's
/// selection as in simulated CMS events.
struct LeptonReconstruction {
    double min_pt, max_eta, efficiency, resolution;
};
constexpr LeptonReconstruction electron_reconstruction{5, 2.5, 0.62, 0.02};
constexpr LeptonReconstruction muon_reconstruction{3, 2.4, 0.72, 0.015};

/// The b-tag scores of jets of one flavour: the share of jets without a score, the share of the others above
/// 0.5, and how the scores above and below 0.5 lean: distances from the lower end go like a uniform number to
/// these powers.
struct TagShape {
    double without_score, tagged, power_above, power_below;
};
constexpr TagShape b_shape{0.02, 0.66, 0.35, 0.8}, c_shape{0.10, 0.30, 1.0, 1.2};
constexpr TagShape light_shape{0.25, 0.07, 1.6, 1.8}, lepton_shape{0.65, 0.02, 2.0, 2.2};

// What identifies objects is drawn from streams of its own, beyond those of the samples, so that it can change
// without a change of the objects.
constexpr std::uint32_t identification_streams = 1 << 16;

// Impact parameters in units of their uncertainty: a sum of two exponential terms of these means if the lepton comes
// from the collision, a wide range if it does not or if its track is wrong.
constexpr double electron_sip3d = 0.75, muon_sip3d = 0.33;
constexpr double min_displaced_sip3d = 2, max_displaced_sip3d = 200;

/// The identification of electrons from one source: the shares that pass the four working points and the share of
/// displaced ones.
struct ElectronShape {
    std::array<double, 4> passing;
    double displaced;
};

/// The identification of muons from one source: the share of tight ones, of displaced ones, of those without any energy
/// around them, and the mean isolation of the others.
struct MuonShape {
    double tight, displaced, alone, mean_isolation;
};

/// The identification of jets of one kind: the share that is not tight, the share that is, but fails the lepton veto,
/// the share without a quark-gluon likelihood, and the share of the others that looks like jets of quarks.
struct JetShape {
    double not_tight, vetoed, without_qgl, quark_like;
};

// In the order of LeptonSource. No jet fakes a muon.
constexpr ElectronShape electron_shapes[]{{{0.94, 0.92, 0.87, 0.76}, 0.06},
                                          {{0.88, 0.85, 0.79, 0.66}, 0.35},
                                          {{0.25, 0.15, 0.07, 0.03}, 0.70},
                                          {{0.20, 0.10, 0.04, 0.015}, 0.35}};
constexpr MuonShape muon_shapes[]{{0.96, 0.01, 0.33, 0.06}, {0.95, 0.25, 0.30, 0.06}, {0.85, 0.75, 0.03, 0.80}};

constexpr JetShape quark_jet_shape{0.005, 0.005, 0.01, 1.0}, b_jet_shape{0.005, 0.010, 0.01, 0.4};
constexpr JetShape gluon_jet_shape{0.005, 0.005, 0.01, 0.0}, pileup_jet_shape{0.030, 0.005, 0.20, 0.5};
constexpr JetShape lepton_jet_shape{0.190, 0.680, 0.75, 1.0}, forward_jet_shape{0.170, 0.000, 0.13, 0.7};

// Distances of the likelihood from 1 for jets like those of quarks, and from 0 for those like gluons, go like a uniform
// number to these powers. Soft jets have none.
constexpr double quark_power = 1.4, gluon_power = 1.9, qgl_min_pt = 20;

/// Identities of particles.
namespace pdg {
constexpr int b = 5, top = 6, electron = 11, muon = 13, tau = 15, gluon = 21, w = 24, rho = 213;
} // namespace pdg

/// States of particles in the record of the generator.
namespace status {
constexpr int stable = 1, decayed = 2, incoming = 21, hard_resonance = 22, hard_outgoing = 23, recoiling = 44,
              resonance = 52, recoiled = 62, showered = 71;
} // namespace status

/// Bits of GenPart_statusFlags.
namespace flag {
constexpr int prompt = 1 << 0, decayed = 1 << 1, tau_product = 1 << 2, prompt_tau_product = 1 << 3,
              direct_tau_product = 1 << 4, direct_prompt_tau_product = 1 << 5, hard_process = 1 << 7,
              from_hard_process = 1 << 8, from_hard_process_before_radiation = 1 << 11, first_copy = 1 << 12,
              last_copy = 1 << 13;
constexpr int hard = prompt | hard_process | from_hard_process;
constexpr int copy = prompt | from_hard_process;
} // namespace flag

Momentum from_cylindrical(double pt, double eta, double phi, double mass) {
    return Momentum(ROOT::Math::PtEtaPhiMVector(pt, eta, phi, mass));
}

/// Mass of a particle as NanoAOD writes it.
double recorded_mass(const Momentum& momentum, int id) {
    const int kind = std::abs(id);
    return kind == pdg::top || kind == pdg::w || kind == pdg::rho ? momentum.M() : 0;
}

/// Builds one event.
class Generator {
  public:
    Generator(const Sample& sample, std::uint64_t seed, std::uint64_t number, Event& event)
        : process_(sample.process), modelling_(sample.modelling), random_(seed, sample.stream, number),
          identification_(seed, identification_streams + sample.stream, number), event_(event) {}

    bool run() {
        // The filter comes first, since it rejects most events of some processes.
        if (!draw_radiation())
            return false;
        event_.particles.clear();
        event_.visible.clear();
        event_.gen_jets.clear();
        event_.jets.clear();
        event_.electrons.clear();
        event_.muons.clear();
        hard_process();
        cluster();
        reconstruct_jets();
        const auto harder = [](const auto& one, const auto& other) { return one.pt > other.pt; };
        std::sort(event_.jets.begin(), event_.jets.end(), harder);
        std::sort(event_.electrons.begin(), event_.electrons.end(), harder);
        std::sort(event_.muons.begin(), event_.muons.end(), harder);
        identify();
        return true;
    }

  private:
    /// Draw the transverse momenta of radiated jets.
    /// @return whether they pass the generator filter
    bool draw_radiation() {
        const int n = random_.geometric(process_.mean_radiated_jets * modelling_.radiation);
        n_radiated_ = std::min<std::size_t>(n, max_radiated_jets);
        int n_hard = 0;
        for (std::size_t i = 0; i < n_radiated_; ++i) {
            radiated_pt_[i] = falling(radiated_min_pt, process_.radiated_pt_exponent);
            n_hard += radiated_pt_[i] > filter_min_pt;
        }
        return n_hard >= process_.min_radiated_jets;
    }

    /// The heavy system, radiation against which it recoils, and decays.
    void hard_process() {
        const int sign = random_.chance(process_.conjugate_fraction) ? -1 : 1;
        const int n_outgoing = process_.outgoing[1] == 0 ? 1 : 2;
        std::array<int, 2> id{};
        std::array<double, 2> mass{};
        for (int i = 0; i < n_outgoing; ++i) {
            id[i] = sign * process_.outgoing[i];
            mass[i] = draw_mass(id[i]);
        }
        // Each of the two exponential terms contributes half of the mean.
        const double mean_excess = process_.mean_excess * modelling_.excess;
        const double excess = random_.exponential(mean_excess / 2) + random_.exponential(mean_excess / 2);
        const double system_mass = (mass[0] + mass[1]) * (1 + excess);
        const double max_rapidity = std::log(2 * 0.9 * beam_energy / system_mass);
        const double rapidity = std::clamp(random_.normal(0, process_.rapidity_width), -max_rapidity, max_rapidity);
        const Momentum system(0, 0, system_mass * std::sinh(rapidity), system_mass * std::cosh(rapidity));

        const int direction = random_.chance(0.5) ? 1 : -1;
        for (const int side : {1, -1}) {
            const int incoming = process_.incoming[side == direction ? 0 : 1];
            const double energy = (system.E() + side * system.Pz()) / 2;
            add(Momentum(0, 0, side * energy, energy), incoming == pdg::gluon ? incoming : sign * incoming, -1,
                status::incoming, flag::hard | flag::from_hard_process_before_radiation | flag::last_copy);
        }
        const Momentum radiation = add_radiation();

        std::array<Momentum, 2> momentum{system, {}};
        if (n_outgoing == 2)
            std::tie(momentum[0], momentum[1]) = decay(system, mass[0], mass[1], direction * scattering_angle());
        for (int i = 0; i < n_outgoing; ++i) {
            const bool resonance = recorded_mass(momentum[i], id[i]) > 0;
            const int first = add(momentum[i], id[i], 0, resonance ? status::hard_resonance : status::hard_outgoing,
                                  flag::hard | flag::first_copy);
            continue_chain(recoil(first, system, radiation));
        }
    }

    double draw_mass(int id) {
        switch (std::abs(id)) {
        case pdg::top:
            return random_.breit_wigner(top_mass, top_width);
        case pdg::w:
            return random_.breit_wigner(w_mass, w_width);
        case pdg::b:
            return b_mass;
        default:
            return 0;
        }
    }

    /// Cosine of the scattering angle: a pole beyond 1.
    double scattering_angle() {
        const double distance = process_.pole_distance;
        return 1 + distance - (2 + distance) * std::pow(distance / (2 + distance), random_.uniform());
    }

    /// A transverse momentum of the spectrum pt^-exponent, up to max_falling_pt.
    double falling(double minimum, double exponent) {
        const double power = 1 - exponent;
        return minimum * std::pow(random_.uniform(std::pow(max_falling_pt / minimum, power), 1), 1 / power);
    }

    /// Radiated jets.
    /// @return sum of their momenta
    Momentum add_radiation() {
        Momentum sum;
        for (std::size_t i = 0; i < n_radiated_; ++i) {
            const double eta = std::clamp(random_.normal(0, radiated_eta_width), -radiated_max_eta, radiated_max_eta);
            const double phi = random_.uniform(-pi, pi);
            const Momentum momentum = from_cylindrical(radiated_pt_[i], eta, phi, 0);
            const int id = draw_radiated_id();
            add(momentum, id, 0, status::showered, flag::prompt | flag::first_copy | flag::last_copy);
            fragment(momentum, id);
            sum += momentum;
        }
        return sum;
    }

    int draw_radiated_id() {
        const int sign = random_.chance(0.5) ? 1 : -1;
        const double u = random_.uniform();
        if (u < radiated_b)
            return sign * 5;
        if (u < radiated_b + radiated_c)
            return sign * 4;
        if (u < radiated_b + radiated_c + radiated_gluon)
            return pdg::gluon;
        return sign * (1 + static_cast<int>(random_.bits() % 3));
    }

    /// Two-body decay, isotropic unless an angle is given.
    /// @param cos_theta cosine of the polar angle of the first daughter at rest
    /// @return momenta of the daughters
    std::pair<Momentum, Momentum> decay(const Momentum& parent, double mass1, double mass2, double cos_theta) {
        const double mass = parent.M();
        const double energy1 = (mass * mass + mass1 * mass1 - mass2 * mass2) / (2 * mass);
        const double p = std::sqrt(std::max(0., energy1 * energy1 - mass1 * mass1));
        const double sin_theta = std::sqrt(1 - cos_theta * cos_theta), phi = random_.uniform(-pi, pi);
        const double px = p * sin_theta * std::cos(phi), py = p * sin_theta * std::sin(phi), pz = p * cos_theta;
        const auto frame = -parent.BoostToCM();
        return {ROOT::Math::VectorUtil::boost(Momentum(px, py, pz, energy1), frame),
                ROOT::Math::VectorUtil::boost(Momentum(-px, -py, -pz, mass - energy1), frame)};
    }

    std::pair<Momentum, Momentum> decay(const Momentum& parent, double mass1, double mass2) {
        return decay(parent, mass1, mass2, random_.uniform(-1, 1));
    }

    /// @return index of the new particle
    int add(const Momentum& momentum, int id, int mother, int state, int flags) {
        event_.particles.push_back({momentum, recorded_mass(momentum, id), id, mother, state, flags});
        return static_cast<int>(event_.particles.size()) - 1;
    }

    /// Copies of an outgoing particle, step by step boosted against the radiation.
    /// @return index of the last one, which is the last copy if it is a resonance
    int recoil(int first, const Momentum& system, const Momentum& radiation) {
        const Particle particle = event_.particles[first];
        const bool resonance = particle.status == status::hard_resonance;
        const int n_steps = resonance ? 1 + random_.geometric(1.0) : 1;
        int index = first;
        for (int step = 1; step <= n_steps; ++step) {
            // A boost across the beam that gives the system the opposite of the radiation's momentum.
            const double share = static_cast<double>(step) / n_steps;
            const double x = -share * radiation.Px() / system.E(), y = -share * radiation.Py() / system.E();
            const double gamma = std::sqrt(1 + x * x + y * y);
            const ROOT::Math::XYZVector beta(x / gamma, y / gamma, 0);
            const bool last = resonance && step == n_steps;
            index = add(ROOT::Math::VectorUtil::boost(particle.momentum, beta), particle.id, index,
                        last ? status::recoiled : status::recoiling, flag::copy | (last ? flag::last_copy : 0));
        }
        return index;
    }

    /// What becomes of a particle of the hard process or of a decay.
    void continue_chain(int index) {
        switch (std::abs(event_.particles[index].id)) {
        case pdg::top:
            return decay_top(index);
        case pdg::w:
            return decay_w(index);
        case pdg::tau:
            return decay_tau(index);
        case pdg::electron:
        case pdg::muon: {
            const Particle& lepton = event_.particles[index];
            if (random_.chance(lepton_in_jets))
                event_.visible.push_back({lepton.momentum, lepton.id});
            return reconstruct_lepton(lepton.momentum, lepton.id,
                                      lepton.flags & flag::tau_product ? LeptonSource::tau : LeptonSource::w);
        }
        case pdg::electron + 1:
        case pdg::muon + 1:
        case pdg::tau + 1:
            return;
        default:
            return shower(index);
        }
    }

    void decay_top(int index) {
        const Particle mother = event_.particles[index];
        const int sign = mother.id > 0 ? 1 : -1;
        const auto [w, b] = decay(mother.momentum, draw_mass(pdg::w), b_mass);
        const int first_w = add(w, sign * pdg::w, index, status::hard_resonance, flag::hard | flag::first_copy);
        const int first_b = add(b, sign * pdg::b, index, status::hard_outgoing, flag::hard | flag::first_copy);
        continue_chain(add(w, sign * pdg::w, first_w, status::resonance, flag::copy | flag::last_copy));
        continue_chain(first_b);
    }

    void decay_w(int index) {
        const Particle mother = event_.particles[index];
        const int sign = mother.id > 0 ? 1 : -1;
        const bool hadrons = !process_.leptonic && random_.chance(w_to_hadrons);
        // Down-type and up-type member of the doublet; a positive W has the antiparticle of the first.
        const int down = hadrons ? 1 + 2 * static_cast<int>(random_.bits() % 2)
                                 : pdg::electron + 2 * static_cast<int>(random_.bits() % 3);
        const auto [momentum1, momentum2] = decay(mother.momentum, down == pdg::tau ? tau_mass : 0, 0);
        const int flags = flag::hard | flag::first_copy | (hadrons ? 0 : flag::last_copy);
        const int charged_status = down == pdg::tau ? status::decayed : status::stable;
        const int first = add(momentum1, -sign * down, index, hadrons ? status::hard_outgoing : charged_status,
                              flags | (down == pdg::tau ? flag::decayed : 0));
        const int second =
            add(momentum2, sign * (down + 1), index, hadrons ? status::hard_outgoing : status::stable, flags);
        continue_chain(first);
        continue_chain(second);
    }

    /// To hadrons, represented by a rho meson, and a neutrino, or to a lepton and two neutrinos.
    void decay_tau(int index) {
        const Particle mother = event_.particles[index];
        const int sign = mother.id > 0 ? 1 : -1;
        const int flags = flag::prompt | flag::tau_product | flag::prompt_tau_product | flag::direct_tau_product |
                          flag::direct_prompt_tau_product | flag::first_copy | flag::last_copy;
        if (random_.chance(tau_to_hadrons)) {
            const auto [hadrons, neutrino] = decay(mother.momentum, rho_mass, 0);
            add(hadrons, -sign * pdg::rho, index, status::decayed, flags);
            add(neutrino, sign * (pdg::tau + 1), index, status::stable, flags);
            event_.visible.push_back({hadrons, -sign * pdg::rho});
            return;
        }
        const int kind = random_.chance(0.5) ? pdg::electron : pdg::muon;
        const double neutrinos_mass = tau_mass * std::sqrt(random_.uniform());
        const auto [lepton, neutrinos] = decay(mother.momentum, 0, neutrinos_mass);
        const auto [neutrino, antineutrino] = decay(neutrinos, 0, 0);
        const int stable = add(lepton, sign * kind, index, status::stable, flags);
        add(antineutrino, -sign * (kind + 1), index, status::stable, flags);
        add(neutrino, sign * (pdg::tau + 1), index, status::stable, flags);
        continue_chain(stable);
    }

    /// The last copy of a quark, perhaps after a gluon has split off.
    void shower(int index) {
        const Particle quark = event_.particles[index];
        Momentum remainder = quark.momentum;
        if (random_.chance(splitting_probability * modelling_.splitting)) {
            const double share = random_.log_uniform(0.1, 0.5);
            const double angle = random_.log_uniform(0.25, 1.2), azimuth = random_.uniform(-pi, pi);
            const Momentum gluon =
                from_cylindrical(share * quark.momentum.Pt(), quark.momentum.Eta() + angle * std::cos(azimuth),
                                 quark.momentum.Phi() + angle * std::sin(azimuth), 0);
            add(gluon, pdg::gluon, index, status::showered, flag::copy | flag::first_copy | flag::last_copy);
            fragment(gluon, pdg::gluon);
            const auto rest = quark.momentum.Vect() - gluon.Vect();
            remainder = Momentum(rest.X(), rest.Y(), rest.Z(), std::hypot(rest.R(), draw_mass(quark.id)));
        }
        add(remainder, quark.id, index, status::showered, flag::copy | flag::last_copy);
        fragment(remainder, quark.id);
    }

    /// The hadrons of a parton, of which a neutrino may take a share if it is a b quark.
    void fragment(const Momentum& parton, int id) {
        double share = random_.normal(fragmentation_share * modelling_.fragmentation, fragmentation_spread);
        if (std::abs(id) == pdg::b && random_.chance(semileptonic_b)) {
            const double lepton_share = random_.uniform(0.03, 0.30);
            share -= random_.uniform(0.03, 0.30);
            const int kind = random_.chance(0.5) ? pdg::electron : pdg::muon;
            reconstruct_lepton(lepton_share * smeared(parton, fragmentation_angle), kind, LeptonSource::b);
        }
        const double pt = share * parton.Pt();
        const double mass = 0.3 * std::pow(pt, 0.82) * std::exp(random_.normal(0, 0.25));
        const Momentum direction = smeared(parton, fragmentation_angle);
        event_.visible.push_back({from_cylindrical(pt, direction.Eta(), direction.Phi(), mass), id});
    }

    /// A massless momentum of about the same direction.
    Momentum smeared(const Momentum& momentum, double angle) {
        const double eta = random_.normal(momentum.Eta(), angle);
        const double phi = random_.normal(momentum.Phi(), angle);
        return from_cylindrical(momentum.Pt(), eta, phi, 0);
    }

    /// Jets of particles: around the hardest first.
    void cluster() {
        const auto harder = [](const auto& one, const auto& other) { return one.momentum.Pt() > other.momentum.Pt(); };
        std::sort(event_.visible.begin(), event_.visible.end(), harder);
        for (const Visible& part : event_.visible) {
            const bool parton = std::abs(part.id) < pdg::top || part.id == pdg::gluon;
            const int heavy = std::abs(part.id) == 4 || std::abs(part.id) == 5 ? std::abs(part.id) : 0;
            const auto jet = std::find_if(event_.gen_jets.begin(), event_.gen_jets.end(), [&](const GenJet& seed) {
                return ROOT::Math::VectorUtil::DeltaR(seed.momentum, part.momentum) < jet_radius;
            });
            if (jet == event_.gen_jets.end()) {
                event_.gen_jets.push_back({part.momentum, parton ? part.id : 0, heavy, part.id});
                continue;
            }
            jet->momentum += part.momentum;
            jet->hadron_flavour = std::max(jet->hadron_flavour, heavy);
            if (jet->parton_flavour == 0 && parton)
                jet->parton_flavour = part.id;
        }
        const auto soft = [](const GenJet& jet) { return jet.momentum.Pt() < gen_jet_min_pt; };
        event_.gen_jets.erase(std::remove_if(event_.gen_jets.begin(), event_.gen_jets.end(), soft),
                              event_.gen_jets.end());
        std::sort(event_.gen_jets.begin(), event_.gen_jets.end(), harder);
    }

    void reconstruct_jets() {
        for (const GenJet& truth : event_.gen_jets) {
            const double true_pt = truth.momentum.Pt();
            double pt, mass;
            if (truth.parton_flavour != 0) {
                // noise, sampling and constant term
                const double resolution = std::hypot(4 / true_pt, 0.7 / std::sqrt(true_pt), 0.05);
                const double response = std::max(0.1, random_.normal(jet_response, resolution));
                pt = response * true_pt;
                mass = response * truth.momentum.M() * random_.normal(1, 0.12);
                if (random_.chance(electron_from_jet))
                    reconstruct_lepton(random_.uniform(0.1, 0.5) * truth.momentum, pdg::electron, LeptonSource::jet);
            } else {
                // Leptons are jets as well, with some energy of other particles around them.
                pt = random_.normal(1.06, 0.04) * true_pt + random_.exponential(4);
                mass = random_.exponential(3);
            }
            const Momentum direction = smeared(truth.momentum, jet_angle);
            add_jet(pt, direction.Eta(), direction.Phi(), mass, truth);
        }
        const int n_pileup = random_.geometric(pileup_jets);
        for (int i = 0; i < n_pileup; ++i) {
            const double pt = falling(jet_min_pt, pileup_pt_exponent);
            const double eta = random_.uniform(-4.7, 4.7), phi = random_.uniform(-pi, pi);
            add_jet(pt, eta, phi, random_.normal(4, 1), {Momentum(), pdg::gluon, 0, 0});
        }
    }

    void add_jet(double pt, double eta, double phi, double mass, const GenJet& truth) {
        if (pt > jet_min_pt && std::abs(eta) < jet_max_eta)
            event_.jets.push_back({pt, eta, phi, mass, btag(eta, truth), truth.hardest});
    }

    double btag(double eta, const GenJet& truth) {
        const TagShape& shape = truth.hadron_flavour == 5   ? b_shape
                                : truth.hadron_flavour == 4 ? c_shape
                                : truth.parton_flavour == 0 ? lepton_shape
                                                            : light_shape;
        if (std::abs(eta) > tracker_eta || random_.chance(shape.without_score))
            return random_.chance(0.02) ? -1 : -10;
        if (random_.chance(shape.tagged))
            return 0.5 + 0.5 * std::pow(random_.uniform(), shape.power_above);
        return 0.04 + 0.46 * std::pow(random_.uniform(), shape.power_below);
    }

    void reconstruct_lepton(const Momentum& truth, int id, LeptonSource source) {
        const bool is_electron = std::abs(id) == pdg::electron;
        const LeptonReconstruction& how = is_electron ? electron_reconstruction : muon_reconstruction;
        const double pt = truth.Pt() * random_.normal(1, how.resolution);
        if (pt < how.min_pt || std::abs(truth.Eta()) > how.max_eta || !random_.chance(how.efficiency))
            return;
        // An electron's mass is what rounding leaves of it in the arithmetic of the reconstruction.
        const double mass = is_electron ? random_.normal(-0.002, 0.02) : 0.10571;
        const ReconstructedLepton lepton{pt, truth.Eta(), truth.Phi(), mass, source};
        if (is_electron)
            event_.electrons.push_back({lepton});
        else
            event_.muons.push_back({lepton});
    }

    void identify() {
        for (Electron& electron : event_.electrons) {
            const ElectronShape& shape = electron_shapes[static_cast<int>(electron.source)];
            electron.sip3d = draw_sip3d(electron_sip3d, shape.displaced);
            const double u = identification_.uniform();
            electron.cut_based = static_cast<int>(
                std::count_if(shape.passing.begin(), shape.passing.end(), [u](double share) { return u < share; }));
        }
        for (Muon& muon : event_.muons) {
            const MuonShape& shape = muon_shapes[static_cast<int>(muon.source)];
            muon.sip3d = draw_sip3d(muon_sip3d, shape.displaced);
            muon.tight = identification_.chance(shape.tight);
            muon.isolation =
                identification_.chance(shape.alone) ? 0 : identification_.exponential(shape.mean_isolation);
        }
        for (Jet& jet : event_.jets) {
            const JetShape& shape = jet_shape(jet);
            const double u = identification_.uniform();
            jet.id = u < shape.not_tight ? 0 : u < shape.not_tight + shape.vetoed ? 2 : 6;
            jet.qgl = draw_qgl(shape, jet.pt);
        }
    }

    double draw_sip3d(double mean, double displaced) {
        if (identification_.chance(displaced))
            return identification_.log_uniform(min_displaced_sip3d, max_displaced_sip3d);
        return identification_.exponential(mean) + identification_.exponential(mean);
    }

    const JetShape& jet_shape(const Jet& jet) {
        if (std::abs(jet.eta) > tracker_eta)
            return forward_jet_shape;
        switch (std::abs(jet.hardest)) {
        case 0:
            return pileup_jet_shape;
        case pdg::b:
            return b_jet_shape;
        case pdg::gluon:
            return gluon_jet_shape;
        case pdg::electron:
        case pdg::muon:
            return lepton_jet_shape;
        default: // other quarks, and tau leptons, which are as narrow
            return quark_jet_shape;
        }
    }

    double draw_qgl(const JetShape& shape, double pt) {
        if (pt < qgl_min_pt || identification_.chance(shape.without_qgl))
            return -1;
        if (identification_.chance(shape.quark_like))
            return 1 - std::pow(identification_.uniform(), quark_power);
        return std::pow(identification_.uniform(), gluon_power);
    }

    const Process& process_;
    const Modelling& modelling_;
    Random random_, identification_;
    Event& event_;
    std::size_t n_radiated_ = 0;
    std::array<double, max_radiated_jets> radiated_pt_{};
};

} // namespace

bool generate(const Sample& sample, std::uint64_t seed, std::uint64_t number, Event& event) {
    return Generator(sample, seed, number, event).run();
}

} // namespace ttbar::simulation
