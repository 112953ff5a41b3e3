#include "tools/elf_file.h"

#include <cstring>
#include <fstream>
#include <vector>

#include <elf.h>
#include <link.h>

namespace osmem {

namespace {

using Header = ElfW(Ehdr);
using Segment = ElfW(Phdr);
using Section = ElfW(Shdr);
using Symbol = ElfW(Sym);

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

// What begins at `offset`; nothing where the file is shorter.
template <typename T>
std::vector<T> read_array(std::ifstream &file, uint64_t offset, uint64_t count) {
    std::vector<T> array;
    file.clear();
    file.seekg(0, std::ios::end);
    const uint64_t size = uint64_t(file.tellg());
    if (offset > size || count > (size - offset) / sizeof(T))
        return array;
    array.resize(count);
    file.seekg(std::streamoff(offset));
    file.read(reinterpret_cast<char *>(array.data()), std::streamsize(count * sizeof(T)));
    return array;
}

std::vector<Segment> read_segments(std::ifstream &file, const Header &header) {
    return read_array<Segment>(file, header.e_phoff, header.e_phnum);
}

bool has_interpreter(std::ifstream &file, const Header &header) {
    for (const Segment &segment : read_segments(file, header))
        if (segment.p_type == PT_INTERP)
            return true;
    return false;
}

// The value of a symbol that the section's table defines.
std::optional<uint64_t> find_symbol(std::ifstream &file, const Section &table,
                                    const Section &strings, const std::string &name) {
    const auto symbols = read_array<Symbol>(file, table.sh_offset, table.sh_size / sizeof(Symbol));
    auto names = read_array<char>(file, strings.sh_offset, strings.sh_size);
    names.push_back('\0');
    for (const Symbol &symbol : symbols)
        if (symbol.st_shndx != SHN_UNDEF && symbol.st_name < names.size() &&
            name == &names[symbol.st_name])
            return symbol.st_value;
    return std::nullopt;
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

std::optional<uint64_t> elf_symbol(const std::string &path, const std::string &name) {
    std::ifstream file(path, std::ios::binary);
    Header header;
    if (!read_header(file, &header) || !is_native(header))
        return std::nullopt;
    uint64_t base = UINT64_MAX; // where the file's first segment wants to be
    for (const Segment &segment : read_segments(file, header))
        if (segment.p_type == PT_LOAD && segment.p_vaddr - segment.p_offset < base)
            base = segment.p_vaddr - segment.p_offset;
    const auto sections = read_array<Section>(file, header.e_shoff, header.e_shnum);
    for (const Section &section : sections) {
        if ((section.sh_type != SHT_DYNSYM && section.sh_type != SHT_SYMTAB) ||
            section.sh_link >= sections.size())
            continue;
        const auto value = find_symbol(file, section, sections[section.sh_link], name);
        if (value)
            return *value - base;
    }
    return std::nullopt;
}

} // namespace osmem
