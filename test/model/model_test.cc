/*
 * Random sequences of calls against a model that knows only ranges of addresses and what was
 * written to them. Each sequence runs in a process of its own, so that a failure, also a crash, is
 * found again and made shorter by rapidcheck, which prints the seed; RC_PARAMS="seed=…" repeats it.
 */
#include "test/core/blocks.h"
#include "test/core/internal.h"
#include "test/model/child.h"
#include "test/model/shadow.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <rapidcheck.h>
#include <rapidcheck/state.h>
#include <vector>

namespace osmem {
namespace {

/* Nothing need be known to choose the next command: they choose among the blocks by index. */
struct Nothing {};
using Command = rc::state::Command<Nothing, Shadow>;

/* ---- exact best fit ------------------------------------------------------------------------- */

/* Free blocks of the calling thread's heap, as they lie and as they would lie merged. */
struct Fits {
    std::map<size_t, std::vector<char *>> apart, merged;
    std::map<size_t, std::vector<char *>> on_pages; /* of small blocks (slab.h), as they lie */
};

Fits fits() {
    struct Gather {
        Fits fits;
        char *start = nullptr, *end = nullptr;
        void close() {
            if (start != nullptr)
                fits.merged[static_cast<size_t>(end - start)].push_back(start);
            start = nullptr;
        }
    } gather;
    if (thread_heap == &thread_no_heap)
        return {};
    os_heap_walk(
        [](const os_block *block, void *context) {
            auto &seen = *static_cast<Gather *>(context);
            auto start = static_cast<char *>(block->address);
            if (block->heap != thread_heap->number)
                return 0;
            if (block->kind == OS_BLOCK_FREE && !thread_freed_remotely(start)) {
                /* What is set aside for pages is for nothing else. */
                if (start != thread_heap->chunk.start)
                    seen.fits.apart[block->size].push_back(start);
                if (region_is_slab(region_of(start), region_granule(start)))
                    seen.fits.on_pages[block->size].push_back(start);
                if (seen.start == nullptr || seen.end != start) {
                    seen.close();
                    seen.start = start;
                }
                seen.end = start + block->size;
                /* What lies at the untouched end is merged with that. */
                const region *region = region_of(start);
                if (region == thread_heap->current &&
                    region_granule(start) + block->size / GRANULE_BYTES == region->top)
                    seen.start = nullptr;
            } else {
                seen.close();
            }
            return 0;
        },
        &gather);
    gather.close();
    return gather.fits;
}

bool holds(const std::vector<char *> &starts, const void *ptr) {
    return std::find(starts.begin(), starts.end(), ptr) != starts.end();
}

void expect_best_fit(const Fits &before, bool is_small_heap, const void *ptr, size_t size) {
    size_t wanted = granules_bytes(granules_for(size));
    if (!is_small_heap && wanted <= SLAB_MAX * GRANULE_BYTES) {
        /* One of just its size on a page, if there is any; else on a new page, or as it comes. */
        auto exact = before.apart.find(wanted);
        EXPECT_TRUE(before.on_pages.count(wanted) == 0 || holds(exact->second, ptr))
            << "a block of a page was passed over for " << size;
        return;
    }
    auto best = before.apart.lower_bound(wanted);
    if (best != before.apart.end()) {
        EXPECT_TRUE(holds(best->second, ptr)) << size << " fits best in " << best->first;
        return;
    }
    best = before.merged.lower_bound(wanted);
    if (is_small_heap && best != before.merged.end()) {
        EXPECT_TRUE(holds(best->second, ptr)) << size << " fits best, merged, in " << best->first;
    }
}

/* ---- commands ------------------------------------------------------------------------------- */

size_t any_size() {
    return *rc::gen::oneOf(rc::gen::inRange<size_t>(1, 65), rc::gen::inRange<size_t>(1, 1025),
                           rc::gen::inRange<size_t>(1025, 8 * KIB),
                           rc::gen::inRange<size_t>(32 * KIB - 64, 34 * KIB),
                           rc::gen::inRange<size_t>(8 * KIB, 128 * KIB),
                           rc::gen::inRange<size_t>(127 * KIB, 600 * KIB),
                           rc::gen::map(rc::gen::inRange<size_t>(1, 9),
                                        [](size_t granules) { return granules * 16; }));
}

size_t any_choice() { return *rc::gen::inRange<size_t>(0, 1000); }

struct Malloc : Command {
    size_t size = any_size();
    void show(std::ostream &out) const override { out << "malloc(" << size << ")"; }
    void run(const Nothing &, Shadow &shadow) const override {
        /* In the guarded mode blocks are larger, and reused when chance wants it. */
        bool in_heap = size < MMAP_THRESHOLD && thread_heap != &thread_no_heap && !conf.guard;
        bool pending = load_relaxed(&thread_heap->remote) != nullptr;
        bool is_small = heap_is_small(thread_heap);
        Fits before;
        if (in_heap)
            before = fits();
        void *ptr = os_malloc(size);
        if (in_heap && !pending)
            expect_best_fit(before, is_small, ptr, size);
        shadow.enter(ptr, size, 16);
    }
};

struct Calloc : Command {
    size_t size = any_size();
    void show(std::ostream &out) const override { out << "calloc(1, " << size << ")"; }
    void run(const Nothing &, Shadow &shadow) const override {
        void *ptr = os_calloc(1, size);
        ASSERT_NE(ptr, nullptr);
        EXPECT_TRUE(is_zero(ptr, size));
        shadow.enter(ptr, size, 16);
    }
};

struct Aligned : Command {
    size_t size = any_size();
    size_t alignment = size_t{1} << *rc::gen::inRange(0, 19);
    void show(std::ostream &out) const override {
        out << "aligned_alloc(" << alignment << ", " << size << ")";
    }
    void run(const Nothing &, Shadow &shadow) const override {
        shadow.enter(os_aligned_alloc(alignment, size), size, alignment);
    }
};

struct MallocElsewhere : Command {
    size_t size = any_size();
    void show(std::ostream &out) const override { out << "malloc(" << size << ") elsewhere"; }
    void run(const Nothing &, Shadow &shadow) const override {
        void *ptr = nullptr;
        shadow.worker().run([&] { ptr = os_malloc(size); });
        shadow.enter(ptr, size, 16);
    }
};

struct Realloc : Command {
    size_t choice = any_choice(), size = any_size();
    bool elsewhere = *rc::gen::inRange(0, 8) == 0;
    void show(std::ostream &out) const override {
        out << "realloc(#" << choice << ", " << size << ")" << (elsewhere ? " elsewhere" : "");
    }
    void run(const Nothing &, Shadow &shadow) const override {
        if (shadow.empty())
            return;
        Live old = shadow.leave(shadow.index(choice));
        void *ptr = nullptr;
        if (elsewhere)
            shadow.worker().run([&] { ptr = os_realloc(old.start, size); });
        else
            ptr = os_realloc(old.start, size);
        ASSERT_NE(ptr, nullptr);
        EXPECT_TRUE(is_filled(ptr, std::min(size, old.size), old.seed));
        shadow.enter(ptr, size, 16);
    }
};

struct Free : Command {
    size_t choice = any_choice();
    bool sized = *rc::gen::arbitrary<bool>();
    void show(std::ostream &out) const override {
        out << (sized ? "free_sized(#" : "free(#") << choice << ")";
    }
    void run(const Nothing &, Shadow &shadow) const override {
        if (shadow.empty())
            return;
        Live old = shadow.leave(shadow.index(choice));
        if (sized)
            os_free_sized(old.start, old.size);
        else
            os_free(old.start);
    }
};

struct FreeElsewhere : Command {
    size_t choice = any_choice();
    void show(std::ostream &out) const override { out << "free(#" << choice << ") elsewhere"; }
    void run(const Nothing &, Shadow &shadow) const override {
        if (shadow.empty())
            return;
        Live old = shadow.leave(shadow.index(choice));
        shadow.worker().run([&] { os_free(old.start); });
    }
};

struct Trim : Command {
    size_t pad = *rc::gen::inRange<size_t>(0, 200 * KIB);
    void show(std::ostream &out) const override { out << "trim(" << pad << ")"; }
    void run(const Nothing &, Shadow &) const override { os_malloc_trim(pad); }
};

struct EndWorker : Command {
    void show(std::ostream &out) const override { out << "the worker ends"; }
    void run(const Nothing &, Shadow &shadow) const override { shadow.end_worker(); }
};

/* Weights, by repetition. */
auto any_command() {
    return rc::state::gen::execOneOfWithArgs<Malloc, Malloc, Malloc, Malloc, Calloc, Aligned,
                                             Realloc, Realloc, Free, Free, Free, FreeElsewhere,
                                             MallocElsewhere, Trim, EndWorker>();
}

/* In what heap the commands begin. */
enum Heap {
    NEW,   /* in none yet */
    LARGE, /* in one that has pages of small blocks (slab.h), some of which live */
    FAR,   /* the same beyond the near zone (region.h) */
};

void prepare(Heap heap, Shadow &shadow) {
    if (heap == NEW)
        return;
    if (heap == FAR)
        region_near.base = REGION_BYTES;
    outgrow_small_heap();
    for (size_t i = 0; i < 300; i++)
        shadow.enter(os_malloc(1 + i * 37 % 600), 1 + i * 37 % 600, 16);
    for (size_t i = 0; i < 200; i++)
        os_free(shadow.leave(shadow.index(i * 7)).start);
    size_t pages = 0;
    for (uint8_t granules : thread_heap->regions->slab_granules)
        pages += granules != 0;
    ASSERT_GT(pages, 20u);
}

template <typename Commands> void run_all(const Commands &commands, Heap heap) {
    Shadow shadow;
    prepare(heap, shadow);
    size_t number = 0;
    for (const auto &command : commands) {
        command->run(Nothing{}, shadow);
        EXPECT_EQ(os_heap_check(), 0);
        if (testing::Test::HasFailure()) {
            ADD_FAILURE() << "after command number " << number;
            end_child();
        }
        number++;
    }
}

void expect_held(Heap heap) {
    bool held = rc::check("blocks never overlap, keep their contents and fit best", [=] {
        const auto commands = *rc::state::gen::commands(Nothing{}, any_command());
        Ended ended = run_child([&] { run_all(commands, heap); });
        RC_LOG() << ended;
        RC_ASSERT(ended.well());
    });
    EXPECT_TRUE(held);
}

TEST(Model, NoSequenceOfCallsBreaksIt) { expect_held(NEW); }
TEST(Model, NoSequenceOfCallsBreaksALargeHeap) { expect_held(LARGE); }
TEST(Model, NoSequenceOfCallsBreaksAHeapInAFarZone) { expect_held(FAR); }

/* Read by rapidcheck when it is used first. */
const int parameters = [] {
    std::string successes = std::to_string(scaled(1000));
    return setenv("RC_PARAMS", ("max_success=" + successes + " max_size=200").c_str(), 0);
}();

} // namespace
} // namespace osmem
