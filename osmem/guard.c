#include "osmem/guard.h"

#include <string.h>

#include "osmem/checker.h"
#include "osmem/conf.h"
#include "osmem/fast.h"
#include "osmem/fence.h"
#include "osmem/freed.h"
#include "osmem/misuse.h"
#include "osmem/pattern.h"
#include "osmem/quarantine.h"
#include "osmem/slack.h"
#include "osmem/system.h"
#include "osmem/tags.h"
#include "osmem/thread.h"
#include "osmem/waiting.h"
#include "utils/die.h"

/* Canaries are as long as there is room, up to this. */
#define CANARY_MOST ((size_t)64)

static const char BEFORE[] = "was written to before its start";
static const char BEYOND[] = "was written to beyond its end";

/* ---- blocks -----------------------------------------------------------------------------------
 */

/* Frees a block that leaves the quarantine, for whoever uses its heap. */
static void leave(void *start) {
    struct heap *owner = region_owner(start);
    if (owner != thread_heap) {
        thread_free_remote(start);
        return;
    }
    size_t granules = block_size(start);
    uint64_t number = region_near_number(start);
    struct tag_line *line = near_line(start, number);
    uint64_t freed = load_relaxed(&line->free) | bit_at(number);
    if (unlikely(number >= NEAR_GRANULES ||
                 !fast_put(owner, (uint32_t)number, granules, line, freed)))
        heap_free(owner, start, granules);
}

/* Where its canaries begin and end: next to the block, for as far as they are checked. */
static char *front_of(const struct guarded *guarded) {
    size_t room = (size_t)(guarded->block - guarded->start);
    return guarded->block - size_min(room, CANARY_MOST);
}

static char *behind(const struct guarded *guarded) { return guarded->block + guarded->size; }

static char *tail_end(const struct guarded *guarded) {
    size_t room = (size_t)(guarded->end - behind(guarded));
    return guarded->end - (room > CANARY_MOST ? align_down(room - CANARY_MOST, 8) : 0);
}

/* Sees to what lies around the block, and for a heap block writes its slack. */
static void enclose(const struct guarded *guarded, bool zeroed) {
    size_t front = (size_t)(guarded->block - guarded->start);
    if (unlikely(conf.checked)) {
        checker_alloc(guarded->start, guarded->end, guarded->block, guarded->size, zeroed);
    } else {
        canary_write(front_of(guarded), guarded->block);
        canary_write(behind(guarded), tail_end(guarded));
    }
    if (!guarded->is_mapped)
        __atomic_store_n(slack_at(guarded->start),
                         slack_guarded(front, (size_t)(guarded->end - behind(guarded))),
                         __ATOMIC_RELEASE);
}

/* What is wrong with the block's canaries; NULL: nothing. */
static const char *damage(const struct guarded *guarded) {
    if (unlikely(conf.checked))
        return NULL;
    if (!canary_intact(front_of(guarded), guarded->block))
        return BEFORE;
    return canary_intact(behind(guarded), tail_end(guarded)) ? NULL : BEYOND;
}

/* The region's slack bytes are there: it may be older than the options, or none were to be had. */
static bool slack_provide(const void *block) {
    uint8_t **slack = &region_of(block)->slack;
    if (unlikely(*slack == NULL))
        store_relaxed(slack, system_map_own(REGION_GRANULES));
    return *slack != NULL;
}

/* A block from the quarantine, or NULL: all of it was filled, and none of it purged. */
static char *reuse(size_t granules) {
    if (granules > QUARANTINE_REUSED)
        return NULL;
    char *start = quarantine_get(load_relaxed(&thread_heap->number), granules);
    if (start == NULL)
        return NULL;
    void *damage = conf.checked ? NULL : fill_damage(start, granules_bytes(granules));
    if (unlikely(damage != NULL))
        die_block("malloc", damage, FREED_FACT);
    memset(slack_at(start), 0, granules);
    return start;
}

/* A block from the heap, or NULL. */
static void *obtain(size_t granules, size_t alignment, bool *zeroed) {
    void *start;
    if (alignment <= GRANULE_BYTES && granules <= QUICK_MAX &&
        fast_take(thread_heap, granules, &start)) {
        *zeroed = false;
    } else {
        start = thread_allocate(granules, alignment);
        if (start == NULL)
            return NULL;
        *zeroed = thread_heap->zeroed;
    }
    if (!slack_provide(start)) {
        heap_free(thread_heap, start, granules);
        return NULL;
    }
    freed_reclaim("malloc", start, granules);
    return start;
}

