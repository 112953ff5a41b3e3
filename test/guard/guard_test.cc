/*
 * The guarded mode: every write outside a live block is found, at the latest when the program ends,
 * and correct programs see no difference. Each case runs in a process of its own.
 */
#include "test/core/blocks.h"
#include "test/core/kernel.h"
#include "test/model/child.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

const char BEFORE[] = "was written to before its start";
const char BEYOND[] = "was written to beyond its end";
const char AFTER[] = "was written to after it was freed";

/* Heap blocks of pages of small blocks and larger ones, and mapped ones. */
const size_t SIZES[] = {1, 8, 16, 17, 100, 1000, 5000, 100000};
const size_t MAPPED_SIZES[] = {128 * KIB, 200001, 1 * MIB + 5};

Ended guarded(const std::function<void()> &body) {
    return run_child([&] {
        setenv("OSMEM_CONF", "guard:on", 1);
        body();
    });
}

/* The compiler must not see what is done outside of blocks. */
__attribute__((noipa)) void write(char *ptr, ptrdiff_t offset, size_t count, int value = 'x') {
    memset(ptr + offset, value, count);
}
__attribute__((noipa)) char read(const char *ptr, ptrdiff_t offset) { return ptr[offset]; }
__attribute__((noipa)) void release(void *ptr) { os_free(ptr); }

char *in_use(size_t size) { return static_cast<char *>(os_malloc(size)); }

os_stats stats() {
    os_stats all;
    os_malloc_stats(&all);
    return all;
}

bool segfaulted(const Ended &ended) {
    return WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGSEGV;
}

/* ---- canaries ------------------------------------------------------------------------------- */

TEST(Canary, ShowsAByteBeyondTheEndWhateverTheSize) {
    for (size_t size : SIZES) {
        for (int value : {int{'x'}, 0}) {
            Ended ended = guarded([&] {
                char *block = in_use(size);
                write(block, static_cast<ptrdiff_t>(size), 1, value);
                release(block);
            });
            EXPECT_TRUE(ended.died_of("os_free", BEYOND)) << size << ": " << ended;
        }
    }
}

TEST(Canary, ShowsAByteBeforeTheStart) {
    for (size_t size : SIZES) {
        for (ptrdiff_t offset : {-1, -16}) {
            Ended ended = guarded([&] {
                char *block = in_use(size);
                write(block, offset, 1);
                release(block);
            });
            EXPECT_TRUE(ended.died_of("os_free", BEFORE)) << size << ": " << ended;
        }
    }
}

TEST(Canary, IsCheckedByEveryCallThatTakesABlock) {
    const std::pair<const char *, void (*)(char *)> calls[] = {
        {"os_free", [](char *ptr) { os_free(ptr); }},
        {"os_realloc", [](char *ptr) { EXPECT_EQ(os_realloc(ptr, 41), nullptr); }},
        {"os_realloc", [](char *ptr) { EXPECT_EQ(os_realloc(ptr, 0), nullptr); }},
        {"os_malloc_usable_size", [](char *ptr) { os_malloc_usable_size(ptr); }},
        {"os_free_sized", [](char *ptr) { os_free_sized(ptr, 40); }},
        {"os_free_aligned_sized", [](char *ptr) { os_free_aligned_sized(ptr, 16, 40); }},
    };
    for (const auto &[name, call] : calls) {
        Ended ended = guarded([&, called = call] {
            char *block = in_use(40);
            write(block, 40, 1);
            called(block);
        });
        EXPECT_TRUE(ended.died_of(name, BEYOND)) << ended;
    }
}

TEST(Canary, OfAnotherBlockIsSeenWhenTheHeapIsChecked) {
    for (size_t count : {17u, 100u, 1000u, 8192u}) {
        Ended ended = guarded([&] {
            char *block = in_use(100);
            for (int i = 0; i < 100; i++)
                in_use(100);
            write(block, 100, count);
            EXPECT_EQ(os_heap_check(), INVARIANT_G1);
        });
        EXPECT_TRUE(ended.well()) << count << ": " << ended;
        EXPECT_EQ(ended.count("osmem: G1: "), 1u) << ended;
    }
}

