/*
 * The kernel refuses: every single call that a workload makes, and every one from some call on.
 * What cannot be had is NULL with ENOMEM, nothing else changes, and it is had once the kernel gives
 * again.
 */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

/* Steps of a workload; faults_long_test has more. */
#ifndef OSMEM_FAULT_STEPS
#define OSMEM_FAULT_STEPS 300
#endif

/* What is written into a block and demanded of it later: no more than its two ends, to be quick. */
constexpr size_t FILLED = 2000;

struct Live {
    char *start;
    size_t size;
    uint64_t seed;

    size_t filled() const { return std::min(size, FILLED); }
    void write() const {
        fill(start, filled(), seed);
        if (size >= 2 * FILLED)
            fill(start + size - FILLED, FILLED, seed);
    }
    bool is_intact() const {
        return is_filled(start, filled(), seed) &&
               (size < 2 * FILLED || is_filled(start + size - FILLED, FILLED, seed));
    }
};

class Workload {
  public:
    explicit Workload(uint64_t seed) : random_(seed) {}

    void run(size_t steps) {
        for (size_t step = 0; step < steps; step++) {
            step_once();
            if (testing::Test::HasFailure())
                FAIL() << "step " << step;
        }
    }
    void expect_contents() const {
        for (const Live &block : live_)
            ASSERT_TRUE(block.is_intact());
    }
    void free_all() {
        for (const Live &block : live_)
            os_free(block.start);
        live_.clear();
    }
    size_t refusals() const { return refusals_; }

  private:
    size_t draw() {
        if (random_() % 64 == 0)
            return MIB + random_() % (39 * MIB);
        switch (random_() % 10) {
        case 0:
            return MMAP_THRESHOLD + random_() % (512 * KIB);
        case 1:
        case 2:
        case 3:
            return 10000 + random_() % 120000;
        case 4:
            return 1 + random_() % 10000;
        default:
            return 1 + random_() % 800;
        }
    }

    void note_refusal() {
        refusals_++;
        EXPECT_EQ(os_heap_check(), 0) << "after refusal " << refusals_;
    }
    /* NULL comes with ENOMEM; success and freeing leave errno alone. */
    bool accept(const void *ptr) {
        if (ptr == nullptr) {
            EXPECT_EQ(errno, ENOMEM);
            note_refusal();
            return false;
        }
        EXPECT_EQ(errno, 7);
        return true;
    }
    void keep(char *ptr, size_t size) {
        if (accept(ptr)) {
            live_.push_back({ptr, size, serial_++});
            live_.back().write();
        }
    }

    void allocate_one() {
        size_t size = draw();
        switch (random_() % 8) {
        case 0: {
            char *ptr = static_cast<char *>(os_calloc(1, size));
            if (ptr != nullptr) {
                ASSERT_TRUE(is_zero(ptr, size));
            }
            keep(ptr, size);
            break;
        }
        case 1: {
            size_t alignment = size_t{16} << random_() % 14;
            char *ptr = static_cast<char *>(os_aligned_alloc(alignment, size));
            ASSERT_TRUE(is_at(ptr, alignment));
            keep(ptr, size);
            break;
        }
        case 2: {
            void *ptr = this;
            int error = os_posix_memalign(&ptr, 64, size);
            ASSERT_EQ(errno, 7);
            if (error != 0) {
                ASSERT_EQ(error, ENOMEM);
                ASSERT_EQ(ptr, this);
                note_refusal();
            } else {
                keep(static_cast<char *>(ptr), size);
            }
            break;
        }
        default:
            keep(static_cast<char *>(os_malloc(size)), size);
        }
    }

    void resize_one(Live &block) {
        size_t size = random_() % 2 ? draw() : block.size + random_() % (block.size + 1);
        size = std::max<size_t>(size, 1);
        char *ptr = static_cast<char *>(os_realloc(block.start, size));
        if (!accept(ptr)) {
            ASSERT_GT(size, block.size) << "shrinking failed";
            ASSERT_TRUE(block.is_intact());
            return;
        }
        ASSERT_TRUE(is_filled(ptr, std::min({size, block.size, FILLED}), block.seed));
        block = {ptr, size, serial_++};
        block.write();
    }