void *guard_allocate(size_t size, size_t alignment, bool *zeroed) {
    size_t front = size_max(alignment, SLACK_FRONT_MIN);
    size_t granules = granules_for(front + size + SLACK_TAIL);
    if (front > SLACK_FRONT_MAX || granules > REGION_CAPACITY)
        return NULL;
    char *start = front == SLACK_FRONT_MIN ? reuse(granules) : NULL;
    if (start == NULL)
        start = obtain(granules, alignment, zeroed);
    if (start == NULL)
        return NULL;
    struct guarded guarded = {start, start + granules_bytes(granules), start + front, size, false};
    enclose(&guarded, *zeroed);
    return guarded.block;
}

static void mapped_describe(const struct mapped_entry *entry, struct guarded *guarded) {
    char *start = (char *)entry->address;
    *guarded = (struct guarded){start, start + entry->length, start + entry->offset,
                                entry->requested, true};
}

void *guard_map(size_t size, size_t alignment, bool *zeroed) {
    struct mapped_entry entry = fence_allocate(size, alignment, zeroed);
    struct guarded guarded;
    if (entry.address == 0)
        return NULL;
    mapped_describe(&entry, &guarded);
    enclose(&guarded, *zeroed);
    return guarded.block;
}

/* The guarded block that starts there; false: it is not guarded. */
static bool heap_describe(char *start, struct guarded *guarded) {
    uint8_t slack = slack_read(start);
    size_t length = granules_bytes(block_size(start));
    if (!slack_is_guarded(slack))
        return false;
    *guarded = (struct guarded){
        .start = start,
        .end = start + length,
        .block = start + slack_front(slack),
        .size = length - slack_bytes(slack),
    };
    return true;
}

/* Where the heap block around `ptr` starts: mostly a granule before it. */
static void *heap_start(const char *function, const void *ptr) {
    struct region *region = region_of(ptr);
    size_t granule = region_granule(ptr);
    if (granule < REGION_FIRST)
        die_misused(function, ptr);
    if (!tags_is_used(region->lines, granule - 1))
        granule = misuse_start(ptr);
    else
        granule--;
    if (!tags_is_used(region->lines, granule))
        die_misused(function, ptr);
    return region_block(region, granule);
}

static bool heap_find(const char *function, void *ptr, struct guarded *guarded) {
    char *start = heap_start(function, ptr);
    if (heap_describe(start, guarded)) {
        if (guarded->block != ptr)
            die_misused(function, ptr);
        return true;
    }
    /* It is not guarded, or was freed; and a block behind one that is not guarded may not be
     * either.
     */
    if (slack_read(start) >= SLACK_GUARDED)
        die_misused(function, ptr);
    return false;
}

static bool mapped_find(const char *function, void *ptr, struct guarded *guarded) {
    struct mapped_entry entry = mapped_entry_of(ptr);
    if (entry.address != 0)
        mapped_describe(&entry, guarded);
    if (entry.address == 0 || guarded->block != ptr)
        die_misused(function, ptr);
    return entry.before != 0;
}

bool guard_find(const char *function, void *ptr, struct guarded *guarded) {
    if (region_owner(ptr) != NULL ? !heap_find(function, ptr, guarded)
                                  : !mapped_find(function, ptr, guarded))
        return false;
    const char *fact = damage(guarded);
    if (fact != NULL)
        die_block(function, ptr, fact);
    return true;
}

void guard_free(const char *function, const struct guarded *guarded) {
    if (guarded->is_mapped) {
        if (unlikely(conf.checked))
            checker_free(guarded->start, guarded->end, guarded->block, true);
        if (!fence_free(mapped_entry_of(guarded->block)))
            die_misused(function, guarded->block);
        return;
    }
    size_t length = (size_t)(guarded->end - guarded->start);
    if (unlikely(conf.checked))
        checker_free(guarded->start, guarded->end, guarded->block, false);
    uint8_t slack = __atomic_exchange_n(slack_at(guarded->start), SLACK_FREEING, __ATOMIC_ACQ_REL);
    if (!slack_is_guarded(slack))
        die_block(function, guarded->block, "is already free");
    freed_fill(guarded->start, length / GRANULE_BYTES, slack_freed(slack));
    void *other =
        quarantine_put(load_relaxed(&thread_heap->number), guarded->start, length / GRANULE_BYTES);
    if (other != NULL)
        leave(other);
}