TEST(Canary, IsCheckedWhenTheProgramEnds) {
    for (size_t size : {24, 40000, 300001}) {
        Ended ended = guarded([&] {
            write(in_use(size), static_cast<ptrdiff_t>(size), 1);
            exit(0);
        });
        EXPECT_TRUE(ended.died_of("os_heap_check", BEYOND)) << size << ": " << ended;
    }
}

TEST(Canary, OfABlockOfAThreadThatEndedIsCheckedToo) {
    Ended ended = guarded([] {
        in_use(1);
        std::thread([] { write(in_use(100), -3, 1); }).join();
        exit(0);
    });
    EXPECT_TRUE(ended.died_of("os_heap_check", BEFORE)) << ended;
}

TEST(Canary, IsCheckedByTheThreadThatFrees) {
    Ended ended = guarded([] {
        char *block = in_use(100);
        write(block, 100, 1);
        std::thread([&] { release(block); }).join();
    });
    EXPECT_TRUE(ended.died_of("os_free", BEYOND)) << ended;
}

TEST(Canary, EnclosesAlignedBlocks) {
    for (size_t alignment : {32u, 64u, 4096u, 65536u, 131072u, 1u << 20}) {
        for (size_t size : {1u, 100u, 5000u, 200001u}) {
            auto aligned = [&] {
                auto block = static_cast<char *>(os_aligned_alloc(alignment, size));
                EXPECT_TRUE(is_at(block, alignment));
                return block;
            };
            Ended ended = guarded([&] {
                char *block = aligned();
                write(block, 0, size);
                EXPECT_EQ(os_malloc_usable_size(block), size);
                os_free_aligned_sized(block, alignment, size);
            });
            EXPECT_TRUE(ended.well()) << alignment << ", " << size << ": " << ended;
            ended = guarded([&] {
                char *block = aligned();
                write(block, static_cast<ptrdiff_t>(size), 1);
                release(block);
            });
            EXPECT_TRUE(ended.died_of("os_free", BEYOND)) << alignment << ", " << size << ended;
            ended = guarded([&] {
                char *block = aligned();
                write(block, -1, 1);
                release(block);
            });
            EXPECT_TRUE(ended.died_of("os_free", BEFORE) || segfaulted(ended)) << ended;
        }
    }
}

/* ---- freed memory --------------------------------------------------------------------------- */

TEST(Freed, HoldsNothingOfTheProgramsAnyMore) {
    for (size_t size : SIZES) {
        Ended ended = guarded([&] {
            char *block = in_use(size);
            write(block, 0, size, 0); /* no byte of the fill is */
            release(block);
            for (size_t i = 0; i < size; i++)
                ASSERT_NE(read(block, static_cast<ptrdiff_t>(i)), 0);
        });
        EXPECT_TRUE(ended.well()) << size << ": " << ended;
    }
}

TEST(Freed, WritesAreSeenWhenTheMemoryIsHandedOutAgain) {
    for (size_t size : SIZES) {
        for (int value : {int{'x'}, 0}) {
            Ended ended = guarded([&] {
                char *block = in_use(size);
                release(block);
                write(block, static_cast<ptrdiff_t>(size / 2), 1, value);
                for (int i = 0; i < 3000; i++) {
                    char *other = in_use(size);
                    for (int k = 0; k < i % 3; k++)
                        in_use(size);
                    release(other);
                }
            });
            EXPECT_TRUE(ended.died_of("os_malloc", AFTER)) << size << ": " << ended;
        }
    }
}

