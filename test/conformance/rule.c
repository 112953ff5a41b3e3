#include "test/conformance/rule.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_BROKEN = 40, EXIT_SKIPPED = 77, LIMIT_S = 60 };

/* ---- within a rule --------------------------------------------------------------------------- */

static unsigned broken;

bool rule_check(bool condition, const char *text, const char *file, int line) {
    if (!condition && broken++ < 3)
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    return condition;
}

void rule_skip(const char *why) {
    fprintf(stderr, "skipped: %s\n", why);
    _exit(EXIT_SKIPPED);
}

size_t opaque(size_t value) {
    static volatile size_t hidden;
    hidden = value;
    return hidden;
}

void *opaque_ptr(const void *ptr) {
    static const void *volatile hidden;
    hidden = ptr;
    return (void *)hidden;
}

const size_t impossible_sizes[] = {
    (size_t)PTRDIFF_MAX + 1,
    (size_t)PTRDIFF_MAX + 2,
    (size_t)PTRDIFF_MAX + 4096,
    SIZE_MAX / 4 * 3,
    SIZE_MAX - 65536,
    SIZE_MAX - 4096,
    SIZE_MAX - 4095,
    SIZE_MAX - 64,
    SIZE_MAX - 33,
    SIZE_MAX - 16,
    SIZE_MAX - 15,
    SIZE_MAX - 8,
    SIZE_MAX - 7,
    SIZE_MAX - 1,
    SIZE_MAX,
    0,
};

const size_t sizes[] = {
    1,    2,     7,     8,     9,     15,    16,     17,     24,     25,     31,      32,      33,
    48,   63,    64,    65,    100,   127,   128,    129,    255,    256,    257,     500,     511,
    512,  513,   1000,  1023,  1024,  1025,  2047,   2048,   2049,   4095,   4096,    4097,    8192,
    9000, 16384, 32767, 32768, 32769, 65536, 100000, 131071, 131072, 131073, 1 << 20, 5000001, 0,
};

bool is_aligned(const void *ptr, size_t alignment) { return (uintptr_t)ptr % alignment == 0; }

static unsigned char byte_at(size_t place, unsigned seed) {
    return (unsigned char)(place * 31 + (place >> 8) + seed * 97 + 1);
}

void fill(void *ptr, size_t size, unsigned seed) {
    unsigned char *bytes = ptr;
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(i, seed);
}

bool is_filled(const void *ptr, size_t size, unsigned seed) {
    const unsigned char *bytes = ptr;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != byte_at(i, seed))
            return false;
    return true;
}

bool is_zero(const void *ptr, size_t size) {
    const unsigned char *bytes = ptr;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

void in_thread(void *(*run)(void *), void *argument) {
    pthread_t thread;
    if (CHECK(pthread_create(&thread, NULL, run, argument) == 0))
        CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* The wait status of the child. */
static int rule_run(const struct rule *rule) {
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        alarm(LIMIT_S);
        rule->run();
        _exit(broken == 0 ? 0 : EXIT_BROKEN);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        exit(2);
    }
    return status;
}

static const char *outcome_of(int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return "kept";
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
        return "skipped";
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "hung" : "crashed";
    return "broken";
}

static int usage(void) {
    fputs("usage: PROGRAM [--deviations] [--each] [NAME]\n"
          "  --deviations  rules that name one may fail\n"
          "  --each        a line for each rule: outcome, clause, name, deviation\n",
          stderr);
    return 2;
}

int rules_main(int argc, char **argv, const struct rule *const *tables) {
    bool may_deviate = false, each = false;
    const char *wanted = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--deviations") == 0)
            may_deviate = true;
        else if (strcmp(argv[i], "--each") == 0)
            each = true;
        else if (argv[i][0] == '-' || wanted != NULL)
            return usage();
        else
            wanted = argv[i];
    }
    unsigned count = 0, failed = 0, deviated = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (; *tables != NULL; tables++) {
        for (const struct rule *rule = *tables; rule->name != NULL; rule++) {
            if (wanted != NULL && strcmp(wanted, rule->name) != 0)
                continue;
            const char *outcome = outcome_of(rule_run(rule));
            bool good = strcmp(outcome, "kept") == 0 || strcmp(outcome, "skipped") == 0;
            bool deviates = !good && may_deviate && rule->deviation != NULL;
            count++;
            failed += !good && !deviates;
            deviated += deviates;
            if (each)
                printf("%s\t%s\t%s\t%s\n", outcome, rule->clause, rule->name,
                       rule->deviation != NULL ? rule->deviation : "");
            else if (deviates)
                printf("deviates: %s (%s): %s\n", rule->name, rule->clause, rule->deviation);
            else if (!good || strcmp(outcome, "skipped") == 0)
                printf("%s: %s (%s)\n", outcome, rule->name, rule->clause);
        }
    }
    if (!each)
        printf("%u rules, %u failed, %u deviate\n", count, failed, deviated);
    return failed == 0 && count != 0 ? 0 : 1;
}
