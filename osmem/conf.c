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
#define SIGNAL_MAX 64

/* A build of its own may have the guarded mode on by default (.bazelrc). */
#ifndef OSMEM_GUARD
#define OSMEM_GUARD 0
#endif

struct conf conf = {.mapped_cache = true, .purge = true};

/* The options that are switches. */
static const struct {
    const char *key;
    bool *value;
} switches[] = {
    {"guard", &conf.guard},         {"mapped_cache", &conf.mapped_cache}, {"purge", &conf.purge},
    {"requested", &conf.requested}, {"stats_print", &conf.stats_print},
};

static bool is_word(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool set_switch(bool *to, const char *value, size_t length) {
    bool on = is_word(value, length, "on");
    if (on || is_word(value, length, "off"))
        *to = on;
    return on || is_word(value, length, "off");
}

static bool set_text(char *to, const char *value, size_t length) {
    if (length == 0 || length >= CONF_TEXT_BYTES)
        return false;
    memcpy(to, value, length);
    to[length] = '\0';
    return true;
}

static bool set_signal(int *to, const char *value, size_t length) {
    int number = 0;
    for (size_t i = 0; i < length && number <= SIGNAL_MAX; i++) {
        if (value[i] < '0' || value[i] > '9')
            return false;
        number = 10 * number + (value[i] - '0');
    }
    if (number < 1 || number > SIGNAL_MAX)
        return false;
    *to = number;
    return true;
}

static bool set_option(const char *key, size_t key_length, const char *value, size_t length) {
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (is_word(key, key_length, switches[i].key))
            return set_switch(switches[i].value, value, length);
    }
    if (is_word(key, key_length, "map"))
        return set_text(conf.map, value, length);
    return is_word(key, key_length, "map_signal") && set_signal(&conf.map_signal, value, length);
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
