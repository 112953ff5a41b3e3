#include "test/core/disassembly.h"

#include <algorithm>
#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <initializer_list>
#include <link.h>
#include <unistd.h>
#include <vector>

namespace osmem {

namespace {

bool begins_with(const std::string &text, const std::string &start) {
    return text.compare(0, start.size(), start) == 0;
}

bool begins_with_any(const std::string &text, std::initializer_list<const char *> starts) {
    for (const char *start : starts) {
        if (begins_with(text, start))
            return true;
    }
    return false;
}

/* Whether it is `name`, with or without the letter for the operand's size. */
bool is_any(const std::string &mnemonic, std::initializer_list<const char *> names) {
    for (const std::string name : names) {
        if (mnemonic == name ||
            (mnemonic.size() == name.size() + 1 && begins_with(mnemonic, name) &&
             std::string("bwlq").find(mnemonic.back()) != std::string::npos))
            return true;
    }
    return false;
}

/* ---- reading objdump's output -------------------------------------------- */

/* How far the program lies behind the addresses in its file. The program itself comes first. */
uintptr_t load_bias() {
    uintptr_t bias = 0;
    dl_iterate_phdr(
        [](struct dl_phdr_info *info, size_t, void *found) {
            *static_cast<uintptr_t *>(found) = info->dlpi_addr;
            return 1;
        },
        &bias);
    return bias;
}

/* Not objdump's /proc/self/exe. */
std::string program_path() {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
    return length < 0 ? "" : std::string(path, static_cast<size_t>(length));
}

/* "0000000000001234 <os_malloc>:" begins a function, "    1234:\tret" is an instruction. */
class Reader {
  public:
    void read_line(const std::string &line) {
        uintptr_t address;
        int length = 0;
        if (sscanf(line.c_str(), " %" SCNxPTR "%n", &address, &length) != 1)
            return;
        std::string rest = line.substr(static_cast<size_t>(length));
        size_t end = rest.rfind(">:");
        if (begins_with(rest, " <") && end != std::string::npos)
            function = rest.substr(2, end - 2);
        else if (begins_with(rest, ":\t"))
            found[address + bias] = {function, rest.substr(2)};
    }

    std::map<uintptr_t, Instruction> found;

  private:
    uintptr_t bias = load_bias();
    std::string function;
};

std::map<uintptr_t, Instruction> read_all() {
    Reader reader;
    std::string command = "objdump -d -w --no-show-raw-insn '" + program_path() + "' 2>/dev/null";
    FILE *output = popen(command.c_str(), "r");
    if (output == nullptr)
        return {};
    std::string line;
    for (int c = getc(output); c != EOF; c = getc(output)) {
        if (c != '\n') {
            line += static_cast<char>(c);
        } else {
            reader.read_line(line);
            line.clear();
        }
    }
    return pclose(output) == 0 ? std::move(reader.found) : std::map<uintptr_t, Instruction>();
}

/* ---- operands ------------------------------------------------------------ */

struct Parts {
    std::string mnemonic;
    std::vector<std::string> operands;
};

/* Takes the next word off `text`. */
std::string next_word(std::string &text) {
    size_t begin = text.find_first_not_of(' ');
    if (begin == std::string::npos)
        begin = text.size();
    size_t end = std::min(text.find(' ', begin), text.size());
    std::string word = text.substr(begin, end - begin);
    text.erase(0, end);
    return word;
}

std::vector<std::string> split_operands(const std::string &text) {
    std::vector<std::string> operands;
    int depth = 0;
    for (char c : text) {
        if (isspace(static_cast<unsigned char>(c)))
            continue;
        if (operands.empty() || (c == ',' && depth == 0))
            operands.emplace_back();
        depth += (c == '(') - (c == ')');
        if (c != ',' || depth != 0)
            operands.back() += c;
    }
    return operands;
}

/* Without prefixes, and without objdump's comments: "# 1234 <symbol>", "1234 <symbol+0x12>". */
Parts parts_of(std::string text) {
    text.erase(std::min(text.find_first_of("#<"), text.size()));
    Parts parts;
    do
        parts.mnemonic = next_word(text);
    while (begins_with(parts.mnemonic, "rex") ||
           is_any(parts.mnemonic, {"lock", "rep", "repz", "repnz", "bnd", "notrack", "data16",
                                   "addr32", "cs", "ds", "es", "ss"}));
    parts.operands = split_operands(text);
    return parts;
}

bool is_jump_or_call(const std::string &mnemonic) {
    return mnemonic[0] == 'j' || is_any(mnemonic, {"call"});
}

/* "0x8(%rax)", "%fs:0x28", "*0x10(%rip)"; also a bare address unless it is where a jump goes. */
bool is_in_memory(const std::string &mnemonic, const std::string &operand) {
    if (operand.find('(') != std::string::npos || operand.find(':') != std::string::npos)
        return true;
    return !is_jump_or_call(mnemonic) && isdigit(static_cast<unsigned char>(operand[0]));
}

bool touches_nothing(const std::string &mnemonic) {
    return begins_with_any(mnemonic, {"lea", "nop", "prefetch", "endbr"});
}

/* The last operand is where the result goes, except for these, which have none or another. */
bool only_reads(const std::string &mnemonic) {
    return is_jump_or_call(mnemonic) ||
           is_any(mnemonic, {"cmp", "test", "bt", "push", "mul", "imul", "div", "idiv", "cmps"});
}

/* The result does not depend on what was there before. */
bool only_writes(const std::string &mnemonic) {
    return begins_with_any(mnemonic,
                           {"mov", "vmov", "set", "stos", "pextr", "vpextr", "vextract"}) ||
           is_any(mnemonic, {"pop"});
}

} // namespace

const std::map<uintptr_t, Instruction> &disassembly() {
    static const std::map<uintptr_t, Instruction> all = read_all();
    return all;
}

Accesses accesses_of(const std::string &text) {
    Parts parts = parts_of(text);
    Accesses accesses = {};
    accesses.stack = is_any(parts.mnemonic, {"push", "pop", "call", "ret", "leave"});
    if (touches_nothing(parts.mnemonic))
        return accesses;
    for (size_t i = 0; i < parts.operands.size(); i++) {
        if (!is_in_memory(parts.mnemonic, parts.operands[i]))
            continue;
        bool is_result = i + 1 == parts.operands.size() && !only_reads(parts.mnemonic);
        accesses.stores += is_result;
        accesses.loads += !is_result || !only_writes(parts.mnemonic);
    }
    return accesses;
}

} // namespace osmem
