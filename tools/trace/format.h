/*
 * format.h - the trace file: what `osmem record` writes and everything else reads, byte by byte.
 *
 * One file for each process image (what fork or exec makes is another), written through shared
 * mappings while the program runs: whatever kills the program, what it has recorded is in the file,
 * and a file can be read while it grows. All numbers are little-endian, as the machine has them.
 *
 *     +--------------+-----------------+-----------------+-----
 *     | file header  | chunk           | chunk           | ...         whole pages (4 KiB)
 *     | 4096 bytes   | header, records | header, records |
 *     +--------------+-----------------+-----------------+-----
 *
 * Chunks follow each other without gaps from TRACE_HEADER_BYTES to the header's `end`; a file that
 * is shorter has been truncated. A chunk is written by one thread at a time. Its `length` grows
 * with each record, after that record's bytes; so what lies below is whole at any time. `checksum`
 * is set when the chunk is closed; 0 is a chunk that was in use when the file was read or the
 * program killed.
 *
 * Records. A byte `kind | flags`, then fields: V is a number of 7 bits a byte, lowest first, the
 * top bit set on all but the last; S a signed one, zigzag (0, -1, 1, -2 … as 0, 1, 2, 3 …) in V.
 *
 *     TRACE_MALLOC     1    time, size V, block                           [stack V]
 *     TRACE_CALLOC     2    time, size V, block                           [stack V]
 *     TRACE_ALIGNED    3    time, log2 of the alignment V, size V, block  [stack V]
 *     TRACE_REALLOC    4    time, entry V, old block, size V, new block   [stack V]
 *     TRACE_FREE       5    time, block
 *     TRACE_THREAD     8    thread V, id of the system V
 *     TRACE_STACK      9    stack V, count V, count times: address S
 *     TRACE_MODULE    10    start V, size V, bias V, length V, path (length bytes, no NUL)
 *
 *   time   V: ticks since the record before in this chunk, for the first one since the chunk's
 *          `time`. Of a free it was taken before the call, of an allocation after it: if one thread
 *          gets an address that another one has freed, or frees what another one has got, the
 *          times tell the order, but for a few that may be early, by TRACE_EARLY_MOST_NS at most.
 *          TRACE_REALLOC has both: the call began `entry` ticks before `time`.
 *   block  S: address less that of the block before in this chunk (at its start 0), in units of 16
 *          with TRACE_ROUND, else of 1. TRACE_ROUND speaks of all blocks of the record, and the
 *          difference is always taken from the full address: a record with TRACE_ROUND may follow
 *          an address that is no multiple of 16, whose low four bits then count as zero.
 *   stack  with TRACE_SAMPLED: the number of a TRACE_STACK record, in whichever chunk.
 *
 * TRACE_FAILED: the call returned NULL and did nothing; there is no new block. Calls that do
 * nothing at all (free(NULL)) are not recorded; realloc(NULL, n) is TRACE_MALLOC, and realloc(p, 0)
 * that frees is TRACE_FREE. operator new and delete are TRACE_MALLOC or TRACE_ALIGNED, TRACE_FREE.
 *
 * TRACE_THREAD: the records from here to the next one are of this thread (threads are numbered from
 * 0 as they first allocate). Each chunk begins with one: a thread that ends leaves the rest of its
 * chunk to another.
 *
 * TRACE_STACK: return addresses, innermost first, each less the one before (the first less 0).
 *
 * TRACE_MODULE: a mapped program or library that a stack leads through: addresses from `start` on
 * for `size` bytes; less `bias` they are those in the file. Stands before the first TRACE_STACK of
 * its chunk that needs it.
 */
#ifndef OSMEM_TOOLS_TRACE_FORMAT_H
#define OSMEM_TOOLS_TRACE_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRACE_MAGIC "OSMTRACE" /* eight bytes, no NUL */

enum {
    TRACE_VERSION = 1,
    TRACE_CHUNK_MAGIC = 0x4b4e4843, /* "CHNK" */

    TRACE_HEADER_BYTES = 4096,
    TRACE_CHUNK_LEAST = 4096,      /* a thread's first chunk; each further one is twice as long, */
    TRACE_CHUNK_MOST = 256 * 1024, /* up to this */
    TRACE_EVENT_MOST = 64,         /* no record of an event is longer */
    TRACE_STACK_MOST = 64,         /* return addresses in a stack */
    TRACE_PATH_MOST = 1024,        /* bytes in a path */

    /* Many times what a processor works ahead, which is a microsecond or two at most. */
    TRACE_EARLY_MOST_NS = 100 * 1000,
};

enum trace_kind {
    TRACE_MALLOC = 1,
    TRACE_CALLOC = 2,
    TRACE_ALIGNED = 3,
    TRACE_REALLOC = 4,
    TRACE_FREE = 5,
    TRACE_THREAD = 8,
    TRACE_STACK = 9,
    TRACE_MODULE = 10,
    TRACE_KIND_MASK = 0x0f,
};

