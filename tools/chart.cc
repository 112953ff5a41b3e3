#include "tools/chart.h"

#include <algorithm>
#include <cmath>

#include "tools/table.h"

namespace osmem {

namespace {

const int WIDTH = 860, HEIGHT = 420;
const int LEFT = 80, RIGHT = 170, TOP = 40, BOTTOM = 60; // margins
const size_t POINTS_MOST = 800;                          // of a line

struct Axis {
    double low = 0, high = 1;
    bool log = false;
    double share(double value) const { // 0 at the low end, 1 at the high one
        if (log)
            return std::log(value / low) / std::log(high / low);
        return (value - low) / (high - low);
    }
};

// About five round numbers from low to high.
std::vector<Tick> round_ticks(const Axis &axis) {
    std::vector<Tick> ticks;
    if (axis.log) {
        for (double value = std::pow(10, std::ceil(std::log10(axis.low) - 1e-9));
             value <= axis.high * 1.0001; value *= 10)
            ticks.push_back({value, formatted("%g", value)});
        return ticks;
    }
    const double rough = (axis.high - axis.low) / 5;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = power;
    for (const double factor : {2.0, 5.0, 10.0})
        if (power * factor <= rough * 1.5)
            step = power * factor;
    for (double value = std::ceil(axis.low / step) * step; value <= axis.high + step / 1000;
         value += step)
        ticks.push_back({value, formatted("%g", value)});
    return ticks;
}

void widen(Axis *axis, double value, bool *first) {
    axis->low = *first ? value : std::min(axis->low, value);
    axis->high = *first ? value : std::max(axis->high, value);
    *first = false;
}

double x_of(const Axis &axis, double value) {
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT);
}

double y_of(const Axis &axis, double value) {
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM);
}

// Of each stretch that is one point wide the lowest and the highest, so that no peak is lost.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>> &all) {
    if (all.size() <= POINTS_MOST)
        return all;
    std::vector<std::pair<double, double>> kept;
    const size_t stretch = (all.size() * 2 + POINTS_MOST - 1) / POINTS_MOST;
    for (size_t begin = 0; begin < all.size(); begin += stretch) {
        const auto first = all.begin() + long(begin);
        const auto last = all.begin() + long(std::min(all.size(), begin + stretch));
        auto [low, high] = std::minmax_element(
            first, last, [](const auto &a, const auto &b) { return a.second < b.second; });
        if (high < low)
            std::swap(low, high);
        kept.push_back(*low);
        kept.push_back(*high);
    }
    return kept;
}

std::string line_svg(const Series &series, const Axis &x, const Axis &y,
                     const std::string &colour) {
    std::string points;
    for (const auto &[at, value] : thinned(series.points))
        if (!y.log || value > 0)
            points += formatted("%.1f,%.1f ", x_of(x, at), y_of(y, value));
    return formatted("<polyline fill='none' stroke='%s' stroke-width='%s'%s points='",
                     colour.c_str(), series.is_emphasised ? "2.5" : "1.4",
                     series.is_reference ? " stroke-dasharray='5 4'" : "") +
           points + "'/>\n";
}

std::string text_svg(double x, double y, const char *anchor, const std::string &text) {
    return formatted("<text x='%.1f' y='%.1f' text-anchor='%s'>", x, y, anchor) + xml_text(text) +
           "</text>\n";
}

} // namespace

std::string xml_text(const std::string &text) {
    std::string safe;
    for (const char c : text)
        safe += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
    return safe;
}

// Those that also the colour-blind tell apart (Okabe and Ito, 2008); osmem's is the strongest.
std::string chart_colour(const std::string &name, const std::vector<std::string> &names) {
    static const char *const others[] = {"#0072b2", "#009e73", "#cc79a7", "#e69f00",
                                         "#56b4e9", "#8c510a", "#762a83", "#000000"};
    if (name == "osmem")
        return "#d55e00";
    if (name == "glibc")
        return "#777777";
    size_t index = 0;
    for (const std::string &other : names) {
        if (other == name)
            break;
        index += other != "osmem" && other != "glibc";
    }
    return others[index % 8];
}

std::string chart_svg(const Chart &chart) {
    Axis x, y;
    y.log = chart.log_y;
    bool first_x = true, first_y = true;
    std::vector<std::string> names;
    for (const Series &series : chart.series) {
        names.push_back(series.name);
        for (const auto &[at, value] : series.points) {
            if (y.log && value <= 0)
                continue;
            widen(&x, at, &first_x);
            widen(&y, value, &first_y);
        }
    }
    if (y.log) {
        y.low = std::pow(10, std::floor(std::log10(y.low)));
        y.high = std::max(y.high, y.low * 10);
    } else {
        y.low = std::min(y.low, 0.0);
        y.high = y.high > y.low ? y.low + (y.high - y.low) * 1.05 : y.low + 1;
    }
    x.high = x.high > x.low ? x.high : x.low + 1;

    std::string svg = formatted("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' "
                                "font-family='sans-serif' font-size='12'>\n"
                                "<rect width='%d' height='%d' fill='white'/>\n",
                                WIDTH, HEIGHT, WIDTH, HEIGHT);
    svg += "<g font-size='14'>" + text_svg(LEFT, 24, "start", chart.title) + "</g>\n";
    for (const Tick &tick : chart.x_ticks.empty() ? round_ticks(x) : chart.x_ticks) {
        const double at = x_of(x, tick.value);
        svg += formatted("<path d='M%.1f %d V%d' stroke='#dddddd'/>\n", at, TOP, HEIGHT - BOTTOM);
        svg += text_svg(at, HEIGHT - BOTTOM + 18, "middle", tick.text);
    }
    for (const Tick &tick : round_ticks(y)) {
        const double at = y_of(y, tick.value);
        svg += formatted("<path d='M%d %.1f H%d' stroke='#dddddd'/>\n", LEFT, at, WIDTH - RIGHT);
        svg += text_svg(LEFT - 8, at + 4, "end", tick.text);
    }
    svg += formatted("<path d='M%d %d V%d H%d' fill='none' stroke='#444444'/>\n", LEFT, TOP,
                     HEIGHT - BOTTOM, WIDTH - RIGHT);
    svg += text_svg((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14, "middle", chart.x_title);
    svg += formatted("<g transform='translate(18 %d) rotate(-90)'>", (TOP + HEIGHT - BOTTOM) / 2) +
           text_svg(0, 0, "middle", chart.y_title) + "</g>\n";
    double row = TOP + 10;
    for (const Series &series : chart.series) {
        const std::string colour =
            series.is_reference ? "#000000" : chart_colour(series.name, names);
        svg += line_svg(series, x, y, colour);
        svg += formatted("<path d='M%d %.1f h24' stroke='%s' stroke-width='%s'%s/>\n",
                         WIDTH - RIGHT + 14, row - 4, colour.c_str(),
                         series.is_emphasised ? "2.5" : "1.4",
                         series.is_reference ? " stroke-dasharray='5 4'" : "");
        svg += text_svg(WIDTH - RIGHT + 44, row, "start", series.name);
        row += 18;
    }
    return svg + "</svg>\n";
}

} // namespace osmem
