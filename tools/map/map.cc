/*
 * osmem map: draws the heap of a process, or of files that hold maps, in the terminal and as a
 * page.
 */
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/dropin.h"
#include "tools/files.h"
#include "tools/map/map_page.h"
#include "tools/map/map_terminal.h"
#include "tools/map/process_map.h"
#include "tools/map/snapshot.h"
#include "tools/map/trace_map.h"
#include "tools/options.h"
#include "tools/trace/reader.h"

namespace osmem {

namespace {

const char HELP[] =
    "usage: osmem map [OPTION]... --pid PID\n"
    "       osmem map [OPTION]... [--at WHEN] [--] CMD [ARG]...\n"
    "       osmem map [OPTION]... --from FILE [--from FILE]...\n"
    "\n"
    "Draws the heap of a program that runs on osmem: every block of every thread's heap and every\n"
    "mapped block, to scale; in use, free, free and given back to the kernel (purged), the\n"
    "allocator's own (metadata), and what no block has reached yet (untouched). The totals are\n"
    "counted from the map; they are those of os_malloc_stats.\n"
    "\n"
    "  -p, --pid PID     a process that is running: it is stopped for some milliseconds\n"
    "      --from FILE   what os_heap_map, OSMEM_CONF=map:PREFIX or --save has written; several\n"
    "                    are shown one after the other. Or a recording of osmem record: the map "
    "at\n"
    "                    a moment, and a page through all of it with call sites and ages\n"
    "  CMD               a program to start with osmem as its allocator; the map is of its own\n"
    "                    process, not of others that it starts\n"
    "      --at WHEN     exit: when CMD ends, however it ends (the default)\n"
    "                    'every S', or 'every Nms': again and again, until CMD or PID ends or the\n"
    "                    tool is interrupted; redrawn in place on a terminal\n"
    "                    signal: whenever the tool receives SIGUSR1, until the same\n"
    "                    peak (the default), end, or seconds: which moment of a recording\n"
    "      --html FILE   write one self-contained page: zoom, hover, and a slider through the "
    "maps\n"
    "                    when there are several\n"
    "      --save PREFIX write each map as PREFIX.N.osmap\n"
    "      --no-color    letters instead of colours; as NO_COLOR in the environment, and when\n"
    "                    standard output is no terminal\n"
    "      --columns N   as if the window was that wide\n"
    "      --lib PATH    the drop-in library for CMD (default: the one built with this tool)\n"
    "      --damaged     draw what is whole of a damaged recording\n"
    "  -h, --help        print this\n"
    "\n"
    "A process of another user needs root. A program that osmem is linked into can be drawn if it\n"
    "has its symbols; OSMEM_CONF=map:PREFIX has a program write its own maps where ptrace(2) is\n"
    "not allowed: at its end to PREFIX.PID.N.osmap, and with map_signal:NUMBER when that comes.\n"
    "\n"
    "Exit status: 0; CMD's if one was started; 1 if there is no map, 2 for a wrong command line.\n"
    "\n"
    "example: osmem map --html heap.html -- python3 -c 'x = list(range(10**6))'\n";

enum class When { NOW, EXIT, EVERY, SIGNAL, MOMENT };

// Moments of a recording in a page.
constexpr size_t PAGE_MOMENTS = 40;

struct Options {
    pid_t process = 0;
    std::vector<std::string> files;
    std::vector<std::string> command;
    std::optional<When> when;
    int milliseconds = 0;
    TraceMoment moment;
    std::string html, save, library;
    bool no_colour = false, damaged = false;
    size_t columns = 0;
};

// ---- the command line --------------------------------------------------------------------------

// "every 2", "every 2s", "every 0.5s", "every 500ms".
int parse_period(const std::string &text) {
    char *end;
    const double value = std::strtod(text.c_str(), &end);
    const std::string unit = end;
    const double milliseconds = unit == "ms" ? value : 1000 * value;
    if (end == text.c_str() || (unit != "" && unit != "s" && unit != "ms") ||
        !(milliseconds >= 1) || milliseconds > 1e8)
        throw UsageError("--at 'every " + text + "': not a time, as 2s or 500ms");
    return int(milliseconds);
}

void parse_moment(const std::string &text, Options *options) {
    char *end;
    const double second = std::strtod(text.c_str(), &end);
    const bool is_second = !text.empty() && *end == '\0' && second >= 0 && second < 1e9;
    if (text != "peak" && text != "end" && !is_second)
        throw UsageError("--at '" + text +
                         "': neither exit, signal, 'every SECONDS', nor peak, end or seconds");
    options->when = When::MOMENT;
    options->moment = {text == "peak"  ? TraceMoment::PEAK
                       : text == "end" ? TraceMoment::END
                                       : TraceMoment::SECOND,
                       second};
}

void parse_when(const std::string &text, Options *options) {
    if (text == "exit") {
        options->when = When::EXIT;
    } else if (text == "signal") {
        options->when = When::SIGNAL;
    } else if (text.compare(0, 6, "every ") == 0) {
        options->when = When::EVERY;
        options->milliseconds = parse_period(text.substr(6));
    } else {
        parse_moment(text, options);
    }
}

void check(const Options &options) {
    const int sources = (options.process != 0) + !options.files.empty() + !options.command.empty();
    if (sources == 0)
        throw UsageError("a map of what? --pid PID, --from FILE or a program");
    if (sources > 1)
        throw UsageError("--pid, --from and a program exclude each other");
    if (options.files.empty() && options.when == When::MOMENT)
        throw UsageError("--at peak, end or seconds is for a recording, --from FILE");
    if (!options.files.empty() && options.when && options.when != When::MOMENT)
        throw UsageError("--at exit, signal or 'every SECONDS' is for a running program");
    if (options.process != 0 && options.when == When::EXIT)
        throw UsageError("--at exit is for a program that osmem map starts");
    if (!options.library.empty() && options.command.empty())
        throw UsageError("--lib is for a program that osmem map starts");
}

Options parse(int argc, char **argv) {
    Options options;
    options.command =
        parse_options(argc, argv, Operands::COMMAND,
                      {option_count("pid", &options.process, 1, 1L << 30, 'p'),
                       {"at", true, [&](const char *value) { parse_when(value, &options); }},
                       {"from", true, [&](const char *value) { options.files.push_back(value); }},
                       option_text("html", &options.html),
                       option_text("save", &options.save),
                       option_flag("no-color", &options.no_colour),
                       option_count("columns", &options.columns, 32, 10000),
                       option_text("lib", &options.library),
                       option_flag("damaged", &options.damaged)});
    check(options);
    return options;
}

// ---- what is done with a map -------------------------------------------------------------------

class Output {
  public:
    Output(const Options &options, const std::string &title)
        : options_(options), page_(title),
          is_live_(options.when == When::EVERY && isatty(STDOUT_FILENO)) {
        // Before the work: it may fail.
        if (!options.html.empty())
            write_file(options.html, {});
    }

