/*
 * watch.h - who is told of what happens: static probes (utils/probe.h), and heaptrack, where a
 * program that calls os_malloc itself runs under it.
 *
 * Of blocks they are told with OSMEM_CONF=probes:on, or under heaptrack, only: the fast paths tell
 * nobody and are kept out then (thread_fast_heap), so that nothing of this costs anything
 * otherwise. The public calls tell: a block that moves is one event, `realloc`.
 */
#ifndef OSMEM_OSMEM_WATCH_H
#define OSMEM_OSMEM_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/* Once, when the options are read; true if anybody is to be told. */
bool watch_prepare(bool probes);

/* After a block was allocated, and before it is freed. */
void watch_alloc(void *block, size_t size);
void watch_free(void *block);

/* After the block at `ptr` was resized; it may be at `block` now. */
void watch_realloc(void *ptr, void *block, size_t size);

/* After these calls were made; NULL or -1: refused. Before memory is unmapped or given back. */
void watch_grow(const void *start, size_t size);
void watch_map(const void *start, size_t size);
void watch_remap(const void *old_start, size_t old_size, const void *start, size_t size);
void watch_unmap(const void *start, size_t size);
void watch_purge(const void *start, size_t size);

#endif
