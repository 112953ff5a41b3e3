/*
 * sparse.h - which blocks had better move so that pages become free, and where to.
 *
 * A large heap of which much was freed holds small blocks on pages of their size (slab.h), each of
 * which has a few left. Trimming gives none of them back. If the program can move its blocks, as
 * many pages are enough as all blocks of a size fill: those that are fullest now are *kept*, the
 * others are to be emptied. So each block moves once at most, whatever the order in which the
 * program comes to its blocks, and a kept page has room for every block that moves.
 *
 *   pages of blocks of one size, by blocks in use      kept          to be emptied
 *                                                      9 8 8 7 6     4 3 3 2 2 1 1 0
 *                                                      |
 *                                                      their free blocks are where the others go
 *
 * Which are kept stands in a bitmap of the region. It is made up by counting all pages of the size,
 * when nothing is known of it, and again when no kept page has a free block any more; but not more
 * often than once for a quarter as many questions as there are pages, so that a question costs a
 * few looks at tags, amortised.
 *
 * The quick sets would hand out what was freed last: the very block that was moved away from a page
 * to be emptied. So a question that is answered by "move" also sees to it that the quick set of the
 * size begins with a block of a kept page; others that are in its way go back to the bin.
 *
 * One owner; no locks. Nothing here is trusted: a bit that is out of date costs a useless move.
 */
#ifndef OSMEM_OSMEM_SPARSE_H
#define OSMEM_OSMEM_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap;

/* What is known of the pages of a size. */
struct sparse {
    char *cursor;   /* the kept page to look at next for free blocks; NULL: none has any */
    uint32_t asked; /* how often since pages were counted */
    uint32_t pages; /* how many there were then */
    bool is_chosen; /* which of them are kept is known, and not nearly all */
};

/*
 * Whether the block in use of `granules` had better be moved, by heap_allocate for the same size,
 * as the fast path of malloc does it, and heap_free. Then the next such allocation takes a free
 * block of a page that is kept.
 */
bool sparse_should_move(struct heap *heap, const void *block, size_t granules);

#endif
