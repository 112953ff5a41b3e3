/*
 * tags.h - where blocks begin and end: all arithmetic on the tags of utils/block_meta.h.
 *
 * A region's tags are an array of REGION_LINES + 1 lines; a granule index counts from the region's
 * base. The extra line ends the last block. Only the owning thread writes tags; other threads read
 * the bits of blocks that they hold, which do not change under them, so every access is relaxed.
 *
 * Invariants, for every block of n granules at granule g:
 *   T1  bit g of starts is set, bits g+1 … g+n-1 are clear, bit g+n is set.
 *   T2  if lines lie wholly inside it, `free` of the first and of the last such line is n.
 *   T3  a set bit of `free` in a line with starts != 0 has its bit of `starts` set.
 * Every function here is O(1), but tags_next_start.
 */
#ifndef OSMEM_OSMEM_TAGS_H
#define OSMEM_OSMEM_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "utils/bits.h"
#include "utils/block_meta.h"

static inline struct tag_line *tags_line(struct tag_line *lines, size_t granule) {
    return &lines[granule / LINE_GRANULES];
}

static inline bool tags_is_start(struct tag_line *lines, size_t granule) {
    return load_relaxed(&tags_line(lines, granule)->starts) & bit_at((unsigned)granule);
}

/* Whether a free block starts at `granule`. */
static inline bool tags_is_free(struct tag_line *lines, size_t granule) {
    struct tag_line *line = tags_line(lines, granule);
    return load_relaxed(&line->starts) & load_relaxed(&line->free) & bit_at((unsigned)granule);
}

/* Whether a block in use starts at `granule`. */
static inline bool tags_is_used(struct tag_line *lines, size_t granule) {
    struct tag_line *line = tags_line(lines, granule);
    return load_relaxed(&line->starts) & ~load_relaxed(&line->free) & bit_at((unsigned)granule);
}

/* Granules of a block of more than LINE_GRANULES that starts at `granule` in `line`. */
static __attribute__((noinline)) size_t tags_size_beyond(const struct tag_line *line,
                                                         unsigned granule) {
    uint64_t next = load_relaxed(&line[1].starts);
    return next != 0 ? LINE_GRANULES - (granule & 63) + bit_lowest(next)
                     : load_relaxed(&line[1].free);
}

/*
 * Granules of the block that starts at `granule` in `line`, whose starts are given. For blocks of
 * up to 64 granules without a branch: the start bits behind the block's own are shifted into one
 * word.
 */
static inline size_t tags_size_in(const struct tag_line *line, uint64_t starts, unsigned granule) {
    uint64_t next = load_relaxed(&line[1].starts);
    uint64_t window = (starts >> (granule & 63) >> 1) | next << (~granule & 63);
    return likely(window != 0) ? bit_lowest(window) + 1 : tags_size_beyond(line, granule);
}

/* Granules of the block that starts at `granule`. */
static inline size_t tags_size(struct tag_line *lines, size_t granule) {
    const struct tag_line *line = tags_line(lines, granule);
    return tags_size_in(line, load_relaxed(&line->starts), (unsigned)granule);
}

/*
 * Those of the starts `among` in `line` whose blocks have exactly `granules`, without a loop over
 * blocks. Those that end in the line have a start at that distance and none before it; doubling the
 * distances ORed together finds the latter in log2(granules) steps. The last block is looked at.
 */
static inline uint64_t tags_of_size(const struct tag_line *line, size_t granules, uint64_t among) {
    uint64_t starts = load_relaxed(&line->starts), found = 0;
    among &= starts;
    if (among == 0)
        return 0;
    if (granules < LINE_GRANULES) {
        found = among & starts >> granules;
        if (granules > 1 && found != 0) {
            uint64_t nearer = starts >> 1; /* a start at a distance of 1 ... reach */
            size_t reach = 1;
            for (; 2 * reach < granules; reach *= 2)
                nearer |= nearer >> reach;
            found &= ~(nearer | nearer >> (granules - 1 - reach));
        }
    }
    unsigned last = bit_highest(starts);
    bool is_last = among >> last & 1 && tags_size_in(line, starts, last) == granules;
    return found | (is_last ? bit_at(last) : 0);
}

static inline uint64_t tags_free_of_size(const struct tag_line *line, size_t granules) {
    return tags_of_size(line, granules, load_relaxed(&line->free));
}

/*
 * Those of the starts in a line whose blocks are free, and the block before each in the line too;
 * `free` are among the starts. In the sum of the free starts and themselves with all that is no
 * start, a free start sends a carry, what is no start passes it on, and the next start keeps it.
 */
