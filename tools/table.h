/*
 * Tables for people, and the small texts in them.
 */
#ifndef OSMEM_TOOLS_TABLE_H
#define OSMEM_TOOLS_TABLE_H

#include <cstdio>
#include <string>
#include <vector>

namespace osmem {

using Row = std::vector<std::string>;

// Rows of equal length; the first column is flush left, the last one as well and not padded, those
// between flush right.
void print_rows(const std::vector<Row> &rows, FILE *file);

// Words with spaces between them, cut off where that grows longer than a line.
std::string joined(const std::vector<std::string> &words);

// "732 B", "1.5 KiB", "12.3 MiB".
std::string bytes_text(double bytes);

// "850 ns", "1.20 us", "3.40 ms", "12.00 s".
std::string duration_text(double nanoseconds);

// As printf.
__attribute__((format(printf, 1, 2))) std::string formatted(const char *form, ...);

} // namespace osmem

#endif
