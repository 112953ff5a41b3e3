/*
 * world.h - what the calls of one input share: which blocks live and in which heaps, what the
 * kernel refuses, who else moves the break.
 */
#ifndef OSMEM_TEST_FUZZ_WORLD_H
#define OSMEM_TEST_FUZZ_WORLD_H

#include "test/core/internal.h"
#include "test/model/shadow.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace osmem {

class World;

/* A heap of one's own, with what bounds it and what it does when it is exhausted. */
struct OwnHeap {
    os_heap *heap;
    os_heap_options options;
    World *world;
    bool makes_room;  /* its callback frees a block */
    size_t asked = 0; /* how often that was called */

    bool is_bounded() const { return options.cap != 0 || options.memory != nullptr; }
    bool can_ever_hold(size_t size) const { return options.cap == 0 || size <= options.cap; }
};

/* Memory that someone else took from the break, or that was lent and given back. */
struct Range {
    char *start;
    size_t size;
};

class World {
  public:
    static constexpr int UNTOUCHED = 7; /* a value of errno */

    ~World();

    /* How it begins: the options, where the heap lies, and whether it is a grown one. */
    void begin(unsigned how);

    /* So much lives that no more should be asked for. */
    bool is_full() const;

    /*
     * What `call` returns, which is a block of `size` bytes or NULL; made by the other thread if
     * `elsewhere`. NULL comes with ENOMEM, while the kernel refuses or where the heap is bounded;
     * its callback was then asked, once. `heap` nullptr: that of a thread.
     */
    void *attempt(OwnHeap *heap, size_t size, bool elsewhere, const std::function<void *()> &call);

    /* The same, and the block is entered if there is one. */
    void *allocate(OwnHeap *heap, size_t size, size_t alignment, bool elsewhere,
                   const std::function<void *()> &call);

    /*
     * Has `call` resize the live block number `index`: contents are kept, it stays in its heap, and
     * if it fails all is as it was.
     */
    void resize(size_t index, size_t size, bool elsewhere,
                const std::function<void *(char *start)> &call);

    /* A block that is freed by the caller, at once. */
    char *leave(size_t index);

    /* Runs it here or in the other thread. */
    void run(bool elsewhere, const std::function<void()> &job);

    /* nullptr: the heap of a thread. */
    OwnHeap *heap_of(const Live &block);

    Shadow shadow;
    std::vector<char *> freed;
    std::vector<std::unique_ptr<OwnHeap>> heaps;
    std::vector<Range> returned; /* that was lent */
    std::vector<Range> foreign;
    bool refusing = false;
    bool break_gets_dirty = false;
    size_t misused = 0;

  private:
    void grow();
};

/* Sizes at and around what matters, and any up to 1 MiB. */
size_t size_of(unsigned kind, unsigned value);

/* What someone else's memory is full of. */
constexpr uint64_t FOREIGN_SEED = 77;

} // namespace osmem

#endif
