// os_malloc_stats_print: every number is that of os_malloc_stats, os_heap_stats and os_heap_walk,
// to the byte; the formats, by a parser of JSON and a small strict one of Prometheus' exposition.
#include "nlohmann/json.hpp"
#include "test/core/internal.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"
#include "test/model/random.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

using nlohmann::json;

os_stats stats_now() {
    os_stats stats;
    os_malloc_stats(&stats);
    return stats;
}

// Into a file that needs none of this process's memory.
std::string print(os_stats_format format) {
    const int file = memfd_create("statistics", 0);
    EXPECT_EQ(os_malloc_stats_print(file, format), 0) << strerror(errno);
    std::string text(size_t(lseek(file, 0, SEEK_END)), '\0');
    EXPECT_EQ(pread(file, text.data(), text.size(), 0), ssize_t(text.size()));
    close(file);
    return text;
}

// Blocks of all kinds in two heaps.
void make_heaps() {
    const auto make = [](uint64_t seed) {
        Random random(seed);
        for (int i = 0; i < 2000; i++) {
            void *block = os_malloc(random.spread(1, 100 * KIB));
            ASSERT_NE(block, nullptr);
            memset(block, 1, 1);
            if (random.one_in(3))
                os_free(block);
        }
    };
    make(1);
    std::thread([&] { make(2); }).join();
    for (int i = 0; i < 3; i++)
        os_free(os_malloc(500 * KIB));
    EXPECT_NE(os_malloc(3 * MIB), nullptr);
}

const std::map<std::string, size_t os_stats::*> FIELDS = {
    {"requested", &os_stats::requested},
    {"allocated", &os_stats::allocated},
    {"allocated_blocks", &os_stats::allocated_blocks},
    {"active", &os_stats::active},
    {"free", &os_stats::free},
    {"free_blocks", &os_stats::free_blocks},
    {"untouched", &os_stats::untouched},
    {"metadata", &os_stats::metadata},
    {"heap", &os_stats::heap},
    {"mapped", &os_stats::mapped},
    {"mapped_blocks", &os_stats::mapped_blocks},
    {"mapped_cached", &os_stats::mapped_cached},
    {"resident", &os_stats::resident},
    {"heaps", &os_stats::heaps},
    {"sbrk_calls", &os_stats::sbrk_calls},
    {"mmap_calls", &os_stats::mmap_calls},
    {"munmap_calls", &os_stats::munmap_calls},
    {"mremap_calls", &os_stats::mremap_calls},
    {"madvise_calls", &os_stats::madvise_calls},
};

// docs/statistics.md.
std::map<std::string, size_t> figures(const os_stats &stats) {
    return {{"allocated", stats.allocated + stats.mapped},
            {"active", stats.active},
            {"metadata", stats.metadata},
            {"resident", stats.resident},
            {"mapped", stats.heap + stats.mapped},
            {"retained", stats.mapped_cached}};
}

// Blocks by heap, size class and whether they live; as the walk sees them.
struct Count {
    size_t blocks = 0, bytes = 0;
    bool operator==(const Count &other) const {
        return blocks == other.blocks && bytes == other.bytes;
    }
};
using Sizes = std::map<std::tuple<std::string, size_t, bool>, Count>;

Sizes walked_sizes() {
    Sizes sizes;
    os_heap_walk(
        [](const os_block *block, void *context) {
            const bool live = block->kind == OS_BLOCK_USED || block->kind == OS_BLOCK_MAPPED;
            if (!live && block->kind != OS_BLOCK_FREE)
                return 0;
            size_t from = 1;
            while (from <= block->size / 2)
                from *= 2;
            const std::string heap =
                block->kind == OS_BLOCK_MAPPED ? "mapped" : std::to_string(block->heap);
            Count &count = (*static_cast<Sizes *>(context))[{heap, from, live}];
            count.blocks++;
            count.bytes += block->size;
            return 0;
        },
        &sizes);
    return sizes;
}

void add_sizes(const json &list, const std::string &heap, Sizes *sizes) {
    for (const json &line : list) {
        const size_t from = line["from"];
        EXPECT_EQ(line["to"], 2 * from - 1);
        const Count live = {line["live_blocks"], line["live_bytes"]};
        const Count free = {line["free_blocks"], line["free_bytes"]};
        if (live.blocks != 0)
            (*sizes)[{heap, from, true}] = live;
        if (free.blocks != 0)
            (*sizes)[{heap, from, false}] = free;
    }
}

// ---- JSON --------------------------------------------------------------------------------------

