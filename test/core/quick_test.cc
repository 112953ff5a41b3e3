/* The sets of blocks freed lately, against a deque. */
#include "test/core/internal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>

namespace osmem {
namespace {

constexpr size_t INDICES[] = {1, 9, 36, 37, 64, 100, 170, 256, 257, QUICK_SETS - 1};

size_t capacity(size_t index) { return QUICK_SLOTS + 1 - quick_empty(index); }

struct quick opened(size_t index) {
    struct quick quick = {};
    quick.fill = quick_empty(index);
    return quick;
}

TEST(QuickIndex, GivesEverySmallSizeASetToItself) {
    std::set<size_t> small;
    for (size_t granules = 1; granules <= QUICK_MAX; granules++)
        EXPECT_TRUE(small.insert(quick_index(granules)).second) << granules;
    for (size_t granules = QUICK_MAX + 1; granules < LARGE_MIN; granules++) {
        EXPECT_LT(quick_index(granules), size_t{QUICK_SETS});
        EXPECT_EQ(small.count(quick_index(granules)), 0u) << granules;
        EXPECT_EQ(quick_index(granules), quick_index(granules + QUICK_SHARED));
    }
}

TEST(QuickSet, HoldsAFewBlocksOrAFewBytes) {
    for (size_t index = 1; index <= QUICK_MAX; index++) {
        EXPECT_GE(capacity(index), 2u);
        EXPECT_LE(capacity(index), size_t{QUICK_SLOTS});
        EXPECT_LE(capacity(index) * granules_bytes(index), size_t{QUICK_BYTES}) << index;
    }
    EXPECT_EQ(capacity(1), size_t{QUICK_SLOTS});
}

TEST(QuickSet, IsFullAndEmptyWhileZero) {
    struct quick quick = {};
    EXPECT_FALSE(quick_has_room(quick.fill));
    EXPECT_EQ(quick.top, 0u);
    for (size_t index : INDICES) {
        EXPECT_EQ(quick_count(&quick, index), 0u);
        EXPECT_EQ(quick_find(&quick, index, 5), 0u);
    }
}

TEST(QuickSet, HasRoomForItsCapacity) {
    for (size_t index : INDICES) {
        struct quick quick = opened(index);
        for (size_t i = 0; i < capacity(index); i++) {
            EXPECT_TRUE(quick_has_room(quick.fill));
            EXPECT_EQ(quick.top != 0, i != 0);
            quick_push(&quick, static_cast<uint32_t>(i + 1));
            EXPECT_EQ(quick_count(&quick, index), i + 1);
            EXPECT_EQ(quick.top, i + 1);
        }
        EXPECT_FALSE(quick_has_room(quick.fill));
        for (size_t i = capacity(index); i > 0; i--) {
            EXPECT_EQ(quick.top, i);
            quick_pop(&quick);
        }
        EXPECT_EQ(quick.top, 0u);
        EXPECT_EQ(quick_count(&quick, index), 0u);
    }
}

TEST(QuickSet, RefusesAFillThatCannotBe) {
    for (uint32_t fill : {uint32_t{QUICK_SLOTS} + 2, uint32_t{1000}, UINT32_MAX})
        EXPECT_FALSE(quick_has_room(fill)) << fill;
}

TEST(QuickSet, KeepsItsOrderWhenOneIsTakenOut) {
    std::mt19937_64 random(3);
    for (size_t index : INDICES) {
        struct quick quick = opened(index);
        std::deque<uint32_t> model;
        uint32_t next = 1;
        for (size_t step = 0; step < 20000; step++) {
            switch (random() % 4) {
            case 0:
            case 1:
                if (quick_has_room(quick.fill)) {
                    model.push_back(next);
                    quick_push(&quick, next++);
                }
                break;
            case 2:
                if (!model.empty()) {
                    EXPECT_EQ(quick.top, model.back());
                    quick_pop(&quick);
                    model.pop_back();
                }
                break;
            default: {
                uint32_t wanted = next - std::min<uint32_t>(next - 1, random() % 30);
                auto found = std::find(model.begin(), model.end(), wanted);
                size_t slot = quick_find(&quick, index, wanted);
                ASSERT_EQ(slot != 0, found != model.end());
                if (slot != 0) {
                    ASSERT_EQ(slot,
                              quick_empty(index) + static_cast<size_t>(found - model.begin()));
                    quick_remove_at(&quick, slot);
                    model.erase(found);
                }
            }
            }
            ASSERT_EQ(quick_count(&quick, index), model.size());
            for (size_t i = 0; i < model.size(); i++)
                ASSERT_EQ(quick_number(&quick, quick_empty(index) + i), model[i])
                    << "step " << step;
        }
    }
}

} // namespace
} // namespace osmem
