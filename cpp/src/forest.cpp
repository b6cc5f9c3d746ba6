#include "ttbar/forest.hpp"
namespace ttbar {
Forest::Forest(const std::string&) {}
std::uint64_t Forest::id() const {
    return 1;
}
void Forest::probabilities(const float*, std::size_t n, float* p) const {
    for (std::size_t i = 0; i < n; ++i)
        p[i] = 0;
}
} // namespace ttbar
