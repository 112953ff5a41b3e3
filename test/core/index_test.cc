/* The index does not fill up with entries that mean nothing, whatever leaves them behind. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"

#include <gtest/gtest.h>

#include <utility>

namespace osmem {
namespace {

/* Two blocks and two holes, apart from each other; whatever is asked for below fits them. */
struct Ground {
    char *first, *second;

    Ground() {
        char *holes[2];
        dig(first, holes[0]);
        dig(second, holes[1]);
        os_free(holes[0]);
        os_free(holes[1]);
    }
    static void dig(char *&block, char *&hole) {
        block = allocate(188);
        EXPECT_NE(allocate(1), nullptr);
        hole = allocate(2188);
        EXPECT_NE(allocate(1), nullptr);
    }
    void resize(size_t size) {
        first = static_cast<char *>(os_realloc(first, size));
        second = static_cast<char *>(os_realloc(second, size));
    }
};

/* The order changes from round to round, so that the newest line of a bin is never the next. */
void expect_few_entries(void (*change)(Ground &ground)) {
    Ground ground;
    for (size_t i = 0; i < (is_paranoid() ? 12000 : 40000); i++) {
        std::swap(ground.first, ground.second);
        change(ground);
    }
    EXPECT_LE(thread_heap->bins.entries, 5000u);
    ASSERT_EQ(os_heap_check(), 0);
}

ISOLATED_TEST(Index, StaysSmallWhereBlocksAreResized) {
    expect_few_entries([](Ground &ground) {
        ground.resize(2000);
        ground.resize(3000);
    });
}

ISOLATED_TEST(Index, StaysSmallWhereRequestsFit) {
    expect_few_entries([](Ground &ground) {
        char *blocks[] = {allocate(2063), allocate(2063)};
        bool later = ground.first > ground.second;
        os_free(blocks[later]);
        os_free(blocks[!later]);
    });
}

} // namespace
} // namespace osmem
