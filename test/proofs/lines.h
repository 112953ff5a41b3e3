/* lines.h - lines of tags of any content, and the naive look at them. */
#ifndef OSMEM_TEST_PROOFS_LINES_H
#define OSMEM_TEST_PROOFS_LINES_H

#include "osmem/tags.h"

#include "test/proofs/proofs.h"

static inline void any_lines(struct tag_line *lines, size_t count) {
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct tag_line){any(), any()};
}

static inline bool is_start(const struct tag_line *lines, size_t granule) {
    return has_bit(lines[granule / 64].starts, granule % 64);
}

#endif