ISOLATED_TEST(StatsJson, HasEveryNumberOfTheStatistics) {
    make_heaps();
    const os_stats stats = stats_now();
    const json document = json::parse(print(OS_STATS_JSON))["osmem"];
    EXPECT_EQ(document["process"], getpid());
    EXPECT_EQ(document["os_stats"].size(), FIELDS.size());
    for (const auto &[name, field] : FIELDS)
        EXPECT_EQ(document["os_stats"][name], stats.*field) << name;
    // Whoever adds a number adds it here too.
    EXPECT_EQ(FIELDS.size() * sizeof(size_t), sizeof(os_stats));
    EXPECT_EQ(document["stats"], json(figures(stats)));
}

ISOLATED_TEST(StatsJson, HasEachHeap) {
    make_heaps();
    const json document = json::parse(print(OS_STATS_JSON))["osmem"];
    ASSERT_EQ(document["heaps"].size(), 2u);
    for (size_t index = 0; index < 2; index++) {
        os_stats stats;
        ASSERT_EQ(os_heap_stats(index, &stats), 0);
        const json &heap = document["heaps"][index];
        EXPECT_EQ(heap["number"], index);
        for (const char *name : {"requested", "allocated", "allocated_blocks", "active", "free",
                                 "free_blocks", "untouched", "metadata", "heap", "resident"})
            EXPECT_EQ(heap[name], stats.*FIELDS.at(name)) << name;
    }
}

ISOLATED_TEST(StatsJson, CountsBlocksBySizeAsTheWalkDoes) {
    make_heaps();
    const json document = json::parse(print(OS_STATS_JSON))["osmem"];
    Sizes sizes;
    for (const json &heap : document["heaps"])
        add_sizes(heap["sizes"], std::to_string(size_t(heap["number"])), &sizes);
    add_sizes(document["mapped"]["sizes"], "mapped", &sizes);
    EXPECT_EQ(sizes.size(), walked_sizes().size());
    EXPECT_TRUE(sizes == walked_sizes());
    EXPECT_GT(sizes.size(), 30u);
}

ISOLATED_TEST(StatsJson, OfAProgramThatNeverAllocated) {
    const json document = json::parse(print(OS_STATS_JSON))["osmem"];
    EXPECT_TRUE(document["heaps"].empty());
    EXPECT_TRUE(document["mapped"]["sizes"].empty());
    for (const auto &[name, value] : document["stats"].items())
        EXPECT_EQ(value, 0) << name;
}

// ---- Prometheus --------------------------------------------------------------------------------

using Labels = std::map<std::string, std::string>;
struct Exposition {
    std::map<std::string, std::string> types; // of each family
    std::map<std::pair<std::string, Labels>, size_t> samples;
    size_t sum(const std::string &name, const Labels &labels) const {
        size_t sum = 0;
        for (const auto &[key, value] : samples)
            sum += key.first == name && std::includes(key.second.begin(), key.second.end(),
                                                      labels.begin(), labels.end())
                       ? value
                       : 0;
        return sum;
    }
};

bool is_name(const std::string &name) {
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    return !name.empty() && !isdigit(name[0]) &&
           name.find_first_not_of(std::string(letters) + "0123456789:") == std::string::npos;
}

// label="value",…; no value here needs an escape.
Labels parse_labels(const std::string &text) {
    Labels labels;
    for (size_t at = 0; at < text.size();) {
        const size_t equals = text.find("=\"", at), end = text.find('"', equals + 2);
        if (equals == std::string::npos || end == std::string::npos) {
            ADD_FAILURE() << text;
            break;
        }
        const std::string name = text.substr(at, equals - at);
        EXPECT_TRUE(is_name(name)) << text;
        EXPECT_TRUE(labels.emplace(name, text.substr(equals + 2, end - equals - 2)).second) << text;
        EXPECT_TRUE(end + 1 == text.size() || text[end + 1] == ',') << text;
        at = end + 2;
    }
    return labels;
}

