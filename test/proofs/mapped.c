/*
 * Lengths and addresses of mapped blocks (osmem/mapped.c, osmem/system.c), with a kernel that gives
 * any addresses, or refuses.
 */
#define _GNU_SOURCE

#include "osmem/mapped.c"
#include "osmem/system.c"

#include "test/proofs/proofs.h"

#define ADDRESSES ((uint64_t)1 << 47)

static size_t page;
static struct mapping given; /* what was mapped or taken last */
static size_t trimmed;       /* bytes unmapped */

/* Of 4 or 64 KiB. */
static void any_page(void) { page = (size_t)1 << 4 * each(3, 4); }
static struct mapping any_pages(void) {
    struct mapping mapping = {any(), any()};
    assume(mapping.address % page == 0 && mapping.length % page == 0);
    assume(mapping.address != 0 && mapping.length != 0);
    assume(mapping.length <= 0 - mapping.address);
    return mapping;
}

/* The same among the addresses that programs have: 47 bits. */
static uint64_t any_bytes(void) { return any() & (ADDRESSES - 1) & ~(page - 1); }
static struct mapping any_user_pages(void) {
    struct mapping mapping = {any_bytes(), any_bytes()};
    assume(mapping.address != 0 && mapping.length != 0);
    assume(mapping.address + mapping.length <= ADDRESSES);
    return mapping;
}

/* A function instead_NAME takes the place of NAME. */
size_t instead_system_page(void) { return page; }

bool instead_system_map_at(uintptr_t address, size_t size) {
    given = (struct mapping){address, size};
    return any() & 1;
}

void *instead_system_remap(void *ptr, size_t old_size, size_t size, bool may_move) {
    (void)ptr, (void)old_size, (void)may_move;
    given = (struct mapping){any(), size};
    return (void *)given.address;
}

void *instead_system_map(size_t size) {
    claim(size != 0 && size % page == 0);
    given = any_pages();
    assume(given.length == size);
    return any() & 1 ? (void *)given.address : NULL;
}

bool instead_system_unmap(void *ptr, size_t size) {
    claim(size != 0 && (uintptr_t)ptr % page == 0 && size % page == 0);
    claim((uintptr_t)ptr - given.address <= given.length - size);
    trimmed += size;
    return any() & 1;
}

bool instead_spare_take_at(uintptr_t address, size_t length) {
    given = (struct mapping){address, length};
    return any() & 1;
}

size_t instead_spare_keep(struct mapping mapping, size_t live, struct mapping *unmap) {
    (void)unmap;
    given = mapping;
    claim(live == registry.bytes);
    return 0;
}

struct mapping instead_reuse(size_t length) {
    claim(length != 0 && length % page == 0);
    struct mapping none = {0, 0}, mapping = any_pages();
    assume(mapping.length == length);
    return any() & 1 ? mapping : none;
}

void *instead_map_fresh(size_t length) { return instead_system_map(length); }
void *instead_map_aligned(size_t length, size_t alignment) {
    void *ptr = instead_system_map(length);
    assume((uintptr_t)ptr % alignment == 0);
    return ptr;
}

static struct mapping entered;
void *instead_enter(struct mapping mapping, size_t size, struct own *owner) {
    (void)owner;
    claim(mapping.length >= size && mapping.length - size < page && mapping.length % page == 0);
    entered = mapping;
    return (void *)mapping.address;
}

/* Any size and alignment: as many pages as hold it, or nothing where there are none so many. */
MUTANT("osmem/mapped.c",
       "size_t page = system_page(), length = align_up(size, page);\n    struct mapping",
       "size_t page = system_page(), length = align_down(size, page);\n    struct mapping")
MUTANT("osmem/mapped.c", "if (length == 0)\n        return NULL;\n    if (alignment",
       "if (alignment")
