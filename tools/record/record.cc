/*
 * osmem record: a program writes down what it asks of its allocator (tools/record/ does it, in the
 * program; tools/trace/format.h is the file).
 */
#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <glob.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/dropin.h"
#include "tools/options.h"
#include "tools/trace/reader.h"

namespace osmem {

namespace {

const char HELP[] =
    "usage: osmem record [OPTION]... [--] CMD [ARG]...\n"
    "\n"
    "Runs CMD on osmem and records every call of malloc, free and the like, with thread, time and\n"
    "a sample of the call stacks, for osmem replay and osmem report.\n"
    "\n"
    "  -o, --output FILE   the trace (default: PROGRAM.osmem). What CMD starts by fork or exec\n"
    "                      records into files of its own, FILE.PID; a file FILE of an earlier\n"
    "                      recording and its FILE.PID are replaced\n"
    "      --stacks BYTES  take a call stack each BYTES allocated, on average (default: 65536);\n"
    "                      1 takes all, which is slow; 0 none\n"
    "      --lib PATH      record CMD on this allocator (default: osmem's drop-in library)\n"
    "      --as-is         record CMD on the allocator that it has anyway\n"
    "      --clock NAME    tsc or monotonic (default: the processor's time stamp counter, where "
    "it\n"
    "                      is the same in all states of the processor; else the kernel's clock)\n"
    "  -q, --quiet         do not say at the end what was recorded\n"
    "  -h, --help          print this\n"
    "\n"
    "The trace is in the file as soon as it happens: a program that is killed loses nothing, and\n"
    "a running one can be looked at (osmem report FILE). Of a program that ends in another way\n"
    "than by exit, the trace says so. Statically linked and set-user-ID programs cannot be\n"
    "recorded.\n"
    "\n"
    "Exit status: that of CMD, 128 + N if signal N ended it; 1 if nothing was recorded, 127 if\n"
    "there is no CMD, 126 if it cannot be executed.\n"
    "\n"
    "example: osmem record -o index.osmem -- python3 examples/word_index.py\n";

const size_t LISTED_MOST = 8; // traces

struct Options {
    std::string output;
    std::string library;
    std::string clock;
    uint64_t sample_bytes = 64 * 1024;
    bool as_is = false;
    bool quiet = false;
    std::vector<std::string> command;
};

uint64_t parse_bytes(const char *option, const char *text) {
    char *end;
    errno = 0;
    const unsigned long long value = std::strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
        throw UsageError(std::string(option) + " '" + text + "': not a number of bytes");
    return value;
}

Options parse(int argc, char **argv) {
    Options options;
    const std::vector<std::string> operands = parse_options(
        argc, argv, Operands::COMMAND,
        {option_text("output", &options.output, 'o'),
         {"stacks", true,
          [&](const char *value) { options.sample_bytes = parse_bytes("--stacks", value); }},
         option_text("lib", &options.library),
         option_flag("as-is", &options.as_is),
         option_text("clock", &options.clock),
         option_flag("quiet", &options.quiet, 'q')});
    if (options.clock != "" && options.clock != "tsc" && options.clock != "monotonic")
        throw UsageError("--clock '" + options.clock + "': not tsc or monotonic");
    if (options.as_is && !options.library.empty())
        throw UsageError("--lib and --as-is exclude each other");
    options.command = command_line(operands);
    return options;
}

// ---- the files of a recording ------------------------------------------------------------------

// FILE and FILE.PID…, as far as they are traces.
std::vector<std::string> traces_of(const std::string &output) {
    std::string pattern;
    for (const char c : output)
        pattern += std::strchr("*?[\\", c) ? std::string("\\") + c : std::string(1, c);
    std::vector<std::string> found;
    if (trace_is(output))
        found.push_back(output);
    glob_t matches{};
    if (glob((pattern + ".[0-9]*").c_str(), 0, nullptr, &matches) == 0)
        for (size_t i = 0; i < matches.gl_pathc; i++)
            if (trace_is(matches.gl_pathv[i]))
                found.push_back(matches.gl_pathv[i]);
    globfree(&matches);
    return found;
}

// The absolute name of the trace, in a folder that is there; what is in its way is removed.
std::string prepare_output(const Options &options) {
    std::string name = options.output;
    if (name.empty()) {
        const std::string &program = options.command[0];
        name = program.substr(program.rfind('/') + 1) + ".osmem";
    }
    const size_t slash = name.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : name.substr(0, slash + 1);
    char resolved[PATH_MAX];
    if (realpath(folder.c_str(), resolved) == nullptr)
        throw Failure(folder + ": " + std::strerror(errno));
    const std::string path = std::string(resolved) + "/" + name.substr(slash + 1);
    if (path.size() >= TRACE_PATH_MOST)
        throw Failure(name + ": the name is too long");
    if (access(resolved, W_OK) != 0)
        throw Failure(folder + ": " + std::strerror(errno));
    if (access(path.c_str(), F_OK) == 0 && !trace_is(path))
        throw Failure(name + ": is there and is no trace; it is left as it is");
    for (const std::string &old : traces_of(path))
        if (unlink(old.c_str()) != 0)
            throw Failure(old + ": " + std::strerror(errno));
    return path;
}

// ---- what was recorded -------------------------------------------------------------------------

struct Recorded {
    std::string path;
    std::string line;
    uint64_t events;
};

std::string summary_line(const TraceInfo &info) {
    // As it was called: the file may be one for several programs.
    const std::string called = info.command.empty() ? info.program : info.command[0];
    const std::string program = called.substr(called.rfind('/') + 1);
    char line[256];
    std::snprintf(line, sizeof line, "%11llu events %8.2f s %9.1f KiB  %s%s",
                  static_cast<unsigned long long>(info.events), info.duration_s,
                  double(info.bytes) / 1024, program.c_str(),
                  info.finished ? "" : ", not to its end");
    std::string text = line;
    if (info.stopped != 0)
        text += std::string(", STOPPED: ") + std::strerror(info.stopped);
    if (info.lost != 0)
        text += ", " + std::to_string(info.lost) + " LOST";
    return text;
}

// Largest first. Failure if there is none.
std::vector<Recorded> recorded(const std::string &output) {
    std::vector<Recorded> found;
    for (const std::string &path : traces_of(output)) {
        try {
            const TraceInfo info = trace_info(path);
            found.push_back({path, summary_line(info), info.events});
        } catch (const TraceError &error) {
            found.push_back({path, error.what(), 0});
        }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Recorded &a, const Recorded &b) { return a.events > b.events; });
    return found;
}

void print_recorded(const std::vector<Recorded> &all) {
    std::fprintf(stderr, "osmem record: %zu trace%s, the largest first\n", all.size(),
                 all.size() == 1 ? "" : "s");
    for (size_t i = 0; i < all.size() && i < LISTED_MOST; i++)
        std::fprintf(stderr, "  %s  %s\n", all[i].line.c_str(), all[i].path.c_str());
    if (all.size() > LISTED_MOST)
        std::fprintf(stderr, "  and %zu smaller ones\n", all.size() - LISTED_MOST);
}

// ---- the program -------------------------------------------------------------------------------

// Nothing if it could be executed, else errno.
int execute(const std::vector<std::string> &command, int *status) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw Failure(std::string("pipe: ") + std::strerror(errno));
    std::vector<char *> arguments;
    for (const std::string &argument : command)
        arguments.push_back(const_cast<char *>(argument.c_str()));
    arguments.push_back(nullptr);

