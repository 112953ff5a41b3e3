/*
 * plan.h - what the player is told to do and what it tells back: two files, one written by
 * `osmem replay` and read by the player, one the other way round.
 *
 * A plan has the operations of each thread, one after the other. Blocks are numbers of slots; a
 * slot is used again once its block is freed. Where an operation needs what another thread has done
 * before (the block allocated, the slot's last block freed), an OP_WAIT for that thread's progress
 * stands in front of it. So threads run as freely as the trace allows, and yet every block is there
 * when it is freed.
 *
 *     plan:   header | struct plan_thread for each thread | struct plan_op ... of all threads
 *     result: header | struct result_sample for each OP_SAMPLE
 */
#ifndef OSMEM_TOOLS_REPLAY_PLAN_H
#define OSMEM_TOOLS_REPLAY_PLAN_H

#include <assert.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum plan_kind {
    OP_MALLOC,
    OP_CALLOC,
    OP_ALIGNED,
    OP_REALLOC,
    OP_FREE,
    OP_CALLS, /* so many kinds are calls of the allocator */

    OP_START = OP_CALLS, /* begin the thread `slot` */
    OP_WAIT,             /* until the thread `slot` has done `size` of its operations */
    OP_SAMPLE,           /* the live bytes are `size`: how much is resident? */
};

struct plan_op {
    uint8_t kind;           /* enum plan_kind */
    uint8_t log2_alignment; /* OP_ALIGNED */
    uint16_t reserved;
    uint32_t slot;
    uint64_t size;
};

static_assert(sizeof(struct plan_op) == 16, "four to a cache line");

struct plan_thread {
    uint64_t first; /* index of its first operation */
    uint64_t count;
};

enum {
    PLAN_MAGIC = 0x4e4c504f,   /* "OPLN" */
    RESULT_MAGIC = 0x5345524f, /* "ORES" */
};

struct plan_header {
    uint32_t magic;
    uint32_t threads;
    uint32_t slots;
    uint32_t samples;
    uint64_t ops;
};

/*
 * Latencies in ticks, in buckets of three per cent: below 64 each tick has its own, above there are
 * 32 for each doubling.
 */
enum { LATENCY_FINE = 5, LATENCY_BUCKETS = (64 - LATENCY_FINE) << LATENCY_FINE };

static inline unsigned latency_bucket(uint64_t ticks) {
    if (ticks < 2u << LATENCY_FINE)
        return (unsigned)ticks;
    const unsigned shift = 63 - (unsigned)__builtin_clzll(ticks) - LATENCY_FINE;
    return (shift << LATENCY_FINE) + (unsigned)(ticks >> shift);
}

/* The least number of ticks that is in the bucket. */
static inline uint64_t latency_least(unsigned bucket) {
    if (bucket < 2u << LATENCY_FINE)
        return bucket;
    const unsigned shift = (bucket >> LATENCY_FINE) - 1;
    return (uint64_t)(bucket - (shift << LATENCY_FINE)) << shift;
}

struct latency {
    uint64_t count;
    uint64_t most; /* ticks */
    uint32_t buckets[LATENCY_BUCKETS];
};

struct result_sample {
    uint64_t live;     /* bytes asked for in blocks that are allocated */
    uint64_t resident; /* bytes of private memory, less the player's own tables */
};

struct result_header {
    uint32_t magic; /* set at the end: without it, the player died */
    uint32_t samples;
    uint64_t wall_ns;
    uint64_t cpu_ns; /* of all threads, between the first operation and the last */
    uint64_t calls;
    uint64_t refused;   /* allocations that returned NULL */
    uint64_t placement; /* a checksum of where the blocks of the heap were, relative to its start */
    double ns_per_tick;
    struct latency latency[OP_CALLS];
};

#ifdef __cplusplus
}
#endif

#endif
