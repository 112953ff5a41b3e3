#include "tools/measure.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/dropin.h"
#include "tools/elf_file.h"

namespace osmem {

namespace {

const size_t KIB = 1024;
const double FIRST_LOOK_S = 0.0002; // after execve; each later look waits twice as long
const long EXECVE_KIB = 128;        // what a process may take in execve(2) itself
const double MERCY_S = 1;           // between asking a program to end and killing it
const size_t ERROR_TAIL = 4 * KIB;  // what is kept of the standard error
const double NEVER = 1e18;

double seconds_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

double seconds(const timeval &time) { return double(time.tv_sec) + double(time.tv_usec) * 1e-6; }

[[noreturn]] void fail(const char *what) {
    throw Failure(std::string(what) + ": " + std::strerror(errno));
}

// ---- pipes from the program --------------------------------------------------------------------

struct Pipe {
    int read_end = -1;
    int write_end = -1;

    Pipe() {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            fail("pipe");
        read_end = ends[0];
        write_end = ends[1];
        fcntl(read_end, F_SETFL, O_NONBLOCK);
    }
    ~Pipe() {
        close_end(&read_end);
        close_end(&write_end);
    }
    Pipe(const Pipe &) = delete;
    Pipe &operator=(const Pipe &) = delete;

    static void close_end(int *end) {
        if (*end >= 0)
            close(*end);
        *end = -1;
    }

    // Gives `take` what is there now; closes the read end when the program has closed the other.
    template <typename Take> void drain(Take take) {
        static char buffer[64 * KIB];
        while (read_end >= 0) {
            const ssize_t length = read(read_end, buffer, sizeof buffer);
            if (length > 0)
                take(buffer, size_t(length));
            else if (length == 0)
                close_end(&read_end);
            else if (errno != EINTR)
                return;
        }
    }
};

// Fowler, Noll and Vo's hash FNV-1a, 64 bits.
struct Hash {
    uint64_t value = 0xcbf29ce484222325;
    size_t bytes = 0;

    void add(const char *data, size_t length) {
        bytes += length;
        for (size_t index = 0; index < length; index++)
            value = (value ^ uint8_t(data[index])) * 0x100000001b3;
    }
};

void copy_to(int descriptor, const char *data, size_t length) {
    while (descriptor >= 0 && length > 0) {
        const ssize_t written = write(descriptor, data, length);
        if (written < 0 && errno != EINTR)
            return; // what is shown is a courtesy: the measurement goes on without it
        if (written > 0) {
            data += written;
            length -= size_t(written);
        }
    }
}

void keep_tail(std::string *tail, const char *data, size_t length) {
    tail->append(data, length);
    if (tail->size() > ERROR_TAIL)
        tail->erase(0, tail->size() - ERROR_TAIL);
}

std::string last_line(std::string text) {
    text.erase(text.find_last_not_of("\r\n \t") + 1);
    const size_t newline = text.find_last_of("\r\n");
    return newline == std::string::npos ? text : text.substr(newline + 1);
}

// ---- the child, until it is the program --------------------------------------------------------

// What the child tells before execve, and once more if that fails.
struct Birth {
    double start_s; // on the clock of seconds_now
    long held_kib;  // largest resident size before the program
    int error;      // errno of execve
};

long held_kib() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

// A file is read from its start by each run; anything else could be read only once.
int open_input() {
    struct stat status;
    const bool is_file = fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode);
    return open(is_file ? "/proc/self/fd/0" : "/dev/null", O_RDONLY | O_CLOEXEC);
}

[[noreturn]] void become_program(const Job &job, const std::vector<char *> &arguments, int output,
                                 int error, int births) {
    setpgid(0, 0); // so that the program can be ended with all that it started
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open_input(), STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (!job.library.empty())
        preload_prepend(job.library);

    Birth birth = {seconds_now(), held_kib(), 0};
    if (write(births, &birth, sizeof birth) == sizeof birth)
        execvp(arguments[0], arguments.data());
    birth.error = errno;
    (void)!write(births, &birth, sizeof birth);
    _exit(EXIT_NOT_FOUND);
}

// ---- looking at the process while it runs ------------------------------------------------------

// The loader maps what LD_PRELOAD names before the libraries that the program needs: a process
// that has its C library has the preloaded one too, or will never have it.
Preload preload_of(pid_t process, const std::string &library) {
    const std::string folder = "/proc/" + std::to_string(process);
    std::ifstream maps(folder + "/maps");
    bool has_libc = false;
    for (std::string line; std::getline(maps, line);) {
        const size_t path = line.find('/');
        if (path == std::string::npos)
            continue;
        if (line.compare(path, std::string::npos, library) == 0)
            return Preload::LOADED;
        has_libc = has_libc || line.find("/libc.so", path) != std::string::npos ||
                   line.find("/libc-2.", path) != std::string::npos;
    }
    if (has_libc)
        return Preload::MISSING;
    return Preload::UNKNOWN;
}

std::string program_path(const std::string &name) {
    if (name.find('/') != std::string::npos)
        return name;
    const char *path = std::getenv("PATH");
    const std::string folders = path == nullptr ? "/bin:/usr/bin" : path;
    for (size_t begin = 0; begin <= folders.size();) {
        const size_t end = std::min(folders.find(':', begin), folders.size());
        const std::string candidate = folders.substr(begin, end - begin) + "/" + name;
        if (access(candidate.c_str(), X_OK) == 0)
            return candidate;
        begin = end + 1;
    }
    return name;
}

Preload preload_verdict(const Job &job, Preload seen) {
    if (job.library.empty())
        return Preload::NONE;
    if (seen != Preload::UNKNOWN)
        return seen;
    const std::optional<ElfFile> program = elf_read(program_path(job.command[0]));
    return program && !program->interpreted ? Preload::MISSING : Preload::UNKNOWN;
}

// ---- the program while it runs -----------------------------------------------------------------

class Program {
  public:
    explicit Program(const Job &job);

