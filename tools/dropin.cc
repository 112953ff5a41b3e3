#include "tools/dropin.h"

#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <vector>

#include <glob.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/elf_file.h"

namespace osmem {

namespace {

std::string program; // absolute path of the tool as it was called: its runfiles are named after it

std::optional<std::string> absolute(const std::string &path) {
    char resolved[PATH_MAX];
    if (realpath(path.c_str(), resolved) == nullptr)
        return std::nullopt;
    return resolved;
}

std::string environment(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// The name of the repository in the runfiles depends on how Bazel was started (`_main`, or the
// workspace's name), so any will do.
std::optional<std::string> in_runfiles(const std::string &directory, const std::string &file) {
    glob_t found{};
    std::optional<std::string> path;
    if (glob((directory + "/*/" + file).c_str(), 0, nullptr, &found) == 0)
        path = absolute(found.gl_pathv[0]);
    globfree(&found);
    return path;
}

// A runfiles manifest has a line "NAME PATH" for each file.
std::optional<std::string> in_manifest(const std::string &manifest, const std::string &file) {
    const std::string name_end = "/" + file;
    std::ifstream lines(manifest);
    for (std::string line; std::getline(lines, line);) {
        const size_t space = line.find(' ');
        const size_t length = name_end.size();
        if (space != std::string::npos && space >= length &&
            line.compare(space - length, length, name_end) == 0)
            return absolute(line.substr(space + 1));
    }
    return std::nullopt;
}

std::string directory_of(const std::string &path) { return path.substr(0, path.rfind('/')); }

} // namespace

void dropin_set_program(const char *argv0) {
    const bool by_path = std::strchr(argv0, '/') != nullptr;
    if (!by_path) {
        program = absolute("/proc/self/exe").value_or(argv0);
    } else if (argv0[0] == '/') {
        program = argv0; // not resolved: a symbolic link in the runfiles has them beside itself
    } else {
        program = absolute(".").value_or(".") + "/" + argv0;
    }
}

std::string companion_find(const std::string &file) {
    const std::string executable = absolute("/proc/self/exe").value_or(program);
    std::vector<std::optional<std::string>> candidates = {
        in_runfiles(program + ".runfiles", file), in_runfiles(executable + ".runfiles", file)};
    if (const std::string runfiles = environment("RUNFILES_DIR"); !runfiles.empty())
        candidates.push_back(in_runfiles(runfiles, file));
    candidates.push_back(in_manifest(program + ".runfiles_manifest", file));
    if (const std::string manifest = environment("RUNFILES_MANIFEST_FILE"); !manifest.empty())
        candidates.push_back(in_manifest(manifest, file));
    const std::string directory = directory_of(executable);
    const std::string name = file.substr(file.rfind('/') + 1);
    for (const std::string &place : {"/" + name, "/../lib/osmem/" + name, "/../" + file})
        candidates.push_back(absolute(directory + place));

    for (const std::optional<std::string> &candidate : candidates)
        if (candidate)
            return *candidate;
    throw Failure(name + " is neither in the tool's runfiles, nor beside it, nor in ../lib/osmem");
}

std::string dropin_find() {
    try {
        return preload_library(companion_find("malloc/libosmem-malloc.so"));
    } catch (const Failure &failure) {
        throw Failure(std::string(failure.what()) + ": say where it is with --lib PATH");
    }
}

std::string preload_library(const std::string &path) {
    const std::optional<std::string> library = absolute(path);
    if (!library)
        throw Failure(path + ": " + std::strerror(errno));
    const std::optional<ElfFile> file = elf_read(*library);
    if (!file || !file->shared)
        throw Failure(path + ": not a shared library");
    if (!file->native)
        throw Failure(path + ": a library for another kind of machine");
    if (library->find_first_of(" :") != std::string::npos)
        throw Failure(*library +
                      ": LD_PRELOAD cannot name a path with a space or a colon, move it");
    return *library;
}

void preload_prepend(const std::string &library) {
    const std::string before = environment("LD_PRELOAD");
    setenv("LD_PRELOAD", before.empty() ? library.c_str() : (library + ":" + before).c_str(), 1);
}

} // namespace osmem
