#include "tools/trace/reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace osmem {

namespace {

template <size_t N> std::string text_of(const char (&text)[N]) {
    return std::string(text, strnlen(text, N));
}

bool is_event(uint8_t tag) {
    const unsigned kind = tag & TRACE_KIND_MASK;
    return kind >= TRACE_MALLOC && kind <= TRACE_FREE;
}

bool is_move(uint8_t tag, uint64_t old_address, uint64_t address) {
    return (tag & TRACE_KIND_MASK) == TRACE_REALLOC && (tag & TRACE_FAILED) == 0 &&
           old_address != address;
}

} // namespace

// ---- the file ----------------------------------------------------------------------------------

TraceReader::TraceReader(const std::string &path, bool accept_damage) : path_(path) {
    map(path);
    try {
        read_header();
        read_chunks();
        if (!damage_.empty() && !accept_damage)
            throw TraceError(path + ": damaged: " + damage_[0] +
                             (damage_.size() > 1
                                  ? ", and " + std::to_string(damage_.size() - 1) + " more"
                                  : "") +
                             " (--damaged takes what is whole)");
        rewind();
    } catch (...) {
        munmap(const_cast<uint8_t *>(data_), size_);
        throw;
    }
}

bool trace_is(const std::string &path) {
    struct stat status;
    char magic[sizeof trace_header::magic] = {};
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    const bool is_trace = fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
                          pread(file, magic, sizeof magic, 0) == sizeof magic &&
                          std::memcmp(magic, TRACE_MAGIC, sizeof magic) == 0;
    close(file);
    return is_trace;
}

TraceInfo trace_info(const std::string &path) {
    TraceReader trace;
    trace.path_ = path;
    trace.map(path);
    trace.read_header();
    trace.set_clock(trace.header_.last_ticks);
    trace.info_.bytes = trace.size_;
    trace_chunk chunk;
    for (size_t offset = TRACE_HEADER_BYTES; offset + sizeof chunk <= trace.size_;
         offset += chunk.bytes) {
        std::memcpy(&chunk, trace.data_ + offset, sizeof chunk);
        if (chunk.magic != TRACE_CHUNK_MAGIC || chunk.bytes < TRACE_CHUNK_LEAST)
            break;
        trace.info_.events += chunk.events;
    }
    return trace.info_;
}

TraceReader::~TraceReader() {
    if (data_ != nullptr)
        munmap(const_cast<uint8_t *>(data_), size_);
}

void TraceReader::map(const std::string &path) {
    // Not to wait for who writes into a pipe.
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        throw TraceError(path + ": " + std::strerror(errno));
    struct stat status {};
    // The header first: a growing file is never shorter than its header said before.
    const bool has_header = pread(file, &header_, sizeof header_, 0) == sizeof header_;
    const bool is_file = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
    size_ = is_file ? size_t(status.st_size) : 0;
    void *data = MAP_FAILED;
    if (has_header && size_ >= TRACE_HEADER_BYTES)
        data = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (S_ISDIR(status.st_mode))
        throw TraceError(path + ": " + std::strerror(EISDIR));
    if (!is_file)
        throw TraceError(path + ": not a file: a trace is read more than once, so it cannot come "
                                "from a pipe or device");
    if (data == MAP_FAILED)
        throw TraceError(path + (trace_is(path) ? ": truncated: not even its header is whole"
                                                : ": not a trace of osmem record"));
    data_ = static_cast<const uint8_t *>(data);
}

