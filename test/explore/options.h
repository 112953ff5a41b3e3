/* options.h - what is explored: macros of the target, on the core with its constants. */
#ifndef OSMEM_TEST_EXPLORE_OPTIONS_H
#define OSMEM_TEST_EXPLORE_OPTIONS_H

#include TINY_INTERNAL_H

#ifndef UNITS
#define UNITS 6 /* the hole's size */
#endif
#ifndef UNIT
#define UNIT 1 /* what every size is a multiple of, in granules */
#endif
#ifndef BEHIND
#define BEHIND 0 /* granules that stay in use behind the hole; 0: it is the untouched end */
#endif
#ifndef MOST
#define MOST (UNITS * UNIT) /* the largest size that is asked for */
#endif
#ifndef WITH_TRIM
#define WITH_TRIM 1
#endif
#ifndef WITH_REALLOC
#define WITH_REALLOC 1
#endif
#ifndef EXACT
#define EXACT 1 /* every placement is the best fit: a small heap */
#endif
#ifndef TAKEN_MOST
#define TAKEN_MOST 0
#endif

#endif
