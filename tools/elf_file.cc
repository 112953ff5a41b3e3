#include "tools/elf_file.h"

#include <cstring>
#include <fstream>

#include <elf.h>
#include <link.h>

namespace osmem {

namespace {

using Header = ElfW(Ehdr);
using Segment = ElfW(Phdr);

bool read_header(std::ifstream &file, Header *header) {
    file.read(reinterpret_cast<char *>(header), sizeof *header);
    return file && std::memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
}

bool is_native(const Header &header) {
    std::ifstream self("/proc/self/exe", std::ios::binary);
    Header own;
    return read_header(self, &own) && header.e_machine == own.e_machine &&
           header.e_ident[EI_CLASS] == own.e_ident[EI_CLASS] &&
           header.e_ident[EI_DATA] == own.e_ident[EI_DATA];
}

bool has_interpreter(std::ifstream &file, const Header &header) {
    file.seekg(static_cast<std::streamoff>(header.e_phoff));
    for (unsigned index = 0; index < header.e_phnum; index++) {
        Segment segment;
        if (!file.read(reinterpret_cast<char *>(&segment), sizeof segment))
            return false;
        if (segment.p_type == PT_INTERP)
            return true;
    }
    return false;
}

} // namespace

std::optional<ElfFile> elf_read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    Header header;
    if (!read_header(file, &header))
        return std::nullopt;
    ElfFile facts{};
    facts.native = is_native(header);
    facts.shared = header.e_type == ET_DYN; // the same place in 32- and 64-bit files
    facts.interpreted = facts.native && has_interpreter(file, header);
    return facts;
}

} // namespace osmem
