#include "test/core/internal.h"
#include "test/model/child.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <sys/auxv.h>
#include <thread>
#include <unistd.h>

namespace osmem {
namespace {
bool is_set_user_id = false;
}
} // namespace osmem

extern "C" unsigned long __real_getauxval(unsigned long type);
extern "C" unsigned long __wrap_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type) {
    return type == AT_SECURE ? osmem::is_set_user_id : __real_getauxval(type);
}

namespace osmem {
namespace {

size_t cached_bytes() {
    os_stats stats;
    os_malloc_stats(&stats);
    return stats.mapped_cached;
}

/* Frees a mapping of a length that comes again. */
void free_mappings() {
    for (int i = 0; i < 3; i++)
        os_free(os_malloc(500 * KIB));
}

/* Uses the heap, so that the options are read, in a child with them. */
Ended with_conf(const std::string &text, const std::function<void()> &body) {
    return run_child([&] {
        setenv("OSMEM_CONF", text.c_str(), 1);
        os_free(os_malloc(1));
        body();
    });
}

std::string warning(size_t character) {
    char line[100];
    snprintf(line, sizeof line, "osmem: OSMEM_CONF: unknown option at character: 0x%zx\n",
             character);
    return line;
}

CHILD_TEST(Conf, HasItsDefaultsWithoutTheVariable) {
    unsetenv("OSMEM_CONF");
    os_free(os_malloc(1));
    EXPECT_TRUE(conf.mapped_cache);
    EXPECT_FALSE(conf.stats_print.wanted);
}

TEST(Conf, TakesKnownKeys) {
    Ended ended = with_conf("mapped_cache:off,stats_print:on", [] {
        EXPECT_FALSE(conf.mapped_cache);
        EXPECT_TRUE(conf.stats_print.wanted);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, "");
}

TEST(Conf, TheLastValueOfAKeyHolds) {
    Ended ended =
        with_conf("mapped_cache:off,mapped_cache:on", [] { EXPECT_TRUE(conf.mapped_cache); });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, "");
}

TEST(Conf, EmptyEntriesMeanNothing) {
    for (const char *text : {"", ",", ",,stats_print:on,,", "stats_print:on,"}) {
        Ended ended =
            with_conf(text, [&] { EXPECT_EQ(conf.stats_print.wanted, strlen(text) > 1); });
        EXPECT_TRUE(ended.well()) << ended;
        EXPECT_EQ(ended.errors, "") << text;
    }
}

TEST(Conf, AnUnknownKeyWarnsOnceAndIsIgnored) {
    Ended ended = with_conf("stats_print:on,nonsense:on,mapped_cache:off", [] {
        std::thread([] { os_free(os_malloc(1)); }).join();
        free_mappings();
        EXPECT_TRUE(conf.stats_print.wanted);
        EXPECT_FALSE(conf.mapped_cache);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, warning(15));
}

TEST(Conf, AValueThatIsNoSwitchWarnsAndIsIgnored) {
    for (const char *entry : {"mapped_cache", "mapped_cache:", "mapped_cache:of", "mapped_cache:1",
                              "mapped_cache:offf", "mapped_cache:off:", ":off", "Mapped_cache:off",
                              "mapped_cach:off", "mapped_cache :off", " mapped_cache:off", ":"}) {
        Ended ended = with_conf(entry, [] { EXPECT_TRUE(conf.mapped_cache); });
        EXPECT_TRUE(ended.well()) << ended;
        EXPECT_EQ(ended.errors, warning(0)) << entry;
    }
}

TEST(Conf, EveryUnknownEntryWarns) {
    Ended ended = with_conf("a:on,stats_print,b", [] {});
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, warning(0) + warning(5) + warning(17));
}

TEST(Conf, OnlyTheVariableOfThatNameIsRead) {
    Ended ended = run_child([] {
        setenv("OSMEM_CONFX", "stats_print:on", 1);
        setenv("XOSMEM_CONF", "stats_print:on", 1);
        unsetenv("OSMEM_CONF");
        os_free(os_malloc(1));
        EXPECT_FALSE(conf.stats_print.wanted);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, "");
}

TEST(Conf, IsIgnoredInSetUserIdPrograms) {
    Ended ended = run_child([] {
        is_set_user_id = true;
        setenv("OSMEM_CONF", "mapped_cache:off,nonsense", 1);
        os_free(os_malloc(1));
        EXPECT_TRUE(conf.mapped_cache);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, "");
}

TEST(Conf, IsReadOnce) {
    Ended ended = with_conf("stats_print:on", [] {
        setenv("OSMEM_CONF", "stats_print:off,nonsense", 1);
        std::thread([] { os_free(os_malloc(1)); }).join();
        EXPECT_TRUE(conf.stats_print.wanted);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, "");
}

TEST(Conf, MappedCacheOnKeepsMappings) {
    Ended ended = with_conf("mapped_cache:on", [] {
        free_mappings();
        EXPECT_EQ(cached_bytes(), 500 * KIB);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

TEST(Conf, MappedCacheOffKeepsNone) {
    Ended ended = with_conf("mapped_cache:off", [] {
        free_mappings();
        EXPECT_EQ(cached_bytes(), 0u);
    });
    EXPECT_TRUE(ended.well()) << ended;
}

/* The dynamic linker allocates before there is an environment: it is read later then. */
CHILD_TEST(Conf, IsReadOnceThereIsAnEnvironment) {
    char **variables = environ;
    environ = nullptr;
    os_free(os_malloc(1));
    environ = variables;
    setenv("OSMEM_CONF", "stats_print:on", 1);
    EXPECT_FALSE(conf.stats_print.wanted);
    free_mappings();
    EXPECT_TRUE(conf.stats_print.wanted);
}

CHILD_TEST(Conf, MappedCacheOffGrowsMappingsAllTheSame) {
    setenv("OSMEM_CONF", "mapped_cache:off", 1);
    void *ptr = os_malloc(300 * KIB);
    for (size_t size = 400 * KIB; size < 8 * MIB; size *= 2)
        ASSERT_NE(ptr = os_realloc(ptr, size), nullptr);
    EXPECT_EQ(cached_bytes(), 0u);
    os_free(ptr);
    EXPECT_EQ(cached_bytes(), 0u);
}

TEST(Conf, TakesTheFileOfMapsAndTheirSignal) {
    Ended ended = with_conf("map:/tmp/a:b/heap,map_signal:12,purge:off", [] {
        EXPECT_STREQ(conf.map, "/tmp/a:b/heap");
        EXPECT_EQ(conf.map_signal, 12);
        EXPECT_FALSE(conf.purge);
    });
    EXPECT_TRUE(ended.well()) << ended;
    EXPECT_EQ(ended.errors, "");
}

TEST(Conf, ASignalOrFileThatIsNoneWarnsAndIsIgnored) {
    const std::string long_name = "map:" + std::string(CONF_TEXT_BYTES, 'x');
    for (const std::string &entry :
         {std::string("map_signal:0"), std::string("map_signal:65"), std::string("map_signal:usr1"),
          std::string("map_signal:"), std::string("map_signal:99999999999999999999"),
          std::string("map_signal:1x"), std::string("map:"), std::string("map"), long_name}) {
        Ended ended = with_conf(entry, [] {
            EXPECT_STREQ(conf.map, "");
            EXPECT_EQ(conf.map_signal, 0);
        });
        EXPECT_TRUE(ended.well()) << ended;
        EXPECT_EQ(ended.errors, warning(0)) << entry;
    }
}

CHILD_TEST(Conf, IsReadByAProgramThatOnlyMaps) {
    setenv("OSMEM_CONF", "mapped_cache:off", 1);
    free_mappings();
    EXPECT_EQ(cached_bytes(), 0u);
}

} // namespace
} // namespace osmem
