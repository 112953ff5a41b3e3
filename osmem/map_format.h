/*
 * map_format.h - the map of a heap as a file (os_heap_map, `osmem map --save`), and what an
 * outsider needs to draw one from the memory of a process that it has stopped. Plain C and C++, for
 * the core and for the tools.
 *
 * A file is a map_header and records, each a map_record with `bytes` behind it, a multiple of 8;
 * all numbers are of the machine that wrote it. Unknown records are to be skipped. A file that does
 * not end with MAP_END is cut short.
 *
 *   MAP_STATISTICS  struct os_stats, as os_malloc_stats told at that moment; fields that a later
 *                   version adds come last
 *   MAP_HEAP        map_heap
 *   MAP_REGION      map_region | residency | tags of `lines` lines | remote of `lines` lines
 *   MAP_MAPPING     map_mapping | residency
 *   MAP_SITES       map_site of some blocks, in address order (from recordings only)
 *   MAP_TEXT        terminated lines, of which MAP_SITES speaks
 *   MAP_END         nothing
 *
 * Tags are those of utils/block_meta.h, two words a line, verbatim, from line first / 64 on as far
 * as `top` reaches. A bit of `remote`: the block that starts there was freed by another thread, or
 * waits for its reuse in the guarded mode, and counts as free. Residency has a bit for each page
 * from the record's address on, in whole words, set where it is in physical memory; there is none
 * where MAP_NO_RESIDENCY says that nobody knows. It is taken before a region is read, which may
 * bring pages in.
 */
#ifndef OSMEM_OSMEM_MAP_FORMAT_H
#define OSMEM_OSMEM_MAP_FORMAT_H

#include <stdint.h>

#define MAP_MAGIC "osmemmap" /* eight characters, no terminator */
#define MAP_VERSION 1

/* Flags of a header. */
#define MAP_NO_RESIDENCY 1 /* which pages are in memory is not known */
#define MAP_RUNNING 2  /* other threads went on meanwhile: their heaps are seen as they change */
#define MAP_RECORDED 4 /* from a recording: there are no tags but those that its blocks imply */

struct map_header {
    char magic[8];
    uint32_t version;
    uint32_t flags;
    uint32_t granule_bytes;
    uint32_t page_bytes;
    uint64_t region_bytes;
    uint64_t pid;
    uint64_t time_ns; /* since 1970; recorded: since the start of the recording */
};

enum map_record_type {
    MAP_STATISTICS = 1,
    MAP_HEAP,
    MAP_REGION,
    MAP_MAPPING,
    MAP_SITES,
    MAP_TEXT,
    MAP_END,
};

struct map_record {
    uint32_t type;
    uint32_t unused;
    uint64_t bytes;
};

struct map_heap {
    uint64_t number; /* as in os_heap_stats */
    uint32_t parked; /* its thread has ended */
    uint32_t merged; /* another heap has adopted its regions */
};

/* All but the address in granules from the region's start. */
struct map_region {
    uint64_t address;
    uint64_t heap;
    uint32_t first;     /* where blocks begin; the allocator's own before */
    uint32_t top;       /* where the untouched end begins */
    uint32_t committed; /* where the memory that is ours ends */
    uint32_t fresh;     /* from where on memory was never handed out */
    uint64_t lines;     /* how many are in the record */
};

struct map_mapping {
    uint64_t address;
    uint64_t length;
    uint64_t requested; /* 0 for one that is kept */
    uint32_t kept;      /* freed, and kept for sizes that come again */
    uint32_t unused;
};

struct map_site {
    uint64_t address;
    uint64_t born_ns; /* as time_ns */
    uint64_t text;    /* byte in the MAP_TEXT that follows, where its terminated line begins */
};

/* ---- from outside ------------------------------------------------------------------------------
 */

/* Entries that are the same number of bytes apart. */
struct map_table {
    const void *entries;    /* where they are, or `indirect`: where the pointer to them is */
    const void *count;      /* where a uint64_t tells how many they are */
    uint32_t indirect;      /* 0 or 1 */
    uint32_t entry_bytes;   /* from one to the next */
    uint32_t address;       /* where in an entry a uint64_t tells the address; 0: empty entry */
    uint32_t length;        /* where in an entry a uint64_t tells the length */
    uint32_t requested;     /* where in an entry a uint64_t tells what was asked for */
    uint32_t has_requested; /* 0 or 1 */
};

#define MAP_LAYOUT_MAGIC "osmemlay"
#define MAP_LAYOUT_VERSION 2

/*
 * The variable os_map_layout of a program: where its tables are, and where in them what stands.
 * Offsets are bytes. A lock is held while its first word (32 bits) is not 0: its tables may then be
 * half changed.
 */
struct map_layout {
    char magic[8];
    uint32_t version;
    uint32_t granule_bytes;
    uint64_t region_bytes;
    const void *heaps; /* where a pointer stands to the pointer to the first heap */
    const void *region_lock;
    const void *mapped_lock;
    const struct map_table *mapped;
    const struct map_table *kept;
    uint32_t first; /* granule of a region where blocks begin */
    uint32_t region_lines;
    uint32_t heap_next, heap_number, heap_regions, heap_parked, heap_merged_into;
    uint32_t region_next, region_top, region_committed, region_fresh, region_tags, region_remote;
    uint32_t region_slack; /* a pointer, or NULL, to a byte for each granule (osmem/slack.h) */
    const void *calls;     /* five uint64_t: calls of sbrk, mmap, munmap, mremap, madvise */
};

#endif
