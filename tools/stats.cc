/*
 * osmem stats: the statistics of a process that is running, or of a map that was written to a file,
 * in the formats of os_malloc_stats_print.
 */
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tools/command.h"
#include "tools/files.h"
#include "tools/map/process_map.h"
#include "tools/map/snapshot.h"
#include "tools/options.h"

extern "C" {
#include "osmem/stats_format.h"
}

namespace osmem {

namespace {

const char HELP[] =
    "usage: osmem stats [OPTION]... --pid PID\n"
    "       osmem stats [OPTION]... --from FILE\n"
    "\n"
    "Prints the statistics of a program that runs on osmem, counted from outside: the process is\n"
    "stopped for some milliseconds and need not cooperate. The figures are those of\n"
    "os_malloc_stats and os_malloc_stats_print; docs/statistics.md explains them.\n"
    "\n"
    "  -p, --pid PID      a process that is running; another user's needs root\n"
    "      --from FILE    what os_heap_map, OSMEM_CONF=map:PREFIX or osmem map --save has written\n"
    "      --json         as a JSON object (default: tables for people)\n"
    "      --prometheus   in Prometheus' text exposition format\n"
    "      --label NAME=VALUE   a label of every sample for Prometheus; may be repeated\n"
    "  -h, --help         print this\n"
    "\n"
    "example: osmem stats --prometheus --label service=redis --pid $(pidof redis-server)\n";

struct Options {
    pid_t process = 0;
    std::string file;
    os_stats_format format = OS_STATS_TEXT;
    std::string labels;
};

// ---- the command line --------------------------------------------------------------------------

// More than that do not fit into a line of stats_format's.
constexpr size_t LABELS_MAX = 200;

bool is_label_name(const std::string &name) {
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    return !name.empty() && std::strchr(letters, name[0]) != nullptr &&
           name.find_first_not_of(std::string(letters) + "0123456789") == std::string::npos;
}

std::string label_of(const std::string &text) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (equals == std::string::npos || !is_label_name(name))
        throw UsageError("--label '" + text + "': not a label, as service=redis");
    if (name == "heap" || name == "state" || name == "from" || name == "to" || name == "call")
        throw UsageError("--label '" + text + "': '" + name + "' is a label of osmem's own");
    std::string value;
    for (const char letter : text.substr(equals + 1)) {
        if (letter == '\\' || letter == '"')
            value += '\\';
        value += letter == '\n' ? std::string("\\n") : std::string(1, letter);
    }
    return name + "=\"" + value + "\"";
}

void check(const Options &options) {
    if (options.process == 0 && options.file.empty())
        throw UsageError("the statistics of what? --pid PID or --from FILE");
    if (options.process != 0 && !options.file.empty())
        throw UsageError("--pid and --from exclude each other");
    if (options.labels.size() > LABELS_MAX)
        throw UsageError("--label: too long");
    if (!options.labels.empty() && options.format != OS_STATS_PROMETHEUS)
        throw UsageError("--label is for --prometheus");
}

Options parse(int argc, char **argv) {
    Options options;
    const auto format = [&options](os_stats_format wanted) {
        return [&options, wanted](const char *) { options.format = wanted; };
    };
    const auto label = [&options](const char *text) {
        options.labels += (options.labels.empty() ? "" : ",") + label_of(text);
    };
    const std::vector<std::string> operands =
        parse_options(argc, argv, Operands::ANYWHERE,
                      {option_count("pid", &options.process, 1, 1L << 30, 'p'),
                       option_text("from", &options.file),
                       {"json", false, format(OS_STATS_JSON)},
                       {"prometheus", false, format(OS_STATS_PROMETHEUS)},
                       {"label", true, label}});
    if (!operands.empty())
        throw UsageError("'" + operands.front() + "': there are no arguments");
    check(options);
    return options;
}

// ---- a map as a source of statistics -----------------------------------------------------------

const Snapshot &snapshot_of(void *context) { return *static_cast<const Snapshot *>(context); }

stats_class &class_of(stats_part *part, size_t bytes) {
    const size_t highest = 63 - size_t(__builtin_clzll(bytes));
    return part->classes[highest < STATS_CLASSES ? highest : STATS_CLASSES - 1];
}

void count_sizes(const SnapshotRegion &region, stats_part *part) {
    for (size_t granule = region.place.first; granule < region.place.top;) {
        const Block block = snapshot_block(region, granule);
        const size_t bytes = (block.end - block.begin) * MAP_GRANULE_BYTES;
        stats_class &line = class_of(part, bytes);
        (block.is_free ? line.free_blocks : line.live_blocks)++;
        (block.is_free ? line.free_bytes : line.live_bytes) += bytes;
        granule = block.end;
    }
}

bool heap_of(void *context, size_t index, stats_part *part) {
    const Snapshot &snapshot = snapshot_of(context);
    if (index >= snapshot.heaps.size())
        return false;
    *part = {};
    part->stats = snapshot_statistics(snapshot_heap_totals(snapshot, index));
    for (const SnapshotRegion &region : snapshot.regions)
        if (region.place.heap == index)
            count_sizes(region, part);
    return true;
}

void mapped_of(void *context, stats_part *part) {
    *part = {};
    for (const SnapshotMapping &mapping : snapshot_of(context).mappings) {
        if (mapping.place.kept)
            continue;
        stats_class &line = class_of(part, mapping.place.length);
        line.live_blocks++;
        line.live_bytes += mapping.place.length;
    }
}

int stats(int argc, char **argv) {
    const Options options = parse(argc, argv);
    Snapshot snapshot = options.process != 0
                            ? process_map(options.process)
                            : snapshot_parse(read_file(options.file), options.file);
    stats_source source{};
    source.process = long(snapshot.header.pid);
    source.labels = options.labels.c_str();
    source.all =
        snapshot.statistics ? *snapshot.statistics : snapshot_statistics(snapshot_totals(snapshot));
    source.heap = heap_of;
    source.mapped = mapped_of;
    source.context = &snapshot;
    if (stats_format(STDOUT_FILENO, options.format, &source) != 0)
        throw Failure(std::string("standard output: ") + std::strerror(errno));
    return 0;
}

} // namespace

const Command stats_command = {"stats", "print the statistics of a running program", HELP, stats};

} // namespace osmem
