/// @file
/// Fuzzing of the reader of models with libFuzzer: whatever a file holds, it is refused in a sentence, or rows are
/// evaluated to the same bits with all sets of instructions and by a walk that shares no code with them.
#include "forest_instructions.hpp"
#include "forest_reader.hpp"
#include "ttbar/forest.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {

using ttbar::Instructions;

constexpr std::size_t max_features = 1000, n_rows = 19;

/// A file in memory.
class MemoryFile {
  public:
    MemoryFile(const std::uint8_t* bytes, std::size_t size) : descriptor_(memfd_create("model", 0)) {
        if (descriptor_ < 0 || write(descriptor_, bytes, size) != static_cast<ssize_t>(size))
            std::abort();
    }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    ~MemoryFile() { close(descriptor_); }

    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

  private:
    int descriptor_;
};

/// Rows whose values are thresholds of the model, neighbours of them, and missing.
std::vector<float> rows_for(const ttbar::ForestFile& file) {
    std::vector<float> values{std::numeric_limits<float>::quiet_NaN(), 0};
    for (const ttbar::Tree& tree : file.trees)
        for (const ttbar::TreeNode& node : tree)
            if (!node.is_leaf()) {
                values.push_back(node.value);
                values.push_back(std::nextafter(node.value, -std::numeric_limits<float>::infinity()));
            }
    std::vector<float> rows(n_rows * file.n_features);
    std::size_t next = 0;
    for (float& value : rows)
        value = values[(next += 7) % values.size()];
    return rows;
}

/// One tree after the other, one node after the other.
float margin(const ttbar::ForestFile& file, const float* row) {
    float sum = -std::log(1.0F / file.base_score - 1.0F);
    for (const ttbar::Tree& tree : file.trees) {
        std::size_t at = 0;
        while (!tree[at].is_leaf()) {
            const float value = row[tree[at].feature];
            const bool left = std::isnan(value) ? tree[at].default_left : value < tree[at].value;
            at += left ? 1 : tree[at].right;
        }
        sum += tree[at].value;
    }
    return sum;
}

void require_same_bits(float left, float right) {
    if (std::memcmp(&left, &right, sizeof(float)) != 0 && !(std::isnan(left) && std::isnan(right)))
        std::abort();
}

} // namespace

// The name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const MemoryFile model(bytes, size);
    ttbar::ForestFile file;
    try {
        file = ttbar::read_forest(model.path());
    } catch (const std::runtime_error& error) {
        if (std::string(error.what()).find(model.path()) == std::string::npos)
            std::abort(); // the sentence does not name the file
        return 0;
    }
    if (file.n_features > max_features)
        return 0; // rows of any length are the caller's
    const std::vector<float> rows = rows_for(file);
    for (const Instructions instructions : {Instructions::baseline, Instructions::avx2, Instructions::avx512}) {
        ttbar::limit_instructions(instructions);
        std::array<float, n_rows> margins;
        ttbar::Forest(model.path()).margins(rows.data(), n_rows, margins.data());
        for (std::size_t row = 0; row < n_rows; ++row)
            require_same_bits(margins[row], margin(file, rows.data() + row * file.n_features));
    }
    return 0;
}
