#include "tools/map/trace_map.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <unordered_map>

#include <unistd.h>

#include "tools/command.h"
#include "tools/report/symbols.h"
#include "tools/trace/reader.h"

namespace osmem {

namespace {

constexpr uint64_t REGION = 4 << 20, MAPPED_LEAST = 128 << 10, PAGE = 4096;

// Callers that are named.
constexpr size_t SITE_DEPTH = 4;
// Of more blocks than that only those with a stack have their age in a map.
constexpr size_t AGED_MOST = 20000;

struct LiveBlock {
    uint64_t address, size, born_ns;
    int64_t stack;
    uint32_t thread;
};

// What is known of 4 MiB of address space, in granules from its start.
struct Place {
    uint32_t first = UINT32_MAX; // of any block, at any time
    uint32_t top = 0;            // of blocks so far
    uint32_t thread = 0;
};

// As the drop-in has it: mapped blocks begin a page.
bool is_mapped(const LiveBlock &block) {
    return block.size >= MAPPED_LEAST && block.address % PAGE == 0;
}

uint32_t granule_of(uint64_t address) { return uint32_t(address % REGION / MAP_GRANULE_BYTES); }

uint32_t end_of(const LiveBlock &block) {
    const uint64_t end = block.address % REGION + std::max<uint64_t>(block.size, 1);
    return uint32_t(std::min(end + MAP_GRANULE_BYTES - 1, REGION) / MAP_GRANULE_BYTES);
}

// On a terminal: how much of a long recording has been read.
class Progress {
  public:
    explicit Progress(uint64_t events) : events_(events) {}
    ~Progress() {
        if (shown_)
            std::fputs("\r\033[K", stderr);
    }
    void show(const TraceReader &trace) {
        if (trace.position() % (1 << 20) != 0 || events_ == 0 || !isatty(STDERR_FILENO))
            return;
        std::fprintf(stderr, "\r\033[Kreading the recording: %.0f %%",
                     100.0 * double(done_ + trace.position()) / double(PASSES * events_));
        shown_ = true;
    }
    void next_pass() { done_ += events_; }

  private:
    static constexpr uint64_t PASSES = 2;
    const uint64_t events_;
    uint64_t done_ = 0;
    bool shown_ = false;
};

class Sites {
  public:
    Sites(const TraceReader &trace, const std::set<int64_t> &stacks)
        : trace_(trace), symbols_(trace, std::vector<int64_t>(stacks.begin(), stacks.end())) {}

    std::string name(int64_t stack) const {
        std::string text;
        size_t depth = 0;
        const std::vector<uint64_t> *const addresses = trace_.stack(stack);
        if (addresses == nullptr)
            return text;
        for (const uint64_t address : *addresses) {
            for (const Frame &frame : symbols_.at(address)) {
                if (depth++ == SITE_DEPTH)
                    return text;
                text += (text.empty() ? "" : " < ") + frame.function;
                if (!frame.file.empty())
                    text += " (" + frame.file.substr(frame.file.rfind('/') + 1) + ":" +
                            std::to_string(frame.line) + ")";
            }
        }
        return text;
    }

  private:
    const TraceReader &trace_;
    const Symbols symbols_;
};

class Maker {
  public:
    Maker(const std::string &path, const TraceMoment &moment, size_t count, bool accept_damage)
        : trace_(path, accept_damage), progress_(trace_.info().events) {
        look_ahead(moment);
        for (size_t index = 1; index <= count; index++)
            moments_.push_back(uint64_t(double(end_ns_) * double(index) / double(count)));
        moments_.push_back(chosen_ns_);
        std::sort(moments_.begin(), moments_.end());
        moments_.erase(std::unique(moments_.begin(), moments_.end()), moments_.end());
    }

    TraceMaps make() {
        const Sites sites(trace_, stacks_);
        TraceMaps result{};
        TraceEvent event;
        trace_.rewind();
        progress_.next_pass();
        live_.clear();
        size_t next = 0;
        while (trace_.next(&event)) {
            for (; next < moments_.size() && event.time_ns > moments_[next]; next++)
                add_map(next, sites, &result);
            progress_.show(trace_);
            apply(event);
        }
        for (; next < moments_.size(); next++)
            add_map(next, sites, &result);
        result.damage = trace_.damage();
        return result;
    }

  private:
    // What has to be known before the first map.
    void look_ahead(const TraceMoment &moment) {
        TraceEvent event;
        uint64_t bytes = 0, peak = 0, peak_ns = 0;
        while (trace_.next(&event)) {
            progress_.show(trace_);
            bytes += apply(event);
            if (bytes > peak) {
                peak = bytes;
                peak_ns = event.time_ns;
            }
            end_ns_ = std::max(end_ns_, event.time_ns);
            if (event.stack >= 0)
                stacks_.insert(event.stack);
        }
        chosen_ns_ = moment.kind == TraceMoment::END    ? end_ns_
                     : moment.kind == TraceMoment::PEAK ? peak_ns
                                                        : uint64_t(moment.second * 1e9);
        chosen_ns_ = std::min(chosen_ns_, end_ns_);
        for (auto &[base, place] : places_)
            place.top = 0;
    }

