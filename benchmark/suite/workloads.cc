/*
 * workloads.cc - programs that allocate as the classic benchmarks of the field do, written anew.
 *
 *     workloads NAME [SCALE]      runs one; SCALE (default 1) multiplies its work
 *     workloads --list            names, and whether they are single- or multi-threaded
 *
 * They call malloc and free, so that whichever allocator is preloaded is measured. Every block is
 * written to. Work is fixed, not time: the cost is the CPU time of the process. The output is one
 * number that depends on the work alone, so that runs can be told to have done the same.
 */
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <unordered_map>
#include <vector>

namespace {

/* xorshift64*: cheap, so that what is measured is the allocator. */
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
    uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1du;
    }
    size_t below(size_t bound) { return static_cast<size_t>((next() >> 32) % bound); }
    size_t between(size_t least, size_t most) { return least + below(most - least + 1); }
    /* Every doubling is as likely as the next. */
    size_t spread(size_t least, size_t doublings) {
        size_t low = least << below(doublings);
        return low + below(low);
    }

  private:
    uint64_t state_;
};

char *take(size_t size) {
    char *block = static_cast<char *>(malloc(size));
    if (block == nullptr) {
        perror("workloads: malloc");
        exit(1);
    }
    block[0] = static_cast<char>(size);
    block[size - 1] = 1;
    return block;
}

char *take_and_fill(size_t size) {
    char *block = take(size);
    memset(block, 1, size);
    return block;
}

using Slots = std::vector<char *>;

void drop(Slots &slots) {
    for (char *&block : slots) {
        free(block);
        block = nullptr;
    }
}

/* Exchanges random slots for new blocks. */
template <typename Draw> uint64_t exchange(Slots &slots, size_t steps, Random &random, Draw draw) {
    uint64_t sum = 0;
    for (size_t i = 0; i < steps; i++) {
        char *&slot = slots[random.below(slots.size())];
        size_t size = draw(random);
        free(slot);
        slot = take(size);
        sum += size;
    }
    return sum;
}

void in_threads(unsigned count, const std::function<void(unsigned)> &work) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; i++)
        threads.emplace_back(work, i);
    for (std::thread &thread : threads)
        thread.join();
}

constexpr unsigned THREADS = 2;

size_t times(double scale, size_t count) {
    return std::max<size_t>(1, static_cast<size_t>(scale * static_cast<double>(count)));
}

/* ---- one thread ------------------------------------------------------------------------------ */

/* 100,000 live blocks of 16 to 4096 bytes, filled; random ones are exchanged. */
uint64_t churn(double scale) {
    Random random(1);
    Slots slots(times(std::min(scale, 1.0), 100000));
    uint64_t sum = 0;
    for (char *&slot : slots)
        slot = take_and_fill(random.between(16, 4096));
    for (size_t i = 0; i < times(scale, 1000000); i++) {
        char *&slot = slots[random.below(slots.size())];
        free(slot);
        size_t size = random.between(16, 4096);
        slot = take_and_fill(size);
        sum += size;
    }
    drop(slots);
    return sum;
}

/* Random lifetimes and sizes spread over doublings, few large (after alloc-test). */
uint64_t lifetimes(double scale) {
    Random random(2);
    Slots slots(50000);
    uint64_t sum = exchange(slots, times(scale, 6000000), random, [](Random &r) {
        return r.below(256) == 0 ? r.spread(1024, 6) : r.spread(16, 6);
    });
    drop(slots);
    return sum;
}

/* Batches of small sizes, freed in part at once and in part a batch later (after sh6bench). */
uint64_t batches(double scale) {
    uint64_t sum = 0;
    Slots fresh, old;
    for (size_t round = 0; round < times(scale, 5000); round++) {
        for (size_t size = 16; size <= 1000; size += size / 4) {
            for (size_t i = 0; i < 4000 / size * 4 + 50; i++) {
                fresh.push_back(take(size));
                sum += size;
            }
        }
        /* Two of three die now: alternately from either end. */
        size_t keep = fresh.size() / 3;
        while (fresh.size() > keep) {
            if (fresh.size() % 2 == 0)
                std::swap(fresh.front(), fresh.back());
            free(fresh.back());
            fresh.pop_back();
        }
        drop(old);
        old.swap(fresh);
        fresh.clear();
    }
    drop(old);
    return sum;
}

/* One size at a time in runs of random length, last in, first out (after sh8bench). */
uint64_t runs(double scale) {
    Random random(3);
    uint64_t sum = 0;
    Slots stack;
    for (size_t round = 0; round < times(scale, 80000); round++) {
        size_t size = random.spread(16, 6), count = random.between(1, 400);
        for (size_t i = 0; i < count; i++)
            stack.push_back(take(size));
        sum += size * count;
        for (size_t i = 0; i < count * 9 / 10 || stack.size() > 100000; i++) {
            free(stack.back());
            stack.pop_back();
        }
    }
    drop(stack);
    return sum;
}

