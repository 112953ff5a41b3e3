#include "osmem/fence.h"

#include "utils/align.h"
#include "utils/block_meta.h"

/* Blocks freed lately, the oldest from `next` on; under mapped_lock. */
static struct {
    struct kept {
        struct mapped_entry entry; /* address 0: none */
        bool has_memory;
    } slot[FENCE_KEPT];
    size_t next;
    size_t memory; /* bytes of those that have some */
} kept;

static size_t fence_bytes(void) { return align_up(FENCE_BYTES, system_page()); }

/* Reserves a place for pages at `alignment` with a fence before and `after` bytes behind them. */
static struct mapped_entry fence_reserve(size_t length, size_t alignment, size_t after) {
    size_t room = alignment > system_page() ? alignment : 0, before = fence_bytes() + room, all;
    struct mapped_entry entry = {.length = length};
    if (__builtin_add_overflow(length, before + after, &all))
        return entry;
    uintptr_t start = (uintptr_t)system_reserve(all);
    if (start == 0)
        return entry;
    entry.address = align_up(start + fence_bytes(), size_max(alignment, system_page()));
    entry.before = entry.address - start;
    entry.after = all - entry.before - length;
    return entry;
}

/* Moves the block to where it has room to grow by half as much again; false: refused. */
static bool fence_move(struct mapped_entry *entry, size_t length) {
    size_t room = align_up(length / 2, system_page());
    struct mapped_entry old = *entry, moved = fence_reserve(length, 0, room + fence_bytes());
    char *start = (char *)old.address;
    if (moved.address == 0)
        return false;
    if (!system_move(start, old.length, length, (void *)moved.address)) {
        system_unmap((char *)moved.address - moved.before, moved.before + length + moved.after);
        return false;
    }
    /* The fences apart: what lay between them may be somebody else's already. */
    system_unmap(start - old.before, old.before);
    system_unmap(start + old.length, old.after);
    moved.offset = old.offset;
    *entry = moved;
    return true;
}

/* Moves the end of the block's pages within what is reserved; false: refused, or not enough. */
static bool fence_shift(struct mapped_entry *entry, size_t length) {
    char *start = (char *)entry->address;
    size_t old = entry->length;
    if (length > old + entry->after - fence_bytes())
        return false;
    if (length < old ? !system_close(start + length, old - length)
                     : length > old && !system_open(start + old, length - old))
        return false;
    entry->after += old - length;
    entry->length = length;
    return true;
}

/* ---- freed blocks -----------------------------------------------------------------------------
 */

static void unmap(struct mapped_entry entry) {
    if (entry.address != 0)
        system_unmap((char *)entry.address - entry.before,
                     entry.before + entry.length + entry.after);
}

static struct mapped_entry take(struct kept *slot) {
    struct mapped_entry entry = slot->entry;
    kept.memory -= slot->has_memory ? entry.length : 0;
    *slot = (struct kept){0};
    return entry;
}

/* Keeps a block instead of the oldest, which is returned. */
static struct mapped_entry exchange(struct mapped_entry entry) {
    struct kept *slot = &kept.slot[kept.next];
    struct mapped_entry oldest = take(slot);
    *slot = (struct kept){entry, entry.address != 0};
    kept.memory += entry.length;
    kept.next = (kept.next + 1) % FENCE_KEPT;
    return oldest;
}

/* The memory of the oldest goes, but not the addresses: under the lock, lest these go meanwhile. */
static void limit_memory(void) {
    for (size_t i = 0; i < FENCE_KEPT && kept.memory > FENCE_MEMORY; i++) {
        struct kept *slot = &kept.slot[(kept.next + i) % FENCE_KEPT];
        if (slot->has_memory && system_close((void *)slot->entry.address, slot->entry.length)) {
            slot->has_memory = false;
            kept.memory -= slot->entry.length;
        }
    }
}

/* Whether a block of `length` is had from `a` rather than from `b`: the closest that is longer. */
static bool is_better(size_t length, size_t a, size_t b) {
    return (a >= length) != (b >= length) ? a >= length : a >= length ? a < b : a > b;
}

