/*
 * proofs.h - what a file of proofs is written in.
 *
 * A proof is a function without parameters: any() is a word that may have every value, assume()
 * says of which values the proof is, claim() what holds for all of them. prove.py executes it for
 * every value at once, but for each() of a few, which are tried one by one. What is claimed is best
 * said naively, by a loop over bits or granules: then it is the specification. A function of a file
 * of proofs that is called instead_NAME takes the place of NAME.
 */
#ifndef OSMEM_TEST_PROOFS_PROOFS_H
#define OSMEM_TEST_PROOFS_PROOFS_H

#include <stdbool.h>
#include <stdint.h>

uint64_t any(void);
uint64_t each(uint64_t first, uint64_t last);
void assume(bool condition);
void claim(bool condition);

static inline bool has_bit(uint64_t word, uint64_t bit) { return word >> bit & 1; }

#define PROOF(name)                                                                                \
    void proof_##name(void);                                                                       \
    void proof_##name(void)

/* The next proof must fail when `new` stands for `old` in a header. */
#define MUTANT(header, old, new)

#endif
