/* Pages of small blocks of one size, which heaps cut once they are no longer small. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace osmem {
namespace {

constexpr size_t PAGE_BYTES = SLAB_GRANULES * GRANULE_BYTES;

/* The size of the blocks of the page around `ptr`; 0: it is on none. */
size_t page_granules(const char *ptr) {
    return region_of(ptr)->slab_granules[region_granule(ptr) / SLAB_GRANULES];
}

const char *page_start(const char *ptr) {
    return ptr - reinterpret_cast<uintptr_t>(ptr) % PAGE_BYTES;
}

size_t count_pages() {
    size_t count = 0;
    for (const struct region *region = thread_heap->regions; region; region = region->next) {
        for (uint8_t granules : region->slab_granules)
            count += granules != 0;
    }
    return count;
}

std::vector<char *> allocate_all(size_t count, size_t granules) {
    std::vector<char *> blocks;
    for (size_t i = 0; i < count; i++) {
        blocks.push_back(allocate(granules));
        fill(blocks.back(), granules * GRANULE_BYTES, i);
    }
    return blocks;
}

/* As many as `pages` pages hold, when none of this size is free. */
std::vector<char *> fill_pages(size_t pages, size_t granules) {
    return allocate_all(pages * (SLAB_GRANULES / granules), granules);
}

/* Frees every live block that lies on a page of small blocks, tails of pages too. */
void free_pages() {
    for (const Block &block : blocks()) {
        if (block.kind == OS_BLOCK_USED && is_on_page(block))
            os_free(block.start);
    }
}

size_t sbrk_calls() { return kernel::count(kernel::SBRK).calls; }

/* The compiler must not see what is done with freed and foreign pointers. */
__attribute__((noipa)) void release(void *ptr) { os_free(ptr); }
__attribute__((noipa)) char *resize(void *ptr, size_t granules) {
    return static_cast<char *>(os_realloc(ptr, granules * GRANULE_BYTES));
}

/* ---- how a page is cut ------------------------------------------------------------------------
 */

TEST(Slab, IsCutIntoEqualBlocksInAddressOrder) {
    for (size_t granules = 1; granules <= SLAB_MAX; granules++) {
        run_isolated([=] {
            outgrow_small_heap();
            char *first = allocate(granules);
            ASSERT_TRUE(is_at(first, PAGE_BYTES));
            size_t count = SLAB_GRANULES / granules;
            std::vector<char *> blocks = {first};
            for (size_t i = 1; i < count; i++) {
                blocks.push_back(allocate(granules));
                if (i <= quick_capacity(granules)) {
                    ASSERT_EQ(blocks[i], first + i * granules * GRANULE_BYTES);
                }
            }
            std::sort(blocks.begin(), blocks.end());
            for (size_t i = 0; i < count; i++)
                ASSERT_EQ(blocks[i], first + i * granules * GRANULE_BYTES) << "not all of it";
            EXPECT_EQ(page_granules(first), granules);
            size_t tail = SLAB_GRANULES % granules;
            if (tail != 0) {
                Block rest = block_at(first + count * granules * GRANULE_BYTES);
                EXPECT_EQ(rest.kind, OS_BLOCK_FREE);
                EXPECT_EQ(rest.granules(), tail);
            }
            const char *next = allocate(granules);
            EXPECT_TRUE(is_at(next, PAGE_BYTES)) << "the next page";
            EXPECT_EQ(count_pages(), 2u);
        });
        ASSERT_FALSE(HasFailure()) << granules << " granules";
    }
}

ISOLATED_TEST(Slab, HoldsNoLargerBlocks) {
    outgrow_small_heap();
    for (size_t granules = SLAB_MAX + 1; granules < SLAB_MAX + 10; granules++)
        EXPECT_EQ(page_granules(allocate(granules)), 0u);
    EXPECT_EQ(count_pages(), 0u);
}

ISOLATED_TEST(Slab, IsNotCutInASmallHeap) {
    for (size_t i = 0; i < 2000; i++)
        ASSERT_NE(allocate(1 + i % SLAB_MAX), nullptr);
    ASSERT_TRUE(heap_is_small(thread_heap));
    EXPECT_EQ(count_pages(), 0u);
}

