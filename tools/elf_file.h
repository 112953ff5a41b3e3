/*
 * What the head of an ELF file tells about loading it.
 */
#ifndef OSMEM_TOOLS_ELF_FILE_H
#define OSMEM_TOOLS_ELF_FILE_H

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

} // namespace osmem

#endif
