#!/usr/bin/env python3
"""Mutates the core: would the suites notice a small change of its meaning?

    test/mutation/mutate.py [--sample N] [--seed S] [--jobs J] [--results FILE] [FILE]…

Changes one thing in one file of osmem/ at a time (an operator, a constant, a condition, a statement), builds the core
with it and runs the cases of the fast suites that reach the changed line until one fails: those first that killed
mutants nearby, then the quickest. A mutant is killed by a failing or a hanging case; one that does not compile, or
compiles to the same code, is none. Lines of the preprocessor, static asserts and attributes are left alone. Mutants
that change nothing that anyone could observe are listed with the reason in equivalent.txt.

All suites are one program, linked anew for each mutant; they are what Bazel built, and only the core is compiled here,
and of the suites, for what survives, those that call the functions of the changed header themselves. Which lines a
case reaches comes from clang's coverage. The order is random but fixed by the seed, so that a run that was stopped is
a sample; verdicts are appended to FILE, and a run goes on behind those that are there.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import functools
import glob
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "test/coverage"))
from coverage import relative, tool  # noqa: E402

EQUIVALENT = pathlib.Path(__file__).with_name("equivalent.txt")
SUITES = [
    "//test/core:" + name for name in (
        "aligned_test", "best_fit_test", "bins_test", "calloc_test", "coalesce_test", "faults_test",
        "foreign_break_test", "growth_test", "index_test", "large_test", "misuse_test", "preallocation_test", "purge_test",
        "quick_test", "realloc_test", "region_test", "registry_test", "sizes_test", "slab_test", "split_test",
        "system_test", "tags_test")
] + [
    "//test/model:" + name for name in (
        "check_mapped_test", "check_test", "conf_test", "mapped_test", "misuse_test", "model_test", "properties_test",
        "random_test", "stats_test")
] + [
    "//test/threads:" + name for name in (
        "exit_test", "first_fork_test", "fork_races_test", "fork_test", "locks_test", "shadow_test", "threads_test",
        "watch_test")
] + [
    "//test/heaps:" + name for name in (
        "own_fork_test", "own_misuse_test", "own_model_test", "own_test", "own_threads_test", "sparse_test")
] + [
    "//test/guard:guard_test", "//test/map:heap_map_test", "//test/observe:names_test", "//test/observe:options_test",
    "//test/observe:stats_format_test"
]
# Suites that run in the guarded mode as well.
GUARDED = [
    "//test/heaps:own_misuse_test", "//test/heaps:own_model_test", "//test/heaps:own_threads_test",
    "//test/model:model_test", "//test/model:random_test", "//test/threads:threads_test"
]
# The suites that call the functions of a header themselves, and not by the core alone.
DIRECT = {
    "osmem/bins.h": ["test/core/bins_test"],
    "osmem/quick.h": ["test/core/quick_test", "test/model/properties_test"],
    "osmem/region.h": ["test/model/properties_test"],
    "osmem/tags.h": ["test/core/tags_test"],
}
C_FLAGS = [
    "-std=gnu11", "-DNDEBUG", "-w", "-fno-builtin-malloc", "-fno-builtin-calloc", "-fno-builtin-realloc",
    "-fno-builtin-free", "-fvisibility=hidden", "-ftls-model=initial-exec"
]
COVERAGE = ["-fprofile-instr-generate", "-fcoverage-mapping", "-mllvm", "-runtime-counter-relocation"]
CXX_FLAGS = ["-std=c++17", "-O1", "-DNDEBUG", "-w"]
SEED = "1"  # of the suites' random cases: a mutant that dies must die again
MEMORY = 20 << 30
SLOW = 3  # seconds of processor time: cases that take longer, with the core as built for coverage, are not run
STUCK = 8  # so many looks, a second apart, at which nothing of a case ran: it hangs
NEIGHBOURS = 8  # that many cases that killed mutants nearby come first

# ---- mutants ---------------------------------------------------------------------------------------------------------

TOKEN = re.compile(r"""
      (?P<space>\s+) | (?P<comment>/\*.*?\*/|//[^\n]*) | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*) | (?P<name>[A-Za-z_]\w*)
    | (?P<operator><<=|>>=|\.\.\.|->|\+\+|--|&&|\|\||==|!=|<=|>=|<<|>>|[-+*/%&|^]=|[-+*/%&|^~!<>=?:;,.(){}\[\]])
""", re.VERBOSE | re.DOTALL)

BINARY = {
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
    "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "&": ["|"], "|": ["&"], "<<": [">>"], ">>": ["<<"],
    "+=": ["-="], "-=": ["+="], "&=": ["|="], "|=": ["&="], "<<=": [">>="], ">>=": ["<<="], "*": ["+"], "/": ["*"],
    "%": ["/"], "^": ["&"],
}
NEGATED = object()  # stands for the same in `(!…)`
TYPES = {"void", "char", "int", "size_t", "uint8_t", "uint32_t", "uint64_t", "uintptr_t", "bool", "unsigned", "long",
         "return", "case", "heap", "region", "entry", "conf"}


@dataclasses.dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    start: int
    end: int
    replacement: str
    line: int
    text: str  # of the line, as it was
    change: str
    number: int  # among those of the same text and change

    def identity(self):
        """The same after lines have moved."""
        return self.file, self.text, self.change, self.number

    def __str__(self):
        return f"{self.file}:{self.line}: {self.change}: {self.text}"


def tokens_of(source):
    """The tokens that can be mutated: without comments, the preprocessor, static asserts and attributes."""
    source = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda match: " " * len(match[0]), source, flags=re.MULTILINE)
    tokens, at = [], 0
    while at < len(source):
        match = TOKEN.match(source, at)
        if match is None:
            raise ValueError(f"no token at {source[at:at + 20]!r}")
        if match.lastgroup not in ("space", "comment"):
            tokens.append(Token(match.lastgroup, match[0], at))
        at = match.end()
    kept, depth, skip = [], 0, False
    for token in tokens:
        if token.text in ("static_assert", "_Static_assert", "__attribute__", "tls_model"):
            skip, depth = True, 0
        elif skip:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            skip = not (token.text == ")" and depth == 0)
        else:
            kept.append(token)
    return kept


def closing(tokens, index):
    depth = 0
    for at in range(index, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0)
        if depth == 0:
            return at
    return None


def is_operand(token):
    return token.kind == "number" or token.text in (")", "]") or token.kind == "name" and token.text not in TYPES


def in_functions(tokens):
    """Which tokens stand in the body of a function; elsewhere there are declarations."""
    inside, depth, result = False, 0, []
    for index, token in enumerate(tokens):
        if token.text == "{":
            if depth == 0:
                inside = tokens[index - 1].text == ")"
            depth += 1
        elif token.text == "}":
            depth -= 1
        result.append(inside and depth > 0)
    return result


def changes(tokens):
    """Every change: (start, end, replacement, what it is)."""
    body = in_functions(tokens)
    for index in range(1, len(tokens) - 1):
        token, before, after = tokens[index], tokens[index - 1], tokens[index + 1]
        end = token.start + len(token.text)
        if not body[index]:
            continue
        if token.kind == "operator" and token.text in BINARY and is_operand(before):
            # `struct tag_line *line` and `(void *)x` are no products.
            if token.text == "*" and (after.text == ")" or tokens[index - 2].text in ("struct", "enum", "const")):
                continue
            # `(struct entry){…}` and casts are no sums: `)` before a sign may close a cast.
            for other in BINARY[token.text]:
                yield token.start, end, other, f"{token.text} is {other}"
        elif token.text in ("++", "--"):
            other = "--" if token.text == "++" else "++"
            yield token.start, end, other, f"{token.text} is {other}"
        elif token.text in ("~", "!"):
            yield token.start, end, "", f"{token.text} is left out"
        elif token.kind == "number" and not token.text.startswith("0x"):
            number, suffix = re.match(r"(\d+)(\w*)", token.text).groups()
            for other in {int(number) + 1, max(int(number) - 1, 0)} - {int(number)}:
                yield token.start, end, f"{other}{suffix}", f"{token.text} is {other}"
        elif token.text in ("true", "false"):
            other = "false" if token.text == "true" else "true"
            yield token.start, end, other, f"{token.text} is {other}"
        elif token.text in ("if", "while") and after.text == "(":
            last = tokens[closing(tokens, index + 1)].start + 1
            yield after.start, last, NEGATED, f"the condition of {token.text} is negated"
        elif token.text in ("break", "continue") and after.text == ";":
            yield token.start, end, "", f"{token.text} is left out"
        if before.text in (";", "{", "}") or before.text == ")" and statement_follows(tokens, index):
            removed = removable(tokens, index)
            if removed is not None:
                yield token.start, removed, "", "the statement is left out"


def statement_follows(tokens, index):
    """Whether the `)` before closes the head of an if, a for or a while."""
    depth = 0
    for at in range(index - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(tokens[at].text, 0)
        if depth == 0:
            return tokens[at - 1].text in ("if", "for", "while")
    return False


def removable(tokens, index):
    """Where an expression statement that starts here ends, before its semicolon; None if none does."""
    token = tokens[index]
    if token.text in ("++", "--", "*"):
        index += 1
        token = tokens[index]
    if token.kind != "name" or token.text in TYPES | {
            "struct", "const", "static", "return", "if", "for", "while", "do", "else", "switch", "case", "break",
            "continue", "enum", "default", "goto", "unsigned", "__atomic"}:
        return None
    if tokens[index + 1].kind == "name" or tokens[index + 1].text in ("*", ":"):
        return None  # a declaration
    depth = 0
    for at in range(index, len(tokens)):
        depth += {"(": 1, ")": -1, "{": 1, "}": -1}.get(tokens[at].text, 0)
        if tokens[at].text == ";" and depth == 0:
            return tokens[at].start
        if depth < 0:
            return None
    return None


def functions_of(tokens):
    """Every function that has a body here: its name and where the body lies."""
    inside = in_functions(tokens)
    for index, token in enumerate(tokens):
        if token.text == "{" and inside[index] and not inside[index - 1]:
            last = next((at for at in range(index, len(tokens)) if not inside[at]), len(tokens) - 1)
            depth = 0
            for at in range(index - 1, -1, -1):
                depth += {")": 1, "(": -1}.get(tokens[at].text, 0)
                if depth == 0:
                    yield tokens[at - 1].text, token.start, tokens[last].start
                    break


def mutants_of(tree, path):
    source = (tree / path).read_text()
    lines = source.splitlines()
    numbers = collections.Counter()
    for start, end, replacement, change in changes(tokens_of(source)):
        if replacement is NEGATED:
            replacement = "(!" + source[start:end] + ")"
        line = source.count("\n", 0, start) + 1
        text = " ".join(lines[line - 1].split())
        yield Mutant(path, start, end, replacement, line, text, change, numbers[text, change])
        numbers[text, change] += 1


def listed_as_equivalent():
    """{(file, line's text, change): reason}; a `*` for the change means any."""
    listed = {}
    for line in EQUIVALENT.read_text().splitlines():
        if line and not line.startswith("#"):
            file, text, change, reason = (part.strip() for part in line.split("\t"))
            listed[file, text, change] = reason
    return listed


def reason_for(identity, listed):
    file, text, change, _ = identity
    return listed.get((file, text, change)) or listed.get((file, text, "*"))


# ---- building --------------------------------------------------------------------------------------------------------


def output(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


class Build:
    """
    The suites as Bazel built them, and the core as compiled here: all in one program. Everything is copied to a folder,
    so that the sources may be edited and built again meanwhile; a folder that was used before is used as it is.
    """

    def __init__(self, folder):
        self.folder, self.tree = folder, folder / "tree"
        if not (folder / "links.json").exists():
            self.copy()
        links = json.loads((folder / "links.json").read_text())
        self.objects, self.options = links["objects"], links["options"]
        self.sources = sorted(str(path.relative_to(self.tree)) for path in (self.tree / "osmem").glob("*.c"))
        self.texts = {path: (self.tree / path).read_text() for path in files_of(self.tree)}
        self.original = {source: self.compile(source, None, folder / "original") for source in self.sources}
        self.code = {source: code_of(path) for source, path in self.original.items()}
        self.program = folder / "suites"
        self.link(self.original, self.program)

    def copy(self):
        subprocess.run(["./bazelw", "build", *SUITES], cwd=ROOT, check=True)
        # `bazel-out/…` in Bazel's files is relative to this.
        bazel = pathlib.Path(output("./bazelw", "info", "execution_root", cwd=ROOT).strip())
        binaries = pathlib.Path(output("./bazelw", "info", "bazel-bin", cwd=ROOT).strip())
        for part in ("osmem", "utils", "test", "docs"):
            shutil.copytree(ROOT / part, self.tree / part, ignore=shutil.ignore_patterns("corpus"))
        (self.folder / "original").mkdir()
        (self.folder / "run").mkdir()
        objects, options, cases = {}, {"-lrapidcheck", "-pthread"}, {}
        for suite in SUITES:
            # Objects, but for the core's, and --wrap options from what Bazel gives the linker.
            path = binaries / suite.removeprefix("//").replace(":", "/")
            for word in pathlib.Path(f"{path}-2.params").read_text().split("\n"):
                if word.endswith(".o") and "/osmem/_objs/" not in word:
                    objects[word] = str(self.folder / word)
                    (self.folder / word).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(bazel / word, self.folder / word)
                elif word.startswith("-Wl,--wrap="):
                    options.add(word)
            cases[suite] = cases_of(path)
        # The cases' own alarms go by the clock.
        silent = self.folder / "alarm.o"
        subprocess.run(["gcc", "-x", "c", "-c", "-o", silent, "-"], check=True, text=True,
                       input="unsigned alarm(unsigned seconds) { return seconds & 0; }")
        objects["alarm.o"] = str(silent)
        subprocess.run(["ld", "-r", "-S", "-o", self.folder / "suites.o", *objects.values()], check=True)
        (self.folder / "links.json").write_text(json.dumps({"objects": objects, "options": sorted(options)}))
        (self.folder / "names.json").write_text(json.dumps(cases))

    def compile(self, source, overlay, folder, compiler="gcc", flags=("-O1",)):
        """The object of a source of the core; None if it does not compile."""
        target = folder / (pathlib.Path(source).stem + ".o")
        path = source if overlay is None or not (overlay / source).exists() else str(overlay / source)
        include = ([f"-I{overlay}"] if overlay is not None else []) + ["-I."]
        done = subprocess.run([compiler, *C_FLAGS, *flags, *include, "-c", "-o", target, path], cwd=self.tree,
                              stderr=subprocess.DEVNULL)
        return target if done.returncode == 0 else None

    def link(self, core, target, suites=None, compiler=("g++",)):
        """With the core's objects and all suites, or with `suites`, by name, in place of those that Bazel built."""
        objects = [self.folder / "suites.o"]
        if suites:
            objects = [suites.get(pathlib.Path(word).stem, path) for word, path in self.objects.items()]
        linker = ["-fuse-ld=lld"] if shutil.which("ld.lld") else []
        subprocess.run([*compiler, *linker, "-o", target, *objects, *core.values(), *self.options], check=True)

    @functools.lru_cache(maxsize=None)
    def users(self, path, start):
        """The sources in which a change there can matter."""
        if path.endswith(".c"):
            return [path]
        # Those that use the function, or an inline function that uses it.
        names = {name for name, first, last in functions_of(tokens_of(self.texts[path])) if first <= start < last}
        count = 0
        while count < len(names):
            count = len(names)
            for header, text in self.texts.items():
                if header.endswith(".h"):
                    names |= {name for name, first, last in functions_of(tokens_of(text))
                              if names & set(re.findall(r"\w+", text[first:last]))}
        return [source for source in self.sources if names & set(re.findall(r"\w+", self.texts[source]))]

    def overlay(self, mutant, folder):
        """A folder of includes that has the changed file."""
        overlay = folder / "overlay"
        (overlay / "osmem").mkdir(parents=True)
        source = self.texts[mutant.file]
        (overlay / mutant.file).write_text(source[:mutant.start] + mutant.replacement + source[mutant.end:])
        return overlay

    def mutate(self, mutant, overlay, folder):
        """The mutant's objects in place of the core's, or the reason why there is none."""
        core = dict(self.original)
        for source in self.users(mutant.file, mutant.start):
            core[source] = self.compile(source, overlay, folder)
            if core[source] is None:
                return "does not compile"
        changed = [source for source in core if core[source] != self.original[source]]
        if mutant.file not in DIRECT and all(code_of(core[source]) == self.code[source] for source in changed):
            return "same code"
        return core

    def suites_with(self, mutant, overlay, folder):
        """The suites that call the functions of a changed header themselves, compiled with it."""
        suites = {}
        for path in DIRECT.get(mutant.file, []):
            target = folder / (pathlib.Path(path).name + ".o")
            subprocess.run(["g++", *CXX_FLAGS, f"-I{overlay}", "-I.", "-I/usr/src/googletest/googletest/include",
                            "-I/usr/src/googletest/googlemock/include", "-c", "-o", target, path + ".cc"],
                           cwd=self.tree, check=True, stderr=subprocess.DEVNULL)
            suites[pathlib.Path(path).name] = target
        return suites


def files_of(tree):
    return sorted(str(path.relative_to(tree)) for path in (tree / "osmem").glob("*.[ch]"))


def code_of(path):
    stripped = path.with_suffix(".code")
    subprocess.run(["objcopy", "--strip-debug", "--remove-section=.comment", "-R", ".symtab", path, stripped],
                   check=True)
    return hashlib.sha256(stripped.read_bytes()).digest()


def cases_of(binary):
    names, suite = [], ""
    for line in output(binary, "--gtest_list_tests").splitlines():
        line = line.split("#")[0].rstrip()
        if line.startswith("  "):
            names.append(suite + line.strip())
        elif line.endswith("."):
            suite = line.strip()
    return names


# ---- running ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    suite: str
    name: str
    conf: str  # OSMEM_CONF
    seconds: float = 5 * SLOW  # of processor time with an unchanged core

    def __str__(self):
        return f"{self.suite} {self.name}" + (f" ({self.conf})" if self.conf else "")


def stat_of(path):
    """Of a process or a thread: its state, its session, and the processor time of it and the children that ended."""
    try:
        fields = pathlib.Path(path).read_text().rpartition(")")[2].split()
        return fields[0], int(fields[3]), sum(map(int, fields[11:15]))
    except OSError:
        return "", 0, 0


def work_of(session):
    """What changes as long as a session gets anywhere: whether a thread can run, and the processor time so far."""
    work = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        if stat_of(path)[1] == session:
            threads = [stat_of(each) for each in glob.glob(path.replace("/stat", "/task/*/stat"))]
            work.append(time.monotonic() if any(state in ("R", "D") for state, *_ in threads) else stat_of(path)[2])
    return work


def run(program, cases, tree, **environment):
    """
    How the cases, all of the same options, ended: "passed", or else the verdict; the one that it ended with; and the
    seconds of processor time.
    """
    environment = dict(os.environ, OSMEM_TEST_SEED=SEED, OSMEM_RANDOM_PART="20",
                       RC_PARAMS=f"seed={SEED} max_success=60 max_size=100 noshrink=1", OSMEM_CONF=cases[0].conf,
                       GTEST_FILTER=":".join(case.name for case in cases), **environment)
    # Not by the clock, on a machine that may be busy: what spins is stopped by the limit on processor time, and what
    # waits for ever is seen to do nothing.
    processor = int(2 + 4 * max(case.seconds for case in cases))

    def limit():
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))

    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([str(program), "--gtest_fail_fast"], cwd=tree, env=environment, preexec_fn=limit,
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.DEVNULL)
        pid, pause, idle, before = 0, 0.001, 0, None
        while pid == 0 and idle < STUCK:
            time.sleep(pause)
            if pause == 1:
                work = work_of(child.pid)
                idle, before = idle + 1 if work == before else 0, work
            pause = min(1.2 * pause, 1)
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        # Cases run in children, which may hang on their own.
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        verdict = "hangs" if pid == 0 else "passed" if status == 0 else "killed"
        if pid == 0:
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        log.seek(0)
        text = log.read().decode(errors="replace")
    # One that failed, the others were skipped then; or the one that ended the process.
    ended = (re.findall(r"^\[  FAILED  \] (\S+)", text, re.MULTILINE)[:1] or
             re.findall(r"^\[ RUN      \] (\S+)", text, re.MULTILINE)[-1:])
    return verdict, next((case for case in cases if case.name in ended), cases[0]), usage.ru_utime + usage.ru_stime


def covered(build):
    """The suites with a core that notes which lines it reaches."""
    folder = build.folder / "covered"
    folder.mkdir(exist_ok=True)
    core = {source: build.compile(source, None, folder, "clang", ["-O0", *COVERAGE]) for source in build.sources}
    build.link(core, folder / "suites", compiler=("clang++", "-fprofile-instr-generate"))
    return folder / "suites"


def reached(program, case, tree):
    """The case with its time, and the lines that it reaches; no lines if it fails beside the profiler's mappings."""
    with tempfile.TemporaryDirectory() as folder:
        raw, merged = f"{folder}/raw", f"{folder}/merged"
        verdict, _, seconds = run(program, [case], tree, LLVM_PROFILE_FILE=raw + "%c")
        case = dataclasses.replace(case, seconds=round(seconds, 3))
        if verdict != "passed":
            return case, None
        subprocess.run([tool("llvm-profdata"), "merge", "-o", merged, raw], check=True)
        lines, file = collections.defaultdict(list), None
        exported = output(tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={merged}", program)
        for line in exported.splitlines():
            if line.startswith("SF:"):
                file = relative(line[3:])
            elif line.startswith("DA:") and not line.endswith(",0"):
                lines[file].append(int(line[3:].split(",")[0]))
        return case, lines


def usable_cases(build, jobs):
    """Every case of the suites that is quick enough, with the lines that it reaches."""
    names = json.loads((build.folder / "names.json").read_text())
    cases = [Case(suite, name, conf)
             for suite, conf in [(suite, "") for suite in SUITES] + [(suite, "guard:on") for suite in GUARDED]
             for name in names[suite] if "DISABLED_" not in name]
    program = covered(build)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for case, lines in pool.map(lambda case: reached(program, case, build.tree), cases):
            if case.seconds > SLOW:
                print(f"too slow: {case}: {case.seconds} s", flush=True)
            elif lines is None and run(build.program, [case], build.tree)[0] != "passed":
                print(f"left out, as it fails on the unchanged core: {case}", flush=True)
            else:
                yield case, lines


class Cases:
    """The cases, which of them reach a line, and which killed what so far."""

    def __init__(self, build, jobs, results):
        file = build.folder / "cases.json"
        if not file.exists():
            cases = [(dataclasses.asdict(case), lines) for case, lines in usable_cases(build, jobs)]
            file.write_text(json.dumps(cases))
        self.everywhere, self.of_line, self.of_suite = [], collections.defaultdict(list), collections.defaultdict(list)
        for fields, lines in json.loads(file.read_text()):
            case = Case(**fields)
            self.of_suite[case.suite].append(case)
            if lines is None:
                self.everywhere.append(case)
            for path, numbers in (lines or {}).items():
                for number in numbers:
                    self.of_line[path, number].append(case)
        self.kills = collections.defaultdict(list)
        named = {str(case): case for cases in self.of_suite.values() for case in cases}
        for result in results:
            if result["by"] in named:
                self.kills[result["file"]].append((result["line"], named[result["by"]]))

    def killed(self, mutant, case):
        self.kills[mutant.file].append((mutant.line, case))

    def batches(self, mutant, cases):
        """Those that killed nearby, then the others in groups that take longer and longer; each of one conf."""
        near = sorted(self.kills[mutant.file], key=lambda kill: abs(kill[0] - mutant.line))
        first = list(dict.fromkeys(case for _, case in near if case in cases))[:NEIGHBOURS]
        groups, seconds = [first], 0.1
        for case in sorted(set(cases) - set(first), key=lambda case: case.seconds):
            if len(groups) == 1 or sum(each.seconds for each in groups[-1]) > seconds:
                groups.append([])
                seconds *= 2
            groups[-1].append(case)
        for group in groups:
            for conf in sorted({case.conf for case in group}):
                yield [case for case in group if case.conf == conf]


def judge(build, cases, mutant):
    folder = pathlib.Path(tempfile.mkdtemp(dir=build.folder / "run"))

    def killer(program, cases_to_run):
        for batch in cases.batches(mutant, cases_to_run):
            verdict, case, _ = run(program, batch, build.tree)
            if verdict != "passed":
                cases.killed(mutant, case)
                return verdict, str(case)
        return "survived", None

    try:
        overlay = build.overlay(mutant, folder)
        core = build.mutate(mutant, overlay, folder)
        if isinstance(core, str):
            return core, None
        reaching = cases.of_line[mutant.file, mutant.line]
        verdict, by = "not run", None
        if reaching:
            build.link(core, folder / "suites")
            verdict, by = killer(folder / "suites", reaching + cases.everywhere)
        if by is None and mutant.file in DIRECT:
            build.link(core, folder / "suites", build.suites_with(mutant, overlay, folder))
            verdict, by = killer(folder / "suites", [case for path in DIRECT[mutant.file]
                                                     for case in cases.of_suite["//" + ":".join(path.rsplit("/", 1))]])
        return verdict, by
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- reporting -------------------------------------------------------------------------------------------------------

VERDICTS = ("killed", "hangs", "survived", "not run", "equivalent", "same code", "does not compile")
SURVIVED = VERDICTS[2:4]


def table(results):
    files = sorted({result["file"] for result in results})
    print(f"{'file':20}" + "".join(f"{verdict:>17}" for verdict in VERDICTS) + f"{'rate':>10}")
    for file in files + ["all"]:
        verdicts = [result["verdict"] for result in results if file in ("all", result["file"])]
        counts = [verdicts.count(verdict) for verdict in VERDICTS]
        dead, whole = sum(counts[:2]), sum(counts[:4])
        rate = f"{100 * dead / whole:.1f} %" if whole else "-"
        print(f"{file:20}" + "".join(f"{count:17}" for count in counts) + f"{rate:>10}")


def results_in(path):
    """By the mutant's identity; the last verdict counts."""
    lines = pathlib.Path(path).read_text().splitlines() if path and pathlib.Path(path).exists() else []
    results = [json.loads(line) for line in lines]
    return {(each["file"], each["text"], each["change"], each["number"]): each for each in results}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="osmem/….c or .h; all of them by default")
    parser.add_argument("--sample", type=int, help="so many mutants; all of them by default")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results",
                        help="where to append every mutant and its verdict; those that are there are not run again")
    parser.add_argument("--again", action="store_true", help="those that survived, by the results, and no others")
    parser.add_argument("--folder",
                        help="where to leave the build and what cases reach, for the next run of the same sources")
    parser.add_argument("--list", action="store_true", help="name the mutants, run nothing")
    parser.add_argument("--table", action="store_true", help="of the results, run nothing")
    options = parser.parse_args()

    known, listed = results_in(options.results), listed_as_equivalent()
    if options.table:
        for identity, result in known.items():
            if reason_for(identity, listed) and result["verdict"] in SURVIVED:
                result["verdict"] = "equivalent"
        table(list(known.values()))
        return 0

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(options.folder or name)
        tree = folder / "tree" if (folder / "tree").exists() else ROOT
        mutants = [mutant for file in options.files or files_of(tree) for mutant in mutants_of(tree, file)]
        mutants.sort(key=lambda mutant: hashlib.sha256(repr((options.seed, mutant.identity())).encode()).digest())
        mutants = mutants[:options.sample]
        if options.list:
            for mutant in mutants:
                print(mutant)
            print(len(mutants), "mutants")
            return 0
        if options.again:
            mutants = [mutant for mutant in mutants
                       if known.get(mutant.identity(), {}).get("verdict") in SURVIVED]
        else:
            mutants = [mutant for mutant in mutants if mutant.identity() not in known]
        folder.mkdir(exist_ok=True)
        build = Build(folder)
        cases = Cases(build, options.jobs, known.values())
        print(len(mutants), "mutants", flush=True)

        def result_of(mutant):
            reason = reason_for(mutant.identity(), listed)
            verdict, by = ("equivalent", reason) if reason else judge(build, cases, mutant)
            return {**dataclasses.asdict(mutant), "verdict": verdict, "by": by}

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for result in concurrent.futures.as_completed([pool.submit(result_of, mutant) for mutant in mutants]):
                result = result.result()
                known[result["file"], result["text"], result["change"], result["number"]] = result
                if result["verdict"] in SURVIVED:
                    print("{verdict}: {file}:{line}: {change}: {text}".format(**result), flush=True)
                if options.results:
                    with open(options.results, "a") as file:
                        file.write(json.dumps(result) + "\n")
    table(list(known.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
