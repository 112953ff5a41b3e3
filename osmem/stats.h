/*
 * stats.h - exact counters and the walk over every block, both public (utils/osmem.h): a scan over
 * the tags when asked, so that nothing is counted on the fast paths.
 */
#ifndef OSMEM_OSMEM_STATS_H
#define OSMEM_OSMEM_STATS_H

#include "utils/osmem.h"

#endif
