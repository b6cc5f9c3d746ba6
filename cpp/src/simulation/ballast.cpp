#include "ballast.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace ttbar::simulation {

namespace {

const ColumnShape column_shapes[] = {
#include "ballast.inc"
};

/// A collection of which the analysis reads nothing.
struct CollectionShape {
    std::string name;
    std::uint32_t min_length, max_length;
};

const CollectionShape collection_shapes[] = {
    {"CorrT1METJet", 0, 6},
    {"FatJet", 0, 1},
    {"FsrPhoton", 0, 1},
    {"GenDressedLepton", 0, 2},
    {"GenIsolatedPhoton", 0, 1},
    {"GenJetAK8", 0, 1},
    {"GenVisTau", 0, 1},
    {"LHEPart", 4, 9},
    {"LHEPdfWeight", 102, 102},
    {"LHEScaleWeight", 9, 9},
    {"OtherPV", 2, 3},
    {"PSWeight", 1, 1},
    {"LHEReweightingWeight", 0, 0},
    {"Photon", 0, 2},
    {"SV", 0, 3},
    {"SoftActivityJet", 2, 6},
    {"Tau", 0, 2},
};

} // namespace

Ballast::Ballast(TTree& tree, std::map<std::string, const std::uint32_t*> counters, std::uint64_t seed)
    : random_state_(2 * seed + 1) { // never 0, where the generator would stay
    for (const CollectionShape& shape : collection_shapes) {
        Collection& collection = collections_.emplace_back(Collection{shape.min_length, shape.max_length, 0});
        add_branch(tree, "n" + shape.name, 'i', &collection.length);
        counters[shape.name] = &collection.length;
    }
    for (const ColumnShape& shape : column_shapes) {
        const auto counter = counters.find(shape.name.substr(0, shape.name.find('_')));
        const bool scalar = counter == counters.end();
        std::byte* content = content_.emplace_back().data();
        columns_.push_back({shape, scalar ? nullptr : counter->second, content});
        add_branch(tree, shape.name, shape.type, content, scalar ? "" : counter->first);
    }
}

void Ballast::draw() {
    for (Collection& collection : collections_)
        collection.length = collection.min_length + random_bits() % (collection.max_length - collection.min_length + 1);
    for (const Column& column : columns_) {
        switch (column.shape.type) {
        case 'F':
            draw<float>(column);
            break;
        case 'I':
            draw<std::int32_t>(column);
            break;
        default: // 'b' and 'O', of one byte each
            draw<std::uint8_t>(column);
        }
    }
}

/// xorshift64*, since 2000 numbers an event must cost next to nothing. Source: S. Vigna, "An experimental
/// exploration of Marsaglia's xorshift generators, scrambled", ACM Transactions on Mathematical Software 42
/// (2016).
std::uint64_t Ballast::random_bits() {
    random_state_ ^= random_state_ >> 12;
    random_state_ ^= random_state_ << 25;
    random_state_ ^= random_state_ >> 27;
    return random_state_ * 0x2545F4914F6CDD1D;
}

template <class T>
void Ballast::draw(const Column& column) {
    const ColumnShape& shape = column.shape;
    const std::uint32_t length = column.length ? *column.length : 1;
    for (std::uint32_t i = 0; i < length; ++i) {
        const std::uint64_t bits = random_bits();
        const double choice = static_cast<std::uint32_t>(bits) / 4294967296.;
        const double u = static_cast<double>(bits >> 32) / 4294967296.;
        T value;
        if (choice < shape.frequent_share)
            value = static_cast<T>(shape.frequent_value);
        else if constexpr (std::is_same_v<T, float>)
            value = rounded(shape.low + (shape.high - shape.low) * u, shape.mantissa_bits);
        else
            value = static_cast<T>(std::floor(shape.low + (shape.high - shape.low + 1) * u));
        std::memcpy(column.content + i * sizeof(T), &value, sizeof(T));
    }
}

} // namespace ttbar::simulation
