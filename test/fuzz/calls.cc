/*
 * Sequences of calls, of all functions of osmem.h, by two threads, under a kernel that refuses now
 * and then, with someone else who moves the break; against the shadow of test/model. An input is
 *
 *   1 byte   in what heap it begins, and the options
 *   4 bytes  for each call: which, and three bytes of arguments
 *
 * The heap is checked after every few calls, more often the fewer calls there are.
 */
#include "test/core/blocks.h"
#include "test/core/internal.h"
#include "test/core/kernel.h"
#include "test/fuzz/target.h"
#include "test/model/child.h"
#include "test/model/shadow.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <gtest/gtest.h>
#include <unistd.h>
#include <vector>

namespace osmem {

const size_t FUZZ_LONGEST = 1 + 4 * 250;

namespace {

constexpr size_t MOST_BYTES = 24 * MIB; /* live at once */
constexpr size_t CHECKS = 25;           /* about as many for each input */
constexpr int UNTOUCHED = 7;            /* a value of errno */

class Calls {
  public:
    Calls(const uint8_t *data, size_t size) : bytes_(data, size), stride_(1 + size / 4 / CHECKS) {}

    void run() {
        begin(bytes_.byte());
        for (size_t number = 1; !bytes_.empty(); number++) {
            call();
            if (number % stride_ == 0) {
                EXPECT_EQ(os_heap_check(), 0);
            }
            if (testing::Test::HasFailure()) {
                ADD_FAILURE() << "after call number " << number;
                return;
            }
        }
        kernel::refuse_nothing();
        EXPECT_EQ(os_heap_check(), 0);
        for (const Foreign &each : foreign_)
            EXPECT_TRUE(is_filled(each.start, each.size, FOREIGN_SEED)) << "foreign memory changed";
    }

  private:
    struct Foreign {
        char *start;
        size_t size;
    };
    static constexpr uint64_t FOREIGN_SEED = 77;

    void begin(unsigned how) {
        static const char *const OPTIONS[] = {"", "requested:on", "mapped_cache:off", "purge:off"};
        setenv("OSMEM_CONF", OPTIONS[how & 3], 1);
        kernel::open_arena(ARENA_BYTES);
        if (how & 4)
            kernel::withhold_break();
        break_gets_dirty_ = how & 8;
        if (how & 16)
            region_near.base = REGION_BYTES; /* all regions lie in a far zone */
        if (how & 32)
            grow();
    }

    /* A heap that has pages of small blocks, and holes. */
    void grow() {
        for (size_t i = 0; i < 60; i++)
            allocate(i % 4 == 0 ? 100 + i : 25000, GRANULE_BYTES, nullptr);
        for (size_t i = 0; i < 40; i++)
            os_free(shadow_.leave(shadow_.index(i * 7)).start);
        EXPECT_FALSE(heap_is_small(thread_heap));
    }

    void call() {
        unsigned which = bytes_.byte(), first = bytes_.byte(), rest = bytes_.word();
        static void (Calls::*const CALLS[])(unsigned first, unsigned rest) = {
            &Calls::malloc_one,
            &Calls::malloc_one,
            &Calls::malloc_one,
            &Calls::malloc_many,
            &Calls::calloc_one,
            &Calls::aligned_one,
            &Calls::memalign_one,
            &Calls::realloc_one,
            &Calls::realloc_one,
            &Calls::realloc_array,
            &Calls::free_one,
            &Calls::free_one,
            &Calls::free_many,
            &Calls::free_sized,
            &Calls::free_elsewhere,
            &Calls::free_many,
            &Calls::malloc_elsewhere,
            &Calls::realloc_elsewhere,
            &Calls::end_worker,
            &Calls::trim,
            &Calls::look,
            &Calls::refuse,
            &Calls::give_again,
            &Calls::move_break,
            &Calls::impossible,
            &Calls::misuse,
        };
        errno = UNTOUCHED;
        (this->*CALLS[which % (sizeof CALLS / sizeof CALLS[0])])(first, rest);
    }

