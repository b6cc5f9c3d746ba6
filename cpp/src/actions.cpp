#include "ttbar/actions.hpp"

#include <ROOT/RDF/RActionImpl.hxx>
#include <ROOT/RDF/RSampleInfo.hxx>
#include <ROOT/RDFHelpers.hxx>

#include <ROOT/RVec.hxx>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
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

/// @return number of the bin as TAxis::FindBin gives it
std::size_t find_bin(const RegularAxis& axis, double x) {
    if (x < axis.low)
        return 0;
    if (!(x < axis.high))
        return static_cast<std::size_t>(axis.bins) + 1;
    return 1 + static_cast<std::size_t>(axis.bins * (x - axis.low) / (axis.high - axis.low));
}

/// Give bins their size.
template <std::size_t N>
void resize(Bins& bins, const std::array<RegularAxis, N>& axes) {
    std::size_t size = 1;
    for (const auto& axis : axes)
        size *= static_cast<std::size_t>(axis.bins) + 2;
    bins.values.resize(size);
    bins.variances.resize(size);
}

/// Fill an event into bins.
template <std::size_t N>
void fill(Bins& bins, const std::array<RegularAxis, N>& axes, const std::array<double, N>& position, double weight) {
    bool finite = std::isfinite(weight), outside = false;
    std::size_t bin = 0, stride = 1;
    for (std::size_t i = 0; i < N; ++i) {
        const std::size_t along = find_bin(axes[i], position[i]), overflow = static_cast<std::size_t>(axes[i].bins) + 1;
        finite &= std::isfinite(position[i]);
        outside |= !axes[i].flow && (along == 0 || along == overflow);
        bin += stride * along;
        stride *= overflow + 1;
    }
    if (!finite || outside) {
        ++(finite ? bins.outside : bins.not_finite);
        return;
    }
    ++bins.entries;
    bins.values[bin] += weight;
    bins.variances[bin] += weight * weight;
}

/// Add the contents of bins to others of the same size.
void add(const Bins& bins, Bins& total) {
    const auto add_values = [](const std::vector<double>& values, std::vector<double>& sums) {
        std::transform(values.begin(), values.end(), sums.begin(), sums.begin(), std::plus<>());
    };
    add_values(bins.values, total.values);
    add_values(bins.variances, total.variances);
    total.entries += bins.entries;
    total.outside += bins.outside;
    total.not_finite += bins.not_finite;
}

/// Fills a histogram. Unlike ROOT's, it tells what is not finite, and makes no objects that ROOT registers.
template <std::size_t N>
class Filler : public ROOT::Detail::RDF::RActionImpl<Filler<N>> {
  public:
    using Result_t = Bins;

    Filler(const std::array<RegularAxis, N>& axes, unsigned int slots)
        : axes_(axes), slots_(slots), total_(std::make_shared<Bins>()) {}

    Filler MakeNew(void* result, std::string_view /*variation*/) {
        Filler other(axes_, static_cast<unsigned int>(slots_.size()));
        other.total_ = *static_cast<std::shared_ptr<Bins>*>(result);
        return other;
    }

    std::shared_ptr<Bins> GetResultPtr() const { return total_; }
    void Initialize() {
        for (auto& slot : slots_)
            resize(slot.bins, axes_);
    }
    void InitTask(TTreeReader* /*reader*/, unsigned int /*slot*/) {}

    void Exec(unsigned int slot, double x, double weight) { fill(slots_[slot].bins, axes_, {x}, weight); }
    void Exec(unsigned int slot, double x, double y, double weight) { fill(slots_[slot].bins, axes_, {x, y}, weight); }

    void Finalize() {
        resize(*total_, axes_);
        for (const auto& slot : slots_)
            add(slot.bins, *total_);
    }
    std::string GetActionName() const { return "Histogram"; }

  private:
    struct alignas(64) Slot { // a cache line of its own
        Bins bins;
    };

    std::array<RegularAxis, N> axes_;
    std::vector<Slot> slots_;
    std::shared_ptr<Bins> total_;
};

/// An axis, and the element of a vector that is filled along it.
struct ElementAxis {
    std::size_t element;
    std::array<RegularAxis, 1> axis;
};

