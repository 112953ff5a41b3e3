/* Resizing: in place where that can be, and the contents always. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

/* The compiler must not see impossible sizes. */
__attribute__((noipa)) char *resize(void *ptr, size_t size) {
    return static_cast<char *>(os_realloc(ptr, size));
}
char *resize_granules(void *ptr, size_t granules) { return resize(ptr, granules * GRANULE_BYTES); }

size_t calls(kernel::Call call) { return kernel::count(call).calls; }

ISOLATED_TEST(Realloc, OfNullAllocates) {
    char *ptr = resize(nullptr, 100);
    ASSERT_NE(ptr, nullptr);
    EXPECT_EQ(os_malloc_usable_size(ptr), 112u);
    errno = 0;
    EXPECT_EQ(resize(nullptr, 0), nullptr);
    EXPECT_EQ(errno, 0);
}

ISOLATED_TEST(Realloc, ToNothingFrees) {
    char *ptr = allocate(10), *mapped = static_cast<char *>(os_malloc(MMAP_THRESHOLD));
    errno = 0;
    EXPECT_EQ(resize(ptr, 0), nullptr);
    EXPECT_EQ(resize(mapped, 0), nullptr);
    EXPECT_EQ(errno, 0);
    for (const Block &block : blocks()) {
        EXPECT_NE(block.kind, OS_BLOCK_USED) << block;
        EXPECT_NE(block.kind, OS_BLOCK_MAPPED) << block;
    }
}

ISOLATED_TEST(Realloc, WithinTheLastGranuleChangesNothing) {
    char *ptr = allocate(10);
    for (size_t size = 145; size <= 160; size++)
        EXPECT_EQ(resize(ptr, size), ptr);
    EXPECT_EQ(os_malloc_usable_size(ptr), 160u);
}

ISOLATED_TEST(Shrink, GivesTheTailBack) {
    for (size_t granules : {2, 64, 65, 200, 2048, 5000}) {
        for (size_t kept : {size_t{1}, granules / 2, granules - 1}) {
            char *ptr = allocate(granules);
            ASSERT_NE(allocate(1), nullptr);
            fill(ptr, granules * GRANULE_BYTES, granules);
            ASSERT_EQ(resize_granules(ptr, kept), ptr);
            EXPECT_TRUE(is_filled(ptr, kept * GRANULE_BYTES, granules));
            EXPECT_EQ(os_malloc_usable_size(ptr), kept * GRANULE_BYTES);
            Block tail = block_at(ptr + kept * GRANULE_BYTES);
            EXPECT_EQ(tail.kind, OS_BLOCK_FREE);
            EXPECT_EQ(tail.granules(), granules - kept);
            EXPECT_EQ(allocate(granules - kept), tail.start) << "the tail cannot be used again";
        }
    }
}

ISOLATED_TEST(Shrink, MergesTheTailWithWhatIsFreeBehindIt) {
    for (size_t neighbour : {3, 64, 700, 3000}) {
        char *ptr = allocate(50), *right = allocate(neighbour);
        ASSERT_NE(allocate(1), nullptr);
        os_free(right);
        ASSERT_EQ(resize_granules(ptr, 20), ptr);
        EXPECT_EQ(block_at(ptr + 20 * GRANULE_BYTES).granules(), 30 + neighbour);
        EXPECT_EQ(allocate(30 + neighbour), ptr + 20 * GRANULE_BYTES);
    }
}

ISOLATED_TEST(Shrink, OfTheLastBlockGivesTheTailToTheUntouchedEnd) {
    char *ptr = allocate(1000);
    ASSERT_EQ(resize_granules(ptr, 10), ptr);
    EXPECT_TRUE(free_blocks().empty());
    EXPECT_EQ(untouched_end().start, ptr + 10 * GRANULE_BYTES);
}

/* A free neighbour in a quick set of its size, in a shared one, in a bin, in the tree, as the run.
 */
enum class Where { FREED_LAST, MERGED, INDEXED };

