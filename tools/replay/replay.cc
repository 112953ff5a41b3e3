/*
 * osmem replay: a trace on osmem and on every other allocator installed here.
 *
 * Each run is a process of its own, the player (tools/replay/player.c), which carries out a plan
 * made beforehand: so nothing of reading the trace is in what is measured. Time, memory and
 * latencies come from separate runs, because looking at one disturbs the other.
 */
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nlohmann/json.hpp"
#include "tools/chart.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/dropin.h"
#include "tools/files.h"
#include "tools/measure.h"
#include "tools/replay/planner.h"
#include "tools/table.h"
#include "tools/trace/reader.h"

namespace osmem {

namespace {

using Json = nlohmann::ordered_json;

const char HELP[] =
    "usage: osmem replay [OPTION]... TRACE\n"
    "\n"
    "Replays a trace of osmem record, threads included, on glibc's allocator, on osmem and on\n"
    "every other allocator library installed here, and prints side by side what each makes of it.\n"
    "\n"
    "  -n, --runs N         timed runs of each allocator, in turns (default: 3)\n"
    "      --allocators A,B only these and glibc, to which all are compared\n"
    "      --also NAME=PATH one more allocator: a library for LD_PRELOAD; may be repeated\n"
    "      --lib PATH       osmem's drop-in library (default: the one built with this tool)\n"
    "      --events N       only the first N events\n"
    "      --samples N      how often to look at the memory (default: 400)\n"
    "      --timeout S      end a run after S seconds and mark it (default: never)\n"
    "      --json FILE      write all figures as JSON too; - is standard output, and the table\n"
    "                       then goes to standard error\n"
    "      --plots DIR      write memory.svg and latency.svg into DIR\n"
    "      --damaged        replay what is whole of a damaged trace\n"
    "  -h, --help           print this\n"
    "\n"
    "time      median of the timed runs: as fast as it goes, without the program's own work;\n"
    "          threads wait for each other only where a block passes from one to the other. cpu "
    "is\n"
    "          the sum over threads.\n"
    "resident  private memory of the process in a run of its own, in exactly the order of the\n"
    "          trace: the most, and the average over the events. Of each block every page is\n"
    "          written to. The last columns are these over the bytes asked for in live blocks, at\n"
    "          their peak and on average: 1.00 would be no waste at all.\n"
    "latency   of single calls, in a third run: half, 99 and 99.9 of 100 took at most so long.\n"
    "\n"
    "The same trace gives the same placement in each run; --json has a checksum of it.\n"
    "\n"
    "Exit status: 0, 1 if an allocator failed or the trace cannot be read, 2 for a wrong command\n"
    "line, 130 if interrupted.\n"
    "\n"
    "example: osmem replay --plots . index.osmem\n";

struct Options {
    int runs = 3;
    uint64_t events = 0;
    int samples = 400;
    double timeout_s = 0;
    bool damaged = false;
    std::string json, plots;
    AllocatorChoice choice;
    std::string trace;
};

Options parse(int argc, char **argv) {
    Options options;
    std::vector<Option> known = choice_options(&options.choice);
    known.push_back(option_count("runs", &options.runs, 1, 1000 * 1000, 'n'));
    known.push_back(option_count("events", &options.events, 1, LONG_MAX));
    known.push_back(option_count("samples", &options.samples, 1, 1000 * 1000));
    known.push_back({"timeout", true, [&](const char *value) {
                         options.timeout_s = option_seconds("--timeout", value);
                     }});
    known.push_back(option_text("json", &options.json));
    known.push_back(option_text("plots", &options.plots));
    known.push_back(option_flag("damaged", &options.damaged));
    options.trace = single_operand(parse_options(argc, argv, Operands::ANYWHERE, known), "TRACE");
    return options;
}

// ---- what the player finds ---------------------------------------------------------------------

// A folder that is gone at the end, with all that is in it.
class Scratch {
  public:
    Scratch() {
        const char *folder = std::getenv("TMPDIR");
        path_ = std::string(folder == nullptr ? "/tmp" : folder) + "/osmem_replay_XXXXXX";
        if (mkdtemp(path_.data()) == nullptr)
            throw Failure(path_ + ": " + std::strerror(errno));
    }
    ~Scratch() {
        for (const char *name : {"free", "strict", "result"})
            unlink(file(name).c_str());
        rmdir(path_.c_str());
    }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;
    std::string file(const std::string &name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

struct Percentiles {
    uint64_t count = 0;
    double p50 = 0, p99 = 0, p999 = 0, most = 0;  // nanoseconds
    std::vector<std::pair<double, double>> curve; // share of calls, nanoseconds
};

Percentiles percentiles_of(const std::vector<const latency *> &parts, double ns_per_tick) {
    Percentiles found;
    std::vector<uint64_t> buckets(LATENCY_BUCKETS);
    uint64_t most = 0;
    for (const latency *part : parts) {
        found.count += part->count;
        most = std::max(most, part->most);
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
            buckets[i] += part->buckets[i];
    }
    found.most = double(most) * ns_per_tick;
    if (found.count == 0)
        return found;
    const auto at_share = [&](double share, uint64_t below, uint64_t here, double *out) {
        const double wanted = share * double(found.count);
        if (double(below) < wanted && wanted <= double(below + here))
            return out;
        return static_cast<double *>(nullptr);
    };
    uint64_t below = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        if (buckets[i] == 0)
            continue;
        // The middle of the bucket, but never more than the longest.
        const double middle = double(latency_least(i) + latency_least(i + 1) - 1) / 2;
        const double ns = std::min(middle, double(most)) * ns_per_tick;
        for (const auto &[share, out] :
             {std::pair(0.5, &found.p50), {0.99, &found.p99}, {0.999, &found.p999}})
            if (double *target = at_share(share, below, buckets[i], out))
                *target = ns;
        below += buckets[i];
        found.curve.push_back({double(below) / double(found.count), ns});
    }
    return found;
}

struct Replayed {
    Allocator allocator;
    std::vector<double> wall_s, cpu_s;
    std::vector<result_sample> samples;
    uint64_t calls = 0, refused = 0, placement = 0;
    std::vector<Percentiles> by_call; // OP_MALLOC …
    Percentiles allocations, frees;
    std::string trouble; // why there are no figures, or not all
};

const char *const CALLS[] = {"malloc", "calloc", "aligned", "realloc", "free"};

double median(std::vector<double> values) {
    if (values.empty())
        return 0;
    std::sort(values.begin(), values.end());
    const size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Memory {
    double peak = 0, average = 0, at_live_peak = 0, at_end = 0;
    double over_live_at_peak = 0, over_live_average = 0;
};

Memory memory_of(const Replayed &replayed) {
    Memory memory;
    double live_sum = 0, sum = 0;
    uint64_t live_peak = 0;
    for (const result_sample &sample : replayed.samples) {
        memory.peak = std::max(memory.peak, double(sample.resident));
        sum += double(sample.resident);
        live_sum += double(sample.live);
        if (sample.live > live_peak) {
            live_peak = sample.live;
            memory.at_live_peak = double(sample.resident);
        }
    }
    if (replayed.samples.empty())
        return memory;
    memory.average = sum / double(replayed.samples.size());
    memory.at_end = double(replayed.samples.back().resident);
    memory.over_live_at_peak = live_peak == 0 ? 0 : memory.at_live_peak / double(live_peak);
    memory.over_live_average = live_sum == 0 ? 0 : sum / live_sum;
    return memory;
}

// ---- the runs ----------------------------------------------------------------------------------

class Replay {
  public:
    explicit Replay(const Options &options)
        : options_(options), player_(companion_find("tools/replay/osmem-player")),
          trace_(options.trace, options.damaged) {
        for (const Allocator &allocator : choose_allocators(options.choice))
            all_.push_back({allocator, {}, {}, {}, 0, 0, 0, {}, {}, {}, ""});
    }

    void run();

    const TraceReader &trace() const { return trace_; }
    const TraceOutline &outline() const { return outline_; }
    const std::vector<PlanSample> &samples() const { return samples_; }
    const std::vector<Replayed> &all() const { return all_; }
    size_t threads() const { return threads_; }
    bool interrupted() const { return interrupted_; }

  private:
    void say(const std::string &what);
    std::string make_plans();
    bool play(Replayed *replayed, const std::string &plan, const char *mode);

    const Options &options_;
    const std::string player_;
    TraceReader trace_;
    TraceOutline outline_;
    Scratch scratch_;
    Measurer measurer_; // from the start: an interrupt must not leave the scratch folder behind
    std::vector<PlanSample> samples_;
    std::vector<Replayed> all_;
    size_t threads_ = 0;
    bool interrupted_ = false;
    const bool is_terminal_ = isatty(STDERR_FILENO) != 0;
};

// One line that is written over and over on a terminal, else one line each.
void Replay::say(const std::string &what) {
    std::fprintf(stderr, is_terminal_ ? "\r\033[K%s" : "osmem replay: %s\n", what.c_str());
    std::fflush(stderr);
}

std::string Replay::make_plans() {
    say("reading " + std::to_string(trace_.info().events) + " events");
    outline_ = outline_of(trace_, options_.events);
    if (outline_.peak_blocks == 0)
        throw Failure(options_.trace + ": nothing in it to be replayed");
    const Plan strict(trace_, outline_, Plan::Order::STRICT, uint64_t(options_.samples));
    strict.write(scratch_.file("strict"));
    samples_ = strict.samples();
    Plan(trace_, outline_, Plan::Order::FREE).write(scratch_.file("free"));
    threads_ = strict.threads();
    return scratch_.file("free");
}

// Adds what the run shows to *replayed. False if it failed.
bool Replay::play(Replayed *replayed, const std::string &plan, const char *mode) {
    const std::string path = scratch_.file("result");
    const size_t size = sizeof(result_header) + samples_.size() * sizeof(result_sample);
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, off_t(size)) != 0)
        throw Failure(path + ": " + std::strerror(errno));
    close(file);
    const Run run = measurer_.run(
        {{player_, plan, path, mode}, replayed->allocator.library, options_.timeout_s, -1});
    interrupted_ = measurer_.interrupted();
    std::string bytes(size, '\0');
    std::ifstream(path, std::ios::binary).read(bytes.data(), std::streamsize(size));
    result_header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (run.end == End::KILLED)
        replayed->trouble = std::string("CRASHED: ") + strsignal(run.value);
    else if (run.end == End::TIMED_OUT)
        replayed->trouble = "TIMED OUT";
    else if (run.preload == Preload::MISSING)
        replayed->trouble = "not preloaded";
    else if (run.value != 0 || header.magic != RESULT_MAGIC)
        replayed->trouble = "FAILED: " + run.error_line;
    if (!replayed->trouble.empty() || interrupted_)
        return false;