    /* Sizes at and around what matters, and any up to 1 MiB. */
    static size_t size_of(unsigned kind, unsigned value) {
        static const size_t EDGES[] = {GRANULE_BYTES,    SLAB_MAX * GRANULE_BYTES,
                                       4 * KIB,          QUICK_MAX * GRANULE_BYTES,
                                       32 * KIB,         MMAP_THRESHOLD,
                                       REGION_BYTES / 2, granules_bytes(REGION_CAPACITY)};
        switch (kind % 8) {
        case 0:
        case 1:
            return 1 + value % 128;
        case 2:
            return 1 + value % 1024;
        case 3:
            return 1 + value % (8 * KIB);
        case 4:
            return 1 + value;
        case 5:
            return 1 + 16 * size_t{value};
        case 6:
            return GRANULE_BYTES * (1 + value % 32);
        default:
            return EDGES[value % 8] - 15 + value / 8 % 32;
        }
    }

    bool is_full() const { return shadow_.bytes() > MOST_BYTES; }

    /* Enters a block that was had; NULL comes with ENOMEM, and only while the kernel refuses. */
    bool accept(void *ptr, size_t size, size_t alignment) {
        if (ptr == nullptr) {
            EXPECT_TRUE(refusing_) << size << " bytes at " << alignment;
            EXPECT_EQ(errno, ENOMEM);
            return false;
        }
        EXPECT_EQ(errno, UNTOUCHED);
        shadow_.enter(ptr, size, alignment);
        return true;
    }

    void allocate(size_t size, size_t alignment, Worker *elsewhere) {
        if (is_full())
            return;
        errno = UNTOUCHED;
        void *ptr = nullptr;
        int error = UNTOUCHED;
        auto call = [&] {
            errno = UNTOUCHED;
            ptr = alignment <= GRANULE_BYTES ? os_malloc(size) : os_aligned_alloc(alignment, size);
            error = errno;
        };
        if (elsewhere != nullptr)
            elsewhere->run(call);
        else
            call();
        errno = error;
        accept(ptr, size, alignment);
    }

    void malloc_one(unsigned first, unsigned rest) {
        allocate(size_of(first, rest), GRANULE_BYTES, nullptr);
    }
    void malloc_many(unsigned first, unsigned rest) {
        for (unsigned i = first / 8 + 2; i > 0; i--)
            allocate(size_of(first, rest), GRANULE_BYTES, nullptr);
    }
    void malloc_elsewhere(unsigned first, unsigned rest) {
        for (unsigned i = first / 64 + 1; i > 0; i--)
            allocate(size_of(first, rest), GRANULE_BYTES, &shadow_.worker());
    }
    void aligned_one(unsigned first, unsigned rest) {
        allocate(size_of(first, rest), size_t{1} << first / 8 % 21, nullptr);
    }

    void calloc_one(unsigned first, unsigned rest) {
        if (is_full())
            return;
        size_t count = 1 + first / 64, size = size_of(first, rest);
        void *ptr = os_calloc(count, size);
        if (ptr != nullptr) {
            EXPECT_TRUE(is_zero(ptr, count * size));
        }
        accept(ptr, count * size, GRANULE_BYTES);
    }

    void memalign_one(unsigned first, unsigned rest) {
        if (is_full())
            return;
        size_t alignment = size_t{1} << first / 8 % 21, size = size_of(first, rest);
        void *ptr = this;
        int error = os_posix_memalign(&ptr, alignment, size);
        EXPECT_EQ(errno, UNTOUCHED);
        if (error == 0) {
            EXPECT_GE(alignment, sizeof(void *));
            shadow_.enter(ptr, size, alignment);
            return;
        }
        EXPECT_EQ(ptr, this);
        EXPECT_EQ(error, alignment < sizeof(void *) ? EINVAL : ENOMEM);
        EXPECT_TRUE(error == EINVAL || refusing_);
    }

