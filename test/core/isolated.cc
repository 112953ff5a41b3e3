#include "test/core/isolated.h"

#include "test/core/internal.h"
#include "test/core/kernel.h"

#include <cstdio>
#include <sys/wait.h>
#include <unistd.h>

namespace osmem {

void run_isolated(const std::function<void()> &body) {
    fflush(nullptr);
    pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
        alarm(60);
        kernel::open_arena(ARENA_BYTES);
        /* What a sanitizer or a profiler did at the start is not the case's. */
        kernel::reset_counts();
        kernel::forget_mapped();
        body();
        if (os_heap_check() != 0)
            ADD_FAILURE() << "the heap is broken at the end of the case";
        fflush(nullptr);
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "the case's process died of signal " << WTERMSIG(status);
    if (WIFEXITED(status)) {
        EXPECT_EQ(WEXITSTATUS(status), 0) << "see what the case's process printed";
    }
}

bool is_paranoid() { return OSMEM_PARANOID; }

size_t scaled(size_t count) {
#if defined(__SANITIZE_ADDRESS__)
    return (count + 3) / 4;
#else
    return is_paranoid() ? (count + 19) / 20 : count;
#endif
}

} // namespace osmem
