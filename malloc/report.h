/*
 * report.h - malloc_info: the allocator's statistics in glibc's schema.
 */
#ifndef OSMEM_MALLOC_REPORT_H
#define OSMEM_MALLOC_REPORT_H

#include <stdio.h>

/*
 * Writes the statistics to the stream in the schema of glibc's malloc_info: a <heap> for each heap,
 * then their totals. Free blocks are counted by powers of two. Returns 0, or -1 with errno when
 * there is no memory or the stream could not be written to.
 */
int report_xml(FILE *stream);

#endif
