/*
 * The checker names the invariant of the mapped blocks that was broken on purpose. Their tables are
 * the business of one source file each, so they are found as an attacker would: by what must stand
 * in them.
 */
#include "test/core/blocks.h"
#include "test/model/child.h"

#include <gtest/gtest.h>

#include <cstdint>

/* The linker's: where variables begin and end. */
extern "C" char __data_start[], _end[];

namespace osmem {
namespace {

/* Where `address` is followed by `length` in the variables of this program, as in every table. */
uintptr_t *entry_of(const void *address, size_t length) {
    auto word = reinterpret_cast<uintptr_t *>(
        align_up(reinterpret_cast<uintptr_t>(__data_start), sizeof(uintptr_t)));
    auto end = reinterpret_cast<uintptr_t *>(
        align_down(reinterpret_cast<uintptr_t>(_end), sizeof(uintptr_t)));
    for (; word + 1 < end; word++) {
        if (word[0] == reinterpret_cast<uintptr_t>(address) && word[1] == length)
            return word;
    }
    return nullptr;
}

/* Two live blocks and a kept extent, damaged at the entry of the block or of the extent. */
void expect_found(enum invariant invariant, bool of_extent, void (*damage)(uintptr_t *entry)) {
    Ended ended = run_child([&] {
        void *block = os_malloc(300 * KIB);
        EXPECT_NE(os_malloc(400 * KIB), nullptr);
        void *extent = nullptr;
        for (int i = 0; i < 3; i++)
            os_free(extent = os_malloc(512 * KIB));
        ASSERT_EQ(os_heap_check(), 0);
        uintptr_t *entry = of_extent ? entry_of(extent, 512 * KIB) : entry_of(block, 300 * KIB);
        ASSERT_NE(entry, nullptr);
        damage(entry);
        EXPECT_EQ(mapped_check(), invariant);
        EXPECT_EQ(os_heap_check(), invariant);
        end_child();
    });
    EXPECT_TRUE(ended.well()) << check_text(invariant) << ": " << ended;
}

TEST(CheckMapped, FindsAnEntryThatIsNoMapping) {
    expect_found(INVARIANT_M1, false, [](uintptr_t *entry) { entry[1]++; });
    expect_found(INVARIANT_M1, false, [](uintptr_t *entry) { entry[1] = 0; });
    expect_found(INVARIANT_M1, false, [](uintptr_t *entry) { entry[0] += 16; });
}

TEST(CheckMapped, FindsAMissingEntry) {
    expect_found(INVARIANT_M2, false, [](uintptr_t *entry) { entry[0] = 0; });
}

TEST(CheckMapped, FindsAnEntryInAnothersPlace) {
    expect_found(INVARIANT_M2, false, [](uintptr_t *entry) { entry[0] ^= uintptr_t{5} << 21; });
}

TEST(CheckMapped, FindsAnExtentWithoutLength) {
    expect_found(INVARIANT_S1, true, [](uintptr_t *entry) { entry[1] = 0; });
}

TEST(CheckMapped, FindsAWrongSumOfExtents) {
    expect_found(INVARIANT_S2, true, [](uintptr_t *entry) { entry[1] += 4096; });
}

/* Extents that lie on each other, by way of a free that the registry would have refused. */
TEST(CheckMapped, FindsExtentsThatTouch) {
    Ended ended = run_child([] {
        char *extent = nullptr;
        for (int i = 0; i < 3; i++)
            os_free(extent = static_cast<char *>(os_malloc(512 * KIB)));
        mapping inside = {reinterpret_cast<uintptr_t>(extent) + 8192, 4096};
        mapping unmap[SPARE_EXTENTS + 1];
        spare_take(256 * KIB);
        ASSERT_EQ(mapped_check(), 0);
        inside.address += 256 * KIB;
        ASSERT_EQ(spare_keep(inside, 0, unmap), 0u);
        EXPECT_EQ(mapped_check(), INVARIANT_S1);
        end_child();
    });
    EXPECT_TRUE(ended.well()) << ended;
}

} // namespace
} // namespace osmem
