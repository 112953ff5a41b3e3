/* The tags: what osmem/tags.h makes of every content of the lines that it looks at. */
#include "test/proofs/lines.h"

/* No block starts in the granules from `first` to before `end`. */
static void claim_no_start(const struct tag_line *lines, size_t count, size_t first, size_t end) {
    size_t granule = any();
    assume(granule < 64 * count);
    claim(granule < first || granule >= end || !is_start(lines, granule));
}

/*
 * The size of the block at any granule of a line is the distance to the next start, in its line or
 * the next; where there is none, the length in the latter.
 */
MUTANT("osmem/tags.h", "bit_lowest(window) + 1", "bit_lowest(window)")
MUTANT("osmem/tags.h", "next << (~granule & 63)", "next << (-granule & 63)")
MUTANT("osmem/tags.h", "LINE_GRANULES - (granule & 63) + bit_lowest(next)",
       "LINE_GRANULES + bit_lowest(next)")
PROOF(size) {
    struct tag_line lines[2];
    any_lines(lines, 2);
    size_t granule = any();
    assume(granule < 64);
    size_t size = tags_size(lines, granule), end = granule + size;
    bool is_long = lines[1].starts == 0 && (lines[0].starts >> granule >> 1) == 0;
    claim(is_long ? size == lines[1].free : end < 128 && is_start(lines, end));
    claim_no_start(lines, 2, granule + 1, is_long ? 128 : end);
}

/* Of any starts in any line, those whose blocks have any size that is asked for. */
MUTANT("osmem/tags.h", "nearer |= nearer >> reach;", "nearer |= nearer >> 1;")
MUTANT("osmem/tags.h", "nearer >> (granules - 1 - reach)", "nearer >> (granules - 2 - reach)")
MUTANT("osmem/tags.h", "if (granules < LINE_GRANULES) {", "if (granules < LINE_GRANULES / 2) {")
MUTANT("osmem/tags.h", "among >> last & 1 &&", "")
PROOF(of_size) {
    struct tag_line lines[2];
    any_lines(lines, 2);
    uint64_t among = any();
    size_t granules = any();
    assume(granules != 0);
    uint64_t found = tags_of_size(lines, granules, among);
    size_t i = any();
    assume(i < 64);
    claim(has_bit(found, i) ==
          (has_bit(among & lines[0].starts, i) && tags_size(lines, i) == granules));
}

/* The left neighbour of any granule of a line is the last start before it, in it or the line
 * before.
 */
MUTANT("osmem/tags.h", "return base + bit_highest(below);", "return base + bit_lowest(below);")
MUTANT("osmem/tags.h", "base - LINE_GRANULES + bit_highest(below)", "base - LINE_GRANULES")
PROOF(left) {
    struct tag_line lines[2];
    any_lines(lines, 2);
    size_t granule = any();
    assume(granule >= 64 && granule < 128);
    size_t left = tags_left(lines, granule);
    bool is_long =
        lines[0].starts == 0 && (lines[1].starts & ((UINT64_C(1) << granule % 64) - 1)) == 0;
    claim(is_long ? left == granule - lines[0].free : left < granule && is_start(lines, left));
    claim_no_start(lines, 2, is_long ? 0 : left + 1, granule);
}

/* The next start at or behind any granule of the last two lines of a region, or none. */
MUTANT("osmem/tags.h", "~(bit_at((unsigned)granule) - 1);\n        if",
       "~bit_at((unsigned)granule);\n        if")
PROOF(next_start) {
    struct tag_line last[3];
    any_lines(last, 2);
    last[2] = (struct tag_line){any() & 1, 0};
    struct tag_line *lines = last - (REGION_LINES - 2);
    size_t before = REGION_GRANULES - 128, granule = any();
    assume(granule <= 128);
    size_t found = tags_next_start(lines, before + granule) - before;
    claim(found == 129 || (found >= granule && found <= 128 && is_start(last, found)));
    claim_no_start(last, 3, granule, found);
}

/* The lowest and the highest bit of any word, and any bit. */
MUTANT("utils/bits.h", "63 - (unsigned)__builtin_clzll(word)", "(unsigned)__builtin_clzll(word)")
MUTANT("utils/bits.h", "(uint64_t)1 << (index & 63)", "(uint64_t)1 << index")
PROOF(bits) {
    uint64_t word = any();
    unsigned lowest = 0, highest = 0, index = (unsigned)any();
    assume(word != 0);
    for (unsigned i = 0; i < 64; i++) {
        lowest = word >> (63 - i) & 1 ? 63 - i : lowest;
        highest = word >> i & 1 ? i : highest;
        claim(has_bit(bit_at(index), i) == (index % 64 == i));
    }
    claim(bit_lowest(word) == lowest && bit_highest(word) == highest);
}

/* Start, free and used of any granule. */
PROOF(kinds) {
    struct tag_line lines[2];
    any_lines(lines, 2);
    size_t granule = any();
    assume(granule < 128);
    bool start = is_start(lines, granule), free = has_bit(lines[granule / 64].free, granule % 64);
    claim(tags_is_start(lines, granule) == start);
    claim(tags_is_free(lines, granule) == (start && free));
    claim(tags_is_used(lines, granule) == (start && !free));
}

/*
 * The carry: for any line, the free starts whose nearest start before, in the line, is free. Only
 * starts are free (T3).
 */
MUTANT("osmem/tags.h", "(free + (free | ~starts)) & free", "(free + (free | ~starts)) & starts")
MUTANT("osmem/tags.h", "(free + (free | ~starts)) & free", "(free + ~starts) & free")
PROOF(joinable) {
    uint64_t starts = any(), free = any();
    assume((free & ~starts) == 0);
    uint64_t joinable = tags_joinable(starts, free);
    bool before_is_free = false;
    for (size_t i = 0; i < 64; i++) {
        claim(has_bit(joinable, i) == (has_bit(free, i) && before_is_free));
        if (has_bit(starts, i))
            before_is_free = has_bit(free, i);
    }
}
