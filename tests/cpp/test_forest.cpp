#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "forest_instructions.hpp"
#include "ttbar/forest.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <new>
#include <random>
#include <stdexcept>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

std::atomic<std::size_t> allocations{0};

} // namespace

// Inlined, GCC 12 would warn that what new gives is freed.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size == 0 ? 1 : size))
        return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace {

using nlohmann::json;
using ttbar::Forest;

constexpr float missing = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// A folder of this process, gone with it. In memory where possible: thousands of files are written.
class TemporaryFolder {
  public:
    TemporaryFolder() { std::filesystem::create_directories(path); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() { std::filesystem::remove_all(path); }

    const std::filesystem::path path =
        (std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path()) /
        std::filesystem::path("ttbar_forest_" + std::to_string(getpid()));
};

/// @return path of a file with this content, until the next call
std::string write(const std::string& content) {
    static const TemporaryFolder folder;
    const auto path = folder.path / "model";
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
}

/// A tree; columns as xgboost calls them.
json tree(const json& left, const json& right, const json& feature, const json& value, const json& default_left) {
    return {{"left_children", left},        {"right_children", right},
            {"split_indices", feature},     {"split_conditions", value},
            {"default_left", default_left}, {"split_type", std::vector<int>(left.size(), 0)}};
}

json stump(int feature, float threshold, float left, float right, bool default_left = false) {
    return tree({1, -1, -1}, {2, -1, -1}, {feature, 0, 0}, {threshold, left, right}, {default_left, 0, 0});
}

json leaf(float value) {
    return tree({-1}, {-1}, {0}, {value}, {0});
}

/// A tree of a single long branch: n splits of feature 0 at 1, 2, ..., n; the leaf
/// of a value is the number of thresholds that are not above it.
json comb(int n) {
    std::vector<int> left, right, zeros(2 * n + 1, 0);
    std::vector<float> value;
    for (int i = 0; i < n; ++i) {
        left.insert(left.end(), {2 * i + 1, -1});
        right.insert(right.end(), {2 * i + 2, -1});
        value.insert(value.end(), {static_cast<float>(i + 1), static_cast<float>(i)});
    }
    left.push_back(-1);
    right.push_back(-1);
    value.push_back(static_cast<float>(n));
    return tree(left, right, zeros, value, zeros);
}

json model(const std::vector<json>& trees, int n_features = 2, const std::string& base_score = "5E-1") {
    return {{"learner",
             {{"feature_names", json::array()},
              {"gradient_booster",
               {{"model", {{"gbtree_model_param", {{"num_trees", std::to_string(trees.size())}}}, {"trees", trees}}},
                {"name", "gbtree"}}},
              {"learner_model_param",
               {{"base_score", base_score},
                {"num_class", "0"},
                {"num_feature", std::to_string(n_features)},
                {"num_target", "1"}}},
              {"objective", {{"name", "binary:logistic"}}}}},
            {"version", {3, 2, 0}}};
}

std::string ubjson(const json& content) {
    const auto bytes = json::to_ubjson(content, true, true);
    return {bytes.begin(), bytes.end()};
}

Forest read(const std::string& bytes) {
    return Forest(write(bytes));
}
Forest read(const json& content) {
    return read(content.dump());
}

std::vector<float> margins(const Forest& forest, const std::vector<float>& rows) {
    std::vector<float> result(rows.size() / forest.n_features());
    forest.margins(rows.data(), result.size(), result.data());
    return result;
}

/// @return what the refusal of a file says; empty if it is not refused
std::string refusal(const std::string& bytes) {
    const std::string path = write(bytes);
    try {
        Forest{path};
    } catch (const std::runtime_error& error) {
        const std::string message = error.what();
        CHECK(message.find(path) != std::string::npos);
        CHECK(message.find(": ") != std::string::npos); // what to do follows
        CHECK(message.find('\n') == std::string::npos);
        return message;
    }
    return "";
}

/// @return what the refusal of the good model says, after a change
std::string refusal_after(const std::function<void(json&)>& change) {
    json content = model({stump(1, 2, 10, 20), stump(0, 2, 10, 20)});
    REQUIRE(refusal(content.dump()).empty());
    change(content["learner"]);
    const std::string message = refusal(content.dump());
    CHECK(refusal(ubjson(content)) == message);
    return message;
}

std::function<void(json&)> in_first_tree(const std::string& column, const json& values) {
    return [=](json& learner) { learner["gradient_booster"]["model"]["trees"][0][column] = values; };
}

/// A random tree.
json random_tree(std::mt19937& random, int max_depth, int n_features, int n_thresholds) {
    std::vector<int> left{-1}, right{-1}, feature{0}, default_left{0}, depth{0};
    std::vector<float> value{0};
    for (std::size_t node = 0; node < left.size(); ++node) {
        if (depth[node] == max_depth || (depth[node] > 0 && random() % 8 == 0)) {
            value[node] = std::ldexp(static_cast<float>(random() % 20000) - 9999.5F, -10);
            continue;
        }
        feature[node] = static_cast<int>(random() % n_features);
        value[node] = static_cast<float>(random() % n_thresholds);
        default_left[node] = static_cast<int>(random() % 2);
        left[node] = static_cast<int>(left.size());
        right[node] = left[node] + 1;
        for (int child = 0; child < 2; ++child) {
            left.push_back(-1);
            right.push_back(-1);
            feature.push_back(0);
            default_left.push_back(0);
            value.push_back(0);
            depth.push_back(depth[node] + 1);
        }
    }
    return tree(left, right, feature, value, default_left);
}

/// The leaf of a row, node by node.
float leaf_of(const json& tree, const float* row) {
    std::size_t node = 0;
    while (tree["left_children"][node] != -1) {
        const float value = row[tree["split_indices"][node].get<std::size_t>()];
        const bool left =
            std::isnan(value) ? tree["default_left"][node] == 1 : value < tree["split_conditions"][node].get<float>();
        node = tree[left ? "left_children" : "right_children"][node];
    }
    return tree["split_conditions"][node];
}

#define CHECK_SAYS(message, words)                                                                                     \
    do {                                                                                                               \
        const std::string said = message;                                                                              \
        CAPTURE(said);                                                                                                 \
        CHECK(said.find(words) != std::string::npos);                                                                  \
    } while (false)

} // namespace

TEST_CASE("A value goes left below the threshold, right on it and above") {
    const json content = model({stump(1, 2.5F, 10, 20)});
    const float below = std::nextafter(2.5F, 0.0F);
    for (const Forest& forest : {read(content), read(ubjson(content))})
        CHECK(margins(forest, {9, below, 0, 2.5F, 0, 3, 0, -infinity, 0, infinity}) ==
              std::vector<float>{10, 20, 20, 10, 20});
}

TEST_CASE("Signed zeros are one value, as a threshold and in a row") {
    const Forest forest = read(model({stump(0, -0.0F, 1, 2), stump(0, 0.0F, 10, 20)}, 1));
    CHECK(margins(forest, {-0.0F, 0.0F, -1e-45F}) == std::vector<float>{22, 22, 11});
}

TEST_CASE("A missing value goes where each split says") {
    std::vector<json> trees{stump(0, 1, 1, 2, false), stump(0, 1, 10, 20, true), stump(0, 3, 100, 200, true)};
    CHECK(margins(read(model(trees)), {missing, 0}) == std::vector<float>{112});
    // The same where ranks do not fit.
    trees.push_back(comb(300));
    CHECK(margins(read(model(trees)), {missing, 0}) == std::vector<float>{412});
}

TEST_CASE("Nodes may be stored in any order, and some of no tree") {
    const json content = tree({3, -1, 4, -1, -1, 0}, {2, -1, 1, -1, -1, 9}, {0, 7, 1, 7, 7, 2147483647},
                              {1, 5, 2, 4, 6, 0}, {0, 0, 0, 0, 0, 0});
    CHECK(margins(read(model({content})), {0, 0, 1, 1, 1, 2}) == std::vector<float>{4, 6, 5});
}

TEST_CASE("Deep trees, and more thresholds than a byte can count") {
    for (const int depth : {1, 2, 3, 254, 255, 256, 300, 100000}) {
        CAPTURE(depth);
        const Forest forest = read(model({comb(depth), stump(0, 0, 0, 0)}, 1));
        std::vector<float> rows, expected;
        const std::vector<float> picked{-1,
                                        0,
                                        0.5F,
                                        1,
                                        1.5F,
                                        static_cast<float>(depth / 2),
                                        static_cast<float>(depth) - 0.5F,
                                        static_cast<float>(depth),
                                        static_cast<float>(depth) + 1};
        for (const float value : picked) {
            rows.push_back(value);
            expected.push_back(std::floor(std::min(std::max(value, 0.0F), static_cast<float>(depth))));
        }
        CHECK(margins(forest, rows) == expected);
    }
}

TEST_CASE("A tree with more nodes than a 16-bit distance can span, of few thresholds") {
    // A comb of feature 0, with a comb of feature 1 in place of each leaf.
    constexpr int n = 150;
    const json inner = comb(n);
    json outer = comb(n);
    const std::size_t outer_size = outer["left_children"].size(), inner_size = inner["left_children"].size();
    for (std::size_t node = 0; node < outer_size; ++node) {
        if (outer["left_children"][node] != -1)
            continue;
        const std::size_t first = outer["left_children"].size();
        const float leaf = outer["split_conditions"][node];
        for (std::size_t i = 0; i < inner_size; ++i) {
            const bool is_leaf = inner["left_children"][i] == -1;
            const float value = inner["split_conditions"][i];
            for (const char* side : {"left_children", "right_children"})
                outer[side].push_back(is_leaf ? -1 : inner[side][i].get<int>() + static_cast<int>(first));
            outer["split_indices"].push_back(is_leaf ? 0 : 1);
            outer["split_conditions"].push_back(is_leaf ? leaf * 1000 + value : value);
            outer["default_left"].push_back(0);
            outer["split_type"].push_back(0);
        }
        // The root of the inner comb takes the place of the leaf; its own node is left over.
        for (auto& [name, column] : outer.items())
            column[node] = column[first];
    }
    CHECK(outer["left_children"].size() > 32768);
    const Forest forest = read(model({outer, stump(0, 0, 0, 0)}));
    CHECK(margins(forest, {0, 0, 0, 150, 150, 0, 150, 150, 77.5F, 33.5F}) ==
          std::vector<float>{0, 150, 150000, 150150, 77033});
}

TEST_CASE("More features than a byte can count") {
    std::vector<json> trees;
    for (int feature = 0; feature < 300; ++feature)
        trees.push_back(stump(feature, 1, 1, 2));
    std::vector<float> row(300, 0.0F);
    row[299] = row[17] = 1;
    for (const std::size_t n_trees : {254, 255, 256, 300}) {
        CAPTURE(n_trees);
        const Forest forest = read(model({trees.begin(), trees.begin() + n_trees}, 300));
        CHECK(margins(forest, row) == std::vector<float>{n_trees + (n_trees == 300 ? 2.0F : 1.0F)});
    }
}

TEST_CASE("Leaves are added in float32, in the order of the trees, to the base score") {
    CHECK(margins(read(model({leaf(1e8F), leaf(1), leaf(-1e8F)})), {0, 0}) == std::vector<float>{0});
    CHECK(margins(read(model({leaf(1e8F), leaf(-1e8F), leaf(1)})), {0, 0}) == std::vector<float>{1});
    const float base_margin = -std::log(1 / 0.083F - 1);
    CHECK(margins(read(model({leaf(1e8F), leaf(-1e8F)}, 2, "[8.3E-2]")), {0, 0}) == std::vector<float>{0});
    CHECK(margins(read(model({leaf(0)}, 2, "[8.3E-2]")), {0, 0}) == std::vector<float>{base_margin});
    CHECK(margins(read(model({leaf(0)}, 2, "8.3E-2")), {0, 0}) == std::vector<float>{base_margin});
    CHECK(margins(read(model({leaf(0)}, 2, "0.083")), {0, 0}) == std::vector<float>{base_margin});
}

TEST_CASE("A sum of negative zeros stays one, until another zero is added") {
    const float sum = margins(read(model({stump(0, 1, -0.0F, -0.0F), stump(0, 1, -0.0F, -0.0F)})), {0, 0})[0];
    CHECK(sum == 0);
    CHECK(std::signbit(sum));
    const float zero = margins(read(model({leaf(-0.0F), leaf(0.0F)})), {0, 0})[0];
    CHECK(zero == 0);
    CHECK_FALSE(std::signbit(zero));
}

TEST_CASE("Probabilities") {
    const Forest forest = read(model({stump(0, 0, -1000, 0), stump(1, 0, 0, 1000)}));
    const std::vector<float> rows{0, -1, 0, 0, -1, -1};
    std::vector<float> result(3);
    forest.probabilities(rows.data(), 3, result.data());
    CHECK(result[0] == 0.5F);
    CHECK(result[1] == 1);
    CHECK(result[2] == 1 / std::exp(88.7F)); // where the exponent is cut off
}

TEST_CASE("Any number of rows, each as if alone") {
    const Forest forest = read(model({stump(0, 5, 1, 2), comb(40)}, 1));
    for (const std::size_t n_rows : {0, 1, 11, 12, 13, 24, 180}) {
        std::vector<float> rows, expected;
        for (std::size_t row = 0; row < n_rows; ++row) {
            rows.push_back(static_cast<float>((row * 7) % 45));
            expected.push_back(margins(forest, {rows.back()})[0]);
        }
        std::vector<float> result(n_rows + 1, 77.0F);
        forest.margins(rows.data(), n_rows, result.data());
        CHECK(result.back() == 77);
        result.pop_back();
        CHECK(result == expected);
    }
}

TEST_CASE("Random trees, node by node") {
    struct Shape {
        int n_trees, max_depth, n_features, n_thresholds;
    };
    // Each feature has a slot for either way of a missing value: 32 and 64 slots are limits of instructions.
    for (const auto& [n_trees, max_depth, n_features, n_thresholds] :
         {Shape{20, 1, 3, 5}, Shape{40, 3, 1, 255}, Shape{5, 6, 16, 255}, Shape{5, 7, 16, 100}, Shape{5, 8, 17, 100},
          Shape{3, 12, 32, 17}, Shape{3, 12, 33, 16}, Shape{3, 13, 2, 255}, Shape{3, 11, 2, 256}}) {
        CAPTURE(max_depth);
        CAPTURE(n_features);
        std::mt19937 random(static_cast<unsigned>(100 * max_depth + n_features));
        std::vector<json> trees;
        for (int i = 0; i < n_trees; ++i) {
            trees.push_back(random_tree(random, max_depth, n_features, n_thresholds));
            trees.push_back(leaf(i % 3 == 0 ? -0.0F : i % 3 == 1 ? 0.0F : 0.1F));
        }
        const std::size_t n_rows = 100;
        std::vector<float> rows(n_rows * static_cast<std::size_t>(n_features)), expected;
        for (float& value : rows)
            value = random() % 8 == 0 ? missing : static_cast<float>(random() % (2 * n_thresholds + 2)) / 2 - 0.5F;
        for (std::size_t row = 0; row < n_rows; ++row) {
            expected.push_back(-0.0F);
            for (const json& each : trees)
                expected.back() += leaf_of(each, &rows[row * static_cast<std::size_t>(n_features)]);
        }
        CHECK(margins(read(model(trees, n_features)), rows) == expected);
    }
}

TEST_CASE("What a forest says of itself") {
    json content = model({stump(1, 2, 10, 20)});
    CHECK(read(content).feature_names().empty());
    content["learner"]["feature_names"] = {"pt", "eta"};
    content["learner"]["feature_types"] = {"float", "float"};
    const Forest forest = read(ubjson(content)), other = read(content);
    CHECK(forest.feature_names() == std::vector<std::string>{"pt", "eta"});
    CHECK(forest.n_features() == 2);
    CHECK(forest.n_trees() == 1);
    CHECK(forest.id() != 0);
    CHECK(forest.id() != other.id());
    CHECK_NOTHROW(forest.require_features(2));
    CHECK_THROWS_WITH_AS(forest.require_features(19), doctest::Contains("takes 2 features, not 19: "),
                         std::runtime_error);
}

TEST_CASE("Copies and moves are the same forest") {
    std::vector<Forest> forests;
    for (int i = 0; i < 5; ++i)
        forests.push_back(read(model({stump(0, 1, static_cast<float>(i), 0)})));
    const Forest copy = forests[3];
    forests.clear();
    CHECK(margins(copy, {0, 0}) == std::vector<float>{3});
}

TEST_CASE("Evaluation takes no memory from the heap, with either kind of nodes") {
    for (const int depth : {20, 300}) {
        const Forest forest = read(model({comb(depth)}, 1));
        const std::vector<float> rows(30, 5.0F);
        std::vector<float> result(30);
        const std::size_t before = allocations;
        forest.margins(rows.data(), rows.size(), result.data());
        forest.probabilities(rows.data(), rows.size(), result.data());
        CHECK(allocations == before);
    }
    CHECK(allocations > 0);
}

TEST_CASE("Several threads use one forest") {
    const Forest forest = read(model({comb(100), stump(0, 50, 1000, 2000)}, 1));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 2000; ++i) {
                const float value = static_cast<float>((i * 4 + thread) % 100);
                float result = 0;
                forest.margins(&value, 1, &result);
                wrong += result != value + (value < 50 ? 1000 : 2000);
            }
        });
    for (auto& thread : threads)
        thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("Models of another kind are refused, with the reason") {
    CHECK_SAYS(refusal_after([](json& learner) { learner["objective"]["name"] = "reg:squarederror"; }),
               "objective reg:squarederror");
    CHECK_SAYS(refusal_after([](json& learner) { learner["gradient_booster"]["name"] = "gblinear"; }),
               "booster gblinear");
    CHECK_SAYS(refusal_after([](json& learner) {
                   learner["gradient_booster"] = {{"gbtree", learner["gradient_booster"]}, {"name", "dart"}};
               }),
               "booster dart");
    CHECK_SAYS(refusal_after([](json& learner) { learner["learner_model_param"]["num_class"] = "3"; }), "classes");
    CHECK_SAYS(refusal_after([](json& learner) { learner["learner_model_param"]["num_target"] = "2"; }), "targets");
    CHECK_SAYS(refusal_after(in_first_tree("tree_param", {{"size_leaf_vector", "3"}})), "vectors as leaves");
    CHECK_SAYS(refusal_after(in_first_tree("split_type", {1, 0, 0})), "categorical");
    CHECK(refusal_after(in_first_tree("tree_param", {{"size_leaf_vector", "1"}})).empty());
    CHECK(refusal_after(in_first_tree("split_type", json::array())).empty());
}

