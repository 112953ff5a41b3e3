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

#define CONF_TEXT_BYTES 512

struct conf {
    bool guard;                /* the guarded mode (guard.h) */
    bool mapped_cache;         /* keep freed mappings for lengths that come again */
    bool purge;                /* give pages of free memory back to the kernel unasked (purge.h) */
    bool requested;            /* count what was asked for exactly; no quick sets then, so slower */
    bool stats_print;          /* the drop-in prints the statistics at exit; implies `requested` */
    bool exact;                /* either of `guard` and `requested`: no option of its own */
    char map[CONF_TEXT_BYTES]; /* the drop-in writes maps to files that begin so; "": none */
    int map_signal;            /* and not only at exit, but when this signal comes; 0: no */
};
extern struct conf conf;

/* Reads the options if the environment is there and they were not read yet. Any thread. */
void conf_read(void);

#endif
