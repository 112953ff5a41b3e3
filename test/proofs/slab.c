/* Pages of small blocks (osmem/slab.c): how a chunk is cut off any block, and a page into blocks.
 */
#include "osmem/slab.c"

#include "test/proofs/proofs.h"

/* Where the region begins: nothing of it is read. */
static uintptr_t base;
static struct heap heap;
static size_t covered, dirtied; /* granules of the pieces, and how many are dirty */
static size_t split_end;        /* where the block that is split ends */

struct region *instead_region_of(const void *ptr) {
    (void)ptr;
    return (struct region *)base;
}

/* Each piece lies within what is left of the block, and has something. */
void instead_tags_split(struct tag_line *lines, size_t granule, size_t granules, size_t keep,
                        bool right_is_free) {
    (void)lines;
    claim(granule + granules == split_end && keep > 0 && keep < granules && right_is_free);
}
void instead_heap_note_unmerged(struct heap *of, const void *block) { (void)of, (void)block; }
static void add(struct free_block block) {
    claim(block.granules != 0 && block.dirty <= block.granules);
    covered += block.granules;
    dirtied += block.dirty;
}
void instead_index_insert(struct heap *of, struct free_block block) {
    (void)of;
    add(block);
}
void instead_index_set_run(struct heap *of, struct free_block block) {
    (void)of;
    claim(region_granule(block.start) + block.granules == split_end);
    add(block);
}

/* Heaps of every size. */
MUTANT("osmem/slab.c", "size_min(part, CHUNK_MOST)", "part")
MUTANT("osmem/slab.c", "heap->granules >> CHUNK_SHIFT & ~(SLAB_GRANULES - 1)",
       "heap->granules >> CHUNK_SHIFT")
PROOF(chunk_wanted) {
    heap.granules = any();
    size_t granules = chunk_wanted(&heap);
    claim(granules >= CHUNK_LEAST && granules <= CHUNK_MOST && granules % SLAB_GRANULES == 0);
}

/*
 * Any block that holds an aligned page, as one of nearly two pages does wherever it begins: the
 * chunk is whole pages of it, and the rest is entered to the granule.
 */
MUTANT("osmem/slab.c", "align_down(end - first, SLAB_GRANULES)", "end - first")
MUTANT("osmem/slab.c", "rest, end - last, dirty});", "rest, end - first, dirty});")
MUTANT("osmem/slab.c", "size_t dirty = size_min(block.dirty, first - start);",
       "size_t dirty = block.dirty;")
PROOF(chunk_cut) {
    heap.granules = any();
    base = any();
    assume(base % REGION_BYTES == 0 && base != 0);
    size_t start = any(), granules = any();
    assume(start >= REGION_FIRST && start < REGION_GRANULES);
    assume(granules <= REGION_GRANULES - start);
    size_t first = align_up(start, SLAB_GRANULES);
    bool holds_page = first + SLAB_GRANULES <= start + granules;
    claim(holds_page || granules < 2 * SLAB_GRANULES - 1);
    assume(holds_page);
    size_t dirty = any();
    assume(dirty <= granules);
    covered = dirtied = 0;
    split_end = start + granules;
    chunk_cut(&heap,
              (struct free_block){region_block((struct region *)base, start), granules, dirty});
    size_t at = region_granule(heap.chunk.start);
    add(heap.chunk);
    claim(at % SLAB_GRANULES == 0 && heap.chunk.granules % SLAB_GRANULES == 0);
    claim(at >= start && at + heap.chunk.granules <= start + granules);
    claim(heap.chunk.granules <= CHUNK_MOST);
    claim(covered == granules && dirtied >= dirty);
}
