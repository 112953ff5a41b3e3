// A program in C++ that uses every form of new and delete, and allocates by the library: linked in
// some way that lets osmem serve it.
#include "served.h"

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

struct Small {
    uint64_t words[4];
};

struct alignas(256) Aligned {
    char bytes[300];
};

// Would abort for a block of another allocator.
template <typename Object> Object *check(Object *object) {
    CHECK(object != nullptr && os_malloc_usable_size(object) >= sizeof(Object));
    CHECK(reinterpret_cast<uintptr_t>(object) % alignof(Object) == 0);
    return object;
}

// By new-expressions, of which the compiler chooses the functions.
template <typename Object> void check_expressions() {
    delete check(new Object);
    delete check(new (std::nothrow) Object);
    delete[] check(new Object[3]);
    delete[] check(new (std::nothrow) Object[3]);
}

// By the twenty functions. Each pair of new and delete is one that may be used together.
void check_functions() {
    constexpr size_t SIZE = 1000;
    constexpr std::align_val_t ALIGN{512};
    const auto block = [](void *ptr) {
        CHECK(ptr != nullptr && os_malloc_usable_size(ptr) >= SIZE);
        return ptr;
    };
    ::operator delete(block(::operator new(SIZE)));
    ::operator delete(block(::operator new(SIZE)), SIZE);
    ::operator delete(block(::operator new(SIZE, std::nothrow)), std::nothrow);
    ::operator delete[](block(::operator new[](SIZE)));
    ::operator delete[](block(::operator new[](SIZE)), SIZE);
    ::operator delete[](block(::operator new[](SIZE, std::nothrow)), std::nothrow);
    ::operator delete(block(::operator new(SIZE, ALIGN)), ALIGN);
    ::operator delete(block(::operator new(SIZE, ALIGN)), SIZE, ALIGN);
    ::operator delete(block(::operator new(SIZE, ALIGN, std::nothrow)), ALIGN, std::nothrow);
    ::operator delete[](block(::operator new[](SIZE, ALIGN)), ALIGN);
    ::operator delete[](block(::operator new[](SIZE, ALIGN)), SIZE, ALIGN);
    ::operator delete[](block(::operator new[](SIZE, ALIGN, std::nothrow)), ALIGN, std::nothrow);
}

// The forms lead to one another, and to free. Volatile: the compiler sees that this is wrong.
void delete_twice() {
    void *volatile block = ::operator new(100);
    ::operator delete(block);
    ::operator delete(block);
}
void delete_array_twice() {
    void *volatile block = ::operator new[](100, std::align_val_t{64});
    ::operator delete[](block, 100, std::align_val_t{64});
    ::operator delete[](block, 100, std::align_val_t{64});
}

void check_out_of_memory() {
    volatile size_t impossible = SIZE_MAX / 2;
    CHECK(::operator new(impossible, std::nothrow) == nullptr);
    bool thrown = false;
    try {
        ::operator delete(::operator new(impossible));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown);
}

} // namespace

int main() {
    const size_t before = served_blocks();
    check_expressions<Small>();
    check_expressions<Aligned>();
    check_functions();
    {
        std::vector<std::unique_ptr<Aligned>> objects;
        for (int i = 0; i < 100; i++)
            objects.push_back(std::make_unique<Aligned>());
        // And the vector's own.
        CHECK(served_blocks() == before + 101);
        const std::string text(1000, 'x');
        CHECK(os_malloc_usable_size(const_cast<char *>(text.data())) > 1000);
    }
    CHECK(served_blocks() == before);
    check_dies(delete_twice, "osmem: free(): block 0x");
    check_dies(delete_array_twice, "osmem: free(): block 0x");
    check_out_of_memory();
    CHECK(os_heap_check() == 0);
    std::puts("served by osmem " OSMEM_VERSION);
    return 0;
}