/* Where `small` blocks of three granules lie when they are allocated between large ones. */
std::set<const char *> pages_of_mixture(size_t small) {
    std::set<const char *> pages;
    for (size_t i = 0; i < small; i++) {
        pages.insert(page_start(allocate(3)));
        if (allocate(120) == nullptr)
            ADD_FAILURE();
    }
    return pages;
}

TEST(Slab, KeepsBlocksOfOneSizeFromAmongLargeOnes) {
    run_isolated([] {
        EXPECT_EQ(pages_of_mixture(200).size(), 97u) << "neighbours, in a small heap";
        ASSERT_TRUE(heap_is_small(thread_heap));
    });
    run_isolated([] {
        outgrow_small_heap();
        std::set<const char *> pages = pages_of_mixture(200);
        EXPECT_EQ(pages.size(), (200 + 84) / (SLAB_GRANULES / 3));
        for (const char *page : pages) {
            for (size_t i = 0; i < SLAB_GRANULES / 3; i++)
                EXPECT_EQ(block_at(page + i * 3 * GRANULE_BYTES).granules(), 3u);
        }
    });
}

ISOLATED_TEST(Slab, LeavesATailThatIsUsed) {
    outgrow_small_heap();
    const char *page = allocate(24);
    const char *tail = page + 240 * GRANULE_BYTES;
    ASSERT_EQ(block_at(tail).granules(), 16u);
    EXPECT_EQ(allocate(16), tail);
    EXPECT_EQ(count_pages(), 1u);
    EXPECT_EQ(os_heap_check(), 0);
}

/* A free block of a page of larger ones, where no other memory is to be had. */
char *leave_one_block() {
    outgrow_small_heap();
    std::vector<char *> blocks = fill_pages(3, 20);
    exhaust_heap();
    os_free(blocks[17]);
    kernel::refuse_any(1);
    return blocks[17];
}

/* A block of the page is cut for a smaller one before the kernel's no is passed on. */
ISOLATED_TEST(Slab, ServesSmallerRequestsWhereMemoryIsShort) {
    char *block = leave_one_block();
    char *part = allocate(7);
    EXPECT_EQ(part, block);
    char *rest = allocate(13);
    EXPECT_EQ(rest, block + 7 * GRANULE_BYTES);
    EXPECT_EQ(os_heap_check(), 0);
    os_free(part);
    os_free(rest);
    EXPECT_EQ(os_heap_check(), 0);
    kernel::refuse_nothing();
    free_pages();
    merge_all();
    EXPECT_EQ(count_pages(), 0u) << "a page of several sizes is vacant as any";
    EXPECT_EQ(os_heap_check(), 0);
}

/* Small blocks that lie on no page are had as well before that: NULL is said when none is left. */
ISOLATED_TEST(Slab, IsNotTheOnlyPlaceWhereMemoryIsShort) {
    outgrow_small_heap();
    std::vector<char *> rests;
    for (size_t i = 0; i <= SLAB_MAX - 20; i++) {
        char *hole = allocate(100 + i);
        ASSERT_NE(allocate(40), nullptr);
        os_free(hole);
        ASSERT_EQ(allocate(80), hole);
        rests.push_back(hole + 80 * GRANULE_BYTES);
    }
    exhaust_heap();
    kernel::refuse_any(1);
    std::set<char *> taken;
    for (size_t i = 0; i <= SLAB_MAX - 20; i++)
        taken.insert(allocate(20));
    EXPECT_EQ(taken, std::set<char *>(rests.begin(), rests.end()));
    EXPECT_EQ(allocate(20), nullptr);
    EXPECT_EQ(os_heap_check(), 0);
    kernel::refuse_nothing();
}

/* ---- where a page ends ------------------------------------------------------------------------
 */

/* A full page between two other blocks, both at its edges. */
struct Between {
    std::vector<char *> page;
    char *left, *right;

    explicit Between(size_t granules) {
        outgrow_small_heap();
        size_t skip = -region_granule(untouched_end().start) & (SLAB_GRANULES - 1);
        allocate(skip + SLAB_GRANULES);
        left = allocate(SLAB_GRANULES);
        page = fill_pages(1, granules);
        merge_all(); /* the chunk is the untouched end again */
        right = allocate(300);
        allocate(SLAB_MAX + 1);
        EXPECT_EQ(left + PAGE_BYTES, page[0]);
        EXPECT_EQ(page[0] + PAGE_BYTES, right);
    }
};

