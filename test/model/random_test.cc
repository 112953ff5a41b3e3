/*
 * Long random runs on one heap, in phases of different sizes, with what lives written down beside
 * it: contents are verified when a block is resized or freed, and every few thousand calls the heap
 * is checked and its statistics have to be those of the shadow.
 */
#include "test/core/blocks.h"
#include "test/core/internal.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace osmem {
namespace {

struct Phase {
    const char *name;
    size_t calls;
    size_t first, last; /* sizes */
    bool uniform;       /* else every doubling as likely as the next */
    size_t live_bytes;  /* about what lives in the middle of the phase */
};

constexpr Phase PHASES[] = {
    {"small", 700000, 1, 128, true, 2 * MIB},
    {"mixed", 600000, 1, 4096, false, 8 * MIB},
    {"churn", 500000, 16, 4096, true, 16 * MIB},
    {"medium", 300000, 1024, 32 * KIB, false, 24 * MIB},
    {"large", 100000, 16 * KIB, 128 * KIB, true, 32 * MIB},
    {"across the threshold", 40000, 64 * KIB, 600 * KIB, true, 32 * MIB},
    {"everything", 300000, 1, 400 * KIB, false, 32 * MIB},
    {"one size", 400000, 48, 48, true, 1 * MIB},
    {"small again", 700000, 1, 512, false, 3 * MIB},
};

struct Live {
    char *start;
    size_t size;
    size_t usable;
    uint64_t seed;
};

/* A mark at both ends, and all of small blocks: what neighbours would overwrite first. */
constexpr size_t MARKED = 256;

class Churn {
  public:
    explicit Churn(uint64_t seed) : random_(seed) {}

    void phase(const Phase &phase) {
        SCOPED_TRACE(phase.name);
        const char *part = getenv("OSMEM_RANDOM_PART");
        size_t calls = scaled(phase.calls) / (part == nullptr ? 1 : std::stoul(part));
        for (size_t call = 0; call < calls && !testing::Test::HasFailure(); call++) {
            /* The middle of the phase is its peak: growth and decline both have their turn. */
            size_t target = phase.live_bytes;
            if (call > calls * 3 / 4)
                target /= 4;
            step(phase, target);
            if (call % 4096 == 0)
                verify();
        }
        verify();
    }

    void free_all() {
        while (!live_.empty())
            release(random_.below(live_.size()));
        verify();
    }

  private:
    size_t any_size(const Phase &phase) {
        return phase.uniform ? random_.between(phase.first, phase.last)
                             : random_.spread(phase.first, phase.last);
    }

    void step(const Phase &phase, size_t target) {
        bool grow = random_.below(2 * target + 1) >= bytes_;
        switch (random_.below(16)) {
        case 0:
        case 1:
        case 2:
            if (!live_.empty())
                resize(random_.below(live_.size()), any_size(phase));
            break;
        case 3:
            enter_aligned(size_t{1} << random_.between(5, 13), any_size(phase));
            break;
        case 4:
            enter_zeroed(any_size(phase));
            break;
        default:
            if (grow || live_.empty()) {
                size_t size = any_size(phase);
                enter(os_malloc(size), size);
            } else {
                release(random_.below(live_.size()));
            }
        }
        while (bytes_ > 2 * target)
            release(random_.below(live_.size()));
    }

    void enter_aligned(size_t alignment, size_t size) {
        void *ptr = os_aligned_alloc(alignment, size);
        EXPECT_TRUE(is_at(ptr, alignment));
        enter(ptr, size);
    }

    void enter_zeroed(size_t size) {
        void *ptr = os_calloc(size, 1);
        ASSERT_NE(ptr, nullptr);
        EXPECT_TRUE(is_zero(ptr, size));
        enter(ptr, size);
    }

    void enter(void *ptr, size_t size) {
        ASSERT_NE(ptr, nullptr);
        size_t usable = os_malloc_usable_size(ptr);
        ASSERT_GE(usable, size);
        if (conf.guard) {
            ASSERT_EQ(usable, size);
        } else if (region_owner(ptr) != nullptr) {
            ASSERT_EQ(usable, granules_bytes(granules_for(size)));
        }
        bytes_ += usable;
        live_.push_back({static_cast<char *>(ptr), size, usable, random_.next()});
        mark(live_.back());
    }

