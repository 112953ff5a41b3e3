/*
 * glibc.c - the rules of the glibc manual, of the manual pages that document it, and of what
 * programs on glibc have come to rely on.
 */
#include "malloc/glibc.h"
#include "test/conformance/rule.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REFUSED(call, error) (errno = 0, (call) == NULL && errno == (error))
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* ---- zero ------------------------------------------------------------------------------------ */

static void zero_is_a_block(void) {
    void *blocks[] = {malloc(opaque(0)), calloc(opaque(0), 5), realloc(NULL, opaque(0)),
                      memalign(64, opaque(0)), valloc(opaque(0))};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        CHECK(blocks[i] != NULL);
        for (size_t j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j]);
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        free(blocks[i]);
}

static void realloc_to_zero(void) {
    for (const size_t *size = sizes; *size != 0; size++)
        CHECK(realloc(malloc(*size), opaque(0)) == NULL);
}

/* That the block is freed shows when a great many do not use up memory. */
static void realloc_to_zero_frees(void) {
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < 1000; i++) {
        void *ptr = malloc(100000);
        memset(ptr, 1, 100000);
        CHECK(realloc(ptr, opaque(0)) == NULL);
    }
    struct mallinfo2 after = mallinfo2();
    CHECK(after.arena + after.hblkhd < before.arena + before.hblkhd + 10 * MIB);
}

/* ---- aligned blocks -------------------------------------------------------------------------- */

static void memalign_aligns(void) {
    for (size_t alignment = 1; alignment <= GIB; alignment *= 2) {
        void *ptr = memalign(alignment, 100);
        if (CHECK(ptr != NULL && is_aligned(ptr, alignment)))
            fill(ptr, 100, 1);
        free(ptr);
    }
}

static void memalign_raises(void) {
    static const struct {
        size_t asked, given;
    } cases[] = {{0, 1}, {3, 4}, {17, 32}, {24, 32}, {100, 128}, {5000, 8192}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *ptr = memalign(opaque(cases[i].asked), 100);
        CHECK(ptr != NULL && is_aligned(ptr, cases[i].given));
        free(ptr);
    }
}

static void memalign_refuses(void) {
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        CHECK(REFUSED(memalign(64, opaque(*size)), ENOMEM));
    CHECK(REFUSED(memalign(opaque(SIZE_MAX / 2 + 2), 16), EINVAL));
}

static void memptr_untouched(void) {
    int mark;
    void *ptr = &mark;
    CHECK(posix_memalign(&ptr, opaque(3), 16) == EINVAL && ptr == &mark);
    CHECK(posix_memalign(&ptr, 64, opaque(SIZE_MAX)) == ENOMEM && ptr == &mark);
}

static void valloc_aligns(void) {
    for (const size_t *size = sizes; *size != 0; size++) {
        void *ptr = valloc(*size);
        if (CHECK(ptr != NULL && is_aligned(ptr, page_size())))
            fill(ptr, *size, 1);
        free(ptr);
    }
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        CHECK(REFUSED(valloc(opaque(*size)), ENOMEM));
}

static void pvalloc_rounds(void) {
    size_t page = page_size();
    for (const size_t *size = sizes; *size != 0; size++) {
        size_t whole = (*size + page - 1) / page * page;
        void *ptr = pvalloc(*size);
        if (CHECK(ptr != NULL && is_aligned(ptr, page) && malloc_usable_size(ptr) >= whole))
            fill(ptr, whole, 1);
        free(ptr);
    }
    for (const size_t *size = impossible_sizes; *size != 0; size++)
        CHECK(REFUSED(pvalloc(opaque(*size)), ENOMEM));
    CHECK(REFUSED(pvalloc(opaque((size_t)PTRDIFF_MAX - 1)), ENOMEM));
}

/* ---- what may be freed and resized ----------------------------------------------------------- */

static void one_allocator(void) {
    void *posix = NULL;
    CHECK(posix_memalign(&posix, 256, 100) == 0);
    void *blocks[] = {malloc(100),
                      calloc(1, 100),
                      realloc(NULL, 100),
                      posix,
                      aligned_alloc(64, 128),
                      memalign(128, 100),
                      valloc(100),
                      pvalloc(100),
                      reallocarray(NULL, 10, 10),
                      strdup("some text")};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        CHECK(blocks[i] != NULL && malloc_usable_size(blocks[i]) >= 10);
        memcpy(blocks[i], "some text", 10);
        blocks[i] = realloc(blocks[i], 5000);
        CHECK(blocks[i] != NULL && strcmp(blocks[i], "some text") == 0);
        free(blocks[i]);
    }
}

/* ---- malloc_usable_size ---------------------------------------------------------------------- */

