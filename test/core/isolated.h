/*
 * isolated.h - cases that run in a process of their own, where the allocator was never used and the
 * break lies in a private arena of kernel.h. Asserts work in them as anywhere; what fails is
 * printed by the child and fails the case.
 */
#ifndef OSMEM_TEST_CORE_ISOLATED_H
#define OSMEM_TEST_CORE_ISOLATED_H

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>

namespace osmem {

/* What a case may use of the arena unless it opens another. */
constexpr size_t ARENA_BYTES = size_t{1} << 30;

/* Runs `body` in a child, and fails if it fails, crashes, or takes more than a minute. */
void run_isolated(const std::function<void()> &body);

/*
 * Repetitions: `count`, or a part of it in builds in which each call of the allocator is checked or
 * instrumented.
 */
size_t scaled(size_t count);

/* Whether every call checks the heap, for which it maps memory. */
bool is_paranoid();

} // namespace osmem

#define ISOLATED_TEST(suite, fact)                                                                 \
    static void suite##_##fact##_isolated();                                                       \
    TEST(suite, fact) { ::osmem::run_isolated(suite##_##fact##_isolated); }                        \
    static void suite##_##fact##_isolated()

/* For exact counts of mmap and munmap. */
#define SKIP_IF_PARANOID()                                                                         \
    if (::osmem::is_paranoid())                                                                    \
    GTEST_SKIP() << "the checks after every call map memory themselves"

#endif