void TraceReader::read_header() {
    if (std::memcmp(header_.magic, TRACE_MAGIC, sizeof header_.magic) != 0)
        throw TraceError(path_ + ": not a trace of osmem record");
    if (header_.version != TRACE_VERSION || header_.header_bytes != TRACE_HEADER_BYTES)
        throw TraceError(path_ + ": a trace of version " + std::to_string(header_.version) +
                         ", this program reads version " + std::to_string(TRACE_VERSION));
    const size_t fixed = offsetof(trace_header, end) - offsetof(trace_header, pid);
    if (trace_checksum(data_ + offsetof(trace_header, pid), fixed) != header_.checksum)
        throw TraceError(path_ + ": the trace's header is damaged");
    info_.pid = header_.pid;
    info_.parent = header_.parent;
    info_.program = text_of(header_.program);
    info_.allocator = text_of(header_.allocator);
    const size_t most = sizeof header_.command;
    for (size_t at = 0; at < most && header_.command[at] != '\0';) {
        info_.command.emplace_back(header_.command + at, strnlen(header_.command + at, most - at));
        at += info_.command.back().size() + 1;
    }
    info_.start_realtime_ns = header_.realtime;
    info_.sample_bytes = header_.sample_bytes;
    info_.break_start = header_.break_start;
    info_.page_bytes = header_.page_bytes;
    info_.finished = header_.finished != 0;
    info_.stopped = int(header_.stopped);
    info_.lost = header_.lost;
    info_.uses_tsc = header_.clock == TRACE_CLOCK_TSC;
}

void TraceReader::damaged(size_t offset, const std::string &what) {
    damage_.push_back("at byte " + std::to_string(offset) + " of " + std::to_string(size_) + ": " +
                      what);
}

void TraceReader::read_chunks() {
    uint64_t end = std::min<uint64_t>(header_.end, size_);
    if (header_.end < TRACE_HEADER_BYTES || header_.end % TRACE_CHUNK_LEAST != 0) {
        damaged(offsetof(trace_header, end), "the header's length makes no sense");
        end = size_;
    } else if (header_.end > size_) {
        damaged(size_, "truncated: the trace went on to byte " + std::to_string(header_.end));
    }
    uint64_t sequence = 0;
    for (size_t offset = TRACE_HEADER_BYTES; offset < end; sequence++) {
        trace_chunk chunk;
        if (end - offset < sizeof chunk)
            break; // truncated, which has been told
        std::memcpy(&chunk, data_ + offset, sizeof chunk);
        if (chunk.sequence != sequence)
            damaged(offset, "a chunk is missing");
        const size_t bytes = read_chunk(offset);
        if (bytes == 0)
            break; // nobody knows where the next one is
        offset += bytes;
        sequence = chunk.sequence;
    }
    for (std::vector<Segment> &segments : segments_)
        std::stable_sort(segments.begin(), segments.end(),
                         [](const Segment &a, const Segment &b) { return a.first < b.first; });
    uint64_t last_ticks = header_.ticks;
    for (const std::vector<Segment> &segments : segments_)
        if (!segments.empty()) {
            Raw raw;
            Segment tail = segments.back();
            while (tail.begin < tail.end)
                tail.begin = read_event(tail.begin, tail.end, &tail.ticks, &tail.address, &raw);
            last_ticks = std::max(last_ticks, tail.ticks);
        }
    set_clock(last_ticks);
    info_.bytes = size_;
}

void TraceReader::set_clock(uint64_t last_ticks) {
    const double ratio = header_.clock == TRACE_CLOCK_TSC && header_.last_ticks > header_.ticks
                             ? (double(header_.last_monotonic) - double(header_.monotonic)) /
                                   double(header_.last_ticks - header_.ticks)
                             : 1;
    // A file may be read, or its program have died, when one of the two had been written alone.
    ns_per_tick_ = ratio > 0.01 && ratio < 100 ? ratio : 1;
    early_most_ = uint64_t(TRACE_EARLY_MOST_NS / ns_per_tick_);
    info_.duration_s = double(ns_of(last_ticks)) / 1e9;
}

uint64_t TraceReader::ns_of(uint64_t ticks) const {
    return ticks <= header_.ticks ? 0 : uint64_t(double(ticks - header_.ticks) * ns_per_tick_);
}

