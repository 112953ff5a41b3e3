/*
 * shadow.h - what the program knows of its memory: every block that it holds, with its size and a
 * pattern of its own in every byte. A block that overlaps another, is not there, is not aligned or
 * has changed ends the program with EXIT_CORRUPTED and a line on standard output.
 *
 * The model itself takes no memory from the allocator. Of one thread only.
 */
#ifndef OSMEM_TEST_MISUSE_SHADOW_H
#define OSMEM_TEST_MISUSE_SHADOW_H

#include <stdbool.h>
#include <stddef.h>

/* As the calls of these names; what they return is entered and filled, never NULL. */
void *shadow_malloc(size_t size);
void *shadow_calloc(size_t size);
void *shadow_memalign(size_t alignment, size_t size);
void *shadow_realloc(void *ptr, size_t size);
void shadow_free(void *ptr);

/* Memory that the program holds, from the allocator or not; is filled. */
void shadow_enter(void *ptr, size_t size, bool allocated);
/* The program holds the block that starts there no longer; nothing if there is none. */
void shadow_drop(void *ptr);
/* The crime writes here: the contents of whatever lies there are not known any more. */
void shadow_spoil(const void *ptr, size_t size);

bool shadow_is_start(const void *ptr);

/*
 * `count` blocks of `size` in the order of their addresses, into `row`. What is allocated one after
 * the other lies side by side, in most allocators.
 */
void shadow_row(void **row, size_t count, size_t size);
/* Where the gap behind a block of the row is widest, or narrowest; not at the row's ends. */
size_t shadow_widest_gap(void **row, size_t count, size_t size);
size_t shadow_narrowest_gap(void **row, size_t count, size_t size);

/* The first and the last block of all that the program holds. */
void *shadow_first(void);
void *shadow_last(void);

/* A block in the middle of a row of live ones. */
void *shadow_surrounded(size_t size);

/* Live blocks of many sizes with holes between them: a program that has been running a while. */
void shadow_live_in(size_t bytes);

void shadow_check(void);

/* Goes on with blocks of about `size`, checks everything, and frees all that it holds. */
void shadow_aftermath(size_t size);

_Noreturn void shadow_corrupted(const char *what);

/* Whether the model is reading or writing memory that the program holds: a fault is corruption. */
bool shadow_is_touching(void);

#endif
