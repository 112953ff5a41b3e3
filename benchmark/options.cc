/*
 * options.cc - the command line.
 */
#include "benchmark/options.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace benchmarks {

namespace {

constexpr const char *USAGE =
    "usage: benchmark [OPTION]...\n"
    "Compares osmem with glibc and with every other allocator found on this machine.\n"
    "\n"
    "  --filter REGEX          only the cases whose name matches somewhere\n"
    "  --allocators NAME,...   only these allocators\n"
    "  --allocator NAME=PATH   one more, from its shared object; also the environment's\n"
    "                          OSMEM_BENCHMARK_ALLOCATORS=NAME=PATH:NAME=PATH...\n"
    "  --rounds N              how often each case is run with each allocator (3)\n"
    "  --seconds S             how long a fast-path case runs each time (0.05)\n"
    "  --limit S               when a process is given up (120)\n"
    "  --json FILE             the results, in Google Benchmark's format\n"
    "  --quick                 little work, one round: does it run at all?\n"
    "  --full                  also what takes long: a heap of 8 GiB\n"
    "  --list                  the cases and allocators, then stop\n";

[[noreturn]] void fail(const std::string &fact) {
    std::fprintf(stderr, "benchmark: %s\n%s", fact.c_str(), USAGE);
    std::exit(2);
}

double positive(const std::string &option, const std::string &text) {
    char *end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    if (end == text.c_str() || *end != '\0' || !(value > 0))
        fail(option + ": '" + text + "' is not a positive number");
    return value;
}

std::vector<std::string> split(const std::string &text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) {
        if (!part.empty())
            parts.push_back(part);
    }
    return parts;
}

allocator_source added(const std::string &text) {
    allocator_source source = source_parse(text);
    if (source.name.empty() || source.path.empty())
        fail("'" + text + "' is not NAME=PATH");
    return source;
}

} // namespace

allocator_source source_parse(const std::string &text) {
    std::size_t equals = text.find('=');
    if (equals == std::string::npos)
        return {text, "", false};
    return {text.substr(0, equals), text.substr(equals + 1), false};
}

options options_parse(int argc, char **argv) {
    options parsed;
    const char *environment = std::getenv("OSMEM_BENCHMARK_ALLOCATORS");
    for (const std::string &each : split(environment != nullptr ? environment : "", ':'))
        parsed.added.push_back(added(each));

    for (int i = 1; i < argc; i++) {
        std::string option = argv[i], attached;
        std::size_t equals = option.find('=');
        bool has_value = equals != std::string::npos;
        if (has_value) {
            attached = option.substr(equals + 1);
            option.resize(equals);
        }
        auto value = [&]() -> std::string {
            if (has_value)
                return attached;
            if (++i == argc)
                fail(option + " needs a value");
            return argv[i];
        };
        if (option == "--filter")
            parsed.filter = value();
        else if (option == "--allocators")
            parsed.only = split(value(), ',');
        else if (option == "--allocator")
            parsed.added.push_back(added(value()));
        else if (option == "--rounds")
            parsed.rounds = static_cast<int>(positive(option, value()));
        else if (option == "--seconds")
            parsed.seconds = positive(option, value());
        else if (option == "--limit")
            parsed.limit = positive(option, value());
        else if (option == "--json")
            parsed.json = value();
        else if (option == "--one-allocator")
            parsed.one_allocator = value();
        else if (option == "--one-case")
            parsed.one_case = value();
        else if (option == "--quick" && !has_value)
            parsed.quick = true;
        else if (option == "--full" && !has_value)
            parsed.full = true;
        else if (option == "--list" && !has_value)
            parsed.list = true;
        else if (option == "--help" && !has_value) {
            std::fputs(USAGE, stdout);
            std::exit(0);
        } else
            fail("unknown option " + std::string(argv[i]));
    }
    if (parsed.rounds < 1)
        parsed.rounds = parsed.quick ? 1 : 3;
    if (parsed.seconds <= 0)
        parsed.seconds = parsed.quick ? 0.005 : 0.05;
    return parsed;
}

} // namespace benchmarks
