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

namespace osmem {

const size_t FUZZ_LONGEST = 150;

namespace {

struct Expected {
    std::map<std::string, bool> options = {
        {"mapped_cache", true}, {"purge", true}, {"requested", false}, {"stats_print", false}};
    std::string warnings;
};

Expected read(const std::string &text) {
    Expected expected;
    for (size_t start = 0, end; start < text.size(); start = end + 1) {
        end = std::min(text.find(',', start), text.size());
        std::string entry = text.substr(start, end - start);
        std::string key = entry.substr(0, entry.find(':'));
        bool on = entry == key + ":on", known = expected.options.count(key) != 0;
        if (known && (on || entry == key + ":off")) {
            expected.options[key] = on;
        } else if (!entry.empty()) {
            char line[100];
            snprintf(line, sizeof line, "osmem: OSMEM_CONF: unknown option at character: 0x%zx\n",
                     start);
            expected.warnings += line;
        }
    }
    expected.options["requested"] |= expected.options["stats_print"];
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
        EXPECT_EQ(conf.stats_print, expected.options["stats_print"]);
        fuzz_child_ends();
    });
    EXPECT_TRUE(ended.well()) << text << "\n" << ended;
    EXPECT_EQ(ended.errors, expected.warnings) << text;
}

} // namespace osmem
