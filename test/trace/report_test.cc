// osmem report: its figures are those of traces made up for the purpose, and of programs that are
// known; the profile for pprof is read back.
#include <algorithm>
#include <csignal>
#include <map>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "nlohmann/json.hpp"
#include "test/tools/shell.h"
#include "test/trace/maker.h"
#include "tools/report/analysis.h"
#include "tools/trace/reader.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

using Json = nlohmann::json;

const std::string PROGRAM = "test/trace/program ";
const std::string DATA = "test/trace/data/";

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

std::string record(const std::string &command, const std::string &options = "") {
    const std::string path = scratch_file("trace.osmem");
    EXPECT_EQ(shell("tools/osmem record -q -o '" + path + "' " + options + " -- " + command).status,
              0);
    return path;
}

Json report(const std::string &trace, const std::string &options = "") {
    const ShellResult result = shell("tools/osmem report --json - " + options + " '" + trace + "'");
    EXPECT_EQ(result.status, 0) << result.error;
    Json json = Json::parse(result.output, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << result.output;
    return json;
}

Analysis analysis_of(Maker &maker, Analysis::Moment moment = Analysis::Moment::PEAK,
                     double second = 0) {
    TraceReader trace(maker.write());
    return Analysis(trace, moment, second);
}

std::string topics(const Json &json) {
    std::string text;
    for (const Json &advice : json["advice"])
        text += advice["topic"].get<std::string>() + " ";
    return text;
}

// ---- figures of traces made up -----------------------------------------------------------------

TEST(Analysis, CountsLiveBytes) {
    Maker maker;
    maker.chunk(0, 0).allocate(100, 0x10000, 100).allocate(200, 0x20000, 50).release(300, 0x10000);
    maker.allocate(400, 0x10000, 10).resize(500, 600, 0x20000, 0x30000, 20);
    const Analysis all = analysis_of(maker);
    EXPECT_EQ(all.allocations, 3u);
    EXPECT_EQ(all.frees, 1u);
    EXPECT_EQ(all.resizes, 1u);
    EXPECT_EQ(all.moves, 1u);
    EXPECT_EQ(all.moved_bytes, 20u);
    EXPECT_EQ(all.allocated_bytes, 180u);
    EXPECT_EQ(all.peak_bytes, 150u);
    EXPECT_EQ(all.peak_event, 2u);
    EXPECT_EQ(all.end_bytes, 30u);
    EXPECT_EQ(all.end_blocks, 2u);
    EXPECT_DOUBLE_EQ(all.average_bytes, (100 + 150 + 50 + 60 + 30) / 5.0);
    EXPECT_EQ(all.moment_bytes, 150u);
    EXPECT_EQ(all.moment_sizes.at(100).blocks, 1u);
    EXPECT_EQ(all.end_sizes.at(20).blocks, 1u);
}

TEST(Analysis, TheMomentCanBeChosen) {
    Maker maker;
    maker.chunk(0, 0).allocate(1000000000, 0x1000, 1).allocate(2000000000, 0x2000, 2);
    maker.release(3000000000, 0x1000);
    EXPECT_EQ(analysis_of(maker, Analysis::Moment::SECOND, 1.5).moment_bytes, 1u);
    EXPECT_EQ(analysis_of(maker, Analysis::Moment::SECOND, 2.5).moment_bytes, 3u);
    EXPECT_EQ(analysis_of(maker, Analysis::Moment::END).moment_bytes, 2u);
    EXPECT_EQ(analysis_of(maker, Analysis::Moment::SECOND, 0.5).moment_bytes, 0u);
}

TEST(Analysis, LifetimesAreInTimeAndInBytes) {
    Maker maker;
    maker.chunk(0, 0).allocate(1000, 0x10000, 64).release(1100, 0x10000);
    maker.allocate(2000, 0x10000, 64).allocate(2100, 0x40000, 100000).release(12000, 0x10000);
    maker.chunk(1, 13000).release(14000, 0x40000);
    const Analysis all = analysis_of(maker);
    EXPECT_EQ(all.lifetimes_ns[6].blocks, 1u);  // 100
    EXPECT_EQ(all.lifetimes_ns[13].blocks, 2u); // 10000, 11900
    EXPECT_EQ(all.lifetimes_bytes[0].blocks, 2u);
    EXPECT_EQ(all.lifetimes_bytes[16].blocks, 1u); // 100000
    EXPECT_EQ(all.short_lived, 2u);
    EXPECT_EQ(all.short_sizes.at(64), 1u);
    EXPECT_EQ(all.crossed_frees, 1u);
}

// Ten pages with four blocks of 1000 bytes and one of 64 each; of the large ones all go.
TEST(Analysis, AFewBlocksPinPages) {
    Maker maker;
    maker.chunk(0, 0);
    const uint64_t base = 0x100000;
    uint64_t time = 0;
    for (uint64_t page = 0; page < 10; page++) {
        for (uint64_t i = 0; i < 4; i++)
            maker.allocate(++time, base + page * 4096 + i * 1008, 1000);
        maker.allocate(++time, base + page * 4096 + 4032, 64);
    }
    // A page that never had more than this one is not pinned, and neither are mapped blocks.
    maker.allocate(++time, base + 100 * 4096, 64);
    maker.allocate(++time, base + 200 * 4096, 200000);
    for (uint64_t page = 0; page < 10; page++)
        for (uint64_t i = 0; i < 4; i++)
            maker.release(++time, base + page * 4096 + i * 1008);
    const Analysis all = analysis_of(maker);
    EXPECT_EQ(all.pins.event, time);
    EXPECT_EQ(all.pins.pages, 10u);
    EXPECT_EQ(all.pins.blocks, 10u);
    EXPECT_EQ(all.pins.live_bytes, 640u);
    EXPECT_EQ(all.pins.free_bytes, 10u * (4096 - 64));
    ASSERT_EQ(all.pins.by_size.size(), 1u);
    EXPECT_EQ(all.pins.by_size[0].size, 64u);
    EXPECT_EQ(all.pins.by_size[0].blocks, 10u);
    EXPECT_EQ(all.pins.by_size[0].pages, 10u);
}

TEST(Analysis, APageOfWhichMoreThanAnEighthIsUsedIsNotPinned) {
    Maker maker;
    maker.chunk(0, 0).allocate(1, 0x10000, 3000).allocate(2, 0x10c00, 513).release(3, 0x10000);
    EXPECT_EQ(analysis_of(maker).pins.pages, 0u);
    maker.chunk(0, 4).allocate(5, 0x20000, 3000).allocate(6, 0x20c00, 512).release(7, 0x20000);
    EXPECT_EQ(analysis_of(maker).pins.pages, 1u);
}

TEST(Analysis, APageThatIsEmptyIsNotPinned) {
    Maker maker;
    maker.chunk(0, 0).allocate(1, 0x10000, 3000).allocate(2, 0x10c00, 64).release(3, 0x10000);
    maker.release(4, 0x10c00).allocate(5, 0x10c00, 64);
    const Analysis all = analysis_of(maker);
    EXPECT_EQ(all.pins.event, 3u);
    EXPECT_EQ(all.pinned_at.back(), 0u);
}

// Live bytes of the stored traces, counted in the plainest way.
TEST(Analysis, AgreesWithAPlainCount) {
    for (const std::string name : {"python3", "redis", "sqlite3", "cc1plus"}) {
        TraceReader trace(DATA + name + ".osmem");
        std::map<uint64_t, uint64_t> live;
        uint64_t bytes = 0, peak = 0;
        for (TraceEvent event; trace.next(&event);) {
            if (event.failed)
                continue;
            const auto there = live.find(event.block);
            bytes -= there == live.end() ? 0 : there->second;
            live.erase(event.block);
            if (event.kind != TRACE_FREE) {
                bytes += event.size;
                live[event.block] = event.size;
            }
            peak = std::max(peak, bytes);
        }
        const Analysis all(trace, Analysis::Moment::END);
        EXPECT_EQ(all.peak_bytes, peak) << name;
        EXPECT_EQ(all.end_bytes, bytes) << name;
        EXPECT_EQ(all.end_blocks, live.size()) << name;
        EXPECT_EQ(all.moment_bytes, bytes) << name;
    }
}

// ---- call sites --------------------------------------------------------------------------------

const Json &site_with(const Json &json, const std::string &function) {
    static const Json none;
    for (const Json &site : json["call_sites"])
        if (site["frames"].size() > 0 && site["frames"][0]["function"] == function)
            return site;
    ADD_FAILURE() << "no " << function << " in " << json["call_sites"].dump(1).substr(0, 2000);
    return none;
}

TEST(CallSites, HaveTheirNamesAndBytes) {
    const Json json = report(record(PROGRAM + "leak 200", "--stacks 1"));
    const Json &keep = site_with(json, "keep"), &churn = site_with(json, "churn");
    EXPECT_EQ(keep["at_end"]["blocks"], 200);
    EXPECT_EQ(keep["at_end"]["bytes"], 200 * 5000);
    EXPECT_EQ(keep["at_moment"]["bytes"], 200 * 5000);
    EXPECT_EQ(keep["grows_steadily"], true);
    EXPECT_EQ(churn["at_end"]["bytes"], 0);
    EXPECT_EQ(churn["allocated"]["bytes"], 200 * 6000);
    EXPECT_EQ(churn["grows_steadily"], false);
    EXPECT_TRUE(contains(topics(json), "growth")) << topics(json);
    EXPECT_TRUE(contains(topics(json), "leak")) << topics(json);
    for (const Json &advice : json["advice"])
        if (advice["topic"] == "growth") {
            EXPECT_TRUE(contains(advice["text"], "keep"));
        }
}

TEST(CallSites, AreEstimatedFromASample) {
    const Json json = report(record(PROGRAM + "leak 5000", "--stacks 20000"));
    const Json &keep = site_with(json, "keep"), &churn = site_with(json, "churn");
    EXPECT_NEAR(keep["at_end"]["bytes"].get<double>(), 5000 * 5000.0, 5000 * 5000 * 0.12);
    EXPECT_NEAR(churn["allocated"]["blocks"].get<double>(), 5000.0, 5000 * 0.12);
    EXPECT_LT(json["samples"].get<double>(), 5000);
}

TEST(CallSites, AProgramThatFreesEverythingHasNoLeak) {
    const Json json = report(record(PROGRAM + "pairs 3000", "--stacks 1"));
    EXPECT_FALSE(contains(topics(json), "growth")) << topics(json);
    EXPECT_TRUE(contains(topics(json), "short-lived")) << topics(json);
    size_t leaked = 0;
    for (const Json &size : json["end"]["sizes"])
        if (size["size"] >= 7000 && size["size"] <= 7004)
            leaked += size["blocks"].get<size_t>();
    EXPECT_EQ(leaked, 5u);
}

TEST(Report, IsForPeople) {
    const ShellResult result = shell("tools/osmem report " + DATA + "python3.osmem");
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.error, "");
    for (const std::string part : {"\nWho holds memory at the peak", "\nNever freed",
                                   "\nPinned pages", "\nSizes of", "\nLifetimes of", "\nAdvice\n"})
        EXPECT_TRUE(contains(result.output, part)) << part << result.output;
}

