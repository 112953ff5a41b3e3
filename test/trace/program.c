/*
 * What the suites of this folder record: a program that does what its arguments say, and nothing
 * with the allocator that it could not tell the number of. Its own blocks are 5000 bytes and more,
 * so that the suites can tell them from the C library's.
 *
 *     calls            each of the allocation functions once or more, see calls()
 *     pairs N          N times malloc(5000 + i % 1000) and free, then 5 more that are not freed
 *     exchange N       two threads hand N blocks to each other, freed at once by who gets them
 *     swap N           four threads put N blocks each into any of a few places, at random, and free
 *                      or resize what was there before
 *     threads N        N threads one after the other, each with one block of its own
 *     end HOW          one block, then exit, _exit, kill (SIGKILL), abort, or a child by fork,
 * vfork reopen           closes all descriptors, opens a file at each, then allocates much grow a
 * block that grows by realloc to a MiB, in steps that often move it
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The compiler must not know that nobody looks at the blocks. */
static void *volatile seen;

static void *see(void *ptr) {
    seen = ptr;
    return ptr;
}

static int calls(void) {
    void *ptr;
    free(see(malloc(5001)));
    free(see(calloc(2, 5002)));
    free(see(aligned_alloc(64, 5120)));
    free(see(memalign(128, 5003)));
    free(see(valloc(5004)));
    free(see(pvalloc(5005)));
    if (posix_memalign(&ptr, 4096, 5006) == 0)
        free(see(ptr));
    free(see(reallocarray(NULL, 7, 1000)));
    ptr = see(realloc(NULL, 5007));
    ptr = see(realloc(ptr, 6007));
    ptr = see(realloc(ptr, 0));
    see(malloc(SIZE_MAX / 2)); /* fails, and so does the next */
    ptr = see(malloc(5009));
    see(realloc(ptr, SIZE_MAX / 2));
    free(ptr);
    free(NULL);
    free(see(malloc(5008)));
    return 0;
}

static int pairs(size_t count) {
    for (size_t i = 0; i < count; i++)
        free(see(malloc(5000 + i % 1000)));
    for (size_t i = 0; i < 5; i++)
        see(malloc(7000 + i));
    return 0;
}

/* ---- two threads and one block at a time -------------------------------------------------------
 */

enum { SLOTS = 4 };
static void *slots[SLOTS];
static size_t exchanges;

static void *produce(void *nothing) {
    (void)nothing;
    for (size_t i = 0; i < exchanges; i++) {
        void *ptr = malloc(5000);
        void **slot = &slots[i % SLOTS];
        while (__atomic_load_n(slot, __ATOMIC_ACQUIRE) != NULL)
            sched_yield();
        __atomic_store_n(slot, ptr, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *consume(void *nothing) {
    (void)nothing;
    for (size_t i = 0; i < exchanges; i++) {
        void *ptr;
        while ((ptr = __atomic_exchange_n(&slots[i % SLOTS], NULL, __ATOMIC_ACQ_REL)) == NULL)
            sched_yield();
        free(ptr);
    }
    return NULL;
}

static int exchange(size_t count) {
    pthread_t producer, consumer;
    exchanges = count;
    if (pthread_create(&producer, NULL, produce, NULL) != 0 ||
        pthread_create(&consumer, NULL, consume, NULL) != 0)
        return 1;
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    return 0;
}

/* ---- blocks that are handed on at random -------------------------------------------------------
 */

enum { SWAPPERS = 4, PLACES = 8 };
static void *places[PLACES];

static void *swap_some(void *number) {
    uint64_t random = 0x9e3779b97f4a7c15u * ((uintptr_t)number + 1);
    for (size_t i = 0; i < exchanges; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        void **place = &places[random % PLACES];
        void *ptr = malloc(16 + random / 16 % 8 * 16);
        ptr = __atomic_exchange_n(place, ptr, __ATOMIC_ACQ_REL);
        if (ptr != NULL && random >> 60 == 0) {
            ptr = realloc(ptr, 16 + random / 128 % 4096);
            ptr = __atomic_exchange_n(place, ptr, __ATOMIC_ACQ_REL);
        }
        free(ptr);
        if ((random >> 32) % 256 == 0) /* for machines with less processors */
            sched_yield();
    }
    return NULL;
}

static int swap(size_t count) {
    pthread_t swappers[SWAPPERS];
    exchanges = count;
    for (uintptr_t i = 0; i < SWAPPERS; i++)
        if (pthread_create(&swappers[i], NULL, swap_some, (void *)i) != 0)
            return 1;
    for (size_t i = 0; i < SWAPPERS; i++)
        pthread_join(swappers[i], NULL);
    for (size_t i = 0; i < PLACES; i++)
        free(places[i]);
    return 0;
}

static void *one_block(void *size) {
    free(see(malloc((size_t)(uintptr_t)size)));
    return NULL;
}

static int threads(size_t count) {
    for (size_t i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, one_block, (void *)(uintptr_t)(5000 + i)) != 0)
            return 1;
        pthread_join(thread, NULL);
    }
    return 0;
}

/* ---- ends --------------------------------------------------------------------------------------
 */

static int end(const char *how) {
    see(malloc(5000));
    if (strcmp(how, "_exit") == 0)
        _exit(3);
    if (strcmp(how, "kill") == 0)
        return kill(getpid(), SIGKILL);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "fork") == 0 || strcmp(how, "clone") == 0) {
        void *before = see(malloc(5100));
        /* The bare system call passes by all that the C library does at a fork. */
        const pid_t child = how[0] == 'f' ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            free(before);
            see(malloc(5200));
            _exit(0);
        }
        waitpid(child, NULL, 0);
        free(before);
        see(malloc(5300));
    }
    if (strcmp(how, "vfork") == 0) {
        const pid_t child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", NULL);
            _exit(127);
        }
        waitpid(child, NULL, 0);
        see(malloc(5400));
    }
    return 0;
}

