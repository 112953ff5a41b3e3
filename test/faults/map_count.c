/*
 * map_count - the process has as many mappings as vm.max_map_count allows: none can be added, and
 * none be cut in two. Blocks are NULL with ENOMEM or good, what is freed loses its memory also
 * where the kernel cannot unmap it, and when there is room again, all is as before.
 */
#include "test/faults/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAPPED_BLOCKS 64

/* Far above what any system needs for itself, and quick to use up. */
#define MOST 2000000

static size_t max_map_count(void) {
    char text[32] = "";
    int file = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    close(file);
    return size > 0 ? strtoul(text, NULL, 10) : SIZE_MAX;
}

int main(void) {
    static struct workload workload = {.random = 1, .largest = MIB, .limit = 64 * MIB};
    size_t most = max_map_count(), page = (size_t)sysconf(_SC_PAGESIZE);
    if (most > MOST)
        skip("vm.max_map_count is too high or cannot be read");
    workload_run(&workload, 3000);
    unsigned char *mapped[MAPPED_BLOCKS];
    for (size_t i = 0; i < MAPPED_BLOCKS; i++) {
        mapped[i] = malloc(MIB);
        require(mapped[i] != NULL, "NULL before the fault");
        memset(mapped[i], 1, MIB);
    }

    char *pages =
        mmap(NULL, most * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(pages != MAP_FAILED, "mmap: %s", strerror(errno));
    size_t i = 1;
    while (i < most && mprotect(pages + i * page, page, PROT_READ) == 0)
        i += 2;
    require(i < most, "the limit is not felt");
    /* The last one or two that are left. */
    while (mmap(NULL, page, i++ % 2 ? PROT_READ : PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED) {
    }

    workload_run(&workload, 3000);
    workload_require(&workload);
    require_sound_heap();
    size_t before = status_kib("VmRSS:") * KIB;
    for (size_t j = 0; j < MAPPED_BLOCKS; j += 2)
        free(mapped[j]);
    for (size_t j = 1; j < MAPPED_BLOCKS; j += 2)
        free(mapped[j]);
    workload_free(&workload, 2);
    size_t after = status_kib("VmRSS:") * KIB;
    require(after + MAPPED_BLOCKS * MIB / 2 < before,
            "of %zu KiB, %zu KiB stay after blocks of 64 MiB were freed", before / KIB,
            after / KIB);
    require_sound_heap();

    munmap(pages, most * page);
    size_t refused = workload.refused;
    workload_run(&workload, 3000);
    require(workload.refused == refused, "refused although there is room again");
    workload_free(&workload, 1);
    require_sound_heap();
    return 0;
}