    void take(const Snapshot &snapshot) {
        TerminalStyle style = terminal_style(options_.no_colour);
        if (options_.columns != 0)
            style.columns = options_.columns;
        const std::string totals = terminal_totals(snapshot);
        const size_t other = size_t(std::count(totals.begin(), totals.end(), '\n')) + 3;
        style.lines = std::max(style.lines, other + 8) - other;
        if (is_live_)
            std::fputs("\033[H\033[2J", stdout);
        else if (count_ > 0)
            std::fputs("\n", stdout);
        std::fputs((terminal_picture(snapshot, style) + totals).c_str(), stdout);
        std::fflush(stdout);
        if (!options_.save.empty())
            write_file(options_.save + "." + std::to_string(count_) + ".osmap",
                       snapshot_records(snapshot));
        take_to_page(snapshot);
        count_++;
    }
    void take_to_page(const Snapshot &snapshot) {
        if (options_.html.empty())
            return;
        page_.add(snapshot);
        page_count_++;
    }
    size_t count() const { return count_; }
    void finish() {
        if (!options_.html.empty() && count_ > 0) {
            write_file(options_.html, page_.parts());
            std::fprintf(stderr, "osmem map: wrote %s, %zu map%s\n", options_.html.c_str(),
                         page_count_, page_count_ == 1 ? "" : "s");
        }
    }

