/* The contract of heaps of one's own: bounds, memory that is lent, destruction, what there is. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"
#include "test/heaps/own.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace osmem {
namespace {

constexpr size_t HEADER = REGION_FIRST * GRANULE_BYTES;
/* The largest block of a region. */
constexpr size_t LARGEST = REGION_CAPACITY * GRANULE_BYTES;

/* No compiler knows that it is too large. */
volatile size_t enormous = SIZE_MAX;

char *take(os_heap *heap, size_t size) { return static_cast<char *>(os_heap_malloc(heap, size)); }

/* NULL with this error. */
void expect_refused(const os_heap_options &options, int error) {
    errno = 0;
    EXPECT_EQ(os_heap_create(&options), nullptr);
    EXPECT_EQ(errno, error);
}

void expect_exhausted(os_heap *heap, size_t size) {
    errno = 0;
    EXPECT_EQ(os_heap_malloc(heap, size), nullptr) << size;
    EXPECT_EQ(errno, ENOMEM);
}

/* ---- blocks -----------------------------------------------------------------------------------
 */

ISOLATED_TEST(OwnHeap, ServesEveryKindOfRequest) {
    os_heap *heap = os_heap_create(nullptr);
    ASSERT_NE(heap, nullptr);
    char *block = take(heap, 100);
    EXPECT_TRUE(is_at(block, 16));
    EXPECT_EQ(os_heap_malloc_usable_size(heap, block), 112u);
    fill(block, 112, 1);
    char *aligned = static_cast<char *>(os_heap_aligned_alloc(heap, 4096, 100));
    EXPECT_TRUE(is_at(aligned, 4096));
    char *zero = static_cast<char *>(os_heap_calloc(heap, 10, 10));
    EXPECT_TRUE(is_zero(zero, 100));
    char *moved = static_cast<char *>(os_heap_realloc(heap, block, 5000));
    EXPECT_NE(moved, block) << "the aligned block's free memory lies behind, not that much";
    EXPECT_TRUE(is_filled(moved, 100, 1));
    char *mapped = take(heap, 1000000);
    EXPECT_TRUE(is_at(mapped, system_page()));
    EXPECT_EQ(region_owner(mapped), nullptr);
    for (char *each : {aligned, zero, moved, mapped})
        os_heap_free(heap, each);
    os_heap_free(heap, nullptr);
    EXPECT_EQ(stats_of(heap).allocated, 0u);
    EXPECT_EQ(stats_of(heap).mapped, 0u);
    os_heap_destroy(heap);
}