    // By how many bytes there are more live ones; wraps.
    uint64_t apply(const TraceEvent &event) {
        uint64_t change = 0;
        if (event.failed || event.block == TraceEvent::NO_BLOCK)
            return change;
        const auto found = live_.find(event.block);
        if (found != live_.end()) {
            change -= found->second.size;
            if (event.kind == TRACE_FREE)
                live_.erase(found);
        }
        if (event.kind == TRACE_FREE)
            return change;
        const LiveBlock block{event.address, event.size, event.time_ns, event.stack, event.thread};
        live_[event.block] = block;
        if (!is_mapped(block)) {
            Place &place = places_[block.address / REGION];
            if (place.first == UINT32_MAX)
                place.thread = event.thread;
            place.first = std::min(place.first, granule_of(block.address));
            place.top = std::max(place.top, end_of(block));
        }
        return change + event.size;
    }

    void add_map(size_t index, const Sites &sites, TraceMaps *result) const {
        if (moments_[index] == chosen_ns_)
            result->chosen = result->maps.size();
        result->maps.push_back(map_at(moments_[index], sites));
    }

    Snapshot map_at(uint64_t time_ns, const Sites &sites) const {
        Snapshot snapshot{};
        map_header &header = snapshot.header;
        std::memcpy(header.magic, MAP_MAGIC, sizeof header.magic);
        header.version = MAP_VERSION;
        header.flags = MAP_NO_RESIDENCY | MAP_RECORDED;
        header.granule_bytes = MAP_GRANULE_BYTES;
        header.page_bytes = PAGE;
        header.region_bytes = REGION;
        header.pid = trace_.info().pid;
        header.time_ns = time_ns;

        std::vector<LiveBlock> blocks;
        for (const auto &[number, block] : live_)
            blocks.push_back(block);
        std::sort(blocks.begin(), blocks.end(),
                  [](const LiveBlock &a, const LiveBlock &b) { return a.address < b.address; });
        add_regions(&snapshot);
        for (const LiveBlock &block : blocks) {
            if (is_mapped(block))
                snapshot.mappings.push_back(
                    {{block.address, (block.size + PAGE - 1) / PAGE * PAGE, block.size, 0, 0}, {}});
            else
                add_block(block, &snapshot);
        }
        add_sites(blocks, sites, &snapshot);
        return snapshot;
    }

    // One free block each, if any block was in it so far.
    void add_regions(Snapshot *snapshot) const {
        std::set<uint32_t> threads;
        for (const auto &[base, place] : places_) {
            if (place.top == 0)
                continue;
            SnapshotRegion region{};
            const uint32_t first = place.first / MAP_LINE_GRANULES * MAP_LINE_GRANULES;
            const size_t lines =
                (place.top + MAP_LINE_GRANULES - 1) / MAP_LINE_GRANULES - first / MAP_LINE_GRANULES;
            region.place = {base * REGION, place.thread, first, place.top,
                            place.top,     place.top,    lines};
            region.tags.resize(2 * lines);
            region.remote.resize(lines);
            region.tags[0] = region.tags[1] = 1;
            snapshot->regions.push_back(std::move(region));
            threads.insert(place.thread);
        }
        for (const uint32_t thread : threads)
            snapshot->heaps.push_back({thread, 0, 0});
    }

    // Blocks come in address order: what lies behind one is free until the next begins.
    static void add_block(const LiveBlock &block, Snapshot *snapshot) {
        const auto above =
            std::upper_bound(snapshot->regions.begin(), snapshot->regions.end(), block.address,
                             [](uint64_t address, const SnapshotRegion &region) {
                                 return address < region.place.address;
                             });
        SnapshotRegion &region = *std::prev(above);
        const auto begin_at = [&region](uint32_t granule, bool is_free) {
            if (granule >= region.place.top)
                return;
            const size_t line = (granule - region.place.first) / MAP_LINE_GRANULES;
            const uint64_t bit = uint64_t{1} << granule % MAP_LINE_GRANULES;
            region.tags[2 * line] |= bit;
            region.tags[2 * line + 1] =
                (region.tags[2 * line + 1] & ~bit) | (is_free ? bit : uint64_t{0});
        };
        begin_at(granule_of(block.address), false);
        begin_at(end_of(block), true);
    }

    void add_sites(const std::vector<LiveBlock> &blocks, const Sites &sites,
                   Snapshot *snapshot) const {
        std::map<int64_t, uint64_t> places;
        snapshot->text.assign(1, '\0'); // of those without a stack
        for (const LiveBlock &block : blocks) {
            if (block.stack < 0 && blocks.size() > AGED_MOST)
                continue;
            const auto [place, is_new] = places.emplace(block.stack, 0);
            if (is_new && block.stack >= 0) {
                place->second = snapshot->text.size();
                snapshot->text += sites.name(block.stack) + '\0';
            }
            snapshot->sites.push_back({block.address, block.born_ns, place->second});
        }
    }

    TraceReader trace_;
    Progress progress_;
    std::vector<uint64_t> moments_;
    uint64_t end_ns_ = 0, chosen_ns_ = 0;
    std::set<int64_t> stacks_;
    std::unordered_map<uint64_t, LiveBlock> live_; // by the number of the block
    std::map<uint64_t, Place> places_;             // by address / REGION
};

} // namespace

TraceMaps trace_maps(const std::string &path, const TraceMoment &moment, size_t count,
                     bool accept_damage) {
    try {
        return Maker(path, moment, count, accept_damage).make();
    } catch (const TraceError &error) {
        throw Failure(error.what());
    }
}

} // namespace osmem