  private:
    const Options &options_;
    MapPage page_;
    const bool is_live_;
    size_t count_ = 0, page_count_ = 0;
};

// ---- the sources -------------------------------------------------------------------------------

// In the terminal the moment asked for, in a page all of the recording.
void map_recording(const Options &options, const std::string &path, Output *output) {
    const size_t moments = options.html.empty() ? 1 : PAGE_MOMENTS;
    const TraceMaps recording = trace_maps(path, options.moment, moments, options.damaged);
    for (const std::string &damage : recording.damage)
        std::fprintf(stderr, "osmem map: damaged: %s\n", damage.c_str());
    for (size_t index = 0; index < recording.maps.size(); index++) {
        if (index == recording.chosen)
            output->take(recording.maps[index]);
        else if (!options.html.empty())
            output->take_to_page(recording.maps[index]);
    }
}

int map_files(const Options &options) {
    Output output(options, options.files[0]);
    for (const std::string &path : options.files) {
        if (trace_is(path))
            map_recording(options, path, &output);
        else if (options.when == When::MOMENT)
            throw UsageError("--at: " + path + " is no recording");
        else
            output.take(snapshot_parse(read_file(path), path));
    }
    output.finish();
    return 0;
}

// Signals that the tool takes in while this lives.
class Signals {
  public:
    Signals() {
        sigset_t mask;
        sigemptyset(&mask);
        for (const int signal : {SIGUSR1, SIGINT, SIGTERM, SIGHUP, SIGCHLD})
            sigaddset(&mask, signal);
        sigprocmask(SIG_BLOCK, &mask, &before_);
        descriptor_ = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    ~Signals() {
        close(descriptor_);
        sigprocmask(SIG_SETMASK, &before_, nullptr);
    }
    Signals(const Signals &) = delete;
    Signals &operator=(const Signals &) = delete;

    // The next that comes; 0 after that many milliseconds, -1: never.
    int wait(int milliseconds) {
        pollfd ready = {descriptor_, POLLIN, 0};
        signalfd_siginfo signal;
        if (poll(&ready, 1, milliseconds) <= 0 ||
            read(descriptor_, &signal, sizeof signal) != sizeof signal)
            return 0;
        return int(signal.ssi_signo);
    }
    const sigset_t &before() const { return before_; }

  private:
    int descriptor_;
    sigset_t before_;
};

bool is_end(int signal) { return signal == SIGINT || signal == SIGTERM || signal == SIGHUP; }

bool lives(pid_t process) { return kill(process, 0) == 0 || errno != ESRCH; }

int map_process(const Options &options) {
    Output output(options, "process " + std::to_string(options.process));
    const When when = options.when.value_or(When::NOW);
    if (when != When::SIGNAL)
        output.take(process_map(options.process));
    if (when != When::NOW) {
        Signals signals;
        while (lives(options.process)) {
            // With SIGNAL it is looked after now and then whether the process is still there.
            const int signal = signals.wait(when == When::EVERY ? options.milliseconds : 200);
            if (is_end(signal))
                break;
            const bool due = when == When::EVERY ? signal == 0 : signal == SIGUSR1;
            if (due && lives(options.process))
                output.take(process_map(options.process));
        }
    }
    output.finish();
    if (output.count() == 0)
        throw Failure("process " + std::to_string(options.process) +
                      " has ended, and no SIGUSR1 came before");
    return 0;
}

// A program on osmem. It is started once this process traces it, if it does.
class Child {
  public:
    Child(const Options &options, const Signals &signals) {
        int go[2], failed[2];
        if (pipe2(go, O_CLOEXEC) != 0 || pipe2(failed, O_CLOEXEC) != 0 || (process_ = fork()) < 0)
            throw Failure(std::string("cannot start a process: ") + std::strerror(errno));
        if (process_ == 0) {
            char byte;
            close(go[1]);
            sigprocmask(SIG_SETMASK, &signals.before(), nullptr);
            if (read(go[0], &byte, 1) == 1)
                execute(options.command, failed[1]);
            _exit(EXIT_NOT_FOUND);
        }
        close(go[0]);
        close(failed[1]);
        if (options.when == When::EXIT)
            trace();
        const char byte = 0;
        if (write(go[1], &byte, 1) != 1)
            throw Failure("cannot start a process");
        close(go[1]);
        await_start(options.command[0], failed[0]);
    }

