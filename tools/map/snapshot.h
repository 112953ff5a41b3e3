/*
 * A map of all heaps of a process at one moment, in memory: read from a file of osmem/map_format.h
 * or from a process, and counted.
 */
#ifndef OSMEM_TOOLS_MAP_SNAPSHOT_H
#define OSMEM_TOOLS_MAP_SNAPSHOT_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "osmem/map_format.h"
#include "utils/osmem.h"

namespace osmem {

constexpr size_t MAP_GRANULE_BYTES = 16;
constexpr size_t MAP_LINE_GRANULES = 64;
constexpr size_t MAP_LINE_BYTES = MAP_GRANULE_BYTES * MAP_LINE_GRANULES;

struct SnapshotRegion {
    map_region place;
    std::vector<uint64_t> tags;      // starts and free of each line
    std::vector<uint64_t> remote;    // a word for each line
    std::vector<uint64_t> residency; // a bit for each page; empty: not known
    uint64_t unrequested = 0;        // bytes in live blocks that nobody asked for, where known
};

struct SnapshotMapping {
    map_mapping place;
    std::vector<uint64_t> residency;
};

struct Snapshot {
    map_header header;
    std::optional<os_stats> statistics; // what the process itself counted
    std::vector<map_heap> heaps;
    std::vector<SnapshotRegion> regions; // in address order
    std::vector<SnapshotMapping> mappings;
    std::vector<map_site> sites;
    std::string text;
};

struct Block {
    size_t begin, end; // granules from the region's start
    bool is_free;
};

// The block that starts at `granule`, below the region's top: ends at the next start.
Block snapshot_block(const SnapshotRegion &region, size_t granule);

// Whether the page at that many bytes from the start of what `residency` describes is in memory;
// true where that is not known.
bool is_resident(const std::vector<uint64_t> &residency, size_t offset, size_t page_bytes);

// The names are those of os_stats.
struct Totals {
    size_t requested;
    size_t allocated, allocated_blocks;
    size_t active;
    size_t free, free_blocks;
    size_t purged; // of the free bytes, those on pages that are not in memory
    size_t untouched, metadata, heap;
    size_t mapped, mapped_blocks, mapped_cached;
    size_t resident, heaps;
};

// Counts the blocks, block by block.
Totals snapshot_totals(const Snapshot &snapshot);
// The same of one heap, without mappings.
Totals snapshot_heap_totals(const Snapshot &snapshot, uint64_t heap);

// The same as statistics; calls of the system are not known.
os_stats snapshot_statistics(const Totals &totals);

// Failure, which begins with `name`, if that is not a whole map.
Snapshot snapshot_parse(const std::string &bytes, const std::string &name);

// The records of the file, header first.
std::vector<std::string> snapshot_records(const Snapshot &snapshot);

} // namespace osmem

#endif
