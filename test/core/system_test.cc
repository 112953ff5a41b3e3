/* The system layer and the last words, by themselves. */
#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <string>

namespace osmem {
namespace {

ISOLATED_TEST(System, ExtendsTheBreakByNoImpossibleSize) {
    size_t calls = kernel::count(kernel::SBRK).calls;
    EXPECT_EQ(system_extend(size_t{PTRDIFF_MAX} + 1), 0u);
    EXPECT_EQ(system_extend(SIZE_MAX), 0u);
    EXPECT_EQ(kernel::count(kernel::SBRK).calls, calls) << "sbrk would have lowered the break";
}

ISOLATED_TEST(System, MapsNothingWhoseSizeOverflowsWithItsAlignment) {
    EXPECT_EQ(system_map_aligned(SIZE_MAX - MIB + 1, 2 * MIB), nullptr);
    EXPECT_EQ(kernel::count(kernel::MMAP).calls, 0u);
}

ISOLATED_TEST(System, LeavesNothingMappedBesideWhatIsAligned) {
    for (size_t alignment : {8 * KIB, 1 * MIB, 16 * MIB}) {
        void *ptr = system_map_aligned(100 * KIB, alignment);
        ASSERT_NE(ptr, nullptr);
        EXPECT_TRUE(is_at(ptr, alignment));
        EXPECT_EQ(kernel::mapped_bytes(), 100 * KIB);
        fill(ptr, 100 * KIB, 1);
        ASSERT_TRUE(system_unmap(ptr, 100 * KIB));
    }
}

/* Before Linux 4.17 the kernel maps elsewhere when it does not like the address. */
ISOLATED_TEST(System, MapsAtAnAddressOrNotAtAll) {
    char *ptr = static_cast<char *>(system_map(64 * KIB));
    auto address = reinterpret_cast<uintptr_t>(ptr);
    EXPECT_FALSE(system_map_at(address + 4 * KIB, 4 * KIB)) << "on what is mapped";
    ASSERT_TRUE(system_unmap(ptr, 64 * KIB));
    EXPECT_TRUE(system_map_at(address, 64 * KIB));
    ASSERT_TRUE(system_unmap(ptr, 64 * KIB));
    kernel::ignore_wishes();
    size_t mapped = kernel::mapped_bytes();
    EXPECT_FALSE(system_map_at(64 * KIB, 64 * KIB));
    EXPECT_EQ(kernel::mapped_bytes(), mapped) << "what came instead stays mapped";
}

ISOLATED_TEST(System, CountsNothingResidentWhereNothingIsMapped) {
    char *ptr = static_cast<char *>(system_map(4 * MIB));
    fill(ptr, 4 * MIB, 1);
    EXPECT_EQ(system_resident(ptr, 4 * MIB), 4 * MIB);
    EXPECT_EQ(system_resident(ptr + 1, 1), system_page());
    ASSERT_TRUE(system_unmap(ptr, 4 * MIB));
    errno = 5;
    EXPECT_EQ(system_resident(ptr, 4 * MIB), 0u);
    EXPECT_EQ(errno, 5);
}

ISOLATED_TEST(System, MovesAndCountsIt) {
    char *from = static_cast<char *>(system_map(64 * KIB));
    char *to = static_cast<char *>(system_map(64 * KIB));
    fill(from, 64 * KIB, 1);
    size_t calls = system_calls().mremap;
    ASSERT_TRUE(system_move(from, 64 * KIB, 64 * KIB, to));
    EXPECT_EQ(system_calls().mremap, calls + 1);
    EXPECT_TRUE(is_filled(to, 64 * KIB, 1));
}

TEST(System, KnowsWhetherAThreadLives) {
    signal(SIGHUP, SIG_DFL); /* it asks by sending no signal, not even one that is ignored */
    for (int before : {0, ESRCH}) {
        errno = before;
        EXPECT_TRUE(system_thread_lives(system_thread_id()));
        EXPECT_EQ(errno, before);
        EXPECT_FALSE(system_thread_lives(uint32_t{1} << 22)) << "more than there can be";
        EXPECT_EQ(errno, before);
    }
}

TEST(System, CountsMilliseconds) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    auto expected = static_cast<uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1000000);
    EXPECT_LT(system_milliseconds() - expected + 100, 1000u);
}

TEST(Die, WritesOneLineAndAborts) {
    EXPECT_EXIT(die_internal("text"), testing::KilledBySignal(SIGABRT),
                testing::Eq("osmem: text\n"));
    EXPECT_EXIT(die_block("f", nullptr, "fact"), testing::KilledBySignal(SIGABRT),
                testing::Eq("osmem: os_f(): block 0x0 fact\n"));
}

/* It has a buffer of 256 characters, the end of the line included. */
TEST(Die, CutsOffALineThatIsTooLong) {
    const std::string fact(1000, 'x');
    EXPECT_EXIT(die_internal(fact.c_str()), testing::KilledBySignal(SIGABRT),
                testing::Eq("osmem: " + std::string(256 - 8, 'x') + "\n"));
}

} // namespace
} // namespace osmem
