/*
 * The options of a command as one table: their names, and what is done with each.
 *
 * --help and -h are in every table; main.cc prints what the command has to say.
 */
#ifndef OSMEM_TOOLS_OPTIONS_H
#define OSMEM_TOOLS_OPTIONS_H

#include <functional>
#include <string>
#include <vector>

#include "tools/command.h"

namespace osmem {

struct Option {
    const char *name; // without dashes
    bool has_value;
    std::function<void(const char *value)> take; // throws UsageError if it cannot be; NULL for none
    char letter = '\0';                          // a short form
};

// What most do: set something, or keep the value.
Option option_flag(const char *name, bool *flag, char letter = '\0');
Option option_text(const char *name, std::string *text, char letter = '\0');

// A number from `least` to `most`.
template <typename Number>
Option option_count(const char *name, Number *number, long least, long most, char letter = '\0') {
    const auto take = [=](const char *value) {
        *number = static_cast<Number>(
            option_number(("--" + std::string(name)).c_str(), value, least, most));
    };
    return {name, true, take, letter};
}

enum class Operands {
    ANYWHERE, // FILE, before options or after them
    COMMAND,  // CMD [ARG]...: what looks like an option behind it is CMD's
};

// --help was asked for.
struct HelpWanted {};

// Takes all options, in the order of the command line, and returns what is left of it. UsageError
// for what is not in the table, and for a value that is missing.
std::vector<std::string> parse_options(int argc, char **argv, Operands operands,
                                       const std::vector<Option> &options);

// CMD and its arguments, which parse_options has left. UsageError if there is none.
std::vector<std::string> command_line(const std::vector<std::string> &operands);

// FILE, likewise; `what` it is, for the message. UsageError if there is none, or another one.
std::string single_operand(const std::vector<std::string> &operands, const std::string &what);

} // namespace osmem

#endif
