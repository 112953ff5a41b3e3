/*
 * deepbind PLUGIN own|foreign - a plugin loaded with RTLD_DEEPBIND finds the C library's allocator
 * before the program's: two allocators live side by side, on one break. Each serves its own
 * blocks; a block of the plugin's that the program frees must be known as none of the program's,
 * and end it with a message, or be freed by whom it belongs to: never corrupt anything.
 */
/* RTLD_DEEPBIND */
#define _GNU_SOURCE
#include "test/faults/fault.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    void *(*allocate)(size_t size);
    void (*release)(void *block);
} plugin;

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    require(found != NULL, "dlsym: %s", dlerror());
    return found;
}

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    require(library != NULL, "dlopen: %s", dlerror());
    plugin.allocate = (void *(*)(size_t))symbol(library, "plugin_allocate");
    plugin.release = (void (*)(void *))symbol(library, "plugin_release");
}

/* Blocks of both, of all sizes, each freed by its own allocator; contents stay. */
static void use_both(size_t steps) {
    static struct workload ours = {.random = 21, .largest = 2 * MIB, .limit = 50 * MIB};
    enum { COUNT = 300 };
    static struct block theirs[COUNT];
    uint64_t random = 22;
    for (size_t step = 0; step < steps; step++) {
        struct block *block = &theirs[draw(&random) % COUNT];
        if (block->start != NULL) {
            block_require(block);
            plugin.release(block->start);
        }
        *block = (struct block){NULL, 1 + draw(&random) % (1u << draw(&random) % 19), step};
        block->start = plugin.allocate(block->size);
        require(block->start != NULL, "NULL in the plugin");
        block_fill(block);
        workload_run(&ours, 10);
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (theirs[i].start == NULL)
            continue;
        block_require(&theirs[i]);
        plugin.release(theirs[i].start);
    }
    workload_free(&ours, 1);
    require_sound_heap();
}

/* What becomes of a block of `size` bytes of the plugin's that the program frees, and resizes. */
static void free_theirs(size_t size, bool resizes) {
    int text[2];
    require(pipe(text) == 0, "no pipe");
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(text[1], STDERR_FILENO);
        free(malloc(100));
        void *block = plugin.allocate(size);
        if (resizes)
            free(realloc(block, size + 1000));
        else
            free(block);
        use_both(300);
        _exit(0);
    }
    close(text[1]);
    char line[256] = "";
    ssize_t length = read(text[0], line, sizeof line - 1);
    close(text[0]);
    int status;
    require(waitpid(child, &status, 0) == child, "no child");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return; /* forwarded, or both are the same allocator */
    require(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
            "a block of %zu bytes of the plugin's: the program ended with status %d", size, status);
    require(length > 0, "a block of %zu bytes of the plugin's: no message", size);
}

int main(int argc, char **argv) {
    require(argc >= 3, "usage: deepbind PLUGIN own|foreign");
    load(argv[1]);
    if (strcmp(argv[2], "own") == 0) {
        use_both(count_of(argc, argv, 2000, 100000));
        return 0;
    }
    static const size_t theirs[] = {1, 24, 100, 1000, 5000, 100000, 300000, 5000000};
    for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++) {
        free_theirs(theirs[i], false);
        free_theirs(theirs[i], true);
    }
    return 0;
}
