/* The sets of blocks freed lately, against a deque. */
#include "test/core/internal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>

namespace osmem {
namespace {

void *block(size_t number) { return reinterpret_cast<void *>((number + 1) * GRANULE_BYTES); }

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

TEST(QuickSet, IsClosedWhileZero) {
    struct quick quick = {};
    EXPECT_FALSE(quick_has_room(quick.fill));
    EXPECT_FALSE(quick_has_block(quick.fill));
    EXPECT_EQ(quick_count(&quick), 0u);
    EXPECT_FALSE(quick_remove(&quick, block(1)));
}

TEST(QuickSet, HasRoomForItsSlots) {
    struct quick quick = {};
    quick.fill = 1;
    for (size_t i = 0; i < QUICK_SLOTS; i++) {
        EXPECT_TRUE(quick_has_room(quick.fill));
        EXPECT_EQ(quick_has_block(quick.fill), i != 0);
        quick_push(&quick, block(i));
        EXPECT_EQ(quick_count(&quick), i + 1);
    }
    EXPECT_FALSE(quick_has_room(quick.fill));
    EXPECT_TRUE(quick_has_block(quick.fill));
}

TEST(QuickSet, RefusesAFillThatCannotBe) {
    for (uint64_t fill : {uint64_t{QUICK_SLOTS} + 2, uint64_t{1000}, UINT64_MAX}) {
        EXPECT_FALSE(quick_has_room(fill)) << fill;
        EXPECT_FALSE(quick_has_block(fill)) << fill;
    }
}

TEST(QuickSet, KeepsItsOrderWhenOneIsTakenOut) {
    std::mt19937_64 random(3);
    struct quick quick = {};
    quick.fill = 1;
    std::deque<void *> model;
    size_t next = 0;
    for (size_t step = 0; step < 50000; step++) {
        switch (random() % 4) {
        case 0:
        case 1:
            if (quick_has_room(quick.fill)) {
                model.push_back(block(next));
                quick_push(&quick, block(next++));
            }
            break;
        case 2:
            if (!model.empty()) {
                size_t slot = random() % model.size();
                quick_remove_at(&quick, slot);
                model.erase(model.begin() + static_cast<ptrdiff_t>(slot));
            }
            break;
        default: {
            void *wanted = block(next - std::min<size_t>(next, random() % (2 * QUICK_SLOTS)));
            auto found = std::find(model.begin(), model.end(), wanted);
            ASSERT_EQ(quick_remove(&quick, wanted), found != model.end());
            if (found != model.end())
                model.erase(found);
        }
        }
        ASSERT_EQ(quick_count(&quick), model.size());
        ASSERT_TRUE(std::equal(model.begin(), model.end(), quick.slot)) << "step " << step;
    }
}

} // namespace
} // namespace osmem