static void usable_of_null(void) { CHECK(malloc_usable_size(opaque_ptr(NULL)) == 0); }

static void usable_is_writable(void) {
    enum { COUNT = 64 };
    for (const size_t *size = sizes; *size != 0; size++) {
        void *blocks[COUNT];
        unsigned count = *size < 10000 ? COUNT : 4;
        for (unsigned i = 0; i < count; i++) {
            CHECK((blocks[i] = malloc(*size)) != NULL && malloc_usable_size(blocks[i]) >= *size);
            fill(blocks[i], malloc_usable_size(blocks[i]), i);
        }
        for (unsigned i = 0; i < count; i++) {
            CHECK(is_filled(blocks[i], malloc_usable_size(blocks[i]), i));
            free(blocks[i]);
        }
    }
}

static void usable_does_not_change(void) {
    for (const size_t *size = sizes; *size != 0; size++) {
        void *ptr = malloc(*size);
        size_t usable = malloc_usable_size(ptr);
        memset(ptr, 0xff, usable);
        free(malloc(*size));
        CHECK(malloc_usable_size(ptr) == usable);
        free(ptr);
    }
}

/* ---- malloc_trim, mallopt -------------------------------------------------------------------- */

static void trim_gives_back(void) {
    enum { COUNT = 10000 };
    static void *blocks[COUNT];
    void *kept = malloc(1000);
    fill(kept, 1000, 1);
    for (unsigned i = 0; i < COUNT; i++)
        memset(blocks[i] = malloc(1000), 1, 1000);
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
    int first = malloc_trim(0);
    CHECK(first == 0 || first == 1);
    int second = malloc_trim(MIB);
    CHECK(second == 0 || second == 1);
    CHECK(is_filled(kept, 1000, 1));
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK((blocks[i] = calloc(1, 1000)) != NULL && is_zero(blocks[i], 1000));
        memset(blocks[i], 1, 1000);
    }
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
    free(kept);
}

static void mallopt_accepts(void) {
    static const struct {
        int parameter, value;
    } documented[] = {
        {M_ARENA_MAX, 1},
        {M_ARENA_MAX, 8},
        {M_ARENA_TEST, 2},
        {M_CHECK_ACTION, 0},
        {M_CHECK_ACTION, 3},
        {M_MMAP_MAX, 0},
        {M_MMAP_MAX, 65536},
        {M_MMAP_THRESHOLD, 64 * 1024},
        {M_MMAP_THRESHOLD, 1 << 20},
        {M_MXFAST, 0},
        {M_MXFAST, 64},
        {M_PERTURB, 0x55},
        {M_PERTURB, 0},
        {M_TOP_PAD, 0},
        {M_TOP_PAD, 1 << 20},
        {M_TRIM_THRESHOLD, 0},
        {M_TRIM_THRESHOLD, 1 << 20},
        {M_TRIM_THRESHOLD, -1},
    };
    for (size_t i = 0; i < sizeof documented / sizeof documented[0]; i++) {
        CHECK(mallopt(documented[i].parameter, documented[i].value) == 1);
        for (const size_t *size = sizes; *size != 0; size++) {
            void *ptr = malloc(*size);
            CHECK(ptr != NULL);
            fill(ptr, *size, 1);
            free(ptr);
        }
    }
}

static void mallopt_between(void) {
    void *ptr = malloc(MIB);
    fill(ptr, MIB, 1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 64 * 1024) == 1);
    CHECK(mallopt(M_MMAP_MAX, 0) == 1);
    CHECK((ptr = realloc(ptr, 3 * MIB)) != NULL && is_filled(ptr, MIB, 1));
    free(ptr);
}

/* ---- counters -------------------------------------------------------------------------------- */

static void mallinfo_adds_up(void) {
    void *ptr = malloc(100);
    free(malloc(5000));
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena != 0);
    CHECK(info.arena == info.uordblks + info.fordblks);
    CHECK(info.keepcost <= info.fordblks);
    CHECK(info.fsmblks <= info.fordblks);
    CHECK(info.usmblks == 0);
    CHECK(info.hblks != 0 || info.hblkhd == 0);
    free(ptr);
}

static void mallinfo_follows(void) {
    enum { COUNT = 1000, SIZE = 1000 };
    static void *blocks[COUNT];
    free(malloc(SIZE)); /* what an allocator needs once may count as used */
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < COUNT; i++)
        CHECK((blocks[i] = malloc(SIZE)) != NULL);
    struct mallinfo2 full = mallinfo2();
    CHECK(full.uordblks >= before.uordblks + COUNT * SIZE);
    CHECK(full.uordblks < before.uordblks + 2 * COUNT * SIZE);
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks < before.uordblks + COUNT * SIZE / 10);
    CHECK(after.fordblks + after.arena >= full.fordblks);
}

