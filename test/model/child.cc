#include "test/model/child.h"

#include "test/core/internal.h"

#include <cstdio>
#include <regex>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace osmem {

bool Ended::well() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }

bool Ended::aborted() const { return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT; }

bool Ended::died_of(const std::string &function, const std::string &fact) const {
    std::regex line("osmem: " + function + "\\(\\): block 0x[0-9a-f]+ " + fact + "\n");
    return aborted() && std::regex_match(errors, line);
}

size_t Ended::count(const std::string &text) const {
    size_t found = 0;
    for (size_t at = errors.find(text); at != std::string::npos; at = errors.find(text, at + 1))
        found++;
    return found;
}

std::ostream &operator<<(std::ostream &out, const Ended &ended) {
    if (WIFSIGNALED(ended.status))
        out << "the child died of signal " << WTERMSIG(ended.status);
    else
        out << "the child ended with status " << WEXITSTATUS(ended.status);
    return out << " and wrote: " << ended.errors;
}

void end_child() {
    fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
}

static std::string read_all(int file) {
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = read(file, buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<size_t>(got));
    return text;
}

Ended run_child(const std::function<void()> &body, unsigned seconds) {
    int ends[2];
    fflush(nullptr);
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child == -1)
        abort();
    if (child == 0) {
        rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        alarm(seconds);
        body();
        end_child();
    }
    close(ends[1]);
    Ended ended;
    ended.errors = read_all(ends[0]);
    close(ends[0]);
    waitpid(child, &ended.status, 0);
    return ended;
}

} // namespace osmem
