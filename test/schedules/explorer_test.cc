/*
 * What the explorer finds in small programs whose outcomes are known: the litmus tests of the
 * field, by their usual names.
 */
#include "test/schedules/machine.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace osmem::schedules {
namespace {

constexpr int RELAXED = __ATOMIC_RELAXED, ACQUIRE = __ATOMIC_ACQUIRE, RELEASE = __ATOMIC_RELEASE;

uint64_t x, y, data;
uint64_t seen[4]; /* what the threads read */

uint64_t load(const uint64_t &from, int order) { return atomic_load(&from, 8, order, 0); }
void store(uint64_t &to, uint64_t value, int order) { atomic_store(&to, 8, value, order, 0); }
uint64_t add(uint64_t &to, int order) {
    return atomic_update(
        &to, 8, [](uint64_t value) { return value + 1; }, order, 0);
}

using Threads = std::vector<std::function<void()>>;

struct Outcomes {
    std::set<std::string> values; /* of `seen`, then x and y in the end */
    Result result;

    bool have(const std::string &value) const { return values.count(value) != 0; }
};

/* All of them; the reduction leaves out no execution that is not equivalent to one that is run. */
Outcomes outcomes(const Threads &threads, size_t reads) {
    Outcomes all;
    Scenario scenario{"", [] {}, threads,
                      [&] {
                          std::string value;
                          for (size_t i = 0; i < reads; i++)
                              value += std::to_string(seen[i]);
                          all.values.insert(value + " " + std::to_string(x) + std::to_string(y));
                      }};
    all.result = explore(scenario);
    if (all.result.complete) {
        std::set<std::string> reduced;
        reduced.swap(all.values);
        Result whole = explore(scenario, {}, 0, false);
        EXPECT_EQ(reduced, all.values);
        EXPECT_EQ(all.result.executions, whole.executions);
    }
    return all;
}

TEST(Explorer, RunsOneOrderOfWhatIsIndependent) {
    Outcomes all = outcomes(
        {[] { store(x, 1, RELAXED); }, [] { store(y, 1, RELAXED); }, [] { load(data, RELAXED); }},
        0);
    EXPECT_EQ(all.result.executions, 1u);
}

TEST(Explorer, RunsEveryOrderOfWhatIsNot) {
    auto increment = [] { add(x, RELAXED); };
    Outcomes all = outcomes({increment, increment, increment}, 0);
    EXPECT_EQ(all.result.executions, 6u);
    EXPECT_EQ(all.values, std::set<std::string>{" 30"});
}

TEST(Explorer, StoreBuffering) {
    Outcomes all = outcomes({[] {
                                 store(x, 1, RELEASE);
                                 seen[0] = load(y, ACQUIRE);
                             },
                             [] {
                                 store(y, 1, RELEASE);
                                 seen[1] = load(x, ACQUIRE);
                             }},
                            2);
    EXPECT_EQ(all.values, (std::set<std::string>{"00 11", "01 11", "10 11", "11 11"}));
}

Threads message_passing(int release, int acquire) {
    return {[=] {
                store(x, 1, RELAXED);
                store(y, 1, release);
            },
            [=] {
                seen[0] = load(y, acquire);
                seen[1] = load(x, RELAXED);
            }};
}

TEST(Explorer, MessagePassing) {
    EXPECT_TRUE(outcomes(message_passing(RELAXED, RELAXED), 2).have("10 11"));
    EXPECT_TRUE(outcomes(message_passing(RELAXED, ACQUIRE), 2).have("10 11"));
    EXPECT_TRUE(outcomes(message_passing(RELEASE, RELAXED), 2).have("10 11"));
    EXPECT_EQ(outcomes(message_passing(RELEASE, ACQUIRE), 2).values,
              (std::set<std::string>{"00 11", "01 11", "11 11"}));
}

TEST(Explorer, MessagePassingOnByAReadModifyWrite) {
    Threads threads = {[] {
                           store(x, 1, RELAXED);
                           store(y, 1, RELEASE);
                       },
                       [] { add(y, RELAXED); },
                       [] {
                           seen[0] = load(y, ACQUIRE);
                           seen[1] = load(x, RELAXED);
                       }};
    Outcomes all = outcomes(threads, 2);
    EXPECT_TRUE(all.have("21 12"));
    EXPECT_FALSE(all.have("20 12"));
}

TEST(Explorer, ReadsOfOneObjectAreCoherent) {
    Outcomes all = outcomes({[] {
                                 store(x, 1, RELAXED);
                                 store(x, 2, RELAXED);
                             },
                             [] {
                                 for (int i = 0; i < 3; i++)
                                     seen[i] = load(x, RELAXED);
                             }},
                            3);
    EXPECT_TRUE(all.have("012 20"));
    EXPECT_EQ(all.values.size(), 10u) << "as many as sequences that do not fall";
}

TEST(Explorer, IndependentReadsOfIndependentWrites) {
    Outcomes all = outcomes({[] { store(x, 1, RELEASE); }, [] { store(y, 1, RELEASE); },
                             [] {
                                 seen[0] = load(x, ACQUIRE);
                                 seen[1] = load(y, ACQUIRE);
                             },
                             [] {
                                 seen[2] = load(y, ACQUIRE);
                                 seen[3] = load(x, ACQUIRE);
                             }},
                            4);
    EXPECT_TRUE(all.have("1010 11"));
    EXPECT_EQ(all.values.size(), 16u);
}

TEST(Explorer, TwoWritesTwice) {
    Outcomes all = outcomes({[] {
                                 store(x, 1, RELAXED);
                                 store(y, 2, RELAXED);
                             },
                             [] {
                                 store(y, 1, RELAXED);
                                 store(x, 2, RELAXED);
                             }},
                            0);
    EXPECT_EQ(all.values, (std::set<std::string>{" 11", " 12", " 21", " 22"}));
}

/* What this model leaves out (memory.h). */
TEST(Explorer, LoadBufferingIsNotExplored) {
    Outcomes all = outcomes({[] {
                                 seen[0] = load(x, RELAXED);
                                 store(y, 1, RELAXED);
                             },
                             [] {
                                 seen[1] = load(y, RELAXED);
                                 store(x, 1, RELAXED);
                             }},
                            2);
    EXPECT_FALSE(all.have("11 11"));
    EXPECT_EQ(all.values.size(), 3u);
}

Threads handing_over(int release) {
    return {[=] {
                touch(&data, sizeof data);
                store(x, 1, release);
            },
            [] {
                if (load(x, ACQUIRE) == 1)
                    touch(&data, sizeof data);
            }};
}

TEST(Explorer, FindsDataRaces) {
    EXPECT_EQ(outcomes(handing_over(RELEASE), 0).result.failure, "");
    EXPECT_NE(outcomes(handing_over(RELAXED), 0).result.failure.find("data race"),
              std::string::npos);
}

TEST(Explorer, FindsDeadlocks) {
    static uint32_t first, second;
    auto both = [](uint32_t *one, uint32_t *other) {
        lock(one);
        lock(other);
        unlock(other);
        unlock(one);
    };
    Outcomes all = outcomes({[=] { both(&first, &second); }, [=] { both(&second, &first); }}, 0);
    EXPECT_EQ(all.result.failure, "every thread that is left waits");
    all = outcomes({[=] { both(&first, &second); }, [=] { both(&first, &second); }}, 0);
    EXPECT_EQ(all.result.failure, "");
    EXPECT_EQ(all.result.executions, 2u);
}

} // namespace
} // namespace osmem::schedules
