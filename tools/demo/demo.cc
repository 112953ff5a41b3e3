/*
 * osmem trace-demo: what each call of a short script does to the heap, and what other policies
 * would have done, in the terminal and as a page.
 */
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "nlohmann/json.hpp"
#include "tools/command.h"
#include "tools/demo/demo_heap.h"
#include "tools/demo/demo_script.h"
#include "tools/files.h"
#include "tools/map/map_terminal.h"
#include "tools/options.h"

namespace osmem {

namespace {

const char HELP[] =
    "usage: osmem trace-demo [OPTION]... [SCRIPT]\n"
    "\n"
    "Runs a script of malloc, realloc and free on osmem and shows after each line how the heap\n"
    "lies and what happened: split, best fit, coalescing, reallocation in place. Then compares\n"
    "with heaps that choose by first fit, next fit, best fit and worst fit and merge at once.\n"
    "\n"
    "  SCRIPT         a file, - for standard input (default: a script that shows all of it)\n"
    "      --script   print the default script, to start from\n"
    "      --html F   write it as one self-contained page, too\n"
    "      --no-color no colours; as NO_COLOR in the environment, and when standard output is no\n"
    "                 terminal\n"
    "      --columns N  as if the window was that wide\n"
    "  -h, --help     print this\n"
    "\n"
    "A line is 'malloc NAME SIZE', 'realloc NAME SIZE', 'free NAME', 'random COUNT MOST SEED'\n"
    "(COUNT calls of malloc, up to MOST bytes each, and free), 'say TEXT' or '# a comment'.\n"
    "\n"
    "In the picture a letter or colour is a block in use, beginning with its name's first letter;\n"
    "dots are free, a comma where a free block begins.\n"
    "\n"
    "example: printf 'malloc a 40\\nmalloc b 9\\nfree a\\nmalloc c 20\\n' | osmem trace-demo -\n";

struct Options {
    std::string script, html;
    bool no_colour = false, print_script = false;
    size_t columns = 0;
};

Options parse(int argc, char **argv) {
    Options options;
    const std::vector<std::string> operands = parse_options(
        argc, argv, Operands::COMMAND,
        {option_flag("script", &options.print_script), option_text("html", &options.html),
         option_flag("no-color", &options.no_colour),
         option_count("columns", &options.columns, 32, 10000)});
    if (operands.size() > 1)
        throw UsageError("'" + operands[1] + "' is one argument too many");
    if (!operands.empty())
        options.script = operands[0];
    return options;
}

// ---- the run -----------------------------------------------------------------------------------

struct Outcome {
    std::string explanation;
    std::vector<DemoPicture> pictures; // of each heap, after the step; osmem's is the first
    size_t calls;                      // of the script so far
};

struct Demo {
    std::vector<DemoStep> steps;
    std::vector<Outcome> outcomes;
    std::vector<std::string> names;        // of the heaps
    std::vector<std::vector<size_t>> ends; // of each heap, after each call
    std::vector<size_t> live;              // bytes in use, the same