// Returns the bytes to the next chunk, 0 if they are not known.
size_t TraceReader::read_chunk(size_t offset) {
    const uint8_t *records = data_ + offset + sizeof(trace_chunk);
    trace_chunk chunk;
    // Twice: the program may just be closing it.
    for (int look = 0; look < 2; look++) {
        std::memcpy(&chunk, data_ + offset, sizeof chunk);
        if (chunk.checksum == 0 || chunk.length > size_ - offset - sizeof chunk ||
            trace_checksum(records, chunk.length) == chunk.checksum)
            break;
    }
    if (chunk.magic != TRACE_CHUNK_MAGIC ||
        trace_checksum(&chunk, offsetof(trace_chunk, guard)) != chunk.guard ||
        chunk.bytes < TRACE_CHUNK_LEAST || chunk.bytes % TRACE_CHUNK_LEAST != 0) {
        damaged(offset, "no chunk begins here");
        return 0;
    }
    const size_t there = std::min<uint64_t>(chunk.bytes, size_ - offset) - sizeof chunk;
    if (chunk.length > chunk.bytes - sizeof chunk) {
        damaged(offset, "the length of a chunk makes no sense");
    } else if (chunk.length > there) {
        // Truncated, which has been told; the records before the cut are whole.
        read_records(records, records + there, chunk.time, offset);
    } else if (chunk.checksum != 0 && trace_checksum(records, chunk.length) != chunk.checksum) {
        damaged(offset, "the checksum of a chunk is wrong");
    } else {
        read_records(records, records + chunk.length, chunk.time, offset);
    }
    return chunk.bytes;
}

// ---- records -----------------------------------------------------------------------------------

// The record of an event at `at`, without regard to what it means. NULL if it is not whole.
const uint8_t *TraceReader::read_event(const uint8_t *at, const uint8_t *end, uint64_t *ticks,
                                       uint64_t *address, Raw *raw) {
    *raw = {};
    raw->tag = *at++;
    raw->stack = -1;
    const unsigned kind = raw->tag & TRACE_KIND_MASK;
    const int round = raw->tag & TRACE_ROUND;
    const auto number = [&](uint64_t *value) {
        at = at == nullptr ? nullptr : trace_get(at, end, value);
    };
    const auto place = [&](uint64_t *value) {
        uint64_t code = 0;
        number(&code);
        *value = trace_address_of(code, address, round);
    };
    uint64_t passed = 0, entry = 0, stack = 0;
    number(&passed);
    *ticks += passed;
    raw->ticks = raw->entry_ticks = *ticks;
    if (kind == TRACE_REALLOC) {
        number(&entry);
        raw->entry_ticks -= entry;
        place(&raw->old_address);
    }
    if (kind == TRACE_ALIGNED)
        number(&raw->log2_alignment);
    if (kind != TRACE_FREE)
        number(&raw->size);
    if ((raw->tag & TRACE_FAILED) == 0)
        place(&raw->address);
    if (raw->tag & TRACE_SAMPLED) {
        number(&stack);
        raw->stack = int64_t(stack);
    }
    return at;
}

// TRACE_STACK and TRACE_MODULE, from behind the tag on. False if it is not whole.
bool TraceReader::read_side_record(uint8_t tag, const uint8_t **at, const uint8_t *end) {
    const auto number = [&](uint64_t *value) {
        *at = *at == nullptr ? nullptr : trace_get(*at, end, value);
    };
    if (tag == TRACE_STACK) {
        uint64_t id = 0, count = 0, code = 0, last = 0;
        number(&id);
        number(&count);
        if (*at == nullptr || count > TRACE_STACK_MOST)
            return false;
        std::vector<uint64_t> &addresses = stacks_[int64_t(id)];
        addresses.clear();
        for (uint64_t i = 0; i < count; i++) {
            number(&code);
            last += uint64_t(trace_unzigzag(code));
            addresses.push_back(last);
        }
        return *at != nullptr;
    }
    TraceModule module;
    uint64_t length = 0;
    number(&module.start);
    number(&module.size);
    number(&module.bias);
    number(&length);
    if (*at == nullptr || length > uint64_t(end - *at) || length > TRACE_PATH_MOST)
        return false;
    module.path.assign(reinterpret_cast<const char *>(*at), length);
    *at += length;
    for (const TraceModule &known : modules_)
        if (known.start == module.start && known.path == module.path)
            return true;
    modules_.push_back(module);
    return true;
}

