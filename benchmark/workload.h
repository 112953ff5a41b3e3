/*
 * workload.h - the cases: what is asked of an allocator, and in which order.
 *
 * A workload is a function of an allocator and a stage. The stage has the slots that hold the live
 * blocks, mapped by the harness, and counts what was done. Every random choice comes from a seeded
 * generator, so all allocators, all rounds and all machines see the same sequence of requests; only
 * in the cases whose threads meet does their schedule decide who frees what.
 *
 * Every block is touched as a program would: a stamp at its start, a byte in each page and its last
 * byte. The stamp is compared before the block is freed: an allocator that hands out overlapping
 * blocks, or writes into live ones, dies here with a message.
 */
#ifndef OSMEM_BENCHMARK_WORKLOAD_H
#define OSMEM_BENCHMARK_WORKLOAD_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "benchmark/allocator.h"

namespace benchmarks {

struct slot {
    void *block; /* NULL: empty */
    std::size_t size;
};

/* What one thread has done; a cache line of its own. */
struct alignas(64) tally {
    std::uint64_t operations;          /* allocations, each with its free; or steps of realloc */
    std::size_t live;                  /* bytes in live blocks, as asked for */
    std::size_t live_peak;             /* the highest `live`; 0: not known */
    std::uint64_t longest_nanoseconds; /* CPU time of the longest single call; 0: not measured */
};

struct stage {
    slot *slots;
    std::size_t slot_count;
    tally total;
};

using workload = std::function<void(const allocator &, stage &)>;

struct bench_case {
    std::string name;    /* group/parameter */
    std::string comment; /* one line for the table */
    std::size_t slots;   /* how many the workload needs */
    bool steady;         /* short and repeatable: run until the time is up; else once */
    unsigned threads;    /* that are started; 0: all is done by the calling one */
    workload work;
};

/* All cases, in the order of the table. `quick`: the same with little work; `full`: 8 GiB too. */
std::vector<bench_case> cases_all(bool quick, bool full);

/* Frees what `stage` still holds, in the order of its slots. */
void stage_release(const allocator &heap, stage &stage);

/* ---- for the workloads ---------------------------------------------------------------------- */

constexpr std::size_t KIB = 1024;
constexpr std::size_t MIB = 1024 * KIB;

/* xorshift64* (Vigna 2016): one multiplication for each number. */
class random_source {
  public:
    explicit random_source(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}

    std::uint32_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<std::uint32_t>((state_ * 0x2545f4914f6cdd1d) >> 32);
    }

    /* 0 … bound - 1; `bound` fits 32 bits. */
    std::size_t below(std::size_t bound) { return (std::uint64_t{next()} * bound) >> 32; }

    /* low … high, both included. */
    std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }

  private:
    std::uint64_t state_;
};

[[noreturn]] void workload_die(const char *fact, std::size_t size);

constexpr std::size_t SMALLEST = sizeof(std::uint32_t); /* room for the stamp */

inline void block_touch(void *block, std::size_t size) {
    char *bytes = static_cast<char *>(block);
    for (std::size_t at = 4 * KIB; at < size; at += 4 * KIB)
        bytes[at] = 1;
    bytes[size - 1] = 1;
    *static_cast<std::uint32_t *>(block) = static_cast<std::uint32_t>(size);
}

inline void block_verify(const void *block, std::size_t size) {
    if (*static_cast<const std::uint32_t *>(block) != static_cast<std::uint32_t>(size))
        workload_die("a live block was overwritten", size);
}

inline void *block_new(const allocator &heap, std::size_t size) {
    void *block = heap.malloc(size);
    if (block == nullptr)
        workload_die("malloc returned NULL", size);
    block_touch(block, size);
    return block;
}

inline void block_delete(const allocator &heap, void *block, std::size_t size) {
    block_verify(block, size);
    heap.free(block);
}

inline void tally_grow(tally &total, std::size_t size) {
    total.live += size;
    if (total.live > total.live_peak)
        total.live_peak = total.live;
}

/* Fills an empty slot, one operation. */
inline void slot_fill(const allocator &heap, slot &place, tally &total, std::size_t size) {
    place.block = block_new(heap, size);
    place.size = size;
    tally_grow(total, size);
    total.operations++;
}

/* Empties a slot. */
inline void slot_clear(const allocator &heap, slot &place, tally &total) {
    block_delete(heap, place.block, place.size);
    total.live -= place.size;
    place.block = nullptr;
}

} // namespace benchmarks

#endif
