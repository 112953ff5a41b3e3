#include "tools/report/advice.h"

#include <algorithm>

#include "tools/table.h"

namespace osmem {

namespace {

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::string percent(double part, double whole) {
    return formatted("%.0f %%", 100 * share(part, whole));
}

std::string blocks_text(uint64_t count) {
    return std::to_string(count) + (count == 1 ? " block" : " blocks");
}

template <typename Value> const Site *most(const Analysis &analysis, Value value) {
    const Site *best = nullptr;
    for (const Site &site : analysis.sites)
        if (value(site) > 0 && (best == nullptr || value(site) > value(*best)))
            best = &site;
    return best;
}

class Adviser {
  public:
    Adviser(const TraceInfo &info, const Analysis &analysis,
            const std::function<std::string(int64_t)> &name)
        : info_(info), all_(analysis), name_(name) {}

    std::vector<Advice> advice() {
        growth();
        leaks();
        pinned();
        short_lived();
        moves();
        peak();
        large();
        crossed();
        rounding();
        return found_;
    }

  private:
    void say(const std::string &topic, const std::string &text) { found_.push_back({topic, text}); }

    std::string from(const Site *site) {
        return site == nullptr ? "" : ", most of all from " + name_(site->stack);
    }

    void growth() {
        const Site *site =
            most(all_, [](const Site &each) { return each.grows_steadily() ? each.growth() : 0; });
        if (site == nullptr || site->growth() < double(all_.peak_bytes) / 20)
            return;
        say("growth",
            "What " + name_(site->stack) + " allocates grows steadily, by about " +
                bytes_text(site->growth()) +
                " in the second half of the trace: if this is a cache, bound it; if not, it is a "
                "leak.");
    }

    void leaks() {
        if (!info_.finished || all_.end_bytes < 4096 ||
            share(double(all_.end_bytes), double(all_.peak_bytes)) < 0.02)
            return;
        say("leak", blocks_text(all_.end_blocks) + " of " + bytes_text(double(all_.end_bytes)) +
                        " in all were never freed" +
                        from(most(all_, [](const Site &site) { return site.end_bytes; })) +
                        ". What lives as long as the program may stay; what is made again and "
                        "again must not.");
    }

    void pinned() {
        const Pins &pins = all_.pins;
        if (pins.free_bytes < 64 * 1024 ||
            share(double(pins.free_bytes), double(all_.peak_bytes)) < 0.03)
            return;
        std::string who;
        if (!pins.by_size.empty()) {
            const Pin &first = pins.by_size.front();
            who = "; most by those of " + bytes_text(double(first.size)) +
                  (first.stack >= 0 ? ", as from " + name_(first.stack) : "");
        }
        say("pinned",
            blocks_text(pins.blocks) + " of " + bytes_text(double(pins.live_bytes)) +
                " in all hold " + std::to_string(pins.pages) + " pages, of which " +
                bytes_text(double(pins.free_bytes)) + " are free but cannot go back to the kernel" +
                who +
                ". Allocate what lives long before or apart from what is temporary around it: at "
                "the start, from a pool of its own, or in larger pieces.");
    }

    void short_lived() {
        const double part = share(double(all_.short_lived), double(all_.allocations));
        if (part < 0.3 || all_.allocations < 1000)
            return;
        const auto size =
            std::max_element(all_.short_sizes.begin(), all_.short_sizes.end(),
                             [](const auto &a, const auto &b) { return a.second < b.second; });
        say("short-lived",
            percent(double(all_.short_lived), double(all_.allocations)) +
                " of all blocks die before " + bytes_text(double(SHORT_LIVED)) +
                " more are allocated; the most frequent size is " + std::to_string(size->first) +
                " bytes (" + std::to_string(size->second) + " times)" +
                from(most(all_, [](const Site &site) { return site.short_blocks; })) +
                ". A variable on the stack or a buffer that is kept costs nothing.");
    }

    void moves() {
        if (all_.moved_bytes < 64 * 1024 ||
            share(double(all_.moved_bytes), double(all_.allocated_bytes)) < 0.1)
            return;
        say("realloc", "realloc moved blocks " + std::to_string(all_.moves) + " times and copied " +
                           bytes_text(double(all_.moved_bytes)) + ", " +
                           percent(double(all_.moved_bytes), double(all_.allocated_bytes)) +
                           " of all bytes allocated: reserve the size that will be needed, or grow "
                           "by a factor.");
    }

    void peak() {
        if (share(all_.average_bytes, double(all_.peak_bytes)) > 0.4 ||
            all_.peak_bytes < 256 * 1024)
            return;
        say("peak",
            "The peak is " + formatted("%.1f", double(all_.peak_bytes) / all_.average_bytes) +
                " times the average, and comes after " +
                percent(double(all_.peak_event), double(info_.events)) +
                " of the events: what is held only then decides how much memory the program needs" +
                from(most(all_,
                          [](const Site &site) {
                              return site.moment_bytes - site.live_at[CHECKPOINTS / 2];
                          })) +
                ".");
    }

    void large() {
        if (all_.large < 1000 || share(double(all_.large), double(all_.allocations)) < 0.001)
            return;
        say("large", std::to_string(all_.large) +
                         " times a block of 128 KiB or more is asked for, each a mapping of its "
                         "own: keep such buffers and use them again.");
    }

    void crossed() {
        if (share(double(all_.crossed_frees), double(all_.frees)) < 0.2 || all_.frees < 1000)
            return;
        say("threads",
            percent(double(all_.crossed_frees), double(all_.frees)) +
                " of all blocks are freed by another thread than the one that allocated them, "
                "which is dearer: let them go back to where they come from, or pass larger ones.");
    }

    void rounding() {
        if (share(double(all_.rounding_bytes), double(all_.allocated_bytes)) < 0.1 ||
            all_.allocated_bytes < 1024 * 1024)
            return;
        say("rounding", "Sizes are rounded up to multiples of 16, by " +
                            percent(double(all_.rounding_bytes), double(all_.allocated_bytes)) +
                            " of the bytes here: several small objects in one block waste less.");
    }

    const TraceInfo &info_;
    const Analysis &all_;
    const std::function<std::string(int64_t)> &name_;
    std::vector<Advice> found_;
};

} // namespace

std::vector<Advice> advice_on(const TraceInfo &info, const Analysis &analysis,
                              const std::function<std::string(int64_t)> &name) {
    return Adviser(info, analysis, name).advice();
}

} // namespace osmem
