// The commands that take traces, given what they cannot use: each says what is wrong in one line,
// and neither hangs nor works for minutes first.
#include <algorithm>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include "test/tools/shell.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

const std::string TRACE = "test/trace/data/sqlite3.osmem";
const std::string REPLAY = "replay -n 1 --samples 2 --allocators osmem ";

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

// Progress is told in lines of its own.
std::string complaints(const std::string &error) {
    std::string lines;
    for (size_t at = 0, end; at < error.size(); at = end + 1) {
        end = std::min(error.find('\n', at), error.size());
        const std::string line = error.substr(at, end - at);
        if (line.compare(0, 7, "osmem: ") == 0)
            lines += line + "\n";
    }
    return lines;
}

void expect_trouble(const ShellResult &result, const std::string &words) {
    EXPECT_EQ(result.status, 1) << result.error;
    const std::string lines = complaints(result.error);
    EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 1) << result.error;
    EXPECT_TRUE(contains(lines, words)) << result.error;
}

// Ends what hangs.
ShellResult tool(const std::string &arguments) {
    return shell("timeout 30 tools/osmem " + arguments);
}

// What is whole can be used all the same, and the damage is told.
void expect_part(const std::string &command, const std::string &file, const std::string &words) {
    const ShellResult result = tool(command + "'" + file + "' --damaged");
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_NE(result.output, "");
    EXPECT_TRUE(contains(result.output + result.error, words)) << result.output << result.error;
}

class Input : public testing::TestWithParam<const char *> {};

TEST_P(Input, ThatIsNoTraceIsTold) {
    const std::string command = GetParam();
    const bool is_map = contains(command, "map");
    const std::string file = scratch_file("input.osmem");
    const std::string trace = file_contents(TRACE);
    const auto expect = [&](const std::string &path, const std::string &words) {
        const ShellResult result = tool(command + "'" + path + "'");
        expect_trouble(result, words);
        EXPECT_EQ(result.output, "") << path;
    };
    expect("/no/such/file", "No such file");
    expect(".", "Is a directory");
    expect("/etc/passwd", is_map ? "not a map" : "not a trace");
    expect("/dev/null", is_map ? "is a device" : "pipe or device");
    expect("/dev/zero", is_map ? "is a device" : "pipe or device");
    file_write(file, "");
    expect(file, is_map ? "not a map" : "not a trace");
    file_write(file, trace.substr(0, 3000));
    expect(file, "not even its header is whole");
    file_write(file, trace.substr(0, 30000));
    expect(file, "truncated");
    expect(file, "--damaged");
    expect_part(command, file, "damaged: at byte 30000");
    std::string changed = trace;
    changed[changed.size() / 2] ^= 1;
    file_write(file, changed);
    expect(file, "checksum");
    expect_part(command, file, "checksum");
}

INSTANTIATE_TEST_SUITE_P(Commands, Input,
                         testing::Values("report ", "replay -n 1 --samples 2 --allocators osmem ",
                                         "map --from "));

// Whether somebody writes into it or not.
TEST(Pipe, IsNoTrace) {
    const std::string pipe = scratch_file("pipe");
    unlink(pipe.c_str());
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    for (const std::string &command : {std::string("report "), REPLAY})
        expect_trouble(tool(command + "'" + pipe + "'"), "pipe or device");
    expect_trouble(shell("cat " + TRACE + " | timeout 30 tools/osmem report /dev/stdin"),
                   "pipe or device");
    expect_trouble(tool("record -o '" + pipe + "' -- true"), "is there and is no trace");
}

class FullDisk : public testing::TestWithParam<const char *> {};

TEST_P(FullDisk, IsToldWhateverIsWritten) {
    if (access("/dev/full", W_OK) != 0)
        GTEST_SKIP() << "there is no /dev/full";
    expect_trouble(tool(GetParam()), "No space left on device");
}

INSTANTIATE_TEST_SUITE_P(
    Commands, FullDisk,
    testing::Values("report test/trace/data/sqlite3.osmem >/dev/full",
                    "report --json - test/trace/data/sqlite3.osmem >/dev/full",
                    "report --json /dev/full test/trace/data/sqlite3.osmem",
                    "report --pprof /dev/full test/trace/data/sqlite3.osmem",
                    "replay -n 1 --allocators osmem test/trace/data/sqlite3.osmem >/dev/full",
                    "replay -n 1 --allocators osmem --json /dev/full test/trace/data/sqlite3.osmem",
                    "map --from test/trace/data/sqlite3.osmem >/dev/full",
                    "map --html /dev/full --from test/trace/data/sqlite3.osmem",
                    "map -- true >/dev/full", "trace-demo >/dev/full",
                    "trace-demo --html /dev/full", "--help >/dev/full"));

// Nobody, root neither, can make a file in /proc.
TEST(Folder, ThatCannotBeWrittenToIsToldBeforeTheWork) {
    for (const std::string &command :
         {"report --json /proc/x " + TRACE, "report --pprof /proc/x " + TRACE,
          REPLAY + "--json /proc/x " + TRACE, REPLAY + "--plots /proc/x " + TRACE,
          REPLAY + "--plots /etc/passwd " + TRACE, std::string("map --html /proc/x -- true"),
          std::string("record -o /proc/x -- true")}) {
        const ShellResult result = tool(command);
        EXPECT_EQ(result.status, 1) << command;
        EXPECT_EQ(result.output, "") << command;
        EXPECT_EQ(std::count(result.error.begin(), result.error.end(), '\n'), 1) << result.error;
    }
}

} // namespace

} // namespace osmem
