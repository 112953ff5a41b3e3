/*
 * A server that gives each request a heap of its own: what a request allocates is freed at once
 * with its heap, and one that asks for too much fails alone.
 *
 *     bazel run //examples:own_heap
 *
 * Each request is a text to be split into words and counted. Its heap has a cap. When that is hit,
 * the request first loses its cache; if that is not enough, it is given up, and the server goes on.
 */
#include <stdio.h>
#include <string.h>

#include "osmem.h"

enum {
    CAP = 64 * 1024,
    REQUESTS = 3,
};

struct word {
    struct word *next;
    size_t count;
    char text[];
};

struct request {
    struct os_heap *heap;
    struct word *words;
    void *cache; /* what the request can do without */
};

/* The cap is hit: frees what can be done without; 0 if there is nothing. */
static int drop_cache(struct os_heap *heap, size_t size, void *context) {
    struct request *const request = context;
    if (request->cache == NULL)
        return 0;
    printf("  no room for %zu bytes: the cache goes\n", size);
    os_heap_free(heap, request->cache);
    request->cache = NULL;
    return 1; /* once more */
}

/* Returns 0, or -1 without memory. */
static int count_word(struct request *request, const char *text, size_t length) {
    struct word **link = &request->words;
    while (*link != NULL && strcmp((*link)->text, text) != 0)
        link = &(*link)->next;
    if (*link == NULL) {
        struct word *const word = os_heap_malloc(request->heap, sizeof *word + length + 1);
        if (word == NULL)
            return -1;
        word->next = NULL;
        word->count = 0;
        memcpy(word->text, text, length + 1);
        *link = word;
    }
    (*link)->count++;
    return 0;
}

/* Words of eight characters, `distinct` different ones. Returns 0, or -1 without memory. */
static int serve(struct request *request, size_t words, size_t distinct) {
    request->cache = os_heap_malloc(request->heap, CAP / 2);
    for (size_t index = 0; index < words; index++) {
        char text[16];
        const int length = snprintf(text, sizeof text, "word%04zu", index % distinct);
        if (count_word(request, text, (size_t)length) != 0)
            return -1;
    }
    return 0;
}

int main(void) {
    static const size_t distinct[REQUESTS] = {100, 1500, 10000};
    for (size_t index = 0; index < REQUESTS; index++) {
        struct request request = {NULL, NULL, NULL};
        const struct os_heap_options options = {
            .size = sizeof options,
            .name = "request",
            .cap = CAP,
            .exhausted = drop_cache,
            .context = &request,
        };
        request.heap = os_heap_create(&options);
        if (request.heap == NULL) {
            perror("own_heap");
            return 1;
        }
        printf("request of %zu words\n", distinct[index]);
        const int failed = serve(&request, 2 * distinct[index], distinct[index]);
        struct os_stats stats;
        os_heap_stats_of(request.heap, &stats);
        printf("  %s: %zu blocks, at most %d bytes\n", failed ? "given up" : "served",
               stats.allocated_blocks, CAP);
        os_heap_destroy(request.heap); /* with all its blocks */
    }
    struct os_stats stats;
    os_malloc_stats(&stats);
    printf("at the end: %zu blocks\n", stats.allocated_blocks);
    return 0;
}
