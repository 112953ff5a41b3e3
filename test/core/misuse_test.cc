/*
 * Misuse dies, with one line that names the function, the pointer and the fact; every function that
 * takes a pointer, every kind of pointer that is not the start of a live block.
 */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

const char FREE[] = "is already free";
const char INSIDE_FREE[] = "lies inside a free block";
const char INSIDE_LIVE[] = "lies inside a live block";
const char INSIDE_MAPPED[] = "lies inside a mapped block";
const char OWN_MEMORY[] = "lies in the allocator's own memory";
const char FOREIGN[] = "was not allocated here";
const char OTHER_SIZE[] = "is of another size";
const char OTHER_ALIGNMENT[] = "is of another alignment";

/* The compiler must not see what is done with freed and foreign pointers. */
__attribute__((noipa)) void release(void *ptr) { os_free(ptr); }
__attribute__((noipa)) void release_sized(void *ptr, size_t size) { os_free_sized(ptr, size); }
__attribute__((noipa)) void release_aligned(void *ptr, size_t alignment, size_t size) {
    os_free_aligned_sized(ptr, alignment, size);
}
__attribute__((noipa)) void resize(void *ptr, size_t size) {
    if (os_realloc(ptr, size) == nullptr)
        _exit(3);
}
__attribute__((noipa)) void resize_array(void *ptr, size_t count, size_t size) {
    if (os_reallocarray(ptr, count, size) == nullptr)
        _exit(3);
}
__attribute__((noipa)) void resize_to_nothing(void *ptr) {
    if (os_realloc(ptr, 0) == nullptr)
        _exit(3);
}
__attribute__((noipa)) size_t usable(void *ptr) { return os_malloc_usable_size(ptr); }

std::string line(const char *function, const void *ptr, const char *fact) {
    char text[200];
    snprintf(text, sizeof text, "osmem: os_%s(): block 0x%lx %s\n", function,
             reinterpret_cast<unsigned long>(ptr), fact);
    return text;
}

/* The line is all that is written, then comes abort(). */
#define EXPECT_MISUSE(statement, function, ptr, fact)                                              \
    EXPECT_EXIT(statement, testing::KilledBySignal(SIGABRT), testing::Eq(line(function, ptr, fact)))

/* By every function; by a few where a process for each takes long. */
void expect_misuse(void *ptr, const char *fact) {
    EXPECT_MISUSE(release(ptr), "free", ptr, fact);
    EXPECT_MISUSE(resize(ptr, 1), "realloc", ptr, fact);
    if (scaled(2) < 2)
        return;
    EXPECT_MISUSE(resize(ptr, 5000), "realloc", ptr, fact);
    EXPECT_MISUSE(resize(ptr, 2 * MMAP_THRESHOLD), "realloc", ptr, fact);
    EXPECT_MISUSE(resize(ptr, SIZE_MAX), "realloc", ptr, fact);
    EXPECT_MISUSE(resize_array(ptr, 10, 10), "realloc", ptr, fact);
    EXPECT_MISUSE(resize_to_nothing(ptr), "realloc", ptr, fact);
    EXPECT_MISUSE(usable(ptr), "malloc_usable_size", ptr, fact);
    EXPECT_MISUSE(release_sized(ptr, 16), "free_sized", ptr, fact);
    EXPECT_MISUSE(release_aligned(ptr, 1, 16), "free_aligned_sized", ptr, fact);
}

const size_t HEAP_GRANULES[] = {1, 2, 63, 64, 65, 66, 200, 2047, 2048, 5000, 8191};

ISOLATED_TEST(DoubleFree, AtOnce) {
    for (size_t granules : HEAP_GRANULES) {
        char *ptr = allocate(granules);
        ASSERT_NE(allocate(1), nullptr);
        os_free(ptr);
        expect_misuse(ptr, FREE);
    }
}

ISOLATED_TEST(DoubleFree, AfterOtherBlocks) {
    for (size_t granules : HEAP_GRANULES) {
        char *ptr = allocate(granules);
        ASSERT_NE(allocate(1), nullptr);
        std::vector<char *> others;
        for (int i = 0; i < 30; i++) {
            others.push_back(allocate(granules));
            ASSERT_NE(allocate(1), nullptr);
        }
        os_free(ptr);
        for (char *other : others)
            os_free(other);
        expect_misuse(ptr, FREE);
    }
}

