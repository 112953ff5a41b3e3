/* Someone else moves the break too, or nobody can. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

struct Memory {
    char *start;
    size_t size;
    uint64_t seed;
};

/* What the others took from the break: theirs alone. */
class Foreigner {
  public:
    void take(size_t size) {
        char *start = static_cast<char *>(sbrk(static_cast<intptr_t>(size)));
        ASSERT_NE(start, reinterpret_cast<char *>(-1));
        fill(start, size, taken_.size());
        taken_.push_back({start, size, taken_.size()});
    }
    void give_back() {
        ASSERT_NE(sbrk(-static_cast<intptr_t>(taken_.back().size)), reinterpret_cast<void *>(-1));
        taken_.pop_back();
    }
    void expect_untouched() const {
        for (const Memory &memory : taken_)
            ASSERT_TRUE(is_filled(memory.start, memory.size, memory.seed))
                << "foreign memory of " << memory.size << " bytes was written";
    }
    bool overlaps(const char *ptr, size_t size) const {
        return std::any_of(taken_.begin(), taken_.end(), [&](const Memory &memory) {
            return ptr < memory.start + memory.size && memory.start < ptr + size;
        });
    }
    size_t count() const { return taken_.size(); }

  private:
    std::vector<Memory> taken_;
};

class Program {
  public:
    explicit Program(uint64_t seed) : random_(seed) {}

    /* Frees or allocates; NULL only where `may_fail`. */
    void step(const Foreigner &foreigner, size_t largest) {
        if (!live_.empty() && random_() % 3 == 0) {
            std::swap(live_[random_() % live_.size()], live_.back());
            ASSERT_TRUE(is_filled(live_.back().start, live_.back().size, live_.back().seed));
            os_free(live_.back().start);
            live_.pop_back();
            return;
        }
        size_t size = 1 + random_() % largest;
        char *ptr = static_cast<char *>(os_malloc(size));
        ASSERT_NE(ptr, nullptr);
        ASSERT_FALSE(foreigner.overlaps(ptr, os_malloc_usable_size(ptr)));
        live_.push_back({ptr, size, serial_++});
        fill(ptr, size, live_.back().seed);
    }
    void expect_untouched() const {
        for (const Memory &memory : live_)
            ASSERT_TRUE(is_filled(memory.start, memory.size, memory.seed));
    }

  private:
    std::mt19937_64 random_;
    std::vector<Memory> live_;
    uint64_t serial_ = 1000000;
};

void share_the_break(size_t rounds, size_t steps, size_t largest, uint64_t seed) {
    std::mt19937_64 random(seed);
    Foreigner foreigner;
    Program program(seed);
    foreigner.take(33);
    for (size_t round = 0; round < rounds; round++) {
        for (size_t step = 0; step < steps; step++) {
            program.step(foreigner, largest);
            if (testing::Test::HasFailure())
                FAIL() << "round " << round << ", seed " << seed;
        }
        switch (random() % 4) {
        case 0:
            foreigner.take(1 + random() % 100);
            break;
        case 1:
            foreigner.take(1 + random() % 300000);
            break;
        case 2:
            foreigner.take(4096 * (1 + random() % 4));
            break;
        default: { /* up and down again: the break is where it was */
            foreigner.take(1 + random() % 20000);
            foreigner.give_back();
        }
        }
        foreigner.expect_untouched();
        ASSERT_EQ(os_heap_check(), 0) << "round " << round << ", seed " << seed;
    }
    program.expect_untouched();
    EXPECT_GT(foreigner.count(), rounds / 2);
}

ISOLATED_TEST(ForeignBreak, MovesBetweenSmallBlocks) {
    share_the_break(60, scaled(2000), 1000, 111);
}
ISOLATED_TEST(ForeignBreak, MovesBetweenLargeBlocks) {
    share_the_break(60, scaled(400), 100000, 112);
}
ISOLATED_TEST(ForeignBreak, MovesBetweenEveryCall) { share_the_break(100, 1, 130000, 113); }

/* By every small odd size, before the first use. */
TEST(ForeignBreak, MovesBeforeTheFirstUse) {
    for (size_t size : {1, 2, 15, 16, 17, 4095, 4096, 4097, 100001, 5000001}) {
        run_isolated([=] {
            Foreigner foreigner;
            foreigner.take(size);
            Program program(size);
            for (size_t step = 0; step < scaled(500); step++)
                program.step(foreigner, 5000);
            foreigner.take(size);
            for (size_t step = 0; step < scaled(500); step++)
                program.step(foreigner, 5000);
            foreigner.expect_untouched();
            program.expect_untouched();
        });
    }
}

/* The heap goes on with what it has: a move alone costs no memory until it is full. */
ISOLATED_TEST(ForeignBreak, DoesNotDiscardWhatIsOurs) {
    ASSERT_NE(allocate(1), nullptr);
    Block end = untouched_end();
    Foreigner foreigner;
    foreigner.take(100);
    EXPECT_EQ(allocate(10), end.start);
    exhaust_heap();
    size_t calls = kernel::count(kernel::SBRK).calls;
    EXPECT_NE(allocate(10), nullptr);
    EXPECT_GT(kernel::count(kernel::SBRK).calls, calls);
    foreigner.expect_untouched();
}

ISOLATED_TEST(ForeignBreak, OfTheProcessItself) {
    kernel::use_real_break();
    share_the_break(30, scaled(500), 5000, 114);
}

