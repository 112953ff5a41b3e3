/* mremap, environ */
#define _GNU_SOURCE
#include "osmem/system.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "osmem/checker.h"
#include "osmem/watch.h"
#include "utils/align.h"
#include "utils/bits.h"

struct system_calls system_call_counts;

#define count_call(name) __atomic_fetch_add(&system_call_counts.name, 1, __ATOMIC_RELAXED)

struct system_calls system_calls(void) {
    return (struct system_calls){
        .sbrk = load_relaxed(&system_call_counts.sbrk),
        .mmap = load_relaxed(&system_call_counts.mmap),
        .munmap = load_relaxed(&system_call_counts.munmap),
        .mremap = load_relaxed(&system_call_counts.mremap),
        .madvise = load_relaxed(&system_call_counts.madvise),
    };
}

size_t system_page(void) {
    static size_t page;
    size_t size = load_relaxed(&page);
    if (unlikely(size == 0)) {
        size = (size_t)sysconf(_SC_PAGESIZE);
        store_relaxed(&page, size);
    }
    return size;
}

/* ---- names ------------------------------------------------------------------------------------
 */

/* Since Linux 5.17; the C library's headers may be older. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static bool naming;

void system_name_mappings(void) { store_relaxed(&naming, true); }

static void name(void *ptr, size_t size, const char *text) {
    if (likely(!load_relaxed(&naming)) || ptr == NULL)
        return;
    int saved = errno;
    /* A kernel that does not know this need not be asked again. */
    if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, ptr, size, text) != 0 && errno == EINVAL)
        store_relaxed(&naming, false);
    errno = saved;
}

/* ---- memory -----------------------------------------------------------------------------------
 */

uintptr_t system_break(void) {
    int saved = errno;
    void *end = sbrk(0);
    errno = saved;
    return end == (void *)-1 ? 0 : (uintptr_t)end;
}

static bool break_left;

void system_leave_break(void) { store_relaxed(&break_left, true); }

uintptr_t system_extend(size_t size) {
    int saved = errno;
    if (size > PTRDIFF_MAX || load_relaxed(&break_left) || checker_wants_no_break())
        return 0;
    count_call(sbrk);
    void *start = sbrk((intptr_t)size);
    errno = saved;
    watch_grow(start, size);
    return start == (void *)-1 ? 0 : (uintptr_t)start;
}

