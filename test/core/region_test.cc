/* Where regions may lie, and a break that moves while we extend it. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

constexpr uintptr_t TIB = uintptr_t{1} << 40;

constexpr size_t MOST = 200; /* blocks of this size, that is, fill more than any arena here */
constexpr size_t GRANULES = 6000;

bool is_there(const char *ptr) {
    return ptr >= kernel::arena_start() && ptr < kernel::arena_break();
}

/* Allocates until a block lies in the arena that was opened last; false: there is no memory. */
bool reach_arena() {
    for (size_t i = 0; i < MOST; i++) {
        char *ptr = allocate(GRANULES);
        if (ptr == nullptr)
            return false;
        fill(ptr, granules_bytes(GRANULES), 1);
        if (is_there(ptr))
            return os_malloc_usable_size(ptr) == granules_bytes(GRANULES);
    }
    return false;
}

/* Three zones of address space are known; what lies beyond is as if there were no memory. */
void expect_no_fourth_zone(size_t last_arena) {
    region_near.base = REGION_BYTES;
    for (uintptr_t address : {20 * TIB, 28 * TIB}) {
        kernel::open_arena(2 * REGION_BYTES - 4096, 4096, address);
        ASSERT_TRUE(reach_arena());
        ASSERT_GE(reinterpret_cast<uintptr_t>(kernel::arena_start()), address);
    }
    EXPECT_EQ(region_owner(reinterpret_cast<void *>(36 * TIB)), nullptr);
    kernel::open_arena(last_arena, 4096, 36 * TIB);
    EXPECT_FALSE(reach_arena());
    EXPECT_NE(kernel::arena_start(), kernel::arena_break()) << "the break was not tried";
    /* Each block is mapped by itself by now, and a region that is of no use does not stay. */
    size_t mapped = kernel::mapped_bytes();
    EXPECT_EQ(region_owner(allocate(GRANULES)), nullptr);
    EXPECT_EQ(kernel::mapped_bytes() - mapped, align_up(granules_bytes(GRANULES), system_page()));
    EXPECT_EQ(os_heap_check(), 0);
}

/* A whole region, or less than one. */
ISOLATED_TEST(Zones, AreThree) {
    SKIP_IF_PARANOID();
    expect_no_fourth_zone(3 * REGION_BYTES);
}
ISOLATED_TEST(Zones, AreThreeForAYoungRegionToo) {
    SKIP_IF_PARANOID();
    expect_no_fourth_zone(REGION_BYTES + 600 * KIB);
}

/* Someone takes so much of the break, while we look at it, that our region would not fit. */
ISOLATED_TEST(MovingBreak, IsExtendedByWhatIsMissing) {
    kernel::move_break_after_look(REGION_BYTES - 2048);
    char *ptr = allocate(100);
    ASSERT_NE(ptr, nullptr);
    EXPECT_EQ(kernel::count(kernel::SBRK).calls, 2u);
    EXPECT_GE(ptr, kernel::arena_start() + REGION_BYTES - 2048) << "in what is someone else's";
    EXPECT_LT(ptr, kernel::arena_break());
    fill(ptr, 1600, 1);
    exhaust_heap();
}

ISOLATED_TEST(MovingBreak, IsMadeUpForByAMappingWhereItCannotBeExtended) {
    kernel::move_break_after_look(REGION_BYTES - 2048);
    kernel::refuse(kernel::SBRK, 2);
    char *ptr = allocate(100);
    ASSERT_NE(ptr, nullptr);
    EXPECT_FALSE(is_there(ptr));
    fill(ptr, 1600, 1);
}

/* A region of a break that someone moved never counts as fresh, not when it grows either. */
ISOLATED_TEST(MovingBreak, BringsNoFreshMemory) {
    kernel::open_arena(REGION_BYTES + 1 * MIB, REGION_BYTES - 4096);
    ASSERT_TRUE(reach_arena());
    ASSERT_NE(sbrk(5000), reinterpret_cast<void *>(-1));
    kernel::grant_dirty_memory();
    const struct region *young = thread_heap->current, *old = young;
    while ((young = thread_heap->current) == old)
        ASSERT_NE(allocate(5000), nullptr);
    ASSERT_LT(young->committed, REGION_GRANULES);
    size_t committed = young->committed;
    while (young->committed == committed)
        ASSERT_NE(allocate(1000), nullptr);
    ASSERT_EQ(thread_heap->current, young);
    void *last = os_malloc(100000);
    os_free(last);
    os_malloc_trim(0);
    for (int i = 0; i < 20; i++) {
        void *ptr = os_calloc(1, 16000);
        ASSERT_NE(ptr, nullptr);
        EXPECT_TRUE(is_zero(ptr, 16000));
    }
}

