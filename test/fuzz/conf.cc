/*
 * OSMEM_CONF against a reader of it that is written as its description reads (osmem/conf.h): what
 * an input sets, and what is warned of. An input is the variable's value.
 */
#include "test/core/internal.h"
#include "test/fuzz/target.h"
#include "test/model/child.h"

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <string>

#ifndef OSMEM_GUARD
#define OSMEM_GUARD false
#endif

namespace osmem {

const size_t FUZZ_LONGEST = 150;

namespace {

struct Expected {
    std::map<std::string, bool> options = {
        {"guard", OSMEM_GUARD}, {"mapped_cache", true}, {"purge", true},  {"requested", false},
        {"stats_print", false}, {"probes", false},      {"names", false}, {"thp", false}};
    std::map<std::string, std::string> texts = {{"stats_file", ""}, {"map", ""}};
    int map_signal = 0;
    os_stats_format format = OS_STATS_TEXT;
    std::string warnings;
};

const std::map<std::string, os_stats_format> FORMATS = {
    {":text", OS_STATS_TEXT}, {":json", OS_STATS_JSON}, {":prometheus", OS_STATS_PROMETHEUS}};

/* Of what `map_signal` may be; 0: it is none. */
int signal_of(const std::string &value) {
    bool is_number = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
    std::string digits = value.substr(std::min(value.find_first_not_of('0'), value.size()));
    int number = is_number && !digits.empty() && digits.size() <= 2 ? std::stoi(digits) : 0;
    return number <= 64 ? number : 0;
}

Expected read(const std::string &text) {
    Expected expected;
    for (size_t start = 0, end; start < text.size(); start = end + 1) {
        end = std::min(text.find(',', start), text.size());
        std::string entry = text.substr(start, end - start);
        std::string key = entry.substr(0, entry.find(':'));
        bool on = entry == key + ":on", known = expected.options.count(key) != 0;
        if (known && (on || entry == key + ":off")) {
            expected.options[key] = on;
            if (key == "stats_print")
                expected.format = OS_STATS_TEXT;
        } else if (key == "stats_print" && FORMATS.count(entry.substr(key.size())) != 0) {
            expected.options[key] = true;
            expected.format = FORMATS.at(entry.substr(key.size()));
        } else if (expected.texts.count(key) != 0 && entry.size() > key.size() + 1) {
            expected.texts[key] = entry.substr(key.size() + 1);
        } else if (key == "map_signal" && entry != key && signal_of(entry.substr(11)) != 0) {
            expected.map_signal = signal_of(entry.substr(11));
        } else if (!entry.empty()) {
            char line[100];
            snprintf(line, sizeof line, "osmem: OSMEM_CONF: unknown option at character: 0x%zx\n",
                     start);
            expected.warnings += line;
        }
    }
    expected.options["requested"] |= expected.options["stats_print"];
    expected.options["requested"] &= !expected.options["guard"];
    return expected;
}

} // namespace

void fuzz(const uint8_t *data, size_t size) {
    std::string text(data, data + size);
    text = text.substr(0, text.find('\0'));
    Expected expected = read(text);
    Ended ended = run_child([&] {
        setenv("OSMEM_CONF", text.c_str(), 1);
        os_free(os_malloc(1));
        EXPECT_EQ(conf.mapped_cache, expected.options["mapped_cache"]);
        EXPECT_EQ(conf.purge, expected.options["purge"]);
        EXPECT_EQ(conf.requested, expected.options["requested"]);
        EXPECT_EQ(conf.stats_print.wanted, expected.options["stats_print"]);
        EXPECT_EQ(conf.stats_print.format, expected.format);
        EXPECT_EQ(conf.guard, expected.options["guard"]);
        EXPECT_EQ(conf.probes, expected.options["probes"]);
        EXPECT_EQ(conf.names, expected.options["names"]);
        EXPECT_EQ(conf.thp, expected.options["thp"]);
        EXPECT_EQ(conf.stats_file, expected.texts["stats_file"]);
        EXPECT_EQ(conf.map, expected.texts["map"]);
        EXPECT_EQ(conf.map_signal, expected.map_signal);
        fuzz_child_ends();
    });
    EXPECT_TRUE(ended.well()) << text << "\n" << ended;
    EXPECT_EQ(ended.errors, expected.warnings) << text;
}

} // namespace osmem
