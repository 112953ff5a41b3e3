/*
 * explore.cc - every state that a small heap can reach, by breadth-first search, until no new state
 * appears.
 *
 * The core is that of osmem/, with other constants (tiny.sh). Its heap has one region; all of that
 * but a *hole* is taken by blocks that stay, and the kernel gives nothing more. In the hole every
 * operation is tried in every state: malloc of each size, free of each block, realloc of each block
 * to each size, trim.
 *
 * A state is the memory of the region before its first block: header, tags, heap, index. Nothing
 * else that the core's behaviour depends on changes, for what it keeps outside concerns growth. It
 * is stored as what differs from the first state, and known by a hash of 128 bits. Before, scrub()
 * brings memory to one form that says the same to the core in many: what stands in slots that are
 * empty, lengths that no block has any more, where in memory a chunk lies, counters that only
 * purging looks at, which a heap of this size is far below. A state that scrub() leaves in two
 * forms is only counted twice.
 *
 * After every step:
 *   the invariants hold (check_heap);
 *   the tags have the blocks of the model, which is a list of what was asked for, and no other;
 *   contents of all blocks are kept, and moved by realloc;
 *   placement is what a search by brute force over all free blocks says (expect_place).
 */
#include "test/explore/options.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

/* ---- the kernel: one region by the break, then nothing --------------------------------------- */

namespace {

alignas(1 << OSMEM_REGION_SHIFT) char arena[REGION_BYTES];
char *arena_break = arena;
bool granting = true;

/* What check_heap maps for its duration. */
alignas(4096) char marks[1 << 16];
bool checking;

} // namespace

extern "C" {
void *__wrap_sbrk(intptr_t increment);
void *__wrap_mmap(void *ptr, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *ptr, size_t size);
void *__wrap_mremap(void *ptr, size_t old_size, size_t size, int flags, ...);
int __wrap_madvise(void *ptr, size_t size, int advice);
void *__real_mmap(void *ptr, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *ptr, size_t size);
}

void *__wrap_sbrk(intptr_t increment) {
    if (increment != 0 && (!granting || increment > arena + sizeof arena - arena_break))
        return reinterpret_cast<void *>(-1);
    char *old = arena_break;
    arena_break += increment;
    return old;
}

void *__wrap_mmap(void *, size_t size, int, int, int, off_t) {
    if (!checking || size > sizeof marks)
        return MAP_FAILED;
    memset(marks, 0, size);
    return marks;
}

int __wrap_munmap(void *, size_t) { return 0; }
void *__wrap_mremap(void *, size_t, size_t, int, ...) { return MAP_FAILED; }
int __wrap_madvise(void *, size_t, int) { return 0; }

