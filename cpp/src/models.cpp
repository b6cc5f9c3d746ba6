#include "ttbar/models.hpp"

#include <utility>

namespace ttbar {

namespace {

std::vector<Forest>& loaded() {
    static std::vector<Forest> models;
    return models;
}

} // namespace

void load_models(const std::vector<std::string>& paths) {
    std::vector<Forest> models;
    models.reserve(paths.size());
    for (const auto& path : paths)
        models.emplace_back(path);
    loaded() = std::move(models);
}

const Forest& model(std::size_t index) {
    return loaded().at(index);
}

} // namespace ttbar
