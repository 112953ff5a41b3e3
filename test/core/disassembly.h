/*
 * disassembly.h - the machine code of the running program, as objdump (binutils) shows it, and what
 * its instructions do to memory.
 */
#ifndef OSMEM_TEST_CORE_DISASSEMBLY_H
#define OSMEM_TEST_CORE_DISASSEMBLY_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace osmem {

struct Instruction {
    std::string function; /* the symbol before it, "os_malloc", "os_free.cold", "memset@plt" */
    std::string text;     /* x86-64 in AT&T syntax: "mov    0x4(%rcx),%eax" */
};

/*
 * The program's instructions by the addresses that they have now, without those of shared objects.
 * Empty where there is no objdump. Read once.
 */
const std::map<uintptr_t, Instruction> &disassembly();

/*
 * Operands in memory: reading and changing one is a load and a store, lea, nop and prefetch are
 * neither. What push, pop, call and ret do to the stack by themselves is counted apart.
 */
struct Accesses {
    size_t loads, stores, stack;
};
Accesses accesses_of(const std::string &text);

} // namespace osmem

#endif