namespace osmem {
namespace {

/* ---- the model ---------------------------------------------------------------------------------
 */

/* In granules; of the region. */
struct Span {
    uint16_t start, size;
    size_t end() const { return size_t{start} + size; }
    bool operator==(const Span &other) const { return start == other.start && size == other.size; }
};
using Spans = std::vector<Span>;

struct Operation {
    enum Kind : uint8_t { MALLOC, FREE, REALLOC, TRIM } kind;
    uint8_t block; /* which of the live ones, in order of address */
    uint8_t units;
};

region *the_region;
size_t hole_start, hole_end; /* granules */

void *address(size_t granule) { return region_block(the_region, granule); }
size_t granule_of(const void *ptr) { return region_granule(ptr); }

/* The blocks of the hole as the tags tell, granule by granule, and the untouched end if it is
 * there. */
struct Layout {
    Spans used, free;
    size_t top; /* where the untouched end begins, or the hole ends */
};

Layout layout() {
    Layout now{{}, {}, std::min<size_t>(the_region->top, hole_end)};
    for (size_t granule = hole_start; granule < now.top;) {
        const tag_line &line = the_region->lines[granule / 64];
        bool is_free = line.free >> granule % 64 & 1;
        size_t end = granule + 1;
        while (end < now.top && !(the_region->lines[end / 64].starts >> end % 64 & 1))
            end++;
        (is_free ? now.free : now.used)
            .push_back({static_cast<uint16_t>(granule), static_cast<uint16_t>(end - granule)});
        granule = end;
    }
    return now;
}

bool is_page(size_t granule) { return region_is_slab(the_region, granule); }

/* Whether blocks on either side of an edge may become one: not on a page of small blocks in use. */
bool may_join(const Layout &before, size_t edge) {
    auto is_barred = [&](size_t granule) {
        size_t page = granule / SLAB_GRANULES;
        return is_page(granule) &&
               std::any_of(before.used.begin(), before.used.end(),
                           [&](Span used) { return used.start / SLAB_GRANULES == page; });
    };
    return !is_barred(edge - 1) && !is_barred(edge);
}

/* The free blocks when all that can be merged is; what touches the untouched end becomes its. */
Layout merged(const Layout &before) {
    Layout after{before.used, {}, before.top};
    for (Span block : before.free) {
        if (!after.free.empty() && after.free.back().end() == block.start &&
            may_join(before, block.start))
            after.free.back().size = static_cast<uint16_t>(after.free.back().size + block.size);
        else
            after.free.push_back(block);
    }
    if (BEHIND == 0 && !after.free.empty() && after.free.back().end() == after.top) {
        after.top = after.free.back().start;
        after.free.pop_back();
    }
    return after;
}

/* The size of the smallest free block that holds the request; 0: none does. */
size_t best_size(const Spans &free, size_t granules) {
    size_t best = 0;
    for (Span block : free)
        if (block.size >= granules && (best == 0 || block.size < best))
            best = block.size;
    return best;
}

bool starts_at(const Spans &free, size_t granule, size_t size) {
    return std::any_of(free.begin(), free.end(),
                       [&](Span block) { return block.start == granule && block.size == size; });
}

bool holds(const Spans &spans, size_t start, size_t size) {
    return std::any_of(spans.begin(), spans.end(), [&](Span span) {
        return span.start <= start && start + size <= span.end();
    });
}

/* What is wrong with where a new block of `granules` was put (0: nowhere); NULL: nothing. */
const char *place_fault(const Layout &before, size_t placed, size_t granules) {
    Layout after = merged(before);
    size_t as_it_lies = best_size(before.free, granules), best = best_size(after.free, granules);
    bool fits_end = hole_end - after.top >= granules && BEHIND == 0;
    if (placed == 0)
        return as_it_lies != 0 || best != 0 || fits_end ? "refused although there is room"
                                                        : nullptr;
    if (!EXACT) {
        Spans room = after.free;
        room.push_back(
            {static_cast<uint16_t>(after.top), static_cast<uint16_t>(hole_end - after.top)});
        return holds(room, placed, granules) ? nullptr : "placed where nothing was free";
    }
    if (as_it_lies != 0)
        return starts_at(before.free, placed, as_it_lies) ? nullptr : "not the best fit";
    if (best != 0)
        return starts_at(after.free, placed, best) ? nullptr : "not the best fit of merged blocks";
    return placed == after.top ? nullptr : "not at the untouched end";
}

/* ---- contents: a word for each granule, of which some are looked at ---------------------------
 */

uint64_t &word_at(size_t granule) { return *static_cast<uint64_t *>(address(granule)); }
uint64_t expected(Span block, size_t granule) {
    return block.start * 0x9e3779b97f4a7c15u + (granule - block.start);
}
/* The first and the last granule of each unit. */
template <typename Visitor> void each_sample(Span block, size_t size, Visitor visit) {
    for (size_t granule = block.start; granule < block.start + size; granule += UNIT) {
        visit(granule);
        visit(granule + UNIT - 1);
    }
}
void fill(Span block) {
    each_sample(block, block.size,
                [&](size_t granule) { word_at(granule) = expected(block, granule); });
}
/* Whether `block` lies, as far as `size`, at `start`. */
bool is_filled(Span block, size_t start, size_t size) {
    bool kept = true;
    each_sample(block, size, [&](size_t granule) {
        kept &= word_at(granule - block.start + start) == expected(block, granule);
    });
    return kept;
}

/* ---- states ------------------------------------------------------------------------------------
 */

constexpr size_t IMAGE_WORDS = sizeof(region) / sizeof(uint64_t);
std::vector<uint64_t> first_image;

uint64_t *image() { return reinterpret_cast<uint64_t *>(the_region); }

/* Visits the words that differ from the first image. */
template <typename Visitor> void each_change(Visitor visit) {
    constexpr size_t STEP = 16;
    for (size_t base = 0; base < IMAGE_WORDS; base += STEP) {
        size_t end = std::min(base + STEP, IMAGE_WORDS);
        if (memcmp(image() + base, first_image.data() + base, (end - base) * sizeof(uint64_t)) == 0)
            continue;
        for (size_t i = base; i < end; i++)
            if (image()[i] != first_image[i])
                visit(i);
    }
}

void scrub_quick(heap *heap) {
    for (size_t index = 1; index < QUICK_SETS; index++) {
        quick &quick = heap->quick[index];
        for (size_t slot = quick.fill == 0 ? 0 : quick.fill - 1; slot < QUICK_SLOTS; slot++)
            quick.slot[slot] = 0;
    }
}

/* Chunks move to the front of the heap's memory for them, bin by bin. */
void scrub_bins(heap *heap) {
    static std::vector<bin_chunk> chunks;
    chunks.clear();
    bins &bins = heap->bins;
    char *start = reinterpret_cast<char *>(
        align_up(reinterpret_cast<uintptr_t>(heap + 1), sizeof(bin_chunk)));
    char *next = start;
    for (bin_chunk *&top : bins.top) {
        for (bin_chunk **link = &top; *link != nullptr; next += sizeof(bin_chunk)) {
            chunks.push_back(**link);
            bin_chunk &chunk = chunks.back();
            std::fill(chunk.entries + chunk.count, chunk.entries + CHUNK_ENTRIES, 0);
            *link = reinterpret_cast<bin_chunk *>(next);
            link = &chunk.below;
            if (*link == nullptr)
                break;
        }
        if (top != nullptr)
            next = start + chunks.size() * sizeof(bin_chunk);
    }
    /* Their links were changed in the copies. */
    for (size_t i = 0; i < chunks.size(); i++) {
        if (chunks[i].below != nullptr)
            chunks[i].below = reinterpret_cast<bin_chunk *>(start + (i + 1) * sizeof(bin_chunk));
    }
    memcpy(start, chunks.data(), chunks.size() * sizeof(bin_chunk));
    char *end = bins.unused_end;
    bins.unused = start + chunks.size() * sizeof(bin_chunk);
    bins.spare = nullptr;
    memset(bins.unused, 0, static_cast<size_t>(end - bins.unused));
}

/* Whether the tree keeps the node of a free block in its tags. */
bool is_in_tree(const heap *heap, size_t granule, size_t granules) {
    return granules >= LARGE_MIN && heap->run != address(granule) &&
           heap->chunk.start != address(granule);
}

void scrub_tags(const heap *heap) {
    static std::vector<uint64_t> lengths(REGION_LINES + 1);
    std::fill(lengths.begin(), lengths.end(), 0);
    for (size_t start = REGION_FIRST, end; start < the_region->top; start = end) {
        end = tags_next_start(the_region->lines, start + 1);
        size_t first = start / 64 + 1, last = end / 64;
        bool is_free = tags_is_free(the_region->lines, start);
        bool has_node = is_free && is_in_tree(heap, start, end - start);
        for (size_t line = first; line < last; line++) {
            bool is_node = has_node && line >= first + 1 && line < first + 4;
            if (line == first || line + 1 == last || is_node)
                lengths[line] = the_region->lines[line].free;
        }
    }
    for (size_t line = REGION_FIRST_LINE; line <= REGION_LINES; line++)
        if (the_region->lines[line].starts == 0)
            the_region->lines[line].free = lengths[line];
}

/* A page that is noted twice in a row has one note, and counts twice. */
size_t vacant_notes(const heap *heap) {
    size_t notes = 0;
    for (const bin_chunk *chunk = heap->bins.top[VACANT_BIN]; chunk != nullptr;
         chunk = chunk->below)
        notes += chunk->count;
    return notes;
}

void scrub(heap *heap) {
    scrub_quick(heap);
    scrub_bins(heap);
    scrub_tags(heap);
    /* Only purging and calloc look at these. */
    heap->purge_slack = heap->purged = heap->refaulted = heap->purged_at = heap->settled = 0;
    heap->vacant = vacant_notes(heap) * SLAB_GRANULES;
    the_region->reached = 0;
    the_region->fresh = static_cast<uint32_t>(hole_end);
    /* Written before it is read. */
    heap->zeroed = false;
    heap->run_granules = heap->run == nullptr ? 0 : heap->run_granules;
    heap->run_dirty = heap->run == nullptr ? 0 : heap->run_dirty;
    /* A small heap merges whatever this is; a larger one from TAKEN_MOST on. */
    heap->taken = heap_is_small(heap) ? 0 : std::min<size_t>(heap->taken, TAKEN_MOST);
}

/* A state that is to be visited. */
struct Stored {
    uint32_t number;
    Spans live;
};

struct Hash {
    uint64_t low, high;
};

uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15u) * (b | 1);
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

class Seen {
  public:
    Seen() : slots_(1 << 16) {}
    size_t size() const { return size_; }
    /* False: it was there. */
    bool insert(Hash hash) {
        if (4 * (size_ + 1) > 3 * slots_.size())
            grow();
        if (!put(hash))
            return false;
        size_++;
        return true;
    }