// Sorts the records of a chunk: events by thread, stacks, modules.
void TraceReader::read_records(const uint8_t *begin, const uint8_t *end, uint64_t ticks,
                               size_t offset) {
    const uint64_t most_threads = size_ / 2; // each has a record at least
    std::vector<Segment> *segments = nullptr;
    uint64_t address = 0;
    Segment open = {};
    const auto finish = [&](const uint8_t *at) {
        if (open.begin != nullptr && at > open.begin) {
            open.end = at;
            segments->push_back(open);
        }
        open.begin = nullptr;
    };
    const uint8_t *at = begin;
    while (at < end) {
        const uint8_t *start = at;
        const uint8_t tag = *at;
        const unsigned kind = tag & TRACE_KIND_MASK;
        bool whole = segments != nullptr || kind == TRACE_THREAD;
        if (whole && is_event(tag)) {
            const bool is_first = open.begin == nullptr;
            if (is_first)
                open = {start, nullptr, ticks, address, 0};
            Raw raw;
            at = read_event(at, end, &ticks, &address, &raw);
            open.first = is_first ? ticks : open.first;
            whole = at != nullptr;
            info_.events += whole;
        } else if (whole) {
            finish(start);
            at++;
            if (tag == TRACE_THREAD) {
                uint64_t thread = 0, system = 0;
                at = trace_get(at, end, &thread);
                at = at == nullptr ? nullptr : trace_get(at, end, &system);
                whole = at != nullptr && thread < most_threads;
                if (whole && thread >= segments_.size()) {
                    segments_.resize(thread + 1);
                    threads_.resize(thread + 1);
                }
                if (whole) {
                    segments = &segments_[thread];
                    threads_[thread] = uint32_t(system);
                }
            } else {
                whole =
                    (tag == TRACE_STACK || tag == TRACE_MODULE) && read_side_record(tag, &at, end);
            }
        }
        if (!whole) {
            finish(start);
            // The last record of a truncated file, or what a checksum does not cover yet.
            damaged(offset + sizeof(trace_chunk) + size_t(start - begin), "a record is not whole");
            return;
        }
    }
    finish(end);
}

const std::vector<uint64_t> *TraceReader::stack(int64_t number) const {
    const auto found = stacks_.find(number);
    return found == stacks_.end() ? nullptr : &found->second;
}

// ---- the sequence of events --------------------------------------------------------------------

// A block that moves gives up its old address when the call begins and has the new one at its end.
uint64_t TraceReader::Cursor::turn() const {
    return is_move(raw.tag, raw.old_address, raw.address) && !released ? raw.entry_ticks
                                                                       : raw.ticks;
}

bool TraceReader::Cursor::later_than(const Cursor &other) const {
    return turn() != other.turn() ? turn() > other.turn() : thread > other.thread;
}

bool TraceReader::advance(Cursor *cursor) {
    const std::vector<Segment> &segments = segments_[cursor->thread];
    while (cursor->at == nullptr || cursor->at == segments[cursor->segment].end) {
        cursor->segment += cursor->at != nullptr;
        if (cursor->segment == segments.size())
            return false;
        const Segment &segment = segments[cursor->segment];
        cursor->at = segment.begin;
        cursor->ticks = segment.ticks;
        cursor->address = segment.address;
    }
    cursor->at = read_event(cursor->at, segments[cursor->segment].end, &cursor->ticks,
                            &cursor->address, &cursor->raw);
    cursor->released = cursor->forced = false;
    return cursor->at != nullptr;
}

void TraceReader::rewind() {
    live_ = {};
    moving_.clear();
    blocks_ = position_ = unknown_ = implied_ = now_ = 0;
    queue_.clear();
    waiting_.clear();
    for (uint32_t thread = 0; thread < segments_.size(); thread++) {
        Cursor cursor{thread, 0, nullptr, 0, 0, {}, false, false};
        if (!segments_[thread].empty() && advance(&cursor))
            enqueue(cursor);
    }
}

