#include "osmem/spare.h"

#include "utils/bits.h"

#define RECENT 16

static struct {
    struct mapping extents[SPARE_EXTENTS];
    size_t count;
    size_t bytes;
    size_t budget;
    uint8_t recent[RECENT]; /* orders of magnitude unmapped lately; 0: none */
    unsigned next_recent;
} spare;

static uint8_t order_of(size_t length) { return (uint8_t)bit_highest(length); }

static void note_unmapped(size_t length) {
    spare.recent[spare.next_recent++ % RECENT] = order_of(length);
}

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

/* A request that no extent holds: would one have, had we kept what was unmapped lately? */
static void learn(size_t length) {
    for (size_t i = 0; i < RECENT; i++) {
        if (spare.recent[i] >= order_of(length)) {
            spare.recent[i] = 0;
            spare.budget = size_min(spare.budget + length, SPARE_LIMIT);
            return;
        }
    }
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

struct mapping spare_take(size_t length) {
    size_t best = spare.count, largest = spare.count;
    for (size_t i = 0; i < spare.count; i++) {
        size_t kept = spare.extents[i].length;
        if (kept >= length && (best == spare.count || kept < spare.extents[best].length))
            best = i;
        if (largest == spare.count || kept > spare.extents[largest].length)
            largest = i;
    }
    if (best < spare.count)
        return extent_cut(best, length);
    learn(length);
    if (largest < spare.count && spare.extents[largest].length >= length / 4)
        return extent_remove(largest);
    return (struct mapping){0, 0};
}

size_t spare_keep(struct mapping mapping, struct mapping *unmap) {
    size_t count = 0;
    if (mapping.length > spare.budget) {
        note_unmapped(mapping.length);
        unmap[count++] = mapping;
        return count;
    }
    while (spare.bytes + mapping.length > spare.budget || spare.count == SPARE_EXTENTS) {
        size_t smallest = 0;
        for (size_t i = 1; i < spare.count; i++) {
            if (spare.extents[i].length < spare.extents[smallest].length)
                smallest = i;
        }
        note_unmapped(spare.extents[smallest].length);
        unmap[count++] = extent_remove(smallest);
    }
    extent_insert(mapping);
    return count;
}

size_t spare_drop(struct mapping *unmap) {
    size_t count = 0;
    while (spare.count > 0)
        unmap[count++] = extent_remove(0);
    spare.budget = 0;
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
