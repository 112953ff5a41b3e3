/* The checker names the invariant that was broken on purpose. */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

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

/* ---- every way in which an invariant can be broken ------------------------------------------- */

TEST(Check, FindsAFirstLengthThatDiffersFromTheLast) {
    expect_found(INVARIANT_T1, [](Subject &s) { s.lines[s.granule(s.large) / 64 + 1].free = 3; });
}

TEST(Check, FindsBoundsOutOfOrder) {
    expect_found(INVARIANT_R2, [](Subject &s) { s.region->top = REGION_FIRST - 1; });
    expect_found(INVARIANT_R2, [](Subject &s) { s.region->committed = REGION_GRANULES + 1; });
}

TEST(Check, FindsAFreeBitInTheHeader) {
    expect_found(INVARIANT_T1, [](Subject &s) { s.lines[REGION_FIRST_LINE - 1].free = 1; });
}

TEST(Check, FindsThatTheFirstBlockStartsNowhere) {
    expect_found(INVARIANT_T1, [](Subject &s) { tags_join(s.lines, REGION_FIRST); });
}

TEST(Check, FindsAFillBelowAnEmptySets) {
    expect_found(INVARIANT_Q1, [](Subject &) { thread_heap->quick[200].fill = 1; });
}

TEST(Check, FindsABlockOfAnotherSizeInAQuickSet) {
    expect_found(INVARIANT_Q2, [](Subject &s) {
        thread_heap->quick[4].top = static_cast<uint32_t>(region_number(s.large));
    });
    expect_found(INVARIANT_Q2, [](Subject &s) {
        thread_heap->quick[4].top = static_cast<uint32_t>(region_number(s.indexed));
    });
}

TEST(Check, FindsAQuickSlotOutsideTheHeap) {
    expect_found(INVARIANT_Q2, [](Subject &) { thread_heap->quick[4].top = 12345; });
}

/* A line that lies in no region of the heap is a stale one. */
TEST(Check, AcceptsABinWhoseLineIsInNoRegion) {
    expect_found(static_cast<enum invariant>(0), [](Subject &) {
        bins_push(&thread_heap->bins, 12345, 4);
        thread_heap->bins.granules -= 4;
    });
}

TEST(Check, FindsWrongSumsOfBins) {
    expect_found(INVARIANT_B3, [](Subject &) { thread_heap->bins.granules++; });
}

TEST(Check, FindsANodeThatIsTooSmallOrTooDirty) {
    expect_found(INVARIANT_L1, [](Subject &s) {
        thread_heap->large.root = reinterpret_cast<uintptr_t>(s.indexed);
    });
    expect_found(INVARIANT_L1, [](Subject &s) {
        s.lines[s.granule(s.large) / 64 + 4].free = 5001; /* more than all of it is dirty */
    });
}

/* A large block that the tree lacks, although its sums say otherwise. */
TEST(Check, FindsALargeBlockThatTheTreeLacks) {
    expect_found(INVARIANT_L1, [](Subject &) { thread_heap->large = {0, 0, 0}; });
}

/* The root of a tree of some large free blocks, and its links. */
struct tag_line *links_of_root(char *&root) {
    std::vector<char *> blocks;
    for (size_t granules = 5100; granules < 7000; granules += 200)
        blocks.push_back(allocate(granules));
    for (size_t i = 0; i < blocks.size(); i += 2)
        os_free(blocks[i]);
    slab_drop_chunk(thread_heap);
    index_drop_run(thread_heap);
    root = reinterpret_cast<char *>(thread_heap->large.root);
    return &region_of(root)->lines[region_granule(root) / LINE_GRANULES + 2];
}

TEST(Check, FindsLinksThatAreExchanged) {
    expect_found(INVARIANT_L2, [](Subject &) {
        char *root;
        struct tag_line *links = links_of_root(root);
        std::swap(links[0].free, links[1].free);
    });
}

/* The root becomes the child of its own child: in order, but of a lower rank. */
TEST(Check, FindsAChildThatRanksAboveItsParent) {
    for (int side : {0, 1}) {
        Ended ended = run_child([&] {
            Subject subject;
            char *root;
            struct tag_line *links = links_of_root(root);
            char *child = reinterpret_cast<char *>(links[side].free);
            if (child == nullptr)
                end_child(); /* the addresses have it so */
            struct tag_line *below =
                &region_of(child)->lines[region_granule(child) / LINE_GRANULES + 2];
            links[side].free = below[1 - side].free;
            below[1 - side].free = reinterpret_cast<uintptr_t>(root);
            thread_heap->large.root = reinterpret_cast<uintptr_t>(child);
            EXPECT_EQ(check_heap(thread_heap), INVARIANT_L2);
            end_child();
        });
        EXPECT_TRUE(ended.well()) << ended;
    }
}

TEST(Check, FindsAFreeNeighbourOfTheUntouchedEnd) {
    expect_found(INVARIANT_H1, [](Subject &s) {
        char *last = allocate(7000);
        size_t granule = s.granule(last);
        ASSERT_EQ(granule + 7000, s.region->top);
        tags_set_free(s.lines, granule);
        index_insert(thread_heap, {last, 7000, 7000});
    });
}

TEST(Check, FindsAChunkWithoutGranules) {
    expect_found(INVARIANT_A2, [](Subject &) { grow_chunk().granules = 0; });
}

TEST(Check, FindsAChunkThatDoesNotBeginWithAPage) {
    expect_found(INVARIANT_A2, [](Subject &) {
        struct free_block &chunk = grow_chunk();
        char *moved = static_cast<char *>(chunk.start) + GRANULE_BYTES;
        tags_split(region_of(moved)->lines, region_granule(chunk.start), chunk.granules, 1, true);
        index_insert(thread_heap, {chunk.start, 1, 1});
        chunk = {moved, chunk.granules - 1, chunk.dirty};
    });
}

/* Without memory for its marks the checker knows only what the tags tell. */
TEST(Check, DoesWithoutTheIndexWhereThereIsNoMemory) {
    Ended ended = run_child([] {
        Subject subject;
        thread_heap->run_granules++;
        EXPECT_EQ(check_heap(thread_heap), INVARIANT_H2);
        rlimit none = {0, 0};
        setrlimit(RLIMIT_AS, &none);
        EXPECT_EQ(check_heap(thread_heap), 0);
        _exit(testing::Test::HasFailure());
    });
    EXPECT_TRUE(ended.well()) << ended;
}

/* One of two heaps of ended threads is enough. */
TEST(Check, LooksAtParkedHeaps) {
    for (size_t which : {0, 1}) {
        Ended ended = run_child([&] {
            os_free(os_malloc(1));
            struct heap *heaps[2];
            auto body = [&](size_t index) {
                EXPECT_NE(allocate(100), nullptr);
                heaps[index] = thread_heap;
            };
            std::thread first([&] {
                EXPECT_NE(allocate(1), nullptr);
                std::thread([&] { body(1); }).join();
                body(0);
            });
            first.join();
            ASSERT_NE(heaps[0], heaps[1]);
            EXPECT_EQ(os_heap_check(), 0);
            heaps[which]->run_granules = 77;
            heaps[which]->bins.granules += 5;
            EXPECT_EQ(os_heap_check(), INVARIANT_B3);
            end_child();
        });
        EXPECT_TRUE(ended.well()) << ended;
    }
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
