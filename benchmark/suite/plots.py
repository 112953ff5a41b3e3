"""SVG plots, by gnuplot; all data stands in the scripts that it is given.

    time_memory.svg      CPU time against peak memory: a small dot for each workload, a large one
                         for the geometric means of each allocator; dots beyond 8 and below
                         1/16 are not shown
    scaling.svg          operations a second against threads
    heap_size.svg        cost of an operation against the size of the heap
    burst_and_idle.svg   resident memory over time
"""

import os
import shutil
import subprocess

# Colours that also the colour-blind tell apart (Okabe and Ito, 2008); osmem's is the strongest.
KNOWN = {"glibc": "777777", "osmem": "D55E00"}
OTHERS = ["0072B2", "009E73", "CC79A7", "E69F00", "56B4E9", "000000", "8C510A", "762A83"]

PANELS = {
    "all": "all workloads",
    "single": "single-threaded",
    "multi": "multi-threaded",
    "real": "real programs",
}


def check(say):
    if shutil.which("gnuplot") is None:
        say("suite: gnuplot is not installed (Debian: gnuplot-nox), so there will be no plots")


def colours_of(names):
    others = iter(OTHERS * len(names))
    return {name: KNOWN.get(name) or next(others) for name in names}


def gnuplot(path, size, script, say):
    head = "set terminal svg size %s font 'sans-serif,13' background rgb 'white'\n" % size
    head += "set output '%s'\nset grid lc rgb '#dddddd'\nset border 3 lc rgb '#444444'\n" % path
    head += "set tics nomirror\n"
    done = subprocess.run(
        ["gnuplot"], input=(head + script).encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if done.returncode != 0:
        say("suite: gnuplot: " + done.stderr.decode(errors="replace").strip())


def data(name, rows):
    text = "\n".join(" ".join("%.6g" % number for number in row) for row in rows)
    return "$%s << END\n%s\nEND\n" % (name, text)


def time_memory(results, means, names):
    """Four panels, logarithmic; 1 is glibc. Dots far off would squeeze all others."""
    colours = colours_of(names)
    script = "set multiplot layout 2,2 margins 0.07,0.98,0.19,0.95 spacing 0.09,0.14\n"
    script += "set logscale xy 2\nset xrange [0.0625<*:*<8]\nset yrange [*:*<8]\n"
    script += "set xlabel 'CPU time / glibc'\nset ylabel 'peak memory / glibc'\n"
    script += "set format xy '%g'\nset key at screen 0.52,0.05 center center vertical maxrows 3\n"
    for panel, of_group in means.items():
        dots, centres = [], []
        for index, name in enumerate(names):
            mean = of_group[name]
            if not mean["workloads"]:
                continue
            ratios = [each["allocators"][name]["ratio"] for each in results
                      if panel in ("all", each["group"])]
            rows = [(ratio["cpu_s"], ratio["peak_bytes"]) for ratio in ratios if ratio]
            title = name if panel == "all" else ""
            size = 1.7 if name == "osmem" else 1.3
            script += data("dots_%s_%d" % (panel, index), rows)
            script += data("mean_%s_%d" % (panel, index), [(mean["cpu_s"], mean["peak_bytes"])])
            dots.append("$dots_%s_%d with points pt 7 ps 0.4 lc rgb '#A0%s' notitle"
                        % (panel, index, colours[name]))
            centres.append("$mean_%s_%d with points pt 7 ps %g lc rgb '#%s' title '%s' noenhanced"
                           % (panel, index, size, colours[name], title))
        script += "set title '%s'\n" % PANELS[panel]
        if dots:
            script += "plot " + ", ".join(dots + centres) + "\n"
    return script


def lines(curves, names, columns, style):
    colours = colours_of(names)
    script, parts = "", []
    for index, name in enumerate(names):
        if not curves.get(name):
            continue
        script += data("line_%d" % index, curves[name])
        width = 3 if name == "osmem" else 1.5
        parts.append("$line_%d using %s with %s lw %g lc rgb '#%s' title '%s' noenhanced"
                     % (index, columns, style, width, colours[name], name))
    return script, parts


def draw(folder, results, means, curves, names, say):
    if shutil.which("gnuplot") is None:
        return
    file = lambda name: os.path.join(folder, name + ".svg")
    if results:
        gnuplot(file("time_memory"), "1000,800", time_memory(results, means, names), say)
    settings = {
        "scaling": ("set xlabel 'threads'\nset ylabel 'million operations / s'\nset yrange [0:*]\n"
                    "set logscale x 2\n", "1:2", "linespoints pt 7 ps 0.6"),
        "heap_size": ("set xlabel 'live MiB'\nset ylabel 'CPU ns / operation'\nset yrange [0:*]\n"
                      "set logscale x 4\n", "1:2", "linespoints pt 7 ps 0.6"),
        "burst_and_idle": ("set xlabel 'seconds'\nset ylabel 'resident MiB'\nset yrange [0:*]\n",
                           "1:2", "lines"),
    }
    for name, of_curve in curves.items():
        if name not in settings:
            continue
        head, columns, style = settings[name]
        script, parts = lines(of_curve, names, columns, style)
        if name == "burst_and_idle" and of_curve.get(names[0]):
            parts.append("$line_0 using 1:3 with lines dt 2 lc rgb '#000000' title 'live (%s)'"
                         % names[0])
        if parts:
            head += "set key outside right top spacing 1.2\n"
            gnuplot(file(name), "900,450", head + script + "plot " + ", ".join(parts) + "\n", say)
