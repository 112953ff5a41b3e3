/*
 * curves.cc - the points of the plots, printed as lines of numbers.
 *
 *     scaling          threads, million operations a second on the clock
 *     heap_size        live MiB, CPU nanoseconds of an operation
 *     burst_and_idle   seconds, resident MiB, live MiB; a line each
 *     latency          live MiB, nanoseconds of an operation: median, 99 %, 99.9 %, the longest
 *     retained         resident MiB when 200 MiB live, when one block in 64 is kept, the same after
 *                      malloc_trim, when all is freed
 *
 * An operation is a free and an allocation.
 */
#include <fcntl.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include "benchmark/suite/workload.h"

namespace suite {

namespace {

double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/* Each thread with its own blocks. */
std::size_t scaling(const setting &work) {
    std::size_t steps = work.times(4000000);
    double start = seconds(CLOCK_MONOTONIC);
    run_threads(work.parameter, [&](unsigned index) {
        client me(500 + index);
        mapped<block> slots(5000);
        me.exchange(slots.begin(), slots.size(), steps,
                    [](random_source &random) { return random.between(16, 512); });
        me.drop(slots.begin(), slots.end());
    });
    double taken = seconds(CLOCK_MONOTONIC) - start;
    std::printf("%u %.3f\n", work.parameter,
                static_cast<double>(steps * work.parameter) / taken / 1e6);
    return 0;
}

/* Blocks of 16-2048 bytes with random lifetimes, in a heap that is filled first. */
class full_heap {
  public:
    full_heap(std::uint64_t seed, std::size_t mebibytes)
        : me(seed), slots(mebibytes * MIB / ((16 + 2 * KIB) / 2)) {
        for (block &place : slots)
            me.make(place, size_of(me.random));
    }
    static std::size_t size_of(random_source &random) { return random.between(16, 2 * KIB); }

    client me;
    mapped<block> slots;
};

std::size_t heap_size(const setting &work) {
    full_heap heap(600, work.parameter);
    std::size_t steps = work.times(1000000);
    double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    heap.me.exchange(heap.slots.begin(), heap.slots.size(), steps, full_heap::size_of);
    double taken = seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
    std::printf("%u %.2f\n", work.parameter, taken / static_cast<double>(steps) * 1e9);
    return 0;
}

/* As heap_size, but each operation is timed; what the clock itself takes is left in. */
std::size_t latency(const setting &work) {
    full_heap heap(800, work.parameter);
    client &me = heap.me;
    mapped<std::uint32_t> times(work.times(2000000));
    for (std::uint32_t &time : times) {
        block &place = heap.slots[me.random.below(heap.slots.size())];
        std::size_t size = full_heap::size_of(me.random);
        double start = seconds(CLOCK_MONOTONIC);
        me.replace(place, size);
        time = static_cast<std::uint32_t>((seconds(CLOCK_MONOTONIC) - start) * 1e9);
    }
    std::sort(times.begin(), times.end());
    std::printf("%u %u %u %u %u\n", work.parameter, times[times.size() / 2],
                times[times.size() / 100 * 99], times[times.size() / 1000 * 999],
                times[times.size() - 1]);
    return 0;
}

double resident_mebibytes() {
    char text[128] = {};
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t length = read(fd, text, sizeof text - 1);
        close(fd);
        text[length > 0 ? length : 0] = '\0';
    }
    char *end = text;
    std::strtoul(text, &end, 10); /* the first number is that of all pages */
    return static_cast<double>(std::strtoul(end, nullptr, 10)) *
           static_cast<double>(sysconf(_SC_PAGESIZE)) / MIB;
}

/*
 * Bursts of 200 MiB. After each all but one block in 256 are freed, oldest first, and two seconds
 * pass in which an idle server would do little: a small block every 20 ms.
 */
std::size_t burst_and_idle(const setting &work) {
    constexpr std::size_t BURST = 200 * MIB, SAMPLE = 4 * MIB;
    struct sample {
        double time, resident, live;
    };
    mapped<sample> samples(10000);
    mapped<block> slots(BURST / 16);
    std::size_t taken = 0, filled = 0, next = 0; /* `next`: live bytes at the next sample */
    client me(700);
    double start = seconds(CLOCK_MONOTONIC);
    auto look = [&] {
        if (taken < samples.size())
            samples[taken++] = {seconds(CLOCK_MONOTONIC) - start, resident_mebibytes(),
                                static_cast<double>(me.live()) / MIB};
    };
    for (int burst = 0; burst < 3; burst++) {
        for (next = me.live(); me.live() < BURST; filled++) {
            me.make(slots[filled], me.random.spread(16, 8));
            if (me.live() >= next) {
                look();
                next = me.live() + SAMPLE;
            }
        }
        std::size_t kept = 0;
        next = me.live();
        for (std::size_t i = 0; i < filled; i++) {
            if (i % 256 == 0)
                std::swap(slots[kept++], slots[i]);
            else
                me.drop(slots[i]);
            if (me.live() + SAMPLE <= next) {
                look();
                next = me.live();
            }
        }
        filled = kept;
        for (std::size_t i = 0; i < work.times(100); i++) {
            block small = {};
            me.make(small, 100);
            usleep(20000);
            me.drop(small);
            look();
        }
    }
    for (std::size_t i = 0; i < taken; i++)
        std::printf("%.3f %.2f %.2f\n", samples[i].time, samples[i].resident, samples[i].live);
    return 0;
}

/* 200 MiB of small blocks, of which first all but one in 64 are freed, in no order. */
std::size_t retained(const setting &work) {
    constexpr std::size_t LIVE = 200 * MIB, KEPT = 64;
    mapped<block> slots(LIVE / 16);
    client me(900);
    std::size_t filled = 0;
    for (; me.live() < work.times(LIVE); filled++)
        me.make(slots[filled], me.random.spread(16, 6));
    for (std::size_t i = filled; i-- > 1;)
        std::swap(slots[i], slots[me.random.below(i + 1)]);
    double full = resident_mebibytes();
    me.drop(slots.begin() + filled / KEPT, slots.begin() + filled);
    double sparse = resident_mebibytes();
    malloc_trim(0);
    double trimmed = resident_mebibytes();
    me.drop(slots.begin(), slots.begin() + filled / KEPT);
    std::printf("%.1f %.1f %.1f %.1f\n", full, sparse, trimmed, resident_mebibytes());
    return 0;
}

} // namespace

void append_curves(std::vector<workload> &all) {
    const workload ours[] = {
        {"scaling", "curve", "operations a second against threads", scaling},
        {"heap_size", "curve", "cost of an operation against the size of the heap", heap_size},
        {"burst_and_idle", "curve", "resident memory over time", burst_and_idle},
        {"latency", "curve", "live MiB; ns of an operation: median, 99 %, 99.9 %, longest",
         latency},
        {"retained", "curve", "resident MiB: 200 live, 1 in 64 kept, after a trim, none live",
         retained},
    };
    all.insert(all.end(), std::begin(ours), std::end(ours));
}

} // namespace suite