TEST_CASE("Files that are no models are refused") {
    CHECK_SAYS(refusal("{}"), "not a model of xgboost");
    CHECK_SAYS(refusal("[1, 2, 3]"), "not a model of xgboost");
    CHECK_SAYS(refusal(""), "truncated");
    CHECK_SAYS(refusal("binf\1\2\3"), "truncated");
    CHECK_SAYS(refusal(std::string(1000, '\xff')), "truncated");
    CHECK_THROWS_WITH_AS(Forest("/nowhere/model.json"), doctest::Contains("/nowhere/model.json cannot be opened: "),
                         std::runtime_error);
    CHECK_THROWS_WITH_AS(Forest("/"), doctest::Contains("cannot be opened: "), std::runtime_error);
}

TEST_CASE("Parameters that cannot be are refused") {
    for (const char* base_score : {"0", "1", "-1E0", "[]", "[1E-1,2E-1]", "NaN", "x", ""})
        CHECK_FALSE(
            refusal_after([=](json& learner) { learner["learner_model_param"]["base_score"] = base_score; }).empty());
    for (const char* n_features : {"0", "1", "-2", "1E30", ""})
        CHECK_FALSE(
            refusal_after([=](json& learner) { learner["learner_model_param"]["num_feature"] = n_features; }).empty());
    CHECK_SAYS(refusal(model({}).dump()), "no trees");
    CHECK_SAYS(refusal_after([](json& learner) {
                   learner["gradient_booster"]["model"]["gbtree_model_param"]["num_trees"] = "3";
               }),
               "contradict");
}