// ---- pprof -------------------------------------------------------------------------------------

// The fields of a message of protocol buffers: numbers as they are, the rest as bytes.
struct Field {
    unsigned number;
    uint64_t value;
    std::string bytes;
};

std::vector<Field> fields_of(const std::string &text) {
    std::vector<Field> fields;
    size_t at = 0;
    const auto varint = [&] {
        uint64_t value = 0;
        for (unsigned shift = 0; at < text.size(); shift += 7) {
            const uint8_t byte = uint8_t(text[at++]);
            value |= uint64_t(byte & 127) << shift;
            if (byte < 128)
                return value;
        }
        ADD_FAILURE() << "cut off";
        return value;
    };
    while (at < text.size()) {
        const uint64_t tag = varint();
        Field field = {unsigned(tag >> 3), varint(), ""};
        if ((tag & 7) == 2) {
            field.bytes = text.substr(at, field.value);
            at += field.value;
        } else {
            EXPECT_EQ(tag & 7, 0u);
        }
        fields.push_back(field);
    }
    return fields;
}

std::vector<uint64_t> packed(const std::string &bytes) {
    std::vector<uint64_t> values;
    for (size_t at = 0; at < bytes.size();) {
        uint64_t value = 0;
        unsigned shift = 0;
        uint8_t byte;
        do {
            byte = uint8_t(bytes[at++]);
            value |= uint64_t(byte & 127) << shift;
            shift += 7;
        } while (byte >= 128 && at < bytes.size());
        values.push_back(value);
    }
    return values;
}

