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

    std::unique_ptr<struct bins> bins_ = std::make_unique<struct bins>();

  private:
    struct alignas(64) Chunk {
        struct bin_chunk chunk;
    };
    std::vector<Chunk> memory_;
};

void *address(uint64_t zone, uint64_t entry) {
    return reinterpret_cast<void *>(zone << 36 | entry << 4);
}

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

TEST_F(Bins, GiveBackTheNewestFirst) {
    give(4096);
    std::mt19937_64 random(12);
    std::map<size_t, std::vector<void *>> model;
    size_t entries = 0;
    for (size_t step = 0; step < 100000; step++) {
        size_t granules = random() % 3 ? 1 + random() % 40 : 1 + random() % (LARGE_MIN - 1);
        std::vector<void *> &stack = model[granules];
        if (random() % 5 < 3) {
            void *block = address(random() % 50 == 0, 1 + random() % 0xffffffff);
            bins_push(bins_.get(), block, granules);
            stack.push_back(block);
            entries++;
        } else {
            void *expected = nullptr;
            if (!stack.empty()) {
                expected = stack.back();
                stack.pop_back();
                entries--;
            }
            ASSERT_EQ(bins_pop(bins_.get(), granules), expected) << "step " << step;
        }
        ASSERT_EQ(bins_->entries, entries);
        if (!stack.empty()) {
            ASSERT_TRUE(bins_noted(bins_.get(), granules));
        }
    }
    EXPECT_FALSE(bins_->incomplete);
}

TEST_F(Bins, KeepAddressesOfEveryZone) {
    give(64);
    std::vector<void *> pushed;
    for (uint64_t zone = 0; zone < 2048; zone += 37) {
        for (uint64_t entry :
             {uint64_t{0}, uint64_t{1}, uint64_t{0x80000000}, uint64_t{0xffffffff}}) {
            if (zone == 0 && entry == 0)
                continue;
            pushed.push_back(address(zone, entry));
            bins_push(bins_.get(), pushed.back(), 5);
        }
    }
    for (; !pushed.empty(); pushed.pop_back())
        ASSERT_EQ(bins_pop(bins_.get(), 5), pushed.back());
    EXPECT_EQ(bins_pop(bins_.get(), 5), nullptr);
}

TEST_F(Bins, UseTheirChunksAgain) {
    give(2);
    for (size_t round = 0; round < 1000; round++) {
        for (size_t i = 0; i < 2 * CHUNK_ENTRIES; i++)
            bins_push(bins_.get(), address(0, 1 + i), 1 + round % 100);
        for (size_t i = 0; i < 2 * CHUNK_ENTRIES; i++)
            ASSERT_EQ(bins_pop(bins_.get(), 1 + round % 100), address(0, 2 * CHUNK_ENTRIES - i));
    }
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u);
}

TEST_F(Bins, MapMoreOnlyWhenTheirMemoryIsUsedUp) {
    give(10);
    for (size_t i = 0; i < 10 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), address(0, 1 + i), 1);
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u);
    for (size_t i = 0; i < 1000 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), address(0, 1 + i), 2);
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 1u);
    for (size_t i = 0; i < 1000 * CHUNK_ENTRIES; i++)
        ASSERT_EQ(bins_pop(bins_.get(), 2), address(0, 1000 * CHUNK_ENTRIES - i));
    for (size_t i = 0; i < 10 * CHUNK_ENTRIES; i++)
        ASSERT_EQ(bins_pop(bins_.get(), 1), address(0, 10 * CHUNK_ENTRIES - i));
}

TEST_F(Bins, SayWhenAnEntryWasRefusedMemory) {
    kernel::refuse(kernel::MMAP);
    give(1);
    for (size_t i = 0; i < CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), address(0, 1 + i), 9);
    EXPECT_FALSE(bins_->incomplete);
    bins_push(bins_.get(), address(0, 100), 9);
    EXPECT_TRUE(bins_->incomplete);
    EXPECT_EQ(bins_->entries, size_t{CHUNK_ENTRIES});
    for (size_t i = 0; i < CHUNK_ENTRIES; i++)
        ASSERT_EQ(bins_pop(bins_.get(), 9), address(0, CHUNK_ENTRIES - i));
    EXPECT_EQ(bins_pop(bins_.get(), 9), nullptr);
}

TEST_F(Bins, AreEmptyAfterAReset) {
    give(200);
    for (size_t i = 0; i < 1500; i++)
        bins_push(bins_.get(), address(0, 1 + i), 1 + i % 150);
    bins_->stale = 7;
    bins_->incomplete = true;
    bins_reset(bins_.get());
    EXPECT_EQ(bins_->entries, 0u);
    EXPECT_EQ(bins_->stale, 0u);
    EXPECT_FALSE(bins_->incomplete);
    EXPECT_EQ(bins_next(bins_.get(), 1), 0u);
    for (size_t granules = 1; granules < LARGE_MIN; granules++)
        ASSERT_EQ(bins_pop(bins_.get(), granules), nullptr);
    for (size_t i = 0; i < 200 * CHUNK_ENTRIES; i++)
        bins_push(bins_.get(), address(0, 1 + i), 3);
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u) << "the chunks were lost";
}

} // namespace
} // namespace osmem
