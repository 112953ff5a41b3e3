/* The tree of large free blocks, against an ordered set. */
#include "test/core/internal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <sys/mman.h>
#include <vector>

namespace osmem {
namespace {

struct Node {
    size_t size;
    void *block;
    bool operator<(const Node &other) const {
        return size != other.size ? size < other.size : block < other.block;
    }
};

/* Regions whose tags are written by hand, filled with large free blocks between blocks in use. */
class LargeTree : public testing::Test {
  protected:
    static constexpr size_t REGIONS = 16;

    void SetUp() override {
        bytes_ = (REGIONS + 1) * REGION_BYTES;
        memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT_NE(memory_, MAP_FAILED);
        base_ = align_up(reinterpret_cast<uintptr_t>(memory_), REGION_BYTES);
    }
    void TearDown() override { munmap(memory_, bytes_); }

    struct region *region(size_t index) {
        return reinterpret_cast<struct region *>(base_ + index * REGION_BYTES);
    }

    /* Free blocks of sizes that `size_of_next` draws, a granule in use behind each. */
    template <class Draw> std::vector<Node> lay_out(Draw size_of_next) {
        std::vector<Node> nodes;
        for (size_t index = 0; index < REGIONS; index++) {
            struct tag_line *lines = region(index)->lines;
            size_t granule = REGION_FIRST;
            for (;;) {
                size_t size = size_of_next();
                if (granule + size + 1 > REGION_GRANULES)
                    break;
                tags_begin(lines, granule, true);
                tags_begin(lines, granule + size, false);
                tags_measure(lines, granule, size);
                nodes.push_back({size, region_block(region(index), granule)});
                granule += size + 1;
            }
            tags_begin(lines, granule, true);
        }
        return nodes;
    }

    /* L2, and the number of nodes and the depth. */
    void check(void *node, size_t depth = 1) {
        if (node == nullptr)
            return;
        depth_ = std::max(depth_, depth);
        void *left = large_left(node), *right = large_right(node);
        for (void *child : {left, right}) {
            if (child != nullptr) {
                ASSERT_FALSE(large_ranks_above(child, node)) << "a child above its parent";
            }
        }
        check(left, depth + 1);
        Node here = {tags_size(region_of(node)->lines, region_granule(node)), node};
        if (!in_order_.empty()) {
            ASSERT_TRUE(in_order_.back() < here) << "out of order";
        }
        in_order_.push_back(here);
        check(right, depth + 1);
    }
    void expect_tree(const std::set<Node> &model) {
        in_order_.clear();
        depth_ = 0;
        check(reinterpret_cast<void *>(large_.root));
        ASSERT_EQ(in_order_.size(), model.size());
        auto expected = model.begin();
        for (const Node &node : in_order_)
            ASSERT_EQ(node.block, (expected++)->block);
    }
    void expect_find(const std::set<Node> &model, size_t granules) {
        auto found = model.lower_bound({granules, nullptr});
        ASSERT_EQ(large_find(&large_, granules), found == model.end() ? nullptr : found->block)
            << granules << " granules";
    }

    struct large large_ = {};
    size_t depth_ = 0;

  private:
    void *memory_ = nullptr;
    size_t bytes_ = 0;
    uintptr_t base_ = 0;
    std::vector<Node> in_order_;
};

TEST_F(LargeTree, IsEmptyAtFirst) {
    EXPECT_EQ(large_find(&large_, 1), nullptr);
    EXPECT_EQ(large_find(&large_, REGION_CAPACITY), nullptr);
}

TEST_F(LargeTree, FindsTheSmallestThatFits) {
    std::mt19937_64 random(21);
    std::vector<Node> nodes = lay_out([&] { return LARGE_MIN + random() % 2000; });
    ASSERT_GT(nodes.size(), 1000u);
    std::shuffle(nodes.begin(), nodes.end(), random);
    std::set<Node> model;
    std::vector<Node> inside, outside = nodes;
    for (size_t step = 0; step < 20000; step++) {
        bool grow = step < 10000 ? random() % 3 != 0 : random() % 3 == 0;
        std::vector<Node> &from = grow ? outside : inside, &to = grow ? inside : outside;
        if (from.empty())
            continue;
        std::swap(from[random() % from.size()], from.back());
        Node node = from.back();
        from.pop_back();
        to.push_back(node);
        if (grow) {
            large_insert(&large_, node.block, node.size);
            model.insert(node);
        } else {
            large_remove(&large_, node.block);
            model.erase(node);
        }
        expect_find(model, LARGE_MIN + random() % 2100);
        expect_find(model, node.size);
        expect_find(model, node.size + 1);
        if (step % 500 == 0)
            expect_tree(model);
        if (HasFatalFailure())
            FAIL() << "step " << step;
    }
}

TEST_F(LargeTree, PrefersTheLowestAddressAmongEqualSizes) {
    std::mt19937_64 random(22);
    std::vector<Node> nodes = lay_out([&] { return size_t{LARGE_MIN} + random() % 3; });
    std::shuffle(nodes.begin(), nodes.end(), random);
    std::set<Node> model;
    for (const Node &node : nodes) {
        large_insert(&large_, node.block, node.size);
        model.insert(node);
    }
    expect_tree(model);
    while (!model.empty()) {
        size_t granules = LARGE_MIN - 1 + random() % 4;
        expect_find(model, granules);
        if (HasFatalFailure())
            return;
        void *found = large_find(&large_, granules);
        if (found == nullptr)
            found = model.begin()->block;
        large_remove(&large_, found);
        model.erase({tags_size(region_of(found)->lines, region_granule(found)), found});
    }
    EXPECT_EQ(large_.root, 0u);
}

/* Sizes in order and equal sizes in order of address are what makes a plain search tree a list. */
TEST_F(LargeTree, StaysShallowWhateverTheOrder) {
    for (int order = 0; order < 4; order++) {
        size_t next = LARGE_MIN;
        std::vector<Node> nodes = lay_out([&] { return order < 2 ? size_t{LARGE_MIN} : next++; });
        if (order % 2 == 1)
            std::reverse(nodes.begin(), nodes.end());
        std::set<Node> model(nodes.begin(), nodes.end());
        for (const Node &node : nodes)
            large_insert(&large_, node.block, node.size);
        expect_tree(model);
        EXPECT_LT(static_cast<double>(depth_), 5 * std::log2(nodes.size())) << "order " << order;
        for (const Node &node : nodes)
            large_remove(&large_, node.block);
        EXPECT_EQ(large_.root, 0u);
        TearDown();
        SetUp();
    }
}

TEST_F(LargeTree, KeepsTheLengthsOfItsBlocks) {
    std::mt19937_64 random(23);
    std::vector<Node> nodes = lay_out([&] {
        /* Down to the smallest, at every offset: there the links lie closest to the lengths. */
        return LARGE_MIN + random() % 70;
    });
    for (const Node &node : nodes)
        large_insert(&large_, node.block, node.size);
    for (const Node &node : nodes) {
        struct tag_line *lines = region_of(node.block)->lines;
        size_t granule = region_granule(node.block);
        ASSERT_EQ(tags_size(lines, granule), node.size);
        ASSERT_EQ(tags_left(lines, granule + node.size), granule);
        ASSERT_TRUE(tags_is_free(lines, granule));
        ASSERT_TRUE(tags_is_used(lines, granule + node.size));
    }
}

} // namespace
} // namespace osmem
