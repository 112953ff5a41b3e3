/*
 * main.cc - the driver: runs every case with every allocator, each time in a process of its own.
 *
 *     bazel run //benchmark                                   everything, some minutes
 *     bazel run //benchmark -- --filter '^churn' --json churn.json
 *     bazel run //benchmark -- --quick                        does it run at all?
 *     bazel run //benchmark -- --allocator mine=/path/to/libmine.so
 *
 * How it measures. The driver runs itself again for each case, allocator and round, the allocators
 * taking turns (A B C A B C), so that a machine that slows down or warms up does so for all of them
 * alike; the table has the medians of the rounds. osmem is linked in statically and glibc is there;
 * others are loaded by dlopen, or by LD_PRELOAD where they refuse that. Each is called through a
 * table of function pointers, osmem and glibc too: the cost of the dispatch is the same for all.
 * The sequence of requests is the same too. After each case of osmem the whole heap is checked.
 *
 * How to read the table.
 *     ns/op     CPU time for each operation: an allocation with its free, or one step of realloc;
 *               of all threads, in cases of several
 *     x glibc   the same as a multiple of glibc's
 *     wall ns   time on the clock for each operation of any thread: halves when two threads do
 *               twice the work in the same time
 *     peak MiB  highest resident memory, less that before the case; then as a multiple of glibc's
 *     x live    the same as a multiple of the bytes asked for and live at the peak: 1.00 is the
 *               least possible; only given where the case holds 1 MiB and more
 *     kept MiB  resident memory just after all blocks were freed, less that before the case
 *     spread    highest less lowest ns/op of the rounds, by the median: what differs by less than
 *               this differs by chance
 *     worst us  CPU time of the longest single call, where the case measures it: the least of all
 *               rounds, since an interrupt in the wrong moment adds to it
 * FAILED rows say why: a crash, a time-out, a broken invariant. The exit status is then 1.
 */
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

#include "benchmark/measure.h"
#include "benchmark/options.h"
#include "benchmark/process.h"
#include "benchmark/report.h"

