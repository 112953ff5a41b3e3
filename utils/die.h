/*
 * die.h - the end of a program that misused the allocator: one line on standard error by write(2),
 * then abort(). No allocation, no stdio, no lock.
 */
#ifndef OSMEM_UTILS_DIE_H
#define OSMEM_UTILS_DIE_H

#include <stdint.h>

/*
 * What the calls are named in messages: "os_" for the library, "" in the drop-in, whose own
 * definition of this symbol overrides the weak one.
 */
extern const char osmem_prefix[];

/* Writes "osmem: PREFIXfunction(): block 0xptr fact" and aborts. */
_Noreturn void die_block(const char *function, const void *ptr, const char *fact);

/* Writes "osmem: message" and aborts: an invariant of our own is broken. */
_Noreturn void die_internal(const char *message);

/* Writes "osmem: message: 0xvalue" and goes on. */
void die_warn(const char *message, uintptr_t value);

#endif
