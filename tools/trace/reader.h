/*
 * Reads a trace (format.h) as one sequence of events, in an order in which they can have happened:
 * a block is freed after it was allocated and before its address is given away again. The times
 * recorded are early by what a processor works ahead; so an event that cannot happen yet waits for
 * the other threads, until they are TRACE_EARLY_MOST_NS further (then what it waits for is not in
 * the trace).
 *
 * Blocks have numbers (0, 1, 2, … as they are allocated), because addresses are used again and
 * again. A block keeps its number when realloc moves it.
 *
 * Opening a trace reads all of it once and checks it: what is damaged is known before the first
 * event. A trace can be read while it is being recorded, and one of a killed program is not
 * damaged.
 */
#ifndef OSMEM_TOOLS_TRACE_READER_H
#define OSMEM_TOOLS_TRACE_READER_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tools/trace/address_map.h"
#include "tools/trace/format.h"

namespace osmem {

// A file that is no trace, or none that can be read.
struct TraceError : std::runtime_error {
    using runtime_error::runtime_error;
};

struct TraceEvent {
    static constexpr uint64_t NO_BLOCK = UINT64_MAX;

    trace_kind kind = TRACE_FREE; // MALLOC, CALLOC, ALIGNED, REALLOC or FREE
    bool failed = false;          // the call returned NULL; of REALLOC: the block stayed as it was
    bool implied = false;      // FREE: not recorded, but its address is given to another block now
    uint32_t thread = 0;       // index in TraceReader::threads
    uint64_t time_ns = 0;      // since the start of the recording
    uint64_t block = NO_BLOCK; // FREE: NO_BLOCK if it was allocated before the recording began
    uint64_t address = 0;      // of the block, after the call; FREE: before it
    uint64_t size = 0;         // as asked for; FREE: as asked for when it was allocated
    uint64_t alignment = 0;    // ALIGNED only
    uint64_t old_address = 0; // REALLOC: before the call. While the call lasted, another thread may
    uint64_t old_size = 0;    //          have got this address: look blocks up by their numbers
    int64_t stack = -1;       // number of a stack, -1: not sampled
};

struct TraceModule {
    uint64_t start, size;
    uint64_t bias; // address in memory less address in the file
    std::string path;
};

struct TraceInfo {
    uint32_t pid, parent;
    std::string program;   // path of the executable
    std::string allocator; // path of the library that served it
    std::vector<std::string> command;
    uint64_t start_realtime_ns;
    double duration_s;     // to the last event
    uint64_t sample_bytes; // a stack each so many bytes on average; 0: none, 1: all
    uint64_t break_start;
    uint32_t page_bytes;
    bool finished;   // the program ended by exit or return
    int stopped;     // errno with which recording ended before the program did, or 0
    uint64_t lost;   // events that were not recorded
    uint64_t events; // in the file
    uint64_t bytes;  // of the file
    bool uses_tsc;
};

// Whether a file, and no pipe or device, begins as a trace.
bool trace_is(const std::string &path);

// From the headers alone: `duration_s` is that to the beginning of the last chunk if the program
// did not end by itself. TraceError if it is no trace; damage is not looked for.
TraceInfo trace_info(const std::string &path);

class TraceReader {
  public:
    // TraceError if `path` cannot be read, is no trace, or is of another version. If it is damaged,
    // that as well, unless `accept_damage`: then what is whole of it is read, and damage() tells.
    explicit TraceReader(const std::string &path, bool accept_damage = false);
    ~TraceReader();
    TraceReader(const TraceReader &) = delete;
    TraceReader &operator=(const TraceReader &) = delete;

    const TraceInfo &info() const { return info_; }
    const std::vector<std::string> &damage() const { return damage_; }
    const std::vector<uint32_t> &threads() const { return threads_; } // the system's ids
    const std::vector<TraceModule> &modules() const { return modules_; }
    // Return addresses, innermost first; NULL if the trace does not have that stack.
    const std::vector<uint64_t> *stack(int64_t number) const;

