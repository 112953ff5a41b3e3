#include "tools/table.h"

#include <algorithm>
#include <cstdarg>

namespace osmem {

void print_rows(const std::vector<Row> &rows, FILE *file) {
    std::vector<size_t> widths(rows.front().size() - 1); // the last column is not padded
    for (const Row &row : rows)
        for (size_t column = 0; column < widths.size(); column++)
            widths[column] = std::max(widths[column], row[column].size());
    for (const Row &row : rows) {
        std::string line;
        for (size_t column = 0; column < widths.size(); column++) {
            const std::string padding(widths[column] - row[column].size(), ' ');
            line += column == 0 ? row[column] + padding : "  " + padding + row[column];
        }
        line += "  " + row.back();
        line.erase(line.find_last_not_of(' ') + 1);
        std::fprintf(file, "%s\n", line.c_str());
    }
}

std::string joined(const std::vector<std::string> &words) {
    std::string text;
    for (const std::string &word : words)
        text += (text.empty() ? "" : " ") + word;
    return text.size() <= 80 ? text : text.substr(0, 77) + "...";
}

std::string bytes_text(double bytes) {
    const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++)
        bytes /= 1024;
    return formatted(unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

std::string duration_text(double nanoseconds) {
    if (nanoseconds < 1e3)
        return formatted("%.0f ns", nanoseconds);
    if (nanoseconds < 1e6)
        return formatted("%.2f us", nanoseconds / 1e3);
    if (nanoseconds < 1e9)
        return formatted("%.2f ms", nanoseconds / 1e6);
    return formatted("%.2f s", nanoseconds / 1e9);
}

std::string formatted(const char *form, ...) {
    char text[512];
    va_list values;
    va_start(values, form);
    std::vsnprintf(text, sizeof text, form, values);
    va_end(values);
    return text;
}

} // namespace osmem
