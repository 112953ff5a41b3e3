#include "tools/choice.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "tools/command.h"
#include "tools/dropin.h"

namespace osmem {

namespace {

const char BASE[] = "glibc"; // what all are compared with

bool is_chosen(const AllocatorChoice &choice, const std::string &name) {
    return name == BASE || !choice.names ||
           std::count(choice.names->begin(), choice.names->end(), name) > 0 ||
           std::any_of(choice.also.begin(), choice.also.end(),
                       [&](const Allocator &allocator) { return allocator.name == name; });
}

void check_names(const std::vector<Allocator> &found, const AllocatorChoice &choice) {
    std::string known;
    for (size_t index = 0; index < found.size(); index++) {
        for (size_t other = 0; other < index; other++)
            if (found[index].name == found[other].name)
                throw UsageError("--also: there is an allocator '" + found[index].name +
                                 "' already");
        known += (index == 0 ? "" : ", ") + found[index].name;
    }
    for (const std::string &name : choice.names.value_or(std::vector<std::string>()))
        if (std::none_of(found.begin(), found.end(),
                         [&](const Allocator &allocator) { return allocator.name == name; }))
            throw UsageError("--allocators: no '" + name + "' here, only " + known);
}

std::vector<std::string> parse_names(const char *text) {
    std::vector<std::string> names;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');)
        if (!part.empty())
            names.push_back(part);
    if (names.empty())
        throw UsageError("--allocators '" + std::string(text) + "': no names");
    return names;
}

Allocator parse_also(const char *text) {
    const char *equals = std::strchr(text, '=');
    if (equals == nullptr || equals == text || equals[1] == '\0')
        throw UsageError("--also '" + std::string(text) + "': not NAME=PATH");
    return {std::string(text, equals), preload_library(equals + 1)};
}

} // namespace

std::vector<Option> choice_options(AllocatorChoice *choice) {
    return {
        {"allocators", true, [=](const char *value) { choice->names = parse_names(value); }},
        {"also", true, [=](const char *value) { choice->also.push_back(parse_also(value)); }},
        option_text("lib", &choice->library),
    };
}

std::vector<Allocator> choose_allocators(const AllocatorChoice &choice) {
    std::vector<Allocator> found = {{BASE, ""}, {"osmem", ""}};
    if (is_chosen(choice, "osmem"))
        found[1].library = choice.library.empty() ? dropin_find() : preload_library(choice.library);
    for (const Allocator &allocator : allocators_installed())
        found.push_back(allocator);
    found.insert(found.end(), choice.also.begin(), choice.also.end());
    check_names(found, choice);

    std::vector<Allocator> chosen;
    for (const Allocator &allocator : found)
        if (is_chosen(choice, allocator.name))
            chosen.push_back(allocator);
    return chosen;
}

} // namespace osmem
