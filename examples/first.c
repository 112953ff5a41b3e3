/*
 * A first program on osmem: lines of text that grow, in memory from os_malloc.
 *
 *     bazel run //examples:first
 *
 * os_malloc and its companions live beside the C library's malloc: the program may use both, but
 * a block goes back to the one that it came from.
 */
#include <stdio.h>
#include <string.h>

#include "osmem.h"

struct text {
    char *data;
    size_t length;
    size_t capacity; /* what of `data` may be used, the final '\0' included */
};

/* Returns 0, or -1 without memory; the text is then as it was. */
static int text_append(struct text *text, const char *words) {
    const size_t length = strlen(words);
    const size_t needed = text->length + length + 1;
    if (needed > text->capacity) {
        char *const data = os_realloc(text->data, needed);
        if (data == NULL)
            return -1;
        text->data = data;
        text->capacity = os_malloc_usable_size(data); /* never less than was asked for */
    }
    memcpy(text->data + text->length, words, length + 1);
    text->length += length;
    return 0;
}

int main(void) {
    struct text text = {NULL, 0, 0};
    static const char *const words[] = {"every ", "block ",  "is ", "a ",
                                        "whole ", "number ", "of ", "granules"};
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        if (text_append(&text, words[index]) != 0) {
            perror("first");
            return 1;
        }
    }

    int *const squares = os_calloc(100, sizeof *squares); /* all zero */
    if (squares == NULL) {
        perror("first");
        return 1;
    }
    for (int index = 0; index < 100; index++)
        squares[index] += index * index;

    struct os_stats stats;
    os_malloc_stats(&stats);
    printf("%s\n", text.data);
    printf("99 * 99 = %d\n", squares[99]);
    printf("in use: %zu blocks, %zu bytes\n", stats.allocated_blocks, stats.allocated);

    os_free(squares);
    os_free(text.data);
    os_malloc_stats(&stats);
    printf("at the end: %zu blocks, %zu bytes\n", stats.allocated_blocks, stats.allocated);
    return 0;
}