ISOLATED_TEST(OwnHeap, TreatsSizesAndErrnoAsTheOthers) {
    os_heap *heap = os_heap_create(nullptr);
    errno = 7;
    EXPECT_EQ(os_heap_malloc(heap, 0), nullptr);
    EXPECT_EQ(os_heap_calloc(heap, 0, 5), nullptr);
    EXPECT_EQ(os_heap_aligned_alloc(heap, 64, 0), nullptr);
    EXPECT_EQ(os_heap_realloc(heap, take(heap, 10), 0), nullptr);
    void *block = os_heap_realloc(heap, nullptr, 10);
    EXPECT_NE(block, nullptr);
    EXPECT_EQ(os_heap_malloc_usable_size(heap, nullptr), 0u);
    os_heap_free(heap, block);
    EXPECT_EQ(errno, 7);
    expect_exhausted(heap, SIZE_MAX);
    expect_exhausted(heap, size_t{PTRDIFF_MAX} + 1);
    errno = 0;
    EXPECT_EQ(os_heap_calloc(heap, enormous / 2, 4), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
    EXPECT_EQ(os_heap_aligned_alloc(heap, 48, 10), nullptr);
    EXPECT_EQ(errno, EINVAL);
    os_heap_destroy(heap);
    os_heap_destroy(nullptr);
}

/* Best fit, splitting and merging, as test/core shows of threads' heaps. */
ISOLATED_TEST(OwnHeap, PlacesBlocksAsAThreadsHeap) {
    os_heap *heap = os_heap_create(nullptr);
    char *a = take(heap, 160), *wall = take(heap, 16), *b = take(heap, 320);
    char *other_wall = take(heap, 16), *c = take(heap, 240), *last = take(heap, 16);
    EXPECT_EQ(wall, a + 160);
    EXPECT_EQ(last, c + 240);
    for (char *hole : {a, b, c})
        os_heap_free(heap, hole);
    EXPECT_EQ(take(heap, 176), c) << "the smallest that holds it";
    EXPECT_EQ(take(heap, 64), c + 176) << "what was left of it";
    os_heap_free(heap, other_wall);
    EXPECT_EQ(take(heap, 336), b) << "two free neighbours are one";
    os_heap_destroy(heap);
}

ISOLATED_TEST(OwnHeap, GrowsInPlaceOverFreeNeighbours) {
    os_heap *heap = os_heap_create(nullptr);
    char *block = take(heap, 160), *next = take(heap, 160), *wall = take(heap, 16);
    os_heap_free(heap, next);
    EXPECT_EQ(os_heap_realloc(heap, block, 240), block);
    EXPECT_EQ(os_heap_realloc(heap, block, 320), block);
    EXPECT_EQ(os_heap_realloc(heap, block, 16), block);
    EXPECT_EQ(take(heap, 304), block + 16) << "the tail is given back";
    /* At the untouched end, too. */
    EXPECT_EQ(os_heap_realloc(heap, wall, 100000), wall);
    os_heap_destroy(heap);
}

ISOLATED_TEST(OwnHeap, TakesBlocksThatPlainCallsFreeAndResize) {
    os_heap *heap = os_heap_create(nullptr);
    char *block = take(heap, 1000), *mapped = take(heap, 300000);
    fill(block, 1000, 1);
    fill(mapped, 300000, 2);
    EXPECT_EQ(os_malloc_usable_size(block), 1008u);
    take(heap, 16);
    char *moved = static_cast<char *>(os_realloc(block, 2000));
    EXPECT_NE(moved, block);
    EXPECT_TRUE(is_filled(moved, 1000, 1));
    EXPECT_EQ(os_heap_malloc_usable_size(heap, moved), 2000u) << "it stays in its heap";
    char *larger = static_cast<char *>(os_realloc(mapped, 3000000));
    EXPECT_TRUE(is_filled(larger, 300000, 2));
    EXPECT_EQ(stats_of(heap).mapped, align_up(3000000, system_page()));
    char *smaller = static_cast<char *>(os_realloc(larger, 500));
    EXPECT_TRUE(is_filled(smaller, 500, 2));
    EXPECT_EQ(os_heap_malloc_usable_size(heap, smaller), 512u);
    EXPECT_EQ(stats_of(heap).mapped, 0u);
    os_free(smaller);
    os_free_sized(moved, 2000);
    EXPECT_EQ(stats_of(heap).allocated, 16u);
    EXPECT_EQ(take(heap, 2000), moved) << "what os_free freed is taken in";
    os_heap_destroy(heap);
}

/* What each block was asked for, where that is kept; and no memory for it stays behind. */
ISOLATED_TEST(OwnHeap, CountsWhatWasAskedFor) {
    setenv("OSMEM_CONF", "requested:on,guard:off", 1);
    size_t before = kernel::mapped_bytes();
    os_heap *heap = os_heap_create(nullptr);
    char *block = take(heap, 100);
    EXPECT_EQ(stats_of(heap).requested, 100u);
    EXPECT_EQ(os_heap_realloc(heap, block, 201), block);
    EXPECT_EQ(stats_of(heap).requested, 201u);
    EXPECT_GT(kernel::mapped_bytes(), before);
    os_heap_destroy(heap);
    EXPECT_EQ(kernel::mapped_bytes(), before);
}

/* ---- the cap -----------------------------------------------------------------------------------
 */

TEST(Cap, BoundsBlocksOfEverySizeTogether) {
    for (size_t cap : {size_t{16}, size_t{1000}, 64 * KIB, MIB, 6 * MIB, 20 * MIB}) {
        run_isolated([cap] {
            os_heap *heap = create(capped(cap));
            std::mt19937_64 random(cap);
            std::vector<void *> live;
            size_t refused = 0;
            for (size_t i = 0; i < scaled(2000); i++) {
                size_t size = random() % 10 == 0 ? random() % MIB : 1 + random() % 3000;
                void *block = os_heap_malloc(heap, size);
                refused += block == nullptr && size != 0;
                live.push_back(block);
                if (random() % 3 == 0)
                    std::swap(live[random() % live.size()], live.back());
                if (i % 3 == 0) {
                    os_heap_free(heap, live.back());
                    live.pop_back();
                }
                ASSERT_LE(bounded_bytes(heap), cap);
            }
            if (scaled(2000) == 2000) {
                EXPECT_GT(refused, 0u);
            }
            os_heap_destroy(heap);
        });
    }
}

ISOLATED_TEST(OwnHeap, ReallocToNothingFrees) {
    os_heap *heap = create(options());
    for (size_t size : {100 * KIB, 1 * MIB})
        EXPECT_EQ(os_heap_realloc(heap, os_heap_malloc(heap, size), 0), nullptr);
    EXPECT_EQ(stats_of(heap).allocated_blocks, 0u);
    EXPECT_EQ(stats_of(heap).mapped_blocks, 0u);
    os_heap_destroy(heap);
}

ISOLATED_TEST(Destroy, UnmapsWhatItNotedOfRequests) {
    SKIP_IF_PARANOID();
    setenv("OSMEM_CONF", "requested:on", 1);
    os_heap_destroy(create(options()));
    size_t mapped = kernel::mapped_bytes();
    for (size_t i = 0; i < 3; i++) {
        os_heap *heap = create(options());
        EXPECT_NE(os_heap_malloc(heap, 100), nullptr);
        os_heap_destroy(heap);
        EXPECT_EQ(kernel::mapped_bytes(), mapped);
    }
}

ISOLATED_TEST(Cap, CanBeUsedToTheLastGranule) {
    os_heap *heap = create(capped(MIB));
    size_t count = 0;
    while (os_heap_malloc(heap, 1024) != nullptr)
        count++;
    EXPECT_EQ(count, 1024u);
    expect_exhausted(heap, 1);
    os_heap_destroy(heap);
    heap = create(capped(40));
    EXPECT_NE(os_heap_malloc(heap, 32), nullptr);
    expect_exhausted(heap, 1);
    os_heap_destroy(heap);
}

ISOLATED_TEST(Cap, CountsMappedBlocksUntilTheyAreFreed) {
    os_heap *heap = create(capped(10 * MIB));
    void *block = os_heap_malloc(heap, 8 * MIB);
    ASSERT_NE(block, nullptr);
    expect_exhausted(heap, 8 * MIB);
    errno = 0;
    EXPECT_EQ(os_heap_realloc(heap, block, 11 * MIB), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    block = os_heap_realloc(heap, block, 9 * MIB);
    ASSERT_NE(block, nullptr);
    expect_exhausted(heap, MIB + 1);
    os_free(block);
    block = os_heap_malloc(heap, 9 * MIB);
    EXPECT_NE(block, nullptr);
    os_heap_destroy(heap);
}

ISOLATED_TEST(Cap, LetsAMappedBlockGrowToTheLastByte) {
    os_heap *heap = create(capped(64 * MIB));
    size_t empty = bounded_bytes(heap);
    os_heap_destroy(heap);
    heap = create(capped(empty + 8 * MIB));
    void *block = os_heap_realloc(heap, os_heap_malloc(heap, 4 * MIB), 8 * MIB);
    EXPECT_NE(block, nullptr);
    EXPECT_EQ(bounded_bytes(heap), empty + 8 * MIB);
    os_heap_destroy(heap);
}

/* Smaller it can always be: where it is, when nothing else has room. */
ISOLATED_TEST(Cap, LetsAMappedBlockShrinkBesideAFullHeap) {
    os_heap *heap = create(capped(MIB));
    char *mapped = take(heap, MIB - HEAP_PREALLOCATION);
    ASSERT_EQ(region_owner(mapped), nullptr);
    fill(mapped, 1000, 1);
    while (os_heap_malloc(heap, 1024) != nullptr) {
    }
    EXPECT_EQ(os_heap_realloc(heap, mapped, 1000), mapped);
    EXPECT_TRUE(is_filled(mapped, 1000, 1));
    EXPECT_EQ(os_heap_check_of(heap), 0);
    /* One that has no room to grow is as it was. */
    char *small = take(heap, 1);
    EXPECT_EQ(small, nullptr);
    os_heap_free(heap, mapped);
    EXPECT_NE(os_heap_malloc(heap, 1024), nullptr);
    os_heap_destroy(heap);
}

/* What may not be mapped beside much free memory of the regions lies in these. */
ISOLATED_TEST(Cap, LetsLargeBlocksLieInRegions) {
    os_heap *heap = create(capped(MIB));
    std::vector<void *> small;
    while (void *block = os_heap_malloc(heap, 1024))
        small.push_back(block);
    for (void *block : small)
        os_heap_free(heap, block);
    char *large = take(heap, MIB);
    ASSERT_NE(large, nullptr);
    EXPECT_NE(region_owner(large), nullptr);
    fill(large, MIB, 1);
    EXPECT_EQ(os_heap_realloc(heap, large, MIB - 16), large);
    EXPECT_EQ(os_heap_realloc(heap, large, MIB), large);
    os_heap_destroy(heap);
}

struct Calls {
    os_heap *heap;
    size_t count, size;
    int answer;
    std::vector<void *> to_free;
};

int note_call(os_heap *heap, size_t size, void *context) {
    auto *calls = static_cast<Calls *>(context);
    EXPECT_EQ(heap, calls->heap);
    /* No lock is held: all calls may be made, of this heap and of others. */
    EXPECT_EQ(os_heap_check(), 0);
    EXPECT_EQ(os_heap_check_of(heap), 0);
    calls->count++;
    calls->size = size;
    for (void *block : calls->to_free)
        os_heap_free(heap, block);
    calls->to_free.clear();
    return calls->answer;
}

os_heap *create_calling(Calls &calls, os_heap_options with) {
    with.exhausted = note_call;
    with.context = &calls;
    return calls.heap = create(with);
}

ISOLATED_TEST(Exhausted, IsCalledOnceAndThenItIsTriedAgain) {
    Calls calls = {};
    os_heap *heap = create_calling(calls, capped(64 * KIB));
    char *block = take(heap, 64 * KIB);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(calls.count, 0u);
    expect_exhausted(heap, 100);
    EXPECT_EQ(calls.count, 1u);
    EXPECT_EQ(calls.size, 100u);
    calls.answer = 1;
    expect_exhausted(heap, 100);
    EXPECT_EQ(calls.count, 2u) << "once for a request";
    calls.to_free = {block};
    EXPECT_EQ(take(heap, 100), block);
    EXPECT_EQ(calls.count, 3u);
}

ISOLATED_TEST(Exhausted, IsNotTriedAgainWhenItSaysNo) {
    Calls calls = {};
    os_heap *heap = create_calling(calls, capped(64 * KIB));
    calls.to_free = {os_heap_malloc(heap, 64 * KIB)};
    expect_exhausted(heap, 100);
    EXPECT_EQ(calls.count, 1u);
    EXPECT_NE(os_heap_malloc(heap, 100), nullptr);
}

ISOLATED_TEST(Exhausted, IsNotAskedForWhatCanNeverBe) {
    Calls calls = {};
    calls.answer = 1;
    os_heap *heap = create_calling(calls, capped(64 * KIB));
    expect_exhausted(heap, 64 * KIB + 1);
    expect_exhausted(heap, SIZE_MAX);
    EXPECT_EQ(os_heap_calloc(heap, enormous, 2), nullptr);
    EXPECT_EQ(calls.count, 0u);
}

ISOLATED_TEST(Exhausted, MakesRoomForBlocksThatGrow) {
    Calls calls = {};
    calls.answer = 1;
    os_heap *heap = create_calling(calls, capped(4096));
    char *block = take(heap, 1024), *rest = take(heap, 3072);
    fill(block, 1024, 5);
    calls.to_free = {rest};
    EXPECT_EQ(os_realloc(block, 2048), block);
    EXPECT_TRUE(is_filled(block, 1024, 5));
    EXPECT_EQ(calls.count, 1u);
    EXPECT_EQ(calls.size, 2048u);
    EXPECT_EQ(os_heap_realloc(heap, block, 4097), nullptr);
    EXPECT_TRUE(is_filled(block, 1024, 5));
}

/* ---- memory that is lent -----------------------------------------------------------------------
 */

TEST(Lent, IsUsedAndNothingElse) {
    for (size_t offset : {size_t{0}, size_t{1}, size_t{16}, 100 * KIB + 3, OS_HEAP_ALIGNMENT - 1}) {
        for (size_t usable : {HEADER + 1 * KIB + 7, size_t{1000001}, REGION_BYTES, 9 * MIB + 5}) {
            run_isolated([=] {
                size_t skipped = offset == 0 ? 0 : OS_HEAP_ALIGNMENT - offset;
                size_t size = skipped + usable;
                char *memory = memory_at(offset, size + 64), *end = memory + size;
                os_heap *heap = create(lent(memory, size));
                std::vector<char *> blocks;
                std::mt19937_64 random(offset + usable);
                for (size_t most : {size_t{200000}, size_t{3000}, size_t{16}}) {
                    for (char *block; (block = take(heap, 1 + random() % most)) != nullptr;) {
                        size_t bytes = os_heap_malloc_usable_size(heap, block);
                        ASSERT_GE(block, memory);
                        ASSERT_LE(block + bytes, end);
                        fill(block, bytes, blocks.size());
                        blocks.push_back(block);
                    }
                    EXPECT_EQ(errno, ENOMEM);
                }
                for (size_t i = 0; i < blocks.size(); i++)
                    ASSERT_TRUE(
                        is_filled(blocks[i], os_heap_malloc_usable_size(heap, blocks[i]), i));
                /* All but headers and what no region can be made of is in use. */
                os_stats stats = stats_of(heap);
                size_t rest = usable % REGION_BYTES <= HEADER ? usable % REGION_BYTES : 15;
                EXPECT_GE(stats.allocated + stats.metadata + rest, usable);
                EXPECT_EQ(stats.free, 0u);
                if (!is_paranoid() && !conf.guard) {
                    EXPECT_EQ(kernel::all_calls(), 0u);
                }
                EXPECT_EQ(os_heap_check_of(heap), 0);
                for (size_t i = 0; i < blocks.size(); i += 2)
                    os_heap_free(heap, blocks[i]);
                for (size_t i = 1; i < blocks.size(); i += 2)
                    os_free(blocks[i]);
                os_heap_destroy(heap);
                for (size_t i = 0; i < 64; i++)
                    ASSERT_EQ(end[i], '\xff') << "beyond the end";
                for (size_t i = 0; i < skipped; i++)
                    ASSERT_EQ(memory[i], '\xff') << "before the first multiple";
            });
        }
    }
}

ISOLATED_TEST(Lent, NeedsNoSystemCallAtAll) {
    SKIP_IF_PARANOID();
    char *memory = memory_at(0, 8 * MIB);
    kernel::refuse_any(1);
    kernel::reset_counts();
    os_heap *heap = create(lent(memory, 8 * MIB));
    std::mt19937_64 random(1);
    std::vector<void *> live(3000);
    for (size_t i = 0; i < scaled(60000); i++) {
        void *&slot = live[random() % live.size()];
        if (random() % 4 == 0) {
            void *moved = os_heap_realloc(heap, slot, 1 + random() % 5000);
            slot = moved != nullptr ? moved : slot;
        } else {
            os_heap_free(heap, slot);
            slot = os_heap_malloc(heap, random() % 50 == 0 ? 200000 : random() % 3000);
        }
    }
    /* Much is free, and would be given back were it the kernel's. */
    for (void *block : live)
        os_heap_free(heap, block);
    os_heap_destroy(heap);
    EXPECT_EQ(kernel::all_calls(), 0u);
}

ISOLATED_TEST(Lent, IsNotTakenForZeroUnlessItIs) {
    char *memory = memory_at(0, MIB);
    os_heap *heap = create(lent(memory, MIB));
    EXPECT_TRUE(is_zero(os_heap_calloc(heap, 1, 100000), 100000));
    os_heap_destroy(heap);
    memset(memory, 0, MIB);
    heap = create(lent(memory, MIB, true));
    /* A byte that is wrong on purpose shows that nothing is cleared again. */
    memory[MIB - 1] = 1;
    auto *block = static_cast<char *>(os_heap_calloc(heap, 1, MIB - HEADER));
    EXPECT_TRUE(is_zero(block, MIB - HEADER - 1));
    EXPECT_EQ(block[MIB - HEADER - 1], 1);
    os_heap_free(heap, block);
    EXPECT_TRUE(is_zero(os_heap_calloc(heap, 1, 1000), 1000));
    os_heap_destroy(heap);
}

ISOLATED_TEST(Lent, IsRefusedWhereItIsTooSmallOrWrong) {
    char *memory = memory_at(0, 2 * OS_HEAP_ALIGNMENT);
    expect_refused(lent(memory, 0), EINVAL);
    expect_refused(lent(memory, 1), EINVAL);
    expect_refused(lent(memory, HEADER), EINVAL);
    expect_refused(lent(memory, HEADER + 15), EINVAL);
    expect_refused(lent(memory + 1, OS_HEAP_ALIGNMENT - 1), EINVAL);
    expect_refused(lent(memory + 1, OS_HEAP_ALIGNMENT - 1 + HEADER), EINVAL);
    expect_refused(lent(memory, SIZE_MAX), EINVAL);
    expect_refused(lent(nullptr, 5), EINVAL);
    os_heap_options other = options();
    other.size = 0;
    expect_refused(other, EINVAL);
    other.size = sizeof other + 8;
    expect_refused(other, EINVAL);
    os_heap *heap = create(lent(memory, HEADER + 16));
    expect_refused(lent(memory, OS_HEAP_ALIGNMENT), EINVAL);
    EXPECT_NE(os_heap_malloc(heap, 16), nullptr);
    expect_exhausted(heap, 1);
    os_heap_destroy(heap);
    /* Then it is the caller's again. */
    heap = create(lent(memory, OS_HEAP_ALIGNMENT));
    EXPECT_NE(os_heap_malloc(heap, LARGEST), nullptr);
    os_heap_destroy(heap);
    EXPECT_EQ(os_heap_check(), 0);
}

/* Behind its end lies what is not the heap's: another's mapped block, for one. */
ISOLATED_TEST(Lent, EndsWhereItEnds) {
    char *memory = memory_at(0, MIB);
    void *block = os_malloc(300000);
    os_heap *heap = create(lent(memory, MIB));
    EXPECT_NE(take(heap, MIB - HEADER), nullptr);
    EXPECT_EQ(region_owner(memory + MIB), nullptr);
    EXPECT_NE(region_owner(memory + MIB - 1), nullptr);
    EXPECT_EQ(region_owner(memory - 1), nullptr);
    EXPECT_EQ(os_malloc_usable_size(block), align_up(300000, system_page()));
    os_heap_destroy(heap);
    EXPECT_EQ(region_owner(memory), nullptr);
}

ISOLATED_TEST(Lent, CanBeABlockOfAnotherHeap) {
    auto *memory = static_cast<char *>(os_aligned_alloc(OS_HEAP_ALIGNMENT, MIB));
    os_heap *heap = create(lent(memory, MIB));
    EXPECT_NE(os_heap_malloc(heap, 500000), nullptr);
    os_heap_destroy(heap);
    os_free(memory);
    EXPECT_EQ(os_heap_check(), 0);
}

/* A block that must go to the next region leaves nothing of the one before behind. */
ISOLATED_TEST(Lent, IsUsedWhereALargeBlockSkipsIt) {
    os_heap *heap = create(lent(memory_at(0, 2 * REGION_BYTES), 2 * REGION_BYTES));
    char *first = take(heap, 16), *large = take(heap, LARGEST);
    ASSERT_NE(large, nullptr);
    EXPECT_NE(region_of(first), region_of(large));
    EXPECT_EQ(take(heap, LARGEST - 16), first + 16);
    expect_exhausted(heap, 1);
    os_heap_destroy(heap);
}

/* In a small heap every fit is exact, whatever the memory that it could have. */
ISOLATED_TEST(Lent, MakesASmallHeapAtFirst) {
    os_heap *heap = create(lent(memory_at(0, REGION_BYTES), REGION_BYTES));
    char *hole = take(heap, 200), *wall = take(heap, 16);
    os_heap_free(heap, hole);
    EXPECT_EQ(take(heap, 48), hole) << "a page of blocks of this size in a larger heap";
    EXPECT_EQ(stats_of(heap).heap, HEADER + HEAP_PREALLOCATION);
    os_heap_free(heap, wall);
    os_heap_destroy(heap);
}

/* The near zone, which the fast paths know, is for threads' heaps wherever the first heap lies. */
ISOLATED_TEST(Lent, LeavesTheNearZoneToOthers) {
    kernel::open_arena(16 * MIB, 4096, uintptr_t{20} << 40);
    os_heap *heap = create(lent(memory_at(0, MIB), MIB));
    void *block = os_heap_malloc(heap, 100);
    EXPECT_NE(block, nullptr);
    EXPECT_GE(region_number(block), uint64_t{NEAR_GRANULES}) << "it lies too near to tell";
    EXPECT_LT(region_number(os_malloc(100)), uint64_t{NEAR_GRANULES});
}

ISOLATED_TEST(Lent, CanHaveACapAsWell) {
    os_heap_options with = lent(memory_at(0, 10 * MIB), 10 * MIB);
    with.cap = 5 * MIB;
    os_heap *heap = create(with);
    size_t count = 0;
    while (os_heap_malloc(heap, 1024) != nullptr)
        count++;
    EXPECT_EQ(count, 5 * 1024u);
    EXPECT_EQ(bounded_bytes(heap), 5 * MIB);
    os_heap_destroy(heap);
}

ISOLATED_TEST(Lent, AsksTheCallbackWhenItIsUsedUp) {
    Calls calls = {};
    calls.answer = 1;
    os_heap *heap = create_calling(calls, lent(memory_at(0, MIB), MIB));
    char *block = take(heap, MIB - HEADER);
    expect_exhausted(heap, 100);
    calls.to_free = {block};
    EXPECT_EQ(take(heap, 100), block);
    EXPECT_EQ(calls.count, 2u);
}

/* ---- destruction -------------------------------------------------------------------------------
 */

ISOLATED_TEST(Destroy, GivesAllMemoryBack) {
    os_heap *heap = os_heap_create(nullptr);
    size_t mapped = kernel::mapped_bytes();
    for (size_t i = 0; i < scaled(5000); i++)
        memset(os_heap_malloc(heap, 4000), 1, 4000);
    /* The registry of 32 need not grow. */
    for (int i = 0; i < 30; i++)
        memset(os_heap_malloc(heap, MIB), 1, MIB);
    std::vector<region *> regions;
    for (region *each = thread_first_heap()->regions; each != nullptr; each = each->next)
        regions.push_back(each);
    EXPECT_GE(regions.size(), is_paranoid() ? 1u : 2u);
    os_heap_destroy(heap);
    EXPECT_EQ(kernel::mapped_bytes(), mapped) << "mapped blocks";
    for (region *each : regions) {
        EXPECT_LE(system_resident(each, REGION_BYTES), system_page());
        EXPECT_EQ(region_owner(each), nullptr);
    }
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.heaps, 0u);
    EXPECT_EQ(stats.mapped_blocks, 0u);
    EXPECT_EQ(os_heap_check(), 0);
}

ISOLATED_TEST(Trim, GivesFreePagesBack) {
    os_heap *heap = os_heap_create(nullptr);
    char *hole = take(heap, 100000), *wall = take(heap, 16);
    memset(hole, 1, 100000);
    os_free(hole);
    char *page = hole + (-reinterpret_cast<uintptr_t>(hole) & (system_page() - 1));
    size_t pages = align_down(static_cast<size_t>(hole + 100000 - page), system_page());
    EXPECT_EQ(system_resident(page, pages), pages);
    EXPECT_EQ(os_heap_trim(heap, 0), 1);
    EXPECT_EQ(system_resident(page, pages), 0u);
    EXPECT_TRUE(is_zero(page, pages));
    EXPECT_EQ(os_heap_check_of(heap), 0);
    os_heap_free(heap, wall);
    os_heap_destroy(heap);
}

ISOLATED_TEST(Trim, LeavesWhatIsLent) {
    os_heap *heap = create(lent(memory_at(0, MIB), MIB));
    char *hole = take(heap, 100000);
    fill(hole, 100000, 1);
    os_heap_free(heap, hole);
    kernel::reset_counts();
    EXPECT_EQ(os_heap_trim(heap, 0), 0);
    EXPECT_EQ(kernel::count(kernel::MADVISE).calls, 0u);
    EXPECT_TRUE(is_filled(hole, 100000, 1));
    os_heap_destroy(heap);
}

/* The index of a heap with many holes has memory of its own. */
ISOLATED_TEST(Destroy, GivesTheIndexesMemoryBack) {
    os_free(os_malloc(1));
    os_heap *heap = os_heap_create(nullptr);
    size_t calls = kernel::count(kernel::MMAP).calls, mapped = kernel::mapped_bytes();
    std::vector<void *> holes;
    for (size_t i = 0; i < 20000; i++) {
        void *block = os_heap_malloc(heap, 1040);
        if (i % 2 == 0)
            holes.push_back(block);
    }
    for (void *hole : holes)
        os_heap_free(heap, hole);
    EXPECT_GT(kernel::count(kernel::MMAP).calls, calls);
    os_heap_destroy(heap);
    EXPECT_EQ(kernel::mapped_bytes(), mapped);
}

ISOLATED_TEST(Destroy, LeavesItsAddressesToTheNext) {
    os_free(os_malloc(1)); /* this thread's heap */
    os_heap *heap = os_heap_create(nullptr);
    for (size_t i = 0; i < 3; i++)
        ASSERT_NE(os_heap_malloc(heap, LARGEST / 2 + 16), nullptr);
    os_heap_destroy(heap);
    size_t calls = kernel::count(kernel::SBRK).calls;
    for (int i = 0; i < 100; i++) {
        heap = os_heap_create(nullptr);
        char *block = static_cast<char *>(os_heap_calloc(heap, 1, 100000));
        ASSERT_TRUE(is_zero(block, 100000));
        memset(block, 0xff, 100000);
        os_heap_destroy(heap);
    }
    /* A thread's heap takes them as well. */
    outgrow_small_heap();
    EXPECT_EQ(kernel::count(kernel::SBRK).calls, calls);
}

/* Where the kernel does not take the pages, they are cleared before they serve again. */
ISOLATED_TEST(Destroy, MakesNoDirtyMemoryFresh) {
    os_heap *heap = os_heap_create(nullptr);
    memset(os_heap_malloc(heap, 100000), 0xff, 100000);
    kernel::refuse(kernel::MADVISE);
    os_heap_destroy(heap);
    heap = os_heap_create(nullptr);
    EXPECT_TRUE(is_zero(os_heap_calloc(heap, 1, 100000), 100000));
    EXPECT_EQ(os_heap_check(), 0);
    os_heap_destroy(heap);
}

ISOLATED_TEST(Destroy, KeepsErrno) {
    os_heap *heap = os_heap_create(nullptr);
    EXPECT_NE(take(heap, 1000000), nullptr);
    kernel::refuse(kernel::MADVISE);
    kernel::refuse(kernel::MUNMAP);
    errno = 7;
    os_heap_destroy(heap);
    EXPECT_EQ(errno, 7);
}

/* Many mapped blocks among many of others: the registry moves entries while it is gone through. */
ISOLATED_TEST(Destroy, FindsAllMappedBlocks) {
    os_heap *heaps[] = {os_heap_create(nullptr), os_heap_create(nullptr)};
    std::vector<void *> kept;
    for (size_t i = 0; i < 600; i++) {
        os_heap *heap = i % 3 == 2 ? nullptr : heaps[i % 3];
        void *block =
            heap == nullptr ? os_malloc(MMAP_THRESHOLD) : os_heap_malloc(heap, MMAP_THRESHOLD);
        ASSERT_NE(block, nullptr);
        if (heap == nullptr)
            kept.push_back(block);
    }
    os_heap_destroy(heaps[0]);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped_blocks, 400u);
    EXPECT_EQ(stats_of(heaps[1]).mapped_blocks, 200u);
    EXPECT_EQ(os_heap_check(), 0);
    os_heap_destroy(heaps[1]);
    for (void *block : kept)
        os_free(block);
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped_blocks, 0u);
}

