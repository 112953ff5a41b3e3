/*
 * report.cc - the medians of all rounds: a table for each case, a summary, and JSON.
 */
#include "benchmark/report.h"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

namespace benchmarks {

namespace {

using nlohmann::json;

double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

const sample *find(const std::vector<result> &results, const bench_case *task,
                   const std::string &allocator) {
    for (const result &each : results) {
        if (each.task == task && each.allocator == allocator && each.median.failure.empty())
            return &each.median;
    }
    return nullptr;
}

/* A figure in ten columns, or a dash where it means nothing. */
std::string cell(bool known, const char *format, double value) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    char padded[40];
    std::snprintf(padded, sizeof padded, "%10s", known ? text : "-");
    return padded;
}

std::string group_of(const bench_case &task) { return task.name.substr(0, task.name.find('/')); }

/* The peak of a case with next to no live memory is the noise of the counters. */
bool has_memory(const sample &figures) { return figures.live >= static_cast<double>(MIB); }

std::string first_line_of(const char *path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.compare(0, 10, "model name") == 0 && line.find(": ") != std::string::npos)
            return line.substr(line.find(": ") + 2);
    }
    return "unknown";
}

json context_of(const std::vector<allocator_source> &sources,
                const std::map<std::string, std::string> &unavailable) {
    struct utsname kernel = {};
    uname(&kernel);
    char date[64];
    std::time_t now = std::time(nullptr);
    std::strftime(date, sizeof date, "%FT%T%z", std::localtime(&now));
    json allocators = json::array();
    for (const allocator_source &each : sources) {
        json entry = {{"name", each.name}, {"path", each.path}, {"preloaded", each.preload}};
        if (unavailable.count(each.name) != 0)
            entry["unavailable"] = unavailable.at(each.name);
        allocators.push_back(entry);
    }
    return {
        {"date", date},
        {"executable", "benchmark"},
        {"num_cpus", std::thread::hardware_concurrency()},
        {"cpu_model", processor_name()},
        {"machine", kernel.machine},
        {"kernel", kernel.release},
        {"libc", std::string("glibc ") + gnu_get_libc_version()},
        {"compiler", __VERSION__},
        {"page_size", sysconf(_SC_PAGESIZE)},
        {"memory_bytes", std::uint64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE)},
        {"transparent_hugepages", first_line_of("/sys/kernel/mm/transparent_hugepage/enabled")},
#ifdef NDEBUG
        {"library_build_type", "release"},
#else
        {"library_build_type", "debug"},
#endif
        {"allocators", allocators},
    };
}

void add_figures(json &entry, const sample &figures) {
    entry["cpu_ns_per_operation"] = figures.cpu;
    entry["wall_ns_per_operation"] = figures.wall;
    if (figures.live > 0)
        entry["peak_per_live"] = figures.peak / figures.live;
}

json entry_of(const result &of, const sample &figures) {
    std::string name = of.task->name + "/" + of.allocator;
    json entry = json::parse(figures.raw, nullptr, false);
    if (!entry.is_object())
        entry = json::object();
    entry["name"] = name;
    entry["run_name"] = name;
    entry["case"] = of.task->name;
    entry["allocator"] = of.allocator;
    entry["run_type"] = "iteration";
    entry["threads"] = std::max(1U, of.task->threads);
    entry["repetitions"] = of.rounds.size();
    if (!figures.failure.empty()) {
        entry["error_occurred"] = true;
        entry["error_message"] = figures.failure;
    } else {
        add_figures(entry, figures);
    }
    return entry;
}

json median_entry_of(const result &of) {
    json entry = entry_of(of, of.median);
    entry["name"] = of.task->name + "/" + of.allocator + "_median";
    entry["run_type"] = "aggregate";
    entry["aggregate_name"] = "median";
    if (of.median.failure.empty()) {
        entry["time_unit"] = "ns";
        entry["cpu_time"] = of.median.cpu;
        entry["real_time"] = of.median.wall;
        entry["peak_bytes"] = of.median.peak;
        entry["live_bytes"] = of.median.live;
        entry["kept_bytes"] = of.median.kept;
        entry["longest_ns"] = of.median.longest;
        entry["spread"] = of.median.spread;
    }
    return entry;
}

} // namespace

sample sample_parse(const std::string &json_text) {
    sample parsed = {};
    json document = json::parse(json_text, nullptr, false);
    if (document.is_discarded() || !document.contains("benchmarks") ||
        document["benchmarks"].size() != 1) {
        parsed.failure = "no result";
        return parsed;
    }
    const json &entry = document["benchmarks"][0];
    parsed.raw = entry.dump();
    if (entry.value("error_occurred", false)) {
        parsed.failure = entry.value("error_message", "failed");
        return parsed;
    }
    double operations = entry.value("operations", 0.0);
    if (operations <= 0) {
        parsed.failure = "no operations counted";
        return parsed;
    }
    parsed.cpu = entry.value("cpu_time", 0.0) / operations;
    parsed.wall = entry.value("real_time", 0.0) / operations;
    parsed.peak = entry.value("peak_bytes", 0.0);
    parsed.live = entry.value("live_bytes", 0.0);
    parsed.kept = entry.value("kept_bytes", 0.0);
    parsed.longest = entry.value("longest_ns", 0.0);
    return parsed;
}

