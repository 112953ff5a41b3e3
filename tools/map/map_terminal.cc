#include "tools/map/map_terminal.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/ioctl.h>
#include <unistd.h>

namespace osmem {

namespace {

enum State { USED, FREE, PURGED, UNTOUCHED, METADATA, MAPPED, KEPT, STATES };

struct Look {
    const char *name;
    char letter;
    unsigned char red, green, blue; // those of the page (map_page.css)
};

const Look looks[STATES] = {
    {"in use", '#', 0x2f, 0x7e, 0xd8},       {"free", '.', 0x5b, 0xb9, 0x74},
    {"free, purged", '~', 0xb5, 0xdd, 0xbf}, {"untouched end", '_', 0x8a, 0x8f, 0x98},
    {"metadata", 'm', 0xe8, 0x93, 0x2c},     {"mapped", 'M', 0x8e, 0x62, 0xc9},
    {"mapped, kept", 'k', 0xd6, 0xbd, 0xee},
};

// How many bytes of a cell are in each state; none: there is no memory.
using Cell = std::array<size_t, STATES>;

size_t bytes_in(const Cell &cell) {
    size_t sum = 0;
    for (const size_t bytes : cell)
        sum += bytes;
    return sum;
}

struct Row {
    uint64_t address; // of its first cell
    std::vector<Cell> cells;
};

struct Group {
    std::string title;
    std::vector<Row> rows;
};

// ---- from blocks to cells ----------------------------------------------------------------------

// Cells of a stretch of memory, which starts with a new cell.
class Stretch {
  public:
    Stretch(uint64_t address, size_t bytes, size_t scale)
        : address_(address), scale_(scale), cells_((bytes + scale - 1) / scale) {}

    void add(size_t begin, size_t end, State state) {
        while (begin < end) {
            const size_t next = std::min(end, begin / scale_ * scale_ + scale_);
            cells_[begin / scale_][state] += next - begin;
            begin = next;
        }
    }
    // Appends the cells to rows of at most `width`, with `gap` empty ones in front.
    void append_to(std::vector<Row> *rows, size_t width, size_t gap) const {
        for (size_t index = 0; index < cells_.size(); index++) {
            const bool is_full = rows->empty() || rows->back().cells.size() >= width;
            if (!is_full && index == 0)
                rows->back().cells.resize(std::min(width, rows->back().cells.size() + gap));
            if (rows->empty() || rows->back().cells.size() >= width)
                rows->push_back({address_ + index * scale_, {}});
            rows->back().cells.push_back(cells_[index]);
        }
    }

