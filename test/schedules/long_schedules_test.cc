/*
 * The protocols with more threads and more steps. OSMEM_SCHEDULES is the most executions of each
 * scenario, 0: all.
 */
#include "test/schedules/scenarios.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace osmem::schedules {
namespace {

TEST(LongSchedules, HoldEveryPromise) {
    const char *given = getenv("OSMEM_SCHEDULES");
    size_t limit = given != nullptr ? strtoull(given, nullptr, 0) : 0;
    for (const Scenario &scenario : long_scenarios()) {
        Result result = explore(scenario, {}, limit);
        print(scenario, result);
        EXPECT_EQ(result.failure, "") << scenario.name << describe_steps(result);
    }
}

} // namespace
} // namespace osmem::schedules
