/// What the macros have in common: the library, the model, and the selection of agc-v1.
#pragma once
#include "load.C"

#include <ROOT/RDataFrame.hxx>
#include <TSystem.h>

#include <cstdlib>
#include <string>

/// The model that comes with the macros.
const std::string shipped_model = std::string(gSystem->GetDirName(__FILE__)) + "/../models/jet_assignment.json";

/// @return the file, or simulated top pairs where it has no name, which are there until ROOT ends
std::string events_in(const std::string& file) {
    if (!file.empty())
        return file;
    static const std::string toy = Form("%s/ttbar_macro_%d.root", gSystem->TempDirectory(), gSystem->GetPid());
    std::atexit([] { gSystem->Unlink(toy.c_str()); });
    ttbar::simulate(toy, {"ttbar__nominal", 10000});
    return toy;
}

/// @return the events of agc-v1 with one lepton and four jets, also in the universes of jet energies, with the best
///         permutation according to a model
ROOT::RDF::RNode selected(const std::string& file, const std::string& model = shipped_model) {
    ttbar::load_models({model});
    return ROOT::RDataFrame("Events", events_in(file))
        .Filter("ttbar::count_above(Electron_pt, 30.) + ttbar::count_above(Muon_pt, 30.) == 1")
        .Define("jet_scale", "ttbar::uniform_jet_scale(Jet_pt, 1.)")
        .Vary("jet_scale", "ttbar::varied_jet_scales(Jet_pt, run, luminosityBlock, event, 1.03, 0.05, 1)",
              {"pt_scale_up", "pt_res_up"}, "jet_energy")
        .Define("jets", "ttbar::select_jets(Jet_pt, jet_scale, 30.)")
        .Filter("jets.size() >= 4")
        .Define("lepton", "ttbar::first_lepton(Electron_pt, Electron_eta, Electron_phi, Electron_mass, Muon_pt, "
                          "Muon_eta, Muon_phi, Muon_mass, 30.)")
        .Define("features", "ttbar::permutation_features(Jet_pt, Jet_eta, Jet_phi, Jet_mass, jets, lepton)")
        .Define("best", "ttbar::best_scored_permutation(ttbar::model(0), features)");
}
