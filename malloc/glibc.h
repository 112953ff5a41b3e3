/*
 * glibc.h - <malloc.h> as glibc has it, also on a C library whose own declares less of it (musl):
 * the drop-in defines the same functions everywhere.
 */
#ifndef OSMEM_MALLOC_GLIBC_H
#define OSMEM_MALLOC_GLIBC_H

#include <malloc.h>
#include <stdio.h>

#ifndef __GLIBC__

/* Parameters of mallopt. */
enum {
    M_MXFAST = 1,
    M_NLBLKS = 2,
    M_GRAIN = 3,
    M_KEEP = 4,
    M_TRIM_THRESHOLD = -1,
    M_TOP_PAD = -2,
    M_MMAP_THRESHOLD = -3,
    M_MMAP_MAX = -4,
    M_CHECK_ACTION = -5,
    M_PERTURB = -6,
    M_ARENA_TEST = -7,
    M_ARENA_MAX = -8,
};

struct mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

struct mallinfo mallinfo(void);
struct mallinfo2 mallinfo2(void);
int malloc_info(int options, FILE *stream);
void malloc_stats(void);
int malloc_trim(size_t pad);
int mallopt(int parameter, int value);
void *pvalloc(size_t size);

#endif

#endif