sample sample_median(const std::vector<sample> &rounds) {
    sample median = {};
    std::vector<double> cpu;
    for (const sample &round : rounds) {
        if (!round.failure.empty())
            median.failure = round.failure;
        cpu.push_back(round.cpu);
    }
    if (rounds.empty())
        median.failure = "not run";
    if (!median.failure.empty())
        return median;
    auto median_by = [&](double sample::*figure) {
        std::vector<double> values;
        for (const sample &round : rounds)
            values.push_back(round.*figure);
        return median_of(values);
    };
    for (double sample::*figure : {&sample::cpu, &sample::wall, &sample::peak, &sample::live,
                                   &sample::kept, &sample::longest})
        median.*figure = median_by(figure);
    /* The least of the longest calls: what interrupts add comes by chance, what a call costs in
     * every round. */
    for (const sample &round : rounds)
        median.longest = std::min(median.longest, round.longest);
    auto ends = std::minmax_element(cpu.begin(), cpu.end());
    median.spread = (*ends.second - *ends.first) / median.cpu;
    return median;
}

void report_table(const std::vector<result> &of_one_case) {
    if (of_one_case.empty())
        return;
    const bench_case *task = of_one_case[0].task;
    const sample *glibc = find(of_one_case, task, "glibc");
    std::printf("\n%s: %s\n", task->name.c_str(), task->comment.c_str());
    std::printf("  %-18s%10s%10s%10s%10s%10s%10s%10s%10s%10s\n", "", "ns/op", "x glibc", "wall ns",
                "peak MiB", "x glibc", "x live", "kept MiB", "spread", "worst us");
    for (const result &each : of_one_case) {
        const sample &figures = each.median;
        if (!figures.failure.empty()) {
            std::printf("  %-18s  FAILED: %s\n", each.allocator.c_str(), figures.failure.c_str());
            continue;
        }
        constexpr double MEBI = MIB;
        bool memory = has_memory(figures);
        std::string row;
        row += cell(true, figures.cpu < 100 ? "%.2f" : "%.0f", figures.cpu);
        row += cell(glibc != nullptr, "%.2f", glibc != nullptr ? figures.cpu / glibc->cpu : 0);
        row += cell(task->threads > 0, "%.1f", figures.wall);
        row += cell(true, "%.1f", figures.peak / MEBI);
        row += cell(glibc != nullptr && memory, "%.2f",
                    glibc != nullptr ? figures.peak / glibc->peak : 0);
        row += cell(memory, "%.2f", memory ? figures.peak / figures.live : 0);
        row += cell(true, "%.1f", figures.kept / MEBI);
        row += cell(each.rounds.size() > 1, "%.0f%%", 100 * figures.spread);
        row += cell(figures.longest > 0, "%.1f", figures.longest / 1000);
        std::printf("  %-18s%s\n", each.allocator.c_str(), row.c_str());
    }
    std::fflush(stdout);
}

void report_summary(const std::vector<result> &results) {
    std::vector<std::string> groups, allocators;
    auto note = [](std::vector<std::string> &list, const std::string &name) {
        if (std::find(list.begin(), list.end(), name) == list.end())
            list.push_back(name);
    };
    for (const result &each : results) {
        note(groups, group_of(*each.task));
        note(allocators, each.allocator);
    }
    std::printf("\nCPU time | peak memory as multiples of glibc's, geometric means\n  %-22s", "");
    for (const std::string &allocator : allocators)
        std::printf("%18s", allocator.c_str());
    for (const std::string &group : groups) {
        std::printf("\n  %-22s", group.c_str());
        for (const std::string &allocator : allocators) {
            double time = 0, memory = 0;
            int times = 0, memories = 0;
            for (const result &each : results) {
                const sample *glibc = find(results, each.task, "glibc");
                if (each.allocator != allocator || group_of(*each.task) != group ||
                    glibc == nullptr || !each.median.failure.empty())
                    continue;
                time += std::log(each.median.cpu / glibc->cpu);
                times++;
                if (has_memory(each.median) && each.median.peak > 0 && glibc->peak > 0) {
                    memory += std::log(each.median.peak / glibc->peak);
                    memories++;
                }
            }
            std::string pair = cell(times > 0, "%.2f", times > 0 ? std::exp(time / times) : 0) +
                               " |" + (memories > 0 ? "" : "     -");
            if (memories > 0) {
                char text[16];
                std::snprintf(text, sizeof text, "%6.2f", std::exp(memory / memories));
                pair += text;
            }
            std::printf("%18s", pair.c_str());
        }
    }
    std::printf("\n");
    std::fflush(stdout);
}

std::string report_json(const std::vector<result> &results,
                        const std::vector<allocator_source> &sources,
                        const std::map<std::string, std::string> &unavailable) {
    json benchmarks = json::array();
    for (const result &each : results) {
        for (std::size_t round = 0; round < each.rounds.size(); round++) {
            json entry = entry_of(each, each.rounds[round]);
            entry["repetition_index"] = round;
            benchmarks.push_back(entry);
        }
        benchmarks.push_back(median_entry_of(each));
    }
    json document = {{"context", context_of(sources, unavailable)}, {"benchmarks", benchmarks}};
    return document.dump(2) + "\n";
}

} // namespace benchmarks