ISOLATED_TEST(DoubleFree, AfterTheRightNeighbourWasMerged) {
    for (size_t granules : HEAP_GRANULES) {
        char *ptr = allocate(granules), *right = allocate(granules);
        ASSERT_NE(allocate(1), nullptr);
        os_free(right);
        os_free(ptr);
        merge_all();
        expect_misuse(ptr, FREE);
        expect_misuse(right, INSIDE_FREE);
        if (2 * granules < granules_for(MMAP_THRESHOLD)) {
            ASSERT_EQ(allocate(2 * granules), ptr);
            expect_misuse(right, INSIDE_LIVE);
        } else {
            ASSERT_EQ(allocate(granules), ptr);
            ASSERT_EQ(allocate(granules), right);
        }
    }
}

ISOLATED_TEST(DoubleFree, AfterTheLeftNeighbourWasMerged) {
    for (size_t granules : HEAP_GRANULES) {
        char *left = allocate(granules), *ptr = allocate(granules);
        ASSERT_NE(allocate(1), nullptr);
        os_free(ptr);
        os_free(left);
        merge_all();
        expect_misuse(ptr, INSIDE_FREE);
        expect_misuse(left, FREE);
        allocate(granules);
        allocate(granules);
    }
}

/* The trap: the untouched end must look free. */
ISOLATED_TEST(DoubleFree, AfterItMergedIntoTheUntouchedEnd) {
    for (size_t granules : HEAP_GRANULES) {
        char *first = allocate(granules), *second = allocate(granules);
        os_free(second);
        merge_all();
        ASSERT_EQ(untouched_end().start, second);
        expect_misuse(second, FREE);
        os_free(first);
        merge_all();
        ASSERT_EQ(untouched_end().start, first);
        expect_misuse(first, FREE);
        expect_misuse(second, INSIDE_FREE);
    }
}

ISOLATED_TEST(DoubleFree, OfBlocksCutBeforeTheyWereAskedFor) {
    while (thread_heap->granules <= SMALL_HEAP / GRANULE_BYTES)
        ASSERT_NE(allocate(4000), nullptr);
    char *ptr = nullptr;
    for (int i = 0; i < 100 && quick_count(&thread_heap->quick[9], 9) < 3; i++)
        ptr = static_cast<char *>(os_malloc(9 * GRANULE_BYTES));
    ASSERT_GE(quick_count(&thread_heap->quick[9], 9), 3u);
    expect_misuse(ptr + 9 * GRANULE_BYTES, FREE);
    expect_misuse(ptr + 18 * GRANULE_BYTES, FREE);
}

ISOLATED_TEST(DoubleFree, OfWhatReallocMovedOrFreed) {
    char *ptr = allocate(10);
    ASSERT_NE(allocate(1), nullptr);
    char *moved = static_cast<char *>(os_realloc(ptr, 5000));
    ASSERT_NE(moved, ptr);
    expect_misuse(ptr, FREE);
    ASSERT_EQ(os_realloc(moved, 0), nullptr);
    EXPECT_MISUSE(release(moved), "free", moved,
                  untouched_end().start == moved || block_at(moved).size != 0 ? FREE : INSIDE_FREE);
}

ISOLATED_TEST(DoubleFree, OfTheTailThatAShrinkCutOff) {
    char *ptr = allocate(100);
    ASSERT_NE(allocate(1), nullptr);
    ASSERT_EQ(os_realloc(ptr, 160), ptr);
    expect_misuse(ptr + 160, FREE);
    expect_misuse(ptr + 176, INSIDE_FREE);
}

ISOLATED_TEST(Interior, OfALiveBlock) {
    for (size_t granules : HEAP_GRANULES) {
        char *ptr = allocate(granules);
        for (size_t offset : {size_t{1}, size_t{8}, size_t{15}, granules * 16 - 1})
            expect_misuse(ptr + offset, INSIDE_LIVE);
        for (size_t inside : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{128},
                              size_t{129}, size_t{192}, granules / 2, granules - 1}) {
            if (inside != 0 && inside < granules)
                expect_misuse(ptr + inside * GRANULE_BYTES, INSIDE_LIVE);
        }
    }
}

