#include "osmem/mapped.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/invariants.h"
#include "osmem/region.h"
#include "osmem/spare.h"
#include "utils/align.h"
#include "utils/bits.h"

#define REGISTRY_FIRST 64

struct system_lock mapped_lock;

/* All of the following is read and written under mapped_lock. */
static struct mapped_entry registry_first[REGISTRY_FIRST];
static struct {
    struct mapped_entry *slots;
    size_t capacity; /* a power of two */
    size_t count;
    size_t bytes; /* the sum of the lengths */
    size_t owned; /* how many belong to heaps of one's own */
} registry = {registry_first, REGISTRY_FIRST, 0, 0, 0};

const struct map_table mapped_table = {
    .entries = &registry.slots,
    .count = &registry.capacity,
    .indirect = 1,
    .entry_bytes = sizeof(struct mapped_entry),
    .address = offsetof(struct mapped_entry, address),
    .length = offsetof(struct mapped_entry, length),
    .requested = offsetof(struct mapped_entry, requested),
    .has_requested = 1,
};

/* ---- the registry --------------------------------------------------------------------------- */

static size_t slot_of(uintptr_t address) {
    return (size_t)((address >> 12) * 0x9e3779b97f4a7c15u >> 20) & (registry.capacity - 1);
}

static size_t slot_after(size_t slot) { return (slot + 1) & (registry.capacity - 1); }

/* The entry for `address`, or the free slot where it would go. */
static struct mapped_entry *registry_find(uintptr_t address) {
    size_t slot = slot_of(address);
    while (registry.slots[slot].address != address && registry.slots[slot].address != 0)
        slot = slot_after(slot);
    return &registry.slots[slot];
}

static size_t registry_bytes(size_t capacity) {
    return align_up(capacity * sizeof(struct mapped_entry), system_page());
}

/* To twice the capacity, in `slots`, which read as zero. */
static void registry_grow(struct mapped_entry *slots) {
    struct mapped_entry *old = registry.slots;
    size_t old_capacity = registry.capacity;
    registry.slots = slots;
    registry.capacity = 2 * old_capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].address != 0)
            *registry_find(old[i].address) = old[i];
    }
    if (old != registry_first)
        system_unmap_own(old, registry_bytes(old_capacity));
}

/* Counts bytes that an entry has more now, or by wrapping less. */
static void registry_count(const struct mapped_entry *entry, size_t more) {
    registry.bytes += more;
    if (entry->owner != NULL)
        store_relaxed(&entry->owner->mapped, entry->owner->mapped + more);
}

/* It has room. */
static void registry_put(struct mapped_entry entry) {
    *registry_find(entry.address) = entry;
    registry.count++;
    store_relaxed(&registry.owned, registry.owned + (entry.owner != NULL));
    registry_count(&entry, entry.length);
}

/* False: it is full, and there is no memory to make it larger. */
static bool registry_insert(struct mapped_entry entry) {
    if (2 * (registry.count + 1) > registry.capacity) {
        struct mapped_entry *slots = system_map_own(registry_bytes(2 * registry.capacity));
        if (slots == NULL)
            return false;
        registry_grow(slots);
    }
    registry_put(entry);
    return true;
}

/* Empties a slot and moves up the entries that could no longer be reached over it. */
static void registry_remove(struct mapped_entry *entry) {
    registry_count(entry, -entry->length);
    store_relaxed(&registry.owned, registry.owned - (entry->owner != NULL));
    size_t hole = (size_t)(entry - registry.slots);
    for (size_t slot = slot_after(hole); registry.slots[slot].address != 0;
         slot = slot_after(slot)) {
        size_t home = slot_of(registry.slots[slot].address);
        size_t mask = registry.capacity - 1;
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            registry.slots[hole] = registry.slots[slot];
            hole = slot;
        }
    }
    registry.slots[hole].address = 0;
    registry.count--;
}

/* Takes the entry for `address` out; length 0 if there is none. */
static size_t registry_take(uintptr_t address) {
    struct mapped_entry *entry = registry_find(address);
    if (entry->address == 0)
        return 0;
    size_t length = entry->length;
    registry_remove(entry);
    return length;
}

/* Address space that the kernel does not take back still loses its memory. */
static void unmap_all(const struct mapping *mappings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        void *ptr = (void *)mappings[i].address;
        if (!system_unmap(ptr, mappings[i].length))
            system_purge(ptr, mappings[i].length);
    }
}

