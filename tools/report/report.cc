/*
 * osmem report: who holds memory, what grows, what is never freed, what keeps free pages from going
 * back; from a trace, also one that is still being recorded.
 */
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <optional>

#include <unistd.h>

#include "nlohmann/json.hpp"
#include "tools/command.h"
#include "tools/files.h"
#include "tools/map/process_map.h"
#include "tools/options.h"
#include "tools/report/advice.h"
#include "tools/report/analysis.h"
#include "tools/report/pprof.h"
#include "tools/report/report_process.h"
#include "tools/report/symbols.h"
#include "tools/table.h"

namespace osmem {

namespace {

using Json = nlohmann::ordered_json;

const char HELP[] =
    "usage: osmem report [OPTION]... TRACE\n"
    "       osmem report [OPTION]... --pid PID\n"
    "\n"
    "Says what a trace of osmem record tells about a program's memory: who holds it, what grows\n"
    "and what is never freed, by call site; which few live blocks pin how many otherwise free\n"
    "pages, which no malloc_trim can give back; sizes and lifetimes; and what to do about it.\n"
    "\n"
    "      --pid PID      a running process as it is now: with all this if osmem record has "
    "started\n"
    "                     it; of any other on osmem, sizes and pinned pages\n"
    "      --at WHEN      whose memory is listed: at the peak (default), the end, or after so "
    "many\n"
    "                     seconds\n"
    "      --top N        lines in each list (default: 10)\n"
    "      --depth N      callers named in a call site (default: 3)\n"
    "      --json FILE    write everything as JSON too; - is standard output, and the report then\n"
    "                     goes to standard error\n"
    "      --pprof FILE   write a heap profile that pprof and its like show\n"
    "      --damaged      report on what is whole of a damaged trace\n"
    "  -h, --help         print this\n"
    "\n"
    "Figures of call sites are estimates from the stacks sampled (osmem record --stacks); those\n"
    "from few samples are rough. All other figures are exact. A page is pinned when it was half\n"
    "full once and an eighth of it at most is in live blocks now. Function names come from\n"
    "addr2line; a ~ marks the nearest exported name of a stripped program, which is a hint only.\n"
    "\n"
    "Exit status: 0; 1 if the trace cannot be read, or the process does not exist, may not be\n"
    "looked at or does not run on osmem; 2 for a wrong command line.\n"
    "\n"
    "example: osmem report --pprof index.pb index.osmem && go tool pprof -http : index.pb\n";

struct Options {
    std::string trace, json, pprof;
    long pid = 0;
    Analysis::Moment moment = Analysis::Moment::PEAK;
    double second = 0;
    size_t top = 10, depth = 3;
    bool damaged = false;
};

void parse_moment(const char *text, Options *options) {
    const std::string word = text;
    if (word == "peak") {
        options->moment = Analysis::Moment::PEAK;
    } else if (word == "end") {
        options->moment = Analysis::Moment::END;
    } else {
        options->moment = Analysis::Moment::SECOND;
        options->second = option_seconds("--at", text);
    }
}

Options parse(int argc, char **argv) {
    Options options;
    const std::vector<std::string> operands =
        parse_options(argc, argv, Operands::ANYWHERE,
                      {option_count("pid", &options.pid, 1, INT_MAX),
                       {"at", true, [&](const char *value) { parse_moment(value, &options); }},
                       option_count("top", &options.top, 1, INT_MAX),
                       option_count("depth", &options.depth, 1, INT_MAX),
                       option_text("json", &options.json),
                       option_text("pprof", &options.pprof),
                       option_flag("damaged", &options.damaged)});
    if (options.pid == 0)
        options.trace = single_operand(operands, "TRACE");
    else if (!operands.empty())
        throw UsageError("either TRACE or --pid");
    return options;
}

// ---- a running process -------------------------------------------------------------------------

// The trace that the process has mapped, nothing if it is not being recorded. Failure if it is not
// there, or may not be looked at.
std::optional<std::string> trace_of_process(long pid) {
    const std::string process = "process " + std::to_string(pid);
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    if (!maps) {
        if (errno == ENOENT)
            throw Failure("there is no " + process);
        throw Failure(process + ": " + std::strerror(errno));
    }
    bool is_recorded = false, has_any = false;
    for (std::string line; std::getline(maps, line);) {
        has_any = true;
        const size_t path = line.find('/');
        if (path == std::string::npos)
            continue;
        const std::string file = line.substr(path);
        is_recorded = is_recorded || file.find("/libosmem-record.so") != std::string::npos;
        if (line.find(" rw-s ") != std::string::npos && trace_is(file))
            return file;
    }
    // Where it may not be looked at, opening may succeed, but there is nothing to be read.
    if (!has_any)
        throw Failure(process + ": " +
                      (maps.bad() || errno == EACCES || errno == EPERM
                           ? std::strerror(EACCES)
                           : "has no memory (it is a zombie or a kernel thread)"));
    if (is_recorded)
        throw Failure(process + " is recorded, but its trace is not there any more");
    return std::nullopt;
}

// ---- names of call sites -----------------------------------------------------------------------

class SiteNames {
  public:
    SiteNames(const TraceReader &trace, const Analysis &analysis, size_t depth)
        : trace_(trace), depth_(depth), symbols_(trace, stacks_of(analysis)) {}