void absorb_one(size_t neighbour, Where where) {
    ASSERT_NE(allocate(1), nullptr);
    char *ptr = allocate(10), *right = allocate(neighbour);
    ASSERT_NE(allocate(1), nullptr);
    char *other = allocate(7);
    ASSERT_NE(allocate(1), nullptr);
    fill(ptr, 10 * GRANULE_BYTES, neighbour);
    os_free(right);
    if (where != Where::FREED_LAST)
        merge_all();
    if (where == Where::INDEXED) {
        os_free(other);
        merge_all(); /* another block is the run now */
    }
    size_t wanted = 10 + (neighbour + 1) / 2;
    ASSERT_EQ(resize_granules(ptr, wanted), ptr);
    EXPECT_TRUE(is_filled(ptr, 10 * GRANULE_BYTES, neighbour));
    EXPECT_EQ(os_malloc_usable_size(ptr), wanted * GRANULE_BYTES);
    if (neighbour / 2 != 0) {
        Block rest = block_at(ptr + wanted * GRANULE_BYTES);
        EXPECT_EQ(rest.kind, OS_BLOCK_FREE) << "went further than needed";
        EXPECT_EQ(rest.granules(), neighbour / 2);
    }
    ASSERT_EQ(os_heap_check(), 0);
    ASSERT_EQ(resize_granules(ptr, 10 + neighbour), ptr);
    EXPECT_EQ(block_at(ptr).granules(), 10 + neighbour);
    EXPECT_TRUE(is_filled(ptr, 10 * GRANULE_BYTES, neighbour));
    ASSERT_EQ(os_heap_check(), 0);
    /* The index does not give the neighbour out again. */
    char *block = allocate(neighbour);
    EXPECT_TRUE(block + neighbour * GRANULE_BYTES <= ptr ||
                block >= ptr + (10 + neighbour) * GRANULE_BYTES);
}

void absorb_one_of_each_size(Where where) {
    for (size_t neighbour : {1, 2, 63, 64, 65, 66, 500, 2046, 2047, 2048, 2049, 5000})
        run_isolated([=] { absorb_one(neighbour, where); });
}

TEST(Grow, AbsorbsOneNeighbourFreedJustNow) { absorb_one_of_each_size(Where::FREED_LAST); }
TEST(Grow, AbsorbsOneMergedNeighbour) { absorb_one_of_each_size(Where::MERGED); }
TEST(Grow, AbsorbsOneIndexedNeighbour) { absorb_one_of_each_size(Where::INDEXED); }

/* Neighbours of all kinds in a row, not merged: the block takes just as many as it needs. */
ISOLATED_TEST(Grow, AbsorbsSeveralAndNoFurtherThanNeeded) {
    const std::vector<size_t> sizes = {4, 64, 100, 900, 2, 2000, 30};
    std::mt19937_64 random(71);
    for (size_t wanted = 11; wanted <= 10 + 3100; wanted += wanted < 200 ? 1 : 23) {
        char *ptr = allocate(10);
        std::vector<char *> right;
        for (size_t granules : sizes)
            right.push_back(allocate(granules));
        char *guard = allocate(1);
        ASSERT_EQ(guard, ptr + 3110 * GRANULE_BYTES);
        fill(ptr, 10 * GRANULE_BYTES, wanted);
        std::shuffle(right.begin(), right.end(), random);
        for (char *block : right)
            os_free(block);
        ASSERT_EQ(resize_granules(ptr, wanted), ptr) << wanted;
        ASSERT_TRUE(is_filled(ptr, 10 * GRANULE_BYTES, wanted));
        ASSERT_EQ(os_malloc_usable_size(ptr), wanted * GRANULE_BYTES);
        memset(ptr, 0xee, wanted * GRANULE_BYTES);
        size_t behind = 0;
        for (const Block &block : free_blocks()) {
            if (block.start > ptr && block.start < guard)
                behind += block.granules();
        }
        ASSERT_EQ(behind, 3110 - wanted) << "not all the rest is free";
        ASSERT_EQ(os_heap_check(), 0) << wanted;
        os_free(ptr);
        os_free(guard);
        merge_all();
        ASSERT_EQ(untouched_end().start, ptr);
    }
}

