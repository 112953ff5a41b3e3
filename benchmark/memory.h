/*
 * memory.h - what the process holds in physical memory, read without allocating.
 *
 * The harness keeps its own arrays in mappings that are populated before the first measurement, so
 * that they neither count nor share a heap with the allocator under test.
 */
#ifndef OSMEM_BENCHMARK_MEMORY_H
#define OSMEM_BENCHMARK_MEMORY_H

#include <cstddef>

namespace benchmarks {

/* Bytes of the process in physical memory now, counted page by page (smaps_rollup). */
std::size_t memory_resident();

/*
 * The highest resident size since the process began, or since the last memory_reset_peak (VmHWM).
 * The kernel's counters lag by up to some tens of pages for each CPU.
 */
std::size_t memory_peak();

/* Makes the present resident size the peak. False where the kernel does not allow it. */
bool memory_reset_peak();

/* Zeroed memory of the harness, resident from the start; dies when there is none. */
void *memory_map(std::size_t size);

template <typename T> T *memory_map_array(std::size_t count) {
    return static_cast<T *>(memory_map(count * sizeof(T)));
}

} // namespace benchmarks

#endif
