/// The analysis in a ROOT macro: the same helpers, on any NanoAOD file. From the top of a checkout:
///
///     .venv/bin/root -l -b -q 'macros/example.C("events.root")'
///
/// Without an argument it simulates some top pairs first.
#pragma cling add_include_path("cpp/include")
#pragma cling load("build/libttbar.so")

#include "ttbar/jet_assignment.hpp"
#include "ttbar/jet_energy.hpp"
#include "ttbar/models.hpp"
#include "ttbar/observables.hpp"
#include "ttbar/selection.hpp"
#include "ttbar/simulation.hpp"

int example(std::string file = "", const char* picture = "example.png") {
    if (file.empty()) {
        file = TString::Format("%s/ttbar_example_%d.root", gSystem->TempDirectory(), gSystem->GetPid());
        ttbar::simulate(file, {"ttbar__nominal", 10000});
    } else if (gSystem->AccessPathName(file.c_str())) { // true means that it is not there
        std::cerr << "error: " << file << " is not there, give a NanoAOD file\n";
        return 3;
    }
    ttbar::load_models({"models/jet_assignment.json"});

    auto events =
        ROOT::RDataFrame("Events", file)
            .Filter("ttbar::count_above(Electron_pt, 30.) + ttbar::count_above(Muon_pt, 30.) == 1")
            .Define("jet_scale", "ttbar::uniform_jet_scale(Jet_pt, 1.)")
            .Define("jets", "ttbar::select_jets(Jet_pt, jet_scale, 30.)")
            .Filter("jets.size() >= 4")
            .Define("lepton", "ttbar::first_lepton(Electron_pt, Electron_eta, Electron_phi, Electron_mass, "
                              "Muon_pt, Muon_eta, Muon_phi, Muon_mass, 30.)")
            .Define("features", "ttbar::permutation_features(Jet_pt, Jet_eta, Jet_phi, Jet_mass, jets, lepton)")
            .Define("permutation", "ttbar::best_permutation(ttbar::model(0), features)")
            .Define("deltaR", "ttbar::w_jets_delta_phi(Jet_phi, jets, permutation)");

    auto h_t = events.Filter("ttbar::count_at_least(Jet_btagCSVV2, jets, 0.5) == 1")
                   .Define("observable", "ttbar::scalar_sum(Jet_pt, jet_scale, jets)")
                   .Histo2D({"4j1b", "4j1b;H_{T} [GeV];#Delta#phi of the W's jets", 25, 50, 550, 25, 0, TMath::TwoPi()},
                            "observable", "deltaR");
    auto m_bjj =
        events.Filter("ttbar::count_above(Jet_btagCSVV2, jets, 0.5) >= 2")
            .Define("observable", "ttbar::trijet_mass(Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets, 0.5)")
            .Histo2D({"4j2b", "4j2b;m_{bjj} [GeV];#Delta#phi of the W's jets", 25, 50, 550, 25, 0, TMath::TwoPi()},
                     "observable", "deltaR");

    TCanvas canvas("canvas", "", 1200, 500);
    canvas.Divide(2, 1);
    canvas.cd(1);
    h_t->DrawCopy("colz");
    canvas.cd(2);
    m_bjj->DrawCopy("colz");
    canvas.SaveAs(picture);
    std::cout << "4j1b: " << h_t->GetEntries() << " events, 4j2b: " << m_bjj->GetEntries() << " events\n";
    return 0;
}