/* ---- what there is ------------------------------------------------------------------------------
 */

int collect(const os_block *block, void *context) {
    static_cast<std::vector<os_block> *>(context)->push_back(*block);
    return 0;
}

ISOLATED_TEST(OwnHeap, IsWalkedAndCountedAmongTheOthers) {
    void *plain = os_malloc(100);
    os_heap *first = os_heap_create(nullptr), *second = os_heap_create(nullptr);
    EXPECT_EQ(os_heap_number(first), 1u);
    EXPECT_EQ(os_heap_number(second), 2u);
    void *block = os_heap_malloc(second, 100), *mapped = os_heap_malloc(second, 500000);
    std::vector<os_block> all;
    os_heap_walk(collect, &all);
    auto number_of = [&](const void *ptr) {
        for (const os_block &each : all) {
            if (each.address == ptr)
                return each.heap;
        }
        return size_t{99};
    };
    EXPECT_EQ(number_of(plain), 0u);
    EXPECT_EQ(number_of(block), 2u);
    EXPECT_EQ(number_of(mapped), 2u);

    os_stats stats, own = stats_of(second);
    ASSERT_EQ(os_heap_stats(2, &stats), 0);
    EXPECT_EQ(stats.allocated, 112u);
    EXPECT_EQ(stats.mapped_blocks, 1u);
    EXPECT_EQ(stats.mapped, align_up(500000, system_page()));
    EXPECT_EQ(own.allocated, 112u);
    EXPECT_EQ(own.mapped, stats.mapped);
    EXPECT_EQ(own.heaps, 1u);
    EXPECT_EQ(own.heap, own.allocated + own.free + own.untouched + own.metadata);
    EXPECT_GT(own.resident, 0u);
    EXPECT_LT(own.resident, own.heap + own.mapped);

    std::vector<os_block> its;
    EXPECT_EQ(os_heap_walk_of(second, collect, &its), 0);
    EXPECT_EQ(its.size(), 4u) << "metadata, block, untouched end, mapped block";
    for (const os_block &each : its)
        EXPECT_EQ(each.heap, 2u);
    EXPECT_EQ(os_heap_walk_of(
                  second, [](const os_block *, void *) { return 5; }, nullptr),
              5);

    /* Numbers have no gaps. */
    os_heap_destroy(first);
    EXPECT_EQ(os_heap_number(second), 1u);
    ASSERT_EQ(os_heap_stats(1, &stats), 0);
    EXPECT_EQ(stats.allocated, 112u);
    EXPECT_EQ(os_heap_stats(2, &stats), -1);
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.heaps, 2u);
    os_heap_destroy(second);
    EXPECT_EQ(os_heap_stats(1, &stats), -1);
    first = os_heap_create(nullptr);
    EXPECT_EQ(os_heap_number(first), 1u);
    os_heap_destroy(first);
}

