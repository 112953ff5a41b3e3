/*
 * misuse.h - the message about a pointer that is not the start of a live block: what it is instead,
 * as far as tags, registry and what the guarded mode keeps of freed blocks tell.
 */
#ifndef OSMEM_OSMEM_MISUSE_H
#define OSMEM_OSMEM_MISUSE_H

#include <stddef.h>

/*
 * The granule at which the block around that of `ptr` starts, in a region of ours and behind its
 * metadata. O(block).
 */
size_t misuse_start(const void *ptr);

/* Dies. `function` was given `ptr`, where no live block starts. */
_Noreturn void die_misused(const char *function, const void *ptr);

#endif
