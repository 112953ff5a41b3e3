/*
 * stats_print.c - OSMEM_CONF=stats_print:FORMAT: the statistics when the program ends, on standard
 * error, or with stats_file:PREFIX in the file PREFIX.PID and the format's suffix.
 *
 * Programs that check their last write close standard error before our turn comes, and may open
 * other files at its number. So the descriptor is duplicated at the start, and what it then is
 * (device and inode) is compared before anything is written: a report never lands in a file of the
 * program's. A program that closes all descriptors it knows nothing about gets its report on
 * standard error, if that is still what it was, else nowhere.
 */
#include "osmem/conf.h"
#include "osmem/thread.h"
#include "utils/die.h"
#include "utils/osmem.h"
#include "utils/printf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
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
    if (!conf.stats_print.wanted || conf.stats_file[0] != '\0')
        return;
    int kept = errno;
    if (fstat(STDERR_FILENO, &at_start) == 0) {
        duplicate = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LOWEST_DUPLICATE);
        if (duplicate < 0) /* the limit of descriptors is that low */
            duplicate = STDERR_FILENO;
    }
    errno = kept;
}

static void print_to_standard_error(void) {
    if (duplicate < 0)
        return;
    if (is_still_standard_error(duplicate))
        os_malloc_stats_print(duplicate, conf.stats_print.format);
    else if (is_still_standard_error(STDERR_FILENO))
        os_malloc_stats_print(STDERR_FILENO, conf.stats_print.format);
}

static void print_to_file(void) {
    static const char *const suffixes[] = {
        [OS_STATS_TEXT] = "txt", [OS_STATS_JSON] = "json", [OS_STATS_PROMETHEUS] = "prom"};
    char path[CONF_TEXT_BYTES + 40];
    enum os_stats_format format = conf.stats_print.format;
    os_snprintf(path, sizeof path, "%s.%d.%s", conf.stats_file, (int)getpid(), suffixes[format]);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || os_malloc_stats_print(file, format) != 0)
        die_warn("no statistics: their file could not be written; errno", (uintptr_t)errno);
    if (file >= 0)
        close(file);
}

/* Runs last of all: 101 is the lowest priority that is not the compiler's own. */
__attribute__((destructor(101))) static void stats_print_at_exit(void) {
    if (!conf.stats_print.wanted)
        return;
    if (conf.stats_file[0] != '\0')
        print_to_file();
    else
        print_to_standard_error();
}
