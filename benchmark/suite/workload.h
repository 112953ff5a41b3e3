/*
 * workload.h - what the workloads share: their setting, random numbers, blocks, threads.
 *
 * A workload calls malloc, free, new and delete as any program does: LD_PRELOAD chooses the
 * allocator. What the workload itself needs to know its blocks by is mapped, so that the allocator
 * has no part in it. The work is fixed and every random choice comes from a seeded generator: all
 * allocators see the same requests, but where threads meet.
 *
 * Every block is touched as a program would: a stamp at its start, a byte in each page, its last
 * byte. The stamp is compared before the block is freed: an allocator that hands out overlapping
 * blocks, or writes into live ones, dies here with a message.
 */
#ifndef OSMEM_BENCHMARK_SUITE_WORKLOAD_H
#define OSMEM_BENCHMARK_SUITE_WORKLOAD_H

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace suite {

constexpr std::size_t KIB = 1024;
constexpr std::size_t MIB = 1024 * KIB;
constexpr std::size_t PAGE = 4 * KIB;

struct setting {
    double scale;       /* multiplies the work; what is live only where that grows */
    unsigned parameter; /* threads; for heap_size MiB */

    std::size_t times(std::size_t count) const {
        return std::max<std::size_t>(1,
                                     static_cast<std::size_t>(static_cast<double>(count) * scale));
    }
};

struct workload {
    const char *name;
    const char *group;                       /* single, multi or curve */
    const char *comment;                     /* one line */
    std::size_t (*run)(const setting &work); /* highest sum of live bytes; 0: not known */
};

void append_sequential(std::vector<workload> &all);
void append_containers(std::vector<workload> &all);
void append_threaded(std::vector<workload> &all);
void append_curves(std::vector<workload> &all);

/* xorshift64* (Vigna 2016): one multiplication for each number. */
class random_source {
  public:
    explicit random_source(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}

    /* 0 … bound - 1; `bound` fits 32 bits. */
    std::size_t below(std::size_t bound) {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return ((state_ * 0x2545f4914f6cdd1d >> 32) * bound) >> 32;
    }

    /* low … high, both included. */
    std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }

    /* low … low * 2^doublings - 1, each doubling as likely as the next: small sizes are frequent.
     */
    std::size_t spread(std::size_t low, std::size_t doublings) {
        std::size_t least = low << below(doublings);
        return least + below(least);
    }

    bool one_in(std::size_t count) { return below(count) == 0; }

  private:
    std::uint64_t state_;
};

/* An array of zeroes, mapped; it lives as long as the process. */
template <typename Element> class mapped {
  public:
    explicit mapped(std::size_t count) : size_(count) {
        void *area = mmap(nullptr, count * sizeof(Element), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (area == MAP_FAILED) {
            std::perror("workload: mmap");
            std::abort();
        }
        first_ = static_cast<Element *>(area);
    }
    Element *begin() const { return first_; }
    Element *end() const { return first_ + size_; }
    Element &operator[](std::size_t index) const { return first_[index]; }
    std::size_t size() const { return size_; }

  private:
    Element *first_;
    std::size_t size_;
};

struct block {
    char *bytes; /* NULL: none */
    std::size_t size;
};

/* Who uses the heap: one thread, with its random numbers and the count of its live bytes. */
class client {
  public:
    explicit client(std::uint64_t seed) : random(seed) {}

    random_source random;

    /* `size` is 4 at least: room for the stamp. */
    void make(block &place, std::size_t size) {
        place = {static_cast<char *>(std::malloc(size)), size};
        touch(place);
        count(static_cast<std::ptrdiff_t>(size));
    }

    void drop(block &place) {
        if (place.bytes == nullptr)
            return;
        verify(place);
        std::free(place.bytes);
        count(-static_cast<std::ptrdiff_t>(place.size));
        place.bytes = nullptr;
    }

    void replace(block &place, std::size_t size) {
        drop(place);
        make(place, size);
    }

    void resize(block &place, std::size_t size) {
        std::size_t before = place.bytes == nullptr ? 0 : place.size;
        if (before != 0)
            verify(place);
        place = {static_cast<char *>(std::realloc(place.bytes, size)), size};
        touch(place, before);
        count(static_cast<std::ptrdiff_t>(size) - static_cast<std::ptrdiff_t>(before));
    }

    void drop(block *first, block *last) {
        for (; first != last; first++)
            drop(*first);
    }

    /* Each step replaces a random block by one of `size_of(random)` bytes: random lifetimes. */
    template <typename Size>
    void exchange(block *slots, std::size_t slot_count, std::size_t steps, Size size_of) {
        for (std::size_t i = 0; i < steps; i++)
            replace(slots[random.below(slot_count)], size_of(random));
    }

    std::size_t live() const { return static_cast<std::size_t>(live_); }
    std::size_t live_peak() const { return static_cast<std::size_t>(live_peak_); }

  private:
    static std::uint32_t &stamp(const block &place) {
        return *reinterpret_cast<std::uint32_t *>(place.bytes);
    }

    [[noreturn]] static void die(const char *fact, std::size_t size) {
        std::fprintf(stderr, "workload: %s (%zu bytes)\n", fact, size);
        std::abort();
    }

    static void touch(const block &place, std::size_t from = 0) {
        if (place.bytes == nullptr)
            die("no memory", place.size);
        for (std::size_t at = (from / PAGE + 1) * PAGE; at < place.size; at += PAGE)
            place.bytes[at] = 1;
        place.bytes[place.size - 1] = 1;
        stamp(place) = static_cast<std::uint32_t>(place.size);
    }

    static void verify(const block &place) {
        if (stamp(place) != static_cast<std::uint32_t>(place.size))
            die("a live block was overwritten", place.size);
    }

    void count(std::ptrdiff_t bytes) {
        live_ += bytes;
        live_peak_ = std::max(live_peak_, live_);
    }

    /* Signed: a thread may free what another made. */
    std::ptrdiff_t live_ = 0, live_peak_ = 0;
};

/* Runs body(0) … body(count - 1), each in a thread of its own, to their ends. */
template <typename Body> void run_threads(unsigned count, const Body &body) {
    std::vector<std::thread> threads;
    for (unsigned index = 0; index < count; index++)
        threads.emplace_back([&body, index] { body(index); });
    for (std::thread &thread : threads)
        thread.join();
}

/* ---- those that several threads do as well, each for itself -----------------------------------
 */

void random_lifetimes(client &me, const setting &work);
void equal_batches(client &me, const setting &work);
void mixed_batches(client &me, const setting &work);
void serve(client &me, const setting &work);

} // namespace suite

#endif
