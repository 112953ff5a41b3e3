/*
 * What a trace tells about who holds memory, for how long, and what keeps it from going back.
 *
 * Counts and bytes are exact where they are of all blocks; those of call sites are estimates from
 * the sampled stacks, each weighed by the reciprocal of its probability (tools/record/stack.h).
 *
 * A page is *pinned* when it was half full once, and now an eighth of it at most is in live blocks:
 * what an allocator cannot give back to the kernel although it is free. Blocks of 128 KiB and more
 * do not count, they have pages of their own. The worst moment is looked for in all but the last
 * twentieth of the events, in which a program may clear up.
 */
#ifndef OSMEM_TOOLS_REPORT_ANALYSIS_H
#define OSMEM_TOOLS_REPORT_ANALYSIS_H

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/trace/reader.h"

namespace osmem {

const size_t CHECKPOINTS = 40; // at equal distances in events
const size_t POWERS = 48;      // of two, for histograms

// Of the allocations with one call stack.
struct Site {
    int64_t stack = -1;
    uint64_t samples = 0;
    double allocated_blocks = 0, allocated_bytes = 0; // in all
    double live_blocks = 0, live_bytes = 0;           // while the trace is read
    double moment_blocks = 0, moment_bytes = 0;       // live at the moment asked for
    double end_blocks = 0, end_bytes = 0;             // live at the end
    double short_blocks = 0; // that were freed before SHORT_LIVED bytes more were allocated
    std::array<double, CHECKPOINTS> live_at{};

    // Live bytes that came in the second half of the events; the very end, where a program may
    // clear up, does not count.
    double growth() const { return live_at[CHECKPOINTS - 3] - live_at[CHECKPOINTS / 2 - 1]; }
    bool grows_steadily() const;
};

struct SizeCount {
    uint64_t blocks = 0, bytes = 0;
};

// Blocks of one size, and of one call site where that is known, on pinned pages.
struct Pin {
    uint64_t size = 0;
    int64_t stack = -1; // of one of them
    uint64_t blocks = 0, pages = 0;
    uint64_t free_bytes = 0; // on these pages
};

struct Pins {
    uint64_t event = 0; // when
    uint64_t pages = 0, blocks = 0, free_bytes = 0, live_bytes = 0;
    std::vector<Pin> by_size; // the most pages first
};

const uint64_t SHORT_LIVED = 64 * 1024; // bytes allocated between birth and death

class Analysis {
  public:
    enum class Moment { PEAK, END, SECOND };

    // Reads the trace twice. The moment is that of the peak of live bytes, the end, or `second`
    // seconds after the start.
    Analysis(TraceReader &trace, Moment moment, double second = 0);

    // ---- of all blocks, exact
    uint64_t allocations = 0, frees = 0, resizes = 0, failures = 0;
    uint64_t allocated_bytes = 0, moved_bytes = 0, moves = 0;
    uint64_t crossed_frees = 0; // by another thread than the one that allocated
    uint64_t large = 0;         // allocations of 128 KiB and more
    uint64_t rounding_bytes = 0;
    uint64_t short_lived = 0; // freed before SHORT_LIVED bytes more were allocated
    uint64_t unknown = 0;     // freed, but from before the recording
    uint64_t implied = 0;     // frees that are missing in the trace
    uint64_t peak_bytes = 0, peak_blocks = 0, peak_event = 0;
    double peak_s = 0;
    uint64_t moment_bytes = 0, moment_blocks = 0, moment_event = 0;
    double moment_s = 0;
    uint64_t end_bytes = 0, end_blocks = 0;
    double average_bytes = 0;                        // over the events
    std::array<uint64_t, CHECKPOINTS> live_at{};     // bytes
    std::array<uint64_t, CHECKPOINTS> pinned_at{};   // free bytes on pinned pages
    std::array<SizeCount, POWERS> sizes{};           // allocated, by log2 of the size
    std::array<SizeCount, POWERS> lifetimes_ns{};    // of freed blocks, by log2
    std::array<SizeCount, POWERS> lifetimes_bytes{}; // the same, in bytes allocated meanwhile
    std::map<uint64_t, SizeCount> moment_sizes;      // live at the moment, by size
    std::map<uint64_t, SizeCount> end_sizes;         // live at the end
    std::map<uint64_t, uint64_t> short_sizes;        // short-lived blocks, by size
    Pins pins;                                       // at the worst moment

    // ---- of call sites
    std::vector<Site> sites;
    uint64_t sampled = 0;

  private:
    struct Block {
        uint64_t address, size, born_ns, born_bytes;
        uint32_t thread;
        int32_t site; // -1: not sampled
        float weight;
    };
    struct Page {
        uint16_t live = 0, most = 0, blocks = 0;
        bool pinned() const { return blocks > 0 && live <= 512 && most >= 2048; }
    };

    void read(TraceReader &trace);
    void look_again(TraceReader &trace);
    void take(const TraceEvent &event);
    void add(const TraceEvent &event, uint64_t born_ns, uint64_t born_bytes, uint32_t thread);
    Block remove(uint64_t block);
    void died(const Block &block, const TraceEvent &event);
    void cover(uint64_t address, uint64_t size, int sign);
    int32_t site_of(int64_t stack);
    void snapshot_moment();
    void snapshot_pins(uint64_t event);
    void checkpoint(size_t number);

    double sample_bytes_;
    AddressMap<Block> blocks_; // by number + 1
    AddressMap<Page> pages_;   // by number + 1
    std::unordered_map<int64_t, int32_t> site_numbers_;
    uint64_t live_bytes_ = 0, live_blocks_ = 0, pinned_free_ = 0;
    bool counts_ = true; // the first reading
};

} // namespace osmem

#endif
