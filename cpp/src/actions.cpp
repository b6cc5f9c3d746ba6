#include "ttbar/actions.hpp"

#include <ROOT/RDF/RActionImpl.hxx>
#include <ROOT/RDF/RSampleInfo.hxx>
#include <ROOT/RDFHelpers.hxx>

#include <atomic>
#include <memory>
#include <utility>

namespace ttbar {

namespace {

/// Counts events by the file that they are in.
class FileCounter : public ROOT::Detail::RDF::RActionImpl<FileCounter> {
  public:
    using Result_t = std::map<std::string, ULong64_t>;

    explicit FileCounter(unsigned int slots) : slots_(slots), total_(std::make_shared<Result_t>()) {}

    std::shared_ptr<Result_t> GetResultPtr() const { return total_; }
    void Initialize() {}
    void InitTask(TTreeReader* /*reader*/, unsigned int /*slot*/) {}
    void Exec(unsigned int slot) { ++*slots_[slot].current; }
    void Finalize() {
        for (const auto& slot : slots_)
            for (const auto& [file, events] : slot.events)
                (*total_)[file] += events;
    }
    std::string GetActionName() const { return "CountByFile"; }
    ROOT::RDF::SampleCallback_t GetSampleCallback() final {
        return [this](unsigned int slot, const ROOT::RDF::RSampleInfo& file) {
            slots_[slot].current = &slots_[slot].events[file.AsString()];
        };
    }

  private:
    struct alignas(64) Slot { // a cache line of its own
        Result_t events;
        ULong64_t* current = nullptr;
    };
    std::vector<Slot> slots_;
    std::shared_ptr<Result_t> total_;
};

} // namespace

ROOT::RDF::RResultPtr<ULong64_t> count(ROOT::RDF::RNode node) {
    return node.Count();
}

ROOT::RDF::RResultPtr<ULong64_t> count_different(ROOT::RDF::RNode node, const std::string& a, const std::string& b) {
    return node.Filter([](std::uint64_t x, std::uint64_t y) { return x != y; }, {a, b}).Count();
}

ROOT::RDF::RResultPtr<std::map<std::string, ULong64_t>> count_by_file(ROOT::RDF::RNode node) {
    return node.Book<>(FileCounter(node.GetNSlots()));
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