TEST_CASE("Trees that cannot be are refused") {
    for (const char* column :
         {"left_children", "right_children", "split_indices", "split_conditions", "default_left", "split_type"})
        CHECK_SAYS(refusal_after(in_first_tree(column, {0, 0})), "different lengths");
    CHECK_SAYS(refusal_after(in_first_tree("left_children", json::array())), "different lengths");
    CHECK_SAYS(refusal_after(in_first_tree("left_children", {3, -1, -1})), "out of range");
    CHECK_SAYS(refusal_after(in_first_tree("left_children", {-2, -1, -1})), "out of range");
    CHECK_SAYS(refusal_after(in_first_tree("left_children", {1e30, -1, -1})), "out of range");
    CHECK_SAYS(refusal_after(in_first_tree("right_children", {-1, -1, -1})), "out of range");
    CHECK_SAYS(refusal_after(in_first_tree("left_children", {0, -1, -1})), "two parents");
    CHECK_SAYS(refusal_after(in_first_tree("left_children", {1, 0, -1})), "two parents");
    CHECK_SAYS(refusal_after(in_first_tree("split_indices", {2, 0, 0})), "splits on a feature");
    CHECK_SAYS(refusal_after(in_first_tree("split_indices", {-1, 0, 0})), "out of range");
    CHECK_SAYS(refusal_after(in_first_tree("left_children", {0.5, -1, -1})), "out of range");
    CHECK_SAYS(refusal_after(in_first_tree("split_indices", {0.5, 0, 0})), "out of range");
    for (const json& direction : {json(2), json(-1), json(0.5)})
        CHECK_SAYS(refusal_after(in_first_tree("default_left", {direction, 0, 0})), "neither 0 nor 1");
    CHECK_SAYS(refusal_after(in_first_tree("tree_param", {{"num_nodes", "4"}})), "another number of nodes");
    CHECK(refusal_after(in_first_tree("tree_param", {{"num_nodes", "3"}})).empty());
}

