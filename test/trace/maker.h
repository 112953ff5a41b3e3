/*
 * Traces made up event by event, for suites: chunks of one page each, ticks are nanoseconds.
 */
#ifndef OSMEM_TEST_TRACE_MAKER_H
#define OSMEM_TEST_TRACE_MAKER_H

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "test/tools/shell.h"
#include "tools/trace/format.h"

namespace osmem {

class Maker {
  public:
    Maker() {
        std::memcpy(header_.magic, TRACE_MAGIC, sizeof header_.magic);
        header_.version = TRACE_VERSION;
        header_.header_bytes = TRACE_HEADER_BYTES;
        header_.clock = TRACE_CLOCK_MONOTONIC;
        std::strcpy(header_.command, "made");
        header_.end = TRACE_HEADER_BYTES;
    }

    // A chunk of `thread`, whose times begin at `time`.
    Maker &chunk(uint32_t thread, uint64_t time) {
        close();
        thread_ = thread;
        time_ = chunk_time_ = time;
        address_ = 0;
        records_ = {TRACE_THREAD};
        number(thread);
        number(1000 + thread);
        open_ = true;
        return *this;
    }
    Maker &allocate(uint64_t time, uint64_t address, uint64_t size) {
        tag(TRACE_MALLOC, time, address % 16 == 0);
        number(size);
        place(address, address % 16 == 0);
        return *this;
    }
    Maker &release(uint64_t time, uint64_t address) {
        tag(TRACE_FREE, time, address % 16 == 0);
        place(address, address % 16 == 0);
        return *this;
    }
    Maker &resize(uint64_t entry, uint64_t time, uint64_t old, uint64_t address, uint64_t size) {
        tag(TRACE_REALLOC, time, true);
        number(time - entry);
        place(old, true);
        number(size);
        place(address, true);
        return *this;
    }
    std::string write() {
        close();
        std::string bytes(TRACE_HEADER_BYTES, '\0');
        header_.checksum =
            trace_checksum(&header_.pid, offsetof(trace_header, end) - offsetof(trace_header, pid));
        std::memcpy(bytes.data(), &header_, sizeof header_);
        const std::string path = scratch_file("made.osmem");
        file_write(path, bytes + chunks_);
        return path;
    }
    trace_header header_{};

  private:
    void number(uint64_t value) {
        uint8_t bytes[10];
        const uint8_t *end = trace_put(bytes, value);
        records_.insert(records_.end(), static_cast<const uint8_t *>(bytes), end);
    }
    void place(uint64_t address, bool round) {
        number(trace_address_code(address, &address_, round));
    }
    void tag(unsigned kind, uint64_t time, bool round) {
        if (records_.size() + TRACE_EVENT_MOST + sizeof(trace_chunk) > TRACE_CHUNK_LEAST)
            chunk(thread_, time_);
        records_.push_back(uint8_t(kind | (round ? unsigned(TRACE_ROUND) : 0u)));
        number(time - time_);
        time_ = time;
    }
    void close() {
        if (!open_)
            return;
        open_ = false;
        trace_chunk chunk{};
        chunk.magic = TRACE_CHUNK_MAGIC;
        chunk.sequence = sequence_++;
        chunk.bytes = TRACE_CHUNK_LEAST;
        chunk.time = chunk_time_;
        chunk.guard = trace_checksum(&chunk, offsetof(trace_chunk, guard));
        chunk.length = records_.size();
        chunk.checksum = trace_checksum(records_.data(), records_.size());
        std::string bytes(TRACE_CHUNK_LEAST, '\0');
        std::memcpy(bytes.data(), &chunk, sizeof chunk);
        std::memcpy(bytes.data() + sizeof chunk, records_.data(), records_.size());
        chunks_ += bytes;
        header_.end += TRACE_CHUNK_LEAST;
    }

    std::vector<uint8_t> records_;
    std::string chunks_;
    uint32_t thread_ = 0;
    uint64_t time_ = 0, chunk_time_ = 0, address_ = 0;
    uint32_t sequence_ = 0;
    bool open_ = false;
};

} // namespace osmem

#endif
