/*
 * The protocols between threads in every execution; and every memory order that they need, dropped
 * in turn: some scenario then must fail.
 */
#include "test/schedules/memory.h"
#include "test/schedules/scenarios.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace osmem::schedules {
namespace {

/* As of the real code; explored once for all cases. */
const std::vector<Result> &results() {
    static const std::vector<Result> all = [] {
        std::vector<Result> explored;
        for (const Scenario &scenario : scenarios()) {
            explored.push_back(explore(scenario));
            print(scenario, explored.back());
        }
        return explored;
    }();
    return all;
}

TEST(Schedules, HoldEveryPromise) {
    for (size_t i = 0; i < scenarios().size(); i++) {
        EXPECT_EQ(results()[i].failure, "") << scenarios()[i].name << describe_steps(results()[i]);
        EXPECT_TRUE(results()[i].complete);
    }
}

/* ---- orders -----------------------------------------------------------------------------------
 */

/* An atomic operation whose order is not relaxed. */
struct Operation {
    Site site;
    int order;
    std::string name;     /* its function, and which such operation of it this is */
    std::string position; /* file:line */
};

const std::vector<Operation> &operations() {
    static const std::vector<Operation> all = [] {
        std::map<Site, int> sites;
        for (const Result &result : results())
            sites.insert(result.sites.begin(), result.sites.end());
        std::vector<Operation> found;
        std::map<std::string, int> counts;
        for (const auto &[site, order] : sites) {
            std::istringstream name(code_name(site));
            std::string function, position;
            name >> function >> position;
            function += " " + std::to_string(++counts[function]);
            found.push_back({site, order, function, position});
        }
        return found;
    }();
    return all;
}

/* Every line of the allocator that names such an order was run. */
TEST(Orders, AreAllExplored) {
    std::set<std::string> run;
    for (const Operation &operation : operations())
        run.insert(operation.position);
    std::regex order("__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)");
    size_t count = 0;
    for (const char *name : {"conf", "heap", "index", "mapped", "region", "spare", "stats",
                             "system", "thread", "waiting"}) {
        std::ifstream file(std::string("osmem/") + name + ".c");
        ASSERT_TRUE(file) << name;
        std::string line;
        for (int number = 1; std::getline(file, line); number++) {
            if (!std::regex_search(line, order))
                continue;
            count++;
            bool found = false;
            for (int near = number - 1; near <= number; near++)
                found |= run.count(std::string(name) + ".c:" + std::to_string(near)) != 0;
            EXPECT_TRUE(found) << name << ".c:" << number << " is in no scenario";
        }
    }
    EXPECT_GT(count, 15u);
}

/* Executions of each scenario with an order dropped that is not needed: all with OSMEM_SCHEDULES.
 */
constexpr size_t FEW = 100;

constexpr const char *LOCKED = "every caller holds region_lock";
constexpr const char *NOTHING_READ = "nothing that the message's writer did is looked at";
constexpr const char *LOAD_BUFFERING = "only load buffering could tell, which memory.h leaves out";

/* Orders that are stronger than anything that is explored needs; and why. */
const std::map<std::string, const char *> &unneeded() {
    static const std::map<std::string, const char *> all = {
        /* heaps.first and next */
        {"thread_first_heap 1 acquire", LOCKED},
        {"register_heap 1 release", LOCKED},
        {"register_heap 2 release", LOCKED},
        /* A thread that pushes does not look at what it pushes onto; the owner sees all of the list
           by the release sequence. */
        {"list_region 1 acquire", NOTHING_READ},
        {"thread_free_remote 2 acquire", NOTHING_READ},
        /* Marks in the order block, line, region; the owner takes them away in the other order. The
           operations of either side depend on each other's values. */
        {"thread_free_remote 1 acquire", LOAD_BUFFERING},
        {"thread_free_remote 2 release", LOAD_BUFFERING},
        {"thread_free_remote 3 acquire", LOAD_BUFFERING},
        {"take_in_listed 1 release", LOAD_BUFFERING},
        {"take_in_region 1 release", LOAD_BUFFERING},
        {"take_in_region 2 acquire", LOAD_BUFFERING},
        {"take_in_region 2 release", LOAD_BUFFERING},
        {"take_in_line 1 release", LOAD_BUFFERING},
        {"system_unlock_forked 1 release", "the child has one thread"},
    };
    return all;
}

/*
 * Explores the scenarios that run an operation with a part of its order dropped; no more than
 * `limit` executions of each, if that is not 0.
 */
std::string first_failure(const Weakening &weakening, size_t limit) {
    for (size_t i = 0; i < scenarios().size(); i++) {
        if (results()[i].sites.count(weakening.site) == 0)
            continue;
        Result result = explore(scenarios()[i], weakening, limit);
        if (!result.failure.empty())
            return std::string(scenarios()[i].name) + ": " +
                   result.failure.substr(0, result.failure.find(" of "));
    }
    return "";
}

TEST(Orders, AreEachNeeded) {
    std::set<std::string> left;
    for (const auto &[name, reason] : unneeded())
        left.insert(name);
    for (const Operation &operation : operations()) {
        for (bool acquire : {true, false}) {
            if (operation.order != __ATOMIC_ACQ_REL &&
                operation.order != (acquire ? __ATOMIC_ACQUIRE : __ATOMIC_RELEASE))
                continue;
            std::string name = operation.name + (acquire ? " acquire" : " release");
            bool is_needed = unneeded().count(name) == 0;
            bool is_thorough = is_needed || getenv("OSMEM_SCHEDULES") != nullptr;
            /* Most show soon in some scenario, so none is explored to its end before all begun. */
            std::string failure;
            for (size_t limit :
                 is_thorough ? std::vector<size_t>{100, 1000, 0} : std::vector{FEW}) {
                if (failure.empty())
                    failure = first_failure({operation.site, acquire, !acquire}, limit);
            }
            printf("%s, %s: %s\n", operation.position.c_str(), name.c_str(),
                   !failure.empty() ? failure.c_str()
                   : is_needed      ? "NOT CAUGHT"
                                    : unneeded().at(name));
            fflush(stdout);
            EXPECT_EQ(!failure.empty(), is_needed) << operation.position << " " << name;
            left.erase(name);
        }
    }
    EXPECT_EQ(left, std::set<std::string>{}) << "these are no orders of the code any more";
}

} // namespace
} // namespace osmem::schedules