/* Makes the registry larger with memory of the break, which comes under a lock of a lower rank. */
static bool registry_grow_apart(size_t capacity) {
    size_t bytes = registry_bytes(2 * capacity) + 2 * SYSTEM_MARGIN;
    struct mapping memory = {0, align_up(bytes, system_page())};
    char *start = region_break_apart(memory.length, system_page());
    if (start == NULL)
        return false;
    memory.address = (uintptr_t)start;
    struct mapped_entry *slots = (struct mapped_entry *)(void *)(start + SYSTEM_MARGIN);
    memset(slots, 0, registry_bytes(2 * capacity));
    system_lock(&mapped_lock);
    bool grows = registry.capacity == capacity;
    if (grows)
        registry_grow(slots);
    system_unlock(&mapped_lock);
    if (!grows)
        unmap_all(&memory, 1);
    return true;
}

bool mapped_enter(struct mapped_entry entry) {
    bool entered;
    size_t capacity;
    do {
        system_lock(&mapped_lock);
        capacity = registry.capacity;
        entered = registry_insert(entry);
        system_unlock(&mapped_lock);
    } while (!entered && registry_grow_apart(capacity));
    return entered;
}

struct mapped_entry mapped_entry_of(const void *ptr) {
    system_lock(&mapped_lock);
    struct mapped_entry entry = *registry_find(align_down((uintptr_t)ptr, system_page()));
    system_unlock(&mapped_lock);
    return entry;
}

bool mapped_leave(uintptr_t address) {
    system_lock(&mapped_lock);
    bool left = registry_take(address) != 0;
    system_unlock(&mapped_lock);
    return left;
}

/* It has room in the table, as its old entry leaves. */
void mapped_renew(uintptr_t address, struct mapped_entry entry) {
    system_lock(&mapped_lock);
    registry_take(address);
    registry_put(entry);
    system_unlock(&mapped_lock);
}

/* ---- blocks -----------------------------------------------------------------------------------
 */

bool mapped_drop_cache(void) {
    struct mapping unmap[SPARE_EXTENTS];
    system_lock(&mapped_lock);
    size_t count = spare_drop(unmap);
    system_unlock(&mapped_lock);
    unmap_all(unmap, count);
    return count > 0;
}

/*
 * Brings a mapping to `length` that belongs to nobody: by what it lacks before or behind it, else
 * by moving it. False: the kernel refuses. It does so, among others, where the mapping is several
 * to it.
 */
static bool lengthen(struct mapping *mapping, size_t length) {
    size_t missing = length - mapping->length;
    uintptr_t before = mapping->address - missing;
    if (missing == 0)
        return true;
    if (system_map_at(before, missing)) {
        mapping->address = before;
    } else if (!system_map_at(mapping->address + mapping->length, missing)) {
        void *moved = system_remap((void *)mapping->address, mapping->length, length, true);
        if (moved == NULL)
            return false;
        mapping->address = (uintptr_t)moved;
    }
    mapping->length = length;
    return true;
}

/* A mapping kept earlier, brought to `length`; none if there is none or the kernel refuses. */
static struct mapping reuse(size_t length) {
    struct mapping unmap[SPARE_EXTENTS];
    size_t count = 0;
    system_lock(&mapped_lock);
    struct mapping mapping = spare_take(length);
    if (mapping.length < length)
        count = spare_make_room(length - mapping.length, registry.bytes + mapping.length, unmap);
    system_unlock(&mapped_lock);
    unmap_all(unmap, count);
    if (mapping.address != 0 && !lengthen(&mapping, length)) {
        unmap_all(&mapping, 1);
        return (struct mapping){0, 0};
    }
    return mapping;
}

/*
 * Whether the kernel makes huge pages of mappings is its own setting, unless they are asked for:
 * then the mapping begins with one.
 */
static void *map_fresh(size_t length) {
    bool huge = conf.thp && length >= SYSTEM_HUGE;
    void *ptr = huge ? system_map_aligned(length, SYSTEM_HUGE) : system_map(length);
    if (huge && ptr != NULL)
        system_advise_huge(ptr, length, true);
    return ptr;
}

