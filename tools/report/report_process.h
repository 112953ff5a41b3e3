/*
 * What can be told of a process that runs on osmem without being recorded: its blocks as they lie
 * at this moment (tools/map/process_map.h), their sizes, and which few of them keep pages in
 * memory. Who allocated them, and when, nobody has written down.
 */
#ifndef OSMEM_TOOLS_REPORT_REPORT_PROCESS_H
#define OSMEM_TOOLS_REPORT_REPORT_PROCESS_H

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

#include <sys/types.h>

#include "tools/map/snapshot.h"

namespace osmem {

// Live blocks of one size.
struct LiveSize {
    uint64_t blocks = 0, bytes = 0;
    uint64_t pages = 0, free_bytes = 0; // pages that they pin, and what is free there
};

struct ProcessReport {
    Totals totals;
    std::map<uint64_t, LiveSize> sizes; // whole granules; mapped blocks: as asked for
    // Pages of the heap that are in memory, with an eighth of them at most in live blocks.
    uint64_t pinned_pages = 0, pinning_blocks = 0, pinning_bytes = 0, pinned_free_bytes = 0;
};

ProcessReport process_report(const Snapshot &snapshot);

void process_report_print(pid_t process, const ProcessReport &report, size_t top, FILE *file);
std::string process_report_json(pid_t process, const ProcessReport &report);

} // namespace osmem

#endif
