/*
 * The functions that code compiled with -fsanitize=thread calls, and those that stand for the C
 * library and the allocator's lowest layer (BUILD).
 */
#include "test/schedules/machine.h"

#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

using namespace osmem::schedules;

#define CODE reinterpret_cast<uintptr_t>(__builtin_return_address(0))

extern "C" {

/* ---- plain accesses ---------------------------------------------------------------------------
 */

#define ACCESS(size)                                                                               \
    void __tsan_read##size(void *ptr) { plain_access(ptr, size, false, CODE); }                    \
    void __tsan_write##size(void *ptr) { plain_access(ptr, size, true, CODE); }                    \
    void __tsan_unaligned_read##size(void *ptr) { plain_access(ptr, size, false, CODE); }          \
    void __tsan_unaligned_write##size(void *ptr) { plain_access(ptr, size, true, CODE); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_read_range(void *ptr, size_t size) { plain_access(ptr, size, false, CODE); }
void __tsan_write_range(void *ptr, size_t size) { plain_access(ptr, size, true, CODE); }
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}

void *explored_memset(void *ptr, int byte, size_t size) {
    plain_access(ptr, size, true, CODE);
    return memset(ptr, byte, size);
}

/* ---- atomic operations ------------------------------------------------------------------------
 */

#define UPDATE(bits, name, result)                                                                 \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile void *ptr, uint##bits##_t operand,        \
                                                int order) {                                       \
        return static_cast<uint##bits##_t>(atomic_update(                                          \
            const_cast<void *>(ptr), bits / 8,                                                     \
            [=](uint64_t value) -> uint64_t {                                                      \
                (void)value;                                                                       \
                return static_cast<uint##bits##_t>(result);                                        \
            },                                                                                     \
            order, CODE));                                                                         \
    }

#define REPLACE(bits, strength)                                                                    \
    int __tsan_atomic##bits##_compare_exchange_##strength(                                         \
        volatile void *ptr, uint##bits##_t *expected, uint##bits##_t value, int order,             \
        int failure) {                                                                             \
        uint64_t before = *expected;                                                               \
        bool done = atomic_replace(const_cast<void *>(ptr), bits / 8, &before, value,              \
                                   strcmp(#strength, "weak") == 0, order, failure, CODE);          \
        *expected = static_cast<uint##bits##_t>(before);                                           \
        return done;                                                                               \
    }

#define ATOMIC(bits)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *ptr, int order) {               \
        return static_cast<uint##bits##_t>(                                                        \
            atomic_load(const_cast<const void *>(ptr), bits / 8, order, CODE));                    \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile void *ptr, uint##bits##_t value, int order) {        \
        atomic_store(const_cast<void *>(ptr), bits / 8, value, order, CODE);                       \
    }                                                                                              \
    UPDATE(bits, exchange, operand)                                                                \
    UPDATE(bits, fetch_add, value + operand)                                                       \
    UPDATE(bits, fetch_sub, value - operand)                                                       \
    UPDATE(bits, fetch_and, value &operand)                                                        \
    UPDATE(bits, fetch_or, value | operand)                                                        \
    REPLACE(bits, strong)                                                                          \
    REPLACE(bits, weak)
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

/* ---- the lock, threads, the kernel ------------------------------------------------------------
 */

void __real_system_lock(void *address);
void __wrap_system_lock(void *address) {
    if (real_lock())
        __real_system_lock(address);
    else
        lock(address);
}

void __real_system_unlock(void *address);
void __wrap_system_unlock(void *address) {
    if (real_lock())
        __real_system_unlock(address);
    else
        unlock(address);
}

void __real_system_unlock_forked(void *address);
void __wrap_system_unlock_forked(void *address) {
    if (real_lock())
        __real_system_unlock_forked(address);
    else
        unlock(address);
}

uint32_t __wrap_system_milliseconds() { return 1; }

void *explored_sbrk(intptr_t size) { return break_move(size); }

long explored_syscall(long number, ...) {
    va_list arguments;
    va_start(arguments, number);
    long result = -1;
    if (number == SYS_gettid) {
        result = thread_id();
    } else if (number == SYS_tgkill) {
        va_arg(arguments, int);
        result = thread_lives(va_arg(arguments, uint32_t)) ? 0 : -1;
        errno = ESRCH;
    } else if (number == SYS_futex) {
        uint32_t *word = va_arg(arguments, uint32_t *);
        int operation = va_arg(arguments, int) & FUTEX_CMD_MASK;
        uint32_t value = va_arg(arguments, uint32_t);
        result = operation == FUTEX_WAIT ? futex_wait(word, value) : futex_wake(word);
    } else {
        fail("a system call that is not modelled");
    }
    va_end(arguments);
    return result;
}

int explored_pthread_once(pthread_once_t *control, void (*routine)()) {
    lock(control);
    if (*control == PTHREAD_ONCE_INIT) {
        memory.log(control, sizeof *control);
        *control = PTHREAD_ONCE_INIT + 1;
        routine();
    }
    unlock(control);
    return 0;
}

int explored_pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
    memory.log(key, sizeof *key);
    *key = 0;
    set_exit_function(destructor);
    return 0;
}

int explored_pthread_setspecific(pthread_key_t, const void *value) {
    set_exit_value(value);
    return 0;
}

int explored_pthread_atfork(void (*prepare)(), void (*)(), void (*child)()) {
    set_fork_handlers(prepare, child);
    return 0;
}

[[noreturn]] void __wrap_die_block(const char *function, const void *, const char *fact) {
    die(std::string(function) + "(): block " + fact);
}

[[noreturn]] void __wrap_die_internal(const char *message) { die(message); }
}
