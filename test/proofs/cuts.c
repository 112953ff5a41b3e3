/* Tags that are written: T1 to T3 hold of sound lines, and of what osmem/tags.h makes of them. */
#include "test/proofs/lines.h"

/*
 * Blocks lie in lines 1 to LINES; line 0 is the one before a region's first block, and the one
 * behind holds the start that ends the last.
 */
#define LINES 3
#define FIRST ((size_t)64)
#define END (FIRST + 64 * LINES)

/* T2: the first and the last line of a row of lines without a start hold the block's length. */
static bool is_measured(const struct tag_line *lines, size_t first, size_t last) {
    size_t start = 64 * (first - 1) + bit_highest(lines[first - 1].starts);
    size_t size = 64 * (last + 1) + bit_lowest(lines[last + 1].starts) - start;
    return lines[first].free == size && lines[last].free == size;
}

static bool is_sound(const struct tag_line *lines) {
    bool sound = is_start(lines, FIRST) && lines[LINES + 1].starts == 1;
    for (size_t line = 1; line <= LINES; line++)
        sound &= lines[line].starts == 0 || (lines[line].free & ~lines[line].starts) == 0;
    for (size_t first = 2; first <= LINES; first++) {
        bool empty = true;
        for (size_t last = first; last <= LINES; last++) {
            empty &= lines[last].starts == 0;
            bool is_row = empty && lines[first - 1].starts != 0 && lines[last + 1].starts != 0;
            if (is_row)
                sound &= is_measured(lines, first, last);
        }
    }
    return sound;
}

static void any_sound_lines(struct tag_line *lines) {
    any_lines(lines, LINES + 1);
    lines[0] = (struct tag_line){0, 0};
    lines[LINES + 1] = (struct tag_line){1, 1};
    assume(is_sound(lines));
}

static size_t any_in_line(size_t line) { return 64 * line | (any() & 63); }

/* Of all blocks but the one at `changed`, whether they start and are free is as before. */
static void claim_others_kept(const struct tag_line *lines, const struct tag_line *before,
                              size_t changed) {
    size_t granule = any(), line = granule / 64, bit = granule % 64;
    assume(granule >= FIRST && granule < END && granule != changed);
    claim(is_start(lines, granule) == is_start(before, granule));
    claim(!is_start(lines, granule) ||
          has_bit(lines[line].free, bit) == has_bit(before[line].free, bit));
}

static void copy_lines(struct tag_line *to, const struct tag_line *from) {
    for (size_t i = 0; i < LINES + 2; i++)
        to[i] = from[i];
}

/* Any block of sound lines, of any size, cut anywhere. */
MUTANT("osmem/tags.h", "uint64_t free = starts != 0 ? load_relaxed(&line->free) & ~bit : 0;",
       "uint64_t free = load_relaxed(&line->free) & ~bit;")
MUTANT("osmem/tags.h", "size_t first = granule / LINE_GRANULES + 1;",
       "size_t first = granule / LINE_GRANULES;")
MUTANT("osmem/tags.h", "tags_measure(lines, granule, keep);", "")
PROOF(split) {
    struct tag_line lines[LINES + 2], before[LINES + 2];
    any_sound_lines(lines);
    copy_lines(before, lines);
    size_t line = each(1, LINES), granule = any_in_line(line);
    size_t cut = any_in_line(each(line, LINES));
    size_t size = tags_size(lines, granule), keep = cut - granule;
    bool right_is_free = any() & 1;
    assume(is_start(lines, granule) && cut > granule && cut < granule + size);
    tags_split(lines, granule, size, keep, right_is_free);
    claim(is_sound(lines));
    claim(tags_size(lines, granule) == keep);
    claim(tags_left(lines, cut) == granule);
    claim(right_is_free ? tags_is_free(lines, cut) : tags_is_used(lines, cut));
    claim_others_kept(lines, before, cut);
}

/* Any block of sound lines joined to the one on its left. */
MUTANT("osmem/tags.h", "store_relaxed(&lines[end - 1].free, granules);", "")
PROOF(join) {
    struct tag_line lines[LINES + 2], before[LINES + 2];
    any_sound_lines(lines);
    copy_lines(before, lines);
    size_t left_line = each(1, LINES), line = each(left_line, LINES);
    size_t left = any_in_line(left_line), granule = any_in_line(line);
    size_t end = any_in_line(each(line, LINES + 1));
    assume(granule > FIRST && is_start(lines, granule));
    assume(left == tags_left(lines, granule) && end == granule + tags_size(lines, granule));
    tags_join(lines, granule);
    tags_measure(lines, left, end - left);
    claim(is_sound(lines));
    claim(!is_start(lines, granule));
    claim_others_kept(lines, before, granule);
}

/* Any block of sound lines becomes free, and is used again. */
MUTANT("osmem/tags.h",
       "store_relaxed(&line->free, load_relaxed(&line->free) | bit_at((unsigned)granule));",
       "store_relaxed(&line->free, bit_at((unsigned)granule));")
PROOF(mark) {
    struct tag_line lines[LINES + 2], before[LINES + 2];
    any_sound_lines(lines);
    copy_lines(before, lines);
    size_t granule = any_in_line(each(1, LINES));
    assume(is_start(lines, granule));
    tags_set_free(lines, granule);
    claim(is_sound(lines) && tags_is_free(lines, granule));
    claim_others_kept(lines, before, granule);
    tags_set_used(lines, granule);
    claim(is_sound(lines) && tags_is_used(lines, granule));
    claim_others_kept(lines, before, granule);
}

/* Rows of every size and of as many blocks as a page holds, over lines of any content. */
MUTANT("osmem/tags.h", "(starts != 0 ? load_relaxed(&line->free) & starts : 0) | row",
       "load_relaxed(&line->free) | row")
MUTANT("osmem/tags.h", "granule < end && granule < line_end;", "granule < line_end;")
PROOF(begin_row) {
    size_t granules = each(1, 32), count = 256 / granules - 1;
    struct tag_line lines[4], before[4];
    uint64_t row[4] = {0, 0, 0, 0};
    for (size_t i = 0; i < count; i++)
        row[i * granules / 64] |= bit_at((unsigned)(i * granules));
    for (size_t line = 0; line < 4; line++)
        before[line] = lines[line] = (struct tag_line){any(), any()};
    tags_begin_row(lines, 0, granules, count);
    for (size_t line = 0; line < 4; line++) {
        uint64_t kept = before[line].starts;
        claim(lines[line].starts == (kept | row[line]));
        claim(lines[line].free ==
              (row[line] == 0 ? before[line].free : (before[line].free & kept) | row[line]));
    }
}
