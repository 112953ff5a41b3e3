// osmem trace-demo: the language, what it tells of osmem's heap, and the policies beside an oracle.
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "test/model/random.h"
#include "test/tools/shell.h"
#include "tools/command.h"
#include "tools/demo/demo_heap.h"
#include "tools/demo/demo_script.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

const std::string DEMO = "tools/osmem trace-demo ";

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

// ---- the language ------------------------------------------------------------------------------

class WrongScript : public testing::TestWithParam<std::pair<const char *, const char *>> {};

TEST_P(WrongScript, IsToldWithItsLine) {
    const std::string file = scratch_file("script");
    file_write(file, GetParam().first);
    const ShellResult result = shell(DEMO + file);
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.output, "");
    EXPECT_EQ(result.error, "osmem: " + file + GetParam().second + "\n");
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongScript,
    testing::Values(
        std::make_pair("", ": no steps"), std::make_pair("# nothing\nsay nothing\n", ": no steps"),
        std::make_pair("malloc a 1\nfly a\n",
                       ":2: 'fly' is none of malloc, realloc, free, random, say"),
        std::make_pair("malloc\n", ":1: a name is missing"),
        std::make_pair("malloc a\n", ":1: the size is missing"),
        std::make_pair("malloc a 0\n", ":1: '0': the size is a number from 1 to 1048576"),
        std::make_pair("malloc a -5\n", ":1: '-5': the size is a number from 1 to 1048576"),
        std::make_pair("malloc a 1048577\n",
                       ":1: '1048577': the size is a number from 1 to 1048576"),
        std::make_pair("malloc a 99999999999999999999\n",
                       ":1: '99999999999999999999': the size is a number from 1 to 1048576"),
        std::make_pair("malloc a 5 6\n", ":1: '6' is too much"),
        std::make_pair("\nmalloc a 1\nmalloc a 2\n", ":3: 'a' is allocated already"),
        std::make_pair("free a\n", ":1: 'a' is not allocated"),
        std::make_pair("malloc a 1\nfree a\nfree a\n", ":3: 'a' is not allocated"),
        std::make_pair("malloc a 1\nfree a\nrealloc a 5\n", ":3: 'a' is not allocated"),
        std::make_pair("random 10 100\n", ":1: the seed is missing"),
        std::make_pair("random 10000 5 5\n", ":1: '10000': the count is a number from 1 to 5000")));

TEST(DemoCommandLine, WrongOnesAreToldInOneLine) {
    for (const char *arguments : {"--fly", "a b", "--html", "--columns x", "--columns"}) {
        const ShellResult result = shell(DEMO + arguments);
        EXPECT_EQ(result.status, 2) << arguments;
        EXPECT_TRUE(contains(result.error, "osmem trace-demo: ")) << result.error;
    }
    EXPECT_EQ(shell(DEMO + "/no/such/script").error,
              "osmem: /no/such/script: No such file or directory\n");
    EXPECT_EQ(shell(DEMO + "--html /no/such/folder/x").status, 1);
}

TEST(DemoScript, RandomStepsAreTheSameForASeed) {
    const auto calls = [](const std::string &line) {
        std::string text;
        for (const DemoCall &call : demo_parse(line, "test")[0].calls)
            text += call.name + " " + std::to_string(call.size) + "\n";
        return text;
    };
    EXPECT_EQ(calls("random 200 100 7"), calls("random 200 100 7"));
    EXPECT_NE(calls("random 200 100 7"), calls("random 200 100 8"));
    EXPECT_EQ(demo_parse("random 200 100 7", "test")[0].calls.size(), 200u);
}

// ---- what is told ------------------------------------------------------------------------------

// The explanation of the last line.
std::string last_told(const std::string &script) {
    const std::string file = scratch_file("script");
    file_write(file, script);
    const std::string output = shell(DEMO + file).output;
    const size_t end = output.find("\nThe same calls under other policies");
    const size_t picture = output.rfind('\n', end - 2);
    const size_t told = output.rfind('\n', picture - 1);
    return output.substr(told + 5, picture - told - 5);
}

