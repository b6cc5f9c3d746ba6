#include "forest_reader.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

namespace ttbar {

namespace {

// Numbers are parsed as float32 directly, as xgboost does: rounded twice, the last bit could differ.
using Json = nlohmann::basic_json<std::map, std::vector, std::string, bool, std::int64_t, std::uint64_t, float>;

const std::string booster_path = "/learner/gradient_booster";
const std::string trees_path = booster_path + "/model/trees";
const std::string tree_path = trees_path + "[]";
const std::string parameters_path = "/learner/learner_model_param";
const std::string names_path = "/learner/feature_names";

[[noreturn]] void refuse(const std::string& reason) {
    throw std::runtime_error(reason);
}

bool is_printable(char c) {
    return c >= ' ' && c <= '~';
}

/// @return text of a file as a message may show it
std::string shown(std::string text) {
    std::replace_if(text.begin(), text.end(), [](char c) { return !is_printable(c); }, '?');
    return text.substr(0, 100);
}

/// The fields of one tree, as columns with an entry for each node.
class TreeColumns {
  public:
    /// @return columns by name
    std::map<std::string, std::vector<double>>& by_name() { return columns_; }

    /// @param n_nodes number of nodes that the file says that the tree has, nothing if it does not say
    /// @return the tree of the columns, which are empty then
    Tree take(std::optional<float> n_nodes) {
        const auto &left = column("left_children"), &right = column("right_children");
        const auto &feature = column("split_indices"), &value = column("split_conditions");
        const auto &default_left = column("default_left"), &type = column("split_type");
        const std::size_t size = left.size();
        if (size == 0 || right.size() != size || feature.size() != size || value.size() != size ||
            default_left.size() != size || (!type.empty() && type.size() != size))
            refuse("is damaged, the columns of a tree have different lengths: save it again");
        if (n_nodes.value_or(static_cast<float>(size)) != static_cast<float>(size))
            refuse("is damaged, a tree has another number of nodes than it says: save it again");

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
            const bool is_leaf = left[node] == -1;
            // Where features reach to the largest float, xgboost itself makes an infinite threshold.
            if (std::isnan(value[node]) || (is_leaf && std::isinf(value[node])))
                refuse("is damaged, a threshold or leaf is not a number: save it again");
            if (default_left[node] != 0 && default_left[node] != 1)
                refuse("is damaged, the direction of a missing value is neither 0 nor 1: save it again");
            if (visit.right_of != none)
                tree[visit.right_of].right = static_cast<std::uint32_t>(tree.size() - visit.right_of);
            if (!is_leaf) {
                visits.push_back({right[node], tree.size()});
                visits.push_back({left[node], none});
            }
            tree.push_back({is_leaf ? 0 : static_cast<std::uint32_t>(index(feature[node], max_index)), 0,
                            static_cast<float>(value[node]), default_left[node] != 0});
        }
        for (auto& [name, content] : columns_)
            content.clear();
        return tree;
    }

  private:
    static constexpr std::size_t max_index = std::numeric_limits<std::int32_t>::max();

    static std::size_t index(double value, std::size_t end) {
        if (!(value >= 0 && value < static_cast<double>(end) && value == std::floor(value)))
            refuse("is damaged, an index in a tree is out of range: save it again");
        return static_cast<std::size_t>(value);
    }

    const std::vector<double>& column(const char* name) const { return columns_.at(name); }

    std::map<std::string, std::vector<double>> columns_{{"left_children", {}}, {"right_children", {}},
                                                        {"split_indices", {}}, {"split_conditions", {}},
                                                        {"default_left", {}},  {"split_type", {}}};
};

/// Takes what matters from the stream of a parser, so that a large model is never in memory as a document,
/// and a hostile one can neither nest nor grow without end.
class ModelParser : public nlohmann::json_sax<Json> {
  public:
    /// @param file_size size of the file in bytes
    /// @param nulls     what each null in the text stands for, nothing for a null
    ModelParser(std::size_t file_size, std::vector<std::optional<float>> nulls)
        : nulls_(std::move(nulls)), max_values_(file_size) {
        places_[trees_path] = places_[names_path] = {Kind::list};
        places_[tree_path] = {Kind::object};
        places_[names_path + "[]"] = {Kind::text};
        for (auto& [name, column] : columns_.by_name()) {
            std::string place = tree_path + '/';
            place += name;
            places_[place] = {Kind::list};
            places_[place + "[]"] = {Kind::number, &column};
        }
    }
    ModelParser(const ModelParser&) = delete;

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

    bool null() override {
        const auto value = n_nulls_ < nulls_.size() ? nulls_[n_nulls_++] : std::nullopt;
        return value ? take(*value) : count(Kind::any);
    }
    bool boolean(bool value) override {
        return path_ == tree_path + "/default_left[]" ? take(value) : count(Kind::any);
    }
    bool number_integer(std::int64_t value) override { return take(static_cast<double>(value)); }
    bool number_unsigned(std::uint64_t value) override { return take(static_cast<double>(value)); }
    bool number_float(float value, const std::string&) override { return take(value); }
    bool binary(Json::binary_t&) override { return count(Kind::any); }

    bool string(std::string& value) override {
        if (place_.kind == Kind::text)
            feature_names.push_back(value);
        else
            texts_[path_] = value;
        return count(Kind::text);
    }

    bool start_object(std::size_t) override { return open(Kind::object, ""); }

    bool key(std::string& name) override {
        if (!keys_.back().insert(name).second)
            refuse("is damaged, '" + shown(name) + "' occurs twice in one object: save it again");
        go_to(parents_.back(), '/' + name);
        return true;
    }