void work(size_t steps, size_t largest) {
    Foreigner nobody;
    Program program(steps);
    for (size_t step = 0; step < steps; step++) {
        program.step(nobody, largest);
        if (testing::Test::HasFailure())
            FAIL() << "step " << step;
    }
    program.expect_untouched();
    ASSERT_EQ(os_heap_check(), 0);
}

bool lies_in_arena(const char *ptr) {
    return ptr >= kernel::arena_start() && ptr < kernel::arena_start() + ARENA_BYTES;
}

ISOLATED_TEST(ImmovableBreak, FromTheStartLeavesMappedRegions) {
    kernel::refuse(kernel::SBRK);
    char *ptr = allocate(1);
    ASSERT_NE(ptr, nullptr);
    EXPECT_FALSE(lies_in_arena(ptr));
    work(scaled(20000), 10000);
    EXPECT_EQ(kernel::arena_break(), kernel::arena_start());
}

ISOLATED_TEST(ImmovableBreak, ThatIsNotThereAtAll) {
    kernel::withhold_break();
    work(scaled(20000), 10000);
}

TEST(ImmovableBreak, FromTheMiddleGoesOnInMappedRegions) {
    for (size_t allowed = 1; allowed < 8; allowed++) {
        run_isolated([=] {
            kernel::refuse(kernel::SBRK, allowed + 1);
            work(scaled(20000), 8000);
            std::vector<Block> found = blocks();
            EXPECT_TRUE(std::any_of(found.begin(), found.end(),
                                    [](const Block &block) { return lies_in_arena(block.start); }));
        });
    }
}

TEST(ImmovableBreak, ThatHasLittleRoomIsUsedUpFirst) {
    for (size_t room : {size_t{0}, size_t{4096}, 100 * KIB, 300 * KIB, MIB, 5 * MIB, 9 * MIB}) {
        run_isolated([=] {
            kernel::open_arena(room, 64);
            work(scaled(20000), 8000);
        });
    }
}

/* Refused once, granted later: the heap uses what is granted, and what it had. */
ISOLATED_TEST(ImmovableBreak, ThatMovesAgainIsUsedAgain) {
    ASSERT_NE(allocate(1), nullptr);
    exhaust_heap();
    kernel::refuse(kernel::SBRK);
    char *mapped = allocate(100);
    EXPECT_FALSE(lies_in_arena(mapped));
    kernel::refuse_nothing();
    bool used_again = false;
    /* The mapped region is there, and is used up first. */
    for (size_t i = 0; i < REGION_BYTES / 8000 && !used_again; i++)
        used_again = lies_in_arena(allocate(8000));
    EXPECT_TRUE(used_again);
    /* What the region at the break's end has gained is no longer lost to the heap. */
    size_t idle = 0;
    bool newest = true;
    for (const Block &block : blocks()) {
        if (block.kind == OS_BLOCK_UNTOUCHED && !newest)
            idle += block.size;
        if (block.kind == OS_BLOCK_UNTOUCHED)
            newest = false;
    }
    EXPECT_EQ(idle, 0u) << "untouched bytes that no request can reach";
}

/* ---- two runs place the same ------------------------------------------------------------------
 */

/* Where each block of a workload lies behind the heap's start. */
std::vector<ptrdiff_t> placement(size_t offset) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        kernel::open_arena(ARENA_BYTES, offset);
        std::mt19937_64 random(115);
        std::vector<char *> live(2000, nullptr);
        std::vector<ptrdiff_t> places;
        char *start = nullptr;
        for (size_t step = 0; step < scaled(20000); step++) {
            char *&ptr = live[random() % live.size()];
            size_t size = 1 + random() % (random() % 8 == 0 ? 30000 : 800);
            if (random() % 4 == 0) {
                ptr = static_cast<char *>(os_realloc(ptr, size));
            } else {
                os_free(ptr);
                ptr = static_cast<char *>(os_malloc(size));
            }
            if (start == nullptr)
                start = ptr;
            places.push_back(ptr - start);
        }
        const char *bytes = reinterpret_cast<const char *>(places.data());
        size_t left = places.size() * sizeof places[0];
        while (left > 0) {
            ssize_t written = write(ends[1], bytes, left);
            if (written <= 0)
                _exit(1);
            bytes += written;
            left -= static_cast<size_t>(written);
        }
        _exit(0);
    }
    close(ends[1]);
    std::vector<ptrdiff_t> places;
    ptrdiff_t buffer[1024];
    size_t filled = 0;
    for (;;) {
        ssize_t got =
            read(ends[0], reinterpret_cast<char *>(buffer) + filled, sizeof buffer - filled);
        if (got <= 0)
            break;
        filled += static_cast<size_t>(got);
        places.insert(places.end(), buffer, buffer + filled / sizeof buffer[0]);
        size_t rest = filled % sizeof buffer[0];
        memmove(buffer, reinterpret_cast<char *>(buffer) + filled - rest, rest);
        filled = rest;
    }
    close(ends[0]);
    int status;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return places;
}

TEST(Placement, IsTheSameInTwoRuns) {
    std::vector<ptrdiff_t> first = placement(4096);
    ASSERT_EQ(first.size(), scaled(20000));
    EXPECT_EQ(placement(4096), first);
}

TEST(Placement, DoesNotDependOnWhereTheBreakBegan) {
    std::vector<ptrdiff_t> first = placement(4096);
    for (size_t offset : {size_t{0}, size_t{20480}, MIB, 3 * MIB + 4096, REGION_BYTES - 4096})
        EXPECT_TRUE(placement(offset) == first) << "offset " << offset;
}

} // namespace
} // namespace osmem
