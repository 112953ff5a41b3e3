/* mremap, environ */
#define _GNU_SOURCE
#include "osmem/conf.h"

#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "osmem/system.h"
#include "utils/bits.h"
#include "utils/die.h"

#define VARIABLE "OSMEM_CONF="

/* A build of its own may have the guarded mode on by default (.bazelrc). */
#ifndef OSMEM_GUARD
#define OSMEM_GUARD 0
#endif

struct conf conf = {.mapped_cache = true, .purge = true};

/* The table of options; all are switches. */
static const struct {
    const char *key;
    bool *value;
} options[] = {
    {"guard", &conf.guard},         {"mapped_cache", &conf.mapped_cache}, {"purge", &conf.purge},
    {"requested", &conf.requested}, {"stats_print", &conf.stats_print},
};

static bool is_word(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool set_option(const char *key, size_t key_length, const char *value, size_t length) {
    bool on = is_word(value, length, "on");
    if (!on && !is_word(value, length, "off"))
        return false;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (is_word(key, key_length, options[i].key)) {
            *options[i].value = on;
            return true;
        }
    }
    return false;
}

static void parse(const char *text) {
    const char *start = text;
    while (*text != '\0') {
        size_t length = strcspn(text, ","), key_length = strcspn(text, ":,");
        if (length > 0 &&
            (key_length == length ||
             !set_option(text, key_length, text + key_length + 1, length - key_length - 1)))
            die_warn("OSMEM_CONF: unknown option at character", (uintptr_t)(text - start));
        text += length + (text[length] == ',');
    }
}

static void read_environment(void) {
    /* Not before: what is allocated earlier is not guarded, whatever the variable says. */
    conf.guard = OSMEM_GUARD;
    bool ignored = getauxval(AT_SECURE) != 0;
    for (char **variable = environ; !ignored && *variable != NULL; variable++) {
        if (strncmp(*variable, VARIABLE, sizeof VARIABLE - 1) == 0)
            parse(*variable + sizeof VARIABLE - 1);
    }
    /* In the guarded mode it is counted anyway, and the quick sets are of use. */
    conf.requested = (conf.requested || conf.stats_print) && !conf.guard;
    conf.exact = conf.requested || conf.guard;
}

void conf_read(void) {
    static struct system_lock lock;
    static bool done;
    /* The dynamic linker allocates before the C library knows the environment. */
    if (__atomic_load_n(&done, __ATOMIC_ACQUIRE) || environ == NULL)
        return;
    system_lock(&lock);
    if (!load_relaxed(&done)) {
        read_environment();
        __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    }
    system_unlock(&lock);
}
