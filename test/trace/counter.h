#ifndef OSMEM_TEST_TRACE_COUNTER_H
#define OSMEM_TEST_TRACE_COUNTER_H

#include <stdint.h>

/* The contents of COUNTER_FILE. */
struct counts {
    uint64_t mallocs, callocs, reallocs, aligned, frees;
    uint64_t bytes; /* asked for */
};

#endif
