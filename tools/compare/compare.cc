/*
 * osmem compare: one program under glibc's allocator, osmem and every other one installed here.
 *
 * The runs are interleaved (A B C, A B C, ...), so that a machine that grows slower or faster does
 * so for all alike.
 */
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "tools/choice.h"
#include "tools/command.h"
#include "tools/compare/comparison.h"
#include "tools/files.h"
#include "tools/measure.h"

namespace osmem {

namespace {

const char HELP[] =
    "usage: osmem compare [OPTION]... [--] CMD [ARG]...\n"
    "\n"
    "Runs CMD again and again under glibc's allocator, under osmem and under every other\n"
    "allocator library installed here, in turns, and prints time and peak memory side by side.\n"
    "\n"
    "  -n, --runs N         measured runs of each allocator (default: 5)\n"
    "      --warmup N       rounds before those, checked but not measured (default: 1)\n"
    "      --allocators A,B only these and glibc, to which all are compared\n"
    "      --also NAME=PATH one more allocator: a library for LD_PRELOAD; may be repeated\n"
    "      --lib PATH       osmem's drop-in library (default: the one built with this tool)\n"
    "      --timeout S      end a run after S seconds and mark it (default: never)\n"
    "      --json FILE      write every run as JSON too; - is standard output, and the table\n"
    "                       then goes to standard error\n"
    "      --show-output    show what the first run prints; other runs' output goes nowhere\n"
    "      --list           print the allocators found here, and run nothing\n"
    "  -h, --help           print this\n"
    "\n"
    "The table has for each allocator: wall, the time by the clock; cpu, user and system time of\n"
    "CMD and of the processes it waited for; peak, the resident memory of the largest of these\n"
    "processes. Median, range and ratio to glibc's median of each; * is the best of a column.\n"
    "Marked are runs that crash, time out, end with another exit status or print something else\n"
    "than under glibc, and programs into which the library could not be loaded.\n"
    "\n"
    "Each run reads standard input from its start if that is a file, else nothing. Python keeps\n"
    "small objects to itself: set PYTHONMALLOC=malloc to have it ask the allocator for each.\n"
    "\n"
    "Exit status: 0 if all runs ended alike, 1 if one is marked, 2 for a wrong command line, 126\n"
    "or 127 if CMD cannot be executed, 130 if interrupted (what there is, is printed).\n"
    "\n"
    "example: osmem compare -n 9 --allocators osmem,jemalloc -- jq . large.json\n";

struct Options {
    int runs = 5;
    int warmups = 1;
    double timeout_s = 0;
    bool show_output = false;
    bool list = false;
    std::string json; // file, "-" or ""
    AllocatorChoice choice;
    std::vector<std::string> command;
};

Options parse(int argc, char **argv) {
    Options options;
    std::vector<Option> known = choice_options(&options.choice);
    known.push_back(option_count("runs", &options.runs, 1, 1000 * 1000, 'n'));
    known.push_back(option_count("warmup", &options.warmups, 0, 1000 * 1000));
    known.push_back({"timeout", true, [&](const char *value) {
                         options.timeout_s = option_seconds("--timeout", value);
                     }});
    known.push_back(option_text("json", &options.json));
    known.push_back(option_flag("show-output", &options.show_output));
    known.push_back(option_flag("list", &options.list));
    const std::vector<std::string> operands = parse_options(argc, argv, Operands::COMMAND, known);
    if (!options.list)
        options.command = command_line(operands);
    return options;
}

// ---- the rounds --------------------------------------------------------------------------------

// One line that is written over and over on a terminal, else a line for each round.
class Progress {
  public:
    Progress(const Options &options, size_t subjects)
        : is_terminal_(isatty(STDERR_FILENO) && !options.show_output), warmups_(options.warmups),
          rounds_(options.warmups + options.runs), subjects_(subjects) {}
    ~Progress() { clear(); }

    void show(int round, size_t subject, const std::string &name) {
        const std::string what =
            round < warmups_
                ? "warm-up " + std::to_string(round + 1) + " of " + std::to_string(warmups_)
                : "round " + std::to_string(round - warmups_ + 1) + " of " +
                      std::to_string(rounds_ - warmups_);
        if (is_terminal_)
            std::fprintf(stderr, "\r\033[K%s: %s (%zu of %zu)", what.c_str(), name.c_str(),
                         subject + 1, subjects_);
        else if (subject == 0)
            std::fprintf(stderr, "osmem compare: %s, %zu allocators\n", what.c_str(), subjects_);
        std::fflush(stderr);
    }
    void clear() {
        if (is_terminal_)
            std::fputs("\r\033[K", stderr);
    }

  private:
    const bool is_terminal_;
    const int warmups_, rounds_;
    const size_t subjects_;
};

Comparison run_rounds(const Options &options, int show_descriptor) {
    Comparison comparison;
    comparison.command = options.command;
    for (const Allocator &allocator : choose_allocators(options.choice))
        comparison.subjects.push_back({allocator, {}, {}});

    Measurer measurer;
    Progress progress(options, comparison.subjects.size());
    for (int round = 0; round < options.warmups + options.runs; round++) {
        for (size_t index = 0; index < comparison.subjects.size(); index++) {
            Subject &subject = comparison.subjects[index];
            progress.show(round, index, subject.allocator.name);
            const bool show = options.show_output && round == 0 && index == 0;
            const Run run = measurer.run({options.command, subject.allocator.library,
                                          options.timeout_s, show ? show_descriptor : -1});
            (round < options.warmups ? subject.warmups : subject.runs).push_back(run);
            comparison.interrupted = measurer.interrupted();
            if (comparison.interrupted)
                return comparison;
        }
    }
    return comparison;
}

// ---- the command -------------------------------------------------------------------------------

int list_allocators(const Options &options) {
    for (const Allocator &allocator : choose_allocators(options.choice))
        std::printf("%-17s %s\n", allocator.name.c_str(),
                    allocator.library.empty() ? "(no library: the program's own)"
                                              : allocator.library.c_str());
    return 0;
}

int compare(int argc, char **argv) {
    const Options options = parse(argc, argv);
    if (options.list)
        return list_allocators(options);

    const bool json_on_output = options.json == "-";
    const OutputFile json = open_output(options.json); // before the work: it may fail
    const Comparison comparison =
        run_rounds(options, json_on_output ? STDERR_FILENO : STDOUT_FILENO);
    if (json)
        write_output(json, options.json, comparison_json(comparison));
    comparison_print(comparison, json_on_output ? stderr : stdout);
    if (comparison.interrupted)
        return EXIT_INTERRUPTED;
    return comparison_is_clean(comparison) ? 0 : EXIT_PROBLEM;
}

} // namespace

const Command compare_command = {
    "compare", "run a program on glibc, osmem and other allocators, side by side", HELP, compare};

} // namespace osmem
