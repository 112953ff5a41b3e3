#include "test/schedules/memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace osmem::schedules {

/* How often a thread may read the same message although there is a newer one: loops must end. */
constexpr uint8_t STALE_READS = 2;

static bool knows(const Clock &clock, Moment moment) {
    return moment.time <= clock.at[moment.thread];
}

/* Whether something that a clock knows of is in another; `except` is the clock's own thread. */
static bool covers(const Clock &clock, const Clock &accesses, int except) {
    for (int i = 0; i < THREADS; i++) {
        if (i != except && accesses.at[i] > clock.at[i])
            return false;
    }
    return true;
}

void Memory::watch(const void *start, size_t size) {
    size_t bytes = size / 4 * sizeof(Cell);
    void *cells = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED)
        abort();
    uintptr_t first = reinterpret_cast<uintptr_t>(start);
    ranges_.push_back({first, first + size, static_cast<Cell *>(cells)});
}

bool Memory::is_watched(uintptr_t address) const {
    for (const Range &range : ranges_) {
        if (address - range.start < range.end - range.start)
            return true;
    }
    return false;
}

/* ---- the log ----------------------------------------------------------------------------------
 */

void Memory::log(const void *address, size_t size) {
    uint8_t *byte = static_cast<uint8_t *>(const_cast<void *>(address));
    if (!is_watched(reinterpret_cast<uintptr_t>(address)))
        return;
    while (size != 0) {
        uint8_t part = size >= 8 ? 8 : size >= 4 ? 4 : 1;
        Logged logged{byte, 0, part};
        memcpy(&logged.value, byte, part);
        log_.push_back(logged);
        byte += part;
        size -= part;
    }
}

void Memory::roll_back(size_t mark) {
    while (log_.size() > mark) {
        memcpy(log_.back().address, &log_.back().value, log_.back().size);
        log_.pop_back();
    }
}

/* ---- locations --------------------------------------------------------------------------------
 */

void Memory::begin() {
    execution_++;
    location_count_ = 0;
    for (int i = 0; i < THREADS; i++) {
        clocks_[i] = Clock{};
        clocks_[i].at[i] = 1;
    }
}

Memory::Cell *Memory::cell(uintptr_t address) {
    for (const Range &range : ranges_) {
        if (address - range.start >= range.end - range.start)
            continue;
        Cell *cell = &range.cells[(address - range.start) / 4];
        if (cell->execution != execution_) {
            *cell = Cell{};
            cell->execution = execution_;
            cell->location = -1;
        }
        return cell;
    }
    return nullptr;
}

Location &Memory::location(const void *address, size_t size) {
    Cell *owner = cell(reinterpret_cast<uintptr_t>(address));
    if (owner == nullptr) {
        fprintf(stderr, "an atomic object outside of what is watched\n");
        abort();
    }
    if (owner->location < 0) {
        owner->location = static_cast<int32_t>(location_count_++);
        if (location_count_ > locations_.size())
            locations_.emplace_back();
        Location &location = locations_[location_count_ - 1];
        location.address = address;
        location.size = size;
        location.messages.clear();
        location.last_write.fill(0);
        location.last_read.fill(0);
        location.writes = location.all = Clock{};
    }
    Location &location = locations_[static_cast<size_t>(owner->location)];
    settle(location);
    return location;
}

/* What a plain access, or nobody in this execution, has written is the first message. */
void Memory::settle(Location &location) {
    if (!location.messages.empty())
        return;
    Message message{};
    memcpy(&message.value, location.address, location.size);
    const Clock &written = cell(reinterpret_cast<uintptr_t>(location.address))->plain_write;
    for (int i = 0; i < THREADS; i++) {
        if (written.at[i] != 0)
            message.written = {i, written.at[i]};
    }
    location.messages.push_back(message);
}

size_t Memory::oldest(int thread, const Location &location) const {
    const Clock &clock = clocks_[thread];
    for (size_t i = location.messages.size(); i-- > 0;) {
        const Message &message = location.messages[i];
        if (knows(clock, message.written))
            return i;
        for (int reader = 0; reader < THREADS; reader++) {
            if (message.read.at[reader] != 0 && knows(clock, {reader, message.read.at[reader]}))
                return i;
        }
    }
    return 0;
}

