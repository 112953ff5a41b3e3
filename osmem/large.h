/*
 * large.h - the index of free blocks of LARGE_MIN granules (32 KiB) and more: a tree ordered by
 * size, then address, so that the smallest block that fits, at the lowest address, is found
 * exactly.
 *
 * A zip tree (Tarjan, Levy and Timmel, "Zip Trees", 2019): a search tree that is a heap by a rank
 * drawn for each node, here a hash of its address; insertion unzips a path, removal zips two. O(log
 * n) expected. The nodes lie in the tags of lines wholly inside the block, which nobody else needs
 * (utils/block_meta.h), so the free memory itself is not touched and may be purged whole (purge.h).
 *
 * Invariants
 *   L1  the tree holds exactly the free blocks of at least LARGE_MIN granules but the
 *       heap's run and chunk and untouched ends.
 *       `granules` and `dirty` are the sums over its blocks.
 *   L2  left < node < right by (size, address); no child ranks above its parent.
 */
#ifndef OSMEM_OSMEM_LARGE_H
#define OSMEM_OSMEM_LARGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct large {
    uint64_t root;   /* address of a free block, or 0: a link as those in the tags */
    size_t granules; /* in all blocks */
    size_t dirty;    /* how many of them at most are in memory, since they were used */
};

/* Enters a free block, of which at most `dirty` granules are in memory. */
void large_insert(struct large *large, void *block, size_t dirty);

/* Takes a block out; returns how many of its granules at most are in memory. */
size_t large_remove(struct large *large, void *block);

/* Calls `purge` for every block that is in memory, and takes it as not being any more. O(n). */
void large_purge(struct large *large, void (*purge)(void *block, size_t granules));

/* The smallest block of at least `granules`, ties to the lowest address; NULL if there is none. */
void *large_find(const struct large *large, size_t granules);

/* Children of a node, for the checker. */
void *large_left(void *block);
void *large_right(void *block);
size_t large_dirty(void *block);

/* Whether node `a` must be above node `b`. */
bool large_ranks_above(const void *a, const void *b);

#endif
