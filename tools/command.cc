#include "tools/command.h"

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

std::vector<std::string> command_line(int argc, char **argv, int index) {
    if (index >= argc)
        throw UsageError("CMD is missing: which program?");
    return std::vector<std::string>(argv + index, argv + argc);
}

} // namespace osmem
