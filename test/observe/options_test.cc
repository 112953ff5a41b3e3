// docs/options.md against the options that there are: the same keys in the same order, each value
// of the table is taken, and the default is what holds without the variable.
#include "test/core/internal.h"
#include "test/model/child.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace osmem {
namespace {

struct Row {
    std::string key;
    std::vector<std::string> values, defaults;
};

// What stands between backticks.
std::vector<std::string> in_backticks(const std::string &cell) {
    std::vector<std::string> words;
    for (size_t at = 0, end; (at = cell.find('`', at)) != std::string::npos; at = end + 1) {
        end = cell.find('`', at + 1);
        words.push_back(cell.substr(at + 1, end - at - 1));
    }
    return words;
}

std::vector<Row> documented() {
    std::ifstream file("docs/options.md");
    EXPECT_TRUE(file.good());
    std::vector<Row> rows;
    for (std::string line; std::getline(file, line);) {
        if (line.compare(0, 3, "| `") != 0)
            continue;
        std::vector<std::string> cells;
        for (size_t at = 1, end; (end = line.find('|', at)) != std::string::npos; at = end + 1)
            cells.push_back(line.substr(at, end - at));
        EXPECT_EQ(cells.size(), 4u) << line;
        EXPECT_GT(cells[3].size(), 20u) << line;
        rows.push_back({in_backticks(cells[0])[0], in_backticks(cells[1]), in_backticks(cells[2])});
    }
    return rows;
}

// A value for what the table has in capitals.
std::string example(const std::string &value) {
    return value == "PREFIX" ? "/tmp/some:where" : value == "NUMBER" ? "10" : value;
}

// What a child of this process has in `conf` with that in the variable, and what it warns of.
std::string conf_with(const std::string &text, struct conf *result) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    Ended ended = run_child([&] {
        text.empty() ? unsetenv("OSMEM_CONF") : setenv("OSMEM_CONF", text.c_str(), 1);
        os_free(os_malloc(1));
        ASSERT_EQ(write(ends[1], &::conf, sizeof ::conf), ssize_t(sizeof ::conf));
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(read(ends[0], result, sizeof *result), ssize_t(sizeof *result));
    close(ends[0]);
    close(ends[1]);
    return ended.errors;
}

TEST(Options, AreThoseOfTheDocument) {
    const std::vector<Row> rows = documented();
    ASSERT_EQ(rows.size(), conf_option_count);
    for (size_t i = 0; i < rows.size(); i++)
        EXPECT_EQ(rows[i].key, conf_options[i].key);
}

TEST(Options, TakeTheValuesOfTheDocument) {
    struct conf without, with;
    EXPECT_EQ(conf_with("", &without), "");
    for (const Row &row : documented()) {
        ASSERT_FALSE(row.values.empty());
        size_t changing = 0;
        for (const std::string &value : row.values) {
            EXPECT_EQ(conf_with(row.key + ":" + example(value), &with), "") << row.key << value;
            changing += memcmp(&with, &without, sizeof with) != 0;
        }
        EXPECT_GE(changing, 1u) << row.key;
        EXPECT_NE(conf_with(row.key + ":", &with), "") << row.key;
    }
}

TEST(Options, HaveTheDefaultsOfTheDocument) {
    struct conf without, with;
    conf_with("", &without);
    for (const Row &row : documented()) {
        for (const std::string &value : row.defaults) {
            conf_with(row.key + ":" + value, &with);
            // In a build that has it on, `guard` is documented for all others.
            if (row.key != "guard" || !::conf.guard) {
                EXPECT_EQ(memcmp(&with, &without, sizeof with), 0) << row.key;
            }
        }
        EXPECT_EQ(row.defaults.empty(), row.values[0] == "PREFIX" || row.values[0] == "NUMBER");
    }
}

} // namespace
} // namespace osmem
