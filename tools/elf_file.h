/*
 * What an ELF file tells about loading it, and where a symbol of it will be.
 */
#ifndef OSMEM_TOOLS_ELF_FILE_H
#define OSMEM_TOOLS_ELF_FILE_H

#include <cstdint>
#include <optional>
#include <string>

namespace osmem {

struct ElfFile {
    bool native;      // of this program's own machine and word size
    bool shared;      // a library or a position-independent executable
    bool interpreted; // names a dynamic loader: a program for which LD_PRELOAD has a meaning
};

// Nothing if the file cannot be read or is not an ELF file. Of a file that is not `native` only the
// first header is read: `interpreted` is then false.
std::optional<ElfFile> elf_read(const std::string &path);

// How many bytes behind the start of a loaded file the variable or function `name` lies; nothing if
// the file cannot be read, is not `native`, or does not define it.
std::optional<uint64_t> elf_symbol(const std::string &path, const std::string &name);

} // namespace osmem

#endif