/* A server: each request builds a small tree of objects, frees most, and leaves some behind. */
uint64_t requests(double scale) {
    Random random(4);
    uint64_t sum = 0;
    Slots sessions(20000), objects;
    for (size_t request = 0; request < times(scale, 400000); request++) {
        size_t count = random.between(5, 80);
        for (size_t i = 0; i < count; i++) {
            size_t size =
                random.below(20) == 0 ? random.between(1000, 12000) : random.between(16, 300);
            objects.push_back(take(size));
            sum += size;
        }
        char *&session = sessions[random.below(sessions.size())];
        free(session);
        session = objects[random.below(objects.size())];
        for (char *object : objects) {
            if (object != session)
                free(object);
        }
        objects.clear();
    }
    drop(sessions);
    return sum;
}

/* A heap that grows, with temporaries beside what stays. */
uint64_t growth(double scale) {
    Random random(5);
    Slots stay(times(scale, 1000000));
    uint64_t sum = 0;
    for (char *&slot : stay) {
        char *first = take(random.between(16, 2000)), *second = take(random.between(16, 500));
        slot = take_and_fill(random.between(16, 140));
        sum += static_cast<unsigned char>(slot[0]);
        free(first);
        free(second);
    }
    drop(stay);
    return sum;
}

/* Vectors that double, some at a time. */
uint64_t doubling(double scale) {
    uint64_t sum = 0;
    for (size_t round = 0; round < times(scale, 800); round++) {
        char *vectors[4] = {};
        for (size_t size = 16; size <= 512 << 10; size *= 2) {
            for (char *&vector : vectors) {
                vector = static_cast<char *>(realloc(vector, size));
                memset(vector + size / 2, 1, size / 2);
                sum += size;
            }
        }
        for (char *vector : vectors)
            free(vector);
    }
    return sum;
}

/* A buffer that grows by a few bytes, while others are born. */
uint64_t append(double scale) {
    Random random(6);
    uint64_t sum = 0;
    for (size_t round = 0; round < times(scale, 1500); round++) {
        Slots others;
        char *buffer = nullptr;
        for (size_t size = 24; size <= 300000; size += 24) {
            buffer = static_cast<char *>(realloc(buffer, size));
            buffer[size - 1] = 1;
            if (random.below(64) == 0)
                others.push_back(take(random.between(16, 200)));
            sum += size;
        }
        free(buffer);
        drop(others);
    }
    return sum;
}

uint64_t large_blocks(double scale, size_t least, size_t most, size_t live, size_t steps) {
    Random random(7);
    Slots slots(live);
    uint64_t sum = 0;
    for (size_t i = 0; i < times(scale, steps); i++) {
        char *&slot = slots[random.below(live)];
        free(slot);
        size_t size = random.between(least, most);
        slot = take(size);
        for (size_t offset = 0; offset < size; offset += 4096)
            slot[offset] = 1;
        sum += size;
    }
    drop(slots);
    return sum;
}

uint64_t large(double scale) { return large_blocks(scale, 100 << 10, 8 << 20, 20, 5000); }
uint64_t huge(double scale) { return large_blocks(scale, 5 << 20, 25 << 20, 2, 2000); }

/* Sizes shift from phase to phase; a tenth of each phase survives into the next. */
uint64_t phases(double scale) {
    Random random(8);
    const size_t sizes[] = {64, 1000, 200, 4000, 100, 500, 8000, 48};
    const size_t live_bytes = times(std::min(scale, 1.0), 64 << 20);
    std::vector<std::pair<char *, size_t>> live;
    uint64_t sum = 0;
    for (size_t size : sizes) {
        for (size_t i = live.size(); i > 1; i--)
            std::swap(live[i - 1], live[random.below(i)]);
        size_t keep = live.size() / 10, bytes = 0;
        for (size_t i = keep; i < live.size(); i++)
            free(live[i].first);
        live.resize(keep);
        for (const auto &block : live)
            bytes += block.second;
        while (bytes < live_bytes) {
            size_t one = random.between(size / 2, size * 3 / 2);
            live.emplace_back(take_and_fill(one), one);
            bytes += one;
            sum += one;
        }
    }
    for (const auto &block : live)
        free(block.first);
    return sum;
}