  private:
    bool put(Hash hash) {
        for (size_t i = hash.low & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
            if (slots_[i].low == 0 && slots_[i].high == 0) {
                slots_[i] = hash;
                return true;
            }
            if (slots_[i].low == hash.low && slots_[i].high == hash.high)
                return false;
        }
    }
    void grow() {
        std::vector<Hash> old(2 * slots_.size());
        old.swap(slots_);
        for (Hash hash : old)
            if (hash.low != 0 || hash.high != 0)
                put(hash);
    }
    std::vector<Hash> slots_;
    size_t size_ = 0;
};

/*
 * The states of one depth, which are to be visited in the order in which they were found: a file,
 * for there are more of them than fit in memory. Of a state's image only the bytes stand there that
 * differ from the first image: for each word with any, its place, which bytes differ, and these.
 */
class Level {
  public:
    Level() : file_(tmpfile()) {
        if (file_ == nullptr)
            abort();
    }
    ~Level() { fclose(file_); }
    Level(const Level &) = delete;
    Level &operator=(const Level &) = delete;
    size_t size() const { return size_; }

    void write(const Stored &state) {
        put(state.number);
        put(static_cast<uint16_t>(state.live.size()));
        for (Span block : state.live)
            put(block);
        each_change([&](size_t i) {
            put(static_cast<uint16_t>(i));
            put_bytes(image()[i] ^ first_image[i]);
        });
        put(uint16_t{UINT16_MAX});
        size_++;
    }