ISOLATED_TEST(Grow, TakesTheUntouchedEnd) {
    char *ptr = allocate(10);
    fill(ptr, 160, 1);
    size_t before = calls(kernel::SBRK);
    for (size_t granules = 11; granules < 4000; granules += 111)
        ASSERT_EQ(resize_granules(ptr, granules), ptr);
    EXPECT_EQ(calls(kernel::SBRK), before);
    EXPECT_EQ(untouched_end().start, ptr + os_malloc_usable_size(ptr));
    EXPECT_TRUE(is_filled(ptr, 160, 1));
}

ISOLATED_TEST(Grow, TakesAFreeNeighbourAndThenTheUntouchedEnd) {
    for (size_t neighbour : {5, 64, 300, 3000}) {
        char *ptr = allocate(10), *right = allocate(neighbour);
        ASSERT_EQ(right, ptr + 10 * GRANULE_BYTES);
        os_free(right);
        ASSERT_EQ(resize_granules(ptr, 10 + neighbour + 20), ptr);
        EXPECT_EQ(untouched_end().start, ptr + (30 + neighbour) * GRANULE_BYTES);
        ASSERT_EQ(os_heap_check(), 0);
    }
}

ISOLATED_TEST(Grow, ExtendsTheBreakBehindTheLastBlock) {
    ASSERT_NE(allocate(1), nullptr);
    while (untouched_end().granules() > 100)
        ASSERT_NE(allocate(std::min<size_t>(untouched_end().granules() - 50, 8000)), nullptr);
    char *ptr = allocate(20);
    fill(ptr, 320, 1);
    size_t before = calls(kernel::SBRK);
    ASSERT_EQ(resize_granules(ptr, 6000), ptr) << "moved where the break could be extended";
    EXPECT_EQ(calls(kernel::SBRK), before + 1);
    EXPECT_TRUE(is_filled(ptr, 320, 1));
}

/* Someone else's memory behind the heap. */
ISOLATED_TEST(Grow, MovesWhereTheBreakIsNotOurs) {
    ASSERT_NE(allocate(1), nullptr);
    while (untouched_end().granules() > 100)
        ASSERT_NE(allocate(std::min<size_t>(untouched_end().granules() - 50, 8000)), nullptr);
    char *ptr = allocate(20);
    fill(ptr, 320, 1);
    char *foreign = static_cast<char *>(sbrk(1000));
    fill(foreign, 1000, 2);
    char *moved = resize_granules(ptr, 6000);
    ASSERT_NE(moved, nullptr);
    EXPECT_NE(moved, ptr);
    EXPECT_TRUE(is_filled(moved, 320, 1));
    fill(moved, 6000 * GRANULE_BYTES, 3);
    EXPECT_TRUE(is_filled(foreign, 1000, 2));
}

ISOLATED_TEST(Grow, MovesWhatIsBoxedIn) {
    for (size_t granules : {1, 64, 65, 2048, 5000}) {
        char *ptr = allocate(granules);
        ASSERT_NE(allocate(1), nullptr);
        fill(ptr, granules * GRANULE_BYTES, granules);
        char *moved = resize_granules(ptr, granules + 1);
        ASSERT_NE(moved, nullptr);
        EXPECT_NE(moved, ptr);
        EXPECT_TRUE(is_filled(moved, granules * GRANULE_BYTES, granules));
        EXPECT_EQ(allocate(granules), ptr) << "the old place is not free";
    }
}

ISOLATED_TEST(Grow, LeavesNeighboursThatDoNotSufficeAlone) {
    char *ptr = allocate(10), *first = allocate(3), *second = allocate(5);
    ASSERT_NE(allocate(1), nullptr);
    os_free(second);
    os_free(first);
    char *moved = resize_granules(ptr, 19);
    EXPECT_NE(moved, ptr);
    EXPECT_EQ(allocate(3), first);
    EXPECT_EQ(allocate(5), second);
}

