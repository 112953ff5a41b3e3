/*
 * kernel.h - a kernel that counts what it is asked for, can refuse it, and has a break of its own.
 *
 * It takes the place of sbrk, mmap, munmap, mremap and madvise in everything that is linked
 * statically (the allocator and the suite, not the C library): osmem_test(wrap = True). Calls are
 * counted from 1. Asking where the break is, sbrk(0), is not counted and refused only by
 * withhold_break(). Where a suite wraps sysconf too, and makes pages larger than the machine's,
 * this kernel demands and rounds to those.
 */
#ifndef OSMEM_TEST_CORE_KERNEL_H
#define OSMEM_TEST_CORE_KERNEL_H

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace osmem::kernel {

enum Call { SBRK, MMAP, MUNMAP, MREMAP, MADVISE, CALLS };

struct Count {
    size_t calls;   /* refused ones included */
    size_t refused; /* by refuse() or for want of room in the arena */
    size_t bytes;   /* granted: gained by sbrk, mapped by mmap, given back by munmap and madvise */
};

/* Since the start of the process or the last reset_counts(). */
const Count &count(Call call);
/* Of all five together. */
size_t all_calls();
void reset_counts();

/* Refuses the calls number `first` to `last`, counted from now on, with errno `error`. */
void refuse(Call call, size_t first = 1, size_t last = SIZE_MAX, int error = ENOMEM);
/* The same with one number over all five. */
void refuse_any(size_t first, size_t last = SIZE_MAX, int error = ENOMEM);
void refuse_nothing();

/*
 * Gives the break to a fresh range of `bytes` that nobody else allocates from; it begins `offset`
 * bytes behind the first multiple of 4 MiB, at or behind `address` if that is free. Can be called
 * again: the break then jumps there.
 */
void open_arena(size_t bytes, size_t offset = 4096, uintptr_t address = 0);
/* The process's own break, which the C library's allocator moves too. */
void use_real_break();
/* From now on what the arena grants is full of 0xff, as if it had been someone else's before. */
void grant_dirty_memory();
/* Someone else takes `bytes` of the break as soon as we have asked where it is. */
void move_break_after_look(size_t bytes);
/* As before Linux 4.17, where MAP_FIXED_NOREPLACE is not known and an address is but a wish. */
void ignore_wishes();
/* No break at all from now on: even asking for it fails. */
void withhold_break();

/* Where the arena begins and its break. */
char *arena_start();
char *arena_break();

/* Bytes mapped by mmap and mremap and not unmapped, since the start or forget_mapped(). */
size_t mapped_bytes();
void forget_mapped();

} // namespace osmem::kernel

#endif