TEST_CASE("What is of another type than it should be is refused") {
    const std::vector<json> others{nullptr, "1", true, json::array(), json::array({1}), json::object()};
    for (const char* column :
         {"left_children", "right_children", "split_indices", "split_conditions", "default_left", "split_type"})
        for (const json& other : others) {
            CAPTURE(column);
            CAPTURE(other.dump());
            if (other == json(true) && column == std::string("default_left"))
                continue;
            CHECK_SAYS(refusal_after(in_first_tree(column, {other, 0, 0})), "wrong type");
            CHECK_SAYS(refusal_after(in_first_tree(column, {0, 0, 0, other})), "wrong type");
            if (!other.is_array())
                CHECK_SAYS(refusal_after(in_first_tree(column, other)), "wrong type");
        }
    const auto with_trees = [](const std::function<json(const json&)>& change) {
        return refusal_after([&](json& learner) {
            json& trees = learner["gradient_booster"]["model"]["trees"];
            trees = change(trees);
        });
    };
    for (const json& other : others)
        CHECK_SAYS(with_trees([&](const json& trees) { return json::array({trees[0], other, trees[1]}); }),
                   other.is_object() ? "different lengths" : "wrong type");
    CHECK_SAYS(with_trees([](const json& trees) { return json::array({trees}); }), "wrong type");
    CHECK_SAYS(with_trees([](const json& trees) { return trees[0]; }), "wrong type");
}

