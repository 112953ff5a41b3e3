/*
 * rule.h - what a rule is, and how the programs of this folder run theirs.
 *
 * A rule is one promise of a standard or manual, named by its clause, and a function that finds out
 * whether it is kept. Each runs in a child of its own, so that a rule which crashes or hangs costs
 * no other. The programs know nothing of osmem: any allocator can be tried, by LD_PRELOAD or at
 * link time.
 *
 * `deviation` names who may break the rule, and by what right; with --deviations such a rule may
 * fail, which is how glibc itself passes.
 */
#ifndef OSMEM_TEST_CONFORMANCE_RULE_H
#define OSMEM_TEST_CONFORMANCE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rule {
    const char *clause;
    const char *name;
    void (*run)(void);
    const char *deviation;
};

/* Ended by a rule without a name. */
extern const struct rule c_rules[];
extern const struct rule posix_rules[];
extern const struct rule glibc_rules[];

/* main of such a program; `tables` ends with NULL. */
int rules_main(int argc, char **argv, const struct rule *const *tables);

/* Says where, and what did not hold; the rule goes on. Returns the condition. */
#define CHECK(condition) rule_check((condition), #condition, __FILE__, __LINE__)
bool rule_check(bool condition, const char *text, const char *file, int line);

/* Ends a rule that cannot be tried here. */
void rule_skip(const char *why) __attribute__((noreturn));

/* ---- what many rules need -------------------------------------------------------------------- */

/* The compiler must know neither a size nor where a pointer comes from. */
size_t opaque(size_t value);
void *opaque_ptr(const void *ptr);

/* Requests that must be refused, from PTRDIFF_MAX + 1 to SIZE_MAX; 0 ends them. */
extern const size_t impossible_sizes[];

/* Sizes of every kind: small, around powers of two, large, mapped; 0 ends them. */
extern const size_t sizes[];

bool is_aligned(const void *ptr, size_t alignment);

/* Every byte depends on its place and on `seed`. */
void fill(void *ptr, size_t size, unsigned seed);
bool is_filled(const void *ptr, size_t size, unsigned seed);
bool is_zero(const void *ptr, size_t size);

/* Runs in a thread, and waits for its end. */
void in_thread(void *(*run)(void *), void *argument);

#ifdef __cplusplus
}
#endif

#endif
