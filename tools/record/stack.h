/*
 * stack.h - call stacks of a sample of the allocations.
 *
 * The sample is Poisson's: between two stacks a thread allocates a number of bytes that is
 * exponentially distributed with the mean asked for. So an allocation of `size` bytes is sampled
 * with probability 1 - exp(-size / mean), whatever came before it, and whoever reads the trace can
 * weigh it by the reciprocal. A mean of 1 takes every stack.
 *
 * Stacks come from the unwinder of the compiler's runtime, which needs no frame pointers. Each
 * different one is recorded once, after the modules that it leads through.
 */
#ifndef OSMEM_TOOLS_RECORD_STACK_H
#define OSMEM_TOOLS_RECORD_STACK_H

#include <stdint.h>

struct log;

/* Draws how many bytes are allocated until the next stack; never, if there are to be none. */
void stack_next_sample(struct log *log, uint64_t mean);

/* The number of the caller's stack, recorded if it is new; -1 if there was no room. */
int64_t stack_take(void);

/* Nothing is known yet: a new process. */
void stack_reset(void);

#endif
