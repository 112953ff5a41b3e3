/*
 * process.cc - fork, exec, and two pipes read until both are closed or the time is up.
 */
#include "benchmark/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

namespace benchmarks {

namespace {

using clock = std::chrono::steady_clock;

std::string describe(int status) {
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        return "killed by signal " + std::to_string(number) + " (" + strsignal(number) + ")";
    }
    return WEXITSTATUS(status) == 0 ? "" : "exit status " + std::to_string(WEXITSTATUS(status));
}

/* The environment of this process, `settings` in place of what they name. */
std::vector<std::string> environment_with(const std::vector<std::string> &settings) {
    std::vector<std::string> all = settings;
    for (char **entry = environ; *entry != nullptr; entry++) {
        std::string name(*entry, std::strcspn(*entry, "=") + 1);
        bool replaced = false;
        for (const std::string &setting : settings)
            replaced = replaced || setting.compare(0, name.size(), name) == 0;
        if (!replaced)
            all.push_back(*entry);
    }
    return all;
}

std::vector<char *> pointers_to(const std::vector<std::string> &strings) {
    std::vector<char *> pointers;
    for (const std::string &each : strings)
        pointers.push_back(const_cast<char *>(each.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

/* Appends what `source` has to say; false at its end. */
bool drain(int source, std::string *text) {
    char buffer[64 * 1024];
    ssize_t count = read(source, buffer, sizeof buffer);
    if (count > 0)
        text->append(buffer, static_cast<std::size_t>(count));
    return count > 0;
}

/* Reads both pipes until they are closed; false when the time is up before. */
bool read_until_closed(struct pollfd *pipes, process_result *result, clock::time_point deadline) {
    std::string *texts[] = {&result->output, &result->errors};
    while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
        auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now()).count();
        if (left <= 0)
            return false;
        if (poll(pipes, 2, static_cast<int>(left)) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (pipes[i].revents != 0 && !drain(pipes[i].fd, texts[i]))
                pipes[i].fd = -1; /* poll ignores it from now on */
        }
    }
    return true;
}

} // namespace

process_result process_run(const std::vector<std::string> &arguments,
                           const std::vector<std::string> &settings, double seconds) {
    process_result result = {};
    std::vector<std::string> environment = environment_with(settings);
    std::vector<char *> argv = pointers_to(arguments), envp = pointers_to(environment);
    int output[2], errors[2];
    if (pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0) {
        result.failure = "no pipe";
        return result;
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(output[1], STDOUT_FILENO);
        dup2(errors[1], STDERR_FILENO);
        execve(argv[0], argv.data(), envp.data());
        _exit(127);
    }
    close(output[1]);
    close(errors[1]);
    if (child < 0) {
        result.failure = "no process";
    } else {
        auto limit =
            std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
        struct pollfd pipes[2] = {{output[0], POLLIN, 0}, {errors[0], POLLIN, 0}};
        bool in_time = read_until_closed(pipes, &result, clock::now() + limit);
        if (!in_time)
            kill(child, SIGKILL);
        int status = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        result.failure =
            in_time ? describe(status)
                    : "timed out after " + std::to_string(static_cast<int>(seconds)) + " s";
    }
    close(output[0]);
    close(errors[0]);
    return result;
}

} // namespace benchmarks