    // As a shell does: what the terminal sends is for CMD.
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    struct sigaction interrupt, quit;
    sigaction(SIGINT, &ignore, &interrupt);
    sigaction(SIGQUIT, &ignore, &quit);
    const pid_t process = fork();
    if (process < 0)
        throw Failure(std::string("fork: ") + std::strerror(errno));
    if (process == 0) {
        sigaction(SIGINT, &interrupt, nullptr);
        sigaction(SIGQUIT, &quit, nullptr);
        execvp(arguments[0], arguments.data());
        const int error = errno;
        (void)!write(ends[1], &error, sizeof error);
        _exit(EXIT_NOT_FOUND);
    }
    close(ends[1]);
    int error = 0;
    (void)!read(ends[0], &error, sizeof error);
    close(ends[0]);
    while (waitpid(process, status, 0) < 0 && errno == EINTR)
        continue;
    return error;
}

int record(int argc, char **argv) {
    const Options options = parse(argc, argv);
    const std::string output = prepare_output(options);
    if (!options.as_is)
        preload_prepend(options.library.empty() ? dropin_find() : preload_library(options.library));
    preload_prepend(preload_library(companion_find("tools/record/libosmem-record.so")));
    const std::string clock = options.clock == "monotonic" ? "clock:monotonic," : "";
    setenv(
        "OSMEM_RECORD",
        ("stacks:" + std::to_string(options.sample_bytes) + "," + clock + "file:" + output).c_str(),
        1);

    int status = 0;
    if (const int error = execute(options.command, &status))
        throw Failure(options.command[0] + ": " + std::strerror(error),
                      error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
    const std::vector<Recorded> all = recorded(output);
    if (all.empty())
        throw Failure("nothing was recorded: " + options.command[0] +
                      " never allocated, is statically linked or set-user-ID, or cleared its "
                      "environment");
    if (!options.quiet)
        print_recorded(all);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

} // namespace

const Command record_command = {"record", "run a program and record what it allocates and frees",
                                HELP, record};

} // namespace osmem
