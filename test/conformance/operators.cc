/* operators.cc - the rules of C++17 for operator new and delete, as the library defines them. */
#include "test/conformance/rule.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr std::size_t MIB = 1 << 20;

template <typename Call> bool throws_bad_alloc(Call call) {
    try {
        opaque_ptr(call());
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

std::align_val_t align(std::size_t alignment) { return static_cast<std::align_val_t>(alignment); }

/* The strictest alignment that an object of the size can have, but for over-aligned types. */
std::size_t alignment_of(std::size_t size) {
    std::size_t alignment = size & (~size + 1);
    return alignment < __STDCPP_DEFAULT_NEW_ALIGNMENT__ ? alignment
                                                        : __STDCPP_DEFAULT_NEW_ALIGNMENT__;
}

void new_aligns() {
    for (std::size_t size = 1; size <= 4096; size++) {
        void *one = operator new(size), *many = operator new[](size);
        void *quiet = operator new(size, std::nothrow);
        for (void *ptr : {one, many, quiet}) {
            CHECK(ptr != nullptr && is_aligned(ptr, alignment_of(size)));
            fill(ptr, size, 1);
        }
        operator delete(one);
        operator delete[](many);
        operator delete(quiet, std::nothrow);
    }
}

void new_of_zero() {
    std::set<void *> blocks;
    for (int i = 0; i < 100; i++) {
        blocks.insert(operator new(opaque(0)));
        blocks.insert(operator new(opaque(0), std::nothrow));
    }
    CHECK(blocks.size() == 200 && blocks.count(nullptr) == 0);
    for (void *ptr : blocks)
        operator delete(ptr);
}

void new_throws() {
    for (const std::size_t *size = impossible_sizes; *size != 0; size++) {
        CHECK(throws_bad_alloc([=] { return operator new(opaque(*size)); }));
        CHECK(throws_bad_alloc([=] { return operator new[](opaque(*size)); }));
        CHECK(throws_bad_alloc([=] { return operator new(opaque(*size), align(64)); }));
        CHECK(throws_bad_alloc([=] { return operator new[](opaque(*size), align(4096)); }));
    }
}

void nothrow_new_returns_null() {
    for (const std::size_t *size = impossible_sizes; *size != 0; size++) {
        CHECK(operator new(opaque(*size), std::nothrow) == nullptr);
        CHECK(operator new[](opaque(*size), std::nothrow) == nullptr);
        CHECK(operator new(opaque(*size), align(64), std::nothrow) == nullptr);
        CHECK(operator new[](opaque(*size), align(64), std::nothrow) == nullptr);
    }
}

void aligned_new_aligns() {
    for (std::size_t alignment = 1; alignment <= 64 * MIB; alignment *= 2) {
        for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100}, alignment}) {
            void *blocks[] = {operator new(size, align(alignment)),
                              operator new[](size, align(alignment)),
                              operator new(size, align(alignment), std::nothrow),
                              operator new[](size, align(alignment), std::nothrow)};
            for (void *ptr : blocks)
                if (CHECK(ptr != nullptr && is_aligned(ptr, alignment)) && size != 0)
                    static_cast<char *>(ptr)[0] = static_cast<char *>(ptr)[size - 1] = 1;
            operator delete(blocks[0], align(alignment));
            operator delete[](blocks[1], size, align(alignment));
            operator delete(blocks[2], align(alignment), std::nothrow);
            operator delete[](blocks[3], align(alignment), std::nothrow);
        }
    }
}

void delete_of_null() {
    auto none = [] { return opaque_ptr(nullptr); };
    operator delete(none());
    operator delete[](none());
    operator delete(none(), std::nothrow);
    operator delete[](none(), std::nothrow);
    operator delete (none(), std::size_t{8});
    operator delete[](none(), std::size_t{8});
    operator delete(none(), align(64));
    operator delete[](none(), align(64));
    operator delete(none(), align(64), std::nothrow);
    operator delete[](none(), align(64), std::nothrow);
    operator delete (none(), std::size_t{8}, align(64));
    operator delete[](none(), std::size_t{8}, align(64));
}

void sized_delete() {
    for (const std::size_t *size = sizes; *size != 0; size++) {
        operator delete(operator new(*size), *size);
        operator delete[](operator new[](*size), *size);
        operator delete(operator new(*size, align(128)), *size, align(128));
    }
}

