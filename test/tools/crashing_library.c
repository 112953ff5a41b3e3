/* A library for LD_PRELOAD that is a broken allocator: every program on it dies by SIGSEGV. */
#include <signal.h>
#include <stdlib.h>

void *malloc(size_t size) {
    (void)size;
    raise(SIGSEGV);
    return NULL;
}