TEST(Pprof, HasTheSameNumbersAndNames) {
    const std::string file = scratch_file("profile.pb");
    const Json json = report(record(PROGRAM + "leak 200", "--stacks 1"), "--pprof '" + file + "'");
    std::vector<std::string> strings;
    std::map<uint64_t, std::vector<Field>> locations, functions, mappings;
    std::vector<std::vector<uint64_t>> samples, stacks;
    size_t types = 0;
    uint64_t first_file = 0;
    for (const Field &field : fields_of(file_contents(file))) {
        types += field.number == 1;
        if (field.number == 3 && first_file == 0)
            first_file = fields_of(field.bytes)[4].value;
        if (field.number == 6)
            strings.push_back(field.bytes);
        if (field.number >= 3 && field.number <= 5) {
            auto &table = field.number == 3 ? mappings : field.number == 4 ? locations : functions;
            const std::vector<Field> fields = fields_of(field.bytes);
            EXPECT_EQ(fields[0].number, 1u);
            table[fields[0].value] = fields;
        }
        if (field.number == 2) {
            for (const Field &part : fields_of(field.bytes))
                (part.number == 1 ? stacks : samples).push_back(packed(part.bytes));
        }
    }
    EXPECT_EQ(types, 4u);
    EXPECT_EQ(strings.at(0), "");
    EXPECT_GT(mappings.size(), 0u);
    EXPECT_TRUE(contains(strings.at(first_file), "/program")) << strings.at(first_file);
    ASSERT_EQ(stacks.size(), samples.size());
    ASSERT_EQ(samples.size(), json["call_sites"].size());
    uint64_t kept = 0;
    for (size_t i = 0; i < samples.size(); i++) {
        ASSERT_EQ(samples[i].size(), 4u);
        std::vector<std::string> names;
        for (const uint64_t location : stacks[i]) {
            ASSERT_EQ(locations.count(location), 1u);
            for (const Field &part : locations[location]) {
                if (part.number == 2) {
                    EXPECT_EQ(mappings.count(part.value), 1u);
                }
                if (part.number == 4)
                    names.push_back(
                        strings.at(functions.at(fields_of(part.bytes)[0].value)[1].value));
            }
        }
        if (names.at(0) == "keep") {
            kept += samples[i][3];
            EXPECT_EQ(samples[i][0], 200u);
            EXPECT_EQ(samples[i][1], 200u * 5000);
            EXPECT_EQ(samples[i][2], 200u);
            EXPECT_NE(std::find(names.begin(), names.end(), "main"), names.end());
        }
    }
    EXPECT_EQ(kept, 200u * 5000);
}

