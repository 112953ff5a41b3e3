/* filter.h - system calls of this process and its threads are refused, by the kernel: seccomp(2).
 */
#ifndef OSMEM_TEST_FAULTS_FILTER_H
#define OSMEM_TEST_FAULTS_FILTER_H

#include <stddef.h>
#include <stdint.h>

/* What happens to a call: SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | errno, ... of <linux/seccomp.h>.
 */
struct filter {
    const int *calls;
    size_t count;
    uint32_t action;    /* for these calls */
    uint32_t otherwise; /* for all others */
    uint32_t exempt;    /* calls whose sixth argument is this are allowed; 0: none are */
};

/* From now on, for good. Skips the program where the kernel allows no filters. */
void filter_install(const struct filter *filter);

#endif
