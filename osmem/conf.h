/*
 * conf.h - the options of OSMEM_CONF="key:value,…", read once from the environment.
 *
 * An unknown key, or a value that the key does not take, is warned of once and ignored; the whole
 * variable is ignored in a set-user-ID program. Written once, before any thread goes on: several
 * may be the first at the same time.
 */
#ifndef OSMEM_OSMEM_CONF_H
#define OSMEM_OSMEM_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "utils/osmem.h"

#define CONF_TEXT_BYTES 512

struct conf_report {
    bool wanted;
    enum os_stats_format format;
};

struct conf {
    bool guard;                       /* the guarded mode (guard.h) */
    bool mapped_cache;                /* keep freed mappings for lengths that come again */
    bool purge;                       /* give pages of free memory back unasked (purge.h) */
    bool requested;                   /* count exactly what was asked for; no quick sets: slower */
    bool thp;                         /* ask for huge pages, which else the heap never has */
    bool probes;                      /* probes for each block (watch.h) */
    bool names;                       /* mappings get names (system.h) */
    struct conf_report stats_print;   /* the drop-in prints the statistics at exit; implies
                                       * `requested` */
    char stats_file[CONF_TEXT_BYTES]; /* to a file that begins so; "": to standard error */
    char map[CONF_TEXT_BYTES];        /* the drop-in writes maps to files that begin so; "": none */
    int map_signal;                   /* and not only at exit, but when this signal comes; 0: no */

    /* No options of their own. */
    bool exact;   /* it is known of each block what was asked for */
    bool watched; /* somebody is told of each block (watch.h) */
    bool checked; /* a memory checker sees to what the guarded mode would (checker.h) */
};
extern struct conf conf;

/* `set` takes a value, or refuses it. */
struct conf_option {
    const char *key;
    bool (*set)(void *to, const char *value, size_t length);
    void *value;
};
extern const struct conf_option conf_options[];
extern const size_t conf_option_count;

/* Reads the options if the environment is there and they were not read yet. Any thread. */
void conf_read(void);

#endif