enum trace_flag {
    TRACE_ROUND = 0x10,
    TRACE_SAMPLED = 0x20,
    TRACE_FAILED = 0x40,
};

enum trace_clock {
    TRACE_CLOCK_TSC = 1,       /* ticks are of the processor's time stamp counter */
    TRACE_CLOCK_MONOTONIC = 2, /* ticks are nanoseconds of CLOCK_MONOTONIC */
};

/* The first bytes of the file; the rest of its page is zero. */
struct trace_header {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes; /* TRACE_HEADER_BYTES */
    uint64_t checksum;     /* trace_checksum of the bytes from `pid` to the end of `command` */

    uint32_t pid;
    uint32_t parent;
    uint32_t clock;      /* enum trace_clock */
    uint32_t page_bytes; /* of the system */
    uint64_t ticks;      /* at the start, */
    uint64_t monotonic;  /* and then CLOCK_MONOTONIC and CLOCK_REALTIME, in nanoseconds */
    uint64_t realtime;
    uint64_t sample_bytes; /* a stack each so many bytes allocated, on average; 0: no stacks;
                            * 1: of each allocation */
    uint64_t break_start;  /* where the heap of sbrk(2) began */
    char program[512];     /* path of the executable, cut off if longer */
    char allocator[512];   /* path of the library that served malloc, likewise */
    char command[1024];    /* its arguments, each followed by a NUL, likewise */

    /* What follows changes while the program runs. */
    uint64_t end;      /* offset behind the last chunk that was begun */
    uint64_t lost;     /* events not recorded: of signal handlers that interrupted a record, … */
    uint32_t stopped;  /* errno with which recording came to an end; 0: it did not */
    uint32_t finished; /* 1 when the program ended by exit or return */
    uint64_t last_ticks; /* at that end, or else at the beginning of the last chunk, */
    uint64_t last_monotonic;
};

static_assert(offsetof(struct trace_header, checksum) == 16, "no padding");
static_assert(sizeof(struct trace_header) == 2168, "no padding");
static_assert(sizeof(struct trace_header) <= TRACE_HEADER_BYTES, "a page of its own");

struct trace_chunk {
    uint32_t magic;    /* TRACE_CHUNK_MAGIC */
    uint32_t sequence; /* the chunks of a file are 0, 1, 2, … in the order of their offsets */
    uint64_t bytes;    /* of the chunk with this header, whole pages */
    uint64_t time;     /* ticks: what the first record's time is added to */
    uint64_t guard;    /* trace_checksum of the fields above */
    uint64_t length;   /* bytes of whole records behind this header */
    uint64_t checksum; /* trace_checksum of these when the chunk was closed; before that 0 */
    uint64_t events;   /* how many of the records are events */
    uint64_t reserved;
};

static_assert(sizeof(struct trace_chunk) == 64, "records begin on a cache line of their own");

/*
 * Fowler, Noll and Vo's hash with 8 bytes at a time in place of one, folded so that every bit of
 * the data reaches the low half; never 0. The last word is filled up with zeros.
 */
static inline uint64_t trace_checksum(const void *data, size_t length) {
    const unsigned char *bytes = (const unsigned char *)data;
    uint64_t hash = 0xcbf29ce484222325u ^ length;
    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        __builtin_memcpy(&word, bytes + at, length - at < 8 ? length - at : 8);
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 32;
    }
    return hash | 1;
}

static inline uint64_t trace_zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t trace_unzigzag(uint64_t code) {
    return (int64_t)(code >> 1) ^ -(int64_t)(code & 1);
}

/* Writes at most 10 bytes; returns the end. */
static inline uint8_t *trace_put(uint8_t *out, uint64_t value) {
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* Reads a number that ends before `end`; returns what follows it, or NULL if there is none. */
static inline const uint8_t *trace_get(const uint8_t *in, const uint8_t *end, uint64_t *value) {
    uint64_t result = 0;
    for (unsigned shift = 0; in < end && shift < 64; shift += 7) {
        const uint8_t byte = *in++;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return in;
        }
    }
    return NULL;
}

/*
 * An address as it stands in a record: the difference to *last, which becomes `address`. `round`
 * says whether the record has TRACE_ROUND.
 */
static inline uint64_t trace_address_code(uint64_t address, uint64_t *last, int round) {
    const int shift = round ? 4 : 0;
    const int64_t difference = (int64_t)((address >> shift) - (*last >> shift));
    *last = address;
    return trace_zigzag(difference);
}

static inline uint64_t trace_address_of(uint64_t code, uint64_t *last, int round) {
    const int shift = round ? 4 : 0;
    *last = ((*last >> shift) + (uint64_t)trace_unzigzag(code)) << shift;
    return *last;
}

#ifdef __cplusplus
}
#endif

#endif