ISOLATED_TEST(OwnHeap, IsInTheMap) {
    os_free(os_malloc(1));
    os_heap *heap = os_heap_create(nullptr), *other = create(lent(memory_at(0, MIB), MIB));
    EXPECT_NE(os_heap_malloc(heap, 100), nullptr);
    std::string path = testing::TempDir() + "own_heaps.map";
    ASSERT_EQ(os_heap_map(path.c_str()), 0);
    std::ifstream file(path, std::ios::binary);
    file.seekg(sizeof(map_header));
    std::vector<uint64_t> numbers, regions;
    map_record record;
    while (file.read(reinterpret_cast<char *>(&record), sizeof record) && record.type != MAP_END) {
        std::vector<char> bytes(record.bytes);
        file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        map_heap at;
        map_region region;
        memcpy(&at, bytes.data(), std::min(sizeof at, bytes.size()));
        memcpy(&region, bytes.data(), std::min(sizeof region, bytes.size()));
        if (record.type == MAP_HEAP)
            numbers.push_back(at.number);
        if (record.type == MAP_REGION)
            regions.push_back(region.heap);
    }
    EXPECT_EQ(numbers, (std::vector<uint64_t>{0, 1, 2}));
    EXPECT_EQ(regions, (std::vector<uint64_t>{0, 1, 2}));
    remove(path.c_str());
    os_heap_destroy(heap);
    os_heap_destroy(other);
}

