/// The histograms of agc-v1 of one sample, as `ttbar run` writes them. From any folder, e.g. of 10000 generated events:
///
///     root -l -b -q 'macros/histograms.C("events.root", "wjets", 15487.164, 10000)'
#include "events.hpp"

#include <TCanvas.h>
#include <TFile.h>

int histograms(const std::string& file = "", const std::string& process = "ttbar", double cross_section = 729.84,
               double generated = 10000, const char* output = "histograms.root",
               const char* picture = "histograms.png") {
    auto events =
        selected(file)
            .Define("deltaR", "ttbar::w_jets_delta_phi(Jet_phi, jets, best.index)")
            .Define("m_bjj", "ttbar::trijet_mass(Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagCSVV2, jets, 0.5)")
            .Define("h_t", "ttbar::scalar_sum(Jet_pt, jet_scale, jets)")
            .Define("weight", "1.")
            .Vary("weight", "ttbar::varied_weights(weight, ttbar::btag_weights(Jet_pt, jets, 4, 0.0015))",
                  {"0_up", "0_down", "1_up", "1_down", "2_up", "2_down", "3_up", "3_down"}, "btag_var");
    const auto book = [&](const char* observable, const char* condition) {
        const ROOT::RDF::TH2DModel model("", ";[GeV];#Delta#phi", 25, 50, 550, 25, 0, TMath::TwoPi());
        auto nominal = events.Filter(condition).Histo2D(model, observable, "deltaR", "weight");
        return ROOT::RDF::Experimental::VariationsFor(nominal);
    };
    std::map regions{std::pair{"4j1b", book("h_t", "ttbar::count_at_least(Jet_btagCSVV2, jets, 0.5) == 1")},
                     {"4j2b", book("m_bjj", "ttbar::count_above(Jet_btagCSVV2, jets, 0.5) >= 2")}};
    TFile results(output, "RECREATE");
    for (auto& [region, all] : regions)
        for (const auto& key : all.GetKeys()) { // such as nominal, jet_energy:pt_scale_up, btag_var:0_up
            const auto name = region + ("_" + process) + (key == "nominal" ? "" : "_" + key);
            all[key].Scale(3378. * cross_section / generated);
            results.WriteObject(&all[key], TString(name).ReplaceAll("jet_energy:", "").ReplaceAll(":", "_"));
        }
    TCanvas canvas("canvas", "", 600, 450);
    regions.at("4j2b")["nominal"].SetStats(false);
    regions.at("4j2b")["nominal"].Draw("colz");
    canvas.SaveAs(picture);
    return 0;
}