    void step_once() {
        errno = 7;
        if (live_.empty() || random_() % 5 < 2 + (live_.size() < 60)) {
            allocate_one();
            return;
        }
        std::swap(live_[random_() % live_.size()], live_.back());
        if (random_() % 2 == 0) {
            resize_one(live_.back());
            return;
        }
        ASSERT_TRUE(live_.back().is_intact());
        os_free(live_.back().start);
        live_.pop_back();
        if (random_() % 25 == 0)
            os_malloc_trim(random_() % 2 * 10000);
        ASSERT_EQ(errno, 7);
    }

    std::mt19937_64 random_;
    std::vector<Live> live_;
    uint64_t serial_ = 1;
    size_t refusals_ = 0;
};

constexpr uint64_t SEED = 122;

size_t steps() { return is_paranoid() ? 40 : OSMEM_FAULT_STEPS; }

/* Which calls are refused: of one kind, or of any. */
struct Refusal {
    int call; /* kernel::CALLS: any */
    size_t first, last;
    int error;
};

void arm(const Refusal &refusal) {
    if (refusal.call == kernel::CALLS)
        kernel::refuse_any(refusal.first, refusal.last, refusal.error);
    else
        kernel::refuse(static_cast<kernel::Call>(refusal.call), refusal.first, refusal.last,
                       refusal.error);
}

void survive(const Refusal &refusal) {
    Workload workload(SEED);
    arm(refusal);
    workload.run(steps());
    ASSERT_EQ(os_heap_check(), 0) << "while the kernel refuses";
    if (refusal.first == refusal.last) {
        ASSERT_EQ(workload.refusals(), 0u) << "a single refusal was seen";
    }
    kernel::refuse_nothing();
    ASSERT_EQ(os_heap_check(), 0);
    workload.expect_contents();

    /* Recovery: everything can be had again, from the heap, from its growth, and mapped. */
    size_t before = workload.refusals();
    workload.run(steps());
    ASSERT_EQ(workload.refusals(), before) << "refused although the kernel gives again";
    for (size_t size : {size_t{100}, size_t{100000}, 3 * MIB}) {
        for (int i = 0; i < 20; i++)
            ASSERT_NE(os_malloc(size), nullptr);
    }
    workload.expect_contents();
    workload.free_all();
    ASSERT_EQ(os_heap_check(), 0);
}

/* How many calls the workload makes of each kind when nothing is refused, and in all. */
struct Calls {
    size_t of[kernel::CALLS + 1];
};

Calls calls_undisturbed() {
    int ends[2];
    Calls calls = {};
    EXPECT_EQ(pipe(ends), 0);
    run_isolated([&] {
        Workload workload(SEED);
        workload.run(steps());
        EXPECT_EQ(workload.refusals(), 0u);
        for (int call = 0; call < kernel::CALLS; call++)
            calls.of[call] = kernel::count(static_cast<kernel::Call>(call)).calls;
        calls.of[kernel::CALLS] = kernel::all_calls();
        EXPECT_EQ(write(ends[1], &calls, sizeof calls), ssize_t{sizeof calls});
    });
    EXPECT_EQ(read(ends[0], &calls, sizeof calls), ssize_t{sizeof calls});
    close(ends[0]);
    close(ends[1]);
    return calls;
}

class Faults : public testing::TestWithParam<int> {
  protected:
    /* Each call of the workload in turn. */
    void refuse_each(bool from_then_on) {
        const Calls calls = calls_undisturbed();
        const size_t count = calls.of[GetParam()];
        if (!is_paranoid()) {
            ASSERT_GT(count, 0u) << "the workload makes no such call";
        }
        const size_t stride = is_paranoid() ? 1 + count / 10 : 1;
        for (size_t call = 1; call <= count; call += stride) {
            Refusal refusal = {GetParam(), call, from_then_on ? SIZE_MAX : call,
                               call % 2 ? ENOMEM : EAGAIN};
            run_isolated([=] { survive(refusal); });
            ASSERT_FALSE(HasFailure()) << "call " << call << " of " << count;
        }
    }
};

TEST_P(Faults, OfOneCallAreSurvived) { refuse_each(false); }
TEST_P(Faults, FromOneCallOnAreSurvived) { refuse_each(true); }

/* What one kind of memory refuses the other makes up for. */
TEST_P(Faults, OfOneKindAreNotSeen) {
    if (GetParam() == kernel::CALLS)
        return;
    Refusal refusal = {GetParam(), 1, SIZE_MAX, ENOMEM};
    run_isolated([=] {
        arm(refusal);
        for (size_t size = 1; size < 40 * MIB; size += 1 + size / 3) {
            char *ptr = static_cast<char *>(os_malloc(size));
            size_t filled = std::min(size, 2 * MIB);
            ASSERT_NE(ptr, nullptr) << size;
            fill(ptr, filled, size);
            ptr = static_cast<char *>(os_realloc(ptr, size + size / 2 + 1));
            ASSERT_NE(ptr, nullptr) << size;
            ASSERT_TRUE(is_filled(ptr, filled, size));
            if (size % 2)
                os_free(ptr);
        }
    });
}

