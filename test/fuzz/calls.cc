/*
 * Sequences of calls, of all functions of osmem.h, by two threads, under a kernel that refuses now
 * and then, with someone else who moves the break; against the shadow of test/model. An input is
 *
 *   1 byte   in what heap it begins, and the options
 *   4 bytes  for each call: which, and three bytes of arguments
 *
 * The heap is checked after every few calls, more often the fewer calls there are.
 */
#include "test/fuzz/calls.h"

#include "test/fuzz/target.h"

#include <cerrno>
#include <gtest/gtest.h>

namespace osmem {

const size_t FUZZ_LONGEST = 1 + 4 * 250;

namespace {

constexpr size_t CHECKS = 25; /* about as many for each input */

/* New ones go to the end, lest inputs of the corpus mean something else. */
Call *const CALLS[] = {
    malloc_one,   malloc_one,  malloc_one,     malloc_many,   calloc_one,       aligned_one,
    memalign_one, realloc_one, realloc_one,    realloc_array, free_one,         free_one,
    free_many,    free_sized,  free_elsewhere, free_many,     malloc_elsewhere, realloc_elsewhere,
    end_worker,   trim,        look,           refuse,        give_again,       move_break,
    impossible,   misuse,      own_create,     own_malloc,    own_malloc,       own_calloc,
    own_aligned,  own_realloc, own_free,       own_trim,      own_look,         own_destroy,
    print,        map,         compact,
};

void run(Bytes bytes, size_t size) {
    size_t stride = 1 + size / 4 / CHECKS;
    World world;
    world.begin(bytes.byte());
    for (size_t number = 1; !bytes.empty(); number++) {
        unsigned which = bytes.byte(), first = bytes.byte(), rest = bytes.word();
        errno = World::UNTOUCHED;
        CALLS[which % (sizeof CALLS / sizeof CALLS[0])](world, first, rest);
        if (number % stride == 0) {
            EXPECT_EQ(os_heap_check(), 0);
        }
        if (testing::Test::HasFailure()) {
            ADD_FAILURE() << "after call number " << number;
            return;
        }
    }
}

} // namespace

void fuzz(const uint8_t *data, size_t size) {
    fuzz_in_child([=] { run(Bytes(data, size), size); });
}

} // namespace osmem
