#include "forest_walk.hpp"

#include <immintrin.h>

namespace ttbar {

namespace {

struct Avx512 {
    static constexpr std::size_t max_slots = max_slots_avx512;

    static int count(const float* thresholds, float value) {
        return _mm_popcnt_u32(_mm512_cmp_ps_mask(_mm512_load_ps(thresholds), _mm512_set1_ps(value), _CMP_LE_OQ));
    }

    static std::uint64_t right(const Tile& tile, const std::int8_t* ranks) {
        // Looked up by the lower six bits of each slot. All of them: the form without a mask makes GCC 12 warn.
        const __m512i own =
            _mm512_maskz_permutexvar_epi8(~__mmask64{0}, _mm512_load_si512(tile.slot), _mm512_load_si512(ranks));
        return _mm512_cmpgt_epi8_mask(own, _mm512_load_si512(tile.rank));
    }
};

} // namespace

void walk_avx512(const TileChain& chain, const float* const* rows, float* sums) {
    walk<Avx512>(chain, rows, sums);
}

} // namespace ttbar