ISOLATED_TEST(Slab, NeverMergesOverItsEdges) {
    Between between(8);
    char *first = between.page.front(), *last = between.page.back();
    for (bool page_first : {false, true}) {
        std::vector<char *> order = {between.left, between.right, first, last};
        if (page_first)
            std::rotate(order.begin(), order.begin() + 2, order.end());
        for (char *block : order)
            os_free(block);
        EXPECT_EQ(os_heap_check(), 0);
        merge_all();
        EXPECT_EQ(os_heap_check(), 0);
        EXPECT_EQ(block_at(between.left).granules(), size_t{SLAB_GRANULES});
        EXPECT_EQ(block_at(first).granules(), 8u);
        EXPECT_EQ(block_at(last).granules(), 8u);
        EXPECT_EQ(block_at(between.right).granules(), 300u);
        EXPECT_EQ((std::set<char *>{allocate(8), allocate(8)}), (std::set<char *>{first, last}));
        EXPECT_EQ(allocate(300), between.right);
        EXPECT_EQ(allocate(SLAB_GRANULES), between.left);
    }
}

/* Free blocks of a page are not merged with each other while one of it lives. */
ISOLATED_TEST(Slab, MergesNothingInsideWhileABlockLives) {
    outgrow_small_heap();
    std::vector<char *> page = fill_pages(1, 16);
    for (char *block : page) {
        if (block != page[5])
            os_free(block);
    }
    merge_all();
    EXPECT_EQ(os_heap_check(), 0);
    for (char *block : page)
        EXPECT_EQ(block_at(block).granules(), 16u);
    EXPECT_TRUE(is_filled(page[5], 16 * GRANULE_BYTES, 5));
    for (char *block : page) {
        if (block != page[5]) {
            EXPECT_EQ(page_start(allocate(16)), page[0]);
        }
    }
}

ISOLATED_TEST(Slab, IsNotGrownInto) {
    Between between(8);
    fill(between.left, PAGE_BYTES, 1);
    os_free(between.page[0]);
    char *moved = resize(between.left, SLAB_GRANULES + 1);
    ASSERT_NE(moved, nullptr);
    EXPECT_NE(moved, between.left);
    EXPECT_TRUE(is_filled(moved, PAGE_BYTES, 1));
    EXPECT_EQ(block_at(between.page[0]).granules(), 8u);
    EXPECT_EQ(os_heap_check(), 0);
}

/* ---- realloc -----------------------------------------------------------------------------------
 */

ISOLATED_TEST(Slab, MovesABlockThatGrows) {
    outgrow_small_heap();
    std::vector<char *> page = fill_pages(1, 10);
    os_free(page[4]);
    char *moved = resize(page[3], 11);
    ASSERT_NE(moved, nullptr);
    EXPECT_NE(moved, page[3]) << "although its neighbour is free";
    EXPECT_EQ(page_granules(moved), 11u);
    EXPECT_TRUE(is_filled(moved, 10 * GRANULE_BYTES, 3));
    EXPECT_EQ(block_at(page[3]).granules(), 10u);
    EXPECT_EQ(block_at(page[3]).kind, OS_BLOCK_FREE);
    EXPECT_EQ(os_heap_check(), 0);
}

ISOLATED_TEST(Slab, KeepsABlockThatShrinksAndUsesItsTail) {
    outgrow_small_heap();
    std::vector<char *> page = fill_pages(1, 10);
    ASSERT_EQ(resize(page[3], 4), page[3]);
    EXPECT_TRUE(is_filled(page[3], 4 * GRANULE_BYTES, 3));
    Block tail = block_at(page[3] + 4 * GRANULE_BYTES);
    EXPECT_EQ(tail.kind, OS_BLOCK_FREE);
    EXPECT_EQ(tail.granules(), 6u);
    EXPECT_EQ(allocate(6), tail.start);
    EXPECT_EQ(os_heap_check(), 0);
}

/* ---- misuse ------------------------------------------------------------------------------------
 */

std::string line(const void *ptr, const char *fact) {
    char text[200];
    snprintf(text, sizeof text, "osmem: os_free(): block 0x%lx %s\n",
             reinterpret_cast<unsigned long>(ptr), fact);
    return text;
}

#define EXPECT_MISUSE(ptr, fact)                                                                   \
    EXPECT_EXIT(release(ptr), testing::KilledBySignal(SIGABRT), testing::Eq(line(ptr, fact)))

