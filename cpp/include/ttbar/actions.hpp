/// @file
/// Filters, and the actions at the ends of a graph. They are the same in every analysis, so they are compiled here, where
/// the interpreter would take a second for each.
#pragma once

#include "truth.hpp"

#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RDF/RResultMap.hxx>
#include <ROOT/RResultPtr.hxx>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ttbar {

/// Keep the events in which a condition is fulfilled. Nodes behind a filter of an expression would ask it by a detour.
/// @param node   the node
/// @param column column of the condition
/// @return the node of these events
/// @throws std::runtime_error if the condition is not bool
ROOT::RDF::RNode filter(ROOT::RDF::RNode node, const std::string& column);

/// Book the number of events that reach a node.
/// @param node the node
/// @return the number
ROOT::RDF::RResultPtr<ULong64_t> count(ROOT::RDF::RNode node);

/// Book the number of events in which two columns differ.
/// @param node a node where the columns are std::uint64_t
/// @param a,b  the columns
/// @return the number
ROOT::RDF::RResultPtr<ULong64_t> count_different(ROOT::RDF::RNode node, const std::string& a, const std::string& b);

/// Book the number of events that reach a node, for each file.
/// @param node the node
/// @return the numbers by file, as ROOT spells it, with a slash and the tree behind; without files that have no such event
ROOT::RDF::RResultPtr<std::map<std::string, ULong64_t>> count_by_file(ROOT::RDF::RNode node);

/// An axis with bins of equal width, which include their lower edge.
struct RegularAxis {
    int bins = 1;
    double low = 0., high = 1.;
    bool flow = true; ///< whether to keep what lies outside, in an underflow and an overflow bin
};

/// What a histogram holds, underflow and overflow included, the first axis running fastest, as in ROOT.
struct Bins {
    std::vector<double> values;         ///< sums of weights, rounded once: their order does not matter
    std::vector<double> variances;      ///< sums of squared weights, rounded once
    std::vector<double> value_rests;    ///< what rounding has left of the sums of weights
    std::vector<double> variance_rests; ///< what rounding has left of the sums of squared weights
    ULong64_t entries = 0;              ///< number of events in all bins
    ULong64_t outside = 0;              ///< number of events in no bin: outside of an axis without flow
    ULong64_t not_finite =
        0; ///< number of events in no bin: a quantity or the weight is not finite, or too large to be squared
};

/// The weights that histograms are filled with. In universes it is the first one alone.
struct Weights {
    std::string column;        ///< column of the first one, a double
    std::string factors;       ///< column of a vector of doubles: the other weights are the first one times these
    std::size_t n_factors = 0; ///< their number; if it is zero, there is no such column
};

/// Book a histogram for each weight, with sums of squared weights.
/// @param node    a node where the column is a double
/// @param axis    its axis
/// @param column  column of the axis
/// @param weights the weights
/// @return a histogram for each weight
ROOT::RDF::RResultPtr<std::vector<Bins>> histogram(ROOT::RDF::RNode node, const RegularAxis& axis,
                                                   const std::string& column, const Weights& weights);

/// Book a two-dimensional histogram for each weight, with sums of squared weights.
/// @param node              a node where the columns are doubles
/// @param x_axis,x_column   the first axis and its column
/// @param y_axis,y_column   the second axis and its column
/// @param weights           the weights
/// @return a histogram for each weight
ROOT::RDF::RResultPtr<std::vector<Bins>> histogram(ROOT::RDF::RNode node, const RegularAxis& x_axis,
                                                   const std::string& x_column, const RegularAxis& y_axis,
                                                   const std::string& y_column, const Weights& weights);

/// Book histograms of each of some elements of a vector, which are filled together.
/// @param node     a node where the column is a vector of doubles
/// @param axes     an axis for each element
/// @param column   column of the vector
/// @param elements positions in the vector, from 0
/// @param weights  the weights
/// @return for each element, a histogram for each weight
ROOT::RDF::RResultPtr<std::vector<Bins>> histograms(ROOT::RDF::RNode node, const std::vector<RegularAxis>& axes,
                                                    const std::string& column, const std::vector<std::size_t>& elements,
                                                    const Weights& weights);

/// Book the number of events with a value that is infinite or not a number.
/// @param node    the node
/// @param columns columns of type RVec<float>
/// @return the number
ROOT::RDF::RResultPtr<ULong64_t> count_not_finite(ROOT::RDF::RNode node, const std::vector<std::string>& columns);

/// Book the events that reach a node, to train and evaluate a jet assignment.
/// @param node   the node
/// @param column column of type MatchedEvent
/// @return the events; with several threads in any order
ROOT::RDF::RResultPtr<MatchedEvents> take(ROOT::RDF::RNode node, const std::string& column);

/// All variations of a booked result; compiles what is booked so far.
/// @param result what count gave
/// @return results by variation
ROOT::RDF::Experimental::RResultMap<ULong64_t> variations(ROOT::RDF::RResultPtr<ULong64_t> result);

/// The same of histograms.
ROOT::RDF::Experimental::RResultMap<std::vector<Bins>> variations(ROOT::RDF::RResultPtr<std::vector<Bins>> result);

/// Let an event loop report how far it is.
/// @param events  what count gave for the node at the top
/// @param address of a std::uint64_t in shared memory, to which processed events are added as the loop goes
void report_progress(ROOT::RDF::RResultPtr<ULong64_t> events, std::uintptr_t address);

} // namespace ttbar
