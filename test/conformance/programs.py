"""Large programs that bring their own self-tests: where these are, how one file of them is run, how its output is read.

A file of tests is a unit. It writes into an empty folder of its own, and what it prints says for each single test how it
ended: "ok", "skipped", "failed", or "known failure" where its authors expect no better.
"""

import glob
import importlib.util
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys

OK, SKIPPED, FAILED, KNOWN = "ok", "skipped", "failed", "known failure"


class Absent(Exception):
    """The program or its tests are not here; says what is missing."""


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Absent("%s is not installed" % program)


def matches(pattern, words, output):
    """(test, outcome) of each match, by its groups "name" and "word"; `words` are those of the program -> ours."""
    for match in re.finditer(pattern, output, re.MULTILINE):
        yield match.group("name"), words[match.group("word")]


def tap(output):
    """The Test Anything Protocol; tests by their number, as descriptions may hold addresses and the like."""
    for line in output.splitlines():
        match = re.match(r"(not )?ok\s+(\d+)\b(?:.*#\s*(skip|todo)\b)?", line, re.IGNORECASE)
        if match:
            directive = (match.group(3) or "").lower()
            good = SKIPPED if directive == "skip" else OK
            yield match.group(2), (KNOWN if directive == "todo" else FAILED) if match.group(1) else good
        elif re.match(r"1\.\.0\b", line):
            yield "all", SKIPPED


class Sources:
    """What Debian's source package of a name was unpacked to, and built in as its authors build it."""

    def __init__(self, folder, package, target, *steps):
        found = sorted(glob.glob(os.path.join(folder, package + "-[0-9]*/")))
        if not found:
            raise Absent("no sources: apt-get source %s" % package)
        self.root = os.path.abspath(found[-1])
        self.version = os.path.basename(self.root)[len(package) + 1 :]
        need("gcc", "make")
        if not os.path.exists(self.path(target)):
            self.build(steps)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def build(self, steps):
        print("building in", self.root, file=sys.stderr)
        log = self.root + ".log"
        with open(log, "w") as output:
            for step in steps:
                if subprocess.call(step, cwd=self.root, stdin=subprocess.DEVNULL, stdout=output, stderr=output) != 0:
                    raise Absent("does not build, see " + log)


class Python:
    """The one that runs this."""

    MODULES = """ast bisect buffer bytes codecs collections copy csv ctypes datetime decimal deque descr dict difflib enum
        exceptions fork1 fractions gc generators heapq itertools json list long marshal memoryio memoryview mmap pickle
        queue random re set sort sqlite3 statistics str struct thread threading tracemalloc tuple unicode userdict
        weakref xml_etree zlib""".split()
    WORDS = {"ok": OK, "FAIL": FAILED, "ERROR": FAILED, "skipped": SKIPPED, "expected failure": KNOWN}

    def __init__(self, folder):
        if not importlib.util.find_spec("test.test_json"):
            raise Absent("no tests: apt-get install libpython3.%d-testsuite" % sys.version_info[1])
        self.program = [sys.executable, "-c", "pass"]
        self.version = platform.python_version()

    def units(self):
        return self.MODULES

    def run(self, unit, folder):
        return [self.program[0], "-m", "unittest", "-v", "test.test_" + unit], folder, {"PYTHONHASHSEED": "0"}

    def outcomes(self, output):
        # A test that has a description says it on a line of its own.
        pattern = r"^(?P<name>test\w* \([^)]*\))(?:\n.*)?? \.\.\. (?P<word>ok|FAIL|ERROR|skipped|expected failure)\b"
        return matches(pattern, self.WORDS, output)


def module(name):
    """The folder of a file's module in perl's sources: cpan/Encode; None of what belongs to none."""
    match = re.match(r"(cpan|dist|ext)/[^/]+", name)
    return match and match.group()


class Perl:
    def __init__(self, folder):
        self.sources = Sources(
            folder,
            "perl",
            "t/perl",
            ["./Configure", "-des", "-Dusethreads"],
            ["make"],
            ["make", "test_prep"],
        )
        self.version = self.sources.version
        self.program = [self.sources.path("perl"), "-e", "1"]

    def units(self):
        """As t/TEST is given them: the core's own, lib/, and of the modules those that are written in C.

        Left out are tests of the sources, of speed, and of many gigabytes.
        """
        with open(self.sources.path("MANIFEST")) as manifest:
            files = [line.split()[0] for line in manifest if line.strip()]
        in_c = {module(name) for name in files if name.endswith(".xs")} - {None}
        core = r"t/(base|class|cmd|comp|io|lib|mro|op|opbasic|re|run|uni)/.*\.t$"
        own = [name[len("t/") :] for name in files if re.match(core, name)]
        others = [name for name in files if name.endswith(".t") and (name.startswith("lib/") or module(name) in in_c)]
        return own + ["../" + name for name in others]

    def run(self, unit, folder):
        return ["./perl", "TEST", "-v", unit], self.sources.path("t"), {"TMPDIR": folder}

    def outcomes(self, output):
        return tap(output)


