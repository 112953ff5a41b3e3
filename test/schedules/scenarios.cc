#include "test/schedules/scenarios.h"

#include "test/core/internal.h"
#include "test/schedules/machine.h"

#include <string>

namespace osmem::schedules {
namespace {

/* ---- what threads have in common ---------------------------------------------------------------
 */

constexpr size_t SIZE = 48;
constexpr size_t MOST = 8;

/* Of the scenario that runs: the owner's heap, and blocks that other threads hold. */
struct heap *owner;
void *blocks[MOST];

void require(bool condition, const char *text) {
    if (!condition)
        fail(text);
}

/* A block of the calling thread's that stays. */
void *keep(size_t size) {
    void *block = os_malloc(size);
    require(block != nullptr, "no memory");
    return block;
}

/* Whether it is, or lies in, a free block. */
bool is_free(const void *block) {
    struct tag_line *lines = region_of(block)->lines;
    size_t granule = region_granule(block);
    return tags_is_free(lines, tags_is_start(lines, granule) ? granule : tags_left(lines, granule));
}

/* Thread 0 has a heap, with a block of SIZE bytes in each of `count` lines `distance` apart. */
void set_up_blocks(size_t count, size_t distance) {
    as_thread(0, [=] {
        os_free(os_malloc(1));
        owner = thread_heap;
        for (void *&block : blocks)
            block = nullptr;
        for (size_t i = 0; i < count; i++) {
            blocks[i] = keep(SIZE);
            if (distance != 0 && i + 1 < count)
                keep(distance * LINE_BYTES - SIZE);
        }
        keep(SIZE);
    });
    /* Somebody has freed another's block before. */
    void *first = nullptr;
    as_thread(0, [&] { first = keep(SIZE); });
    as_thread(1, [&] { os_free(first); });
    as_thread(0, [] { thread_take_in(thread_heap); });
}

std::function<void()> setup_of(size_t count, size_t distance) {
    return [=] { set_up_blocks(count, distance); };
}

/* Uses a block for the last time, and frees it as another thread than its owner. */
void use_and_mark(void *block) {
    touch(block, SIZE);
    require(thread_free_remote(block), "a free was taken for the second of its block");
}

std::function<void()> marks(size_t index) {
    return [=] { use_and_mark(blocks[index]); };
}

/* The same by the public call. */
std::function<void()> frees(size_t index) {
    return [=] {
        touch(blocks[index], SIZE);
        os_free(blocks[index]);
    };
}

/* The owner takes in, and what it got is its own again. */
void take_in_and_use() {
    thread_take_in(thread_heap);
    for (void *block : blocks) {
        if (block != nullptr && is_free(block))
            touch(block, SIZE);
    }
}

/* All of `count` blocks have come back, once what lies in lists is taken in. */
std::function<void()> all_come_back(size_t count) {
    return [=] {
        as_thread(0, [=] {
            thread_take_in(owner);
            for (size_t i = 0; i < count; i++)
                require(is_free(blocks[i]), "a free was lost");
            require(check_heap(owner) == 0, "the heap is broken");
        });
    };
}

/* ---- frees by other threads ----------------------------------------------------------------- */

Scenario remote(const char *name, size_t distance) {
    return {name,
            setup_of(3, distance),
            {take_in_and_use, marks(0), marks(1), marks(2)},
            all_come_back(3)};
}

/* Two regions: the third block lies in another one than the first two. */
void set_up_two_regions() {
    set_up_blocks(2, 0);
    as_thread(0, [] {
        while (region_of(blocks[2] = keep(100000)) == region_of(blocks[0])) {
        }
        keep(SIZE);
    });
}

/* The first block is freed by two threads: one of them, or the owner, must notice. */
Scenario double_free() {
    return {"two threads free a block",
            setup_of(2, 0),
            {
                [] {
                    expect_deaths();
                    thread_take_in(thread_heap);
                },
                frees(0),
                [] { os_free(blocks[0]); },
            },
            [] {
                if (deaths() != 0)
                    return;
                expect_deaths();
                as_thread(0, [] {
                    thread_take_in(owner);
                    fail("a double free was not noticed");
                });
            }};
}

/* ---- parking and adoption ---------------------------------------------------------------------
 */

/* Thread 1 has a heap too, and something in it. */
void set_up_adopter() {
    as_thread(1, [] { keep(SIZE); });
}

/* A request that no heap fulfils without growing, which is when it looks for parked ones. */
void grow() { require(thread_allocate(REGION_CAPACITY, 1) != nullptr, "no memory"); }

/* All of `count` blocks have come back, once the adopter has grown twice. */
std::function<void()> adopter_has_all(size_t count, int adopter) {
    return [=] {
        as_thread(adopter, [=] {
            grow();
            grow();
            thread_take_in(thread_heap);
            require(region_owner(blocks[0]) == thread_heap, "a heap was not adopted");
            for (size_t i = 0; i < count; i++)
                require(is_free(blocks[i]), "a free was lost");
            require(check_heap(thread_heap) == 0, "the heap is broken");
        });
    };
}

/* ---- regions and their owners ------------------------------------------------------------------
 */

/* The break is where someone else put it: what is beyond must not be trusted to be zero. */
void move_break() { break_move(4096); }

/* ---- fork -------------------------------------------------------------------------------------
 */

/*
 * The child has every free that was begun, and can do more of them: as the thread that it has, and
 * as one that it starts.
 */
void fork_and_go_on(size_t count, size_t others) {
    fork_here();
    bool marked[MOST];
    for (size_t i = 0; i < count; i++)
        marked[i] = thread_freed_remotely(blocks[i]);
    for (size_t i = count; i < count + others; i++)
        require(thread_free_remote(blocks[i]), "a free was taken for the second of its block");
    thread_take_in(thread_heap);
    for (size_t i = 0; i < count; i++)
        require(!marked[i] || is_free(blocks[i]), "the child lost a free");
    for (size_t i = count; i < count + others; i++)
        require(is_free(blocks[i]), "the child lost a free of its own");
    require(check_heap(thread_heap) == 0, "the child's heap is broken");
}

Scenario fork_amid(const char *name, size_t distance) {
    return {name,
            setup_of(5, distance),
            {[] { fork_and_go_on(3, 2); }, marks(0), marks(1), marks(2)},
            [] {}};
}

/* ---- tags that others look at ------------------------------------------------------------------
 */

/* Blocks of which a page of small blocks holds a whole number. */
constexpr size_t PAGE_SIZE = 64;
constexpr size_t PAGE_BLOCKS = SLAB_GRANULES / (PAGE_SIZE / GRANULE_BYTES);

/* Of two pages side by side: the last block of the first one, and all of the second one. */
char *last_before;
char *page;

/* Thread 0 has a heap with such pages, the second of which is vacant. */
void set_up_pages() {
    as_thread(0, [] {
        while (thread_heap == &thread_no_heap || heap_is_small(thread_heap))
            keep(100000);
        owner = thread_heap;
        char *lowest = nullptr;
        for (size_t i = 0; i < 8 * PAGE_BLOCKS; i++) {
            char *block = static_cast<char *>(keep(PAGE_SIZE));
            if (region_is_slab(region_of(block), region_granule(block)) &&
                (lowest == nullptr || block < lowest))
                lowest = block;
        }
        page = lowest + granules_bytes(SLAB_GRANULES);
        last_before = page - PAGE_SIZE;
        for (size_t i = 0; i < PAGE_BLOCKS; i++)
            os_free(page + i * PAGE_SIZE);
        waiting_flush(owner);
    });
}

void dissolve() { require(slab_dissolve_vacant(owner), "no page is vacant"); }

/* As another thread, of a block that ends where the page begins. */
void measure() {
    require(os_malloc_usable_size(last_before) == PAGE_SIZE, "a block has another size");
}

/* ---- who looks at all heaps -------------------------------------------------------------------
 */

/* Visits every block of the first heap, and every region once more. */
void count_heap() {
    os_stats stats;
    require(os_heap_stats(0, &stats) == 0, "there is no heap");
}

/* Goes through all heaps, and finds none of this number. */
void look_for_heap() {
    os_stats stats;
    require(os_heap_stats(MOST, &stats) != 0, "there are more heaps than threads");
}

/* ---- the lock ---------------------------------------------------------------------------------
 */

uint64_t counted;

void count() {
    system_lock(&region_lock);
    touch(&counted, sizeof counted);
    system_unlock(&region_lock);
}

void count_twice() {
    count();
    count();
}

void fork_and_count() {
    fork_here();
    count();
}

Scenario with_real_lock(const char *name, const std::vector<std::function<void()>> &threads) {
    return {name, [] { set_up_blocks(1, 0); }, threads, [] {}, true};
}

/* ---- all of them ------------------------------------------------------------------------------
 */

std::vector<Scenario> make_scenarios() {
    std::vector<Scenario> all;
    all.push_back(remote("three frees in a line", 0));
    all.push_back(remote("three frees in lines side by side", 1));
    all.push_back(remote("three frees far apart", 64 * 2));
    all.push_back({"three frees in two regions",
                   set_up_two_regions,
                   {take_in_and_use, marks(0), marks(1), marks(2)},
                   all_come_back(3)});
    all.push_back(double_free());
    all.push_back({"three frees while their heap is adopted",
                   [] {
                       set_up_blocks(3, 0);
                       set_up_adopter();
                       as_thread(0, end_thread);
                   },
                   {[] {}, grow, marks(0), marks(1), marks(2)},
                   adopter_has_all(3, 1)});
    all.push_back({"frees while their thread ends and its heap is adopted",
                   [] {
                       set_up_blocks(2, 0);
                       set_up_adopter();
                   },
                   {end_thread, grow, marks(0), marks(1)},
                   adopter_has_all(2, 1)});
    all.push_back({"a free while its heap is adopted, and so is the adopter",
                   [] {
                       set_up_blocks(1, 0);
                       for (int thread : {1, 2, 3})
                           as_thread(thread, [] { keep(SIZE); });
                       as_thread(0, end_thread);
                   },
                   {marks(0),
                    [] {
                        grow();
                        end_thread();
                    },
                    grow, [] {}},
                   [] {
                       as_thread(3, grow);
                       for (int thread : {2, 3})
                           as_thread(thread, [] { thread_take_in(thread_heap); });
                       require(is_free(blocks[0]), "a free was lost");
                   }});
    all.push_back({"a free while a heap is born that adopts",
                   [] {
                       set_up_blocks(1, 0);
                       move_break();
                   },
                   {end_thread,
                    [] {
                        keep(SIZE);
                        grow();
                    },
                    marks(0)},
                   [] {}});
    all.push_back(fork_amid("fork amid three frees in a line", 0));
    all.push_back(fork_amid("fork amid three frees in lines side by side", 1));
    all.push_back({"the size of a block beside a page that is dissolved",
                   set_up_pages,
                   {dissolve, measure, measure},
                   [] {}});
    all.push_back({"counting the blocks of a heap that grows",
                   [] { set_up_blocks(1, 0); },
                   {grow, count_heap},
                   [] {}});
    all.push_back(
        {"two threads are the first", [] {}, {[] { keep(SIZE); }, [] { keep(SIZE); }}, [] {}});
    all.push_back({"a look for a heap while one is born",
                   [] { set_up_blocks(1, 0); },
                   {[] {}, [] { keep(SIZE); }, look_for_heap},
                   [] {}});
    all.push_back(with_real_lock("two threads and the lock", {count_twice, count}));
    all.push_back(with_real_lock("fork amid a locked section", {fork_and_count, count}));
    return all;
}

/* Two frees in different lines, one after the other. */
std::function<void()> marks_two(size_t first, size_t second) {
    return [=] {
        use_and_mark(blocks[first]);
        use_and_mark(blocks[second]);
    };
}

std::vector<Scenario> make_long_scenarios() {
    std::vector<Scenario> all;
    all.push_back({"four frees in lines side by side",
                   setup_of(4, 1),
                   {take_in_and_use, marks(0), marks(1), marks(2), marks(3)},
                   all_come_back(4)});
    all.push_back({"three frees by the public call",
                   setup_of(3, 0),
                   {take_in_and_use, frees(0), frees(1), frees(2)},
                   all_come_back(3)});
    all.push_back({"three threads free two blocks each",
                   setup_of(6, 1),
                   {take_in_and_use, marks_two(0, 1), marks_two(2, 3), marks_two(4, 5)},
                   all_come_back(6)});
    all.push_back({"three frees while their thread ends and its heap is adopted",
                   [] {
                       set_up_blocks(3, 0);
                       set_up_adopter();
                   },
                   {end_thread, grow, marks(0), marks(1), marks(2)},
                   adopter_has_all(3, 1)});
    all.push_back({"three frees in lines side by side while their heap is adopted",
                   [] {
                       set_up_blocks(3, 1);
                       set_up_adopter();
                       as_thread(0, end_thread);
                   },
                   {[] {}, grow, marks(0), marks(1), marks(2)},
                   adopter_has_all(3, 1)});
    all.push_back(with_real_lock("three threads and the lock", {count, count, count}));
    return all;
}

} // namespace

const std::vector<Scenario> &scenarios() {
    static const std::vector<Scenario> all = make_scenarios();
    return all;
}

const std::vector<Scenario> &long_scenarios() {
    static const std::vector<Scenario> all = make_long_scenarios();
    return all;
}

} // namespace osmem::schedules