// Fails at what the format does not allow: a family in two places, a sample without its family, one
// that is there twice, a value that is no number.
Exposition parse_exposition(const std::string &text) {
    Exposition result;
    std::string family, line;
    EXPECT_EQ(text.back(), '\n');
    std::istringstream lines(text);
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        std::string hash, kind, name, rest;
        if (line[0] == '#') {
            words >> hash >> kind >> name;
            std::getline(words, rest);
            EXPECT_TRUE(is_name(name)) << line;
            if (kind == "HELP") {
                EXPECT_EQ(result.types.count(name), 0u) << line;
                EXPECT_GT(rest.size(), 1u) << line;
                family = name;
            } else {
                EXPECT_EQ(kind, "TYPE") << line;
                EXPECT_EQ(name, family) << line;
                EXPECT_TRUE(result.types.emplace(name, rest.substr(1)).second) << line;
            }
            continue;
        }
        const size_t end = line.find_first_of("{ ");
        EXPECT_EQ(line.substr(0, end), family) << line;
        EXPECT_EQ(result.types.count(family), 1u) << line;
        Labels labels;
        const size_t space = line.rfind(' ');
        if (line[end] == '{') {
            EXPECT_EQ(line[space - 1], '}') << line;
            labels = parse_labels(line.substr(end + 1, space - end - 2));
        } else {
            EXPECT_EQ(end, space) << line;
        }
        const std::string value = line.substr(space + 1);
        EXPECT_EQ(value.find_first_not_of("0123456789"), std::string::npos) << line;
        EXPECT_TRUE(
            result.samples.emplace(std::make_pair(family, labels), std::stoull(value)).second)
            << line;
    }
    return result;
}

ISOLATED_TEST(StatsPrometheus, HasTheFigures) {
    make_heaps();
    const os_stats stats = stats_now();
    const Exposition exposition = parse_exposition(print(OS_STATS_PROMETHEUS));
    for (const auto &[name, value] : figures(stats)) {
        const std::string family = "osmem_" + name + "_bytes";
        EXPECT_EQ(exposition.types.at(family), "gauge");
        EXPECT_EQ(exposition.samples.at({family, {}}), value) << name;
    }
    EXPECT_EQ(exposition.samples.at({"osmem_requested_bytes", {}}), stats.requested);
    EXPECT_EQ(exposition.samples.at({"osmem_heaps", {}}), stats.heaps);
    EXPECT_EQ(exposition.samples.at({"osmem_mapping_bytes", {{"state", "live"}}}), stats.mapped);
    EXPECT_EQ(exposition.samples.at({"osmem_mapping_bytes", {{"state", "cached"}}}),
              stats.mapped_cached);
    EXPECT_EQ(exposition.samples.at({"osmem_mapping_blocks", {}}), stats.mapped_blocks);
    EXPECT_EQ(exposition.types.at("osmem_system_calls_total"), "counter");
    const std::map<std::string, size_t> calls = {{"sbrk", stats.sbrk_calls},
                                                 {"mmap", stats.mmap_calls},
                                                 {"munmap", stats.munmap_calls},
                                                 {"mremap", stats.mremap_calls},
                                                 {"madvise", stats.madvise_calls}};
    for (const auto &[call, count] : calls)
        EXPECT_EQ(exposition.samples.at({"osmem_system_calls_total", {{"call", call}}}), count);
}

ISOLATED_TEST(StatsPrometheus, HasEachHeap) {
    make_heaps();
    const os_stats all = stats_now();
    const Exposition exposition = parse_exposition(print(OS_STATS_PROMETHEUS));
    for (size_t index = 0; index < 2; index++) {
        os_stats stats;
        ASSERT_EQ(os_heap_stats(index, &stats), 0);
        const auto of = [&](const std::string &family, const std::string &state) {
            return exposition.samples.at(
                {family, {{"heap", std::to_string(index)}, {"state", state}}});
        };
        EXPECT_EQ(of("osmem_heap_bytes", "allocated"), stats.allocated);
        EXPECT_EQ(of("osmem_heap_bytes", "free"), stats.free);
        EXPECT_EQ(of("osmem_heap_bytes", "untouched"), stats.untouched);
        EXPECT_EQ(of("osmem_heap_bytes", "metadata"), stats.metadata);
        EXPECT_EQ(of("osmem_heap_blocks", "allocated"), stats.allocated_blocks);
        EXPECT_EQ(of("osmem_heap_blocks", "free"), stats.free_blocks);
        EXPECT_EQ(of("osmem_heap_pages_bytes", "active"), stats.active);
        EXPECT_EQ(of("osmem_heap_pages_bytes", "resident"), stats.resident);
    }
    EXPECT_EQ(exposition.sum("osmem_heap_bytes", {}), all.heap);
}

ISOLATED_TEST(StatsPrometheus, CountsBlocksBySizeAsTheWalkDoes) {
    make_heaps();
    const Exposition exposition = parse_exposition(print(OS_STATS_PROMETHEUS));
    Sizes sizes;
    for (const auto &[key, value] : exposition.samples) {
        Labels labels = key.second;
        if (key.first != "osmem_size_blocks" && key.first != "osmem_size_bytes")
            continue;
        EXPECT_EQ(labels.size(), 4u);
        EXPECT_EQ(std::stoull(labels["to"]), 2 * std::stoull(labels["from"]) - 1);
        Count &count =
            sizes[{labels["heap"], std::stoull(labels["from"]), labels["state"] == "live"}];
        (key.first == "osmem_size_blocks" ? count.blocks : count.bytes) = value;
    }
    EXPECT_TRUE(sizes == walked_sizes());
}