/* Maps a block at more than a page's alignment, which what is kept is not looked at for. */
static void *map_aligned(size_t length, size_t alignment) {
    struct mapping unmap[SPARE_EXTENTS];
    system_lock(&mapped_lock);
    size_t count = spare_give_way(registry.bytes + length, unmap);
    system_unlock(&mapped_lock);
    unmap_all(unmap, count);
    return system_map_aligned(length, alignment);
}

/* The block that a mapping is from now on; NULL, and it is unmapped: no memory for the entry. */
static void *enter(struct mapping mapping, size_t size, struct own *owner) {
    bool entered =
        mapped_enter((struct mapped_entry){mapping.address, mapping.length, size, 0, 0, 0, owner});
    if (!entered)
        unmap_all(&mapping, 1);
    return entered ? (void *)mapping.address : NULL;
}

void *mapped_allocate_owned(struct own *owner, size_t size, size_t alignment, bool *zeroed) {
    size_t page = system_page(), length = align_up(size, page);
    struct mapping mapping = {0, 0};
    if (length == 0)
        return NULL;
    if (alignment <= page && conf.mapped_cache)
        mapping = reuse(length);
    *zeroed = mapping.address == 0;
    if (*zeroed) {
        void *ptr = alignment <= page ? map_fresh(length) : map_aligned(length, alignment);
        if (ptr == NULL)
            return NULL;
        mapping = (struct mapping){(uintptr_t)ptr, length};
    }
    return enter(mapping, size, owner);
}

void *mapped_allocate(size_t size, size_t alignment, bool *zeroed) {
    return mapped_allocate_owned(NULL, size, alignment, zeroed);
}

void *mapped_allocate_apart(size_t size, size_t alignment) {
    size_t page = system_page(), length = align_up(size, page);
    void *ptr = length == 0 ? NULL : region_break_apart(length, size_max(alignment, page));
    return ptr == NULL ? NULL : enter((struct mapping){(uintptr_t)ptr, length}, size, NULL);
}

size_t mapped_size(const void *ptr) {
    system_lock(&mapped_lock);
    const struct mapped_entry *entry = registry_find((uintptr_t)ptr);
    size_t length = entry->address != 0 ? entry->length : 0;
    system_unlock(&mapped_lock);
    return length;
}

struct own *mapped_owner(const void *ptr) {
    /* Who asks holds the block: if it is one such, it is counted. */
    if (likely(load_relaxed(&registry.owned) == 0))
        return NULL;
    system_lock(&mapped_lock);
    const struct mapped_entry *entry = registry_find((uintptr_t)ptr);
    struct own *owner = entry->address != 0 ? entry->owner : NULL;
    system_unlock(&mapped_lock);
    return owner;
}

/* Takes the next blocks of `owner` out, from *slot on; returns how many, up to SPARE_EXTENTS. */
static size_t take_owned(const struct own *owner, size_t *slot, struct mapping *taken) {
    size_t count = 0;
    system_lock(&mapped_lock);
    while (*slot < registry.capacity && count < SPARE_EXTENTS) {
        struct mapped_entry *entry = &registry.slots[*slot];
        if (entry->address == 0 || entry->owner != owner) {
            ++*slot;
            continue;
        }
        taken[count++] = (struct mapping){entry->address, entry->length};
        registry_remove(entry); /* another may take its slot */
    }
    system_unlock(&mapped_lock);
    return count;
}

void mapped_free_owned(struct own *owner) {
    struct mapping unmap[SPARE_EXTENTS];
    while (load_relaxed(&owner->mapped) != 0) {
        size_t slot = 0, count;
        while ((count = take_owned(owner, &slot, unmap)) != 0)
            unmap_all(unmap, count);
    }
}

bool mapped_contains(const void *ptr) {
    bool contains = false;
    system_lock(&mapped_lock);
    for (size_t i = 0; i < registry.capacity; i++) {
        struct mapped_entry entry = registry.slots[i];
        contains |= entry.address != 0 && (uintptr_t)ptr - entry.address < entry.length;
    }
    system_unlock(&mapped_lock);
    return contains;
}

bool mapped_free(void *ptr) {
    struct mapping unmap[SPARE_EXTENTS + 1];
    size_t count = 0;
    system_lock(&mapped_lock);
    size_t length = registry_take((uintptr_t)ptr);
    if (length != 0)
        count = spare_keep((struct mapping){(uintptr_t)ptr, length}, registry.bytes, unmap);
    system_unlock(&mapped_lock);
    unmap_all(unmap, count);
    return length != 0;
}

