/*
 * heaps THREADS [KIB [one]] - so many threads live at once; each allocates 1000 blocks of 100 bytes
 * and as many KIB in one block, of which it touches the first page, and they wait for each other.
 * Prints what the process then has in memory, how much of it in huge pages, and in mappings that
 * are to have huge pages, or never to, all in KiB. "one": they live one after the other.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_barrier_t together;
static size_t large;
static int one;

static void *work(void *context) {
    static __thread void *blocks[1000];
    for (size_t i = 0; i < 1000; i++)
        memset(blocks[i] = malloc(100), 1, 100);
    char *block = malloc(large + 1);
    *block = 1;
    if (!one) {
        pthread_barrier_wait(&together); /* all live */
        pthread_barrier_wait(&together); /* it was looked */
    }
    for (size_t i = 0; i < 1000; i++)
        free(blocks[i]);
    free(block);
    return context;
}

/* KiB of the mappings that have a flag. */
static size_t flagged_kib(const char *flag) {
    char line[1024];
    size_t sum = 0, kib = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "Size: %zu", &kib);
        if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, flag) != NULL)
            sum += kib;
    }
    if (file != NULL)
        fclose(file);
    return sum;
}

/* The sum over all mappings. */
static size_t smaps_kib(const char *name) {
    char line[1024];
    size_t sum = 0, kib;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), "%zu", &kib) == 1)
            sum += kib;
    }
    if (file != NULL)
        fclose(file);
    return sum;
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    large = (argc > 2 ? strtoul(argv[2], NULL, 10) : 0) * 1024;
    one = argc > 3;
    pthread_t *threads = calloc(count, sizeof *threads);
    pthread_barrier_init(&together, NULL, (unsigned)count + 1);
    for (size_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
        if (one)
            pthread_join(threads[i], NULL);
    }
    if (!one)
        pthread_barrier_wait(&together);
    printf("%zu %zu %zu %zu\n", smaps_kib("Rss:"), smaps_kib("AnonHugePages:"), flagged_kib(" hg"),
           flagged_kib(" nh"));
    fflush(stdout);
    if (!one) {
        pthread_barrier_wait(&together);
        for (size_t i = 0; i < count; i++)
            pthread_join(threads[i], NULL);
    }
    free(threads);
    return 0;
}
