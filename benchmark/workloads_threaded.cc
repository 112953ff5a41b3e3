/*
 * workloads_threaded.cc - the cases of several threads.
 *
 * The operations of all threads are counted, and the CPU time is that of the process; wall time for
 * each operation falls as threads are added. No thread spins: who waits, sleeps.
 */
#include "benchmark/workloads_threaded.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "benchmark/memory.h"

namespace benchmarks {

namespace {

/* Runs function(index, tally) in `count` threads and adds what they did to the stage. */
template <typename Function> void run_threads(stage &stage, unsigned count, Function function) {
    std::vector<tally> tallies(count, tally{});
    std::vector<std::thread> threads;
    threads.reserve(count);
    for (unsigned index = 0; index < count; index++)
        threads.emplace_back([&, index] { function(index, tallies[index]); });
    for (std::thread &thread : threads)
        thread.join();
    for (const tally &each : tallies) {
        stage.total.operations += each.operations;
        stage.total.live += each.live;
    }
    stage.total.live_peak = std::max(stage.total.live_peak, stage.total.live);
}

void replace(const allocator &heap, slot &place, tally &total, std::size_t size) {
    if (place.block != nullptr)
        slot_clear(heap, place, total);
    slot_fill(heap, place, total, size);
}

/* Churn of small blocks, each thread in its own slots: nothing is shared but the allocator. */
void local_work(const allocator &heap, stage &stage, unsigned threads, std::size_t steps) {
    std::size_t share = stage.slot_count / threads;
    run_threads(stage, threads, [&](unsigned index, tally &total) {
        random_source random(100 + index);
        slot *mine = stage.slots + index * share;
        for (std::size_t i = 0; i < steps; i++)
            replace(heap, mine[random.below(share)], total, random.between(16, 512));
    });
}

/*
 * After Larson and Krishnan, "Memory allocation for long-running server applications" (1998): each
 * thread replaces random blocks of a set, ends, and leaves the set to a new thread, so that blocks
 * outlive the thread that allocated them.
 */
void larson(const allocator &heap, stage &stage, unsigned threads, std::size_t steps) {
    constexpr unsigned GENERATIONS = 20;
    std::size_t share = stage.slot_count / threads;
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        run_threads(stage, threads, [&](unsigned index, tally &total) {
            random_source random(1000 + generation * threads + index);
            slot *mine = stage.slots + (index + generation) % threads * share;
            for (std::size_t i = 0; i < steps / GENERATIONS; i++)
                replace(heap, mine[random.below(share)], total, random.between(16, 512));
        });
    }
}

/* Every thread exchanges its new blocks with what lies in slots shared by all, and frees that. */
void exchange(const allocator &heap, stage &stage, unsigned threads, std::size_t steps) {
    run_threads(stage, threads, [&](unsigned index, tally &total) {
        random_source random(2000 + index);
        for (std::size_t i = 0; i < steps; i++) {
            slot &place = stage.slots[random.below(stage.slot_count)];
            void *mine = block_new(heap, random.between(16, 1 * KIB));
            void *theirs = __atomic_exchange_n(&place.block, mine, __ATOMIC_ACQ_REL);
            if (theirs != nullptr) {
                /* The block's own stamp is all that is known of its size. */
                if (*static_cast<std::uint32_t *>(theirs) - 16 > 1 * KIB - 16)
                    workload_die("a live block was overwritten", 0);
                heap.free(theirs);
            }
        }
        total.operations = steps;
    });
    for (std::size_t i = 0; i < stage.slot_count; i++) {
        slot &place = stage.slots[i];
        place.size = place.block == nullptr ? 0 : *static_cast<std::uint32_t *>(place.block);
        tally_grow(stage.total, place.size);
    }
}

/* A bounded queue of batches, a ring of which a batch belongs to one side at a time. */
class batch_queue {
  public:
    batch_queue(slot *slots, std::size_t batch_size, std::size_t batches)
        : slots_(slots), batch_size_(batch_size), batches_(batches) {}

    slot *begin_write() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return written_ - read_ < batches_; });
        return slots_ + written_ % batches_ * batch_size_;
    }
    void end_write() { advance(written_); }

    slot *begin_read() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return written_ != read_; });
        return slots_ + read_ % batches_ * batch_size_;
    }
    void end_read() { advance(read_); }

  private:
    void advance(std::size_t &count) {
        std::lock_guard<std::mutex> lock(mutex_);
        count++;
        changed_.notify_one();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    slot *slots_;
    std::size_t batch_size_, batches_;
    std::size_t written_ = 0, read_ = 0;
};

/* One thread allocates, another frees. How many blocks are live is a matter of their schedule. */
void producer_consumer(const allocator &heap, stage &stage, std::size_t low, std::size_t high,
                       std::size_t steps) {
    constexpr std::size_t BATCH = 100;
    batch_queue queue(stage.slots, BATCH, stage.slot_count / BATCH);
    run_threads(stage, 2, [&](unsigned index, tally &total) {
        random_source random(3000);
        for (std::size_t done = 0; done < steps; done += BATCH) {
            slot *batch = index == 0 ? queue.begin_write() : queue.begin_read();
            for (std::size_t i = 0; i < BATCH; i++) {
                if (index == 0)
                    slot_fill(heap, batch[i], total, random.between(low, high));
                else
                    slot_clear(heap, batch[i], total);
            }
            index == 0 ? queue.end_write() : queue.end_read();
        }
    });
    stage.total.live_peak = 0;
}

/* 1, 2, 4, … and all processors. */
std::vector<unsigned> thread_counts(unsigned processors) {
    std::vector<unsigned> counts;
    for (unsigned count = 1; count < processors; count *= 2)
        counts.push_back(count);
    counts.push_back(processors);
    return counts;
}

} // namespace

void append_threaded_cases(std::vector<bench_case> &cases, bool quick) {
    unsigned processors = std::max(1U, std::thread::hardware_concurrency());
    unsigned threads = std::max(2U, processors);
    std::size_t less = quick ? 20 : 1;

    auto append_pair = [&](const char *name, std::size_t low, std::size_t high) {
        std::size_t steps = 2000000 / less;
        cases.push_back({name, "one thread allocates, another frees", 10000, false, 2,
                         [=](const allocator &heap, stage &stage) {
                             producer_consumer(heap, stage, low, high, steps);
                         }});
    };
    append_pair("producer_consumer/64", 64, 64);
    append_pair("producer_consumer/16-1024", 16, 1 * KIB);

    std::size_t steps = 2000000 / less;
    cases.push_back(
        {"larson/" + std::to_string(threads) + "_threads",
         "blocks outlive the threads that allocated them", 20000 * threads, false, threads,
         [=](const allocator &heap, stage &stage) { larson(heap, stage, threads, steps); }});
    cases.push_back(
        {"exchange/" + std::to_string(threads) + "_threads", "threads free each other's blocks",
         10000 * threads, false, threads,
         [=](const allocator &heap, stage &stage) { exchange(heap, stage, threads, steps); }});
    for (unsigned count : thread_counts(processors)) {
        cases.push_back({"scaling/" + std::to_string(count),
                         "each thread with its own blocks (wall time shows the scaling)",
                         10000 * count, false, count, [=](const allocator &heap, stage &stage) {
                             local_work(heap, stage, count, 2 * steps);
                         }});
    }
}

} // namespace benchmarks