/* Gives the block's tail back, or extends it into a kept mapping; false: neither is possible. */
static bool resize_in_place(struct mapped_entry *entry, size_t length) {
    struct mapping unmap[SPARE_EXTENTS + 1];
    size_t old = entry->length;
    if (length > old && !spare_take_at(entry->address + old, length - old))
        return false;
    entry->length = length;
    registry_count(entry, length - old);
    if (length < old) {
        struct mapping tail = {entry->address + length, old - length};
        unmap_all(unmap, spare_keep(tail, registry.bytes, unmap));
    }
    return true;
}

/*
 * A block that grows by half and more is copied into a kept mapping if one holds it: that costs
 * less than to fault in the memory that it grows by.
 */
static bool is_better_copied(size_t old, size_t length) {
    return length - old >= old / 2 && spare_holds(length);
}

/* Grows a block. */
static void *remap(struct mapped_entry *entry, size_t length, size_t size) {
    struct mapping unmap[SPARE_EXTENTS];
    size_t old = entry->length;
    if (conf.mapped_cache)
        unmap_all(unmap, spare_make_room(length - old, registry.bytes, unmap));
    void *moved = system_remap((void *)entry->address, old, length, true);
    if (moved != NULL) {
        struct own *owner = entry->owner;
        registry_remove(entry);
        registry_put((struct mapped_entry){(uintptr_t)moved, length, size, 0, 0, 0, owner});
    }
    return moved;
}

/*
 * Under the lock although the kernel is called: the address that the block leaves may be mapped by
 * another thread at once, and whoever looks at the registry must find the block there or here.
 */
void *mapped_resize(void *ptr, size_t size, bool stays_mapped, size_t *old) {
    size_t length = align_up(size, system_page());
    void *moved = NULL;
    system_lock(&mapped_lock);
    struct mapped_entry *entry = registry_find((uintptr_t)ptr);
    *old = entry->address != 0 ? entry->length : 0;
    if (*old != 0 && stays_mapped) {
        moved = ptr;
        if (length == *old || resize_in_place(entry, length))
            entry->requested = size;
        else
            moved = is_better_copied(*old, length) ? NULL : remap(entry, length, size);
    }
    system_unlock(&mapped_lock);
    return moved;
}

bool mapped_fits(const void *ptr, size_t size) {
    system_lock(&mapped_lock);
    const struct mapped_entry *entry = registry_find((uintptr_t)ptr);
    bool fits = entry->length == align_up(size, system_page()) || entry->requested == size;
    system_unlock(&mapped_lock);
    return fits;
}

void mapped_note_requested(void *ptr, size_t size) {
    system_lock(&mapped_lock);
    registry_find((uintptr_t)ptr)->requested = size;
    system_unlock(&mapped_lock);
}

int mapped_each(int (*visit)(const struct mapped_block *block, void *context), void *context) {
    int result = 0;
    system_lock(&mapped_lock);
    for (size_t i = 0; i < registry.capacity && result == 0; i++) {
        const struct mapped_entry *entry = &registry.slots[i];
        if (entry->address != 0)
            result = visit(&(struct mapped_block){(void *)entry->address, entry->length,
                                                  entry->requested, entry->offset, true,
                                                  entry->before != 0, entry->owner},
                           context);
    }
    struct mapping extent;
    for (size_t i = 0; result == 0 && (extent = spare_extent(i)).length != 0; i++)
        result = visit(
            &(struct mapped_block){(void *)extent.address, extent.length, 0, 0, false, false, NULL},
            context);
    system_unlock(&mapped_lock);
    return result;
}

enum invariant mapped_check(void) {
    size_t count = 0, page = system_page();
    system_lock(&mapped_lock);
    enum invariant broken = spare_check();
    for (size_t i = 0; i < registry.capacity; i++) {
        struct mapped_entry entry = registry.slots[i];
        if (entry.address == 0)
            continue;
        count++;
        if (!is_aligned(entry.address, page) || !is_aligned(entry.length, page) ||
            entry.length == 0)
            broken = INVARIANT_M1;
        if (registry_find(entry.address) != &registry.slots[i])
            broken = INVARIANT_M2;
    }
    if (count != registry.count || 2 * registry.count > registry.capacity)
        broken = INVARIANT_M2;
    system_unlock(&mapped_lock);
    return broken;
}
