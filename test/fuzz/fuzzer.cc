/* The driver for libFuzzer: `bazel build --config=fuzz`. */
#include "test/fuzz/target.h"

#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <sys/mman.h>

/* Where the compiler counts what was run, by which libFuzzer steers. */
extern "C" char __start___sancov_cntrs[], __stop___sancov_cntrs[];

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace osmem {

/* What a child has counted would be lost with it: here its parent finds it. */
static char *of_child;
static const size_t COUNTERS = static_cast<size_t>(__stop___sancov_cntrs - __start___sancov_cntrs);

void fuzz_child_ends() { memcpy(of_child, __start___sancov_cntrs, COUNTERS); }

static void make_shared() {
    void *shared =
        mmap(nullptr, COUNTERS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    of_child = static_cast<char *>(shared);
}

} // namespace osmem

using namespace osmem;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (of_child == nullptr)
        make_shared();
    memset(of_child, 0, COUNTERS);
    fuzz(data, size);
    if (testing::Test::HasFailure())
        abort();
    for (size_t i = 0; i < COUNTERS; i++)
        __start___sancov_cntrs[i] = static_cast<char>(__start___sancov_cntrs[i] | of_child[i]);
    return 0;
}