bool TraceReader::next(TraceEvent *event) {
    for (;;) {
        if (!waiting_.empty())
            resume_waiting();
        if (queue_.empty())
            return false;
        if (front_waits())
            continue;
        // The thread at the front usually stays there.
        Cursor &front = queue_.front();
        const bool delivered = deliver(&front, event);
        if (delivered && event->implied)
            return true; // the record itself has not had its turn
        if (front.released || advance(&front))
            requeue(&front);
        else
            drop_front();
        if (delivered)
            return true;
    }
}

namespace {

const auto later = [](const auto &a, const auto &b) { return a.later_than(b); };

} // namespace

void TraceReader::enqueue(const Cursor &cursor) {
    queue_.push_back(cursor);
    std::push_heap(queue_.begin(), queue_.end(), later);
}

void TraceReader::drop_front() {
    std::pop_heap(queue_.begin(), queue_.end(), later);
    queue_.pop_back();
}

// The front of the queue has changed: sinks to its place.
void TraceReader::requeue(Cursor *cursor) {
    const size_t count = queue_.size();
    size_t place = size_t(cursor - queue_.data());
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= count)
            return;
        if (child + 1 < count && queue_[child].later_than(queue_[child + 1]))
            child++;
        if (!queue_[place].later_than(queue_[child]))
            return;
        std::swap(queue_[place], queue_[child]);
        place = child;
    }
}

// ---- events that another thread's must precede -------------------------------------------------

// What is given up must be there, what is given away must not. Sets *address to what it is about.
bool TraceReader::can_happen(const Cursor &cursor, uint64_t *address) {
    const Raw &raw = cursor.raw;
    const unsigned kind = raw.tag & TRACE_KIND_MASK;
    const bool moved = is_move(raw.tag, raw.old_address, raw.address) && cursor.released;
    const bool gives_up = kind == TRACE_FREE || (kind == TRACE_REALLOC && !moved);
    if (!gives_up && (raw.tag & TRACE_FAILED) != 0)
        return true;
    *address = kind == TRACE_REALLOC && !moved ? raw.old_address : raw.address;
    return (live_.find(*address) != nullptr) == gives_up;
}

bool TraceReader::front_waits() {
    uint64_t address = 0;
    const Cursor &front = queue_.front();
    // Without another thread there is nothing to wait for.
    if (front.forced || queue_.size() + waiting_.size() == 1 || can_happen(front, &address))
        return false;
    waiting_.push_back({front, address, false});
    drop_front();
    return true;
}

void TraceReader::wait_end(size_t place) {
    enqueue(waiting_[place].cursor);
    waiting_.erase(waiting_.begin() + std::ptrdiff_t(place));
}

// Those whose address has changed; if there is none, the one that has waited too long.
void TraceReader::resume_waiting() {
    size_t first = 0;
    for (size_t place = waiting_.size(); place-- > 0;) {
        if (waiting_[place].over)
            wait_end(place);
    }
    if (waiting_.empty())
        return;
    for (size_t place = 1; place < waiting_.size(); place++)
        if (waiting_[first].cursor.later_than(waiting_[place].cursor))
            first = place;
    const uint64_t turn = waiting_[first].cursor.turn();
    if (!queue_.empty() &&
        (queue_.front().turn() <= turn || queue_.front().turn() - turn <= early_most_))
        return;
    waiting_[first].cursor.forced = true;
    wait_end(first);
}

void TraceReader::address_take(uint64_t address, const Live &live) {
    live_.put(address, live);
    address_changed(address);
}

void TraceReader::address_give_up(uint64_t address) {
    live_.remove(address);
    address_changed(address);
}

void TraceReader::address_changed(uint64_t address) {
    for (Waiting &waiting : waiting_)
        waiting.over = waiting.over || waiting.address == address;
}

