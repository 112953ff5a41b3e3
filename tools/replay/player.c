/*
 * player.c - carries a plan out (plan.h), on whatever allocator LD_PRELOAD has put into this
 * process.
 *
 *     osmem-player PLAN RESULT MODE      MODE: time, memory or latency
 *
 * It allocates nothing itself, so that all that the allocator does is for the plan: its tables are
 * mapped, its files are read and written by mapping. Of each block the first byte of every page
 * that it reaches into is written, and the last byte, as the program will have done in some way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "tools/replay/plan.h"

enum { PAGE = 4096, SPINS = 200 };

/* Of a thread of the plan. */
struct player {
    _Alignas(64) uint64_t progress; /* operations done; the others wait for it */
    const struct plan_op *ops;
    uint64_t count;
    pthread_t thread;
    bool started;
    uint64_t calls, refused, placement;
    struct latency *latency; /* OP_CALLS of them, or NULL */
};

static const struct plan_header *plan;
static struct player *players;
static char **slots;
static struct result_header *result;
static struct result_sample *samples;
static bool measures_latency, measures_memory;
static uint64_t own_bytes; /* private memory of our tables, written to beforehand */
static char *break_start;  /* where the program's break was at the start, */
static char *heap_first;   /* and the first block above it */
static uint64_t ticks_for_nothing;

static _Noreturn void die(const char *what) {
    char line[256];
    const int length = snprintf(line, sizeof line, "osmem replay: %s: %s\n", what, strerror(errno));
    (void)!write(STDERR_FILENO, line, (size_t)length);
    _exit(3);
}

