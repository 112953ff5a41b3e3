#include "tools/report/report_process.h"

#include <algorithm>
#include <climits>
#include <vector>

#include <unistd.h>

#include "nlohmann/json.hpp"
#include "tools/table.h"

namespace osmem {

namespace {

// What lies on a page.
struct Page {
    uint64_t live = 0, blocks = 0;
};

class RegionCounter {
  public:
    RegionCounter(const SnapshotRegion &region, size_t page_bytes, ProcessReport *report)
        : region_(region), page_bytes_(page_bytes), report_(report),
          pages_(region.place.top * MAP_GRANULE_BYTES / page_bytes + 1) {}

    void count() {
        each_live([this](size_t begin, size_t end) {
            LiveSize &size = report_->sizes[end - begin];
            size.blocks++;
            size.bytes += end - begin;
            each_page(begin, end, [](Page &page, size_t, uint64_t bytes) {
                page.live += bytes;
                page.blocks++;
            });
        });
        each_live([this](size_t begin, size_t end) {
            bool pins = false;
            LiveSize &size = report_->sizes[end - begin];
            each_page(begin, end, [&](Page &page, size_t number, uint64_t) {
                if (!is_pinned(page, number))
                    return;
                pins = true;
                size.pages++;
                // A page with several blocks is held by each of them in part.
                size.free_bytes += (page_bytes_ - page.live) / page.blocks;
            });
            report_->pinning_blocks += pins;
        });
        for (size_t number = 0; number < pages_.size(); number++) {
            if (!is_pinned(pages_[number], number))
                continue;
            report_->pinned_pages++;
            report_->pinning_bytes += pages_[number].live;
            report_->pinned_free_bytes += page_bytes_ - pages_[number].live;
        }
    }

  private:
    // Pages that are the allocator's in part, or not reached yet, are no waste.
    bool is_pinned(const Page &page, size_t number) const {
        const size_t begin = number * page_bytes_, end = begin + page_bytes_;
        return page.blocks > 0 && page.live <= page_bytes_ / 8 &&
               begin >= region_.place.first * MAP_GRANULE_BYTES &&
               end <= region_.place.top * MAP_GRANULE_BYTES &&
               is_resident(region_.residency, begin, page_bytes_);
    }

    template <typename Visit> void each_live(Visit visit) {
        for (size_t granule = region_.place.first; granule < region_.place.top;) {
            const Block block = snapshot_block(region_, granule);
            if (!block.is_free)
                visit(block.begin * MAP_GRANULE_BYTES, block.end * MAP_GRANULE_BYTES);
            granule = block.end;
        }
    }

    template <typename Visit> void each_page(size_t begin, size_t end, Visit visit) {
        for (size_t at = begin; at < end;) {
            const size_t number = at / page_bytes_;
            const size_t stop = std::min(end, (number + 1) * page_bytes_);
            visit(pages_[number], number, stop - at);
            at = stop;
        }
    }