// ---- what an event is --------------------------------------------------------------------------

// An address that is given away must be free: if it is not, a free is missing.
bool TraceReader::imply_free(const Raw &raw, TraceEvent *event) {
    const Live *live = live_.find(raw.address);
    if (live == nullptr)
        return false;
    event->kind = TRACE_FREE;
    event->implied = true;
    event->block = live->block;
    event->size = live->size;
    event->address = raw.address;
    address_give_up(raw.address);
    implied_++;
    return true;
}

void TraceReader::deliver_allocation(const Raw &raw, TraceEvent *event) {
    event->address = raw.address;
    event->size = raw.size;
    event->stack = raw.stack;
    event->block = blocks_++;
    address_take(raw.address, {event->block, raw.size});
}

// The second half of a realloc that moves a block.
void TraceReader::deliver_move(const Raw &raw, TraceEvent *event) {
    const auto moving = moving_.find(event->thread);
    if (moving == moving_.end()) { // from before the recording
        event->kind = TRACE_MALLOC;
        deliver_allocation(raw, event);
        return;
    }
    event->block = moving->second.block;
    event->old_address = raw.old_address;
    event->old_size = moving->second.size;
    event->address = raw.address;
    event->size = raw.size;
    event->stack = raw.stack;
    address_take(raw.address, {event->block, raw.size});
    moving_.erase(moving);
}

void TraceReader::deliver_free(const Raw &raw, TraceEvent *event) {
    event->address = raw.address;
    const Live *live = live_.find(raw.address);
    if (live == nullptr) {
        unknown_++;
        return;
    }
    event->block = live->block;
    event->size = live->size;
    address_give_up(raw.address);
}

// A realloc that leaves the block where it is: resized, or as it was if the call failed.
void TraceReader::deliver_in_place(const Raw &raw, TraceEvent *event) {
    Live *live = live_.find(raw.old_address);
    unknown_ += live == nullptr;
    if (live == nullptr && !event->failed) { // from before the recording
        event->kind = TRACE_MALLOC;
        deliver_allocation(raw, event);
        return;
    }
    event->old_address = event->address = raw.old_address;
    event->size = raw.size;
    event->stack = raw.stack;
    if (live == nullptr)
        return;
    event->block = live->block;
    event->old_size = live->size;
    live->size = event->failed ? live->size : raw.size;
}

// The turn of the cursor's record. False if there is nothing to tell yet.
bool TraceReader::deliver(Cursor *cursor, TraceEvent *event) {
    const Raw &raw = cursor->raw;
    const unsigned kind = raw.tag & TRACE_KIND_MASK;
    const bool failed = (raw.tag & TRACE_FAILED) != 0;
    const bool moves = is_move(raw.tag, raw.old_address, raw.address);
    if (moves && !cursor->released) {
        if (const Live *live = live_.find(raw.old_address)) {
            moving_[cursor->thread] = *live;
            address_give_up(raw.old_address);
        } else {
            unknown_++;
        }
        cursor->released = true;
        cursor->forced = false;
        return false;
    }
    *event = TraceEvent();
    event->kind = trace_kind(kind);
    event->thread = cursor->thread;
    now_ = std::max(now_, raw.ticks); // who has waited is behind the others
    event->time_ns = ns_of(now_);
    event->failed = failed;
    const bool in_place = kind == TRACE_REALLOC && !moves;
    if (!failed && kind != TRACE_FREE && !in_place && imply_free(raw, event))
        return true;
    cursor->released = false;
    position_++;
    if (kind == TRACE_ALIGNED)
        event->alignment = uint64_t(1) << (raw.log2_alignment & 63);

    if (kind == TRACE_FREE) {
        deliver_free(raw, event);
    } else if (in_place) {
        deliver_in_place(raw, event);
    } else if (failed) {
        event->size = raw.size;
    } else if (moves) {
        deliver_move(raw, event);
    } else {
        deliver_allocation(raw, event);
    }
    return true;
}

} // namespace osmem