class Sqlite:
    """The set "veryquick": everything but what refuses each allocation and each call in turn."""

    LIST = """
        set argv0 %s/all.test
        set argv {}
        source %s/permutations.test
        foreach file [dict get $testspec(veryquick) -files] { puts [file tail $file] }
    """

    def __init__(self, folder):
        self.sources = Sources(
            folder, "sqlite3", "testfixture", ["./configure", "--disable-shared"], ["make", "sqlite3", "testfixture"]
        )
        self.version = self.sources.version
        self.program = [self.sources.path("testfixture"), os.devnull]

    def units(self):
        tests = self.sources.path("test")
        script = self.sources.path("osmem-units.tcl")
        with open(script, "w") as output:
            output.write(self.LIST % (tests, tests))
        names = subprocess.check_output([self.program[0], script], universal_newlines=True)
        os.remove(script)
        return sorted(set(names.split()))

    def run(self, unit, folder):
        return [self.program[0], self.sources.path("test", "permutations.test"), "veryquick", unit], folder, {}

    def outcomes(self, output):
        yield from matches(r"^(?P<name>\S+)\.\.\. (?P<word>Ok|Omitted)", {"Ok": OK, "Omitted": SKIPPED}, output)
        yield from matches(r"^! (?P<name>\S+) (?P<word>expected):", {"expected": FAILED}, output)


class Redis:
    """All of `runtest`; not the modules of its own tests, nor sentinels and clusters, which start by other scripts."""

    WORDS = {"ok": OK, "err": FAILED, "exception": FAILED, "timeout": FAILED, "skip": SKIPPED, "ignore": SKIPPED}

    def __init__(self, folder):
        need("tclsh8.6")
        # As it is by default, its own jemalloc would serve.
        self.sources = Sources(folder, "redis", "src/redis-server", ["make", "MALLOC=libc"])
        self.version = self.sources.version
        self.program = [self.sources.path("src", "redis-server"), "--version"]
        self.ports = itertools.cycle(range(21200, 29000, 100))

    def units(self):
        listed = subprocess.check_output(
            ["./runtest", "--list-tests"], cwd=self.sources.root, universal_newlines=True
        )
        return listed.split()

    def run(self, unit, folder):
        # It clears tests/tmp, also of who else runs.
        for name in ("runtest", "redis.conf", "sentinel.conf", "src", "utils"):
            os.symlink(self.sources.path(name), os.path.join(folder, name))
        shutil.copytree(self.sources.path("tests"), os.path.join(folder, "tests"))
        ports = ["--baseport", str(next(self.ports)), "--portcount", "60"]
        return ["./runtest", "--single", unit, "--clients", "1", "--durable"] + ports, folder, {}

    def outcomes(self, output):
        plain = re.sub(r"\x1b\[[\d;]*m", "", output)
        pattern = r"^\[(?P<word>%s)\]: (?P<name>.*?)(?: \(\d+ ms\)| in tests/\S+)?$" % "|".join(self.WORDS)
        drawn = {}
        for name, outcome in matches(pattern, self.WORDS, plain):
            if not name.startswith("PSYNC2"):
                yield name, outcome
                continue
            # By chance and by time: who replicates whom, and how often. All of a kind are one.
            kind = re.sub(r"\d+", "N", name)
            drawn[kind] = outcome if drawn.get(kind, OK) == OK else drawn[kind]
        yield from drawn.items()


class Git:
    def __init__(self, folder):
        self.sources = Sources(folder, "git", "t/helper/test-tool", ["make", "NO_GETTEXT=1"])
        self.version = self.sources.version
        self.program = [self.sources.path("git"), "version"]

    def units(self):
        return sorted(map(os.path.basename, glob.glob(self.sources.path("t", "t[0-9]*.sh"))))

    def run(self, unit, folder):
        return (
            ["./" + unit, "--root=" + folder, "--no-chain-lint"],
            self.sources.path("t"),
            # Else it preloads the C library's malloc that checks.
            {"TEST_NO_MALLOC_CHECK": "1", "TEST_OUTPUT_DIRECTORY": folder, "GIT_TEST_EXT_CHAIN_LINT": "0"},
        )

    def outcomes(self, output):
        return tap(output)


PROGRAMS = {"python": Python, "perl": Perl, "sqlite": Sqlite, "redis": Redis, "git": Git}
