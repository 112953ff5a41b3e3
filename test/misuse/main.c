/*
 * crimes list              one line for each crime, of fields separated by tabs: name, kind, what
 * is expected of osmem as shipped, what in guarded mode crimes run NAME [BYTES]  commits it, after
 * so many bytes of live blocks; how to read what comes of it stands in crime.h
 */
/* dlsym's RTLD_DEFAULT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test/misuse/crime.h"
#include "test/misuse/shadow.h"

static void commit_nothing(const struct crime *crime) {
    shadow_free(shadow_surrounded(crime->size));
}

/* The model must find nothing where nothing is wrong. */
static const struct crime no_crimes[] = {
    {.name = "none-small",
     .commit = commit_nothing,
     .size = SMALL,
     .shipped = UNNOTICED,
     .guarded = UNNOTICED},
    {.name = "none-large",
     .commit = commit_nothing,
     .size = LARGE,
     .shipped = UNNOTICED,
     .guarded = UNNOTICED},
    {.name = "none-mapped",
     .commit = commit_nothing,
     .size = MAPPED,
     .shipped = UNNOTICED,
     .guarded = UNNOTICED},
    {0},
};

static const struct {
    const char *name;
    const struct crime *crimes;
} kinds[] = {
    {"innocent", no_crimes},       {"freed", freed_crimes},           {"foreign", foreign_crimes},
    {"interior", interior_crimes}, {"mapped", mapped_crimes},         {"racing", racing_crimes},
    {"overflow", overflow_crimes}, {"after free", after_free_crimes}, {"poison", poison_crimes},
    {"forged", forged_crimes},
};

static const struct {
    unsigned call;
    const char *prefix;
} calls[] = {{0, ""}, {FREE, "free-"}, {REALLOC, "realloc-"}, {USABLE_SIZE, "usable-size-"}};

char *crime_stack;
char crime_global[OWN_BYTES];

static volatile bool is_crime; /* what faults now is the crime's own access */

/* ---- the tools ------------------------------------------------------------------------------- */

static void say(const char *text) {
    ssize_t written = write(STDOUT_FILENO, text, strlen(text));
    (void)written;
}

_Noreturn void crime_impossible(const char *why) {
    say(why);
    say("\n");
    _exit(EXIT_IMPOSSIBLE);
}

void crime_free(void *ptr) {
    free(ptr);
    shadow_drop(ptr); /* if it was handed out again */
}

void crime_call(unsigned call, void *ptr, size_t size) {
    if (call == FREE)
        crime_free(ptr);
    if (call == USABLE_SIZE)
        malloc_usable_size(ptr);
    if (call == REALLOC) {
        char *volatile got = realloc(ptr, 2 * size);
        if (got != NULL)
            shadow_enter(got, 2 * size, true);
    }
}

void crime_write(void *ptr, int byte, size_t size) {
    volatile char *bytes = ptr;
    shadow_spoil(ptr, size);
    is_crime = true;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)byte;
    is_crime = false;
}

void crime_write_word(void *ptr, size_t word) {
    for (size_t i = 0; i < sizeof word; i++)
        crime_write((char *)ptr + i, (int)(word >> 8 * i & 255), 1);
}

void crime_in_thread(void *(*run)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        crime_impossible("no thread to be had");
    pthread_join(thread, NULL);
}

/* ---- one crime --------------------------------------------------------------------------------
 */

static void fault(int signal, siginfo_t *info, void *context) {
    (void)info;
    (void)context;
    if (is_crime) {
        say("the crime's own access hit a page that is not there\n");
        _exit(EXIT_TRAPPED);
    }
    if (shadow_is_touching())
        shadow_corrupted("memory that the program holds is not there");
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(signal, &usual, NULL); /* once more, and for the last time */
}

static void watch_faults(void) {
    static char stack[64 * 1024];
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct rlimit none = {0, 0};
    sigaltstack(&alternative, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    setrlimit(RLIMIT_CORE, &none);
}

/* In builds of osmem that can be asked. */
static void check_heap(void) {
    void *found = dlsym(RTLD_DEFAULT, "os_heap_check");
    int (*check)(void);
    memcpy(&check, &found, sizeof check);
    if (found != NULL && check() != 0)
        shadow_corrupted("an invariant is broken");
}

static void run(const struct crime *crime, unsigned call, size_t live) {
    char own[OWN_BYTES] __attribute__((aligned(16)));
    crime_stack = own;
    watch_faults();
    shadow_enter(own, sizeof own, false);
    shadow_enter(crime_global, sizeof crime_global, false);
    shadow_live_in(live);

    if (call != 0) {
        void *ptr = crime->pointer(crime);
        say("prepared\n");
        crime_call(call, ptr, crime->size);
    } else {
        crime->commit(crime);
    }
    say("committed\n");
    shadow_aftermath(crime->size);
    check_heap();
    say("ended well\n");
}

/* ---- the command line -------------------------------------------------------------------------
 */

typedef void visitor(const char *name, const char *kind, const struct crime *crime, unsigned call);

static void each_crime(visitor *visit) {
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (const struct crime *crime = kinds[kind].crimes; crime->name != NULL; crime++) {
            for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
                char name[100];
                if (crime->calls == 0 ? i != 0 : !(crime->calls & calls[i].call))
                    continue;
                snprintf(name, sizeof name, "%s%s", calls[i].prefix, crime->name);
                visit(name, kinds[kind].name, crime, calls[i].call);
            }
        }
    }
}

static void print(const char *name, const char *kind, const struct crime *crime, unsigned call) {
    (void)call;
    printf("%s\t%s\t%s\t%s\n", name, kind, crime->shipped, crime->guarded);
}

static struct {
    const char *name;
    const struct crime *crime;
    unsigned call;
} wanted;

static void find(const char *name, const char *kind, const struct crime *crime, unsigned call) {
    (void)kind;
    if (strcmp(name, wanted.name) == 0) {
        wanted.crime = crime;
        wanted.call = call;
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        each_crime(print);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (argc >= 3 && argc <= 4 && strcmp(argv[1], "run") == 0) {
        wanted.name = argv[2];
        each_crime(find);
        if (wanted.crime != NULL) {
            run(wanted.crime, wanted.call, argc == 4 ? strtoul(argv[3], NULL, 10) : 0);
            return EXIT_WELL;
        }
        fprintf(stderr, "crimes: no crime is called '%s'\n", argv[2]);
        return 2;
    }
    fputs("usage: crimes list | crimes run NAME [BYTES]\n", stderr);
    return 2;
}
