/*
 * threaded.cc - what several threads do to one heap, each for itself or with each other's blocks.
 *
 * Sources of the patterns: Larson and Krishnan, "Memory allocation for long-running server
 * applications" (1998); active and passive false sharing after Berger, McKinley, Blumofe and
 * Wilson, "Hoard" (2000); batches that another thread frees after Lever and Boreham, "malloc()
 * performance in a multithreaded Linux environment" (2000); exchange through shared slots after
 * the stress test of mimalloc (Leijen, Zorn, de Moura, 2019).
 */
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "benchmark/suite/workload.h"

namespace suite {

namespace {

/* Every thread does the whole work for itself. */
template <void (*Work)(client &, const setting &)> std::size_t each(const setting &work) {
    run_threads(work.parameter, [&](unsigned index) {
        client me(10 + index);
        Work(me, work);
    });
    return 0;
}

/* A thread replaces random blocks of a set, ends, and leaves the set to a new thread. */
std::size_t larson(const setting &work) {
    constexpr std::size_t SHARE = 20000, GENERATIONS = 20;
    unsigned threads = work.parameter;
    mapped<block> slots(SHARE * threads);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        run_threads(threads, [&](unsigned index) {
            client me(100 + generation * threads + index);
            me.exchange(&slots[(index + generation) % threads * SHARE], SHARE,
                        work.times(6000000) / GENERATIONS,
                        [](random_source &random) { return random.between(16, 512); });
        });
    }
    client last(99);
    last.drop(slots.begin(), slots.end());
    return 0;
}

/* Writes all bytes of a small block again and again: slow where another thread's share its line. */
void write_often(block &place) {
    volatile char *bytes = place.bytes + sizeof(std::uint32_t); /* after the stamp */
    for (int i = 0; i < 1000; i++)
        bytes[i % 4] = static_cast<char>(bytes[i % 4] + 1);
}

/* `handed`: the first block of each thread was made by another, side by side with the others'. */
std::size_t cache_lines(const setting &work, bool handed) {
    mapped<block> first(work.parameter);
    client maker(200);
    for (block &place : first)
        maker.make(place, 8);
    run_threads(work.parameter, [&](unsigned index) {
        client me(201 + index);
        block mine = {};
        if (handed)
            std::swap(mine, first[index]);
        else
            me.make(mine, 8);
        for (std::size_t i = 0; i < work.times(300000); i++) {
            write_often(mine);
            me.replace(mine, 8);
        }
        me.drop(mine);
    });
    maker.drop(first.begin(), first.end());
    return 0;
}

std::size_t cache_scratch(const setting &work) { return cache_lines(work, true); }
std::size_t cache_thrash(const setting &work) { return cache_lines(work, false); }

/* A bounded queue of batches in a ring; a batch belongs to one side at a time. */
class batch_queue {
  public:
    static constexpr std::size_t BATCH = 100, BATCHES = 64;

    block *begin_write() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return written_ - read_ < BATCHES; });
        return &slots_[written_ % BATCHES * BATCH];
    }
    block *begin_read() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return written_ != read_; });
        return &slots_[read_ % BATCHES * BATCH];
    }
    void end_write() { advance(written_); }
    void end_read() { advance(read_); }

  private:
    void advance(std::size_t &count) {
        std::lock_guard<std::mutex> lock(mutex_);
        count++;
        changed_.notify_one();
    }

    mapped<block> slots_{BATCH * BATCHES};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t written_ = 0, read_ = 0;
};

/* Of each two threads one makes batches, the other frees them. */
std::size_t producer_consumer(const setting &work) {
    unsigned pairs = std::max(1U, work.parameter / 2);
    auto queues = std::make_unique<batch_queue[]>(pairs);
    run_threads(2 * pairs, [&](unsigned index) {
        client me(300 + index);
        batch_queue &queue = queues[index / 2];
        for (std::size_t turn = 0; turn < work.times(40000); turn++) {
            if (index % 2 == 0) {
                block *batch = queue.begin_write();
                for (std::size_t i = 0; i < batch_queue::BATCH; i++)
                    me.make(batch[i], me.random.spread(16, 6));
                queue.end_write();
            } else {
                block *batch = queue.begin_read();
                me.drop(batch, batch + batch_queue::BATCH);
                queue.end_read();
            }
        }
    });
    return 0;
}

/*
 * Threads of several generations keep blocks of their own, some large, and exchange one in four
 * through slots that all share; who finds a block there frees it.
 */
std::size_t mstress(const setting &work) {
    constexpr std::size_t SHARE = 5000, GENERATIONS = 10;
    unsigned threads = work.parameter;
    mapped<block> own(SHARE * threads);
    mapped<std::atomic<block *>> shared(1000);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        run_threads(threads, [&](unsigned index) {
            client me(400 + generation * threads + index);
            block *mine = &own[(index + generation) % threads * SHARE];
            for (std::size_t i = 0; i < work.times(4000000) / GENERATIONS; i++) {
                std::size_t size =
                    me.random.one_in(100) ? me.random.spread(1 * KIB, 7) : me.random.spread(16, 5);
                if (!me.random.one_in(4)) {
                    me.replace(mine[me.random.below(SHARE)], size);
                    continue;
                }
                auto *fresh = new block;
                me.make(*fresh, size);
                std::unique_ptr<block> found(
                    shared[me.random.below(shared.size())].exchange(fresh));
                if (found)
                    me.drop(*found);
            }
            me.drop(mine, mine + SHARE / 2);
        });
    }
    client last(399);
    for (std::atomic<block *> &place : shared) {
        std::unique_ptr<block> found(place.exchange(nullptr));
        if (found)
            last.drop(*found);
    }
    last.drop(own.begin(), own.end());
    return 0;
}

} // namespace

void append_threaded(std::vector<workload> &all) {
    const workload ours[] = {
        {"larson", "multi", "blocks outlive the threads that made them", larson},
        {"cache_scratch", "multi", "small blocks first handed out side by side, then written to",
         cache_scratch},
        {"cache_thrash", "multi", "each thread writes to small blocks of its own", cache_thrash},
        {"producer_consumer", "multi", "one thread makes batches, another frees them",
         producer_consumer},
        {"mstress", "multi", "threads free what others made, some of it large", mstress},
        {"random_lifetimes_mt", "multi", "random_lifetimes in each thread", each<random_lifetimes>},
        {"equal_batches_mt", "multi", "equal_batches in each thread", each<equal_batches>},
        {"mixed_batches_mt", "multi", "mixed_batches in each thread", each<mixed_batches>},
        {"server_mt", "multi", "server in each thread", each<serve>},
    };
    all.insert(all.end(), std::begin(ours), std::end(ours));
}

} // namespace suite
