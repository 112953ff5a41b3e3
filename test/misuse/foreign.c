/* Pointers to what no allocator ever handed out. */
/* sbrk, MAP_ANONYMOUS */
#define _GNU_SOURCE
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAR ((size_t)1 << 32)
#define REGION ((size_t)4 << 20)

static const char constant[64] = "constant";
static char zeroed[4096] __attribute__((aligned(4096)));

static void *of_the_stack(const struct crime *crime) { return crime_stack + crime->amount; }

static void *global(const struct crime *crime) { return crime_global + crime->amount; }

static void *of_bss(const struct crime *crime) { return zeroed + crime->amount; }

static void *of_constants(const struct crime *crime) {
    return (void *)(uintptr_t)(constant + crime->amount);
}

static void *of_code(const struct crime *crime) {
    return (void *)((uintptr_t)of_code + crime->amount);
}

static void *of_a_thread_local(const struct crime *crime) {
    static __thread char local[64] __attribute__((aligned(16)));
    return local + crime->amount;
}

static void *of_the_environment(const struct crime *crime) { return environ[0] + crime->amount; }

static void *of_the_kernel_page(const struct crime *crime) {
    return (void *)(getauxval(AT_SYSINFO_EHDR) + crime->amount);
}

/* After the heap is in use, an address as it is. */
static void *address(const struct crime *crime) {
    shadow_surrounded(crime->size);
    return (void *)crime->amount;
}

/* `amount` bytes away from a live block, where none can be. */
static void *away_from_a_block(const struct crime *crime) {
    return (char *)shadow_surrounded(crime->size) + crime->amount;
}

/* The pointer went through an int. */
static void *truncated(const struct crime *crime) {
    return (void *)(intptr_t)(int)(uintptr_t)shadow_surrounded(crime->size);
}

/* Where allocators keep what they know, if they keep it at the start of something aligned. */
static void *head_of_its_chunk(const struct crime *crime) {
    uintptr_t ptr = (uintptr_t)shadow_surrounded(crime->size);
    void *head = (void *)(ptr & ~(uintptr_t)(crime->amount - 1));
    if (shadow_is_start(head))
        crime_impossible("a block starts there");
    return head;
}

static void *mapped_by_the_program(const struct crime *crime) {
    shadow_surrounded(crime->size);
    char *ptr = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ptr == MAP_FAILED)
        crime_impossible("no memory to map");
    shadow_enter(ptr, MAPPED, false);
    return ptr + crime->amount;
}

/* The program took memory from the break itself. */
static void *of_the_break(const struct crime *crime) {
    shadow_surrounded(crime->size);
    char *ptr = sbrk(3 * 4096);
    if (ptr == (void *)-1)
        crime_impossible("the break does not move");
    shadow_enter(ptr, 3 * 4096, false);
    return ptr + crime->amount;
}

static void *below_the_break(const struct crime *crime) {
    shadow_surrounded(crime->size);
    return (char *)sbrk(0) - crime->amount;
}

const struct crime foreign_crimes[] = {
    {"stack", of_the_stack, NULL, EVERY_CALL, SMALL, 64, FOREIGN, STOPPED},
    {"stack-misaligned", of_the_stack, NULL, FREE, SMALL, 65, FOREIGN, STOPPED},
    {"global", global, NULL, EVERY_CALL, SMALL, 64, FOREIGN, STOPPED},
    {"bss", of_bss, NULL, FREE, SMALL, 0, FOREIGN, STOPPED},
    {"bss-inside", of_bss, NULL, FREE, SMALL, 16, FOREIGN, STOPPED},
    {"constant", of_constants, NULL, FREE | REALLOC, SMALL, 0, FOREIGN, STOPPED},
    {"code", of_code, NULL, EVERY_CALL, SMALL, 0, FOREIGN, STOPPED},
    {"thread-local", of_a_thread_local, NULL, FREE, SMALL, 16, FOREIGN, STOPPED},
    {"environment", of_the_environment, NULL, FREE | REALLOC, SMALL, 0, FOREIGN, STOPPED},
    {"kernel-page", of_the_kernel_page, NULL, FREE, SMALL, 0, FOREIGN, STOPPED},
    {"address-8", address, NULL, FREE, SMALL, 8, FOREIGN, STOPPED},
    {"address-4096", address, NULL, EVERY_CALL, SMALL, 4096, FOREIGN, STOPPED},
    {"address-unmapped", address, NULL, EVERY_CALL, SMALL, (size_t)1 << 45, FOREIGN, STOPPED},
    {"address-not-canonical", address, NULL, FREE, SMALL, (size_t)1 << 62, FOREIGN, STOPPED},
    {"address-of-the-kernel", address, NULL, FREE, SMALL, -(size_t)4096, FOREIGN, STOPPED},
    {"address-last", address, NULL, FREE | REALLOC, SMALL, -(size_t)16, FOREIGN, STOPPED},
    {"tagged-above", away_from_a_block, NULL, FREE, SMALL, (size_t)1 << 56, FOREIGN, STOPPED},
    {"4-gib-away", away_from_a_block, NULL, FREE, SMALL, FAR, FOREIGN, STOPPED},
    {"64-gib-away", away_from_a_block, NULL, FREE | REALLOC, SMALL, 16 * FAR, FOREIGN, STOPPED},
    {"64-gib-below", away_from_a_block, NULL, FREE, SMALL, -16 * FAR, FOREIGN, STOPPED},
    {"truncated", truncated, NULL, FREE, SMALL, 0, FOREIGN, STOPPED},
    {"head-of-4-mib", head_of_its_chunk, NULL, EVERY_CALL, SMALL, REGION, OWN_MEMORY, STOPPED},
    {"mapped-by-the-program", mapped_by_the_program, NULL, EVERY_CALL, SMALL, 0, FOREIGN, STOPPED},
    {"mapped-by-the-program-inside", mapped_by_the_program, NULL, FREE, SMALL, 4096 + 16, FOREIGN,
     STOPPED},
    {"of-the-break", of_the_break, NULL, FREE, SMALL, 4096, FOREIGN "|" INSIDE_FREE, STOPPED},
    {"end-of-the-heap", below_the_break, NULL, FREE | REALLOC, SMALL, 16, INSIDE_FREE, STOPPED},
    {0},
};
