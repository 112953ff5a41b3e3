#include "tools/report/analysis.h"

#include <algorithm>
#include <cmath>

namespace osmem {

namespace {

const uint64_t PAGE = 4096;
const uint64_t MAPPED = 128 * 1024; // from this size on, blocks have pages of their own
const uint64_t GRANULE = 16;

size_t power_of(uint64_t value) {
    size_t power = 0;
    while (value > 1 && power + 1 < POWERS) {
        value >>= 1;
        power++;
    }
    return power;
}

void count(SizeCount *counter, uint64_t bytes) {
    counter->blocks++;
    counter->bytes += bytes;
}

} // namespace

bool Site::grows_steadily() const {
    size_t falls = 0;
    for (size_t i = 1; i + 2 < CHECKPOINTS; i++)
        falls += live_at[i] < live_at[i - 1];
    return samples >= 8 && falls <= 2 && growth() > live_at[CHECKPOINTS - 3] / 5;
}

Analysis::Analysis(TraceReader &trace, Moment moment, double second)
    : sample_bytes_(double(trace.info().sample_bytes)) {
    read(trace);
    unknown = trace.unknown_blocks();
    implied = trace.implied_frees();
    moment_event = moment == Moment::END ? trace.info().events : peak_event;
    if (moment == Moment::SECOND) {
        moment_event = 0;
        trace.rewind();
        for (TraceEvent event; trace.next(&event) && double(event.time_ns) / 1e9 <= second;)
            moment_event++;
    }
    look_again(trace);
}

void Analysis::read(TraceReader &trace) {
    trace.rewind();
    const uint64_t events = trace.info().events;
    double sum = 0;
    uint64_t done = 0;
    size_t point = 0;
    for (TraceEvent event; trace.next(&event);) {
        take(event);
        done++;
        sum += double(live_bytes_);
        if (live_bytes_ > peak_bytes) {
            peak_bytes = live_bytes_;
            peak_blocks = live_blocks_;
            peak_event = done;
            peak_s = double(event.time_ns) / 1e9;
        }
        const bool clears_up = events >= 1000 && done > events - events / 20;
        if (pinned_free_ > pins.free_bytes && !clears_up) {
            pins.free_bytes = pinned_free_;
            pins.event = done;
        }
        while (point < CHECKPOINTS && done >= events * (point + 1) / CHECKPOINTS)
            checkpoint(point++);
    }
    while (point < CHECKPOINTS)
        checkpoint(point++);
    average_bytes = done == 0 ? 0 : sum / double(done);
    end_bytes = live_bytes_;
    end_blocks = live_blocks_;
    for (Site &site : sites) {
        site.end_blocks = site.live_blocks;
        site.end_bytes = site.live_bytes;
    }
    blocks_.each(
        [this](uint64_t, const Block &block) { count(&end_sizes[block.size], block.size); });
}

void Analysis::checkpoint(size_t number) {
    live_at[number] = live_bytes_;
    pinned_at[number] = pinned_free_;
    for (Site &site : sites)
        site.live_at[number] = site.live_bytes;
}

// The moments are known now: what was live then?
void Analysis::look_again(TraceReader &trace) {
    counts_ = false;
    blocks_ = {};
    pages_ = {};
    live_bytes_ = live_blocks_ = pinned_free_ = 0;
    for (Site &site : sites)
        site.live_blocks = site.live_bytes = 0;
    const uint64_t last = std::max(moment_event, pins.event);
    trace.rewind();
    uint64_t done = 0;
    for (TraceEvent event; done < last && trace.next(&event);) {
        take(event);
        done++;
        if (done == moment_event) {
            moment_s = double(event.time_ns) / 1e9;
            snapshot_moment();
        }
        if (done == pins.event)
            snapshot_pins(done);
    }
}

void Analysis::snapshot_moment() {
    moment_bytes = live_bytes_;
    moment_blocks = live_blocks_;
    for (Site &site : sites) {
        site.moment_blocks = site.live_blocks;
        site.moment_bytes = site.live_bytes;
    }
    blocks_.each(
        [this](uint64_t, const Block &block) { count(&moment_sizes[block.size], block.size); });
}

void Analysis::snapshot_pins(uint64_t event) {
    pins = {};
    pins.event = event;
    pages_.each([this](uint64_t, const Page &page) {
        if (!page.pinned())
            return;
        pins.pages++;
        pins.free_bytes += PAGE - page.live;
        pins.live_bytes += page.live;
    });
    std::map<uint64_t, Pin> by_size;
    blocks_.each([&](uint64_t, const Block &block) {
        if (block.size >= MAPPED)
            return;
        const uint64_t first = block.address / PAGE;
        const uint64_t last = (block.address + std::max<uint64_t>(block.size, 1) - 1) / PAGE;
        bool holds = false;
        for (uint64_t number = first; number <= last; number++) {
            const Page *page = pages_.find(number + 1);
            if (page == nullptr || !page->pinned())
                continue;
            Pin &pin = by_size[block.size];
            pin.pages++;
            // A page with several blocks is held by each of them in part.
            pin.free_bytes += (PAGE - page->live) / page->blocks;
            holds = true;
        }
        if (!holds)
            return;
        Pin &pin = by_size[block.size];
        pin.blocks++;
        pins.blocks++;
        if (block.site >= 0)
            pin.stack = sites[size_t(block.site)].stack;
    });
    for (auto &[size, pin] : by_size) {
        pin.size = size;
        pins.by_size.push_back(pin);
    }
    std::stable_sort(pins.by_size.begin(), pins.by_size.end(),
                     [](const Pin &a, const Pin &b) { return a.free_bytes > b.free_bytes; });
}

int32_t Analysis::site_of(int64_t stack) {
    const auto [place, is_new] = site_numbers_.try_emplace(stack, int32_t(sites.size()));
    if (is_new) {
        sites.emplace_back();
        sites.back().stack = stack;
    }
    return place->second;
}

// The bytes of a block on each of its pages.
void Analysis::cover(uint64_t address, uint64_t size, int sign) {
    if (size >= MAPPED)
        return;
    const uint64_t end = address + std::max<uint64_t>(size, 1);
    while (address < end) {
        const uint64_t number = address / PAGE;
        const uint64_t bytes = std::min(end, (number + 1) * PAGE) - address;
        Page *page = pages_.find(number + 1);
        if (page == nullptr) {
            pages_.put(number + 1, {});
            page = pages_.find(number + 1);
        }
        if (page->pinned())
            pinned_free_ -= PAGE - page->live;
        page->live = uint16_t(page->live + sign * int(bytes));
        page->blocks = uint16_t(page->blocks + sign);
        page->most = std::max(page->most, page->live);
        if (page->blocks == 0)
            page->most = 0; // it may have been given back: a new life begins
        if (page->pinned())
            pinned_free_ += PAGE - page->live;
        address += bytes;
    }
}

void Analysis::add(const TraceEvent &event, uint64_t born_ns, uint64_t born_bytes,
                   uint32_t thread) {
    Block block = {event.address, event.size, born_ns, born_bytes, thread, -1, 0};
    if (event.stack >= 0) {
        block.site = site_of(event.stack);
        block.weight = float(
            sample_bytes_ <= 1 ? 1 : 1 / -std::expm1(-double(event.size | 1) / sample_bytes_));
        Site &site = sites[size_t(block.site)];
        const double bytes = double(block.weight) * double(event.size);
        site.live_blocks += double(block.weight);
        site.live_bytes += bytes;
        if (counts_) {
            sampled++;
            site.samples++;
            site.allocated_blocks += double(block.weight);
            site.allocated_bytes += bytes;
        }
    }
    blocks_.put(event.block + 1, block);
    cover(event.address, event.size, 1);
    live_bytes_ += event.size;
    live_blocks_++;
}

Analysis::Block Analysis::remove(uint64_t number) {
    const Block block = *blocks_.find(number + 1);
    blocks_.remove(number + 1);
    cover(block.address, block.size, -1);
    live_bytes_ -= block.size;
    live_blocks_--;
    if (block.site >= 0) {
        Site &site = sites[size_t(block.site)];
        site.live_blocks -= double(block.weight);
        site.live_bytes -= double(block.weight) * double(block.size);
    }
    return block;
}

void Analysis::died(const Block &block, const TraceEvent &event) {
    const uint64_t between = allocated_bytes - block.born_bytes;
    count(&lifetimes_ns[power_of(event.time_ns - std::min(event.time_ns, block.born_ns))],
          block.size);
    count(&lifetimes_bytes[power_of(between)], block.size);
    crossed_frees += block.thread != event.thread;
    if (between < SHORT_LIVED) {
        short_lived++;
        short_sizes[block.size]++;
        if (block.site >= 0)
            sites[size_t(block.site)].short_blocks += double(block.weight);
    }
}

void Analysis::take(const TraceEvent &event) {
    if (event.failed) {
        failures += counts_;
        return;
    }
    if (event.block == TraceEvent::NO_BLOCK) {
        frees += counts_;
        return;
    }
    if (event.kind == TRACE_FREE) {
        const Block block = remove(event.block);
        if (counts_) {
            frees++;
            died(block, event);
        }
        return;
    }
    if (counts_) {
        allocated_bytes += event.size;
        rounding_bytes += (GRANULE - event.size % GRANULE) % GRANULE;
        large += event.size >= MAPPED;
        count(&sizes[power_of(event.size)], event.size);
    }
    if (event.kind == TRACE_REALLOC) {
        const Block before = remove(event.block);
        if (counts_) {
            resizes++;
            if (event.address != event.old_address) {
                moves++;
                moved_bytes += std::min(event.size, event.old_size);
            }
        }
        add(event, before.born_ns, before.born_bytes, before.thread);
    } else {
        allocations += counts_;
        add(event, event.time_ns, allocated_bytes, event.thread);
    }
}

} // namespace osmem
