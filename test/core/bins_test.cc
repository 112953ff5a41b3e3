/* The bins and their bitmap, against stacks and sets of the standard library. */
#include "test/core/internal.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

namespace osmem {
namespace {

/* Bins with memory for `chunks` chunks. */
class Bins : public testing::Test {
  protected:
    void SetUp() override { kernel::reset_counts(); }
    void TearDown() override { kernel::refuse_nothing(); }

    void give(size_t chunks) {
        memory_.resize(chunks + 1);
        bins_give_memory(bins_.get(), memory_.data(), chunks * sizeof(struct bin_chunk));
    }

    /* Drops the newest line of a bin and returns it; NONE: it is empty. */
    uint64_t pop(size_t granules) {
        uint64_t newest;
        if (!bins_top(bins_.get(), granules, &newest))
            return NONE;
        bins_drop(bins_.get(), granules);
        return newest;
    }

    static constexpr uint64_t NONE = UINT64_MAX;
    std::unique_ptr<struct bins> bins_ = std::make_unique<struct bins>();

  private:
    struct alignas(64) Chunk {
        struct bin_chunk chunk;
    };
    std::vector<Chunk> memory_;
};

/* The number of a line: `entry` is what a chunk keeps of it, `zone` the rest. */
uint64_t line(uint64_t zone, uint64_t entry) { return zone << 32 | entry; }

TEST_F(Bins, NoteAndClearEverySizeAlone) {
    for (size_t granules = 1; granules < LARGE_MIN; granules++) {
        bins_note(bins_.get(), granules);
        ASSERT_TRUE(bins_noted(bins_.get(), granules));
        ASSERT_EQ(bins_next(bins_.get(), 1), granules);
        ASSERT_EQ(bins_next(bins_.get(), granules), granules);
        if (granules + 1 < LARGE_MIN) {
            ASSERT_EQ(bins_next(bins_.get(), granules + 1), 0u);
        }
        bins_clear(bins_.get(), granules);
        ASSERT_FALSE(bins_noted(bins_.get(), granules));
        ASSERT_EQ(bins_next(bins_.get(), 1), 0u);
        if (granules / 64 > QUICK_MAX / 64) {
            ASSERT_EQ(bins_->summary >> (granules / 64), 0u);
        }
    }
}

TEST_F(Bins, FindTheSmallestNotedSize) {
    std::mt19937_64 random(11);
    std::set<size_t> model;
    for (size_t step = 0; step < 200000; step++) {
        size_t granules = 1 + random() % (LARGE_MIN - 1);
        if (random() % 2 && model.size() < 1 + step / 4000) {
            bins_note(bins_.get(), granules);
            model.insert(granules);
        } else if (!model.empty()) {
            auto victim = model.lower_bound(granules);
            if (victim == model.end())
                victim = model.begin();
            bins_clear(bins_.get(), *victim);
            model.erase(victim);
        }
        size_t wanted = 1 + random() % (LARGE_MIN - 1);
        auto found = model.lower_bound(wanted);
        ASSERT_EQ(bins_next(bins_.get(), wanted), found == model.end() ? 0 : *found);
    }
}

TEST_F(Bins, GiveBackTheNewestLineFirst) {
    give(4096);
    std::mt19937_64 random(12);
    std::map<size_t, std::vector<uint64_t>> model;
    size_t entries = 0, granules_in_all = 0;
    for (size_t step = 0; step < 100000; step++) {
        size_t granules = random() % 3 ? 1 + random() % 40 : 1 + random() % (LARGE_MIN - 1);
        std::vector<uint64_t> &stack = model[granules];
        if (random() % 5 < 3) {
            uint64_t pushed = line(random() % 50 == 0, random() % 0x100000000);
            if (!stack.empty() && random() % 4 == 0)
                pushed = stack.back();
            bins_push(bins_.get(), pushed, granules);
            granules_in_all += granules;
            if (stack.empty() || stack.back() != pushed) {
                stack.push_back(pushed);
                entries++;
            }
        } else {
            uint64_t expected = NONE;
            if (!stack.empty()) {
                expected = stack.back();
                stack.pop_back();
                entries--;
            }
            ASSERT_EQ(pop(granules), expected) << "step " << step;
        }
        ASSERT_EQ(bins_->entries, entries);
        ASSERT_EQ(bins_->granules, granules_in_all);
        if (!stack.empty()) {
            ASSERT_TRUE(bins_noted(bins_.get(), granules));
        }
    }
    EXPECT_FALSE(bins_->incomplete);
}

/* Blocks that lie side by side share an entry, but each counts. */
TEST_F(Bins, KeepALineOnceWhileItIsTheNewest) {
    give(2);
    for (size_t i = 0; i < 10 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), 7, 3);
    EXPECT_EQ(bins_->entries, 1u);
    EXPECT_EQ(bins_->granules, 3u * 10 * CHUNK_ENTRIES);
    bins_push(bins_.get(), 8, 3);
    bins_push(bins_.get(), 7, 3);
    bins_push(bins_.get(), 7, 4);
    EXPECT_EQ(bins_->entries, 4u);
    for (uint64_t expected : {7, 8, 7})
        EXPECT_EQ(pop(3), expected);
    EXPECT_EQ(pop(3), NONE);
    EXPECT_EQ(pop(4), 7u);
}

/* The same bits of an entry in another zone are another line. */
TEST_F(Bins, KeepLinesOfEveryZone) {
    give(64);
    std::vector<uint64_t> pushed;
    for (uint64_t zone = 0; zone < 2048; zone += 37) {
        for (uint64_t entry :
             {uint64_t{0}, uint64_t{1}, uint64_t{0x80000000}, uint64_t{0xffffffff}}) {
            pushed.push_back(line(zone, entry));
            bins_push(bins_.get(), pushed.back(), 5);
        }
        pushed.push_back(line(zone + 1, 0xffffffff));
        bins_push(bins_.get(), pushed.back(), 5);
    }
    for (; !pushed.empty(); pushed.pop_back())
        ASSERT_EQ(pop(5), pushed.back());
    EXPECT_EQ(pop(5), NONE);
}

TEST_F(Bins, UseTheirChunksAgain) {
    give(2);
    for (size_t round = 0; round < 1000; round++) {
        for (size_t i = 0; i < 2 * CHUNK_ENTRIES; i++)
            bins_push(bins_.get(), i, 1 + round % 100);
        for (size_t i = 2 * CHUNK_ENTRIES; i-- > 0;)
            ASSERT_EQ(pop(1 + round % 100), i);
    }
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u);
}

