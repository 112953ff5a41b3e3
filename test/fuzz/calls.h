/*
 * calls.h - one of the calls that an input is made of: `first` (8 bits) and `rest` (16) are its
 * arguments.
 */
#ifndef OSMEM_TEST_FUZZ_CALLS_H
#define OSMEM_TEST_FUZZ_CALLS_H

#include "test/fuzz/world.h"

namespace osmem {

using Call = void(World &world, unsigned first, unsigned rest);

/* plain_calls.cc: blocks of threads' heaps; what takes any block takes those of others too. */
Call malloc_one, malloc_many, malloc_elsewhere, calloc_one, aligned_one, memalign_one;
Call realloc_one, realloc_elsewhere, realloc_array;
Call free_one, free_many, free_elsewhere, free_sized;
Call end_worker;

/* own_calls.cc: heaps of one's own and their blocks. */
Call own_create, own_malloc, own_calloc, own_aligned, own_realloc, own_free, own_trim, own_look,
    own_destroy;

/* look_calls.cc: what tells of the heap, and gives pages back. */
Call trim, look, print, map, compact;

/* kernel_calls.cc: what happens round the allocator. */
Call refuse, give_again, move_break;

/* wrong_calls.cc: what nobody can have, and misuse. */
Call impossible, misuse;

} // namespace osmem

#endif