ISOLATED_TEST(Realloc, GoesFromTheHeapToAMappingAndBack) {
    char *ptr = allocate(100);
    ASSERT_NE(allocate(1), nullptr);
    fill(ptr, 1600, 1);
    char *mapped = resize(ptr, MMAP_THRESHOLD);
    ASSERT_NE(mapped, nullptr);
    EXPECT_EQ(block_at(mapped).kind, OS_BLOCK_MAPPED);
    EXPECT_TRUE(is_filled(mapped, 1600, 1));
    EXPECT_EQ(block_at(ptr).kind, OS_BLOCK_FREE);
    fill(mapped, MMAP_THRESHOLD, 2);
    char *back = resize(mapped, MMAP_THRESHOLD - 1);
    ASSERT_NE(back, nullptr);
    EXPECT_EQ(block_at(back).kind, OS_BLOCK_USED);
    EXPECT_TRUE(is_filled(back, MMAP_THRESHOLD - 1, 2));
    char *small = resize(back, 1600);
    EXPECT_EQ(small, back);
    EXPECT_TRUE(is_filled(small, 1600, 2));
}

ISOLATED_TEST(MappedRealloc, GrowsByMremapAndUnmapsItsTail) {
    SKIP_IF_PARANOID();
    char *ptr = resize(nullptr, MMAP_THRESHOLD);
    fill(ptr, MMAP_THRESHOLD, 1);
    kernel::reset_counts();
    size_t mapped = kernel::mapped_bytes();
    ptr = resize(ptr, 8 * MIB);
    ASSERT_NE(ptr, nullptr);
    EXPECT_TRUE(is_filled(ptr, MMAP_THRESHOLD, 1));
    EXPECT_TRUE(is_zero(ptr + MMAP_THRESHOLD, 8 * MIB - MMAP_THRESHOLD));
    EXPECT_EQ(os_malloc_usable_size(ptr), 8 * MIB);
    fill(ptr, 8 * MIB, 2);
    char *shrunk = resize(ptr, MMAP_THRESHOLD + 1);
    EXPECT_EQ(shrunk, ptr);
    EXPECT_TRUE(is_filled(shrunk, MMAP_THRESHOLD + 1, 2));
    EXPECT_EQ(os_malloc_usable_size(shrunk), MMAP_THRESHOLD + system_page());
    EXPECT_EQ(calls(kernel::MREMAP), 1u);
    EXPECT_EQ(calls(kernel::MUNMAP), 1u);
    EXPECT_EQ(calls(kernel::MMAP), 0u);
    EXPECT_EQ(kernel::mapped_bytes(), mapped + system_page());
}

/* Once a size has come again, a vector that grows to it takes what it left the last time. */
ISOLATED_TEST(MappedRealloc, GrowsIntoTheKeptMappingBehindIt) {
    SKIP_IF_PARANOID();
    for (int round = 0; round < 30; round++) {
        kernel::reset_counts();
        char *ptr = resize(nullptr, MMAP_THRESHOLD);
        fill(ptr, MMAP_THRESHOLD, 1);
        for (size_t size = 2 * MMAP_THRESHOLD; size <= MIB; size *= 2) {
            ptr = resize(ptr, size);
            ASSERT_TRUE(is_filled(ptr, size / 2, 1));
            fill(ptr, size, 1);
            ASSERT_EQ(os_heap_check(), 0);
        }
        os_free(ptr);
    }
    /* But for what os_heap_check maps for itself. */
    EXPECT_EQ(calls(kernel::MREMAP), 0u);
}

