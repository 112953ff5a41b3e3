/*
 * map.h - a picture of all heaps as a file: os_heap_map (utils/osmem.h), and the table by which
 * `osmem map` draws one of a process that it has stopped. The file is described in map_format.h.
 *
 * Both locks are held while it is written, so that no region changes hands and no mapping goes; the
 * tags are what they are at the instant at which the kernel copies them. Nothing is allocated, and
 * the stack is used for some hundred bytes only: the call can be made from a signal handler. There
 * the interrupted thread may itself hold a lock, and its tables be half changed: that is refused.
 */
#ifndef OSMEM_OSMEM_MAP_H
#define OSMEM_OSMEM_MAP_H

#include "osmem/map_format.h"
#include "utils/osmem.h"

OSMEM_API extern const struct map_layout os_map_layout;

#endif
