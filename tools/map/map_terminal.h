/*
 * The map of a heap as text: rows of cells to scale, coloured by what they hold, a legend and the
 * totals.
 */
#ifndef OSMEM_TOOLS_MAP_MAP_TERMINAL_H
#define OSMEM_TOOLS_MAP_MAP_TERMINAL_H

#include <string>

#include "tools/map/snapshot.h"

namespace osmem {

enum class Colours {
    NONE, // a letter for what a cell holds most of
    FEW,  // the 256 that every terminal has: two rows of cells in each line, by half blocks
    ALL,  // the same in 24 bits
};

struct TerminalStyle {
    Colours colours;
    size_t columns; // of the window
    size_t lines;   // how many the picture may take; the scale is chosen so that it does
};

// As the terminal on standard output is, and the environment asks for (NO_COLOR, TERM, COLORTERM).
TerminalStyle terminal_style(bool no_colour);

// Picture and legend.
std::string terminal_picture(const Snapshot &snapshot, const TerminalStyle &style);

// The totals, then a line for each heap, in bytes; the names are those of the statistics.
std::string terminal_totals(const Snapshot &snapshot);

} // namespace osmem

#endif
