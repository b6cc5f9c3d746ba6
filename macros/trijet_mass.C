/// The mass of the hadronic top in two ways: of the trijet, and of the jets that the BDT assigns to it. From any folder:
///
///     root -l -b -q 'macros/trijet_mass.C("events.root")'
///
/// Without a file it simulates some top pairs, as all these macros do.
#include "events.hpp"

#include <TCanvas.h>
#include <TH1D.h>

int trijet_mass(const std::string& file = "", const char* picture = "trijet_mass.png") {
    auto events = selected(file)
                      .Filter("ttbar::count_above(Jet_btagCSVV2, jets, 0.5) >= 2")
                      .Define("bjj", "ttbar::trijet_mass(Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets, 0.5)")
                      .Define("permutation", "ttbar::permutations[best.index]")
                      .Define("hadronic", "Take(jets, ROOT::RVecI{permutation[0], permutation[1], permutation[2]})")
                      .Define("assigned", "InvariantMass(Take(Jet_pt, hadronic), Take(Jet_eta, hadronic), "
                                          "Take(Jet_phi, hadronic), Take(Jet_mass, hadronic))");
    auto bjj = events.Histo1D({"bjj", "trijet;m [GeV];events", 25, 50, 550}, "bjj");
    auto assigned = events.Histo1D({"assigned", "BDT;m [GeV];events", 25, 50, 550}, "assigned");

    TCanvas canvas("canvas", "", 600, 450);
    assigned->SetStats(false);
    assigned->SetLineColor(kRed + 1);
    assigned->Draw("hist");
    bjj->Draw("hist same");
    canvas.BuildLegend(0.65, 0.75, 0.88, 0.88);
    assigned->SetTitle("");
    canvas.SaveAs(picture);
    std::cout << bjj->GetEntries() << " events, on average " << bjj->GetMean() << " GeV of the trijet and "
              << assigned->GetMean() << " GeV of the BDT's jets\n";
    return 0;
}
