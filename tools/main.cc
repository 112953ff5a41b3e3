/*
 * osmem - the command of this project: finds the command named by its first argument in a table
 * and turns what it throws into one line on standard error and an exit status.
 */
#include "tools/command.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tools/dropin.h"
#include "tools/options.h"
#include "utils/osmem.h"

namespace osmem {

namespace {

const Command *const commands[] = {&run_command,    &compare_command, &record_command,
                                   &replay_command, &report_command,  &map_command,
                                   &stats_command,  &demo_command};

const Command &command_named(const std::string &name) {
    for (const Command *command : commands)
        if (name == command->name)
            return *command;
    throw UsageError("there is no command '" + name + "'");
}

void print_help() {
    std::puts("usage: osmem COMMAND [OPTION]... [--] [CMD [ARG]...]\n"
              "\n"
              "Runs programs on the osmem memory allocator and shows what that changes.\n"
              "\n"
              "commands:");
    for (const Command *command : commands)
        std::printf("  %-10s %s\n", command->name, command->summary);
    std::puts("\n"
              "'osmem COMMAND --help' describes a command and its options, 'osmem --version' the\n"
              "release. Exit status 2 says that the command line was wrong.");
}

bool asks_for_help(const std::string &argument) {
    return argument == "--help" || argument == "-h" || argument == "help";
}

// Sets *command to the one at work, for messages.
int dispatch(int argc, char **argv, const Command **command) {
    if (argc < 2)
        throw UsageError("which command?");
    if (argc == 2 && argv[1] == std::string("--version")) {
        std::puts("osmem " OSMEM_VERSION);
        return 0;
    }
    if (!asks_for_help(argv[1])) {
        *command = &command_named(argv[1]);
        try {
            return (*command)->run(argc - 1, argv + 1);
        } catch (const HelpWanted &) {
            std::fputs((*command)->help, stdout);
            return 0;
        }
    }
    if (argc > 2)
        std::fputs(command_named(argv[2]).help, stdout);
    else
        print_help();
    return 0;
}

// `bazel run` starts a program in its runfiles and says where the user stands: go back there, so
// that relative paths mean what the user typed.
void return_to_working_directory() {
    const char *directory = std::getenv("BUILD_WORKING_DIRECTORY");
    if (directory == nullptr)
        return;
    if (chdir(directory) != 0)
        throw Failure("cannot go to " + std::string(directory) + ": " + std::strerror(errno));
    setenv("PWD", directory, 1);
}

int run_tool(int argc, char **argv) {
    const Command *command = nullptr;
    try {
        dropin_set_program(argv[0]);
        return_to_working_directory();
        const int status = dispatch(argc, argv, &command);
        if (std::fflush(stdout) != 0 || std::ferror(stdout))
            throw Failure(std::string("standard output: ") + std::strerror(errno));
        return status;
    } catch (const UsageError &error) {
        const std::string name = command == nullptr ? "" : std::string(" ") + command->name;
        std::fprintf(stderr, "osmem%s: %s (see 'osmem%s --help')\n", name.c_str(), error.what(),
                     name.c_str());
        return EXIT_USAGE;
    } catch (const Failure &failure) {
        std::fprintf(stderr, "osmem: %s\n", failure.what());
        return failure.status;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "osmem: %s\n", error.what());
        return EXIT_PROBLEM;
    }
}

} // namespace

} // namespace osmem

int main(int argc, char **argv) { return osmem::run_tool(argc, argv); }
