/*
 * Random calls on several heaps, compared with a model that knows only what was written where: each
 * block holds what it should, lies where no other is, and counts in the heap that it was asked of.
 */
#include "test/core/blocks.h"
#include "test/heaps/own.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <vector>

namespace osmem {
namespace {

struct Block {
    char *start;
    size_t size;
    uint64_t seed;
};

/* Writes both ends only, lest large blocks take all the time. */
constexpr size_t FILLED = 3000;

class Model {
  public:
    Model(os_heap *heap, size_t cap, size_t largest) : heap_(heap), cap_(cap), largest_(largest) {}

    os_heap *heap() const { return heap_; }
    size_t refused() const { return refused_; }

    void step(Random &random) {
        if (live_.empty() || random.below(100) < 50)
            allocate(random);
        else if (random.below(3) == 0)
            resize(random, random.below(live_.size()));
        else
            free(random, random.below(live_.size()));
    }

    void expect_counted() const {
        size_t in_regions = 0, mapped = 0, mapped_blocks = 0;
        for (const Block &block : live_) {
            bool is_mapped = region_owner(block.start) == nullptr;
            (is_mapped ? mapped : in_regions) += os_malloc_usable_size(block.start);
            mapped_blocks += is_mapped;
        }
        os_stats stats = stats_of(heap_);
        EXPECT_EQ(stats.allocated, in_regions);
        EXPECT_EQ(stats.allocated_blocks, live_.size() - mapped_blocks);
        EXPECT_EQ(stats.mapped, mapped);
        EXPECT_EQ(stats.mapped_blocks, mapped_blocks);
        if (cap_ != 0) {
            EXPECT_LE(bounded_bytes(heap_), cap_);
        }
        EXPECT_EQ(os_heap_check_of(heap_), 0);
    }

    /* The blocks with it. */
    void destroy() {
        for (const Block &block : live_)
            expect_intact(block);
        os_heap_destroy(heap_);
    }

  private:
    size_t draw(Random &random) {
        return random.one_in(40) ? random.between(1, largest_) : random.spread(1, 20000);
    }

    static void expect_intact(const Block &block) {
        size_t filled = std::min(block.size, FILLED);
        ASSERT_TRUE(is_filled(block.start, filled, block.seed));
        ASSERT_TRUE(is_filled(block.start + block.size - filled / 2, filled / 2, ~block.seed) ||
                    block.size < 2 * FILLED);
    }

    void write(Block &block) {
        size_t filled = std::min(block.size, FILLED);
        block.seed = ++seed_;
        if (block.size >= 2 * FILLED)
            fill(block.start + block.size - filled / 2, filled / 2, ~block.seed);
        fill(block.start, filled, block.seed);
    }

    void enter(void *ptr, size_t size) {
        auto address = reinterpret_cast<uintptr_t>(ptr);
        ASSERT_EQ(address % 16, 0u);
        size_t usable = os_heap_malloc_usable_size(heap_, ptr);
        ASSERT_GE(usable, size);
        auto next = ranges().lower_bound(address);
        ASSERT_TRUE(next == ranges().end() || address + usable <= next->first) << "overlap";
        ASSERT_TRUE(next == ranges().begin() || std::prev(next)->second <= address) << "overlap";
        ranges()[address] = address + usable;
        live_.push_back({static_cast<char *>(ptr), size, 0});
        write(live_.back());
    }

    Block leave(size_t index) {
        Block block = live_[index];
        ranges().erase(reinterpret_cast<uintptr_t>(block.start));
        live_[index] = live_.back();
        live_.pop_back();
        return block;
    }

    void refuse() {
        EXPECT_EQ(errno, ENOMEM);
        refused_++;
    }

    void allocate(Random &random) {
        size_t size = draw(random);
        void *ptr;
        errno = 0;
        switch (random.below(6)) {
        case 0:
            ptr = os_heap_calloc(heap_, 1, size);
            if (ptr != nullptr) {
                ASSERT_TRUE(is_zero(ptr, size));
            }
            break;
        case 1: {
            size_t alignment = size_t{16} << random.below(12);
            ptr = os_heap_aligned_alloc(heap_, alignment, size);
            ASSERT_TRUE(is_at(ptr, alignment));
            break;
        }
        default:
            ptr = os_heap_malloc(heap_, size);
        }
        if (ptr == nullptr)
            refuse();
        else
            enter(ptr, size);
    }

    void resize(Random &random, size_t index) {
        expect_intact(live_[index]);
        Block block = live_[index];
        size_t size = random.one_in(2) ? draw(random) : random.between(1, 2 * block.size);
        errno = 0;
        void *ptr = random.one_in(2) ? os_realloc(block.start, size)
                                     : os_heap_realloc(heap_, block.start, size);
        if (ptr == nullptr) {
            ASSERT_GT(size, block.size) << "shrinking failed";
            expect_intact(block);
            refuse();
            return;
        }
        size_t kept = std::min({size, block.size, FILLED});
        ASSERT_TRUE(is_filled(ptr, kept, block.seed));
        leave(index);
        enter(ptr, size);
    }

    void free(Random &random, size_t index) {
        expect_intact(live_[index]);
        Block block = leave(index);
        if (random.one_in(2))
            os_free(block.start);
        else
            os_heap_free(heap_, block.start);
    }

    /* Of all heaps. */
    static std::map<uintptr_t, uintptr_t> &ranges() {
        static std::map<uintptr_t, uintptr_t> all;
        return all;
    }

    os_heap *heap_;
    size_t cap_, largest_;
    std::vector<Block> live_;
    size_t refused_ = 0;
    uint64_t seed_ = 0;

  public:
    void forget() {
        for (const Block &block : live_)
            ranges().erase(reinterpret_cast<uintptr_t>(block.start));
        live_.clear();
    }
};

constexpr size_t KINDS = 4;

Model make(size_t kind) {
    constexpr size_t LENT = 9 * MIB + 12345;
    static char *const memory = memory_at(777, LENT);
    switch (kind) {
    case 0:
        return Model(os_heap_create(nullptr), 0, 6 * MIB);
    case 1:
        return Model(create(capped(8 * MIB)), 8 * MIB, 2 * MIB);
    case 2:
        return Model(create(lent(memory, LENT)), 0, 300 * KIB);
    default:
        return Model(create(capped(500000)), 500000, 200 * KIB);
    }
}

CHILD_TEST(OwnModel, HoldsForRandomCallsOnSeveralHeaps) {
    Random random(test_seed());
    std::vector<Model> models;
    for (size_t kind = 0; kind < KINDS; kind++)
        models.push_back(make(kind));
    size_t refused[KINDS] = {}, steps = scaled(200000);
    for (size_t i = 0; i < steps && !testing::Test::HasFailure(); i++) {
        size_t kind = random.below(KINDS);
        models[kind].step(random);
        if (i % 2000 == 0) {
            for (const Model &model : models)
                model.expect_counted();
            EXPECT_EQ(os_heap_check(), 0);
        }
        if (random.one_in(3000)) {
            models[kind].expect_counted();
            refused[kind] += models[kind].refused();
            models[kind].destroy();
            models[kind].forget();
            models[kind] = make(kind);
        }
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        models[kind].expect_counted();
        refused[kind] += models[kind].refused();
        models[kind].destroy();
    }
    if (steps > 50000) {
        EXPECT_EQ(refused[0], 0u);
        EXPECT_GT(refused[3], 0u) << "the cap was never reached";
    }
    EXPECT_EQ(os_heap_check(), 0);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped, 0u);
}

} // namespace
} // namespace osmem
