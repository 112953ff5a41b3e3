// What the examples print, as their readers will see it.
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "test/tools/shell.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

std::vector<std::string> lines_of(const std::string &text) {
    std::istringstream stream(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

TEST(First, CountsItsTwoBlocks) {
    const ShellResult result = shell("examples/first");
    EXPECT_EQ(result.status, 0) << result.error;
    const std::vector<std::string> lines = lines_of(result.output);
    ASSERT_EQ(lines.size(), 4u) << result.output;
    EXPECT_EQ(lines[0], "every block is a whole number of granules");
    EXPECT_EQ(lines[1], "99 * 99 = 9801");
    size_t bytes = 0;
    char rest;
    ASSERT_EQ(std::sscanf(lines[2].c_str(), "in use: 2 blocks, %zu bytes%c", &bytes, &rest), 1)
        << lines[2];
    // 42 bytes of text and 100 ints in whole granules, and one granule more for each at most.
    EXPECT_GE(bytes, 48u + 400u);
    EXPECT_LE(bytes, 48u + 400u + 2 * 16u);
    EXPECT_EQ(lines[3], "at the end: 0 blocks, 0 bytes");
}

struct Kind {
    char name[16];
    size_t blocks, bytes;
};

TEST(HeapWalk, DrawsTheHolesAndCountsTheBlocks) {
    const ShellResult result = shell("examples/heap_walk");
    EXPECT_EQ(result.status, 0) << result.error;
    const std::vector<std::string> lines = lines_of(result.output);
    ASSERT_EQ(lines.size(), 12u) << result.output;
    std::string map;
    for (size_t row = 0; row < 6; row++) {
        ASSERT_EQ(lines[row].size(), 66u);
        map += lines[row].substr(1, 64);
    }
    EXPECT_EQ(map.find_first_not_of("#.+ "), std::string::npos) << result.output;
    EXPECT_NE(map.find(".."), std::string::npos) << "no hole\n" << result.output;
    EXPECT_NE(map.find("##"), std::string::npos) << "no blocks\n" << result.output;
    EXPECT_EQ(map.find_first_not_of(' '), 0u);

    std::vector<Kind> kinds;
    for (size_t row = 6; row < lines.size(); row++) {
        Kind kind;
        ASSERT_EQ(std::sscanf(lines[row].c_str(), "%15s %zu blocks %zu bytes", kind.name,
                              &kind.blocks, &kind.bytes),
                  3)
            << lines[row];
        kinds.push_back(kind);
    }
    const Kind &used = kinds[0], &freed = kinds[1], &mapped = kinds[4];
    EXPECT_STREQ(used.name, "used");
    EXPECT_EQ(used.blocks, 72u); // six of each ten stay
    EXPECT_STREQ(freed.name, "free");
    EXPECT_GE(freed.blocks, 12u); // twelve holes of four blocks, merged or not
    EXPECT_LE(freed.blocks, 48u);
    EXPECT_STREQ(mapped.name, "mapped");
    EXPECT_EQ(mapped.blocks, 1u);
    EXPECT_GE(mapped.bytes, 1024u * 1024u);
}

TEST(OwnHeap, ServesWhatItsCapAllows) {
    const ShellResult result = shell("examples/own_heap");
    EXPECT_EQ(result.status, 0) << result.error;
    const std::vector<std::string> lines = lines_of(result.output);
    ASSERT_EQ(lines.size(), 9u) << result.output;
    EXPECT_EQ(lines[1], "  served: 101 blocks, at most 65536 bytes");
    EXPECT_EQ(lines[3], "  no room for 25 bytes: the cache goes");
    EXPECT_EQ(lines[4], "  served: 1500 blocks, at most 65536 bytes");
    EXPECT_EQ(lines[6], "  no room for 25 bytes: the cache goes");
    // Each word takes 32 bytes of the cap, and nothing else does.
    EXPECT_EQ(lines[7], "  given up: 2048 blocks, at most 65536 bytes");
    EXPECT_EQ(lines[8], "at the end: 0 blocks");
}

// The cut in percent that it tells of, or -1.
int cut_by(const std::string &arguments) {
    const ShellResult result = shell("examples/compaction " + arguments);
    EXPECT_EQ(result.status, 0) << result.error << result.output;
    const std::vector<std::string> lines = lines_of(result.output);
    size_t moved, entries;
    int cut = -1;
    if (lines.size() != 4 ||
        std::sscanf(lines[3].c_str(), "%zu of %zu entries moved, memory cut by %d %%", &moved,
                    &entries, &cut) != 3)
        ADD_FAILURE() << result.output;
    return cut;
}

TEST(Compaction, CutsTheMemoryOfASparseHeap) {
    EXPECT_GE(cut_by(""), 60);
    EXPECT_LT(cut_by("all"), 30) << "moving is of no use without the hint";
}

TEST(DropIn, IsServedByOsmemThroughout) {
    const ShellResult result = shell("examples/drop_in");
    EXPECT_EQ(result.status, 0) << result.error;
    const std::vector<std::string> lines = lines_of(result.output);
    ASSERT_EQ(lines.size(), 6u) << result.output;
    EXPECT_EQ(lines[0], "again:1 and:2 home:1 long:1 road:1 sea:2 sky:1 the:4 white:1 ");
    for (size_t line = 1; line < lines.size(); line++)
        EXPECT_EQ(lines[line].substr(23), "osmem") << result.output;
}

TEST(WordIndex, GivesTheSameResultsAlways) {
    const std::string expected = "4 books, 349 words, 6515 postings\nchecksum 49245bd3\n";
    for (const char *arguments : {"", "--pools"}) {
        const ShellResult result =
            shell(std::string("python3 examples/word_index.py --scale 2 ") + arguments);
        EXPECT_EQ(result.status, 0) << result.error;
        EXPECT_EQ(result.output, expected);
    }
}

} // namespace

} // namespace osmem
