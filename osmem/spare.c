#include "osmem/spare.h"

#include "utils/bits.h"

static struct {
    struct mapping extents[SPARE_EXTENTS];
    size_t count;
    size_t bytes;
    size_t budget;
    size_t unmapped;  /* noted, and not yet learned from; at most SPARE_LIMIT */
    size_t live_peak; /* the most that was ever live */
} spare;

const struct map_table spare_table = {
    .entries = spare.extents,
    .count = &spare.count,
    .entry_bytes = sizeof(struct mapping),
    .address = offsetof(struct mapping, address),
    .length = offsetof(struct mapping, length),
};

struct mapping spare_extent(size_t index) {
    return index < spare.count ? spare.extents[index] : (struct mapping){0, 0};
}

static struct mapping extent_remove(size_t index) {
    struct mapping extent = spare.extents[index];
    spare.count--;
    spare.bytes -= extent.length;
    for (size_t i = index; i < spare.count; i++)
        spare.extents[i] = spare.extents[i + 1];
    return extent;
}

/* Adds an extent in its place, merged with those that it touches. There is room for one more. */
static void extent_insert(struct mapping extent) {
    size_t index = 0;
    while (index < spare.count && spare.extents[index].address < extent.address)
        index++;
    spare.bytes += extent.length;
    struct mapping *left = index > 0 ? &spare.extents[index - 1] : NULL;
    if (left != NULL && left->address + left->length == extent.address) {
        left->length += extent.length;
        if (index < spare.count && left->address + left->length == spare.extents[index].address) {
            left->length += spare.extents[index].length;
            spare.bytes += spare.extents[index].length;
            extent_remove(index);
        }
        return;
    }
    if (index < spare.count && extent.address + extent.length == spare.extents[index].address) {
        spare.extents[index].address = extent.address;
        spare.extents[index].length += extent.length;
        return;
    }
    for (size_t i = spare.count++; i > index; i--)
        spare.extents[i] = spare.extents[i - 1];
    spare.extents[index] = extent;
}

/* Cuts `length` bytes off the front of an extent that has them. */
static struct mapping extent_cut(size_t index, size_t length) {
    struct mapping *extent = &spare.extents[index];
    if (extent->length == length)
        return extent_remove(index);
    struct mapping front = {extent->address, length};
    extent->address += length;
    extent->length -= length;
    spare.bytes -= length;
    return front;
}

bool spare_take_at(uintptr_t address, size_t length) {
    for (size_t i = 0; i < spare.count; i++) {
        if (spare.extents[i].address == address && spare.extents[i].length >= length) {
            extent_cut(i, length);
            return true;
        }
    }
    return false;
}

/* The smallest extent of at least `length`; `count` if there is none. */
static size_t extent_fit(size_t length) {
    size_t best = spare.count;
    for (size_t i = 0; i < spare.count; i++) {
        size_t kept = spare.extents[i].length;
        if (kept >= length && (best == spare.count || kept < spare.extents[best].length))
            best = i;
    }
    return best;
}

bool spare_holds(size_t length) { return extent_fit(length) < spare.count; }

struct mapping spare_take(size_t length) {
    size_t best = extent_fit(length);
    if (best < spare.count)
        return extent_cut(best, length);
    best = extent_fit(length / 2);
    for (size_t i = 0; i < spare.count; i++) {
        if (spare.extents[i].length > spare.extents[best < spare.count ? best : i].length)
            best = i;
    }
    return best < spare.count ? extent_remove(best) : (struct mapping){0, 0};
}

/* Takes out the smallest extents until `limit` bytes are left at most. */
static size_t evict(size_t limit, struct mapping *unmap) {
    size_t count = 0;
    while (spare.bytes > limit) {
        size_t smallest = 0;
        for (size_t i = 1; i < spare.count; i++) {
            if (spare.extents[i].length < spare.extents[smallest].length)
                smallest = i;
        }
        unmap[count++] = extent_remove(smallest);
    }
    return count;
}

/* What may be kept beside `live` bytes. */
static size_t limit_beside(size_t live) {
    size_t peak = size_max(spare.live_peak, live);
    return size_min(spare.budget, peak + peak / 4 - live + SPARE_BASE);
}

size_t spare_make_room(size_t length, size_t live, struct mapping *unmap) {
    size_t learned = size_min(length, spare.unmapped);
    spare.unmapped -= learned;
    spare.budget = size_min(spare.budget + learned, SPARE_LIMIT);
    return evict(limit_beside(live + length), unmap);
}

size_t spare_give_way(size_t live, struct mapping *unmap) {
    return evict(limit_beside(live), unmap);
}

size_t spare_keep(struct mapping mapping, size_t live, struct mapping *unmap) {
    spare.live_peak = size_max(spare.live_peak, live + mapping.length);
    size_t count = 0, limit = limit_beside(live);
    if (mapping.length <= limit) {
        count = evict(limit - mapping.length, unmap);
        if (spare.count == SPARE_EXTENTS)
            count += evict(spare.bytes - 1, unmap + count);
        extent_insert(mapping);
    } else {
        unmap[count++] = mapping;
    }
    for (size_t i = 0; i < count; i++)
        spare.unmapped = size_min(spare.unmapped + unmap[i].length, SPARE_LIMIT);
    return count;
}

size_t spare_drop(struct mapping *unmap) {
    size_t count = 0;
    while (spare.count > 0)
        unmap[count++] = extent_remove(0);
    spare.budget = spare.unmapped = 0;
    return count;
}

enum invariant spare_check(void) {
    size_t bytes = 0;
    for (size_t i = 0; i < spare.count; i++) {
        const struct mapping *extent = &spare.extents[i];
        bytes += extent->length;
        if (extent->length == 0 ||
            (i > 0 && extent[-1].address + extent[-1].length >= extent->address))
            return INVARIANT_S1;
    }
    return bytes != spare.bytes || bytes > spare.budget || spare.budget > SPARE_LIMIT ? INVARIANT_S2
                                                                                      : 0;
}
