#include "test/core/blocks.h"
#include "test/fuzz/calls.h"

#include <algorithm>
#include <cerrno>
#include <gtest/gtest.h>

namespace osmem {

/* ---- allocation -----------------------------------------------------------------------------  */

static void allocate_plain(World &world, size_t size, bool elsewhere) {
    world.allocate(nullptr, size, GRANULE_BYTES, elsewhere, [=] { return os_malloc(size); });
}

void malloc_one(World &world, unsigned first, unsigned rest) {
    allocate_plain(world, size_of(first, rest), false);
}

void malloc_many(World &world, unsigned first, unsigned rest) {
    for (unsigned i = first / 8 + 2; i > 0; i--)
        allocate_plain(world, size_of(first, rest), false);
}

void malloc_elsewhere(World &world, unsigned first, unsigned rest) {
    for (unsigned i = first / 64 + 1; i > 0; i--)
        allocate_plain(world, size_of(first, rest), true);
}

void calloc_one(World &world, unsigned first, unsigned rest) {
    size_t count = 1 + first / 64, size = size_of(first, rest);
    world.allocate(nullptr, count * size, GRANULE_BYTES, false, [=] {
        void *ptr = os_calloc(count, size);
        EXPECT_TRUE(ptr == nullptr || is_zero(ptr, count * size));
        return ptr;
    });
}

void aligned_one(World &world, unsigned first, unsigned rest) {
    size_t alignment = size_t{1} << first / 8 % 21, size = size_of(first, rest);
    world.allocate(nullptr, size, alignment, false,
                   [=] { return os_aligned_alloc(alignment, size); });
}

void memalign_one(World &world, unsigned first, unsigned rest) {
    size_t alignment = size_t{1} << first / 8 % 21, size = size_of(first, rest);
    void *const before = &world;
    if (alignment < sizeof(void *)) {
        void *ptr = before;
        EXPECT_EQ(os_posix_memalign(&ptr, alignment, size), EINVAL);
        EXPECT_EQ(ptr, before);
        EXPECT_EQ(errno, World::UNTOUCHED);
        return;
    }
    world.allocate(nullptr, size, alignment, false, [=]() -> void * {
        void *ptr = before;
        int error = os_posix_memalign(&ptr, alignment, size);
        EXPECT_EQ(errno, World::UNTOUCHED);
        if (error == 0)
            return ptr;
        EXPECT_EQ(ptr, before);
        errno = error;
        return nullptr;
    });
}

/* ---- resizing -------------------------------------------------------------------------------- */

static void resize_plain(World &world, unsigned choice, size_t size, bool elsewhere) {
    if (!world.shadow.empty())
        world.resize(world.shadow.index(choice), size, elsewhere,
                     [=](char *start) { return os_realloc(start, size); });
}

void realloc_one(World &world, unsigned first, unsigned rest) {
    resize_plain(world, first / 8 * 5 + rest, size_of(first, rest), false);
}

void realloc_elsewhere(World &world, unsigned first, unsigned rest) {
    resize_plain(world, first / 8, size_of(first, rest), true);
}

/* By a part of its size, up or down. */
void realloc_array(World &world, unsigned first, unsigned rest) {
    if (world.shadow.empty())
        return;
    size_t index = world.shadow.index(first), size = world.shadow.at(index).size;
    size_t elements = std::max<size_t>(1, size / 3 * (1 + rest % 8) / 4);
    world.resize(index, elements * 3, false,
                 [=](char *start) { return os_reallocarray(start, 3, elements); });
}

/* ---- freeing --------------------------------------------------------------------------------- */

void free_one(World &world, unsigned first, unsigned rest) {
    if (!world.shadow.empty())
        os_free(world.leave(world.shadow.index(first + rest)));
    EXPECT_EQ(errno, World::UNTOUCHED);
}

void free_many(World &world, unsigned first, unsigned rest) {
    for (unsigned i = first; i > 0 && !world.shadow.empty(); i--)
        os_free(world.leave(world.shadow.index(rest * i)));
}

void free_elsewhere(World &world, unsigned first, unsigned rest) {
    world.run(true, [&] {
        for (unsigned i = first / 8 + 1; i > 0 && !world.shadow.empty(); i--)
            os_free(world.leave(world.shadow.index(rest + i)));
    });
}

void free_sized(World &world, unsigned first, unsigned rest) {
    if (world.shadow.empty())
        return;
    size_t index = world.shadow.index(rest), size = world.shadow.at(index).size;
    char *start = world.leave(index);
    if (first % 2)
        os_free_sized(start, size);
    else
        os_free_aligned_sized(start, GRANULE_BYTES, size);
    os_free(nullptr);
    os_free_sized(nullptr, size);
    os_free_aligned_sized(nullptr, 1, size);
}

void end_worker(World &world, unsigned, unsigned) { world.shadow.end_worker(); }

} // namespace osmem
