/*
 * Threads that allocate, exchange blocks through queues and end, with others in their place; each
 * block carries a pattern that is checked before it is freed, by whichever thread frees it. The
 * output does not depend on the order of events. Argument: rounds.
 */
#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr size_t THREADS = 6;
constexpr size_t STEPS = 30000;

struct block {
    uint32_t size;
    uint32_t pattern;
    unsigned char bytes[];
};

[[noreturn]] void fail(const char *what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

uint64_t next(uint64_t &state) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return state >> 33;
}

block *block_new(uint64_t &state) {
    uint64_t kind = next(state) % 1000;
    uint64_t limit = kind == 0 ? 1000000 : kind < 10 ? 50000 : kind < 100 ? 2000 : 200;
    auto size = static_cast<uint32_t>(next(state) % limit);
    auto *made = static_cast<block *>(std::malloc(sizeof(block) + size));
    made->size = size;
    made->pattern = static_cast<uint32_t>(next(state));
    std::memset(made->bytes, static_cast<unsigned char>(made->pattern), size);
    return made;
}

void block_check(const block *ptr) {
    auto expected = static_cast<unsigned char>(ptr->pattern);
    for (size_t i = 0; i < ptr->size; i += 1 + ptr->size / 64) {
        if (ptr->bytes[i] != expected)
            fail("a block was overwritten");
    }
    if (ptr->size != 0 && ptr->bytes[ptr->size - 1] != expected)
        fail("a block was overwritten at its end");
}

class mailbox {
  public:
    void put(block *item) {
        std::lock_guard<std::mutex> lock(mutex);
        items.push_back(item);
    }
    block *take() {
        std::lock_guard<std::mutex> lock(mutex);
        if (items.empty())
            return nullptr;
        block *item = items.front();
        items.pop_front();
        return item;
    }

  private:
    std::mutex mutex;
    std::deque<block *> items;
};

mailbox boxes[THREADS];

/* Sum of the patterns that this thread has given to blocks. */
uint64_t work(size_t index, uint64_t seed) {
    uint64_t state = seed * 977 + index;
    uint64_t sum = 0;
    std::vector<block *> kept(500);
    std::map<uint64_t, std::string> map;
    for (size_t step = 0; step < STEPS; step++) {
        block *made = block_new(state);
        sum += made->pattern;
        size_t slot = next(state) % kept.size();
        if (step % 3 == 0) {
            boxes[next(state) % THREADS].put(made);
        } else {
            std::swap(made, kept[slot]);
            if (made != nullptr) {
                block_check(made);
                std::free(made);
            }
        }
        if (step % 5 == 0 && kept[slot] != nullptr) {
            uint32_t size = kept[slot]->size / 2;
            auto *resized = static_cast<block *>(std::realloc(kept[slot], sizeof(block) + size));
            resized->size = size;
            kept[slot] = resized;
        }
        if (block *received = boxes[index].take()) {
            block_check(received);
            std::free(received);
        }
        map[next(state) % 300] = std::string(next(state) % 100, 'm');
    }
    for (block *ptr : kept) {
        if (ptr != nullptr)
            block_check(ptr);
        std::free(ptr);
    }
    return sum;
}

} // namespace

int main(int argc, char **argv) {
    int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
    for (int round = 0; round < rounds; round++) {
        std::vector<uint64_t> sums(THREADS);
        std::vector<std::thread> threads;
        for (size_t index = 0; index < THREADS; index++)
            threads.emplace_back(
                [&sums, index, round] { sums[index] = work(index, static_cast<uint64_t>(round)); });
        for (std::thread &thread : threads)
            thread.join();
        for (size_t index = 0; index < THREADS; index++)
            std::printf("%d %zu %016llx\n", round, index,
                        static_cast<unsigned long long>(sums[index]));
    }
    for (mailbox &box : boxes) {
        while (block *rest = box.take()) {
            block_check(rest);
            std::free(rest);
        }
    }
    /* Many threads that live briefly. */
    for (int i = 0; i < 50 * rounds; i++)
        std::thread([] { std::make_unique<std::string>(1000, 'x'); }).join();
    std::puts("done");
}
