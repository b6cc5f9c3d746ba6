/// @file
/// The nodes of a graph for expressions of some types, compiled here: the interpreter would take a tenth of a second for
/// each, and make slower ones. It still compiles the expressions themselves, and the nodes of those of all other types.
#pragma once

#include "agc_v2.hpp"
#include "jet_assignment.hpp"
#include "selection.hpp"

#include <ROOT/RDF/InterfaceUtils.hxx>
#include <ROOT/RVec.hxx>
#include <RVersion.h>

#include <cstdint>
#include <type_traits>

// What RDataFrame makes of the expressions of agc-v1 and agc-v2: their types, and those of their columns in its order.
// clang-format off
#define TTBAR_COMPILED_DEFINES(NODE) \
    NODE(bool(ROOT::RVecF&, ROOT::RVecF&)) \
    NODE(bool(ROOT::RVecF&, ROOT::RVecI&)) \
    NODE(bool(ROOT::RVecI&)) \
    NODE(bool(ROOT::RVecI&, ROOT::RVecI&)) \
    NODE(double()) \
    NODE(double(int, ROOT::RVecF&, ROOT::RVecI&)) \
    NODE(double(ROOT::RVecD&, ROOT::RVecF&, ROOT::RVecI&)) \
    NODE(double(ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecI&)) \
    NODE(double(ROOT::RVecF&, ROOT::RVecD&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecI&)) \
    NODE(int(ROOT::RVecF&, ULong64_t)) \
    NODE(int(ttbar::PermutationFeatures&)) \
    NODE(ttbar::Lepton(ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, \
         ROOT::RVecF&, ROOT::RVecF&)) \
    NODE(ttbar::Lepton(ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecI&, ROOT::RVecF&, \
         ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecI&)) \
    NODE(ttbar::PermutationFeatures(ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, ttbar::Lepton&, ROOT::RVecF&, \
         ROOT::RVecI&)) \
    NODE(ROOT::RVecI(ROOT::RVecD&, ROOT::RVecF&)) \
    NODE(ROOT::RVecI(ROOT::RVecI&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&)) \
    NODE(ROOT::RVecI(ROOT::RVecI&, ROOT::RVecD&, ROOT::RVecF&, ROOT::RVecF&)) \
    NODE(ROOT::RVecI(ROOT::RVecF&, ROOT::RVec<bool>&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&)) \
    NODE(ROOT::RVecF(ttbar::agc_v2::Candidates&)) \
    NODE(ROOT::RVecD(ROOT::RVecF&)) \
    NODE(ROOT::RVecD(ROOT::RVecF&, ROOT::RVecI&)) \
    NODE(ROOT::RVecD(int, ttbar::agc_v2::Candidates&)) \
    NODE(ttbar::agc_v2::Candidates(ROOT::RVecF&, ROOT::RVecD&, ROOT::RVecF&, ROOT::RVecF&, ROOT::RVecF&, \
         ROOT::RVecF&, ttbar::Lepton&, ROOT::RVecF&, ROOT::RVecI&))

#define TTBAR_COMPILED_VARIATIONS(NODE) \
    NODE(ROOT::RVec<ROOT::RVecD>(std::uint32_t, ROOT::RVecF&, ULong64_t, std::uint32_t))
// clang-format on

namespace ttbar {

/// Whether the nodes of functions are compiled here.
template <typename Function>
inline constexpr bool has_compiled_node = false;

} // namespace ttbar

// These are how ROOT 6.40 makes nodes, in no other version need they be the same.
#if ROOT_VERSION_CODE >= ROOT_VERSION(6, 40, 0) && ROOT_VERSION_CODE < ROOT_VERSION(6, 41, 0)

#define TTBAR_DEFINE_NODE(...)                                                                                         \
    template void ROOT::Internal::RDF::JitDefineHelper<ROOT::Internal::RDF::DefineTypes::RDefineTag,                   \
                                                       std::add_lvalue_reference_t<__VA_ARGS__>>(                      \
        std::add_lvalue_reference_t<__VA_ARGS__>, const ROOT::RDF::ColumnNames_t&,                                     \
        ROOT::Internal::RDF::RColumnRegister&, ROOT::Detail::RDF::RLoopManager&,                                       \
        ROOT::Detail::RDF::RJittedDefine*) noexcept;

#define TTBAR_VARIATION_NODE(...)                                                                                      \
    template void ROOT::Internal::RDF::JitVariationHelper<true, std::add_lvalue_reference_t<__VA_ARGS__>>(             \
        std::add_lvalue_reference_t<__VA_ARGS__>, const ROOT::RDF::ColumnNames_t&,                                     \
        ROOT::Internal::RDF::RColumnRegister&, ROOT::Detail::RDF::RLoopManager&,                                       \
        ROOT::Internal::RDF::RJittedVariation*, const ROOT::RDF::ColumnNames_t&,                                       \
        const ROOT::RDF::ColumnNames_t&) noexcept;

#define TTBAR_HAS_NODE(...)                                                                                            \
    template <>                                                                                                        \
    inline constexpr bool ttbar::has_compiled_node<__VA_ARGS__> = true;

#define TTBAR_EXTERN_DEFINE_NODE(...) extern TTBAR_DEFINE_NODE(__VA_ARGS__)
#define TTBAR_EXTERN_VARIATION_NODE(...) extern TTBAR_VARIATION_NODE(__VA_ARGS__)

TTBAR_COMPILED_DEFINES(TTBAR_EXTERN_DEFINE_NODE)
TTBAR_COMPILED_DEFINES(TTBAR_HAS_NODE)
TTBAR_COMPILED_VARIATIONS(TTBAR_EXTERN_VARIATION_NODE)
TTBAR_COMPILED_VARIATIONS(TTBAR_HAS_NODE)

#endif
