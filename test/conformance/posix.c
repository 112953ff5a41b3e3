/* posix.c - the rules of POSIX.1-2024 that go beyond C's: errno, posix_memalign, reallocarray,
 * fork. */
#include "test/conformance/rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB ((size_t)1 << 30)

/* NULL, and errno is `error`. */
#define REFUSED(call, error) (errno = 0, (call) == NULL && errno == (error))

static void malloc_errno(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        CHECK(REFUSED(malloc(opaque(*size)), ENOMEM));
}

static void calloc_errno(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++) {
        CHECK(REFUSED(calloc(1, opaque(*size)), ENOMEM));
        CHECK(REFUSED(calloc(opaque(*size), 2), ENOMEM));
    }
    CHECK(REFUSED(calloc(opaque(SIZE_MAX / 16 + 2), 16), ENOMEM));
}

static void realloc_errno(void) {
    void *ptr = malloc(100);
    for (const size_t *size = impossible_sizes; *size != 0; size++) {
        CHECK(REFUSED(realloc(NULL, opaque(*size)), ENOMEM));
        CHECK(REFUSED(realloc(opaque_ptr(ptr), opaque(*size)), ENOMEM));
    }
    free(ptr);
}

static void aligned_alloc_errno(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        CHECK(REFUSED(aligned_alloc(64, opaque(*size)), ENOMEM));
}

static void aligned_alloc_invalid(void) {
    static const size_t invalid[] = {0, 3, 12, 24, 100, 4097};
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        CHECK(REFUSED(aligned_alloc(opaque(invalid[i]), opaque(invalid[i])), EINVAL));
}

/* Of many at a time, so that some frees have more to do than others. */
static void free_errno(void) {
    enum { COUNT = 500 };
    static void *blocks[COUNT];
    for (const size_t *size = sizes; *size != 0; size++) {
        size_t count = *size < 10000 ? COUNT : 8;
        for (size_t i = 0; i < count; i++)
            CHECK((blocks[i] = malloc(*size)) != NULL);
        errno = E2BIG;
        for (size_t i = 0; i < count; i++)
            free(blocks[i]);
        CHECK(errno == E2BIG);
    }
    errno = 0;
    free(NULL);
    CHECK(errno == 0);
}

static void free_errno_mapped(void) {
    for (size_t size = 1 << 20; size <= GIB; size *= 2) {
        char *ptr = malloc(size);
        if (!CHECK(ptr != NULL))
            return;
        ptr[0] = ptr[size - 1] = 1;
        errno = E2BIG;
        free(ptr);
        CHECK(errno == E2BIG);
    }
}

static void memalign_aligns(void) {
    for (size_t alignment = sizeof(void *); alignment <= GIB; alignment *= 2) {
        static const size_t asked[] = {1, 24, 100, 4097};
        for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
            void *ptr = NULL;
            if (CHECK(posix_memalign(&ptr, alignment, asked[i]) == 0 && ptr != NULL &&
                      is_aligned(ptr, alignment)))
                fill(ptr, asked[i], 1);
            free(ptr);
        }
    }
}

static void memalign_invalid(void) {
    static const size_t invalid[] = {0, 1, 2, 4, 3, 12, 24, 40, 100, 4095, SIZE_MAX};
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        void *ptr = NULL;
        CHECK(posix_memalign(&ptr, opaque(invalid[i]), 16) == EINVAL);
    }
}

static void memalign_refuses(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        for (size_t alignment = sizeof(void *); alignment <= GIB; alignment *= 8) {
            void *ptr = NULL;
            CHECK(posix_memalign(&ptr, alignment, opaque(*size)) == ENOMEM);
        }
}

static void memalign_leaves_memptr(void) {
    int mark;
    void *ptr = &mark;
    CHECK(posix_memalign(&ptr, opaque(24), 16) == EINVAL);
    CHECK(ptr == &mark || ptr == NULL);
    ptr = &mark;
    CHECK(posix_memalign(&ptr, 64, opaque(SIZE_MAX)) == ENOMEM);
    CHECK(ptr == &mark || ptr == NULL);
}

static void memalign_of_zero(void) {
    void *blocks[20];
    for (unsigned i = 0; i < 20; i++) {
        CHECK(posix_memalign(&blocks[i], 64, opaque(0)) == 0);
        for (unsigned j = 0; j < i; j++)
            CHECK(blocks[i] == NULL || blocks[i] != blocks[j]);
    }
    for (unsigned i = 0; i < 20; i++)
        free(blocks[i]);
}

static void reallocarray_multiplies(void) {
    char *ptr = reallocarray(NULL, 10, 7);
    CHECK(ptr != NULL);
    fill(ptr, 70, 1);
    ptr = reallocarray(ptr, opaque(1000), opaque(70));
    CHECK(ptr != NULL && is_filled(ptr, 70, 1));
    fill(ptr, 70000, 2);
    ptr = reallocarray(ptr, 5, 7);
    CHECK(ptr != NULL && is_filled(ptr, 35, 2));
    free(ptr);
}

