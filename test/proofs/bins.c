/* The bitmap of two levels over sizes (osmem/bins.h). */
#include "osmem/bins.h"

#include "test/proofs/proofs.h"

/*
 * Any bitmap whose summary tells of every word that is not 0 (B2), and of others only where quick
 * sets are.
 */
static void any_bitmap(struct bins *bins) {
    bins->summary = any();
    for (size_t word = 0; word < LARGE_MIN / 64; word++) {
        bins->nonempty[word] = any();
        bool summed = has_bit(bins->summary, word);
        assume(bins->nonempty[word] == 0 ? !summed || word <= QUICK_MAX / 64 : summed);
    }
    assume(bins->summary >> (LARGE_MIN / 64) == 0);
}

/* The same, of any word. */
static void claim_summary(const struct bins *bins) {
    size_t word = any();
    assume(word < LARGE_MIN / 64);
    bool summed = has_bit(bins->summary, word);
    claim(bins->nonempty[word] == 0 ? !summed || word <= QUICK_MAX / 64 : summed);
}

/* The smallest size noted that is at least any given one; 0 where there is none. */
MUTANT("osmem/bins.h", "~((bit_at((unsigned)word) << 1) - 1)", "~(bit_at((unsigned)word) - 1)")
MUTANT("osmem/bins.h", "bins->nonempty[word] & ~(bit_at((unsigned)granules) - 1)",
       "bins->nonempty[word]")
PROOF(next) {
    struct bins bins;
    any_bitmap(&bins);
    size_t granules = any(), other = any();
    assume(granules >= 1 && granules < LARGE_MIN && other >= granules && other < LARGE_MIN);
    size_t found = bins_next(&bins, granules);
    claim(found == 0 || (found >= granules && found < LARGE_MIN && bins_noted(&bins, found)));
    claim(!bins_noted(&bins, other) || (found != 0 && found <= other));
}

/* Any size is noted, and forgotten; no other is, and the summary stays right. */
MUTANT("osmem/bins.h", "bins->summary |= bit_at((unsigned)(granules / 64));", "")
MUTANT("osmem/bins.h", "if (bins->nonempty[granules / 64] == 0 && granules / 64 > QUICK_MAX / 64)",
       "if (granules / 64 > QUICK_MAX / 64)")
PROOF(note_and_clear) {
    struct bins bins;
    any_bitmap(&bins);
    size_t granules = any(), other = any();
    assume(granules < LARGE_MIN && other < LARGE_MIN && other != granules);
    bool before = bins_noted(&bins, other);
    bins_note(&bins, granules);
    claim(bins_noted(&bins, granules) && bins_noted(&bins, other) == before);
    claim_summary(&bins);
    bins_clear(&bins, granules);
    claim(!bins_noted(&bins, granules) && bins_noted(&bins, other) == before);
    claim_summary(&bins);
}