static int reopen(const char *path) {
    for (int file = 3; file < 1024; file++)
        close(file);
    for (int i = 0; i < 16; i++)
        if (open(path, O_RDWR | O_CREAT, 0600) < 0)
            return 1;
    return pairs(100 * 1000);
}

__attribute__((noinline)) static void keep(size_t i) {
    char *block = malloc(5000);
    block[0] = (char)i;
    see(block);
}

__attribute__((noinline)) static void churn(size_t i) {
    char *block = malloc(6000);
    block[0] = (char)i;
    see(block);
    free(block);
}

static int leak(size_t count) {
    for (size_t i = 0; i < count; i++) {
        keep(i);
        churn(i);
    }
    return 0;
}

static int hold(unsigned seconds) {
    void *block = see(malloc(50000));
    sleep(seconds);
    free(block);
    return 0;
}

static int pin(size_t count) {
    enum { MOST = 1000 };
    static void *large[MOST];
    for (size_t i = 0; i < 100; i++) /* pages that are well used */
        *(char *)see(malloc(1000)) = 1;
    for (size_t i = 0; i < count && i < MOST; i++) {
        large[i] = malloc(3500);
        *(char *)see(malloc(40)) = 1;
    }
    for (size_t i = 0; i < count && i < MOST; i++)
        free(large[i]);
    sleep(30);
    return 0;
}

static int grow(void) {
    char *ptr = malloc(5000);
    for (size_t size = 6000; size <= 1024 * 1024 && ptr != NULL; size += 6000) {
        ptr = realloc(ptr, size);
        see(malloc(5000)); /* in the way of the next step */
    }
    free(see(ptr));
    return 0;
}

int main(int argc, char **argv) {
    const char *const task = argc > 1 ? argv[1] : "";
    const char *const value = argc > 2 ? argv[2] : "0";
    if (strcmp(task, "calls") == 0)
        return calls();
    if (strcmp(task, "pairs") == 0)
        return pairs((size_t)atol(value));
    if (strcmp(task, "exchange") == 0)
        return exchange((size_t)atol(value));
    if (strcmp(task, "swap") == 0)
        return swap((size_t)atol(value));
    if (strcmp(task, "threads") == 0)
        return threads((size_t)atol(value));
    if (strcmp(task, "end") == 0)
        return end(value);
    if (strcmp(task, "reopen") == 0)
        return reopen(value);
    if (strcmp(task, "leak") == 0)
        return leak((size_t)atol(value));
    if (strcmp(task, "hold") == 0)
        return hold((unsigned)atoi(value));
    if (strcmp(task, "pin") == 0)
        return pin((size_t)atol(value));
    if (strcmp(task, "grow") == 0)
        return grow();
    return 99;
}