/* Strings, vectors and maps of the C++ library: counts words of a made-up text. */
uint64_t containers(double scale) {
    Random random(9);
    std::unordered_map<std::string, std::vector<uint32_t>> index;
    std::map<std::string, size_t> sorted;
    for (size_t i = 0; i < times(scale, 1500000); i++) {
        std::string word = "a word that is too long for the small buffer, number ";
        word += std::to_string(random.below(1 + random.below(60000)));
        index[word].push_back(static_cast<uint32_t>(i));
        if (i % 16 == 0)
            sorted[word.substr(random.below(40))]++;
    }
    uint64_t sum = 0;
    for (const auto &[word, places] : index)
        sum += word.size() * places.size();
    for (const auto &[word, count] : sorted)
        sum += word.size() * count;
    return sum;
}

/* ---- several threads ------------------------------------------------------------------------- */

/* Each thread's slots are handed on to a thread that is born when it ends (after larson). */
uint64_t larson(double scale) {
    std::vector<Slots> slots(THREADS, Slots(2000));
    std::atomic<uint64_t> sum{0};
    for (unsigned round = 0; round < 20; round++) {
        in_threads(THREADS, [&](unsigned i) {
            Random random(10 + round * THREADS + i);
            sum += exchange(slots[(i + round) % THREADS], times(scale, 200000), random,
                            [](Random &r) { return r.between(16, 1000); });
        });
    }
    for (Slots &each : slots)
        drop(each);
    return sum;
}

/* Threads exchange blocks through slots that all share, and free what others made (after mstress).
 */
uint64_t stress(double scale) {
    std::vector<std::atomic<char *>> shared(1000);
    std::atomic<uint64_t> sum{0};
    in_threads(THREADS, [&](unsigned thread) {
        Random random(40 + thread);
        Slots own(2000);
        for (size_t i = 0; i < times(scale, 2500000); i++) {
            size_t size = random.below(100) == 0 ? random.spread(1024, 7) : random.spread(16, 5);
            char *block = take(size);
            sum.fetch_add(size, std::memory_order_relaxed);
            if (random.below(4) == 0) {
                free(shared[random.below(shared.size())].exchange(block));
            } else {
                char *&slot = own[random.below(own.size())];
                free(slot);
                slot = block;
            }
        }
        drop(own);
    });
    for (auto &block : shared)
        free(block.load());
    return sum;
}

/* One thread makes batches, another frees them; a bounded queue between (after xmalloc). */
uint64_t producer_consumer(double scale) {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Slots> queue;
    bool done = false;
    uint64_t sum = 0;
    std::thread consumer([&] {
        for (;;) {
            std::unique_lock<std::mutex> lock(mutex);
            changed.wait(lock, [&] { return done || !queue.empty(); });
            if (queue.empty())
                return;
            Slots batch = std::move(queue.back());
            queue.pop_back();
            lock.unlock();
            changed.notify_all();
            drop(batch);
        }
    });
    Random random(60);
    for (size_t i = 0; i < times(scale, 15000); i++) {
        Slots batch(120);
        for (char *&slot : batch) {
            size_t size = random.spread(16, 5);
            slot = take(size);
            sum += size;
        }
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return queue.size() < 64; });
        queue.push_back(std::move(batch));
        lock.unlock();
        changed.notify_all();
    }
    {
        std::lock_guard<std::mutex> lock(mutex);
        done = true;
    }
    changed.notify_all();
    consumer.join();
    return sum;
}

/* Each thread writes again and again to a block of its own; passively false shared if `handed`. */
uint64_t cache_lines(double scale, bool handed) {
    std::vector<char *> first(THREADS);
    for (char *&block : first)
        block = take(8);
    std::atomic<uint64_t> sum{0};
    in_threads(THREADS, [&](unsigned thread) {
        char *block = first[thread];
        if (!handed)
            block = take(8);
        for (size_t i = 0; i < times(scale, 60000); i++) {
            volatile char *bytes = block;
            for (int k = 0; k < 1000; k++)
                bytes[k % 8] = static_cast<char>(bytes[k % 8] + 1);
            free(block);
            block = take(8);
            sum.fetch_add(1, std::memory_order_relaxed);
        }
        free(block);
        if (!handed)
            free(first[thread]);
    });
    return sum;
}

uint64_t cache_scratch(double scale) { return cache_lines(scale, true); }
uint64_t cache_thrash(double scale) { return cache_lines(scale, false); }

/* Each thread for itself. */
uint64_t local(double scale) {
    std::atomic<uint64_t> sum{0};
    in_threads(THREADS, [&](unsigned thread) {
        Random random(70 + thread);
        Slots slots(5000);
        sum += exchange(slots, times(scale, 6000000), random,
                        [](Random &r) { return r.spread(16, 6); });
        drop(slots);
    });
    return sum;
}

/* ---- for the plots: not compared --------------------------------------------------------------
 */

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wall_seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

size_t resident_bytes() {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != nullptr) {
        if (fscanf(file, "%*d %ld", &pages) != 1)
            pages = 0;
        fclose(file);
    }
    return static_cast<size_t>(pages) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

