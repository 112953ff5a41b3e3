#include "test/core/blocks.h"
#include "test/core/kernel.h"
#include "test/fuzz/calls.h"

#include <cerrno>
#include <unistd.h>

namespace osmem {

void refuse(World &world, unsigned first, unsigned rest) {
    static const int ERRORS[] = {ENOMEM, EAGAIN};
    unsigned from = rest / 256 % 8 + 1, to = from + rest % 256;
    if (first % 6 == kernel::CALLS)
        kernel::refuse_any(from, to, ERRORS[first / 128]);
    else
        kernel::refuse(static_cast<kernel::Call>(first % 6), from, to, ERRORS[first / 128]);
    world.refusing = true;
}

void give_again(World &world, unsigned, unsigned) {
    kernel::refuse_nothing();
    world.refusing = false;
}

/*
 * Someone else takes from the break, or gives back what he took last; in some runs all of the break
 * is full of what he wrote from then on.
 */
void move_break(World &world, unsigned first, unsigned rest) {
    auto &foreign = world.foreign;
    if (first % 4 == 0 && !world.break_gets_dirty && !foreign.empty() &&
        sbrk(0) == foreign.back().start + foreign.back().size) {
        sbrk(-static_cast<intptr_t>(foreign.back().size));
        foreign.pop_back();
        return;
    }
    void *start = sbrk(1 + rest % 9000);
    if (start == reinterpret_cast<void *>(-1))
        return;
    foreign.push_back({static_cast<char *>(start), 1 + rest % 9000});
    fill(start, foreign.back().size, FOREIGN_SEED);
    auto heap = reinterpret_cast<char *>(thread_heap);
    if (world.break_gets_dirty && heap >= kernel::arena_start() && heap < foreign.back().start)
        kernel::grant_dirty_memory(); /* only to who already had some that was clean */
}

} // namespace osmem