    pid_t process() const { return process_; }
    bool ended() const { return ended_; }
    int status() const { return status_; }

    // Takes note of what has happened to the program; `about_to_end` is called where it stands
    // still for the last time.
    template <typename Act> void update(Act about_to_end) {
        int status;
        while (!ended_ && waitpid(process_, &status, WNOHANG | __WALL) == process_) {
            if (!WIFSTOPPED(status)) {
                ended_ = true;
                status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            } else {
                go_on(status, about_to_end);
            }
        }
    }

  private:
    [[noreturn]] static void execute(const std::vector<std::string> &command, int failed) {
        std::vector<char *> arguments;
        for (const std::string &argument : command)
            arguments.push_back(const_cast<char *>(argument.c_str()));
        arguments.push_back(nullptr);
        execvp(arguments[0], arguments.data());
        const int error = errno;
        const ssize_t told = write(failed, &error, sizeof error);
        _exit(told > 0 ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
    }

    void trace() {
        if (ptrace(PTRACE_SEIZE, process_, nullptr, PTRACE_O_TRACEEXIT) != 0)
            throw Failure(std::string("ptrace: ") + std::strerror(errno) +
                          ": not allowed here; OSMEM_CONF=map:PREFIX has a program write its maps");
    }

    void await_start(const std::string &name, int failed) {
        int error;
        for (;;) {
            pollfd ready = {failed, POLLIN, 0};
            if (poll(&ready, 1, 20) > 0)
                break;
            update([](pid_t) {});
        }
        const ssize_t size = read(failed, &error, sizeof error);
        close(failed);
        if (size == sizeof error)
            throw Failure(name + ": " + std::strerror(error),
                          error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
    }

    template <typename Act> void go_on(int status, Act about_to_end) {
        const int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_EXIT) {
            about_to_end(process_);
            ptrace(PTRACE_CONT, process_, nullptr, 0);
        } else if (event == PTRACE_EVENT_STOP) {
            // It is stopped as a job, and will be told to go on.
            ptrace(PTRACE_LISTEN, process_, nullptr, 0);
        } else {
            ptrace(PTRACE_CONT, process_, nullptr, event != 0 ? 0 : signal);
        }
    }

    pid_t process_;
    bool ended_ = false;
    int status_ = 0;
};

int map_command_line(const Options &options) {
    std::string title;
    for (const std::string &word : options.command)
        title += (title.empty() ? "" : " ") + word;
    Output output(options, title);
    Options now = options;
    now.when = options.when.value_or(When::EXIT);
    preload_prepend(options.library.empty() ? dropin_find() : preload_library(options.library));

    Signals signals;
    Child child(now, signals);
    std::string problem; // the last map that could not be had
    const auto take = [&](const auto &source) {
        try {
            output.take(source(child.process()));
        } catch (const Failure &failure) {
            problem = failure.what();
        }
    };
    while (!child.ended()) {
        const int signal = signals.wait(now.when == When::EVERY ? now.milliseconds : -1);
        child.update([&](pid_t) { take(process_map_stopped); });
        if (is_end(signal))
            kill(child.process(), signal);
        const bool due = (now.when == When::EVERY && signal == 0) ||
                         (now.when == When::SIGNAL && signal == SIGUSR1);
        if (due && !child.ended())
            take(process_map);
    }
    output.finish();
    if (output.count() == 0)
        throw Failure(problem.empty() ? "the program ended before a map was due" : problem);
    return child.status();
}

int map(int argc, char **argv) {
    const Options options = parse(argc, argv);
    if (!options.files.empty())
        return map_files(options);
    return options.process != 0 ? map_process(options) : map_command_line(options);
}

} // namespace

const Command map_command = {"map", "draw the heap of a program", HELP, map};

} // namespace osmem
