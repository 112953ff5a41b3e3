/*
 * sequential.cc - what one thread does to a heap of plain blocks.
 *
 * Sources of the patterns: random lifetimes as in alloc-test (node-dcpp project), batches as in
 * MicroQuill's SmartHeap tests sh6bench and sh8bench, the server as in the studies of regions for
 * web requests (Berger, Zorn, McKinley, "Reconsidering custom memory allocation", 2002).
 */
#include "benchmark/suite/workload.h"

namespace suite {

/* Random lifetimes, sizes of any order of magnitude, a few large ones. */
void random_lifetimes(client &me, const setting &work) {
    mapped<block> slots(50000);
    me.exchange(slots.begin(), slots.size(), work.times(5000000), [](random_source &random) {
        return random.one_in(256) ? random.spread(1 * KIB, 6) : random.spread(8, 7);
    });
    me.drop(slots.begin(), slots.end());
}

/*
 * Batches of blocks of one size. Two thirds of a batch die at once, the newest first or the oldest
 * first in turns; the others when five more batches have come.
 */
void equal_batches(client &me, const setting &work) {
    constexpr std::size_t SIZES[] = {16, 24, 40, 64, 100, 160, 256, 400, 640, 1000};
    constexpr std::size_t KEPT = 6, MOST = 4000;
    mapped<block> slots(KEPT * MOST);
    for (std::size_t turn = 0; turn < work.times(4000); turn++) {
        std::size_t size = SIZES[me.random.below(std::size(SIZES))];
        std::size_t count = std::min(MOST, 160 * KIB / size);
        block *batch = &slots[turn % KEPT * MOST];
        me.drop(batch, batch + MOST);
        for (std::size_t i = 0; i < count; i++)
            me.make(batch[i], size);
        for (std::size_t i = 0; i < count; i++) {
            std::size_t index = turn % 2 == 0 ? count - 1 - i : i;
            if (index % 3 != 0)
                me.drop(batch[index]);
        }
    }
    me.drop(slots.begin(), slots.end());
}

/* Runs of random length of a random size on a stack; most of the run, or more, is popped again. */
void mixed_batches(client &me, const setting &work) {
    mapped<block> stack(100000);
    std::size_t height = 0;
    for (std::size_t turn = 0; turn < work.times(40000); turn++) {
        std::size_t size = me.random.spread(8, 8), count = me.random.between(1, 400);
        count = std::min(count, stack.size() - height);
        for (std::size_t i = 0; i < count; i++)
            me.make(stack[height++], size);
        std::size_t popped = me.random.one_in(100) ? height / 2 : count * 9 / 10;
        for (std::size_t i = 0; i < popped; i++)
            me.drop(stack[--height]);
    }
    me.drop(stack.begin(), stack.end());
}

/*
 * Requests to a server: each makes a few hundred small objects and an answer that grows, and drops
 * them when it is done; one object in forty stays with a session, which ends at a random time.
 */
void serve(client &me, const setting &work) {
    constexpr std::size_t MOST = 300;
    mapped<block> sessions(20000), objects(MOST);
    for (std::size_t request = 0; request < work.times(60000); request++) {
        std::size_t count = me.random.between(20, MOST);
        block answer = {};
        for (std::size_t i = 0; i < count; i++) {
            me.make(objects[i], me.random.one_in(50) ? me.random.between(1 * KIB, 16 * KIB)
                                                     : me.random.spread(16, 5));
            if (i % 16 == 0)
                me.resize(answer, (answer.bytes == nullptr ? 0 : answer.size) + 500);
        }
        for (std::size_t i = 0; i < count; i++) {
            if (!me.random.one_in(40)) {
                me.drop(objects[i]);
                continue;
            }
            block &session = sessions[me.random.below(sessions.size())];
            me.drop(session);
            std::swap(session, objects[i]);
        }
        me.drop(answer);
    }
    me.drop(sessions.begin(), sessions.end());
}

namespace {

/* What is done by one client, who then says what was live. */
template <void (*Work)(client &, const setting &)> std::size_t alone(const setting &work) {
    client me(1);
    Work(me, work);
    return me.live_peak();
}

void churn(client &me, const setting &work) {
    mapped<block> slots(100000);
    auto size_of = [](random_source &random) { return random.between(16, 4 * KIB); };
    for (block &place : slots)
        me.make(place, size_of(me.random));
    me.exchange(slots.begin(), slots.size(), work.times(2000000), size_of);
    me.drop(slots.begin(), slots.end());
}

/*
 * Phases with sizes of their own. Each frees all but one in eight of the blocks, chosen at random,
 * then fills up to 64 MiB: the survivors lie scattered between the holes that have to be reused.
 */
void shifting_phases(client &me, const setting &work) {
    constexpr std::size_t LIVE = 64 * MIB;
    constexpr struct {
        std::size_t low, high;
    } SIZES[] = {{16, 64},  {512, 1024}, {32, 128},          {4 * KIB, 16 * KIB}, {64, 256},
                 {24, 512}, {16, 32},    {1 * KIB, 4 * KIB}, {128, 384}};
    mapped<block> slots(LIVE / 16);
    std::size_t filled = 0; /* slots below are full, those above empty */
    for (std::size_t phase = 0; phase < std::max<std::size_t>(4, work.times(std::size(SIZES)));
         phase++) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < filled; i++) {
            if (me.random.one_in(8))
                std::swap(slots[kept++], slots[i]);
            else
                me.drop(slots[i]);
        }
        const auto &sizes = SIZES[phase % std::size(SIZES)];
        for (filled = kept; me.live() < LIVE && filled < slots.size(); filled++)
            me.make(slots[filled], me.random.between(sizes.low, sizes.high));
    }
    me.drop(slots.begin(), slots.begin() + filled);
}