    // "f (file.c:12) < g < h", innermost first.
    std::string of(int64_t stack) const {
        std::string text;
        size_t count = 0;
        for (const Frame &frame : frames_of(stack)) {
            if (count == depth_)
                break;
            text += (count++ == 0 ? "" : " < ") + short_name(frame.function);
            if (count == 1 && frame.line != 0)
                text += " (" + frame.file.substr(frame.file.rfind('/') + 1) + ":" +
                        std::to_string(frame.line) + ")";
        }
        return text.empty() ? "(unknown)" : text;
    }

    std::vector<Frame> frames_of(int64_t stack) const {
        std::vector<Frame> frames;
        const std::vector<uint64_t> *addresses = trace_.stack(stack);
        if (addresses != nullptr)
            for (const uint64_t address : *addresses)
                for (const Frame &frame : symbols_.at(address))
                    frames.push_back(frame);
        return frames;
    }

    const Symbols &symbols() const { return symbols_; }

  private:
    static std::vector<int64_t> stacks_of(const Analysis &analysis) {
        std::vector<int64_t> stacks;
        for (const Site &site : analysis.sites)
            stacks.push_back(site.stack);
        return stacks;
    }

    // Without arguments, which make names of C++ too long for a line.
    static std::string short_name(const std::string &name) {
        std::string text = name.substr(0, name.find('('));
        return text.size() <= 50 ? text : text.substr(0, 47) + "...";
    }

    const TraceReader &trace_;
    const size_t depth_;
    const Symbols symbols_;
};

// Stacks that look alike at this depth are one line.
struct SiteLine {
    std::string name;
    Site site; // sums; of the first stack
};

std::vector<SiteLine> lines_of(const Analysis &analysis, const SiteNames &names) {
    std::map<std::string, Site> by_name;
    for (const Site &site : analysis.sites) {
        Site &sum = by_name.try_emplace(names.of(site.stack)).first->second;
        if (sum.samples == 0)
            sum.stack = site.stack;
        sum.samples += site.samples;
        sum.allocated_blocks += site.allocated_blocks;
        sum.allocated_bytes += site.allocated_bytes;
        sum.moment_blocks += site.moment_blocks;
        sum.moment_bytes += site.moment_bytes;
        sum.end_blocks += site.end_blocks;
        sum.end_bytes += site.end_bytes;
        sum.short_blocks += site.short_blocks;
        for (size_t i = 0; i < CHECKPOINTS; i++)
            sum.live_at[i] += site.live_at[i];
    }
    std::vector<SiteLine> lines;
    for (const auto &[name, site] : by_name)
        lines.push_back({name, site});
    return lines;
}

template <typename Value>
std::vector<SiteLine> largest(std::vector<SiteLine> lines, size_t most, Value value) {
    lines.erase(std::remove_if(lines.begin(), lines.end(),
                               [&](const SiteLine &line) { return value(line.site) < 1; }),
                lines.end());
    std::stable_sort(lines.begin(), lines.end(), [&](const SiteLine &a, const SiteLine &b) {
        return value(a.site) > value(b.site);
    });
    if (lines.size() > most)
        lines.resize(most);
    return lines;
}

// ---- for people --------------------------------------------------------------------------------

std::string count_text(double count) {
    return count < 1e6 ? formatted("%.0f", count) : formatted("%.2f M", count / 1e6);
}

std::string percent(double part, double whole) {
    return whole > 0 ? formatted("%.1f%%", 100 * part / whole) : "-";
}

// Blocks of eight heights, one for each value.
template <typename Values> std::string sparkline(const Values &values) {
    static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const double most = std::max(1.0, double(*std::max_element(values.begin(), values.end())));
    std::string text;
    for (const auto value : values)
        text += heights[size_t(std::clamp(double(value) / most * 8, 0.0, 7.0))];
    return text;
}

std::string bar(double value, double most) {
    return most > 0 ? std::string(size_t(std::lround(40 * value / most)), '#') : "";
}

class Printer {
  public:
    Printer(FILE *file, const Options &options, const TraceReader &trace, const Analysis &analysis,
            const SiteNames &names)
        : file_(file), options_(options), trace_(trace), all_(analysis), names_(names),
          lines_(lines_of(analysis, names)) {}

