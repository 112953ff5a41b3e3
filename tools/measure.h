/*
 * One run of a program under one allocator: how it ended, how long it took, what memory it held.
 *
 * Peak memory is wait4(2)'s ru_maxrss: the largest single process of the program and of those it
 * waited for. Linux hands that figure on across execve(2), so that it is never below what the
 * process held before it became the program. So the tool forks (a forked child holds little but
 * the private pages: about 1 MiB in all), the child says what it holds just before execve, and a
 * result that is not above that is known to be an upper bound.
 *
 * Whether the allocator's library was really loaded is read from /proc/PID/maps.
 */
#ifndef OSMEM_TOOLS_MEASURE_H
#define OSMEM_TOOLS_MEASURE_H

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace osmem {

struct Job {
    std::vector<std::string> command;
    std::string library;   // put in front of LD_PRELOAD; empty: LD_PRELOAD stays as it is
    double timeout_s;      // the program is ended after that many seconds; 0: never
    int output_descriptor; // where to copy the program's standard output and error, -1: nowhere
};

enum class End {
    EXITED,      // value: its exit status
    KILLED,      // value: the signal
    TIMED_OUT,   // ended by the tool after the time allowed
    INTERRUPTED, // ended by the tool because it was told to end itself
};

enum class Preload {
    NONE,    // no library was asked for
    LOADED,  // the library was seen in the process
    MISSING, // the process has come far enough, and does not have it
    UNKNOWN, // the process ended before that could be seen
};

struct Run {
    End end;
    int value;
    double wall_s;
    double user_s; // of the process and of those it waited for
    double system_s;
    size_t peak_bytes;
    bool peak_is_bound; // the peak was at most that, see above
    Preload preload;
    uint64_t output_hash; // FNV-1a of the standard output
    size_t output_bytes;
    std::string error_line; // the last line of the standard error
};

// Runs jobs one at a time. While a Measurer lives, SIGINT, SIGTERM and SIGHUP no longer end the
// tool: they end the running program and set interrupted().
class Measurer {
  public:
    Measurer();
    ~Measurer();
    Measurer(const Measurer &) = delete;
    Measurer &operator=(const Measurer &) = delete;

    // Standard input is the tool's, read from its start, if that is a file, else empty.
    // Failure if the program cannot be started.
    Run run(const Job &job);

    bool interrupted() const { return interrupted_; }

  private:
    void take_signals(); // those that have come

    int signals_; // signalfd(2)
    sigset_t mask_before_;
    bool interrupted_ = false;
};

} // namespace osmem

#endif