/// Fills histograms of elements of a vector.
class VectorFiller : public ROOT::Detail::RDF::RActionImpl<VectorFiller> {
  public:
    using Result_t = std::vector<Bins>;

    VectorFiller(const std::vector<ElementAxis>& axes, unsigned int slots)
        : axes_(axes), slots_(slots), total_(std::make_shared<Result_t>()) {}

    VectorFiller MakeNew(void* result, std::string_view /*variation*/) {
        VectorFiller other(axes_, static_cast<unsigned int>(slots_.size()));
        other.total_ = *static_cast<std::shared_ptr<Result_t>*>(result);
        return other;
    }

    std::shared_ptr<Result_t> GetResultPtr() const { return total_; }
    void Initialize() {
        for (auto& slot : slots_)
            resize_all(slot.histograms);
    }
    void InitTask(TTreeReader* /*reader*/, unsigned int /*slot*/) {}
    void Exec(unsigned int slot, const ROOT::RVecD& values, double weight) {
        for (std::size_t i = 0; i < axes_.size(); ++i)
            fill(slots_[slot].histograms[i], axes_[i].axis, {values.at(axes_[i].element)}, weight);
    }
    void Finalize() {
        resize_all(*total_);
        for (const auto& slot : slots_)
            for (std::size_t i = 0; i < axes_.size(); ++i)
                add(slot.histograms[i], (*total_)[i]);
    }
    std::string GetActionName() const { return "Histograms"; }

  private:
    struct alignas(64) Slot { // a cache line of its own
        Result_t histograms;
    };

    void resize_all(Result_t& histograms) const {
        histograms.resize(axes_.size());
        for (std::size_t i = 0; i < axes_.size(); ++i)
            resize(histograms[i], axes_[i].axis);
    }

    std::vector<ElementAxis> axes_;
    std::vector<Slot> slots_;
    std::shared_ptr<Result_t> total_;
};

/// Counts events with values that are not finite.
class NotFiniteCounter : public ROOT::Detail::RDF::RActionImpl<NotFiniteCounter> {
  public:
    using Result_t = ULong64_t;
    static constexpr std::size_t max_columns = 16;

    explicit NotFiniteCounter(unsigned int slots) : slots_(slots), total_(std::make_shared<ULong64_t>()) {}

    std::shared_ptr<ULong64_t> GetResultPtr() const { return total_; }
    void Initialize() {}
    void InitTask(TTreeReader* /*reader*/, unsigned int /*slot*/) {}
    template <typename... Columns>
    void Exec(unsigned int slot, const Columns&... columns) {
        slots_[slot].events += (... || !all_finite(columns));
    }
    void Finalize() {
        for (const auto& slot : slots_)
            *total_ += slot.events;
    }
    std::string GetActionName() const { return "CountNotFinite"; }

    /// Book it for a number of columns that is only known now.
    template <std::size_t... Numbers>
    static ROOT::RDF::RResultPtr<ULong64_t> book(ROOT::RDF::RNode& node, const std::vector<std::string>& columns,
                                                 std::index_sequence<Numbers...> /*numbers*/) {
        std::optional<ROOT::RDF::RResultPtr<ULong64_t>> booked;
        (void)(... || (columns.size() == Numbers + 1 &&
                       (booked = book_number(node, columns, std::make_index_sequence<Numbers + 1>()), true)));
        if (!booked)
            throw std::invalid_argument("ttbar::count_not_finite: 1 to " + std::to_string(max_columns) +
                                        " columns are needed");
        return *booked;
    }

  private:
    struct alignas(64) Slot { // a cache line of its own
        ULong64_t events = 0;
    };

    /// A float times zero is zero, unless it is infinite or not a number.
    static bool all_finite(const ROOT::RVecF& values) {
        float sum = 0;
        for (const float value : values)
            sum += value * 0.F;
        return sum == 0.F;
    }

    template <std::size_t>
    using Column = ROOT::RVecF;

