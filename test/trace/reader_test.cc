// The reader of traces: order, blocks and damage. Traces are made up byte by byte, or stored ones
// are damaged.
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "test/tools/shell.h"
#include "test/trace/maker.h"
#include "tools/trace/format.h"
#include "tools/trace/reader.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

const std::string DATA = "test/trace/data/";

std::vector<TraceEvent> events_of(TraceReader &trace) {
    std::vector<TraceEvent> events;
    trace.rewind();
    for (TraceEvent event; trace.next(&event);)
        events.push_back(event);
    return events;
}

std::string text_of(const std::vector<TraceEvent> &events) {
    std::string text;
    for (const TraceEvent &event : events) {
        text += text.empty() ? "" : " ";
        text += event.kind == TRACE_FREE ? "-" : event.kind == TRACE_REALLOC ? "=" : "+";
        text += event.block == TraceEvent::NO_BLOCK ? "?" : std::to_string(event.block);
        text += event.implied ? "!" : "";
    }
    return text;
}

std::string read(Maker &maker) {
    TraceReader trace(maker.write());
    return text_of(events_of(trace));
}

// ---- order -------------------------------------------------------------------------------------

TEST(Order, ThreadsAreMergedByTime) {
    Maker maker;
    maker.chunk(0, 0).allocate(10, 0x1000, 1).allocate(30, 0x2000, 1);
    maker.chunk(1, 0).release(20, 0x1000).allocate(25, 0x1000, 2).release(40, 0x2000);
    EXPECT_EQ(read(maker), "+0 -0 +1 +2 -2");
}

TEST(Order, AtTheSameInstantAddressesAreGivenUpFirst) {
    Maker maker;
    maker.chunk(0, 0).allocate(10, 0x1000, 1).release(20, 0x1000);
    maker.chunk(1, 0).allocate(20, 0x1000, 2);
    EXPECT_EQ(read(maker), "+0 -0 +1");
    Maker other;
    other.chunk(0, 0).allocate(20, 0x1000, 2);
    other.chunk(1, 0).allocate(10, 0x1000, 1).release(20, 0x1000);
    EXPECT_EQ(read(other), "+0 -0 +1");
}

TEST(Order, ChunksOfAThreadFollowEachOther) {
    Maker maker;
    maker.chunk(0, 100).allocate(110, 0x1000, 1).chunk(1, 0).allocate(50, 0x5000, 1);
    maker.chunk(0, 200).release(210, 0x1000);
    EXPECT_EQ(read(maker), "+0 +1 -1");
}

// A thread that goes on in a chunk which another one has left long ago.
TEST(Order, ChunksFollowEachOtherByTheirEventsNotByTheirBeginnings) {
    Maker maker;
    maker.chunk(0, 10).allocate(300, 0x1000, 1).chunk(0, 100).allocate(110, 0x1000, 2);
    maker.release(120, 0x1000);
    EXPECT_EQ(read(maker), "+0 -0 +1");
}

// What a processor does when it works ahead.
TEST(Order, AnEventThatIsEarlyWaitsForTheOneThatMustPrecedeIt) {
    Maker frees;
    frees.chunk(0, 0).allocate(100, 0x1000, 1).allocate(200, 0x2000, 1);
    frees.chunk(1, 0).release(90, 0x1000).release(150, 0x2000);
    EXPECT_EQ(read(frees), "+0 -0 +1 -1");
    Maker allocates;
    allocates.chunk(0, 0).allocate(10, 0x1000, 1).release(100, 0x1000);
    allocates.chunk(1, 0).allocate(90, 0x1000, 2).release(95, 0x1000);
    EXPECT_EQ(read(allocates), "+0 -0 +1 -1");
    Maker moves;
    moves.chunk(0, 0).allocate(10, 0x1000, 1).resize(50, 60, 0x1000, 0x2000, 2);
    moves.release(70, 0x2000);
    moves.chunk(1, 0).allocate(40, 0x1000, 3).resize(61, 65, 0x1000, 0x2000, 4);
    EXPECT_EQ(read(moves), "+0 +1 =0 -0 =1");
}

TEST(Order, TimesNeverGoBack) {
    Maker maker;
    maker.chunk(0, 0).allocate(100, 0x1000, 1).chunk(1, 0).release(90, 0x1000);
    TraceReader trace(maker.write());
    const std::vector<TraceEvent> events = events_of(trace);
    EXPECT_EQ(events[0].time_ns, 100u);
    EXPECT_EQ(events[1].time_ns, 100u);
}