TEST_CASE("What is not finite is read where xgboost means it, and refused among leaves") {
    const auto with = [](const std::string& place, const std::string& number) {
        json content = model({stump(1, 2, 10, 20)});
        json& first = content["learner"]["gradient_booster"]["model"]["trees"][0];
        first["sum_hessian"] = {1, 1, 1};
        first["loss_changes"] = "a \"quoted\" Infinity, NaN";
        first[place][place == "split_conditions" ? 0 : 1] = "@";
        std::string text = content.dump();
        return text.replace(text.find("\"@\""), 3, number);
    };
    for (const char* number : {"NaN", "Infinity", "-Infinity"})
        CHECK(margins(read(with("sum_hessian", number)), {0, 1, 0, 3}) == std::vector<float>{10, 20});
    CHECK(margins(read(with("split_conditions", "Infinity")), {0, 1, 0, missing, 0, 3e38F}) ==
          std::vector<float>{10, 20, 10});
    CHECK(margins(read(with("split_conditions", "-Infinity")), {0, 1, 0, missing, 0, -3e38F}) ==
          std::vector<float>{20, 20, 20});
    CHECK_SAYS(refusal(with("split_conditions", "NaN")), "not a number");
    CHECK_SAYS(refusal(with("split_conditions", "null")), "wrong type");
    CHECK_SAYS(refusal(with("split_conditions", "\"Infinity\"")), "wrong type");
    for (const char* number : {"nan", "inf", "+Infinity", "--Infinity", "-NaN", "Infinity1", "NaNNaN", "1e300"})
        CHECK_SAYS(refusal(with("split_conditions", number)), "truncated");
    CHECK_SAYS(refusal(with("left_children", "Infinity")), "out of range");
    for (const float value : {missing, infinity, -infinity}) {
        CHECK_SAYS(refusal(ubjson(model({stump(1, 2, 10, value)}))), "not a number");
        CHECK(refusal(ubjson(model({stump(1, value, 10, 20)}))).empty() == !std::isnan(value));
    }
}