    void resize(size_t size, unsigned choice, Worker *elsewhere, size_t count) {
        if (shadow_.empty() || (size > MOST_BYTES / 8 && is_full()))
            return;
        Live old = shadow_.leave(shadow_.index(choice));
        struct heap *owner = region_owner(old.start);
        bool is_own = owner == nullptr || (owner == thread_heap && elsewhere == nullptr);
        void *ptr = nullptr;
        int error = UNTOUCHED;
        auto call = [&] {
            errno = UNTOUCHED;
            ptr = count == 1 ? os_realloc(old.start, size)
                             : os_reallocarray(old.start, count, size / count);
            error = errno;
        };
        if (elsewhere != nullptr)
            elsewhere->run(call);
        else
            call();
        errno = error;
        char *now = static_cast<char *>(ptr != nullptr ? ptr : old.start);
        EXPECT_TRUE(is_filled(now, std::min(size, old.size), old.seed)) << "contents lost";
        if (!accept(ptr, size, GRANULE_BYTES)) {
            EXPECT_TRUE(size > old.size || !is_own) << "shrinking failed";
            shadow_.enter(old.start, old.size, GRANULE_BYTES);
        }
    }

    void realloc_one(unsigned first, unsigned rest) {
        resize(size_of(first, rest), first / 8 * 5 + rest, nullptr, 1);
    }
    void realloc_elsewhere(unsigned first, unsigned rest) {
        resize(size_of(first, rest), first / 8, &shadow_.worker(), 1);
    }
    /* By a part of its size, up or down. */
    void realloc_array(unsigned first, unsigned rest) {
        if (shadow_.empty())
            return;
        size_t size = shadow_.at(shadow_.index(first)).size;
        size_t elements = std::max<size_t>(1, size / 3 * (1 + rest % 8) / 4);
        resize(elements * 3, first, nullptr, 3);
    }

    char *leave(unsigned choice) {
        char *start = shadow_.leave(shadow_.index(choice)).start;
        freed_.push_back(start);
        return start;
    }

    void free_one(unsigned first, unsigned rest) {
        if (!shadow_.empty())
            os_free(leave(first + rest));
        EXPECT_EQ(errno, UNTOUCHED);
    }
    void free_many(unsigned first, unsigned rest) {
        for (unsigned i = first; i > 0 && !shadow_.empty(); i--)
            os_free(leave(rest * i));
    }
    void free_elsewhere(unsigned first, unsigned rest) {
        shadow_.worker().run([&] {
            for (unsigned i = first / 8 + 1; i > 0 && !shadow_.empty(); i--)
                os_free(leave(rest + i));
        });
    }
    void free_sized(unsigned first, unsigned rest) {
        if (shadow_.empty())
            return;
        size_t size = shadow_.at(shadow_.index(rest)).size;
        char *start = leave(rest);
        if (first % 2)
            os_free_sized(start, size);
        else
            os_free_aligned_sized(start, GRANULE_BYTES, size);
        os_free(nullptr);
        os_free_sized(nullptr, size);
        os_free_aligned_sized(nullptr, 1, size);
    }

    void end_worker(unsigned, unsigned) { shadow_.end_worker(); }

    void trim(unsigned, unsigned rest) {
        os_malloc_trim(rest);
        EXPECT_EQ(errno, UNTOUCHED);
    }

    /* Statistics and walk agree with the shadow, and the walk ends where it is told to. */
    void look(unsigned, unsigned rest) {
        shadow_.expect_counted();
        struct Visits {
            size_t count, last;
        } visits = {0, rest % 64u};
        int result = os_heap_walk(
            [](const os_block *, void *context) {
                auto seen = static_cast<Visits *>(context);
                return seen->count++ == seen->last ? 5 : 0;
            },
            &visits);
        EXPECT_EQ(result, visits.count > visits.last ? 5 : 0);
        os_stats stats;
        size_t index = rest / 64 % 4;
        result = os_heap_stats(index, &stats);
        EXPECT_EQ(result, stats.heaps == 1 ? 0 : -1);
    }

    void refuse(unsigned first, unsigned rest) {
        static const int ERRORS[] = {ENOMEM, EAGAIN};
        unsigned from = rest / 256 % 8 + 1, to = from + rest % 256;
        if (first % 6 == kernel::CALLS)
            kernel::refuse_any(from, to, ERRORS[first / 128]);
        else
            kernel::refuse(static_cast<kernel::Call>(first % 6), from, to, ERRORS[first / 128]);
        refusing_ = true;
    }
    void give_again(unsigned, unsigned) {
        kernel::refuse_nothing();
        refusing_ = false;
    }

