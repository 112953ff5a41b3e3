#define _GNU_SOURCE
#include "tools/record/stack.h"

#include <link.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#include "tools/record/log.h"

enum { STACKS_MOST = 1 << 15, MODULES_MOST = 512 };

struct module {
    uintptr_t start, end;
};

/* Stacks by their hash; 0 is an empty place. Numbers are those of the places. */
static uint64_t stacks[STACKS_MOST];
static uint64_t stacks_over; /* numbers given out when the table was full */
static struct module modules[MODULES_MOST];
static uint32_t module_count;

/* What this library covers in memory: the linker defines both. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

/* ---- the sample --------------------------------------------------------------------------------
 */

/* -ln((bits + 1) / 2^64), to a hundredth: log2 of a number between 1 and 2 by a parabola. */
static double minus_log(uint64_t bits) {
    const unsigned zeros = (unsigned)__builtin_clzll(bits | 1);
    const double mantissa = (double)(bits << zeros >> 11) / (double)((uint64_t)1 << 52);
    const double m = mantissa - 1;
    const double log2_of = (double)(63 - (int)zeros) + m * (1.34 - 0.34 * m);
    return (64 - log2_of) * 0.6931471805599453;
}

void stack_next_sample(struct log *log, uint64_t mean) {
    if (mean == 0) {
        log->until_sample = INT64_MAX;
        return;
    }
    /* Marsaglia's xorshift of 64 bits. */
    uint64_t x = log->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    log->random = x;
    /* Its neighbours are related; the high half of a product is less so. */
    x *= 0x2545f4914f6cdd1du;
    log->until_sample = mean == 1 ? 0 : (int64_t)(minus_log(x) * (double)mean);
}

/* ---- modules -----------------------------------------------------------------------------------
 */

struct search {
    uintptr_t address;
    struct module found;
    uintptr_t bias;
    const char *path;
};

static int look_at(struct dl_phdr_info *info, size_t size, void *of_search) {
    (void)size;
    struct search *search = of_search;
    uintptr_t start = UINTPTR_MAX, end = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD)
            continue;
        const uintptr_t begin = info->dlpi_addr + segment->p_vaddr;
        start = begin < start ? begin : start;
        end = begin + segment->p_memsz > end ? begin + segment->p_memsz : end;
    }
    if (search->address < start || search->address >= end)
        return 0;
    search->found = (struct module){start, end};
    search->bias = info->dlpi_addr;
    search->path = info->dlpi_name;
    return 1;
}

static bool module_is_known(uintptr_t address) {
    const uint32_t count = __atomic_load_n(&module_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count && i < MODULES_MOST; i++)
        if (address >= modules[i].start && address < modules[i].end)
            return true;
    return false;
}

static bool module_put(const struct search *search, const char *path) {
    const size_t length = strnlen(path, TRACE_PATH_MOST);
    if (!log_room(TRACE_EVENT_MOST + length))
        return false;
    uint8_t *cursor = log_own.place.cursor;
    *cursor++ = TRACE_MODULE;
    cursor = trace_put(cursor, search->found.start);
    cursor = trace_put(cursor, search->found.end - search->found.start);
    cursor = trace_put(cursor, search->bias);
    cursor = trace_put(cursor, length);
    memcpy(cursor, path, length);
    log_commit(cursor + length);
    return true;
}

/* Two threads may record the same module; that is no harm. */
static void module_know(uintptr_t address) {
    if (module_is_known(address))
        return;
    struct search search = {.address = address};
    if (dl_iterate_phdr(look_at, &search) == 0)
        return;
    char path[TRACE_PATH_MOST + 1];
    if (search.path == NULL || search.path[0] != '/') { /* the program itself has no name there */
        const ssize_t length = readlink("/proc/self/exe", path, TRACE_PATH_MOST);
        path[length < 0 ? 0 : length] = '\0';
        search.path = path;
    }
    if (!module_put(&search, search.path))
        return;
    /* The place is taken first and filled then: until that it is an empty range. */
    const uint32_t place = __atomic_fetch_add(&module_count, 1, __ATOMIC_ACQ_REL);
    if (place < MODULES_MOST)
        modules[place] = search.found;
}

/* ---- stacks ------------------------------------------------------------------------------------
 */

struct walk {
    uintptr_t addresses[TRACE_STACK_MOST];
    size_t count;
};

static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *context, void *of_walk) {
    struct walk *walk = of_walk;
    const uintptr_t address = _Unwind_GetIP(context);
    if (address == 0)
        return _URC_END_OF_STACK;
    /* The recorder itself is of no interest. */
    if (address >= (uintptr_t)__ehdr_start && address < (uintptr_t)_end)
        return _URC_NO_REASON;
    walk->addresses[walk->count++] = address;
    return walk->count < TRACE_STACK_MOST ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static bool stack_put(const struct walk *walk, uint64_t number) {
    for (size_t i = 0; i < walk->count; i++)
        module_know(walk->addresses[i]);
    if (!log_room(TRACE_EVENT_MOST + 10 * walk->count))
        return false;
    uint8_t *cursor = log_own.place.cursor;
    *cursor++ = TRACE_STACK;
    cursor = trace_put(cursor, number);
    cursor = trace_put(cursor, walk->count);
    uintptr_t last = 0;
    for (size_t i = 0; i < walk->count; i++) {
        cursor = trace_put(cursor, trace_zigzag((int64_t)(walk->addresses[i] - last)));
        last = walk->addresses[i];
    }
    log_commit(cursor);
    return true;
}

int64_t stack_take(void) {
    struct walk walk = {.count = 0};
    _Unwind_Backtrace(look_at_frame, &walk);
    const uint64_t hash = trace_checksum(walk.addresses, walk.count * sizeof walk.addresses[0]);
    for (unsigned i = 0; i < 64; i++) {
        const unsigned place = (unsigned)(hash + i) % STACKS_MOST;
        uint64_t there = 0;
        /* Whoever enters the hash records the stack; events may name it before that is done. */
        if (__atomic_compare_exchange_n(&stacks[place], &there, hash, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return stack_put(&walk, place) ? (int64_t)place : -1;
        if (there == hash)
            return place;
    }
    const uint64_t number = STACKS_MOST + __atomic_fetch_add(&stacks_over, 1, __ATOMIC_RELAXED);
    return stack_put(&walk, number) ? (int64_t)number : -1;
}

void stack_reset(void) {
    memset(stacks, 0, sizeof stacks);
    stacks_over = 0;
    module_count = 0;
    memset(modules, 0, sizeof modules);
}
