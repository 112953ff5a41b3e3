#include "utils/osmem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "osmem/check.h"
#include "osmem/conf.h"
#include "osmem/fast.h"
#include "osmem/guard.h"
#include "osmem/heap.h"
#include "osmem/heaps.h"
#include "osmem/hollow.h"
#include "osmem/index.h"
#include "osmem/live.h"
#include "osmem/mapped.h"
#include "osmem/misuse.h"
#include "osmem/purge.h"
#include "osmem/slack.h"
#include "osmem/tags.h"
#include "osmem/thread.h"
#include "osmem/watch.h"
#include "utils/align.h"
#include "utils/bits.h"
#include "utils/die.h"

#define SLOW __attribute__((noinline, cold))

/* A heap block of this many granules or more that has to move to grow gets room to grow further. */
#ifndef GROW_AHEAD_MIN
#define GROW_AHEAD_MIN 32
#endif

/* Of so many visits to the slow path of malloc one takes in what other threads freed. */
#define TAKE_IN_EVERY 16

/* In builds that check after every operation. */
static void paranoid(void) {
    if (!OSMEM_PARANOID || thread_heap == &thread_no_heap)
        return;
    enum invariant broken = check_heap(thread_heap);
    if (broken != 0)
        die_internal(check_text(broken));
}

/* ---- allocation --------------------------------------------------------------------------------
 */

/* A block of the thread's heap, which may grow; NULL: it is too large, or there is no memory. */
static void *allocate_in_heap(size_t size, size_t alignment, bool *zeroed) {
    size_t granules = granules_for(size);
    if (granules > REGION_CAPACITY || alignment > REGION_BYTES / 2)
        return NULL;
    if (conf.guard)
        return guard_allocate(size, alignment, zeroed);
    void *block = thread_allocate(granules, alignment);
    *zeroed = block != NULL && thread_heap->zeroed;
    if (block != NULL && conf.exact)
        slack_note(block, granules, size);
    return block;
}

static void *allocate_mapped(size_t size, size_t alignment, bool *zeroed) {
    return conf.guard ? guard_map(size, alignment, zeroed)
                      : mapped_allocate(size, alignment, zeroed);
}

static void release_heap(struct heap *heap, void *context) {
    (void)context;
    hollow_release(heap);
}

/* Gives back what is free and holds memory or address space that a request may lack. */
static void release_all(void) {
    if (conf.guard)
        guard_flush();
    if (thread_heap != &thread_no_heap) {
        thread_take_in(thread_heap);
        hollow_release(thread_heap);
    }
    thread_each_parked(release_heap, NULL);
    mapped_drop_cache();
}

/*
 * A kind of memory that the kernel refuses is made up for by the other; what is free and of no use
 * for this request is given back first where that may help.
 */
static SLOW void *allocate_refused(size_t size, size_t alignment, bool is_small, bool *zeroed) {
    void *block = is_small ? NULL : allocate_in_heap(size, alignment, zeroed);
    if (block != NULL)
        return block;
    release_all();
    if (is_small)
        block = allocate_in_heap(size, alignment, zeroed);
    if (block == NULL)
        block = allocate_mapped(size, alignment, zeroed);
    if (block == NULL && !is_small)
        block = allocate_in_heap(size, alignment, zeroed);
    if (block == NULL) {
        *zeroed = false;
        block = mapped_allocate_apart(size, alignment);
    }
    return block;
}

/* `size` > 0. */
static __attribute__((noinline)) void *allocate(size_t size, size_t alignment, bool *zeroed) {
    void *block = NULL;
    *zeroed = false;
    thread_prepare();
    thread_read_conf();
    if (size <= PTRDIFF_MAX && alignment <= PTRDIFF_MAX) {
        bool is_small = size < MMAP_THRESHOLD && alignment <= MMAP_THRESHOLD / 2;
        block = is_small ? allocate_in_heap(size, alignment, zeroed)
                         : allocate_mapped(size, alignment, zeroed);
        if (unlikely(block == NULL))
            block = allocate_refused(size, alignment, is_small, zeroed);
    }
    if (block == NULL)
        errno = ENOMEM;
    paranoid();
    return block;
}

/* The same for the program: who watches is told. */
static void *allocate_for_caller(size_t size, size_t alignment, bool *zeroed) {
    void *block = allocate(size, alignment, zeroed);
    if (unlikely(conf.watched) && block != NULL)
        watch_alloc(block, size);
    return block;
}