/* A region that is given back whole leaves the page that it shares with someone else. */
ISOLATED_TEST(MovingBreak, KeepsWhatIsNotOursWhenRegionsAreGivenBack) {
    std::vector<char *> ours;
    while (thread_heap->granules < REGION_GRANULES / 2)
        ours.push_back(allocate(GRANULES));
    ASSERT_FALSE(is_at(kernel::arena_break(), system_page()));
    size_t rest = end_untouched(thread_heap);
    char *last = allocate(rest); /* up to the break */
    fill(last, granules_bytes(rest), 1);
    char *theirs = static_cast<char *>(sbrk(1000));
    fill(theirs, 1000, 7);
    for (char *each : ours)
        fill(each, granules_bytes(GRANULES), 1);
    for (char *each : ours)
        os_free(each);
    os_free(last);
    kernel::refuse(kernel::SBRK);
    kernel::refuse(kernel::MMAP, 1, 1);
    ASSERT_NE(os_malloc(8 * MIB), nullptr);
    if (!is_paranoid()) {
        EXPECT_NE(thread_heap->hollow, 0u) << "nothing was given back";
        EXPECT_EQ(region_owner(ours.back()), nullptr) << "what others may map";
    }
    ASSERT_TRUE(is_filled(theirs, 1000, 7));
    /* And what comes again reads as zero to its end. */
    for (size_t i = 0; i < ours.size(); i++) {
        void *ptr = os_calloc(GRANULES, GRANULE_BYTES);
        ASSERT_NE(ptr, nullptr);
        EXPECT_TRUE(is_zero(ptr, granules_bytes(GRANULES)));
    }
    EXPECT_TRUE(is_zero(os_calloc(rest, GRANULE_BYTES), granules_bytes(rest)));
    exhaust_heap();
    ASSERT_TRUE(is_filled(theirs, 1000, 7));
}

ISOLATED_TEST(Region, OfAThreadThatEndedIsGivenBackWhereMemoryIsShort) {
    SKIP_IF_PARANOID();
    allocate(1);
    std::thread([] {
        std::vector<char *> blocks;
        for (size_t i = 0; i < 5 * REGION_GRANULES / GRANULES; i++)
            blocks.push_back(allocate(GRANULES));
        for (char *block : blocks)
            os_free(block);
    }).join();
    kernel::reset_counts();
    kernel::refuse(kernel::MMAP, 1, 1);
    ASSERT_NE(os_malloc(8 * MIB), nullptr);
    EXPECT_GE(kernel::count(kernel::MUNMAP).bytes, 3 * REGION_BYTES);
}

ISOLATED_TEST(Region, ThatWasGivenBackComesAgainForWhatItHolds) {
    SKIP_IF_PARANOID();
    std::vector<char *> blocks;
    for (size_t i = 0; i < 3 * REGION_GRANULES / GRANULES; i++)
        blocks.push_back(allocate(GRANULES));
    for (char *block : blocks)
        os_free(block);
    hollow_release(thread_heap);
    for (struct region *region = thread_heap->regions; region != nullptr; region = region->next) {
        if (region->hollow == 0)
            continue;
        size_t granules = region->hollow - region->top;
        EXPECT_EQ(hollow_refill(thread_heap, granules + 1), nullptr);
        EXPECT_EQ(hollow_refill(thread_heap, granules), region);
        return;
    }
    FAIL() << "no region was given back";
}

/* Too large for a region with what its alignment costs: mapped, it leaves the heap as it is. */
ISOLATED_TEST(Region, RefusesWhatFitsIntoNone) {
    allocate(1);
    size_t granules = thread_heap->granules;
    kernel::refuse(kernel::MMAP);
    void *ptr = os_aligned_alloc(REGION_BYTES / 2, granules_bytes(REGION_CAPACITY));
    EXPECT_EQ(region_owner(ptr), nullptr);
    kernel::refuse(kernel::SBRK);
    errno = 0;
    EXPECT_EQ(os_aligned_alloc(REGION_BYTES / 2, granules_bytes(REGION_CAPACITY)), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
    volatile size_t impossible = size_t{1} << 63; /* the compiler would warn of it */
    EXPECT_EQ(os_aligned_alloc(impossible, 1), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_EQ(thread_heap->granules, granules);
}

} // namespace
} // namespace osmem