  private:
    const uint64_t address_;
    const size_t scale_;
    std::vector<Cell> cells_;
};

void add_free(const SnapshotRegion &region, const Block &block, size_t page_bytes,
              Stretch *stretch) {
    const size_t end = block.end * MAP_GRANULE_BYTES;
    for (size_t offset = block.begin * MAP_GRANULE_BYTES; offset < end;) {
        const size_t next = std::min(end, offset / page_bytes * page_bytes + page_bytes);
        const bool resident = is_resident(region.residency, offset, page_bytes);
        stretch->add(offset, next, resident ? FREE : PURGED);
        offset = next;
    }
}

Stretch stretch_of(const SnapshotRegion &region, size_t page_bytes, size_t scale) {
    const map_region &place = region.place;
    Stretch stretch(place.address, place.committed * MAP_GRANULE_BYTES, scale);
    stretch.add(0, place.first * MAP_GRANULE_BYTES, METADATA);
    for (size_t granule = place.first; granule < place.top;) {
        const Block block = snapshot_block(region, granule);
        if (block.is_free)
            add_free(region, block, page_bytes, &stretch);
        else
            stretch.add(block.begin * MAP_GRANULE_BYTES, block.end * MAP_GRANULE_BYTES, USED);
        granule = block.end;
    }
    stretch.add(place.top * MAP_GRANULE_BYTES, place.committed * MAP_GRANULE_BYTES, UNTOUCHED);
    return stretch;
}

Stretch stretch_of(const SnapshotMapping &mapping, size_t scale) {
    Stretch stretch(mapping.place.address, mapping.place.length, scale);
    stretch.add(0, mapping.place.length, mapping.place.kept ? KEPT : MAPPED);
    return stretch;
}

std::string heap_title(const map_heap &heap) {
    return "heap " + std::to_string(heap.number) +
           (heap.merged   ? ", taken over by another"
            : heap.parked ? ", its thread has ended"
                          : "");
}

std::vector<Group> lay_out(const Snapshot &snapshot, size_t width, size_t scale) {
    std::vector<Group> groups;
    for (const map_heap &heap : snapshot.heaps) {
        Group group{heap_title(heap), {}};
        for (const SnapshotRegion &region : snapshot.regions)
            if (region.place.heap == heap.number)
                stretch_of(region, snapshot.header.page_bytes, scale)
                    .append_to(&group.rows, width, 0);
        if (!group.rows.empty())
            groups.push_back(std::move(group));
    }
    Group mapped{"mapped blocks", {}};
    for (const SnapshotMapping &mapping : snapshot.mappings)
        stretch_of(mapping, scale).append_to(&mapped.rows, width, 1);
    if (!mapped.rows.empty())
        groups.push_back(std::move(mapped));
    return groups;
}

// ---- from cells to text ------------------------------------------------------------------------

std::string text(const char *format, ...) __attribute__((format(printf, 1, 2)));

std::string text(const char *format, ...) {
    char buffer[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return buffer;
}

std::string size_text(size_t bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    double value = double(bytes);
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    return text(unit == 0 || value == double(size_t(value)) ? "%.0f %s" : "%.1f %s", value,
                units[unit]);
}

char letter_of(const Cell &cell) {
    const auto most = std::max_element(cell.begin(), cell.end());
    return *most == 0 ? ' ' : looks[most - cell.begin()].letter;
}

struct Rgb {
    unsigned red, green, blue;
};

Rgb mix(const Cell &cell) {
    size_t red = 0, green = 0, blue = 0;
    const size_t sum = bytes_in(cell);
    for (size_t state = 0; state < STATES; state++) {
        red += cell[state] * looks[state].red;
        green += cell[state] * looks[state].green;
        blue += cell[state] * looks[state].blue;
    }
    return {unsigned(red / sum), unsigned(green / sum), unsigned(blue / sum)};
}

// The arguments of an escape sequence that sets the colour of the letter, or of what is behind it.
std::string colour_code(const Rgb &colour, bool behind, Colours colours) {
    const char *const where = behind ? "48" : "38";
    if (colours == Colours::ALL)
        return text("%s;2;%u;%u;%u", where, colour.red, colour.green, colour.blue);
    const auto step = [](unsigned value) { return value < 48 ? 0 : (value - 35) / 40; };
    return text("%s;5;%u", where,
                16 + 36 * step(colour.red) + 6 * step(colour.green) + step(colour.blue));
}

// One line for two rows of cells: the upper half of each character and the lower one.
std::string coloured_line(const Row &upper, const Row *lower, Colours colours) {
    std::string line, before;
    for (size_t index = 0; index < upper.cells.size(); index++) {
        const bool has_upper = bytes_in(upper.cells[index]) > 0;
        const bool has_lower =
            lower != nullptr && index < lower->cells.size() && bytes_in(lower->cells[index]) > 0;
        std::string code = "0";
        const char *character = " ";
        if (has_upper) {
            code += ";" + colour_code(mix(upper.cells[index]), false, colours);
            character = "▀";
        }
        if (has_lower) {
            code += ";" + colour_code(mix(lower->cells[index]), has_upper, colours);
            character = has_upper ? "▀" : "▄";
        }
        if (code != before)
            line += "\033[" + code + "m";
        before = code;
        line += character;
    }
    return line + "\033[0m";
}

std::string plain_line(const Row &row) {
    std::string line;
    for (const Cell &cell : row.cells)
        line += letter_of(cell);
    return line;
}

std::string legend(const TerminalStyle &style, size_t scale) {
    std::string line = "one cell is " + size_text(scale) + ":";
    for (const Look &look : looks) {
        line += "  ";
        if (style.colours == Colours::NONE)
            line += look.letter;
        else
            line += "\033[" + colour_code({look.red, look.green, look.blue}, false, style.colours) +
                    "m█\033[0m";
        line += std::string(" ") + look.name;
    }
    return line + "\n";
}

constexpr size_t ADDRESS_COLUMNS = 15; // "0x7f0123456789 "

size_t lines_of(const std::vector<Group> &groups, Colours colours) {
    size_t lines = 0;
    for (const Group &group : groups)
        lines += 1 + (colours == Colours::NONE ? group.rows.size() : (group.rows.size() + 1) / 2);
    return lines;
}

size_t memory_of(const Snapshot &snapshot) {
    size_t bytes = 0;
    for (const SnapshotRegion &region : snapshot.regions)
        bytes += region.place.committed * MAP_GRANULE_BYTES;
    for (const SnapshotMapping &mapping : snapshot.mappings)
        bytes += mapping.place.length;
    return bytes;
}

} // namespace

TerminalStyle terminal_style(bool no_colour) {
    TerminalStyle style{Colours::NONE, 80, 24};
    winsize window;
    const char *const term = std::getenv("TERM");
    const char *const none = std::getenv("NO_COLOR"); // https://no-color.org
    const char *const all = std::getenv("COLORTERM");
    const bool is_terminal = isatty(STDOUT_FILENO);
    if (is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
        style.columns = window.ws_col;
        style.lines = window.ws_row;
    }
    if (is_terminal && !no_colour && (none == nullptr || *none == '\0') && term != nullptr &&
        std::strcmp(term, "dumb") != 0)
        style.colours =
            all != nullptr && (std::strcmp(all, "truecolor") == 0 || std::strcmp(all, "24bit") == 0)
                ? Colours::ALL
                : Colours::FEW;
    return style;
}

std::string terminal_picture(const Snapshot &snapshot, const TerminalStyle &style) {
    // In steps of 16, so that rows begin at round addresses.
    const size_t width = std::max<size_t>(style.columns - ADDRESS_COLUMNS, 16) / 16 * 16;
    const size_t rows = style.lines * (style.colours == Colours::NONE ? 1 : 2);
    size_t scale = MAP_GRANULE_BYTES;
    while (memory_of(snapshot) / scale > width * rows)
        scale *= 2;
    std::vector<Group> groups = lay_out(snapshot, width, scale);
    // Each heap takes two lines at least, and each mapping a cell: the scale may not help.
    for (size_t before = SIZE_MAX; lines_of(groups, style.colours) > style.lines &&
                                   lines_of(groups, style.colours) < before;) {
        before = lines_of(groups, style.colours);
        groups = lay_out(snapshot, width, scale *= 2);
    }
    std::string picture;
    for (const Group &group : groups) {
        picture += group.title + "\n";
        const size_t step = style.colours == Colours::NONE ? 1 : 2;
        for (size_t index = 0; index < group.rows.size(); index += step) {
            const Row &row = group.rows[index];
            const Row *next = index + 1 < group.rows.size() ? &group.rows[index + 1] : nullptr;
            picture += text("%#14" PRIx64 " ", row.address);
            picture += step == 1 ? plain_line(row) : coloured_line(row, next, style.colours);
            picture += "\n";
        }
    }
    return picture + legend(style, scale);
}

std::string terminal_totals(const Snapshot &snapshot) {
    const Totals totals = snapshot_totals(snapshot);
    const bool is_known = !(snapshot.header.flags & MAP_NO_RESIDENCY);
    std::string table = text("process %" PRIu64, snapshot.header.pid);
    if (snapshot.header.flags & MAP_RECORDED)
        table += text(", %.3f s after the start of the recording",
                      double(snapshot.header.time_ns) / 1e9);
    table += "\n";
    const auto line = [&table](const char *name, size_t bytes) {
        table += text("  %-12s %15zu bytes", name, bytes);
    };
    const auto with_count = [&](const char *name, size_t bytes, size_t count, const char *what) {
        line(name, bytes);
        table += text(" in %zu %s\n", count, what);
    };
    with_count("allocated", totals.allocated, totals.allocated_blocks, "blocks");
    with_count("free", totals.free, totals.free_blocks, "blocks");
    if (is_known) {
        line("  purged", totals.purged);
        table += "\n";
    }
    line("untouched", totals.untouched);
    table += "\n";
    line("metadata", totals.metadata);
    table += "\n";
    with_count("heap", totals.heap, totals.heaps, "heaps");
    with_count("mapped", totals.mapped, totals.mapped_blocks, "blocks");
    line("cached", totals.mapped_cached);
    table += "\n";
    if (is_known) {
        line("resident", totals.resident);
        table += "\n";
    }
    if (snapshot.heaps.size() < 2)
        return table;
    for (const map_heap &heap : snapshot.heaps) {
        const Totals own = snapshot_heap_totals(snapshot, heap.number);
        table += text("  %-9s %15zu bytes: %zu allocated in %zu blocks, %zu free in %zu\n",
                      ("heap " + std::to_string(heap.number)).c_str(), own.heap, own.allocated,
                      own.allocated_blocks, own.free, own.free_blocks);
    }
    return table;
}

} // namespace osmem
