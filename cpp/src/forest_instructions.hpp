/// @file
/// Which instructions forests are evaluated with.
#pragma once

namespace ttbar {

/// Sets of instructions that a forest can be evaluated with, the lowest first. Results are the same to the last bit.
enum class Instructions { baseline, avx2, avx512 };

/// @return the highest set that this processor has
Instructions supported_instructions() noexcept;

/// For tests and benchmarks: what forests use that are read from now on.
/// @param highest the highest set of instructions; has no effect beyond supported_instructions()
void limit_instructions(Instructions highest) noexcept;

} // namespace ttbar
