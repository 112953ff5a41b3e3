/*
 * allocator.cc - finds the allocators of this machine and resolves their functions.
 */
#include "benchmark/allocator.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <link.h>
#include <unistd.h>

#include "utils/osmem.h"

namespace benchmarks {

namespace {

/* A kind of allocator: the names of its shared object, the newest first. */
struct kind {
    const char *name;
    std::vector<const char *> files;
};

const std::vector<kind> &kinds() {
    static const std::vector<kind> all = {
        {"jemalloc", {"libjemalloc.so.2"}},
        {"mimalloc", {"libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so"}},
        {"tcmalloc_minimal", {"libtcmalloc_minimal.so.4"}},
        {"tcmalloc", {"libtcmalloc.so.4"}},
        {"snmalloc", {"libsnmallocshim.so", "libsnmalloc.so"}},
        {"rpmalloc", {"librpmallocwrap.so", "librpmalloc.so"}},
        {"dlmalloc", {"libdlmalloc.so"}},
        {"hardened_malloc", {"libhardened_malloc.so"}},
        {"scudo", {"libclang_rt.scudo_standalone-x86_64.so", "libclang_rt.scudo_standalone.so"}},
    };
    return all;
}

const char *const FOLDERS[] = {
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib/*-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/llvm-*/lib/clang/*/lib/linux",
    "/usr/lib/llvm-*/lib/clang/*/lib/*-linux-gnu",
    "/usr/lib/clang/*/lib/linux",
    "/usr/lib64/clang/*/lib/*-linux-gnu",
};

/* What an allocator puts before `malloc` where it does not replace malloc itself. */
const char *const PREFIXES[] = {"", "mi_", "je_", "tc_", "sn_", "dl"};

/* Whether `path` is a shared object for the machine that this process runs on. */
bool is_loadable_here(const char *path) {
    auto machine_of = [](const char *file) {
        ElfW(Ehdr) header = {};
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -1;
        ssize_t length = read(fd, &header, sizeof header);
        close(fd);
        bool complete = length == static_cast<ssize_t>(sizeof header);
        return complete ? header.e_ident[EI_CLASS] << 16 | header.e_machine : -1;
    };
    int machine = machine_of(path);
    return machine >= 0 && machine == machine_of("/proc/self/exe");
}

/* The last match of `pattern` that this process could load (the newest, as glob sorts); or "". */
std::string newest_match(const std::string &pattern) {
    std::string found;
    glob_t matches = {};
    if (glob(pattern.c_str(), 0, nullptr, &matches) == 0) {
        for (size_t i = 0; i < matches.gl_pathc; i++) {
            if (is_loadable_here(matches.gl_pathv[i]))
                found = matches.gl_pathv[i];
        }
    }
    globfree(&matches);
    return found;
}

std::string path_of(const kind &wanted) {
    for (const char *file : wanted.files) {
        for (const char *folder : FOLDERS) {
            std::string path = newest_match(std::string(folder) + "/" + file);
            if (!path.empty())
                return path;
        }
    }
    return "";
}

/* The function called `name` that the library itself defines, not one of those it depends on. */
void *own_symbol(void *library, const std::string &name) {
    void *address = dlsym(library, name.c_str());
    struct link_map *map = nullptr;
    Dl_info info = {};
    if (address == nullptr || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 ||
        dladdr(address, &info) == 0)
        return nullptr;
    return reinterpret_cast<ElfW(Addr)>(info.dli_fbase) == map->l_addr ? address : nullptr;
}

bool resolve(void *library, allocator *table) {
    for (const char *prefix : PREFIXES) {
        std::string start = prefix;
        void *malloc = own_symbol(library, start + "malloc");
        void *calloc = own_symbol(library, start + "calloc");
        void *realloc = own_symbol(library, start + "realloc");
        void *free = own_symbol(library, start + "free");
        if (malloc == nullptr || calloc == nullptr || realloc == nullptr || free == nullptr)
            continue;
        table->malloc = reinterpret_cast<decltype(table->malloc)>(malloc);
        table->calloc = reinterpret_cast<decltype(table->calloc)>(calloc);
        table->realloc = reinterpret_cast<decltype(table->realloc)>(realloc);
        table->free = reinterpret_cast<decltype(table->free)>(free);
        table->check = nullptr;
        return true;
    }
    return false;
}

} // namespace

std::vector<allocator_source> allocators_installed() {
    std::vector<allocator_source> found = {{"osmem", "", false}, {"glibc", "", false}};
    for (const kind &each : kinds()) {
        std::string path = path_of(each);
        if (!path.empty())
            found.push_back({each.name, path, false});
    }
    return found;
}

bool allocator_load(const allocator_source &source, allocator *table, std::string *error) {
    if (source.name == "osmem" && source.path.empty()) {
        *table = {os_malloc, os_calloc, os_realloc, os_free, os_heap_check};
        return true;
    }
    /* By the C library's own symbols also where another allocator has been preloaded. */
    bool is_glibc = source.path.empty();
    std::string path = is_glibc ? "libc.so.6" : source.path;
    /* What another library calls by the name of malloc shall be its own. */
    int binding = is_glibc ? 0 : RTLD_DEEPBIND;
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | binding);
    if (library == nullptr) {
        const char *reason = dlerror();
        *error = reason != nullptr ? reason : "dlopen failed";
        return false;
    }
    if (!resolve(library, table)) {
        *error = path + ": defines no malloc, calloc, realloc and free of its own";
        return false;
    }
    return true;
}

} // namespace benchmarks
