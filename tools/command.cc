#include "tools/command.h"

#include <cerrno>
#include <cstdlib>

#include <getopt.h>

namespace osmem {

UsageError option_error(int returned, char **argv) {
    const std::string option = argv[optind - 1];
    const bool is_long = option.compare(0, 2, "--") == 0;
    const std::string name = is_long || optopt == 0 ? option : std::string("-") + char(optopt);
    if (returned == ':')
        return UsageError("option '" + name + "' needs a value");
    return UsageError("option '" + name + "' is not known, or not in this form");
}

long option_number(const char *option, const std::string &text, long least, long most) {
    char *end;
    errno = 0;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || errno != 0 || value < least || value > most)
        throw UsageError(std::string(option) + " '" + text + "': not a number from " +
                         std::to_string(least) + " to " + std::to_string(most));
    return value;
}

double option_seconds(const char *option, const std::string &text) {
    char *end;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !(value > 0) || value > 1e9)
        throw UsageError(std::string(option) + " '" + text + "': not a number of seconds");
    return value;
}

} // namespace osmem