/* A result that grows, as a compiler's, amid three times as many blocks that soon go. */
void growth(client &me, const setting &work) {
    constexpr std::size_t TEMPORARIES = 48;
    mapped<block> staying(work.times(700000)), ring(TEMPORARIES);
    std::size_t turn = 0;
    for (block &place : staying) {
        me.make(place, me.random.between(16, 256));
        for (int i = 0; i < 3; i++)
            me.replace(ring[turn++ % TEMPORARIES], me.random.between(16, 2 * KIB));
    }
    me.drop(ring.begin(), ring.end());
    me.drop(staying.begin(), staying.end());
}

/* Buffers that grow in turns, one alone or eight side by side, by `next(size)`, from 16 bytes. */
template <typename Next>
void grow_buffers(client &me, std::size_t rounds, std::size_t last, Next next) {
    block buffers[8] = {};
    for (std::size_t round = 0; round < rounds; round++) {
        std::size_t count = round % 2 == 0 ? 1 : std::size(buffers);
        for (std::size_t size = 16; size <= last; size = next(size)) {
            for (std::size_t i = 0; i < count; i++)
                me.resize(buffers[i], size);
        }
        me.drop(buffers, buffers + count);
    }
}

void realloc_double(client &me, const setting &work) {
    grow_buffers(me, work.times(600), 1 * MIB, [](std::size_t size) { return 2 * size; });
}

void realloc_append(client &me, const setting &work) {
    grow_buffers(me, work.times(400), 256 * KIB, [](std::size_t size) { return size + 32; });
}

void large_blocks(client &me, const setting &work) {
    mapped<block> slots(20);
    me.exchange(slots.begin(), slots.size(), work.times(3000),
                [](random_source &random) { return random.between(100 * KIB, 8 * MIB); });
    me.drop(slots.begin(), slots.end());
}

void huge_blocks(client &me, const setting &work) {
    mapped<block> slots(4);
    me.exchange(slots.begin(), slots.size(), work.times(600),
                [](random_source &random) { return random.between(5 * MIB, 25 * MIB); });
    me.drop(slots.begin(), slots.end());
}

} // namespace

void append_sequential(std::vector<workload> &all) {
    const workload ours[] = {
        {"churn", "single", "100,000 live blocks of 16-4096 bytes, random lifetimes", alone<churn>},
        {"random_lifetimes", "single", "50,000 live blocks of 8 bytes to 64 KiB, small ones often",
         alone<random_lifetimes>},
        {"equal_batches", "single", "batches of equal blocks, a third of each outlives it",
         alone<equal_batches>},
        {"mixed_batches", "single", "a stack of runs of equal blocks, 8 bytes to 2 KiB",
         alone<mixed_batches>},
        {"server", "single", "requests that drop what they made, but for a few survivors",
         alone<serve>},
        {"shifting_phases", "single", "sizes shift from phase to phase, some blocks survive each",
         alone<shifting_phases>},
        {"growth", "single", "a heap that grows, amid three times as many temporaries",
         alone<growth>},
        {"realloc_double", "single", "buffers that double up to 1 MiB, alone and eight in turns",
         alone<realloc_double>},
        {"realloc_append", "single", "buffers that grow by 32 bytes up to 256 KiB, likewise",
         alone<realloc_append>},
        {"large_blocks", "single", "20 live blocks of 100 KiB to 8 MiB, replaced at random",
         alone<large_blocks>},
        {"huge_blocks", "single", "four live blocks of 5-25 MiB, replaced at random",
         alone<huge_blocks>},
    };
    all.insert(all.end(), std::begin(ours), std::end(ours));
}

} // namespace suite