static void *map(const char *path, int flags, size_t *size) {
    struct stat status;
    const int file = open(path, flags | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        die(path);
    *size = (size_t)status.st_size;
    const int protection = flags == O_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
    void *data = mmap(NULL, *size, protection, MAP_SHARED, file, 0);
    if (data == MAP_FAILED)
        die(path);
    close(file);
    return data;
}

/* Private memory that is resident from now on. */
static void *table(size_t bytes) {
    if (bytes == 0)
        bytes = 1;
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (data == MAP_FAILED)
        die("mmap");
    own_bytes += (bytes + PAGE - 1) / PAGE * PAGE;
    return data;
}

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t ticks(void) {
#if defined(__x86_64__)
    unsigned processor;
    return __rdtscp(&processor);
#else
    return nanoseconds(CLOCK_MONOTONIC);
#endif
}

/* ---- memory ------------------------------------------------------------------------------------
 */

/*
 * Private memory in bytes. From smaps_rollup, for it is exact; from statm where that is missing,
 * which on some kernels is off by some pages for each processor.
 */
static uint64_t resident(void) {
    static char text[4096];
    const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        const ssize_t length = read(file, text, sizeof text - 1);
        close(file);
        text[length < 0 ? 0 : length] = '\0';
        const char *line = strstr(text, "\nAnonymous:");
        if (line != NULL)
            return strtoull(line + 11, NULL, 10) * 1024;
    }
    const int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (statm < 0)
        die("/proc/self/statm");
    const ssize_t length = read(statm, text, sizeof text - 1);
    close(statm);
    text[length < 0 ? 0 : length] = '\0';
    char *at = text;
    strtoull(at, &at, 10);
    const uint64_t all = strtoull(at, &at, 10), shared = strtoull(at, &at, 10);
    return (all - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* By one thread at a time: the plan orders them. */
static void sample(const struct plan_op *op) {
    if (!measures_memory)
        return;
    const uint64_t now = resident();
    samples[op->slot] = (struct result_sample){
        .live = op->size,
        .resident = now > own_bytes ? now - own_bytes : 0,
    };
}

static void touch(char *block, size_t size) {
    if (block == NULL || size == 0)
        return;
    for (size_t at = 0; at < size; at += PAGE - ((uintptr_t)(block + at) & (PAGE - 1)))
        *(volatile char *)(block + at) = 1;
    *(volatile char *)(block + size - 1) = 1;
}

/* Fowler, Noll and Vo's hash over places: those in the heap of sbrk by their distance to its first
 * block, others, which the kernel puts where it likes, by what they are in their page. */
static void place(struct player *player, char *block) {
    const bool in_heap = block >= break_start && block < (char *)sbrk(0);
    if (in_heap && heap_first == NULL)
        heap_first = block;
    const uint64_t value = in_heap ? (uint64_t)(block - heap_first) : (uintptr_t)block & (PAGE - 1);
    player->placement = (player->placement ^ value) * 0x100000001b3u;
}

/* ---- operations --------------------------------------------------------------------------------
 */

static inline void call(struct player *player, const struct plan_op *op) {
    char **slot = &slots[op->slot];
    switch (op->kind) {
    case OP_MALLOC:
        *slot = malloc(op->size);
        return;
    case OP_CALLOC:
        *slot = calloc(1, op->size);
        return;
    case OP_ALIGNED: {
        void *block = NULL;
        size_t alignment = (size_t)1 << op->log2_alignment;
        if (alignment < sizeof(void *))
            alignment = sizeof(void *);
        *slot = posix_memalign(&block, alignment, op->size) == 0 ? block : NULL;
        return;
    }
    case OP_REALLOC: {
        char *resized = realloc(*slot, op->size);
        if (resized != NULL || op->size == 0)
            *slot = resized;
        else
            player->refused++;
        return;
    }
    default:
        free(*slot);
        *slot = NULL;
    }
}

static inline void note_latency(struct latency *latency, uint64_t passed) {
    passed = passed > ticks_for_nothing ? passed - ticks_for_nothing : 0;
    latency->count++;
    latency->buckets[latency_bucket(passed)]++;
    if (passed > latency->most)
        latency->most = passed;
}

static inline void do_call(struct player *player, const struct plan_op *op) {
    if (measures_latency) {
        const uint64_t before = ticks();
        call(player, op);
        note_latency(&player->latency[op->kind], ticks() - before);
    } else {
        call(player, op);
    }
    player->calls++;
    if (op->kind == OP_FREE)
        return;
    char *block = slots[op->slot];
    player->refused += block == NULL && op->size != 0 && op->kind != OP_REALLOC;
    touch(block, op->size);
    if (measures_memory)
        place(player, block);
}

static void wait_for(const struct plan_op *op) {
    const uint64_t *progress = &players[op->slot].progress;
    for (unsigned spins = 0; __atomic_load_n(progress, __ATOMIC_ACQUIRE) < op->size; spins++)
        if (spins >= SPINS)
            sched_yield();
}

static void *play(void *of_player);

static void start(uint32_t index) {
    struct player *player = &players[index];
    const int error = pthread_create(&player->thread, NULL, play, player);
    if (error != 0) {
        errno = error;
        die("pthread_create");
    }
    player->started = true;
}

static void *play(void *of_player) {
    struct player *player = of_player;
    for (uint64_t i = 0; i < player->count; i++) {
        const struct plan_op *op = &player->ops[i];
        if (op->kind < OP_CALLS)
            do_call(player, op);
        else if (op->kind == OP_WAIT)
            wait_for(op);
        else if (op->kind == OP_START)
            start(op->slot);
        else
            sample(op);
        __atomic_store_n(&player->progress, i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* In order: a thread was begun by one with a lower number, or by main. */
static void join(void) {
    for (uint32_t joined = 1; joined < plan->threads; joined++) {
        struct player *player = &players[joined];
        if (player->started)
            pthread_join(player->thread, NULL);
    }
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static void prepare(const char *plan_path, const char *result_path) {
    size_t size;
    plan = map(plan_path, O_RDONLY, &size);
    result = map(result_path, O_RDWR, &size);
    if (plan->magic != PLAN_MAGIC || size < sizeof *result + plan->samples * sizeof *samples) {
        errno = EINVAL;
        die(plan_path);
    }
    samples = (struct result_sample *)(result + 1);
    slots = table(plan->slots * sizeof *slots);
    players = table(plan->threads * sizeof *players);
    const struct plan_thread *threads = (const struct plan_thread *)(plan + 1);
    const struct plan_op *ops = (const struct plan_op *)(threads + plan->threads);
    for (uint32_t i = 0; i < plan->threads; i++) {
        players[i].ops = ops + threads[i].first;
        players[i].count = threads[i].count;
        if (measures_latency)
            players[i].latency = table(OP_CALLS * sizeof(struct latency));
    }
    ticks_for_nothing = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        const uint64_t before = ticks(), passed = ticks() - before;
        ticks_for_nothing = passed < ticks_for_nothing ? passed : ticks_for_nothing;
    }
    break_start = sbrk(0);
}

static void add_up(const struct player *player) {
    result->calls += player->calls;
    result->refused += player->refused;
    result->placement = (result->placement ^ player->placement) * 0x100000001b3u;
    if (player->latency == NULL)
        return;
    for (unsigned kind = 0; kind < OP_CALLS; kind++) {
        struct latency *sum = &result->latency[kind];
        const struct latency *own = &player->latency[kind];
        sum->count += own->count;
        sum->most = own->most > sum->most ? own->most : sum->most;
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
            sum->buckets[i] += own->buckets[i];
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        errno = EINVAL;
        die("usage: osmem-player PLAN RESULT MODE");
    }
    measures_memory = strcmp(argv[3], "memory") == 0;
    measures_latency = strcmp(argv[3], "latency") == 0;
    prepare(argv[1], argv[2]);

    const uint64_t wall = nanoseconds(CLOCK_MONOTONIC), first = ticks();
    const uint64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    play(&players[0]);
    join();
    result->cpu_ns = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    result->wall_ns = nanoseconds(CLOCK_MONOTONIC) - wall;
    result->ns_per_tick = (double)result->wall_ns / (double)(ticks() - first);
    for (uint32_t i = 0; i < plan->threads; i++)
        add_up(&players[i]);
    result->samples = plan->samples;
    result->magic = RESULT_MAGIC;
    /* Not by return: what is left to be freed at the exit is not the allocator's business. */
    _exit(0);
}
