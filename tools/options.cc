#include "tools/options.h"

#include <getopt.h>

#include "tools/command.h"

namespace osmem {

namespace {

constexpr int FIRST = 256; // behind all letters

} // namespace

Option option_flag(const char *name, bool *flag, char letter) {
    return {name, false, [flag](const char *) { *flag = true; }, letter};
}

Option option_text(const char *name, std::string *text, char letter) {
    return {name, true, [text](const char *value) { *text = value; }, letter};
}

std::vector<std::string> parse_options(int argc, char **argv, Operands operands,
                                       const std::vector<Option> &options) {
    std::string letters = operands == Operands::COMMAND ? "+:h" : ":h";
    std::vector<option> known = {{"help", no_argument, nullptr, 'h'}};
    for (const Option &each : options) {
        known.push_back({each.name, each.has_value ? required_argument : no_argument, nullptr,
                         FIRST + int(known.size()) - 1});
        if (each.letter != '\0')
            letters += std::string(1, each.letter) + (each.has_value ? ":" : "");
    }
    known.push_back({});
    opterr = 0;
    for (int found;
         (found = getopt_long(argc, argv, letters.c_str(), known.data(), nullptr)) != -1;) {
        if (found == 'h')
            throw HelpWanted();
        if (found == '?' || found == ':')
            throw option_error(found, argv);
        for (const Option &each : options)
            if (found == each.letter || found == FIRST + int(&each - options.data()))
                each.take(optarg);
    }
    return std::vector<std::string>(argv + optind, argv + argc);
}

std::vector<std::string> command_line(const std::vector<std::string> &operands) {
    if (operands.empty())
        throw UsageError("CMD is missing: which program?");
    return operands;
}

std::string single_operand(const std::vector<std::string> &operands, const std::string &what) {
    if (operands.empty())
        throw UsageError(what + " is missing: which file?");
    if (operands.size() > 1)
        throw UsageError("one " + what + " at a time");
    return operands[0];
}

} // namespace osmem
