/*
 * recorder.c - libosmem-record.so: stands in front of any allocator by LD_PRELOAD and writes down
 * what a program asks of it (log.h says where to, tools/trace/format.h in which form).
 *
 * A free is recorded before it is done, an allocation after it: then what the threads do with one
 * address comes in the order of the times recorded (clock.h), because the allocator itself orders
 * it.
 *
 * operators new and delete are those of the drop-in (malloc/operators.cc), on the three functions
 * at the end of this file in place of osmem's: with osmem or without it they need not go through
 * the C++ runtime.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/record/clock.h"
#include "tools/record/log.h"
#include "tools/record/next.h"
#include "tools/record/stack.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- records of events -------------------------------------------------------------------------
 */

/* False if this event is lost or not wanted. */
static inline bool event_begin(void) {
    if (__builtin_expect(log_own.busy, false)) {
        log_lost();
        return false;
    }
    log_own.busy = true;
    if (log_has_room() || log_room(TRACE_EVENT_MOST))
        return true;
    log_own.busy = false;
    return false;
}

static inline void event_end(uint8_t *cursor) {
    log_own.place.chunk->events++;
    log_commit(cursor);
    log_own.busy = false;
}

/* Another thread's clock may be behind the one that wrote into this chunk before: then no time has
 * passed. */
static inline uint8_t *put_time(uint8_t *cursor, uint64_t time) {
    struct log_place *place = &log_own.place;
    const uint64_t passed = time > place->time ? time - place->time : 0;
    place->time += passed;
    return trace_put(cursor, passed);
}

static inline uint8_t *put_address(uint8_t *cursor, const void *ptr, bool round) {
    return trace_put(cursor, trace_address_code((uintptr_t)ptr, &log_own.place.address, round));
}

static inline bool is_round(const void *ptr) { return ((uintptr_t)ptr & 15) == 0; }

static __attribute__((noinline, cold)) int64_t sample(void) {
    const int64_t stack = stack_take();
    stack_next_sample(&log_own, log_process->sample_bytes);
    /* The stack may have filled the chunk. */
    return log_has_room() || log_room(TRACE_EVENT_MOST) ? stack : -2;
}

/* The stack's number if it is this allocation's turn, -1 if not, -2 if there is no room any more.
 */
static inline int64_t sample_or_not(size_t size) {
    log_own.until_sample -= (int64_t)(size | 1);
    return __builtin_expect(log_own.until_sample < 0, false) ? sample() : -1;
}

static inline uint8_t *put_stack(uint8_t *cursor, int64_t stack) {
    return stack < 0 ? cursor : trace_put(cursor, (uint64_t)stack);
}

static inline uint8_t flags(bool round, int64_t stack, bool failed) {
    return (uint8_t)((round ? TRACE_ROUND : 0) | (stack >= 0 ? TRACE_SAMPLED : 0) |
                     (failed ? TRACE_FAILED : 0));
}

static inline void record_allocation(enum trace_kind kind, size_t alignment, size_t size,
                                     const void *ptr) {
    const uint64_t time = clock_ticks(ptr);
    if (!event_begin())
        return;
    const int64_t stack = ptr == NULL ? -1 : sample_or_not(size);
    if (stack == -2) {
        log_own.busy = false;
        return;
    }
    uint8_t *cursor = log_own.place.cursor;
    *cursor++ = (uint8_t)(kind | flags(is_round(ptr), stack, ptr == NULL));
    cursor = put_time(cursor, time);
    if (kind == TRACE_ALIGNED)
        cursor = trace_put(cursor, (uint64_t)__builtin_ctzll(alignment | (uint64_t)1 << 63));
    cursor = trace_put(cursor, size);
    if (ptr != NULL)
        cursor = put_address(cursor, ptr, is_round(ptr));
    event_end(put_stack(cursor, stack));
}

