"""The field suite: what an allocator costs in time and memory over many kinds of programs.

Each workload, our own (workloads.cc) or a real program found on this machine, is run by
`osmem compare` under glibc, osmem and every other allocator found, in turns. The table has CPU
time and peak resident memory as ratios to glibc's medians, and their geometric means; what
crashes, times out or gives other output than under glibc is marked and left out of the means.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

KINDS = ("single", "multi", "real")
TITLES = {"single": "one thread", "multi": "several threads", "real": "real programs"}


def fail(message):
    print("suite: " + message, file=sys.stderr)
    sys.exit(2)


# ---- workloads ---------------------------------------------------------------------------------


def cc1plus():
    found = subprocess.run(["gcc", "-print-prog-name=cc1plus"], capture_output=True, text=True)
    path = found.stdout.strip()
    return path if os.path.isabs(path) and os.access(path, os.X_OK) else None


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


CXX = """
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>
template <int N> struct shape : shape<N - 1> {
    std::map<std::string, std::vector<int>> places[N % 7 + 1];
    int area(int x) { return places[0].size() + shape<N - 1>::area(x + N); }
};
template <> struct shape<0> { int area(int x) { return x; } };
int main(int argc, char **argv) {
    std::regex word("[a-z]+");
    std::unordered_map<std::string, int> count;
    for (int i = 0; i < argc; i++) count[argv[i]] += std::regex_match(argv[i], word);
    return shape<150>().area(count.size());
}
"""

PYTHON = """
import json, random, re
random.seed(1)
table = {}
for i in range(SIZE):
    table.setdefault("key%d" % random.randrange(SIZE // 4), []).append((i, str(i) * (i % 20)))
text = json.dumps(table)
again = json.loads(text)
words = {}
for word in re.findall(r"[0-9]+", text):
    words[word[:6]] = words.get(word[:6], 0) + 1
print(len(again), len(words))
"""

PERL = """
my (%h, $n); srand(1);
for my $i (1 .. SIZE) { push @{$h{"k" . int(rand(SIZE / 5))}}, $i x (1 + int(rand(10))); }
for my $k (sort keys %h) { $n += length(join(",", map { "<$_>" } @{$h{$k}})); }
print "$n\\n";
"""

LUA = """
local x = 1
local function random(n) x = (x * 1103515245 + 12345) % 2147483648; return x % n + 1 end
local t, n = {}, 0
for i = 1, SIZE do local k = "k" .. random(SIZE // 10)
  t[k] = t[k] or {}; table.insert(t[k], tostring(i) .. k) end
for k, v in pairs(t) do n = n + #table.concat(v, ",") end
print(n)
"""

SQL = """
create table a(x integer primary key, y text, z real);
with recursive c(i) as (select 1 union all select i + 1 from c where i < SIZE)
  insert into a select i, 'text' || (i * 7919 % 10007), i * 1.5 from c;
create index q on a(y);
select count(*), sum(z) from a where y like 'text1%';
select substr(y, 1, 6), count(*) from a group by 1 order by 2 desc, 1 limit 3;
select count(*) from a one join a two on one.y = two.y where one.x < SIZE / 50;
"""

NODE = """
let x = 1; const random = n => { x = (x * 48271) % 2147483647; return x % n; };
const t = new Map();
for (let i = 0; i < SIZE; i++) { const k = 'k' + random(9973); t.set(k, (t.get(k) || '') + i); }
const b = []; for (let i = 0; i < SIZE / 50; i++) b.push(Buffer.alloc(1 + random(9000), i));
console.log(JSON.stringify([...t]).length, b.reduce((n, one) => n + one.length, 0));
"""

Z3 = """
(set-option :sat.random_seed 1)
(set-option :smt.random_seed 1)
(declare-const a (_ BitVec 14)) (declare-const b (_ BitVec 14))
(assert (= (bvmul a b) #b10110100110011)) (assert (bvugt a #b00000000000001))
(assert (bvugt b a)) (assert (= (bvurem a #b00000000000111) #b00000000000011))
(check-sat)
"""

PS = """
/Times-Roman findfont 9 scalefont setfont
1 1 PAGES { /p exch def 0 1 60 { /l exch def 20 l 12 mul 30 add moveto
(page ) show p 10 string cvs show ( line ) show l 10 string cvs show
100 l 12 mul 30 add moveto l 3 mul p add 50 rlineto stroke } for showpage } for
"""


def real_programs(folder, scale):
    """Name, or None where it is not installed, and the command line, of each real program."""

    def size(count):
        return str(max(1000, int(count * scale)))

    def script(name, text, count):
        return write(folder, name, text.replace("SIZE", size(count)))

    table = {str(i): [i, "v%d" % i, {"n": i / 7}] for i in range(int(size(60000)))}
    data = write(folder, "table.json", json.dumps(table))
    items = "".join(
        "<item id='%d'><name>n%d</name><v>%d</v></item>\n" % (i, i % 97, i * 31 % 1009)
        for i in range(int(size(120000))))
    xml = write(folder, "table.xml", "<all>\n" + items + "</all>\n")
    unit = write(folder, "unit.cc", CXX)
    text = write(folder, "page.ps", PS.replace("PAGES", str(max(2, int(40 * scale)))))
    redis = write(
        folder, "redis.sh", """#!/bin/sh
redis-server --port 0 --unixsocket "$1/redis.sock" --save "" --dir "$1" >/dev/null &
server=$!
while ! [ -S "$1/redis.sock" ]; do sleep 0.02; done
env -u LD_PRELOAD redis-benchmark -s "$1/redis.sock" -q -P 16 -r 100000 -d 100 -n %s \\
    -t set,get,lpush,lrange_100,zadd,hset >/dev/null 2>&1
env -u LD_PRELOAD redis-cli -s "$1/redis.sock" shutdown nosave
wait $server
""" % size(150000))
    compiler = cc1plus() if shutil.which("gcc") else None
    if compiler is not None:
        unit_i = os.path.join(folder, "unit.ii")
        subprocess.run(["g++", "-E", "-o", unit_i, unit], check=True)
        compiler = [compiler, "-quiet", "-O1", unit_i, "-o", "/dev/null"]
    git = None
    if shutil.which("git"):
        git = ["git", "-C", repository(folder, int(60 * min(scale, 1)) + 5), "log", "-p", "--stat"]
    commands = {
        "python3": ["python3", script("a.py", PYTHON, 60000)],
        "perl": ["perl", script("a.pl", PERL, 400000)],
        "lua5.4": ["lua5.4", script("a.lua", LUA, 600000)],
        "sqlite3": ["sqlite3", ":memory:", ".read " + script("a.sql", SQL, 60000)],
        "jq": ["jq", "[.[] | .[2].n + .[0]] | add", data],
        "xmllint": ["xmllint", "--xpath", "count(//item[v > 500])", xml],
        "cc1plus": compiler,
        "clang": ["clang", "-O1", "-c", unit, "-o", "/dev/null"],
        "git": git,
        "redis-server": ["sh", redis, folder],
        "node": ["node", "--single-threaded", script("a.js", NODE, 300000)],
        "z3": ["z3", write(folder, "a.smt2", Z3)],
        "gs": ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-sDEVICE=ppmraw", "-o", "/dev/null", text],
    }
    for name, command in commands.items():
        there = command is not None and (os.path.isabs(command[0]) or shutil.which(name))
        yield name, command if there else None


def repository(folder, commits):
    """A repository whose log is long, made here."""
    path = os.path.join(folder, "repository")
    run = lambda *words: subprocess.run(["git", "-C", path, *words], check=True,
                                        stdout=subprocess.DEVNULL)
    os.makedirs(path)
    run("init", "-q")
    run("config", "user.email", "suite@example.org")
    run("config", "user.name", "suite")
    for commit in range(commits):
        for name in range(12):
            lines = ["line %d of %d\n" % (i * (commit + 1) % 997, name) for i in range(600)]
            write(path, "file%d.txt" % name, "".join(lines))
        run("add", ".")
        run("commit", "-q", "-m", "commit %d" % commit)
    return path


# ---- measuring ---------------------------------------------------------------------------------


def compare(options, name, command, scratch):
    """What `osmem compare` says of one workload; a run disturbed by other load is repeated."""
    path = os.path.join(scratch, "compare.json")
    line = [options.osmem, "compare", "--json", path, "-n", str(options.rounds),
            "--timeout", str(options.timeout)]
    if options.allocators:
        line += ["--allocators", options.allocators]
    for also in options.also:
        line += ["--also", also]
    best = None
    for _ in range(3):
        done = subprocess.run(line + ["--"] + command, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode not in (0, 1):
            fail("%s: %s" % (name, done.stderr.strip()))
        with open(path) as file:
            found = json.load(file)["allocators"]
        share = disturbance(found)
        if best is None or share < best[0]:
            best = (share, found)
        if share < 0.15:
            break
    return best


def disturbance(allocators):
    """How far the runs of one allocator lie apart: the median range of CPU time to its median."""
    ranges = []
    for allocator in allocators:
        cpu = [run["user_s"] + run["system_s"] for run in allocator["runs"] if not run["warmup"]]
        if len(cpu) > 1 and max(cpu) > 0.02:
            ranges.append((max(cpu) - min(cpu)) / sorted(cpu)[len(cpu) // 2])
    return sorted(ranges)[len(ranges) // 2] if ranges else 0


def mean(ratios):
    ratios = [ratio for ratio in ratios if ratio]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


# ---- report ------------------------------------------------------------------------------------


def cell(result):
    if result is None:
        return "-"
    if result["remarks"]:
        return "! " + result["remarks"].split(",")[0][:14]
    return "%.2f %.2f" % (result["cpu"], result["peak"])


def table(results, names):
    width = max([len("several threads")] + [len(one["workload"]) for one in results]) + 2
    print("\nCPU time and peak resident memory, ratios of medians to glibc's; ~ disturbed by other load\n")
    print(" " * width + "".join("%-18s" % name for name in names))
    for kind in KINDS:
        for one in (one for one in results if one["kind"] == kind):
            mark = "~" if one["disturbance"] >= 0.15 else ""
            print((one["workload"] + mark).ljust(width) +
                  "".join("%-18s" % cell(one["allocators"].get(name)) for name in names))
    print("\ngeometric means")
    for kind, title in [*TITLES.items(), (None, "all")]:
        print(title.ljust(width) + "".join("%-18s" % cell(means(results, name, kind))
                                            for name in names))


def means(results, name, kind):
    found = [one["allocators"][name] for one in results
             if kind in (None, one["kind"]) and name in one["allocators"] and
             not one["allocators"][name]["remarks"]]
    if not found:
        return None
    return {"cpu": mean(one["cpu"] for one in found), "peak": mean(one["peak"] for one in found),
            "remarks": ""}


PLOTS = {
    "heap_sizes": ("set logscale x 2; set xlabel 'live bytes'; set ylabel 'ns an operation'", "1:2"),
    "scaling": ("set logscale x 2; set xlabel 'threads'; set ylabel 'million operations a second'", "1:2"),
    "burst_and_idle": ("set xlabel 'seconds'; set ylabel 'resident MiB'", "1:2"),
}


def gnuplot(folder, name, settings, series):
    """series: title, rows and style of each line; the data stands in the script."""
    lines = ["set terminal svg size 800,500 dynamic background rgb 'white' font 'sans,13'",
             "set output '%s'" % os.path.join(folder, name + ".svg"), "set key outside right",
             "set grid", settings]
    lines.append("plot " + ", ".join("'-' using %s with %s title '%s' noenhanced" % (using, style, title)
                                     for title, _, using, style in series))
    for _, rows, _, _ in series:
        lines += [" ".join(map(str, row)) for row in rows] + ["e"]
    subprocess.run(["gnuplot"], input="\n".join(lines), text=True, check=True)


def draw(options, results, names, libraries):
    os.makedirs(options.plots, exist_ok=True)
    points = []
    for name in names:
        one = means(results, name, None)
        if one:
            points.append((name, [(one["cpu"], one["peak"])], "1:2", "points pointsize 2 pointtype 7"))
    if points:
        gnuplot(options.plots, "time_and_memory",
                "set xlabel 'CPU time to glibc'; set ylabel 'peak memory to glibc'", points)
    for plot, (settings, using) in PLOTS.items():
        series = []
        for name in names:
            environment = dict(os.environ)
            if libraries.get(name):
                environment["LD_PRELOAD"] = libraries[name]
            done = subprocess.run([options.workloads, plot, str(options.scale)], env=environment,
                                  capture_output=True, text=True)
            rows = [line.split() for line in done.stdout.splitlines()]
            if done.returncode == 0 and rows:
                series.append((name, rows, using, "lines linewidth 2"))
            else:
                print("suite: %s fails in %s" % (name, plot), file=sys.stderr)
        gnuplot(options.plots, plot, settings, series)


# ---- the command -------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(prog="suite", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osmem", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--workloads", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measured runs of each (5)")
    parser.add_argument("--scale", type=float, default=1, metavar="X", help="multiplies the work (1)")
    parser.add_argument("--quick", action="store_true", help="one round with a twentieth of the work")
    parser.add_argument("--filter", default="", metavar="RE", help="only workloads whose name matches")
    parser.add_argument("--allocators", metavar="A,B", help="only these and glibc")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=PATH",
                        help="one more allocator: a library for LD_PRELOAD")
    parser.add_argument("--timeout", type=float, default=120, metavar="S", help="of one run (120)")
    parser.add_argument("--json", metavar="FILE", help="write all results")
    parser.add_argument("--plots", metavar="DIR", help="draw SVG files by gnuplot")
    parser.add_argument("--list", action="store_true", help="name the workloads, run nothing")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.scale = 1, options.scale / 20
    if options.rounds < 1 or not options.scale > 0:
        fail("--rounds and --scale must be positive")
    try:
        options.filter = re.compile(options.filter)
    except re.error as error:
        fail("--filter: %s" % error)
    if options.plots and not shutil.which("gnuplot"):
        fail("--plots needs gnuplot (Debian: gnuplot-nox)")
    options.osmem, options.workloads = map(os.path.abspath, (options.osmem, options.workloads))
    here = os.environ.get("BUILD_WORKING_DIRECTORY", ".")
    for name in ("json", "plots"):
        if getattr(options, name):
            setattr(options, name, os.path.join(here, getattr(options, name)))
    return options


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="osmem-suite-") as folder:
        known = subprocess.run([options.workloads, "--list"], capture_output=True, text=True, check=True)
        jobs = [(name, kind, [options.workloads, name, str(options.scale)])
                for name, kind in (line.split() for line in known.stdout.splitlines())
                if kind != "plot"]
        jobs += [(name, "real", command) for name, command in real_programs(folder, options.scale)]
        jobs = [job for job in jobs if options.filter.search(job[0])]
        if not jobs:
            fail("no workload matches")
        results, names, libraries = [], [], {}
        for index, (name, kind, command) in enumerate(jobs):
            if options.list or command is None:
                print(name, kind, "" if command else "not installed")
                continue
            print("suite: %d of %d, %s" % (index + 1, len(jobs), name), file=sys.stderr)
            share, found = compare(options, name, command, folder)
            one = {"workload": name, "kind": kind, "disturbance": share, "allocators": {}}
            for allocator in found:
                if allocator["name"] not in names:
                    names.append(allocator["name"])
                    libraries[allocator["name"]] = allocator["library"]
                one["allocators"][allocator["name"]] = {
                    "cpu": allocator["ratio"]["cpu_s"], "wall": allocator["ratio"]["wall_s"],
                    "peak": allocator["ratio"]["peak_bytes"], "median": allocator["median"],
                    "remarks": allocator["remarks"]}
            results.append(one)
        if options.list:
            return
        table(results, names)
        if options.json:
            summary = {kind or "all": {name: means(results, name, kind) for name in names}
                       for kind in [*KINDS, None]}
            with open(options.json, "w") as file:
                json.dump({"rounds": options.rounds, "scale": options.scale, "workloads": results,
                           "geometric_means": summary}, file, indent=1)
        if options.plots:
            draw(options, results, names, libraries)


if __name__ == "__main__":
    main()
