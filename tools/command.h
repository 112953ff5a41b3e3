/*
 * The commands of the osmem tool: what main.cc's table is made of.
 *
 * A command is one file that defines one Command and nothing else that is visible, in the folder
 * of its name; to add one, write the file, declare the Command here and name it in the table.
 * Commands report trouble by throwing: main turns it into one line on standard error and an exit
 * status.
 */
#ifndef OSMEM_TOOLS_COMMAND_H
#define OSMEM_TOOLS_COMMAND_H

#include <stdexcept>
#include <string>

namespace osmem {

struct Command {
    const char *name;
    const char *summary;               // one line for `osmem --help`
    const char *help;                  // what `osmem NAME --help` prints
    int (*run)(int argc, char **argv); // argv[0] is the command's name; returns the exit status
};

extern const Command run_command;
extern const Command compare_command;
extern const Command record_command;
extern const Command replay_command;
extern const Command report_command;
extern const Command map_command;
extern const Command stats_command;
extern const Command demo_command;

enum ExitStatus {
    EXIT_PROBLEM = 1,          // the command could not do its work, or what it checks is not so
    EXIT_USAGE = 2,            // the command line is wrong
    EXIT_NOT_EXECUTABLE = 126, // as the shell: CMD was found but cannot be executed
    EXIT_NOT_FOUND = 127,      // as the shell: there is no CMD
    EXIT_INTERRUPTED = 130,    // as the shell: ended by SIGINT
};

// The command line is wrong: one line and a pointer to --help, exit status 2.
struct UsageError : std::runtime_error {
    using runtime_error::runtime_error;
};

// The work cannot be done: one line, exit status `status`.
struct Failure : std::runtime_error {
    explicit Failure(const std::string &message, int exit_status = EXIT_PROBLEM)
        : runtime_error(message), status(exit_status) {}
    int status;
};

// The message of UsageError for what getopt_long(3) has just returned '?' or ':' for.
UsageError option_error(int returned, char **argv);

// The number that an option is given. UsageError if it is none from `least` to `most`.
long option_number(const char *option, const std::string &text, long least, long most);

// The same of seconds, more than none.
double option_seconds(const char *option, const std::string &text);

} // namespace osmem

#endif
