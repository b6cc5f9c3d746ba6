/// @file
/// Columns of NanoAOD, as branches of a TTree.
#pragma once

#include <TTree.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace ttbar::simulation {

/// Objects of a collection that an event can have.
constexpr std::size_t max_length = 128;

/// Round to a shorter mantissa, as NanoAOD does to compress better.
/// @param value         a number
/// @param mantissa_bits bits to keep of the 23 that a float has
/// @return the nearest float of such a mantissa
inline float rounded(double value, int mantissa_bits) {
    const auto full = static_cast<float>(value);
    const int dropped = 23 - mantissa_bits;
    if (dropped == 0)
        return full;
    std::uint32_t bits;
    std::memcpy(&bits, &full, sizeof bits);
    bits += std::uint32_t{1} << (dropped - 1); // a carry into the exponent is right as it is
    bits &= ~std::uint32_t{0} << dropped;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

/// Add a branch.
/// @param tree       tree to add to
/// @param name       name of the branch
/// @param type       type of its values, as in a leaf list
/// @param values     address of the values
/// @param collection collection that it belongs to, whose counter the tree has already; empty for one value
/// an event
/// @throws std::runtime_error if the tree refuses
inline void add_branch(TTree& tree, const std::string& name, char type, void* values,
                       const std::string& collection = "") {
    const std::string length = collection.empty() ? "" : "[n" + collection + "]";
    if (!tree.Branch(name.c_str(), values, (name + length + "/" + type).c_str()))
        throw std::runtime_error("branch " + name + " cannot be made");
}

} // namespace ttbar::simulation
