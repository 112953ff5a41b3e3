/*
 * always.c - preloaded before an allocator, makes the kernel behave as where transparent huge pages
 * are on for all memory (/sys/kernel/mm/transparent_hugepage/enabled is "always"), though it be
 * "madvise" here: whatever is taken by sbrk or mmap may be huge from the start.
 */
/* RTLD_NEXT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define PAGE ((uintptr_t)4096)

EXPORT void *sbrk(intptr_t increment);
EXPORT void *mmap(void *ptr, size_t size, int protection, int flags, int file, off_t offset);

void *sbrk(intptr_t increment) {
    static void *(*next)(intptr_t);
    if (next == NULL)
        next = (void *(*)(intptr_t))dlsym(RTLD_NEXT, "sbrk");
    void *old = next(increment);
    if (increment > 0 && old != (void *)-1) {
        uintptr_t start = ((uintptr_t)old + PAGE - 1) & ~(PAGE - 1);
        madvise((void *)start, (uintptr_t)old + (uintptr_t)increment - start, MADV_HUGEPAGE);
    }
    return old;
}

void *mmap(void *ptr, size_t size, int protection, int flags, int file, off_t offset) {
    void *mapping = (void *)syscall(SYS_mmap, ptr, size, protection, flags, file, offset);
    if (mapping != MAP_FAILED && flags & MAP_ANONYMOUS)
        madvise(mapping, size, MADV_HUGEPAGE);
    return mapping;
}