/* From the thread's heap without growing it, else by the long way. */
static __attribute__((noinline)) void *malloc_slow(size_t size) {
    struct heap *heap = thread_fast_heap;
    bool zeroed;
    if (likely(size - 1 < MMAP_THRESHOLD - 1 && heap != &thread_no_heap)) {
        size_t granules = granules_for(size);
        /* What others freed is taken in by the way, at once if there is nothing else of this size.
         */
        if (unlikely(load_relaxed(&heap->remote) != NULL) &&
            (++heap->put_off % TAKE_IN_EVERY == 0 || !index_may_have(heap, granules)))
            thread_take_in(heap);
        void *block = heap_allocate(heap, granules);
        if (likely(block != NULL)) {
            if (unlikely(conf.requested))
                slack_note(block, granules, size);
            paranoid();
            return block;
        }
    }
    return size == 0 ? NULL : allocate_for_caller(size, GRANULE_BYTES, &zeroed);
}

/*
 * The fast path; the quick sets are all empty while the thread has no heap, and that of size 0
 * always.
 */
void *os_malloc(size_t size) {
    size_t granules = granules_for(size);
    void *block;
    if (likely(granules <= QUICK_MAX && fast_take(thread_fast_heap, granules, &block))) {
        paranoid();
        return block;
    }
    return malloc_slow(size);
}

void *os_calloc(size_t count, size_t size) {
    size_t total;
    if (unlikely(__builtin_mul_overflow(count, size, &total))) {
        errno = ENOMEM;
        return NULL;
    }
    size_t granules = granules_for(total);
    void *block;
    if (likely(granules <= QUICK_MAX && fast_take(thread_fast_heap, granules, &block)))
        return memset(block, 0, total);
    bool zeroed = false;
    block = total == 0 ? NULL : allocate_for_caller(total, GRANULE_BYTES, &zeroed);
    return block == NULL || zeroed ? block : memset(block, 0, total);
}

/* ---- freeing -----------------------------------------------------------------------------------
 */

static __attribute__((noinline)) bool release_guarded(const char *function, void *ptr) {
    struct guarded guarded;
    if (!guard_find(function, ptr, &guarded))
        return false;
    guard_free(function, &guarded);
    paranoid();
    return true;
}

static void release(const char *function, void *ptr) {
    struct heap *owner = region_owner(ptr);
    if (unlikely(conf.guard) && release_guarded(function, ptr))
        return;
    if (owner == NULL) {
        if (!mapped_free(ptr))
            die_misused(function, ptr);
        return;
    }
    if (owner == thread_heap)
        heap_free(owner, ptr, heap_block_size(function, ptr));
    else if (!is_in_use(ptr) || !thread_free_remote(ptr))
        die_misused(function, ptr);
    paranoid();
}

/* The same for the program: who watches is told. */
static void release_for_caller(const char *function, void *ptr) {
    if (unlikely(conf.watched))
        watch_free(ptr);
    release(function, ptr);
}

static __attribute__((noinline)) void free_slow(void *ptr) {
    if (ptr != NULL)
        release_for_caller("free", ptr);
}

static __attribute__((noinline)) void free_full(struct heap *heap, void *ptr, size_t granules) {
    heap_free(heap, ptr, granules);
    paranoid();
}

/*
 * Frees a block in use of up to QUICK_MAX granules of the thread's own heap, by its granule's
 * number, into its quick set. Whatever is unusual takes the slow path, which says what it is.
 */
static inline __attribute__((always_inline)) void free_own(struct heap *heap, void *ptr,
                                                           uint64_t number) {
    unsigned granule = (unsigned)number;
    struct tag_line *line = near_line(ptr, number);
    uint64_t starts = load_relaxed(&line->starts), free = load_relaxed(&line->free);
    uint64_t freed = free | bit_at(granule);
    if (unlikely(!(starts >> (granule & 63) & 1) || freed == free)) {
        free_slow(ptr);
        return;
    }
    size_t granules = tags_size_in(line, starts, granule);
    if (unlikely(!fast_put(heap, (uint32_t)number, granules, line, freed))) {
        free_full(heap, ptr, granules);
        return;
    }
    paranoid();
}

/* The same while other threads' frees wait to be taken in: one of them may be of this block. */
static __attribute__((noinline)) void free_own_beside_remote(void *ptr) {
    if (unlikely(thread_freed_remotely(ptr)))
        free_slow(ptr);
    else
        free_own(thread_fast_heap, ptr, region_near_number(ptr));
}

/* The fast path: what lies in the near zone, and belongs to the thread's own heap. */
void os_free(void *ptr) {
    struct heap *heap = thread_fast_heap;
    uint64_t number = region_near_number(ptr);
    if (unlikely(number / REGION_GRANULES >= NEAR_REGIONS || region_near_owner(number) != heap))
        free_slow(ptr);
    else if (unlikely(load_relaxed(&heap->remote) != NULL))
        free_own_beside_remote(ptr);
    else
        free_own(heap, ptr, number);
}