static void reallocarray_products(void) {
    void *ptr = malloc(100);
    fill(ptr, 100, 3);
    CHECK(REFUSED(reallocarray(opaque_ptr(ptr), opaque(SIZE_MAX), 2), ENOMEM));
    CHECK(REFUSED(reallocarray(opaque_ptr(ptr), opaque(SIZE_MAX / 2 + 1), 2), ENOMEM));
    CHECK(REFUSED(reallocarray(opaque_ptr(ptr), opaque(SIZE_MAX / 16 + 2), 16), ENOMEM));
    CHECK(REFUSED(reallocarray(opaque_ptr(ptr), opaque(1ul << 32), 1ul << 32), ENOMEM));
    CHECK(REFUSED(reallocarray(opaque_ptr(ptr), 1, opaque(SIZE_MAX)), ENOMEM));
    CHECK(REFUSED(reallocarray(opaque_ptr(ptr), opaque((size_t)PTRDIFF_MAX + 1), 1), ENOMEM));
    CHECK(is_filled(ptr, 100, 3));
    free(ptr);
}

/* What the C library allocates for the program is freed with free, and may be resized. */
static void allocated_by_the_library(void) {
    char *copy = strdup("a copy");
    CHECK(copy != NULL && (copy = realloc(copy, 100000)) != NULL && strcmp(copy, "a copy") == 0);
    free(copy);
    free(strndup("another", 3));
    free(getcwd(NULL, 0));
    free(realpath("/", NULL));
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream != NULL);
    for (unsigned i = 0; i < 5000; i++)
        fprintf(stream, "%u\n", i);
    CHECK(fclose(stream) == 0 && text != NULL && strlen(text) == size);
    stream = fmemopen(text, size, "r");
    char *line = malloc(1);
    size_t room = 1;
    unsigned lines = 0;
    while (getline(&line, &room, stream) > 0)
        CHECK((unsigned)atoi(line) == lines++);
    CHECK(lines == 5000);
    fclose(stream);
    free(line);
    free(text);
}

static void in_a_child(void) {
    void *kept = malloc(1000), *large = malloc(1 << 20);
    fill(kept, 1000, 1);
    fill(large, 1 << 20, 2);
    pid_t child = fork();
    if (child == 0) {
        bool good = is_filled(kept, 1000, 1) && is_filled(large, 1 << 20, 2);
        kept = realloc(kept, 5000);
        good = good && kept != NULL && is_filled(kept, 1000, 1);
        free(kept);
        free(large);
        void *fresh = calloc(1, 1 << 20);
        good = good && fresh != NULL && is_zero(fresh, 1 << 20);
        free(fresh);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(is_filled(kept, 1000, 1) && is_filled(large, 1 << 20, 2));
    free(kept);
    free(large);
}

const struct rule posix_rules[] = {
    {"POSIX malloc, ERRORS", "malloc that fails: ENOMEM", malloc_errno, NULL},
    {"POSIX calloc, ERRORS", "calloc that fails: ENOMEM", calloc_errno, NULL},
    {"POSIX realloc, ERRORS", "realloc that fails: ENOMEM", realloc_errno, NULL},
    {"POSIX aligned_alloc, ERRORS", "aligned_alloc that fails: ENOMEM", aligned_alloc_errno, NULL},
    {"POSIX aligned_alloc, ERRORS", "aligned_alloc of an invalid alignment: EINVAL",
     aligned_alloc_invalid, "glibc before 2.38 takes the next power of two"},
    {"POSIX free, DESCRIPTION", "free keeps errno", free_errno, NULL},
    {"POSIX free, DESCRIPTION", "free of large blocks keeps errno", free_errno_mapped, NULL},
    {"POSIX posix_memalign, DESCRIPTION", "posix_memalign: every power of two to 1 GiB",
     memalign_aligns, NULL},
    {"POSIX posix_memalign, ERRORS", "posix_memalign of an invalid alignment: EINVAL",
     memalign_invalid, NULL},
    {"POSIX posix_memalign, ERRORS", "posix_memalign of PTRDIFF_MAX + 1 to SIZE_MAX: ENOMEM",
     memalign_refuses, NULL},
    {"POSIX posix_memalign, RETURN VALUE", "posix_memalign that fails: memptr as it was, or NULL",
     memalign_leaves_memptr, NULL},
    {"POSIX posix_memalign, DESCRIPTION", "posix_memalign of 0: NULL, or a block of its own",
     memalign_of_zero, NULL},
    {"POSIX reallocarray, DESCRIPTION", "reallocarray: as realloc of the product",
     reallocarray_multiplies, NULL},
    {"POSIX reallocarray, ERRORS", "reallocarray of an overflow: ENOMEM, block unchanged",
     reallocarray_products, NULL},
    {"POSIX strdup, getcwd, getline, …", "what the C library allocates can be freed and resized",
     allocated_by_the_library, NULL},
    {"POSIX fork, DESCRIPTION", "a child has the blocks, and allocates and frees", in_a_child,
     NULL},
    {NULL, NULL, NULL, NULL},
};
