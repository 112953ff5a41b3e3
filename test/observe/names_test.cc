// OSMEM_CONF=names:on: what is asked of the kernel, by a stand-in for prctl(2); few kernels of
// today are built with names.
#include "test/core/internal.h"
#include "test/model/child.h"

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <sys/prctl.h>

namespace osmem {
namespace {

struct Name {
    uintptr_t address;
    size_t size;
    const char *text;
};
// No vector: prctl is called inside of the allocator.
Name names[100];
size_t name_count;
int refusal; // errno of all such calls; 0: the kernel takes them

const Name *name_of(const void *ptr) {
    for (size_t i = name_count; i-- > 0;)
        if (reinterpret_cast<uintptr_t>(ptr) - names[i].address < names[i].size)
            return &names[i];
    return nullptr;
}

} // namespace
} // namespace osmem

extern "C" int __real_prctl(int operation, ...);
extern "C" int __wrap_prctl(int operation, ...);
int __wrap_prctl(int operation, ...) {
    using namespace osmem;
    va_list list;
    va_start(list, operation);
    unsigned long arguments[4];
    for (unsigned long &argument : arguments)
        argument = va_arg(list, unsigned long);
    va_end(list);
    if (operation != 0x53564d41)
        return __real_prctl(operation, arguments[0], arguments[1], arguments[2], arguments[3]);
    EXPECT_EQ(arguments[0], 0u);
    if (name_count < 100)
        names[name_count++] = {arguments[1], arguments[2],
                               reinterpret_cast<const char *>(arguments[3])};
    errno = refusal;
    return refusal == 0 ? 0 : -1;
}

namespace osmem {
namespace {

CHILD_TEST(Names, AreNotAskedForByDefault) {
    unsetenv("OSMEM_CONF");
    EXPECT_NE(os_malloc(300 * KIB), nullptr);
    EXPECT_EQ(name_count, 0u);
}

CHILD_TEST(Names, AreThoseOfWhatWasMapped) {
    setenv("OSMEM_CONF", "names:on,requested:on", 1);
    void *block = os_malloc(300 * KIB);
    EXPECT_NE(os_malloc(1), nullptr);
    const Name *name = name_of(block);
    ASSERT_NE(name, nullptr);
    EXPECT_STREQ(name->text, "osmem");
    EXPECT_GE(name->size, 300 * KIB);
    bool has_metadata = false; // what was asked for of heap blocks
    for (size_t i = 0; i < name_count; i++)
        has_metadata |= std::string(names[i].text) == "osmem metadata";
    EXPECT_TRUE(has_metadata);
}

CHILD_TEST(Names, OfTheGuardedMode) {
    setenv("OSMEM_CONF", "names:on,guard:on", 1);
    void *block = os_malloc(300 * KIB);
    const Name *name = name_of(block);
    ASSERT_NE(name, nullptr);
    EXPECT_STREQ(name->text, "osmem guarded");
}

CHILD_TEST(Names, AreNotAskedForAgainWhereThereAreNone) {
    setenv("OSMEM_CONF", "names:on", 1);
    refusal = EINVAL;
    errno = 7;
    for (int i = 0; i < 5; i++)
        EXPECT_NE(os_malloc((300 + 100 * i) * KIB), nullptr);
    EXPECT_EQ(errno, 7);
    EXPECT_EQ(name_count, 1u);
}

// What this kernel really makes of it.
CHILD_TEST(Names, StandInTheMapsOfTheProcess) {
    void *ptr = system_map(64 * KIB);
    if (__real_prctl(0x53564d41, 0, ptr, 64 * KIB, "osmem") != 0)
        return;
    std::ifstream lines("/proc/self/maps");
    bool found = false;
    for (std::string line; std::getline(lines, line);)
        found |= line.find("[anon:osmem]") != std::string::npos;
    EXPECT_TRUE(found);
}

} // namespace
} // namespace osmem
