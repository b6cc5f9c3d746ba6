#include "forest_walk.hpp"

#include <immintrin.h>

namespace ttbar {

namespace {

struct Avx2 {
    static constexpr std::size_t max_slots = max_slots_avx2;

    static int count(const float* thresholds, float value) {
        const __m256 values = _mm256_set1_ps(value);
        const __m256 first = _mm256_cmp_ps(_mm256_load_ps(thresholds), values, _CMP_LE_OQ);
        const __m256 second = _mm256_cmp_ps(_mm256_load_ps(thresholds + 8), values, _CMP_LE_OQ);
        const int bits = _mm256_movemask_ps(first) | _mm256_movemask_ps(second) << 8;
        return _mm_popcnt_u32(static_cast<unsigned>(bits));
    }

    static std::uint64_t right(const Tile& tile, const std::int8_t* ranks) {
        const __m256i lower = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(ranks)));
        const __m256i upper = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(ranks + 16)));
        const auto half = [&](std::size_t first) {
            const __m256i slot = _mm256_load_si256(reinterpret_cast<const __m256i*>(tile.slot + first));
            const __m256i rank = _mm256_load_si256(reinterpret_cast<const __m256i*>(tile.rank + first));
            // A shuffle looks up one of sixteen bytes, and gives zero where bit 7 is set.
            const __m256i other = _mm256_xor_si256(slot, _mm256_set1_epi8(-128));
            const __m256i own = _mm256_or_si256(_mm256_shuffle_epi8(lower, slot), _mm256_shuffle_epi8(upper, other));
            return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(own, rank)));
        };
        return half(0) | std::uint64_t{half(32)} << 32;
    }
};

} // namespace

void walk_avx2(const TileChain& chain, const float* const* rows, float* sums) {
    walk<Avx2>(chain, rows, sums);
}

} // namespace ttbar
