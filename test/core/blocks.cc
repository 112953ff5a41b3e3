#include "test/core/blocks.h"

#include <algorithm>
#include <cstring>

namespace osmem {

std::ostream &operator<<(std::ostream &out, const Block &block) {
    static const char *const kinds[] = {"used",     "free",   "untouched",
                                        "metadata", "mapped", "cached"};
    return out << kinds[block.kind] << " " << static_cast<void *>(block.start) << " + "
               << block.size;
}

std::vector<Block> blocks() {
    std::vector<Block> found;
    os_heap_walk(
        [](const struct os_block *block, void *context) {
            static_cast<std::vector<Block> *>(context)->push_back(
                {static_cast<char *>(block->address), block->size, block->kind});
            return 0;
        },
        &found);
    return found;
}

std::vector<Block> free_blocks() {
    std::vector<Block> found = blocks();
    found.erase(std::remove_if(found.begin(), found.end(),
                               [](const Block &block) { return block.kind != OS_BLOCK_FREE; }),
                found.end());
    return found;
}

bool is_on_page(const Block &block) {
    return region_owner(block.start) != nullptr &&
           region_is_slab(region_of(block.start), region_granule(block.start));
}

/* Whether free neighbours become one block with it: not on a page of which some is in use. */
static bool is_mergeable(const Block &block) {
    if (!is_on_page(block))
        return true;
    size_t page = align_down(region_granule(block.start), SLAB_GRANULES);
    const struct tag_line *line = tags_line(region_of(block.start)->lines, page);
    uint64_t used = 0;
    for (size_t i = 0; i < SLAB_GRANULES / LINE_GRANULES; i++)
        used |= line[i].starts & ~line[i].free;
    return used == 0;
}

static bool is_lost_fragment(const Block &run) {
    return !heap_is_small(thread_heap) && run.granules() <= SLAB_MAX && !is_on_page(run);
}

std::vector<Block> free_runs() {
    std::vector<Block> runs;
    bool open = false;
    for (const Block &block : blocks()) {
        if (block.kind == OS_BLOCK_FREE) {
            bool joins = is_mergeable(block);
            if (open && joins && runs.back().end() == block.start)
                runs.back().size += block.size;
            else
                runs.push_back(block);
            open = joins;
        } else {
            if (block.kind == OS_BLOCK_UNTOUCHED && open && runs.back().end() == block.start)
                runs.pop_back();
            open = false;
        }
    }
    runs.erase(std::remove_if(runs.begin(), runs.end(), is_lost_fragment), runs.end());
    return runs;
}

Block block_at(const void *ptr) {
    for (const Block &block : blocks()) {
        if (block.start == ptr)
            return block;
    }
    return {nullptr, 0, OS_BLOCK_METADATA};
}

/* The newest region comes first in the walk. */
Block untouched_end() {
    size_t regions = 0;
    for (const Block &block : blocks()) {
        regions += block.kind == OS_BLOCK_METADATA;
        if (regions == 1 && block.kind == OS_BLOCK_UNTOUCHED)
            return block;
    }
    return {nullptr, 0, OS_BLOCK_UNTOUCHED};
}

static uint64_t word_of(uint64_t seed, size_t index) {
    return (seed + index) * 0x9e3779b97f4a7c15u + 0x7f4a7c15;
}

/* Whole words in a loop of their own: to copy a number of bytes that is not known takes a call. */
void fill(void *ptr, size_t size, uint64_t seed) {
    char *to = static_cast<char *>(ptr);
    size_t words = size / 8;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = word_of(seed, i);
        memcpy(to + i * 8, &word, 8);
    }
    uint64_t rest = word_of(seed, words);
    if (size % 8 != 0)
        memcpy(to + words * 8, &rest, size % 8);
}

bool is_filled(const void *ptr, size_t size, uint64_t seed) {
    const char *from = static_cast<const char *>(ptr);
    size_t words = size / 8;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = word_of(seed, i);
        if (memcmp(from + i * 8, &word, 8) != 0)
            return false;
    }
    uint64_t rest = word_of(seed, words);
    return size % 8 == 0 || memcmp(from + words * 8, &rest, size % 8) == 0;
}

bool is_zero(const void *ptr, size_t size) {
    const char *from = static_cast<const char *>(ptr);
    return size == 0 || (from[0] == 0 && memcmp(from, from + 1, size - 1) == 0);
}

char *allocate(size_t granules) { return static_cast<char *>(os_malloc(granules * GRANULE_BYTES)); }

void merge_all() {
    slab_drop_chunk(thread_heap);
    ::merge_all(thread_heap);
    slab_dissolve_vacant(thread_heap);
}

void outgrow_small_heap() {
    while (heap_is_small(thread_heap) && allocate(8000) != nullptr) {
    }
}

void exhaust_heap() {
    for (;;) {
        size_t largest = 0;
        for (const Block &block : free_runs())
            largest = std::max(largest, block.size);
        Block end = untouched_end();
        if (end.size != 0) {
            for (const Block &block : free_blocks()) {
                if (block.end() == end.start && is_mergeable(block))
                    end.size += block.size;
            }
        }
        largest = std::max(largest, end.size);
        if (largest == 0)
            return;
        if (os_malloc(std::min(largest, MMAP_THRESHOLD - GRANULE_BYTES)) == nullptr)
            return;
    }
}

} // namespace osmem
