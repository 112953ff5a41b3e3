/*
 * osmem run: one program on osmem.
 *
 * The tool replaces itself by CMD: its process, terminal, signals and exit status are CMD's own.
 */
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tools/command.h"
#include "tools/dropin.h"
#include "tools/options.h"

namespace osmem {

namespace {

const char HELP[] =
    "usage: osmem run [--stats] [--lib PATH] [--] CMD [ARG]...\n"
    "\n"
    "Runs CMD with osmem as its allocator: malloc, free, operator new and the like are served\n"
    "by osmem's drop-in library, put in front of what LD_PRELOAD names already.\n"
    "\n"
    "  --stats      print the allocator's counters on standard error when CMD ends\n"
    "               (adds stats_print:on to OSMEM_CONF)\n"
    "  --lib PATH   the drop-in library to use (default: the one built with this tool)\n"
    "  -h, --help   print this\n"
    "\n"
    "The tool replaces itself by CMD, so that the exit status is CMD's: what it returned, or, in\n"
    "a shell, 128 + the signal that killed it; 127 if there is no CMD, 126 if it cannot be\n"
    "executed. Statically linked and set-user-ID programs ignore LD_PRELOAD and run as ever.\n"
    "\n"
    "example: osmem run --stats -- python3 -c 'print(sum(range(10**6)))'\n";

void add_option_to_conf(const char *option) {
    const char *before = std::getenv("OSMEM_CONF");
    const bool empty = before == nullptr || *before == '\0';
    setenv("OSMEM_CONF", empty ? option : (std::string(before) + "," + option).c_str(), 1);
}

[[noreturn]] void execute(const std::vector<std::string> &command) {
    std::vector<char *> arguments;
    for (const std::string &argument : command)
        arguments.push_back(const_cast<char *>(argument.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    throw Failure(command[0] + ": " + std::strerror(errno),
                  errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

int run(int argc, char **argv) {
    bool stats = false;
    std::string library;
    const std::vector<std::string> command =
        command_line(parse_options(argc, argv, Operands::COMMAND,
                                   {option_flag("stats", &stats), option_text("lib", &library)}));
    preload_prepend(library.empty() ? dropin_find() : preload_library(library));
    if (stats)
        add_option_to_conf("stats_print:on");
    execute(command);
}

} // namespace

const Command run_command = {"run", "run a program on osmem", HELP, run};

} // namespace osmem