static inline uint64_t tags_joinable(uint64_t starts, uint64_t free) {
    return (free + (free | ~starts)) & free;
}

/*
 * Where the left neighbour of the block at `granule` starts; `granule` itself when it has none:
 * the line before a region's first block has no start and length 0.
 */
static inline size_t tags_left(struct tag_line *lines, size_t granule) {
    struct tag_line *line = tags_line(lines, granule);
    size_t base = granule - granule % LINE_GRANULES;
    uint64_t below = load_relaxed(&line->starts) & (bit_at((unsigned)granule) - 1);
    if (below != 0)
        return base + bit_highest(below);
    below = load_relaxed(&line[-1].starts);
    if (below != 0)
        return base - LINE_GRANULES + bit_highest(below);
    return granule - load_relaxed(&line[-1].free);
}

/*
 * The first start at or behind `granule`, found by scanning; REGION_GRANULES + 1 if there is none.
 * Trusts no length, so it is right for who looks at tags that are not known to be sound, or change.
 */
static inline size_t tags_next_start(struct tag_line *lines, size_t granule) {
    while (granule <= REGION_GRANULES) {
        uint64_t starts =
            load_relaxed(&tags_line(lines, granule)->starts) & ~(bit_at((unsigned)granule) - 1);
        if (starts != 0)
            return granule - granule % LINE_GRANULES + bit_lowest(starts);
        granule = granule - granule % LINE_GRANULES + LINE_GRANULES;
    }
    return REGION_GRANULES + 1;
}

static inline void tags_set_free(struct tag_line *lines, size_t granule) {
    struct tag_line *line = tags_line(lines, granule);
    store_relaxed(&line->free, load_relaxed(&line->free) | bit_at((unsigned)granule));
}

static inline void tags_set_used(struct tag_line *lines, size_t granule) {
    struct tag_line *line = tags_line(lines, granule);
    store_relaxed(&line->free, load_relaxed(&line->free) & ~bit_at((unsigned)granule));
}

/*
 * Lets a block start at `granule`. A line whose starts were 0 held a length: it is dropped.
 * `free` is written before `starts`, so that no moment shows a length as bits.
 */
static inline void tags_begin(struct tag_line *lines, size_t granule, bool is_free) {
    struct tag_line *line = tags_line(lines, granule);
    uint64_t starts = load_relaxed(&line->starts), bit = bit_at((unsigned)granule);
    uint64_t free = starts != 0 ? load_relaxed(&line->free) & ~bit : 0;
    store_relaxed(&line->free, is_free ? free | bit : free);
    store_relaxed(&line->starts, starts | bit);
}

/*
 * Lets `count` free blocks of `granules` start one behind the other from `granule` on. A block of
 * LINE_GRANULES at most has no line wholly inside but its own, which needs no length if it has a
 * start.
 */
static inline void tags_begin_row(struct tag_line *lines, size_t granule, size_t granules,
                                  size_t count) {
    size_t end = granule + granules * count;
    while (granule < end) {
        struct tag_line *line = tags_line(lines, granule);
        size_t line_end = granule - granule % LINE_GRANULES + LINE_GRANULES;
        uint64_t row = 0, starts = load_relaxed(&line->starts);
        for (; granule < end && granule < line_end; granule += granules)
            row |= bit_at((unsigned)granule);
        store_relaxed(&line->free, (starts != 0 ? load_relaxed(&line->free) & starts : 0) | row);
        store_relaxed(&line->starts, starts | row);
    }
}

/* Joins the block at `granule` to the one on its left. */
static inline void tags_join(struct tag_line *lines, size_t granule) {
    struct tag_line *line = tags_line(lines, granule);
    uint64_t bit = bit_at((unsigned)granule);
    store_relaxed(&line->free, load_relaxed(&line->free) & ~bit);
    store_relaxed(&line->starts, load_relaxed(&line->starts) & ~bit);
}

/* Writes the length of a block into the lines that lie wholly inside it (T2). */
static inline void tags_measure(struct tag_line *lines, size_t granule, size_t granules) {
    size_t first = granule / LINE_GRANULES + 1;
    size_t end = (granule + granules) / LINE_GRANULES;
    if (first < end) {
        store_relaxed(&lines[first].free, granules);
        store_relaxed(&lines[end - 1].free, granules);
    }
}

/* Cuts the block of `granules` at `granule` after `keep` of them; the right part is free or not. */
static inline void tags_split(struct tag_line *lines, size_t granule, size_t granules, size_t keep,
                              bool right_is_free) {
    tags_begin(lines, granule + keep, right_is_free);
    tags_measure(lines, granule, keep);
    tags_measure(lines, granule + keep, granules - keep);
}

#endif