static void mallinfo_mapped(void) {
    struct mallinfo2 before = mallinfo2();
    void *ptr = malloc(64 * MIB);
    struct mallinfo2 full = mallinfo2();
    CHECK(ptr != NULL);
    CHECK(full.hblks == before.hblks + 1);
    CHECK(full.hblkhd >= before.hblkhd + 64 * MIB);
    CHECK(full.arena < before.arena + 64 * MIB);
    free(ptr);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.hblks == before.hblks && after.hblkhd == before.hblkhd);
}

static void mallinfo_is_mallinfo2(void) {
    void *ptr = malloc(64 * MIB);
    struct mallinfo2 wide = mallinfo2();
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo narrow = mallinfo();
    CHECK((size_t)narrow.arena == wide.arena);
    CHECK((size_t)narrow.ordblks == wide.ordblks);
    CHECK((size_t)narrow.hblks == wide.hblks);
    CHECK((size_t)narrow.hblkhd == wide.hblkhd);
    CHECK((size_t)narrow.uordblks == wide.uordblks);
    CHECK((size_t)narrow.fordblks == wide.fordblks);
    CHECK((size_t)narrow.keepcost == wide.keepcost);
    free(ptr);
}

/* The document, in blocks that malloc gave. */
static char *info_text(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    bool good = CHECK(stream != NULL) && CHECK(malloc_info(0, stream) == 0);
    return CHECK(stream != NULL && fclose(stream) == 0) && good ? text : strdup("");
}

static void info_has_the_elements(void) {
    static const char *const parts[] = {
        "<malloc version=\"1\">",
        "<heap nr=\"0\">",
        "<sizes>",
        "</sizes>",
        "<total type=\"fast\"",
        "<total type=\"rest\"",
        "<total type=\"mmap\"",
        "<system type=\"current\" size=\"",
        "<system type=\"max\" size=\"",
        "<aspace type=\"total\" size=\"",
        "<aspace type=\"mprotect\" size=\"",
        "</heap>",
        "</malloc>",
    };
    free(malloc(2000));
    char *text = info_text();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        CHECK(strstr(text, parts[i]) != NULL);
    free(text);
}

/* Enough of XML for what has no text, no comments and no entities: tags that close each other. */
static void info_is_well_formed(void) {
    enum { DEPTH = 20 };
    static char blocks[DEPTH][32];
    char *text = info_text();
    unsigned depth = 0, elements = 0;
    for (const char *at = strchr(text, '<'); at != NULL; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        char name[32];
        if (!CHECK(end != NULL && memchr(at + 1, '<', (size_t)(end - at - 1)) == NULL))
            break;
        bool closes = at[1] == '/';
        if (!CHECK(sscanf(at + 1 + closes, "%31[a-z]", name) == 1))
            break;
        unsigned quotes = 0;
        for (const char *c = at; c < end; c++)
            quotes += *c == '"';
        CHECK(quotes % 2 == 0);
        if (closes) {
            if (!CHECK(depth > 0 && strcmp(blocks[--depth], name) == 0))
                break;
        } else if (elements++, end[-1] != '/') {
            if (!CHECK(depth < DEPTH))
                break;
            strcpy(blocks[depth++], name);
        }
    }
    CHECK(depth == 0 && elements > 5);
    free(text);
}

static void info_options(void) {
    char text[10000];
    FILE *stream = fmemopen(text, sizeof text, "w");
    CHECK(malloc_info(1, stream) == EINVAL);
    fclose(stream);
}

static void stats_on_standard_error(void) {
    int errors[2], output[2];
    CHECK(pipe(errors) == 0 && pipe(output) == 0);
    int saved_error = dup(STDERR_FILENO), saved_output = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(errors[1], STDERR_FILENO);
    dup2(output[1], STDOUT_FILENO);
    malloc_stats();
    fflush(stdout);
    fflush(stderr);
    dup2(saved_error, STDERR_FILENO);
    dup2(saved_output, STDOUT_FILENO);
    close(errors[1]);
    close(output[1]);
    char text[100];
    CHECK(read(errors[0], text, sizeof text) > 20);
    CHECK(read(output[0], text, sizeof text) == 0);
}

/* ---- the break ------------------------------------------------------------------------------- */

