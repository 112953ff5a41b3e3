/*
 * whole as|data - under a limit of 64 MiB memory is filled with small blocks, all are freed, and
 * then one block of 40 MiB has to be had: what was many regions, pages or runs is one again. Again
 * and again, and small blocks find as much room afterwards as before.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define LIMIT (64 * MIB)

struct node {
    struct node *next;
    size_t size;
};

/* Blocks of up to `largest` bytes until there is no more; what they hold in all. */
static size_t fill(struct node **list, size_t largest, uint64_t *random) {
    size_t bytes = 0;
    for (;;) {
        size_t size = sizeof **list + draw(random) % largest;
        struct node *node = malloc(size);
        if (node == NULL)
            break;
        memset(node, 0xa5, size);
        *node = (struct node){*list, size};
        *list = node;
        bytes += size;
    }
    require(errno == ENOMEM, "NULL with errno %d", errno);
    return bytes;
}

/* Every second first, so that neighbours meet late. */
static void empty(struct node **list) {
    for (struct node *node = *list; node != NULL && node->next != NULL; node = node->next) {
        struct node *second = node->next;
        node->next = second->next;
        free(second);
    }
    while (*list != NULL) {
        struct node *node = *list;
        *list = node->next;
        free(node);
    }
}

static void take_whole(int round) {
    char *whole = malloc(40 * MIB);
    require(whole != NULL, "no block of 40 MiB when all is free, round %d", round);
    memset(whole, round, 40 * MIB);
    free(whole);
}

int main(int argc, char **argv) {
    static const size_t largest[] = {100, 1000, 4000, 30000, 100000, 500000};
    require(argc >= 2, "usage: whole as|data");
    int resource = strcmp(argv[1], "as") == 0 ? RLIMIT_AS : RLIMIT_DATA;
    struct rlimit limit = {LIMIT + status_kib(resource == RLIMIT_AS ? "VmSize:" : "VmData:") * KIB,
                           RLIM_INFINITY};
    require(setrlimit(resource, &limit) == 0, "setrlimit: %s", strerror(errno));
    struct node *list = NULL;
    uint64_t random = 3;
    size_t rounds = count_of(argc, argv, 7, 120), first[6] = {0};
    for (size_t round = 0; round < rounds; round++) {
        size_t kind = round % 6, held = fill(&list, largest[kind], &random);
        if (round < 6)
            first[kind] = held;
        require(held >= LIMIT / 3, "refused when %zu KiB were held", held / KIB);
        require(held >= first[kind] - first[kind] / 10,
                "only %zu KiB in round %zu, where %zu KiB could be had before", held / KIB, round,
                first[kind] / KIB);
        empty(&list);
        require_sound_heap();
        take_whole((int)round);
    }
    return 0;
}