static void record_realloc(uint64_t entry, const void *old, size_t size, const void *ptr) {
    const uint64_t time = clock_ticks(ptr);
    if (!event_begin())
        return;
    const int64_t stack = ptr == NULL ? -1 : sample_or_not(size);
    if (stack == -2) {
        log_own.busy = false;
        return;
    }
    const bool round = is_round(old) && is_round(ptr);
    uint8_t *cursor = log_own.place.cursor;
    *cursor++ = (uint8_t)(TRACE_REALLOC | flags(round, stack, ptr == NULL));
    cursor = put_time(cursor, time);
    const uint64_t end = log_own.place.time;
    cursor = trace_put(cursor, end > entry ? end - entry : 0);
    cursor = put_address(cursor, old, round);
    cursor = trace_put(cursor, size);
    if (ptr != NULL)
        cursor = put_address(cursor, ptr, round);
    event_end(put_stack(cursor, stack));
}

static inline void record_free(uint64_t time, const void *ptr) {
    if (!event_begin())
        return;
    uint8_t *cursor = log_own.place.cursor;
    *cursor++ = (uint8_t)(TRACE_FREE | flags(is_round(ptr), -1, false));
    cursor = put_time(cursor, time);
    event_end(put_address(cursor, ptr, is_round(ptr)));
}

/* ---- C -----------------------------------------------------------------------------------------
 */

EXPORT void *malloc(size_t size) {
    void *ptr = next.malloc(size);
    record_allocation(TRACE_MALLOC, 0, size, ptr);
    return ptr;
}

EXPORT void free(void *ptr) {
    if (ptr == NULL)
        return;
    record_free(clock_ticks(ptr), ptr);
    next.free(ptr);
}

EXPORT void *calloc(size_t count, size_t size) {
    void *ptr = next.calloc(count, size);
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        total = SIZE_MAX;
    record_allocation(TRACE_CALLOC, 0, total, ptr);
    return ptr;
}

EXPORT void *realloc(void *ptr, size_t size) {
    if (ptr == NULL) {
        ptr = next.realloc(NULL, size);
        record_allocation(TRACE_MALLOC, 0, size, ptr);
        return ptr;
    }
    const uint64_t entry = clock_ticks(ptr);
    void *resized = next.realloc(ptr, size);
    if (resized == NULL && size == 0)
        record_free(entry, ptr);
    else
        record_realloc(entry, ptr, size, resized);
    return resized;
}

EXPORT void *reallocarray(void *ptr, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(ptr, total);
}

void cfree(void *ptr);
EXPORT void cfree(void *ptr) { free(ptr); }

void free_sized(void *ptr, size_t size);
EXPORT void free_sized(void *ptr, size_t size) {
    (void)size;
    free(ptr);
}

void free_aligned_sized(void *ptr, size_t alignment, size_t size);
EXPORT void free_aligned_sized(void *ptr, size_t alignment, size_t size) {
    (void)alignment;
    (void)size;
    free(ptr);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
    void *ptr = next.aligned_alloc(alignment, size);
    record_allocation(TRACE_ALIGNED, alignment, size, ptr);
    return ptr;
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size) {
    const int error = next.posix_memalign(out, alignment, size);
    record_allocation(TRACE_ALIGNED, alignment, size, error == 0 ? *out : NULL);
    return error;
}

EXPORT void *memalign(size_t alignment, size_t size) {
    void *ptr = next.memalign(alignment, size);
    record_allocation(TRACE_ALIGNED, alignment, size, ptr);
    return ptr;
}

EXPORT void *valloc(size_t size) {
    void *ptr = next.valloc(size);
    record_allocation(TRACE_ALIGNED, (size_t)getpagesize(), size, ptr);
    return ptr;
}

EXPORT void *pvalloc(size_t size) {
    void *ptr = next.pvalloc(size);
    record_allocation(TRACE_ALIGNED, (size_t)getpagesize(), size, ptr);
    return ptr;
}

/* ---- what malloc/operators.cc is built on; hidden, so that osmem's own stay what they are
 * --------- */

void *os_malloc(size_t size);
void *os_malloc(size_t size) { return malloc(size); }

void *os_aligned_alloc(size_t alignment, size_t size);
void *os_aligned_alloc(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

void os_free(void *ptr);
void os_free(void *ptr) { free(ptr); }
