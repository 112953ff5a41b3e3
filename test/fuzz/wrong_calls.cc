#include "test/core/blocks.h"
#include "test/core/kernel.h"
#include "test/fuzz/calls.h"
#include "test/model/child.h"

#include <cerrno>
#include <csignal>
#include <gtest/gtest.h>
#include <unistd.h>

namespace osmem {

/* ---- what nobody can have ----------------------------------------------------------------------
 */

static void expect_no_memory(void *ptr) {
    EXPECT_EQ(ptr, nullptr);
    EXPECT_EQ(errno, ENOMEM);
    errno = World::UNTOUCHED;
}

static void impossible_for(OwnHeap *own, size_t size) {
    size_t asked = own->asked;
    expect_no_memory(os_heap_malloc(own->heap, size));
    expect_no_memory(os_heap_calloc(own->heap, size, 5));
    expect_no_memory(os_heap_aligned_alloc(own->heap, 64, size));
    if (own->options.cap != 0)
        expect_no_memory(os_heap_malloc(own->heap, own->options.cap + 1));
    bool can_be = size <= PTRDIFF_MAX && own->can_ever_hold(size);
    EXPECT_TRUE(own->asked == asked || can_be) << "asked for what can never be";
    volatile size_t odd = 3;
    EXPECT_EQ(os_heap_aligned_alloc(own->heap, odd, 1), nullptr);
    EXPECT_EQ(errno, EINVAL);
    errno = World::UNTOUCHED;
    EXPECT_EQ(os_heap_malloc(own->heap, 0), nullptr);
    EXPECT_EQ(os_heap_calloc(own->heap, 0, size), nullptr);
    EXPECT_EQ(errno, World::UNTOUCHED);
}

void impossible(World &world, unsigned first, unsigned rest) {
    static const size_t SIZES[] = {SIZE_MAX, PTRDIFF_MAX, size_t{PTRDIFF_MAX} + 1, SIZE_MAX - 14};
    volatile size_t hidden = SIZES[first % 4] - rest % 3;
    expect_no_memory(os_malloc(hidden));
    expect_no_memory(os_calloc(hidden, 1 + rest % 5));
    volatile size_t alignment = size_t{1} << first % 64, odd = rest | 3;
    expect_no_memory(os_aligned_alloc(alignment, hidden));
    EXPECT_EQ(os_malloc(0), nullptr);
    EXPECT_EQ(errno, World::UNTOUCHED);
    EXPECT_EQ(os_aligned_alloc(odd, 1), nullptr);
    EXPECT_EQ(errno, EINVAL);
    if (!world.heaps.empty())
        impossible_for(world.heaps[first % world.heaps.size()].get(), hidden);
    if (world.shadow.empty())
        return;
    char *start = world.shadow.at(world.shadow.index(rest)).start;
    expect_no_memory(os_realloc(start, hidden));
    expect_no_memory(os_reallocarray(start, hidden / 2, 3));
}

/* ---- misuse ------------------------------------------------------------------------------------
 */

/* A pointer that is no live block's start; nullptr: there is none to be had. */
static char *wrong_pointer(World &world, unsigned first, unsigned rest) {
    char *wrong = nullptr;
    if (first % 2 == 0 && !world.freed.empty()) {
        wrong = world.freed[rest % world.freed.size()];
    } else if (!world.shadow.empty()) {
        const Live &block = world.shadow.at(world.shadow.index(rest));
        wrong = block.start + 1 + rest % (block.size + 7);
    }
    for (size_t i = 0; i < world.shadow.count(); i++) {
        if (world.shadow.at(i).start == wrong)
            return nullptr;
    }
    return wrong;
}

/* Every call that takes a pointer, by either thread. */
static void give(OwnHeap *own, char *wrong, unsigned first, unsigned rest) {
    volatile size_t nothing = 0;
    switch (first % (own != nullptr ? 10 : 7)) {
    case 0:
        os_free(wrong);
        break;
    case 1:
        (void)!os_realloc(wrong, 1 + rest);
        break;
    case 2:
        Worker().run([=] { os_free(wrong); });
        break;
    case 3:
        os_malloc_usable_size(wrong);
        break;
    case 4:
        os_free_sized(wrong, 1 + rest);
        break;
    case 5:
        os_should_move(wrong);
        break;
    case 6:
        (void)!os_reallocarray(wrong, 1, nothing);
        break;
    case 7:
        os_heap_free(own->heap, wrong);
        break;
    case 8:
        (void)!os_heap_realloc(own->heap, wrong, rest);
        break;
    default:
        os_heap_malloc_usable_size(own->heap, wrong);
    }
}

/* A block of one heap that is given to another, or used when its heap is no more, or one such heap.
 */
static void use_elsewhere(World &world, OwnHeap *own, unsigned first, unsigned rest) {
    const Live block = world.shadow.at(world.shadow.index(rest));
    if (block.heap != own->heap)
        return os_heap_free(own->heap, block.start);
    os_heap_destroy(own->heap);
    if (first % 3 == 0)
        os_heap_destroy(own->heap);
    else if (first % 3 == 1)
        (void)!os_heap_malloc(own->heap, 1 + rest);
    else
        os_free(block.start);
}

/* Each has to die with its line; it takes a process, so there are but a few of an input. */
void misuse(World &world, unsigned first, unsigned rest) {
    if (world.misused++ >= 2)
        return;
    OwnHeap *own = world.heaps.empty() ? nullptr : world.heaps[rest % world.heaps.size()].get();
    bool is_elsewhere = first >= 192 && own != nullptr && !world.shadow.empty();
    char *wrong = wrong_pointer(world, first, rest);
    if (wrong == nullptr && !is_elsewhere)
        return;
    Ended ended = run_child([&] {
        signal(SIGABRT, SIG_DFL);
        kernel::refuse_nothing();
        if (is_elsewhere)
            use_elsewhere(world, own, first, rest);
        else
            give(own, wrong, first / 2, rest);
        _exit(0);
    });
    EXPECT_TRUE(ended.aborted()) << static_cast<void *>(wrong) << " was accepted";
    EXPECT_EQ(ended.count("osmem: os_"), 1u) << ended;
}

} // namespace osmem
