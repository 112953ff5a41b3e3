#include "test/core/kernel.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
void *__real_sbrk(intptr_t increment);
void *__real_mmap(void *ptr, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *ptr, size_t size);
void *__real_mremap(void *ptr, size_t old_size, size_t size, int flags, ...);
int __real_madvise(void *ptr, size_t size, int advice);

void *__wrap_sbrk(intptr_t increment);
void *__wrap_mmap(void *ptr, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *ptr, size_t size);
void *__wrap_mremap(void *ptr, size_t old_size, size_t size, int flags, ...);
int __wrap_madvise(void *ptr, size_t size, int advice);
}

namespace osmem::kernel {

namespace {

constexpr size_t ARENA_ALIGNMENT = size_t{4} << 20;
constexpr size_t MACHINE_PAGE = 4096;

struct Fault {
    size_t first, last; /* counted from the call after `base` */
    size_t base;
    int error;
};
constexpr Fault NO_FAULT = {SIZE_MAX, 0, 0, 0};

Count counts[CALLS];
size_t total;
Fault faults[CALLS] = {NO_FAULT, NO_FAULT, NO_FAULT, NO_FAULT, NO_FAULT};
Fault fault_any = NO_FAULT;
size_t mapped;
size_t moved_after_look;
bool wishes_are_ignored;

enum { REAL, ARENA, NONE } break_mode = REAL;
struct {
    char *start, *now, *end;
    bool dirty;
} arena;

bool matches(const Fault &fault, size_t number) {
    return number >= fault.base && number - fault.base >= fault.first &&
           number - fault.base <= fault.last;
}

/* Counts a call; true, and errno set, if it is to be refused. */
bool refused(Call call) {
    size_t number = ++counts[call].calls;
    total++;
    bool one = matches(faults[call], number);
    if (!one && !matches(fault_any, total))
        return false;
    counts[call].refused++;
    errno = one ? faults[call].error : fault_any.error;
    return true;
}

/* Larger than the machine's where a suite says so, by wrapping sysconf. */
uintptr_t page_bytes() { return static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)); }

uintptr_t page_up(uintptr_t value) { return (value + page_bytes() - 1) & ~(page_bytes() - 1); }
uintptr_t page_up(const char *ptr) { return page_up(reinterpret_cast<uintptr_t>(ptr)); }

bool is_page(const void *ptr) { return reinterpret_cast<uintptr_t>(ptr) % page_bytes() == 0; }

int invalid() {
    errno = EINVAL;
    return -1;
}

/* Cuts a mapping with `slack` bytes too many down to `size`, at a page. */
void *at_a_page(void *mapping, size_t size, size_t slack) {
    if (mapping == MAP_FAILED || slack == 0)
        return mapping;
    char *start = static_cast<char *>(mapping);
    char *aligned = reinterpret_cast<char *>(page_up(start));
    if (aligned != start)
        __real_munmap(start, static_cast<size_t>(aligned - start));
    size_t behind = slack - static_cast<size_t>(aligned - start);
    if (behind != 0)
        __real_munmap(aligned + size, behind);
    return aligned;
}

void protect(uintptr_t from, uintptr_t to, int protection) {
    if (from < to &&
        syscall(SYS_mprotect, reinterpret_cast<void *>(from), to - from, protection) != 0) {
        perror("kernel: mprotect");
        abort();
    }
}

/* As brk(2): whole pages that are given up read as zero when they come back. */
void *arena_move(intptr_t increment) {
    if (increment > arena.end - arena.now || increment < arena.start - arena.now) {
        counts[SBRK].refused++;
        errno = ENOMEM;
        return reinterpret_cast<void *>(-1);
    }
    char *old = arena.now;
    arena.now += increment;
    uintptr_t before = page_up(old), after = page_up(arena.now);
    protect(before, after, PROT_READ | PROT_WRITE);
    if (arena.dirty && increment > 0)
        memset(old, 0xff, static_cast<size_t>(increment));
    if (after < before) {
        __real_madvise(reinterpret_cast<void *>(after), before - after, MADV_DONTNEED);
        protect(after, before, PROT_NONE);
    }
    return old;
}

} // namespace

const Count &count(Call call) { return counts[call]; }

size_t all_calls() { return total; }

void reset_counts() {
    for (Count &each : counts)
        each = Count{};
    total = 0;
    refuse_nothing();
}

void refuse(Call call, size_t first, size_t last, int error) {
    faults[call] = {first, last, counts[call].calls, error};
}

void refuse_any(size_t first, size_t last, int error) { fault_any = {first, last, total, error}; }

