/*
 * Line charts as SVG, for people without a plotting program.
 */
#ifndef OSMEM_TOOLS_CHART_H
#define OSMEM_TOOLS_CHART_H

#include <string>
#include <utility>
#include <vector>

namespace osmem {

struct Series {
    std::string name;
    std::vector<std::pair<double, double>> points; // by x
    bool is_emphasised = false;                    // drawn thicker
    bool is_reference = false;                     // drawn in black and dashed
};

struct Tick {
    double value;
    std::string text;
};

struct Chart {
    std::string title, x_title, y_title;
    std::vector<Series> series;
    bool log_y = false;        // only for values above 0
    std::vector<Tick> x_ticks; // empty: at round numbers
};

std::string chart_svg(const Chart &chart);

// A colour that stays with the name wherever it is drawn among `names`.
std::string chart_colour(const std::string &name, const std::vector<std::string> &names);

// With &, < and > as XML wants them.
std::string xml_text(const std::string &text);

} // namespace osmem

#endif
