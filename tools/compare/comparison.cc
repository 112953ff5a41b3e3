#include "tools/compare/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <string.h>

#include "nlohmann/json.hpp"
#include "tools/table.h"

namespace osmem {

namespace {

using Json = nlohmann::ordered_json;

const double MIB = 1024 * 1024;

// ---- figures -----------------------------------------------------------------------------------

struct Measure {
    const char *key;   // in JSON
    const char *title; // of the column; the unit follows
    double (*of)(const Run &run);
    bool (*is_bound)(const Run &run); // whether the value is an upper bound; NULL: never
};

const Measure measures[] = {
    {"wall_s", "wall", [](const Run &run) { return run.wall_s; }, nullptr},
    {"cpu_s", "cpu", [](const Run &run) { return run.user_s + run.system_s; }, nullptr},
    {"peak_bytes", "peak", [](const Run &run) { return double(run.peak_bytes); },
     [](const Run &run) { return run.peak_is_bound; }},
};

struct Spread {
    double median, least, most;
    bool is_bound = false; // the values are upper bounds, some at least
};

std::optional<Spread> spread_of(std::vector<double> values) {
    if (values.empty())
        return std::nullopt;
    std::sort(values.begin(), values.end());
    const size_t half = values.size() / 2;
    const double median =
        values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    return Spread{median, values.front(), values.back(), false};
}

// ---- what a run is compared with ---------------------------------------------------------------

struct Reference {
    int exit_status = 0;          // of the program under glibc
    bool output_is_fixed = false; // its output is the same in each run
    uint64_t output_hash = 0;
};

std::vector<Run> all_runs(const Subject &subject) {
    std::vector<Run> runs = subject.warmups;
    runs.insert(runs.end(), subject.runs.begin(), subject.runs.end());
    return runs;
}

Reference reference_of(const Comparison &comparison) {
    Reference reference;
    std::vector<Run> exits;
    for (const Run &run : all_runs(comparison.subjects.front()))
        if (run.end == End::EXITED)
            exits.push_back(run);
    if (exits.empty())
        return reference;
    reference.exit_status = exits[0].value;
    reference.output_hash = exits[0].output_hash;
    reference.output_is_fixed = std::all_of(exits.begin(), exits.end(), [&](const Run &run) {
        return run.output_hash == exits[0].output_hash;
    });
    return reference;
}

bool ended_alike(const Run &run, const Reference &reference) {
    return run.end == End::EXITED && run.value == reference.exit_status;
}

bool output_differs(const Run &run, const Reference &reference) {
    return reference.output_is_fixed && run.output_hash != reference.output_hash;
}

// What is to be said of a run, "" if it is as it should be.
std::string remark_on(const Run &run, const Reference &reference) {
    switch (run.end) {
    case End::KILLED: {
        const char *name = sigabbrev_np(run.value);
        return "CRASHED: " +
               (name ? "SIG" + std::string(name) : "signal " + std::to_string(run.value));
    }
    case End::TIMED_OUT:
        return "TIMED OUT";
    case End::INTERRUPTED:
        return "interrupted";
    case End::EXITED:
        break;
    }
    if (!ended_alike(run, reference))
        return "EXIT STATUS " + std::to_string(run.value) + ", not " +
               std::to_string(reference.exit_status);
    if (output_differs(run, reference))
        return "OUTPUT DIFFERS";
    if (run.preload == Preload::MISSING)
        return "not preloaded";
    return "";
}

std::optional<Spread> spread_of(const Subject &subject, const Measure &measure,
                                const Reference &reference) {
    std::vector<double> values;
    bool is_bound = false;
    for (const Run &run : subject.runs) {
        if (!ended_alike(run, reference))
            continue;
        values.push_back(measure.of(run));
        is_bound = is_bound || (measure.is_bound != nullptr && measure.is_bound(run));
    }
    std::optional<Spread> spread = spread_of(values);
    if (spread)
        spread->is_bound = is_bound;
    return spread;
}

// A best figure is one of an allocator whose runs are all beyond reproach.
bool is_clean(const Subject &subject, const Reference &reference) {
    for (const Run &run : all_runs(subject))
        if (run.end != End::INTERRUPTED && !remark_on(run, reference).empty())
            return false;
    return true;
}

// ---- the table ---------------------------------------------------------------------------------

std::string format(const char *pattern, double value) {
    char text[64];
    std::snprintf(text, sizeof text, pattern, value);
    return text;
}

// How the values of a column are written: in the unit that suits its largest.
struct Scale {
    std::string unit;
    double divisor;
    const char *pattern;
};

Scale scale_for(const Measure &measure, double most) {
    if (measure.key == std::string("peak_bytes"))
        return {"MiB", MIB, most < 100 * MIB ? "%.2f" : "%.1f"};
    if (most < 1)
        return {"ms", 1e-3, most < 0.1 ? "%.2f" : "%.1f"};
    return {"s", 1, most < 100 ? "%.3f" : "%.1f"};
}

// Adds the three columns of a measure: median, least-most, ratio to the first row's median.
void add_columns(const Comparison &comparison, const Measure &measure, const Reference &reference,
                 std::vector<Row> *rows) {
    std::vector<std::optional<Spread>> spreads;
    double most = 0, best = INFINITY;
    for (const Subject &subject : comparison.subjects) {
        spreads.push_back(spread_of(subject, measure, reference));
        if (!spreads.back())
            continue;
        most = std::max(most, spreads.back()->most);
        if (is_clean(subject, reference))
            best = std::min(best, spreads.back()->median);
    }
    const Scale scale = scale_for(measure, most);
    const auto written = [&](double value) { return format(scale.pattern, value / scale.divisor); };

    Row &head = rows->front();
    head.insert(head.end(),
                {std::string(measure.title) + " " + scale.unit + " ", "min-max", "ratio"});
    for (size_t index = 0; index < spreads.size(); index++) {
        Row &row = (*rows)[index + 1];
        if (!spreads[index]) {
            row.insert(row.end(), {"- ", "-", "-"});
            continue;
        }
        const Spread &spread = *spreads[index];
        const bool is_best =
            spread.median == best && is_clean(comparison.subjects[index], reference);
        const bool has_ratio = spreads[0] && spreads[0]->median > 0;
        row.insert(row.end(),
                   {(spread.is_bound ? "<=" : "") + written(spread.median) + (is_best ? "*" : " "),
                    written(spread.least) + "-" + written(spread.most),
                    has_ratio ? format("%.3f", spread.median / spreads[0]->median) : "-"});
    }
}

// "CRASHED: SIGABRT (5 of 6 runs); OUTPUT DIFFERS (1 of 6 runs)"
std::string remarks_on(const Subject &subject, const Reference &reference) {
    const std::vector<Run> runs = all_runs(subject);
    std::map<std::string, size_t> counts;
    for (const Run &run : runs)
        if (const std::string remark = remark_on(run, reference); !remark.empty())
            counts[remark]++;
    std::string text;
    for (const auto &[remark, count] : counts) {
        text += (text.empty() ? "" : "; ") + remark;
        if (count < runs.size())
            text += " (" + std::to_string(count) + " of " + std::to_string(runs.size()) + " runs)";
    }
    return text;
}

void print_notes(const Comparison &comparison, const Reference &reference, FILE *file) {
    for (const Subject &subject : comparison.subjects) {
        const char *name = subject.allocator.name.c_str();
        bool told = false, unseen = false;
        for (const Run &run : all_runs(subject)) {
            if (!told && !ended_alike(run, reference) && !run.error_line.empty()) {
                std::fprintf(file, "%s said: %s\n", name, run.error_line.c_str());
                told = true;
            }
            unseen = unseen || run.preload == Preload::MISSING;
        }
        if (unseen)
            std::fprintf(file,
                         "warning: %s was not loaded into the program, so these are another "
                         "allocator's figures (a statically linked or set-user-ID program?)\n",
                         name);
    }
    if (!reference.output_is_fixed)
        std::fprintf(file, "the output is not the same in each run under glibc: not compared\n");
    if (reference.exit_status != 0)
        std::fprintf(file, "the exit status under glibc is %d\n", reference.exit_status);
    if (comparison.interrupted)
        std::fprintf(file, "interrupted: these are the runs that there were\n");
}

// ---- JSON --------------------------------------------------------------------------------------

const char *name_of(End end) {
    switch (end) {
    case End::EXITED:
        return "exited";
    case End::KILLED:
        return "killed";
    case End::TIMED_OUT:
        return "timed out";
    case End::INTERRUPTED:
        return "interrupted";
    }
    return "";
}

Json json_of(Preload preload) {
    switch (preload) {
    case Preload::LOADED:
        return true;
    case Preload::MISSING:
        return false;
    case Preload::NONE:
    case Preload::UNKNOWN:
        break;
    }
    return nullptr;
}

Json json_of(const Run &run, bool is_warmup, const Reference &reference) {
    char hash[17];
    std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(run.output_hash));
    Json json;
    json["warmup"] = is_warmup;
    json["end"] = name_of(run.end);
    json["exit_status"] = run.end == End::EXITED ? Json(run.value) : Json();
    json["signal"] = run.end == End::KILLED ? Json(run.value) : Json();
    json["wall_s"] = run.wall_s;
    json["user_s"] = run.user_s;
    json["system_s"] = run.system_s;
    json["peak_bytes"] = run.peak_bytes;
    json["peak_is_bound"] = run.peak_is_bound;
    json["preloaded"] = json_of(run.preload);
    json["output_hash"] = hash;
    json["output_bytes"] = run.output_bytes;
    json["remark"] = remark_on(run, reference);
    return json;
}

Json json_of(const Subject &subject, const Subject &base, const Reference &reference) {
    Json json;
    json["name"] = subject.allocator.name;
    json["library"] = subject.allocator.library.empty() ? Json() : Json(subject.allocator.library);
    json["remarks"] = remarks_on(subject, reference);
    json["median"] = json["ratio"] = Json::object();
    for (const Measure &measure : measures) {
        const std::optional<Spread> spread = spread_of(subject, measure, reference);
        const std::optional<Spread> from = spread_of(base, measure, reference);
        json["median"][measure.key] = spread ? Json(spread->median) : Json();
        json["ratio"][measure.key] =
            spread && from && from->median > 0 ? Json(spread->median / from->median) : Json();
    }
    json["runs"] = Json::array();
    for (const Run &run : subject.warmups)
        json["runs"].push_back(json_of(run, true, reference));
    for (const Run &run : subject.runs)
        json["runs"].push_back(json_of(run, false, reference));
    return json;
}

} // namespace