std::string name_of(const testing::TestParamInfo<int> &call) {
    static const char *const names[] = {"Sbrk", "Mmap", "Munmap", "Mremap", "Madvise", "Any"};
    return names[call.param];
}

INSTANTIATE_TEST_SUITE_P(Kernel, Faults,
                         testing::Values(int{kernel::SBRK}, int{kernel::MMAP}, int{kernel::MUNMAP},
                                         int{kernel::MREMAP}, int{kernel::MADVISE},
                                         int{kernel::CALLS}),
                         name_of);

/* Refusals come and go, for a long time. */
TEST(FaultStorm, IsSurvived) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run_isolated([=] {
            std::mt19937_64 random(seed);
            Workload workload(seed);
            for (int round = 0; round < (is_paranoid() ? 4 : 60); round++) {
                kernel::refuse_any(random() % 3, random() % 10 + 1);
                workload.run(is_paranoid() ? 15 : 100);
                ASSERT_EQ(os_heap_check(), 0) << "seed " << seed;
                kernel::refuse_nothing();
            }
            workload.expect_contents();
            workload.free_all();
            ASSERT_EQ(os_heap_check(), 0) << "seed " << seed;
        });
    }
}

/* Without memory for the index, free blocks are found all the same, by looking at all of them. */
ISOLATED_TEST(FaultsInDetail, OfTheIndexLoseNoFreeBlock) {
    std::vector<char *> holes;
    for (size_t i = 0; i < scaled(60000); i++) {
        holes.push_back(allocate(1 + i % 60));
        ASSERT_NE(allocate(1), nullptr);
    }
    exhaust_heap();
    kernel::refuse_any(1);
    for (char *hole : holes)
        os_free(hole);
    merge_all();
    EXPECT_EQ(os_heap_check(), 0);
    for (size_t i = 0; i < 200; i++) {
        size_t largest = 0;
        for (const Block &block : free_blocks())
            largest = std::max(largest, block.size);
        ASSERT_NE(os_malloc(largest), nullptr) << largest << ", request " << i;
    }
    kernel::refuse_nothing();
    EXPECT_NE(allocate(60), nullptr);
    EXPECT_EQ(os_heap_check(), 0);
}

/* A mapping that cannot be unmapped still gives its memory back. */
ISOLATED_TEST(FaultsInDetail, OfMunmapGiveTheMemoryBack) {
    SKIP_IF_PARANOID();
    char *ptr = static_cast<char *>(os_malloc(8 * MIB));
    fill(ptr, 8 * MIB, 1);
    kernel::refuse(kernel::MUNMAP);
    os_free(ptr);
    EXPECT_EQ(kernel::count(kernel::MADVISE).bytes, 8 * MIB);
    EXPECT_EQ(system_resident(ptr, 8 * MIB), 0u);
}

/* ---- what is free is given back before a request is refused ------------------------------------
 */

/* Blocks of `size` bytes, `bytes` in all, each of them written. */
std::vector<char *> fill_heap(size_t size, size_t bytes) {
    std::vector<char *> blocks;
    for (size_t held = 0; held < bytes; held += size) {
        blocks.push_back(static_cast<char *>(os_malloc(size)));
        fill(blocks.back(), size, blocks.size());
    }
    return blocks;
}

void check_and_free(const std::vector<char *> &blocks, size_t size) {
    for (size_t i = 0; i < blocks.size(); i++) {
        ASSERT_TRUE(is_filled(blocks[i], size, i + 1));
        os_free(blocks[i]);
    }
}

