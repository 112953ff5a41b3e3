/*
 * The heap at moments of a recording, as maps: what the blocks tell that are live then.
 *
 * A recording knows blocks, not the allocator's tables. Free is what lies between blocks, up to the
 * end of the highest one so far; what lies in a region before the first block that it ever has
 * counts as metadata. A region belongs to the thread that allocates in it first. Which pages are in
 * memory is not known.
 */
#ifndef OSMEM_TOOLS_MAP_TRACE_MAP_H
#define OSMEM_TOOLS_MAP_TRACE_MAP_H

#include <string>
#include <vector>

#include "tools/map/snapshot.h"

namespace osmem {

struct TraceMoment {
    enum Kind { PEAK, END, SECOND } kind = PEAK; // PEAK: when most bytes were live
    double second = 0;
};

struct TraceMaps {
    std::vector<Snapshot> maps;      // in order of time
    size_t chosen;                   // which of them is of the moment asked for
    std::vector<std::string> damage; // what is missing of the trace
};

// Maps of `count` moments, the last event's among them, and of the one asked for. Failure if the
// file cannot be read, or is damaged unless `accept_damage`.
TraceMaps trace_maps(const std::string &path, const TraceMoment &moment, size_t count,
                     bool accept_damage);

} // namespace osmem

#endif
