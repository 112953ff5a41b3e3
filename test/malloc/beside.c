/*
 * beside [LIBRARY] - where blocks of the drop-in come from: the break, if the program lives on it;
 * elsewhere, if LIBRARY was loaded by a program that lives on another allocator.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool moves_break(void *(*allocate)(size_t size)) {
    uintptr_t before = (uintptr_t)sbrk(0);
    for (int i = 0; i < 100; i++) {
        if (allocate(100000) == NULL)
            exit(2);
    }
    return (uintptr_t)sbrk(0) != before;
}

int main(int argc, char **argv) {
    void *(*allocate)(size_t) = malloc;
    if (argc > 1) {
        void *library = dlopen(argv[1], RTLD_NOW);
        if (library == NULL)
            return 2;
        allocate = (void *(*)(size_t))dlsym(library, "malloc");
        if (allocate == NULL || allocate == malloc)
            return 2;
    }
    puts(moves_break(allocate) ? "moved" : "left");
    return 0;
}
