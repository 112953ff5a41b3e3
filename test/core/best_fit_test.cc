/*
 * Which free block a request gets: the smallest that holds it, found here by looking at all of them
 * through os_heap_walk before each request.
 */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

namespace osmem {
namespace {

/* The size of the smallest block that holds `size`; 0 if none does. */
size_t best_size(const std::vector<Block> &among, size_t size) {
    size_t best = 0;
    for (const Block &block : among) {
        if (block.size >= size && (best == 0 || block.size < best))
            best = block.size;
    }
    return best;
}

const Block *starting_at(const std::vector<Block> &among, const void *ptr) {
    for (const Block &block : among) {
        if (block.start == ptr)
            return &block;
    }
    return nullptr;
}

/*
 * In a large heap a small block is another one of just its size on a page of such, or the first of
 * a new page, as long as there is memory for one.
 */
void expect_from_page(const std::vector<Block> &lie, size_t end, const char *ptr, size_t size) {
    bool has_exact = std::any_of(lie.begin(), lie.end(), [&](const Block &block) {
        return block.size == size && is_on_page(block);
    });
    const Block *taken = starting_at(lie, ptr);
    if (taken != nullptr && taken->size == size)
        return;
    EXPECT_FALSE(has_exact) << "a block of a page was passed over for " << size;
    if (end >= 2 * SLAB_GRANULES * GRANULE_BYTES) {
        EXPECT_EQ(region_of(ptr)->slab_granules[region_granule(ptr) / SLAB_GRANULES],
                  size / GRANULE_BYTES)
            << "not on a page of its size";
    }
}

/* What the heap chooses from for other blocks: the chunk is set aside for pages. */
std::vector<Block> eligible_blocks() {
    std::vector<Block> lie = free_blocks();
    lie.erase(
        std::remove_if(lie.begin(), lie.end(),
                       [](const Block &block) { return block.start == thread_heap->chunk.start; }),
        lie.end());
    return lie;
}

/* Allocates, and demands that no better block was passed over. */
char *allocate_best(size_t granules) {
    size_t size = granules * GRANULE_BYTES, end = untouched_end().size;
    std::vector<Block> lie = eligible_blocks(), runs = free_runs();
    bool is_small = heap_is_small(thread_heap);
    size_t sbrk_before = kernel::count(kernel::SBRK).calls;
    const void *run = thread_heap->run;
    char *ptr = static_cast<char *>(os_malloc(size));
    EXPECT_NE(ptr, nullptr);
    bool grew = kernel::count(kernel::SBRK).calls != sbrk_before;

    if (!is_small && granules <= SLAB_MAX) {
        EXPECT_FALSE(grew && best_size(runs, size) != 0);
        expect_from_page(lie, end, ptr, size);
        return ptr;
    }
    size_t best = best_size(lie, size);
    if (best != 0) {
        const Block *taken = starting_at(lie, ptr);
        EXPECT_TRUE(taken != nullptr) << "a block of " << best << " was passed over for " << size;
        if (taken != nullptr) {
            EXPECT_EQ(taken->size, best) << "for " << size;
            if (best > size) {
                EXPECT_EQ(block_at(ptr + size).kind == OS_BLOCK_USED, false)
                    << "what was cut off is not free";
            }
            for (const Block &block : lie) {
                if (block.size == best && best >= LARGE_MIN * GRANULE_BYTES && ptr != run) {
                    EXPECT_GE(block.start, ptr) << "not the lowest of the large ones";
                }
            }
        }
        EXPECT_FALSE(grew);
        return ptr;
    }
    best = best_size(runs, size);
    if (best == 0)
        return ptr;
    /* Neighbours would hold it if they were merged. */
    EXPECT_FALSE(grew) << "the heap grew while " << best << " bytes of neighbours hold " << size;
    if (is_small) {
        const Block *taken = starting_at(runs, ptr);
        EXPECT_TRUE(taken != nullptr) << "not at the start of merged neighbours";
        if (taken != nullptr) {
            EXPECT_EQ(taken->size, best);
        }
    }
    return ptr;
}

using Draw = std::function<size_t(std::mt19937_64 &)>;

size_t draw_small(std::mt19937_64 &random) { return 1 + random() % 64; }
size_t draw_medium(std::mt19937_64 &random) { return 1 + random() % 2047; }
size_t draw_large(std::mt19937_64 &random) { return 1500 + random() % 6690; }
size_t draw_any(std::mt19937_64 &random) {
    switch (random() % 4) {
    case 0:
        return draw_medium(random);
    case 1:
        return draw_large(random);
    default:
        return draw_small(random);
    }
}

/* Holes of all sizes, each alone between blocks in use; then requests until all are filled. */
void fill_holes(size_t holes, const Draw &draw, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<char *> blocks;
    for (size_t i = 0; i < holes; i++) {
        blocks.push_back(allocate(draw(random)));
        ASSERT_NE(blocks.back(), nullptr);
        ASSERT_NE(allocate(1), nullptr);
    }
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (char *block : blocks)
        os_free(block);
    for (size_t i = 0; i < 2 * holes; i++) {
        allocate_best(draw(random));
        if (testing::Test::HasFailure())
            FAIL() << "request " << i << ", seed " << seed;
    }
}

ISOLATED_TEST(BestFit, AmongHundredsOfSmallHoles) { fill_holes(scaled(800), draw_small, 41); }
ISOLATED_TEST(BestFit, AmongHundredsOfMediumHoles) { fill_holes(scaled(600), draw_medium, 42); }
ISOLATED_TEST(BestFit, AmongHundredsOfLargeHoles) { fill_holes(scaled(400), draw_large, 43); }
ISOLATED_TEST(BestFit, AmongHundredsOfHolesOfAllSizes) { fill_holes(scaled(800), draw_any, 44); }

/*
 * Every size once: each request has one block that fits exactly. All of it lies in one region. In a
 * large heap blocks of up to SLAB_MAX granules are not cut off these.
 */
enum Order { SHUFFLED, RISING, FALLING };

void fill_exactly(Order order, bool is_small) {
    std::mt19937_64 random(45);
    std::vector<size_t> sizes;
    if (!is_small) {
        ASSERT_NE(allocate(1), nullptr);
        outgrow_small_heap();
    }
    const size_t guard = is_small ? 1 : SLAB_MAX + 1;
    for (size_t granules = guard; granules <= (is_small ? 200u : 280u);
         granules += is_paranoid() ? 7 : 1)
        sizes.push_back(granules);
    for (size_t granules = 401; granules < (is_small ? 1000u : 8192u);
         granules += is_paranoid() ? 1331 : 331)
        sizes.push_back(granules);
    std::shuffle(sizes.begin(), sizes.end(), random);
    std::vector<std::pair<size_t, char *>> holes;
    for (size_t granules : sizes) {
        holes.emplace_back(granules, allocate(granules));
        ASSERT_NE(allocate(guard), nullptr);
    }
    ASSERT_EQ(heap_is_small(thread_heap), is_small);
    std::shuffle(holes.begin(), holes.end(), random);
    for (const auto &[granules, ptr] : holes)
        os_free(ptr);
    if (order == RISING)
        std::sort(holes.begin(), holes.end());
    else if (order == FALLING)
        std::sort(holes.rbegin(), holes.rend());
    else
        std::shuffle(holes.begin(), holes.end(), random);
    for (const auto &[granules, ptr] : holes)
        ASSERT_EQ(allocate(granules), ptr) << granules;
}

class BestFitOf : public testing::TestWithParam<bool> {};

TEST_P(BestFitOf, TakesTheBlockThatFitsExactly) {
    run_isolated([] { fill_exactly(SHUFFLED, GetParam()); });
}
TEST_P(BestFitOf, TakesTheBlockThatFitsExactlyInRisingOrder) {
    run_isolated([] { fill_exactly(RISING, GetParam()); });
}
TEST_P(BestFitOf, TakesTheBlockThatFitsExactlyInFallingOrder) {
    run_isolated([] { fill_exactly(FALLING, GetParam()); });
}

INSTANTIATE_TEST_SUITE_P(Heap, BestFitOf, testing::Bool(),
                         [](const testing::TestParamInfo<bool> &is_small) {
                             return is_small.param ? "Small" : "Large";
                         });

/* A block a granule larger is cut rather than passed over for a larger one. */
ISOLATED_TEST(BestFit, CutsASingleGranuleOff) {
    char *larger = allocate(30);
    ASSERT_NE(allocate(1), nullptr);
    char *closer = allocate(11);
    ASSERT_NE(allocate(1), nullptr);
    os_free(closer);
    os_free(larger);
    char *ptr = allocate(10);
    EXPECT_EQ(ptr, closer);
    EXPECT_LE(os_malloc_usable_size(ptr), 11 * GRANULE_BYTES);
}

ISOLATED_TEST(BestFit, PrefersTheLowestAmongEqualLargeBlocks) {
    std::mt19937_64 random(46);
    std::vector<char *> blocks;
    for (int i = 0; i < 12; i++) {
        blocks.push_back(allocate(3000));
        ASSERT_NE(allocate(1), nullptr);
    }
    std::vector<char *> order = blocks;
    std::shuffle(order.begin(), order.end(), random);
    for (char *block : order)
        os_free(block);
    char *last = allocate(700); /* the block freed last comes first */
    EXPECT_EQ(last, order.back());
    for (char *block : blocks) {
        if (block != last) {
            EXPECT_EQ(allocate(2900), block);
        }
    }
}

ISOLATED_TEST(BestFit, NeverTakesTheUntouchedEndWhileABlockFits) {
    char *hole = allocate(5000);
    ASSERT_NE(allocate(1), nullptr);
    os_free(hole);
    ASSERT_GE(untouched_end().size, 100 * GRANULE_BYTES);
    for (char *next = hole; next < hole + 5000 * GRANULE_BYTES; next += 100 * GRANULE_BYTES)
        ASSERT_EQ(allocate(100), next);
    Block end = untouched_end();
    EXPECT_EQ(allocate(1), end.start);
}

/* Blocks come and go; neighbours lie free unmerged, in quick sets, bins and tree. */
void churn(size_t live, size_t steps, const Draw &draw, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::pair<char *, size_t>> blocks;
    for (size_t step = 0; step < steps; step++) {
        if (blocks.size() < live / 2 || (blocks.size() < live && random() % 2)) {
            size_t granules = draw(random);
            blocks.emplace_back(allocate_best(granules), granules);
            fill(blocks.back().first, granules * GRANULE_BYTES, step);
            if (testing::Test::HasFailure())
                FAIL() << "step " << step << ", seed " << seed;
        } else {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            os_free(blocks.back().first);
            blocks.pop_back();
        }
        if (step % 1000 == 0) {
            ASSERT_EQ(os_heap_check(), 0) << "step " << step << ", seed " << seed;
        }
    }
}

ISOLATED_TEST(BestFit, HoldsInAChurnOfASmallHeap) { churn(300, scaled(20000), draw_small, 47); }
ISOLATED_TEST(BestFit, HoldsInAChurnOfSmallBlocks) { churn(4000, scaled(12000), draw_small, 48); }
ISOLATED_TEST(BestFit, HoldsInAChurnOfMediumBlocks) { churn(600, scaled(12000), draw_medium, 49); }
ISOLATED_TEST(BestFit, HoldsInAChurnOfLargeBlocks) { churn(300, scaled(12000), draw_large, 50); }
ISOLATED_TEST(BestFit, HoldsInAChurnOfAllSizes) { churn(1000, scaled(12000), draw_any, 51); }

} // namespace
} // namespace osmem