static void check_size(const char *function, void *ptr, size_t size) {
    bool fits;
    struct guarded guarded;
    if (unlikely(conf.guard) && guard_find(function, ptr, &guarded)) {
        fits = guarded.size == size;
    } else if (region_owner(ptr) != NULL) {
        fits = heap_block_size(function, ptr) == granules_for(size);
    } else {
        if (mapped_size(ptr) == 0)
            die_misused(function, ptr);
        fits = mapped_fits(ptr, size);
    }
    if (!fits)
        die_block(function, ptr, "is of another size");
}

void os_free_sized(void *ptr, size_t size) {
    if (ptr != NULL) {
        check_size("free_sized", ptr, size);
        release_for_caller("free_sized", ptr);
    }
}

void os_free_aligned_sized(void *ptr, size_t alignment, size_t size) {
    if (ptr == NULL)
        return;
    if (!is_power_of_two(alignment) || !is_aligned((uintptr_t)ptr, alignment))
        die_block("free_aligned_sized", ptr, "is of another alignment");
    check_size("free_aligned_sized", ptr, size);
    release_for_caller("free_aligned_sized", ptr);
}

/* ---- resizing ----------------------------------------------------------------------------------
 */

static void *copy_over(void *block, void *ptr, size_t old_size, size_t size) {
    memcpy(block, ptr, size_min(old_size, size));
    release("realloc", ptr);
    return block;
}

/* A new block with the first of `old_size` and `size` bytes of the old one, which is freed. */
static void *move(void *ptr, size_t old_size, size_t size) {
    bool zeroed;
    void *block = allocate(size, GRANULE_BYTES, &zeroed);
    return block == NULL ? NULL : copy_over(block, ptr, old_size, size);
}

/*
 * A heap block that has to move because it grew by little will grow again: where it goes there is
 * room for a quarter more, so that appending copies each byte a few times only.
 */
static void *move_ahead(void *ptr, size_t granules, size_t wanted) {
    size_t ahead = wanted / 4;
    if (granules < GROW_AHEAD_MIN || wanted - granules > granules / 4 ||
        granules_bytes(wanted + ahead) >= MMAP_THRESHOLD)
        return NULL;
    void *block = heap_allocate_ahead(thread_heap, wanted, ahead);
    return block == NULL ? NULL
                         : copy_over(block, ptr, granules_bytes(granules), granules_bytes(wanted));
}

static void *heap_realloc(void *ptr, size_t size, struct heap *owner, size_t granules) {
    size_t wanted = granules_for(size);
    /* From MMAP_THRESHOLD on it is there because mappings were refused: then it may only shrink. */
    bool is_own = owner == thread_heap && (size < MMAP_THRESHOLD || wanted < granules);
    void *block = ptr;
    if (wanted != granules && !(is_own && heap_resize(owner, ptr, granules, wanted))) {
        if (unlikely(owner->own != NULL))
            return heaps_resize("realloc", owner->own, ptr, size);
        block = is_own && wanted > granules ? move_ahead(ptr, granules, wanted) : NULL;
        if (block == NULL)
            return move(ptr, granules_bytes(granules), size);
    }
    return block;
}

static void *mapped_realloc(void *ptr, size_t size) {
    struct own *own = mapped_owner(ptr);
    if (unlikely(own != NULL))
        return heaps_resize("realloc", own, ptr, size);
    int saved = errno;
    size_t length;
    bool stays_mapped = size >= MMAP_THRESHOLD && size <= PTRDIFF_MAX;
    void *moved = mapped_resize(ptr, size, stays_mapped, &length);
    if (length == 0)
        die_misused("realloc", ptr);
    if (moved == NULL && size <= PTRDIFF_MAX)
        moved = move(ptr, length, size);
    if (moved == NULL && size <= length) {
        /* It can always stay where it is and be smaller. */
        errno = saved;
        mapped_note_requested(ptr, size);
        moved = ptr;
    }
    return moved;
}

/* To a size above 0. */
static __attribute__((noinline)) void *resize(void *ptr, size_t size) {
    struct heap *owner = region_owner(ptr);
    size_t granules = owner != NULL ? heap_block_size("realloc", ptr) : 0;
    void *block = NULL;
    if (owner == NULL)
        block = mapped_realloc(ptr, size);
    else if (size <= PTRDIFF_MAX)
        block = heap_realloc(ptr, size, owner, granules);
    if (block == NULL)
        errno = ENOMEM;
    paranoid();
    return block;
}

