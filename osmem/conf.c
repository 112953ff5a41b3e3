/* mremap, environ */
#define _GNU_SOURCE
#include "osmem/conf.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "osmem/checker.h"
#include "osmem/system.h"
#include "osmem/watch.h"
#include "utils/bits.h"
#include "utils/die.h"

#define VARIABLE "OSMEM_CONF="
#define SIGNAL_MAX 64

/* A build of its own may have the guarded mode on by default (.bazelrc). */
#ifndef OSMEM_GUARD
#define OSMEM_GUARD 0
#endif

struct conf conf = {.mapped_cache = true, .purge = true};

static bool is_word(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool set_switch(void *to, const char *value, size_t length) {
    bool on = is_word(value, length, "on");
    if (on || is_word(value, length, "off"))
        *(bool *)to = on;
    return on || is_word(value, length, "off");
}

static bool set_text(void *to, const char *value, size_t length) {
    if (length == 0 || length >= CONF_TEXT_BYTES)
        return false;
    memcpy(to, value, length);
    ((char *)to)[length] = '\0';
    return true;
}

static bool set_signal(void *to, const char *value, size_t length) {
    int number = 0;
    for (size_t i = 0; i < length && number <= SIGNAL_MAX; i++) {
        if (value[i] < '0' || value[i] > '9')
            return false;
        number = 10 * number + (value[i] - '0');
    }
    if (number < 1 || number > SIGNAL_MAX)
        return false;
    *(int *)to = number;
    return true;
}

/* Off, on, which is text, or a format. */
static bool set_report(void *to, const char *value, size_t length) {
    static const char *const formats[] = {
        [OS_STATS_TEXT] = "text", [OS_STATS_JSON] = "json", [OS_STATS_PROMETHEUS] = "prometheus"};
    struct conf_report *report = to;
    if (set_switch(&report->wanted, value, length)) {
        report->format = OS_STATS_TEXT;
        return true;
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (is_word(value, length, formats[i])) {
            *report = (struct conf_report){true, (enum os_stats_format)i};
            return true;
        }
    }
    return false;
}

/* docs/options.md has the same table for readers; a test compares the two. */
const struct conf_option conf_options[] = {
    {"guard", set_switch, &conf.guard},
    {"mapped_cache", set_switch, &conf.mapped_cache},
    {"purge", set_switch, &conf.purge},
    {"requested", set_switch, &conf.requested},
    {"thp", set_switch, &conf.thp},
    {"probes", set_switch, &conf.probes},
    {"names", set_switch, &conf.names},
    {"stats_print", set_report, &conf.stats_print},
    {"stats_file", set_text, conf.stats_file},
    {"map", set_text, conf.map},
    {"map_signal", set_signal, &conf.map_signal},
};
const size_t conf_option_count = sizeof conf_options / sizeof conf_options[0];

static bool set_option(const char *key, size_t key_length, const char *value, size_t length) {
    for (size_t i = 0; i < conf_option_count; i++) {
        if (is_word(key, key_length, conf_options[i].key))
            return conf_options[i].set(conf_options[i].value, value, length);
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
    conf.guard = OSMEM_GUARD || checker_is_there();
    bool ignored = getauxval(AT_SECURE) != 0;
    for (char **variable = environ; !ignored && *variable != NULL; variable++) {
        if (strncmp(*variable, VARIABLE, sizeof VARIABLE - 1) == 0)
            parse(*variable + sizeof VARIABLE - 1);
    }
    conf.checked = conf.guard && checker_is_there();
    conf.watched = watch_prepare(conf.probes);
    /* In the guarded mode it is counted anyway, and the quick sets are of use. */
    conf.requested = (conf.requested || conf.stats_print.wanted) && !conf.guard;
    conf.exact = conf.requested || conf.guard || conf.watched;
    if (conf.names)
        system_name_mappings();
}

void conf_read(void) {
    static struct system_lock lock;
    /* A word, so that no other variable shares one with what threads meet at: that is how finely
     * the explorer of schedules tells accesses apart. */
    static uint32_t done;
    /* The dynamic linker allocates before the C library knows the environment. */
    if (__atomic_load_n(&done, __ATOMIC_ACQUIRE) || environ == NULL)
        return;
    system_lock(&lock);
    if (!load_relaxed(&done)) {
        read_environment();
        __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    }
    system_unlock(&lock);
}