ISOLATED_TEST(Slab, FindsADoubleFree) {
    outgrow_small_heap();
    std::vector<char *> page = fill_pages(1, 2);
    os_free(page[1]);
    EXPECT_MISUSE(page[1], "is already free");
    for (char *block : page) {
        if (block != page[1] && block != page[77])
            os_free(block);
    }
    waiting_flush(thread_heap);
    EXPECT_MISUSE(page[1], "is already free");
    EXPECT_MISUSE(page[100], "is already free");
    os_free(page[77]);
    merge_all();
    EXPECT_EQ(count_pages(), 0u);
    EXPECT_MISUSE(page[1], "lies inside a free block");
}

ISOLATED_TEST(Slab, FindsAFreeInsideABlock) {
    outgrow_small_heap();
    std::vector<char *> page = fill_pages(1, 24);
    EXPECT_MISUSE(page[3] + GRANULE_BYTES, "lies inside a live block");
    EXPECT_MISUSE(page[3] + 23 * GRANULE_BYTES, "lies inside a live block");
    os_free(page[3]);
    EXPECT_MISUSE(page[3] + GRANULE_BYTES, "lies inside a free block");
    EXPECT_MISUSE(page[0] + 240 * GRANULE_BYTES, "is already free");
    EXPECT_MISUSE(page[0] + 241 * GRANULE_BYTES, "lies inside a free block");
}

/* ---- pages of which nothing lives --------------------------------------------------------------
 */

/* Pages that are vacant serve a block of another size each, and are cut anew. */
ISOLATED_TEST(SlabVacant, IsCutAnew) {
    outgrow_small_heap();
    std::vector<char *> blocks = fill_pages(6, 4);
    size_t before = count_pages();
    std::set<const char *> pages;
    for (char *block : blocks) {
        pages.insert(page_start(block));
        os_free(block);
    }
    waiting_flush(thread_heap);
    for (char *block : fill_pages(6, 9))
        EXPECT_EQ(pages.count(page_start(block)), 1u);
    EXPECT_EQ(count_pages(), before);
    EXPECT_EQ(os_heap_check(), 0);
}

/* The heap is full, then all blocks on pages are freed: they are had again as large ones. */
TEST(SlabVacant, ServesALargeRequestBeforeTheHeapGrows) {
    for (size_t granules : {1, 7, 32}) {
        run_isolated([=] {
            outgrow_small_heap();
            fill_pages(64, granules);
            exhaust_heap();
            ASSERT_GE(count_pages(), 64u);
            size_t before = sbrk_calls();
            free_pages();
            EXPECT_EQ(os_heap_check(), 0);
            ASSERT_NE(allocate(8000), nullptr);
            EXPECT_EQ(sbrk_calls(), before) << granules;
            EXPECT_EQ(os_heap_check(), 0);
        });
    }
}

/* One that is vacant by blocks which all still lie in their quick set. */
ISOLATED_TEST(SlabVacant, IsFoundInTheQuickSets) {
    outgrow_small_heap();
    std::vector<char *> page = fill_pages(1, 32);
    ASSERT_LE(page.size(), quick_capacity(32));
    exhaust_heap();
    size_t before = sbrk_calls();
    for (char *block : page)
        os_free(block);
    ASSERT_EQ(quick_count(&thread_heap->quick[32], 32), page.size());
    /* malloc would ask the heap a second time, calloc does not. */
    EXPECT_EQ(os_calloc(1, PAGE_BYTES), page[0]);
    EXPECT_EQ(sbrk_calls(), before);
    EXPECT_EQ(os_heap_check(), 0);
}

/* The index was dropped and built anew, and what it knew of vacant pages with it. */
ISOLATED_TEST(SlabVacant, IsFoundAfterTheIndexWasBuiltAnew) {
    outgrow_small_heap();
    std::vector<char *> blocks = fill_pages(8, 5);
    exhaust_heap();
    size_t before = sbrk_calls();
    free_pages();
    index_rebuild(thread_heap);
    EXPECT_EQ(os_heap_check(), 0);
    ASSERT_NE(allocate(6 * SLAB_GRANULES), nullptr);
    EXPECT_EQ(sbrk_calls(), before);
    EXPECT_EQ(os_heap_check(), 0);
}