static void *resize_guarded(struct guarded *guarded, size_t size) {
    bool zeroed;
    int saved = errno;
    if (size <= PTRDIFF_MAX && guard_resize(guarded, size)) {
        paranoid();
        return guarded->block;
    }
    void *block = allocate(size, GRANULE_BYTES, &zeroed);
    if (block == NULL && size <= guarded->size) {
        /* It can always stay as it is. */
        errno = saved;
        return guarded->block;
    }
    if (block == NULL)
        return NULL;
    memcpy(block, guarded->block, size_min(guarded->size, size));
    guard_free("realloc", guarded);
    return block;
}

/* The same where it is known what each block was asked for. */
static SLOW void *resize_exactly(void *ptr, size_t size) {
    struct guarded guarded;
    bool is_guarded = conf.guard && guard_find("realloc", ptr, &guarded);
    void *block = is_guarded ? resize_guarded(&guarded, size) : resize(ptr, size);
    if (!conf.guard && block != NULL && region_owner(block) != NULL)
        slack_note(block, granules_for(size), size);
    if (conf.watched && block != NULL)
        watch_realloc(ptr, block, size);
    return block;
}

void *os_realloc(void *ptr, size_t size) {
    if (ptr == NULL)
        return os_malloc(size);
    if (size == 0) {
        release_for_caller("realloc", ptr);
        return NULL;
    }
    return unlikely(conf.exact) ? resize_exactly(ptr, size) : resize(ptr, size);
}

void *os_reallocarray(void *ptr, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return os_realloc(ptr, total);
}

/* ---- alignment, sizes, trimming
 * ------------------------------------------------------------------ */

void *os_aligned_alloc(size_t alignment, size_t size) {
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    if (alignment <= GRANULE_BYTES)
        return os_malloc(size);
    bool zeroed;
    return size == 0 ? NULL : allocate_for_caller(size, alignment, &zeroed);
}

int os_posix_memalign(void **out, size_t alignment, size_t size) {
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *block = os_aligned_alloc(alignment, size);
    errno = saved;
    if (block == NULL && size != 0)
        return ENOMEM;
    *out = block;
    return 0;
}

size_t os_malloc_usable_size(void *ptr) {
    struct guarded guarded;
    if (ptr == NULL)
        return 0;
    if (unlikely(conf.guard) && guard_find("malloc_usable_size", ptr, &guarded))
        return guarded.size;
    if (region_owner(ptr) != NULL)
        return granules_bytes(heap_block_size("malloc_usable_size", ptr));
    size_t length = mapped_size(ptr);
    if (length == 0)
        die_misused("malloc_usable_size", ptr);
    return length;
}

int os_should_move(void *ptr) {
    if (ptr == NULL)
        return 0;
    struct guarded guarded;
    if (unlikely(conf.guard) && guard_find("should_move", ptr, &guarded))
        return 0;
    struct heap *owner = region_owner(ptr);
    if (owner == NULL && mapped_size(ptr) == 0)
        die_misused("should_move", ptr);
    size_t granules = owner != NULL ? heap_block_size("should_move", ptr) : 0;
    bool should = owner != NULL && owner == thread_fast_heap && !heap_is_small(owner) &&
                  sparse_should_move(owner, ptr, granules);
    paranoid();
    return should;
}

struct trim {
    size_t pad;
    bool any;
};

static void trim_heap(struct heap *heap, void *context) {
    struct trim *trim = context;
    trim->any |= purge_all(heap, trim->pad);
}

int os_malloc_trim(size_t pad) {
    struct trim trim = {pad, false};
    if (conf.guard)
        guard_flush();
    if (thread_heap != &thread_no_heap) {
        thread_take_in(thread_heap);
        trim_heap(thread_heap, &trim);
    }
    trim.pad = 0;
    thread_each_parked(trim_heap, &trim);
    trim.any |= mapped_drop_cache();
    paranoid();
    return trim.any;
}

/* ---- the check of everything
 * ----------------------------------------------------------------------- */

static void check_other(struct heap *heap, void *context) {
    enum invariant *broken = context;
    if (*broken == 0)
        *broken = check_heap(heap);
}

int os_heap_check(void) {
    enum invariant broken = 0;
    if (thread_heap != &thread_no_heap)
        broken = check_heap(thread_heap);
    if (broken == 0)
        thread_each_parked(check_other, &broken);
    if (broken == 0)
        thread_each_own(check_other, &broken);
    if (broken == 0)
        broken = mapped_check();
    uintptr_t value = broken;
    if (broken == 0 && conf.guard) {
        struct guard_fault fault = guard_check();
        broken = fault.invariant;
        value = (uintptr_t)fault.block;
    }
    if (broken != 0)
        die_warn(check_text(broken), value);
    return (int)broken;
}
