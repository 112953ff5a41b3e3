/*
 * clock.h - when an event happens, so that the times of what happens at one address have its order,
 * whichever threads it passes through.
 *
 * A processor works ahead: it may look at its time stamp counter before it has the pointer that
 * another thread has just handed over, and a free would seem to come before its malloc. (Never too
 * late: no other thread sees a store before what precedes it is done.) To wait for all loads would
 * hold up a program at each of its cache misses. So the time of each event is left in a table, by
 * addresses, and who has the block next comes after it:
 *
 * 1. The time of an event is later than that of the one before at the same address, whichever
 *    thread's: who hands an address over has left the time in the table by then, and to find it
 *    takes the address.
 * 2. It is no earlier than that of the one before in the same thread.
 *
 * Places are shared by neighbours and by addresses far from each other, and times in it wrap
 * around: a time that is not within CLOCK_AHEAD_MOST ticks from now is somebody else's, or long
 * past. When threads share a place in the same microsecond, one of the times is lost; what then is
 * out of order, if anything, the reader puts right (tools/trace/reader.h).
 */
#ifndef OSMEM_TOOLS_RECORD_CLOCK_H
#define OSMEM_TOOLS_RECORD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "tools/record/log.h"

enum {
    CLOCK_GRAIN = 256, /* bytes of memory to a place: the more, the fewer cache misses */
    CLOCK_PLACES = 1 << 20,
    CLOCK_AHEAD_MOST = 1 << 14, /* ticks: a processor is ahead by a microsecond or two at most */
};

extern uint32_t clock_last[CLOCK_PLACES]; /* the low half of the time */

/* The kernel's clocks. */
uint64_t clock_nanoseconds(void); /* CLOCK_MONOTONIC */
uint64_t clock_realtime(void);

static inline uint64_t clock_after_last(const void *ptr, uint64_t time) {
    uint32_t *last = &clock_last[(uintptr_t)ptr / CLOCK_GRAIN % CLOCK_PLACES];
    const uint32_t ahead = __atomic_load_n(last, __ATOMIC_RELAXED) + 1 - (uint32_t)time;
    if (__builtin_expect(ahead < CLOCK_AHEAD_MOST, false))
        time += ahead;
    if (__builtin_expect(time < log_own.time, false))
        time = log_own.time;
    log_own.time = time;
    __atomic_store_n(last, (uint32_t)time, __ATOMIC_RELAXED);
    return time;
}

/* The time in ticks of what this thread does with the block at `ptr`. */
static inline uint64_t clock_ticks(const void *ptr) {
#if defined(__x86_64__)
    if (__builtin_expect(log_process->clock == TRACE_CLOCK_TSC, true)) {
        const uint64_t time = __rdtsc();
        return __libc_single_threaded ? time : clock_after_last(ptr, time);
    }
#endif
    return log_process->clock == 0 ? 0 : clock_nanoseconds();
}

/* That of no particular block. */
static inline uint64_t clock_now(void) {
#if defined(__x86_64__)
    if (log_process->clock == TRACE_CLOCK_TSC)
        return __rdtsc();
#endif
    return clock_nanoseconds();
}

/* The processor's clock, if it ticks alike in all its states; else the kernel's. */
uint32_t clock_best(void);

#endif
