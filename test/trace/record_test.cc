// osmem record: what a program did is in the trace, all of it and in the right order, however the
// program ends. The numbers are compared with what the program is known to do, and with those of an
// allocator that counts its calls (counter.c).
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "test/tools/shell.h"
#include "test/trace/counter.h"
#include "tools/trace/reader.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

const std::string PROGRAM = "test/trace/program ";
const std::string COUNTER = "test/trace/libcounter.so";

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

// Records `command`; the file of its first process.
std::string record(const std::string &command, const std::string &options = "", int status = 0) {
    const std::string path = scratch_file("trace.osmem");
    const ShellResult result =
        shell("tools/osmem record -o '" + path + "' " + options + " -- " + command);
    EXPECT_EQ(result.status, status) << result.error;
    return path;
}

std::vector<TraceEvent> events_of(TraceReader &trace) {
    std::vector<TraceEvent> events;
    trace.rewind();
    for (TraceEvent event; trace.next(&event);)
        events.push_back(event);
    return events;
}

// The program's own blocks. The C++ runtime, which every program here has, takes 72704 bytes.
bool is_own(const TraceEvent &event) { return event.size >= 5000 && event.size != 72704; }

// How often each size occurs among the program's successful allocations.
std::map<uint64_t, size_t> sizes_of(TraceReader &trace) {
    std::map<uint64_t, size_t> sizes;
    for (const TraceEvent &event : events_of(trace))
        if (event.kind != TRACE_FREE && !event.failed && is_own(event))
            sizes[event.size]++;
    return sizes;
}

size_t frees_of(TraceReader &trace) {
    size_t count = 0;
    for (const TraceEvent &event : events_of(trace))
        count += event.kind == TRACE_FREE && is_own(event);
    return count;
}

// ---- what is recorded --------------------------------------------------------------------------

TEST(Record, HasEveryCallWithItsSize) {
    TraceReader trace(record(PROGRAM + "calls"));
    const auto sizes = sizes_of(trace);
    const std::map<uint64_t, size_t> expected = {{5001, 1}, {10004, 1}, {5120, 1}, {5003, 1},
                                                 {5004, 1}, {5005, 1},  {5006, 1}, {7000, 1},
                                                 {5009, 1}, {5007, 1},  {6007, 1}, {5008, 1}};
    EXPECT_EQ(sizes, expected);
    EXPECT_EQ(frees_of(trace), 11u);
    std::map<uint64_t, uint64_t> alignments;
    size_t failed = 0;
    for (const TraceEvent &event : events_of(trace)) {
        failed += event.failed;
        if (event.kind != TRACE_ALIGNED)
            continue;
        alignments[event.size] = event.alignment;
        EXPECT_EQ(event.address % event.alignment, 0u);
    }
    EXPECT_EQ(alignments[5120], 64u);
    EXPECT_EQ(alignments[5003], 128u);
    EXPECT_EQ(alignments[5006], 4096u);
    EXPECT_EQ(failed, 2u);
    EXPECT_EQ(trace.unknown_blocks(), 0u);
    EXPECT_EQ(trace.implied_frees(), 0u);
}

TEST(Record, OperatorsThatTheProgramReplacesStayReplaced) {
    for (const char *allocator : {"", "--as-is"}) {
        TraceReader trace(record("test/trace/replacing", allocator));
        const std::map<uint64_t, size_t> expected = {{5001, 1}, {5002, 1}, {5003, 1}, {5004, 1},
                                                     {5005, 1}, {5006, 1}, {8000, 1}};
        EXPECT_EQ(sizes_of(trace), expected);
        EXPECT_EQ(frees_of(trace), 7u);
        EXPECT_EQ(trace.unknown_blocks(), 0u);
        EXPECT_TRUE(trace.info().finished);
    }
}