    // False once the program has ended.
    bool running();
    // Takes its output, looks at it, and ends it when its time is over.
    void tend();
    void end(End why);
    // Until then nothing has to be done, unless one of the events or a signal comes.
    double next_turn_s() const { return std::min({look_s_, ask_s_, kill_s_}); }
    pollfd output_event() const { return {output_.read_end, POLLIN, 0}; }
    pollfd error_event() const { return {error_.read_end, POLLIN, 0}; }
    pollfd birth_event() const { return {births_.read_end, POLLIN, 0}; }

    // After the end. Failure if there never was a program.
    Run result();

  private:
    void drain();
    void look();

    const Job &job_;
    Pipe output_, error_, births_;
    pid_t process_;
    int status_ = 0;
    rusage usage_{};
    double end_s_ = 0;

    Hash hash_;
    std::string error_tail_;
    Birth birth_{};
    Preload preload_ = Preload::UNKNOWN; // as last seen

    double pause_s_ = FIRST_LOOK_S;
    double look_s_ = NEVER; // when to look at it next
    double ask_s_;          // when to ask it to end
    double kill_s_ = NEVER; // when to kill it
    std::optional<End> ended_by_us_;
};

Program::Program(const Job &job) : job_(job) {
    fcntl(output_.read_end, F_SETPIPE_SZ, 1024 * KIB);
    std::vector<char *> arguments;
    for (const std::string &argument : job.command)
        arguments.push_back(const_cast<char *>(argument.c_str()));
    arguments.push_back(nullptr);

    process_ = fork();
    if (process_ < 0)
        fail("fork");
    if (process_ == 0)
        become_program(job, arguments, output_.write_end, error_.write_end, births_.write_end);
    setpgid(process_, process_); // by parent and child, so that it is done whoever comes first
    for (Pipe *pipe : {&output_, &error_, &births_})
        Pipe::close_end(&pipe->write_end);

    ask_s_ = job.timeout_s > 0 ? seconds_now() + job.timeout_s : NEVER;
}

bool Program::running() {
    if (wait4(process_, &status_, WNOHANG, &usage_) == 0)
        return true;
    end_s_ = seconds_now();
    drain();
    if (ended_by_us_)
        kill(-process_, SIGKILL); // what the program started and left behind
    return false;
}

void Program::drain() {
    const bool was_born = births_.read_end < 0;
    births_.drain([this](const char *data, size_t length) {
        // A pipe passes on whole what is written at once, if it is as short as this.
        std::memcpy(&birth_, data + length - sizeof birth_, sizeof birth_);
    });
    if (births_.read_end < 0 && !was_born) // execve(2) has closed it: the program is there
        look_s_ = seconds_now() + pause_s_;
    output_.drain([this](const char *data, size_t length) {
        hash_.add(data, length);
        copy_to(job_.output_descriptor, data, length);
    });
    error_.drain([this](const char *data, size_t length) {
        keep_tail(&error_tail_, data, length);
        copy_to(job_.output_descriptor < 0 ? -1 : STDERR_FILENO, data, length);
    });
}

void Program::end(End why) {
    if (ended_by_us_)
        return;
    ended_by_us_ = why;
    kill(-process_, SIGTERM);
    ask_s_ = NEVER;
    kill_s_ = seconds_now() + MERCY_S;
}

// The latest look counts: a program may replace itself by another.
void Program::look() {
    if (!job_.library.empty())
        if (const Preload seen = preload_of(process_, job_.library); seen != Preload::UNKNOWN)
            preload_ = seen;
    pause_s_ *= 2;
    look_s_ = seconds_now() + pause_s_;
}

void Program::tend() {
    drain();
    const double now = seconds_now();
    if (now >= look_s_)
        look();
    if (now >= ask_s_)
        end(End::TIMED_OUT);
    if (now >= kill_s_) {
        kill(-process_, SIGKILL);
        kill_s_ = NEVER;
    }
}

Run Program::result() {
    if (birth_.error != 0)
        throw Failure(job_.command[0] + ": " + std::strerror(birth_.error),
                      birth_.error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
    Run run{};
    run.end = WIFEXITED(status_) ? End::EXITED : End::KILLED;
    run.value = WIFEXITED(status_) ? WEXITSTATUS(status_) : WTERMSIG(status_);
    run.end = ended_by_us_.value_or(run.end);
    run.wall_s = end_s_ - birth_.start_s;
    run.user_s = seconds(usage_.ru_utime);
    run.system_s = seconds(usage_.ru_stime);
    run.peak_bytes = size_t(usage_.ru_maxrss) * KIB;
    run.peak_is_bound = usage_.ru_maxrss <= birth_.held_kib + EXECVE_KIB;
    run.preload = preload_verdict(job_, preload_);
    run.output_hash = hash_.value;
    run.output_bytes = hash_.bytes;
    run.error_line = last_line(error_tail_);
    return run;
}

} // namespace

// ---- Measurer ----------------------------------------------------------------------------------

Measurer::Measurer() {
    sigset_t watched;
    sigemptyset(&watched);
    for (int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP})
        sigaddset(&watched, signal);
    sigprocmask(SIG_BLOCK, &watched, &mask_before_);
    signals_ = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals_ < 0)
        fail("signalfd");
}

Measurer::~Measurer() {
    take_signals();
    close(signals_);
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

void Measurer::take_signals() {
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof info) == sizeof info)
        interrupted_ = interrupted_ || info.ssi_signo != SIGCHLD;
}

Run Measurer::run(const Job &job) {
    Program program(job);
    // Signals are taken before the program's state is asked for: a SIGCHLD that comes in between
    // is then still there to end the sleep.
    for (take_signals(); program.running(); take_signals()) {
        if (interrupted_)
            program.end(End::INTERRUPTED);
        program.tend();
        const double wait_s =
            std::min(3600.0, std::max(0.0, program.next_turn_s() - seconds_now()));
        const timespec limit = {time_t(wait_s), long((wait_s - double(time_t(wait_s))) * 1e9)};
        pollfd events[] = {{signals_, POLLIN, 0},
                           program.output_event(),
                           program.error_event(),
                           program.birth_event()};
        ppoll(events, 4, &limit, nullptr);
    }
    return program.result();
}

} // namespace osmem