MUTANT("osmem/mapped.c", "if (alignment <= page && conf.mapped_cache)", "if (conf.mapped_cache)")
PROOF(allocate) {
    any_page();
    conf.mapped_cache = any() & 1;
    size_t size = any(), alignment = (size_t)1 << 6 * each(1, 5);
    assume(size != 0);
    entered = (struct mapping){0, 0};
    bool zeroed = false;
    uintptr_t block = (uintptr_t)mapped_allocate_owned(NULL, size, alignment, &zeroed);
    claim(block == 0 || (block % page == 0 && block == entered.address));
    claim(block == 0 || block % alignment == 0);
    claim(block == 0 || size <= SIZE_MAX - page + 1);
}

/* Any mapping, brought to any greater length: by what lies before or behind it, or by moving. */
MUTANT("osmem/mapped.c", "mapping->address = before;", "")
MUTANT("osmem/mapped.c", "system_map_at(mapping->address + mapping->length, missing)",
       "system_map_at(mapping->address + length, missing)")
MUTANT("osmem/mapped.c", "mapping->length = length;\n    return true;", "return true;")
PROOF(lengthen) {
    any_page();
    struct mapping mapping = any_user_pages(), old = mapping;
    size_t length = any_bytes();
    assume(length >= old.length);
    given = (struct mapping){0, 0};
    bool done = lengthen(&mapping, length);
    bool before = given.address + given.length == old.address && mapping.address == given.address;
    bool behind = given.address == old.address + old.length && mapping.address == old.address;
    bool added = given.length == length - old.length && (before || behind);
    bool moved = given.length == length && mapping.address == given.address && given.address != 0;
    claim(!done || (mapping.length == length && (length == old.length || added || moved)));
    claim(done || (mapping.address == old.address && mapping.length == old.length));
}

/* Any block, made longer or shorter in place: what it gets or loses lies at its end, to the byte.
 */
MUTANT("osmem/mapped.c", "{entry->address + length, old - length}",
       "{entry->address + old, old - length}")
MUTANT("osmem/mapped.c", "registry_count(entry, length - old);\n    if", "if")
PROOF(resize_in_place) {
    any_page();
    struct mapping old = any_user_pages();
    struct mapped_entry entry = {old.address, old.length, 0, 0, 0, 0, NULL};
    size_t length = any_bytes(), bytes = any_bytes();
    assume(length != 0 && length != old.length);
    registry.bytes = bytes;
    given = (struct mapping){0, 0};
    bool done = resize_in_place(&entry, length);
    uintptr_t end = old.address + old.length, new_end = old.address + length;
    claim(given.address == (length > old.length ? end : new_end));
    claim(given.address + given.length == (length > old.length ? new_end : end));
    claim(entry.address == old.address && entry.length == (done ? length : old.length));
    claim(registry.bytes - bytes == entry.length - old.length);
}

/* Any size at any alignment, wherever the kernel maps it: aligned, within, and the rest unmapped.
 */
MUTANT("osmem/system.c", "if (size + slack < size)\n        return NULL;", "")
MUTANT("osmem/system.c", "after = slack - before;", "after = slack;")
MUTANT("osmem/system.c", "align_up((uintptr_t)mapping, alignment)",
       "align_down((uintptr_t)mapping, alignment)")
PROOF(map_aligned) {
    any_page();
    size_t size = any(), alignment = (size_t)1 << 8 * each(2, 4);
    assume(size != 0 && size % page == 0 && alignment >= page);
    trimmed = 0;
    given = (struct mapping){0, 0};
    uintptr_t block = (uintptr_t)system_map_aligned(size, alignment);
    bool fits = block % alignment == 0 && block - given.address <= given.length - size;
    claim(block == 0 || (fits && size <= given.length && trimmed == given.length - size));
}

/* Slots of the registry, of every size from the first: in it, and one after the other in a ring. */
MUTANT("osmem/mapped.c", "(slot + 1) & (registry.capacity - 1)", "slot + 1")
PROOF(slots) {
    registry.capacity = (size_t)1 << 6 * each(1, 7);
    uint64_t address = any();
    size_t slot = slot_of(address), next = slot_after(slot);
    claim(slot < registry.capacity && next < registry.capacity);
    claim(next == slot + 1 || (next == 0 && slot == registry.capacity - 1));
}
