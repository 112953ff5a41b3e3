/*
 * child.h - cases that run in a child process, where the allocator was never used before, and which
 * may end as they like: the case sees how, and what was written to standard error.
 */
#ifndef OSMEM_TEST_MODEL_CHILD_H
#define OSMEM_TEST_MODEL_CHILD_H

#include "test/core/isolated.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <string>

namespace osmem {

/* How a child ended. */
struct Ended {
    int status;         /* as of waitpid */
    std::string errors; /* what it wrote to standard error */

    bool well() const;
    bool aborted() const;
    /* Whether it aborted with one line that says so: "osmem: FUNCTION(): block 0x… FACT". */
    bool died_of(const std::string &function, const std::string &fact) const;
    /* How many times `text` stands in the errors. */
    size_t count(const std::string &text) const;
};
std::ostream &operator<<(std::ostream &out, const Ended &ended);

/*
 * Runs `body` in a child that is killed after `seconds`. Asserts work in it; it ends well if none
 * failed.
 */
Ended run_child(const std::function<void()> &body, unsigned seconds = 30);

/* Ends the child at once, well if no assert failed: for bodies that must not return. */
[[noreturn]] void end_child();

/* What builds can do that check or instrument every call. */
constexpr bool IS_TSAN =
#if defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif
constexpr bool IS_ASAN =
#if defined(__SANITIZE_ADDRESS__)
    true;
#else
    false;
#endif
} // namespace osmem

#define CHILD_TEST(suite, fact)                                                                    \
    static void suite##_##fact##_in_child();                                                       \
    TEST(suite, fact) {                                                                            \
        ::osmem::Ended ended = ::osmem::run_child(suite##_##fact##_in_child);                      \
        EXPECT_TRUE(ended.well()) << ended;                                                        \
    }                                                                                              \
    static void suite##_##fact##_in_child()

#endif
