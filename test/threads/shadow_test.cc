/*
 * Random calls on several threads, each of which writes down what it holds and hands blocks to the
 * others: contents are verified when a block is resized, freed or received, so whose heap a block
 * comes from makes no difference. Threads end all the while and others go on with what they held,
 * so heaps are parked and adopted. OSMEM_TEST_OPERATIONS is how many calls in all.
 */
#include "test/core/blocks.h"
#include "test/model/child.h"
#include "test/model/random.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace osmem {
namespace {

constexpr size_t THREADS = 8;
constexpr size_t LIFE = 20000; /* calls of a thread before another goes on for it */
constexpr size_t MOST_BLOCKS = 1500;
constexpr size_t MOST_LETTERS = 200;

size_t operations() {
    const char *given = getenv("OSMEM_TEST_OPERATIONS");
    return given != nullptr ? strtoull(given, nullptr, 0) : scaled(IS_TSAN ? 500000 : 4000000);
}

struct Block {
    char *start;
    size_t size;
    uint64_t seed;

    /* All of a small block and of some others; else both ends. */
    bool is_marked_whole() const { return size <= 64 || seed % 16 == 0; }

    void mark() const {
        if (is_marked_whole()) {
            fill(start, size, seed);
        } else {
            memcpy(start, &seed, sizeof seed);
            memcpy(start + size - sizeof seed, &seed, sizeof seed);
        }
    }

    /* `kept`: how much of it was kept by a call that resized it. */
    bool has_mark(size_t kept) const {
        if (is_marked_whole())
            return is_filled(start, std::min(size, kept), seed);
        return (kept < sizeof seed || memcmp(start, &seed, sizeof seed) == 0) &&
               (kept < size || memcmp(start + size - sizeof seed, &seed, sizeof seed) == 0);
    }
};

class Mailbox {
  public:
    bool put(const Block &block) {
        std::lock_guard<std::mutex> guard(mutex_);
        if (blocks_.size() >= MOST_LETTERS)
            return false;
        blocks_.push_back(block);
        return true;
    }
    void take(std::vector<Block> &blocks) {
        std::lock_guard<std::mutex> guard(mutex_);
        blocks_.swap(blocks);
    }

  private:
    std::mutex mutex_;
    std::vector<Block> blocks_;
};

/* What lives on while threads end: what they hold, and what they do next. */
class Worker {
  public:
    Worker(uint64_t seed, std::vector<Mailbox> &mailboxes, size_t number)
        : random_(seed), mailboxes_(mailboxes), number_(number) {}

    void work(size_t calls) {
        for (size_t i = 0; i < calls && !failed_; i++)
            step();
    }

    void free_all() {
        receive();
        while (!blocks_.empty())
            release(blocks_.size() - 1);
    }

    bool failed() const { return failed_; }

  private:
    size_t any_size() {
        return random_.one_in(500) ? random_.between(1, 400 * KIB)
                                   : random_.spread(1, random_.one_in(10) ? 64 * KIB : 2 * KIB);
    }

    void step() {
        size_t kind = random_.below(32);
        if (blocks_.empty() || (kind < 13 && blocks_.size() < MOST_BLOCKS))
            allocate();
        else if (kind < 25)
            release(random_.below(blocks_.size()));
        else if (kind < 28)
            resize(random_.below(blocks_.size()));
        else if (kind < 31)
            send(random_.below(blocks_.size()));
        else
            receive();
    }

    void check(bool condition, const char *promise) {
        if (condition)
            return;
        failed_ = true;
        ADD_FAILURE() << promise;
    }

    void enter(void *start, size_t size) {
        check(start != nullptr, "there is memory");
        if (start == nullptr)
            return;
        blocks_.push_back({static_cast<char *>(start), size, random_.next()});
        blocks_.back().mark();
    }

    Block leave(size_t index) {
        Block block = blocks_[index];
        blocks_[index] = blocks_.back();
        blocks_.pop_back();
        check(block.has_mark(block.size), "a block keeps its contents");
        return block;
    }

