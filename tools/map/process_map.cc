#include "tools/map/process_map.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include <dirent.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "osmem/slack_byte.h"
#include "tools/command.h"
#include "tools/elf_file.h"

namespace osmem {

namespace {

const char SYMBOL[] = "os_map_layout";

// How often a process is let go on for a moment because it was stopped while it held a lock.
constexpr int LOCK_TRIES = 100;

// More than that are none that a list of ours has: it was cut through while it changed.
constexpr size_t HEAPS_MAX = 1 << 20, REGIONS_MAX = 1 << 20, ENTRIES_MAX = size_t{1} << 28;

std::string name_of(pid_t process) { return "process " + std::to_string(process); }

std::string proc(pid_t process, const std::string &file) {
    return "/proc/" + std::to_string(process) + "/" + file;
}

// ---- stopping ----------------------------------------------------------------------------------

pid_t tracer_of(pid_t process) {
    std::ifstream lines(proc(process, "status"));
    for (std::string line; std::getline(lines, line);)
        if (line.compare(0, 10, "TracerPid:") == 0)
            return std::atoi(line.c_str() + 10);
    return 0;
}

[[noreturn]] void fail_to_stop(pid_t process, int error) {
    if (error == ESRCH)
        throw Failure("there is no " + name_of(process));
    if (const pid_t tracer = tracer_of(process))
        throw Failure(name_of(process) + " is being debugged by process " + std::to_string(tracer));
    throw Failure(name_of(process) + ": " + std::strerror(error) +
                  ": only its owner, or root, may look into it, and the system may restrict that "
                  "further (ptrace: kernel.yama.ptrace_scope, containers)");
}

std::vector<pid_t> threads_of(pid_t process) {
    std::vector<pid_t> threads;
    const std::unique_ptr<DIR, int (*)(DIR *)> folder(opendir(proc(process, "task").c_str()),
                                                      closedir);
    while (const dirent *entry = folder ? readdir(folder.get()) : nullptr)
        if (entry->d_name[0] != '.')
            threads.push_back(std::atoi(entry->d_name));
    return threads;
}

// All threads of a process stand still while this lives.
class Stopped {
  public:
    explicit Stopped(pid_t process) {
        // Threads may start others until all that there are have been stopped.
        for (bool again = true; again;) {
            again = false;
            for (const pid_t thread : threads_of(process))
                again |= threads_.count(thread) == 0 && stop(process, thread);
        }
        if (threads_.empty())
            fail_to_stop(process, ESRCH);
    }
    ~Stopped() {
        for (const auto &[thread, signal] : threads_)
            ptrace(PTRACE_DETACH, thread, nullptr, signal);
    }
    Stopped(const Stopped &) = delete;
    Stopped &operator=(const Stopped &) = delete;

  private:
    // False if the thread has ended meanwhile.
    bool stop(pid_t process, pid_t thread) {
        if (ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
            if (errno == ESRCH)
                return false;
            const int error = errno;
            if (kill(process, 0) != 0 && errno == ESRCH)
                fail_to_stop(process, ESRCH);
            fail_to_stop(process, error);
        }
        ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
        int status;
        if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status))
            return false;
        // A signal that came first is handed on when the thread goes on.
        const bool is_event = status >> 16 == PTRACE_EVENT_STOP;
        threads_[thread] = is_event ? 0 : WSTOPSIG(status);
        return true;
    }

    std::map<pid_t, int> threads_;
};

// ---- memory ------------------------------------------------------------------------------------

class Memory {
  public:
    explicit Memory(pid_t process) : process_(process) {}

    bool try_read(uint64_t address, void *to, size_t size) const {
        size_t done = 0;
        while (done < size) {
            const iovec local = {static_cast<char *>(to) + done, size - done};
            const iovec remote = {reinterpret_cast<void *>(address + done), size - done};
            const ssize_t count = process_vm_readv(process_, &local, 1, &remote, 1, 0);
            if (count <= 0)
                return false;
            done += size_t(count);
        }
        return true;
    }
    void read(uint64_t address, void *to, size_t size) const {
        if (!try_read(address, to, size))
            throw Failure(name_of(process_) +
                          ": its memory cannot be read: " + std::strerror(errno));
    }
    template <typename T> T at(uint64_t address) const {
        T value;
        read(address, &value, sizeof value);
        return value;
    }
    std::vector<uint64_t> words(uint64_t address, size_t count) const {
        std::vector<uint64_t> result(count);
        read(address, result.data(), count * sizeof(uint64_t));
        return result;
    }

  private:
    const pid_t process_;
};

uint64_t number(const void *pointer) { return reinterpret_cast<uint64_t>(pointer); }

// Which pages are in memory, by /proc/PID/pagemap.
class Residency {
  public:
    explicit Residency(pid_t process)
        : file_(open(proc(process, "pagemap").c_str(), O_RDONLY | O_CLOEXEC)),
          page_bytes_(size_t(sysconf(_SC_PAGESIZE))) {
        uint64_t probe;
        known_ = file_ >= 0 && pread(file_, &probe, 0, 0) == 0;
    }
    ~Residency() {
        if (file_ >= 0)
            close(file_);
    }
    Residency(const Residency &) = delete;
    Residency &operator=(const Residency &) = delete;