TEST(Demo, TellsOfEachWayToABlock) {
    EXPECT_EQ(
        last_told("malloc a 17\n"),
        "17 bytes are 2 granules: no free block holds it: it is taken from the untouched end");
    const std::string holes =
        "malloc a 96\nmalloc b 16\nmalloc c 64\nmalloc d 16\nfree a\nfree c\n";
    EXPECT_EQ(last_told(holes + "malloc x 40\n"),
              "40 bytes are 3 granules: it is cut off a free block of 64 bytes, the smallest of 2 "
              "that hold it; 16 bytes stay free");
    EXPECT_EQ(last_told(holes + "malloc x 90\n"),
              "90 bytes are 6 granules: it takes a free block of just its size, the only one that "
              "holds it");
    EXPECT_EQ(last_told(holes + "free b\n"),
              "its 16 bytes are marked free, in two bits; its two free "
              "neighbours stay blocks of their own until memory is "
              "short");
    EXPECT_EQ(
        last_told(holes + "free b\nmalloc x 170\n"),
        "170 bytes are 11 granules: no free block held it: 3 free neighbours were merged into "
        "one of 176 bytes");
    EXPECT_EQ(last_told(holes + "realloc b 60\n"),
              "60 bytes are 4 granules: it grows where it is, by "
              "48 bytes of the 64 bytes that are free behind it");
    EXPECT_EQ(last_told(holes + "realloc d 100\n"),
              "100 bytes are 7 granules: it grows where it is, by 96 bytes of the untouched end");
    EXPECT_EQ(last_told("malloc a 100\nmalloc b 1\nrealloc a 20\n"),
              "20 bytes are 2 granules: it shrinks where it is, and its last 80 bytes are free");
    EXPECT_EQ(last_told("malloc a 100\nmalloc b 1\nrealloc a 101\n"),
              "101 bytes are 7 granules: it has that many granules already");
    EXPECT_TRUE(contains(last_told("malloc a 100\nmalloc b 1\nrealloc a 200\n"),
                         "it has to move, and is copied: "));
    EXPECT_EQ(last_told("malloc a 200000\n"), "128 KiB and more are mapped on their own");
    EXPECT_EQ(last_told("malloc a 200000\nfree a\n"), "its mapping is given back");
}

TEST(Demo, DefaultScriptShowsAllOfIt) {
    const std::string output = shell(DEMO).output;
    for (const char *what : {"it is cut off a free block", "the smallest of 2 that hold it",
                             "free neighbours were merged", "it grows where it is",
                             "it shrinks where it is", "it has to move"})
        EXPECT_TRUE(contains(output, what)) << what << "\n" << output;
    EXPECT_EQ(output, shell(DEMO).output);
    // What it prints to start from is what it runs.
    EXPECT_EQ(shell(DEMO + "--script | " + DEMO + "-").output, output);
}

TEST(Demo, PicturesHaveAColumnForEachGranule) {
    const std::string file = scratch_file("script");
    file_write(file, "malloc a 48\nmalloc b 16\nmalloc c 20\nfree b\n");
    EXPECT_TRUE(contains(shell(DEMO + file).output, "\n    a##,c#\n"));
}

// ---- osmem
// ---------------------------------------------------------------------------------------

TEST(DemoHeap, OsmemsPictureHasTheBlocksOfTheScript) {
    const auto heap = demo_osmem();
    std::map<std::string, size_t> sizes; // in granules
    for (const DemoStep &step : demo_parse("random 3000 3000 5\n", "test")) {
        for (const DemoCall &call : step.calls) {
            heap->perform(call);
            if (call.kind == DemoCall::FREE)
                sizes.erase(call.name);
            else
                sizes[call.name] = (call.size + 15) / 16;
        }
    }
    std::map<std::string, size_t> drawn;
    size_t at = 0;
    for (const DemoBlock &block : heap->picture().blocks) {
        EXPECT_EQ(block.begin, at);
        at += block.size;
        if (!block.is_free())
            drawn[block.name] = block.size / 16;
    }
    EXPECT_EQ(drawn, sizes);
}

// ---- the policies, beside a heap that is an array of granules
// ------------------------------------

// Which run of free granules to take: {begin, length} of each in address order, the granules
// wanted, and where the last block ended. -1: none.
using Choice = std::function<int(const std::vector<std::pair<size_t, size_t>> &, size_t, size_t)>;

int best_by(const std::vector<std::pair<size_t, size_t>> &runs, size_t wanted,
            const std::function<bool(size_t, size_t)> &better) {
    int best = -1;
    for (size_t index = 0; index < runs.size(); index++)
        if (runs[index].second >= wanted &&
            (best < 0 || better(runs[index].second, runs[size_t(best)].second)))
            best = int(index);
    return best;
}