/* What is copied into a kept mapping costs no call and no page fault. */
ISOLATED_TEST(MappedRealloc, DoublesIntoKeptMappings) {
    SKIP_IF_PARANOID();
    for (int round = 0; round < 30; round++) {
        kernel::reset_counts();
        char *ptr = resize(nullptr, MMAP_THRESHOLD);
        fill(ptr, MMAP_THRESHOLD, 1);
        for (size_t size = 2 * MMAP_THRESHOLD; size <= 8 * MIB; size *= 2) {
            ptr = resize(ptr, size);
            ASSERT_TRUE(is_filled(ptr, size / 2, 1));
            fill(ptr, size, 1);
        }
        os_free(ptr);
    }
    EXPECT_EQ(calls(kernel::MMAP), 0u);
    EXPECT_EQ(calls(kernel::MREMAP), 0u);
    EXPECT_EQ(os_heap_check(), 0);
}

/* ---- appending ------------------------------------------------------------------------------- */

/* Eight buffers grow from 512 bytes to 64 KiB in turns, by 32 bytes each time. */
struct Appended {
    size_t moves = 0, copied = 0;
};

constexpr size_t BUFFERS = 8, APPENDED = 64 * KIB;

Appended append() {
    Appended sums;
    std::vector<char *> buffers;
    for (size_t i = 0; i < BUFFERS; i++) {
        buffers.push_back(resize(nullptr, 512));
        fill(buffers[i], 512, i);
    }
    for (size_t size = 544; size <= APPENDED; size += 32) {
        for (size_t i = 0; i < BUFFERS; i++) {
            char *moved = resize(buffers[i], size);
            if (moved != buffers[i]) {
                sums.moves++;
                sums.copied += size - 32;
            }
            buffers[i] = moved;
            if (size % 4096 == 0) {
                EXPECT_TRUE(is_filled(moved, size - 32, i));
            }
            fill(moved, size, i);
        }
        if (size % 4096 == 0) {
            EXPECT_EQ(os_heap_check(), 0);
        }
    }
    for (char *buffer : buffers)
        os_free(buffer);
    return sums;
}

ISOLATED_TEST(Append, CopiesEachByteAFewTimesInALargeHeap) {
    allocate(1);
    outgrow_small_heap();
    for (int round = 0; round < 3; round++) {
        Appended sums = append();
        EXPECT_LE(sums.moves, BUFFERS * 26) << "1.25^22 = 128";
        EXPECT_LE(sums.copied, 10 * BUFFERS * APPENDED);
    }
}

/* The room behind a block is free: it serves others. */
ISOLATED_TEST(Append, LeavesTheRoomAheadToOthers) {
    allocate(1);
    outgrow_small_heap();
    char *buffer = allocate(100);
    ASSERT_NE(allocate(100), nullptr);
    buffer = resize_granules(buffer, 104);
    Block room = block_at(buffer + 104 * GRANULE_BYTES);
    EXPECT_EQ(room.kind, OS_BLOCK_FREE);
    EXPECT_EQ(room.granules(), 26u);
    EXPECT_EQ(os_heap_check(), 0);
    EXPECT_EQ(allocate(26), room.start);
    fill(buffer, 104 * GRANULE_BYTES, 1);
    char *moved = resize_granules(buffer, 105);
    EXPECT_NE(moved, buffer);
    EXPECT_TRUE(is_filled(moved, 104 * GRANULE_BYTES, 1));
}

/* Who doubles a block, or has a small heap, gets what is asked for and no more. */
ISOLATED_TEST(Append, LeavesNoRoomAheadElsewhere) {
    char *ptr = allocate(100);
    ASSERT_NE(allocate(100), nullptr);
    ptr = resize_granules(ptr, 104);
    EXPECT_EQ(ptr + 104 * GRANULE_BYTES, untouched_end().start) << "in a small heap";
    outgrow_small_heap();
    ptr = resize_granules(ptr, 208);
    EXPECT_EQ(ptr + 208 * GRANULE_BYTES, untouched_end().start) << "doubled";
}

ISOLATED_TEST(MappedRealloc, WithinTheLastPageMakesNoCall) {
    SKIP_IF_PARANOID();
    char *ptr = resize(nullptr, MMAP_THRESHOLD + 1);
    kernel::reset_counts();
    EXPECT_EQ(resize(ptr, MMAP_THRESHOLD + system_page()), ptr);
    EXPECT_EQ(kernel::all_calls(), 0u);
}