/* What is left of a block that was cut for a smaller one, and is to be cut next, goes with it. */
ISOLATED_TEST(SlabVacant, IsFoundWhereABlockWasCutLast) {
    char *only = leave_one_block();
    char *part = allocate(7);
    kernel::refuse_nothing();
    ASSERT_EQ(part, only);
    ASSERT_EQ(thread_heap->run, part + 7 * GRANULE_BYTES);
    free_pages();
    waiting_flush(thread_heap);
    ASSERT_EQ(thread_heap->run, part + 7 * GRANULE_BYTES);
    size_t anew = 0;
    for (char *block : fill_pages(64, 9))
        anew += page_start(block) == page_start(part);
    EXPECT_EQ(anew, SLAB_GRANULES / 9);
    EXPECT_EQ(os_heap_check(), 0);
}

ISOLATED_TEST(SlabVacant, IsGivenBackByTrim) {
    outgrow_small_heap();
    std::vector<char *> blocks = fill_pages(40, 2);
    char *kept = blocks[20 * SLAB_GRANULES / 2 + 11];
    for (char *block : blocks) {
        if (block != kept)
            os_free(block);
    }
    kernel::reset_counts();
    EXPECT_EQ(os_malloc_trim(0), 1);
    EXPECT_GE(kernel::count(kernel::MADVISE).bytes, 39 * PAGE_BYTES);
    EXPECT_EQ(count_pages(), 1u) << "but for the one of which a block lives";
    EXPECT_EQ(page_granules(kept), 2u);
    EXPECT_TRUE(is_filled(kept, 2 * GRANULE_BYTES, 20 * SLAB_GRANULES / 2 + 11));
    EXPECT_EQ(os_heap_check(), 0);
}

/* What is set aside for pages goes to others before the heap grows. */
ISOLATED_TEST(SlabChunk, ServesALargeRequestBeforeTheHeapGrows) {
    outgrow_small_heap();
    while (untouched_end().size > 100 * KIB)
        ASSERT_NE(allocate(4000), nullptr);
    ASSERT_NE(allocate(1), nullptr);
    struct free_block chunk = thread_heap->chunk;
    ASSERT_NE(chunk.start, nullptr);
    ASSERT_NE(allocate(untouched_end().granules()), nullptr);
    ASSERT_EQ(thread_heap->chunk.start, chunk.start);
    size_t before = sbrk_calls();
    EXPECT_EQ(allocate(chunk.granules), chunk.start);
    EXPECT_EQ(sbrk_calls(), before);
    EXPECT_EQ(thread_heap->chunk.start, nullptr);
    EXPECT_EQ(os_heap_check(), 0);
}

/* It is no block for who looks at all free blocks, where the index has no memory. */
ISOLATED_TEST(SlabChunk, IsNotHandedOutTwiceWithoutAnIndex) {
    outgrow_small_heap();
    char *room = static_cast<char *>(os_aligned_alloc(PAGE_BYTES, 3 * PAGE_BYTES));
    ASSERT_NE(allocate(40), nullptr);
    char *hole = allocate(40);
    ASSERT_NE(allocate(40), nullptr);
    os_free(room);
    char *first = allocate(31);
    ASSERT_EQ(first, room);
    ASSERT_EQ(thread_heap->chunk.start, room + PAGE_BYTES);
    waiting_flush(thread_heap);
    bins_reset(&thread_heap->bins);
    thread_heap->bins.spare = nullptr;
    thread_heap->bins.unused = thread_heap->bins.unused_end;
    kernel::refuse(kernel::MMAP);
    os_free(hole);
    index_rebuild(thread_heap);
    ASSERT_TRUE(thread_heap->bins.incomplete);
    ASSERT_GE(untouched_end().granules(), 100u);
    char *large = allocate(100);
    fill(large, 100 * GRANULE_BYTES, 1);
    for (size_t i = 0; i < 4 * SLAB_GRANULES / 31; i++)
        fill(allocate(31), 31 * GRANULE_BYTES, 2);
    EXPECT_TRUE(is_filled(large, 100 * GRANULE_BYTES, 1)) << "another block lies on it";
    kernel::refuse_nothing();
}

/* ---- heaps of other threads --------------------------------------------------------------------
 */

