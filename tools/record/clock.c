#include "tools/record/clock.h"

#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

uint32_t clock_last[CLOCK_PLACES];

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_nanoseconds(void) { return nanoseconds(CLOCK_MONOTONIC); }

uint64_t clock_realtime(void) { return nanoseconds(CLOCK_REALTIME); }

/* Whether it ticks on all processors alike is for the kernel to find out, which marks it unusable
 * for itself if not. */
uint32_t clock_best(void) {
#if defined(__x86_64__)
    unsigned a, b, c, invariant = 0, rdtscp = 0;
    __get_cpuid(0x80000007, &a, &b, &c, &invariant);
    __get_cpuid(0x80000001, &a, &b, &c, &rdtscp);
    if ((invariant & 1u << 8) != 0 && (rdtscp & 1u << 27) != 0)
        return TRACE_CLOCK_TSC;
#endif
    return TRACE_CLOCK_MONOTONIC;
}