const std::map<std::string, Choice> choices = {
    {"first fit",
     [](auto &runs, size_t wanted, size_t) {
         return best_by(runs, wanted, [](size_t, size_t) { return false; });
     }},
    {"best fit",
     [](auto &runs, size_t wanted, size_t) { return best_by(runs, wanted, std::less<size_t>()); }},
    {"worst fit", [](auto &runs, size_t wanted,
                     size_t) { return best_by(runs, wanted, std::greater<size_t>()); }},
    {"next fit",
     [](auto &runs, size_t wanted, size_t rover) {
         for (const bool behind : {true, false})
             for (size_t index = 0; index < runs.size(); index++)
                 if (runs[index].second >= wanted && (runs[index].first >= rover) == behind)
                     return int(index);
         return -1;
     }},
};

class Oracle {
  public:
    explicit Oracle(const Choice &choice) : choice_(choice) {}

    void allocate(const std::string &name, size_t granules) {
        const auto runs = free_runs();
        const int chosen = choice_(runs, granules, rover_);
        size_t begin = chosen >= 0 ? runs[size_t(chosen)].first : owner_.size();
        if (chosen < 0 && !runs.empty() && runs.back().first + runs.back().second == owner_.size())
            begin = runs.back().first;
        owner_.resize(std::max(owner_.size(), begin + granules));
        std::fill_n(owner_.begin() + long(begin), granules, name);
        rover_ = begin + granules;
    }
    void release(const std::string &name) { std::replace(owner_.begin(), owner_.end(), name, {}); }
    // Up to the last granule in use.
    std::vector<std::string> owners() const {
        std::vector<std::string> used = owner_;
        while (!used.empty() && used.back().empty())
            used.pop_back();
        return used;
    }

  private:
    std::vector<std::pair<size_t, size_t>> free_runs() const {
        std::vector<std::pair<size_t, size_t>> runs;
        for (size_t at = 0; at < owner_.size(); at++) {
            if (!owner_[at].empty())
                continue;
            if (at == 0 || !owner_[at - 1].empty())
                runs.push_back({at, 0});
            runs.back().second++;
        }
        return runs;
    }

    const Choice choice_;
    std::vector<std::string> owner_; // of each granule; "": free
    size_t rover_ = 0;
};

std::vector<std::string> owners_of(const DemoPicture &picture) {
    std::vector<std::string> owners;
    for (const DemoBlock &block : picture.blocks)
        owners.insert(owners.end(), block.size / 16, block.name);
    return owners;
}

TEST(DemoPolicies, PlaceBlocksAsAnOracleDoes) {
    Random random(test_seed());
    for (const auto &heap : demo_policies()) {
        Oracle oracle(choices.at(heap->name()));
        std::vector<std::string> live;
        for (int call = 0; call < 3000; call++) {
            if (live.size() < 40 && !random.one_in(3)) {
                const size_t size = random.between(1, 500);
                live.push_back("block " + std::to_string(call));
                heap->perform({DemoCall::MALLOC, live.back(), size});
                oracle.allocate(live.back(), (size + 15) / 16);
            } else if (!live.empty()) {
                std::swap(live[random.below(live.size())], live.back());
                heap->perform({DemoCall::FREE, live.back(), 0});
                oracle.release(live.back());
                live.pop_back();
            }
            ASSERT_EQ(owners_of(heap->picture()), oracle.owners()) << heap->name();
        }
    }
}

TEST(DemoPolicies, ResizeInPlaceOrMove) {
    for (const auto &heap : demo_policies()) {
        for (const DemoStep &step :
             demo_parse("malloc a 96\nmalloc b 96\nmalloc c 16\nfree b\nrealloc a 160\n", "test"))
            heap->perform(step.calls[0]);
        EXPECT_EQ(heap->picture().named("a")->begin, 0u) << heap->name();
        EXPECT_EQ(heap->picture().named("a")->size, 160u);
        EXPECT_EQ(heap->picture().at(160)->size, 32u);
        heap->perform({DemoCall::REALLOC, "a", 32});
        EXPECT_EQ(heap->picture().at(32)->size, 160u);
        heap->perform({DemoCall::REALLOC, "a", 400});
        EXPECT_EQ(heap->picture().named("a")->begin, 208u);
        EXPECT_EQ(heap->picture().at(0)->size, 192u);
        EXPECT_EQ(heap->picture().live(), 416u);
    }
}

} // namespace

} // namespace osmem