    void print(const std::vector<Advice> &advice) {
        head();
        holders();
        growth();
        leaks();
        pins();
        sizes();
        lifetimes();
        heading("Advice");
        for (const Advice &each : advice)
            std::fprintf(file_, "* %s\n", each.text.c_str());
        if (advice.empty())
            std::fprintf(file_, "Nothing stands out.\n");
    }

  private:
    void heading(const std::string &text) { std::fprintf(file_, "\n%s\n\n", text.c_str()); }

    void head() {
        const TraceInfo &info = trace_.info();
        std::fprintf(file_, "%s\n", joined(info.command).c_str());
        std::fprintf(file_, "recorded on %s in %.2f s, %zu thread%s, %s\n",
                     info.allocator.substr(info.allocator.rfind('/') + 1).c_str(), info.duration_s,
                     trace_.threads().size(), trace_.threads().size() == 1 ? "" : "s",
                     info.finished ? "to its end" : "not (yet) to its end");
        if (info.stopped != 0)
            std::fprintf(file_, "recording stopped before the program did: %s\n",
                         std::strerror(info.stopped));
        if (info.lost != 0)
            std::fprintf(file_, "%llu events are not in the trace\n",
                         static_cast<unsigned long long>(info.lost));
        for (const std::string &damage : trace_.damage())
            std::fprintf(file_, "damaged: %s\n", damage.c_str());
        if (all_.unknown > 0)
            std::fprintf(file_, "%llu blocks are from before the recording\n",
                         static_cast<unsigned long long>(all_.unknown));
        if (all_.implied > 0)
            std::fprintf(file_, "the frees of %llu blocks are missing\n",
                         static_cast<unsigned long long>(all_.implied));
        std::fprintf(file_, "%s allocations, %s reallocs, %s frees; %s allocated in all\n",
                     count_text(double(all_.allocations)).c_str(),
                     count_text(double(all_.resizes)).c_str(),
                     count_text(double(all_.frees)).c_str(),
                     bytes_text(double(all_.allocated_bytes)).c_str());
        std::fprintf(file_, "peak     %s in %llu blocks, after %.2f s\n",
                     bytes_text(double(all_.peak_bytes)).c_str(),
                     static_cast<unsigned long long>(all_.peak_blocks), all_.peak_s);
        std::fprintf(file_, "average  %s\n", bytes_text(all_.average_bytes).c_str());
        std::fprintf(file_, "end      %s in %llu blocks\n",
                     bytes_text(double(all_.end_bytes)).c_str(),
                     static_cast<unsigned long long>(all_.end_blocks));
        std::fprintf(file_, "live     %s\npinned   %s  (up to %s)\n",
                     sparkline(all_.live_at).c_str(), sparkline(all_.pinned_at).c_str(),
                     bytes_text(double(all_.pins.free_bytes)).c_str());
    }

