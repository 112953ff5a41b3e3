/*
 * Names for the addresses in a trace's stacks, by addr2line(1) of the binutils: function, file and
 * line where the program has debug information, without it the symbol. In a stripped program that
 * is the nearest exported one before the address, often another function than the true one: if the
 * address is not in it, a ~ stands before the name. Where addr2line is missing, or knows nothing,
 * the module and the offset in it.
 */
#ifndef OSMEM_TOOLS_REPORT_SYMBOLS_H
#define OSMEM_TOOLS_REPORT_SYMBOLS_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/trace/reader.h"

namespace osmem {

struct Frame {
    std::string function; // demangled
    std::string file;     // "" if not known
    unsigned line = 0;
};

class Symbols {
  public:
    // Of all stacks with these numbers.
    Symbols(const TraceReader &trace, const std::vector<int64_t> &stacks);

    // What is at a return address, inlined functions first, then the one that they are in.
    const std::vector<Frame> &at(uint64_t address) const;
    // Index in the trace's modules, -1 if it is in none.
    static int module_of(const TraceReader &trace, uint64_t address);

  private:
    void look_up(const TraceModule &module, const std::vector<uint64_t> &addresses);

    std::map<uint64_t, std::vector<Frame>> frames_;
};

} // namespace osmem

#endif
