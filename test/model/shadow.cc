#include "test/model/shadow.h"

#include "test/core/blocks.h"
#include "test/core/internal.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <utility>

namespace osmem {

Worker::~Worker() {
    run(nullptr);
    thread_.join();
}

void Worker::run(std::function<void()> job) {
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = std::move(job);
    busy_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !busy_; });
}

void Worker::work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (bool more = true; more;) {
        changed_.wait(lock, [this] { return busy_; });
        more = job_ != nullptr;
        if (more)
            job_();
        busy_ = false;
        changed_.notify_all();
    }
}

Shadow::~Shadow() {
    while (!live_.empty())
        os_free(leave(0).start);
    worker_.reset();
    if (os_heap_check() != 0)
        ADD_FAILURE() << "the heap is broken after everything was freed";
    os_stats stats;
    os_malloc_stats(&stats);
    EXPECT_EQ(stats.mapped, 0u);
}

/* Those of heaps of one's own are not, nor is one for which the break alone had memory left. */
static bool is_guarded(const void *ptr, const os_heap *heap) {
    return conf.guard && heap == nullptr &&
           (region_owner(ptr) != nullptr || mapped_entry_of(ptr).before != 0);
}

void Shadow::enter(void *ptr, size_t size, size_t alignment, const os_heap *heap) {
    ASSERT_NE(ptr, nullptr) << size;
    auto address = reinterpret_cast<uintptr_t>(ptr);
    ASSERT_EQ(address % std::max(alignment, GRANULE_BYTES), 0u);
    size_t usable = os_malloc_usable_size(ptr);
    ASSERT_GE(usable, size);
    if (is_guarded(ptr, heap)) {
        ASSERT_EQ(usable, size);
    } else if (region_owner(ptr) != nullptr) {
        ASSERT_EQ(usable, granules_bytes(granules_for(size)));
    } else {
        ASSERT_EQ(address % system_page(), 0u);
    }
    auto next = ranges_.lower_bound(address);
    ASSERT_TRUE(next == ranges_.end() || address + usable <= next->first) << "overlap";
    ASSERT_TRUE(next == ranges_.begin() || std::prev(next)->second <= address) << "overlap";
    ranges_[address] = address + usable;
    live_.push_back({static_cast<char *>(ptr), size, ++seed_, heap});
    bytes_ += size;
    /* All that may be used is used. */
    fill(ptr, usable, seed_);
}

Live Shadow::leave(size_t index) {
    Live block = live_[index];
    EXPECT_TRUE(is_filled(block.start, block.size, block.seed)) << "contents changed";
    ranges_.erase(reinterpret_cast<uintptr_t>(block.start));
    bytes_ -= block.size;
    live_[index] = live_.back();
    live_.pop_back();
    return block;
}

bool Shadow::covers(const void *address) const {
    auto next = ranges_.upper_bound(reinterpret_cast<uintptr_t>(address));
    return next != ranges_.begin() &&
           reinterpret_cast<uintptr_t>(address) < std::prev(next)->second;
}

std::vector<Live> Shadow::leave_heap(const os_heap *heap) {
    std::vector<Live> left;
    for (size_t i = live_.size(); i-- > 0;) {
        if (live_[i].heap == heap)
            left.push_back(leave(i));
    }
    return left;
}

void Shadow::expect_counted() const {
    os_stats stats;
    os_malloc_stats(&stats);
    expect_counted(stats, nullptr);
}

void Shadow::expect_counted(os_heap *heap) const {
    os_stats stats;
    os_heap_stats_of(heap, &stats);
    expect_counted(stats, heap);
}

void Shadow::expect_counted(const os_stats &stats, const os_heap *heap) const {
    size_t heap_bytes = 0, heap_blocks = 0, mapped_bytes = 0, blocks = 0, requested = 0;
    for (const Live &block : live_) {
        if (heap != nullptr && block.heap != heap)
            continue;
        size_t usable = os_malloc_usable_size(block.start);
        bool in_heap = region_owner(block.start) != nullptr;
        blocks++;
        heap_blocks += in_heap;
        (in_heap ? heap_bytes : mapped_bytes) += usable;
        bool is_exact = !in_heap || is_guarded(block.start, block.heap) ||
                        region_of(block.start)->slack != nullptr;
        requested += is_exact ? block.size : usable;
    }
    EXPECT_EQ(stats.requested, requested);
    EXPECT_EQ(stats.allocated_blocks, heap_blocks);
    EXPECT_EQ(stats.mapped_blocks, blocks - heap_blocks);
    EXPECT_EQ(stats.heap, stats.allocated + stats.free + stats.untouched + stats.metadata);
    if (heap == nullptr && conf.guard)
        return; /* blocks are as large as they are with their canaries */
    EXPECT_EQ(stats.allocated, heap_bytes);
    EXPECT_EQ(stats.mapped, mapped_bytes);
}

Worker &Shadow::worker() {
    if (worker_ == nullptr)
        worker_ = std::make_unique<Worker>();
    return *worker_;
}

} // namespace osmem
