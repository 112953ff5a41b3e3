/*
 * beside.c - the shared object in a program that lives on another allocator and loaded this one by
 * dlopen: the break is left to that one. sbrk has no lock that two could share, so with threads
 * both might be given the same memory. Only in the shared object: a static program should not link
 * dlopen, and what is linked with //malloc has no other allocator.
 */
#include "osmem/system.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stddef.h>

/*
 * Before the first block. Asked for a function whose address hardly any program takes: in one that
 * is linked to a fixed address it would be another than here.
 */
__attribute__((constructor)) static void leave_break_to_other(void) {
    void *program = dlopen(NULL, RTLD_LAZY);
    if (program == NULL)
        return;
    if (dlsym(program, "malloc_usable_size") != (void *)malloc_usable_size)
        system_leave_break();
    dlclose(program);
}
