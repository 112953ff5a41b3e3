/*
 * replaced.cc - the rules of C++17 for a program that replaces operator new and operator delete,
 * those without any further argument alone: all other forms then lead to these.
 *
 * The replacements serve from an arena of their own, so that a block which reaches another
 * allocator's free is one that this allocator never gave.
 */
#include "test/conformance/rule.h"

#include <cstdlib>
#include <new>

namespace {

alignas(64) char arena[1 << 20];
std::size_t used;
int news, deletes;

bool is_ours(const void *ptr) { return ptr >= arena && ptr < arena + sizeof arena; }

} // namespace

void *operator new(std::size_t size) {
    std::size_t room = (size + 15) / 16 * 16 + 16;
    if (room > sizeof arena - used)
        throw std::bad_alloc();
    news++;
    used += room;
    return arena + used - room;
}

void operator delete(void *ptr) noexcept { deletes += is_ours(ptr); }

namespace {

void single() {
    news = deletes = 0;
    auto *number = static_cast<int *>(opaque_ptr(new int));
    CHECK(is_ours(number) && news == 1);
    operator delete(number);
    CHECK(deletes == 1);
}

void sized() {
    deletes = 0;
    operator delete (operator new(10), std::size_t{10});
    CHECK(deletes == 1);
}

void array() {
    news = deletes = 0;
    void *ptr = opaque_ptr(operator new[](10));
    CHECK(is_ours(ptr) && news == 1);
    operator delete[](ptr);
    CHECK(deletes == 1);
}

void sized_array() {
    deletes = 0;
    operator delete[](opaque_ptr(operator new[](10)), std::size_t{10});
    CHECK(deletes == 1);
}

void nothrow() {
    news = deletes = 0;
    void *ptr = operator new(10, std::nothrow), *many = operator new[](10, std::nothrow);
    CHECK(is_ours(ptr) && is_ours(many) && news == 2);
    operator delete(ptr, std::nothrow);
    operator delete[](many, std::nothrow);
    CHECK(deletes == 2);
    CHECK(operator new(sizeof arena, std::nothrow) == nullptr);
}

/* Not led to the others: they stay the library's. */
void aligned() {
    news = deletes = 0;
    void *ptr = operator new(100, static_cast<std::align_val_t>(64));
    CHECK(ptr != nullptr && is_aligned(ptr, 64) && news == 0);
    operator delete(ptr, static_cast<std::align_val_t>(64));
    CHECK(deletes == 0);
}

const rule replaced_rules[] = {
    {"C++17 [replacement.functions] p2", "the program's new and delete are called", single,
     nullptr},
    {"C++17 [new.delete.single] p15", "sized delete calls the program's delete", sized, nullptr},
    {"C++17 [new.delete.array] p4, p12", "new[] and delete[] call the program's", array, nullptr},
    {"C++17 [new.delete.array] p12", "sized delete[] calls the program's delete", sized_array,
     nullptr},
    {"C++17 [new.delete.single] p8", "the nothrow forms call the program's", nothrow, nullptr},
    {"C++17 [new.delete.single] p4", "the aligned forms stay the library's", aligned, nullptr},
    {nullptr, nullptr, nullptr, nullptr},
};

} // namespace

int main(int argc, char **argv) {
    const rule *const tables[] = {replaced_rules, nullptr};
    return rules_main(argc, argv, tables);
}