    template <typename Blocks, typename Bytes>
    void site_table(double whole, Blocks blocks, Bytes bytes) {
        std::vector<Row> rows = {{"bytes", "share", "blocks", "samples", "call site"}};
        for (const SiteLine &line : largest(lines_, options_.top, bytes))
            rows.push_back({bytes_text(bytes(line.site)), percent(bytes(line.site), whole),
                            count_text(blocks(line.site)), std::to_string(line.site.samples),
                            line.name});
        if (rows.size() > 1)
            print_rows(rows, file_);
        else
            std::fprintf(file_, "none of their call stacks was sampled\n");
    }

    void holders() {
        const char *when = options_.moment == Analysis::Moment::PEAK  ? "at the peak"
                           : options_.moment == Analysis::Moment::END ? "at the end"
                                                                      : "at that time";
        heading(formatted("Who holds memory %s (%s in %llu blocks, after %.2f s)", when,
                          bytes_text(double(all_.moment_bytes)).c_str(),
                          static_cast<unsigned long long>(all_.moment_blocks), all_.moment_s));
        site_table(
            double(all_.moment_bytes), [](const Site &site) { return site.moment_blocks; },
            [](const Site &site) { return site.moment_bytes; });
        std::fprintf(file_, "\n");
        std::vector<std::pair<uint64_t, SizeCount>> by_size(all_.moment_sizes.begin(),
                                                            all_.moment_sizes.end());
        std::stable_sort(by_size.begin(), by_size.end(), [](const auto &a, const auto &b) {
            return a.second.bytes > b.second.bytes;
        });
        std::vector<Row> rows = {{"block size", "blocks", "bytes", ""}};
        for (size_t i = 0; i < by_size.size() && i < options_.top; i++)
            rows.push_back({std::to_string(by_size[i].first),
                            std::to_string(by_size[i].second.blocks),
                            bytes_text(double(by_size[i].second.bytes)),
                            percent(double(by_size[i].second.bytes), double(all_.moment_bytes))});
        print_rows(rows, file_);
    }

    void growth() {
        const auto value = [](const Site &site) { return site.growth(); };
        const std::vector<SiteLine> lines = largest(lines_, options_.top, value);
        if (lines.empty())
            return;
        heading("What grows in the second half of the events");
        std::vector<Row> rows = {{"growth", "", "live bytes over the events / call site"}};
        for (const SiteLine &line : lines)
            rows.push_back({bytes_text(line.site.growth()),
                            line.site.grows_steadily() ? "steadily" : "",
                            sparkline(line.site.live_at) + "  " + line.name});
        print_rows(rows, file_);
    }

    void leaks() {
        heading(formatted("%s (%s in %llu blocks)",
                          trace_.info().finished ? "Never freed" : "Live when the trace ends",
                          bytes_text(double(all_.end_bytes)).c_str(),
                          static_cast<unsigned long long>(all_.end_blocks)));
        if (all_.end_blocks == 0) {
            std::fprintf(file_, "everything was freed\n");
            return;
        }
        site_table(
            double(all_.end_bytes), [](const Site &site) { return site.end_blocks; },
            [](const Site &site) { return site.end_bytes; });
    }

    void pins() {
        const Pins &pins = all_.pins;
        heading(formatted("Pinned pages at their worst (after %s of the events)",
                          percent(double(pins.event), double(trace_.info().events)).c_str()));
        if (pins.pages == 0) {
            std::fprintf(file_, "none\n");
            return;
        }
        std::fprintf(
            file_,
            "%llu live blocks of %s in all hold %llu pages: %s are free on them and cannot "
            "go back\n\n",
            static_cast<unsigned long long>(pins.blocks),
            bytes_text(double(pins.live_bytes)).c_str(),
            static_cast<unsigned long long>(pins.pages),
            bytes_text(double(pins.free_bytes)).c_str());
        std::vector<Row> rows = {{"block size", "blocks", "pages", "free on them", "as from"}};
        for (size_t i = 0; i < pins.by_size.size() && i < options_.top; i++) {
            const Pin &pin = pins.by_size[i];
            rows.push_back({std::to_string(pin.size), std::to_string(pin.blocks),
                            std::to_string(pin.pages), bytes_text(double(pin.free_bytes)),
                            pin.stack >= 0 ? names_.of(pin.stack) : ""});
        }
        print_rows(rows, file_);
    }