// Whatever is not there cannot be waited for.
TEST(Order, WhoWaitsForNothingGoesOn) {
    Maker early;
    early.chunk(0, 0).release(10, 0x1000).allocate(20, 0x5000, 1);
    early.chunk(1, 0).allocate(30, 0x3000, 1).allocate(40 + TRACE_EARLY_MOST_NS, 0x1000, 2);
    TraceReader trace(early.write());
    EXPECT_EQ(text_of(events_of(trace)), "+0 -? +1 +2");
    EXPECT_EQ(trace.unknown_blocks(), 1u);
    Maker each_other;
    each_other.chunk(0, 0).release(10, 0x1000).allocate(20, 0x2000, 1);
    each_other.chunk(1, 0).release(11, 0x2000).allocate(21, 0x1000, 2);
    EXPECT_EQ(read(each_other), "-? +0 -0 +1");
}

// Another thread gets the old address while realloc is still copying.
TEST(Order, AMovingBlockGivesItsAddressUpWhenTheCallBegins) {
    Maker maker;
    maker.chunk(0, 0).allocate(10, 0x1000, 8).resize(20, 60, 0x1000, 0x2000, 99);
    maker.chunk(1, 0).allocate(40, 0x1000, 7).release(70, 0x2000).release(80, 0x1000);
    TraceReader trace(maker.write());
    const std::vector<TraceEvent> events = events_of(trace);
    EXPECT_EQ(text_of(events), "+0 +1 =0 -0 -1");
    EXPECT_EQ(events[2].old_address, 0x1000u);
    EXPECT_EQ(events[2].old_size, 8u);
    EXPECT_EQ(events[2].address, 0x2000u);
    EXPECT_EQ(events[3].size, 99u);
    EXPECT_EQ(trace.unknown_blocks() + trace.implied_frees(), 0u);
}

// ---- blocks ------------------------------------------------------------------------------------

TEST(Blocks, FromBeforeTheRecordingAreUnknown) {
    Maker maker;
    maker.chunk(0, 0).release(10, 0x1000).resize(20, 30, 0x2000, 0x3000, 5).release(40, 0x3000);
    TraceReader trace(maker.write());
    EXPECT_EQ(text_of(events_of(trace)), "-? +0 -0");
    EXPECT_EQ(trace.unknown_blocks(), 2u);
}

TEST(Blocks, WhoseFreeIsMissingAreFreedWhenTheirAddressIsGivenAway) {
    Maker maker;
    maker.chunk(0, 0).allocate(10, 0x1000, 1).allocate(20, 0x1000, 2);
    TraceReader trace(maker.write());
    EXPECT_EQ(text_of(events_of(trace)), "+0 -0! +1");
    EXPECT_EQ(trace.implied_frees(), 1u);
}

TEST(Blocks, AnyAddressIsKept) {
    Maker maker;
    maker.chunk(0, 0).allocate(1, 0x1008, 8).allocate(2, 0x7fffffffff10, 16);
    maker.allocate(3, 0x17, 1).allocate(4, 0x20, 1).release(5, 0x1008);
    TraceReader trace(maker.write());
    const std::vector<TraceEvent> events = events_of(trace);
    ASSERT_EQ(events.size(), 5u);
    EXPECT_EQ(events[0].address, 0x1008u);
    EXPECT_EQ(events[1].address, 0x7fffffffff10u);
    EXPECT_EQ(events[2].address, 0x17u);
    EXPECT_EQ(events[3].address, 0x20u);
    EXPECT_EQ(events[4].block, 0u);
}

TEST(Blocks, TheMapKeepsWhatAnOrdinaryOneKeeps) {
    std::mt19937_64 random(20240901);
    AddressMap<uint64_t> map;
    std::map<uint64_t, uint64_t> model;
    for (int step = 0; step < 200000; step++) {
        const uint64_t address = 16 * (1 + random() % 3000);
        if (random() % 2 == 0) {
            map.put(address, uint64_t(step));
            model[address] = uint64_t(step);
        } else {
            map.remove(address);
            model.erase(address);
        }
        ASSERT_EQ(map.size(), model.size());
    }
    for (uint64_t address = 16; address <= 16 * 3000; address += 16) {
        const uint64_t *found = map.find(address);
        ASSERT_EQ(found != nullptr, model.count(address) == 1);
        if (found != nullptr) {
            EXPECT_EQ(*found, model[address]);
        }
    }
}

