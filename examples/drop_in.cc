// An ordinary C++ program, served by osmem: nothing in it but the last check knows of that.
//
//     bazel run //examples:drop_in
//
// Its target says `malloc = "//malloc"`: that links osmem's malloc, free, operator new, ... in
// place of the C library's. A program that cannot be linked anew takes the shared library:
// LD_PRELOAD=bazel-bin/malloc/libosmem-malloc.so, or `osmem run -- PROGRAM`.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "osmem.h"

namespace {

using Index = std::map<std::string, std::vector<size_t>>; // where each word occurs

Index index_words(const std::string &text) {
    Index index;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(' ', begin), text.size());
        if (end > begin)
            index[text.substr(begin, end - begin)].push_back(begin);
        begin = end + 1;
    }
    return index;
}

// Whether `pointer` is the start of a live block of osmem: the walk over its blocks passes it.
bool is_osmem_block(const void *pointer) {
    const auto visit = [](const os_block *block, void *sought) {
        const bool live = block->kind == OS_BLOCK_USED || block->kind == OS_BLOCK_MAPPED;
        return int(live && block->address == sought);
    };
    return os_heap_walk(visit, const_cast<void *>(pointer)) == 1;
}

bool report(const char *what, const void *pointer) {
    const bool ours = is_osmem_block(pointer);
    std::printf("%-22s %s\n", what, ours ? "osmem" : "another allocator");
    return ours;
}

} // namespace

int main() {
    const Index index =
        index_words("the sea the sky and the sea again and the long white road home");
    for (const auto &[word, places] : index)
        std::printf("%s:%zu ", word.c_str(), places.size());
    std::printf("\n");

    const auto number = std::make_unique<long>(42);
    struct alignas(64) Line {
        char bytes[64];
    };
    const auto line = std::make_unique<Line>();
    char *const small = static_cast<char *>(std::malloc(100));
    const std::vector<char> large(1 << 20);

    bool all = report("operator new", number.get());
    all = report("operator new, aligned", line.get()) && all;
    all = report("malloc", small) && all;
    all = report("a vector of 1 MiB", large.data()) && all;
    all = report("a node of the map", index.begin()->second.data()) && all;
    std::free(small);
    return all ? 0 : 1;
}
