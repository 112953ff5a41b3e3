/* internal.h - the allocator's own headers, which are C, for suites in C++. */
#ifndef OSMEM_TEST_CORE_INTERNAL_H
#define OSMEM_TEST_CORE_INTERNAL_H

#include <cassert>
#include <cstddef>
#include <cstdint>

#define _Alignof alignof
#define _Noreturn [[noreturn]]

/* A function may be named as a struct is in C. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "osmem/bins.h"
#include "osmem/check.h"
#include "osmem/conf.h"
#include "osmem/end.h"
#include "osmem/fence.h"
#include "osmem/freed.h"
#include "osmem/guard.h"
#include "osmem/heap.h"
#include "osmem/heaps.h"
#include "osmem/hollow.h"
#include "osmem/index.h"
#include "osmem/invariants.h"
#include "osmem/large.h"
#include "osmem/map.h"
#include "osmem/mapped.h"
#include "osmem/merge.h"
#include "osmem/misuse.h"
#include "osmem/own.h"
#include "osmem/pattern.h"
#include "osmem/purge.h"
#include "osmem/quarantine.h"
#include "osmem/quick.h"
#include "osmem/region.h"
#include "osmem/slab.h"
#include "osmem/slack.h"
#include "osmem/spare.h"
#include "osmem/sparse.h"
#include "osmem/system.h"
#include "osmem/tags.h"
#include "osmem/thread.h"
#include "osmem/vacant.h"
#include "osmem/waiting.h"
#include "utils/align.h"
#include "utils/bits.h"
#include "utils/block_meta.h"
#include "utils/die.h"
}
#include "utils/osmem.h"
#pragma GCC diagnostic pop

#undef _Alignof
#undef _Noreturn

#endif