    void allocate() {
        size_t size = any_size();
        if (random_.one_in(16)) {
            void *start = os_calloc(1, size);
            check(is_zero(start, size), "calloc clears");
            enter(start, size);
        } else if (random_.one_in(32)) {
            size_t alignment = size_t{1} << random_.between(5, 12);
            void *start = os_aligned_alloc(alignment, size);
            check(is_at(start, alignment), "a block is aligned");
            enter(start, size);
        } else {
            enter(os_malloc(size), size);
        }
    }

    void release(size_t index) { os_free(leave(index).start); }

    void resize(size_t index) {
        Block block = leave(index);
        size_t size = any_size(), kept = std::min(block.size, size);
        check(os_malloc_usable_size(block.start) >= block.size, "a block has its size");
        block.start = static_cast<char *>(os_realloc(block.start, size));
        check(block.start != nullptr && block.has_mark(kept), "realloc keeps the contents");
        enter(block.start, size);
    }

    void send(size_t index) {
        size_t to = random_.below(mailboxes_.size());
        if (to != number_ && mailboxes_[to].put(blocks_[index])) {
            blocks_[index] = blocks_.back();
            blocks_.pop_back();
        }
    }

    /* Half of what has come is kept, the rest freed at once. */
    void receive() {
        std::vector<Block> letters;
        mailboxes_[number_].take(letters);
        for (const Block &block : letters) {
            blocks_.push_back(block);
            if (random_.one_in(2))
                release(blocks_.size() - 1);
        }
    }

    Random random_;
    std::vector<Block> blocks_;
    std::vector<Mailbox> &mailboxes_;
    size_t number_;
    bool failed_ = false;
};

/* Lets a worker make `calls` on threads that come and go, one at a time. */
void live(Worker &worker, size_t calls) {
    while (calls != 0 && !worker.failed()) {
        size_t life = std::min(calls, LIFE);
        std::thread([&] {
            worker.work(life);
            EXPECT_EQ(os_heap_check(), 0);
        }).join();
        calls -= life;
    }
}

class ShadowedThreads : public testing::Test {
  protected:
    ShadowedThreads() {
        for (size_t i = 0; i < THREADS; i++)
            workers_.emplace_back(test_seed() + i, mailboxes_, i);
    }

    void expect_nothing_left() {
        for (Worker &worker : workers_)
            worker.free_all();
        EXPECT_EQ(os_heap_check(), 0);
        os_stats stats;
        os_malloc_stats(&stats);
        EXPECT_EQ(stats.allocated_blocks, 0u);
        EXPECT_EQ(stats.mapped_blocks, 0u);
        EXPECT_GT(stats.heaps, 2u);
    }

    std::vector<Mailbox> mailboxes_{THREADS};
    std::vector<Worker> workers_;
};

TEST_F(ShadowedThreads, KeepContentsAndLoseNothing) {
    auto start = std::chrono::steady_clock::now();
    size_t calls = operations() / THREADS;
    std::vector<std::thread> threads;
    for (Worker &worker : workers_)
        threads.emplace_back([&worker, calls] { live(worker, calls); });
    for (std::thread &thread : threads)
        thread.join();
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    printf("%zu operations on %zu threads, %.2f million a second\n", calls * THREADS, THREADS,
           static_cast<double>(calls * THREADS) / seconds.count() / 1e6);
    expect_nothing_left();
}

/* A child has one thread, and all that the others held. */
TEST_F(ShadowedThreads, ForkInBetween) {
    if (IS_TSAN || IS_ASAN)
        GTEST_SKIP() << "the sanitizer's own locks do not survive a fork";
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (size_t i = 1; i < 4; i++)
        threads.emplace_back([this, i, &stop] {
            while (!stop && !workers_[i].failed())
                live(workers_[i], LIFE / 4);
        });
    for (size_t i = 0; i < scaled(30) && !HasFailure(); i++) {
        workers_[0].work(500);
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            std::vector<Mailbox> none{1}; /* the others' may be locked for ever */
            mailboxes_.swap(none);
            workers_[0].work(3000);
            workers_[0].free_all();
            _exit(workers_[0].failed() ? 98 : os_heap_check());
        }
        int status = -1;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0) << "fork " << i;
    }
    stop = true;
    for (std::thread &thread : threads)
        thread.join();
    expect_nothing_left();
}

} // namespace
} // namespace osmem
