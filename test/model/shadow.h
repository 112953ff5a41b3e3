/*
 * shadow.h - a model of the allocator that knows only ranges of addresses and what was written to
 * them; and a second thread, for calls made elsewhere.
 */
#ifndef OSMEM_TEST_MODEL_SHADOW_H
#define OSMEM_TEST_MODEL_SHADOW_H

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

struct os_heap;
struct os_stats;

namespace osmem {

/* A second thread that does as it is told, one thing at a time. */
class Worker {
  public:
    Worker() : thread_([this] { work(); }) {}
    ~Worker();

    /* Returns when the job is done. */
    void run(std::function<void()> job);

  private:
    void work();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::function<void()> job_;
    bool busy_ = false;
    std::thread thread_;
};

/* A live block; its contents depend on the seed. */
struct Live {
    char *start;
    size_t size;
    uint64_t seed;
    const os_heap *heap; /* of one's own; nullptr: a thread's */
};

/* Which ranges live, and what stands in them. Everything is freed in the end. */
class Shadow {
  public:
    ~Shadow();

    bool empty() const { return live_.empty(); }
    size_t count() const { return live_.size(); }
    size_t bytes() const { return bytes_; }
    size_t index(size_t choice) const { return choice % live_.size(); }
    const Live &at(size_t index) const { return live_[index]; }

    /* A block that was allocated or resized just now: it is where no other is, and is filled. */
    void enter(void *ptr, size_t size, size_t alignment, const os_heap *heap = nullptr);

    /* A block that is about to be freed or resized: it holds what was written. */
    Live leave(size_t index);

    /* The same for all blocks of a heap that is about to be destroyed. */
    std::vector<Live> leave_heap(const os_heap *heap);

    /* Whether `address` lies in a live block. */
    bool covers(const void *address) const;

    /* The allocator's statistics are those of the blocks; of those of a heap of one's own. */
    void expect_counted() const;
    void expect_counted(os_heap *heap) const;

    Worker &worker();
    void end_worker() { worker_.reset(); }

  private:
    void expect_counted(const os_stats &stats, const os_heap *heap) const;

    std::vector<Live> live_;
    std::map<uintptr_t, uintptr_t> ranges_; /* of what may be used */
    size_t bytes_ = 0;
    std::unique_ptr<Worker> worker_;
    uint64_t seed_ = 0;
};

} // namespace osmem

#endif
