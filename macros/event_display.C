/// The first selected event: its jets in pseudorapidity and azimuth, as the BDT assigns them. From any folder:
///
///     root -l -b -q 'macros/event_display.C("events.root")'
#include "events.hpp"

#include <TCanvas.h>
#include <TEllipse.h>
#include <TLatex.h>
#include <TMarker.h>

int event_display(const std::string& file = "", const char* picture = "event_display.png") {
    TCanvas canvas("canvas", "", 600, 600);
    canvas.DrawFrame(-5, -3.5, 5, 3.5, ";#eta;#phi");
    const auto draw = [](ULong64_t event, const ROOT::RVecF& pt, const ROOT::RVecF& eta, const ROOT::RVecF& phi,
                         const ROOT::RVecI& jets, const ttbar::Lepton& lepton, const ttbar::ScoredPermutation& best) {
        const char* const names[] = {"W", "W", "b_{had}", "b_{lep}", "jet"};
        const int colours[] = {kRed, kRed, kBlue, kGreen + 2, kGray};
        for (int i = 0; i < static_cast<int>(jets.size()); ++i) {
            const auto& assigned = ttbar::permutations[best.index];
            const auto role = std::find(assigned.begin(), assigned.end(), i) - assigned.begin();
            auto* cone = new TEllipse(eta[jets[i]], phi[jets[i]], 0.4); // the canvas owns it
            cone->SetFillColorAlpha(colours[role], 0.4);
            cone->Draw();
            TLatex().DrawLatex(eta[jets[i]] + 0.5, phi[jets[i]], Form("%s, %.0f GeV", names[role], pt[jets[i]]));
        }
        (new TMarker(lepton.eta, lepton.phi, kFullStar))->Draw();
        TLatex().DrawLatex(lepton.eta + 0.2, lepton.phi, Form("lepton, %.0f GeV", lepton.pt));
        std::cout << "event " << event << ": the assignment scores " << best.score << "\n";
    };
    auto events = selected(file).Filter("ttbar::count_above(Jet_btagCSVV2, jets, 0.5) >= 2").Range(1);
    events.Foreach(draw, {"event", "Jet_pt", "Jet_eta", "Jet_phi", "jets", "lepton", "best"});
    canvas.SaveAs(picture);
    return 0;
}
