/*
 * benchmark_smoke_test.cc - every case of the benchmark runs on osmem and glibc, with little work,
 * and its JSON is whole. It looks at no time: that is for the benchmark itself.
 */
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace {

std::string program; /* path of the benchmark, from the command line */

class BenchmarkSmoke : public testing::Test {
  protected:
    /* One run for all tests. */
    static void SetUpTestSuite() {
        std::string path = testing::TempDir() + "benchmark_smoke.json";
        std::string command =
            "'" + program + "' --quick --allocators osmem,glibc --json '" + path + "'";
        status = std::system(command.c_str());
        std::ifstream file(path);
        document = nlohmann::json::parse(file, nullptr, false);
    }

    static int status;
    static nlohmann::json document;
};

int BenchmarkSmoke::status;
nlohmann::json BenchmarkSmoke::document;

TEST_F(BenchmarkSmoke, Succeeds) { EXPECT_EQ(status, 0); }

TEST_F(BenchmarkSmoke, WritesJson) {
    ASSERT_FALSE(document.is_discarded());
    EXPECT_TRUE(document["context"]["num_cpus"].is_number());
    EXPECT_EQ(document["context"]["allocators"].size(), 2U);
    EXPECT_TRUE(document["benchmarks"].is_array());
}

TEST_F(BenchmarkSmoke, HasEveryCaseForBothAllocators) {
    ASSERT_FALSE(document.is_discarded());
    std::map<std::string, int> medians;
    for (const nlohmann::json &entry : document["benchmarks"]) {
        EXPECT_FALSE(entry.value("error_occurred", false)) << entry.dump(2);
        if (entry.value("run_type", "") != "aggregate")
            continue;
        EXPECT_GT(entry.value("cpu_ns_per_operation", 0.0), 0.0) << entry.dump(2);
        medians[entry.value("case", "")]++;
    }
    EXPECT_GE(medians.size(), 60U);
    for (const auto &each : medians)
        EXPECT_EQ(each.second, 2) << each.first;
}

} // namespace

int main(int argc, char **argv) {
    testing::InitGoogleTest(&argc, argv);
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s BENCHMARK\n", argv[0]);
        return 2;
    }
    program = argv[1];
    return RUN_ALL_TESTS();
}