    void rewind() { ::rewind(file_); }

    /* Restores the next state's image. */
    Stored read(std::vector<uint64_t> &words) {
        Stored state;
        uint16_t count, place;
        get(state.number);
        get(count);
        state.live.resize(count);
        for (Span &block : state.live)
            get(block);
        words = first_image;
        for (get(place); place != UINT16_MAX; get(place))
            words[place] ^= get_bytes();
        return state;
    }

  private:
    template <typename Value> void put(Value value) {
        if (fwrite_unlocked(&value, sizeof value, 1, file_) != 1)
            abort();
    }
    template <typename Value> void get(Value &value) {
        if (fread_unlocked(&value, sizeof value, 1, file_) != 1)
            abort();
    }
    void put_bytes(uint64_t word) {
        uint8_t which = 0;
        for (unsigned i = 0; i < 8; i++)
            which |= static_cast<uint8_t>((word >> 8 * i & 0xff ? 1 : 0) << i);
        put(which);
        for (unsigned i = 0; i < 8; i++)
            if (which >> i & 1)
                put(static_cast<uint8_t>(word >> 8 * i));
    }
    uint64_t get_bytes() {
        uint64_t word = 0;
        uint8_t which, byte;
        get(which);
        for (unsigned i = 0; i < 8; i++)
            if (which >> i & 1) {
                get(byte);
                word |= uint64_t{byte} << 8 * i;
            }
        return word;
    }

