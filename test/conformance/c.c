/* c.c - the rules of C11, C17 and C23: 7.22.3 of C17 is 7.24.3 of C23. */
#include "test/conformance/rule.h"

#include <stdlib.h>
#include <string.h>

/* C23; not in every C library. */
void free_sized(void *ptr, size_t size) __attribute__((weak));
void free_aligned_sized(void *ptr, size_t alignment, size_t size) __attribute__((weak));

#define MAX_ALIGNMENT _Alignof(max_align_t)
#define GIB ((size_t)1 << 30)

static bool one_is_aligned(size_t size, size_t alignment) {
    void *of_malloc = malloc(size), *of_calloc = calloc(1, size);
    void *of_realloc = realloc(malloc(1), size);
    bool all = of_malloc != NULL && is_aligned(of_malloc, alignment) && of_calloc != NULL &&
               is_aligned(of_calloc, alignment) && of_realloc != NULL &&
               is_aligned(of_realloc, alignment);
    free(of_malloc);
    free(of_calloc);
    free(of_realloc);
    return all;
}

static void aligned_for_any_type(void) {
    for (size_t size = 1; size <= 4096; size++)
        CHECK(one_is_aligned(size, MAX_ALIGNMENT));
}

static void aligned_for_types_that_fit(void) {
    for (size_t size = 1; size <= 4096; size++) {
        size_t alignment = MAX_ALIGNMENT;
        while (alignment > size)
            alignment /= 2;
        CHECK(one_is_aligned(size, alignment));
    }
}

static void aligned_when_large(void) {
    for (const size_t *size = sizes; *size != 0; size++)
        if (*size >= MAX_ALIGNMENT)
            CHECK(one_is_aligned(*size, MAX_ALIGNMENT));
    CHECK(one_is_aligned(64 << 20, MAX_ALIGNMENT));
}

static void disjoint(void) {
    enum { ROUNDS = 3, COUNT = 60 * ROUNDS };
    static void *blocks[COUNT];
    size_t count = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (const size_t *size = sizes; *size != 0; size++, count++) {
            blocks[count] = malloc(*size);
            if (!CHECK(blocks[count] != NULL))
                return;
            fill(blocks[count], *size, (unsigned)count);
        }
    }
    count = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (const size_t *size = sizes; *size != 0; size++, count++) {
            CHECK(is_filled(blocks[count], *size, (unsigned)count));
            free(blocks[count]);
        }
    }
}

/* NULL, or as if the size were not zero: pairwise different, and to be freed. */
static void check_zeros(void *(*allocate)(void)) {
    void *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = allocate();
        for (size_t j = 0; j < i; j++)
            CHECK(blocks[i] == NULL || blocks[i] != blocks[j]);
    }
    for (size_t i = 0; i < 100; i++)
        free(blocks[i]);
}

static void *malloc_zero(void) { return malloc(opaque(0)); }
static void *calloc_zero_count(void) { return calloc(opaque(0), 8); }
static void *calloc_zero_size(void) { return calloc(8, opaque(0)); }
static void *calloc_zero_of_many(void) { return calloc(opaque(0), opaque(SIZE_MAX)); }
static void *realloc_null_zero(void) { return realloc(NULL, opaque(0)); }
static void *aligned_zero(void) { return aligned_alloc(64, opaque(0)); }

static void malloc_of_zero(void) { check_zeros(malloc_zero); }

static void calloc_of_zero(void) {
    check_zeros(calloc_zero_count);
    check_zeros(calloc_zero_size);
    check_zeros(calloc_zero_of_many);
}

static void realloc_of_null_to_zero(void) { check_zeros(realloc_null_zero); }
static void aligned_alloc_of_zero(void) { check_zeros(aligned_zero); }

static void malloc_refuses(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        CHECK(malloc(opaque(*size)) == NULL);
}

static void calloc_refuses(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++) {
        CHECK(calloc(1, opaque(*size)) == NULL);
        CHECK(calloc(opaque(*size), 1) == NULL);
    }
}

