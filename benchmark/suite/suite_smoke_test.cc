/*
 * suite_smoke_test.cc - the suite from outside, on few workloads with little work: its table, its
 * JSON, its errors, and that an allocator that crashes is marked. It looks at no time.
 */
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace {

using json = nlohmann::json;

struct outcome {
    int status;
    std::string table; /* standard output */
    std::string errors;
    json document; /* discarded where there is none */
};

std::string contents(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

outcome suite(const std::string &options) {
    std::string base = testing::TempDir() + "suite_smoke";
    std::remove((base + ".json").c_str());
    std::string command = "benchmark/suite/suite.sh " + options + " --json '" + base + ".json' >'" +
                          base + ".out' 2>'" + base + ".err'";
    int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(base + ".out"),
            contents(base + ".err"), json::parse(contents(base + ".json"), nullptr, false)};
}

/* The row of a workload or a mean, or "". */
std::string row(const outcome &of, const std::string &title) {
    std::istringstream lines(of.table);
    for (std::string line; std::getline(lines, line);) {
        if (line.compare(0, title.size() + 3, "  " + title + " ") == 0)
            return line;
    }
    return "";
}

class SuiteSmoke : public testing::Test {
  protected:
    /* One run for all tests. */
    static void SetUpTestSuite() {
        ran = suite("--scale 0.01 --rounds 2 --retries 0 --filter '^(mixed_batches|larson)$' "
                    "--allocators osmem,boom --allocator boom=benchmark/suite/libcrashing.so");
    }

    static const json &found(const std::string &workload, const std::string &allocator) {
        static const json none;
        for (const json &each : ran.document["workloads"]) {
            if (each["workload"] == workload)
                return each["allocators"][allocator];
        }
        return none;
    }

    static outcome ran;
};

outcome SuiteSmoke::ran;

TEST_F(SuiteSmoke, TellsByItsStatusThatOneFailed) { EXPECT_EQ(ran.status, 1) << ran.errors; }

TEST_F(SuiteSmoke, HasARowForEachWorkload) {
    for (const char *workload : {"mixed_batches", "larson"})
        EXPECT_NE(row(ran, workload), "") << ran.table;
}

TEST_F(SuiteSmoke, HasMeansOfEachGroup) {
    for (const char *group : {"all", "single-threaded", "multi-threaded"})
        EXPECT_NE(row(ran, group), "") << ran.table;
    EXPECT_EQ(row(ran, "real programs"), "") << ran.table;
}

TEST_F(SuiteSmoke, WritesJson) {
    ASSERT_FALSE(ran.document.is_discarded());
    for (const char *workload : {"mixed_batches", "larson"}) {
        for (const char *allocator : {"glibc", "osmem"}) {
            const json &each = found(workload, allocator);
            ASSERT_TRUE(each.is_object()) << workload;
            EXPECT_TRUE(each["failure"].is_null()) << each.dump(2);
            EXPECT_EQ(each["runs"].size(), 2U);
            EXPECT_GT(each["median"]["wall_s"].get<double>(), 0);
            EXPECT_GT(each["median"]["peak_bytes"].get<double>(), 0);
        }
        EXPECT_EQ(found(workload, "glibc")["ratio"]["peak_bytes"], 1.0);
    }
    EXPECT_EQ(ran.document["means"]["all"]["osmem"]["workloads"], 2);
}

TEST_F(SuiteSmoke, KnowsWhatWasLiveAtThePeak) {
    json live;
    for (const json &each : ran.document["workloads"])
        live[each["workload"].get<std::string>()] = each["live_peak_bytes"];
    EXPECT_GT(live["mixed_batches"].get<double>(), 0);
    EXPECT_TRUE(live["larson"].is_null());
}

TEST_F(SuiteSmoke, MarksWhatCrashes) {
    EXPECT_NE(row(ran, "larson").find("CRASHED: SIGABRT"), std::string::npos) << ran.table;
    EXPECT_EQ(found("larson", "boom")["failure"], "CRASHED: SIGABRT");
    EXPECT_TRUE(found("larson", "boom")["ratio"].is_null());
    EXPECT_EQ(ran.document["means"]["all"]["boom"]["workloads"], 0);
}

TEST(SuiteOptions, RefuseWhatIsWrong) {
    for (const char *wrong : {"--no-such-option", "--rounds 0", "--rounds x", "--filter '('",
                              "--filter no_such_workload", "--allocators no_such_allocator",
                              "--allocator nonsense", "--scale -1"}) {
        outcome refused = suite(wrong);
        EXPECT_EQ(refused.status, 2) << wrong;
        EXPECT_NE(refused.errors.find("suite"), std::string::npos) << wrong;
        EXPECT_EQ(refused.table, "") << wrong;
    }
}

TEST(SuiteOptions, ListRunsNothing) {
    outcome listed = suite("--list");
    EXPECT_EQ(listed.status, 0);
    EXPECT_NE(listed.table.find("churn "), std::string::npos) << listed.table;
    EXPECT_NE(listed.table.find("osmem "), std::string::npos) << listed.table;
}

} // namespace