ISOLATED_TEST(Interior, OfAFreeBlock) {
    for (size_t granules : HEAP_GRANULES) {
        char *ptr = allocate(granules);
        ASSERT_NE(allocate(1), nullptr);
        os_free(ptr);
        expect_misuse(ptr + 3, INSIDE_FREE);
        for (size_t inside : {size_t{1}, size_t{64}, size_t{128}, size_t{192}, size_t{256},
                              granules / 2, granules - 1}) {
            if (inside != 0 && inside < granules)
                expect_misuse(ptr + inside * GRANULE_BYTES, INSIDE_FREE);
        }
    }
}

ISOLATED_TEST(Interior, OfTheUntouchedEnd) {
    ASSERT_NE(allocate(1), nullptr);
    Block end = untouched_end();
    expect_misuse(end.start, FREE);
    expect_misuse(end.start + 16, INSIDE_FREE);
    expect_misuse(end.start + 5, INSIDE_FREE);
    expect_misuse(end.end() - 16, INSIDE_FREE);
}

ISOLATED_TEST(Foreign, MemoryBeyondTheHeap) {
    ASSERT_NE(allocate(1), nullptr);
    /* The rest of the last region is not ours yet, but nobody else's either. */
    expect_misuse(kernel::arena_break(), INSIDE_FREE);
    char *next = reinterpret_cast<char *>(
        align_up(reinterpret_cast<uintptr_t>(kernel::arena_break()), REGION_BYTES));
    expect_misuse(next, FOREIGN);
    expect_misuse(next + MIB, FOREIGN);
    expect_misuse(kernel::arena_start() - 16, FOREIGN);
}

ISOLATED_TEST(Foreign, MemoryThatSomeoneElseTookFromTheBreak) {
    ASSERT_NE(allocate(1), nullptr);
    char *theirs = static_cast<char *>(sbrk(10000));
    expect_misuse(theirs, INSIDE_FREE);
    ASSERT_NE(allocate(8000), nullptr);
    exhaust_heap();
    ASSERT_NE(allocate(8000), nullptr);
    EXPECT_EXIT(release(theirs), testing::KilledBySignal(SIGABRT), "os_free\\(\\): block 0x");
}

ISOLATED_TEST(Foreign, StackAndStaticMemory) {
    static char variable[64];
    alignas(16) char local[64];
    for (bool has_heap : {false, true}) {
        if (has_heap) {
            ASSERT_NE(allocate(1), nullptr);
        }
        for (char *ptr : {local, local + 1, variable, variable + 16})
            expect_misuse(ptr, FOREIGN);
        expect_misuse(const_cast<char *>(FOREIGN), FOREIGN);
        expect_misuse(reinterpret_cast<void *>(&release), FOREIGN);
    }
}

ISOLATED_TEST(Foreign, BlocksOfTheCLibrary) {
    ASSERT_NE(allocate(1), nullptr);
    for (size_t size : {10, 1000, 1000000}) {
        void *ptr = malloc(size);
        expect_misuse(ptr, FOREIGN);
        free(ptr);
    }
}

ISOLATED_TEST(Foreign, AddressesThatAreNone) {
    for (bool has_heap : {false, true}) {
        if (has_heap) {
            ASSERT_NE(allocate(1), nullptr);
        }
        for (uintptr_t address :
             {uintptr_t{1}, uintptr_t{16}, uintptr_t{4096}, uintptr_t{1} << 40, uintptr_t{1} << 47,
              uintptr_t{1} << 63, UINTPTR_MAX - 15, UINTPTR_MAX})
            expect_misuse(reinterpret_cast<void *>(address), FOREIGN);
    }
}

ISOLATED_TEST(Foreign, TheAllocatorsOwnMemory) {
    char *ptr = allocate(1);
    struct region *region = region_of(ptr);
    expect_misuse(region, OWN_MEMORY);
    expect_misuse(thread_heap, OWN_MEMORY);
    expect_misuse(region->lines, OWN_MEMORY);
    expect_misuse(reinterpret_cast<char *>(region) + 17, OWN_MEMORY);
    expect_misuse(reinterpret_cast<char *>(region) + granules_bytes(REGION_FIRST) - 16, OWN_MEMORY);
    expect_misuse(&region_near, FOREIGN);
}