    static void mark(const Live &block) {
        if (block.usable <= 2 * MARKED) {
            fill(block.start, block.usable, block.seed);
        } else {
            fill(block.start, MARKED, block.seed);
            fill(block.start + block.usable - MARKED, MARKED, ~block.seed);
        }
    }

    static void expect_marked(const Live &block) {
        if (block.usable <= 2 * MARKED) {
            EXPECT_TRUE(is_filled(block.start, block.usable, block.seed));
        } else {
            EXPECT_TRUE(is_filled(block.start, MARKED, block.seed));
            EXPECT_TRUE(is_filled(block.start + block.usable - MARKED, MARKED, ~block.seed));
        }
    }

    Live leave(size_t index) {
        Live block = live_[index];
        expect_marked(block);
        live_[index] = live_.back();
        live_.pop_back();
        bytes_ -= block.usable;
        return block;
    }

    void release(size_t index) { os_free(leave(index).start); }

    void resize(size_t index, size_t size) {
        Live old = leave(index);
        void *ptr = os_realloc(old.start, size);
        ASSERT_NE(ptr, nullptr);
        size_t kept = std::min(old.usable <= 2 * MARKED ? old.usable : MARKED, size);
        EXPECT_TRUE(is_filled(ptr, kept, old.seed));
        enter(ptr, size);
    }

    void verify() {
        EXPECT_EQ(os_heap_check(), 0);
        size_t heap_bytes = 0, heap_blocks = 0, mapped_bytes = 0, mapped_requested = 0;
        for (const Live &block : live_) {
            bool in_heap = region_owner(block.start) != nullptr;
            EXPECT_EQ(in_heap, block.size < MMAP_THRESHOLD);
            heap_blocks += in_heap;
            (in_heap ? heap_bytes : mapped_bytes) += block.usable;
            mapped_requested += in_heap ? 0 : block.size;
        }
        os_stats stats;
        os_malloc_stats(&stats);
        if (conf.guard) {
            EXPECT_GE(stats.allocated, heap_bytes + heap_blocks * 32);
            EXPECT_GE(stats.mapped, mapped_bytes);
        } else {
            EXPECT_EQ(stats.allocated, heap_bytes);
            EXPECT_EQ(stats.mapped, mapped_bytes);
        }
        EXPECT_EQ(stats.allocated_blocks, heap_blocks);
        EXPECT_EQ(stats.mapped_blocks, live_.size() - heap_blocks);
        EXPECT_EQ(stats.requested, heap_bytes + mapped_requested);
    }

    Random random_;
    std::vector<Live> live_;
    size_t bytes_ = 0;
};

/* Pages of small blocks in the calling thread's heap (slab.h). */
size_t count_pages() {
    size_t count = 0;
    for (const struct region *region = thread_heap->regions; region; region = region->next) {
        for (uint8_t granules : region->slab_granules)
            count += granules != 0;
    }
    return count;
}

TEST(Random, MillionsOfCallsKeepContentsAndCounts) {
    Churn churn(test_seed());
    size_t most_pages = 0;
    for (const Phase &phase : PHASES) {
        churn.phase(phase);
        most_pages = std::max(most_pages, count_pages());
    }
    if (!conf.requested && getenv("OSMEM_RANDOM_PART") == nullptr) {
        EXPECT_GT(most_pages, 200u) << "small blocks had no pages to themselves";
    }
    churn.free_all();
}

/* What everything freed leaves behind is free, and can be given back. */
TEST(Random, NothingLivesInTheEnd) {
    os_malloc_trim(0);
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.allocated_blocks, 0u);
    EXPECT_EQ(stats.mapped_blocks, 0u);
    EXPECT_EQ(stats.mapped_cached, 0u);
    EXPECT_EQ(stats.heap, stats.free + stats.untouched + stats.metadata);
    /* Merged, the free memory of a region that nothing lives in is one block, or its end. */
    EXPECT_LE(stats.free_blocks, 2 * (stats.heap / REGION_BYTES + 1));
}

} // namespace
} // namespace osmem
