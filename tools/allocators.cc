#include "tools/allocators.h"

#include <climits>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include <glob.h>
#include <string.h>

#include "tools/elf_file.h"

namespace osmem {

namespace {

// One library for each name is taken: that of the first pattern that matches a file, and of its
// matches the one with the highest version.
struct Known {
    const char *name;
    std::vector<const char *> patterns; // a file in the loader's folders, or an absolute path
};

const Known known[] = {
    {"jemalloc", {"libjemalloc.so.2", "libjemalloc.so"}},
    {"mimalloc2", {"libmimalloc.so.2", "libmimalloc.so.2.*"}},
    {"mimalloc3", {"libmimalloc.so.3", "libmimalloc.so.3.*"}},
    {"tcmalloc_minimal", {"libtcmalloc_minimal.so.4", "libtcmalloc_minimal.so"}},
    {"tcmalloc", {"libtcmalloc.so.4", "libtcmalloc.so"}},
    {"snmalloc", {"libsnmallocshim.so", "libsnmallocshim*.so*"}},
    {"rpmalloc", {"librpmallocwrap.so", "librpmalloc*.so*"}},
    {"scudo",
     {"libscudo.so", "/usr/lib*/llvm-*/lib/clang/*/lib/*/libclang_rt.scudo_standalone*.so",
      "/usr/lib*/clang/*/lib/*/libclang_rt.scudo_standalone*.so",
      "/usr/local/lib/clang/*/lib/*/libclang_rt.scudo_standalone*.so"}},
    {"tbbmalloc", {"libtbbmalloc_proxy.so.2", "libtbbmalloc_proxy.so"}},
    {"hoard", {"libhoard.so", "libhoard.so.*"}},
    {"mesh", {"libmesh.so", "libmesh.so.*"}},
    {"hardened_malloc", {"libhardened_malloc.so", "hardened_malloc/libhardened_malloc.so"}},
    {"dlmalloc", {"libdlmalloc.so", "libdlmalloc.so.*"}},
};

std::vector<std::string> files_matching(const std::string &pattern) {
    std::vector<std::string> files;
    glob_t found{};
    if (glob(pattern.c_str(), GLOB_BRACE, nullptr, &found) == 0)
        files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    globfree(&found);
    return files;
}

// The folders that a file in the form of ld.so.conf(5) names.
void add_configured(const std::string &file, std::vector<std::string> *folders) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string word, pattern;
        if (!(words >> word))
            continue;
        if (word != "include") {
            folders->push_back(word);
        } else if (words >> pattern) {
            for (const std::string &included : files_matching(pattern))
                add_configured(included, folders);
        }
    }
}

std::vector<std::string> loader_folders() {
    std::vector<std::string> folders;
    if (const char *path = std::getenv("LD_LIBRARY_PATH")) {
        std::istringstream parts(path);
        for (std::string part; std::getline(parts, part, ':');)
            if (!part.empty())
                folders.push_back(part);
    }
    add_configured("/etc/ld.so.conf", &folders);
    for (const char *folder : {"/usr/local/lib", "/lib64", "/usr/lib64", "/lib", "/usr/lib"})
        folders.push_back(folder);
    return folders;
}

std::string canonical(const std::string &path) {
    char resolved[PATH_MAX];
    return realpath(path.c_str(), resolved) == nullptr ? "" : resolved;
}

// The file with the highest version among those that a program of this machine can load, or "".
std::string newest_loadable(const std::vector<std::string> &files) {
    std::string best;
    for (const std::string &file : files) {
        const std::string path = canonical(file);
        const auto facts = elf_read(path);
        if (facts && facts->native && facts->shared && strverscmp(path.c_str(), best.c_str()) > 0)
            best = path;
    }
    return best;
}

std::string find_library(const Known &allocator, const std::vector<std::string> &folders) {
    for (const std::string pattern : allocator.patterns) {
        if (pattern[0] == '/') {
            const std::string library = newest_loadable(files_matching(pattern));
            if (!library.empty())
                return library;
            continue;
        }
        for (const std::string &folder : folders) {
            const std::string library = newest_loadable(files_matching(folder + "/" + pattern));
            if (!library.empty())
                return library;
        }
    }
    return "";
}

} // namespace

std::vector<Allocator> allocators_installed() {
    const std::vector<std::string> folders = loader_folders();
    std::vector<Allocator> found;
    std::set<std::string> taken; // two names may lead to the same file
    for (const Known &allocator : known) {
        const std::string library = find_library(allocator, folders);
        if (!library.empty() && taken.insert(library).second)
            found.push_back({allocator.name, library});
    }
    return found;
}

} // namespace osmem
