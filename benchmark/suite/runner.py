"""The field suite: time and memory of whole programs under every allocator found here.

    bazel run //benchmark:suite -- [OPTION]...

The workloads are our own, after the classic patterns of the literature, with one thread and with
several, and real programs that are installed here, with inputs made here. Each is run by
`osmem compare` under glibc, osmem and the others in turns (A B C A B C), each time in a process of
its own; figures are the medians of the rounds.

How to read the table: CPU time (user and system), time by the clock and peak resident memory, as
multiples of glibc's, whose own figures come first. Less is better. A cell that says CRASHED, TIMED
OUT or the like stands for at least one run that did not end as it should; `~` marks cells whose
runs were all disturbed by other load, also when repeated. The last rows are geometric means; `!`
says that cells are missing from that mean.
"""

import argparse
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import plots
import programs
import report

BASE = "glibc"
WALL_TO_CPU = 1.3  # more than that, of a program that never waits: something else ran
FOREIGN_CPUS = 0.3  # as much may be taken from the processors that a workload uses
SHORT_S = 0.1  # in less time the kernel's ticks say nothing
HEAP_SHARE = 0.75  # of the memory for the largest heap: live bytes


class Problem(Exception):
    """Ends the suite with status 2."""


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


# ---- what is run -------------------------------------------------------------------------------


def runfile(path):
    """A file that Bazel built: we are started in the folder that holds all of them."""
    if not os.path.isfile(path):
        raise Problem("%s is missing: start this by bazel run //benchmark:suite" % path)
    return os.path.abspath(path)


class Job:
    """A workload: its name, group, comment, threads (0: it waits for others) and command."""

    def __init__(self, name, group, comment, threads, prepare):
        self.name, self.group, self.comment, self.threads = name, group, comment, threads
        self.prepare = prepare  # of a scratch folder: the command line; or raises Missing


def own_jobs(options):
    listing = subprocess.run([options.workload, "--list"], stdout=subprocess.PIPE, check=True)
    for line in listing.stdout.decode().splitlines():
        name, group, comment = line.split("\t")
        command = [options.workload, name, str(options.scale), str(options.threads)]
        threads = options.threads if group == "multi" else 1
        yield Job(name, group, comment, threads, lambda folder, command=command: command)


def real_jobs(options):
    for name, (function, comment, threads) in programs.PROGRAMS.items():
        prepare = lambda folder, function=function: function(programs.Bench(folder, options.scale))
        yield Job(name, "real", comment, threads, prepare)


def jobs_wanted(options):
    jobs = [job for job in own_jobs(options) if job.group != "curve" or options.plots]
    jobs += real_jobs(options)
    order = ["single", "multi", "real", "curve"]
    jobs.sort(key=lambda job: order.index(job.group))
    return [job for job in jobs if options.filter.search(job.name)]