    size_t peak(size_t heap) const {
        return *std::max_element(ends[heap].begin(), ends[heap].end());
    }
};

Demo run_script(std::vector<DemoStep> steps) {
    std::vector<std::unique_ptr<DemoHeap>> heaps = demo_policies();
    heaps.insert(heaps.begin(), demo_osmem());
    Demo demo;
    demo.steps = std::move(steps);
    demo.ends.resize(heaps.size());
    DemoPicture before;
    for (const DemoStep &step : demo.steps) {
        Outcome outcome;
        for (const DemoCall &call : step.calls) {
            outcome.pictures.clear();
            for (size_t heap = 0; heap < heaps.size(); heap++) {
                heaps[heap]->perform(call);
                outcome.pictures.push_back(heaps[heap]->picture());
                demo.ends[heap].push_back(outcome.pictures.back().end());
            }
            demo.live.push_back(outcome.pictures[0].live());
        }
        outcome.calls = demo.live.size();
        const DemoPicture &after = outcome.pictures[0];
        outcome.explanation =
            step.calls.size() == 1
                ? demo_explain(step.calls[0], before, after)
                : std::to_string(step.calls.size()) + " calls; " + std::to_string(after.live()) +
                      " bytes are in use now, in a heap of " + std::to_string(after.end());
        before = after;
        demo.outcomes.push_back(std::move(outcome));
    }
    for (const auto &heap : heaps)
        demo.names.push_back(heap->name());
    return demo;
}

// ---- the terminal ------------------------------------------------------------------------------

// One line: so many bytes a column, each block with as many columns as begin in it.
std::string row_of(const DemoPicture &picture, size_t scale, const TerminalStyle &style) {
    const bool coloured = style.colours != Colours::NONE;
    std::string row;
    for (const DemoBlock &block : picture.blocks) {
        const size_t first = (block.begin + scale - 1) / scale;
        const size_t end = (block.begin + block.size + scale - 1) / scale;
        for (size_t column = first; column < end; column++) {
            const char letter = block.is_free()   ? (column == first ? ',' : '.')
                                : column == first ? block.name[0]
                                                  : '#';
            if (coloured && column == first)
                row += block.is_free() ? "\033[0;38;5;16;48;5;72m" : "\033[0;38;5;231;48;5;26m";
            row += coloured && letter != block.name[0] ? ' ' : letter;
        }
    }
    return row + (coloured ? "\033[0m" : "");
}

size_t scale_for(size_t bytes, size_t columns) {
    size_t scale = 16;
    while (bytes / scale >= columns)
        scale *= 2;
    return scale;
}

// The scale is that of the single calls, so that their pictures can be compared; a step of many
// calls has its own.
void print_steps(const Demo &demo, const TerminalStyle &style) {
    const size_t columns = style.columns - 4;
    size_t single = 0;
    for (size_t index = 0; index < demo.steps.size(); index++)
        if (demo.steps[index].calls.size() == 1)
            single = std::max(single, demo.outcomes[index].pictures[0].end());
    const size_t scale = scale_for(single, columns);
    std::printf("One column is %zu bytes.\n", scale);
    for (size_t index = 0; index < demo.steps.size(); index++) {
        const DemoStep &step = demo.steps[index];
        const Outcome &outcome = demo.outcomes[index];
        const DemoPicture &picture = outcome.pictures[0];
        if (!step.say.empty())
            std::printf("\n%s\n", step.say.c_str());
        std::printf("\n%3zu %s\n    %s\n", index + 1, step.line.c_str(),
                    outcome.explanation.c_str());
        const size_t own = std::max(scale, scale_for(picture.end(), columns));
        if (own != scale)
            std::printf("    (here a column is %zu bytes)\n", own);
        std::printf("    %s\n", row_of(picture, own, style).c_str());
    }
}

void print_comparison(const Demo &demo, const TerminalStyle &style) {
    size_t longest = 0;
    for (const DemoPicture &picture : demo.outcomes.back().pictures)
        longest = std::max(longest, picture.end());
    const size_t scale = scale_for(longest, style.columns - 1);
    std::printf("\nThe same calls under other policies (one column is %zu bytes):\n\n", scale);
    for (size_t heap = 0; heap < demo.names.size(); heap++) {
        const DemoPicture &picture = demo.outcomes.back().pictures[heap];
        std::printf(
            "%-10s peak %zu bytes; in the end %zu in use in a heap of %zu, %zu free blocks, "
            "the largest %zu\n%s\n",
            demo.names[heap].c_str(), demo.peak(heap), picture.live(), picture.end(),
            picture.free_blocks(), picture.largest_free(), row_of(picture, scale, style).c_str());
    }
}

// ---- the page ----------------------------------------------------------------------------------

const char PAGE[] =
#include "tools/demo/demo_page.inc"
    ;

nlohmann::json picture_json(const DemoPicture &picture) {
    nlohmann::json blocks = nlohmann::json::array();
    for (const DemoBlock &block : picture.blocks)
        blocks.push_back({block.begin, block.size, block.name});
    return blocks;
}

void write_page(const Demo &demo, const std::string &path) {
    nlohmann::json data = {{"names", demo.names}, {"ends", demo.ends}, {"live", demo.live}};
    for (size_t index = 0; index < demo.steps.size(); index++) {
        nlohmann::json step = {{"line", demo.steps[index].line},
                               {"say", demo.steps[index].say},
                               {"explanation", demo.outcomes[index].explanation},
                               {"call", demo.outcomes[index].calls}};
        for (const DemoPicture &picture : demo.outcomes[index].pictures)
            step["pictures"].push_back(picture_json(picture));
        data["steps"].push_back(step);
    }
    std::string text = data.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    // Within a script element nothing may look like its end.
    for (size_t at = 0; (at = text.find('<', at)) != std::string::npos;)
        text.replace(at, 1, "\\u003c");
    std::string page = PAGE;
    const std::string mark = "@DATA@";
    page.replace(page.find(mark), mark.size(), text);
    write_file(path, {page});
}

int demo(int argc, char **argv) {
    const Options options = parse(argc, argv);
    if (options.print_script) {
        std::fputs(DEMO_SCRIPT, stdout);
        return 0;
    }
    const bool is_default = options.script.empty();
    const Demo done =
        run_script(is_default ? demo_parse(DEMO_SCRIPT, "the default script")
                              : demo_parse(read_file(options.script), options.script));
    TerminalStyle style = terminal_style(options.no_colour);
    if (options.columns != 0)
        style.columns = options.columns;
    print_steps(done, style);
    print_comparison(done, style);
    if (!options.html.empty()) {
        write_page(done, options.html);
        std::fprintf(stderr, "osmem trace-demo: wrote %s\n", options.html.c_str());
    }
    return 0;
}

} // namespace

const Command demo_command = {"trace-demo", "show step by step what calls do to a heap", HELP,
                              demo};

} // namespace osmem