TEST_CASE("Leaves that can add up to infinity are refused") {
    CHECK(refusal(model({stump(0, 0, 3e38F, 1)}).dump()).empty());
    CHECK_SAYS(refusal(model({stump(0, 0, 3e38F, 1), stump(1, 0, 1, 3e38F)}).dump()), "can be infinite");
    CHECK_SAYS(refusal(model({stump(0, 0, 3e38F, 1), stump(1, 0, 1, -3e38F)}).dump()), "can be infinite");
    CHECK_SAYS(refusal(model({stump(0, 0, 1, 1)}, 2, "1E-45").dump()), "can be infinite");
}

TEST_CASE("Names are one for each feature, and no key occurs twice") {
    const auto with_names = [](const json& names) {
        return refusal_after([&](json& learner) { learner["feature_names"] = names; });
    };
    CHECK(with_names({"a", "b"}).empty());
    CHECK_SAYS(with_names({"a"}), "1 names of 2 features");
    CHECK_SAYS(with_names({"a", "b", "c"}), "3 names of 2 features");
    CHECK_SAYS(with_names({"a", "a"}), "two features of one name");
    CHECK_SAYS(with_names({"a", ""}), "feature name ''");
    CHECK_SAYS(with_names({"a", "b\nerror: none"}), "feature name 'b?error: none'");
    for (const json& other : {json("a"), json({"a", 1}), json({"a", nullptr}), json({{"a", "b"}})})
        CHECK_SAYS(with_names(other), "wrong type");
    std::string text = model({stump(1, 2, 10, 20)}).dump();
    CHECK_SAYS(refusal(text.insert(text.find("\"split_indices\""), "\"split_indices\":[0,0,0],")),
               "'split_indices' occurs twice");
    text = model({stump(1, 2, 10, 20)}).dump();
    CHECK_SAYS(refusal(text.insert(text.find("\"base_score\""), "\"base_score\":\"3E-1\",")),
               "'base_score' occurs twice");
    CHECK_SAYS(refusal_after([](json& learner) { learner["objective"]["name"] = "a\nerror: b"; }), "a?error: b");
}

