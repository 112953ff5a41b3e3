#include "test/fuzz/target.h"

#include "test/model/child.h"

namespace osmem {

void fuzz_in_child(const std::function<void()> &body) {
    Ended ended = run_child([&] {
        body();
        if (!testing::Test::HasFailure())
            fuzz_child_ends();
    });
    EXPECT_TRUE(ended.well()) << ended;
}

} // namespace osmem
