#include "osmem/thread.h"

#include <pthread.h>

#include "osmem/check.h"
#include "osmem/conf.h"
#include "osmem/index.h"
#include "osmem/mapped.h"
#include "osmem/merge.h"
#include "osmem/own.h"
#include "osmem/tags.h"
#include "utils/die.h"

struct heap thread_no_heap;
__thread struct heap *thread_heap = &thread_no_heap;
__thread struct heap *thread_fast_heap = &thread_no_heap;

/* All heaps of one's own; under own_lock, so while that is held none comes or goes. */
static struct own *own_first;
static struct system_lock own_lock;

/* Written under region_lock. */
static struct {
    struct heap *first, *last; /* all heaps */
    size_t count;
    struct heap *parked;
} heaps;

struct heap *const *const thread_heaps = &heaps.first;

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool has_exit_key; /* false where the program has used up all keys */

/* The thread's exit was handled; its later destructors may still allocate. */
static __thread bool exiting __attribute__((tls_model("initial-exec")));

struct heap *thread_first_heap(void) {
    return __atomic_load_n(&heaps.first, __ATOMIC_ACQUIRE);
}

/* ---- frees by other threads -------------------------------------------------------------------
 */

/* Some thread has freed another's block: only then a fork can have cut such a free short. */
static bool remote_used;

static void list_region(struct region *region) {
    struct heap *owner = region_owner(region);
    struct region *head = load_relaxed(&owner->remote);
    do {
        store_relaxed(&region->remote_next, head);
    } while (!__atomic_compare_exchange_n(&owner->remote, &head, region, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
}

bool thread_free_remote(void *block) {
    struct region *region = region_of(block);
    uint32_t granule = region_granule(block);
    size_t line = granule / LINE_GRANULES;
    uint64_t bit = bit_at(granule);
    if (unlikely(!load_relaxed(&remote_used)))
        store_relaxed(&remote_used, true);
    uint64_t before = __atomic_fetch_or(&region->remote[line], bit, __ATOMIC_ACQ_REL);
    if (before != 0)
        return !(before & bit);
    before = __atomic_fetch_or(&region->remote_lines[line / 64], bit_at((unsigned)line),
                               __ATOMIC_ACQ_REL);
    if (before == 0 && __atomic_exchange_n(&region->remote_listed, 1, __ATOMIC_ACQ_REL) == 0)
        list_region(region);
    return true;
}

bool thread_freed_remotely(const void *block) {
    uint32_t granule = region_granule(block);
    return load_relaxed(&region_of(block)->remote[granule / LINE_GRANULES]) & bit_at(granule);
}

static void take_in_line(struct heap *heap, struct region *region, size_t line) {
    uint64_t blocks = __atomic_exchange_n(&region->remote[line], 0, __ATOMIC_ACQ_REL);
    if (blocks == 0 || index_free_on_line(heap, region, line, blocks))
        return;
    for (; blocks != 0; blocks &= blocks - 1) {
        size_t granule = line * LINE_GRANULES + bit_lowest(blocks);
        /* Its owner freed it at the same time as another thread. */
        if (unlikely(!tags_is_used(region->lines, granule)))
            die_block("free", region_block(region, granule), "is already free");
        heap_free(heap, region_block(region, granule), tags_size(region->lines, granule));
    }
}

static void take_in_region(struct heap *heap, struct region *region) {
    __atomic_exchange_n(&region->remote_listed, 0, __ATOMIC_ACQ_REL);
    for (size_t word = 0; word < REGION_LINES / 64; word++) {
        if (load_relaxed(&region->remote_lines[word]) == 0)
            continue;
        uint64_t lines = __atomic_exchange_n(&region->remote_lines[word], 0, __ATOMIC_ACQ_REL);
        for (; lines != 0; lines &= lines - 1)
            take_in_line(heap, region, word * 64 + bit_lowest(lines));
    }
}

/* `listed` is the heap that the regions were listed with; they may have been adopted since. */
static void take_in_listed(struct heap *heap, struct heap *listed) {
    struct region *region = __atomic_exchange_n(&listed->remote, NULL, __ATOMIC_ACQ_REL), *next;
    for (; region != NULL; region = next) {
        next = load_relaxed(&region->remote_next);
        if (region_owner(region) == heap)
            take_in_region(heap, region);
        else
            list_region(region);
    }
}

void thread_take_in(struct heap *heap) {
    if (load_relaxed(&heap->remote) != NULL)
        take_in_listed(heap, heap);
}

/*
 * In the child of a fork: a thread that is no more may have marked a block, and not yet its line or
 * region. Marks both anew; true if the region has anything to take in.
 */
static bool remote_recount(struct region *region) {
    bool any = false;
    store_relaxed(&region->remote_listed, 0);
    for (size_t line = REGION_FIRST_LINE; line < REGION_LINES; line++) {
        if (load_relaxed(&region->remote[line]) != 0) {
            region->remote_lines[line / 64] |= bit_at((unsigned)line);
            any = true;
        }
    }
    return any;
}

static void remote_relist(struct heap *heap) {
    store_relaxed(&heap->remote, NULL);
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        if (remote_recount(region)) {
            store_relaxed(&region->remote_listed, 1);
            list_region(region);
        }
    }
}

/* ---- parking and adoption, all under region_lock ------------------------------------------------
 */

static void park(struct heap *heap) {
    heap->parked = true;
    heap->next_parked = heaps.parked;
    heaps.parked = heap;
}

/* Makes a heap that a fork left behind usable, if its tags are sound; it is never used if not. */
static bool make_sure(struct heap *heap) {
    if (!heap->unsure)
        return true;
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        if (check_region(region) != 0)
            return false;
    }
    heap_recover(heap);
    remote_relist(heap);
    thread_take_in(heap);
    heap->unsure = false;
    return true;
}