    void sizes() {
        heading("Sizes of all allocations");
        histogram(all_.sizes, [](size_t power) {
            return power == 0 ? std::string("0-1")
                              : bytes_text(double(uint64_t(1) << power)) + " +";
        });
    }

    void lifetimes() {
        heading("Lifetimes of all blocks that were freed");
        histogram(all_.lifetimes_ns,
                  [](size_t power) { return duration_text(double(uint64_t(1) << power)) + " +"; });
        std::fprintf(file_, "\n%s of the blocks died before %s more were allocated\n",
                     percent(double(all_.short_lived), double(all_.allocations)).c_str(),
                     bytes_text(double(SHORT_LIVED)).c_str());
    }

    template <typename Name>
    void histogram(const std::array<SizeCount, POWERS> &counts, Name name) {
        double most = 0;
        size_t first = POWERS, last = 0;
        for (size_t power = 0; power < POWERS; power++) {
            most = std::max(most, double(counts[power].blocks));
            if (counts[power].blocks > 0) {
                first = std::min(first, power);
                last = power;
            }
        }
        std::vector<Row> rows = {{"", "blocks", "bytes", ""}};
        for (size_t power = first; power <= last && first < POWERS; power++)
            rows.push_back({name(power), std::to_string(counts[power].blocks),
                            bytes_text(double(counts[power].bytes)),
                            bar(double(counts[power].blocks), most)});
        print_rows(rows, file_);
    }

