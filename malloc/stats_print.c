/*
 * stats_print.c - OSMEM_CONF=stats_print:on: the table of malloc_stats when the program ends.
 *
 * Programs that check their last write close standard error before our turn comes, and may open
 * other files at its number. So the descriptor is duplicated at the start, and what it then is
 * (device and inode) is compared before anything is written: a report never lands in a file of the
 * program's. A program that closes all descriptors it knows nothing about gets its report on
 * standard error, if that is still what it was, else nowhere.
 */
#include "malloc/report.h"
#include "osmem/conf.h"
#include "osmem/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where programs do not expect the lowest free descriptor. */
enum { LOWEST_DUPLICATE = 100 };

static int duplicate = -1;
static struct stat at_start;

static bool is_still_standard_error(int descriptor) {
    struct stat now;
    return fstat(descriptor, &now) == 0 && now.st_dev == at_start.st_dev &&
           now.st_ino == at_start.st_ino;
}

__attribute__((constructor)) static void stats_print_prepare(void) {
    thread_read_conf();
    if (!conf.stats_print)
        return;
    int kept = errno;
    if (fstat(STDERR_FILENO, &at_start) == 0) {
        duplicate = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LOWEST_DUPLICATE);
        if (duplicate < 0) /* the limit of descriptors is that low */
            duplicate = STDERR_FILENO;
    }
    errno = kept;
}

/* Runs last of all: 101 is the lowest priority that is not the compiler's own. */
__attribute__((destructor(101))) static void stats_print_at_exit(void) {
    if (duplicate < 0)
        return;
    if (is_still_standard_error(duplicate))
        report_table(duplicate);
    else if (is_still_standard_error(STDERR_FILENO))
        report_table(STDERR_FILENO);
}
