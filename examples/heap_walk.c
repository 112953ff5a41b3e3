/*
 * What the heap looks like: makes holes in it and draws a map by os_heap_walk.
 *
 *     bazel run //examples:heap_walk
 *
 * Each character stands for 128 bytes of the heap's beginning: '#' where blocks in use begin or go
 * on, '.' where it is free, '+' where both meet, ' ' where nothing has been yet. Lists below it
 * what the walk found.
 */
#include <stdio.h>
#include <string.h>

#include "osmem.h"

enum {
    CELL = 128, /* bytes for a character */
    COLUMNS = 64,
    ROWS = 6,
    CELLS = COLUMNS * ROWS,
    BLOCKS = 120,
    KINDS = OS_BLOCK_CACHED + 1,
};

static const char *const kind_names[KINDS] = {
    [OS_BLOCK_USED] = "used",           [OS_BLOCK_FREE] = "free",
    [OS_BLOCK_UNTOUCHED] = "untouched", [OS_BLOCK_METADATA] = "metadata",
    [OS_BLOCK_MAPPED] = "mapped",       [OS_BLOCK_CACHED] = "cached",
};

struct map {
    char cells[CELLS];
    const char *start; /* the first byte after the metadata, once it is known */
    size_t blocks[KINDS];
    size_t bytes[KINDS];
};

static void map_draw(struct map *map, const struct os_block *block, char mark) {
    if (map->start == NULL)
        map->start = block->address;
    const size_t begin = (size_t)((const char *)block->address - map->start);
    for (size_t cell = begin / CELL; cell < CELLS && cell * CELL < begin + block->size; cell++) {
        char *const seen = &map->cells[cell];
        *seen = *seen == ' ' || *seen == mark ? mark : '+';
    }
}

/* An os_heap_visitor. It must not allocate, so all that it writes to is there already. */
static int visit(const struct os_block *block, void *context) {
    struct map *const map = context;
    map->blocks[block->kind]++;
    map->bytes[block->kind] += block->size;
    if (block->heap == 0 && block->kind == OS_BLOCK_USED)
        map_draw(map, block, '#');
    if (block->heap == 0 && block->kind == OS_BLOCK_FREE)
        map_draw(map, block, '.');
    return 0; /* go on */
}

int main(void) {
    static void *blocks[BLOCKS];
    for (size_t index = 0; index < BLOCKS; index++) {
        const size_t size = 16 + 37 * index % 400;
        blocks[index] = os_malloc(size);
        if (blocks[index] == NULL) {
            perror("heap_walk");
            return 1;
        }
        memset(blocks[index], 0xff, size);
    }
    for (size_t index = 0; index < BLOCKS; index++) {
        if (index % 10 < 4) { /* holes of four blocks, one after the other */
            os_free(blocks[index]);
            blocks[index] = NULL;
        }
    }
    void *const large = os_malloc(1024 * 1024); /* above the threshold: mapped */

    static struct map map;
    memset(map.cells, ' ', sizeof map.cells);
    if (os_heap_walk(visit, &map) != 0)
        return 1;

    for (size_t row = 0; row < ROWS; row++)
        printf("|%.*s|\n", COLUMNS, map.cells + row * COLUMNS);
    for (size_t kind = 0; kind < KINDS; kind++)
        printf("%-9s %5zu blocks %10zu bytes\n", kind_names[kind], map.blocks[kind],
               map.bytes[kind]);

    os_free(large);
    for (size_t index = 0; index < BLOCKS; index++)
        os_free(blocks[index]); /* NULL is nothing */
    return 0;
}
