/*
 * A trace turned into a plan for the player (plan.h).
 */
#ifndef OSMEM_TOOLS_REPLAY_PLANNER_H
#define OSMEM_TOOLS_REPLAY_PLANNER_H

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/replay/plan.h"
#include "tools/trace/reader.h"

namespace osmem {

struct PlanSample {
    uint64_t event; // how many events had been
    double time_s;  // of the trace
    uint64_t live;  // bytes
};

// What a trace asks for, whoever serves it.
struct TraceOutline {
    uint64_t events = 0;
    uint64_t peak_live = 0;   // bytes asked for in live blocks, at most
    uint64_t peak_event = 0;  // and after how many events
    uint64_t peak_blocks = 0; // live blocks, at most
};

// The first `most_events` of the trace (0: all).
TraceOutline outline_of(TraceReader &trace, uint64_t most_events);

class Plan {
  public:
    enum class Order {
        FREE,   // threads wait for each other only where they must
        STRICT, // one operation at a time, all in the order of the trace; with samples
    };

    // About `samples` samples at equal distances in events, and one at the peak of live bytes.
    Plan(TraceReader &trace, const TraceOutline &outline, Order order, uint64_t samples = 0);

    // TraceError if that is not possible.
    void write(const std::string &path) const;

    const std::vector<PlanSample> &samples() const { return samples_; }
    size_t threads() const { return threads_.size(); }

  private:
    struct Slot {
        uint32_t thread; // that used it last,
        uint64_t done;   // which is certain when this thread has done so many operations
    };

    uint32_t slot_for(const TraceEvent &event);
    void add_event(const TraceEvent &event);
    void add_sample(uint64_t event, const TraceEvent &last);
    void switch_to(uint32_t thread);
    void wait(uint32_t thread, uint32_t other, uint64_t done);

    const Order order_;
    std::vector<std::vector<plan_op>> threads_;
    std::vector<bool> started_;
    uint32_t last_thread_ = 0;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_slots_;
    std::unordered_map<uint64_t, uint32_t> slot_of_; // by the trace's number of the block
    std::unordered_map<uint64_t, uint64_t> waited_;  // (thread, other): for how much already
    uint64_t live_ = 0;
    std::vector<PlanSample> samples_;
};

} // namespace osmem

#endif