ISOLATED_TEST(OwnHeap, IsChecked) {
    if (is_paranoid())
        GTEST_SKIP() << "which finds it first";
    os_heap *heap = os_heap_create(nullptr);
    char *block = take(heap, 64);
    take(heap, 64);
    EXPECT_EQ(os_heap_check_of(heap), 0);
    region *region = region_of(block);
    tags_line(region->lines, region_granule(block))->free ^= 2; /* no block starts there */
    EXPECT_EQ(os_heap_check_of(heap), INVARIANT_T3);
    EXPECT_EQ(os_heap_check(), INVARIANT_T3);
    tags_line(region->lines, region_granule(block))->free ^= 2;
    EXPECT_EQ(os_heap_check(), 0);
}

ISOLATED_TEST(OwnHeap, HasAName) {
    os_heap_options with = options();
    EXPECT_STREQ(os_heap_name(create(with)), "");
    char name[] = "a name that is longer than a heap can have";
    with.name = name;
    os_heap *heap = create(with);
    name[0] = 'x';
    EXPECT_STREQ(os_heap_name(heap), "a name that is longer than a he");
}

/* ---- refusals -----------------------------------------------------------------------------------
 */

ISOLATED_TEST(Refusals, AreNullAndLeaveAllAsItWas) {
    kernel::refuse_any(1);
    expect_refused(options(), ENOMEM);
    kernel::refuse_nothing();
    os_heap *heap = os_heap_create(nullptr);
    std::vector<char *> blocks;
    for (size_t i = 0; i < 40; i++) {
        blocks.push_back(take(heap, i % 8 == 0 ? 200000 : 50000));
        fill(blocks.back(), 50000, i);
    }
    kernel::refuse_any(1);
    Calls calls = {};
    while (take(heap, 50000) != nullptr)
        ;
    EXPECT_EQ(errno, ENOMEM);
    expect_exhausted(heap, 200000);
    expect_exhausted(heap, 5 * MIB);
    errno = 0;
    EXPECT_EQ(os_heap_realloc(heap, blocks[0], 10 * MIB), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    for (size_t i = 0; i < blocks.size(); i++)
        ASSERT_TRUE(is_filled(blocks[i], 50000, i));
    kernel::refuse_nothing();
    EXPECT_EQ(os_heap_check(), 0);
    blocks[0] = static_cast<char *>(os_heap_realloc(heap, blocks[0], 10 * MIB));
    ASSERT_NE(blocks[0], nullptr);
    EXPECT_TRUE(is_filled(blocks[0], 50000, 0));
    os_heap_destroy(heap);
}

ISOLATED_TEST(Refusals, OfTheBreakAreMadeUpForByMappings) {
    kernel::withhold_break();
    os_heap *heap = os_heap_create(nullptr);
    ASSERT_NE(heap, nullptr);
    for (size_t i = 0; i < 3; i++) {
        char *block = take(heap, 100000);
        ASSERT_NE(block, nullptr);
        fill(block, 100000, i);
    }
    os_heap_destroy(heap);
    size_t mapped = kernel::mapped_bytes();
    os_heap_destroy(os_heap_create(nullptr));
    EXPECT_EQ(kernel::mapped_bytes(), mapped) << "the region serves again";
}

} // namespace
} // namespace osmem
