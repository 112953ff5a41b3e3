#include "osmem/large.h"

#include "osmem/region.h"
#include "osmem/tags.h"

/*
 * The links, and how much is dirty, stand in the second to fourth of the lines inside the block:
 * the first and the last hold its length, and there are LARGE_MIN / 64 - 1 at least.
 */
static uint64_t *link_of(void *block, unsigned which) {
    struct tag_line *line = tags_line(region_of(block)->lines, region_granule(block));
    return &line[2 + which].free;
}

static uint64_t *left_of(void *block) { return link_of(block, 0); }
static uint64_t *right_of(void *block) { return link_of(block, 1); }
static uint64_t *dirty_of(void *block) { return link_of(block, 2); }

void *large_left(void *block) { return (void *)*left_of(block); }
void *large_right(void *block) { return (void *)*right_of(block); }
size_t large_dirty(void *block) { return *dirty_of(block); }

static size_t size_of(void *block) {
    return tags_size(region_of(block)->lines, region_granule(block));
}

static bool is_before(size_t size, const void *block, void *node) {
    size_t node_size = size_of(node);
    return size != node_size ? size < node_size : block < node;
}

static uint64_t rank_of(const void *block) {
    return ((uintptr_t)block >> GRANULE_SHIFT) * 0x9e3779b97f4a7c15u;
}

bool large_ranks_above(const void *a, const void *b) { return rank_of(a) > rank_of(b); }

void large_insert(struct large *large, void *block, size_t dirty) {
    size_t size = size_of(block);
    *dirty_of(block) = dirty;
    large->granules += size;
    large->dirty += dirty;
    uint64_t *link = &large->root;
    void *node;
    while ((node = (void *)*link) != NULL && large_ranks_above(node, block))
        link = is_before(size, block, node) ? left_of(node) : right_of(node);
    *link = (uintptr_t)block;
    uint64_t *left = left_of(block), *right = right_of(block);
    while (node != NULL) {
        if (is_before(size, block, node)) {
            *right = (uintptr_t)node;
            right = left_of(node);
            node = (void *)*right;
        } else {
            *left = (uintptr_t)node;
            left = right_of(node);
            node = (void *)*left;
        }
    }
    *left = *right = 0;
}

size_t large_remove(struct large *large, void *block) {
    size_t size = size_of(block), dirty = *dirty_of(block);
    large->granules -= size;
    large->dirty -= dirty;
    uint64_t *link = &large->root;
    void *node;
    while ((node = (void *)*link) != block)
        link = is_before(size, block, node) ? left_of(node) : right_of(node);
    void *left = large_left(block), *right = large_right(block);
    while (left != NULL && right != NULL) {
        if (large_ranks_above(left, right)) {
            *link = (uintptr_t)left;
            link = right_of(left);
            left = (void *)*link;
        } else {
            *link = (uintptr_t)right;
            link = left_of(right);
            right = (void *)*link;
        }
    }
    *link = (uintptr_t)(left != NULL ? left : right);
    return dirty;
}

/* As deep as the tree, which is O(log n) expected. */
static void purge_below(void *node, void (*purge)(void *block, size_t granules)) {
    for (; node != NULL; node = large_right(node)) {
        purge_below(large_left(node), purge);
        if (*dirty_of(node) != 0) {
            purge(node, size_of(node));
            *dirty_of(node) = 0;
        }
    }
}

void large_purge(struct large *large, void (*purge)(void *block, size_t granules)) {
    purge_below((void *)large->root, purge);
    large->dirty = 0;
}

void *large_find(const struct large *large, size_t granules) {
    void *best = NULL, *node = (void *)large->root;
    while (node != NULL) {
        if (size_of(node) >= granules) {
            best = node;
            node = large_left(node);
        } else {
            node = large_right(node);
        }
    }
    return best;
}
