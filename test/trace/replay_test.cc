// osmem replay: what was recorded is done again, all of it, on every allocator; the figures are
// those of programs whose memory is known; the same trace gives the same placement.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "nlohmann/json.hpp"
#include "test/tools/shell.h"
#include "tools/replay/planner.h"
#include "tools/trace/reader.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

using Json = nlohmann::json;

const std::string PROGRAM = "test/trace/program ";
const std::string DATA = "test/trace/data/";
const double MIB = 1024 * 1024;

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

std::string record(const std::string &command) {
    const std::string path = scratch_file("trace.osmem");
    EXPECT_EQ(shell("tools/osmem record -q -o '" + path + "' -- " + command).status, 0);
    return path;
}

// The figures of glibc and osmem, from one timed run.
Json replay(const std::string &trace, const std::string &options = "") {
    const ShellResult result =
        shell("tools/osmem replay -n 1 --samples 100 --json - " +
              (options.empty() ? "--allocators osmem" : options) + " '" + trace + "'");
    EXPECT_EQ(result.status, 0) << result.error;
    Json json = Json::parse(result.output, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << result.output << result.error;
    return json;
}

const Json &allocator(const Json &json, const std::string &name) {
    static const Json none;
    for (const Json &each : json["allocators"])
        if (each["name"] == name)
            return each;
    ADD_FAILURE() << "no " << name;
    return none;
}

// ---- plans -------------------------------------------------------------------------------------

struct Header {
    plan_header header;
    std::vector<std::vector<plan_op>> threads;
};

Header plan_of(const std::string &trace, Plan::Order order, std::vector<PlanSample> *samples) {
    TraceReader reader(trace);
    const TraceOutline outline = outline_of(reader, 0);
    const Plan plan(reader, outline, order, samples == nullptr ? 0 : 50);
    if (samples != nullptr)
        *samples = plan.samples();
    const std::string path = scratch_file("plan");
    plan.write(path);
    const std::string bytes = file_contents(path);
    Header read{};
    std::memcpy(&read.header, bytes.data(), sizeof read.header);
    const auto *threads = reinterpret_cast<const plan_thread *>(bytes.data() + sizeof read.header);
    const auto *ops = reinterpret_cast<const plan_op *>(threads + read.header.threads);
    for (uint32_t i = 0; i < read.header.threads; i++)
        read.threads.emplace_back(ops + threads[i].first,
                                  ops + threads[i].first + threads[i].count);
    return read;
}

// Carries a plan out with threads that take turns by chance, and checks that every block is there
// when it is needed and every slot empty when it is filled. Returns the number of calls.
size_t play(const Header &plan, unsigned seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::vector<bool> filled(plan.header.slots), started(plan.threads.size());
    std::vector<size_t> done(plan.threads.size());
    started[0] = true;
    size_t calls = 0;
    for (;;) {
        std::vector<size_t> ready;
        bool finished = true;
        for (size_t i = 0; i < plan.threads.size(); i++) {
            if (done[i] == plan.threads[i].size())
                continue;
            finished = false;
            const plan_op &op = plan.threads[i][done[i]];
            if (started[i] && (op.kind != OP_WAIT || done[op.slot] >= op.size))
                ready.push_back(i);
        }
        if (finished)
            return calls;
        if (ready.empty()) {
            ADD_FAILURE() << "all threads wait";
            return calls;
        }
        const size_t thread = ready[random() % ready.size()];
        for (size_t count = random() % 50 + 1; count > 0; count--) {
            if (done[thread] == plan.threads[thread].size())
                break;
            const plan_op &op = plan.threads[thread][done[thread]];
            if (op.kind == OP_WAIT && done[op.slot] < op.size)
                break;
            done[thread]++;
            if (op.kind == OP_START)
                started[op.slot] = true;
            if (op.kind >= OP_CALLS)
                continue;
            calls++;
            const bool expected = op.kind == OP_FREE || op.kind == OP_REALLOC;
            if (filled[op.slot] != expected) {
                ADD_FAILURE() << "slot " << op.slot << " at operation " << done[thread];
                return calls;
            }
            filled[op.slot] = op.kind != OP_FREE;
        }
    }
}

class Plans : public testing::TestWithParam<std::string> {};

TEST_P(Plans, KeepEveryBlockWhereItIsNeededHoweverTheThreadsRun) {
    const std::string trace =
        GetParam().find(".osmem") == std::string::npos ? record(PROGRAM + GetParam()) : GetParam();
    TraceReader reader(trace);
    size_t expected = 0;
    for (TraceEvent event; reader.next(&event);)
        expected += !event.failed && event.block != TraceEvent::NO_BLOCK;
    for (const Plan::Order order : {Plan::Order::FREE, Plan::Order::STRICT}) {
        const Header plan = plan_of(trace, order, nullptr);
        for (unsigned seed = 1; seed <= 5; seed++)
            EXPECT_EQ(play(plan, seed), expected);
    }
}

INSTANTIATE_TEST_SUITE_P(All, Plans,
                         testing::Values("exchange 20000", "threads 100", "grow", "calls",
                                         DATA + "redis.osmem", DATA + "cc1plus.osmem"));

TEST(Plan, HasASampleAtThePeak) {
    TraceReader reader(DATA + "sqlite3.osmem");
    uint64_t live = 0, peak = 0;
    for (TraceEvent event; reader.next(&event);) {
        if (event.failed || event.block == TraceEvent::NO_BLOCK)
            continue;
        live += event.kind == TRACE_FREE ? -event.size : event.size - event.old_size;
        peak = std::max(peak, live);
    }
    std::vector<PlanSample> samples;
    plan_of(DATA + "sqlite3.osmem", Plan::Order::STRICT, &samples);
    uint64_t most = 0;
    for (const PlanSample &sample : samples)
        most = std::max(most, sample.live);
    EXPECT_EQ(most, peak);
    EXPECT_GE(samples.size(), 50u);
}

// ---- figures -----------------------------------------------------------------------------------

TEST(Replay, DoesEveryCallAgain) {
    for (const std::string name : {"python3", "redis", "sqlite3", "cc1plus"}) {
        const std::string trace = DATA + name + ".osmem";
        TraceReader reader(trace);
        size_t calls[6] = {};
        size_t all = 0;
        for (TraceEvent event; reader.next(&event);) {
            if (event.failed || event.block == TraceEvent::NO_BLOCK)
                continue;
            calls[event.kind]++;
            all++;
        }
        const Json json = replay(trace);
        for (const std::string on : {"glibc", "osmem"}) {
            const Json &found = allocator(json, on);
            EXPECT_EQ(found["calls"], all);
            EXPECT_EQ(found["refused"], 0);
            EXPECT_EQ(found["latency_ns"]["malloc"]["count"], calls[TRACE_MALLOC]);
            EXPECT_EQ(found["latency_ns"]["realloc"]["count"], calls[TRACE_REALLOC]);
            EXPECT_EQ(found["latency_ns"]["free"]["count"], calls[TRACE_FREE]);
        }
    }
}

TEST(Replay, MemoryIsThatOfTheProgram) {
    const Json json = replay(record("test/tools/program hold 64"));
    EXPECT_NEAR(json["peak_live_bytes"].get<double>(), 64 * MIB, 0.2 * MIB);
    for (const std::string on : {"glibc", "osmem"}) {
        const Json &found = allocator(json, on);
        EXPECT_GE(found["resident_bytes"]["peak"].get<double>(), 64 * MIB) << on;
        EXPECT_LE(found["resident_bytes"]["peak"].get<double>(), 67 * MIB) << on;
        EXPECT_LT(found["resident_bytes"]["average"].get<double>(), 60 * MIB) << on;
        EXPECT_GT(found["resident_bytes"]["average"].get<double>(), 30 * MIB) << on;
        EXPECT_GE(found["resident_over_live"]["at_live_peak"].get<double>(), 1.0) << on;
        EXPECT_LE(found["resident_over_live"]["at_live_peak"].get<double>(), 1.05) << on;
        // The curve goes up and down again.
        const Json &samples = found["samples"];
        ASSERT_GT(samples.size(), 50u);
        EXPECT_LT(samples.front()["resident"].get<double>(), 2 * MIB) << on;
        EXPECT_LT(samples.back()["resident"].get<double>(), 2 * MIB) << on;
        EXPECT_LT(samples.back()["live"].get<double>(), 0.2 * MIB) << on;
    }
}

TEST(Replay, PercentilesAreInOrder) {
    const Json json = replay(DATA + "python3.osmem");
    for (const std::string on : {"glibc", "osmem"}) {
        for (const std::string call : {"malloc", "realloc", "free"}) {
            const Json &of = allocator(json, on)["latency_ns"][call];
            EXPECT_LE(of["p50"], of["p99"]) << on << call;
            EXPECT_LE(of["p99"], of["p99.9"]) << on << call;
            EXPECT_LE(of["p99.9"], of["max"]) << on << call;
            EXPECT_GT(of["max"].get<double>(), 0) << on << call;
        }
        EXPECT_GT(allocator(json, on)["median"]["wall_s"].get<double>(), 0);
        EXPECT_GT(allocator(json, on)["median"]["cpu_s"].get<double>(), 0);
    }
}

TEST(Replay, OfThreadsIsDoneByThreads) {
    const std::string trace = record(PROGRAM + "exchange 20000");
    const Json json = replay(trace);
    EXPECT_EQ(json["threads"], 3);
    EXPECT_GE(allocator(json, "osmem")["calls"].get<size_t>(), 40000u);
    EXPECT_EQ(allocator(json, "osmem")["calls"], allocator(json, "glibc")["calls"]);
}

TEST(Replay, TheSameTraceGivesTheSamePlacement) {
    for (const std::string name : {"python3", "redis", "sqlite3", "cc1plus"}) {
        const Json first = replay(DATA + name + ".osmem"), second = replay(DATA + name + ".osmem");
        EXPECT_EQ(allocator(first, "osmem")["placement"], allocator(second, "osmem")["placement"])
            << name;
        EXPECT_NE(allocator(first, "osmem")["placement"], allocator(first, "glibc")["placement"])
            << name;
    }
    const Json other = replay(DATA + "sqlite3.osmem", "--allocators osmem --events 13000");
    const Json whole = replay(DATA + "sqlite3.osmem");
    EXPECT_EQ(other["events"], 13000);
    EXPECT_NE(allocator(other, "osmem")["placement"], allocator(whole, "osmem")["placement"]);
}

TEST(Replay, DrawsMemoryAndLatency) {
    const std::string folder = scratch_file("plots");
    const ShellResult result = shell("tools/osmem replay -n 1 --allocators osmem --plots '" +
                                     folder + "' " + DATA + "sqlite3.osmem");
    EXPECT_EQ(result.status, 0) << result.error;
    for (const std::string name : {"memory", "latency"}) {
        const std::string svg = file_contents(folder + "/" + name + ".svg");
        EXPECT_EQ(svg.compare(0, 5, "<svg "), 0);
        EXPECT_EQ(svg.substr(std::max<size_t>(svg.size(), 7) - 7), "</svg>\n");
        EXPECT_TRUE(contains(svg, ">osmem<") && contains(svg, ">glibc<")) << svg;
        EXPECT_FALSE(contains(svg, "nan,") || contains(svg, ",nan") || contains(svg, "inf,") ||
                     contains(svg, ",inf"));
    }
}

TEST(Replay, PrintsATableWithARowForEachAllocator) {
    const ShellResult result = shell("tools/osmem replay -n 1 " + DATA + "sqlite3.osmem");
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_TRUE(contains(result.output, "\nglibc ")) << result.output;
    EXPECT_TRUE(contains(result.output, "\nosmem ")) << result.output;
    EXPECT_TRUE(contains(result.error, "memory: osmem")) << result.error; // progress
}

TEST(Replay, MarksAnAllocatorThatCrashes) {
    const ShellResult result =
        shell("tools/osmem replay -n 1 --allocators osmem --also boom=test/tools/libcrashing.so " +
              DATA + "sqlite3.osmem");
    EXPECT_EQ(result.status, 1);
    const size_t row = result.output.find("\nboom ");
    ASSERT_NE(row, std::string::npos) << result.output;
    EXPECT_TRUE(contains(result.output.substr(row, 200), "CRASHED")) << result.output;
}

TEST(Replay, LeavesNoFilesBehind) {
    const std::string folder = scratch_file("tmp");
    shell("mkdir '" + folder + "'; TMPDIR='" + folder +
          "' tools/osmem replay -n 1 --allocators osmem " + DATA + "sqlite3.osmem");
    EXPECT_EQ(shell("ls -A '" + folder + "'").output, "");
}

TEST(Replay, AnInterruptEndsItInOrder) {
    const std::string folder = scratch_file("interrupted"), log = scratch_file("log");
    shell("rm -rf '" + folder + "'; mkdir '" + folder + "'");
    const pid_t tool = shell_start("env TMPDIR='" + folder + "' tools/osmem replay -n 100000 " +
                                       "--allocators osmem " + DATA + "python3.osmem",
                                   log);
    for (int i = 0; i < 500 && !contains(file_contents(log), "run 2 of"); i++)
        usleep(20 * 1000);
    kill(-tool, SIGINT);
    int status = 0;
    waitpid(tool, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 130);
    EXPECT_TRUE(contains(file_contents(log), "interrupted: ")) << file_contents(log);
    EXPECT_EQ(shell("ls -A '" + folder + "'").output, "");
}

// ---- bad input ---------------------------------------------------------------------------------

class WrongCommandLine : public testing::TestWithParam<const char *> {};

TEST_P(WrongCommandLine, IsToldInOneLineAndExitStatusTwo) {
    const ShellResult result = shell(std::string("tools/osmem ") + GetParam());
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.output, "");
    EXPECT_EQ(std::count(result.error.begin(), result.error.end(), '\n'), 1) << result.error;
    EXPECT_TRUE(contains(result.error, "--help")) << result.error;
}

INSTANTIATE_TEST_SUITE_P(All, WrongCommandLine,
                         testing::Values("replay", "replay --fly x", "replay a b", "replay -n 0 x",
                                         "replay --events -1 x", "replay --samples 0 x",
                                         "replay --json", "record", "record --",
                                         "record --fly -- true", "record --stacks some -- true",
                                         "record --stacks -1 -- true", "record --clock sun -- true",
                                         "record --as-is --lib x -- true", "record -o"));

} // namespace

} // namespace osmem