    template <std::size_t... Indices>
    static ROOT::RDF::RResultPtr<ULong64_t> book_number(ROOT::RDF::RNode& node, const std::vector<std::string>& columns,
                                                        std::index_sequence<Indices...> /*indices*/) {
        return node.Book<Column<Indices>...>(NotFiniteCounter(node.GetNSlots()), columns);
    }

    std::vector<Slot> slots_;
    std::shared_ptr<ULong64_t> total_;
};

/// Gathers events.
class Taker : public ROOT::Detail::RDF::RActionImpl<Taker> {
  public:
    using Result_t = MatchedEvents;

    explicit Taker(unsigned int slots) : slots_(slots), all_(std::make_shared<MatchedEvents>()) {}

    std::shared_ptr<MatchedEvents> GetResultPtr() const { return all_; }
    void Initialize() {}
    void InitTask(TTreeReader* /*reader*/, unsigned int /*slot*/) {}
    void Exec(unsigned int slot, const MatchedEvent& event) { slots_[slot].events.add(event); }
    void Finalize() {
        for (const auto& slot : slots_)
            all_->add(slot.events);
    }
    std::string GetActionName() const { return "Take"; }

  private:
    struct alignas(64) Slot { // cache lines of its own
        MatchedEvents events;
    };
    std::vector<Slot> slots_;
    std::shared_ptr<MatchedEvents> all_;
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

ROOT::RDF::RResultPtr<Bins> histogram(ROOT::RDF::RNode node, const RegularAxis& axis, const std::string& column,
                                      const std::string& weight) {
    return node.Book<double, double>(Filler<1>({axis}, node.GetNSlots()), {column, weight});
}

ROOT::RDF::RResultPtr<Bins> histogram(ROOT::RDF::RNode node, const RegularAxis& x_axis, const std::string& x_column,
                                      const RegularAxis& y_axis, const std::string& y_column,
                                      const std::string& weight) {
    return node.Book<double, double, double>(Filler<2>({x_axis, y_axis}, node.GetNSlots()),
                                             {x_column, y_column, weight});
}

ROOT::RDF::RResultPtr<std::vector<Bins>> histograms(ROOT::RDF::RNode node, const std::vector<RegularAxis>& axes,
                                                    const std::string& column, const std::vector<std::size_t>& elements,
                                                    const std::string& weight) {
    std::vector<ElementAxis> of_elements;
    of_elements.reserve(axes.size());
    for (std::size_t i = 0; i < axes.size(); ++i)
        of_elements.push_back({elements.at(i), {axes[i]}});
    return node.Book<ROOT::RVecD, double>(VectorFiller(of_elements, node.GetNSlots()), {column, weight});
}

ROOT::RDF::RResultPtr<ULong64_t> count_not_finite(ROOT::RDF::RNode node, const std::vector<std::string>& columns) {
    return NotFiniteCounter::book(node, columns, std::make_index_sequence<NotFiniteCounter::max_columns>());
}

ROOT::RDF::RResultPtr<MatchedEvents> take(ROOT::RDF::RNode node, const std::string& column) {
    return node.Book<MatchedEvent>(Taker(node.GetNSlots()), {column});
}

ROOT::RDF::Experimental::RResultMap<ULong64_t> variations(ROOT::RDF::RResultPtr<ULong64_t> result) {
    return ROOT::RDF::Experimental::VariationsFor(std::move(result));
}

ROOT::RDF::Experimental::RResultMap<Bins> variations(ROOT::RDF::RResultPtr<Bins> result) {
    return ROOT::RDF::Experimental::VariationsFor(std::move(result));
}

ROOT::RDF::Experimental::RResultMap<std::vector<Bins>> variations(ROOT::RDF::RResultPtr<std::vector<Bins>> result) {
    return ROOT::RDF::Experimental::VariationsFor(std::move(result));
}

void report_progress(ROOT::RDF::RResultPtr<ULong64_t> events, std::uintptr_t address) {
    static_assert(sizeof(std::atomic<std::uint64_t>) == sizeof(std::uint64_t));
    constexpr ULong64_t step = 1000;
    auto* progress = reinterpret_cast<std::atomic<std::uint64_t>*>(address);
    events.OnPartialResultSlot(step, [progress](unsigned int, ULong64_t&) { *progress += step; });
}

} // namespace ttbar
