/*
 * memory.cc - reads /proc/self with a buffer on the stack, so that reading disturbs no heap.
 */
#include "benchmark/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace benchmarks {

namespace {

constexpr std::size_t KIB = 1024;

/* The number of KiB behind `field` in the file at `path`, as bytes; 0 if it is not there. */
std::size_t field_of(const char *path, const char *field) {
    char text[8 * KIB];
    std::size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    for (;;) {
        ssize_t count = read(fd, text + length, sizeof text - 1 - length);
        if (count <= 0)
            break;
        length += static_cast<std::size_t>(count);
    }
    close(fd);
    text[length] = '\0';
    const char *line = std::strstr(text, field);
    return line == nullptr ? 0 : std::strtoul(line + std::strlen(field), nullptr, 10) * KIB;
}

} // namespace

std::size_t memory_resident() {
    std::size_t exact = field_of("/proc/self/smaps_rollup", "\nRss:");
    return exact != 0 ? exact : field_of("/proc/self/status", "\nVmRSS:");
}

std::size_t memory_peak() { return field_of("/proc/self/status", "\nVmHWM:"); }

bool memory_reset_peak() {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool done = write(fd, "5", 1) == 1;
    close(fd);
    return done;
}

void *memory_map(std::size_t size) {
    void *area = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        std::perror("benchmark: no memory for the harness");
        std::abort();
    }
    return area;
}

} // namespace benchmarks