TEST(Freed, WritesAreSeenInMemoryThatWasMergedAndCutOrPurged) {
    /* So few are not purged, so many are. */
    for (size_t count : {200u, 2000u}) {
        Ended ended = guarded([&] {
            std::vector<char *> blocks;
            for (size_t i = 0; i < count; i++)
                blocks.push_back(in_use(2000));
            for (char *block : blocks)
                release(block);
            /* One alone may wait in the quarantine all the while. */
            for (size_t i = 0; i < count; i += 8)
                write(blocks[i], 77, 1);
            for (size_t i = 0; i < count; i++)
                in_use(3000);
        });
        EXPECT_TRUE(ended.died_of("os_malloc", AFTER)) << count << ": " << ended;
    }
}

TEST(Freed, WritesAreSeenWhenTheHeapIsChecked) {
    Ended ended = guarded([] {
        char *block = in_use(200);
        release(block);
        EXPECT_EQ(os_heap_check(), 0);
        write(block, 0, 8);
        EXPECT_EQ(os_heap_check(), INVARIANT_G2);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.count("osmem: G2: "), 1u) << ended;
}

TEST(Freed, WritesAreSeenWhenTheProgramEnds) {
    Ended ended = guarded([] {
        char *block = in_use(200);
        release(block);
        write(block, 100, 1);
        exit(0);
    });
    EXPECT_TRUE(ended.died_of("os_heap_check", AFTER)) << ended;
}

TEST(Freed, MemoryGivenBackIsNoDamage) {
    Ended ended = guarded([] {
        for (int round = 0; round < 3; round++) {
            std::vector<char *> blocks;
            for (int i = 0; i < 300; i++)
                blocks.push_back(in_use(1000 + static_cast<size_t>(i) * 300));
            for (char *block : blocks)
                release(block);
            EXPECT_EQ(os_malloc_trim(0), 1);
            EXPECT_EQ(os_heap_check(), 0);
        }
        exit(0);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

/* Whole regions go back when memory is refused, and read as zero when they are needed again. */
TEST(Freed, RegionsGivenBackAreNoDamage) {
    Ended ended = guarded([] {
        setenv("OSMEM_CONF", "guard:on,purge:off", 1);
        volatile size_t enormous = PTRDIFF_MAX;
        for (int round = 0; round < 2; round++) {
            std::vector<char *> blocks;
            for (size_t i = 0; i < 60; i++)
                blocks.push_back(in_use(100000));
            for (char *block : blocks)
                release(block);
            EXPECT_EQ(os_malloc(enormous), nullptr);
            EXPECT_GT(thread_heap->hollow, 0u);
            EXPECT_EQ(os_heap_check(), 0);
        }
        exit(testing::Test::HasFailure());
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Freed, BlocksComeBackLateAndInNoOrder) {
    Ended ended = guarded([] {
        std::vector<char *> freed, back;
        for (int i = 0; i < 32; i++)
            freed.push_back(in_use(100));
        for (char *block : freed)
            release(block);
        for (int i = 0; i < 16; i++)
            back.push_back(in_use(100));
        std::vector<ptrdiff_t> places;
        for (char *block : back) {
            auto found = std::find(freed.begin(), freed.end(), block);
            if (found != freed.end())
                places.push_back(found - freed.begin());
        }
        ASSERT_GT(places.size(), 8u);
        EXPECT_FALSE(std::is_sorted(places.begin(), places.end()));
        EXPECT_FALSE(std::is_sorted(places.rbegin(), places.rend()));

        char *block = in_use(500);
        release(block);
        for (int i = 0; i < 16; i++)
            EXPECT_NE(in_use(500), block);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

/* ---- misuse --------------------------------------------------------------------------------- */

TEST(GuardedMisuse, IsNamedAsInTheOtherMode) {
    struct Case {
        const char *fact;
        std::function<void *()> make;
    };
    static char global[64];
    char local[64];
    std::vector<Case> cases = {
        {"was not allocated here", [&] { return in_use(1), local + 16; }},
        {"was not allocated here", [&] { return in_use(1), global; }},
        {"was not allocated here", [] { return in_use(1), reinterpret_cast<void *>(&exit); }},
        {"was not allocated here", [] { return in_use(1), reinterpret_cast<void *>(0x1000); }},
        {"lies in the allocator's own memory", [] { return region_of(in_use(1)); }},
    };
    for (size_t size : SIZES) {
        cases.push_back({"is already free", [=] {
                             char *block = in_use(size);
                             release(block);
                             return block;
                         }});
        for (ptrdiff_t offset : {-16, -1, 1, 16})
            cases.push_back({"lies inside a live block", [=] { return in_use(size) + offset; }});
    }
    for (size_t size : MAPPED_SIZES) {
        cases.push_back({"is already free", [=] {
                             char *block = in_use(size);
                             release(block);
                             return block;
                         }});
        for (ptrdiff_t offset : {1, 16, 4096, 100000})
            cases.push_back({"lies inside a mapped block", [=] { return in_use(size) + offset; }});
    }
    const std::pair<const char *, void (*)(void *)> calls[] = {
        {"os_free", os_free},
        {"os_realloc", [](void *ptr) { EXPECT_EQ(os_realloc(ptr, 33), nullptr); }},
        {"os_malloc_usable_size", [](void *ptr) { os_malloc_usable_size(ptr); }},
    };
    for (const Case &each : cases) {
        for (const auto &[name, call] : calls) {
            Ended ended = guarded([&, called = call] { called(each.make()); });
            EXPECT_TRUE(ended.died_of(name, each.fact)) << each.fact << ": " << ended;
        }
    }
}

TEST(GuardedMisuse, ASecondFreeIsSeenLongAfter) {
    Ended ended = guarded([] {
        char *block = in_use(100);
        std::thread([&] { release(block); }).join();
        for (int i = 0; i < 10; i++)
            release(in_use(200));
        release(block);
    });
    EXPECT_TRUE(ended.died_of("os_free", "is already free")) << ended;
}

TEST(GuardedMisuse, OneOfTwoThreadsThatFreeABlockAtOnceDies) {
    Ended ended = guarded([] {
        for (int round = 0; round < 10000; round++) {
            char *block = in_use(100);
            std::thread other([&] { release(block); });
            release(block);
            other.join();
        }
    });
    EXPECT_TRUE(ended.aborted()) << ended;
}

TEST(GuardedMisuse, OfAnotherSizeIsSeenToTheByte) {
    Ended ended = guarded([] { os_free_sized(in_use(41), 42); });
    EXPECT_TRUE(ended.died_of("os_free_sized", "is of another size")) << ended;
    ended = guarded([] { os_free_sized(in_use(41), 41); });
    EXPECT_TRUE(ended.well()) << ended;
}

/* ---- mapped blocks -------------------------------------------------------------------------- */

TEST(Fence, StopsWhoRunsOverAnEndOfAMappedBlock) {
    for (size_t size : MAPPED_SIZES) {
        for (ptrdiff_t offset : {15, 16, 100, 4096, 8191}) {
            Ended ended =
                guarded([&] { write(in_use(size), static_cast<ptrdiff_t>(size) + offset, 1); });
            EXPECT_TRUE(segfaulted(ended)) << size << " + " << offset << ": " << ended;
        }
        for (ptrdiff_t offset : {-4096, -8192}) {
            Ended ended = guarded([&] { write(in_use(size), offset, 1); });
            EXPECT_TRUE(segfaulted(ended)) << size << offset << ": " << ended;
        }
    }
}

TEST(Fence, LeavesBytesToCanaries) {
    Ended ended = guarded([] {
        char *block = in_use(200001);
        write(block, 200001, 1);
        release(block);
    });
    EXPECT_TRUE(ended.died_of("os_free", BEYOND)) << ended;
    ended = guarded([] {
        char *block = in_use(200001);
        write(block, -1, 1);
        release(block);
    });
    EXPECT_TRUE(ended.died_of("os_free", BEFORE)) << ended;
}

TEST(Fence, StopsWhoUsesAFreedMappedBlock) {
    for (size_t size : MAPPED_SIZES) {
        for (bool is_read : {false, true}) {
            Ended ended = guarded([&] {
                char *block = in_use(size);
                write(block, 0, size);
                release(block);
                if (is_read)
                    read(block, 1000);
                else
                    write(block, static_cast<ptrdiff_t>(size) - 1, 1);
            });
            EXPECT_TRUE(segfaulted(ended)) << size << ": " << ended;
        }
    }
}

TEST(Fence, KeepsContentsWhileABlockGrowsAndShrinks) {
    Ended ended = guarded([] {
        size_t old = 1000;
        char *block = in_use(old);
        fill(block, old, 7);
        for (size_t size : {5000u, 130000u, 131072u, 140001u, 400000u, 8000000u, 7990000u, 1000000u,
                            131072u, 131071u, 60000u, 59999u, 100u, 50u, 200000u}) {
            block = static_cast<char *>(os_realloc(block, size));
            ASSERT_NE(block, nullptr);
            EXPECT_TRUE(is_filled(block, std::min(old, size), 7)) << size;
            EXPECT_EQ(os_malloc_usable_size(block), size);
            EXPECT_EQ(stats().requested, size);
            fill(block, size, 7);
            EXPECT_EQ(os_heap_check(), 0);
            old = size;
        }
        release(block);
        exit(testing::Test::HasFailure());
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Fence, GuardsWhatARemovedEndLeaves) {
    for (size_t size : {300000u, 4000u, 100u}) {
        Ended ended = guarded([&] {
            auto block = static_cast<char *>(os_realloc(in_use(size), size / 2));
            write(block, static_cast<ptrdiff_t>(size / 2), 1);
            release(block);
        });
        EXPECT_TRUE(ended.died_of("os_free", BEYOND)) << size << ": " << ended;
    }
}

/* ---- what correct programs see -------------------------------------------------------------- */

TEST(Guard, IsOffUnlessAskedFor) {
    Ended ended = run_child([] {
        setenv("OSMEM_CONF", "guard:off", 1);
        char *block = in_use(100);
        EXPECT_FALSE(conf.guard);
        EXPECT_EQ(os_malloc_usable_size(block), 112u);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Guard, CallocClearsWhatWasFilled) {
    Ended ended = guarded([] {
        for (int i = 0; i < 2000; i++) {
            size_t size = 1 + static_cast<size_t>(i) * 131 % 300000;
            auto block = static_cast<char *>(os_calloc(1, size));
            ASSERT_TRUE(is_zero(block, size)) << size;
            write(block, 0, size);
            release(block);
        }
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Guard, CountsToTheByte) {
    Ended ended = guarded([] {
        char *blocks[] = {in_use(1), in_use(100), in_use(5000), in_use(200001)};
        os_stats before = stats();
        EXPECT_EQ(before.requested, 205102u);
        EXPECT_EQ(before.allocated, 48u + 144u + 5040u);
        EXPECT_EQ(before.allocated_blocks, 3u);
        EXPECT_EQ(before.mapped_blocks, 1u);
        for (char *block : blocks)
            release(block);
        /* What is in the quarantine is free. */
        os_stats after = stats();
        EXPECT_EQ(after.requested, 0u);
        EXPECT_EQ(after.allocated, 0u);
        EXPECT_EQ(after.free + after.untouched, before.free + before.untouched + before.allocated);
        EXPECT_EQ(after.heap, after.free + after.untouched + after.metadata);
        EXPECT_EQ(after.mapped, 0u);
        EXPECT_EQ(after.mapped_cached, before.mapped);
        os_malloc_trim(0);
        EXPECT_EQ(stats().mapped_cached, 0u);
        EXPECT_EQ(stats().free_blocks, 0u);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Guard, GivesUpTheQuarantineBeforeMemoryIsRefused) {
    for (size_t size : {5000u, 100000u, 1000000u}) {
        Ended ended = guarded([&] {
            kernel::open_arena(ARENA_BYTES);
            char *block = in_use(size);
            std::vector<char *> others;
            kernel::refuse(kernel::SBRK);
            kernel::refuse(kernel::MMAP);
            kernel::refuse(kernel::MREMAP);
            others.reserve(100000);
            while (char *other = in_use(size))
                others.push_back(other);
            release(block);
            EXPECT_NE(in_use(size), nullptr) << size;
            EXPECT_EQ(in_use(size), nullptr) << size;
            EXPECT_EQ(errno, ENOMEM);
        });
        EXPECT_TRUE(ended.well()) << ended;
    }
}

TEST(Guard, BlocksFromBeforeTheOptionsWereReadAreFreedAsTheyAre) {
    Ended ended = guarded([] {
        char **saved = environ;
        environ = nullptr;
        std::vector<char *> early;
        for (size_t i = 0; i < 100; i++) {
            early.push_back(in_use(1 + i * 7));
            early.push_back(in_use(1 + i * 7));
            release(early.back());
            early.pop_back();
        }
        char *mapped = in_use(300000);
        EXPECT_FALSE(conf.guard);
        environ = saved;
        thread_read_conf();
        EXPECT_TRUE(conf.guard);
        for (size_t i = 0; i < 100; i++) {
            char *block = in_use(1 + i * 7);
            EXPECT_EQ(os_malloc_usable_size(block), 1 + i * 7);
            EXPECT_EQ(os_malloc_usable_size(early[i]), granules_bytes(granules_for(1 + i * 7)));
            release(early[i]);
            release(block);
        }
        release(mapped);
        EXPECT_EQ(os_heap_check(), 0);
        EXPECT_EQ(stats().allocated, 0u);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Guard, ThreadsFreeEachOthersBlocks) {
    Ended ended = guarded([] {
        constexpr size_t COUNT = 2000;
        std::vector<char *> blocks(4 * COUNT);
        for (int round = 0; round < 3; round++) {
            std::vector<std::thread> threads;
            for (size_t t = 0; t < 4; t++)
                threads.emplace_back([&, t] {
                    for (size_t i = 0; i < COUNT; i++) {
                        size_t size = 1 + (i * 37 + t) % 3000, place = t * COUNT + i;
                        blocks[place] = in_use(size);
                        fill(blocks[place], size, place);
                    }
                });
            for (auto &thread : threads)
                thread.join();
            threads.clear();
            for (size_t t = 0; t < 4; t++)
                threads.emplace_back([&, t] {
                    for (size_t i = 0; i < COUNT; i++) {
                        size_t from = (t + 1) % 4, place = from * COUNT + i;
                        size_t size = 1 + (i * 37 + from) % 3000;
                        ASSERT_TRUE(is_filled(blocks[place], size, place));
                        release(blocks[place]);
                    }
                });
            for (auto &thread : threads)
                thread.join();
        }
        EXPECT_EQ(os_heap_check(), 0);
        exit(testing::Test::HasFailure());
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Guard, AChildOfAForkFreesWhatItCanReach) {
    Ended ended = guarded([] {
        std::vector<char *> blocks;
        std::thread([&] {
            for (size_t i = 0; i < 500; i++)
                blocks.push_back(in_use(1 + i * 300));
        }).join();
        for (size_t i = 0; i < 500; i++)
            blocks.push_back(in_use(1 + i * 300));
        pid_t child = fork();
        for (char *block : blocks)
            release(block);
        EXPECT_EQ(os_heap_check(), 0);
        if (child == 0)
            exit(testing::Test::HasFailure());
        int status;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

} // namespace
} // namespace osmem
