"""Self-tests of large programs, on the C library's allocator and on osmem preloaded into every process that they start:
each single test has to end alike.

    bazel run //test/conformance:suites -- [OPTION]... [PROGRAM]...

python's tests are Debian's libpython3.11-testsuite. Those of the others are in their sources:

    apt-get source perl sqlite3 redis git        # in the folder that --sources names; needs a deb-src line
    apt-get install gcc make tcl tcl-dev zlib1g-dev libssl-dev libcurl4-openssl-dev libexpat1-dev

They are built there when they are first used. What is not here is skipped. A file of tests that does not end alike is
run again: a test that ended differently each time is called different, one that overlaps is called unsteady. Interrupted,
it ends with what it has compared.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile

import compared
import programs

OSMEM = "malloc/libosmem-malloc.so"
LIMIT_S = 1800  # for one unit
AGAIN = 2  # runs of a unit that did not end alike, on either side


class Side:
    """The C library's allocator, or osmem: what the environment of a unit says, and where its output is kept."""

    def __init__(self, name, variables, outputs):
        self.name, self.variables, self.outputs = name, variables, outputs

    def environment(self, folder, more):
        environment = {name: os.environ[name] for name in ("PATH", "USER", "LOGNAME") if name in os.environ}
        environment.update(more, HOME=folder, LC_ALL="C", TZ="UTC", TERM="dumb")
        environment.update(self.variables)
        return environment

    def keep(self, program, unit, output):
        if self.outputs:
            folder = os.path.join(self.outputs, program, self.name)
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, re.sub(r"\W+", "_", unit)), "a") as log:
                log.write(output)

    def run(self, program, suite, unit):
        """Test -> outcome; None -> how the unit itself ended."""
        # What a test leaves running may still write there.
        scratch = tempfile.TemporaryDirectory(prefix="osmem.", ignore_cleanup_errors=True)
        with scratch as folder, tempfile.TemporaryFile() as said:
            command, working, more = suite.run(unit, folder)
            process = subprocess.Popen(
                command,
                cwd=working,
                env=self.environment(folder, more),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                end = "exit status %d" % process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                end = "hangs"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            said.seek(0)
            output = said.read().decode(errors="replace")
        self.keep(program, unit, output)
        results, times = {None: end}, collections.Counter()
        for test, outcome in suite.outcomes(output):
            times[test] += 1
            results[test if times[test] == 1 else "%s (%d)" % (test, times[test])] = outcome
        return results


def serves(library, command):
    """Whether the library's allocator is in use in a program, and keeps silent there."""
    environment = dict(os.environ, LD_PRELOAD=library)
    said = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
    environment["OSMEM_CONF"] = "stats_print:json"
    statistics = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
    return b'{"osmem"' in statistics and b"osmem" not in said


class Comparison:
    """Of one program's units on both sides."""

    def __init__(self, program, suite, sides):
        self.program, self.suite, self.sides = program, suite, sides
        self.counts, self.unsteady, self.different = collections.Counter(), [], []

    def unit(self, unit):
        """[plain, osmem], each a list of the results of one or more runs."""
        runs = [[side.run(self.program, self.suite, unit)] for side in self.sides]
        if runs[0] != runs[1]:
            for _ in range(AGAIN):
                for side, results in zip(self.sides, runs):
                    results.append(side.run(self.program, self.suite, unit))
        return runs

    def add(self, unit, runs):
        tests = dict.fromkeys(test for results in runs for result in results for test in result)
        for test in tests:
            plain, osmem = [[result.get(test, "absent") for result in results] for results in runs]
            if test is not None:
                self.counts["tests"] += 1
                self.counts[osmem[0]] += 1
            if set(plain + osmem) == {plain[0]}:
                continue
            line = "%s %s: %s, on osmem %s" % (unit, test or "itself", " ".join(plain), " ".join(osmem))
            (self.unsteady if set(plain) & set(osmem) else self.different).append(line)

    def all(self, jobs, pattern):
        units = [unit for unit in self.suite.units() if re.search(pattern, unit)]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            pending = [pool.submit(self.unit, unit) for unit in units]
            try:
                for number, (unit, future) in enumerate(zip(units, pending), 1):
                    self.add(unit, future.result())
                    print("%s %d/%d %s" % (self.program, number, len(units), unit), file=sys.stderr)
            except KeyboardInterrupt:
                print("%s: interrupted at %s" % (self.program, unit))
                pool.shutdown(cancel_futures=True)
        for title, lines in ("unsteady", self.unsteady), ("different", self.different):
            for line in lines:
                print("%s, %s: %s" % (self.program, title, line))

    def row(self):
        kinds = ("tests", programs.OK, programs.SKIPPED, programs.KNOWN, programs.FAILED)
        numbers = [self.counts[kind] for kind in kinds] + [len(self.unsteady), len(self.different)]
        return [self.program, self.suite.version] + ["{:,}".format(number) for number in numbers]


def main():
    parser = argparse.ArgumentParser(
        prog="suites", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=", ".join(programs.PROGRAMS) + "; all")
    parser.add_argument("--sources", default=".", metavar="FOLDER", help="where the sources are (the working folder)")
    parser.add_argument("--conf", default="", metavar="OPTIONS", help="OSMEM_CONF, such as guard:on")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only the files of tests whose name matches")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="N files at once")
    parser.add_argument("--outputs", metavar="FOLDER", help="keeps there what each file of tests printed")
    options = parser.parse_args()
    unknown = set(options.programs) - set(programs.PROGRAMS)
    if unknown:
        parser.error("no such program: " + ", ".join(sorted(unknown)))

    # bazel run works in its own folder.
    called_in = os.environ.get("BUILD_WORKING_DIRECTORY", ".")
    library = os.path.realpath(OSMEM)
    outputs = options.outputs and os.path.join(called_in, options.outputs)
    osmem = {"LD_PRELOAD": library, "OSMEM_CONF": options.conf}
    sides = [Side("plain", {}, outputs), Side("osmem", osmem, outputs)]
    rows = [["program", "version", "tests", "ok", "skipped", "known failures", "failed", "unsteady", "different"]]
    bad = False
    for name in options.programs or programs.PROGRAMS:
        try:
            suite = programs.PROGRAMS[name](os.path.join(called_in, options.sources))
        except programs.Absent as absent:
            print("SKIPPED: %s: %s" % (name, absent))
            continue
        if not serves(library, suite.program):
            sys.exit("suites: osmem does not serve " + suite.program[0])
        comparison = Comparison(name, suite, sides)
        comparison.all(options.jobs, options.filter)
        rows.append(comparison.row())
        bad |= bool(comparison.different)
    print("\n".join(compared.markdown_lines(rows)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
