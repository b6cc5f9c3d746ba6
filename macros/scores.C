/// The scores of all permutations, and of the best one, by any model of agc-v1 or agc-v2. From any folder:
///
///     root -l -b -q 'macros/scores.C("model.json", "events.root")'
#include "events.hpp"

#include <TCanvas.h>
#include <TH1D.h>

int scores(const std::string& model = shipped_model, const std::string& file = "", const char* picture = "scores.png") {
    auto events = selected(file, model).Filter("ttbar::count_above(Jet_btagCSVV2, jets, 0.5) >= 2");
    const auto& forest = ttbar::model(0);
    if (forest.n_features() == ttbar::agc_v2::feature_names.size()) {
        ttbar::require_features(forest, {ttbar::agc_v2::feature_names.begin(), ttbar::agc_v2::feature_names.end()});
        events = events
                     .Define("candidates", "ttbar::agc_v2::candidates_of(Jet_pt, jet_scale, Jet_eta, Jet_phi, "
                                           "Jet_mass, Jet_btagCSVV2, Jet_qgl, jets, lepton)")
                     .Define("rows", "ttbar::agc_v2::permutation_features(candidates)");
    } else {
        ttbar::require_features(forest, {ttbar::feature_names.begin(), ttbar::feature_names.end()});
        events = events.Define("rows", "features");
    }
    events = events.Define("scores", "ttbar::permutation_scores(ttbar::model(0), rows)")
                 .Define("best_score", "ttbar::best_scored_permutation(ttbar::model(0), rows).score");
    auto all = events.Histo1D({"all", "all permutations;score;number", 50, 0, 1}, "scores");
    auto best = events.Histo1D({"best", "the best one;score;number", 50, 0, 1}, "best_score");

    TCanvas canvas("canvas", "", 600, 450);
    canvas.SetLogy();
    all->SetStats(false);
    all->Draw("hist");
    best->SetLineColor(kRed + 1);
    best->Draw("hist same");
    canvas.BuildLegend(0.65, 0.75, 0.88, 0.88);
    all->SetTitle("");
    canvas.SaveAs(picture);
    std::cout << "the best of " << all->GetEntries() / best->GetEntries() << " scores " << best->GetMean() << "\n";
    return 0;
}