static void calloc_products(void) {
    static const size_t factors[][2] = {
        {SIZE_MAX, 2},
        {2, SIZE_MAX},
        {SIZE_MAX / 2 + 1, 2},              /* 0 */
        {SIZE_MAX / 16 + 2, 16},            /* 16 */
        {(size_t)1 << 32, (size_t)1 << 32}, /* 0 */
        {((size_t)1 << 32) + 1, (size_t)1 << 32},
        {SIZE_MAX, SIZE_MAX}, /* 1 */
        {PTRDIFF_MAX, 2},
        {PTRDIFF_MAX, 3},
    };
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
        CHECK(calloc(opaque(factors[i][0]), opaque(factors[i][1])) == NULL);
}

static void calloc_clears(void) {
    enum { COUNT = 8 };
    for (const size_t *size = sizes; *size != 0; size++) {
        void *blocks[COUNT];
        for (unsigned i = 0; i < COUNT; i++) {
            CHECK((blocks[i] = malloc(*size)) != NULL);
            memset(blocks[i], 0xff, *size);
        }
        for (unsigned i = 0; i < COUNT; i++)
            free(blocks[i]);
        for (unsigned i = 0; i < COUNT; i++)
            CHECK((blocks[i] = calloc(1, *size)) != NULL && is_zero(blocks[i], *size));
        for (unsigned i = 0; i < COUNT; i++)
            free(blocks[i]);
    }
}

static void calloc_of_many(void) {
    unsigned char *ptr = calloc(opaque(1000), opaque(1000));
    CHECK(ptr != NULL && is_zero(ptr, 1000 * 1000));
    free(ptr);
    ptr = calloc(opaque(3), opaque(7));
    CHECK(ptr != NULL && is_zero(ptr, 3 * 7));
    free(ptr);
}

static void realloc_of_null(void) {
    for (const size_t *size = sizes; *size != 0; size++) {
        void *ptr = realloc(NULL, *size);
        CHECK(ptr != NULL);
        fill(ptr, *size, 1);
        free(ptr);
    }
}

static void realloc_keeps(void) {
    for (const size_t *from = sizes; *from != 0; from++) {
        for (const size_t *to = sizes; *to != 0; to++) {
            void *ptr = malloc(*from);
            fill(ptr, *from, 3);
            ptr = realloc(ptr, *to);
            CHECK(ptr != NULL && is_filled(ptr, *from < *to ? *from : *to, 3));
            free(ptr);
        }
    }
}

static void realloc_step_by_step(void) {
    char *ptr = NULL;
    size_t size = 0;
    for (; size < 300000; size += 1 + size / 7) {
        ptr = realloc(ptr, size + 1);
        if (!CHECK(ptr != NULL))
            return;
        ptr[size] = (char)size;
    }
    for (size_t at = 0; at < size; at += 1 + at / 7)
        CHECK(ptr[at] == (char)at);
    free(ptr);
}

static void realloc_refused(void) {
    for (const size_t *from = sizes; *from != 0; from++) {
        void *ptr = malloc(*from);
        fill(ptr, *from, 5);
        for (const size_t *size = impossible_sizes; *size != 0; size++)
            CHECK(realloc(opaque_ptr(ptr), opaque(*size)) == NULL);
        CHECK(is_filled(ptr, *from, 5));
        free(ptr);
    }
}

static void free_null(void) {
    free(opaque_ptr(NULL));
    free(opaque_ptr(NULL));
}

static void *free_it(void *ptr) {
    free(ptr);
    return NULL;
}

static void *resize_it(void *argument) {
    void **ptr = argument;
    *ptr = realloc(*ptr, 200000);
    return NULL;
}

static void freed_by_another_thread(void) {
    for (const size_t *size = sizes; *size != 0; size++) {
        void *ptr = malloc(*size);
        fill(ptr, *size, 1);
        in_thread(free_it, ptr);
        CHECK((ptr = malloc(*size)) != NULL);
        fill(ptr, *size, 2);
        free(ptr);
    }
}

