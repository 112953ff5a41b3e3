/*
 * memory.h - the memory of C11 as the explored threads see it: for every atomic object all values
 * it was ever given, of which a thread may read each that it cannot know to be overwritten; for
 * every other access the question whether it races.
 *
 * An atomic object is a list of messages in modification order. What a thread may read, or put its
 * own write behind, begins with the last message that happens before it, or was read by something
 * that does (coherence); an atomic read-modify-write comes directly behind the message that it
 * read. A release writes the clock of its thread into the message, an acquire takes it from there,
 * and a read-modify-write passes on the clock of what it read (release sequences). So relaxed loads
 * can be stale and relaxed stores can be reordered, in every way that RC11 without fences permits
 * (Lahav, Vafeiadis, Kang, Hur, Dreyer, "Repairing Sequential Consistency in C/C++11", 2017): a
 * cycle of program order and reads-from, which is load buffering, is the one thing that C11 has
 * and this has not.
 *
 * The real memory always holds the last message, so that code which is not explored runs on it.
 * Everything written is logged, and can be taken back: that is how an execution begins anew.
 */
#ifndef OSMEM_TEST_SCHEDULES_MEMORY_H
#define OSMEM_TEST_SCHEDULES_MEMORY_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace osmem::schedules {

/* The threads of a scenario, and one that looks at what they have left. */
constexpr int THREADS = 6;

/* A vector clock; whose, is said where it is used. */
struct Clock {
    std::array<uint32_t, THREADS> at{};

    void join(const Clock &other) {
        for (int i = 0; i < THREADS; i++)
            at[i] = at[i] < other.at[i] ? other.at[i] : at[i];
    }
};

/* An access in a thread, by the thread's own time. */
struct Moment {
    int thread = 0;
    uint32_t time = 0; /* 0: before all threads */
};

struct Message {
    uint64_t value;
    Moment written;
    Clock released;                     /* what an acquire that reads it comes to know */
    Clock read;                         /* when each thread read it first; 0: never */
    Moment event;                       /* the explorer's: of which thread it is, and its number */
    bool is_updated;                    /* a read-modify-write read it */
    std::array<uint8_t, THREADS> stale; /* how often each thread read it in vain */
};

struct Location {
    const void *address;
    size_t size;
    std::vector<Message> messages; /* empty: what is in memory, not atomically accessed since */

    /* For the explorer: the last events of each thread here, by number, and their clocks. */
    std::array<uint32_t, THREADS> last_write, last_read;
    Clock writes, all;
};

/* Which messages a read may read, or a write may come behind: by index. */
using Choices = std::vector<size_t>;

class Memory {
  public:
    /* What lies in neither range belongs to no thread but the one that uses it. */
    void watch(const void *start, size_t size);

    /* ---- the log ---- */
    void log(const void *address, size_t size);
    size_t mark() const { return log_.size(); }
    void roll_back(size_t mark);

    /* ---- an execution ---- */
    void begin();
    Clock &clock(int thread) { return clocks_[thread]; }

    Location &location(const void *address, size_t size);
    Choices readable(int thread, const Location &location) const;
    /* Those that nothing has followed atomically. */
    Choices replaceable(int thread, const Location &location) const;
    uint64_t read(int thread, Location &location, size_t message, bool acquires);
    /* `updates`: it is the write of a read-modify-write that read message `behind`. */
    Message &write(int thread, Location &location, size_t behind, uint64_t value, bool releases,
                   bool updates);

    /* Notes an access; describes the race it is part of, if there is one. */
    std::string access(int thread, const void *address, size_t size, bool writes, bool atomic,
                       uintptr_t code);

  private:
    /* What each thread did last to four bytes, by its time. */
    struct Cell {
        uint32_t execution;
        int32_t location; /* -1: none */
        Clock plain_read, plain_write, atomic_read, atomic_write;
        uintptr_t reader, writer; /* the code of the last ones */
    };
    struct Range {
        uintptr_t start, end;
        Cell *cells;
    };
    struct Logged {
        uint8_t *address;
        uint64_t value;
        uint8_t size;
    };

    bool is_watched(uintptr_t address) const;
    Cell *cell(uintptr_t address);
    void settle(Location &location);
    size_t oldest(int thread, const Location &location) const;

    std::vector<Range> ranges_;
    std::vector<Logged> log_;
    std::deque<Location> locations_; /* stay where they are */
    size_t location_count_ = 0;
    uint32_t execution_ = 0;
    std::array<Clock, THREADS> clocks_;
};

/* "function file:line" of an address in this program. */
std::string code_name(uintptr_t code);

} // namespace osmem::schedules

#endif