    /*
     * Someone else takes from the break, or gives back what he took last; in some runs all of the
     * break is full of what he wrote from then on.
     */
    void move_break(unsigned first, unsigned rest) {
        if (first % 4 == 0 && !break_gets_dirty_ && !foreign_.empty() &&
            sbrk(0) == foreign_.back().start + foreign_.back().size) {
            sbrk(-static_cast<intptr_t>(foreign_.back().size));
            foreign_.pop_back();
            return;
        }
        void *start = sbrk(1 + rest % 9000);
        if (start == reinterpret_cast<void *>(-1))
            return;
        foreign_.push_back({static_cast<char *>(start), 1 + rest % 9000});
        fill(start, foreign_.back().size, FOREIGN_SEED);
        auto heap = reinterpret_cast<char *>(thread_heap);
        if (break_gets_dirty_ && heap >= kernel::arena_start() && heap < foreign_.back().start)
            kernel::grant_dirty_memory(); /* only to who already had some that was clean */
    }

    /* What nobody can have. */
    void impossible(unsigned first, unsigned rest) {
        static const size_t SIZES[] = {SIZE_MAX, PTRDIFF_MAX, size_t{PTRDIFF_MAX} + 1,
                                       SIZE_MAX - 14};
        size_t size = SIZES[first % 4] - rest % 3;
        volatile size_t hidden = size;
        EXPECT_EQ(os_malloc(hidden), nullptr);
        EXPECT_EQ(errno, ENOMEM);
        EXPECT_EQ(os_calloc(hidden, 1 + rest % 5), nullptr);
        EXPECT_EQ(os_aligned_alloc(size_t{1} << first % 64, hidden), nullptr);
        EXPECT_EQ(os_malloc(0), nullptr);
        if (shadow_.empty())
            return;
        char *start = shadow_.at(shadow_.index(rest)).start;
        errno = UNTOUCHED;
        EXPECT_EQ(os_realloc(start, hidden), nullptr);
        EXPECT_EQ(errno, ENOMEM);
        EXPECT_EQ(os_reallocarray(start, hidden / 2, 3), nullptr);
        EXPECT_EQ(os_aligned_alloc(rest | 3, 1), nullptr);
        EXPECT_EQ(errno, EINVAL);
    }

    /* What is not the start of a live block dies with a message, whoever frees it. */
    void misuse(unsigned first, unsigned rest) {
        void *wrong = nullptr;
        if (misused_++ >= 2)
            return;
        if (first % 2 == 0 && !freed_.empty()) {
            wrong = freed_[rest % freed_.size()];
            for (size_t i = 0; i < shadow_.count(); i++) {
                if (shadow_.at(i).start == wrong)
                    return;
            }
        } else if (!shadow_.empty()) {
            const Live &block = shadow_.at(shadow_.index(rest));
            wrong = block.start + 1 + rest % (block.size + 7);
            for (size_t i = 0; i < shadow_.count(); i++) {
                if (shadow_.at(i).start == wrong)
                    return;
            }
        } else {
            return;
        }
        Ended ended = run_child([&] {
            signal(SIGABRT, SIG_DFL);
            kernel::refuse_nothing();
            if (first % 3 == 0)
                os_free(wrong);
            else if (first % 3 == 1)
                (void)!os_realloc(wrong, 1 + rest);
            else
                Worker().run([&] { os_free(wrong); });
            _exit(0);
        });
        EXPECT_TRUE(ended.aborted()) << wrong << " was accepted";
        EXPECT_EQ(ended.count("osmem: os_"), 1u) << ended;
    }

    Bytes bytes_;
    size_t stride_;
    Shadow shadow_;
    std::vector<char *> freed_;
    std::vector<Foreign> foreign_;
    size_t misused_ = 0;
    bool refusing_ = false;
    bool break_gets_dirty_ = false;
};

} // namespace

void fuzz(const uint8_t *data, size_t size) {
    fuzz_in_child([=] { Calls(data, size).run(); });
}

} // namespace osmem