    FILE *const file_;
    const Options &options_;
    const TraceReader &trace_;
    const Analysis &all_;
    const SiteNames &names_;
    const std::vector<SiteLine> lines_;
};

// ---- for programs ------------------------------------------------------------------------------

Json json_of(const std::map<uint64_t, SizeCount> &sizes) {
    Json json = Json::array();
    for (const auto &[size, count] : sizes)
        json.push_back({{"size", size}, {"blocks", count.blocks}, {"bytes", count.bytes}});
    return json;
}

Json json_of(const std::array<SizeCount, POWERS> &counts) {
    Json json = Json::array();
    for (size_t power = 0; power < POWERS; power++)
        if (counts[power].blocks > 0)
            json.push_back({{"from", power == 0 ? 0 : uint64_t(1) << power},
                            {"blocks", counts[power].blocks},
                            {"bytes", counts[power].bytes}});
    return json;
}

Json json_of(const Site &site, const SiteNames &names) {
    Json json;
    json["call_site"] = names.of(site.stack);
    json["frames"] = Json::array();
    for (const Frame &frame : names.frames_of(site.stack))
        json["frames"].push_back(
            {{"function", frame.function}, {"file", frame.file}, {"line", frame.line}});
    json["samples"] = site.samples;
    json["allocated"] = {{"blocks", site.allocated_blocks}, {"bytes", site.allocated_bytes}};
    json["at_moment"] = {{"blocks", site.moment_blocks}, {"bytes", site.moment_bytes}};
    json["at_end"] = {{"blocks", site.end_blocks}, {"bytes", site.end_bytes}};
    json["growth_bytes"] = site.growth();
    json["grows_steadily"] = site.grows_steadily();
    json["live_bytes_over_events"] = site.live_at;
    return json;
}

std::string json_text(const TraceReader &trace, const Analysis &all, const SiteNames &names,
                      const std::vector<Advice> &advice) {
    const TraceInfo &info = trace.info();
    Json json;
    json["command"] = info.command;
    json["program"] = info.program;
    json["allocator"] = info.allocator;
    json["pid"] = info.pid;
    json["duration_s"] = info.duration_s;
    json["finished"] = info.finished;
    json["threads"] = trace.threads().size();
    json["events"] = info.events;
    json["lost"] = info.lost;
    json["damage"] = trace.damage();
    json["unknown_blocks"] = all.unknown;
    json["missing_frees"] = all.implied;
    json["allocations"] = all.allocations;
    json["reallocs"] = all.resizes;
    json["frees"] = all.frees;
    json["failures"] = all.failures;
    json["allocated_bytes"] = all.allocated_bytes;
    json["moved_bytes"] = all.moved_bytes;
    json["crossed_frees"] = all.crossed_frees;
    json["short_lived"] = all.short_lived;
    json["average_bytes"] = all.average_bytes;
    json["peak"] = {{"bytes", all.peak_bytes},
                    {"blocks", all.peak_blocks},
                    {"event", all.peak_event},
                    {"time_s", all.peak_s}};
    json["moment"] = {{"bytes", all.moment_bytes},
                      {"blocks", all.moment_blocks},
                      {"event", all.moment_event},
                      {"time_s", all.moment_s},
                      {"sizes", json_of(all.moment_sizes)}};
    json["end"] = {
        {"bytes", all.end_bytes}, {"blocks", all.end_blocks}, {"sizes", json_of(all.end_sizes)}};
    json["live_bytes_over_events"] = all.live_at;
    json["pinned_bytes_over_events"] = all.pinned_at;
    json["pinned"] = {{"event", all.pins.event},           {"pages", all.pins.pages},
                      {"blocks", all.pins.blocks},         {"live_bytes", all.pins.live_bytes},
                      {"free_bytes", all.pins.free_bytes}, {"by_size", Json::array()}};
    for (const Pin &pin : all.pins.by_size)
        json["pinned"]["by_size"].push_back(
            {{"size", pin.size},
             {"blocks", pin.blocks},
             {"pages", pin.pages},
             {"free_bytes", pin.free_bytes},
             {"call_site", pin.stack >= 0 ? Json(names.of(pin.stack)) : Json()}});
    json["sizes"] = json_of(all.sizes);
    json["lifetimes_ns"] = json_of(all.lifetimes_ns);
    json["lifetimes_bytes"] = json_of(all.lifetimes_bytes);
    json["sample_bytes"] = info.sample_bytes;
    json["samples"] = all.sampled;
    json["call_sites"] = Json::array();
    for (const Site &site : all.sites)
        json["call_sites"].push_back(json_of(site, names));
    json["advice"] = Json::array();
    for (const Advice &each : advice)
        json["advice"].push_back({{"topic", each.topic}, {"text", each.text}});
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// ---- the command -------------------------------------------------------------------------------

void report_process(const Options &options, const OutputFile &json, FILE *out) {
    if (!options.pprof.empty())
        throw Failure("process " + std::to_string(options.pid) +
                      " is not being recorded, so there are no call stacks for --pprof: start it "
                      "by osmem record");
    const ProcessReport found = process_report(process_map(pid_t(options.pid)));
    if (json)
        write_output(json, options.json, process_report_json(pid_t(options.pid), found));
    process_report_print(pid_t(options.pid), found, options.top, out);
}

int report(int argc, char **argv) {
    const Options options = parse(argc, argv);
    const std::optional<std::string> path =
        options.pid == 0 ? options.trace : trace_of_process(options.pid);
    const OutputFile json = open_output(options.json), pprof = open_output(options.pprof);
    FILE *out = options.json == "-" || options.pprof == "-" ? stderr : stdout;
    if (!path) {
        report_process(options, json, out);
        return 0;
    }
    TraceReader trace(*path, options.damaged);
    if (isatty(STDERR_FILENO) && trace.info().events > 1000 * 1000)
        std::fprintf(stderr, "reading %.1f million events\n", double(trace.info().events) / 1e6);
    const Analysis analysis(trace, options.moment, options.second);
    const SiteNames names(trace, analysis, options.depth);
    const std::vector<Advice> advice =
        advice_on(trace.info(), analysis, [&](int64_t stack) { return names.of(stack); });
    if (pprof)
        write_output(pprof, options.pprof, pprof_profile(trace, analysis, names.symbols()));
    if (json)
        write_output(json, options.json, json_text(trace, analysis, names, advice));
    Printer(out, options, trace, analysis, names).print(advice);
    return 0;
}

} // namespace

const Command report_command = {
    "report", "who holds memory, what grows, leaks and pins pages, from a trace", HELP, report};

} // namespace osmem