/* Parks the heaps whose threads cannot tell that they end, and have ended. */
static void park_dead(void) {
    for (struct heap *heap = heaps.first; heap != NULL; heap = heap->next) {
        uint32_t watched = load_relaxed(&heap->watched);
        if (watched != 0 && !system_thread_lives(watched)) {
            heap->watched = 0;
            park(heap);
        }
    }
}

static struct heap *unpark(void) {
    struct heap *heap;
    if (heaps.parked == NULL)
        park_dead();
    while ((heap = heaps.parked) != NULL) {
        heaps.parked = heap->next_parked;
        heap->next_parked = NULL;
        if (make_sure(heap)) {
            heap->parked = false;
            return heap;
        }
    }
    return NULL;
}

/* Dissolves a parked heap into the caller's, which is about to grow; false: there is none. */
static bool adopt_parked(struct heap *heap) {
    system_lock(&region_lock);
    struct heap *other = unpark();
    bool adopted = other != NULL;
    if (adopted) {
        take_in_listed(other, other);
        heap_adopt(heap, other);
    }
    /* A thread that read the old owner lists its region there. */
    for (other = heaps.first; other != NULL; other = other->next) {
        if (other->merged_into != NULL && load_relaxed(&other->remote) != NULL)
            take_in_listed(heap, other);
    }
    system_unlock(&region_lock);
    return adopted;
}

static void use_heap(struct heap *heap) {
    thread_heap = heap;
    thread_fast_heap = conf.guard || conf.watched ? &thread_no_heap : heap;
}

void thread_read_conf(void) {
    conf_read();
    if (unlikely(conf.guard || conf.watched))
        thread_fast_heap = &thread_no_heap;
}

static void thread_exit(void *context) {
    struct heap *heap = context;
    use_heap(&thread_no_heap);
    exiting = true;
    thread_take_in(heap);
    merge_all(heap);
    system_lock(&region_lock);
    park(heap);
    system_unlock(&region_lock);
}

/* ---- fork -------------------------------------------------------------------------------------
 */

/* Calls `act` on the lock of each heap of one's own. Under own_lock. */
static void each_own_lock(void (*act)(struct system_lock *lock)) {
    for (struct own *own = own_first; own != NULL; own = own->next)
        act(&own->lock);
}

static void fork_prepare(void) {
    system_lock(&own_lock);
    each_own_lock(system_lock);
    system_lock(&region_lock);
    system_lock(&mapped_lock);
}

static void fork_parent(void) {
    system_unlock(&mapped_lock);
    system_unlock(&region_lock);
    each_own_lock(system_unlock);
    system_unlock(&own_lock);
}

static void fork_child(void) {
    system_thread_forked();
    for (struct heap *heap = heaps.first; heap != NULL; heap = heap->next) {
        if (heap->own != NULL) {
            if (remote_used)
                remote_relist(heap);
        } else if (heap != thread_heap && heap->merged_into == NULL && !heap->parked) {
            heap->watched = 0;
            heap->unsure = true;
            park(heap);
        }
    }
    if (remote_used)
        remote_relist(thread_heap);
    if (thread_heap->watched != 0)
        thread_heap->watched = system_thread_id();
    system_unlock_forked(&mapped_lock);
    system_unlock_forked(&region_lock);
    each_own_lock(system_unlock_forked);
    system_unlock_forked(&own_lock);
}

/* ---- a heap for a new thread --------------------------------------------------------------------
 */

