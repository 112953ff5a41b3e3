#include "tools/map/snapshot.h"

#include <algorithm>
#include <cstring>

#include "tools/command.h"

namespace osmem {

namespace {

size_t residency_words(size_t bytes, size_t page_bytes) {
    const size_t pages = (bytes + page_bytes - 1) / page_bytes;
    return (pages + 63) / 64;
}

// ---- reading -----------------------------------------------------------------------------------

class Reader {
  public:
    Reader(const std::string &bytes, size_t begin, size_t end, const std::string &name)
        : bytes_(bytes), at_(begin), end_(end), name_(name) {}

    bool has(size_t size) const { return size <= end_ - at_; }
    size_t left() const { return end_ - at_; }
    size_t position() const { return at_; }

    void read(void *to, size_t size) {
        if (!has(size))
            fail();
        if (size > 0)
            std::memcpy(to, bytes_.data() + at_, size);
        at_ += size;
    }
    template <typename T> T read() {
        T value;
        read(&value, sizeof value);
        return value;
    }
    std::vector<uint64_t> words(size_t count) {
        if (count > left() / sizeof(uint64_t))
            fail();
        std::vector<uint64_t> result(count);
        read(result.data(), count * sizeof(uint64_t));
        return result;
    }
    Reader part(size_t size) {
        if (!has(size))
            fail();
        Reader result(bytes_, at_, at_ + size, name_);
        at_ += size;
        return result;
    }
    [[noreturn]] void fail() const { throw Failure(name_ + ": the map is damaged or cut short"); }

