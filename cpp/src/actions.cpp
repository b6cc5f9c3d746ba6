#include "ttbar/actions.hpp"

#include "exact_sums.hpp"

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

/// A histogram for each of some weights, as it is filled.
template <std::size_t N>
class Sums {
  public:
    Sums(const std::array<RegularAxis, N>& axes, std::size_t n_weights)
        : axes_(axes), counts_(n_weights), values_(size(axes) * n_weights), variances_(size(axes) * n_weights) {}

    /// Fill an event.
    /// @param position where it is
    /// @param weight   the first weight
    /// @param factors  the other weights are the first one times these
    void fill(const std::array<double, N>& position, double weight, const ROOT::RVecD& factors) {
        bool finite = true, outside = false;
        std::size_t bin = 0, stride = 1;
        for (std::size_t i = 0; i < N; ++i) {
            const std::size_t along = find_bin(axes_[i], position[i]),
                              overflow = static_cast<std::size_t>(axes_[i].bins) + 1;
            finite &= std::isfinite(position[i]);
            outside |= !axes_[i].flow && (along == 0 || along == overflow);
            bin += stride * along;
            stride *= overflow + 1;
        }
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            const double varied = i == 0 ? weight : weight * factors.at(i - 1), square = varied * varied;
            if (!finite || !std::isfinite(square))
                ++counts_[i].not_finite;
            else if (outside)
                ++counts_[i].outside;
            else {
                ++counts_[i].entries;
                values_.add(bin * counts_.size() + i, varied);
                variances_.add(bin * counts_.size() + i, square);
            }
        }
    }

    /// Add what others have been filled with, of the same axes and as many weights.
    void add(const Sums& other) {
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            counts_[i].entries += other.counts_[i].entries;
            counts_[i].outside += other.counts_[i].outside;
            counts_[i].not_finite += other.counts_[i].not_finite;
        }
        values_.add(other.values_);
        variances_.add(other.variances_);
    }

    /// Append what each weight has given.
    void append_to(std::vector<Bins>& bins) const {
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            auto& of_weight = bins.emplace_back();
            of_weight.entries = counts_[i].entries;
            of_weight.outside = counts_[i].outside;
            of_weight.not_finite = counts_[i].not_finite;
            for (std::size_t bin = 0; bin < size(axes_); ++bin) {
                const auto value = values_.sum(bin * counts_.size() + i);
                const auto variance = variances_.sum(bin * counts_.size() + i);
                of_weight.values.push_back(value.nearest);
                of_weight.variances.push_back(variance.nearest);
                of_weight.value_rests.push_back(value.rest);
                of_weight.variance_rests.push_back(variance.rest);
            }
        }
    }

  private:
    struct Counts {
        ULong64_t entries = 0, outside = 0, not_finite = 0;
    };

    static std::size_t size(const std::array<RegularAxis, N>& axes) {
        std::size_t size = 1;
        for (const auto& axis : axes)
            size *= static_cast<std::size_t>(axis.bins) + 2;
        return size;
    }

    std::array<RegularAxis, N> axes_;
    std::vector<Counts> counts_;
    ExactSums values_, variances_;
};

/// Fills histograms. Unlike ROOT's, it tells what is not finite, sums without rounding, and makes no objects that ROOT
/// registers.
template <std::size_t N>
class Filler : public ROOT::Detail::RDF::RActionImpl<Filler<N>> {
  public:
    using Result_t = std::vector<Bins>;

    /// A histogram, and the element of a vector that it is filled with, if there is one.
    struct Target {
        std::array<RegularAxis, N> axes;
        std::size_t element = 0;
    };

    Filler(const std::vector<Target>& targets, std::size_t n_factors, unsigned int slots)
        : targets_(targets), n_factors_(n_factors), is_nominal_(true), slots_(slots),
          total_(std::make_shared<Result_t>()) {}

    /// The same in another universe, with the first weight alone.
    Filler MakeNew(void* result, std::string_view /*variation*/) {
        Filler other(targets_, n_factors_, static_cast<unsigned int>(slots_.size()));
        other.is_nominal_ = false;
        other.total_ = *static_cast<std::shared_ptr<Result_t>*>(result);
        return other;
    }