/* The address space of free regions, and of mappings kept, makes room for one large block. */
ISOLATED_TEST(Refused, FreeRegionsAreGivenBackAndUsedAgain) {
    SKIP_IF_PARANOID();
    for (size_t size : {size_t{40}, size_t{700}, size_t{5000}, size_t{90000}}) {
        check_and_free(fill_heap(size, 10 * REGION_BYTES), size);
        kernel::reset_counts();
        kernel::refuse(kernel::MMAP, 1, 1);
        char *large = static_cast<char *>(os_malloc(40 * MIB));
        ASSERT_NE(large, nullptr);
        EXPECT_GT(kernel::count(kernel::MUNMAP).bytes, 7 * REGION_BYTES) << size;
        EXPECT_EQ(os_heap_check(), 0);
        os_stats stats;
        os_malloc_stats(&stats);
        EXPECT_LT(stats.heap, 4 * REGION_BYTES) << size;
        os_free(large);

        /* The same regions serve again, so the break does not move. */
        std::vector<char *> blocks = fill_heap(size, 9 * REGION_BYTES);
        EXPECT_EQ(kernel::count(kernel::SBRK).calls, 0u) << size;
        EXPECT_EQ(os_heap_check(), 0);
        check_and_free(blocks, size);
    }
}

/* Regions that hold a single live block stay. */
ISOLATED_TEST(Refused, RegionsInUseAreKept) {
    std::vector<char *> blocks = fill_heap(60000, 8 * REGION_BYTES);
    std::vector<char *> kept;
    for (size_t i = 0; i < blocks.size(); i++) {
        if (i % 40 == 0)
            kept.push_back(blocks[i]);
        else
            os_free(blocks[i]);
    }
    kernel::refuse(kernel::MMAP, 1, 1);
    ASSERT_NE(os_malloc(40 * MIB), nullptr);
    for (size_t i = 0; i < kept.size(); i++)
        ASSERT_TRUE(is_filled(kept[i], 60000, 40 * i + 1));
    EXPECT_EQ(os_heap_check(), 0);
}

/* Where nothing can be mapped, a block that no region holds comes from the break. */
ISOLATED_TEST(Refused, LargeBlocksComeFromTheBreak) {
    ASSERT_NE(allocate(10), nullptr);
    kernel::refuse(kernel::MMAP);
    /* Someone else moves the break: what it grants need not be zero from now on. */
    ASSERT_NE(sbrk(100), reinterpret_cast<void *>(-1));
    std::vector<char *> blocks = fill_heap(3000, scaled(2 * REGION_BYTES));
    kernel::grant_dirty_memory();
    for (size_t alignment : {size_t{16}, MIB, 64 * MIB}) {
        char *large = static_cast<char *>(os_aligned_alloc(alignment, 20 * MIB + 1));
        ASSERT_NE(large, nullptr);
        EXPECT_TRUE(is_at(large, alignment));
        EXPECT_TRUE(large > kernel::arena_start() && large < kernel::arena_break());
        fill(large, 20 * MIB, alignment);
        /* The heap goes on before and behind it. */
        check_and_free(fill_heap(3000, scaled(2 * REGION_BYTES)), 3000);
        EXPECT_TRUE(is_filled(large, 20 * MIB, alignment));
        os_free(large);
    }
    char *zero = static_cast<char *>(os_calloc(1, 10 * MIB));
    ASSERT_NE(zero, nullptr);
    EXPECT_TRUE(is_zero(zero, 10 * MIB));
    EXPECT_EQ(os_heap_check(), 0);
    check_and_free(blocks, 3000);
}

/* More of them than the registry of mapped blocks has room for at first. */
/* So does the table of mappings, in memory that does not read as zero. */
ISOLATED_TEST(Refused, LargeBlocksAreKnownInATableOfDirtyMemory) {
    kernel::grant_dirty_memory();
    kernel::refuse(kernel::MMAP);
    std::vector<char *> blocks;
    for (size_t i = 0; i < 40; i++)
        blocks.push_back(static_cast<char *>(os_malloc(5 * MIB)));
    for (char *block : blocks) {
        ASSERT_NE(block, nullptr);
        EXPECT_FALSE(mapped_contains(block + 5 * MIB + MIB));
    }
    EXPECT_EQ(os_heap_check(), 0);
    for (char *block : blocks)
        os_free(block);
}

ISOLATED_TEST(Refused, ManyLargeBlocksComeFromTheBreak) {
    kernel::open_arena(16 * ARENA_BYTES);
    kernel::refuse(kernel::MMAP);
    std::vector<char *> blocks;
    for (size_t i = 0; i < 300; i++) {
        blocks.push_back(static_cast<char *>(os_malloc(5 * MIB)));
        ASSERT_NE(blocks.back(), nullptr) << i;
        fill(blocks.back(), 100, i);
    }
    for (size_t i = 0; i < 300; i++) {
        ASSERT_TRUE(is_filled(blocks[i], 100, i));
        os_free(blocks[i]);
    }
}

} // namespace
} // namespace osmem
