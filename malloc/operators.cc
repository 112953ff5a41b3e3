/*
 * operators.cc - the replaceable operators new and delete of C++17, all twenty.
 *
 * They may serve a program in C, or one whose C++ runtime comes later by dlopen. So this object
 * needs no symbol of that runtime: what it uses of it are weak references, and where they are
 * absent when an allocation has failed, it asks the dynamic linker; without a runtime nobody can
 * catch, and the program ends with a message. (Were the runtime's language support missing at start
 * and a new-handler installed later throws, operator new(nothrow) lets that pass.)
 *
 * Sized delete ignores the size: os_free knows it, and programs that delete a derived object by a
 * base without virtual destructor are many.
 */
#include "malloc/late_runtime.h"

#include <cstddef>
#include <cstdlib>
#include <new>
#include <unistd.h>

/* As in utils/osmem.h, but noexcept: without that operator delete could not be one jump. */
extern "C" void *os_malloc(std::size_t size) noexcept;
extern "C" void *os_aligned_alloc(std::size_t alignment, std::size_t size) noexcept;
extern "C" void os_free(void *ptr) noexcept;

/* std::get_new_handler and what the runtime throws std::bad_alloc with. */
extern "C" [[gnu::weak]] std::new_handler get_new_handler() __asm__("_ZSt15get_new_handlerv");
extern "C" [[gnu::weak]] void throw_bad_alloc() __asm__("_ZSt17__throw_bad_allocv");

/* What the compiler itself refers to for try and catch. */
__asm__(".weak __gxx_personality_v0\n"
        ".weak __cxa_begin_catch\n"
        ".weak __cxa_end_catch\n"
        ".weak _Unwind_Resume\n");

namespace {

constexpr std::size_t DEFAULT_ALIGNMENT = 16;

inline std::size_t size_or_1(std::size_t size) { return size + (size == 0); }

inline bool likely(bool condition) { return __builtin_expect(condition, true); }

/* `linked` if there was a runtime at start, else the symbol of one that was loaded since. */
template <typename Function> Function *runtime_function(Function *linked, const char *symbol) {
    if (linked != nullptr || late_runtime_symbol == nullptr)
        return linked;
    return reinterpret_cast<Function *>(late_runtime_symbol(symbol));
}

[[noreturn]] void throw_or_die() {
    if (auto *thrower = runtime_function(throw_bad_alloc, "_ZSt17__throw_bad_allocv"))
        thrower();
    static const char line[] = "osmem: operator new: out of memory, and no C++ runtime to throw\n";
    ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
    static_cast<void>(written);
    std::abort();
}

/* Asks the new-handler for memory until there is some, or no handler: then nullptr. */
void *allocate_with_handler(std::size_t alignment, std::size_t size) {
    for (;;) {
        auto *getter = runtime_function(get_new_handler, "_ZSt15get_new_handlerv");
        std::new_handler handler = getter ? getter() : nullptr;
        if (handler == nullptr)
            return nullptr;
        handler();
        if (void *ptr = os_aligned_alloc(alignment, size_or_1(size)))
            return ptr;
    }
}

[[gnu::noinline, gnu::cold]] void *allocate_or_throw(std::size_t alignment, std::size_t size) {
    void *ptr = allocate_with_handler(alignment, size);
    if (ptr == nullptr)
        throw_or_die();
    return ptr;
}

[[gnu::noinline, gnu::cold]] void *allocate_or_null(std::size_t alignment,
                                                    std::size_t size) noexcept {
    try {
        return allocate_with_handler(alignment, size);
    } catch (...) {
        return nullptr;
    }
}

} // namespace

/* ---- new ------------------------------------------------------------------------------------- */

void *operator new(std::size_t size) {
    void *ptr = os_malloc(size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_throw(DEFAULT_ALIGNMENT, size);
}

void *operator new(std::size_t size, const std::nothrow_t &) noexcept {
    void *ptr = os_malloc(size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_null(DEFAULT_ALIGNMENT, size);
}

void *operator new(std::size_t size, std::align_val_t align) {
    auto alignment = static_cast<std::size_t>(align);
    void *ptr = os_aligned_alloc(alignment, size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_throw(alignment, size);
}

void *operator new(std::size_t size, std::align_val_t align, const std::nothrow_t &) noexcept {
    auto alignment = static_cast<std::size_t>(align);
    void *ptr = os_aligned_alloc(alignment, size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_null(alignment, size);
}

/* Arrays: the same functions under their other names. */
[[gnu::alias("_Znwm")]] void *operator new[](std::size_t);
[[gnu::alias("_ZnwmRKSt9nothrow_t")]] void *operator new[](std::size_t,
                                                           const std::nothrow_t &) noexcept;
[[gnu::alias("_ZnwmSt11align_val_t")]] void *operator new[](std::size_t, std::align_val_t);
[[gnu::alias("_ZnwmSt11align_val_tRKSt9nothrow_t")]] void *
operator new[](std::size_t, std::align_val_t, const std::nothrow_t &) noexcept;

/* ---- delete ---------------------------------------------------------------------------------- */

void operator delete(void *ptr) noexcept { os_free(ptr); }
void operator delete[](void *ptr) noexcept { os_free(ptr); }
void operator delete(void *ptr, const std::nothrow_t &) noexcept { os_free(ptr); }
void operator delete[](void *ptr, const std::nothrow_t &) noexcept { os_free(ptr); }
void operator delete(void *ptr, std::size_t) noexcept { os_free(ptr); }
void operator delete[](void *ptr, std::size_t) noexcept { os_free(ptr); }

void operator delete(void *ptr, std::align_val_t) noexcept { os_free(ptr); }
void operator delete[](void *ptr, std::align_val_t) noexcept { os_free(ptr); }
void operator delete(void *ptr, std::align_val_t, const std::nothrow_t &) noexcept { os_free(ptr); }
void operator delete[](void *ptr, std::align_val_t, const std::nothrow_t &) noexcept {
    os_free(ptr);
}
void operator delete(void *ptr, std::size_t, std::align_val_t) noexcept { os_free(ptr); }
void operator delete[](void *ptr, std::size_t, std::align_val_t) noexcept { os_free(ptr); }
