#include "osmem/checker.h"

#include "utils/sanitizer.h"

/* Debian's package valgrind has it; osmem that was built without knows nothing of Valgrind. */
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_MAKE_MEM_NOACCESS(start, size) (void)(start), (void)(size)
#define VALGRIND_MALLOCLIKE_BLOCK(block, size, room, zeroed)                                       \
    (void)(block), (void)(size), (void)(room), (void)(zeroed)
#define VALGRIND_FREELIKE_BLOCK(block, room) (void)(block), (void)(room)
#endif

#ifndef OSMEM_POISON
#define OSMEM_POISON SANITIZER_ADDRESS
#endif

#if OSMEM_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) (void)(start), (void)(size)
#define ASAN_UNPOISON_MEMORY_REGION(start, size) (void)(start), (void)(size)
#endif

bool checker_is_there(void) { return OSMEM_POISON || RUNNING_ON_VALGRIND; }

bool checker_wants_no_break(void) { return RUNNING_ON_VALGRIND; }

void checker_alloc(char *start, char *end, char *block, size_t size, bool zeroed) {
    ASAN_POISON_MEMORY_REGION(start, (size_t)(end - start));
    ASAN_UNPOISON_MEMORY_REGION(block, size);
    VALGRIND_MAKE_MEM_NOACCESS(start, (size_t)(end - start));
    VALGRIND_MALLOCLIKE_BLOCK(block, size, 0, zeroed);
}

void checker_free(char *start, char *end, char *block, bool is_mapped) {
    VALGRIND_FREELIKE_BLOCK(block, 0);
    if (is_mapped)
        ASAN_UNPOISON_MEMORY_REGION(start, (size_t)(end - start));
    else
        ASAN_POISON_MEMORY_REGION(start, (size_t)(end - start));
}
