/*
 * operators.cc - the replaceable operators new and delete of C++17, all twenty.
 *
 * They may serve a program in C, or one whose C++ runtime comes later by dlopen. So this object
 * needs no symbol of that runtime: what it uses of it are weak references, and where they are
 * absent when an allocation has failed, it asks the dynamic linker; without a runtime nobody can
 * catch, and the program ends with a message. (Were the runtime's language support missing at start
 * and a new-handler installed later throws, operator new(nothrow) lets that pass.)
 *
 * They are weak, so that a program may replace them one by one. As the standard wants it, all other
 * forms then lead to what the program has replaced: they call the plain ones by name. Only nothrow
 * new goes its own way, without an exception, while the plain new is the one defined here.
 *
 * Compiled with a sanitizer that has an allocator, there is nothing here: that one serves.
 *
 * Sized delete ignores the size: os_free knows it, and programs that delete a derived object by a
 * base without virtual destructor are many.
 */
#include "malloc/late_runtime.h"
#include "utils/sanitizer.h"

#include <cstddef>
#include <cstdlib>
#include <new>
#include <unistd.h>

#if !SANITIZER_ALLOCATES

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

#define REPLACEABLE [[gnu::weak]]

REPLACEABLE void *operator new(std::size_t size) {
    void *ptr = os_malloc(size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_throw(DEFAULT_ALIGNMENT, size);
}

REPLACEABLE void *operator new(std::size_t size, std::align_val_t align) {
    auto alignment = static_cast<std::size_t>(align);
    void *ptr = os_aligned_alloc(alignment, size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_throw(alignment, size);
}

REPLACEABLE void *operator new[](std::size_t size) { return operator new(size); }
REPLACEABLE void *operator new[](std::size_t size, std::align_val_t align) {
    return operator new(size, align);
}

/* The four above, as they are defined here. */
extern "C" [[gnu::alias("_Znwm"), gnu::visibility("hidden")]] void *own_new(std::size_t size);
extern "C" [[gnu::alias("_ZnwmSt11align_val_t"), gnu::visibility("hidden")]] void *
own_aligned_new(std::size_t size, std::align_val_t align);
extern "C" [[gnu::alias("_Znam"), gnu::visibility("hidden")]] void *own_array_new(std::size_t size);
extern "C" [[gnu::alias("_ZnamSt11align_val_t"), gnu::visibility("hidden")]] void *
own_aligned_array_new(std::size_t size, std::align_val_t align);

namespace {

/* The compiler takes an alias to be what it was declared to be. */
template <typename Function> inline bool is_replaced(Function *current, Function *own) {
    __asm__("" : "+r"(current));
    return current != own;
}

template <typename Call> void *null_if_thrown(Call call) noexcept {
    try {
        return call();
    } catch (...) {
        return nullptr;
    }
}

} // namespace

REPLACEABLE void *operator new(std::size_t size, const std::nothrow_t &) noexcept {
    if (is_replaced<void *(std::size_t)>(operator new, own_new))
        return null_if_thrown([=] { return operator new(size); });
    void *ptr = os_malloc(size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_null(DEFAULT_ALIGNMENT, size);
}

REPLACEABLE void *operator new(std::size_t size, std::align_val_t align,
                               const std::nothrow_t &) noexcept {
    if (is_replaced<void *(std::size_t, std::align_val_t)>(operator new, own_aligned_new))
        return null_if_thrown([=] { return operator new(size, align); });
    auto alignment = static_cast<std::size_t>(align);
    void *ptr = os_aligned_alloc(alignment, size_or_1(size));
    return likely(ptr != nullptr) ? ptr : allocate_or_null(alignment, size);
}

REPLACEABLE void *operator new[](std::size_t size, const std::nothrow_t &tag) noexcept {
    if (is_replaced<void *(std::size_t)>(operator new[], own_array_new))
        return null_if_thrown([=] { return operator new[](size); });
    return operator new(size, tag);
}
REPLACEABLE void *operator new[](std::size_t size, std::align_val_t align,
                                 const std::nothrow_t &tag) noexcept {
    if (is_replaced<void *(std::size_t, std::align_val_t)>(operator new[], own_aligned_array_new))
        return null_if_thrown([=] { return operator new[](size, align); });
    return operator new(size, align, tag);
}

/* ---- delete ---------------------------------------------------------------------------------- */

REPLACEABLE void operator delete(void *ptr) noexcept { os_free(ptr); }
REPLACEABLE void operator delete(void *ptr, std::size_t) noexcept { operator delete(ptr); }
REPLACEABLE void operator delete(void *ptr, const std::nothrow_t &) noexcept {
    operator delete(ptr);
}

REPLACEABLE void operator delete[](void *ptr) noexcept { operator delete(ptr); }
REPLACEABLE void operator delete[](void *ptr, std::size_t) noexcept { operator delete[](ptr); }
REPLACEABLE void operator delete[](void *ptr, const std::nothrow_t &) noexcept {
    operator delete[](ptr);
}

REPLACEABLE void operator delete(void *ptr, std::align_val_t) noexcept { os_free(ptr); }
REPLACEABLE void operator delete(void *ptr, std::size_t, std::align_val_t align) noexcept {
    operator delete(ptr, align);
}
REPLACEABLE void operator delete(void *ptr, std::align_val_t align,
                                 const std::nothrow_t &) noexcept {
    operator delete(ptr, align);
}

REPLACEABLE void operator delete[](void *ptr, std::align_val_t align) noexcept {
    operator delete(ptr, align);
}
REPLACEABLE void operator delete[](void *ptr, std::size_t, std::align_val_t align) noexcept {
    operator delete[](ptr, align);
}
REPLACEABLE void operator delete[](void *ptr, std::align_val_t align,
                                   const std::nothrow_t &) noexcept {
    operator delete[](ptr, align);
}

#endif
