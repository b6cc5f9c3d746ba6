#include "forest_reader.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>

namespace ttbar {

namespace {

// Numbers are parsed as float32 directly, as xgboost does: rounded twice, the last bit could differ.
using Json = nlohmann::basic_json<std::map, std::vector, std::string, bool, std::int64_t, std::uint64_t, float>;

const std::string booster_path = "/learner/gradient_booster";
const std::string trees_path = booster_path + "/model/trees";
const std::string parameters_path = "/learner/learner_model_param";

[[noreturn]] void refuse(const std::string& reason) {
    throw std::runtime_error(reason);
}

/// The fields of one tree, as columns with an entry for each node.
class TreeColumns {
  public:
    /// @return column of this path, nullptr if it is none that matters
    std::vector<double>* find(const std::string& path) {
        const auto column = columns_.find(path);
        return column == columns_.end() ? nullptr : &column->second;
    }

    /// @return the tree of the columns, which are empty then
    Tree take() {
        const auto &left = column("left_children"), &right = column("right_children");
        const auto &feature = column("split_indices"), &value = column("split_conditions");
        const auto &default_left = column("default_left"), &type = column("split_type");
        const std::size_t size = left.size();
        if (size == 0 || right.size() != size || feature.size() != size || value.size() != size ||
            default_left.size() != size || (!type.empty() && type.size() != size))
            refuse("is damaged, the columns of a tree have different lengths: save it again");

        constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
        struct Visit {
            double node;
            std::size_t right_of; // position of the node whose right child this is
        };
        Tree tree;
        std::vector<Visit> visits{{0, none}};
        while (!visits.empty()) {
            const Visit visit = visits.back();
            visits.pop_back();
            // More visits than nodes: there is a cycle.
            if (tree.size() == size)
                refuse("is damaged, a node of a tree has two parents: save it again");
            const std::size_t node = index(visit.node, size);
            if (!type.empty() && type[node] != 0)
                refuse("has categorical splits, which are not supported: train it on numerical features");
            if (std::isnan(value[node]))
                refuse("is damaged, a threshold or leaf is not a number: save it again");
            if (visit.right_of != none)
                tree[visit.right_of].right = static_cast<std::uint32_t>(tree.size() - visit.right_of);
            const bool is_leaf = left[node] == -1;
            if (!is_leaf) {
                visits.push_back({right[node], tree.size()});
                visits.push_back({left[node], none});
            }
            tree.push_back({is_leaf ? 0 : static_cast<std::uint32_t>(index(feature[node], max_index)), 0,
                            static_cast<float>(value[node]), default_left[node] != 0});
        }
        for (auto& [path, content] : columns_)
            content.clear();
        return tree;
    }

  private:
    static constexpr std::size_t max_index = std::numeric_limits<std::int32_t>::max();

    static std::size_t index(double value, std::size_t end) {
        if (!(value >= 0 && value < static_cast<double>(end)))
            refuse("is damaged, an index in a tree is out of range: save it again");
        return static_cast<std::size_t>(value);
    }

    const std::vector<double>& column(const char* name) const { return columns_.at(trees_path + '/' + name); }

    std::map<std::string, std::vector<double>> columns_{
        {trees_path + "/left_children", {}}, {trees_path + "/right_children", {}},
        {trees_path + "/split_indices", {}}, {trees_path + "/split_conditions", {}},
        {trees_path + "/default_left", {}},  {trees_path + "/split_type", {}}};
};

/// Takes what matters from the stream of a parser, so that a large model is never in memory as a document,
/// and a hostile one can neither nest nor grow without end.
class ModelParser : public nlohmann::json_sax<Json> {
  public:
    /// @param file_size size of the file in bytes
    explicit ModelParser(std::size_t file_size) : max_values_(file_size) {}

    std::vector<Tree> trees;
    std::vector<std::string> feature_names;

    /// @return text at a path, empty if there is none
    std::string text(const std::string& path) const {
        const auto found = texts_.find(path);
        return found == texts_.end() ? "" : found->second;
    }

    /// @return number that is stored as text, plain or as a list of one; nothing if there is none
    std::optional<float> number(const std::string& path) const {
        Json value = Json::parse(text(path), nullptr, false);
        if (value.is_array() && value.size() == 1)
            value = Json(value[0]);
        return value.is_number() ? std::optional(value.get<float>()) : std::nullopt;
    }

    bool null() override { return take(0); }
    bool boolean(bool value) override { return take(value); }
    bool number_integer(std::int64_t value) override { return take(static_cast<double>(value)); }
    bool number_unsigned(std::uint64_t value) override { return take(static_cast<double>(value)); }
    bool number_float(float value, const std::string&) override { return take(value); }
    bool binary(Json::binary_t&) override { return take(0); }

