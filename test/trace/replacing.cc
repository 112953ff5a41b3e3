/*
 * Replaces operator new and delete, those without any further argument alone: whichever form is
 * used leads to these, and each block is one of malloc, 5000 bytes larger than was asked for.
 */
#include <cstdlib>
#include <new>

void *operator new(std::size_t size) {
    void *ptr = std::malloc(size + 5000);
    if (ptr == nullptr)
        throw std::bad_alloc();
    return ptr;
}

void operator delete(void *ptr) noexcept { std::free(ptr); }

namespace {

void *volatile seen; /* the compiler must not know that nobody looks at the blocks */

void *see(void *ptr) { return seen = ptr; }

} // namespace

int main() {
    operator delete(see(operator new(1)));
    operator delete (see(operator new(2)), std::size_t{2});
    operator delete[](see(operator new[](3)));
    operator delete[](see(operator new[](4)), std::size_t{4});
    operator delete(see(operator new(5, std::nothrow)), std::nothrow);
    operator delete[](see(operator new[](6, std::nothrow)), std::nothrow);
    /* Not led to the others. */
    operator delete (see(operator new (8000, std::align_val_t{64})), std::align_val_t{64});
}
