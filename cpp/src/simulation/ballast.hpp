/// @file
/// Columns of a NanoAOD file that no analysis reads, with random content. They make a file as wide
/// as a real one, for measurements of speed.
#pragma once

#include "columns.hpp"

#include <TTree.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

namespace ttbar::simulation {

/// What a column of the ballast holds: one value often, the others evenly distributed over a range.
struct ColumnShape {
    std::string name;
    char type; ///< as in a leaf list
    double frequent_value, frequent_share;
    double low, high;
    int mantissa_bits;
};

/// The columns, as branches of a tree, to which an object of this class must stay connected.
class Ballast {
  public:
    /// Make the branches.
    /// @param tree     tree to widen
    /// @param counters lengths of the collections that the tree holds already, by name, e.g. `Jet`
    /// @param seed     seed of the content
    Ballast(TTree& tree, std::map<std::string, const std::uint32_t*> counters, std::uint64_t seed);

    /// Draw the content of the next event. The counters of the tree's own collections must be set.
    void draw();

  private:
    struct Collection {
        std::uint32_t min_length, max_length, length;
    };
    struct Column {
        const ColumnShape& shape;
        const std::uint32_t* length; ///< null for one value an event
        std::byte* content;
    };

    std::uint64_t random_bits();
    template <class T>
    void draw(const Column& column);

    std::uint64_t random_state_;
    std::deque<Collection> collections_;
    std::deque<std::array<std::byte, 4 * max_length>> content_;
    std::deque<Column> columns_;
};

} // namespace ttbar::simulation