Choices Memory::readable(int thread, const Location &location) const {
    Choices choices;
    size_t last = location.messages.size() - 1;
    for (size_t i = oldest(thread, location); i <= last; i++) {
        if (i == last || location.messages[i].stale[thread] < STALE_READS)
            choices.push_back(i);
    }
    return choices;
}

Choices Memory::replaceable(int thread, const Location &location) const {
    Choices choices;
    for (size_t i = oldest(thread, location); i < location.messages.size(); i++) {
        if (!location.messages[i].is_updated)
            choices.push_back(i);
    }
    return choices;
}

uint64_t Memory::read(int thread, Location &location, size_t index, bool acquires) {
    Message &message = location.messages[index];
    Clock &clock = clocks_[thread];
    if (message.read.at[thread] == 0)
        message.read.at[thread] = clock.at[thread];
    if (index + 1 < location.messages.size())
        message.stale[thread]++;
    if (acquires)
        clock.join(message.released);
    return message.value;
}

Message &Memory::write(int thread, Location &location, size_t behind, uint64_t value, bool releases,
                       bool updates) {
    Clock &clock = clocks_[thread];
    Message message{};
    message.value = value;
    message.written = {thread, clock.at[thread]};
    if (releases)
        message.released = clock;
    if (updates) {
        location.messages[behind].is_updated = true;
        message.released.join(location.messages[behind].released);
    }
    bool is_last = behind + 1 == location.messages.size();
    location.messages.insert(location.messages.begin() + static_cast<ptrdiff_t>(behind) + 1,
                             message);
    if (is_last) {
        log(location.address, location.size);
        memcpy(const_cast<void *>(location.address), &value, location.size);
    }
    return location.messages[behind + 1];
}

/* ---- races ------------------------------------------------------------------------------------
 */

std::string Memory::access(int thread, const void *address, size_t size, bool writes, bool atomic,
                           uintptr_t code) {
    const Clock &clock = clocks_[thread];
    uintptr_t start = reinterpret_cast<uintptr_t>(address), end = start + size;
    std::string race;
    for (uintptr_t at = start & ~uintptr_t{3}; at < end; at += 4) {
        Cell *cell = this->cell(at);
        if (cell == nullptr)
            return race;
        bool is_sound = covers(clock, cell->plain_write, thread) &&
                        (atomic || covers(clock, cell->atomic_write, thread)) &&
                        (!writes || covers(clock, cell->plain_read, thread)) &&
                        (!writes || atomic || covers(clock, cell->atomic_read, thread));
        if (!is_sound && race.empty()) {
            bool by_writer = !covers(clock, cell->plain_write, thread) ||
                             !covers(clock, cell->atomic_write, thread);
            race = "data race of " + code_name(code) + " with " +
                   code_name(by_writer ? cell->writer : cell->reader);
        }
        Clock &note = atomic ? (writes ? cell->atomic_write : cell->atomic_read)
                             : (writes ? cell->plain_write : cell->plain_read);
        if (writes && !atomic) {
            cell->plain_write = Clock{};
            if (cell->location >= 0)
                locations_[static_cast<size_t>(cell->location)].messages.clear();
        }
        note.at[thread] = clock.at[thread];
        (writes ? cell->writer : cell->reader) = code;
    }
    return race;
}

/* ---- names ------------------------------------------------------------------------------------
 */

std::string code_name(uintptr_t code) {
    static uintptr_t base = [] {
        uintptr_t found = 0;
        dl_iterate_phdr(
            [](dl_phdr_info *info, size_t, void *context) {
                *static_cast<uintptr_t *>(context) = info->dlpi_addr;
                return 1; /* the program comes first */
            },
            &found);
        return found;
    }();
    char path[4096], command[4400];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    /* What is given is where the call returns to. */
    snprintf(command, sizeof command, "addr2line -f -s -e '%s' 0x%zx 2>&1", path, code - base - 1);
    std::string name;
    FILE *output = popen(command, "r");
    if (output == nullptr)
        return name;
    for (int c; (c = fgetc(output)) != EOF;)
        name += static_cast<char>(c == '\n' ? ' ' : c);
    pclose(output);
    while (!name.empty() && name.back() == ' ')
        name.pop_back();
    return name.substr(0, name.find(" (disc"));
}

} // namespace osmem::schedules
