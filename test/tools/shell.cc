#include "test/tools/shell.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace osmem {

namespace {

std::string scratch_folder() {
    const char *folder = std::getenv("TEST_TMPDIR");
    const std::string path = (folder == nullptr ? std::string("/tmp") : std::string(folder)) +
                             "/osmem_test_" + std::to_string(getpid());
    mkdir(path.c_str(), 0700);
    return path;
}

} // namespace

ShellResult shell(const std::string &command) {
    const std::string output = scratch_file("output"), error = scratch_file("error");
    // In a shell of its own, so that a program that dies by a signal is told of by 128 + n.
    const std::string line = "(" + command + "\n) >'" + output + "' 2>'" + error + "'";
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), file_contents(output),
            file_contents(error)};
}

pid_t shell_start(const std::string &command, const std::string &path) {
    const std::string line = "exec " + command + " >'" + path + "' 2>&1";
    const pid_t process = fork();
    if (process == 0) {
        setpgid(0, 0);
        execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
        _exit(127);
    }
    return process;
}

std::string scratch_file(const std::string &name) { return scratch_folder() + "/" + name; }

std::string file_contents(const std::string &path) {
    std::ostringstream contents;
    contents << std::ifstream(path).rdbuf();
    return contents.str();
}

void file_write(const std::string &path, const std::string &contents) {
    std::ofstream(path) << contents;
}

} // namespace osmem