    // False after the last event.
    bool next(TraceEvent *event);
    void rewind();
    // Events read so far, of info().events.
    uint64_t position() const { return position_; }
    // What `next` has met so far: blocks that were freed or resized although they were never
    // allocated (those from before a fork), and blocks whose free is missing.
    uint64_t unknown_blocks() const { return unknown_; }
    uint64_t implied_frees() const { return implied_; }

    double seconds(uint64_t time_ns) const { return double(time_ns) / 1e9; }

  private:
    // Records of one thread without interruption.
    struct Segment {
        const uint8_t *begin, *end;
        uint64_t ticks, address; // what the first differences are taken from
        uint64_t first;          // ticks of its first event: a chunk's others may be long before
    };
    // A record that waits for its turn.
    struct Raw {
        uint8_t tag;
        uint64_t ticks, entry_ticks, address, size, old_address, log2_alignment;
        int64_t stack;
    };
    struct Cursor {
        uint32_t thread;
        size_t segment;
        const uint8_t *at;
        uint64_t ticks, address;
        Raw raw;
        bool released; // of a block that moves, the old address has been given up
        bool forced;   // no longer waits for others
        uint64_t turn() const;
        bool later_than(const Cursor &other) const;
    };
    // Whose turn it is, but what happens at `address` in another thread must come first.
    struct Waiting {
        Cursor cursor;
        uint64_t address;
        bool over;
    };
    struct Live {
        uint64_t block, size;
    };

    friend TraceInfo trace_info(const std::string &path);
    TraceReader() = default;
    void map(const std::string &path);
    void read_header();
    void read_chunks();
    size_t read_chunk(size_t offset);
    void read_records(const uint8_t *begin, const uint8_t *end, uint64_t ticks, size_t offset);
    bool read_side_record(uint8_t tag, const uint8_t **at, const uint8_t *end);
    static const uint8_t *read_event(const uint8_t *at, const uint8_t *end, uint64_t *ticks,
                                     uint64_t *address, Raw *raw);
    void damaged(size_t offset, const std::string &what);
    void set_clock(uint64_t last_ticks);
    uint64_t ns_of(uint64_t ticks) const;

    bool advance(Cursor *cursor);
    void enqueue(const Cursor &cursor);
    void drop_front();
    void requeue(Cursor *cursor);
    bool can_happen(const Cursor &cursor, uint64_t *address);
    bool front_waits();
    void wait_end(size_t place);
    void resume_waiting();
    void address_take(uint64_t address, const Live &live);
    void address_give_up(uint64_t address);
    void address_changed(uint64_t address);
    bool deliver(Cursor *cursor, TraceEvent *event);
    void deliver_allocation(const Raw &raw, TraceEvent *event);
    void deliver_move(const Raw &raw, TraceEvent *event);
    void deliver_free(const Raw &raw, TraceEvent *event);
    void deliver_in_place(const Raw &raw, TraceEvent *event);
    bool imply_free(const Raw &raw, TraceEvent *event);

    std::string path_;
    const uint8_t *data_ = nullptr;
    size_t size_ = 0;
    trace_header header_{};
    TraceInfo info_{};
    std::vector<std::string> damage_;
    std::vector<uint32_t> threads_;
    std::vector<std::vector<Segment>> segments_; // by thread, in order of time
    std::vector<TraceModule> modules_;
    std::map<int64_t, std::vector<uint64_t>> stacks_;
    double ns_per_tick_ = 1;
    uint64_t early_most_ = TRACE_EARLY_MOST_NS; // in ticks

    std::vector<Cursor> queue_; // a heap, the next turn first
    std::vector<Waiting> waiting_;
    uint64_t now_ = 0; // the latest time of an event so far, in ticks
    AddressMap<Live> live_;
    std::map<uint32_t, Live> moving_; // by thread: the block in its call of realloc
    uint64_t blocks_ = 0, position_ = 0, unknown_ = 0, implied_ = 0;
};

} // namespace osmem

#endif