TEST(Record, TellsWhatWasRecorded) {
    TraceReader trace(record(PROGRAM + "pairs 10"));
    const TraceInfo &info = trace.info();
    EXPECT_TRUE(contains(info.program, "/program")) << info.program;
    EXPECT_TRUE(contains(info.allocator, "/libosmem-malloc.so")) << info.allocator;
    EXPECT_EQ(info.command, (std::vector<std::string>{"test/trace/program", "pairs", "10"}));
    EXPECT_TRUE(info.finished);
    EXPECT_EQ(info.stopped, 0);
    EXPECT_EQ(info.lost, 0u);
    EXPECT_GT(info.duration_s, 0.0);
    EXPECT_LT(info.duration_s, 10.0);
}

TEST(Record, TimesAreThoseOfTheProgram) {
    const double before = double(time(nullptr));
    TraceReader trace(record("sh -c 'sleep 0.5; exec sleep 0.5'"));
    EXPECT_NEAR(trace.info().duration_s, 0.5, 0.3); // up to exec
    EXPECT_GE(double(trace.info().start_realtime_ns) / 1e9, before - 1);
    EXPECT_LE(double(trace.info().start_realtime_ns) / 1e9, before + 60);
}

TEST(Record, BlocksThatAreNotFreedAreSeen) {
    TraceReader trace(record(PROGRAM + "pairs 2000"));
    std::set<uint64_t> live;
    for (const TraceEvent &event : events_of(trace)) {
        if (event.kind == TRACE_FREE)
            live.erase(event.block);
        else if (is_own(event))
            live.insert(event.block);
    }
    EXPECT_EQ(live.size(), 5u);
    EXPECT_EQ(frees_of(trace), 2000u);
}

TEST(Record, AMovedBlockKeepsItsNumber) {
    TraceReader trace(record(PROGRAM + "grow"));
    std::set<uint64_t> blocks;
    uint64_t last_size = 5000;
    size_t moves = 0, steps = 0;
    for (const TraceEvent &event : events_of(trace)) {
        if (event.kind != TRACE_REALLOC)
            continue;
        EXPECT_EQ(event.old_size, last_size);
        last_size = event.size;
        blocks.insert(event.block);
        moves += event.address != event.old_address;
        steps++;
    }
    EXPECT_EQ(blocks.size(), 1u);
    EXPECT_EQ(steps, 174u);
    EXPECT_GE(moves, 3u); // those of mapped blocks depend on where the kernel puts things
    EXPECT_EQ(trace.unknown_blocks() + trace.implied_frees(), 0u);
}

// ---- against an independent count --------------------------------------------------------------

class SameNumbers : public testing::TestWithParam<const char *> {};