struct alignas(256) Wide {
    char bytes[300];
};

struct Counted {
    static int alive;
    Counted() {
        if (alive == 5)
            throw 5;
        alive++;
    }
    ~Counted() { alive--; }
    std::string text = std::string(100, 'x');
};
int Counted::alive = 0;

void new_expressions() {
    auto *wide = new Wide, *wides = new Wide[7];
    CHECK(is_aligned(wide, 256) && is_aligned(wides, 256));
    delete wide;
    delete[] wides;
    bool thrown = false;
    try {
        delete[] new Counted[10];
    } catch (int) {
        thrown = true;
    }
    CHECK(thrown && Counted::alive == 0);
    CHECK(throws_bad_alloc([] { return new int[opaque(SIZE_MAX / 2)]; }));
}

int handled;

void count_to_three() {
    if (++handled == 3)
        std::set_new_handler(nullptr);
}

void handler_until_there_is_none() {
    for (int form = 0; form < 4; form++) {
        handled = 0;
        std::set_new_handler(count_to_three);
        std::size_t size = opaque(SIZE_MAX / 2 + 1);
        if (form == 0)
            CHECK(throws_bad_alloc([=] { return operator new(size); }));
        else if (form == 1)
            CHECK(throws_bad_alloc([=] { return operator new[](size); }));
        else if (form == 2)
            CHECK(throws_bad_alloc([=] { return operator new(size, align(64)); }));
        else
            CHECK(operator new(size, std::nothrow) == nullptr);
        CHECK(handled == 3);
    }
}

void throw_bad_alloc() { throw std::bad_alloc(); }

void handler_that_throws() {
    std::set_new_handler(throw_bad_alloc);
    std::size_t size = opaque(SIZE_MAX);
    CHECK(throws_bad_alloc([=] { return operator new(size); }));
    CHECK(throws_bad_alloc([=] { return operator new(size, align(64)); }));
    CHECK(operator new(size, std::nothrow) == nullptr);
    CHECK(operator new[](size, std::nothrow) == nullptr);
    CHECK(operator new(size, align(64), std::nothrow) == nullptr);
}

void containers() {
    std::vector<std::string> strings;
    for (int i = 0; i < 10000; i++)
        strings.push_back(std::string(static_cast<std::size_t>(i % 100), 'a'));
    std::set<std::string> different(strings.begin(), strings.end());
    CHECK(different.size() == 100);
}

#define WRAPS "libstdc++ 12 rounds the size of an aligned block up, to 0"

const rule operator_rules[] = {
    {"C++17 [new.delete.single] p1", "new: aligned for every type of the size", new_aligns,
     nullptr},
    {"C++17 [basic.stc.dynamic.allocation] p2", "new of 0: blocks of their own", new_of_zero,
     nullptr},
    {"C++17 [new.delete.single] p3", "new of PTRDIFF_MAX + 1 to SIZE_MAX throws bad_alloc",
     new_throws, WRAPS},
    {"C++17 [new.delete.single] p7", "new(nothrow) of the same returns nullptr",
     nothrow_new_returns_null, WRAPS},
    {"C++17 [new.delete.single] p1", "new(align_val_t): every power of two to 64 MiB",
     aligned_new_aligns,
     "C++17 [basic.align] p3 leaves to the implementation which ones it supports"},
    {"C++17 [new.delete.single] p13", "delete of nullptr does nothing, in all its forms",
     delete_of_null, nullptr},
    {"C++17 [new.delete.single] p10", "sized delete frees", sized_delete, nullptr},
    {"C++17 [expr.new] p14, p23", "new expressions: alignment, exceptions, too many elements",
     new_expressions, nullptr},
    {"C++17 [new.delete.single] p4", "the new-handler is called until there is none",
     handler_until_there_is_none, nullptr},
    {"C++17 [new.handler] p2", "a new-handler that throws ends new", handler_that_throws, WRAPS},
    {"C++17 [allocator.members]", "containers", containers, nullptr},
    {nullptr, nullptr, nullptr, nullptr},
};

} // namespace

int main(int argc, char **argv) {
    const rule *const tables[] = {operator_rules, nullptr};
    return rules_main(argc, argv, tables);
}