TEST_F(Bins, MapMoreOnlyWhenTheirMemoryIsUsedUp) {
    give(10);
    for (size_t i = 0; i < 10 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), i, 1);
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u);
    for (size_t i = 0; i < 1000 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), i, 2);
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 1u);
    for (size_t i = 1000 * CHUNK_ENTRIES; i-- > 0;)
        ASSERT_EQ(pop(2), i);
    for (size_t i = 10 * CHUNK_ENTRIES; i-- > 0;)
        ASSERT_EQ(pop(1), i);
}

TEST_F(Bins, SayWhenAnEntryWasRefusedMemory) {
    kernel::refuse(kernel::MMAP);
    give(1);
    for (size_t i = 0; i < CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), i, 9);
    bins_push(bins_.get(), CHUNK_ENTRIES - 1, 9);
    EXPECT_FALSE(bins_->incomplete) << "the newest line needs no entry";
    bins_push(bins_.get(), 100, 9);
    EXPECT_TRUE(bins_->incomplete);
    EXPECT_EQ(bins_->entries, size_t{CHUNK_ENTRIES});
    EXPECT_EQ(bins_->granules, 9u * (CHUNK_ENTRIES + 2)) << "of all free blocks";
    for (size_t i = CHUNK_ENTRIES; i-- > 0;)
        ASSERT_EQ(pop(9), i);
    EXPECT_EQ(pop(9), NONE);
}

TEST_F(Bins, AreEmptyAfterAReset) {
    give(200);
    for (size_t i = 0; i < 1500; i++)
        bins_push(bins_.get(), i, i % 150);
    bins_->incomplete = true;
    bins_reset(bins_.get());
    EXPECT_EQ(bins_->entries, 0u);
    EXPECT_EQ(bins_->granules, 0u);
    EXPECT_FALSE(bins_->incomplete);
    EXPECT_EQ(bins_next(bins_.get(), 1), 0u);
    for (size_t granules = 0; granules < LARGE_MIN; granules++)
        ASSERT_EQ(pop(granules), NONE) << granules;
    for (size_t i = 0; i < 200 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), i, 3);
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u) << "the chunks were lost";
}

/* The pages that are vacant are no free blocks: whoever asks for the next size does not see them.
 */
TEST_F(Bins, HoldVacantPagesApartFromEverySize) {
    give(4);
    for (size_t i = 0; i < 2 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), 4 * i, VACANT_BIN);
    EXPECT_EQ(bins_->granules, 0u);
    EXPECT_EQ(bins_next(bins_.get(), 1), 0u);
    for (size_t i = 2 * CHUNK_ENTRIES; i-- > 0;)
        ASSERT_EQ(pop(VACANT_BIN), 4 * i);
    EXPECT_EQ(pop(VACANT_BIN), NONE);
}

} // namespace
} // namespace osmem
