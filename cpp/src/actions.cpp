#include "ttbar/actions.hpp"

#include <ROOT/RDFHelpers.hxx>

#include <atomic>

namespace ttbar {

ROOT::RDF::RResultPtr<ULong64_t> count(ROOT::RDF::RNode node) {
    return node.Count();
}

ROOT::RDF::RResultPtr<TH2D> histogram(ROOT::RDF::RNode node, const ROOT::RDF::TH2DModel& model, const std::string& x,
                                      const std::string& y, const std::string& weight) {
    return node.Histo2D<double, double, double>(model, x, y, weight);
}

ROOT::RDF::RResultPtr<std::vector<MatchedEvent>> take(ROOT::RDF::RNode node, const std::string& column) {
    return node.Take<MatchedEvent>(column);
}

ROOT::RDF::Experimental::RResultMap<ULong64_t> variations(ROOT::RDF::RResultPtr<ULong64_t> result) {
    return ROOT::RDF::Experimental::VariationsFor(result);
}

ROOT::RDF::Experimental::RResultMap<TH2D> variations(ROOT::RDF::RResultPtr<TH2D> result) {
    return ROOT::RDF::Experimental::VariationsFor(result);
}

void report_progress(ROOT::RDF::RResultPtr<ULong64_t> events, std::uintptr_t address) {
    static_assert(sizeof(std::atomic<std::uint64_t>) == sizeof(std::uint64_t));
    constexpr ULong64_t step = 1000;
    auto* progress = reinterpret_cast<std::atomic<std::uint64_t>*>(address);
    events.OnPartialResultSlot(step, [progress](unsigned int, ULong64_t&) { *progress += step; });
}

} // namespace ttbar