    bool end_object() override {
        close();
        if (path_ == tree_path) {
            const std::string leaf_size = text(tree_path + "/tree_param/size_leaf_vector");
            if (leaf_size.find_first_not_of('0') != std::string::npos && leaf_size != "1")
                refuse("has vectors as leaves, which are not supported: train it with a single target");
            trees.push_back(columns_.take(number(tree_path + "/tree_param/num_nodes")));
        }
        return true;
    }

    bool start_array(std::size_t) override { return open(Kind::list, "[]"); }

    bool end_array() override {
        close();
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

  private:
    static constexpr std::size_t max_depth = 32;

    enum class Kind { any, number, text, list, object };

    /// What there must be at a path.
    struct Place {
        Kind kind = Kind::any;
        std::vector<double>* column = nullptr; // where numbers go
    };

    bool take(double value) {
        if (place_.column)
            place_.column->push_back(value);
        return count(Kind::number);
    }

    // Each value takes at least a byte of the file, except in a kind of UBJSON that only serves to exhaust
    // readers.
    bool count(Kind found) {
        if (place_.kind != Kind::any && place_.kind != found)
            refuse("is damaged, there is something of a wrong type in " + path_ + ": save it again");
        return ++n_values_ <= max_values_;
    }

    bool open(Kind kind, const char* inside) {
        const bool counted = count(kind);
        parents_.push_back(path_.size());
        keys_.emplace_back();
        go_to(path_.size(), inside);
        return counted && parents_.size() <= max_depth;
    }

    void close() {
        go_to(parents_.back(), "");
        parents_.pop_back();
        keys_.pop_back();
    }

    /// Change the path, of which the first characters stay.
    void go_to(std::size_t length, const std::string& more) {
        path_.resize(length);
        path_ += more;
        const auto place = places_.find(path_);
        place_ = place == places_.end() ? Place{} : place->second;
    }

    std::vector<std::optional<float>> nulls_;
    std::size_t n_nulls_ = 0;
    std::map<std::string, Place> places_;
    std::string path_; // keys down to the present value, and [] for each array
    Place place_;
    std::vector<std::size_t> parents_;        // length of the path of each open object and array
    std::vector<std::set<std::string>> keys_; // those that each of them has
    std::map<std::string, std::string> texts_;
    TreeColumns columns_;
    std::size_t max_values_, n_values_ = 0;
};

/// JSON has no numbers but finite ones; xgboost writes NaN, Infinity and -Infinity. Each becomes a null.
/// @param text  JSON
/// @param nulls where what each null of the result stands for goes, nothing for a null
/// @return JSON that has no such words
std::string with_nulls(const std::string& text, std::vector<std::optional<float>>& nulls) {
    std::string result;
    result.reserve(text.size());
    for (auto at = text.begin(); at != text.end();) {
        const auto begin = at;
        if (*at == '"') {
            do
                at += *at == '\\' && text.end() - at > 1 ? 2 : 1;
            while (at != text.end() && *at != '"');
            at += at != text.end();
            result.append(begin, at);
            continue;
        }
        at = std::find_if_not(at, text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
        if (at == begin) {
            result += *at++;
            continue;
        }
        const std::string word(begin, at);
        const bool is_infinity = word == "Infinity";
        if (word == "null")
            nulls.emplace_back();
        else if (word == "NaN")
            nulls.emplace_back(std::numeric_limits<float>::quiet_NaN());
        else if (is_infinity)
            nulls.emplace_back(std::numeric_limits<float>::infinity());
        if (is_infinity && !result.empty() && result.back() == '-') {
            nulls.back() = -std::numeric_limits<float>::infinity();
            result.pop_back();
        }
        result += word == "NaN" || is_infinity ? "null" : word;
    }
    return result;
}

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

/// Refuse trees whose leaves could add up to infinity, or to what is not a number.
void require_finite_sums(const std::vector<Tree>& trees, float base_score) {
    float largest = std::abs(std::log(1.0F / base_score - 1.0F));
    for (const Tree& tree : trees) {
        float leaf = 0;
        for (const TreeNode& node : tree)
            if (node.is_leaf())
                leaf = std::max(leaf, std::abs(node.value));
        largest += leaf;
    }
    if (!std::isfinite(largest))
        refuse("has leaves whose sum can be infinite: train it with a smaller learning rate");
}

/// Refuse names that are not one for each feature.
void require_names(const std::vector<std::string>& names, std::size_t n_features) {
    if (names.empty())
        return;
    if (names.size() != n_features)
        refuse("is damaged, it has " + std::to_string(names.size()) + " names of " + std::to_string(n_features) +
               " features: save it again");
    for (const std::string& name : names)
        if (name.empty() || !std::all_of(name.begin(), name.end(), is_printable))
            refuse("has the feature name '" + shown(name) + "', which is not of printable ASCII: train it with others");
    if (std::set<std::string>(names.begin(), names.end()).size() != names.size())
        refuse("is damaged, it has two features of one name: save it again");
}

ForestFile parse(const std::string& bytes) {
    std::vector<std::optional<float>> nulls;
    const bool is_binary = is_ubjson(bytes);
    const std::string text = is_binary ? "" : with_nulls(bytes, nulls);
    ModelParser model(bytes.size(), std::move(nulls));
    if (!Json::sax_parse(is_binary ? bytes : text, &model,
                         is_binary ? Json::input_format_t::ubjson : Json::input_format_t::json))
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
        refuse("has the objective " + shown(objective) + ", which is not supported: train it with binary:logistic");
    if (booster != "gbtree")
        refuse("has the booster " + shown(booster) + ", which is not supported: train it with gbtree");
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
    require_finite_sums(model.trees, *base_score);
    require_names(model.feature_names, static_cast<std::size_t>(*n_features));
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