    bool known() const { return known_; }
    size_t page_bytes() const { return page_bytes_; }

    std::vector<uint64_t> of(uint64_t address, size_t bytes) const {
        if (!known_)
            return {};
        constexpr uint64_t PRESENT = uint64_t{1} << 63;
        const size_t pages = (bytes + page_bytes_ - 1) / page_bytes_;
        std::vector<uint64_t> entries(pages), bits((pages + 63) / 64);
        const ssize_t size = pread(file_, entries.data(), pages * sizeof(uint64_t),
                                   off_t(address / page_bytes_ * sizeof(uint64_t)));
        const size_t count = size < 0 ? 0 : size_t(size) / sizeof(uint64_t);
        for (size_t page = 0; page < count; page++)
            if (entries[page] & PRESENT)
                bits[page / 64] |= uint64_t{1} << page % 64;
        return bits;
    }

  private:
    const int file_;
    const size_t page_bytes_;
    bool known_;
};

// ---- the layout --------------------------------------------------------------------------------

struct LoadedFile {
    uint64_t start; // of the mapping of the file's beginning
    std::string path;
};

std::vector<LoadedFile> loaded_files(pid_t process) {
    std::ifstream lines(proc(process, "maps"));
    std::vector<LoadedFile> files;
    std::set<std::string> known;
    for (std::string line; std::getline(lines, line);) {
        unsigned long start, offset;
        int path = 0;
        if (std::sscanf(line.c_str(), "%lx-%*x %*s %lx %*s %*s %n", &start, &offset, &path) == 2 &&
            path > 0 && offset == 0 && line[size_t(path)] == '/' &&
            known.insert(line.substr(size_t(path))).second)
            files.push_back({start, line.substr(size_t(path))});
    }
    return files;
}

std::optional<map_layout> layout_of(pid_t process, const Memory &memory) {
    for (const LoadedFile &file : loaded_files(process)) {
        // As the process sees it: it may have another root.
        std::optional<uint64_t> offset = elf_symbol(proc(process, "root") + file.path, SYMBOL);
        map_layout layout;
        if (offset && memory.try_read(file.start + *offset, &layout, sizeof layout) &&
            std::memcmp(layout.magic, MAP_LAYOUT_MAGIC, sizeof layout.magic) == 0)
            return layout;
    }
    return std::nullopt;
}

map_layout require_layout(pid_t process, const Memory &memory) {
    const std::optional<map_layout> layout = layout_of(process, memory);
    if (!layout)
        throw Failure(name_of(process) +
                      " does not run on osmem: neither the program nor a library that it has "
                      "loaded has " +
                      SYMBOL);
    if (layout->version != MAP_LAYOUT_VERSION || layout->granule_bytes != MAP_GRANULE_BYTES)
        throw Failure(name_of(process) + " runs on another version of osmem than this tool knows");
    return *layout;
}

bool holds_lock(const Memory &memory, const map_layout &layout) {
    return memory.at<uint32_t>(number(layout.region_lock)) != 0 ||
           memory.at<uint32_t>(number(layout.mapped_lock)) != 0;
}

// ---- copying -----------------------------------------------------------------------------------

class Copier {
  public:
    Copier(pid_t process, const Memory &memory, const map_layout &layout)
        : memory_(memory), layout_(layout), residency_(process) {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        std::memcpy(snapshot_.header.magic, MAP_MAGIC, sizeof snapshot_.header.magic);
        snapshot_.header.version = MAP_VERSION;
        snapshot_.header.flags = residency_.known() ? 0 : MAP_NO_RESIDENCY;
        snapshot_.header.granule_bytes = MAP_GRANULE_BYTES;
        snapshot_.header.page_bytes = uint32_t(residency_.page_bytes());
        snapshot_.header.region_bytes = layout.region_bytes;
        snapshot_.header.pid = uint64_t(process);
        snapshot_.header.time_ns =
            uint64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
    }

    Snapshot copy() {
        uint64_t heap = memory_.at<uint64_t>(memory_.at<uint64_t>(number(layout_.heaps)));
        for (size_t count = 0; heap != 0 && count < HEAPS_MAX; count++) {
            copy_heap(heap);
            heap = memory_.at<uint64_t>(heap + layout_.heap_next);
        }
        copy_table(memory_.at<map_table>(number(layout_.mapped)), false);
        copy_table(memory_.at<map_table>(number(layout_.kept)), true);
        copy_statistics();
        std::sort(snapshot_.regions.begin(), snapshot_.regions.end(),
                  [](const SnapshotRegion &a, const SnapshotRegion &b) {
                      return a.place.address < b.place.address;
                  });
        std::sort(snapshot_.mappings.begin(), snapshot_.mappings.end(),
                  [](const SnapshotMapping &a, const SnapshotMapping &b) {
                      return a.place.address < b.place.address;
                  });
        return std::move(snapshot_);
    }