TEST(Numbers, SurviveTheFile) {
    for (const uint64_t value : {uint64_t(0), uint64_t(127), uint64_t(128), UINT64_MAX}) {
        uint8_t bytes[10];
        const uint8_t *end = trace_put(bytes, value);
        uint64_t read = 1;
        EXPECT_EQ(trace_get(bytes, end, &read), end);
        EXPECT_EQ(read, value);
        EXPECT_EQ(trace_get(bytes, end - 1, &read), nullptr);
    }
    for (const int64_t value : {int64_t(0), int64_t(-1), int64_t(1), INT64_MAX, INT64_MIN})
        EXPECT_EQ(trace_unzigzag(trace_zigzag(value)), value);
}

// ---- stored traces -----------------------------------------------------------------------------

TEST(Stored, TracesAreWholeAndConsistent) {
    const std::map<std::string, uint64_t> events = {
        {"python3", 121820}, {"cc1plus", 57971}, {"sqlite3", 13530}, {"redis", 57385}};
    for (const auto &[name, count] : events) {
        TraceReader trace(DATA + name + ".osmem");
        EXPECT_EQ(trace.info().events, count) << name;
        EXPECT_EQ(trace_info(DATA + name + ".osmem").events, count) << name;
        EXPECT_EQ(events_of(trace).size(), count) << name;
        EXPECT_EQ(events_of(trace).size(), count) << name; // rewound
        EXPECT_EQ(trace.position(), count) << name;
        EXPECT_EQ(trace.unknown_blocks() + trace.implied_frees(), 0u) << name;
        EXPECT_TRUE(trace.info().finished) << name;
    }
}

// ---- damage ------------------------------------------------------------------------------------

// Every way to cut a trace off is found, and what is whole of it can be read.
TEST(Damage, ACutIsFound) {
    const std::string whole = file_contents(DATA + "sqlite3.osmem");
    TraceReader reader(DATA + "sqlite3.osmem");
    const std::string expected = text_of(events_of(reader));
    const std::string path = scratch_file("cut.osmem");
    std::mt19937 random(42);
    for (int round = 0; round < 100; round++) {
        const size_t size = random() % whole.size();
        file_write(path, whole.substr(0, size));
        EXPECT_THROW(TraceReader{path}, TraceError) << size;
        if (size < TRACE_HEADER_BYTES)
            continue;
        TraceReader cut(path, true);
        EXPECT_FALSE(cut.damage().empty()) << size;
        const std::string there = text_of(events_of(cut));
        EXPECT_EQ(expected.compare(0, there.size(), there), 0) << size;
        EXPECT_GE(cut.info().events * 6.0, double(size) - 20000) << size;
    }
}

Maker small_trace() {
    Maker maker;
    maker.chunk(0, 0).allocate(10, 0x1000, 100).allocate(20, 0x20000, 70000).release(30, 0x1000);
    maker.chunk(1, 5).allocate(15, 0x1008, 8).resize(40, 50, 0x20000, 0x30000, 5);
    maker.release(60, 0x30000);
    return maker;
}

