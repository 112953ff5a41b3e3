"""The table, and what JSON says of the machine."""

import os
import platform
import time

NAME_WIDTH = 23
BASE_WIDTH = 24
CELL_WIDTH = 18
MIB = 1024 * 1024

TITLES = {
    "all": "all",
    "single": "single-threaded",
    "multi": "multi-threaded",
    "real": "real programs",
}


def line(title, cells, base):
    """A row: the title, then glibc's cell and those of the others."""
    widths = [BASE_WIDTH if name == base else CELL_WIDTH for name, _ in cells]
    text = "".join(cell.ljust(width) for (_, cell), width in zip(cells, widths))
    print((title.ljust(NAME_WIDTH) + text).rstrip(), flush=True)


def ratios(figures):
    return "%.2f %.2f %.2f" % (figures["cpu_s"], figures["wall_s"], figures["peak_bytes"])


def absolute(median):
    peak = median["peak_bytes"] / MIB
    return "%.3fs %.3fs %.1fM" % (median["cpu_s"], median["wall_s"], peak)


def cell(found, is_base):
    if found["failure"]:
        return found["failure"].split(",")[0][: CELL_WIDTH - 1]
    if is_base:
        text = absolute(found["median"])
    elif found["ratio"]:
        text = ratios(found["ratio"])
    else:  # glibc failed: nothing to compare with
        text = absolute(found["median"]).replace(" ", "", 1)[: CELL_WIDTH - 2]
    return text + ("~" if found["disturbed"] else "")


def row(result, names, base, first):
    if first:
        print("CPU time, wall time and peak resident memory, as multiples of glibc's")
        line("", [(name, name) for name in names], base)
    if first or row.group != result["group"]:
        print("\n%s" % TITLES[result["group"]])
        row.group = result["group"]
    cells = [(name, cell(result["allocators"][name], name == base)) for name in names]
    line("  " + result["workload"], cells, base)


def mean_cell(mean):
    if not mean["workloads"]:
        return "-"
    return ratios(mean) + ("!" if mean["workloads"] < mean["of"] else "")


def end(results, means, names, base, skipped, curve_failures, interrupted):
    if results:
        print("\ngeometric means")
    for group, of_group in means.items():
        cells = [(name, mean_cell(of_group[name])) for name in names]
        line("  " + TITLES[group], cells, base)
    print()
    for each in results:
        for name in names:
            found = each["allocators"][name]
            if found["failure"]:
                said = ": " + found["said"] if found["said"] else ""
                print("%s, %s: %s%s" % (name, each["workload"], found["failure"], said))
    for name, workload, what in curve_failures:
        print("%s, %s: %s" % (name, workload, what))
    for each in skipped:
        print("%s was skipped: %s" % (each["workload"], each["reason"]))
    if any(one["disturbed"] for each in results for one in each["allocators"].values()):
        print("~: all runs were disturbed by other load on this machine, repeated ones too")
    if any(mean["workloads"] < mean["of"] for group in means.values() for mean in group.values()):
        print("!: a mean of fewer workloads than glibc's, because some failed")
    if interrupted:
        print("interrupted: this is what there was")


def figures(comments, curves):
    """The curves that are a few numbers for each allocator, and no plot."""
    for name in ("latency", "retained"):
        if name in curves:
            print("\n%s: %s" % (name, comments[name]))
            for allocator, points in curves[name].items():
                for point in points:
                    print("  %-21s %s" % (allocator, " ".join("%12g" % each for each in point)))


def listing(jobs, allocators):
    for job in jobs:
        print("%-21s %-7s %s" % (job.name, job.group, job.comment))
    for name, library in allocators.items():
        print("%-21s %s" % (name, library or "(the program's own)"))


def processor():
    with open("/proc/cpuinfo") as file:
        names = [row.split(":", 1)[1].strip() for row in file if row.startswith("model name")]
    return names[0] if names else platform.machine()


def context(options, allocators):
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "processor": processor(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "load_average": os.getloadavg(),
        "allocators": allocators,
        "rounds": options.rounds,
        "scale": options.scale,
        "threads": options.threads,
        "heap_mib": options.heap,
        "retries": options.retries,
    }
