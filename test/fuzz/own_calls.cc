#include "test/core/blocks.h"
#include "test/fuzz/calls.h"
#include "test/heaps/own.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>

namespace osmem {

static constexpr size_t MOST_HEAPS = 4;
static constexpr size_t BEYOND = 64; /* bytes behind what is lent, which nobody may write to */
static constexpr size_t HEADER = REGION_FIRST * GRANULE_BYTES;

/* ---- which heap, which of its blocks ----------------------------------------------------------
 */

static OwnHeap *chosen(World &world, unsigned choice) {
    return world.heaps.empty() ? nullptr : world.heaps[choice % world.heaps.size()].get();
}

/* The index of a live block of the heap, at or behind `choice`; SIZE_MAX: it has none. */
static size_t block_of(const World &world, const os_heap *heap, unsigned choice) {
    size_t count = world.shadow.count();
    for (size_t i = 0; i < count; i++) {
        size_t index = (choice + i) % count;
        if (world.shadow.at(index).heap == heap)
            return index;
    }
    return SIZE_MAX;
}

/* ---- its end, and what is lent ----------------------------------------------------------------
 */

/* Makes room, or not; then it is tried again, or not. */
static int on_exhausted(os_heap *heap, size_t, void *context) {
    auto own = static_cast<OwnHeap *>(context);
    World &world = *own->world;
    EXPECT_EQ(own->heap, heap);
    own->asked++;
    size_t index = block_of(world, heap, static_cast<unsigned>(own->asked));
    if (own->makes_room && index != SIZE_MAX) {
        char *start = world.leave(index);
        if (own->asked % 2)
            os_heap_free(heap, start);
        else
            os_free(start);
    }
    return own->makes_room;
}

/* Memory that was lent before, or another; full of 0xff but where it is to be zero. */
static void lend(World &world, os_heap_options &options, size_t offset, size_t size, bool is_zero) {
    options.memory_size = (OS_HEAP_ALIGNMENT - offset) % OS_HEAP_ALIGNMENT + size;
    options.memory_is_zero = is_zero;
    if (!world.returned.empty() && world.returned.back().size >= options.memory_size) {
        options.memory = world.returned.back().start;
        world.returned.pop_back();
        memset(options.memory, 0xff, options.memory_size + BEYOND);
    } else {
        options.memory = memory_at(offset, options.memory_size + BEYOND);
    }
    if (is_zero)
        memset(options.memory, 0, options.memory_size);
}

static void take_back(World &world, const os_heap_options &options) {
    auto start = static_cast<char *>(options.memory), end = start + options.memory_size;
    for (char *ptr = end; ptr < end + BEYOND; ptr++)
        EXPECT_EQ(*ptr, '\xff') << "beyond the end";
    world.returned.push_back({start, options.memory_size});
}

/* ---- creation and destruction -----------------------------------------------------------------
 */

/* Options that cannot be. */
static void refuse_options(unsigned kind) {
    static char memory[100];
    os_heap_options with = kind % 3 == 0 ? lent(memory, sizeof memory) : options();
    if (kind % 3 == 1)
        with.size -= 8;
    if (kind % 3 == 2)
        with.memory_size = 1;
    EXPECT_EQ(os_heap_create(&with), nullptr);
    EXPECT_EQ(errno, EINVAL);
}

/* Bits of `first`: 1 a cap, 2 a large one, 4 lent memory, 8 a callback, 16 it helps, 32 a name. */
void own_create(World &world, unsigned first, unsigned rest) {
    if (first >= 224)
        return refuse_options(first);
    if (world.heaps.size() == MOST_HEAPS)
        return;
    auto own = std::make_unique<OwnHeap>(OwnHeap{nullptr, options(), &world, (first & 16) != 0});
    if (first & 1)
        own->options.cap = GRANULE_BYTES + rest * (first & 2 ? 256 : 8);
    if (first & 4)
        lend(world, own->options, first & 64 ? 0 : OS_HEAP_ALIGNMENT - 4096 + first % 8,
             HEADER + GRANULE_BYTES + size_t{rest} * 80, first & 128);
    if (first & 8) {
        own->options.exhausted = on_exhausted;
        own->options.context = own.get();
    }
    if (first & 32)
        own->options.name = "a name of more than thirty-one letters";
    own->heap = os_heap_create(first == 0 ? nullptr : &own->options);
    if (own->heap == nullptr) {
        EXPECT_EQ(errno, ENOMEM);
        EXPECT_TRUE(world.refusing && own->options.memory == nullptr);
        return;
    }
    world.heaps.push_back(std::move(own));
}

/* By either thread, its blocks with it. */
void own_destroy(World &world, unsigned first, unsigned rest) {
    os_heap_destroy(nullptr);
    OwnHeap *own = chosen(world, first);
    if (own == nullptr)
        return;
    for (const Live &block : world.shadow.leave_heap(own->heap))
        world.freed.push_back(block.start);
    world.run(rest % 8 == 0, [&] {
        errno = World::UNTOUCHED;
        os_heap_destroy(own->heap);
        EXPECT_EQ(errno, World::UNTOUCHED);
    });
    if (own->options.memory != nullptr)
        take_back(world, own->options);
    world.heaps.erase(world.heaps.begin() + static_cast<long>(first % world.heaps.size()));
}

/* ---- blocks -----------------------------------------------------------------------------------
 */

/* The largest request that its free memory could hold if it were merged, as far as it is known. */
static size_t largest_fit(os_heap *heap) {
    struct Runs {
        size_t largest, run;
        char *end;
    } runs = {};
    os_heap_walk_of(
        heap,
        [](const os_block *block, void *context) {
            auto &seen = *static_cast<Runs *>(context);
            auto start = static_cast<char *>(block->address);
            bool is_free = block->kind == OS_BLOCK_FREE || block->kind == OS_BLOCK_UNTOUCHED;
            if (!is_free || is_on_page({start, block->size, block->kind}))
                return 0;
            seen.run = (seen.end == start ? seen.run : 0) + block->size;
            seen.end = start + block->size;
            seen.largest = std::max(seen.largest, seen.run);
            return 0;
        },
        &runs);
    /* Small free blocks of a large heap wait to be merged, or are in no index (index.h). */
    return runs.largest > SLAB_MAX * GRANULE_BYTES ? runs.largest : 0;
}

static void allocate_own(World &world, OwnHeap &own, size_t size, size_t alignment, bool elsewhere,
                         const std::function<void *()> &call) {
    if (world.is_full())
        return;
    void *ptr = world.allocate(&own, size, alignment, elsewhere, call);
    if (ptr != nullptr) {
        EXPECT_EQ(os_heap_malloc_usable_size(own.heap, ptr), os_malloc_usable_size(ptr));
    } else if (alignment == GRANULE_BYTES && !world.refusing) {
        EXPECT_LT(largest_fit(own.heap), size) << "there was room";
    }
}

void own_malloc(World &world, unsigned first, unsigned rest) {
    OwnHeap *own = chosen(world, first / 8);
    size_t size = size_of(first, rest);
    for (unsigned i = first / 64 * 8 + 1; own != nullptr && i > 0; i--)
        allocate_own(world, *own, size, GRANULE_BYTES, first % 64 == 63,
                     [=] { return os_heap_malloc(own->heap, size); });
}

void own_calloc(World &world, unsigned first, unsigned rest) {
    OwnHeap *own = chosen(world, first / 8);
    size_t count = 1 + first / 64, size = size_of(first, rest);
    if (own == nullptr)
        return;
    allocate_own(world, *own, count * size, GRANULE_BYTES, false, [=] {
        void *ptr = os_heap_calloc(own->heap, count, size);
        EXPECT_TRUE(ptr == nullptr || is_zero(ptr, count * size));
        return ptr;
    });
}

void own_aligned(World &world, unsigned first, unsigned rest) {
    OwnHeap *own = chosen(world, rest);
    size_t alignment = size_t{1} << first / 8 % 21, size = size_of(first, rest);
    if (own != nullptr)
        allocate_own(world, *own, size, alignment, false,
                     [=] { return os_heap_aligned_alloc(own->heap, alignment, size); });
}

void own_realloc(World &world, unsigned first, unsigned rest) {
    OwnHeap *own = chosen(world, rest);
    if (own == nullptr)
        return;
    size_t index = block_of(world, own->heap, first / 8), size = size_of(first, rest);
    if (index != SIZE_MAX)
        world.resize(index, size, first % 64 == 63,
                     [=](char *start) { return os_heap_realloc(own->heap, start, size); });
}

void own_free(World &world, unsigned first, unsigned rest) {
    OwnHeap *own = chosen(world, rest);
    if (own == nullptr)
        return;
    world.run(first % 8 == 7, [&] {
        errno = World::UNTOUCHED;
        for (unsigned i = first / 8 + 1; i > 0; i--) {
            size_t index = block_of(world, own->heap, rest + i);
            if (index == SIZE_MAX)
                break;
            char *start = world.leave(index);
            if (first % 2)
                os_heap_free(own->heap, start);
            else
                EXPECT_EQ(os_heap_realloc(own->heap, start, 0), nullptr);
        }
        os_heap_free(own->heap, nullptr);
        EXPECT_EQ(errno, World::UNTOUCHED);
    });
}

/* ---- what there is ----------------------------------------------------------------------------
 */

void own_trim(World &world, unsigned first, unsigned rest) {
    OwnHeap *own = chosen(world, first);
    if (own == nullptr)
        return;
    int any = os_heap_trim(own->heap, rest);
    EXPECT_TRUE(any == 0 || own->options.memory == nullptr);
}

/* It is one of all heaps, and counts what was allocated from it. */
void own_look(World &world, unsigned first, unsigned) {
    OwnHeap *own = chosen(world, first);
    if (own == nullptr)
        return;
    world.shadow.expect_counted(own->heap);
    os_stats stats = stats_of(own->heap), of_number;
    EXPECT_EQ(os_heap_stats(os_heap_number(own->heap), &of_number), 0);
    EXPECT_EQ(of_number.allocated, stats.allocated);
    EXPECT_EQ(of_number.mapped, stats.mapped);
    const char *name = own->options.name != nullptr ? own->options.name : "";
    EXPECT_EQ(os_heap_name(own->heap), std::string(name).substr(0, 31));
    if (own->options.cap != 0) {
        EXPECT_LE(bounded_bytes(own->heap), own->options.cap);
    }
    EXPECT_EQ(os_heap_check_of(own->heap), 0);
}

} // namespace osmem