TEST_CASE("A file that was cut anywhere is refused") {
    const json content = model({stump(1, 2, 10, 20), comb(5)});
    for (const std::string& bytes : {content.dump(), ubjson(content)})
        for (std::size_t size = 0; size < bytes.size(); ++size)
            CHECK_SAYS(refusal(bytes.substr(0, size)), "truncated");
}

TEST_CASE("Files that try to exhaust a reader are refused") {
    const std::size_t much = 1000000;
    CHECK_SAYS(refusal(std::string(much, '[')), "truncated");
    CHECK_SAYS(refusal("{\"a\":" + std::string(much, '[')), "truncated");
    CHECK_SAYS(refusal("{i\1a" + std::string(much, '[')), "truncated");
    std::string nested;
    for (std::size_t i = 0; i < much; ++i)
        nested += "{i\1a";
    CHECK_SAYS(refusal(nested), "truncated");
    // Arrays and strings of 2^40 elements, of a kind that takes no bytes of the file and of others.
    const std::string size("L\0\0\1\0\0\0\0\0", 9);
    for (const char* type : {"Z", "T", "N", "d", "L", "S"})
        CHECK_FALSE(refusal(std::string("{i\1a[$") + type + '#' + size).empty());
    CHECK_SAYS(refusal("{i\1a[#" + size), "truncated");
    CHECK_SAYS(refusal("{i\1aS" + size), "truncated");
    CHECK_SAYS(refusal("{" + size), "truncated");
}

TEST_CASE("Bytes changed at random are refused or harmless") {
    const json content = model({stump(1, 2, 10, 20, true), comb(6), stump(0, 1, 3, 4)});
    std::mt19937 random(1);
    int n_read = 0;
    for (const std::string& bytes : {content.dump(), ubjson(content)})
        for (int i = 0; i < 3000; ++i) {
            std::string changed = bytes;
            for (unsigned n = 1 + random() % 3; n > 0; --n)
                changed[random() % changed.size()] = static_cast<char>(random());
            if (!refusal(changed).empty())
                continue;
            ++n_read;
            const Forest forest = read(changed);
            margins(forest, std::vector<float>(2 * forest.n_features(), 1.5F));
        }
    CHECK(n_read > 0);
}

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv, argv + argc);
    const auto given = [&](const std::string& name) {
        return std::find(arguments.begin(), arguments.end(), "--instructions=" + name) != arguments.end();
    };
    if (given("baseline"))
        ttbar::limit_instructions(ttbar::Instructions::baseline);
    if (given("avx2"))
        ttbar::limit_instructions(ttbar::Instructions::avx2);
    return doctest::Context(argc, argv).run();
}
