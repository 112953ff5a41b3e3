/* The arithmetic on tags, against a model with a cell for each granule. */
#include "test/core/internal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace osmem {
namespace {

constexpr size_t LINE = LINE_GRANULES;

/* What stands in lines that nobody has written yet: lengths and links of blocks long gone. */
constexpr uint64_t STALE = 0xdeadbeefcafef00d;

/*
 * Tags of `lines` lines and, for each granule, whether a block starts there and is free. The first
 * block starts at FIRST; the line before it has no start and length 0, as in a region.
 */
class Tags {
  public:
    static constexpr size_t FIRST = 2 * LINE;

    explicit Tags(size_t lines) : lines_(lines + 2), cells_(lines * LINE), end_(lines * LINE) {
        for (size_t line = FIRST / LINE; line < lines_.size(); line++)
            lines_[line].free = STALE;
        begin(FIRST, false);
        begin(end_, true);
        tags_measure(lines_.data(), FIRST, end_ - FIRST);
    }

    struct tag_line *data() {
        return lines_.data();
    }
    size_t end() const { return end_; }

    void begin(size_t granule, bool is_free) {
        tags_begin(data(), granule, is_free);
        if (granule < end_)
            cells_[granule] = is_free ? FREE : USED;
    }
    void join(size_t granule) {
        tags_join(data(), granule);
        cells_[granule] = INSIDE;
    }
    void split(size_t granule, size_t keep, bool right_is_free) {
        tags_split(data(), granule, size(granule), keep, right_is_free);
        cells_[granule + keep] = right_is_free ? FREE : USED;
    }
    void begin_row(size_t granule, size_t granules, size_t count) {
        tags_begin_row(data(), granule, granules, count);
        for (size_t i = 0; i < count; i++)
            cells_[granule + i * granules] = FREE;
    }
    void set_free(size_t granule, bool is_free) {
        if (is_free)
            tags_set_free(data(), granule);
        else
            tags_set_used(data(), granule);
        cells_[granule] = is_free ? FREE : USED;
    }

    bool is_start(size_t granule) const { return granule == end_ || cells_[granule] != INSIDE; }
    size_t size(size_t granule) const {
        size_t next = granule + 1;
        while (!is_start(next))
            next++;
        return next - granule;
    }
    size_t left(size_t granule) const {
        if (granule == FIRST)
            return FIRST;
        do
            granule--;
        while (!is_start(granule));
        return granule;
    }
    uint64_t free_of_size(size_t line, size_t granules) const {
        uint64_t found = 0;
        for (size_t granule = line * LINE; granule < (line + 1) * LINE; granule++) {
            if (cells_[granule] == FREE && size(granule) == granules)
                found |= bit_at(static_cast<unsigned>(granule));
        }
        return found;
    }
    std::vector<size_t> starts() const {
        std::vector<size_t> found;
        for (size_t granule = FIRST; granule < end_; granule++) {
            if (cells_[granule] != INSIDE)
                found.push_back(granule);
        }
        return found;
    }

    /* All that the tags say of the granules [from, to). */
    void expect_agreement(size_t from, size_t to) {
        for (size_t granule = from; granule < to; granule++) {
            ASSERT_EQ(tags_is_start(data(), granule), cells_[granule] != INSIDE) << granule;
            ASSERT_EQ(tags_is_free(data(), granule), cells_[granule] == FREE) << granule;
            ASSERT_EQ(tags_is_used(data(), granule), cells_[granule] == USED) << granule;
            if (cells_[granule] == INSIDE)
                continue;
            ASSERT_EQ(tags_size(data(), granule), size(granule)) << granule;
            ASSERT_EQ(tags_left(data(), granule), left(granule)) << granule;
            expect_length(granule);
        }
    }
    void expect_agreement() { expect_agreement(FIRST, end_); }

  private:
    enum Cell : char { INSIDE, USED, FREE };

    void expect_length(size_t granule) {
        size_t granules = size(granule);
        size_t first = granule / LINE + 1, end = (granule + granules) / LINE;
        if (first < end) {
            ASSERT_EQ(lines_[first].free, granules) << granule;
            ASSERT_EQ(lines_[end - 1].free, granules) << granule;
        }
    }

