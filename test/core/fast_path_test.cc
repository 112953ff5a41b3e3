/*
 * What the fast paths cost, instruction by instruction: a golden table, so that neither a change of
 * the code nor one of the compiler's options makes them longer unnoticed.
 *
 * To write down new figures, copy the table that the suite prints when it fails, or by
 *     ./bazelw test //test/core:fast_path_test --test_env=OSMEM_PRINT_TABLE=1 --test_output=all
 */
#include "test/core/disassembly.h"
#include "test/core/internal.h"
#include "test/core/steps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace osmem {
namespace {

/*
 * From the function's first instruction to its return. `stack` is what push, pop, call and ret do
 * there by themselves; the accesses to the stack by other instructions are loads and stores.
 */
struct Cost {
    size_t instructions, loads, stores, stack;
};

/* Each of a block that lies in its quick set, or goes there. REALLOC: to the size that it has. */
enum Operation { MALLOC, FREE, CALLOC, REALLOC };

struct Row {
    Operation operation;
    size_t size;
    Cost most;
};

/* The most that is allowed, in an optimised build by GCC 12 for x86-64; lines as printed. */
// clang-format off
constexpr Row TABLE[] = {
    {MALLOC, 16, {32, 6, 3, 1}},
    {FREE, 16, {63, 9, 4, 1}},
    {MALLOC, 32, {32, 6, 3, 1}},
    {FREE, 32, {63, 9, 4, 1}},
    {MALLOC, 100, {32, 6, 3, 1}},
    {FREE, 100, {63, 9, 4, 1}},
    {MALLOC, 1024, {32, 6, 3, 1}},
    {FREE, 1024, {63, 9, 4, 1}},
    {MALLOC, 4096, {32, 6, 3, 1}},
    {FREE, 4096, {70, 11, 4, 3}},
    {CALLOC, 32, {41, 6, 3, 2}},
    {REALLOC, 100, {115, 10, 0, 19}},
};
// clang-format on

constexpr bool IS_BUILD_OF_TABLE =
#if defined(__x86_64__) && __GNUC__ == 12 && !defined(__clang__) && defined(__OPTIMIZE__) &&       \
    defined(NDEBUG) && !defined(__SSE3__) && !defined(__CET__)
    STEPS_WORK && !OSMEM_PARANOID;
#else
    false;
#endif

/* ---- the functions ------------------------------------------------------- */

struct Function {
    const char *row, *name;
    uintptr_t entry;
    std::vector<std::string> parts; /* what else belongs to the fast path, where not inlined */
};

template <typename Pointer> uintptr_t address_of(Pointer *function) {
    return reinterpret_cast<uintptr_t>(function);
}

const Function &function_of(Operation operation) {
    static const Function functions[] = {
        {"MALLOC", "os_malloc", address_of(os_malloc), {}},
        {"FREE", "os_free", address_of(os_free), {"tags_size_beyond"}},
        {"CALLOC", "os_calloc", address_of(os_calloc), {}},
        {"REALLOC",
         "os_realloc",
         address_of(os_realloc),
         {"region_owner", "owner_slot", "heap_block_size", "is_in_use", "thread_freed_remotely",
          "heap_realloc", "resize"}},
    };
    return functions[operation];
}

/* GCC calls what it made of a function "name.isra.0" and so on; "name.cold" is never fast. */
bool belongs_to(const Function &function, const std::string &symbol) {
    if (symbol.find(".cold") != std::string::npos)
        return false;
    std::string name = symbol.substr(0, symbol.find('.'));
    return name == function.name ||
           std::find(function.parts.begin(), function.parts.end(), name) != function.parts.end();
}

/* ---- what is executed ---------------------------------------------------- */

using Path = std::vector<uintptr_t>;

/* The call is followed by something in each case, so that it is none. */
void perform(const Row &row, void *&block) {
    switch (row.operation) {
    case MALLOC:
        block = os_malloc(row.size);
        break;
    case FREE:
        os_free(block);
        block = nullptr;
        break;
    case CALLOC:
        block = os_calloc(1, row.size);
        break;
    case REALLOC:
        block = os_realloc(block, row.size);
        break;
    }
}

/* A block of that size, with at least one more in the quick set and room for another. */
void *warmed_up(size_t size) {
    void *block = nullptr;
    for (int round = 0; round < 4; round++) {
        os_free(block);
        void *pair[] = {os_malloc(size), os_malloc(size)};
        os_free(pair[0]);
        os_free(pair[1]);
        block = os_malloc(size);
    }
    return block;
}

/* The addresses of all instructions of the operation and of what calls it here. */
Path path_of(const Row &row) {
    void *block = warmed_up(row.size);
    if (row.operation == MALLOC || row.operation == CALLOC)
        os_free(block);
    Path path;
    path.reserve(10000);
    step_self([&] { perform(row, block); },
              [&] {
                  path.push_back(stepped_address());
                  return true;
              });
    os_free(block);
    return path;
}

/* Where the processor, or what stands in for it, does not stop at each instruction. */
bool can_step() {
    return step_self([] {}, [] { return true; }) > 0;
}

/* ---- what it costs ------------------------------------------------------- */

void add(Cost &cost, const std::string &text) {
    Accesses accesses = accesses_of(text);
    cost.instructions++;
    cost.loads += accesses.loads;
    cost.stores += accesses.stores;
    cost.stack += accesses.stack;
}

/* The instruction behind the call, from which `entry` was reached. Fails if not straight. */
uintptr_t return_address(Path::const_iterator entry, const Function &function) {
    auto call = disassembly().find(entry[-1]);
    if (call == disassembly().end() || call->second.text.rfind("call", 0) != 0 ||
        call->second.text.find("<" + std::string(function.name) + ">") == std::string::npos) {
        ADD_FAILURE() << function.name << " is not called straight";
        return 0;
    }
    return std::next(call)->first;
}

/*
 * The cost of a path; 0 when it fails. The C library's memset, which os_calloc ends with, is
 * another one for each processor: neither it nor the jump to it is counted. Anything else outside
 * the fast path fails.
 */
Cost cost_of(const Path &path, const Function &function) {
    Cost cost = {};
    auto entry = std::find(path.begin(), path.end(), function.entry);
    if (entry == path.begin() || entry == path.end()) {
        ADD_FAILURE() << function.name << " is not executed";
        return cost;
    }
    uintptr_t end = return_address(entry, function);
    bool is_in_memset = false;
    for (; entry != path.end() && *entry != end; ++entry) {
        auto found = disassembly().find(*entry);
        if (found == disassembly().end() && is_in_memset)
            continue;
        std::string symbol = found == disassembly().end() ? "?" : found->second.function;
        is_in_memset = symbol == "memset@plt" && function.entry == address_of(os_calloc);
        if (is_in_memset)
            continue;
        if (!belongs_to(function, symbol)) {
            ADD_FAILURE() << function.name << " leaves the fast path for " << symbol;
            return {};
        }
        add(cost, found->second.text);
    }
    return cost;
}

/* ---- the table ----------------------------------------------------------- */

/* What was not measured must not be copied. */
void print_row(const Row &row, const Cost &cost) {
    std::cout << (cost.instructions == 0 ? "    // not measured: {" : "    {")
              << function_of(row.operation).row << ", " << row.size << ", {" << cost.instructions
              << ", " << cost.loads << ", " << cost.stores << ", " << cost.stack << "}},\n";
}

void compare(const char *what, size_t measured, size_t most) {
    EXPECT_LE(measured, most) << "more " << what << " than the table allows";
    EXPECT_GE(measured * 10, most * 9) << measured << " " << what << " where the table has " << most
                                       << ": please write the improvement down";
}

void compare(const Row &row, const Cost &cost) {
    SCOPED_TRACE(std::string(function_of(row.operation).name) + " with " +
                 std::to_string(row.size) + " bytes");
    compare("instructions", cost.instructions, row.most.instructions);
    compare("loads", cost.loads, row.most.loads);
    compare("stores", cost.stores, row.most.stores);
    compare("accesses to the stack", cost.stack, row.most.stack);
}

TEST(FastPath, CostsWhatTheTableSays) {
    if (!IS_BUILD_OF_TABLE)
        GTEST_SKIP() << "the table is that of optimised builds by GCC 12 for x86-64";
    if (!can_step())
        GTEST_SKIP() << "this machine does not stop at each instruction";
    if (disassembly().empty())
        GTEST_SKIP() << "objdump of binutils is not there, or cannot read this program";
    std::vector<Cost> costs;
    for (const Row &row : TABLE) {
        costs.push_back(cost_of(path_of(row), function_of(row.operation)));
        if (costs.back().instructions != 0)
            compare(row, costs.back());
    }
    if (!HasFailure() && getenv("OSMEM_PRINT_TABLE") == nullptr)
        return;
    std::cout << "constexpr Row TABLE[] = {\n";
    for (size_t i = 0; i < costs.size(); i++)
        print_row(TABLE[i], costs[i]);
    std::cout << "};\n";
}

/* ---- the figures that it is made of -------------------------------------- */

TEST(Accesses, AreThoseOfTheOperands) {
    const struct {
        const char *text;
        size_t loads, stores, stack;
    } expected[] = {
        {"lea    0xa48(%rcx,%rdx,1),%rcx", 0, 0, 0},
        {"nopw   0x0(%rax,%rax,1)", 0, 0, 0},
        {"data16 cs nopw 0x0(%rax,%rax,1)", 0, 0, 0},
        {"xchg   %ax,%ax", 0, 0, 0},
        {"btr    %rsi,%rdx", 0, 0, 0},
        {"jmp    1234 <os_malloc+0x12>", 0, 0, 0},
        {"mov    0x2fe1(%rip),%rax        # 4010 <region_near>", 1, 0, 0},
        {"mov    %fs:0xfffffffffffffff8,%rax", 1, 0, 0},
        {"cmp    %r12,%fs:(%rax)", 1, 0, 0},
        {"cmpb   $0x0,0x0(%rip)", 1, 0, 0},
        {"cmpxchg %rcx,(%rdx)", 1, 1, 0},
        {"movzbl (%rax,%rdx,1),%eax", 1, 0, 0},
        {"cmovne 0x8(%rax),%rdx", 1, 0, 0},
        {"shrx   %rax,(%rdi),%rcx", 1, 0, 0},
        {"imul   $0x5,0x8(%rax),%rdx", 1, 0, 0},
        {"jmp    *0x2fca(%rip)        # 4018 <memset@GLIBC_2.2.5>", 1, 0, 0},
        {"mov    %edx,0x4(%rcx)", 0, 1, 0},
        {"movq   $0x0,(%rax)", 0, 1, 0},
        {"movups %xmm0,0x10(%rdi)", 0, 1, 0},
        {"sete   (%rdi)", 0, 1, 0},
        {"rep stos %al,%es:(%rdi)", 0, 1, 0},
        {"addl   $0x1,(%rcx)", 1, 1, 0},
        {"lock xadd %rax,(%rdx)", 1, 1, 0},
        {"btrq   $0x3,0x8(%rdx)", 1, 1, 0},
        {"notl   (%rdi)", 1, 1, 0},
        {"push   %rbx", 0, 0, 1},
        {"pop    %rbx", 0, 0, 1},
        {"ret", 0, 0, 1},
        {"call   1234 <region_owner>", 0, 0, 1},
        {"call   *0x8(%rax)", 1, 0, 1},
        {"push   0x8(%rax)", 1, 0, 1},
    };
    for (const auto &row : expected) {
        Accesses accesses = accesses_of(row.text);
        EXPECT_EQ(accesses.loads, row.loads) << row.text;
        EXPECT_EQ(accesses.stores, row.stores) << row.text;
        EXPECT_EQ(accesses.stack, row.stack) << row.text;
    }
}

} // namespace
} // namespace osmem
