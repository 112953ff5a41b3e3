#include "tools/report/symbols.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/table.h"

extern char **environ;

namespace osmem {

namespace {

std::string base_name(const std::string &path) { return path.substr(path.rfind('/') + 1); }

// A return address is behind the call: what is called stands just before.
uint64_t in_file(const TraceModule &module, uint64_t address) { return address - 1 - module.bias; }

// What `command` prints when it reads `input`; "" if it cannot be run.
std::string output_of(const std::vector<std::string> &command, const std::string &input) {
    FILE *in = std::tmpfile(), *out = std::tmpfile();
    std::string text;
    if (in != nullptr && out != nullptr && std::fputs(input.c_str(), in) != EOF &&
        std::fflush(in) == 0) {
        std::rewind(in);
        std::vector<char *> arguments;
        for (const std::string &argument : command)
            arguments.push_back(const_cast<char *>(argument.c_str()));
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fileno(in), STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        pid_t process;
        if (posix_spawnp(&process, arguments[0], &actions, nullptr, arguments.data(), environ) ==
            0) {
            while (waitpid(process, nullptr, 0) < 0 && errno == EINTR)
                continue;
            std::rewind(out);
            char part[4096];
            for (size_t length; (length = std::fread(part, 1, sizeof part, out)) > 0;)
                text.append(part, length);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    if (in != nullptr)
        std::fclose(in);
    if (out != nullptr)
        std::fclose(out);
    return text;
}

// The functions of which an ELF file has the names, as addresses in the file.
class NamedFunctions {
  public:
    explicit NamedFunctions(const std::string &path) : file_(path, std::ios::binary) {
        ElfW(Ehdr) header;
        if (!read(0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
            return;
        for (unsigned i = 0; i < header.e_shnum; i++) {
            ElfW(Shdr) section;
            if (!read(header.e_shoff + i * sizeof section, &section))
                return;
            if (section.sh_type != SHT_SYMTAB && section.sh_type != SHT_DYNSYM)
                continue;
            for (uint64_t at = 0; at + sizeof(ElfW(Sym)) <= section.sh_size;
                 at += sizeof(ElfW(Sym)))
                add(section.sh_offset + at);
        }
    }

    bool have(uint64_t address) const {
        const auto after = ends_.upper_bound(address);
        return after != ends_.begin() && address < std::prev(after)->second;
    }

  private:
    template <typename Value> bool read(uint64_t offset, Value *value) {
        file_.seekg(std::streamoff(offset));
        return bool(file_.read(reinterpret_cast<char *>(value), sizeof *value));
    }

    void add(uint64_t offset) {
        ElfW(Sym) symbol;
        if (!read(offset, &symbol) || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC)
            return;
        uint64_t &end = ends_[symbol.st_value];
        end = std::max<uint64_t>(end, symbol.st_value + symbol.st_size);
    }

    std::ifstream file_;
    std::map<uint64_t, uint64_t> ends_; // by start
};

std::string next_line(const std::string &text, size_t *at) {
    const size_t end = std::min(text.find('\n', *at), text.size());
    const std::string line = text.substr(*at, end - *at);
    *at = end + 1;
    return line;
}

} // namespace

int Symbols::module_of(const TraceReader &trace, uint64_t address) {
    const std::vector<TraceModule> &modules = trace.modules();
    // The latest first: a library may have been loaded where another one had been.
    for (size_t i = modules.size(); i-- > 0;)
        if (address - modules[i].start < modules[i].size)
            return int(i);
    return -1;
}

Symbols::Symbols(const TraceReader &trace, const std::vector<int64_t> &stacks) {
    std::map<int, std::set<uint64_t>> by_module;
    for (const int64_t number : stacks) {
        const std::vector<uint64_t> *stack = trace.stack(number);
        if (stack == nullptr)
            continue;
        for (const uint64_t address : *stack)
            by_module[module_of(trace, address)].insert(address);
    }
    for (const auto &[module, addresses] : by_module) {
        const std::vector<uint64_t> all(addresses.begin(), addresses.end());
        if (module >= 0) {
            look_up(trace.modules()[size_t(module)], all);
        } else {
            for (const uint64_t address : all)
                frames_[address] = {
                    {formatted("0x%llx", static_cast<unsigned long long>(address)), "", 0}};
        }
    }
}

// addr2line prints for each address: "0x…", then pairs of lines "function" and "file:line".
void Symbols::look_up(const TraceModule &module, const std::vector<uint64_t> &addresses) {
    const NamedFunctions named(module.path);
    std::string input;
    for (const uint64_t address : addresses)
        input += formatted("0x%llx\n", static_cast<unsigned long long>(in_file(module, address)));
    const std::string text =
        output_of({"addr2line", "-a", "-f", "-C", "-i", "-e", module.path}, input);
    size_t at = 0, index = 0;
    std::string line = next_line(text, &at);
    for (; index < addresses.size() && line.compare(0, 2, "0x") == 0; index++) {
        std::vector<Frame> &frames = frames_[addresses[index]];
        for (line = next_line(text, &at); !line.empty() && line.compare(0, 2, "0x") != 0;
             line = next_line(text, &at)) {
            const std::string place = next_line(text, &at);
            if (line == "??")
                continue;
            const size_t colon = place.rfind(':');
            Frame frame = {line, place.substr(0, colon), 0};
            if (frame.file == "??")
                frame.file.clear();
            else if (colon != std::string::npos)
                frame.line = unsigned(std::strtoul(place.c_str() + colon + 1, nullptr, 10));
            if (frame.line == 0 && !named.have(in_file(module, addresses[index])))
                frame.function = "~" + frame.function;
            frames.push_back(frame);
        }
    }
    for (const uint64_t address : addresses)
        if (frames_[address].empty())
            frames_[address] = {
                {base_name(module.path) + formatted("+0x%llx", static_cast<unsigned long long>(
                                                                   in_file(module, address))),
                 "", 0}};
}

const std::vector<Frame> &Symbols::at(uint64_t address) const {
    static const std::vector<Frame> unknown = {{"?", "", 0}};
    const auto found = frames_.find(address);
    return found == frames_.end() ? unknown : found->second;
}

} // namespace osmem