/* A heap that takes over one with pages has all their blocks, and knows what is vacant. */
ISOLATED_TEST(SlabAdopted, StaysUsable) {
    outgrow_small_heap();
    std::vector<char *> live;
    size_t freed = 0;
    std::thread([&] {
        outgrow_small_heap();
        std::vector<char *> blocks = fill_pages(100, 6);
        fill_pages(100, 11);
        for (size_t i = 0; i < blocks.size(); i++) {
            if (i % 10 == 0) {
                live.push_back(blocks[i]);
                fill(blocks[i], 6 * GRANULE_BYTES, i);
            } else {
                os_free(blocks[i]);
                freed++;
            }
        }
        for (const Block &block : osmem::blocks()) {
            if (block.kind == OS_BLOCK_USED && is_on_page(block) &&
                page_granules(block.start) == 11)
                os_free(block.start);
        }
    }).join();
    size_t before = sbrk_calls();
    const struct heap *theirs = thread_first_heap()->next;
    ASSERT_NE(theirs, nullptr);
    while (theirs->merged_into == nullptr)
        ASSERT_NE(allocate(8000), nullptr);
    ASSERT_EQ(sbrk_calls(), before) << "it grew instead";
    EXPECT_EQ(os_heap_check(), 0);
    size_t reused = 0;
    for (size_t i = 0; i < freed; i++) {
        char *block = allocate(6);
        reused += region_of(block) == region_of(live[0]) && page_granules(block) == 6;
        fill(block, 6 * GRANULE_BYTES, i);
    }
    EXPECT_EQ(reused, freed) << "blocks of pages were lost";
    size_t index = 0;
    for (char *block : live)
        EXPECT_TRUE(is_filled(block, 6 * GRANULE_BYTES, 10 * index++));
    EXPECT_EQ(os_heap_check(), 0);
    merge_all();
    for (const struct region *region = thread_heap->regions; region; region = region->next) {
        for (uint8_t granules : region->slab_granules)
            EXPECT_NE(granules, 11u) << "a vacant page was forgotten";
    }
}

/* ---- other zones, and heaps without pages
 * ----------------------------------------------------------------------- */

/* Blocks of every small size come and go; what is free is used again. */
void expect_bounded_churn() {
    std::mt19937_64 random(81);
    std::vector<std::pair<char *, size_t>> live(3000, {nullptr, 0});
    size_t settled = 0;
    for (size_t step = 0; step < scaled(200000); step++) {
        auto &[block, granules] = live[random() % live.size()];
        if (block != nullptr) {
            ASSERT_TRUE(is_filled(block, granules * GRANULE_BYTES, granules));
        }
        os_free(block);
        granules = 1 + random() % 40;
        block = allocate(granules);
        fill(block, granules * GRANULE_BYTES, granules);
        if (step % 10000 == 0) {
            ASSERT_EQ(os_heap_check(), 0) << "step " << step;
        }
        os_stats stats;
        if (step == scaled(200000) / 4) {
            os_malloc_stats(&stats);
            settled = stats.heap;
        }
    }
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_LE(stats.heap, settled + settled / 8) << "free blocks are not used again";
}

ISOLATED_TEST(Slab, IsNotCutWhereSizesAreCounted) {
    allocate(1); /* reads the options */
    conf.requested = true;
    outgrow_small_heap();
    expect_bounded_churn();
    std::vector<char *> blocks = allocate_all(4000, 3);
    std::set<char *> holes;
    for (size_t i = 0; i < blocks.size(); i += 2) {
        holes.insert(blocks[i]);
        os_free(blocks[i]);
    }
    size_t used_again = 0;
    for (size_t i = 0; i < holes.size(); i++)
        used_again += holes.count(allocate(3));
    EXPECT_EQ(used_again, holes.size()) << "small blocks were not found again";
    EXPECT_EQ(count_pages(), 0u);
}

/* In regions that the fast paths and the quick sets do not know. */
ISOLATED_TEST(Slab, IsAsGoodInAFarZone) {
    region_near.base = REGION_BYTES;
    outgrow_small_heap();
    ASSERT_GE(region_number(allocate(1)), NEAR_GRANULES);
    expect_bounded_churn();
    EXPECT_GT(count_pages(), 10u);
    exhaust_heap();
    size_t before = sbrk_calls();
    free_pages();
    EXPECT_EQ(os_heap_check(), 0);
    for (size_t i = 0; i < 10; i++)
        ASSERT_NE(allocate(2 * SLAB_GRANULES), nullptr);
    EXPECT_EQ(sbrk_calls(), before);
    merge_all();
    EXPECT_EQ(count_pages(), 0u);
}

} // namespace
} // namespace osmem
