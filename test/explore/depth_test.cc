/*
 * Every sequence of a few operations at the constants that are shipped, with the contents of all
 * blocks kept beside it. Sequences run one after the other in one heap, which each leaves empty.
 */
#include "test/core/blocks.h"
#include "test/core/isolated.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

/* A granule; more than a line; a large block; less than a whole number of granules. */
constexpr size_t SIZES[] = {16, 1100, 40000, 77};
enum Operation {
    MALLOC_GRANULE,
    MALLOC_LINES,
    MALLOC_LARGE,
    MALLOC_ODD,
    FREE_FIRST,
    FREE_LAST,
    SHRINK_FIRST,
    GROW_LAST,
    TRIM,
    OPERATIONS,
};

struct Live {
    char *start;
    size_t size;
    uint64_t seed;
};

class Sequence {
  public:
    void run(const std::vector<int> &operations) {
        for (int operation : operations)
            step(operation);
        ASSERT_EQ(os_heap_check(), 0);
        while (!live_.empty())
            release(0);
    }

  private:
    void step(int operation) {
        if (operation <= MALLOC_ODD) {
            size_t size = SIZES[operation];
            add(static_cast<char *>(os_malloc(size)), size);
        } else if (operation == TRIM) {
            os_malloc_trim(0);
        } else if (!live_.empty()) {
            bool is_first = operation == FREE_FIRST || operation == SHRINK_FIRST;
            size_t index = is_first ? 0 : live_.size() - 1;
            if (operation == FREE_FIRST || operation == FREE_LAST)
                release(index);
            else
                resize(index, operation == GROW_LAST ? live_[index].size * 3 : 5);
        }
    }

    void add(char *start, size_t size) {
        ASSERT_NE(start, nullptr);
        ASSERT_TRUE(is_at(start, GRANULE_BYTES));
        for (const Live &block : live_)
            ASSERT_TRUE(start + size <= block.start || block.start + block.size <= start);
        live_.push_back({start, size, ++seed_});
        fill(start, size, seed_);
    }

    void release(size_t index) {
        Live block = live_[index];
        ASSERT_TRUE(is_filled(block.start, block.size, block.seed));
        live_.erase(live_.begin() + static_cast<ptrdiff_t>(index));
        os_free(block.start);
    }

    void resize(size_t index, size_t size) {
        Live block = live_[index];
        live_.erase(live_.begin() + static_cast<ptrdiff_t>(index));
        char *moved = static_cast<char *>(os_realloc(block.start, size));
        ASSERT_TRUE(is_filled(moved, std::min(size, block.size), block.seed));
        add(moved, size);
    }

    std::vector<Live> live_;
    uint64_t seed_ = 0;
};

/* OSMEM_DEPTH makes the sequences longer than the default. */
ISOLATED_TEST(Enumeration, KeepsContentsInEverySequence) {
    const char *wanted = getenv("OSMEM_DEPTH");
    size_t depth = wanted != nullptr ? strtoul(wanted, nullptr, 10) : 5, count = 0;
    if (wanted != nullptr)
        alarm(0);
    std::vector<int> operations(depth, 0);
    for (bool more = true; more;) {
        Sequence().run(operations);
        if (testing::Test::HasFatalFailure()) {
            for (int operation : operations)
                printf("operation %d\n", operation);
            return;
        }
        count++;
        size_t last = depth;
        while (last > 0 && ++operations[last - 1] == OPERATIONS)
            operations[--last] = 0;
        more = last > 0;
    }
    printf("%zu sequences of %zu operations\n", count, depth);
}

} // namespace
} // namespace osmem
