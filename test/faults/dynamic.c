/*
 * dynamic LIBRARY [alone|global] - a library that allocates is loaded, used by threads and
 * unloaded, again and again, and memory does not grow by it. Or, "alone", the library is an
 * allocator, loaded into a program that lives on another one: both are used side by side, by
 * threads too, which end after it was unloaded. "global": so that libraries loaded later see it.
 */
/* RTLD_DEFAULT */
#define _GNU_SOURCE
#include "test/faults/fault.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int scope = RTLD_LOCAL;

static void *load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | scope);
    require(library != NULL, "dlopen: %s", dlerror());
    return library;
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    require(found != NULL, "dlsym: %s", dlerror());
    return found;
}

/* ---- a library that allocates ------------------------------------------------------------------
 */

static void *swap(void *library) {
    void *(*plugin_swap)(void *) = (void *(*)(void *))symbol(library, "plugin_swap");
    void *block = malloc(100);
    for (int i = 0; i < 100; i++)
        block = plugin_swap(block);
    free(block);
    return NULL;
}

static void use_plugin(const char *path, size_t rounds) {
    size_t before = 0;
    for (size_t i = 0; i < rounds; i++) {
        void *library = load(path);
        pthread_t thread;
        require(pthread_create(&thread, NULL, swap, library) == 0, "no thread");
        swap(library);
        pthread_join(thread, NULL);
        require(dlclose(library) == 0, "dlclose: %s", dlerror());
        if (i == rounds / 4)
            before = status_kib("VmRSS:");
    }
    size_t after = status_kib("VmRSS:");
    /* A thread's own block is lost each time: that is the plugin's. */
    require(after < before + rounds * 8 + 4 * KIB, "grown from %zu to %zu KiB", before, after);
}

/* ---- an allocator ------------------------------------------------------------------------------
 */

static struct {
    void *(*allocate)(size_t size);
    void (*release)(void *block);
} other;
static pthread_barrier_t barrier;

static void use_other(void) {
    void *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        size_t size = 1 + i * i * 8;
        blocks[i] = other.allocate(size);
        require(blocks[i] != NULL, "NULL from the loaded allocator");
        memset(blocks[i], 1, size);
        free(memset(malloc(size), 2, size));
    }
    for (size_t i = 0; i < 200; i++)
        other.release(blocks[i]);
}

static void *use_and_outlive(void *context) {
    use_other();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* unloaded meanwhile */
    return context;
}

static void use_allocator(const char *path, size_t rounds) {
    for (size_t i = 0; i < rounds; i++) {
        pthread_t thread;
        void *library = load(path);
        other.allocate = (void *(*)(size_t))symbol(library, "malloc");
        other.release = (void (*)(void *))symbol(library, "free");
        require((void *)other.allocate != dlsym(RTLD_DEFAULT, "malloc"), "it is the program's own");
        pthread_barrier_init(&barrier, NULL, 2);
        require(pthread_create(&thread, NULL, use_and_outlive, NULL) == 0, "no thread");
        use_other();
        pthread_barrier_wait(&barrier);
        require(dlclose(library) == 0, "dlclose: %s", dlerror());
        pthread_barrier_wait(&barrier);
        pthread_join(thread, NULL);
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        require_child(child, "after it was unloaded");
    }
}

int main(int argc, char **argv) {
    require(argc >= 2, "usage: dynamic LIBRARY [alone]");
    size_t rounds = count_of(argc, argv, 100, 3000);
    if (argc > 2 && strcmp(argv[2], "global") == 0)
        scope = RTLD_GLOBAL;
    if (scope == RTLD_GLOBAL || (argc > 2 && strcmp(argv[2], "alone") == 0))
        use_allocator(argv[1], rounds);
    else
        use_plugin(argv[1], rounds);
    require_sound_heap();
    return 0;
}