// For files that change thousands of times: on a disk each change may wait for the one before.
class MemoryFile {
  public:
    explicit MemoryFile(const std::string &bytes) : file_(memfd_create("trace", MFD_CLOEXEC)) {
        EXPECT_EQ(pwrite(file_, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
    }
    ~MemoryFile() { close(file_); }
    MemoryFile(const MemoryFile &) = delete;
    MemoryFile &operator=(const MemoryFile &) = delete;

    std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }
    void cut(size_t size) { EXPECT_EQ(ftruncate(file_, off_t(size)), 0); }
    void put(size_t at, char byte) { EXPECT_EQ(pwrite(file_, &byte, 1, off_t(at)), 1); }

  private:
    const int file_;
};

TEST(Damage, ACutIsFoundWhereverItIs) {
    const std::string whole = file_contents(small_trace().write());
    MemoryFile file(whole);
    const std::string path = file.path();
    TraceReader reader(path);
    const std::vector<TraceEvent> expected = events_of(reader);
    ASSERT_EQ(expected.size(), 6u);
    for (size_t size = whole.size(); size-- > 0;) {
        file.cut(size);
        EXPECT_THROW(TraceReader{path}, TraceError) << size;
        try {
            TraceReader cut(path, true);
            EXPECT_FALSE(cut.damage().empty()) << size;
            EXPECT_LE(events_of(cut).size(), expected.size()) << size;
        } catch (const TraceError &) {
            EXPECT_LT(size, size_t(TRACE_HEADER_BYTES));
        }
    }
}

TEST(Damage, AnyByteThatIsChangedDoesNoHarm) {
    const std::string whole = file_contents(small_trace().write());
    MemoryFile file(whole);
    for (const int change : {1, 0x80, 0xff}) {
        for (size_t at = 0; at < whole.size(); at++) {
            file.put(at, char(whole[at] ^ change));
            try {
                TraceReader trace(file.path(), true);
                events_of(trace);
            } catch (const TraceError &) {
            }
            file.put(at, whole[at]);
        }
    }
}

// Any byte that has a meaning.
TEST(Damage, AChangedByteIsFound) {
    const std::string whole = file_contents(DATA + "sqlite3.osmem");
    const std::string path = scratch_file("changed.osmem");
    std::mt19937 random(43);
    size_t meaningful = 0;
    for (int round = 0; round < 400; round++) {
        const size_t at = random() % whole.size();
        trace_chunk chunk;
        size_t begin = TRACE_HEADER_BYTES;
        bool has_meaning = at < offsetof(trace_header, lost);
        while (at >= begin) {
            std::memcpy(&chunk, whole.data() + begin, sizeof chunk);
            if (at < begin + chunk.bytes) {
                has_meaning =
                    at - begin < offsetof(trace_chunk, events) ||
                    (at - begin >= sizeof chunk && at - begin < sizeof chunk + chunk.length);
                break;
            }
            begin += chunk.bytes;
        }
        meaningful += has_meaning;
        std::string changed = whole;
        changed[at] = char(changed[at] ^ (1 << random() % 8));
        file_write(path, changed);
        if (has_meaning) {
            EXPECT_THROW(TraceReader{path}, TraceError) << at;
        }
        try { // whatever it is, it does no harm
            TraceReader trace(path, true);
            events_of(trace);
        } catch (const TraceError &) {
        }
    }
    EXPECT_GT(meaningful, 200u);
}

// Without checksums: chunks that were in use. Nothing may be read beyond the file.
TEST(Damage, AnyBytesInAnOpenChunkDoNoHarm) {
    const std::string whole = file_contents(DATA + "sqlite3.osmem");
    const std::string path = scratch_file("open.osmem");
    std::mt19937 random(44);
    for (int round = 0; round < 300; round++) {
        std::string changed = whole;
        for (size_t begin = TRACE_HEADER_BYTES; begin < changed.size();) {
            trace_chunk chunk;
            std::memcpy(&chunk, changed.data() + begin, sizeof chunk);
            chunk.checksum = 0;
            if (random() % 4 == 0)
                chunk.length = random() % (2 * chunk.bytes);
            std::memcpy(changed.data() + begin, &chunk, sizeof chunk);
            for (int i = 0; i < 20; i++)
                changed[begin + sizeof chunk + random() % (chunk.bytes - sizeof chunk)] =
                    char(random());
            begin += chunk.bytes;
        }
        file_write(path, changed);
        try {
            TraceReader trace(path, true);
            events_of(trace);
        } catch (const TraceError &) {
        }
    }
}

TEST(Damage, AnotherVersionIsTold) {
    Maker maker;
    maker.header_.version = 7;
    maker.chunk(0, 0);
    try {
        TraceReader trace(maker.write());
        FAIL() << "accepted";
    } catch (const TraceError &error) {
        EXPECT_NE(std::string(error.what()).find("version 7"), std::string::npos) << error.what();
    }
}

TEST(Damage, AMissingChunkIsFound) {
    const std::string whole = file_contents(DATA + "sqlite3.osmem");
    trace_chunk first;
    std::memcpy(&first, whole.data() + TRACE_HEADER_BYTES, sizeof first);
    std::string without = whole;
    without.erase(TRACE_HEADER_BYTES, first.bytes);
    const uint64_t end = without.size();
    std::memcpy(without.data() + offsetof(trace_header, end), &end, sizeof end);
    const std::string path = scratch_file("missing.osmem");
    file_write(path, without);
    EXPECT_THROW(TraceReader{path}, TraceError);
}

} // namespace

} // namespace osmem
