/* Misuse dies at once, with one line that names the function, the pointer and the fact. */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <cstring>
#include <sys/mman.h>

namespace osmem {
namespace {

using Call = void (*)(void *);

const struct {
    const char *name;
    Call call;
} CALLS[] = {
    {"os_free", os_free},
    {"os_realloc", [](void *ptr) { EXPECT_EQ(os_realloc(ptr, 33), nullptr); }},
    {"os_malloc_usable_size", [](void *ptr) { os_malloc_usable_size(ptr); }},
};

/* `make` returns the pointer; each call that takes one must die of it with this fact. */
void expect_death(const char *fact, void *(*make)()) {
    for (const auto &call : CALLS) {
        Ended ended = run_child([&] { call.call(make()); });
        EXPECT_TRUE(ended.died_of(call.name, fact)) << call.name << ", " << fact << ": " << ended;
    }
}

char *in_use(size_t size) { return static_cast<char *>(os_malloc(size)); }

TEST(Misuse, OfAFreedBlock) {
    for (size_t size : {16u, 1000u, 5000u, 30000u}) {
        static size_t bytes;
        bytes = size;
        expect_death("is already free", [] {
            void *block = in_use(bytes);
            in_use(1);
            os_free(block);
            return block;
        });
    }
}

TEST(Misuse, OfABlockFreedLongAgo) {
    expect_death("is already free", [] {
        void *block = in_use(48), *others[1000];
        for (void *&other : others)
            other = os_malloc(200);
        os_free(block);
        for (void *other : others)
            os_free(other);
        return block;
    });
}

TEST(Misuse, OfABlockThatWasMerged) {
    expect_death("lies inside a free block", [] {
        char *left = in_use(64), *right = in_use(64);
        in_use(16);
        os_free(left);
        os_free(right);
        ::merge_all(thread_heap);
        return static_cast<void *>(right);
    });
}

TEST(Misuse, OfABlockThatMergedIntoTheUntouchedEnd) {
    expect_death("lies inside a free block", [] {
        in_use(16);
        char *left = in_use(64), *last = in_use(64);
        os_free(left);
        os_free(last);
        ::merge_all(thread_heap);
        return static_cast<void *>(last);
    });
}

TEST(Misuse, OfTheInsideOfABlock) {
    expect_death("lies inside a live block", [] { return static_cast<void *>(in_use(100) + 16); });
    expect_death("lies inside a live block",
                 [] { return static_cast<void *>(in_use(60000) + 40000); });
}

TEST(Misuse, OfAMisalignedPointer) {
    for (int by : {1, 4, 8, 15}) {
        static int offset;
        offset = by;
        expect_death("lies inside a live block",
                     [] { return static_cast<void *>(in_use(100) + offset); });
    }
}

TEST(Misuse, OfTheStackAndStaticMemory) {
    expect_death("was not allocated here", [] {
        static char on_stack_of_child;
        return static_cast<void *>(&on_stack_of_child);
    });
    expect_death("was not allocated here", [] {
        char local;
        void *volatile ptr = &local;
        return static_cast<void *>(ptr);
    });
    expect_death("was not allocated here",
                 [] { return reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(&os_free)); });
}

TEST(Misuse, OfUnmappedAndImpossibleAddresses) {
    expect_death("was not allocated here", [] { return reinterpret_cast<void *>(16); });
    expect_death("was not allocated here",
                 [] { return reinterpret_cast<void *>(UINTPTR_MAX - 15); });
    expect_death("was not allocated here",
                 [] { return reinterpret_cast<void *>(uintptr_t{0xdead} << 48); });
}

TEST(Misuse, OfMemoryThatSomeoneElseMapped) {
    expect_death("was not allocated here", [] {
        return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    });
}

TEST(Misuse, OfTheAllocatorsOwnMemory) {
    expect_death("lies in the allocator's own memory",
                 [] { return static_cast<void *>(region_of(in_use(10))); });
    expect_death("lies in the allocator's own memory", [] {
        return static_cast<void *>(reinterpret_cast<char *>(region_of(in_use(10))) +
                                   granules_bytes(REGION_FIRST - 1));
    });
}

TEST(Misuse, OfTheUntouchedEnd) {
    expect_death("is already free", [] { return static_cast<void *>(in_use(32) + 32); });
    expect_death("lies inside a free block", [] { return static_cast<void *>(in_use(32) + 4096); });
}

TEST(Misuse, OfMappedBlocks) {
    expect_death("was not allocated here", [] {
        void *block = os_malloc(1 << 20);
        os_free(block);
        return block;
    });
    expect_death("lies inside a mapped block",
                 [] { return static_cast<void *>(in_use(1 << 20) + 4096); });
    expect_death("lies inside a mapped block",
                 [] { return static_cast<void *>(in_use(1 << 20) + 16); });
    expect_death("was not allocated here", [] {
        char *block = in_use(1 << 20);
        in_use(1 << 20);
        char *moved = static_cast<char *>(os_realloc(block, size_t{1} << 28));
        return static_cast<void *>(moved == block ? nullptr : block)
                   ?: reinterpret_cast<void *>(16);
    });
}

TEST(Misuse, OfASizeThatTheBlockDoesNotHave) {
    Ended ended = run_child([] { os_free_sized(os_malloc(100), 200); });
    EXPECT_TRUE(ended.died_of("os_free_sized", "is of another size")) << ended;
    ended = run_child([] { os_free_sized(os_malloc(1 << 20), 1 << 21); });
    EXPECT_TRUE(ended.died_of("os_free_sized", "is of another size")) << ended;
    ended = run_child([] { os_free_aligned_sized(os_malloc(100), 3, 100); });
    EXPECT_TRUE(ended.died_of("os_free_aligned_sized", "is of another alignment")) << ended;
}

TEST(Misuse, OfWhatCannotBeMoved) {
    Ended ended = run_child([] {
        int local = 0;
        os_should_move(&local);
    });
    EXPECT_TRUE(ended.died_of("os_should_move", "was not allocated here")) << ended;
}

/* What a program writes into freed memory misleads nobody: there is nothing of ours in it. */
TEST(Misuse, WritesAfterFreeHarmNobodyElse) {
    Ended ended = run_child([] {
        std::vector<char *> live, freed;
        for (size_t i = 0; i < 3000; i++)
            (i % 2 ? live : freed).push_back(in_use(16 + i % 900));
        for (char *block : live)
            memset(block, 0x11, 16);
        for (char *block : freed)
            os_free(block);
        for (uint64_t value : {uint64_t{0}, ~uint64_t{0}, reinterpret_cast<uint64_t>(live[7])}) {
            for (char *block : freed) {
                memcpy(block, &value, 8);
                memcpy(block + 8, &value, 8);
            }
            for (size_t i = 0; i < 500; i++)
                memset(os_malloc(16 + i), 0x22, 16 + i);
            ASSERT_EQ(os_heap_check(), 0);
        }
        for (char *block : live)
            ASSERT_EQ(std::string(block, 16), std::string(16, 0x11));
    });
    EXPECT_TRUE(ended.well()) << ended;
}

} // namespace
} // namespace osmem