bool guard_flush(void) {
    void *start;
    bool any = false;
    for (size_t slot = 0; (start = quarantine_drain(&slot)) != NULL; any = true)
        leave(start);
    return fence_flush() || any;
}

/* ---- resizing in place ------------------------------------------------------------------------
 */

/* What a heap block loses is free at once; what it gains was. */
static bool heap_block_resize(struct guarded *guarded, size_t size) {
    char *start = guarded->start;
    size_t granules = (size_t)(guarded->end - start) / GRANULE_BYTES;
    size_t wanted = granules_for((size_t)(guarded->block - start) + size + SLACK_TAIL);
    if (wanted != granules && (region_owner(start) != thread_heap || size >= MMAP_THRESHOLD))
        return false;
    if (wanted < granules)
        freed_fill(start + granules_bytes(wanted), granules - wanted,
                   slack_freed(slack_read(start)));
    if (wanted != granules && !heap_resize(thread_heap, start, granules, wanted))
        return false;
    if (wanted > granules)
        freed_reclaim("realloc", guarded->end, wanted - granules);
    guarded->end = start + granules_bytes(wanted);
    return true;
}

bool guard_resize(struct guarded *guarded, size_t size) {
    /* A checker tells then, too, who uses a pointer from before. */
    if (unlikely(conf.checked))
        return false;
    if (guarded->is_mapped) {
        struct mapped_entry entry = mapped_entry_of(guarded->block);
        if (!fence_resize(&entry, size))
            return false;
        mapped_describe(&entry, guarded);
    } else if (!heap_block_resize(guarded, size)) {
        return false;
    }
    guarded->size = size;
    enclose(guarded, false);
    return true;
}

/* ---- the check of everything ------------------------------------------------------------------
 */

/* Another thread may free the block at this moment: only what stays a live block counts. */
static struct guard_fault check_live(char *start) {
    struct guarded guarded;
    uint8_t slack = slack_read(start);
    if (!heap_describe(start, &guarded))
        return (struct guard_fault){0, NULL, NULL};
    const char *fact = damage(&guarded);
    bool is_damaged = fact != NULL && slack_read_last(start) == slack;
    return (struct guard_fault){is_damaged ? INVARIANT_G1 : 0, guarded.block, fact};
}

static void check_heap_blocks(struct heap *heap, void *context) {
    struct guard_fault *fault = context;
    for (struct region *region = heap->regions; region != NULL; region = region->next) {
        size_t end = load_relaxed(&region->committed);
        char *block = region_block(region, REGION_FIRST);
        const uint8_t *slack = slack_at(block);
        if (slack == NULL)
            continue;
        size_t count = end - REGION_FIRST, length;
        for (size_t i = 0; i < count && fault->invariant == 0; i += length) {
            length = freed_run(slack + i, count - i);
            char *at = block + granules_bytes(i);
            if (slack_is_guarded(slack[i])) {
                length = 1;
                *fault = check_live(at);
            } else {
                void *damage = freed_damage(at, length);
                if (damage != NULL)
                    *fault = (struct guard_fault){INVARIANT_G2, damage, FREED_FACT};
            }
        }
    }
}

static int check_mapped_block(const struct mapped_block *block, void *context) {
    struct guard_fault *fault = context;
    struct guarded guarded;
    struct mapped_entry entry = {
        (uintptr_t)block->address, block->size, block->requested, block->offset, 0, 0, NULL};
    mapped_describe(&entry, &guarded);
    const char *fact = block->is_fenced ? damage(&guarded) : NULL;
    if (fact != NULL)
        *fault = (struct guard_fault){INVARIANT_G1, guarded.block, fact};
    return fact != NULL;
}

struct guard_fault guard_check(void) {
    struct guard_fault fault = {0, NULL, NULL};
    if (thread_heap != &thread_no_heap)
        check_heap_blocks(thread_heap, &fault);
    if (fault.invariant == 0)
        thread_each_parked(check_heap_blocks, &fault);
    if (fault.invariant == 0)
        mapped_each(check_mapped_block, &fault);
    return fault;
}

/* Behind all other destructors: 101 is the lowest priority that is not the compiler's own. */
__attribute__((destructor(101))) static void guard_at_exit(void) {
    if (!conf.guard)
        return;
    struct guard_fault fault = guard_check();
    if (fault.invariant != 0)
        die_block("heap_check", fault.block, fault.fact);
}
