/*
 * mincore.c - mincore() for a program under an emulator that hands the call on as it is, to a
 * machine whose pages are smaller: that one then writes a byte for each of its own pages.
 */
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#define SMALLEST 4096
#define LARGEST 65536

int __real_mincore(void *ptr, size_t size, unsigned char *state);
int __wrap_mincore(void *ptr, size_t size, unsigned char *state);

int __wrap_mincore(void *ptr, size_t size, unsigned char *state) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char parts[LARGEST / SMALLEST];
    for (size_t i = 0; i * page < size; i++) {
        if (__real_mincore((char *)ptr + i * page, page, parts) != 0)
            return -1;
        state[i] = 0;
        for (size_t j = 0; j < page / SMALLEST; j++)
            state[i] |= parts[j];
    }
    return 0;
}