  private:
    const std::string &bytes_;
    size_t at_;
    const size_t end_;
    const std::string &name_;
};

// Fields that the writer's version did not have are 0.
void parse_statistics(Reader record, Snapshot *snapshot) {
    snapshot->statistics.emplace();
    record.read(&*snapshot->statistics, std::min(sizeof(os_stats), record.left()));
}

void parse_region(Reader record, Snapshot *snapshot) {
    const map_header &header = snapshot->header;
    SnapshotRegion region{record.read<map_region>(), {}, {}, {}, 0};
    const map_region &place = region.place;
    const size_t lines = (place.top + MAP_LINE_GRANULES - 1) / MAP_LINE_GRANULES;
    if (place.first % MAP_LINE_GRANULES != 0 || place.first > place.top ||
        place.top > place.committed || place.committed > header.region_bytes / MAP_GRANULE_BYTES ||
        place.lines != lines - place.first / MAP_LINE_GRANULES)
        record.fail();
    if (!(header.flags & MAP_NO_RESIDENCY))
        region.residency =
            record.words(residency_words(place.committed * MAP_GRANULE_BYTES, header.page_bytes));
    region.tags = record.words(2 * place.lines);
    region.remote = record.words(place.lines);
    snapshot->regions.push_back(std::move(region));
}

void parse_mapping(Reader record, Snapshot *snapshot) {
    SnapshotMapping mapping{record.read<map_mapping>(), {}};
    if (!(snapshot->header.flags & MAP_NO_RESIDENCY))
        mapping.residency =
            record.words(residency_words(mapping.place.length, snapshot->header.page_bytes));
    snapshot->mappings.push_back(std::move(mapping));
}

void parse_text(Reader record, Snapshot *snapshot) {
    snapshot->text.resize(record.left());
    record.read(snapshot->text.data(), snapshot->text.size());
}

void parse_sites(Reader record, Snapshot *snapshot) {
    while (record.left() > 0)
        snapshot->sites.push_back(record.read<map_site>());
}

void parse_record(uint32_t type, Reader record, Snapshot *snapshot) {
    switch (type) {
    case MAP_STATISTICS:
        parse_statistics(record, snapshot);
        break;
    case MAP_HEAP:
        snapshot->heaps.push_back(record.read<map_heap>());
        break;
    case MAP_REGION:
        parse_region(record, snapshot);
        break;
    case MAP_MAPPING:
        parse_mapping(record, snapshot);
        break;
    case MAP_SITES:
        parse_sites(record, snapshot);
        break;
    case MAP_TEXT:
        parse_text(record, snapshot);
        break;
    default: // of a later version
        break;
    }
}

// ---- writing -----------------------------------------------------------------------------------

template <typename T> void append(std::string *bytes, const T &value) {
    bytes->append(reinterpret_cast<const char *>(&value), sizeof value);
}

void append_words(std::string *bytes, const std::vector<uint64_t> &words) {
    bytes->append(reinterpret_cast<const char *>(words.data()), words.size() * sizeof(uint64_t));
}

std::string record_of(map_record_type type, std::string payload) {
    payload.resize((payload.size() + 7) / 8 * 8);
    std::string record;
    append(&record, map_record{uint32_t(type), 0, payload.size()});
    return record + payload;
}

template <typename T> std::string plain_record(map_record_type type, const T &value) {
    std::string payload;
    append(&payload, value);
    return record_of(type, payload);
}

std::string region_record(const SnapshotRegion &region) {
    std::string payload;
    append(&payload, region.place);
    append_words(&payload, region.residency);
    append_words(&payload, region.tags);
    append_words(&payload, region.remote);
    return record_of(MAP_REGION, payload);
}

std::string mapping_record(const SnapshotMapping &mapping) {
    std::string payload;
    append(&payload, mapping.place);
    append_words(&payload, mapping.residency);
    return record_of(MAP_MAPPING, payload);
}

// ---- counting ----------------------------------------------------------------------------------

size_t resident_bytes(const std::vector<uint64_t> &residency, size_t page_bytes) {
    size_t pages = 0;
    for (const uint64_t word : residency)
        pages += size_t(__builtin_popcountll(word));
    return pages * page_bytes;
}

size_t purged_bytes(const SnapshotRegion &region, const Block &block, size_t page_bytes) {
    size_t purged = 0;
    const size_t end = block.end * MAP_GRANULE_BYTES;
    for (size_t offset = block.begin * MAP_GRANULE_BYTES; offset < end;) {
        const size_t next = std::min(end, offset / page_bytes * page_bytes + page_bytes);
        if (!is_resident(region.residency, offset, page_bytes))
            purged += next - offset;
        offset = next;
    }
    return purged;
}

void count_region(const SnapshotRegion &region, size_t page_bytes, Totals *totals) {
    const map_region &place = region.place;
    size_t active_end = 0;
    for (size_t granule = place.first; granule < place.top;) {
        const Block block = snapshot_block(region, granule);
        const size_t bytes = (block.end - block.begin) * MAP_GRANULE_BYTES;
        if (block.is_free) {
            totals->free += bytes;
            totals->free_blocks++;
            totals->purged += purged_bytes(region, block, page_bytes);
        } else {
            totals->allocated += bytes;
            totals->allocated_blocks++;
            const size_t begin = block.begin * MAP_GRANULE_BYTES / page_bytes * page_bytes;
            const size_t end =
                (block.end * MAP_GRANULE_BYTES + page_bytes - 1) / page_bytes * page_bytes;
            totals->active += end - std::min(end, std::max(begin, active_end));
            totals->requested += bytes;
            active_end = end;
        }
        granule = block.end;
    }
    totals->requested -= region.unrequested;
    totals->untouched += (place.committed - place.top) * MAP_GRANULE_BYTES;
    totals->metadata += place.first * MAP_GRANULE_BYTES;
    totals->heap += place.committed * MAP_GRANULE_BYTES;
    totals->resident += resident_bytes(region.residency, page_bytes);
}

} // namespace

Block snapshot_block(const SnapshotRegion &region, size_t granule) {
    const map_region &place = region.place;
    const size_t first_line = place.first / MAP_LINE_GRANULES;
    size_t line = granule / MAP_LINE_GRANULES - first_line;
    const uint64_t bit = uint64_t{1} << granule % MAP_LINE_GRANULES;
    const uint64_t starts = region.tags[2 * line], free = region.tags[2 * line + 1];
    const bool is_free = (starts & free & bit) != 0 || (region.remote[line] & bit) != 0;
    uint64_t later = starts & ~(bit | (bit - 1));
    while (later == 0 && ++line < place.lines)
        later = region.tags[2 * line];
    if (later == 0)
        return {granule, place.top, is_free};
    const size_t end = (first_line + line) * MAP_LINE_GRANULES + size_t(__builtin_ctzll(later));
    return {granule, std::min<size_t>(end, place.top), is_free};
}

bool is_resident(const std::vector<uint64_t> &residency, size_t offset, size_t page_bytes) {
    const size_t page = offset / page_bytes;
    return residency.empty() || (residency[page / 64] >> page % 64 & 1) != 0;
}

Totals snapshot_heap_totals(const Snapshot &snapshot, uint64_t heap) {
    Totals totals{};
    for (const SnapshotRegion &region : snapshot.regions)
        if (region.place.heap == heap)
            count_region(region, snapshot.header.page_bytes, &totals);
    totals.heaps = 1;
    return totals;
}

Totals snapshot_totals(const Snapshot &snapshot) {
    const size_t page_bytes = snapshot.header.page_bytes;
    Totals totals{};
    for (const SnapshotRegion &region : snapshot.regions)
        count_region(region, page_bytes, &totals);
    for (const SnapshotMapping &mapping : snapshot.mappings) {
        (mapping.place.kept ? totals.mapped_cached : totals.mapped) += mapping.place.length;
        totals.mapped_blocks += !mapping.place.kept;
        totals.active += mapping.place.kept ? 0 : mapping.place.length;
        totals.requested += mapping.place.requested;
        totals.resident += resident_bytes(mapping.residency, page_bytes);
    }
    totals.heaps = snapshot.heaps.size();
    return totals;
}

os_stats snapshot_statistics(const Totals &totals) {
    os_stats stats{};
    stats.requested = totals.requested;
    stats.allocated = totals.allocated;
    stats.allocated_blocks = totals.allocated_blocks;
    stats.active = totals.active;
    stats.free = totals.free;
    stats.free_blocks = totals.free_blocks;
    stats.untouched = totals.untouched;
    stats.metadata = totals.metadata;
    stats.heap = totals.heap;
    stats.mapped = totals.mapped;
    stats.mapped_blocks = totals.mapped_blocks;
    stats.mapped_cached = totals.mapped_cached;
    stats.resident = totals.resident;
    stats.heaps = totals.heaps;
    return stats;
}

Snapshot snapshot_parse(const std::string &bytes, const std::string &name) {
    if (bytes.compare(0, sizeof map_header::magic, MAP_MAGIC) != 0)
        throw Failure(name + ": not a map of a heap");
    Reader reader(bytes, 0, bytes.size(), name);
    Snapshot snapshot{};
    snapshot.header = reader.read<map_header>();
    if (snapshot.header.version != MAP_VERSION)
        throw Failure(name + ": a map in version " + std::to_string(snapshot.header.version) +
                      ", this tool knows " + std::to_string(MAP_VERSION));
    const map_header &header = snapshot.header;
    if (header.granule_bytes != MAP_GRANULE_BYTES || header.page_bytes < MAP_LINE_BYTES ||
        (header.page_bytes & (header.page_bytes - 1)) != 0)
        reader.fail();
    for (;;) {
        const map_record record = reader.read<map_record>();
        if (record.type == MAP_END)
            break;
        parse_record(record.type, reader.part(record.bytes), &snapshot);
    }
    std::sort(snapshot.regions.begin(), snapshot.regions.end(),
              [](const SnapshotRegion &a, const SnapshotRegion &b) {
                  return a.place.address < b.place.address;
              });
    std::sort(snapshot.mappings.begin(), snapshot.mappings.end(),
              [](const SnapshotMapping &a, const SnapshotMapping &b) {
                  return a.place.address < b.place.address;
              });
    return snapshot;
}

std::vector<std::string> snapshot_records(const Snapshot &snapshot) {
    std::string header;
    append(&header, snapshot.header);
    std::vector<std::string> records = {header};
    if (snapshot.statistics)
        records.push_back(plain_record(MAP_STATISTICS, *snapshot.statistics));
    for (const map_heap &heap : snapshot.heaps)
        records.push_back(plain_record(MAP_HEAP, heap));
    for (const SnapshotRegion &region : snapshot.regions)
        records.push_back(region_record(region));
    for (const SnapshotMapping &mapping : snapshot.mappings)
        records.push_back(mapping_record(mapping));
    if (!snapshot.sites.empty()) {
        std::string payload;
        for (const map_site &site : snapshot.sites)
            append(&payload, site);
        records.push_back(record_of(MAP_SITES, payload));
    }
    if (!snapshot.text.empty())
        records.push_back(record_of(MAP_TEXT, snapshot.text));
    records.push_back(record_of(MAP_END, ""));
    return records;
}

} // namespace osmem