    std::vector<struct tag_line> lines_;
    std::vector<Cell> cells_;
    size_t end_;
};

/* A block of `granules` at each offset of a line, neighbours in use or free. */
TEST(Tags, KnowEverySmallBlockAtEveryOffset) {
    for (size_t offset = 0; offset < LINE; offset++) {
        for (size_t granules = 1; granules <= 4 * LINE; granules++) {
            Tags tags(8);
            size_t start = Tags::FIRST + LINE + offset;
            tags.begin(start, granules % 2 == 0);
            tags.begin(start + granules, offset % 2 == 0);
            tags_measure(tags.data(), Tags::FIRST, start - Tags::FIRST);
            tags_measure(tags.data(), start, granules);
            tags_measure(tags.data(), start + granules, tags.end() - start - granules);
            ASSERT_EQ(tags_size(tags.data(), start), granules);
            ASSERT_EQ(tags_left(tags.data(), start + granules), start);
            ASSERT_EQ(tags_left(tags.data(), start), Tags::FIRST);
            if (granules % 7 == 0 || granules < 4)
                tags.expect_agreement();
            if (HasFatalFailure())
                FAIL() << "offset " << offset << ", granules " << granules;
        }
    }
}

TEST(Tags, FindNoLeftNeighbourOfTheFirstBlock) {
    Tags tags(4);
    EXPECT_EQ(tags_left(tags.data(), Tags::FIRST), Tags::FIRST);
    tags.split(Tags::FIRST, 1, true);
    EXPECT_EQ(tags_left(tags.data(), Tags::FIRST), Tags::FIRST);
    EXPECT_EQ(tags_left(tags.data(), Tags::FIRST + 1), Tags::FIRST);
}

TEST(Tags, SplitAndJoinAtEveryGranule) {
    for (size_t offset = 0; offset < LINE; offset++) {
        for (size_t granules : {2, 3, 63, 64, 65, 127, 128, 129, 130, 191, 192, 193, 257}) {
            Tags tags(8);
            size_t start = Tags::FIRST + offset;
            if (offset != 0)
                tags.split(Tags::FIRST, offset, false);
            tags.split(start, granules, false);
            for (size_t keep = 1; keep < granules; keep++) {
                tags.split(start, keep, keep % 2 == 0);
                tags.expect_agreement(Tags::FIRST, start + granules + 1);
                tags.join(start + keep);
                tags_measure(tags.data(), start, granules);
                tags.expect_agreement(Tags::FIRST, start + granules + 1);
                if (HasFatalFailure())
                    FAIL() << "offset " << offset << ", keep " << keep << " of " << granules;
            }
        }
    }
}

/* The trap: a line without a start holds a length or a link, whose bits must not become tags. */
TEST(Tags, DropTheLengthOfALineThatGetsAStart) {
    for (bool is_free : {false, true}) {
        struct tag_line lines[2] = {{0, STALE}, {0, STALE}};
        tags_begin(lines, 5, is_free);
        EXPECT_EQ(lines[0].starts, uint64_t{1} << 5);
        EXPECT_EQ(lines[0].free, is_free ? uint64_t{1} << 5 : 0);
        EXPECT_EQ(lines[1].free, STALE) << "wrote beyond its line";
    }
}

TEST(Tags, BeginAgainChangesOnlyWhetherItIsFree) {
    struct tag_line line = {0b1010, 0b1000};
    tags_begin(&line, 3, false);
    EXPECT_EQ(line.starts, 0b1010u);
    EXPECT_EQ(line.free, 0u);
    tags_begin(&line, 1, true);
    EXPECT_EQ(line.free, 0b0010u);
}

TEST(Tags, MeasureWritesTheFirstAndTheLastLineInsideOnly) {
    for (size_t offset = 0; offset < LINE; offset++) {
        for (size_t granules = 1; granules <= 6 * LINE; granules++) {
            std::vector<struct tag_line> lines(10, {0, STALE});
            tags_measure(lines.data(), offset, granules);
            size_t first = (offset + LINE) / LINE, end = (offset + granules) / LINE;
            for (size_t line = 0; line < lines.size(); line++) {
                bool is_written = first < end && (line == first || line == end - 1);
                ASSERT_EQ(lines[line].free, is_written ? granules : STALE)
                    << "line " << line << ", offset " << offset << ", granules " << granules;
                ASSERT_EQ(lines[line].starts, 0u);
            }
        }
    }
}

/* A block cut down to small pieces and put together again, in random order. */
class RandomTags : public testing::TestWithParam<size_t> {};

TEST_P(RandomTags, AgreeWithTheModel) {
    const size_t lines = GetParam();
    std::mt19937_64 random(20240607 + lines);
    Tags tags(lines);
    for (size_t step = 0; step < 2000; step++) {
        std::vector<size_t> starts = tags.starts();
        size_t start = starts[random() % starts.size()], granules = tags.size(start);
        switch (random() % 3) {
        case 0:
            if (granules > 1)
                tags.split(start, 1 + random() % (granules - 1), random() % 2);
            break;
        case 1:
            if (start != Tags::FIRST && random() % 4 != 0) {
                size_t left = tags.left(start);
                tags.join(start);
                tags_measure(tags.data(), left, tags.size(left));
            }
            break;
        default:
            tags.set_free(start, random() % 2);
        }
        if (step % 8 == 0 || lines < 8)
            tags.expect_agreement();
        else
            tags.expect_agreement(std::max(Tags::FIRST, start - std::min(start, 2 * LINE)),
                                  std::min(tags.end(), start + 3 * LINE));
        if (HasFatalFailure())
            FAIL() << "step " << step;
    }
}

INSTANTIATE_TEST_SUITE_P(Lines, RandomTags, testing::Values(3, 5, 17, 40));

/* Blocks of few sizes, so that many of a line are of the one asked for. */
TEST(Tags, TellTheFreeBlocksOfASizeInALine) {
    std::mt19937_64 random(20240608);
    size_t found = 0;
    for (size_t round = 0; round < 300; round++) {
        Tags tags(8);
        const size_t most = size_t{1} << random() % 9;
        for (size_t start = Tags::FIRST; start < tags.end();) {
            size_t granules = std::min(1 + random() % most, tags.end() - start);
            if (random() % 2)
                granules = std::min(most, tags.end() - start);
            tags.set_free(start, random() % 3 != 0);
            if (start + granules < tags.end())
                tags.split(start, granules, false);
            start += granules;
        }
        for (size_t line = Tags::FIRST / LINE; line < tags.end() / LINE; line++) {
            for (size_t granules = 1; granules <= 5 * LINE; granules++) {
                uint64_t expected = tags.free_of_size(line, granules);
                ASSERT_EQ(tags_free_of_size(tags_line(tags.data(), line * LINE), granules),
                          expected)
                    << "round " << round << ", line " << line << ", granules " << granules;
                found += expected != 0;
            }
        }
    }
    EXPECT_GT(found, 2000u);
}

/* Every arrangement of starts in the first half of a line, all of them free. */
TEST(Tags, TellTheFreeBlocksOfASizeInEveryArrangement) {
    for (uint64_t starts = 1; starts < 1 << 14; starts += 2) {
        struct tag_line lines[2] = {{starts | bit_at(14), starts}, {1, 0}};
        for (size_t granules = 1; granules <= 15; granules++) {
            uint64_t expected = 0;
            for (uint64_t left = starts; left != 0; left &= left - 1) {
                unsigned start = bit_lowest(left);
                uint64_t behind = lines[0].starts & ~((bit_at(start) << 1) - 1);
                if (bit_lowest(behind) - start == granules)
                    expected |= bit_at(start);
            }
            ASSERT_EQ(tags_free_of_size(lines, granules), expected)
                << "starts " << starts << ", granules " << granules;
        }
    }
}

TEST(Tags, BeginARowOfFreeBlocksAtEveryOffset) {
    for (size_t offset = 0; offset < LINE; offset++) {
        for (size_t granules : {1, 2, 3, 5, 8, 31, 32, 33, 63, 64}) {
            for (size_t count : {size_t{1}, size_t{2}, LINE / granules, 4 * LINE / granules}) {
                Tags tags(8);
                size_t start = Tags::FIRST + LINE + offset, end = start + count * granules;
                tags.split(Tags::FIRST, 3, true);
                tags.split(Tags::FIRST + 3, start - Tags::FIRST - 3, true);
                tags.split(start, end - start, false);
                tags.begin_row(start, granules, count);
                tags.expect_agreement();
                if (HasFatalFailure())
                    FAIL() << count << " of " << granules << " at offset " << offset;
            }
        }
    }
}

/* Lengths as only a whole region has them. */
TEST(Tags, KnowBlocksOfAWholeRegion) {
    std::mt19937_64 random(7);
    std::vector<struct tag_line> lines(REGION_LINES + 1, {0, STALE});
    for (size_t line = 0; line < REGION_FIRST_LINE; line++)
        lines[line] = {0, 0};
    tags_begin(lines.data(), REGION_FIRST, false);
    tags_begin(lines.data(), REGION_GRANULES, true);
    tags_measure(lines.data(), REGION_FIRST, REGION_CAPACITY);
    EXPECT_EQ(tags_size(lines.data(), REGION_FIRST), REGION_CAPACITY);
    EXPECT_EQ(tags_left(lines.data(), REGION_GRANULES), REGION_FIRST);
    for (size_t i = 0; i < 20000; i++) {
        size_t keep = 1 + random() % (REGION_CAPACITY - 1);
        tags_split(lines.data(), REGION_FIRST, REGION_CAPACITY, keep, true);
        ASSERT_EQ(tags_size(lines.data(), REGION_FIRST), keep);
        ASSERT_EQ(tags_size(lines.data(), REGION_FIRST + keep), REGION_CAPACITY - keep);
        ASSERT_EQ(tags_left(lines.data(), REGION_FIRST + keep), REGION_FIRST);
        ASSERT_EQ(tags_left(lines.data(), REGION_GRANULES), REGION_FIRST + keep);
        tags_join(lines.data(), REGION_FIRST + keep);
        tags_measure(lines.data(), REGION_FIRST, REGION_CAPACITY);
        ASSERT_EQ(tags_size(lines.data(), REGION_FIRST), REGION_CAPACITY);
    }
}

TEST(Granules, RoundSizesUpAndImpossibleOnesToNothing) {
    EXPECT_EQ(granules_for(0), 0u);
    EXPECT_EQ(granules_for(1), 1u);
    EXPECT_EQ(granules_for(16), 1u);
    EXPECT_EQ(granules_for(17), 2u);
    EXPECT_EQ(granules_for(SIZE_MAX - 14), 0u);
    EXPECT_EQ(granules_for(SIZE_MAX), 0u);
    EXPECT_EQ(granules_for(PTRDIFF_MAX), (size_t{1} << 63) / GRANULE_BYTES);
}

TEST(Alignment, RoundsToPowersOfTwo) {
    for (size_t shift = 0; shift < 64; shift++) {
        size_t unit = size_t{1} << shift;
        EXPECT_TRUE(is_power_of_two(unit));
        EXPECT_EQ(is_power_of_two(unit + 1), shift == 0);
        EXPECT_EQ(align_up(unit, unit), unit);
        EXPECT_EQ(align_down(unit, unit), unit);
        EXPECT_TRUE(is_aligned(unit, unit));
        if (shift != 0 && shift < 63) {
            EXPECT_EQ(align_up(unit + 1, unit), 2 * unit);
            EXPECT_EQ(align_down(2 * unit - 1, unit), unit);
            EXPECT_FALSE(is_aligned(unit + 1, unit));
        }
    }
    EXPECT_FALSE(is_power_of_two(0));
    EXPECT_EQ(align_up(SIZE_MAX, 16), 0u) << "wraps";
}

TEST(Bits, AreFoundFromBothEnds) {
    for (unsigned low = 0; low < 64; low++) {
        for (unsigned high = low; high < 64; high++) {
            uint64_t word = bit_at(low) | bit_at(high);
            ASSERT_EQ(bit_lowest(word), low);
            ASSERT_EQ(bit_highest(word), high);
        }
        EXPECT_EQ(bit_at(low + 64), bit_at(low));
    }
}

} // namespace
} // namespace osmem
