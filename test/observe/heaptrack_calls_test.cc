// What a program tells heaptrack of its blocks, by a stand-in for the functions that heaptrack has
// in a program which it watches. heaptrack_test asks heaptrack itself, where that is installed.
#include "test/core/internal.h"
#include "test/model/child.h"

#include <cstdint>
#include <gtest/gtest.h>

namespace osmem {
namespace {

struct Told {
    char what; // 'm'alloc, 'r'ealloc, 'f'ree; 0: nothing
    void *from, *to;
    size_t size;
};
Told told;

// What was told last, which is then forgotten.
Told last() {
    Told was = told;
    told = {};
    return was;
}

} // namespace
} // namespace osmem

extern "C" {
void heaptrack_malloc(void *ptr, size_t size);
void heaptrack_realloc(void *from, size_t size, void *to);
void heaptrack_free(void *ptr);
}
void heaptrack_malloc(void *ptr, size_t size) { osmem::told = {'m', nullptr, ptr, size}; }
void heaptrack_realloc(void *from, size_t size, void *to) { osmem::told = {'r', from, to, size}; }
void heaptrack_free(void *ptr) { osmem::told = {'f', ptr, nullptr, 0}; }

namespace osmem {
namespace {

void expect_told(char what, void *from, void *to, size_t size) {
    Told was = last();
    EXPECT_EQ(was.what, what);
    EXPECT_EQ(was.from, from);
    EXPECT_EQ(was.to, to);
    EXPECT_EQ(was.size, size);
}

CHILD_TEST(Heaptrack, IsToldOfEveryBlock) {
    for (size_t size : {size_t{100}, size_t{300000}}) {
        void *block = os_malloc(size);
        expect_told('m', nullptr, block, size);
        void *moved = os_realloc(block, 3 * size);
        expect_told('r', block, moved, 3 * size);
        os_free(moved);
        expect_told('f', moved, nullptr, 0);
        block = os_calloc(2, size);
        expect_told('m', nullptr, block, 2 * size);
        EXPECT_EQ(os_realloc(block, 0), nullptr);
        expect_told('f', block, nullptr, 0);
        block = os_aligned_alloc(4096, size);
        expect_told('m', nullptr, block, size);
        os_free_sized(block, size);
        expect_told('f', block, nullptr, 0);
    }
}

CHILD_TEST(Heaptrack, IsToldOfNoBlockThatIsNone) {
    void *block = os_malloc(100);
    last();
    volatile size_t enormous = SIZE_MAX;
    EXPECT_EQ(os_malloc(enormous), nullptr);
    EXPECT_EQ(os_realloc(block, enormous), nullptr);
    EXPECT_EQ(os_malloc(0), nullptr);
    os_free(nullptr);
    EXPECT_EQ(last().what, 0);
}

} // namespace
} // namespace osmem
