/* Misuse of heaps of one's own dies at once, with one line that says what is wrong. */
#include "test/core/blocks.h"
#include "test/heaps/own.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace osmem {
namespace {

char *take(os_heap *heap, size_t size) { return static_cast<char *>(os_heap_malloc(heap, size)); }

/* `make` returns the pointer; each call that takes one must die of it with this fact. */
void expect_death(const char *fact, const std::function<void *(os_heap *)> &make) {
    const struct {
        const char *name;
        void (*call)(os_heap *, void *);
    } calls[] = {
        {"os_heap_free", os_heap_free},
        {"os_heap_realloc",
         [](os_heap *heap, void *ptr) { EXPECT_EQ(os_heap_realloc(heap, ptr, 33), nullptr); }},
        {"os_heap_malloc_usable_size",
         [](os_heap *heap, void *ptr) { os_heap_malloc_usable_size(heap, ptr); }},
    };
    for (const auto &call : calls) {
        Ended ended = run_child([&] {
            os_heap *heap = os_heap_create(nullptr);
            call.call(heap, make(heap));
        });
        EXPECT_TRUE(ended.died_of(call.name, fact)) << call.name << ", " << fact << ": " << ended;
    }
}

TEST(OwnMisuse, OfAFreedBlock) {
    for (size_t size : {16u, 1000u, 30000u}) {
        expect_death("is already free", [=](os_heap *heap) {
            char *block = take(heap, size);
            take(heap, 1);
            os_heap_free(heap, block);
            return block;
        });
        /* By os_free, which the heap has not taken in yet. */
        expect_death("is already free", [=](os_heap *heap) {
            char *block = take(heap, size);
            take(heap, 1);
            os_free(block);
            return block;
        });
    }
    expect_death("was not allocated here", [](os_heap *heap) {
        char *block = take(heap, 1000000);
        os_heap_free(heap, block);
        return block;
    });
}

TEST(OwnMisuse, OfABlockOfAnotherHeap) {
    expect_death("belongs to another heap",
                 [](os_heap *) { return os_malloc(conf.guard ? MIB : 100); });
    expect_death("belongs to another heap",
                 [](os_heap *) { return take(os_heap_create(nullptr), 100); });
    expect_death("belongs to another heap",
                 [](os_heap *) { return take(os_heap_create(nullptr), 1000000); });
    for (size_t size : {size_t{100}, MIB}) {
        expect_death("belongs to the heap requests", [=](os_heap *) {
            os_heap_options with = options();
            with.name = "requests";
            return take(create(with), size);
        });
    }
}

TEST(OwnMisuse, OfWhatIsNoBlock) {
    static char global[64];
    expect_death("was not allocated here", [](os_heap *) { return global + 16; });
    expect_death("lies inside a live block", [](os_heap *heap) { return take(heap, 100) + 16; });
    expect_death("lies inside a live block", [](os_heap *heap) { return take(heap, 100) + 3; });
    expect_death("lies inside a mapped block",
                 [](os_heap *heap) { return take(heap, 1000000) + 4096; });
    expect_death("lies in the allocator's own memory",
                 [](os_heap *heap) { return static_cast<void *>(heap); });
    expect_death("is already free", [](os_heap *heap) { return take(heap, 16) + 16; });
    expect_death("was not allocated here", [](os_heap *) {
        char *memory = memory_at(0, MIB);
        take(create(lent(memory, MIB - 64)), 100);
        return memory + MIB - 64;
    });
}

TEST(OwnMisuse, ByPlainCalls) {
    struct {
        const char *name, *fact;
        std::function<void(os_heap *)> call;
    } cases[] = {
        {"os_free", "is already free",
         [](os_heap *heap) {
             char *block = take(heap, 100);
             take(heap, 1);
             os_heap_free(heap, block);
             os_free(block);
         }},
        {"os_free", "is already free",
         [](os_heap *heap) {
             char *block = take(heap, 100);
             os_free(block);
             os_free(block);
         }},
        {"os_realloc", "lies inside a live block",
         [](os_heap *heap) { EXPECT_EQ(os_realloc(take(heap, 100) + 16, 5), nullptr); }},
        {"os_free_sized", "is of another size",
         [](os_heap *heap) { os_free_sized(take(heap, 100), 50); }},
    };
    for (const auto &each : cases) {
        Ended ended = run_child([&] { each.call(os_heap_create(nullptr)); });
        EXPECT_TRUE(ended.died_of(each.name, each.fact)) << each.name << ": " << ended;
    }
}

TEST(OwnMisuse, AfterTheHeapsEnd) {
    struct {
        const char *name, *fact;
        std::function<void(os_heap *)> call;
    } cases[] = {
        {"os_free", "was not allocated here",
         [](os_heap *heap) {
             char *block = take(heap, 100);
             os_heap_destroy(heap);
             os_free(block);
         }},
        {"os_free", "was not allocated here",
         [](os_heap *heap) {
             char *block = take(heap, 1000000);
             os_heap_destroy(heap);
             os_free(block);
         }},
        {"os_heap_destroy", "is no heap",
         [](os_heap *heap) {
             os_heap_destroy(heap);
             os_heap_destroy(heap);
         }},
        {"os_heap_malloc", "is no heap",
         [](os_heap *heap) {
             os_heap_destroy(heap);
             take(heap, 10);
         }},
        {"os_heap_free", "is no heap",
         [](os_heap *heap) {
             char *block = take(heap, 100);
             os_heap_destroy(heap);
             os_heap_free(heap, block);
         }},
        {"os_heap_malloc", "is no heap",
         [](os_heap *) { take(reinterpret_cast<os_heap *>(os_malloc(100000)), 10); }},
        {"os_heap_malloc", "is no heap",
         [](os_heap *) {
             os_free(os_malloc(1));
             take(reinterpret_cast<os_heap *>(thread_heap), 10);
         }},
        {"os_heap_calloc", "is no heap",
         [](os_heap *) { EXPECT_EQ(os_heap_calloc(nullptr, 1, 1), nullptr); }},
    };
    for (const auto &each : cases) {
        Ended ended = run_child([&] { each.call(os_heap_create(nullptr)); });
        EXPECT_TRUE(ended.died_of(each.name, each.fact)) << each.name << ": " << ended;
    }
}

} // namespace
} // namespace osmem