    bool string(std::string& value) override {
        if (path_ == "/learner/feature_names")
            feature_names.push_back(value);
        else
            texts_[path_] = value;
        return take(0);
    }

    bool start_object(std::size_t) override { return open(); }

    bool key(std::string& name) override {
        path_.resize(parents_.back());
        path_ += '/' + name;
        return true;
    }

    bool end_object() override {
        close();
        if (path_ == trees_path) {
            const std::string leaf_size = text(trees_path + "/tree_param/size_leaf_vector");
            if (leaf_size.find_first_not_of("0") != std::string::npos && leaf_size != "1")
                refuse("has vectors as leaves, which are not supported: train it with a single target");
            trees.push_back(columns_.take());
        }
        return true;
    }

    bool start_array(std::size_t) override {
        column_ = columns_.find(path_);
        return open();
    }

    bool end_array() override {
        column_ = nullptr;
        close();
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

  private:
    static constexpr std::size_t max_depth = 32;

    // Each value takes at least a byte of the file, except in a kind of UBJSON that only serves to exhaust
    // readers.
    bool take(double value) {
        if (column_)
            column_->push_back(value);
        return ++n_values_ <= max_values_;
    }

    bool open() {
        parents_.push_back(path_.size());
        return parents_.size() <= max_depth && ++n_values_ <= max_values_;
    }

    void close() {
        path_.resize(parents_.back());
        parents_.pop_back();
    }

    std::string path_;                 // keys down to the present value; arrays add nothing
    std::vector<std::size_t> parents_; // length of the path of each open object and array
    std::map<std::string, std::string> texts_;
    TreeColumns columns_;
    std::vector<double>* column_ = nullptr;
    std::size_t max_values_, n_values_ = 0;
};

std::string content(const std::string& path) {
    std::error_code error;
    const bool is_file = std::filesystem::is_regular_file(path, error);
    std::ifstream stream(path, std::ios::binary);
    if (!is_file || !stream)
        refuse("cannot be opened: give the path of a file that xgboost's save_model wrote");
    std::string bytes(std::filesystem::file_size(path), '\0');
    if (!stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size())))
        refuse("cannot be read to its end: check the disk");
    return bytes;
}

/// Both begin with a brace; in UBJSON the type of a length follows it.
bool is_ubjson(const std::string& bytes) {
    return bytes.size() > 1 && bytes[0] == '{' && std::string("iUIlL$#").find(bytes[1]) != std::string::npos;
}

ForestFile parse(const std::string& bytes) {
    ModelParser model(bytes.size());
    if (!Json::sax_parse(bytes, &model, is_ubjson(bytes) ? Json::input_format_t::ubjson : Json::input_format_t::json))
        refuse("is truncated, damaged or no model at all: "
               "save it again with xgboost's save_model, as .json or .ubj");

    const std::string objective = model.text("/learner/objective/name");
    const std::string booster = model.text(booster_path + "/name");
    const auto base_score = model.number(parameters_path + "/base_score");
    const auto n_features = model.number(parameters_path + "/num_feature");
    const auto n_trees = model.number(booster_path + "/model/gbtree_model_param/num_trees");
    if (objective.empty() || booster.empty())
        refuse("is not a model of xgboost: save one with xgboost's save_model, as .json or .ubj");
    if (objective != "binary:logistic")
        refuse("has the objective " + objective + ", which is not supported: train it with binary:logistic");
    if (booster != "gbtree")
        refuse("has the booster " + booster + ", which is not supported: train it with gbtree");
    if (model.number(parameters_path + "/num_class").value_or(0) > 1 ||
        model.number(parameters_path + "/num_target").value_or(1) > 1)
        refuse("has several classes or targets, which is not supported: train it with a single one");
    constexpr float max_features = 1 << 24; // the last integer up to which float32 has all
    if (!base_score || !n_features || !(*n_features >= 1 && *n_features <= max_features) || !n_trees ||
        *n_trees != static_cast<float>(model.trees.size()))
        refuse("is damaged, its parameters are missing or contradict its trees: save it again");
    if (model.trees.empty())
        refuse("has no trees: train it for a round at least");
    if (!(*base_score > 0 && *base_score < 1))
        refuse("has a base_score outside of 0 to 1: train it with one between");
    for (const Tree& tree : model.trees)
        for (const TreeNode& node : tree)
            if (!(static_cast<float>(node.feature) < *n_features))
                refuse("is damaged, a tree splits on a feature that it does not have: save it again");
    return {static_cast<std::size_t>(*n_features), std::move(model.feature_names), *base_score, std::move(model.trees)};
}

} // namespace

ForestFile read_forest(const std::string& path) {
    try {
        return parse(content(path));
    } catch (const std::runtime_error& error) {
        throw std::runtime_error("model " + path + " " + error.what());
    }
}

} // namespace ttbar
