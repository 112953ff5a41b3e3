/*
 * What an attacker writes into freed blocks: where an allocator keeps its links, values that lead
 * where he wants the next block to be, or nowhere. Both words at the start of three freed blocks
 * get the value, so that it does not matter which of them is at the head of a list; then the
 * program allocates blocks of the size.
 */
#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

#include <stdint.h>
#include <string.h>

#define ROW 32
#define CACHED 8 /* more than glibc's cache of a size holds */

static void *row[ROW]; /* the odd ones are freed */

static size_t read_word(void *ptr) {
    size_t word;
    memcpy(&word, ptr, sizeof word);
    return word;
}

static void free_some(const struct crime *crime) {
    shadow_row(row, ROW, crime->size);
    for (size_t i = 1; i < 2 * (CACHED + 3); i += 2)
        shadow_free(row[i]);
}

/* The second or third of these comes from where the poisoned link leads, if it is followed. */
static void allocate_some(const struct crime *crime) {
    for (int i = 0; i < 3; i++)
        shadow_malloc(crime->size);
}

static void poison(char *block, size_t first, size_t second) {
    crime_write_word(block, first);
    crime_write_word(block + sizeof first, second);
}

/* The last freed and some before it: heads of lists of both orders. */
static void poison_all(size_t value) {
    for (size_t i = 1; i < 2 * (CACHED + 3); i += 2)
        poison(row[i], value, value);
}

/* As glibc mangles its links: by where they are stored. */
static void poison_mangled(size_t target) {
    for (size_t i = 1; i < 2 * (CACHED + 3); i += 2)
        crime_write_word(row[i], target ^ (uintptr_t)row[i] >> 12);
}

static void with_value(const struct crime *crime) {
    free_some(crime);
    poison_all(crime->amount);
    allocate_some(crime);
}

static void with_stack(const struct crime *crime) {
    free_some(crime);
    poison_all((size_t)crime_stack + 64);
    allocate_some(crime);
}

static void with_global(const struct crime *crime) {
    free_some(crime);
    poison_all((size_t)crime_global + 64);
    allocate_some(crime);
}

static void with_code(const struct crime *crime) {
    free_some(crime);
    poison_all((size_t)with_code & ~(size_t)15);
    allocate_some(crime);
}

static void with_live(const struct crime *crime) {
    free_some(crime);
    poison_all((size_t)row[0] + crime->amount);
    allocate_some(crime);
}

static void with_free(const struct crime *crime) {
    free_some(crime);
    poison_all((size_t)row[5] + crime->amount);
    allocate_some(crime);
}

static void with_itself(const struct crime *crime) {
    free_some(crime);
    for (size_t i = 1; i < 2 * (CACHED + 3); i += 2)
        poison(row[i], (size_t)row[i], (size_t)row[i]);
    allocate_some(crime);
}

/* Unlinked by who trusts both links, one is stored where the other points. */
static void with_unlink(const struct crime *crime) {
    free_some(crime);
    size_t target = (size_t)crime_global + 64;
    for (size_t i = 1; i < 2 * (CACHED + 3); i += 2)
        poison(row[i], target - 3 * sizeof target, target - 2 * sizeof target);
    allocate_some(crime);
}

static void with_mangled_stack(const struct crime *crime) {
    free_some(crime);
    poison_mangled((size_t)crime_stack + 64);
    allocate_some(crime);
}

static void with_mangled_live(const struct crime *crime) {
    free_some(crime);
    poison_mangled((size_t)row[0]);
    allocate_some(crime);
}

static void with_mangled_itself(const struct crime *crime) {
    free_some(crime);
    for (size_t i = 1; i < 2 * (CACHED + 3); i += 2)
        crime_write_word(row[i], (uintptr_t)row[i] ^ (uintptr_t)row[i] >> 12);
    allocate_some(crime);
}

/* Whatever is there, however it is encoded, with some bits flipped. */
static void with_flipped_bits(const struct crime *crime) {
    free_some(crime);
    for (size_t i = 1; i < 2 * (CACHED + 3); i += 2) {
        char *block = row[i];
        poison(block, read_word(block) ^ crime->amount, read_word(block + 8) ^ crime->amount);
    }
    allocate_some(crime);
}

/* Links of one block in another. */
static void with_anothers(const struct crime *crime) {
    free_some(crime);
    poison(row[3], read_word(row[7]), read_word((char *)row[7] + 8));
    poison(row[5], read_word(row[1]), read_word((char *)row[1] + 8));
    allocate_some(crime);
}

#define ONES SIZE_MAX
#define NOT_CANONICAL ((size_t)0x4141414141414141)

const struct crime poison_crimes[] = {
    {"poison-zero-small", NULL, with_value, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-zero-medium", NULL, with_value, 0, 2 * MEDIUM, 0, UNNOTICED, STOPPED},
    {"poison-ones-small", NULL, with_value, 0, SMALL, ONES, UNNOTICED, STOPPED},
    {"poison-ones-medium", NULL, with_value, 0, 2 * MEDIUM, ONES, UNNOTICED, STOPPED},
    {"poison-number-small", NULL, with_value, 0, SMALL, 64, UNNOTICED, STOPPED},
    {"poison-letters-small", NULL, with_value, 0, SMALL, NOT_CANONICAL, UNNOTICED, STOPPED},
    {"poison-letters-medium", NULL, with_value, 0, 2 * MEDIUM, NOT_CANONICAL, UNNOTICED, STOPPED},
    {"poison-stack-small", NULL, with_stack, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-stack-medium", NULL, with_stack, 0, 2 * MEDIUM, 0, UNNOTICED, STOPPED},
    {"poison-global-small", NULL, with_global, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-global-medium", NULL, with_global, 0, 2 * MEDIUM, 0, UNNOTICED, STOPPED},
    {"poison-code-small", NULL, with_code, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-live-small", NULL, with_live, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-live-medium", NULL, with_live, 0, 2 * MEDIUM, 0, UNNOTICED, STOPPED},
    {"poison-inside-live-small", NULL, with_live, 0, SMALL, 16, UNNOTICED, STOPPED},
    {"poison-misaligned-small", NULL, with_live, 0, SMALL, 1, UNNOTICED, STOPPED},
    {"poison-free-small", NULL, with_free, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-inside-free-medium", NULL, with_free, 0, 2 * MEDIUM, 64, UNNOTICED, STOPPED},
    {"poison-itself-small", NULL, with_itself, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-itself-medium", NULL, with_itself, 0, 2 * MEDIUM, 0, UNNOTICED, STOPPED},
    {"poison-unlink-small", NULL, with_unlink, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-unlink-medium", NULL, with_unlink, 0, 2 * MEDIUM, 0, UNNOTICED, STOPPED},
    {"poison-mangled-stack-small", NULL, with_mangled_stack, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-mangled-stack-medium", NULL, with_mangled_stack, 0, MEDIUM, 0, UNNOTICED, STOPPED},
    {"poison-mangled-live-small", NULL, with_mangled_live, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-mangled-itself-small", NULL, with_mangled_itself, 0, SMALL, 0, UNNOTICED, STOPPED},
    {"poison-flipped-bits-small", NULL, with_flipped_bits, 0, SMALL, 0x60, UNNOTICED, STOPPED},
    {"poison-flipped-bits-medium", NULL, with_flipped_bits, 0, MEDIUM, 0x1000, UNNOTICED, STOPPED},
    /* In guarded mode all of a freed block is the same: nothing changes. */
    {"poison-anothers-small", NULL, with_anothers, 0, SMALL, 0, UNNOTICED, UNNOTICED},
    {0},
};