ISOLATED_TEST(MappedRealloc, CopiesWhereMremapIsRefused) {
    kernel::refuse(kernel::MREMAP);
    for (size_t size : {size_t{3 * MIB}, size_t{MMAP_THRESHOLD}, size_t{5000}, size_t{1}}) {
        char *ptr = resize(nullptr, MIB);
        fill(ptr, MIB, size);
        size_t kept = std::min(MIB, size);
        char *moved = resize(ptr, size);
        ASSERT_NE(moved, nullptr);
        EXPECT_TRUE(is_filled(moved, kept, size));
        EXPECT_GE(os_malloc_usable_size(moved), size);
        os_free(moved);
    }
}

ISOLATED_TEST(Realloc, FailureLeavesTheBlockAsItWas) {
    std::vector<std::pair<char *, size_t>> cases;
    for (size_t size : {size_t{16}, size_t{1000}, size_t{40000}, size_t{MMAP_THRESHOLD}, MIB}) {
        cases.emplace_back(static_cast<char *>(os_malloc(size)), size);
        ASSERT_NE(allocate(1), nullptr);
        fill(cases.back().first, size, size);
    }
    exhaust_heap();
    kernel::refuse_any(1);
    for (const auto &[ptr, size] : cases) {
        size_t usable = os_malloc_usable_size(ptr);
        for (size_t wanted : {2 * size + 16, size + MMAP_THRESHOLD, size_t{100} << 40,
                              size_t{PTRDIFF_MAX}, size_t{PTRDIFF_MAX} + 1, size_t{SIZE_MAX}}) {
            errno = 0;
            ASSERT_EQ(resize(ptr, wanted), nullptr) << size << " to " << wanted;
            ASSERT_EQ(errno, ENOMEM);
            ASSERT_EQ(os_malloc_usable_size(ptr), usable);
            ASSERT_TRUE(is_filled(ptr, size, size));
        }
    }
    kernel::refuse_nothing();
    for (const auto &[ptr, size] : cases) {
        char *grown = resize(ptr, 2 * size + MMAP_THRESHOLD);
        ASSERT_NE(grown, nullptr);
        EXPECT_TRUE(is_filled(grown, size, size));
    }
}

/* A block can always stay where it is and be smaller. */
ISOLATED_TEST(Shrink, NeverFails) {
    char *heap = allocate(5000), *mapped = static_cast<char *>(os_malloc(MIB));
    ASSERT_NE(allocate(1), nullptr);
    exhaust_heap();
    fill(heap, 80000, 1);
    fill(mapped, MIB, 2);
    kernel::refuse_any(1);
    errno = 0;
    for (size_t size : {size_t{79999}, size_t{40000}, size_t{100}, size_t{1}}) {
        ASSERT_EQ(resize(heap, size), heap);
        ASSERT_TRUE(is_filled(heap, size, 1));
    }
    for (size_t size : {MIB - 1, MIB / 2, size_t{MMAP_THRESHOLD}, size_t{70000}}) {
        mapped = resize(mapped, size);
        ASSERT_NE(mapped, nullptr);
        ASSERT_TRUE(is_filled(mapped, size, 2));
    }
    EXPECT_EQ(errno, 0);
}

/* One that is in the heap because no mapping was to be had, too. */
ISOLATED_TEST(Shrink, OfALargeHeapBlockNeverFails) {
    kernel::refuse(kernel::MMAP);
    char *ptr = static_cast<char *>(os_malloc(MIB));
    ASSERT_NE(region_owner(ptr), nullptr);
    fill(ptr, MIB, 3);
    kernel::refuse_any(1);
    for (size_t size : {MIB - 100, MMAP_THRESHOLD + 1, MMAP_THRESHOLD, size_t{70000}}) {
        ASSERT_EQ(resize(ptr, size), ptr) << size;
        ASSERT_TRUE(is_filled(ptr, size, 3));
    }
}

