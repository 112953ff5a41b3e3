/*
 * checker.h - memory checkers that watch the program: memcheck, where it runs under Valgrind, and
 * AddressSanitizer, where osmem was compiled with it. The guarded mode (guard.h) is on then, unless
 * guard:off says otherwise, and leaves to them what it would see to itself: the room before and
 * behind each block, and freed blocks while they are kept back, are known to them as memory that
 * nobody may touch. So neither canaries nor fills are written. (-DOSMEM_POISON=0: nothing is told
 * to AddressSanitizer.)
 */
#ifndef OSMEM_OSMEM_CHECKER_H
#define OSMEM_OSMEM_CHECKER_H

#include <stdbool.h>
#include <stddef.h>

bool checker_is_there(void);

/*
 * Whether regions are to be mapped: Valgrind's break cannot grow far, and it knows nothing of what
 * memory from there reads as.
 */
bool checker_wants_no_break(void);

/* The `size` bytes at `block` may be used from now on, nothing else from `start` to `end`. */
void checker_alloc(char *start, char *end, char *block, size_t size, bool zeroed);

/* Nothing there may be used any more; `is_mapped`: nor is it ours any more. */
void checker_free(char *start, char *end, char *block, bool is_mapped);

#endif
