#include "test/core/kernel.h"
#include "test/fuzz/calls.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace osmem {

void trim(World &, unsigned, unsigned rest) {
    os_malloc_trim(rest);
    EXPECT_EQ(errno, World::UNTOUCHED);
}

/* Statistics and walk agree with the shadow, and the walk ends where it is told to. */
void look(World &world, unsigned, unsigned rest) {
    world.shadow.expect_counted();
    struct Visits {
        size_t count, last;
    } visits = {0, rest % 64u};
    int result = os_heap_walk(
        [](const os_block *, void *context) {
            auto seen = static_cast<Visits *>(context);
            return seen->count++ == seen->last ? 5 : 0;
        },
        &visits);
    EXPECT_EQ(result, visits.count > visits.last ? 5 : 0);
    os_stats all, one;
    os_malloc_stats(&all);
    size_t index = rest / 64 % 8;
    result = os_heap_stats(index, &one);
    EXPECT_EQ(result, index < all.heaps ? 0 : -1);
    EXPECT_EQ(one.heaps, index < all.heaps ? 1u : 0u);
}

static int null_device() {
    static const int file = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return file;
}

/* A file that is read only takes nothing. */
void print(World &, unsigned first, unsigned) {
    unsigned format = first % 4;
    int result = os_malloc_stats_print(null_device(), static_cast<os_stats_format>(format));
    EXPECT_EQ(result, format <= OS_STATS_PROMETHEUS ? 0 : -1);
    EXPECT_EQ(os_malloc_stats_print(-1, OS_STATS_JSON), -1);
    EXPECT_EQ(errno, EBADF);
}

void map(World &, unsigned, unsigned) {
    EXPECT_EQ(os_heap_map("/dev/null"), 0);
    EXPECT_EQ(os_heap_map("/dev/null/none"), -1);
    EXPECT_EQ(errno, ENOTDIR);
}

/* Whether it may be said of the block that it should move. */
static bool may_be_sparse(const Live &block) {
    return block.heap == nullptr && region_owner(block.start) == thread_heap && !conf.guard &&
           !conf.requested && block.size <= SLAB_MAX * GRANULE_BYTES;
}

/* Moves what should be moved, as a program does it. */
void compact(World &world, unsigned first, unsigned) {
    EXPECT_EQ(os_should_move(nullptr), 0);
    for (size_t i = 0; i < world.shadow.count(); i++) {
        size_t index = world.shadow.index(i * 7 + first);
        Live block = world.shadow.at(index);
        if (!os_should_move(block.start))
            continue;
        EXPECT_TRUE(may_be_sparse(block));
        void *moved = os_malloc(block.size);
        if (moved == nullptr) {
            EXPECT_TRUE(world.refusing);
            continue;
        }
        memcpy(moved, block.start, block.size);
        os_free(world.leave(index));
        world.shadow.enter(moved, block.size, GRANULE_BYTES);
    }
    os_malloc_trim(0);
}

} // namespace osmem
