/// @file
/// The actions at the ends of a graph. They are the same in every analysis, so they are compiled here, where
/// the interpreter would take a second for each.
#pragma once

#include "truth.hpp"

#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RDF/RResultMap.hxx>
#include <ROOT/RResultPtr.hxx>
#include <TH2D.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ttbar {

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

/// Book a two-dimensional histogram with sums of squared weights.
/// @param node   a node where the columns are doubles
/// @param model  name and binning
/// @param x,y    columns of the axes
/// @param weight column of the weight
/// @return the histogram
ROOT::RDF::RResultPtr<TH2D> histogram(ROOT::RDF::RNode node, const ROOT::RDF::TH2DModel& model, const std::string& x,
                                      const std::string& y, const std::string& weight);

/// Book the values of a column.
/// @param node   the node
/// @param column name of a column of matched events
/// @return the events; with several threads in any order
ROOT::RDF::RResultPtr<std::vector<MatchedEvent>> take(ROOT::RDF::RNode node, const std::string& column);

/// All variations of a booked result; compiles what is booked so far.
/// @param result what count or histogram gave
/// @return results by variation
ROOT::RDF::Experimental::RResultMap<ULong64_t> variations(ROOT::RDF::RResultPtr<ULong64_t> result);

/// @copydoc variations
ROOT::RDF::Experimental::RResultMap<TH2D> variations(ROOT::RDF::RResultPtr<TH2D> result);

/// Let an event loop report how far it is.
/// @param events  what count gave for the node at the top
/// @param address of a std::uint64_t in shared memory, to which processed events are added as the loop goes
void report_progress(ROOT::RDF::RResultPtr<ULong64_t> events, std::uintptr_t address);

} // namespace ttbar