// ---- a running process -------------------------------------------------------------------------

void wait_until(const std::string &condition) {
    for (int i = 0; i < 500 && shell(condition).status != 0; i++)
        usleep(20 * 1000);
}

TEST(Process, IsReportedOnWhileItRuns) {
    const std::string path = scratch_file("live.osmem");
    const pid_t process =
        shell_start("tools/osmem record --stacks 1 -o '" + path + "' -- " + PROGRAM + "hold 30",
                    scratch_file("log"));
    wait_until("tools/osmem report --json - '" + path + "' | grep -q '\"size\": 50000'");
    pid_t recorded = 0;
    {
        TraceReader trace(path);
        recorded = pid_t(trace.info().pid);
        EXPECT_FALSE(trace.info().finished);
    }
    const ShellResult result =
        shell("tools/osmem report --json - --pid " + std::to_string(recorded));
    kill(-process, SIGTERM);
    waitpid(process, nullptr, 0);
    ASSERT_EQ(result.status, 0) << result.error;
    const Json json = Json::parse(result.output);
    EXPECT_EQ(json["pid"], recorded);
    EXPECT_EQ(json["finished"], false);
    size_t held = 0;
    for (const Json &size : json["end"]["sizes"])
        if (size["size"] == 50000)
            held += size["blocks"].get<size_t>();
    EXPECT_EQ(held, 1u);
}

// The same program, once by its trace and once by its tags: two ways to count the same pages.
TEST(Process, PinnedPagesAreTheSameRecordedOrNot) {
    const std::string path = scratch_file("pin.osmem");
    const auto report_on = [&](const std::string &command) {
        unlink(path.c_str());
        const pid_t tool = shell_start("tools/osmem " + command + " -- " + PROGRAM + "pin 200",
                                       scratch_file("log"));
        pid_t process = tool; // `run` becomes the program, `record` starts it
        ShellResult result{1, "", ""};
        for (int i = 0; i < 500 && !contains(result.output, "\"blocks\": 200,"); i++) {
            usleep(20 * 1000);
            try {
                process = pid_t(trace_info(path).pid);
            } catch (const TraceError &) {
                // Not recorded, or not yet.
            }
            result = shell("tools/osmem report --json - --pid " + std::to_string(process));
        }
        // By then all may not have been freed yet.
        usleep(300 * 1000);
        result = shell("tools/osmem report --json - --pid " + std::to_string(process));
        kill(-tool, SIGKILL);
        waitpid(tool, nullptr, 0);
        EXPECT_EQ(result.status, 0) << result.error;
        return Json::parse(result.output);
    };
    const Json tags = report_on("run"), trace = report_on("record --stacks 0 -o '" + path + "'");
    const double by_tags = tags["pinned"]["pages"], by_trace = trace["pinned"]["pages"];
    EXPECT_GT(by_tags, 80);
    EXPECT_NEAR(by_tags, by_trace, 5);
    for (const Json &size : tags["sizes"])
        if (size["size"] == 48) {
            EXPECT_GE(size["pinned_pages"].get<double>(), by_tags - 5);
        }
}