static void prepare(void) {
    has_exit_key = pthread_key_create(&exit_key, thread_exit) == 0;
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* What the C library allocates meanwhile does not wait for itself. */
void thread_prepare(void) {
    static __thread bool preparing __attribute__((tls_model("initial-exec")));
    if (!preparing) {
        preparing = true;
        pthread_once(&prepared, prepare);
        preparing = false;
    }
}

static void register_heap(struct heap *heap) {
    heap->number = heaps.count++;
    if (heaps.last != NULL)
        __atomic_store_n(&heaps.last->next, heap, __ATOMIC_RELEASE);
    else
        __atomic_store_n(&heaps.first, heap, __ATOMIC_RELEASE);
    heaps.last = heap;
}

/* Gives the calling thread a heap: a parked one, else a new one; NULL: no memory. */
static struct heap *attach(size_t granules) {
    thread_read_conf();
    system_lock(&region_lock);
    struct heap *heap = unpark();
    system_unlock(&region_lock);
    if (heap == NULL) {
        heap = heap_create(granules);
        if (heap == NULL)
            return NULL;
        system_lock(&region_lock);
        region_set_owner(heap->regions, heap);
        register_heap(heap);
        system_unlock(&region_lock);
    }
    /* The call below may allocate; it finds the thread with a heap. */
    use_heap(heap);
    /* The exit may come too late to be told of again, or never be told of. */
    if (!has_exit_key || exiting || pthread_setspecific(exit_key, heap) != 0)
        store_relaxed(&heap->watched, system_thread_id());
    return heap;
}

/* ---- heaps of one's own ------------------------------------------------------------------------
 */

void thread_enter_own(struct heap *heap) {
    system_lock(&own_lock);
    heap->own->next = own_first;
    own_first = heap->own;
    system_lock(&region_lock);
    region_set_owner(heap->regions, heap);
    register_heap(heap);
    system_unlock(&region_lock);
    system_unlock(&own_lock);
}

/* Takes a heap out of the list. Under region_lock. */
static void unregister_heap(struct heap *heap) {
    struct heap *before = NULL, **link = &heaps.first;
    for (; *link != heap; link = &before->next)
        before = *link;
    store_relaxed(link, heap->next);
    if (heaps.last == heap)
        heaps.last = before;
    heaps.count--;
    for (struct heap *next = heap->next; next != NULL; next = next->next)
        store_relaxed(&next->number, next->number - 1);
}

void thread_leave_own(struct heap *heap) {
    system_lock(&own_lock);
    struct own **link = &own_first;
    while (*link != heap->own)
        link = &(*link)->next;
    *link = heap->own->next;
    system_lock(&region_lock);
    unregister_heap(heap);
    for (struct region *region = heap->regions; region != NULL; region = region->next)
        region_set_owner(region, NULL);
    system_unlock(&region_lock);
    system_unlock(&own_lock);
}

void thread_each_own(void (*act)(struct heap *heap, void *context), void *context) {
    system_lock(&own_lock);
    for (struct own *own = own_first; own != NULL; own = own->next) {
        system_lock(&own->lock);
        act(own->heap, context);
        system_unlock(&own->lock);
    }
    system_unlock(&own_lock);
}

/* ---- allocation --------------------------------------------------------------------------------
 */

static void *allocate(struct heap *heap, size_t granules, size_t alignment) {
    return alignment <= GRANULE_BYTES ? heap_allocate(heap, granules)
                                      : heap_allocate_aligned(heap, granules, alignment);
}

/* Granules that surely hold a block at this alignment. */
static size_t room_for(size_t granules, size_t alignment) {
    return granules + alignment / GRANULE_BYTES - 1;
}

/* From a heap that takes in what others freed, and grows if it must. */
static void *serve(struct heap *heap, size_t granules, size_t alignment) {
    size_t room = room_for(granules, alignment);
    thread_take_in(heap);
    for (;;) {
        void *block = allocate(heap, granules, alignment);
        if (block != NULL)
            return block;
        if (!(heap->own == NULL && adopt_parked(heap)) && !heap_grow(heap, room))
            return alignment <= GRANULE_BYTES ? heap_allocate_unindexed(heap, granules) : NULL;
    }
}

void *thread_allocate(size_t granules, size_t alignment) {
    size_t room = room_for(granules, alignment);
    struct heap *heap = thread_heap;
    if (room > REGION_CAPACITY || (heap == &thread_no_heap && (heap = attach(room)) == NULL))
        return NULL;
    return serve(heap, granules, alignment);
}

void *thread_allocate_own(struct heap *heap, size_t granules, size_t alignment) {
    return room_for(granules, alignment) > REGION_CAPACITY ? NULL
                                                           : serve(heap, granules, alignment);
}

void thread_each_parked(void (*act)(struct heap *heap, void *context), void *context) {
    system_lock(&region_lock);
    for (struct heap *heap = heaps.parked; heap != NULL; heap = heap->next_parked) {
        if (make_sure(heap)) {
            thread_take_in(heap);
            act(heap, context);
        }
    }
    system_unlock(&region_lock);
}
