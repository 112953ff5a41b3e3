/*
 * A cache that lost most of its entries moves the rest together: a hash table whose entries are
 * moved where os_should_move says that this frees pages.
 *
 *     bazel run //examples:compaction
 *     bazel run //examples:compaction -- all        moves every entry unasked, for comparison
 *
 * Only the owner of a pointer can change it, so an allocator in C cannot move blocks by itself; but
 * it knows which blocks keep a page from being given back.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "osmem.h"

enum {
    BUCKETS = 1 << 16,
    ENTRIES = 300000,
    KEPT_OF_TEN = 2,
    VALUE_MIN = 20,
    VALUE_MAX = 300,
};

struct entry {
    struct entry *next;
    uint32_t key;
    uint32_t length;
    unsigned char value[];
};

static struct entry *buckets[BUCKETS];

static size_t entry_size(const struct entry *entry) { return sizeof *entry + entry->length; }

/* A small generator; its first numbers are the same in every run. */
static uint32_t random_number(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* Returns 0, or -1 without memory. */
static int insert(uint32_t key) {
    const uint32_t length = VALUE_MIN + random_number() % (VALUE_MAX - VALUE_MIN + 1);
    struct entry *const entry = os_malloc(sizeof *entry + length);
    if (entry == NULL)
        return -1;
    struct entry **const bucket = &buckets[key % BUCKETS];
    entry->next = *bucket;
    entry->key = key;
    entry->length = length;
    memset(entry->value, (int)(key & 255), length);
    *bucket = entry;
    return 0;
}

static void remove_most(void) {
    for (size_t index = 0; index < BUCKETS; index++) {
        for (struct entry **link = &buckets[index]; *link != NULL;) {
            struct entry *const entry = *link;
            if (random_number() % 10 < KEPT_OF_TEN) {
                link = &entry->next;
            } else {
                *link = entry->next;
                os_free(entry);
            }
        }
    }
}

/* Moves the entries that are in the way, or all. Returns how many were moved. */
static size_t compact(int all) {
    size_t moved = 0;
    for (size_t index = 0; index < BUCKETS; index++) {
        for (struct entry **link = &buckets[index]; *link != NULL; link = &(*link)->next) {
            struct entry *const entry = *link;
            if (!all && !os_should_move(entry))
                continue;
            struct entry *const other = os_malloc(entry_size(entry));
            if (other == NULL)
                return moved; /* all is as it was */
            memcpy(other, entry, entry_size(entry));
            *link = other;
            os_free(entry);
            moved++;
        }
    }
    return moved;
}

/* Whether every value is what it was; counts the entries. */
static int is_whole(size_t *entries) {
    *entries = 0;
    for (size_t index = 0; index < BUCKETS; index++) {
        for (const struct entry *entry = buckets[index]; entry != NULL; entry = entry->next) {
            ++*entries;
            for (size_t byte = 0; byte < entry->length; byte++) {
                if (entry->value[byte] != (entry->key & 255))
                    return 0;
            }
        }
    }
    return 1;
}

/* Bytes of the heap in memory, once all that is free in whole pages is given back. */
static size_t resident(const char *when) {
    struct os_stats stats;
    os_malloc_trim(0);
    os_malloc_stats(&stats);
    printf("%-18s %6zu blocks, %6zu KiB in use, %6zu KiB in memory\n", when, stats.allocated_blocks,
           stats.allocated / 1024, stats.resident / 1024);
    return stats.resident;
}

int main(int count, char **arguments) {
    const int all = count > 1 && strcmp(arguments[1], "all") == 0;
    for (uint32_t key = 0; key < ENTRIES; key++) {
        if (insert(key) != 0) {
            perror("compaction");
            return 1;
        }
    }
    resident("full:");
    remove_most();
    const size_t before = resident("most removed:");
    const size_t moved = compact(all);
    const size_t after = resident("moved together:");
    size_t entries;
    if (!is_whole(&entries)) {
        printf("a value changed\n");
        return 1;
    }
    printf("%zu of %zu entries moved, memory cut by %.0f %%\n", moved, entries,
           100.0 * ((double)before - (double)after) / (double)before);
    return 0;
}