TEST_P(SameNumbers, AsAnAllocatorThatCounts) {
    const std::string command = GetParam(), file = scratch_file("counts");
    if (shell("test -x " + command.substr(0, command.find(' '))).status != 0)
        GTEST_SKIP() << command << " is not installed";
    setenv("COUNTER_FILE", file.c_str(), 1);
    TraceReader trace(record(command, "--lib " + COUNTER));
    unsetenv("COUNTER_FILE");
    counts counted{};
    const std::string bytes = file_contents(file);
    ASSERT_EQ(bytes.size(), sizeof counted);
    std::memcpy(&counted, bytes.data(), sizeof counted);

    counts seen{};
    for (const TraceEvent &event : events_of(trace)) {
        seen.mallocs += event.kind == TRACE_MALLOC;
        seen.callocs += event.kind == TRACE_CALLOC;
        seen.reallocs += event.kind == TRACE_REALLOC;
        seen.aligned += event.kind == TRACE_ALIGNED;
        seen.frees += event.kind == TRACE_FREE;
        seen.bytes += event.kind == TRACE_FREE ? 0 : event.size;
    }
    EXPECT_GT(counted.mallocs, 100u);
    EXPECT_EQ(seen.mallocs, counted.mallocs);
    EXPECT_EQ(seen.callocs, counted.callocs);
    EXPECT_EQ(seen.reallocs, counted.reallocs);
    EXPECT_EQ(seen.aligned, counted.aligned);
    EXPECT_EQ(seen.frees, counted.frees);
    EXPECT_EQ(seen.bytes, counted.bytes);
    EXPECT_EQ(trace.unknown_blocks(), 0u);
    EXPECT_EQ(trace.implied_frees(), 0u);
    EXPECT_EQ(trace.info().lost, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Programs, SameNumbers,
    testing::Values("test/trace/program pairs 10000", "test/trace/program exchange 20000",
                    "test/trace/program threads 100",
                    "/usr/bin/perl -e 'my %h; $h{$_ % 999} .= $_ for 1 .. 20000; print %h'",
                    "/usr/bin/python3 -c 'print(sum(len(str(i)) for i in range(50000)))'",
                    "/usr/bin/sort /proc/self/maps"));

// ---- threads -----------------------------------------------------------------------------------

class Exchange : public testing::TestWithParam<const char *> {};

// The two threads give each other the same few addresses again and again: any event out of order
// would be a free of what is not there, or an allocation of what is.
TEST_P(Exchange, IsInTheOrderInWhichItHappened) {
    TraceReader trace(record(PROGRAM + "exchange 100000", GetParam()));
    std::map<uint64_t, uint32_t> owners;
    size_t crossed = 0;
    for (const TraceEvent &event : events_of(trace)) {
        if (event.kind == TRACE_MALLOC)
            owners[event.block] = event.thread;
        if (event.kind == TRACE_FREE && event.size == 5000)
            crossed += owners.at(event.block) != event.thread;
    }
    EXPECT_EQ(crossed, 100000u);
    EXPECT_EQ(trace.unknown_blocks(), 0u);
    EXPECT_EQ(trace.implied_frees(), 0u);
    EXPECT_EQ(trace.info().lost, 0u);
}

INSTANTIATE_TEST_SUITE_P(Clocks, Exchange,
                         testing::Values("", "--as-is", "--clock monotonic", "--stacks 5000"));

class Swap : public testing::TestWithParam<const char *> {};

// Four threads and eight places. A processor that works ahead looks at its clock before it has the
// pointer: it is the reader that gets the order right. TEST_ROUNDS says how often; each is another
// interleaving.
TEST_P(Swap, HasAFreeForEveryBlockAndTheReverse) {
    const char *rounds = getenv("TEST_ROUNDS");
    for (int round = rounds == nullptr ? 1 : atoi(rounds); round > 0; round--) {
        TraceReader trace(record(PROGRAM + "swap 100000", GetParam()));
        std::map<uint64_t, uint32_t> owners; // of live blocks
        size_t allocated = 0, resized = 0, freed = 0, crossed = 0;
        uint64_t last_ns = 0;
        for (const TraceEvent &event : events_of(trace)) {
            EXPECT_GE(event.time_ns, last_ns);
            last_ns = event.time_ns;
            if (event.kind == TRACE_FREE) {
                ASSERT_EQ(owners.count(event.block), 1u);
                crossed += owners[event.block] != event.thread;
                owners.erase(event.block);
            } else {
                EXPECT_EQ(owners.count(event.block), event.kind == TRACE_REALLOC);
                owners[event.block] = event.thread;
            }
            allocated += event.kind == TRACE_MALLOC && event.size < 144;
            resized += event.kind == TRACE_REALLOC;
            freed += event.kind == TRACE_FREE;
        }
        EXPECT_GE(allocated, 400000u);
        EXPECT_GT(resized, 10000u);
        EXPECT_GT(crossed, 1000u);
        EXPECT_GE(freed, 400000u);
        EXPECT_EQ(trace.unknown_blocks(), 0u);
        EXPECT_EQ(trace.implied_frees(), 0u);
        EXPECT_EQ(trace.info().lost, 0u);
    }
}

INSTANTIATE_TEST_SUITE_P(Allocators, Swap, testing::Values("", "--as-is", "--clock monotonic"));

TEST(Threads, EachIsToldApartAndTheirChunksAreUsedAgain) {
    const std::string path = record(PROGRAM + "threads 500", "--stacks 0");
    TraceReader trace(path);
    EXPECT_EQ(trace.threads().size(), 501u);
    std::set<uint32_t> threads;
    for (const TraceEvent &event : events_of(trace))
        if (event.size >= 5000 && event.size < 5500)
            threads.insert(event.thread);
    EXPECT_EQ(threads.size(), 500u);
    EXPECT_LT(trace.info().bytes, 200u * 1024); // a chunk for each would be 2000 KiB
}

// ---- ends --------------------------------------------------------------------------------------

TEST(Ends, AProgramThatIsKilledLosesNothing) {
    const struct {
        const char *how;
        int status;
        bool finished;
    } ends[] = {{"exit", 0, true},
                {"_exit", 3, false},
                {"kill", 128 + SIGKILL, false},
                {"abort", 128 + SIGABRT, false}};
    for (const auto &end : ends) {
        TraceReader trace(record(PROGRAM + "end " + end.how, "", end.status));
        EXPECT_EQ(sizes_of(trace), (std::map<uint64_t, size_t>{{5000, 1}})) << end.how;
        EXPECT_EQ(trace.info().finished, end.finished) << end.how;
        EXPECT_TRUE(trace.damage().empty());
    }
}

TEST(Ends, ThreadsKilledInTheMidstLeaveAWholeTrace) {
    const std::string path = scratch_file("killed.osmem");
    unlink(path.c_str());
    const pid_t tool = shell_start("tools/osmem record --stacks 9000 -o '" + path + "' -- " +
                                       PROGRAM + "exchange 1000000000",
                                   scratch_file("log"));
    pid_t program = 0;
    for (int i = 0; i < 1000; i++) {
        usleep(10 * 1000);
        try {
            const TraceInfo info = trace_info(path);
            program = pid_t(info.pid);
            if (info.events > 200000)
                break;
        } catch (const TraceError &) {
            // Not there yet.
        }
    }
    ASSERT_GT(program, 0);
    kill(program, SIGKILL);
    int status;
    waitpid(tool, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 128 + SIGKILL);
    TraceReader trace(path);
    EXPECT_TRUE(trace.damage().empty());
    EXPECT_GT(trace.info().events, 200000u);
    EXPECT_FALSE(trace.info().finished);
    events_of(trace);
    EXPECT_EQ(trace.unknown_blocks(), 0u);
    EXPECT_EQ(trace.implied_frees(), 0u);
}

class Fork : public testing::TestWithParam<const char *> {};

TEST_P(Fork, AChildHasAFileOfItsOwn) {
    const std::string path = record(PROGRAM + "end " + GetParam());
    TraceReader parent(path);
    EXPECT_EQ(sizes_of(parent), (std::map<uint64_t, size_t>{{5000, 1}, {5100, 1}, {5300, 1}}));
    EXPECT_EQ(frees_of(parent), 1u);
    EXPECT_EQ(parent.unknown_blocks(), 0u);

    const ShellResult listing = shell("ls '" + path + "'.*");
    TraceReader child(listing.output.substr(0, listing.output.find('\n')));
    EXPECT_EQ(child.info().parent, parent.info().pid);
    EXPECT_EQ(sizes_of(child), (std::map<uint64_t, size_t>{{5200, 1}}));
    EXPECT_EQ(child.unknown_blocks(), 1u); // its parent's
}

INSTANTIATE_TEST_SUITE_P(Ways, Fork, testing::Values("fork", "clone"));

TEST(Exec, EachProgramHasAFileOfItsOwn) {
    const std::string path = record("sh -c '" + PROGRAM + "end exec; exec " + PROGRAM + "pairs 1'");
    const ShellResult files = shell("ls '" + path + "'*");
    std::set<std::string> programs;
    std::istringstream lines(files.output);
    for (std::string file; std::getline(lines, file);) {
        const TraceReader trace(file);
        programs.insert(trace.info().command.back());
    }
    EXPECT_EQ(programs.count("exec"), 1u) << files.output;
    EXPECT_EQ(programs.count("1"), 1u) << files.output;
}

TEST(Exec, AVforkedChildDoesNotDisturbItsParent) {
    TraceReader trace(record(PROGRAM + "end vfork"));
    EXPECT_EQ(sizes_of(trace), (std::map<uint64_t, size_t>{{5000, 1}, {5400, 1}}));
    EXPECT_TRUE(trace.info().finished);
}

TEST(Descriptors, OfTheProgramAreNotTouched) {
    const std::string file = scratch_file("own");
    TraceReader trace(record(PROGRAM + "reopen '" + file + "'"));
    EXPECT_EQ(frees_of(trace), 100000u);
    EXPECT_EQ(file_contents(file), "");
}

// ---- the command -------------------------------------------------------------------------------

TEST(Command, SaysWhatItRecorded) {
    const ShellResult result = shell("tools/osmem record -o '" + scratch_file("said.osmem") +
                                     "' -- " + PROGRAM + "pairs 1000");
    EXPECT_TRUE(contains(result.error, "1 trace")) << result.error;
    EXPECT_TRUE(contains(result.error, " events ")) << result.error;
    const ShellResult quiet = shell("tools/osmem record -q -o '" + scratch_file("said.osmem") +
                                    "' -- " + PROGRAM + "pairs 1000");
    EXPECT_EQ(quiet.error, "");
}

TEST(Command, RefusesWhatItCannotDo) {
    const std::string tool = "tools/osmem record ";
    const std::string foreign = scratch_file("foreign");
    file_write(foreign, "important\n");
    EXPECT_EQ(shell(tool + "-o '" + foreign + "' -- " + PROGRAM + "pairs 1").status, 1);
    EXPECT_EQ(file_contents(foreign), "important\n");
    EXPECT_EQ(shell(tool + "-o /no/such/folder/x -- true").status, 1);
    EXPECT_EQ(shell(tool + "-o '" + scratch_file("x") + "' -- no-such-program").status, 127);
    EXPECT_EQ(shell(tool + "-o '" + scratch_file("x") + "' -- /etc/passwd").status, 126);
    const ShellResult none =
        shell(tool + "-o '" + scratch_file("none") + "' -- test/tools/static_program exit 0");
    EXPECT_EQ(none.status, 1);
    EXPECT_TRUE(contains(none.error, "nothing was recorded")) << none.error;
}

TEST(Command, RecordingStopsWhenTheFileCannotGrow) {
    const std::string path = scratch_file("full.osmem");
    // The limit's signal would end the program; who ignores it gets an error.
    const ShellResult result =
        shell("trap '' XFSZ; ulimit -f 64; tools/osmem record --stacks 0 -o '" + path + "' -- " +
              PROGRAM + "pairs 100000");
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_TRUE(contains(result.error, "STOPPED")) << result.error;
    TraceReader trace(path);
    EXPECT_EQ(trace.info().stopped, EFBIG);
    EXPECT_GT(trace.info().events, 1000u);
    EXPECT_LT(trace.info().events, 100000u);
}

// ---- stacks ------------------------------------------------------------------------------------

TEST(Stacks, LeadFromTheAllocationToMain) {
    TraceReader trace(record(PROGRAM + "pairs 100", "--stacks 1"));
    size_t sampled = 0;
    for (const TraceEvent &event : events_of(trace)) {
        if (event.kind != TRACE_MALLOC || !is_own(event))
            continue;
        ASSERT_GE(event.stack, 0);
        const std::vector<uint64_t> *stack = trace.stack(event.stack);
        ASSERT_NE(stack, nullptr);
        ASSERT_GE(stack->size(), 2u);
        sampled++;
        bool in_program = false;
        for (const TraceModule &module : trace.modules())
            if (stack->front() - module.start < module.size)
                in_program = contains(module.path, "/program");
        EXPECT_TRUE(in_program); // not in the recorder
    }
    EXPECT_EQ(sampled, 105u);
}

TEST(Stacks, AreTakenAsOftenAsAskedFor) {
    EXPECT_EQ(
        [] {
            TraceReader trace(record(PROGRAM + "pairs 20000", "--stacks 0"));
            size_t sampled = 0;
            for (const TraceEvent &event : events_of(trace))
                sampled += event.stack >= 0;
            return sampled;
        }(),
        0u);
    TraceReader trace(record(PROGRAM + "pairs 20000", "--stacks 50000"));
    size_t sampled = 0;
    for (const TraceEvent &event : events_of(trace))
        sampled += event.stack >= 0;
    // 110 MB in blocks of 5500 on average: one of 9.6 (1 / (1 - exp(-0.11))).
    EXPECT_NEAR(double(sampled), 20000 / 9.6, 200);
}

} // namespace

} // namespace osmem