/* A block that kept its memory, at least half of it; the one freed last only if it `must` be. */
static struct mapped_entry fence_reuse(size_t length, bool must) {
    struct kept *best = NULL;
    system_lock(&mapped_lock);
    for (size_t i = 0, end = must ? FENCE_KEPT : FENCE_KEPT - 1; i < end; i++) {
        struct kept *slot = &kept.slot[(kept.next + i) % FENCE_KEPT];
        if (slot->has_memory && slot->entry.length >= length / 2 &&
            (best == NULL || is_better(length, slot->entry.length, best->entry.length)))
            best = slot;
    }
    struct mapped_entry entry = best == NULL ? (struct mapped_entry){0} : take(best);
    system_unlock(&mapped_lock);
    if (entry.address != 0 && !fence_shift(&entry, length) && !fence_move(&entry, length)) {
        unmap(entry);
        entry.address = 0;
    }
    return entry;
}

/* ---- blocks -----------------------------------------------------------------------------------
 */

struct mapped_entry fence_allocate(size_t size, size_t alignment, bool *zeroed) {
    size_t length = align_up(size, system_page());
    struct mapped_entry entry = {0};
    if (length < size)
        return entry;
    if (alignment <= system_page())
        entry = fence_reuse(length, false);
    *zeroed = entry.address == 0;
    if (*zeroed)
        entry = fence_reserve(length, alignment, fence_bytes());
    if (entry.address == 0 && alignment <= system_page()) {
        entry = fence_reuse(length, true);
        *zeroed = false;
    }
    entry.requested = size;
    entry.offset = align_down(length - size, size_max(alignment, GRANULE_BYTES));
    if (entry.address != 0 &&
        !(system_open((void *)entry.address, length) && mapped_enter(entry))) {
        unmap(entry);
        entry.address = 0;
    }
    return entry;
}

bool fence_resize(struct mapped_entry *entry, size_t size) {
    uintptr_t address = entry->address;
    size_t length = align_up(entry->offset + size, system_page());
    if (address == 0 || length < size || size < MMAP_THRESHOLD ||
        (!fence_shift(entry, length) && !fence_move(entry, length)))
        return false;
    entry->requested = size;
    mapped_renew(address, *entry);
    return true;
}

bool fence_free(struct mapped_entry entry) {
    if (entry.address == 0 || !mapped_leave(entry.address))
        return false;
    if (system_shut((void *)entry.address, entry.length)) {
        system_lock(&mapped_lock);
        entry = exchange(entry);
        limit_memory();
        system_unlock(&mapped_lock);
    }
    unmap(entry);
    return true;
}

bool fence_is_freed(const void *ptr) {
    bool found = false;
    system_lock(&mapped_lock);
    for (size_t i = 0; i < FENCE_KEPT; i++) {
        const struct mapped_entry *entry = &kept.slot[i].entry;
        found |= entry->address != 0 && (uintptr_t)ptr == entry->address + entry->offset;
    }
    system_unlock(&mapped_lock);
    return found;
}

int fence_each(int (*visit)(const struct mapped_block *block, void *context), void *context) {
    int result = 0;
    system_lock(&mapped_lock);
    for (size_t i = 0; i < FENCE_KEPT && result == 0; i++) {
        const struct mapped_entry *entry = &kept.slot[i].entry;
        if (kept.slot[i].has_memory)
            result = visit(&(struct mapped_block){(void *)entry->address, entry->length, 0, 0,
                                                  false, true, NULL},
                           context);
    }
    system_unlock(&mapped_lock);
    return result;
}

bool fence_flush(void) {
    bool any = false;
    for (size_t i = 0; i < FENCE_KEPT; i++) {
        system_lock(&mapped_lock);
        struct mapped_entry oldest = exchange((struct mapped_entry){0});
        system_unlock(&mapped_lock);
        unmap(oldest);
        any |= oldest.address != 0;
    }
    return any;
}
