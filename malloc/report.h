/*
 * report.h - the allocator's statistics for people and for programs: malloc_stats, malloc_info and
 * the table at the end of a program.
 */
#ifndef OSMEM_MALLOC_REPORT_H
#define OSMEM_MALLOC_REPORT_H

#include <stdio.h>

/* Writes the statistics as a table to the descriptor; neither allocates nor uses stdio. */
void report_table(int descriptor);

/*
 * Writes the statistics to the stream in the schema of glibc's malloc_info: a <heap> for each heap,
 * then their totals. Free blocks are counted by powers of two. Returns 0, or -1 with errno when
 * there is no memory or the stream could not be written to.
 */
int report_xml(FILE *stream);

#endif