// ---- the call ----------------------------------------------------------------------------------

// Each of the figures stands in the text as well, those of a size on a line.
ISOLATED_TEST(StatsPrint, HasAllFiguresAsTextToo) {
    make_heaps();
    const std::string text = print(OS_STATS_TEXT);
    const json all = json::parse(print(OS_STATS_JSON))["osmem"];
    const os_stats stats = stats_now();
    for (const auto &[name, field] : FIELDS)
        EXPECT_NE(text.find(std::to_string(stats.*field)), std::string::npos) << name;
    EXPECT_EQ(text.find("osmem: statistics of process " + std::to_string(getpid()) + "\n"), 0u);
    for (const char *heading : {"\n  heap         allocated", " blocks from "})
        EXPECT_NE(text.find(heading), std::string::npos) << heading;
    size_t lines = 0;
    const auto expect_sizes = [&](const std::string &where, const json &part) {
        for (const json &size : part["sizes"]) {
            std::string line = "\n +" + where;
            for (const char *field :
                 {"from", "live_blocks", "live_bytes", "free_blocks", "free_bytes"})
                line += " +" + std::to_string(size[field].get<size_t>());
            EXPECT_TRUE(std::regex_search(text, std::regex(line + "\n"))) << line;
            lines++;
        }
    };
    for (const json &heap : all["heaps"])
        expect_sizes(std::to_string(heap["number"].get<size_t>()), heap);
    expect_sizes("mapped", all["mapped"]);
    EXPECT_GT(lines, 10u);
}

ISOLATED_TEST(StatsPrint, ChangesNothing) {
    make_heaps();
    const os_stats before = stats_now();
    errno = 123;
    const int file = open("/dev/null", O_WRONLY);
    for (const auto format : {OS_STATS_TEXT, OS_STATS_JSON, OS_STATS_PROMETHEUS})
        EXPECT_EQ(os_malloc_stats_print(file, format), 0);
    EXPECT_EQ(errno, 123);
    const os_stats after = stats_now();
    EXPECT_EQ(memcmp(&before, &after, sizeof before), 0);
}

ISOLATED_TEST(StatsPrint, SaysWhatIsWrong) {
    os_free(os_malloc(1));
    EXPECT_EQ(os_malloc_stats_print(1, os_stats_format(3)), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(os_malloc_stats_print(-1, OS_STATS_JSON), -1);
    EXPECT_EQ(errno, EBADF);
    const int full = open("/dev/full", O_WRONLY);
    if (full < 0)
        return;
    EXPECT_EQ(os_malloc_stats_print(full, OS_STATS_PROMETHEUS), -1);
    EXPECT_EQ(errno, ENOSPC);
}

// Where stacks are as small as the system allows.
ISOLATED_TEST(StatsPrint, NeedsLittleStack) {
    make_heaps();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16384);
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, &attributes,
                  [](void *) -> void * {
                      const int file = open("/dev/null", O_WRONLY);
                      for (const auto format : {OS_STATS_TEXT, OS_STATS_JSON, OS_STATS_PROMETHEUS})
                          if (os_malloc_stats_print(file, format) != 0)
                              return const_cast<char *>("failed");
                      return nullptr;
                  },
                  nullptr),
              0);
    void *failed;
    pthread_join(thread, &failed);
    EXPECT_EQ(failed, nullptr);
}

// Pages with live blocks on them, counted one by one.
ISOLATED_TEST(StatsActive, IsThePagesOfLiveBlocks) {
    make_heaps();
    std::set<uintptr_t> pages;
    os_heap_walk(
        [](const os_block *block, void *context) {
            const auto begin = reinterpret_cast<uintptr_t>(block->address);
            if (block->kind == OS_BLOCK_USED || block->kind == OS_BLOCK_MAPPED)
                for (uintptr_t at = begin / 4096; at * 4096 < begin + block->size; at++)
                    static_cast<std::set<uintptr_t> *>(context)->insert(at);
            return 0;
        },
        &pages);
    if (sysconf(_SC_PAGESIZE) != 4096)
        GTEST_SKIP() << "pages are not of 4 KiB";
    EXPECT_EQ(stats_now().active, pages.size() * 4096);
}

} // namespace
} // namespace osmem