ISOLATED_TEST(MappedMisuse, DoubleFree) {
    for (size_t size : {MMAP_THRESHOLD, MMAP_THRESHOLD + 1, 5 * MIB}) {
        char *ptr = static_cast<char *>(os_malloc(size));
        os_free(ptr);
        expect_misuse(ptr, FOREIGN);
    }
}

ISOLATED_TEST(MappedMisuse, DoubleFreeOfAMappingKeptForLater) {
    char *ptr = nullptr;
    for (int i = 0; i < 10; i++) {
        ptr = static_cast<char *>(os_malloc(MIB));
        os_free(ptr);
    }
    ASSERT_EQ(block_at(ptr).kind, OS_BLOCK_CACHED);
    expect_misuse(ptr, FOREIGN);
    expect_misuse(ptr + 4096, FOREIGN);
}

ISOLATED_TEST(MappedMisuse, MappedAgainBySomeoneElse) {
    char *ptr = static_cast<char *>(os_malloc(MIB));
    os_free(ptr);
    ASSERT_EQ(
        mmap(ptr, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        ptr);
    fill(ptr, MIB, 1);
    expect_misuse(ptr, FOREIGN);
    EXPECT_TRUE(is_filled(ptr, MIB, 1));
}

ISOLATED_TEST(MappedMisuse, Interior) {
    char *ptr = static_cast<char *>(os_malloc(MIB));
    for (size_t offset : {size_t{1}, size_t{8}, size_t{16}, size_t{4096}, MIB / 2, MIB - 1})
        expect_misuse(ptr + offset, INSIDE_MAPPED);
    expect_misuse(ptr + MIB, FOREIGN);
    expect_misuse(ptr - 16, FOREIGN);
    os_free(ptr);
}

ISOLATED_TEST(MappedMisuse, OfTheOldPlaceOfAMovedBlock) {
    kernel::refuse(kernel::MREMAP);
    char *ptr = static_cast<char *>(os_malloc(MIB));
    char *moved = static_cast<char *>(os_realloc(ptr, 3 * MIB));
    ASSERT_NE(moved, ptr);
    expect_misuse(ptr, FOREIGN);
}

ISOLATED_TEST(FreeSized, DiesOfAnotherSize) {
    for (size_t size : {1, 16, 17, 100, 1024, 40000, 131071}) {
        char *ptr = static_cast<char *>(os_malloc(size));
        size_t granules = granules_for(size);
        for (size_t other : {size_t{0}, (granules - 1) * 16, granules * 16 + 1, granules * 32,
                             size_t{MMAP_THRESHOLD} + 1, size_t{SIZE_MAX}}) {
            EXPECT_MISUSE(release_sized(ptr, other), "free_sized", ptr, OTHER_SIZE);
            EXPECT_MISUSE(release_aligned(ptr, 16, other), "free_aligned_sized", ptr, OTHER_SIZE);
        }
        os_free_sized(ptr, granules * 16);
    }
    for (size_t size : {MMAP_THRESHOLD, MIB, MIB + 1}) {
        char *ptr = static_cast<char *>(os_malloc(size));
        size_t length = align_up(size, system_page());
        for (size_t other : {size_t{0}, size_t{100}, length - system_page(), length + 1, 2 * length,
                             size_t{SIZE_MAX}})
            EXPECT_MISUSE(release_sized(ptr, other), "free_sized", ptr, OTHER_SIZE);
        os_free_sized(ptr, size);
    }
}

ISOLATED_TEST(FreeAlignedSized, DiesOfAnotherAlignment) {
    char *ptr;
    do
        ptr = static_cast<char *>(os_aligned_alloc(2048, 2048));
    while (is_at(ptr, 4096));
    EXPECT_MISUSE(release_aligned(ptr, 4096, 2048), "free_aligned_sized", ptr, OTHER_ALIGNMENT);
    for (size_t alignment : {size_t{0}, size_t{3}, size_t{24}, size_t{SIZE_MAX}}) {
        EXPECT_MISUSE(release_aligned(ptr, alignment, 2048), "free_aligned_sized", ptr,
                      OTHER_ALIGNMENT);
    }
    os_free_aligned_sized(ptr, 2048, 2048);
}

/* Whatever the address inside a lived-in region: it is a live block's start, or the call dies. */
ISOLATED_TEST(Misuse, NoAddressOfARegionIsAcceptedButLiveBlocks) {
    std::mt19937_64 random(131);
    std::vector<char *> live;
    for (size_t i = 0; i < 3000; i++) {
        live.push_back(static_cast<char *>(os_malloc(1 + random() % 2000)));
        if (i % 3 == 0) {
            std::swap(live[random() % live.size()], live.back());
            os_free(live.back());
            live.pop_back();
        }
    }
    char *base = reinterpret_cast<char *>(region_of(live[0]));
    for (size_t i = 0; i < scaled(400); i++) {
        char *ptr = base + random() % REGION_BYTES;
        if (i % 4 != 0)
            ptr -= reinterpret_cast<uintptr_t>(ptr) % GRANULE_BYTES;
        if (block_at(ptr).kind == OS_BLOCK_USED)
            continue;
        EXPECT_EXIT(release(ptr), testing::KilledBySignal(SIGABRT),
                    "^osmem: os_free\\(\\): block 0x");
    }
}

/* What a program writes into freed memory misleads nobody: nothing of ours lies there. */
ISOLATED_TEST(Misuse, WritesAfterFreeHarmNobody) {
    std::mt19937_64 random(132);
    std::vector<std::pair<char *, size_t>> freed;
    for (size_t i = 0; i < scaled(20000); i++) {
        size_t size = 1 + random() % (random() % 8 ? 500 : 60000);
        char *ptr = static_cast<char *>(os_malloc(size));
        ASSERT_NE(ptr, nullptr);
        ASSERT_NE(os_malloc(1), nullptr);
        os_free(ptr);
        memset(ptr, 0xff, size);
    }
    EXPECT_EQ(os_heap_check(), 0);
}

/* As blocks beside them would that overflow, or underflow, by as much. */
ISOLATED_TEST(Misuse, WritesBesideTheMetadataDoNotReachThem) {
    ASSERT_NE(allocate(1), nullptr);
    while (thread_heap->regions->next == nullptr) {
        exhaust_heap();
        ASSERT_NE(allocate(1), nullptr);
    }
    for (struct region *region = thread_heap->regions; region != nullptr; region = region->next) {
        char *base = reinterpret_cast<char *>(region);
        memset(base, 0xff, SYSTEM_MARGIN);
        memset(base + granules_bytes(REGION_FIRST) - SYSTEM_MARGIN, 0xff, SYSTEM_MARGIN);
    }
    EXPECT_EQ(os_heap_check(), 0);
    std::vector<char *> blocks;
    for (size_t granules = 1; granules < 500; granules++)
        blocks.push_back(allocate(granules));
    for (char *block : blocks)
        os_free(block);
    EXPECT_EQ(os_heap_check(), 0);
}

ISOLATED_TEST(Misuse, WritesBesideOwnMappingsDoNotReachThem) {
    for (size_t size : {4 * KIB, 64 * KIB}) {
        char *own = static_cast<char *>(system_map_own(size));
        ASSERT_NE(own, nullptr);
        EXPECT_EQ(kernel::mapped_bytes(), size + 2 * SYSTEM_MARGIN);
        memset(own - SYSTEM_MARGIN, 0xff, SYSTEM_MARGIN);
        memset(own + size, 0xff, SYSTEM_MARGIN);
        EXPECT_TRUE(is_zero(own, size));
        EXPECT_TRUE(system_unmap_own(own, size));
        EXPECT_EQ(kernel::mapped_bytes(), 0u);
    }
}

ISOLATED_TEST(Misuse, OfNullIsNone) {
    errno = 7;
    release(nullptr);
    release_sized(nullptr, 100);
    release_aligned(nullptr, 64, 100);
    EXPECT_EQ(usable(nullptr), 0u);
    EXPECT_EQ(errno, 7);
    EXPECT_EQ(kernel::all_calls(), 0u);
}

} // namespace
} // namespace osmem