void refuse_nothing() {
    for (Fault &fault : faults)
        fault = NO_FAULT;
    fault_any = NO_FAULT;
}

void open_arena(size_t bytes, size_t offset, uintptr_t address) {
    size_t size = bytes + offset + 2 * ARENA_ALIGNMENT;
    void *range = __real_mmap(reinterpret_cast<void *>(address), size, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) {
        perror("kernel: mmap");
        abort();
    }
    uintptr_t aligned =
        (reinterpret_cast<uintptr_t>(range) + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1);
    arena.start = reinterpret_cast<char *>(aligned) + offset;
    arena.now = arena.start;
    arena.end = arena.start + bytes;
    protect(reinterpret_cast<uintptr_t>(arena.start) & ~(page_bytes() - 1), page_up(arena.start),
            PROT_READ | PROT_WRITE);
    break_mode = ARENA;
}

void grant_dirty_memory() { arena.dirty = true; }

void move_break_after_look(size_t bytes) { moved_after_look = bytes; }
void ignore_wishes() { wishes_are_ignored = true; }

void use_real_break() { break_mode = REAL; }
void withhold_break() { break_mode = NONE; }

char *arena_start() { return arena.start; }
char *arena_break() { return arena.now; }

size_t mapped_bytes() { return mapped; }
void forget_mapped() { mapped = 0; }

} // namespace osmem::kernel

using namespace osmem::kernel;

void *__wrap_sbrk(intptr_t increment) {
    if (break_mode == NONE) {
        errno = ENOMEM;
        return reinterpret_cast<void *>(-1);
    }
    if (increment != 0 && refused(SBRK))
        return reinterpret_cast<void *>(-1);
    void *old = break_mode == ARENA ? arena_move(increment) : __real_sbrk(increment);
    if (increment == 0 && moved_after_look != 0) {
        arena_move(static_cast<intptr_t>(moved_after_look));
        moved_after_look = 0;
    }
    if (old != reinterpret_cast<void *>(-1) && increment > 0)
        counts[SBRK].bytes += static_cast<size_t>(increment);
    return old;
}

void *__wrap_mmap(void *ptr, size_t size, int protection, int flags, int file, off_t offset) {
    if (refused(MMAP))
        return MAP_FAILED;
    if (wishes_are_ignored && (flags & MAP_FIXED_NOREPLACE)) {
        ptr = nullptr;
        flags &= ~MAP_FIXED_NOREPLACE;
    }
    if (ptr != nullptr && !is_page(ptr)) {
        invalid();
        return MAP_FAILED;
    }
    size_t slack = ptr == nullptr ? page_bytes() - MACHINE_PAGE : 0;
    size_t whole = page_up(size);
    void *mapping = __real_mmap(ptr, whole + slack, protection, flags, file, offset);
    mapping = at_a_page(mapping, whole, slack);
    if (mapping != MAP_FAILED) {
        counts[MMAP].bytes += size;
        mapped += size;
    }
    return mapping;
}

int __wrap_munmap(void *ptr, size_t size) {
    if (refused(MUNMAP))
        return -1;
    int result = is_page(ptr) ? __real_munmap(ptr, page_up(size)) : invalid();
    if (result == 0) {
        counts[MUNMAP].bytes += size;
        mapped -= size;
    }
    return result;
}

void *__wrap_mremap(void *ptr, size_t old_size, size_t size, int flags, ...) {
    if (refused(MREMAP))
        return MAP_FAILED;
    va_list rest;
    va_start(rest, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(rest, void *) : nullptr;
    va_end(rest);
    if (!is_page(ptr)) {
        invalid();
        return MAP_FAILED;
    }
    /* Where the machine may move it to half a page, it goes to a place that was looked for. */
    if (flags == MREMAP_MAYMOVE && page_bytes() > MACHINE_PAGE) {
        size_t slack = page_bytes() - MACHINE_PAGE;
        target = at_a_page(__real_mmap(nullptr, page_up(size) + slack, PROT_NONE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                           page_up(size), slack);
        flags |= MREMAP_FIXED;
    }
    void *moved = __real_mremap(ptr, page_up(old_size), page_up(size), flags, target);
    if (moved != MAP_FAILED)
        mapped += size - old_size;
    return moved;
}

/* What is no purge is advice that nothing depends on, and not counted. */
int __wrap_madvise(void *ptr, size_t size, int advice) {
    if (advice != MADV_DONTNEED)
        return __real_madvise(ptr, size, advice);
    if (refused(MADVISE))
        return -1;
    int result = is_page(ptr) ? __real_madvise(ptr, page_up(size), advice) : invalid();
    if (result == 0)
        counts[MADVISE].bytes += size;
    return result;
}