/* Where the heap cannot be extended, the last block grows into just what is left. */
ISOLATED_TEST(Grow, TakesTheUntouchedEndToItsLastGranule) {
    ASSERT_NE(allocate(300), nullptr);
    char *ptr = allocate(100);
    ASSERT_EQ(ptr + 1600, untouched_end().start);
    kernel::refuse_any(1);
    size_t size = 1600 + untouched_end().size;
    ASSERT_EQ(resize(ptr, size), ptr);
    EXPECT_EQ(untouched_end().size, 0u);
}

/* What a correct program then knows of the block is the new size. */
ISOLATED_TEST(Shrink, WithoutMemoryKeepsTheBlockFitForFreeSized) {
    char *ptr = static_cast<char *>(os_malloc(MIB));
    ASSERT_NE(allocate(1), nullptr);
    exhaust_heap();
    kernel::refuse_any(1);
    char *shrunk = resize(ptr, MIB / 2);
    ASSERT_NE(shrunk, nullptr);
    kernel::refuse_nothing();
    os_free_sized(shrunk, MIB / 2);
}

ISOLATED_TEST(ReallocArray, MultipliesAndRefusesOverflow) {
    char *ptr = static_cast<char *>(os_reallocarray(nullptr, 10, 16));
    ASSERT_NE(ptr, nullptr);
    fill(ptr, 160, 1);
    ptr = static_cast<char *>(os_reallocarray(ptr, 100, 16));
    ASSERT_NE(ptr, nullptr);
    EXPECT_TRUE(is_filled(ptr, 160, 1));
    EXPECT_EQ(os_malloc_usable_size(ptr), 1600u);
    errno = 0;
    EXPECT_EQ(os_reallocarray(ptr, SIZE_MAX / 16 + 1, 16), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_TRUE(is_filled(ptr, 160, 1));
    EXPECT_EQ(os_reallocarray(ptr, 0, 16), nullptr);
    EXPECT_EQ(block_at(ptr).kind == OS_BLOCK_USED, false);
}

/* Sizes of every kind, up and down, many blocks: contents and invariants. */
void churn(size_t steps, size_t live, uint64_t seed) {
    struct Live {
        char *ptr;
        size_t size;
        uint64_t seed;
    };
    std::mt19937_64 random(seed);
    auto draw = [&]() -> size_t {
        switch (random() % 8) {
        case 0:
            return 1 + random() % (2 * MMAP_THRESHOLD);
        case 1:
        case 2:
            return 1 + random() % 40000;
        case 3:
            return 1 + random() % 4000;
        default:
            return 1 + random() % 600;
        }
    };
    std::vector<Live> blocks(live, {nullptr, 0, 0});
    for (size_t step = 0; step < steps; step++) {
        Live &block = blocks[random() % live];
        if (random() % 8 == 0) {
            os_free(block.ptr);
            block = {nullptr, 0, 0};
            continue;
        }
        size_t size = random() % 3 != 0 || block.size == 0
                          ? draw()
                          : block.size / 2 + random() % (block.size + 1) + 1;
        char *ptr = resize(block.ptr, size);
        ASSERT_NE(ptr, nullptr);
        ASSERT_TRUE(is_at(ptr, GRANULE_BYTES));
        ASSERT_TRUE(is_filled(ptr, std::min(size, block.size), block.seed))
            << "step " << step << ", seed " << seed;
        fill(ptr, size, step);
        block = {ptr, size, step};
        if (step % 256 == 0) {
            ASSERT_EQ(os_heap_check(), 0) << "step " << step << ", seed " << seed;
        }
    }
    for (const Live &block : blocks)
        ASSERT_TRUE(block.ptr == nullptr || is_filled(block.ptr, block.size, block.seed));
}

ISOLATED_TEST(Realloc, KeepsTheContentsOfFewBlocks) { churn(scaled(30000), 10, 72); }
ISOLATED_TEST(Realloc, KeepsTheContentsOfManyBlocks) { churn(scaled(30000), 500, 73); }

} // namespace
} // namespace osmem
