/*
 * A command line, run by the shell, and what came of it. For suites that look at whole programs.
 */
#ifndef OSMEM_TEST_TOOLS_SHELL_H
#define OSMEM_TEST_TOOLS_SHELL_H

#include <string>

#include <sys/types.h>

namespace osmem {

struct ShellResult {
    int status; // as the shell shows it: 128 + the signal for a killed program
    std::string output;
    std::string error;
};

// Runs `command` in the test's runfiles and waits for it.
ShellResult shell(const std::string &command);

// Starts `command` in a process group of its own, both outputs into `path`; the caller waits.
pid_t shell_start(const std::string &command, const std::string &path);

// A fresh file name in the test's own folder.
std::string scratch_file(const std::string &name);

std::string file_contents(const std::string &path);
void file_write(const std::string &path, const std::string &contents);

} // namespace osmem

#endif
