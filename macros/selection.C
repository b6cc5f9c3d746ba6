/// A selection of one's own, with the helpers: one identified muon, four hard jets, two b-tags. From any folder:
///
///     root -l -b -q 'macros/selection.C("events.root")'
#include "events.hpp"

#include <TCanvas.h>
#include <TH1D.h>

int selection(const std::string& file = "", const char* picture = "selection.png") {
    auto events =
        ROOT::RDataFrame("Events", events_in(file))
            .Define("muons", "ttbar::select_muons(Muon_pt, Muon_eta, Muon_tightId, Muon_sip3d, Muon_pfRelIso04_all, "
                             "35., 2.4, 4., 0.15)")
            .Filter("muons.size() == 1 && ttbar::count_above(Electron_pt, 20.) == 0", "one muon")
            .Define("jet_scale", "ttbar::uniform_jet_scale(Jet_pt, 1.)")
            .Define("jets", "ttbar::select_jets(Jet_pt, jet_scale, Jet_eta, Jet_jetId, 40., 2.4, 1)")
            .Filter("jets.size() >= 4", "four jets")
            .Filter("ttbar::count_above(Jet_btagCSVV2, jets, 0.8) >= 2", "two b-tags")
            .Define("h_t", "ttbar::scalar_sum(Jet_pt, jet_scale, jets)")
            .Define("trijet", "ttbar::trijet(Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets, 0.8)")
            .Define("m_bjj", "trijet.mass")
            .Define("tagged", "Sum(Take(Jet_btagCSVV2, ROOT::RVecI(trijet.jets.begin(), trijet.jets.end())) > 0.8f)");
    auto plane = events.Histo2D({"plane", ";H_{T} [GeV];m_{bjj} [GeV]", 30, 100, 700, 30, 0, 600}, "h_t", "m_bjj");
    auto tagged = events.Histo1D({"tagged", ";b-tags in the trijet;events", 4, -0.5, 3.5}, "tagged");

    TCanvas canvas("canvas", "", 900, 400);
    canvas.Divide(2, 1);
    canvas.cd(1);
    plane->SetStats(false);
    plane->Draw("colz");
    canvas.cd(2);
    tagged->SetStats(false);
    tagged->Draw("hist");
    canvas.SaveAs(picture);
    events.Report()->Print();
    return 0;
}
