#include "tools/replay/planner.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace osmem {

namespace {

bool is_replayed(const TraceEvent &event) {
    return !event.failed && event.block != TraceEvent::NO_BLOCK;
}

// What the event does to the sum of live bytes.
int64_t growth_of(const TraceEvent &event) {
    if (!is_replayed(event))
        return 0;
    if (event.kind == TRACE_FREE)
        return -int64_t(event.size);
    return int64_t(event.size) - int64_t(event.kind == TRACE_REALLOC ? event.old_size : 0);
}

plan_kind kind_of(trace_kind kind) {
    switch (kind) {
    case TRACE_CALLOC:
        return OP_CALLOC;
    case TRACE_ALIGNED:
        return OP_ALIGNED;
    case TRACE_REALLOC:
        return OP_REALLOC;
    case TRACE_FREE:
        return OP_FREE;
    default:
        return OP_MALLOC;
    }
}

} // namespace

TraceOutline outline_of(TraceReader &trace, uint64_t most_events) {
    TraceOutline outline;
    uint64_t live = 0, blocks = 0;
    trace.rewind();
    for (TraceEvent event;
         (most_events == 0 || outline.events < most_events) && trace.next(&event);) {
        outline.events++;
        if (!is_replayed(event))
            continue;
        live += uint64_t(growth_of(event));
        blocks += event.kind == TRACE_FREE ? uint64_t(-1) : event.kind != TRACE_REALLOC;
        outline.peak_blocks = std::max(outline.peak_blocks, blocks);
        if (live > outline.peak_live) {
            outline.peak_live = live;
            outline.peak_event = outline.events;
        }
    }
    return outline;
}

Plan::Plan(TraceReader &trace, const TraceOutline &outline, Order order, uint64_t samples)
    : order_(order) {
    const uint64_t distance = samples == 0 ? 0 : std::max<uint64_t>(1, outline.events / samples);
    threads_.resize(1);
    started_.resize(1, true);
    TraceEvent event;
    if (samples != 0)
        add_sample(0, event);
    trace.rewind();
    for (uint64_t done = 0; done < outline.events && trace.next(&event);) {
        live_ += uint64_t(growth_of(event));
        if (is_replayed(event))
            add_event(event);
        done++;
        if (samples != 0 &&
            (done % distance == 0 || done == outline.peak_event || done == outline.events))
            add_sample(done, event);
    }
    slot_of_.clear();
}

void Plan::wait(uint32_t thread, uint32_t other, uint64_t done) {
    uint64_t &known = waited_[uint64_t(thread) << 32 | other];
    if (known >= done)
        return;
    known = done;
    threads_[thread].push_back({OP_WAIT, 0, 0, other, done});
}

// The thread exists and, if the order is strict, begins after what was before.
void Plan::switch_to(uint32_t thread) {
    if (thread >= threads_.size()) {
        threads_.resize(thread + 1);
        started_.resize(thread + 1, false);
    }
    if (!started_[thread]) {
        threads_[last_thread_].push_back({OP_START, 0, 0, thread, 0});
        started_[thread] = true;
    }
    if (order_ == Order::STRICT && thread != last_thread_)
        wait(thread, last_thread_, threads_[last_thread_].size());
    last_thread_ = thread;
}

uint32_t Plan::slot_for(const TraceEvent &event) {
    if (event.kind == TRACE_FREE || event.kind == TRACE_REALLOC) {
        const auto found = slot_of_.find(event.block);
        const uint32_t slot = found->second;
        if (event.kind == TRACE_FREE) {
            slot_of_.erase(found);
            free_slots_.push_back(slot);
        }
        return slot;
    }
    uint32_t slot = uint32_t(slots_.size());
    if (free_slots_.empty()) {
        slots_.push_back({event.thread, 0});
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
    }
    slot_of_[event.block] = slot;
    return slot;
}

void Plan::add_event(const TraceEvent &event) {
    switch_to(event.thread);
    const uint32_t index = slot_for(event);
    Slot &slot = slots_[index];
    if (slot.thread != event.thread)
        wait(event.thread, slot.thread, slot.done);
    uint8_t log2_alignment = 0;
    while (event.alignment >> log2_alignment > 1)
        log2_alignment++;
    std::vector<plan_op> &ops = threads_[event.thread];
    ops.push_back({uint8_t(kind_of(event.kind)), log2_alignment, 0, index,
                   event.kind == TRACE_FREE ? 0 : event.size});
    slot = {event.thread, ops.size()};
}

void Plan::add_sample(uint64_t event, const TraceEvent &last) {
    if (!samples_.empty() && samples_.back().event == event)
        return;
    threads_[last_thread_].push_back({OP_SAMPLE, 0, 0, uint32_t(samples_.size()), live_});
    samples_.push_back({event, double(last.time_ns) / 1e9, live_});
}

void Plan::write(const std::string &path) const {
    plan_header header{};
    header.magic = PLAN_MAGIC;
    header.threads = uint32_t(threads_.size());
    header.slots = uint32_t(slots_.size());
    header.samples = uint32_t(samples_.size());
    std::vector<plan_thread> table;
    for (const std::vector<plan_op> &ops : threads_) {
        table.push_back({header.ops, ops.size()});
        header.ops += ops.size();
    }
    std::ofstream file(path, std::ios::binary);
    const auto put = [&](const void *data, size_t size) {
        file.write(static_cast<const char *>(data), std::streamsize(size));
    };
    put(&header, sizeof header);
    put(table.data(), table.size() * sizeof table[0]);
    for (const std::vector<plan_op> &ops : threads_)
        put(ops.data(), ops.size() * sizeof(plan_op));
    if (!file.flush())
        throw TraceError(path + ": " + std::strerror(errno));
}

} // namespace osmem