TEST(Process, ThatCannotBeReportedOnIsToldInOneLine) {
    const auto expect = [](const std::string &pid, const std::string &words) {
        const ShellResult result = shell("tools/osmem report --pid " + pid);
        EXPECT_EQ(result.status, 1) << pid;
        EXPECT_EQ(result.output, "");
        EXPECT_EQ(std::count(result.error.begin(), result.error.end(), '\n'), 1) << result.error;
        EXPECT_TRUE(contains(result.error, words)) << result.error;
    };
    expect("4194304", "there is no process 4194304"); // beyond the kernel's largest
    expect(std::to_string(getpid()), "does not run on osmem");
}

TEST(Process, ThatNobodyRecordsIsReportedOnByItsBlocks) {
    const std::string log = scratch_file("log");
    const pid_t process = shell_start("tools/osmem run -- " + PROGRAM + "hold 30", log);
    const std::string command = "tools/osmem report --json - --pid " + std::to_string(process);
    wait_until(command + " | grep -q '\"size\": 50000'");
    const ShellResult result = shell(command);
    const ShellResult profile =
        shell("tools/osmem report --pprof - --pid " + std::to_string(process));
    kill(process, SIGKILL);
    waitpid(process, nullptr, 0);
    ASSERT_EQ(result.status, 0) << result.error;
    const Json json = Json::parse(result.output);
    EXPECT_EQ(json["recorded"], false);
    uint64_t blocks = 0, bytes = 0;
    for (const Json &size : json["sizes"]) {
        blocks += size["blocks"].get<uint64_t>();
        bytes += size["bytes"].get<uint64_t>();
        if (size["size"] == 50000) {
            EXPECT_EQ(size["blocks"], 1);
        }
    }
    EXPECT_EQ(blocks,
              json["live"]["blocks"].get<uint64_t>() + json["mapped"]["blocks"].get<uint64_t>());
    EXPECT_GE(bytes, 50000u);
    EXPECT_TRUE(contains(result.error, "Live blocks by size")) << result.error;
    EXPECT_TRUE(contains(result.error, "not being recorded")) << result.error;
    EXPECT_TRUE(contains(result.error, "osmem record -- program [ARG]...\n")) << result.error;
    EXPECT_TRUE(contains(json["program"], "/test/trace/program")) << json["program"];
    EXPECT_EQ(profile.status, 1);
    EXPECT_TRUE(contains(profile.error, "is not being recorded")) << profile.error;
}

TEST(Process, ThatMayNotBeLookedAtIsTold) {
    // As another user, who can reach neither the tool's folder nor this process.
    const std::string as_nobody = "exec 9<tools/osmem; setpriv --reuid=65534 --regid=65534 "
                                  "--clear-groups -- ";
    if (shell(as_nobody + "/proc/self/fd/9 --help").status != 0)
        GTEST_SKIP() << "no other user to be here";
    const ShellResult result =
        shell(as_nobody + "/proc/self/fd/9 report --pid " + std::to_string(getpid()));
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(contains(result.error, "Permission denied")) << result.error;
}

class WrongCommandLine : public testing::TestWithParam<const char *> {};

TEST_P(WrongCommandLine, IsToldInOneLineAndExitStatusTwo) {
    const ShellResult result = shell(std::string("tools/osmem report ") + GetParam());
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.output, "");
    EXPECT_EQ(std::count(result.error.begin(), result.error.end(), '\n'), 1) << result.error;
    EXPECT_TRUE(contains(result.error, "--help")) << result.error;
}

INSTANTIATE_TEST_SUITE_P(All, WrongCommandLine,
                         testing::Values("", "--fly x", "a b", "--pid", "--pid x", "--pid -1",
                                         "--pid 1 x", "--at noon x", "--top 0 x", "--depth 0 x"));

} // namespace

} // namespace osmem