static void resized_by_another_thread(void) {
    for (const size_t *size = sizes; *size != 0 && *size < 200000; size++) {
        void *ptr = malloc(*size);
        fill(ptr, *size, 7);
        in_thread(resize_it, &ptr);
        CHECK(ptr != NULL && is_filled(ptr, *size, 7));
        free(ptr);
    }
}

static void *make_one(void *argument) {
    void **ptr = argument;
    CHECK((*ptr = malloc(1000)) != NULL);
    fill(*ptr, 1000, 9);
    return NULL;
}

static void outlives_its_thread(void) {
    for (unsigned i = 0; i < 20; i++) {
        void *ptr = NULL, *other;
        in_thread(make_one, &ptr);
        CHECK((other = malloc(1000)) != NULL && other != ptr);
        memset(other, 0xff, 1000);
        CHECK(is_filled(ptr, 1000, 9));
        free(ptr);
        free(other);
    }
}

static void aligned_alloc_aligns(void) {
    for (size_t alignment = 1; alignment <= GIB; alignment *= 2) {
        void *blocks[3];
        for (unsigned i = 0; i < 3; i++) {
            /* Touched at both ends only: the large ones are address space. */
            size_t size = alignment * (i + 1);
            char *ptr = blocks[i] = aligned_alloc(alignment, size);
            if (CHECK(ptr != NULL && is_aligned(ptr, alignment)))
                ptr[0] = ptr[size - 1] = 1;
        }
        for (unsigned i = 0; i < 3; i++)
            free(blocks[i]);
    }
}

static void aligned_alloc_of_any_size(void) {
    for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2) {
        for (const size_t *size = sizes; *size != 0; size++) {
            void *ptr = aligned_alloc(alignment, opaque(*size));
            if (CHECK(ptr != NULL && is_aligned(ptr, alignment)))
                memset(ptr, 1, *size);
            free(ptr);
        }
    }
}

static void aligned_alloc_invalid(void) {
    static const size_t invalid[] = {0, 3, 5, 6, 12, 24, 48, 96, 100, 4095, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        CHECK(aligned_alloc(opaque(invalid[i]), opaque(invalid[i])) == NULL);
}

static void aligned_alloc_refuses(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        for (size_t alignment = 1; alignment <= GIB; alignment *= 8)
            CHECK(aligned_alloc(alignment, opaque(*size)) == NULL);
    CHECK(aligned_alloc(opaque(SIZE_MAX / 2 + 1), opaque(SIZE_MAX / 2 + 1)) == NULL);
}

static void aligned_resized(void) {
    for (size_t alignment = 16; alignment <= 1 << 20; alignment *= 2) {
        void *ptr = aligned_alloc(alignment, alignment);
        fill(ptr, alignment, 4);
        CHECK((ptr = realloc(ptr, alignment * 3)) != NULL);
        CHECK(is_filled(ptr, alignment, 4));
        CHECK((ptr = realloc(ptr, 10)) != NULL && is_filled(ptr, 10, 4));
        free(ptr);
    }
}

static void sized_free(void) {
    if (free_sized == NULL)
        rule_skip("this C library has no free_sized");
    for (const size_t *size = sizes; *size != 0; size++) {
        free_sized(malloc(*size), *size);
        free_sized(calloc(1, *size), *size);
        free_sized(realloc(malloc(10), *size), *size);
    }
    free_sized(malloc(opaque(0)), 0);
    free_sized(NULL, 0);
    free_sized(NULL, 100);
}

static void aligned_sized_free(void) {
    if (free_aligned_sized == NULL)
        rule_skip("this C library has no free_aligned_sized");
    for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 4)
        for (const size_t *size = sizes; *size != 0; size++)
            free_aligned_sized(aligned_alloc(alignment, *size), alignment, *size);
    free_aligned_sized(aligned_alloc(64, opaque(0)), 64, 0);
    free_aligned_sized(NULL, 64, 100);
}

static void in_exit_handler(void) {
    free(malloc(100));
    void *ptr = calloc(1, 100000);
    _Exit(ptr != NULL && is_zero(ptr, 100000) ? 0 : 1);
}

static void at_exit(void) {
    CHECK(atexit(in_exit_handler) == 0);
    exit(1);
}