    const SnapshotRegion &region_;
    const size_t page_bytes_;
    ProcessReport *const report_;
    std::vector<Page> pages_;
};

using SizeLine = std::pair<uint64_t, LiveSize>;

template <typename Value>
std::vector<SizeLine> largest(const ProcessReport &report, size_t most, Value value) {
    std::vector<SizeLine> lines;
    for (const SizeLine line : report.sizes)
        if (value(line.second) > 0)
            lines.push_back(line);
    std::stable_sort(lines.begin(), lines.end(), [&](const SizeLine &a, const SizeLine &b) {
        return value(a.second) > value(b.second);
    });
    lines.resize(std::min(lines.size(), most));
    return lines;
}

} // namespace

ProcessReport process_report(const Snapshot &snapshot) {
    ProcessReport report{};
    report.totals = snapshot_totals(snapshot);
    for (const SnapshotRegion &region : snapshot.regions)
        RegionCounter(region, snapshot.header.page_bytes, &report).count();
    for (const SnapshotMapping &mapping : snapshot.mappings) {
        if (mapping.place.kept)
            continue;
        LiveSize &size = report.sizes[mapping.place.requested];
        size.blocks++;
        size.bytes += mapping.place.requested;
    }
    return report;
}

namespace {

// Its arguments may not be what they were: servers write their state over them.
std::string program_of(pid_t process) {
    char path[PATH_MAX];
    const std::string link = "/proc/" + std::to_string(process) + "/exe";
    const ssize_t length = readlink(link.c_str(), path, sizeof path);
    return length <= 0 ? "CMD" : std::string(path, size_t(length));
}

} // namespace

void process_report_print(pid_t process, const ProcessReport &report, size_t top, FILE *file) {
    const Totals &totals = report.totals;
    const std::string program = program_of(process);
    const auto bytes = [](uint64_t value) { return bytes_text(double(value)); };
    std::fprintf(
        file,
        "process %d runs on osmem, but is not being recorded, so who allocated what, and when, is\n"
        "not known. To see call sites, growth and leaks, start it by osmem record:\n"
        "\n"
        "    osmem record -- %s [ARG]...\n"
        "\n"
        "live      %s in %zu blocks of the heap, %s in %zu mapped ones\n"
        "free      %s in the heap, %s of it not in memory; %s kept in mappings\n"
        "resident  %s\n",
        int(process), program.substr(program.rfind('/') + 1).c_str(),
        bytes(totals.allocated).c_str(), totals.allocated_blocks, bytes(totals.mapped).c_str(),
        totals.mapped_blocks, bytes(totals.free).c_str(), bytes(totals.purged).c_str(),
        bytes(totals.mapped_cached).c_str(), bytes(totals.resident).c_str());

    std::fprintf(file, "\nLive blocks by size\n\n");
    std::vector<Row> rows = {{"block size", "blocks", "bytes", ""}};
    for (const auto &[size, line] :
         largest(report, top, [](const LiveSize &each) { return each.bytes; }))
        rows.push_back({std::to_string(size), std::to_string(line.blocks), bytes(line.bytes), ""});
    print_rows(rows, file);

    std::fprintf(file,
                 "\nPinned pages: in memory, with an eighth of them at most in live blocks\n\n");
    if (report.pinned_pages == 0) {
        std::fprintf(file, "none\n");
        return;
    }
    std::fprintf(file,
                 "%llu live blocks of %s in all hold %llu pages: %s are free on them and cannot go "
                 "back\n\n",
                 static_cast<unsigned long long>(report.pinning_blocks),
                 bytes(report.pinning_bytes).c_str(),
                 static_cast<unsigned long long>(report.pinned_pages),
                 bytes(report.pinned_free_bytes).c_str());
    rows = {{"block size", "blocks", "pages", "free on them", ""}};
    for (const auto &[size, line] :
         largest(report, top, [](const LiveSize &each) { return each.free_bytes; }))
        rows.push_back({std::to_string(size), std::to_string(line.blocks),
                        std::to_string(line.pages), bytes(line.free_bytes), ""});
    print_rows(rows, file);
}

std::string process_report_json(pid_t process, const ProcessReport &report) {
    nlohmann::ordered_json json;
    const Totals &totals = report.totals;
    json["pid"] = process;
    json["recorded"] = false; // no call sites, no history
    json["program"] = program_of(process);
    json["live"] = {{"bytes", totals.allocated}, {"blocks", totals.allocated_blocks}};
    json["mapped"] = {{"bytes", totals.mapped}, {"blocks", totals.mapped_blocks}};
    json["free_bytes"] = totals.free;
    json["purged_bytes"] = totals.purged;
    json["kept_bytes"] = totals.mapped_cached;
    json["resident_bytes"] = totals.resident;
    json["pinned"] = {{"pages", report.pinned_pages},
                      {"blocks", report.pinning_blocks},
                      {"live_bytes", report.pinning_bytes},
                      {"free_bytes", report.pinned_free_bytes}};
    json["sizes"] = nlohmann::ordered_json::array();
    for (const auto &[size, line] : report.sizes)
        json["sizes"].push_back({{"size", size},
                                 {"blocks", line.blocks},
                                 {"bytes", line.bytes},
                                 {"pinned_pages", line.pages},
                                 {"pinned_free_bytes", line.free_bytes}});
    return json.dump(2) + "\n";
}

} // namespace osmem