void comparison_print(const Comparison &comparison, FILE *file) {
    const Reference reference = reference_of(comparison);
    std::vector<Row> rows = {{"allocator"}};
    for (const Subject &subject : comparison.subjects)
        rows.push_back({subject.allocator.name});
    for (const Measure &measure : measures)
        add_columns(comparison, measure, reference, &rows);
    rows.front().push_back("");
    for (size_t index = 0; index < comparison.subjects.size(); index++)
        rows[index + 1].push_back(remarks_on(comparison.subjects[index], reference));

    const size_t count = comparison.subjects.front().runs.size();
    std::fprintf(file, "%s\nmedians of %zu run%s each, ratios to glibc, * best\n\n",
                 joined(comparison.command).c_str(), count, count == 1 ? "" : "s");
    print_rows(rows, file);
    print_notes(comparison, reference, file);
}

std::string comparison_json(const Comparison &comparison) {
    const Reference reference = reference_of(comparison);
    Json json;
    json["command"] = comparison.command;
    json["interrupted"] = comparison.interrupted;
    json["output_is_fixed"] = reference.output_is_fixed;
    json["allocators"] = Json::array();
    for (const Subject &subject : comparison.subjects)
        json["allocators"].push_back(json_of(subject, comparison.subjects.front(), reference));
    // Arguments need not be UTF-8, JSON has to be.
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool comparison_is_clean(const Comparison &comparison) {
    const Reference reference = reference_of(comparison);
    return std::all_of(comparison.subjects.begin(), comparison.subjects.end(),
                       [&](const Subject &subject) { return is_clean(subject, reference); });
}

} // namespace osmem
