/*
 * A C program linked with -static: no C++ runtime, no dynamic linker. Its symbols are looked at by
 * static_symbols_test.sh; here it is run.
 */
#include "utils/osmem.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void cfree(void *ptr);
void free_sized(void *ptr, size_t size);
void free_aligned_sized(void *ptr, size_t alignment, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *_Znwm(size_t size);                                /* operator new */
void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag); /* operator new(nothrow) */
void _ZdlPv(void *ptr);                                  /* operator delete */

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static volatile size_t impossible = SIZE_MAX;

static int block_is(const struct os_block *block, void *ptr) {
    return block->address == ptr &&
           (block->kind == OS_BLOCK_USED || block->kind == OS_BLOCK_MAPPED);
}

static void check_block(void *ptr, size_t size) {
    CHECK(ptr != NULL);
    CHECK((uintptr_t)ptr % 16 == 0);
    CHECK(malloc_usable_size(ptr) >= size);
    CHECK(os_heap_walk(block_is, ptr) == 1);
    memset(ptr, 0x5a, malloc_usable_size(ptr));
}

static void check_all_functions(void) {
    void *zero = malloc(0);
    void *posix = NULL;
    CHECK(posix_memalign(&posix, 64, 100) == 0);
    void *blocks[] = {
        zero,
        malloc(1),
        malloc(1 << 20),
        calloc(10, 10),
        calloc(0, 10),
        realloc(NULL, 100),
        reallocarray(NULL, 2, 5),
        aligned_alloc(4096, 10),
        memalign(7, 3),
        valloc(10),
        pvalloc(10),
        __libc_memalign(64, 1),
        posix,
        _Znwm(10),
        strdup("a copy"),
    };
    size_t count = sizeof blocks / sizeof *blocks;
    for (size_t i = 0; i < count; i++) {
        check_block(blocks[i], 1);
        for (size_t j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j]);
    }
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    cfree(malloc(1));
    free_sized(malloc(100), 100);
    free_aligned_sized(aligned_alloc(64, 100), 64, 100);
    _ZdlPv(_Znwm(0));

    CHECK(malloc(impossible) == NULL && errno == ENOMEM);
    CHECK(realloc(malloc(10), 0) == NULL);
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena == info.uordblks + info.fordblks);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    CHECK(malloc_trim(0) >= 0);
    FILE *null = fopen("/dev/null", "w");
    CHECK(malloc_info(0, null) == 0);
    fclose(null);
}

static void *churn(void *seed) {
    enum { SLOTS = 1000, STEPS = 200000 };
    static __thread void *slots[SLOTS];
    uint64_t state = (uintptr_t)seed;
    for (int step = 0; step < STEPS; step++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        size_t slot = (state >> 33) % SLOTS;
        free(slots[slot]);
        slots[slot] = malloc((state >> 45) % 2000);
    }
    for (size_t slot = 0; slot < SLOTS; slot++)
        free(slots[slot]);
    return NULL;
}

static void check_threads_and_fork(void) {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            churn((void *)99);
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(os_heap_check() == 0);
}

/* Nobody could catch an exception here: a message and SIGABRT. */
static void check_new_without_runtime(void) {
    CHECK(_ZnwmRKSt9nothrow_t(impossible, NULL) == NULL);
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        _Znwm(impossible);
        _exit(0);
    }
    close(ends[1]);
    char line[200] = "";
    CHECK(read(ends[0], line, sizeof line - 1) > 0);
    CHECK(strncmp(line, "osmem: operator new: out of memory", 34) == 0);
    CHECK(strchr(line, '\n') == line + strlen(line) - 1);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
          WTERMSIG(status) == SIGABRT);
    close(ends[0]);
}

int main(void) {
    check_all_functions();
    check_threads_and_fork();
    check_new_without_runtime();
    if (failures == 0)
        puts("passed");
    return failures != 0;
}