/* As mmap. */
static void *map(void *wish, size_t size, int protection, int flags) {
    int saved = errno;
    count_call(mmap);
    void *ptr = mmap(wish, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    errno = saved;
    watch_map(ptr, size);
    return ptr == MAP_FAILED ? NULL : ptr;
}

static void *map_named(size_t size, const char *text) {
    void *ptr = map(NULL, size, PROT_READ | PROT_WRITE, 0);
    name(ptr, size, text);
    return ptr;
}

void *system_map(size_t size) { return map_named(size, "osmem"); }

void *system_map_own(size_t size) {
    char *mapping = map_named(size + 2 * SYSTEM_MARGIN, "osmem metadata");
    return mapping == NULL ? NULL : mapping + SYSTEM_MARGIN;
}

bool system_map_at(uintptr_t address, size_t size) {
    void *ptr = map((void *)address, size, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    /* Before Linux 4.17 the address is a wish. */
    if (ptr != NULL && ptr != (void *)address)
        system_unmap(ptr, size);
    else
        name(ptr, size, "osmem");
    return ptr == (void *)address;
}

void *system_map_aligned(size_t size, size_t alignment) {
    size_t slack = alignment - system_page();
    if (size + slack < size)
        return NULL;
    char *mapping = system_map(size + slack);
    if (mapping == NULL)
        return NULL;
    char *ptr = (char *)align_up((uintptr_t)mapping, alignment);
    size_t before = (size_t)(ptr - mapping), after = slack - before;
    /* A refusal leaves the trimmed part mapped and unused: address space, never memory. */
    if (before != 0)
        system_unmap(mapping, before);
    if (after != 0)
        system_unmap(ptr + size, after);
    return ptr;
}

bool system_unmap(void *ptr, size_t size) {
    int saved = errno;
    count_call(munmap);
    watch_unmap(ptr, size);
    bool done = munmap(ptr, size) == 0;
    errno = saved;
    return done;
}

bool system_unmap_own(void *ptr, size_t size) {
    return system_unmap((char *)ptr - SYSTEM_MARGIN, size + 2 * SYSTEM_MARGIN);
}

void *system_remap(void *ptr, size_t old_size, size_t size, bool may_move) {
    int saved = errno;
    /* In place it would grow over where the break goes next: nothing could be had from there. */
    if (size > old_size && (uintptr_t)ptr + old_size == system_break())
        return NULL;
    count_call(mremap);
    void *moved = mremap(ptr, old_size, size, may_move ? MREMAP_MAYMOVE : 0);
    errno = saved;
    watch_remap(ptr, old_size, moved, size);
    return moved == MAP_FAILED ? NULL : moved;
}

bool system_purge(void *ptr, size_t size) {
    int saved = errno;
    count_call(madvise);
    watch_purge(ptr, size);
    bool done = madvise(ptr, size, MADV_DONTNEED) == 0;
    errno = saved;
    return done;
}

void system_advise_huge(void *ptr, size_t size, bool wanted) {
    int saved = errno;
    count_call(madvise);
    madvise(ptr, size, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    errno = saved;
}

void *system_reserve(size_t size) {
    void *ptr = map(NULL, size, PROT_NONE, MAP_NORESERVE);
    name(ptr, size, "osmem guarded");
    return ptr;
}

bool system_open(void *ptr, size_t size) {
    int saved = errno;
    bool done = mprotect(ptr, size, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return done;
}

bool system_shut(void *ptr, size_t size) {
    int saved = errno;
    bool done = mprotect(ptr, size, PROT_NONE) == 0;
    errno = saved;
    return done;
}

bool system_move(void *ptr, size_t old_size, size_t size, void *target) {
    int saved = errno;
    count_call(mremap);
    bool done = mremap(ptr, old_size, size, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target;
    errno = saved;
    return done;
}

bool system_close(void *ptr, size_t size) {
    bool done = map(ptr, size, PROT_NONE, MAP_NORESERVE | MAP_FIXED) == ptr;
    name(done ? ptr : NULL, size, "osmem guarded");
    return done;
}

void system_residency(void *ptr, size_t pages, unsigned char *state) {
    int saved = errno;
    if (mincore(ptr, pages * system_page(), state) != 0)
        memset(state, 0, pages);
    errno = saved;
}

size_t system_resident(void *ptr, size_t size) {
    size_t page = system_page(), resident = 0;
    unsigned char state[512];
    char *next = (char *)align_down((uintptr_t)ptr, page);
    char *end = (char *)align_up((uintptr_t)ptr + size, page);
    while (next < end) {
        size_t pages = size_min((size_t)(end - next) / page, sizeof state);
        system_residency(next, pages, state);
        for (size_t i = 0; i < pages; i++)
            resident += state[i] & 1 ? page : 0;
        next += pages * page;
    }
    return resident;
}

uint32_t system_milliseconds(void) {
    int saved = errno;
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    errno = saved;
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

/* ---- the lock: Drepper, "Futexes Are Tricky" (2011), with the holder's id in the word ----------
 */

#define WAITERS 0x80000000u

static __thread uint32_t thread_id __attribute__((tls_model("initial-exec")));

uint32_t system_thread_id(void) {
    if (unlikely(thread_id == 0))
        thread_id = (uint32_t)syscall(SYS_gettid);
    return thread_id;
}

bool system_thread_lives(uint32_t id) {
    int saved = errno;
    bool lives = syscall(SYS_tgkill, getpid(), id, 0) == 0 || errno != ESRCH;
    errno = saved;
    return lives;
}

/* As <linux/futex.h> has them, which not every C library's compiler finds. */
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_PRIVATE_FLAG = 128 };

static void futex(uint32_t *word, int operation, uint32_t value) {
    int saved = errno;
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
    errno = saved;
}

static bool replace(uint32_t *word, uint32_t expected, uint32_t value) {
    return __atomic_compare_exchange_n(word, &expected, value, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

bool system_lock_is_held(const struct system_lock *lock) {
    return (load_relaxed(&lock->word) & ~WAITERS) == system_thread_id();
}

void system_lock(struct system_lock *lock) {
    uint32_t id = system_thread_id(), word;
    if (system_lock_is_held(lock)) {
        lock->depth++;
        return;
    }
    if (replace(&lock->word, 0, id))
        return;
    /* Whoever has waited cannot know whether others still do. */
    while (!replace(&lock->word, 0, id | WAITERS)) {
        word = load_relaxed(&lock->word);
        if (word != 0 && (word & WAITERS || replace(&lock->word, word, word | WAITERS)))
            futex(&lock->word, FUTEX_WAIT, word | WAITERS);
    }
}

void system_unlock(struct system_lock *lock) {
    if (lock->depth > 0)
        lock->depth--;
    else if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) & WAITERS)
        futex(&lock->word, FUTEX_WAKE, 1);
}

void system_thread_forked(void) { thread_id = 0; }

void system_unlock_forked(struct system_lock *lock) {
    bool held = lock->depth > 0;
    lock->depth -= held;
    __atomic_store_n(&lock->word, held ? system_thread_id() : 0, __ATOMIC_RELEASE);
}