    replayed->calls = header.calls;
    replayed->refused = std::max(replayed->refused, header.refused);
    if (std::strcmp(mode, "time") == 0) {
        replayed->wall_s.push_back(double(header.wall_ns) / 1e9);
        replayed->cpu_s.push_back(double(header.cpu_ns) / 1e9);
    } else if (std::strcmp(mode, "memory") == 0) {
        replayed->placement = header.placement;
        replayed->samples.resize(header.samples);
        std::memcpy(replayed->samples.data(), bytes.data() + sizeof header,
                    header.samples * sizeof(result_sample));
    } else {
        const latency *of = header.latency;
        for (unsigned kind = 0; kind < OP_CALLS; kind++)
            replayed->by_call.push_back(percentiles_of({&of[kind]}, header.ns_per_tick));
        replayed->allocations =
            percentiles_of({&of[OP_MALLOC], &of[OP_CALLOC], &of[OP_ALIGNED]}, header.ns_per_tick);
        replayed->frees = replayed->by_call[OP_FREE];
    }
    return true;
}

void Replay::run() {
    const std::string free_plan = make_plans();
    const int passes = options_.runs + 2;
    for (int pass = 0; pass < passes; pass++) {
        const bool memory = pass == options_.runs, latencies = pass == options_.runs + 1;
        for (Replayed &replayed : all_) {
            if (!replayed.trouble.empty())
                continue;
            say((memory      ? "memory"
                 : latencies ? "latencies"
                             : "time, run " + std::to_string(pass + 1) + " of " +
                                   std::to_string(options_.runs)) +
                ": " + replayed.allocator.name);
            play(&replayed, memory ? scratch_.file("strict") : free_plan,
                 memory      ? "memory"
                 : latencies ? "latency"
                             : "time");
            if (interrupted_)
                return;
        }
    }
    if (is_terminal_)
        std::fputs("\r\033[K", stderr);
}

// ---- what is shown -----------------------------------------------------------------------------

std::string ratio_text(double value, double base) {
    return base > 0 ? formatted("%.3f", value / base) : "-";
}

void print_head(const Replay &replay, FILE *file) {
    const TraceInfo &info = replay.trace().info();
    const TraceOutline &outline = replay.outline();
    std::fprintf(file, "%s\n", joined(info.command).c_str());
    std::fprintf(
        file, "%llu events of %zu thread%s; at most %s live in %llu blocks; recorded in %.2f s\n",
        static_cast<unsigned long long>(outline.events), replay.threads(),
        replay.threads() == 1 ? "" : "s", bytes_text(double(outline.peak_live)).c_str(),
        static_cast<unsigned long long>(outline.peak_blocks), info.duration_s);
    for (const std::string &damage : replay.trace().damage())
        std::fprintf(file, "damaged: %s\n", damage.c_str());
    if (replay.trace().unknown_blocks() > 0)
        std::fprintf(file, "%llu calls were for blocks from before the recording: left out\n",
                     static_cast<unsigned long long>(replay.trace().unknown_blocks()));
}

void print_table(const Replay &replay, FILE *file) {
    std::vector<Row> rows = {{"allocator", "time", "cpu", "ratio", "peak", "ratio", "average",
                              "peak/live", "avg/live", ""}};
    std::vector<Row> latencies = {
        {"latency", "malloc p50", "p99", "p99.9", "max", "free p50", "p99", "p99.9", "max", ""}};
    const Replayed &base = replay.all().front();
    for (const Replayed &replayed : replay.all()) {
        std::string remark = replayed.trouble;
        if (replayed.refused > 0)
            remark = std::to_string(replayed.refused) + " allocations refused";
        if (!replayed.trouble.empty() || replayed.samples.empty()) {
            rows.push_back(
                {replayed.allocator.name, "-", "-", "-", "-", "-", "-", "-", "-", remark});
            continue;
        }
        const Memory memory = memory_of(replayed);
        const double cpu = median(replayed.cpu_s);
        rows.push_back({replayed.allocator.name, duration_text(median(replayed.wall_s) * 1e9),
                        duration_text(cpu * 1e9), ratio_text(cpu, median(base.cpu_s)),
                        bytes_text(memory.peak), ratio_text(memory.peak, memory_of(base).peak),
                        bytes_text(memory.average), formatted("%.2f", memory.over_live_at_peak),
                        formatted("%.2f", memory.over_live_average), remark});
        Row row = {replayed.allocator.name};
        for (const Percentiles *of : {&replayed.allocations, &replayed.frees})
            for (const double ns : {of->p50, of->p99, of->p999, of->most})
                row.push_back(of->count == 0 ? "-" : duration_text(ns));
        row.push_back("");
        latencies.push_back(row);
    }
    std::fprintf(file, "\n");
    print_rows(rows, file);
    std::fprintf(file, "\n");
    print_rows(latencies, file);
    if (replay.interrupted())
        std::fprintf(file, "interrupted: these are the runs that there were\n");
}

Json json_of(const Percentiles &of) {
    if (of.count == 0)
        return {{"count", 0}};
    return {{"count", of.count},
            {"p50", of.p50},
            {"p99", of.p99},
            {"p99.9", of.p999},
            {"max", of.most}};
}

Json json_of(const Replayed &replayed, const std::vector<PlanSample> &samples) {
    Json json;
    json["name"] = replayed.allocator.name;
    json["library"] =
        replayed.allocator.library.empty() ? Json() : Json(replayed.allocator.library);
    json["trouble"] = replayed.trouble;
    json["calls"] = replayed.calls;
    json["refused"] = replayed.refused;
    json["wall_s"] = replayed.wall_s;
    json["cpu_s"] = replayed.cpu_s;
    json["median"] = {{"wall_s", median(replayed.wall_s)}, {"cpu_s", median(replayed.cpu_s)}};
    const Memory memory = memory_of(replayed);
    json["resident_bytes"] = {{"peak", memory.peak},
                              {"average", memory.average},
                              {"at_live_peak", memory.at_live_peak},
                              {"at_end", memory.at_end}};
    json["resident_over_live"] = {{"at_live_peak", memory.over_live_at_peak},
                                  {"average", memory.over_live_average}};
    json["placement"] = formatted("%016llx", static_cast<unsigned long long>(replayed.placement));
    json["latency_ns"] = Json::object();
    for (size_t kind = 0; kind < replayed.by_call.size(); kind++)
        json["latency_ns"][CALLS[kind]] = json_of(replayed.by_call[kind]);
    json["samples"] = Json::array();
    for (size_t i = 0; i < replayed.samples.size(); i++)
        json["samples"].push_back({{"event", samples[i].event},
                                   {"time_s", samples[i].time_s},
                                   {"live", replayed.samples[i].live},
                                   {"resident", replayed.samples[i].resident}});
    return json;
}

std::string json_text(const Replay &replay) {
    Json json;
    json["command"] = replay.trace().info().command;
    json["events"] = replay.outline().events;
    json["threads"] = replay.threads();
    json["peak_live_bytes"] = replay.outline().peak_live;
    json["peak_live_blocks"] = replay.outline().peak_blocks;
    json["damage"] = replay.trace().damage();
    json["interrupted"] = replay.interrupted();
    json["allocators"] = Json::array();
    for (const Replayed &replayed : replay.all())
        json["allocators"].push_back(json_of(replayed, replay.samples()));
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Chart memory_chart(const Replay &replay) {
    Chart chart;
    chart.title = "resident memory: " + joined(replay.trace().info().command);
    const bool millions = replay.outline().events >= 1000 * 1000;
    const double unit = millions ? 1e6 : 1;
    chart.x_title = millions ? "million events" : "events";
    chart.y_title = "MiB";
    Series live = {"live bytes", {}, false, true};
    for (const PlanSample &sample : replay.samples())
        live.points.push_back({double(sample.event) / unit, double(sample.live) / (1 << 20)});
    for (const Replayed &replayed : replay.all()) {
        Series series = {replayed.allocator.name, {}, replayed.allocator.name == "osmem", false};
        for (size_t i = 0; i < replayed.samples.size(); i++)
            series.points.push_back({double(replay.samples()[i].event) / unit,
                                     double(replayed.samples[i].resident) / (1 << 20)});
        if (!series.points.empty())
            chart.series.push_back(series);
    }
    chart.series.push_back(live);
    return chart;
}

// By nines: the rare slow calls have as much room as the many fast ones.
Chart latency_chart(const Replay &replay) {
    Chart chart;
    chart.title = "time of a call of malloc: " + joined(replay.trace().info().command);
    chart.x_title = "share of the calls that took no longer";
    chart.y_title = "nanoseconds";
    chart.log_y = true;
    chart.x_ticks = {{0, "0"}, {1, "90 %"}};
    double most = 1;
    for (const Replayed &replayed : replay.all()) {
        Series series = {replayed.allocator.name, {}, replayed.allocator.name == "osmem", false};
        for (const auto &[share, ns] : replayed.allocations.curve)
            if (share < 1)
                series.points.push_back({-std::log10(1 - share), std::max(ns, 1.0)});
        for (const auto &point : series.points)
            most = std::max(most, point.first);
        if (!series.points.empty())
            chart.series.push_back(series);
    }
    std::string nines = "99";
    for (int count = 2; count <= int(most); count++) {
        chart.x_ticks.push_back({double(count), nines + " %"});
        nines += count == 2 ? ".9" : "9";
    }
    return chart;
}

void write_chart(const std::string &path, const Chart &chart) {
    std::ofstream file(path);
    file << chart_svg(chart);
    if (!file.flush())
        throw Failure(path + ": " + std::strerror(errno));
}

void prepare_folder(const std::string &path) {
    const bool is_made = mkdir(path.c_str(), 0777) == 0 || errno == EEXIST;
    if (!is_made || access((path + "/.").c_str(), W_OK) != 0)
        throw Failure(path + ": " + std::strerror(errno));
}

int replay(int argc, char **argv) {
    const Options options = parse(argc, argv);
    Replay replay(options);
    const OutputFile json = open_output(options.json); // before the work: it may fail
    if (!options.plots.empty())
        prepare_folder(options.plots);
    replay.run();
    FILE *out = options.json == "-" ? stderr : stdout;
    print_head(replay, out);
    print_table(replay, out);
    if (json)
        write_output(json, options.json, json_text(replay));
    if (!options.plots.empty()) {
        write_chart(options.plots + "/memory.svg", memory_chart(replay));
        write_chart(options.plots + "/latency.svg", latency_chart(replay));
    }
    if (replay.interrupted())
        return EXIT_INTERRUPTED;
    const bool clean =
        std::all_of(replay.all().begin(), replay.all().end(), [](const Replayed &replayed) {
            return replayed.trouble.empty() && replayed.refused == 0;
        });
    return clean ? 0 : EXIT_PROBLEM;
}

} // namespace

const Command replay_command = {
    "replay", "replay a trace on glibc, osmem and other allocators, side by side", HELP, replay};

} // namespace osmem
