#include "test/fuzz/world.h"

#include "test/core/blocks.h"
#include "test/core/isolated.h"
#include "test/core/kernel.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

namespace osmem {

static constexpr size_t MOST_BYTES = 24 * MIB; /* live at once */

World::~World() {
    kernel::refuse_nothing();
    EXPECT_EQ(os_heap_check(), 0);
    for (const Range &each : foreign)
        EXPECT_TRUE(is_filled(each.start, each.size, FOREIGN_SEED)) << "foreign memory changed";
}

void World::begin(unsigned how) {
    static const char *const OPTIONS[] = {"", "requested:on", "mapped_cache:off", "purge:off"};
    std::string conf = OPTIONS[how & 3];
    if (how & 64)
        conf += ",guard:on";
    if (how & 128)
        conf += ",names:on";
    setenv("OSMEM_CONF", conf.c_str(), 1);
    kernel::open_arena(ARENA_BYTES);
    if (how & 4)
        kernel::withhold_break();
    break_gets_dirty = how & 8;
    if (how & 16)
        region_near.base = REGION_BYTES; /* all regions lie in a far zone */
    if (how & 32)
        grow();
}

/* A heap that has pages of small blocks, and holes. */
void World::grow() {
    for (size_t i = 0; i < 60; i++) {
        size_t size = i % 4 == 0 ? 100 + i : 25000;
        allocate(nullptr, size, GRANULE_BYTES, false, [=] { return os_malloc(size); });
    }
    for (size_t i = 0; i < 40; i++)
        os_free(shadow.leave(shadow.index(i * 7)).start);
    EXPECT_FALSE(heap_is_small(thread_heap));
}

bool World::is_full() const { return shadow.bytes() > MOST_BYTES; }

void World::run(bool elsewhere, const std::function<void()> &job) {
    if (elsewhere)
        shadow.worker().run(job);
    else
        job();
}

void *World::attempt(OwnHeap *heap, size_t size, bool elsewhere,
                     const std::function<void *()> &call) {
    void *ptr = nullptr;
    int error = UNTOUCHED;
    size_t asked = heap != nullptr ? heap->asked : 0;
    run(elsewhere, [&] {
        errno = UNTOUCHED;
        ptr = call();
        error = errno;
    });
    if (ptr == nullptr) {
        EXPECT_TRUE(refusing || (heap != nullptr && heap->is_bounded())) << size << " bytes";
    }
    EXPECT_EQ(error, ptr == nullptr ? ENOMEM : UNTOUCHED) << size << " bytes";
    if (heap != nullptr && heap->options.exhausted != nullptr) {
        size_t most = heap->can_ever_hold(size) ? 1 : 0;
        EXPECT_LE(heap->asked - asked, most);
        EXPECT_TRUE(ptr != nullptr || heap->asked - asked == most) << "not asked for " << size;
    }
    return ptr;
}

void *World::allocate(OwnHeap *heap, size_t size, size_t alignment, bool elsewhere,
                      const std::function<void *()> &call) {
    if (is_full())
        return nullptr;
    void *ptr = attempt(heap, size, elsewhere, call);
    if (ptr != nullptr)
        shadow.enter(ptr, size, alignment, heap != nullptr ? heap->heap : nullptr);
    return ptr;
}

void World::resize(size_t index, size_t size, bool elsewhere,
                   const std::function<void *(char *start)> &call) {
    if (size > MOST_BYTES / 8 && is_full())
        return;
    Live old = shadow.leave(index);
    struct heap *owner = region_owner(old.start);
    /* A block of another thread's heap has to move, and a guarded one may. */
    bool can_stay = old.heap != nullptr ||
                    (!conf.guard && (owner == nullptr || (owner == thread_heap && !elsewhere)));
    void *ptr = attempt(heap_of(old), size, elsewhere, [&] { return call(old.start); });
    char *now = static_cast<char *>(ptr != nullptr ? ptr : old.start);
    EXPECT_TRUE(is_filled(now, std::min(size, old.size), old.seed)) << "contents lost";
    if (ptr == nullptr) {
        EXPECT_TRUE(size > old.size || !can_stay) << "shrinking failed";
        size = old.size;
    }
    shadow.enter(now, size, GRANULE_BYTES, old.heap);
}

char *World::leave(size_t index) {
    char *start = shadow.leave(index).start;
    freed.push_back(start);
    return start;
}

OwnHeap *World::heap_of(const Live &block) {
    for (auto &each : heaps) {
        if (each->heap == block.heap)
            return each.get();
    }
    return nullptr;
}

size_t size_of(unsigned kind, unsigned value) {
    static const size_t EDGES[] = {
        GRANULE_BYTES, SLAB_MAX * GRANULE_BYTES, 4 * KIB,          QUICK_MAX * GRANULE_BYTES,
        32 * KIB,      MMAP_THRESHOLD,           REGION_BYTES / 2, granules_bytes(REGION_CAPACITY)};
    switch (kind % 8) {
    case 0:
    case 1:
        return 1 + value % 128;
    case 2:
        return 1 + value % 1024;
    case 3:
        return 1 + value % (8 * KIB);
    case 4:
        return 1 + value;
    case 5:
        return 1 + 16 * size_t{value};
    case 6:
        return GRANULE_BYTES * (1 + value % 32);
    default:
        return EDGES[value % 8] - 15 + value / 8 % 32;
    }
}

} // namespace osmem