def allocators_wanted(options):
    """Names and libraries, None for glibc's own, as `osmem compare` finds them."""
    listing = subprocess.run(
        [options.osmem, "compare", "--list"] + options.choice,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    if listing.returncode != 0:
        raise Problem(listing.stderr.strip().split("\n")[0])
    found = dict(line.split(None, 1) for line in listing.stdout.splitlines())
    return {name: path if path.startswith("/") else None for name, path in found.items()}


# ---- measuring ---------------------------------------------------------------------------------


class Load:
    """What else this machine does between two moments, in processors."""

    def __init__(self):
        self.start = self.now()

    @staticmethod
    def now():
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, stolen = map(int, file.readline().split()[1:9])
        busy = (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            busy -= usage.ru_utime + usage.ru_stime
        return busy, time.monotonic()

    def foreign_cpus(self):
        busy, moment = self.now()
        elapsed = moment - self.start[1]
        return (busy - self.start[0]) / elapsed if elapsed > SHORT_S else 0


def is_disturbed(job, run, foreign_cpus):
    if job.threads == 0 or run["remark"]:
        return False
    if job.threads == 1:
        return run["wall_s"] > WALL_TO_CPU * run["cpu_s"] + 0.02
    spare = max(0, os.cpu_count() - job.threads)
    return foreign_cpus > spare + FOREIGN_CPUS


def compare(options, job, command, names, folder):
    """One run of the command under each of `names`, in turn: allocator -> run."""
    path = os.path.join(folder, "compare.json")
    environment = dict(os.environ, HOME=folder, **programs.ENVIRONMENT)
    line = [options.osmem, "compare", "-n", "1", "--warmup", "0", "--json", path, "--show-output"]
    line += ["--timeout", str(options.limit), "--allocators", ",".join(names)]
    for each in options.added:
        line += ["--also", each]
    load = Load()
    # What the program prints is of interest only where it is ours.
    done = subprocess.run(
        [word for word in line if job.group != "real" or word != "--show-output"]
        + ["--"] + command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    foreign_cpus = load.foreign_cpus()
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode not in (0, 1):
        raise Problem("%s: %s" % (job.name, done.stderr.decode(errors="replace").strip()))
    text = done.stdout.decode(errors="replace")
    live = re.search(r"^live_peak_bytes (\d+)$", text, re.MULTILINE)
    with open(path) as file:
        found = json.load(file)["allocators"]
    runs = {}
    for allocator in found:
        name, run = allocator["name"], allocator["runs"][0]
        run["cpu_s"] = run["user_s"] + run["system_s"]
        # The exit status under glibc is no measure here: nothing of ours ends with another than 0.
        if run["exit_status"] and not run["remark"]:
            run["remark"] = "EXIT STATUS %d" % run["exit_status"]
        words = re.search(r"^%s said: (.*)$" % re.escape(name), text, re.MULTILINE)
        run["said"] = words.group(1) if words and run["remark"] else ""
        run["disturbed"] = is_disturbed(job, run, foreign_cpus)
        run["foreign_cpus"] = round(foreign_cpus, 2)
        run["live_peak_bytes"] = int(live.group(1)) if live else None
        runs[name] = run
    return runs


def measure_round(options, job, command, names, folder):
    """One round; what other load disturbed is run again, up to the limit."""
    kept, again = {}, list(names)
    for attempt in range(1 + options.retries):
        if attempt > 0:
            time.sleep(0.2 * attempt)
        for name, run in compare(options, job, command, again, folder).items():
            if name in again:
                kept[name] = dict(run, attempt=attempt)
        again = [name for name in again if kept[name]["disturbed"]]
        if not again:
            break
    return kept


def summary_of(runs):
    """The medians of the runs, of the undisturbed ones if there are any; none if one failed."""
    calm = [run for run in runs if not run["disturbed"]]
    failed = [run for run in runs if run["remark"]]
    median = None
    if not failed:
        figures = ("cpu_s", "wall_s", "peak_bytes")
        median = {key: statistics.median(run[key] for run in calm or runs) for key in figures}
    return {
        "failure": failed[0]["remark"] if failed else None,
        "said": failed[0]["said"] if failed else "",
        "disturbed": not calm,
        "median": median,
        "ratio": None,
        "runs": runs,
    }


def measure(options, job, names):
    """All rounds of a workload."""
    rounds = []
    with tempfile.TemporaryDirectory(prefix="suite.") as folder:
        command = job.prepare(folder)
        for index in range(options.rounds):
            options.progress("%s, round %d of %d" % (job.name, index + 1, options.rounds))
            rounds.append(measure_round(options, job, command, names, folder))
    found = {name: summary_of([one[name] for one in rounds]) for name in names}
    base = found[BASE]["median"]
    for each in found.values():
        if base and each["median"]:
            each["ratio"] = {
                key: each["median"][key] / base[key] if base[key] > 0 else 1.0 for key in base
            }
    return {
        "workload": job.name,
        "group": job.group,
        "comment": job.comment,
        "threads": job.threads,
        "live_peak_bytes": rounds[0][BASE]["live_peak_bytes"],
        "allocators": found,
    }


def means_of(results, names):
    """Group -> allocator -> geometric means of the ratios, and how many cells they are of."""
    means = {}
    for group in ("all", "single", "multi", "real"):
        rows = [each for each in results if group in ("all", each["group"])]
        for name in names if rows else ():
            ratios = [each["allocators"][name]["ratio"] for each in rows]
            there = [ratio for ratio in ratios if ratio]
            mean = {"workloads": len(there), "of": len(rows)}
            for key in ("cpu_s", "wall_s", "peak_bytes"):
                logs = [math.log(max(ratio[key], 1e-6)) for ratio in there]
                mean[key] = math.exp(sum(logs) / len(logs)) if logs else None
            means.setdefault(group, {})[name] = mean
    return means


# ---- curves ------------------------------------------------------------------------------------


def curve_parameters(options, name):
    if name == "scaling":
        return [2**i for i in range(20) if 2**i < options.threads] + [options.threads]
    if name == "heap_size":
        most = int(options.heap * HEAP_SHARE)
        return [4**i for i in range(20) if 4**i < most] + [most]
    if name == "latency":
        return [min(256, max(1, options.heap // 4))]
    return [1]


def measure_curve(options, job, allocators):
    """Allocator -> points, and -> what went wrong. Medians of the rounds, but of time series."""
    points, failures = {}, {}
    rounds = options.rounds if len(curve_parameters(options, job.name)) > 1 else 1
    for parameter in curve_parameters(options, job.name):
        lines = {}
        for index in range(rounds):
            options.progress("%s %d, round %d of %d" % (job.name, parameter, index + 1, rounds))
            for name, library in allocators.items():
                if name in failures:
                    continue
                environment = dict(os.environ, **({"LD_PRELOAD": library} if library else {}))
                try:
                    done = subprocess.run(
                        [options.workload, job.name, str(options.scale), str(parameter)],
                        stdout=subprocess.PIPE,
                        env=environment,
                        timeout=options.limit,
                        check=True,
                    )
                    rows = [list(map(float, row.split())) for row in done.stdout.splitlines()]
                    lines.setdefault(name, []).append(rows)
                except subprocess.TimeoutExpired:
                    failures[name] = "TIMED OUT"
                except subprocess.CalledProcessError as error:
                    failures[name] = "EXIT STATUS %d" % error.returncode
        for name, rows in lines.items():
            # The same lines in each round: the median of each number.
            middle = [[statistics.median(cell) for cell in zip(*row)] for row in zip(*rows)]
            points.setdefault(name, []).extend(middle)
    return points, failures


# ---- the command -------------------------------------------------------------------------------


def positive(kind):
    def parse(text):
        value = kind(text)
        if not 0 < value < 1e9:
            raise ValueError(text)
        return value

    parse.__name__ = "positive " + ("number" if kind is float else "whole number")
    return parse


def count(text):
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def options_parse(arguments):
    about, _, reading = __doc__.partition("How to read")
    parser = argparse.ArgumentParser(
        prog="suite",
        description=about,
        epilog="How to read" + reading + "\nExit status: 0; 1 if a run failed; 2 for a wrong "
        "command line; 130 if interrupted\n(what there is, is printed).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a tenth of the work, one round: does it run at all?")
    add("--rounds", type=positive(int), metavar="N", help="runs of each (3)")
    add("--filter", metavar="RE", default="", help="only workloads whose name matches somewhere")
    add("--allocators", metavar="A,B", help="only these, and glibc")
    add("--allocator", dest="added", action="append", default=[], metavar="NAME=PATH",
        help="one more, a library for LD_PRELOAD")
    add("--json", metavar="FILE", help="all runs, medians, ratios and means")
    add("--plots", metavar="DIR", help="SVG plots, by gnuplot; also measures their curves")
    add("--scale", type=positive(float), metavar="X", help="multiplies the work (1)")
    add("--threads", type=positive(int), metavar="N", default=max(2, os.cpu_count()),
        help="in workloads with several; the most of the scaling curve (%(default)s)")
    add("--heap", type=positive(int), metavar="MIB", default=1024,
        help="memory for the largest heap of its curve (%(default)s)")
    add("--limit", type=positive(float), metavar="S", default=120.0,
        help="seconds after which a run is given up (%(default)g)")
    add("--retries", type=count, metavar="N",
        help="how often a disturbed run is repeated (3; --quick: 0)")
    add("--list", action="store_true", help="workloads and allocators, then stop")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.scale = options.scale or (0.1 if options.quick else 1.0)
    if options.retries is None:
        options.retries = 0 if options.quick else 3
    try:
        options.filter = re.compile(options.filter)
    except re.error as error:
        parser.error("argument --filter: %s" % error)
    for each in options.added:
        if not re.fullmatch(r"[^=]+=.+", each):
            parser.error("argument --allocator: '%s' is not NAME=PATH" % each)
    options.choice = ["--allocators", options.allocators] if options.allocators else []
    for each in options.added:
        options.choice += ["--also", each]
    return options


def progress_of(total):
    """A function that shows what is done now: over and over on a terminal, else in lines."""
    state = {"index": 0, "last": None}

    def progress(text):
        if text is None:  # a line of the table comes
            if sys.stderr.isatty():
                say("\r\033[K", end="")
            return
        line = "[%d/%d] %s" % (state["index"], total, text)
        if sys.stderr.isatty():
            say("\r\033[K" + line, end="")
        elif state["last"] != state["index"]:
            say(line.split(",")[0])
            state["last"] = state["index"]

    progress.state = state
    return progress


def run(options, jobs, allocators):
    names = list(allocators)
    results, skipped, curves, curve_failures = [], [], {}, []
    options.progress = progress_of(len(jobs))
    interrupted = False
    try:
        for index, job in enumerate(jobs):
            options.progress.state["index"] = index + 1
            if job.group == "curve":
                curves[job.name], failures = measure_curve(options, job, allocators)
                curve_failures += [(name, job.name, what) for name, what in failures.items()]
                continue
            try:
                result = measure(options, job, names)
            except programs.Missing as reason:
                skipped.append({"workload": job.name, "reason": str(reason)})
                continue
            options.progress(None)
            report.row(result, names, BASE, first=not results)
            results.append(result)
    except KeyboardInterrupt:
        interrupted = True
    options.progress(None)

    means = means_of(results, names)
    report.end(results, means, names, BASE, skipped, curve_failures, interrupted)
    report.figures({job.name: job.comment for job in jobs}, curves)
    if options.json:
        document = {
            "context": report.context(options, allocators),
            "workloads": results,
            "means": means,
            "curves": curves,
            "skipped": skipped,
            "interrupted": interrupted,
        }
        with open(options.json, "w") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
    if options.plots:
        plots.draw(options.plots, results, means, curves, names, say)
    if interrupted:
        return 130
    failed = any(one["failure"] for each in results for one in each["allocators"].values())
    return 1 if failed or curve_failures else 0


def main():
    options = options_parse(sys.argv[1:])
    os.environ.pop("LD_PRELOAD", None)
    options.osmem, options.workload = runfile("tools/osmem"), runfile("benchmark/suite/workload")
    # `bazel run` starts us elsewhere than the user is.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    allocators, jobs = allocators_wanted(options), jobs_wanted(options)
    if not jobs:
        raise Problem("no workload matches --filter '%s'" % options.filter.pattern)
    if options.list:
        report.listing(jobs, allocators)
        return 0
    if options.plots:
        os.makedirs(options.plots, exist_ok=True)
        plots.check(say)
    if options.json:  # better now than after an hour
        open(options.json, "a").close()
    return run(options, jobs, allocators)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Problem, OSError) as problem:
        say("suite: %s" % problem)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
