/*
 * map_request.c - OSMEM_CONF=map:PREFIX: the program writes maps of its heap (osmem/map.h) to
 * PREFIX.PID.N.osmap, N counting from 0: one when it ends, and with map_signal:S one whenever that
 * signal comes, unless the program has a use for it of its own.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "osmem/conf.h"
#include "osmem/map.h"
#include "utils/die.h"
#include "utils/printf.h"

static unsigned count;

/* In a signal handler, too. */
static void write_map(void) {
    char path[CONF_TEXT_BYTES + 40];
    int saved = errno;
    unsigned number = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    os_snprintf(path, sizeof path, "%s.%d.%u.osmap", conf.map, (int)getpid(), number);
    if (os_heap_map(path) != 0)
        die_warn(errno == EBUSY ? "no map: the signal came at a lock of ours, send it again"
                                : "no map: it could not be written; errno",
                 (uintptr_t)errno);
    errno = saved;
}

static void on_signal(int signal_number) {
    (void)signal_number;
    write_map();
}

__attribute__((constructor)) static void map_prepare(void) {
    struct sigaction action;
    conf_read();
    if (conf.map[0] == '\0' || conf.map_signal == 0 ||
        sigaction(conf.map_signal, NULL, &action) != 0 || action.sa_handler != SIG_DFL)
        return;
    action = (struct sigaction){.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigaction(conf.map_signal, &action, NULL);
}

/* Runs last of all, as the statistics do. */
__attribute__((destructor(101))) static void map_at_exit(void) {
    if (conf.map[0] != '\0')
        write_map();
}
