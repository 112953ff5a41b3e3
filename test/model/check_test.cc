/* The checker names the invariant that was broken on purpose. */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

namespace osmem {
namespace {

/* A heap with a live block, a waiting, an indexed and a large free one, and a run. */
struct Subject {
    char *live, *waiting, *indexed, *large;
    struct region *region;
    struct tag_line *lines;

    Subject() {
        live = allocate(300);
        large = allocate(5000);
        allocate(1);
        indexed = allocate(500);
        allocate(1);
        char *run = allocate(700);
        allocate(1);
        waiting = allocate(4);
        allocate(1);
        for (char *block : {large, indexed, run}) {
            os_free(block);
            ::merge_all(thread_heap);
        }
        allocate(600); /* cut from what was `run`: the rest is the run now */
        os_free(waiting);
        region = region_of(live);
        lines = region->lines;
    }
    size_t granule(const char *block) const { return region_granule(block); }
};

/* After `damage` the check must name just this invariant. */
void expect_found(enum invariant invariant, void (*damage)(Subject &)) {
    Ended ended = run_child([&] {
        Subject subject;
        ASSERT_EQ(check_heap(thread_heap), 0);
        damage(subject);
        ASSERT_EQ(check_heap(thread_heap), invariant);
    });
    EXPECT_TRUE(ended.well()) << check_text(invariant) << ": " << ended;
}

TEST(Check, FindsAStartThatIsNone) {
    expect_found(INVARIANT_T1, [](Subject &s) { s.lines[0].starts = 1; });
}

TEST(Check, FindsAWrongLength) {
    expect_found(INVARIANT_T1, [](Subject &s) { s.lines[s.granule(s.live) / 64 + 1].free++; });
    expect_found(INVARIANT_T2,
                 [](Subject &s) { s.lines[(s.granule(s.live) + 300) / 64 - 1].free++; });
}

TEST(Check, FindsAFreeBitWithoutAStart) {
    expect_found(INVARIANT_T3, [](Subject &s) {
        s.lines[s.granule(s.waiting) / 64].free |= bit_at(unsigned(s.granule(s.waiting) + 1));
    });
}

TEST(Check, FindsAForeignOwner) {
    expect_found(INVARIANT_R1, [](Subject &s) { region_set_owner(s.region, &thread_no_heap); });
}

TEST(Check, FindsTopOutOfOrder) {
    expect_found(INVARIANT_R2, [](Subject &s) { s.region->top = s.region->committed + 1; });
}

TEST(Check, FindsATopThatIsNotFree) {
    expect_found(INVARIANT_R3, [](Subject &s) { tags_set_used(s.lines, s.region->top); });
    expect_found(INVARIANT_R3, [](Subject &s) { tags_begin(s.lines, s.region->top + 70, true); });
}

TEST(Check, FindsAnImpossibleFill) {
    expect_found(INVARIANT_Q1, [](Subject &) { thread_heap->quick[4].fill = QUICK_SLOTS + 2; });
    expect_found(INVARIANT_Q1, [](Subject &) { thread_heap->quick_open[0] ^= 1 << 4; });
    expect_found(INVARIANT_Q1, [](Subject &) { thread_heap->quick[4].top = 0; });
}

TEST(Check, FindsALiveOrDoubledBlockInAQuickSet) {
    expect_found(INVARIANT_Q2, [](Subject &s) {
        thread_heap->quick[4].top = static_cast<uint32_t>(region_number(s.live));
    });
    expect_found(INVARIANT_Q2, [](Subject &s) {
        quick_push(&thread_heap->quick[4], static_cast<uint32_t>(region_number(s.waiting)));
    });
}

TEST(Check, FindsASizeMissingFromTheBitmap) {
    expect_found(INVARIANT_B1, [](Subject &) { bins_clear(&thread_heap->bins, 4); });
    expect_found(INVARIANT_B1, [](Subject &) { bins_clear(&thread_heap->bins, 500); });
    expect_found(INVARIANT_B2, [](Subject &) { thread_heap->bins.summary = 0; });
}

TEST(Check, FindsAFreeBlockThatTheIndexLacks) {
    expect_found(INVARIANT_B3, [](Subject &) { bins_drop(&thread_heap->bins, 500); });
    expect_found(INVARIANT_L1, [](Subject &) { thread_heap->large.root = 0; });
    expect_found(INVARIANT_L1, [](Subject &) { thread_heap->large.granules++; });
    expect_found(INVARIANT_L1, [](Subject &) { thread_heap->large.dirty--; });
}

TEST(Check, FindsADisorderedTree) {
    expect_found(INVARIANT_L1, [](Subject &s) {
        s.lines[s.granule(s.large) / 64 + 2].free = reinterpret_cast<uintptr_t>(s.large);
    });
}

TEST(Check, FindsFreeNeighboursThatNobodyWillMerge) {
    expect_found(INVARIANT_H1, [](Subject &s) {
        size_t middle = s.granule(s.indexed) + 200;
        bins_drop(&thread_heap->bins, 500);
        tags_split(s.lines, s.granule(s.indexed), 500, 200, true);
        bins_push(&thread_heap->bins, region_line_number(s.indexed), 200);
        bins_push(&thread_heap->bins, region_line_number(region_block(s.region, middle)), 300);
    });
}

TEST(Check, FindsARunThatIsNone) {
    expect_found(INVARIANT_H2, [](Subject &s) { thread_heap->run = s.live; });
    expect_found(INVARIANT_H2, [](Subject &) { thread_heap->run_granules++; });
}

TEST(Check, FindsABlockOverThePagesEdge) {
    expect_found(INVARIANT_A1, [](Subject &s) {
        s.region->slab_granules[s.granule(s.live) / SLAB_GRANULES] = 4;
    });
    expect_found(INVARIANT_A1, [](Subject &s) {
        s.region->slab_granules[(s.granule(s.live) + 299) / SLAB_GRANULES] = 4;
    });
}

/* The chunk of a heap that is large by now, of which a page was cut. */
struct free_block &grow_chunk() {
    outgrow_small_heap();
    while (quick_count(&thread_heap->quick[1], 1) == 0 || thread_heap->chunk.start == nullptr)
        allocate(1);
    EXPECT_EQ(check_heap(thread_heap), 0);
    EXPECT_NE(thread_heap->chunk.start, nullptr);
    return thread_heap->chunk;
}

TEST(Check, FindsAChunkThatIsNone) {
    expect_found(INVARIANT_A2, [](Subject &s) { thread_heap->chunk = {s.live, 300, 0}; });
    expect_found(INVARIANT_A2, [](Subject &) { thread_heap->chunk.granules = SLAB_GRANULES; });
    expect_found(INVARIANT_A2, [](Subject &) { grow_chunk().granules -= SLAB_GRANULES; });
    expect_found(INVARIANT_A2, [](Subject &) {
        const struct free_block &chunk = grow_chunk();
        size_t page = region_granule(chunk.start) / SLAB_GRANULES;
        region_of(chunk.start)->slab_granules[page] = 4;
    });
    expect_found(INVARIANT_A2, [](Subject &) {
        struct free_block &chunk = grow_chunk();
        tags_split(region_of(chunk.start)->lines, region_granule(chunk.start), chunk.granules,
                   chunk.granules - 1, true);
        chunk.granules--;
    });
}

TEST(Check, FindsAChunkThatIsKnownElsewhere) {
    expect_found(INVARIANT_A2, [](Subject &) {
        const struct free_block &chunk = grow_chunk();
        thread_heap->run = chunk.start;
        thread_heap->run_granules = chunk.granules;
    });
}

/* A free block of a page, whose line the bin lacks. */
TEST(Check, FindsAFreeBlockOnAPageThatTheIndexLacks) {
    expect_found(INVARIANT_B3, [](Subject &) {
        grow_chunk();
        waiting_flush(thread_heap);
        bins_drop(&thread_heap->bins, 1);
    });
}

TEST(Check, ReportsThroughThePublicCallWithALine) {
    Ended ended = run_child([] {
        Subject subject;
        subject.region->top = subject.region->committed + 1;
        ASSERT_EQ(os_heap_check(), INVARIANT_R2);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.count("osmem: R2: "), 1u) << ended;
}

} // namespace
} // namespace osmem