  private:
    void copy_heap(uint64_t heap) {
        const uint64_t heap_number = memory_.at<uint64_t>(heap + layout_.heap_number);
        snapshot_.heaps.push_back({heap_number, memory_.at<uint8_t>(heap + layout_.heap_parked),
                                   memory_.at<uint64_t>(heap + layout_.heap_merged_into) != 0});
        uint64_t region = memory_.at<uint64_t>(heap + layout_.heap_regions);
        for (size_t count = 0; region != 0 && count < REGIONS_MAX; count++) {
            copy_region(region, heap_number);
            region = memory_.at<uint64_t>(region + layout_.region_next);
        }
    }

    void copy_region(uint64_t address, uint64_t heap) {
        SnapshotRegion region{};
        region.place.address = address;
        region.place.heap = heap;
        region.place.first = layout_.first;
        region.place.top = memory_.at<uint32_t>(address + layout_.region_top);
        region.place.committed = memory_.at<uint32_t>(address + layout_.region_committed);
        region.place.fresh = memory_.at<uint32_t>(address + layout_.region_fresh);
        const size_t first_line = layout_.first / MAP_LINE_GRANULES;
        const size_t end_line = (region.place.top + MAP_LINE_GRANULES - 1) / MAP_LINE_GRANULES;
        if (end_line > layout_.region_lines || region.place.top < layout_.first ||
            region.place.top > region.place.committed)
            throw Failure("the region at " + std::to_string(address) + " is not sound");
        region.place.lines = end_line - first_line;
        region.residency = residency_.of(address, region.place.committed * MAP_GRANULE_BYTES);
        region.tags =
            memory_.words(address + layout_.region_tags + 16 * first_line, 2 * region.place.lines);
        region.remote =
            memory_.words(address + layout_.region_remote + 8 * first_line, region.place.lines);
        if (const auto slack = memory_.at<uint64_t>(address + layout_.region_slack))
            copy_slack(slack, &region);
        snapshot_.regions.push_back(std::move(region));
    }

    // What was not asked for; and blocks that the guarded mode keeps back count as free.
    void copy_slack(uint64_t address, SnapshotRegion *region) {
        std::vector<uint8_t> slack(region->place.top);
        memory_.read(address, slack.data(), slack.size());
        for (size_t granule = region->place.first; granule < region->place.top;) {
            const Block block = snapshot_block(*region, granule);
            if (!block.is_free && slack_is_freed(slack[granule]))
                region->remote[(granule - region->place.first) / MAP_LINE_GRANULES] |=
                    uint64_t{1} << granule % MAP_LINE_GRANULES;
            else if (!block.is_free)
                region->unrequested += slack_bytes(slack[granule]);
            granule = block.end;
        }
    }

    void copy_table(const map_table &table, bool kept) {
        const uint64_t entries =
            table.indirect ? memory_.at<uint64_t>(number(table.entries)) : number(table.entries);
        const uint64_t count = memory_.at<uint64_t>(number(table.count));
        if (count > ENTRIES_MAX)
            throw Failure("the registry of mapped blocks is not sound");
        std::string bytes(count * table.entry_bytes, '\0');
        memory_.read(entries, bytes.data(), bytes.size());
        for (uint64_t index = 0; index < count; index++) {
            const auto field = [&](uint32_t offset) {
                uint64_t value;
                std::memcpy(&value, &bytes[index * table.entry_bytes + offset], sizeof value);
                return value;
            };
            if (field(table.address) == 0)
                continue;
            SnapshotMapping mapping{};
            mapping.place.address = field(table.address);
            mapping.place.length = field(table.length);
            mapping.place.requested = table.has_requested ? field(table.requested) : 0;
            mapping.place.kept = kept;
            mapping.residency = residency_.of(mapping.place.address, mapping.place.length);
            snapshot_.mappings.push_back(std::move(mapping));
        }
    }

    // As os_malloc_stats would tell.
    void copy_statistics() {
        const Totals totals = snapshot_totals(snapshot_);
        const std::vector<uint64_t> calls = memory_.words(number(layout_.calls), 5);
        snapshot_.statistics = snapshot_statistics(totals);
        snapshot_.statistics->sbrk_calls = calls[0];
        snapshot_.statistics->mmap_calls = calls[1];
        snapshot_.statistics->munmap_calls = calls[2];
        snapshot_.statistics->mremap_calls = calls[3];
        snapshot_.statistics->madvise_calls = calls[4];
    }

    const Memory &memory_;
    const map_layout &layout_;
    const Residency residency_;
    Snapshot snapshot_{};
};

} // namespace

Snapshot process_map_stopped(pid_t process) {
    const Memory memory(process);
    const map_layout layout = require_layout(process, memory);
    return Copier(process, memory, layout).copy();
}

Snapshot process_map(pid_t process) {
    if (process == getpid())
        throw Failure(name_of(process) + " is this tool itself");
    const Memory memory(process);
    std::optional<map_layout> layout;
    for (int tries = 1;; tries++) {
        {
            const Stopped stopped(process);
            if (!layout)
                layout = require_layout(process, memory);
            if (tries == LOCK_TRIES || !holds_lock(memory, *layout))
                return Copier(process, memory, *layout).copy();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

} // namespace osmem