const struct rule c_rules[] = {
    {"C17 7.22.3 p1", "malloc, calloc, realloc: every size is aligned for any type",
     aligned_for_any_type, "C23 7.24.3 p1: only for types that fit into the size"},
    {"C23 7.24.3 p1", "malloc, calloc, realloc: aligned for any type that fits",
     aligned_for_types_that_fit, NULL},
    {"C17 7.22.3 p1", "malloc, calloc, realloc: large blocks are aligned for any type",
     aligned_when_large, NULL},
    {"C17 7.22.3 p1", "malloc: blocks are disjoint from each other", disjoint, NULL},
    {"C17 7.22.3 p1", "malloc of 0: NULL, or a block of its own", malloc_of_zero, NULL},
    {"C17 7.22.3 p1", "calloc of 0: NULL, or a block of its own", calloc_of_zero, NULL},
    {"C17 7.22.3 p1", "realloc of NULL to 0: NULL, or a block of its own", realloc_of_null_to_zero,
     NULL},
    {"C17 7.22.3 p1", "aligned_alloc of 0: NULL, or a block of its own", aligned_alloc_of_zero,
     NULL},
    {"C17 7.22.3 p1", "malloc of PTRDIFF_MAX + 1 to SIZE_MAX: NULL", malloc_refuses, NULL},
    {"C17 7.22.3 p1", "calloc of PTRDIFF_MAX + 1 to SIZE_MAX: NULL", calloc_refuses, NULL},
    {"C23 7.24.3 calloc", "calloc: NULL when the product wraps around", calloc_products, NULL},
    {"C17 7.22.3.2 p2", "calloc: all bits zero, also in memory that was used", calloc_clears, NULL},
    {"C17 7.22.3.2 p2", "calloc: space for all objects, all bits zero", calloc_of_many, NULL},
    {"C17 7.22.3.5 p3", "realloc of NULL is malloc", realloc_of_null, NULL},
    {"C17 7.22.3.5 p2", "realloc: contents stay up to the lesser size", realloc_keeps, NULL},
    {"C17 7.22.3.5 p2", "realloc: contents stay when a block grows step by step",
     realloc_step_by_step, NULL},
    {"C17 7.22.3.5 p3", "realloc that fails: NULL, block and contents unchanged", realloc_refused,
     NULL},
    {"C17 7.22.3.3 p2", "free of NULL does nothing", free_null, NULL},
    {"C17 7.22.3 p2", "a block may be freed by another thread", freed_by_another_thread, NULL},
    {"C17 7.22.3 p2", "a block may be resized by another thread", resized_by_another_thread, NULL},
    {"C17 7.22.3 p1", "a block outlives the thread that allocated it", outlives_its_thread, NULL},
    {"C17 7.22.3.1 p2", "aligned_alloc: every power of two to 1 GiB", aligned_alloc_aligns,
     "C17 6.2.8 p3 leaves to the implementation which ones it supports"},
    {"C23 7.24.3 aligned_alloc", "aligned_alloc: a size that is no multiple",
     aligned_alloc_of_any_size, "C11 demands a multiple: an allocator may refuse others"},
    {"C17 7.22.3.1 p2", "aligned_alloc of an invalid alignment: NULL", aligned_alloc_invalid,
     "C11 before its defect report 460; glibc before 2.38 takes the next power of two"},
    {"C17 7.22.3.1 p3", "aligned_alloc of PTRDIFF_MAX + 1 to SIZE_MAX: NULL", aligned_alloc_refuses,
     NULL},
    {"C17 7.22.3.5 p2", "realloc of an aligned block keeps the contents", aligned_resized, NULL},
    {"C23 7.24.3 free_sized", "free_sized frees what malloc, calloc, realloc gave", sized_free,
     NULL},
    {"C23 7.24.3 free_aligned_sized", "free_aligned_sized frees what aligned_alloc gave",
     aligned_sized_free, NULL},
    {"C17 7.22.4.4 p3", "malloc, calloc, free in an exit handler", at_exit, NULL},
    {NULL, NULL, NULL, NULL},
};