/* Lines of heap bytes and nanoseconds an operation. */
uint64_t heap_sizes(double scale) {
    for (size_t bytes = 1 << 20; bytes <= times(scale, size_t{1} << 30); bytes *= 2) {
        Random random(80);
        Slots slots(bytes / 264);
        auto draw = [](Random &r) { return r.between(16, 512); };
        for (char *&slot : slots)
            slot = take(draw(random));
        double before = cpu_seconds();
        exchange(slots, 1000000, random, draw);
        printf("%zu %.2f\n", bytes, (cpu_seconds() - before) * 1e3);
        drop(slots);
    }
    return 0;
}

/* Lines of threads and millions of operations a second. */
uint64_t scaling(double scale) {
    unsigned most = std::max(2u, std::thread::hardware_concurrency());
    for (unsigned threads = 1; threads <= most; threads *= 2) {
        size_t steps = times(scale, 3000000);
        double before = wall_seconds();
        in_threads(threads, [&](unsigned thread) {
            Random random(90 + thread);
            Slots slots(2000);
            exchange(slots, steps, random, [](Random &r) { return r.between(16, 512); });
            drop(slots);
        });
        printf("%u %.2f\n", threads,
               static_cast<double>(steps * threads) / (wall_seconds() - before) / 1e6);
    }
    return 0;
}

/* Lines of seconds, resident and live MiB: bursts of 64 MiB, then little for a while. */
uint64_t burst_and_idle(double scale) {
    double start = wall_seconds();
    Random random(100);
    size_t live = 0;
    auto report = [&] {
        printf("%.3f %.2f %.2f\n", wall_seconds() - start,
               static_cast<double>(resident_bytes()) / (1 << 20),
               static_cast<double>(live) / (1 << 20));
    };
    for (int burst = 0; burst < 3; burst++) {
        std::vector<std::pair<char *, size_t>> blocks;
        while (live < times(std::min(scale, 1.0), 64 << 20)) {
            size_t size = random.spread(16, 9);
            blocks.emplace_back(take_and_fill(size), size);
            live += size;
            if (blocks.size() % 4000 == 0)
                report();
        }
        for (size_t i = blocks.size(); i > 1; i--)
            std::swap(blocks[i - 1], blocks[random.below(i)]);
        for (size_t i = 0; i < blocks.size(); i++) {
            free(blocks[i].first);
            live -= blocks[i].second;
            if (i % 4000 == 0)
                report();
        }
        for (int idle = 0; idle < 10; idle++) {
            usleep(20000);
            free(take(100));
            report();
        }
    }
    return 0;
}

enum Kind { SINGLE, MULTI, PLOT };

const struct {
    const char *name;
    Kind kind;
    uint64_t (*run)(double scale);
} WORKLOADS[] = {
    {"churn", SINGLE, churn},
    {"lifetimes", SINGLE, lifetimes},
    {"batches", SINGLE, batches},
    {"runs", SINGLE, runs},
    {"requests", SINGLE, requests},
    {"growth", SINGLE, growth},
    {"doubling", SINGLE, doubling},
    {"append", SINGLE, append},
    {"large", SINGLE, large},
    {"huge", SINGLE, huge},
    {"phases", SINGLE, phases},
    {"containers", SINGLE, containers},
    {"larson", MULTI, larson},
    {"stress", MULTI, stress},
    {"producer_consumer", MULTI, producer_consumer},
    {"cache_scratch", MULTI, cache_scratch},
    {"cache_thrash", MULTI, cache_thrash},
    {"local", MULTI, local},
    {"heap_sizes", PLOT, heap_sizes},
    {"scaling", PLOT, scaling},
    {"burst_and_idle", PLOT, burst_and_idle},
};

} // namespace

int main(int argc, char **argv) {
    std::string name = argc > 1 ? argv[1] : "";
    const char *const kinds[] = {"single", "multi", "plot"};
    char *end = nullptr;
    double scale = argc > 2 ? strtod(argv[2], &end) : 1;
    if (argc > 3 || (argc > 2 && (*end != '\0' || !(scale > 0)))) {
        fprintf(stderr, "usage: workloads --list | NAME [SCALE]\n");
        return 2;
    }
    for (const auto &workload : WORKLOADS) {
        if (name == "--list") {
            printf("%s %s\n", workload.name, kinds[workload.kind]);
        } else if (name == workload.name) {
            uint64_t result = workload.run(scale);
            if (workload.kind != PLOT)
                printf("%llu\n", static_cast<unsigned long long>(result));
            return 0;
        }
    }
    if (name == "--list")
        return 0;
    fprintf(stderr, "workloads: no workload '%s'; --list names them\n", name.c_str());
    return 2;
}