namespace benchmarks {

namespace {

std::string own_path() {
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "/proc/self/exe";
}

/* Room in the static TLS block for libraries that are loaded late but were built to be early. */
std::vector<std::string> settings_for(const allocator_source &source) {
    const char *given = std::getenv("GLIBC_TUNABLES");
    std::string tunables = given != nullptr ? std::string(given) + ":" : "";
    std::vector<std::string> settings = {"GLIBC_TUNABLES=" + tunables +
                                         "glibc.rtld.optional_static_tls=65536"};
    if (source.preload)
        settings.push_back("LD_PRELOAD=" + source.path);
    return settings;
}

std::string last_line(std::string text) {
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    return text.substr(text.find_last_of('\n') + 1);
}

process_result run_child(const options &settings, const allocator_source &source,
                         const std::string &case_name) {
    std::vector<std::string> arguments = {own_path(), "--one-allocator",
                                          source.name + "=" + source.path,
                                          "--seconds=" + std::to_string(settings.seconds)};
    if (!case_name.empty())
        arguments.push_back("--one-case=" + case_name);
    if (settings.quick)
        arguments.push_back("--quick");
    if (settings.full)
        arguments.push_back("--full");
    return process_run(arguments, settings_for(source), settings.limit);
}

/* The process that measures: one case of one allocator. */
int run_one(const options &settings) {
    allocator_source source = source_parse(settings.one_allocator);
    if (settings.one_case.empty())
        return measure_probe(source);
    for (const bench_case &task : cases_all(settings.quick, settings.full)) {
        if (task.name == settings.one_case)
            return measure_case(source, task, settings.seconds, settings.quick);
    }
    std::fprintf(stderr, "no such case: %s\n", settings.one_case.c_str());
    return MEASURE_FAILED;
}

std::vector<allocator_source> sources_wanted(const options &settings) {
    std::vector<allocator_source> wanted;
    for (const allocator_source &each : allocators_installed()) {
        auto same = [&](const allocator_source &other) { return other.name == each.name; };
        if (std::none_of(settings.added.begin(), settings.added.end(), same))
            wanted.push_back(each);
    }
    wanted.insert(wanted.end(), settings.added.begin(), settings.added.end());
    if (settings.only.empty())
        return wanted;
    std::vector<allocator_source> chosen;
    for (const std::string &name : settings.only) {
        auto same = [&](const allocator_source &each) { return each.name == name; };
        auto found = std::find_if(wanted.begin(), wanted.end(), same);
        if (found == wanted.end()) {
            std::fprintf(stderr, "benchmark: there is no allocator %s here\n", name.c_str());
            std::exit(2);
        }
        chosen.push_back(*found);
    }
    return chosen;
}

/* Tries every allocator by itself, preloaded if need be; returns why some cannot be used. */
std::map<std::string, std::string> probe(const options &settings,
                                         std::vector<allocator_source> &sources) {
    std::map<std::string, std::string> unavailable;
    for (allocator_source &source : sources) {
        process_result tried = run_child(settings, source, "");
        if (!tried.failure.empty() && !source.path.empty()) {
            std::fprintf(stderr, "%s: not by dlopen (%s), so by LD_PRELOAD\n", source.name.c_str(),
                         last_line(tried.errors).c_str());
            source.preload = true;
            tried = run_child(settings, source, "");
        }
        if (!tried.failure.empty()) {
            unavailable[source.name] = tried.failure + ": " + last_line(tried.errors);
            std::fprintf(stderr, "%s: left out: %s\n", source.name.c_str(),
                         unavailable[source.name].c_str());
        }
    }
    return unavailable;
}

sample measure_once(const options &settings, const allocator_source &source,
                    const bench_case &task) {
    process_result ended = run_child(settings, source, task.name);
    sample measured = sample_parse(ended.output);
    if (measured.failure.empty() && ended.failure.empty())
        return measured;
    /* What Google Benchmark reported, or else how the process ended; and its last words. */
    std::string line = last_line(ended.errors);
    if (measured.failure.empty() || measured.failure == "no result")
        measured.failure = ended.failure.empty() ? "no result" : ended.failure;
    if (!line.empty())
        measured.failure += ": " + line;
    return measured;
}

/* All rounds of one case, the allocators taking turns. */
std::vector<result> run_case(const options &settings, const std::vector<allocator_source> &sources,
                             const bench_case &task, const std::string &progress) {
    std::vector<result> results;
    for (const allocator_source &source : sources)
        results.push_back({&task, source.name, {}, {}});
    bool terminal = isatty(STDERR_FILENO) != 0;
    for (int round = 0; round < settings.rounds; round++) {
        for (std::size_t i = 0; i < sources.size(); i++) {
            if (terminal)
                std::fprintf(stderr, "\r\033[K%s %s: round %d, %s\r", progress.c_str(),
                             task.name.c_str(), round + 1, sources[i].name.c_str());
            results[i].rounds.push_back(measure_once(settings, sources[i], task));
        }
    }
    std::fprintf(stderr, terminal ? "\r\033[K" : "%s %s\n", progress.c_str(), task.name.c_str());
    for (result &each : results)
        each.median = sample_median(each.rounds);
    return results;
}

std::vector<bench_case> cases_wanted(const options &settings) {
    std::vector<bench_case> wanted;
    std::regex filter(settings.filter);
    for (const bench_case &task : cases_all(settings.quick, settings.full)) {
        if (std::regex_search(task.name, filter))
            wanted.push_back(task);
    }
    return wanted;
}

int list(const std::vector<bench_case> &cases, const std::vector<allocator_source> &sources) {
    for (const bench_case &task : cases)
        std::printf("%-28s %s\n", task.name.c_str(), task.comment.c_str());
    for (const allocator_source &source : sources)
        std::printf("%-28s %s\n", source.name.c_str(), source.path.c_str());
    return 0;
}

int drive(const options &settings) {
    std::vector<bench_case> cases = cases_wanted(settings);
    std::vector<allocator_source> sources = sources_wanted(settings);
    if (settings.list)
        return list(cases, sources);
    if (cases.empty()) {
        std::fprintf(stderr, "benchmark: no case matches %s\n", settings.filter.c_str());
        return 2;
    }
#ifndef NDEBUG
    std::fprintf(stderr, "benchmark: built without -c opt; the times mean little\n");
#endif
    std::map<std::string, std::string> unavailable = probe(settings, sources);
    std::vector<allocator_source> usable;
    for (const allocator_source &source : sources) {
        if (unavailable.count(source.name) == 0)
            usable.push_back(source);
    }

    std::vector<result> results;
    for (std::size_t i = 0; i < cases.size(); i++) {
        std::string progress =
            "[" + std::to_string(i + 1) + "/" + std::to_string(cases.size()) + "]";
        std::vector<result> ended = run_case(settings, usable, cases[i], progress);
        report_table(ended);
        results.insert(results.end(), ended.begin(), ended.end());
    }
    report_summary(results);
    for (const auto &each : unavailable)
        std::printf("%s was left out: %s\n", each.first.c_str(), each.second.c_str());

    if (!settings.json.empty()) {
        std::ofstream file(settings.json);
        file << report_json(results, sources, unavailable);
        if (!file.flush()) {
            std::fprintf(stderr, "benchmark: cannot write %s\n", settings.json.c_str());
            return 2;
        }
    }
    auto failed = [](const result &each) { return !each.median.failure.empty(); };
    auto is_ours = [](const auto &each) { return each.first == "osmem" || each.first == "glibc"; };
    bool incomplete = std::any_of(unavailable.begin(), unavailable.end(), is_ours);
    return incomplete || std::any_of(results.begin(), results.end(), failed) ? 1 : 0;
}

} // namespace

} // namespace benchmarks

int main(int argc, char **argv) {
    benchmarks::options settings = benchmarks::options_parse(argc, argv);
    if (!settings.one_allocator.empty()) {
        int status = benchmarks::run_one(settings);
        std::fflush(nullptr);
        _exit(status); /* not through the exit handlers of a library loaded late */
    }
    /* `bazel run` starts us elsewhere than the user is. */
    const char *folder = std::getenv("BUILD_WORKING_DIRECTORY");
    if (folder != nullptr && chdir(folder) != 0)
        std::fprintf(stderr, "benchmark: cannot enter %s\n", folder);
    return benchmarks::drive(settings);
}