/* The program takes memory by sbrk between its allocations, and gives some of it back. */
static void break_is_shared(void) {
    enum { ROUNDS = 200 };
    static char *taken[ROUNDS];
    static void *blocks[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t size = 100 + i * 37;
        if ((taken[i] = sbrk((intptr_t)size)) == (void *)-1)
            rule_skip("this C library has no sbrk");
        fill(taken[i], size, i);
        CHECK((blocks[i] = malloc(20000)) != NULL);
        fill(blocks[i], 20000, i);
        char *brief = sbrk(5000);
        memset(brief, 0xff, 5000);
        if (sbrk(0) == brief + 5000)
            CHECK(sbrk(-5000) != (void *)-1);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK(is_filled(taken[i], 100 + i * 37, i));
        CHECK(is_filled(blocks[i], 20000, i));
        free(blocks[i]);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        CHECK(is_filled(taken[i], 100 + i * 37, i));
}

/* ---- threads and fork ------------------------------------------------------------------------ */

static volatile bool stop;

static void *churn(void *seed) {
    void *slots[100] = {NULL};
    for (unsigned step = (unsigned)(uintptr_t)seed; !stop; step = step * 1103515245 + 12345) {
        free(slots[step >> 16 & 63]);
        slots[step >> 16 & 63] = malloc(step >> 8 & 4095);
    }
    for (unsigned i = 0; i < 100; i++)
        free(slots[i]);
    return NULL;
}

static void fork_beside_threads(void) {
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            bool good = true;
            for (const size_t *size = sizes; *size != 0; size++) {
                void *ptr = malloc(*size);
                good = good && ptr != NULL;
                fill(ptr, *size, 1);
                free(ptr);
            }
            _exit(good ? 0 : 1);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    stop = true;
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

#define OTHERS "other allocators have statistics of their own"

const struct rule glibc_rules[] = {
    {"glibc manual, Basic Allocation", "every request of 0 gives a block of its own",
     zero_is_a_block, "C and POSIX allow NULL"},
    {"glibc manual, Changing Block Size", "realloc to 0 returns NULL", realloc_to_zero,
     "C17 leaves it to the implementation"},
    {"glibc manual, Changing Block Size", "realloc to 0 frees the block", realloc_to_zero_frees,
     "C17 leaves it to the implementation"},
    {"glibc manual, Aligned Memory Blocks", "memalign: every power of two to 1 GiB",
     memalign_aligns, NULL},
    {"memalign as programs know it", "memalign raises to the next power of two", memalign_raises,
     "the manual demands a power of two"},
    {"posix_memalign(3), ERRORS", "memalign that fails: ENOMEM, EINVAL", memalign_refuses, NULL},
    {"posix_memalign(3), RETURN VALUE", "posix_memalign that fails leaves memptr as it was",
     memptr_untouched, NULL},
    {"glibc manual, Aligned Memory Blocks", "valloc: aligned to a page, or ENOMEM", valloc_aligns,
     NULL},
    {"posix_memalign(3), pvalloc", "pvalloc: whole pages, or ENOMEM", pvalloc_rounds, NULL},
    {"glibc manual, Replacing malloc", "free and realloc take what any of them gave", one_allocator,
     NULL},
    {"malloc_usable_size(3)", "malloc_usable_size of NULL is 0", usable_of_null, NULL},
    {"malloc_usable_size(3)", "all usable bytes are the block's", usable_is_writable, NULL},
    {"malloc_usable_size(3)", "the usable size does not change", usable_does_not_change, NULL},
    {"malloc_trim(3)", "malloc_trim returns 0 or 1, live blocks stay", trim_gives_back, NULL},
    {"mallopt(3)", "mallopt accepts every documented parameter", mallopt_accepts, OTHERS},
    {"mallopt(3)", "mallopt between the calls harms no block", mallopt_between, OTHERS},
    {"mallinfo(3)", "mallinfo2: arena is uordblks and fordblks", mallinfo_adds_up, OTHERS},
    {"mallinfo(3)", "mallinfo2: follows malloc and free", mallinfo_follows, OTHERS},
    {"mallinfo(3)", "mallinfo2: hblks and hblkhd are the mapped blocks", mallinfo_mapped, OTHERS},
    {"mallinfo(3)", "mallinfo: the same in int", mallinfo_is_mallinfo2, OTHERS},
    {"malloc_info(3)", "malloc_info: the elements of glibc's document", info_has_the_elements,
     OTHERS},
    {"malloc_info(3)", "malloc_info: well-formed", info_is_well_formed, OTHERS},
    {"malloc_info(3)", "malloc_info: EINVAL for options", info_options, OTHERS},
    {"malloc_stats(3)", "malloc_stats writes to standard error, nowhere else",
     stats_on_standard_error, OTHERS},
    {"glibc manual, Resizing the Data Segment", "what the program takes by sbrk is its own",
     break_is_shared, NULL},
    {"glibc manual, fork", "malloc in a child forked beside busy threads", fork_beside_threads,
     NULL},
    {NULL, NULL, NULL, NULL},
};