    FILE *file_;
    size_t size_ = 0;
};

struct Step {
    uint32_t before;
    Operation operation;
};

struct Search {
    Seen seen;
    std::unique_ptr<Level> next{new Level};
    std::deque<Step> steps; /* by a state's number: how it was found */
    uint64_t transitions = 0;

    void add(const Spans &live, uint32_t before, Operation operation) {
        Hash hash{1, 2};
        each_change([&](size_t i) {
            uint64_t value = image()[i];
            hash.low = mix(hash.low + i, value + 0x2545f4914f6cdd1du) + hash.low * 31;
            hash.high = mix(hash.high ^ value, i + 0xd6e8feb86659fd93u) + hash.high * 131;
        });
        if (seen.insert(hash)) {
            next->write({static_cast<uint32_t>(steps.size()), live});
            steps.push_back({before, operation});
        }
    }
};

void restore(const std::vector<uint64_t> &words, const Spans &live) {
    memcpy(static_cast<void *>(the_region), words.data(), IMAGE_WORDS * sizeof(uint64_t));
    for (Span block : live)
        fill(block);
}

/* ---- steps -------------------------------------------------------------------------------------
 */

void *place(size_t granules) {
    void *block = os_malloc(granules_bytes(granules));
    return block;
}

void print(const Layout &now, const Spans &live) {
    printf("  live:");
    for (Span block : live)
        printf(" %zu+%u", block.start - hole_start, block.size);
    printf("  free:");
    for (Span block : now.free)
        printf(" %zu+%u", block.start - hole_start, block.size);
    printf("  end at %zu of %zu\n", now.top - hole_start, hole_end - hole_start);
}

void print(Operation operation) {
    switch (operation.kind) {
    case Operation::MALLOC:
        printf("malloc of %u\n", operation.units * UNIT);
        break;
    case Operation::FREE:
        printf("free of block %u\n", operation.block);
        break;
    case Operation::REALLOC:
        printf("realloc of block %u to %u\n", operation.block, operation.units * UNIT);
        break;
    case Operation::TRIM:
        printf("trim\n");
        break;
    }
}

/* Executes an operation on model and heap; what is wrong with what came of it, or NULL. */
const char *execute(Operation operation, Spans &live) {
    Layout before = layout();
    size_t granules = operation.units * UNIT;
    const char *fault = nullptr;
    auto insert = [&](size_t start) {
        Span block{static_cast<uint16_t>(start), static_cast<uint16_t>(granules)};
        auto place =
            std::find_if(live.begin(), live.end(), [&](Span other) { return other.start > start; });
        live.insert(place, block);
        fill(block);
    };
    if (operation.kind == Operation::MALLOC) {
        void *block = place(granules);
        size_t start = block == nullptr ? 0 : granule_of(block);
        fault = place_fault(before, start, granules);
        if (block != nullptr)
            insert(start);
    } else if (operation.kind == Operation::FREE) {
        os_free(address(live[operation.block].start));
        live.erase(live.begin() + operation.block);
    } else if (operation.kind == Operation::REALLOC) {
        Span old = live[operation.block];
        size_t reach = old.end();
        for (bool more = true; more;) {
            more = false;
            for (Span block : before.free)
                if (block.start == reach && !is_page(block.start)) {
                    reach = block.end();
                    more = true;
                }
        }
        if (reach == before.top && BEHIND == 0)
            reach = hole_end;
        bool in_place =
            granules <= old.size || (!is_page(old.start) && reach - old.start >= granules);
        void *block = os_realloc(address(old.start), granules_bytes(granules));
        size_t start = block == nullptr ? 0 : granule_of(block);
        if (in_place && start != old.start)
            fault = "moved although it could stay";
        else if (!in_place)
            fault = place_fault(before, start, granules);
        if (block != nullptr) {
            if (fault == nullptr && !is_filled(old, start, std::min<size_t>(old.size, granules)))
                fault = "realloc lost contents";
            live.erase(live.begin() + operation.block);
            insert(start);
        }
    } else {
        os_malloc_trim(0);
    }
    if (fault != nullptr)
        return fault;
    checking = true;
    invariant broken = check_heap(thread_heap);
    checking = false;
    if (broken != 0)
        return check_text(broken);
    if (!(layout().used == live))
        return "the tags do not have just the live blocks";
    for (Span block : live)
        if (!is_filled(block, block.start, block.size))
            return "contents of a block changed";
    return nullptr;
}

std::vector<Operation> operations(const Spans &live) {
    std::vector<Operation> all;
    for (uint8_t units = 1; units <= UNITS; units++)
        if (units * UNIT <= MOST)
            all.push_back({Operation::MALLOC, 0, units});
    for (uint8_t block = 0; block < live.size(); block++) {
        all.push_back({Operation::FREE, block, 0});
        for (uint8_t units = 1; WITH_REALLOC && units <= UNITS; units++)
            if (units * UNIT <= MOST && units * UNIT != live[block].size)
                all.push_back({Operation::REALLOC, block, units});
    }
    if (WITH_TRIM)
        all.push_back({Operation::TRIM, 0, 0});
    return all;
}

/* How a state was reached, from the first one. */
void print_way(const Search &search, uint32_t number) {
    std::vector<Operation> way;
    for (; number != 0; number = search.steps[number].before)
        way.push_back(search.steps[number].operation);
    for (auto operation = way.rbegin(); operation != way.rend(); ++operation)
        print(*operation);
}

/* A heap whose one region has blocks that stay, and between them, or behind, a hole. */
void build() {
    size_t hole = UNITS * UNIT, before = REGION_CAPACITY - hole - BEHIND;
    void *first = os_malloc(granules_bytes(before));
    the_region = region_of(first);
    hole_start = granule_of(first) + before;
    hole_end = hole_start + hole;
    void *middle = os_malloc(granules_bytes(hole));
    if (granule_of(middle) != hole_start ||
        (BEHIND != 0 && os_malloc(BEHIND * GRANULE_BYTES) == nullptr) ||
        the_region->committed != REGION_GRANULES)
        abort();
    os_free(middle);
    granting = false;
    /* Every set was used once: which ones were is nothing that later steps are to multiply. */
    for (size_t units = 1; units * UNIT <= MOST; units++)
        os_free(os_malloc(granules_bytes(units * UNIT)));
    os_malloc_trim(0);
    scrub(thread_heap);
    first_image.assign(image(), image() + IMAGE_WORDS);
}

int explore(size_t limit) {
    build();
    printf("a hole of %u granules at %zu, %s, heap %s\n", UNITS * UNIT, hole_start % 64,
           BEHIND == 0 ? "the untouched end" : "between blocks",
           heap_is_small(thread_heap) ? "small" : "with pages of small blocks");
    Search search;
    search.add({}, 0, {});
    size_t depth = 0, most_live = 0;
    std::vector<uint64_t> words;
    while (search.next->size() != 0 && search.seen.size() < limit) {
        std::unique_ptr<Level> level(new Level);
        level.swap(search.next);
        fprintf(stderr, "%zu operations lead to %zu of %zu states, after %lu transitions\n",
                depth++, level->size(), search.seen.size(), search.transitions);
        level->rewind();
        for (size_t i = 0; i < level->size() && search.seen.size() < limit; i++) {
            Stored state = level->read(words);
            most_live = std::max(most_live, state.live.size());
            for (Operation operation : operations(state.live)) {
                restore(words, state.live);
                Spans live = state.live;
                const char *fault = execute(operation, live);
                search.transitions++;
                if (fault != nullptr) {
                    printf("FAILED: %s\nafter\n", fault);
                    print_way(search, state.number);
                    print(operation);
                    print(layout(), live);
                    return 1;
                }
                scrub(thread_heap);
                search.add(live, state.number, operation);
            }
        }
    }
    bool all = search.seen.size() < limit;
    printf("%zu states, %lu transitions, %zu blocks live at most: %s\n", search.seen.size(),
           search.transitions, most_live,
           all ? "every reachable state was visited" : "stopped at the limit");
    return all ? 0 : 2;
}

} // namespace
} // namespace osmem

int main(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    return osmem::explore(count > 1 ? strtoul(arguments[1], nullptr, 10) : SIZE_MAX);
}