    std::shared_ptr<Result_t> GetResultPtr() const { return total_; }
    void Initialize() {
        for (auto& slot : slots_)
            for (const auto& target : targets_)
                slot.sums.emplace_back(target.axes, is_nominal_ ? 1 + n_factors_ : 1);
    }
    void InitTask(TTreeReader* /*reader*/, unsigned int /*slot*/) {}

    void Exec(unsigned int slot, double x, double weight, const ROOT::RVecD& factors = {}) {
        slots_[slot].sums[0].fill({x}, weight, factors);
    }
    void Exec(unsigned int slot, double x, double y, double weight, const ROOT::RVecD& factors = {}) {
        slots_[slot].sums[0].fill({x, y}, weight, factors);
    }
    void Exec(unsigned int slot, const ROOT::RVecD& values, double weight, const ROOT::RVecD& factors = {}) {
        for (std::size_t i = 0; i < targets_.size(); ++i)
            slots_[slot].sums[i].fill({values.at(targets_[i].element)}, weight, factors);
    }

    void Finalize() {
        auto& all = slots_[0].sums;
        for (std::size_t i = 0; i < targets_.size(); ++i) {
            for (std::size_t slot = 1; slot < slots_.size(); ++slot)
                all[i].add(slots_[slot].sums[i]);
            all[i].append_to(*total_);
        }
        slots_.clear();
    }
    std::string GetActionName() const { return "Histograms"; }

  private:
    struct alignas(64) Slot { // a cache line of its own
        std::vector<Sums<N>> sums;
    };

    std::vector<Target> targets_;
    std::size_t n_factors_;
    bool is_nominal_;
    std::vector<Slot> slots_;
    std::shared_ptr<Result_t> total_;
};

/// Book histograms.
/// @tparam Columns types of the columns that tell where an event is
template <std::size_t N, typename... Columns>
ROOT::RDF::RResultPtr<std::vector<Bins>> book(ROOT::RDF::RNode& node,
                                              const std::vector<typename Filler<N>::Target>& targets,
                                              std::vector<std::string> columns, const Weights& weights) {
    Filler<N> filler(targets, weights.n_factors, node.GetNSlots());
    columns.push_back(weights.column);
    if (weights.n_factors == 0)
        return node.Book<Columns..., double>(std::move(filler), columns);
    columns.push_back(weights.factors);
    return node.Book<Columns..., double, ROOT::RVecD>(std::move(filler), columns);
}

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

ROOT::RDF::RNode filter(ROOT::RDF::RNode node, const std::string& column) {
    if (const auto type = node.GetColumnType(column); type != "bool")
        throw std::runtime_error("a condition of type " + type + " does not evaluate to bool");
    return node.Filter([](bool passes) { return passes; }, {column});
}

ROOT::RDF::RResultPtr<ULong64_t> count(ROOT::RDF::RNode node) {
    return node.Count();
}

ROOT::RDF::RResultPtr<ULong64_t> count_different(ROOT::RDF::RNode node, const std::string& a, const std::string& b) {
    return node.Filter([](std::uint64_t x, std::uint64_t y) { return x != y; }, {a, b}).Count();
}

ROOT::RDF::RResultPtr<std::map<std::string, ULong64_t>> count_by_file(ROOT::RDF::RNode node) {
    return node.Book<>(FileCounter(node.GetNSlots()));
}

ROOT::RDF::RResultPtr<std::vector<Bins>> histogram(ROOT::RDF::RNode node, const RegularAxis& axis,
                                                   const std::string& column, const Weights& weights) {
    return book<1, double>(node, {{{axis}}}, {column}, weights);
}

ROOT::RDF::RResultPtr<std::vector<Bins>> histogram(ROOT::RDF::RNode node, const RegularAxis& x_axis,
                                                   const std::string& x_column, const RegularAxis& y_axis,
                                                   const std::string& y_column, const Weights& weights) {
    return book<2, double, double>(node, {{{x_axis, y_axis}}}, {x_column, y_column}, weights);
}

ROOT::RDF::RResultPtr<std::vector<Bins>> histograms(ROOT::RDF::RNode node, const std::vector<RegularAxis>& axes,
                                                    const std::string& column, const std::vector<std::size_t>& elements,
                                                    const Weights& weights) {
    std::vector<Filler<1>::Target> targets;
    targets.reserve(axes.size());
    for (std::size_t i = 0; i < axes.size(); ++i)
        targets.push_back({{axes[i]}, elements.at(i)});
    return book<1, ROOT::RVecD>(node, targets, {column}, weights);
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
